"""Every endpoint by hand, with the worked numbers to the digit."""

import base64
import hashlib
import json
import os
import re
import subprocess
import time
import unittest
from decimal import Decimal

from harness import ROOT, DaemonCase, binary, call, captures, event, starter


class WorkedNumbers(DaemonCase):
    starter = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, body in captures():
            answer = cls.daemon.post("/v1/ingest/litellm", body)
            assert answer.status == 200, (name, answer)
        answer = cls.daemon.post("/v1/events", starter("calls.json"))
        assert answer.status == 200, answer
        # Somebody on his own account: 100 tokens at 0.01 credits a thousand, no markup.
        past = "2026-01-01T00:00:00Z"
        answer = cls.daemon.post("/v1/events", [
            event("solo plan", "plan.assigned", user="u_solo", plan="trial", time=past),
            event("solo credits", "credits.granted", user="u_solo", credits=1, category="paid", time=past),
            call("solo call", org=None, user="u_solo", model="gpt-4o-mini",
                 usage={"input_tokens": 90, "output_tokens": 10})])
        assert answer.json["accepted"] == 3, answer
        cls.end = cls.daemon.high_water()

    def read(self, path):
        return self.daemon.read(path, self.end)

    def test_every_item_of_the_starter_set_is_stored_once(self):
        stored = self.daemon.events()
        self.assertEqual([one["position"] for one in stored], list(range(1, len(stored) + 1)))
        # 6 plans, 1 list, 6 of the organisations, 11 items of LiteLLM, 3 calls, 3 of u_solo.
        self.assertEqual(len(stored), 6 + 1 + 6 + 11 + 3 + 3)

    def test_credits_as_of_a_position_or_a_time(self):
        stored = self.daemon.events()
        grant = next(one for one in stored if one["event"]["id"] == "acme-credits-1")
        at_grant = self.read(f"/v1/orgs/org_acme/credits?as_of={grant['position']}")
        self.assertEqual((at_grant["balance_credits"], at_grant["spent_credits"]), ("10000", "0"))
        last = self.read(f"/v1/orgs/org_acme/credits?as_of={self.end}")
        now = self.read("/v1/orgs/org_acme/credits")
        self.assertEqual({**last, "allocations": 0}, {**now, "allocations": 0})
        by_time = self.read(f"/v1/orgs/org_acme/credits?as_of={stored[-1]['recorded_at']}")
        self.assertEqual(by_time["balance_credits"], now["balance_credits"])
        for user in ("u_alice", "u_bob"):
            then = self.read(f"/v1/orgs/org_acme/users/{user}/credits?as_of={self.end}")
            today = self.read(f"/v1/orgs/org_acme/users/{user}/credits")
            self.assertEqual(then["spent_credits"], today["spent_credits"])
        for bad in ("yesterday", "-1", str(self.end + 1), "2999-01-01T00:00:00Z"):
            answer = self.daemon.get(f"/v1/orgs/org_acme/credits?as_of={bad}")
            self.assertEqual((answer.status, answer.json["field"]), (400, "as_of"), answer)
        before = self.daemon.get(f"/v1/orgs/org_acme/credits?as_of=1")
        self.assertEqual(before.status, 404, before)

    def test_the_pool_holds_what_the_charges_left(self):
        # 1.5 and 0.009 (the worked examples) and byok 0; captures at 0.01 credits a thousand and 60 % markup:
        # 3 x 30, 2 x 2306, 2 x 8 and 12 tokens.
        credits = self.read("/v1/orgs/org_acme/credits")
        self.assertEqual(credits["granted_credits"], "10000")
        self.assertEqual(credits["spent_credits"], "1.58468")
        self.assertEqual(credits["balance_credits"], "9998.41532")
        self.assertEqual(credits["available_credits"], "9998.41532")
        self.assertEqual(credits["overage_credits"], "0")
        self.assertEqual(credits["held_credits"], "0")

    def test_a_pool_that_ran_dry_says_how_much_is_owed(self):
        # 2 x 2601 tokens at 0.01 and 40 %: 0.072828 of 0.05.
        credits = self.read("/v1/orgs/org-1/credits")
        self.assertEqual(credits["balance_credits"], "-0.022828")
        self.assertEqual(credits["overage_credits"], "0.022828")
        self.assertEqual(credits["available_credits"], "0")

    def test_calls_are_counted_against_the_plan(self):
        calls = self.read("/v1/orgs/org_acme/calls?period=2026-11")
        self.assertEqual(calls["plan"], "professional")
        # 8 captured items that succeeded or have usage, 3 of our own; the failed try is only in by_status.
        self.assertEqual(calls["used"], 11)
        self.assertEqual(len(calls["limits"]), 1)
        limit = calls["limits"][0]
        self.assertEqual((limit["per"], limit["limit"], limit["used"], limit["remaining"]), ("month", 10000, 11, 9989))
        self.assertTrue(limit["resets_at"].startswith("2026-12-01T00:00:00"))
        self.assertEqual(calls["by_status"], {"success": 10, "failure": 1, "aborted": 1})
        self.assertEqual(calls["by_key_source"]["byok"], 1)

    def test_tokens_by_model(self):
        answer = self.read("/v1/orgs/org_acme/tokens?group_by=model,key_source")
        rows = {(row["model"], row["key_source"]): row for row in answer["rows"]}
        byok = rows[("gpt-4o", "byok")]
        self.assertEqual((byok["calls"], byok["input_tokens"], byok["output_tokens"]), (1, 800, 200))
        self.assertEqual(byok["credits"], "0")
        platform = rows[("gpt-4o", "platform")]
        self.assertEqual(platform["credits"], "1.509")
        self.assertEqual(answer["totals"]["credits"], "1.58468")
        self.assertEqual(sum(row["calls"] for row in answer["rows"]), answer["totals"]["calls"])
        everyone = self.read("/v1/tokens?group_by=org")
        self.assertEqual({row["org"] for row in everyone["rows"]}, {"org_acme", "org-1", None})

    def test_tokens_of_cached_and_reasoning_kinds(self):
        totals = self.read("/v1/orgs/org-1/tokens")["totals"]
        self.assertEqual((totals["input_tokens"], totals["output_tokens"]), (4196, 1006))
        self.assertEqual((totals["cache_read_tokens"], totals["cache_write_tokens"]), (3600, 496))

    def test_org_page_and_users(self):
        page = self.read("/v1/orgs/org_acme")
        self.assertEqual(page["org"], "org_acme")
        plan = page["plan"]
        self.assertEqual(plan if isinstance(plan, str) else plan["plan"], "professional")
        user = self.read("/v1/orgs/org_acme/users/u_bob/credits")
        self.assertTrue(user["allocations"], user)

    def test_a_user_on_his_own_account(self):
        wallet = self.read("/v1/users/u_solo/credits")
        self.assertEqual((wallet["balance_credits"], wallet["spent_credits"]), ("0.999", "0.001"))
        calls = self.read("/v1/users/u_solo/calls?period=2026-03")
        self.assertEqual((calls["plan"], calls["used"]), ("trial", 1))
        self.assertEqual([(one["per"], one["limit"]) for one in calls["limits"]], [("day", 100), ("ever", 700)])
        ever = calls["limits"][1]
        self.assertEqual((ever["used"], ever["remaining"], ever["resets_at"]), (1, 699, None))

    def test_statement_is_newest_first_and_every_line_follows_from_the_one_below(self):
        answer = self.read("/v1/orgs/org_acme/statement")
        lines = answer["lines"]
        positions = [line["position"] for line in lines]
        self.assertEqual(positions, sorted(positions, reverse=True))
        self.assertEqual(lines[0]["balance_credits"], "9998.41532")
        for newer, older in zip(lines, lines[1:]):
            self.assertEqual(
                Decimal(older["balance_credits"]) + Decimal(newer["amount_credits"]), Decimal(newer["balance_credits"]))
        csv = self.daemon.get("/v1/orgs/org_acme/statement?format=csv")
        self.assertEqual((csv.status, csv.kind), (200, "text/csv"), csv)
        self.assertEqual(len(csv.body.strip().splitlines()), len(lines) + 1)

    def test_one_event_by_position_and_the_log_by_pages(self):
        one = self.daemon.get("/v1/events/1").json
        self.assertEqual(one["position"], 1)
        self.assertEqual((one["event"]["source"], one["event"]["id"]), ("starter", "plan-trial-1"))
        self.assertRegex(one["record_hash"], "^[0-9a-f]{64}$")
        self.assertEqual(self.daemon.get("/v1/events/999999").status, 404)
        page = self.daemon.get("/v1/events?after=3&limit=2")
        self.assertEqual(page.kind, "application/x-ndjson")
        self.assertEqual([line["position"] for line in page.lines], [4, 5])
        only = self.daemon.events("&type=plan.defined")
        self.assertEqual(len(only), 6)
        acme = self.daemon.events("&org=org_acme")
        self.assertTrue(acme and all(one["event"]["data"].get("org") == "org_acme" for one in acme))

    def test_a_repeated_starter_set_changes_nothing(self):
        before = self.daemon.digests()
        for name in ("plans.json", "prices.json", "acme.json", "calls.json"):
            answer = self.daemon.post("/v1/events", starter(name)).json
            self.assertEqual((answer["accepted"], answer["rejected"]), (0, 0), answer)
            self.assertEqual(answer["duplicates"], len(starter(name)))
        for name, body in captures():
            answer = self.daemon.post("/v1/ingest/litellm", body).json
            self.assertEqual(answer["accepted"], 0, (name, answer))
        self.assertEqual(self.daemon.digests(), before)

    def test_the_dashboard_may_run_its_own_script_and_nothing_else(self):
        answer = self.daemon.get("/", key=None)
        self.assertEqual(answer.status, 200, answer)
        self.assertTrue(answer.headers["content-type"].startswith("text/html"), answer.headers)
        script = re.search(rb"<script>(.*?)</script>", answer.body, re.S).group(1)
        digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
        policy = answer.headers["content-security-policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertIn(f"script-src 'sha256-{digest}';", policy)
        self.assertEqual(answer.body.count(b"<script"), 1)
        # Nothing is loaded from elsewhere, and nothing of an answer becomes markup.
        for banned in (b"http://", b"https://", b"innerHTML", b"insertAdjacentHTML", b"document.write", b"eval("):
            self.assertNotIn(banned, answer.body)
        # What the page asks for is there.
        for path in re.findall(rb'fetch\("([^"]+)"\)', script):
            self.assertEqual(self.daemon.get(path.decode(), key=None).status, 200, path)
        for figure in set(re.findall(rb"tallystick_[a-z_]+[a-z]", script)):
            self.assertIn(figure, self.daemon.get("/metrics", key=None).body)

    def test_health_metrics_and_description(self):
        for path in ("/healthz", "/readyz"):
            self.assertEqual(self.daemon.get(path, key=None).status, 200, path)
        metrics = self.daemon.get("/metrics", key=None)
        self.assertEqual(metrics.status, 200)
        self.assertTrue(metrics.kind.startswith("text/plain"))
        self.assertIn(b"# TYPE ", metrics.body)
        served = self.daemon.get("/openapi.json", key=None)
        with open(os.path.join(ROOT, "Schemas/openapi.json"), "rb") as file:
            self.assertEqual(served.body, file.read())

    def test_every_described_get_is_routed(self):
        with open(os.path.join(ROOT, "Schemas/openapi.json")) as file:
            described = json.load(file)["paths"]
        values = {"{org}": "org_acme", "{user}": "u_solo", "{position}": "1"}
        values.update({"{id}": "none", "{transaction_id}": "none"})
        for path, methods in described.items():
            for name, value in values.items():
                path = path.replace(name, value)
            if "get" in methods:
                if path == "/v1/orgs/org_acme/users/u_solo/credits":
                    path = "/v1/orgs/org_acme/users/u_bob/credits"
                needed = {"/v1/log/proofs/inclusion": "?position=1", "/v1/log/proofs/consistency": "?first=1"}
                answer = self.daemon.get(path + needed.get(path, ""))
                allowed = (200, 404) if path.endswith("none") or "/none/" in path else (200,)
                self.assertIn(answer.status, allowed, (path, answer))


class Receipts(DaemonCase):
    def test_one_event_then_the_same_then_another_content(self):
        first = self.daemon.post("/v1/events", call("r1"))
        self.assertEqual(first.status, 200, first)
        answer = first.json
        self.assertEqual((answer["accepted"], answer["duplicates"], answer["rejected"]), (1, 0, 0))
        again = self.daemon.post("/v1/events", call("r1")).json
        self.assertEqual((again["accepted"], again["duplicates"]), (0, 1))
        self.assertEqual(again["first_position"], answer["first_position"])
        other = self.daemon.post("/v1/events", call("r1", model="gpt-4o-mini"))
        self.assertProblem(other, 409, "conflict")
        stored = self.daemon.get(f"/v1/events/{answer['first_position']}").json
        self.assertEqual(stored["event"]["data"]["model"], "gpt-4o")

    def test_receipts_on_request(self):
        self.daemon.post("/v1/events", call("p1"))
        body = [call("p1"), call("p2"), call("p1", model="other"), call("p3", status="maybe")]
        answer = self.daemon.post("/v1/events", body, headers={"Prefer": "return=representation"}).json
        results = answer["results"]
        self.assertEqual([one["status"] for one in results], ["duplicate", "accepted", "conflict", "rejected"], answer)
        self.assertRegex(results[1]["record_hash"], "^[0-9a-f]{64}$")
        self.assertEqual(
            results[1]["record_hash"], self.daemon.get(f"/v1/events/{results[1]['position']}").json["record_hash"])

    def test_array_and_ndjson(self):
        answer = self.daemon.post("/v1/events", [call(f"a{n}") for n in range(5)]).json
        self.assertEqual((answer["accepted"], answer["last_position"] - answer["first_position"]), (5, 4))
        body = b"\n".join(json.dumps(call(f"n{n}")).encode() for n in range(5))
        for kind in ("application/x-ndjson", "application/json"):
            answer = self.daemon.post("/v1/events", body, kind=kind).json
            self.assertEqual(answer["accepted"] + answer["duplicates"], 5, answer)

    def test_a_writer_reads_his_own_write(self):
        for n in range(30):
            position = self.daemon.post("/v1/events", call(f"own{n}", org="org_own")).json["last_position"]
            by = {"path": f"/v1/orgs/org_own/tokens?min_position={position}"} if n % 2 else {
                "path": "/v1/orgs/org_own/tokens", "headers": {"X-Min-Position": str(position)}}
            answer = self.daemon.get(by.pop("path"), **by)
            self.assertGreaterEqual(int(answer.headers["x-position"]), position)
            self.assertEqual(answer.json["totals"]["calls"], n + 1)

    def test_a_position_far_ahead_is_waited_for_and_then_refused(self):
        answer = self.daemon.get("/v1/tokens?min_position=999999999")
        self.assertIn(answer.status, (503, 504), answer)

    def test_an_allocation_is_told(self):
        self.daemon.post("/v1/events", [
            event("g", "credits.granted", org="org_a", credits="100", category="paid"),
            event("a", "credits.allocated", org="org_a", user="u", mode="carve_out", credits="30", period="never")])
        # His own part, then what the pool has left; nobody else reaches his part.
        user = self.daemon.read("/v1/orgs/org_a/users/u/credits")
        self.assertEqual(user["available_credits"], "100", user)
        self.assertEqual(user["allocations"][0]["remaining_credits"], "30", user)
        other = self.daemon.read("/v1/orgs/org_a/users/other/credits")
        self.assertEqual(other["available_credits"], "70", other)
        pool = self.daemon.read("/v1/orgs/org_a/credits")
        self.assertEqual((pool["available_credits"], pool["balance_credits"]), ("70", "100"), pool)


class LagoBatches(DaemonCase):
    starter = True

    def test_windows_batches_and_delivery(self):
        self.daemon.post("/v1/events", starter("calls.json"))
        closed = self.daemon.post("/v1/lago/windows/close", None)
        self.assertEqual(closed.status, 200, closed)
        self.assertGreater(closed.json["position"], 0)
        batches = self.daemon.read("/v1/lago/batches?state=pending")["batches"]
        self.assertTrue(batches)
        id = batches[0]["id"]
        first = self.daemon.get(f"/v1/lago/batches/{id}/events")
        self.assertEqual(first.body, self.daemon.get(f"/v1/lago/batches/{id}/events").body)
        events = first.json["events"]
        self.assertTrue(0 < len(events) <= 100)
        self.assertEqual(len({one["transaction_id"] for one in events}), len(events))
        for one in events:
            self.assertEqual(one["external_subscription_id"], "sub_red")
            self.assertEqual(one["code"], "llm_usage")
        total = sum(int(one["properties"]["calls"]) for one in events)
        self.assertEqual(total, 3)
        answer = self.daemon.post(f"/v1/lago/batches/{id}/delivery", {"outcome": "delivered"})
        self.assertEqual(answer.status, 200, answer)
        again = self.daemon.post(f"/v1/lago/batches/{id}/delivery", {"outcome": "delivered"})
        self.assertEqual(again.json["position"], answer.json["position"])
        state = self.daemon.read(f"/v1/lago/batches/{id}", answer.json["position"])["state"]
        self.assertEqual(state, "delivered")
        self.assertEqual(self.daemon.get(f"/v1/lago/batches/{id}/events").body, first.body)
        wrong = self.daemon.post(f"/v1/lago/batches/{id}/delivery", {"outcome": "perhaps"})
        self.assertProblem(wrong, wrong.status, field="outcome")
        self.assertIn(wrong.status, (400, 422))
        missing = self.daemon.post("/v1/lago/batches/none/delivery", {"outcome": "delivered"})
        self.assertProblem(missing, 404)


class LagoFormat(DaemonCase):
    starter = True

    def test_events_in_lagos_format(self):
        properties = {"model": "gpt-4o", "response_cost": 1.35e-05, "prompt_tokens": 10, "completion_tokens": 20,
                      "total_tokens": 30}
        one = {"transaction_id": "t1", "external_subscription_id": "sub_red", "code": "litellm_tokens",
               "timestamp": 1795334519, "properties": properties}
        answer = self.daemon.post("/api/v1/events", {"event": one})
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.json["event"]["transaction_id"], "t1")
        self.assertEqual(answer.json["event"]["external_subscription_id"], "sub_red")
        again = self.daemon.post("/api/v1/events", {"event": one})
        self.assertEqual(again.status, 422, again)
        self.assertEqual(again.json["error_details"], {"transaction_id": ["value_already_exist"]})
        found = self.daemon.get("/api/v1/events/t1")
        self.assertEqual((found.status, found.json["event"]["code"]), (200, "litellm_tokens"), found)
        missing = self.daemon.get("/api/v1/events/none")
        self.assertEqual((missing.status, missing.json["code"]), (404, "event_not_found"), missing)
        self.assertEqual(self.daemon.post("/api/v1/events", {"event": one}, key="wrong").status, 401)
        stored = [one for one in self.daemon.events() if one["event"]["id"] == "t1"]
        self.assertEqual(len(stored), 1)
        self.assertEqual(stored[0]["event"]["data"].get("org"), "org_acme")

    def test_batches_in_lagos_format(self):
        def line(id):
            properties = {"value": "2006", "model": "gpt-5-mini", "provider": "openai", "api": "chat_completions"}
            return {"transaction_id": id, "external_subscription_id": "sub_red", "code": "llm_input_tokens",
                    "timestamp": 1795334995, "properties": properties}
        answer = self.daemon.post("/api/v1/events/batch", {"events": [line("b1"), line("b2")]})
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(len(answer.json["events"]), 2)
        before = self.daemon.high_water()
        mixed = self.daemon.post("/api/v1/events/batch", {"events": [line("b3"), line("b1")]})
        self.assertEqual(mixed.status, 422, mixed)
        self.assertEqual(mixed.json["error_details"], {"1": {"transaction_id": ["value_already_exist"]}})
        # What was good is stored: a sender that splits the batch finds it as already there, which it takes for done.
        self.assertEqual(self.daemon.high_water(), before + 1)
        split = self.daemon.post("/api/v1/events/batch", {"events": [line("b3")]})
        self.assertEqual(split.json["error_details"], {"0": {"transaction_id": ["value_already_exist"]}}, split)
        many = self.daemon.post("/api/v1/events/batch", {"events": [line(f"m{n}") for n in range(101)]})
        self.assertEqual((many.status, many.json["error_details"]), (422, {"events": ["too_many_events"]}), many)
        none = self.daemon.post("/api/v1/events/batch", {"events": []})
        self.assertEqual((none.status, none.json["error_details"]), (422, {"events": ["no_events"]}), none)

    def test_cloudevents_of_openmeter_on_the_same_path(self):
        one = {"specversion": "1.0", "type": "litellm_tokens", "id": "om1", "time": "2026-11-22T07:52:05.320818+00:00",
               "subject": "sub_red", "source": "litellm-proxy",
               "data": {"model": "gpt-4o", "cost": 1.35e-05, "prompt_tokens": 10, "completion_tokens": 20,
                        "total_tokens": 30}}
        for kind in ("application/cloudevents+json", "application/json"):
            answer = self.daemon.post("/api/v1/events", one, kind=kind)
            self.assertEqual((answer.status, answer.body), (204, b""), answer)
        stored = [one for one in self.daemon.events() if one["event"]["id"] == "om1"]
        self.assertEqual(len(stored), 1)


