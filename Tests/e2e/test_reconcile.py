"""The log against a gateway's own spend log and against a provider's export."""

import csv
import io
import json
import os
import shutil
import tempfile
from datetime import datetime, timezone
from decimal import Decimal

from harness import DaemonCase, call, captures

START = 1763800000


def payload(number, **changes):
    """An item of LiteLLM's generic callback."""
    item = {
        "id": f"chatcmpl-{number}", "litellm_call_id": f"call-{number}", "call_type": "acompletion",
        "status": "success", "startTime": START + number, "endTime": START + number + 0.654321,
        "model": "openai/gpt-4o-mini", "model_id": "m1", "custom_llm_provider": "openai",
        "response_cost": 1.35e-05 * (1 + number % 7), "prompt_tokens": 10 + number % 5, "completion_tokens": 20,
        "metadata": {"user_api_key_org_id": "lite", "usage_object": {
            "prompt_tokens": 10 + number % 5, "completion_tokens": 20}},
    }
    item.update(changes)
    return item


def spend_row(item, **changes):
    """The same call as LiteLLM's `/spend/logs` says it: times to the millisecond."""
    def iso(seconds):
        at = datetime.fromtimestamp(seconds, timezone.utc)
        return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}000Z"
    row = {
        "request_id": item["id"], "call_type": item["call_type"], "api_key": "88dc", "spend": item["response_cost"],
        "total_tokens": item["prompt_tokens"] + item["completion_tokens"], "prompt_tokens": item["prompt_tokens"],
        "completion_tokens": item["completion_tokens"], "startTime": iso(item["startTime"]),
        "endTime": iso(item["endTime"]), "completionStartTime": None, "model": item["model"], "model_id": "m1",
        "model_group": "mini", "custom_llm_provider": item["custom_llm_provider"], "api_base": "", "user": "",
        "metadata": {"user_api_key": "88dc", "odd": "]}\\\""}, "cache_hit": "False", "cache_key": "x", "team_id": "t",
        "organization_id": "lite", "end_user": "", "requester_ip_address": None, "messages": {}, "response": {},
        "status": item["status"], "request_tags": [],
    }
    row.update(changes)
    return row


