"""Whatever was acknowledged can be folded and asked about: sums of more than 64 bits, and a log that an older release
wrote, with costs that no door takes any more."""

import hashlib
import json
import os
import sqlite3
import struct
import tempfile
import unittest

from harness import Daemon, DaemonCase, call, event
from test_foreign import item

MILLION = "1000000"
NINE_BILLION = "9000000000"


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def decimal(number):
    """As in a record: no decimals, and the signed mantissa."""
    return b"\0" + varint(number << 1)


def older(line, log):
    """The line of an export with a cost of nine billion dollars in the place of a million: the record is found in the
    log's file, given the other cost, and hashed as Schemas/RECORD.md says."""
    stored = json.loads(line)
    source, id = (stored["event"][name].encode() for name in ("source", "id"))
    keys = bytes([len(source) - 1]) + source + bytes([len(id) - 1]) + id
    start = log.index(keys) - 36
    length, = struct.unpack_from("<I", log, start + 4)
    record = bytearray(log[start:start + length])
    assert hashlib.sha256(b"\0" + record).hexdigest() == stored["record_hash"]
    before, after = decimal(int(MILLION)), decimal(int(NINE_BILLION))
    at = record.rindex(before)
    record[at:at + len(before)] = after
    for offset in (4, 32):
        size, = struct.unpack_from("<I", record, offset)
        struct.pack_into("<I", record, offset, size + len(after) - len(before))
    stored["event"]["data"]["cost_usd"] = NINE_BILLION
    stored["record_hash"] = hashlib.sha256(b"\0" + record).hexdigest()
    return json.dumps(stored)