class LiteLLM(DaemonCase):
    starter = True

    def verdicts(self, body):
        answer = self.daemon.post("/v1/ingest/litellm", body)
        self.assertEqual(answer.status, 200, answer)
        return tuple(answer.json.get(name, 0) for name in ("accepted", "duplicates", "parked", "skipped"))

    def test_formats_nulls_and_duplicates(self):
        chat = json.loads(dict(captures("01"))["01_proxy_chat.json"])
        self.assertEqual(self.verdicts([None, chat[0], None]), (1, 0, 0, 2))
        self.assertEqual(self.verdicts(chat[0]), (0, 1, 0, 0))
        ndjson = b"\n".join(json.dumps(one).encode() for one in chat)
        self.assertEqual(self.verdicts(ndjson), (2, 1, 0, 0))
        self.assertEqual(self.verdicts(chat + chat), (0, 6, 0, 0))

    def test_a_failed_try_and_its_fallback_are_two(self):
        self.assertEqual(self.verdicts(dict(captures("04"))["04_proxy_fallback_failed.json"]), (1, 0, 0, 0))
        self.assertEqual(self.verdicts(dict(captures("05"))["05_proxy_fallback.json"]), (1, 0, 0, 0))

    def test_bad_items_are_parked_and_the_good_ones_stored(self):
        stream = json.loads(dict(captures("02"))["02_proxy_stream.json"])[0]
        usage = dict(stream["metadata"]["usage_object"], prompt_tokens=-5)
        negative = dict(stream, id="neg", prompt_tokens=-5, metadata=dict(stream["metadata"], usage_object=usage))
        self.assertEqual(self.verdicts([negative, stream, {"not": "an item"}, 7])[:3], (1, 0, 3))
        parked = self.daemon.read("/v1/parked")["parked"]
        self.assertEqual(len(parked), 3)
        for one in parked:
            self.assertTrue(one["code"])

    def test_personal_data_is_not_in_the_log(self):
        for _, body in captures():
            self.daemon.post("/v1/ingest/litellm", body)
        everything = self.daemon.get("/v1/events?after=0&limit=1000").body
        for secret in (b"alice@example.com", b"127.0.0.1", b"user-agent", b"Traceback"):
            self.assertNotIn(secret, everything)


