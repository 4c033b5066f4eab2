"""The price list made of LiteLLM's cost map, posted to a daemon: calls cost what LiteLLM says they cost."""

import json
import os
import subprocess
import tempfile
import unittest
from decimal import Decimal

from harness import ROOT, DaemonCase, binary, call, captures, event

MAP = os.path.join(ROOT, "Tests/Fixtures/captures/litellm_cost_map_sample.json")


def import_prices(*arguments, file=MAP):
    return subprocess.run(
        [binary("tallystick"), "import-prices", file, *arguments], capture_output=True, text=True, timeout=60)


class ImportPrices(unittest.TestCase):
    def test_one_event_on_standard_output_and_a_report_on_the_other(self):
        made = import_prices()
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertEqual(made.stdout.count("\n"), 1)
        published = json.loads(made.stdout)
        self.assertEqual((published["type"], published["source"]), ("prices.published", "import-prices"))
        self.assertEqual(published["data"]["unit"], "usd")
        mini = [rule for rule in published["data"]["rules"] if rule["model"] == "gpt-4o-mini"]
        self.assertEqual(mini, [{
            "provider": "openai", "model": "gpt-4o-mini", "per": 1000000, "input": "0.15", "output": "0.6",
            "cache_read": "0.075", "per_search": "0.025"}])
        for line in ("58 models read: 44 with prices, in 53 rules", "19 x input_cost_per_token_batches"):
            self.assertIn(line, made.stderr)
        self.assertEqual(import_prices().stdout, made.stdout)

    def test_id_source_and_time_are_taken(self):
        made = import_prices("--id", "2027", "--source=finance", "--effective-at", "2027-01-01T00:00:00Z")
        published = json.loads(made.stdout)
        self.assertEqual((published["id"], published["source"]), ("2027", "finance"))
        self.assertEqual(published["data"]["effective_at"], "2027-01-01T00:00:00Z")
        self.assertNotIn("time", published)

    def test_what_cannot_be_done_says_so_and_prints_nothing(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            rows = [("", 65), ("[]", 65), ("{", 65), ('{"a":{},"a":{}}', 65), ("{}", 65), ('{"m":{"mode":"chat"}}', 65)]
            for text, code in rows:
                file.seek(0)
                file.truncate()
                file.write(text)
                file.flush()
                made = import_prices(file=file.name)
                self.assertEqual((made.returncode, made.stdout), (code, ""), (text, made.stderr))
                self.assertIn("tallystick: ", made.stderr)
        self.assertEqual(import_prices(file="/nowhere/at.all").returncode, 74)
        self.assertEqual(import_prices("--effective-at", "soon").returncode, 64)
        self.assertEqual(import_prices("--unknown", "1").returncode, 64)
        bare = subprocess.run([binary("tallystick"), "import-prices"], capture_output=True, timeout=60)
        self.assertEqual(bare.returncode, 64)


class Charged(DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        past = "2026-01-01T00:00:00Z"
        answer = cls.daemon.post("/v1/events", call("before", org="org_early"))
        assert answer.status == 200, answer
        made = import_prices("--effective-at", past)
        answer = cls.daemon.post("/v1/events", made.stdout.encode())
        assert answer.status == 200 and answer.json["accepted"] == 1, answer
        # The same map again is a duplicate.
        again = cls.daemon.post("/v1/events", import_prices("--effective-at", past).stdout.encode())
        assert again.json["duplicates"] == 1, again
        for name, body in captures():
            answer = cls.daemon.post("/v1/ingest/litellm", body)
            assert answer.status == 200, (name, answer)
        answer = cls.daemon.post("/v1/events", [
            call("long", org="org_long", provider="gemini", model="gemini-2.5-pro",
                 usage={"input_tokens": 200001, "output_tokens": 1000}),
            call("short", org="org_long", provider="gemini", model="gemini-2.5-pro",
                 usage={"input_tokens": 200000, "output_tokens": 1000}),
            call("private", org="org_other", model="my-own", operation="responses", user="u_ann"),
            call("silent", org="org_other", usage=None)])
        assert answer.json["accepted"] == 4, answer
        cls.end = cls.daemon.high_water()

    def test_captured_calls_cost_what_litellm_says(self):
        rows = {}
        for row in self.daemon.read("/v1/tokens?group_by=org,model", self.end)["rows"]:
            if row["org"] in ("org_acme", "org-1"):
                rows[row["model"]] = (Decimal(row["credits"]) / 1000, Decimal(row["cost_usd"]), row["calls"])
        self.assertEqual(
            set(rows), {"gpt-4o-mini", "gpt-5-mini", "text-embedding-3-small", "claude-sonnet-4-5-20250929",
                        *[name for name in rows if name.startswith("fail")]}, rows)
        for model in ("gpt-4o-mini", "gpt-5-mini", "text-embedding-3-small"):
            charge, cost, calls = rows[model]
            self.assertGreater(calls, 0)
            self.assertGreater(charge, 0)
            self.assertEqual(charge, cost, model)
        # Of each, 100 tokens are kept in the cache for an hour, which calls do not say: 6 instead of 3.75 a million.
        charge, cost, calls = rows["claude-sonnet-4-5-20250929"]
        self.assertEqual(cost - charge, calls * Decimal("0.000225"))

    def test_a_long_prompt_costs_more(self):
        totals = self.daemon.read("/v1/orgs/org_long/tokens", self.end)["totals"]
        # 200,001 x 2.5 + 1,000 x 15 and 200,000 x 1.25 + 1,000 x 10, a million, in dollars; a dollar is 1,000 credits.
        self.assertEqual(totals["credits"], "775.0025")

    def test_unpriced_calls_are_listed(self):
        everyone = self.daemon.read("/v1/unpriced", self.end)
        self.assertNotIn("next", everyone)
        found = {one["position"]: one for one in everyone["unpriced"]}
        self.assertEqual(list(found), sorted(found))
        private = next(one for one in everyone["unpriced"] if one["model"] == "my-own")
        self.assertEqual(
            {name: private[name] for name in private if name != "position"},
            {"time": "2026-03-04T05:06:07Z", "org": "org_other", "user": "u_ann", "provider": "openai",
             "model": "my-own", "operation": "responses", "reason": "no_rule"})
        stored = self.daemon.get(f"/v1/events/{private['position']}").json
        self.assertEqual(stored["event"]["id"], "private")
        mine = self.daemon.read("/v1/unpriced?org=org_other", self.end)["unpriced"]
        self.assertEqual([one["reason"] for one in mine], ["no_rule", "no_usage"])
        early = self.daemon.read("/v1/unpriced?org=org_early", self.end)["unpriced"]
        self.assertEqual([one["reason"] for one in early], ["no_list"])
        self.assertEqual(self.daemon.read("/v1/unpriced?org=org_long", self.end), {"unpriced": []})
        totals = self.daemon.read("/v1/tokens", self.end)["totals"]
        self.assertEqual(totals["unpriced_calls"], len(found))

    def test_unpriced_calls_by_pages_and_bad_questions(self):
        whole = self.daemon.read("/v1/unpriced", self.end)["unpriced"]
        pages, after = [], 0
        while True:
            page = self.daemon.read(f"/v1/unpriced?limit=1&after={after}", self.end)
            pages += page["unpriced"]
            if "next" not in page:
                break
            after = page["next"]
        self.assertEqual(pages, whole)
        self.assertEqual(self.daemon.read(f"/v1/unpriced?after={self.end}", self.end), {"unpriced": []})
        for query in ("limit=0", "limit=1001", "after=-1", "after=x"):
            self.assertProblem(self.daemon.get("/v1/unpriced?" + query), 400, "invalid_parameter")
        self.assertProblem(self.daemon.get("/v1/unpriced?organisation=x"), 400, "unknown_parameter")
        self.assertProblem(self.daemon.get("/v1/unpriced", key=None), 401)

    def test_a_confined_key_sees_its_org(self):
        self.daemon.key("other", "read", "--org", "org_other")
        answer = self.daemon.get("/v1/unpriced", key="other", headers={"X-Min-Position": str(self.end)})
        self.assertEqual({one["org"] for one in answer.json["unpriced"]}, {"org_other"})
        self.assertProblem(self.daemon.get("/v1/unpriced?org=org_early", key="other"), 404)


if __name__ == "__main__":
    unittest.main()