class Reconciled(DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.files = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.files)
        cls.items = [payload(number) for number in range(200)]
        # LiteLLM sends some of them again.
        answer = cls.daemon.post("/v1/ingest/litellm", cls.items + cls.items[50:80])
        assert answer.json["accepted"] == 200 and answer.json["duplicates"] == 30, answer
        cls.calls = [call(f"native-{number}", org="own", cost_usd=f"0.00{number}1",
                          usage={"input_tokens": 100 + number, "output_tokens": 7},
                          time=f"2026-03-04T05:00:{number:02}Z") for number in range(50)]
        answer = cls.daemon.post("/v1/events", cls.calls)
        assert answer.json["accepted"] == 50, answer

    def reconcile(self, content, *words, name="rows.json", code=0):
        path = os.path.join(self.files, name)
        with open(path, "wb") as out:
            out.write(content if isinstance(content, bytes) else content.encode())
        done = self.daemon.replay("reconcile", "--against", path, *words, text=True)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return json.loads(done.stdout) if "--json" in words and code != 2 else done.stdout + done.stderr

    def csv(self, rows, header=("request_id", "time", "model", "input_tokens", "output_tokens", "cost_usd")):
        out = io.StringIO(newline="")
        writer = csv.writer(out)
        writer.writerow(header)
        writer.writerows(rows)
        return out.getvalue()

    def native_rows(self):
        return [(event["id"], event["time"], "gpt-4o", event["data"]["usage"]["input_tokens"], 7,
                 event["data"]["cost_usd"]) for event in self.calls]

    # LiteLLM

    def test_litellm_agrees_to_the_digit(self):
        rows = [spend_row(item) for item in self.items]
        for body in (json.dumps(rows), json.dumps(rows, indent=2), "\n".join(json.dumps(row) for row in rows)):
            summary = self.reconcile(body, "--json")["summary"]
            self.assertEqual((summary["matched"], summary["matched_by_facts"], summary["different"]), (200, 200, 0))
            self.assertEqual(summary["difference_usd"], "0")
            total = sum(Decimal(json.dumps(item["response_cost"])) for item in self.items)
            self.assertEqual(round(Decimal(summary["here"]["cost_usd"]), 12), round(total, 12))

    def test_litellm_differences_are_named(self):
        rows = [spend_row(item) for item in self.items]
        rows[3]["spend"] = 5e-05
        gone = rows.pop(10)
        rows.append(spend_row(payload(150, id="chatcmpl-extra", endTime=START + 150.2)))
        rows.append(dict(rows[20]))
        rows.append({**rows[21], "spend": 1})
        answer = self.reconcile(json.dumps(rows), "--json", code=1)
        summary = answer["summary"]
        self.assertEqual((summary["different"], summary["missing_there"], summary["missing_here"]), (1, 1, 1))
        self.assertEqual((summary["duplicates_there"], summary["twice_there"]), (1, 1))
        found = {one["kind"]: one for one in answer["differences"]}
        self.assertEqual(found["different"]["id"], "chatcmpl-3")
        self.assertEqual(found["different"]["differing"], ["cost_usd"])
        self.assertEqual((found["different"]["there"]["cost_usd"], found["different"]["here"]["cost_usd"]),
                         ("0.00005", "0.000054"))
        self.assertEqual(found["missing_here"]["id"], "chatcmpl-extra")
        self.assertEqual(found["missing_there"]["time"][:19], gone["endTime"][:19])
        self.assertEqual(found["twice_there"]["id"], rows[22 - 1]["request_id"])
        position = found["different"]["position"]
        stored = self.daemon.get(f"/v1/events/{position}").json
        self.assertEqual(stored["event"]["data"]["cost_usd"], "0.000054")
        # Within a tolerance they agree.
        close = [spend_row(item) for item in self.items]
        close[3]["spend"] = 5e-05
        self.reconcile(json.dumps(close), "--tolerance-usd", "0.000004")
        self.reconcile(json.dumps(close), "--tolerance-usd", "0.0000039", code=1)

    def test_a_window_and_a_limit(self):
        rows = json.dumps([spend_row(item) for item in self.items[100:150]])
        self.assertEqual(self.reconcile(rows, "--json")["summary"]["matched"], 50)
        window = [word for name, second in (("--from", 100), ("--to", 200)) for word in (
            name, datetime.fromtimestamp(START + second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))]
        summary = self.reconcile(rows, "--json", *window, code=1)["summary"]
        self.assertEqual((summary["matched"], summary["missing_there"]), (50, 50))
        text = self.reconcile(rows, *window, "--limit", "3", code=1)
        self.assertEqual(text.count("missing there: "), 3 + 1)
        self.assertIn("... and 47 more", text)
        self.assertIn("DOES NOT AGREE: 50 differences", text)
        self.assertRegex(text, r"\ngpt-4o-mini +100 +50 ")

    def test_real_captures(self):
        answer = self.daemon.post("/v1/ingest/litellm", b"[" + b",".join(
            body.strip().removeprefix(b"[").removesuffix(b"]") for _, body in captures("proxy") if body[:1] == b"["
        ) + b"]", key=self.daemon.key("real", "ingest", "--default-org", "real"))
        self.assertEqual(answer.status, 200, answer)
        stored = [one for one in self.daemon.events("&type=llm.call") if one["event"]["source"] == "litellm/real"]
        rows = []
        for one in stored:
            data = one["event"]["data"]
            usage = data.get("usage", {})
            rows.append({"request_id": one["event"]["id"][-8:], "endTime": one["event"]["time"], "model": data["model"],
                         "custom_llm_provider": data["provider"], "spend": float(data.get("cost_usd", 0)),
                         "prompt_tokens": usage.get("input_tokens", 0),
                         "completion_tokens": usage.get("output_tokens", 0)})
        summary = self.reconcile(json.dumps(rows), "--json", "--source", "litellm/real")["summary"]
        self.assertEqual(summary["matched"], len(stored))

    # CSV

    def test_csv_by_id(self):
        text = self.csv(self.native_rows())
        # Rows that name no org are taken to be the org's.
        summary = self.reconcile(text, "--json", "--org", "own", name="rows.csv")["summary"]
        self.assertEqual((summary["matched_by_id"], summary["matched_by_facts"]), (50, 0))
        summary = self.reconcile(text, "--json", "--by", "facts", "--tolerance-ms", "0", name="rows.csv")["summary"]
        self.assertEqual((summary["matched_by_id"], summary["matched_by_facts"]), (0, 50))

    def test_csv_with_columns_of_its_own_and_quotes(self):
        header = ("Ref, unique", "Cost \"net\"", "Tokens in")
        rows = [(event[0], event[5], event[3]) for event in self.native_rows()]
        rows[7] = (rows[7][0], rows[7][1], 9)
        text = self.csv(rows, header)
        words = ("--columns", 'id=Ref,input_tokens=Tokens in', "--from", "2026-03-04T00:00:00Z")
        self.assertIn("no column", self.reconcile(text, *words, name="own.csv", code=2))
        text = text.replace('"Ref, unique"', "Ref").replace('"Cost ""net"""', "Net")
        words = ("--columns", "id=Ref,input_tokens=Tokens in,cost_usd=Net")
        answer = self.reconcile(text, "--json", *words, "--org", "own", name="own.csv", code=1)
        self.assertEqual([(one["id"], one["differing"]) for one in answer["differences"]],
                         [("native-7", ["input_tokens"])])

    def test_corrected_calls_as_they_stand(self):
        self.daemon.post("/v1/events", [call(f"fix-{number}", org="fix", cost_usd="1") for number in range(3)])
        amended = call("x", org="fix", cost_usd="2")["data"]
        answer = self.daemon.post("/v1/events", [
            {"specversion": "1.0", "source": "test", "id": "f1", "type": "llm.call.amended",
             "data": {"source": "test", "id": "fix-1", "reason": "r", "call": amended}},
            {"specversion": "1.0", "source": "test", "id": "f2", "type": "llm.call.voided",
             "data": {"source": "test", "id": "fix-2", "reason": "r"}}])
        self.assertEqual(answer.json["accepted"], 2, answer)
        rows = [(f"fix-{number}", "fix", cost) for number, cost in ((0, 1), (1, 2))]
        text = self.csv(rows, ("id", "org", "cost"))
        self.assertEqual(self.reconcile(text, "--json", "--org", "fix", name="fix.csv")["summary"]["matched"], 2)

    def test_nonsense(self):
        good = self.csv(self.native_rows())
        for content, words, told in (
            ("", (), "no header"), ("a,b\n", (), "no column for id"), ("id,x\n1\n", (), "line 2"),
            ("id\n\"a\n", (), "line 2"), ("id\n\"a\"b\n", (), "line 2"), ("id,cost\n1,much\n", (), "cost_usd"),
            ("id,time,model\n1,late,m\n", (), "time"), ("id\n\xff\n".encode("latin-1"), (), "UTF-8"),
            (good, ("--format", "xml"), "--format"), (good, ("--by", "luck"), "--by"),
            (good, ("--tolerance-usd", "-1"), "negative"), (good, ("--limit", "few"), "--limit"),
            (good, ("--columns", "what=x"), "--columns"), (good, ("--from", "now"), "RFC 3339"),
            (good, ("--format", "litellm"), "byte 0"),
            ("[{\"request_id\": 1", ("--format", "litellm"), "whole"),
            ("[{\"spend\": 1}]", ("--format", "litellm"), "request_id"),
            ("[{\"request_id\": \"a\", \"spend\": \"x\"}]", ("--format", "litellm"), "spend"),
            ("[{\"request_id\": \"a\", }]", ("--format", "litellm"), "JSON"),
            ("{\"data\": []}", ("--format", "litellm"), "request_id"),
        ):
            self.assertIn(told, self.reconcile(content, *words, name="bad.csv", code=2), content)
        done = self.daemon.replay("reconcile", "--against", "/nowhere.csv", text=True)
        self.assertEqual((done.returncode, "/nowhere.csv" in done.stderr), (2, True))
        self.assertEqual(self.daemon.replay("reconcile", text=True).returncode, 2)