class Keys(DaemonCase):
    def keys(self, *words):
        command = [binary("tallystick"), "keys", *words, "--data", self.daemon.folder]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def test_scopes(self):
        for name in ("ingest", "read", "lago", "admin"):
            self.daemon.key(name, name)
        table = [
            ("GET", "/v1/tokens", None, ("read",)),
            ("GET", "/v1/projections", None, ("read",)),
            ("GET", "/v1/lago/batches", None, ("lago",)),
            ("POST", "/v1/events", call("scope"), ("ingest", "admin")),
            ("POST", "/v1/ingest/litellm", [], ("ingest", "admin")),
        ]
        for method, path, body, allowed in table:
            for name in ("ingest", "read", "lago", "admin"):
                answer = self.daemon.request(method, path, body, key=name)
                with self.subTest(path=path, key=name):
                    if name in allowed:
                        self.assertEqual(answer.status, 200, answer)
                    else:
                        self.assertProblem(answer, 403, "scope_missing")

    def test_an_ingest_key_posts_calls_and_nothing_else(self):
        self.daemon.key("gate", "ingest")
        body = [call("k1"), event("k2", "credits.granted", org="o", credits="1", category="paid")]
        answer = self.daemon.post("/v1/events", body, key="gate")
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual((answer.json["accepted"], answer.json["rejected"]), (1, 1), answer)
        self.assertEqual(answer.json["errors"][0]["index"], 1)

    def test_a_key_of_one_org_sees_no_other(self):
        self.daemon.key("tenant", "read", "--org", "org_mine")
        self.daemon.post("/v1/events", [call("m1", org="org_mine"), call("m2", org="org_other")])
        end = self.daemon.high_water()
        head = {"X-Min-Position": str(end)}
        mine = self.daemon.get("/v1/orgs/org_mine/tokens", key="tenant", headers=head)
        self.assertEqual(mine.json["totals"]["calls"], 1)
        self.assertProblem(self.daemon.get("/v1/orgs/org_other/tokens", key="tenant"), 404)
        self.assertProblem(self.daemon.get("/v1/orgs/org_other/credits", key="tenant"), 404)
        listed = self.daemon.get("/v1/events?after=0&limit=1000", key="tenant")
        if listed.status == 200:
            self.assertEqual({one["event"]["data"]["org"] for one in listed.lines}, {"org_mine"})

    def test_service_key_header_and_revocation(self):
        secret = self.daemon.key("svc", "read")
        self.assertEqual(self.daemon.get("/v1/tokens", key=None, headers={"X-Service-Key": secret}).status, 200)
        done = self.keys("revoke", "svc")
        self.assertEqual(done.returncode, 0, done)
        end = time.monotonic() + 60
        while self.daemon.get("/v1/tokens", key="svc").status != 401 and time.monotonic() < end:
            time.sleep(0.1)
        self.assertProblem(self.daemon.get("/v1/tokens", key="svc"), 401, "unauthorized")
        listed = self.keys("list")
        self.assertIn("svc", listed.stdout)
        self.assertNotIn(secret, listed.stdout)

    def test_a_wrong_or_missing_key(self):
        for key in (None, "wrong"):
            answer = self.daemon.get("/v1/tokens", key=key)
            self.assertProblem(answer, 401, "unauthorized")
            self.assertIn("www-authenticate", answer.headers)


if __name__ == "__main__":
    unittest.main()
