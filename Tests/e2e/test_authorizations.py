"""May this call run: holds, settlements, releases, denials, and the headers that go with them."""

import unittest

from harness import DaemonCase, call, event

PAST = "2026-01-01T00:00:00Z"


class Authorizations(DaemonCase):
    starter = True

    def ask(self, name, **more):
        body = {"id": name, "org": "org_a", "provider": "openai", "model": "gpt-4o", **more}
        return self.daemon.post("/v1/authorizations", body)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        answer = cls.daemon.post("/v1/events", [
            event("plan blocks", "plan.defined", plan="blocks", time=PAST, markup="0.6",
                  calls=[{"limit": 10000, "per": "month", "enforce": "hard"}], overage={"policy": "block"}),
            event("plan few", "plan.defined", plan="few", time=PAST,
                  calls=[{"limit": 3, "per": "month", "enforce": "hard"}]),
            event("auth org", "plan.assigned", org="org_a", plan="blocks", time=PAST),
            event("auth lot", "credits.granted", org="org_a", credits="10", category="paid", time=PAST),
            event("auth few", "plan.assigned", org="org_t", plan="few", time=PAST),
        ])
        assert answer.json["accepted"] == 5, answer

    def test_the_life_of_a_hold(self):
        # 1,500 tokens at 0.015 a thousand, 60 % markup: 0.036 credits.
        first = self.ask("life", input_tokens=1200, max_output_tokens=300)
        self.assertEqual(first.status, 200, first)
        self.assertEqual((first.json["allowed"], first.json["held_credits"]), (True, "0.036"))
        self.assertEqual(first.headers["x-ratelimit-limit"], "10000")
        self.assertIn('"calls-per-month";r=', first.headers["ratelimit"])
        again = self.ask("life", input_tokens=1200, max_output_tokens=300)
        self.assertEqual(again.json["position"], first.json["position"])
        held = self.daemon.read("/v1/orgs/org_a/credits", first.json["position"])
        self.assertEqual((held["held_credits"], held["available_credits"]), ("0.036", "9.964"))
        settled = self.daemon.post("/v1/events", call(
            "settling", org="org_a", authorization="life", usage={"input_tokens": 1000, "output_tokens": 0}))
        self.assertEqual(settled.status, 200, settled)
        after = self.daemon.read("/v1/orgs/org_a/credits", settled.json["last_position"])
        self.assertEqual((after["held_credits"], after["balance_credits"]), ("0", "9.976"))
        gone = self.daemon.request("DELETE", "/v1/authorizations/life?org=org_a")
        self.assertEqual((gone.status, gone.json["code"]), (404, "unknown_authorization"), gone)

    def test_one_id_is_one_question(self):
        first = self.ask("once", credits="0.5", ttl_seconds=900)
        self.assertEqual(first.status, 200, first)
        # Told as it is now that it runs, the first time and again.
        again = self.ask("once", credits="0.50", ttl_seconds=900)
        for answer in (first, again):
            self.assertEqual(answer.headers["x-ratelimit-remaining"],
                             str(answer.json["calls"]["limits"][0]["remaining"]))
        for name in ("position", "expires_at", "available_credits", "calls", "held_credits"):
            self.assertEqual(again.json[name], first.json[name])
        here = self.daemon.read("/v1/orgs/org_a/credits", first.json["position"])
        self.assertEqual(first.json["available_credits"], here["available_credits"])
        for other in ({"credits": "0.6"}, {"credits": "0.5", "ttl_seconds": 901}, {"credits": "0.5", "model": "other"}):
            answer = self.ask("once", **{"ttl_seconds": 900, **other})
            self.assertEqual((answer.status, answer.json["code"], answer.json["position"]),
                             (409, "conflict", first.json["position"]), answer)
        self.assertEqual(self.daemon.request("DELETE", "/v1/authorizations/once?org=org_a").status, 200)
        answer = self.ask("once", credits="0.5", ttl_seconds=900)
        self.assertEqual((answer.status, answer.json["code"]), (409, "authorization_ended"), answer)

    def test_more_than_held_is_charged_and_flagged(self):
        self.assertEqual(self.daemon.post("/v1/events", [
            event("small plan", "plan.assigned", org="org_s", plan="blocks", time=PAST),
            event("small lot", "credits.granted", org="org_s", credits="10", category="paid", time=PAST),
        ]).json["accepted"], 2)
        self.assertEqual(self.ask("small", org="org_s", credits="0.001").status, 200)
        settled = self.daemon.post("/v1/events", call(
            "over the hold", org="org_s", authorization="small", usage={"input_tokens": 1000, "output_tokens": 0}))
        self.daemon.read("/v1/orgs/org_s/credits", settled.json["last_position"])
        lines = self.daemon.get("/v1/orgs/org_s/statement").json["lines"]
        line = next(line for line in lines if line.get("authorization") == "small")
        self.assertEqual((line["amount_credits"], line["held_credits"], line["settlement"]),
                         ("-0.024", "0.001", "exceeded"))
        csv = self.daemon.get("/v1/orgs/org_s/statement?format=csv").body.decode().splitlines()
        self.assertTrue(csv[0].endswith(",invoiced_credits,authorization,settlement,held_credits"), csv[0])
        self.assertTrue(any(row.endswith(',0,"small",exceeded,0.001') for row in csv), csv)

    def test_credits_that_are_short(self):
        answer = self.ask("too much", credits="1000")
        self.assertEqual((answer.status, answer.json["allowed"]), (402, False), answer)
        self.assertEqual(answer.json["code"], "credits_exhausted")
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        denials = self.daemon.get("/v1/orgs/org_a/denials")
        self.assertIn('"authorization.denied"', denials.body.decode())
        self.assertIn('"too much"', denials.body.decode())

    def test_denials_are_found_behind_many_other_records(self):
        """More of them than one answer looks at in the log: the first page has the denials all the same."""
        first = self.ask("far 1", org="org_far", credits="1")
        others = [call(f"between {n}", org="org_b") for n in range(110_000)]
        for start in range(0, len(others), 10_000):
            self.assertEqual(self.daemon.post("/v1/events", others[start:start + 10_000]).status, 200)
        last = [self.ask(f"far {n}", org="org_far", credits="1") for n in (2, 3)]
        positions = [answer.json["position"] for answer in (first, *last)]
        self.assertGreater(positions[1] - positions[0], 100_000)
        # Once when the read model may still be behind, once when it is not.
        for wait in ({}, {"X-Min-Position": str(positions[2])}):
            after, found = 0, []
            while True:
                page = self.daemon.get(f"/v1/orgs/org_far/denials?limit=2&after={after}", headers=wait)
                self.assertEqual(page.status, 200, page)
                found += [line["position"] for line in page.lines]
                after = int(page.headers["x-next-after"])
                if after >= int(page.headers["x-position"]):
                    break
                if wait:
                    self.assertEqual(len(page.lines), 2, page)
            self.assertEqual(found, positions)

    def test_calls_that_are_short(self):
        # Two calls and a running one: no call is left for a fourth. No time: they happen when they are received.
        today = [{**call(f"few {n}", org="org_t", model="local/none"), "time": None} for n in range(2)]
        for one in today:
            del one["time"]
        self.assertEqual(self.daemon.post("/v1/events", today).json["accepted"], 2)
        self.assertEqual(self.ask("the third", org="org_t", credits=0).status, 200)
        answer = self.ask("one more", org="org_t", credits=0)
        self.assertEqual((answer.status, answer.json["code"]), (429, "calls_exhausted"), answer)
        self.assertEqual(answer.headers["x-ratelimit-remaining"], "0")
        self.assertGreater(int(answer.headers["retry-after"]), 0)

    def test_a_look_writes_nothing(self):
        before = self.daemon.high_water()
        self.assertEqual(self.ask("look", credits=1, hold=False).status, 200)
        self.assertEqual(self.daemon.high_water(), before)

    def test_a_release_and_its_repetition(self):
        self.assertEqual(self.ask("to release", credits="1").status, 200)
        first = self.daemon.request("DELETE", "/v1/authorizations/to%20release?org=org_a")
        self.assertEqual(first.status, 200, first)
        second = self.daemon.request("DELETE", "/v1/authorizations/to%20release?org=org_a")
        self.assertEqual(second.json["position"], first.json["position"])

    def test_what_is_no_question(self):
        for body, field in (({"id": ""}, "id"), ({"credits": -1}, "credits"), ({"credits": "x"}, "credits"),
                            ({"input_tokens": 1.5}, "input_tokens"), ({"ttl_seconds": 0}, "ttl_seconds"),
                            ({"ttl_seconds": 86401}, "ttl_seconds"), ({"hold": "yes"}, "hold"),
                            ({"prompt": "hi"}, "prompt"), ({"operation": "think"}, "operation"),
                            ({"attributes": {"a": 1}}, "attributes.a")):
            answer = self.ask("wrong", **body) if "id" not in body else self.ask(**{"name": ""})
            self.assertEqual((answer.status, answer.json["field"]), (422, field), answer)
        self.assertEqual(self.daemon.post("/v1/authorizations", b"{").status, 400)


if __name__ == "__main__":
    unittest.main()
