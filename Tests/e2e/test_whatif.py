"""What if prices or plans were others: the numbers, and the set of events that makes them so and is taken back."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from decimal import Decimal

from harness import Daemon, binary, call, event

BEGIN = "2026-01-01T00:00:00Z"
SOME_CALLS = 30


def prices(per_thousand, **more):
    return {"unit": "credits", "rules": [{"model": "secret-*", "per": 1000, "any_token": "1"},
                                         {"model": "gpt-*", "per": 1000, "any_token": per_thousand}], **more}


def grant(id, credits, **more):
    return event(id, "credits.granted", time=BEGIN, credits=credits, category="paid", **more)


def tokens(count):
    return {"input_tokens": count, "output_tokens": 0}


def history():
    """Pools and wallets, overage of three kinds, byok, failures, a lot that ends, corrections."""
    plans = [
        event("plan-hard", "plan.defined", time=BEGIN, plan="hard", markup="0.5",
              calls=[{"limit": 20, "per": "month", "enforce": "hard"}], overage={"policy": "block"}),
        event("plan-invoice", "plan.defined", time=BEGIN, plan="invoice", calls=[], overage={"policy": "invoice"}),
    ]
    lago = {"external_customer_id": "b", "external_subscription_id": "sub_b"}
    owners = [
        event("assign-a", "plan.assigned", time=BEGIN, org="a", plan="hard"),
        event("assign-b", "plan.assigned", time=BEGIN, org="b", plan="invoice", lago=lago),
        grant("lot-a", "50", org="a"), grant("lot-b", "10", org="b"), grant("lot-w", "100", user="w"),
        grant("lot-short", "40", org="c", expires_at="2026-03-05T00:00:00Z", priority=1), grant("lot-c", "500", org="c"),
    ]
    calls = []
    for number in range(SOME_CALLS):
        for org in "abc":
            calls.append(call(f"{org}-{number}", org=org, user=f"u{number % 3}", usage=tokens(1000),
                              time=f"2026-03-{1 + number // 3:02}T10:00:{number:02}Z"))
        calls.append(call(f"w-{number}", org=None, user="w", usage=tokens(500 + number)))
    calls += [
        call("byok", org="a", key_source="byok"), call("failed", org="a", status="failure", usage=None),
        call("secret", org="a", model="secret-1", usage=tokens(2000)), call("odd", org="a", model="unknown"),
        event("usage", "llm.usage", org="b", provider="openai", model="gpt-4o", operation="chat", status="success",
              usage=tokens(3000)),
        {"specversion": "1.0", "source": "test", "id": "void", "type": "llm.call.voided",
         "data": {"source": "test", "id": "c-1", "reason": "twice"}},
    ]
    for name, org in (("amend", "a"), ("again", "c")):
        corrected = call(name, org=org, usage=tokens(4000))["data"]
        calls.append({"specversion": "1.0", "source": "test", "id": name, "type": "llm.call.amended",
                      "data": {"source": "test", "id": f"{org}-2", "reason": "counted late", "call": corrected}})
    published = event("prices", "prices.published", time=BEGIN, effective_at=BEGIN, **prices("2"))
    return plans + [published] + owners, calls


class History(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.files = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.files)
        self.daemon.start()
        before, calls = history()
        self.post(before)
        self.post(calls)
        # Part of it sealed: corrections make lines of their own then.
        answer = self.daemon.post("/v1/lago/windows/close", b"")
        self.assertEqual(answer.status, 200, answer)
        self.post([call("late-b", org="b", usage=tokens(1000))])

    def post(self, events):
        answer = self.daemon.post("/v1/events", events)
        self.assertEqual((answer.status, answer.json["rejected"]), (200, 0), answer)

    def file(self, content, name="prices.json"):
        path = os.path.join(self.files, name)
        with open(path, "w") as out:
            out.write(content if isinstance(content, str) else json.dumps(content))
        return path

    def what_if(self, *words, code=0):
        done = self.daemon.replay("what-if", *words, text=True, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return json.loads(done.stdout) if "--json" in words and code != 2 else done.stdout + done.stderr

    def url(self):
        return ("--url", f"http://127.0.0.1:{self.daemon.port}", "--key", self.daemon.key())

    def rows(self, answer):
        return {row.get("org") or "user " + row["user"]: row for row in answer["rows"]}

    def balances(self):
        balances = {}
        for path in ("/v1/orgs/a", "/v1/orgs/b", "/v1/orgs/c", "/v1/users/w"):
            page = self.daemon.read(path + "/credits")
            balances[path] = {name: page[name] for name in page if name.endswith("_credits")}
        return balances

    def verify(self):
        done = self.daemon.replay("verify", text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def assertNothingDiffers(self, answer):
        for row in [*answer["rows"], answer["totals"]]:
            self.assertEqual(row["charge_difference_credits"], "0", row)
            self.assertEqual(row["balance_then_credits"], row["balance_now_credits"], row)
            self.assertEqual(row["differing"], 0, row)
            self.assertEqual(row["denied_then"], row["denied_now"], row)


class Asked(History):
    def test_every_number_of_a_higher_price(self):
        rows = self.rows(self.what_if("--json", "--prices", self.file(prices("3"))))
        # org a: 29 calls of 1,000 tokens and one amended to 4,000, markup 0.5; secret at 1, unknown at nothing.
        self.assertEqual(rows["a"]["charge_then_credits"], str(29 * 3 + 12 + 3))
        self.assertEqual(rows["a"]["charge_now_credits"], "151.5")
        self.assertEqual((rows["a"]["calls"], rows["a"]["differing"]), (34, 30))
        # 1 of 34 has no price: byok and failures want none.
        self.assertEqual((rows["a"]["unpriced_then"], rows["a"]["unpriced_now"]), (1, 1))
        # 50 credits in calls of 3 or 4.5, under block: the first 16 or 11 are covered.
        # Of the last ones some are refused by the limit of 20 a month, which 34 - 20 pass either way.
        self.assertEqual(rows["a"]["balance_then_credits"], str(50 - 102))
        self.assertEqual(rows["a"]["balance_now_credits"], "-101.5")
        self.assertGreater(rows["a"]["denied_now"], rows["a"]["denied_then"])
        # b: overage is invoiced, the balance ends at 0 either way.
        self.assertEqual(rows["b"]["charge_then_credits"], str(31 * 2 + 6))
        self.assertEqual(rows["b"]["charge_now_credits"], str(31 * 3 + 9))
        self.assertEqual((rows["b"]["balance_then_credits"], rows["b"]["balance_now_credits"]), ("0", "0"))
        # c: 28 calls of 1,000 tokens, one of 4,000, one voided. Of the lot of 40 until the 5th: what was left ended.
        self.assertEqual(rows["c"]["charge_then_credits"], str(28 * 2 + 8))
        self.assertEqual(rows["c"]["charge_now_credits"], str(28 * 3 + 12))
        used = sum(Decimal("0.001") * (500 + number) for number in range(SOME_CALLS))
        self.assertEqual(Decimal(rows["user w"]["charge_then_credits"]), used * 2)
        self.assertEqual(Decimal(rows["user w"]["balance_now_credits"]), 100 - used * 3)

    def test_the_same_prices_change_nothing(self):
        self.assertNothingDiffers(self.what_if("--json", "--prices", self.file(prices("2"))))

    def test_only_calls_of_the_time_are_looked_at(self):
        answer = self.what_if("--json", "--prices", self.file(prices("3")), "--from", "2026-03-02T00:00:00Z",
                              "--to", "2026-03-03T00:00:00Z", "--org", "c")
        self.assertEqual(len(answer["rows"]), 1)
        row = answer["rows"][0]
        self.assertEqual((row["calls"], row["charge_then_credits"], row["charge_now_credits"]), (3, "6", "9"))

    def test_another_plan(self):
        plan = {"plan": "hard", "markup": "0", "calls": [], "overage": {"policy": "allow"}}
        rows = self.rows(self.what_if("--json", "--plans", self.file(plan)))
        self.assertEqual(rows["a"]["charge_now_credits"], str(29 * 2 + 8 + 2))
        self.assertEqual(rows["a"]["denied_now"], 0)
        self.assertGreater(rows["a"]["denied_then"], 14)
        self.assertEqual(rows["c"]["charge_difference_credits"], "0")

    def test_a_table_for_people(self):
        text = self.what_if("--prices", self.file(prices("3000.0005")))
        self.assertIn("owner", text)
        self.assertRegex(text, r"\nw \(user\) ")
        # Thousands are grouped, digits are whole.
        self.assertRegex(text, r"\na +34 +102 +148,503\.02475 ")
        self.assertRegex(text, r"\ntotal ")

    def test_files_as_they_come(self):
        published = event("p", "prices.published", time=None, **prices("3"))
        plain = self.what_if("--json", "--prices", self.file(prices("3")))["totals"]
        for content in (published, [published], [prices("3")], json.dumps(published) + "\n"):
            self.assertEqual(self.what_if("--json", "--prices", self.file(content))["totals"], plain)

    def test_nonsense(self):
        good = self.file(prices("3"))
        for words, told in (
            ((), "what if what"),
            (("--prices", "/nowhere"), "/nowhere"),
            (("--prices", self.file("", "empty")), "no event"),
            (("--prices", self.file("{", "cut")), "not JSON"),
            (("--prices", self.file([prices("1"), prices("2")], "two")), "2 price lists"),
            (("--prices", self.file(prices("-1"), "minus")), "any_token"),
            (("--prices", self.file({**prices("1"), "unit": "pounds"}, "unit")), "data.unit"),
            (("--prices", self.file(call("x"), "call")), "llm.call"),
            (("--plans", self.file({"plan": "nobody", "calls": []}, "plan")), "nobody"),
            (("--prices", good, "--from", "yesterday"), "RFC 3339"),
            (("--prices", good, "--from", BEGIN, "--to", BEGIN), "not after"),
            (("--prices", good, "--org", ""), "--org"),
            (("--prices", good, "--apply"), "a daemon has"),
            (("--prices", good, "--apply", "--org", "a"), "every org"),
            (("--prices", good, "--apply", *self.url()), "say --yes"),
            (("--prices", good, "--apply", "--yes", "--url", "ftp://x", "--key", "k"), "--url is"),
            (("--prices", good, "--apply", "--yes", *self.url()[:3], "wrong"), "401"),
            (("--prices", good, *self.url()), "--apply"),
            (("--revert", "0123456789ab.1", *self.url()), "no set"),
        ):
            self.assertIn(told, self.what_if(*words, code=2), words)
        self.assertEqual(self.daemon.replay("what-if", "--data", "/nowhere", folder=False).returncode, 2)
        huge = self.file({"unit": "credits", "rules": [{"per": 1000, "any_token": "999999"}], "multipliers": []})
        self.post([call("huge", org="a", usage=tokens(10**12))])
        self.assertIn("credits", self.what_if("--prices", huge, code=2))


class Applied(History):
    new = prices("3")

    def apply(self, *words, code=0):
        return self.what_if("--json", "--apply", "--yes", *words, code=code)

    def test_through_a_daemon_again_and_back(self):
        before = self.balances()
        file = self.file(self.new)
        forecast = self.rows(self.what_if("--json", "--prices", file))
        done = self.apply("--prices", file, *self.url())
        # From the beginning, and again where the list of the log begins.
        self.assertEqual((done["publications"], done["refused"], done["duplicates"]), (2, 0, 0))
        self.assertEqual((done["charged_otherwise"], done["one_way"]), (0, 0))
        self.assertEqual(done["stored"], done["amendments"] + 2)
        after = self.rows(self.what_if("--json", "--prices", file))
        self.assertNothingDiffers({"rows": [*after.values()], "totals": after["a"]})
        for owner, row in after.items():
            self.assertEqual(row["charge_then_credits"], forecast[owner]["charge_now_credits"], owner)
        for owner in ("a", "b", "user w"):
            self.assertEqual(after[owner]["balance_then_credits"], forecast[owner]["balance_now_credits"], owner)
        self.verify()
        end = self.daemon.high_water()
        again = self.apply("--prices", file, *self.url())
        self.assertEqual((again["stored"], again["set"]), (0, done["set"]))
        self.assertEqual(self.daemon.high_water(), end)
        # A call that comes now costs by the new list, and goes back with the set too.
        self.post([call("since", org="b", usage=tokens(1000))])
        back = self.what_if("--json", "--revert", done["set"], "--yes", *self.url())
        self.assertEqual((back["refused"], back["amendments"]), (0, done["amendments"] + 1))
        self.verify()
        now = self.balances()
        # Of c a lot has ended: what came back to it expired.
        for owner in ("/v1/orgs/a", "/v1/users/w"):
            self.assertEqual(now[owner], before[owner])
        self.assertEqual(Decimal(now["/v1/orgs/b"]["spent_credits"]), Decimal(before["/v1/orgs/b"]["spent_credits"]) + 2)
        self.assertEqual(now["/v1/orgs/c"]["spent_credits"], before["/v1/orgs/c"]["spent_credits"])
        self.assertNothingDiffers(self.what_if("--json", "--prices", self.file(prices("2"), "old.json")))
        self.assertEqual(self.what_if("--json", "--revert", done["set"], "--yes", *self.url())["stored"], 0)
        # And once more: a set of its own.
        more = self.apply("--prices", file, *self.url())
        self.assertEqual(more["set"], done["set"].split(".")[0] + ".2")
        self.assertNothingDiffers(self.what_if("--json", "--prices", file))
        self.verify()

    def test_lago_hears_the_difference(self):
        def lines():
            credits = Decimal(0)
            for batch in self.daemon.read("/v1/lago/batches?state=pending")["batches"]:
                body = self.daemon.get(f"/v1/lago/batches/{batch['id']}/events").json
                for sent in body["events"]:
                    if sent["code"] == "llm_usage":
                        credits += Decimal(str(sent["properties"]["credits"]))
            return credits

        file = self.file(self.new)
        self.apply("--prices", file, *self.url())
        self.assertEqual(self.daemon.post("/v1/lago/windows/close", b"").status, 200)
        self.assertEqual(lines(), 31 * 3 + 9)

    def test_a_window_and_lists_within_it(self):
        self.post([event("mid", "prices.published", time=None, effective_at="2026-03-04T00:00:00Z", **prices("5"))])
        # Those of the 4th and later came before: they are charged by the old list until somebody amends them.
        window = ("--from", "2026-03-02T00:00:00Z", "--to", "2026-03-06T00:00:00Z")
        file = self.file(self.new)
        done = self.apply("--prices", file, *window, *self.url())
        self.assertEqual((done["publications"], done["refused"]), (3, 0))
        self.assertNothingDiffers(self.what_if("--json", "--prices", file, *window))
        for when, cost in (("01", 2), ("02", 3), ("04", 3), ("05", 3), ("06", 5), ("20", 5)):
            self.post([call(f"then-{when}", org=f"new{when}", usage=tokens(1000), time=f"2026-03-{when}T00:00:00Z")])
            page = self.daemon.read(f"/v1/orgs/new{when}/credits")
            self.assertEqual(page["spent_credits"], str(cost), when)
        self.what_if("--json", "--revert", done["set"], "--yes", *self.url())
        for when, cost in (("01", 2), ("02", 2), ("04", 5), ("05", 5), ("06", 5), ("20", 5)):
            self.assertEqual(self.daemon.read(f"/v1/orgs/new{when}/credits")["spent_credits"], str(cost), when)
        self.verify()

    def test_a_plan_is_put_into_force_and_back(self):
        plan = {"plan": "hard", "markup": "1", "calls": []}
        file = self.file(plan)
        before = self.balances()
        window = ("--from", "2026-03-02T00:00:00Z", "--to", "2026-03-03T00:00:00Z")
        done = self.apply("--plans", file, *window, *self.url())
        self.assertEqual((done["publications"], done["amendments"], done["refused"]), (2, 3, 0))
        self.assertNothingDiffers(self.what_if("--json", "--plans", file, *window))
        spent = Decimal(self.balances()["/v1/orgs/a"]["spent_credits"])
        self.assertEqual(spent - Decimal(before["/v1/orgs/a"]["spent_credits"]), 3)
        self.what_if("--json", "--revert", done["set"], "--yes", *self.url())
        self.assertEqual(self.balances()["/v1/orgs/a"], before["/v1/orgs/a"])
        self.verify()

    def test_offline_and_by_file_are_the_same(self):
        file = self.file(self.new)
        events = os.path.join(self.files, "set.ndjson")
        made = self.apply("--prices", file, "--events", events)
        self.assertNotEqual(self.daemon.replay("what-if", "--prices", file, "--apply", "--yes", "--events", events,
                                               text=True).returncode, 0, "overwrote a file")
        self.daemon.stop()
        copy = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, copy)
        other = os.path.join(copy, "data")
        shutil.copytree(self.daemon.folder, other)
        done = self.apply("--prices", file)
        self.assertEqual((done["stored"], done["set"]), (made["stored"], made["set"]))
        self.assertEqual(self.apply("--prices", file)["stored"], 0)
        # At rest too: the read models have seen what was written.
        self.verify()
        self.daemon.start()
        offline = self.balances()
        self.verify()
        second = Daemon(other)
        second.keys = self.daemon.keys
        self.addCleanup(second.close)
        second.start()
        with open(events, "rb") as lines:
            answer = second.post("/v1/events", lines.read(), kind="application/x-ndjson")
        self.assertEqual((answer.json["accepted"], answer.json["rejected"]), (made["stored"], 0), answer)
        self.daemon, first = second, self.daemon
        self.addCleanup(first.close)
        self.assertEqual(self.balances(), offline)

    def test_killed_in_the_middle_it_goes_on(self):
        for start in range(0, 5000, 1000):
            self.post([call(f"many-{start + number}", org="m", usage=tokens(1000)) for number in range(1000)])
        file = self.file(self.new)
        words = [binary("tallystick-replay"), "what-if", "--data", self.daemon.folder, "--prices", file, "--apply",
                 "--yes", *self.url()]
        start = self.daemon.high_water()
        running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while self.daemon.high_water() < start + 2000 and running.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
        running.wait()
        stored = self.daemon.high_water() - start
        self.assertGreaterEqual(stored, 2000)
        done = self.apply("--prices", file, *self.url())
        self.assertEqual((done["publications"], done["refused"]), (0, 0))
        self.assertEqual(self.daemon.read("/v1/orgs/m/credits")["spent_credits"], "15000")
        self.assertNothingDiffers(self.what_if("--json", "--prices", file))
        self.verify()


if __name__ == "__main__":
    unittest.main()
