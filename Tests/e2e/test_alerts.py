"""Alerts: what is defined, what fires, who may see it, and that a webhook hears of each firing once."""

import hashlib
import hmac
import http.server
import json
import os
import subprocess
import tempfile
import threading
import time
import unittest

from harness import DaemonCase, binary, call, event

NOW = None  # no time: of receipt


def alert(id, name="low", **data):
    return event(id, "alert.defined", time=data.pop("time", NOW), alert=name, **data)


def now(id, tokens):
    """A call of org a, without a time."""
    body = call(id, org="a", usage={"input_tokens": tokens})
    del body["time"]
    return body


class Defined(DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        past = "2026-01-01T00:00:00Z"
        rules = {"unit": "credits", "rules": [{"any_token": "1"}]}
        body = [event("prices", "prices.published", time=past, **rules)]
        for limits, plan in (([{"limit": 2, "per": "month", "enforce": "hard"}], "two"), ([], "endless")):
            body.append(event(plan, "plan.defined", time=past, plan=plan, calls=limits, overage={"policy": "allow"}))
        for org in ("a", "b"):
            body.append(event(f"plan of {org}", "plan.assigned", time=past, org=org, plan="two"))
            body.append(event(f"credits of {org}", "credits.granted", time=past, org=org, credits="10", category="paid"))
        cls.good(body)

    @classmethod
    def good(cls, body):
        answer = cls.daemon.post("/v1/events", body)
        if answer.status != 200 or answer.json["rejected"]:
            raise AssertionError(answer)

    def firings(self, query="", **more):
        answer = self.daemon.get(
            f"/v1/alerts/firings{query}", headers={"X-Min-Position": str(self.daemon.high_water())}, **more)
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    def test_1_a_balance_a_plan_and_a_day_of_spending(self):
        self.good([
            alert("d1", "a balance", org="a", balance_below_credits="8.5"),
            alert("d2", "b calls", org="a", calls_percent=100),
            alert("d3", "c spend", org="a", spend_credits=1.5, per="day"),
            alert("d4", "d days", org="a", days_left=30),
            alert("d5", "e other", org="b", balance_below_credits="1"),
        ])
        states = self.daemon.read("/v1/alerts")
        self.assertEqual([(one["alert"], one["state"]) for one in states["alerts"]],
                         [(name, "armed") for name in ("a balance", "b calls", "c spend", "d days", "e other")])
        self.assertIsNone(states["next"])
        self.good([now("c1", 1000)])
        self.good([now("c2", 500)])
        firings = self.firings()["firings"]
        self.assertEqual([(one["number"], one["alert"], one["kind"], one["org"]) for one in firings], [
            # 1 of 10 credits in 7 days: 63 days; 1.5: 39.67 days. Neither is under 30. 8.5 is not below 8.5.
            (1, "b calls", "fired", "a"), (2, "c spend", "fired", "a")])
        self.assertEqual(
            {name: firings[0][name] for name in ("calls_percent", "calls_used", "calls_limit", "per")},
            {"calls_percent": 100, "calls_used": 2, "calls_limit": 2, "per": "month"})
        self.assertTrue(firings[0]["period"]["start"].endswith("-01T00:00:00Z"), firings[0])
        self.assertEqual((firings[1]["spend_credits"], firings[1]["spent_credits"], firings[1]["per"]),
                         ("1.5", "1.5", "day"))
        self.assertEqual(firings[0]["position"], self.daemon.high_water())
        self.good([now("c3", 700)])
        last = self.firings("?after=2")["firings"]
        self.assertEqual([(one["alert"], one["balance_credits"] if "balance_credits" in one else one["lasts_days"])
                          for one in last], [("a balance", "7.8"), ("d days", 24)])
        self.good([event("more", "credits.granted", org="a", credits="90", category="paid", time=NOW)])
        last = self.firings("?after=4")["firings"]
        self.assertEqual([(one["alert"], one["kind"]) for one in last],
                         [("a balance", "recovered"), ("d days", "recovered")])
        self.assertIsNone(last[0]["period"])
        fired = self.daemon.read("/v1/alerts?state=fired")["alerts"]
        self.assertEqual([one["alert"] for one in fired], ["b calls", "c spend"])
        self.assertEqual(fired[0]["fired_position"], firings[0]["position"])

    def test_2_pages_and_parameters(self):
        first = self.daemon.read("/v1/alerts?limit=2")
        self.assertEqual(([one["alert"] for one in first["alerts"]], first["next"]), (["a balance", "b calls"], "b calls"))
        rest = self.daemon.read("/v1/alerts?limit=3&after=b%20calls")
        self.assertEqual([one["alert"] for one in rest["alerts"]], ["c spend", "d days", "e other"])
        page = self.firings("?limit=4")
        self.assertEqual((len(page["firings"]), page["next"]), (4, 4))
        self.assertEqual([one["number"] for one in self.firings("?after=4")["firings"]], [5, 6])
        self.assertEqual(self.firings("?org=b")["firings"], [])
        self.assertEqual([one["alert"] for one in self.daemon.read("/v1/alerts?org=b")["alerts"]], ["e other"])
        for path, field in (("/v1/alerts?state=off", "state"), ("/v1/alerts/firings?after=-1", "after"),
                            ("/v1/alerts/firings?limit=0", "limit"), ("/v1/alerts?since=1", "since")):
            with self.subTest(path):
                self.assertProblem(self.daemon.get(path), 400, field=field)

    def test_3_a_key_of_one_org_sees_and_defines_its_own(self):
        self.daemon.key("tenant", "read,admin", "--org", "b")
        mine = self.daemon.get("/v1/alerts", key="tenant")
        self.assertEqual([one["alert"] for one in mine.json["alerts"]], ["e other"], mine)
        self.assertEqual(self.firings(key="tenant")["firings"], [])
        self.assertProblem(self.daemon.get("/v1/alerts?org=a", key="tenant"), 404)
        self.assertProblem(self.daemon.get("/v1/alerts/firings?org=a", key="tenant"), 404)
        answer = self.daemon.post("/v1/events", alert("t1", "t", org="a", days_left=1), key="tenant")
        self.assertProblem(answer, 403, "org_forbidden")
        answer = self.daemon.post("/v1/events", alert("t2", "a balance", org="b", days_left=1), key="tenant")
        self.assertProblem(answer, 422, "alert_exists", "data.alert")
        answer = self.daemon.post("/v1/events", alert("t3", "t", org="b", balance_below_credits="11"), key="tenant")
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual([one["alert"] for one in self.firings(key="tenant")["firings"]], ["t"])

    def test_4_only_an_admin_defines(self):
        self.daemon.key("gate", "ingest")
        answer = self.daemon.post("/v1/events", alert("g1", org="a", days_left=1), key="gate")
        self.assertEqual(answer.status, 403, answer)
        self.daemon.key("lago", "lago")
        self.assertProblem(self.daemon.get("/v1/alerts", key="lago"), 403, "scope_missing")

    def test_5_what_is_wrong_is_named(self):
        table = [
            (dict(org="a"), "data.balance_below_credits", "missing_field"),
            (dict(days_left=1), "data.org", "missing_owner"),
            (dict(org="a", user="u", days_left=1), "data.user", "ambiguous_owner"),
            (dict(org="a", days_left=1, calls_percent=1), "data.days_left", "ambiguous_condition"),
            (dict(org="a", days_left=0), "data.days_left", "out_of_range"),
            (dict(org="a", days_left="7"), "data.days_left", "wrong_type"),
            (dict(org="a", calls_percent=101), "data.calls_percent", "out_of_range"),
            (dict(org="a", calls_percent=1.5), "data.calls_percent", "wrong_type"),
            (dict(org="a", spend_credits="0", per="day"), "data.spend_credits", "out_of_range"),
            (dict(org="a", spend_credits="1"), "data.per", "missing_field"),
            (dict(org="a", spend_credits="1", per="year"), "data.per", "invalid_value"),
            (dict(org="a", days_left=1, per="day"), "data.per", "invalid_value"),
            (dict(org="a", balance_below_credits="low"), "data.balance_below_credits", "invalid_amount"),
            (dict(org="a", days_left=1, enabled="no"), "data.enabled", "wrong_type"),
            (dict(org="a", days_left=1, threshold=1), "data.threshold", "unknown_field"),
            (dict(org="a", days_left=1, name=""), "data.alert", "invalid_id"),
        ]
        before = self.daemon.high_water()
        for number, (data, field, code) in enumerate(table):
            with self.subTest(field=field, code=code):
                name = data.pop("name", "w")
                self.assertProblem(
                    self.daemon.post("/v1/events", alert(f"w{number}", name, **data)), 422, code, field)
        self.assertEqual(self.daemon.high_water(), before)

    def test_6_ended_and_gone_from_the_armed(self):
        self.good([alert("end", "e other", org="b", balance_below_credits="1", enabled=False)])
        ended = self.daemon.read("/v1/alerts?state=ended")["alerts"]
        self.assertEqual([(one["alert"], one["enabled"]) for one in ended], [("e other", False)])
        self.assertEqual(self.daemon.read("/v1/alerts?state=armed&org=b")["alerts"], [])

    def test_7_the_same_after_a_rebuild_and_verified(self):
        before, digests = self.firings(), self.daemon.digests()
        self.assertEqual(self.daemon.stop(), 0)
        for name in os.listdir(os.path.join(self.daemon.folder, "readmodels")):
            if name.startswith("alerts.sqlite"):
                os.unlink(os.path.join(self.daemon.folder, "readmodels", name))
        self.daemon.start()
        self.assertEqual(self.daemon.digests(), digests)
        self.assertEqual(self.firings(), before)
        done = self.daemon.replay("verify", "--json")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("alerts", [part["part"] for part in json.loads(done.stdout)["parts"]])


class Webhook:
    """Answers with the statuses of `plan`, one a request, then 200; keeps what came in."""

    def __init__(self, plan=()):
        self.plan, self.requests = list(plan), []
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = hook.plan.pop(0) if hook.plan else 200
                hook.requests.append((time.monotonic(), status, dict(self.headers.items()), body))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def do_GET(self):
                hook.requests.append((time.monotonic(), "GET", {}, b""))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    @property
    def taken(self):
        return [json.loads(body)["number"] for _, status, _, body in self.requests if status == 200]


class Delivered(DaemonCase):
    SECRET = b"a secret of the receiver"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        body = [event("credits", "credits.granted", org="o", credits="10", category="paid")]
        body += [alert(f"d{n}", f"alert {n}", org="o", balance_below_credits=str(20 + n)) for n in (1, 2, 3)]
        answer = cls.daemon.post("/v1/events", body)
        assert answer.json["rejected"] == 0, answer

    def setUp(self):
        self.daemon.read("/v1/alerts")
        self.folder = tempfile.TemporaryDirectory(prefix="tallystick-alerts-")
        self.addCleanup(self.folder.cleanup)
        self.secret = os.path.join(self.folder.name, "secret")
        with open(self.secret, "wb") as file:
            file.write(self.SECRET + b"\n")

    @property
    def state(self):
        return os.path.join(self.folder.name, "state.json")

    def hook(self, plan=()):
        hook = Webhook(plan)
        self.addCleanup(hook.close)
        return hook

    def command(self, hook, *more, state=None):
        return [
            binary("tallystick-alerts"), "--url", f"http://127.0.0.1:{self.daemon.port}", "--webhook", hook.url,
            "--secret", self.secret, "--state", state or self.state, "--first-wait-ms", "20", "--poll-seconds", "1", *more]

    def environment(self):
        return {**os.environ, "TALLYSTICK_KEY": self.daemon.keys["all"]}

    def once(self, hook, *more, **where):
        done = subprocess.run(
            self.command(hook, "--once", *more, **where), env=self.environment(), capture_output=True, text=True,
            timeout=60)
        return done

    def numbers(self):
        return [one["number"] for one in self.daemon.read("/v1/alerts/firings?limit=1000")["firings"]]

    def test_1_each_firing_once_signed(self):
        hook = self.hook()
        self.assertEqual(self.once(hook).returncode, 0)
        self.assertEqual(hook.taken, self.numbers())
        self.assertGreaterEqual(len(hook.taken), 3)
        for _, _, headers, body in hook.requests:
            signature = dict(part.split("=") for part in headers["X-Tallystick-Signature"].split(","))
            signed = signature["t"].encode() + b"." + body
            self.assertEqual(signature["v1"], hmac.new(self.SECRET, signed, hashlib.sha256).hexdigest())
            self.assertLess(abs(int(signature["t"]) - time.time()), 30)
            self.assertEqual(headers["X-Tallystick-Firing"], str(json.loads(body)["number"]))
            self.assertEqual(headers["Content-Type"], "application/json")
        known = self.daemon.read("/v1/alerts/firings?limit=1000")["firings"]
        self.assertEqual([json.loads(body) for _, _, _, body in hook.requests], known)
        self.assertEqual(self.once(hook).returncode, 0)
        self.assertEqual(hook.taken, self.numbers())

    def test_2_failures_are_tried_again_and_nothing_comes_twice_after_a_restart(self):
        hook = self.hook([500, 503, 429, 408, 502])
        log = open(os.path.join(self.folder.name, "log"), "wb")
        self.addCleanup(log.close)
        for round in range(3):
            # Something new while it is away, something new while it runs.
            for step in ("before", "while"):
                id = f"{self.id()} {round} {step}"
                if step == "while":
                    process = subprocess.Popen(self.command(hook), env=self.environment(), stdout=log, stderr=log)
                self.daemon.post("/v1/events", alert(id, id, org="o", balance_below_credits="99", time=NOW))
            expected = self.numbers()
            end = time.monotonic() + 60
            while sorted(hook.taken) != expected and time.monotonic() < end:
                time.sleep(0.05)
            self.assertEqual(sorted(hook.taken), expected)
            # Asked to end it does, killed it must not matter.
            process.kill() if round == 1 else process.terminate()
            code = process.wait(timeout=60)
            self.assertEqual(code, -9 if round == 1 else 0)
        self.assertEqual(self.once(hook).returncode, 0)
        self.assertEqual(sorted(hook.taken), self.numbers())
        self.assertEqual(len([one for one in hook.requests if one[1] != 200]), 5)

    def test_3_once_says_what_is_left_and_goes_on_with_it(self):
        hook = self.hook([503])
        done = self.once(hook)
        self.assertEqual(done.returncode, 1, done)
        first = self.numbers()[0]
        self.assertEqual(sorted(hook.taken), self.numbers()[1:])
        with open(self.state) as file:
            self.assertEqual(json.load(file)["beyond"], self.numbers()[1:])
        self.assertEqual(self.once(hook).returncode, 0)
        self.assertEqual(hook.taken[-1], first)
        with open(self.state) as file:
            state = json.load(file)
        self.assertEqual((state["through"], state["beyond"]), (self.numbers()[-1], []))

    def test_4_one_alert_keeps_its_order(self):
        body = [alert("o1", "ordered", org="x", balance_below_credits="-5")]
        for n in range(6):
            body.append(event(f"o credits {n}", "credits.adjusted", org="x", credits="10" if n % 2 else "-10",
                              reason="r", time=NOW))
        answer = self.daemon.post("/v1/events", body)
        self.assertEqual(answer.json["rejected"], 0, answer)
        hook = self.hook([500] * 9)
        process = subprocess.Popen(
            self.command(hook), env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while sorted(hook.taken) != self.numbers() and time.monotonic() < end:
            time.sleep(0.05)
        process.terminate()
        process.wait(timeout=60)
        mine = [json.loads(body) for _, status, _, body in hook.requests if status == 200]
        kinds = [one["kind"] for one in mine if one["alert"] == "ordered"]
        self.assertEqual(kinds, ["fired", "recovered"] * (len(kinds) // 2) + ["fired"] * (len(kinds) % 2))
        self.assertGreater(len(kinds), 3)

    def test_5_a_refusal_and_a_redirect_wait_longer(self):
        hook = self.hook([302, 410, 404])
        done = self.once(hook)
        self.assertEqual(done.returncode, 1, done)
        self.assertEqual(done.stderr.count("refused"), 3, done)
        self.assertNotIn("GET", [status for _, status, _, _ in hook.requests])
        waits = [int(line.split("again_in_ms=")[1].split()[0]) for line in done.stderr.splitlines() if "again_in" in line]
        # 60 times the first wait, less up to a half.
        self.assertTrue(all(600 <= wait <= 1200 for wait in waits), waits)

    def test_6_history_can_be_skipped(self):
        hook = self.hook()
        self.assertEqual(self.once(hook, "--skip-history").returncode, 0)
        self.assertEqual(hook.taken, [])
        self.daemon.post("/v1/events", alert("after", "after", org="o", balance_below_credits="99", time=NOW))
        self.assertEqual(self.once(hook, "--skip-history").returncode, 0)
        self.assertEqual(hook.taken, self.numbers()[-1:])

    def test_7_it_does_not_begin_with_a_state_or_a_key_that_is_wrong(self):
        hook = self.hook()
        for content, code, said in (
                ('{"through": 1, "position": 999999, "beyond": []}', 74, "another log"),
                ('{"through": 999999, "position": 1, "beyond": []}', 74, "another log"),
                ("{", 74, "cannot be read"), ("[]", 74, "not a state file")):
            with open(self.state, "w") as file:
                file.write(content)
            done = self.once(hook)
            self.assertEqual((done.returncode, said in done.stderr), (code, True), done)
        os.unlink(self.state)
        done = self.once(hook, "--key", "wrong")
        self.assertEqual((done.returncode, "401" in done.stderr), (69, True), done)
        done = self.once(hook, "--webhook", "ftp://x")
        self.assertEqual(done.returncode, 64, done)
        done = self.once(hook, "--url", "http://127.0.0.1:1")
        self.assertEqual(done.returncode, 75, done)
        self.assertEqual(hook.requests, [])

    def test_8_one_program_a_state(self):
        hook = self.hook()
        first = subprocess.Popen(
            self.command(hook), env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 60
            while len(hook.taken) < len(self.numbers()) and time.monotonic() < end:
                time.sleep(0.05)
            self.assertEqual(self.once(hook).returncode, 75)
        finally:
            first.terminate()
            first.wait(timeout=60)
        self.assertEqual(sorted(hook.taken), self.numbers())


if __name__ == "__main__":
    unittest.main()
