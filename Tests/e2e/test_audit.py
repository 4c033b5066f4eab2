"""Every number proved: explanations of charges, over HTTP and from the command line."""

import json
import unittest
from decimal import Decimal

from harness import DaemonCase, call, event

DAY = "2026-03-04T05:06:07Z"


def rules(id, time="2026-03-01T00:00:00Z", **data):
    return event(id, "prices.published", time=time, **data)


class Explained(DaemonCase):
    """The contract's worked examples, and what a careful reader asks next."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.first = {}
        for one in [
            event("plan", "plan.defined", time="2026-03-01T00:00:00Z", plan="professional", markup="0.6",
                  calls=[{"limit": 10000, "per": "month", "enforce": "hard"}], overage={"policy": "allow"}),
            event("assign", "plan.assigned", time="2026-03-01T00:00:00Z", org="acme", plan="professional"),
            rules("prices", unit="credits", rules=[
                {"model": "other", "per": 1000, "any_token": "9"},
                {"model": "flat", "per": 1000, "per_call": "1.5"},
                {"per": 1000, "any_token": "0.015"}],
                multipliers=[{"attribute": "power_level", "values": {"eco": "0.1", "balanced": "0.25"}}]),
            event("lot", "credits.granted", time="2026-03-01T00:00:00Z", org="acme", credits="10000", category="paid"),
            event("lot2", "credits.granted", time="2026-03-01T00:00:00Z", org="beta", credits="10000", category="paid"),
            call("worked", org="acme", user="ann", attributes={"power_level": "balanced"}),
            call("byok", org="acme", attributes={"power_level": "balanced"}, key_source="byok"),
            call("flat", org="beta", model="flat"),
            call("moved", org="acme"),
            event("move", "llm.call.amended", time="2026-03-05T00:00:00Z", reason="wrong org",
                  **{"call": call("moved", org="beta")["data"]}) | {},
        ]:
            if one["id"] == "move":
                one["data"].update({"source": "test", "id": "moved"})
            answer = cls.daemon.post("/v1/events", one)
            assert answer.status == 200, (one, answer)
            cls.first[one["id"]] = answer.json["first_position"]
        cls.daemon.key("beta", "read", "--org", "beta")

    def explanation(self, id, **more):
        answer = self.daemon.get(f"/v1/events/{self.first[id]}/explanation", **more)
        self.assertEqual(answer.status, 200, answer)
        self.assertIn("x-position", answer.headers)
        return answer.json

    def replayed(self, id):
        made = self.daemon.replay("explain", "--position", str(self.first[id]), "--json")
        self.assertEqual(made.returncode, 0, made.stderr)
        return json.loads(made.stdout)

    def test_1500_tokens_balanced_with_a_markup_are_0_009_credits(self):
        said = self.explanation("worked")
        charge = said["charge"]
        self.assertEqual(charge["credits"], "0.009")
        self.assertEqual(charge["price_list"], {
            "position": self.first["prices"], "effective_at": "2026-03-01T00:00:00Z", "unit": "credits", "rules": 3})
        self.assertEqual(charge["rule"], {"index": 2, "per": 1000, "any_token": "0.015"})
        self.assertEqual([(part["kind"], part["quantity"], part["price"], part["per"], part["amount"])
                          for part in charge["parts"]],
                         [("input", "1000", "0.015", 1000, "0.015"), ("output", "500", "0.015", 1000, "0.0075")])
        self.assertEqual((charge["sum"], charge["sum_unit"]), ("0.0225", "credits"))
        self.assertEqual(charge["factors"], [
            {"name": "power_level", "value": "balanced", "factor": "0.25"}, {"name": "markup", "factor": "1.6"}])
        self.assertEqual(charge["product_credits"], "0.009")
        self.assertEqual(charge["plan"]["name"], "professional")
        self.assertEqual(charge["pays"]["org"], "acme")
        self.assertEqual(charge["limits"], [{
            "org": "acme", "plan": "professional", "limit": 10000, "per": "month",
            "from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"}])
        self.assertEqual(said["movements"], [{
            "org": "acme", "what": "charge", "amount_credits": "-0.009", "balance_credits": "9999.991", "user": "ann",
            "slices": [{"lot": "lot", "credits": "0.009"}]}])
        self.assertIs(said["adds_up"], True)

    def test_a_byok_call_costs_nothing_and_says_what_it_would_have(self):
        said = self.explanation("byok")
        self.assertEqual((said["charge"]["credits"], said["charge"]["notional_credits"]), ("0", "0.009"))
        self.assertEqual((said["charge"]["product_credits"], said["movements"]), ("0.009", []))
        self.assertIs(said["charge"]["uses_quota"], True)
        self.assertIn("own provider key", said["charge"]["because"])

    def test_one_and_a_half_credits_of_ten_thousand(self):
        said = self.explanation("flat")
        self.assertEqual(said["movements"][0]["balance_credits"], "9998.5")
        self.assertEqual(said["charge"]["parts"], [
            {"kind": "call", "quantity": "1", "price": "1.5", "per": 1, "amount": "1.5"}])

    def test_a_correction_and_what_it_unwound(self):
        moved, move = self.explanation("moved"), self.explanation("move")
        self.assertEqual(moved["corrections"], [self.first["move"]])
        self.assertEqual(move["unwinds"]["position"], self.first["moved"])
        self.assertEqual([(one["what"], one.get("org")) for one in move["movements"]],
                         [("refund", "acme"), ("charge", "beta")])
        self.assertEqual(move["movements"][0]["amount_credits"], moved["charge"]["credits"])
        self.assertEqual(move["charge"]["call_time"], DAY)

    def test_a_confined_key_sees_its_own_org_alone(self):
        self.explanation("flat", key="beta")
        for id in ("worked", "byok", "moved", "plan", "prices", "lot"):
            answer = self.daemon.get(f"/v1/events/{self.first[id]}/explanation", key="beta")
            self.assertProblem(answer, 404, "not_found")
        # The call came from another org: what that one got back is not beta's to know.
        move = self.explanation("move", key="beta")
        self.assertNotIn("acme", json.dumps(move))
        self.assertNotIn("unwinds", move)
        self.assertIs(move["adds_up"], True)

    def test_the_command_line_says_the_same_from_the_log_alone(self):
        for id in self.first:
            over_http = self.explanation(id)
            over_http.pop("record_hash")
            self.assertEqual(self.replayed(id), over_http, id)
        text = self.daemon.replay("explain", "--position", str(self.first["worked"]))
        self.assertEqual(text.returncode, 0)
        for piece in (b"1000 x 0.015 / 1000 = 0.015", b"0.009 credits, before the rounding", b"the parts add up"):
            self.assertIn(piece, text.stdout)

    def test_what_is_not_there(self):
        for position in ("0", "99999", "x", "-1", "1.0"):
            self.assertProblem(self.daemon.get(f"/v1/events/{position}/explanation"), 404, "not_found")
        self.assertProblem(self.daemon.get("/v1/events/1/explanation?x=1"), 400, "unknown_parameter")
        self.assertProblem(self.daemon.get("/v1/events/1/explanation", key=None), 401)
        for words in (["--position", "0"], ["--position", "99999"], ["--position"], [], ["--position", "x"],
                      ["--position", "1", "--position", "1"], ["--nothing"]):
            made = self.daemon.replay("explain", *words)
            self.assertEqual(made.returncode, 2, (words, made.stderr))

    def test_every_charge_of_the_log_adds_up(self):
        for position in range(1, self.daemon.high_water() + 1):
            said = self.daemon.get(f"/v1/events/{position}/explanation").json
            self.assertIs(said["adds_up"], True, said)
            if "charge" not in said or "unwinds" in said:
                continue
            taken = sum((Decimal(slice_["credits"]) for one in said["movements"] for slice_ in one["slices"]),
                        Decimal(0))
            over = sum((Decimal(one.get("overage_credits", "0")) for one in said["movements"]), Decimal(0))
            self.assertEqual(taken + over, Decimal(said["charge"]["credits"]), said)


if __name__ == "__main__":
    unittest.main()