class OlderLog(unittest.TestCase):
    """Two calls of nine billion dollars in one row of tokens, two in rows of their own."""

    @classmethod
    def setUpClass(cls):
        first = Daemon()
        cls.addClassCleanup(first.close)
        first.start()
        ids = ["same 1", "same 2", "row 1", "row 2"]
        events = [event("free", "plan.defined", plan="free", calls=[], markup="0", overage={"policy": "invoice"}),
                  event("mine", "plan.assigned", org="org_test", plan="free",
                        lago={"external_customer_id": "c", "external_subscription_id": "s"}),
                  event("prices", "prices.published", unit="credits", rules=[{"per": 1000000, "any_token": "1"}])]
        events += [call(id, model="m" if id.startswith("same") else id, cost_usd=MILLION) for id in ids]
        events += [call("cheap", cost_usd="0.5", usage={"input_tokens": 10 ** 12})]
        answer = first.post("/v1/events", events)
        assert answer.json["accepted"] == len(events), answer
        first.settle()
        assert first.stop() == 0
        lines = first.replay("export").stdout.decode().splitlines()
        with open(os.path.join(first.folder, "log", "data.mdb"), "rb") as file:
            log = file.read()
        cls.export = "".join(
            (older(line, log) if json.loads(line)["event"]["id"] in ids else line) + "\n" for line in lines)

    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        done = self.daemon.replay("import", input=self.export.encode())
        self.assertEqual(done.returncode, 0, done)

    def replay(self, *arguments, **more):
        done = self.daemon.replay(*arguments, **more)
        self.assertEqual(done.returncode, 0, done)
        return done.stdout.decode()

    def assertAnswers(self):
        totals = self.daemon.read("/v1/tokens")["totals"]
        self.assertEqual(totals["cost_usd"], "36000000000.5")
        for groups, costs in (
                ("org", ["36000000000.5"]), ("model", ["0.5", "18000000000", NINE_BILLION, NINE_BILLION]),
                ("day,user", ["36000000000.5"])):
            answer = self.daemon.read(f"/v1/tokens?group_by={groups}")
            self.assertEqual([row["cost_usd"] for row in answer["rows"]], costs)
            self.assertEqual(answer["totals"], totals)
            self.assertEqual(
                self.daemon.read(f"/v1/orgs/org_test/tokens?group_by={groups}&as_of=8")["totals"]["cost_usd"],
                "36000000000.5")
        for path in ("/v1/orgs/org_test", "/v1/orgs/org_test/calls", "/v1/orgs/org_test/credits",
                     "/v1/orgs/org_test/statement", "/v1/orgs/org_test/statement?period=2026-03",
                     "/v1/events/4/explanation", "/v1/unpriced", "/v1/lago/batches", "/v1/alerts"):
            self.daemon.read(path)
        for one in self.daemon.get("/v1/projections").json["projections"]:
            self.assertEqual((one["state"], one["lag"]), ("live", 0), one)
        self.assertEqual(self.daemon.get("/readyz", key=None).status, 200)

    def test_every_question_and_verb_has_its_exact_answer(self):
        self.daemon.start()
        self.assertAnswers()
        self.daemon.post("/v1/lago/windows/close", None)
        self.assertAnswers()
        digests = self.daemon.digests()
        self.replay("verify")
        for arguments in (
                ("export",), ("as-of", "--org", "org_test"), ("statement", "--org", "org_test"),
                ("explain", "--tokens", "--org", "org_test", "--group-by", "model"), ("explain", "--position", "4"),
                ("explain", "--lago-line", "l-9-1"),
                ("diff", "--between", "3", "8", "--org", "org_test")):
            self.assertNotEqual(self.replay(*arguments), "", arguments)
        shown = json.loads(self.replay("as-of", "--org", "org_test", "--json"))
        self.assertEqual(shown["tokens"]["totals"]["cost_usd"], "36000000000.5")
        # What everybody reported, paid as reported: more than an account holds, said by name and not by a crash.
        with tempfile.TemporaryDirectory() as folder:
            prices = os.path.join(folder, "prices.json")
            with open(prices, "w") as file:
                json.dump({"unit": "credits", "rules": [{"per": 1000, "any_token": "2"}]}, file)
            self.replay("what-if", "--prices", prices)
            snapshot, pack = os.path.join(folder, "snapshot"), os.path.join(folder, "pack")
            self.replay("snapshot", "--to", snapshot)
            self.replay("pack", "--org", "org_test", "--period", "2026-03", "--to", pack)
            restored = Daemon(os.path.join(folder, "restored"))
            restored.log_path += ".restored"
            self.addCleanup(restored.close)
            done = restored.replay("restore", snapshot)
            self.assertEqual(done.returncode, 0, done)
            self.assertEqual(restored.replay("verify").returncode, 0)
        self.assertEqual(self.daemon.stop(), 0)
        self.replay("verify")
        self.replay("rebuild")
        self.daemon.start()
        self.assertEqual(self.daemon.digests(), digests)
        self.assertAnswers()

    def test_a_folder_whose_projector_had_stopped_comes_up_by_itself(self):
        self.daemon.start()
        digests = self.daemon.digests()
        self.assertEqual(self.daemon.stop(), 0)
        # As the release before left it: another schema version, and no row of the record that it stopped at.
        path = os.path.join(self.daemon.folder, "readmodels", "tokens.sqlite")
        with sqlite3.connect(path) as file:
            version, = file.execute("PRAGMA user_version").fetchone()
            file.execute(f"PRAGMA user_version = {version - 1}")
            file.execute("DELETE FROM tokens")
            file.execute("UPDATE progress SET position = 4")
        file.close()
        self.daemon.start()
        self.assertEqual(self.daemon.digests(), digests)
        self.assertAnswers()
        self.replay("verify")

    def test_verify_fails_where_a_read_model_stands_still(self):
        self.daemon.start()
        self.daemon.digests()
        self.assertEqual(self.daemon.stop(), 0)
        folder = os.path.join(self.daemon.folder, "readmodels")
        kept = {}
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "rb") as file:
                kept[name] = file.read()
        self.daemon.start()
        self.daemon.post("/v1/events", call("one more"))
        self.daemon.settle()
        self.assertEqual(self.daemon.stop(), 0)
        self.replay("verify")
        with open(os.path.join(folder, "tokens.sqlite"), "wb") as file:
            file.write(kept["tokens.sqlite"])
        for suffix in ("-wal", "-shm"):
            if os.path.exists(os.path.join(folder, "tokens.sqlite" + suffix)):
                os.unlink(os.path.join(folder, "tokens.sqlite" + suffix))
        done = self.daemon.replay("verify", "--json")
        self.assertEqual(done.returncode, 1, done)
        parts = {one["part"]: one for one in json.loads(done.stdout)["parts"]}
        self.assertEqual([name for name in parts if parts[name]["state"] != "holds"], ["tokens"])
        self.assertEqual(parts["tokens"]["position"], 8)
        self.assertIn("start the daemon, or rebuild", parts["tokens"]["detail"])
        self.daemon.start()
        self.replay("verify")


