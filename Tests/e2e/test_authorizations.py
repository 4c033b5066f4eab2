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
            event("auth org", "plan.assigned", org="org_a", plan="professional", time=PAST),
            event("auth lot", "credits.granted", org="org_a", credits="10", category="paid", time=PAST),
            event("auth trial", "plan.assigned", org="org_t", plan="trial", time=PAST),
        ])
        assert answer.json["accepted"] == 3, answer

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

    def test_credits_that_are_short(self):
        answer = self.ask("too much", credits="1000")
        self.assertEqual((answer.status, answer.json["allowed"]), (402, False), answer)
        self.assertEqual(answer.json["code"], "credits_exhausted")
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        denials = self.daemon.get("/v1/orgs/org_a/denials")
        self.assertIn('"authorization.denied"', denials.body.decode())
        self.assertIn('"too much"', denials.body.decode())

    def test_calls_that_are_short(self):
        today = [call(f"trial {n}", org="org_t", model="local/none") for n in range(100)]
        self.assertEqual(self.daemon.post("/v1/events", today).json["accepted"], 100)
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
