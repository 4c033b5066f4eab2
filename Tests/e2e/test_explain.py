"""Every number proved: explanations of charges, over HTTP and from the command line."""

import json
import socket
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

    def test_a_confined_key_reads_no_bytes_of_what_another_org_had(self):
        place = f"/v1/events/{self.first['move']}"
        self.assertIn(b"acme", bytes.fromhex(self.daemon.get(place).json["record_hex"]))
        listed = f"/v1/events?after={self.first['move'] - 1}&limit=1"
        for answer in (self.daemon.get(place, key="beta"), self.daemon.get(listed, key="beta")):
            self.assertEqual(answer.status, 200, answer)
            one = answer.lines[0]
            self.assertEqual(one["event"]["id"], "move")
            self.assertNotIn("record_hex", one)
            self.assertNotIn("acme", json.dumps(one))

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
                      ["--position", "1", "--position", "1"], ["--nothing"], ["--position", "1", "--balance"],
                      ["--balance"], ["--calls"], ["--lago-line", "x"], ["--lago-line", "l-99999-1"]):
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


class Past(DaemonCase):
    """What was told, what has happened, and what changed since."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.at = {}
        cls.post("plan", "plan.defined", "2026-03-01T00:00:00Z", plan="pro", markup="0", overage={"policy": "allow"},
                 calls=[{"limit": 100, "per": "month", "enforce": "soft"}])
        cls.post("assign", "plan.assigned", "2026-03-01T00:00:00Z", org="acme", plan="pro")
        cls.post("prices", "prices.published", "2026-03-10T00:00:00Z", unit="credits",
                 effective_at="2026-03-01T00:00:00Z", rules=[{"per": 1000, "any_token": "1"}])
        cls.post("lot", "credits.granted", "2026-03-02T00:00:00Z", org="acme", credits="100", category="paid")
        cls.post("purse", "credits.granted", "2026-03-02T00:00:00Z", user="ann", credits="7", category="promo")
        cls.post("call", "llm.call", "2026-03-03T00:00:00Z", **cls.call_of(10000))
        cls.post("other", "llm.call", "2026-03-04T00:00:00Z", **cls.call_of(3000))
        cls.post("noise", "llm.call", "2026-03-04T00:00:00Z", **{**cls.call_of(9000), "org": "beta"})
        cls.post("amend", "llm.call.amended", "2026-03-06T00:00:00Z", source="test", id_="call", reason="r",
                 call=cls.call_of(4000))
        cls.post("void", "llm.call.voided", "2026-03-07T00:00:00Z", source="test", id_="other", reason="r")
        cls.daemon.key("beta", "read", "--org", "beta")

    @staticmethod
    def call_of(tokens):
        return {**call("x")["data"], "org": "acme", "usage": {"input_tokens": tokens, "output_tokens": 0}}

    @classmethod
    def post(cls, id, type, time, **data):
        if "id_" in data:
            data["id"] = data.pop("id_")
        body = {"specversion": "1.0", "source": "test", "id": id, "type": type, "time": time, "data": data}
        answer = cls.daemon.post("/v1/events", body)
        assert answer.status == 200, (id, answer)
        cls.at[id] = answer.json["first_position"]

    def json(self, verb, *words, code=0):
        made = self.daemon.replay(verb, *words, "--json")
        self.assertEqual(made.returncode, code, made.stderr)
        return json.loads(made.stdout)

    def balance(self, query):
        return self.daemon.read(f"/v1/orgs/acme/credits{query}")["balance_credits"]

    def test_known_and_effective_over_http(self):
        before, after = self.at["other"], self.at["void"]
        self.assertEqual(self.balance(""), "96")
        self.assertEqual(self.balance(f"?as_of={before}"), "87")
        self.assertEqual(self.balance("?effective=2026-03-02T00:00:00Z"), "100")
        self.assertEqual(self.balance("?effective=2026-03-03T00:00:00Z"), "96")
        self.assertEqual(self.balance(f"?effective=2026-03-03T00:00:00Z&as_of={before}"), "90")
        self.assertEqual(self.balance(f"?effective=2026-03-05T00:00:00Z&as_of={before}"), "87")
        self.assertEqual(self.balance(f"?effective=2026-03-05T00:00:00Z&as_of={after}"), "96")
        calls = self.daemon.read(f"/v1/orgs/acme/calls?period=2026-03&as_of={before}")
        self.assertEqual((calls["used"], calls["limits"][0]["remaining"]), (2, 98))
        self.assertEqual(self.daemon.read("/v1/orgs/acme/calls?period=2026-03")["used"], 1)
        tokens = self.daemon.read(f"/v1/orgs/acme/tokens?as_of={before}")["totals"]
        self.assertEqual((tokens["calls"], tokens["input_tokens"], tokens["credits"]), (2, 13000, "13"))
        tokens = self.daemon.read(f"/v1/tokens?as_of={before}&effective=2026-03-03T12:00:00Z&group_by=org")
        self.assertEqual([(row["org"], row["input_tokens"]) for row in tokens["rows"]], [("acme", 10000)])
        for query in ("effective=soon", "effective=2999-01-01T00:00:00Z", "as_of=99999", "as_of=x"):
            for path in ("orgs/acme/credits", "orgs/acme/calls", "orgs/acme/tokens", "tokens"):
                self.assertProblem(self.daemon.get(f"/v1/{path}?{query}"), 400, "invalid_parameter")

    def test_the_command_line_says_the_same(self):
        for words, query in (([], ""), (["--known", str(self.at["other"])], f"?as_of={self.at['other']}"),
                             (["--effective", "2026-03-03T00:00:00Z"], "?effective=2026-03-03T00:00:00Z")):
            said = self.json("as-of", "--org", "acme", "--period", "2026-03", *words)
            credits = self.daemon.read(f"/v1/orgs/acme/credits{query}")
            credits.pop("org")
            mine = said["credits"]
            self.assertEqual({name: mine[name] for name in credits if name != "available_credits"},
                             {name: credits[name] for name in credits if name != "available_credits"})
            join = "&" if query else "?"
            self.assertEqual(said["calls"], self.daemon.read(f"/v1/orgs/acme/calls{query}{join}period=2026-03"))
            self.assertEqual(said["tokens"], self.daemon.read(f"/v1/orgs/acme/tokens{query}"))
        # A time is what it is judged at, as over HTTP, though nothing was stored in its month.
        early = "2026-02-10T00:00:00Z"
        said = self.json("as-of", "--org", "acme", "--known", early)
        self.assertEqual((said["known"], said["judged_at"]), (0, early))
        self.assertEqual(said["calls"]["period"]["start"], "2026-02-01T00:00:00Z")
        self.assertEqual(self.json("diff", "--between", early, "1", "--org", "acme")["then"]["judged_at"], early)
        self.assertEqual(self.json("as-of", "--user", "ann", "--what", "credits")["credits"]["balance_credits"], "7")
        self.assertEqual(self.json("as-of", "--group-by", "org")["tokens"]["rows"][0]["org"], "acme")
        text = self.daemon.replay("as-of", "--org", "acme", "--known", str(self.at["other"]))
        self.assertIn(b"balance 87", text.stdout)
        for words in (["--org", "a", "--user", "b"], ["--what", "calls"], ["--org", "acme", "--what", "x"],
                      ["--org", "acme", "--known", "0"], ["--org", "acme", "--known", "999"],
                      ["--org", "acme", "--effective", "x"], ["--org", "acme", "--period", "x"],
                      ["--org", "acme", "--group-by", "x"]):
            self.assertEqual(self.daemon.replay("as-of", *words).returncode, 2, words)

    def test_what_we_told_them_then_and_what_changed_since(self):
        said = self.json("diff", "--between", str(self.at["other"]), str(self.at["void"]), "--org", "acme")
        self.assertEqual(said["then"]["credits"]["balance_credits"], "87")
        self.assertEqual(said["now"]["credits"]["balance_credits"], "96")
        self.assertEqual([one["id"] for one in said["changes"]], ["amend", "void"])
        self.assertEqual(said["difference"]["balance_credits"], "9")
        self.assertEqual(said["difference"]["input_tokens"], -9000)
        self.assertIs(said["explained"], True)
        everything = self.json("diff", "--between", "1", "2999-01-01T00:00:00Z", "--org", "acme")
        self.assertEqual(everything["difference"]["balance_credits"], "96")
        text = self.daemon.replay("diff", "--between", "1", str(self.at["void"]), "--user", "ann")
        self.assertEqual(text.returncode, 0, text.stderr)
        self.assertIn(b"1 records explain all of it", text.stdout)
        for words in (["--between", "1"], ["--between", "5", "1", "--org", "acme"], ["--between", "1", "5"],
                      ["--between", "1", "999", "--org", "acme"]):
            self.assertEqual(self.daemon.replay("diff", *words).returncode, 2, words)

    def test_numbers_down_to_their_records(self):
        balance = self.json("explain", "--balance", "--org", "acme")
        self.assertEqual([line["what"] for line in balance["movements"]],
                         ["grant", "charge", "charge", "refund", "charge", "refund"])
        self.assertEqual((balance["balance_credits"], balance["adds_up"]), ("96", True))
        self.assertEqual(balance["lots"][0]["available_credits"], "96")
        calls = self.json("explain", "--calls", "--org", "acme", "--period", "2026-03")
        self.assertEqual((calls["calls"]["used"], calls["adds_up"]), (1, True))
        self.assertEqual([one["calls"] for one in calls["events"]], [1, 1, -1, 1, -1])
        tokens = self.json("explain", "--tokens", "--group-by", "org,day")
        self.assertIs(tokens["adds_up"], True)
        self.assertEqual(tokens["tokens"]["totals"]["input_tokens"], 13000)
        self.assertEqual(sum(one["input_tokens"] for one in tokens["events"]), 13000)
        acme = ["--org", "acme"]
        for words in (["--balance", *acme], ["--calls", *acme, "--period", "2026-03"], ["--tokens"]):
            made = self.daemon.replay("explain", *words)
            self.assertEqual(made.returncode, 0, made.stderr)
            self.assertIn(b"the parts add up", made.stdout)
        self.assertEqual(self.daemon.replay("explain", "--balance", "--org", "nobody").returncode, 2)


class LagoLines(DaemonCase):
    def test_a_line_is_made_of_its_records(self):
        lago = {"external_customer_id": "c", "external_subscription_id": "sub"}
        for one in [
            event("plan", "plan.defined", time="2026-03-01T00:00:00Z", plan="pro", markup="0",
                  overage={"policy": "invoice"}, calls=[]),
            event("assign", "plan.assigned", time="2026-03-01T00:00:00Z", org="acme", plan="pro", lago=lago),
            rules("prices", unit="credits", rules=[{"per": 1000, "any_token": "1"}]),
            call("one", org="acme"), call("two", org="acme"), call("gone", org="acme"),
            call("elsewhere", org="acme", model="other"),
        ]:
            answer = self.daemon.post("/v1/events", one)
            self.assertEqual(answer.status, 200, answer)
        void = event("void", "llm.call.voided", reason="r")
        void["data"].update({"source": "test", "id": "gone"})
        self.assertEqual(self.daemon.post("/v1/events", void).status, 200)
        closed = self.daemon.post("/v1/lago/windows/close", {}).json["position"]
        said = self.daemon.replay("explain", "--lago-line", f"l-{closed}-1", "--json")
        self.assertEqual(said.returncode, 0, said.stderr)
        line = json.loads(said.stdout)
        self.assertEqual([one["sign"] for one in line["events"]], [1, 1, 1, -1])
        self.assertEqual((line["calls"], line["credits"], line["due_usd"]), (2, "3", "0.003"))
        self.assertIs(line["adds_up"], True)
        self.assertIn(b"the parts add up", self.daemon.replay("explain", "--lago-line", f"l-{closed}-2").stdout)
        self.assertEqual(self.daemon.replay("explain", "--lago-line", f"l-{closed}-3").returncode, 2)


class Statements(DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        events = [
            rules("prices", time="2026-02-01T00:00:00Z", unit="credits", rules=[{"per": 1000, "any_token": "0.001"}]),
            event("lot", "credits.granted", time="2026-02-20T00:00:00Z", org="acme", credits="1000", category="paid"),
            event("purse", "credits.granted", time="2026-03-01T00:00:00Z", user="ann", credits="5", category="promo"),
        ]
        for number in range(2600):
            month = 2 if number % 4 == 0 else 3
            events.append(call(f"c{number}", org="acme", user="<b>&ann", time=f"2026-0{month}-21T00:00:00Z",
                               usage={"input_tokens": number, "output_tokens": 0}))
        answer = cls.daemon.post("/v1/events", events)
        assert answer.status == 200 and answer.json["rejected"] == 0, answer
        cls.end = answer.json["last_position"]
        cls.daemon.key("beta", "read", "--org", "beta")

    def get(self, path, **more):
        return self.daemon.get(path, headers={"X-Min-Position": str(self.end)}, **more)

    def test_a_period_as_csv_balances(self):
        answer = self.get("/v1/orgs/acme/statement?period=2026-03&format=csv")
        self.assertEqual((answer.status, answer.kind), (200, "text/csv"), answer)
        self.assertEqual(int(answer.headers["x-position"]), self.end)
        lines = answer.body.decode().split("\r\n")
        rows = [line.split(",") for line in lines[1:-1]]
        self.assertEqual((rows[0][2], rows[-1][2], len(rows)), ("opening", "closing", 2 + 1950))
        balance = Decimal(rows[0][4])
        for row in rows[1:-1]:
            self.assertTrue(row[1].startswith("2026-03-"))
            balance += Decimal(row[3])
            self.assertEqual(Decimal(row[4]), balance)
        self.assertEqual(Decimal(rows[-1][4]), balance)
        # February's end is March's beginning.
        february = self.get("/v1/orgs/acme/statement?to=2026-03-01&format=csv").body.decode().split("\r\n")
        self.assertEqual(february[-2].split(",")[4], rows[0][4])
        offline = self.daemon.replay("statement", "--org", "acme", "--period", "2026-03", "--format", "csv")
        self.assertEqual((offline.returncode, offline.stdout), (0, answer.body), offline.stderr)

    def test_the_page_for_the_printer(self):
        answer = self.get("/v1/orgs/acme/statement?period=2026-03&format=html")
        self.assertEqual((answer.status, answer.kind), (200, "text/html"), answer)
        page = answer.body.decode()
        self.assertEqual(page.count("<tr><td class=\"t\">2026-03-21"), 1950)
        self.assertFalse("<b>" in page)
        self.assertTrue("&lt;b&gt;&amp;ann" in page)
        self.assertTrue(page.endswith("</html>\n"))
        self.assertIn("default-src 'none'", answer.headers["content-security-policy"])
        offline = self.daemon.replay("statement", "--org", "acme", "--period", "2026-03", "--format", "html")
        self.assertEqual((offline.returncode, offline.stdout), (0, answer.body), offline.stderr)
        everything = self.get("/v1/orgs/acme/statement?format=html").body.decode()
        self.assertTrue("2,600 movements" in everything)

    def test_json_pages_of_a_period_agree(self):
        path, balances, lines = "/v1/orgs/acme/statement?from=2026-03-01&to=2026-04-01&limit=700", set(), []
        cursor = ""
        while cursor is not None:
            page = self.get(path + (f"&cursor={cursor}" if cursor else "")).json
            balances.add((page["opening_credits"], page["closing_credits"]))
            lines += page["lines"]
            cursor = page["next"]
        self.assertEqual((len(lines), len(balances)), (1950, 1))
        opening, closing = balances.pop()
        self.assertEqual(lines[0]["balance_credits"], closing)
        self.assertEqual(Decimal(lines[-1]["balance_credits"]) - Decimal(lines[-1]["amount_credits"]), Decimal(opening))
        for newer, older in zip(lines, lines[1:]):
            self.assertEqual(Decimal(newer["balance_credits"]) - Decimal(newer["amount_credits"]),
                             Decimal(older["balance_credits"]))
        offline = self.daemon.replay("statement", "--org", "acme", "--period", "2026-03", "--json")
        self.assertEqual(json.loads(offline.stdout)["lines"], lines[::-1])

    def test_as_of_is_the_statement_that_was_told(self):
        for position in (2, 100, 1777):
            told = self.get(f"/v1/orgs/acme/statement?as_of={position}&limit=1").json
            credits = self.daemon.read(f"/v1/orgs/acme/credits?as_of={position}")
            self.assertEqual(told["closing_credits"], credits["balance_credits"])
            offline = self.daemon.replay("statement", "--org", "acme", "--known", str(position), "--json")
            self.assertEqual(json.loads(offline.stdout)["closing_credits"], told["closing_credits"])

    def test_pages_without_a_period_are_as_they_were(self):
        page = self.get("/v1/orgs/acme/statement?limit=2").json
        self.assertEqual(sorted(page), ["lines", "next"])
        self.assertEqual(page["lines"][0]["position"], self.end)
        csv = self.get("/v1/orgs/acme/statement?limit=2&format=csv")
        self.assertEqual(csv.body.count(b"\r\n"), 3)
        self.assertIn("x-next-cursor", csv.headers)

    def test_a_users_wallet_has_one_too(self):
        self.assertEqual(self.get("/v1/users/ann/statement").json["lines"][0]["amount_credits"], "5")
        text = self.daemon.replay("statement", "--user", "ann")
        self.assertEqual(text.returncode, 0, text.stderr)
        self.assertIn(b"grant", text.stdout)
        self.assertProblem(self.get("/v1/users/ann/statement", key="beta"), 404)
        self.assertProblem(self.get("/v1/orgs/acme/statement?format=html", key="beta"), 404)

    def test_nonsense(self):
        for query in ("format=pdf", "period=2026", "period=2026-13", "period=2026-03&from=2026-03-01", "from=x",
                      "from=2026-04-01&to=2026-03-01", "period=2026-03&format=csv&limit=1", "as_of=999999",
                      "format=html&cursor=1-0", "cursor=x", "period=2026-03&cursor=1-0"):
            self.assertProblem(self.get(f"/v1/orgs/acme/statement?{query}"), 400, "invalid_parameter")
        for path in ("orgs/nobody", "users/nobody"):
            for query in ("", "?format=html", "?period=2026-03", "?period=2026-03&format=csv"):
                self.assertProblem(self.get(f"/v1/{path}/statement{query}"), 404, "not_found")
        self.assertEqual(self.get("/v1/orgs/acme/statement?period=2020-01").json["lines"], [])
        for words in (["--org", "nobody"], [], ["--org", "acme", "--format", "pdf"], ["--org", "acme", "--period", "x"],
                      ["--org", "acme", "--period", "2026-03", "--from", "2026-03-01"]):
            self.assertEqual(self.daemon.replay("statement", *words).returncode, 2, words)

    def test_a_reader_who_goes_away_breaks_nothing(self):
        with socket.create_connection(("127.0.0.1", self.daemon.port)) as one:
            one.sendall(b"GET /v1/orgs/acme/statement?format=html HTTP/1.1\r\nHost: x\r\nX-Service-Key: "
                        + self.daemon.keys["all"].encode() + b"\r\n\r\n")
            self.assertTrue(one.recv(100).startswith(b"HTTP/1.1 200"))
        self.assertEqual(self.get("/v1/orgs/acme/statement?format=html").status, 200)


if __name__ == "__main__":
    unittest.main()