class CostOutOfRange(DaemonCase):
    """Every door x the rule: a million dollars a call is taken, any more is refused by name."""

    most, more = MILLION, "1000000.000000000001"

    def parked(self):
        return self.daemon.get("/v1/parked?limit=1000").json["parked"]

    def test_native_events(self):
        for name in ("call", "usage"):
            kind = "llm." + name
            for number, cost in enumerate((self.most, self.more)):
                one = call(f"{name} {number}", cost_usd=cost)
                one["type"] = kind
                answer = self.daemon.post("/v1/events", one)
                if cost == self.most:
                    self.assertEqual(answer.status, 200, answer)
                else:
                    self.assertProblem(answer, 422, "cost_out_of_range", "data.cost_usd")
        # In a batch, the good ones beside it are stored.
        answer = self.daemon.post("/v1/events", [call("good"), call("bad", cost_usd=NINE_BILLION)]).json
        self.assertEqual((answer["accepted"], answer["rejected"]), (1, 1))
        self.assertEqual(answer["errors"][0]["code"], "cost_out_of_range")

    def test_an_amendment(self):
        self.daemon.post("/v1/events", call("amended"))
        for id, cost in (("a1", self.more), ("a2", self.most)):
            amendment = event(id, "llm.call.amended")
            amendment["data"] = {"source": "test", "id": "amended", "reason": "r",
                                 "call": call("amended", cost_usd=cost)["data"]}
            answer = self.daemon.post("/v1/events", amendment)
            if cost == self.more:
                self.assertProblem(answer, 422, "cost_out_of_range", "data.call.cost_usd")
            else:
                self.assertEqual(answer.status, 200, answer)

    def test_litellm(self):
        body = [item("l1", user_api_key_user_id="u"), item("l2"), item("l3")]
        body[1]["response_cost"], body[2]["response_cost"] = int(self.most), 1000000.01
        answer = self.daemon.post("/v1/ingest/litellm", body).json
        self.assertEqual((answer["accepted"], answer["parked"]), (2, 1), answer)
        last = self.parked()[-1]
        self.assertEqual((last["code"], last["field"]), ("cost_out_of_range", "response_cost"), last)

    def lago(self, id, code, **members):
        properties = members.pop("properties", {})
        return {"transaction_id": id, "external_subscription_id": "sub", "code": code, "timestamp": 1767225601,
                "properties": {"model": "m", **properties}, **members}

    def test_lago(self):
        cases = (
            ("litellm_tokens", "response_cost", lambda cost: {"properties": {"response_cost": cost}}, 1),
            ("llm_cost", "value", lambda cost: {"properties": {"value": cost}}, 1),
            ("llm_cost", "base_cost", lambda cost: {"properties": {"value": "1", "base_cost": cost}}, 1),
            ("llm_cost", None, lambda cost: {"precise_total_amount_cents": cost}, 100))
        for number, (code, member, members, units) in enumerate(cases):
            field = "properties." + member if member else "precise_total_amount_cents"
            for kind, batch in (("event", False), ("events", True)):
                for cost, isGood in ((str(int(self.most) * units), True), (str(int(self.most) * units + 1), False)):
                    one = self.lago(f"{number} {kind} {isGood}", code, **members(cost))
                    answer = self.daemon.post(
                        "/api/v1/events" + ("/batch" if batch else ""), {kind: [one] if batch else one})
                    self.assertEqual(answer.status, 200 if isGood else 422, answer)
                    if isGood:
                        continue
                    details = answer.json["error_details"]
                    self.assertEqual(details["0"] if batch else details, {field: ["cost_out_of_range"]})

    def test_openmeter(self):
        def one(id, cost):
            return {"specversion": "1.0", "id": id, "source": "om", "type": "t", "subject": "org_om",
                    "data": {"model": "m", "cost": cost, "prompt_tokens": 1}}
        kind = "application/cloudevents+json"
        before = len(self.parked())
        for body in (one("o1", int(self.most)), [one("o2", self.more), one("o3", 1)], one("o4", 1e300)):
            self.assertEqual(self.daemon.post("/api/v1/events", body, kind=kind).status, 204)
        parked = self.parked()[before:]
        self.assertEqual([(one["code"], one["field"]) for one in parked],
                         [("cost_out_of_range", "data.cost"), ("out_of_range", "data.cost")])
        self.assertEqual(self.daemon.read("/v1/orgs/org_om/tokens")["totals"]["calls"], 2)

    def test_what_was_stored_before_stays_a_duplicate_and_another_cost_a_conflict(self):
        self.daemon.post("/v1/events", call("twice", cost_usd=self.most))
        self.assertEqual(self.daemon.post("/v1/events", call("twice", cost_usd=self.most)).json["duplicates"], 1)
        self.assertProblem(self.daemon.post("/v1/events", call("twice", cost_usd=self.more)), 409, "conflict")


if __name__ == "__main__":
    unittest.main()
