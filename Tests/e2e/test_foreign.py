"""What real clients may send besides what was captured of them: LiteLLM's callback with a client's own bytes in it,
Lago's API with every error it knows, OpenMeter's batches, and heads as other HTTP libraries write them.
"""

import copy
import gzip
import http.client
import json
import socket
import unittest

from harness import DaemonCase, captures

NOW = 1795334519


def item(id, **metadata):
    """One item as LiteLLM's proxy sends it: 10 + 20 tokens of an org of its own."""
    sent = copy.deepcopy(json.loads(dict(captures("01"))["01_proxy_chat.json"])[0])
    sent.update(id=id, litellm_call_id=id)
    sent["metadata"].update(user_api_key_org_id="org_foreign", **metadata)
    return sent


class LiteLLM(DaemonCase):
    def setUp(self):
        self.before = self.daemon.read("/v1/orgs/org_foreign/tokens")["totals"]["calls"]

    def post(self, body, **more):
        answer = self.daemon.post("/v1/ingest/litellm", body, **more)
        self.assertEqual(answer.status, 200, answer)
        return {name: answer.json[name] for name in ("accepted", "parked", "skipped")}

    def assertBilled(self, count):
        after = self.daemon.read("/v1/orgs/org_foreign/tokens")["totals"]["calls"]
        self.assertEqual(after - self.before, count)

    def test_what_a_client_writes_cannot_keep_his_call_from_being_billed(self):
        wild = {
            "nan": "NaN", "infinity": "[-Infinity]", "surrogate": '"\\ud83d"', "name": '{"\\udc00":1}',
            "deep": "[" * 300 + "]" * 300, "twice": '{"a":1,"a":2}', "escape": '"\\u0000\\u001b"',
        }
        items = []
        for name, text in wild.items():
            for place in ("messages", "response", "model_parameters", "end_user", "request_tags"):
                one = item(f"{name}-{place}")
                one[place] = "WILD"
                items.append(json.dumps(one).replace('"WILD"', text))
            for place in ("requester_metadata", "user_api_key_end_user_id", "spend_logs_metadata"):
                items.append(json.dumps(item(f"{name}-{place}", **{place: "WILD"})).replace('"WILD"', text))
        array = ("[" + ",".join(items) + "]").encode()
        self.assertEqual(self.post(array), {"accepted": len(items), "parked": 0, "skipped": 0})
        self.assertBilled(len(items))
        self.assertEqual(self.post("\n".join(items).encode())["parked"], 0)

    def test_what_the_sender_got_wrong_is_parked_by_the_name_of_its_field(self):
        table = [
            ("endTime", NOW * 100, "endTime", "time_in_future"), ("endTime", "soon", "endTime", "invalid_time"),
            ("status", None, "status", "unknown_status"), ("response_cost", -1, "response_cost", "out_of_range"),
            ("model", ["x"], "model", "wrong_type"),
        ]
        bad = []
        for number, (name, value, _, _) in enumerate(table):
            one = item(f"bad{number}")
            one[name] = value
            bad.append(one)
        verdict = self.post([item("good1"), *bad, None, item("good2")])
        self.assertEqual(verdict, {"accepted": 2, "parked": len(table), "skipped": 1})
        self.assertBilled(2)
        parked = self.daemon.read("/v1/parked")["parked"]
        told = {(one["field"], one["code"]) for one in parked}
        self.assertLessEqual({(field, code) for _, _, field, code in table}, told, parked)

    def test_forms_of_a_body(self):
        one = json.dumps(item("form"))
        pretty = json.dumps(item("form"), indent=2)
        for number, (body, kind) in enumerate([
            (one, "application/json"), (one + "\n", "application/x-ndjson"), ("\n" + pretty + "\r\n", "text/plain"),
            ("[" + one + "]", "Application/JSON; charset=utf-8"), ("[ null , " + pretty + " ]\n", ""),
        ]):
            with self.subTest(number):
                self.assertEqual(self.post(body.encode(), kind=kind)["accepted"], 1 if number == 0 else 0)
        self.assertBilled(1)
        for body in (b"", b" \n", b"hello", b'"text"', b"42"):
            self.assertProblem(self.daemon.post("/v1/ingest/litellm", body), 400)

    def test_a_coded_body_is_refused_by_its_head(self):
        body = gzip.compress(json.dumps([item("coded")]).encode())
        for path in ("/v1/ingest/litellm", "/v1/events", "/api/v1/events"):
            answer = self.daemon.post(path, body, headers={"Content-Encoding": "gzip"})
            self.assertProblem(answer, 415, "unsupported_coding")
            self.assertEqual(answer.headers["accept-encoding"], "identity")
        self.assertEqual(self.post([item("plain")], headers={"Content-Encoding": "Identity"})["accepted"], 1)
        self.assertBilled(1)

    def test_heads_as_other_libraries_write_them(self):
        key = self.daemon.key().encode()
        for number, head in enumerate([
            b"AUTHORIZATION: bearer %s\r\ncontent-TYPE: application/json\r\n" % key,
            b"x-service-KEY:%s\r\n" % key,
            b"authorization:   Bearer   %s  \r\nExpect: 100-continue\r\n" % key,
        ]):
            body = json.dumps([item(f"head{number}")]).encode()
            with self.subTest(number), socket.create_connection(("127.0.0.1", self.daemon.port), timeout=60) as plug:
                plug.sendall(b"POST /v1/ingest/litellm HTTP/1.1\r\nhOST: t\r\nConnection: close\r\n" + head
                             + b"Content-Length: %d\r\n\r\n" % len(body))
                if b"Expect" in head:
                    self.assertTrue(plug.recv(65536).startswith(b"HTTP/1.1 100 "))
                plug.sendall(body)
                got = b""
                while part := plug.recv(65536):
                    got += part
                self.assertTrue(got.startswith(b"HTTP/1.1 200 "), got)
        self.assertBilled(3)

    def test_a_batch_of_a_hundred_megabytes_is_taken_whole(self):
        large = item("large0")
        large["messages"] = [{"role": "user", "content": "long prompt " * 90_000}]
        text = json.dumps(large)

        def parts():
            for number in range(100):
                yield ("[" if number == 0 else ",").encode()
                yield text.replace("large0", f"large{number}").encode()
            yield b"]"

        connection = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=120)
        self.addCleanup(connection.close)
        connection.request(
            "POST", "/v1/ingest/litellm", body=parts(), encode_chunked=True,
            headers={"Authorization": f"Bearer {self.daemon.key()}", "Transfer-Encoding": "chunked"})
        answer = connection.getresponse()
        self.assertEqual((answer.status, json.loads(answer.read())["accepted"]), (200, 100))
        self.assertBilled(100)


class Lago(DaemonCase):
    LINE = {"transaction_id": "t", "external_subscription_id": "sub_x", "code": "llm_input_tokens",
            "properties": {"value": "10", "model": "m", "provider": "openai"}}

    def line(self, id, **changes):
        line = dict(self.LINE, transaction_id=id, **changes)
        return {name: value for name, value in line.items() if value != "ABSENT"}

    def invalid(self, details):
        return {"status": 422, "error": "Unprocessable Entity", "code": "validation_errors", "error_details": details}

    def test_timestamps(self):
        table = [
            (NOW - 10, "2026-11-22T08:01:49.000Z"), (NOW - 10.5, "2026-11-22T08:01:48.500Z"),
            (str(NOW - 10), "2026-11-22T08:01:49.000Z"), (f"{NOW - 10}.320818", "2026-11-22T08:01:49.320Z"),
            ("1.795334509e9", "2026-11-22T08:01:49.000Z"), (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.000Z"), (None, None), ("ABSENT", None),
        ]
        for number, (timestamp, shown) in enumerate(table):
            with self.subTest(timestamp):
                answer = self.daemon.post("/api/v1/events", {"event": self.line(f"ts{number}", timestamp=timestamp)})
                self.assertEqual(answer.status, 200, answer)
                event = answer.json["event"]
                self.assertEqual(event["timestamp"], shown or event["created_at"])
                found = self.daemon.get(f"/api/v1/events/ts{number}").json["event"]
                self.assertEqual(found, event)
        # A time that was not given is the recorded one from the first answer on, also across the end of a millisecond.
        for number in range(60):
            event = self.daemon.post("/api/v1/events", {"event": self.line(f"now{number}")}).json["event"]
            self.assertEqual(self.daemon.get(f"/api/v1/events/now{number}").json["event"], event)
        for number, bad in enumerate(["2026-11-22T07:52:05Z", "", "x", True, [NOW], {}, NOW * 1000, "NaN", " 1"]):
            with self.subTest(bad):
                answer = self.daemon.post("/api/v1/events", {"event": self.line(f"bad{number}", timestamp=bad)})
                self.assertEqual((answer.status, answer.json), (422, self.invalid({"timestamp": ["invalid_format"]})))
        far = self.daemon.post("/api/v1/events", {"event": self.line("far", timestamp=NOW * 10)})
        self.assertEqual((far.status, far.json), (422, self.invalid({"timestamp": ["time_in_future"]})))

    def test_every_error_in_lagos_words(self):
        good = self.line("e1")
        self.assertEqual(self.daemon.post("/api/v1/events", {"event": good}).status, 200)
        missing = {"transaction_id": ["value_is_mandatory"], "code": ["value_is_mandatory"]}
        table = [
            ("/api/v1/events", {"event": good}, 422, self.invalid({"transaction_id": ["value_already_exist"]})),
            ("/api/v1/events", {"event": self.line("ABSENT", code=None)}, 422, self.invalid(missing)),
            ("/api/v1/events", {"event": self.line("", code="")}, 422, self.invalid(missing)),
            ("/api/v1/events/batch", {"events": [self.line("e2"), self.line("ABSENT", code=None), good]}, 422,
             self.invalid({"1": missing, "2": {"transaction_id": ["value_already_exist"]}})),
            ("/api/v1/events/batch", {"events": []}, 422, self.invalid({"events": ["no_events"]})),
            ("/api/v1/events/batch", {"events": [self.line(f"m{n}") for n in range(101)]}, 422,
             self.invalid({"events": ["too_many_events"]})),
        ]
        for path, body, status, answer_ in table:
            with self.subTest(path, body=str(body)[:80]):
                answer = self.daemon.post(path, body)
                self.assertEqual((answer.status, answer.json, answer.kind), (status, answer_, "application/json"))
        for path, body in [
            ("/api/v1/events", b"{}"), ("/api/v1/events", b"[]"), ("/api/v1/events", b'{"event":{}}'),
            ("/api/v1/events", b'{"event":null}'), ("/api/v1/events", b'{"events":[]}'), ("/api/v1/events", b"{"),
            ("/api/v1/events", b""), ("/api/v1/events/batch", b'{"event":{}}'),
            ("/api/v1/events/batch", b'{"events":{}}'), ("/api/v1/events/batch", b"7"),
        ]:
            with self.subTest(path, body=body):
                answer = self.daemon.post(path, body)
                self.assertEqual(answer.status, 400, answer)
                self.assertEqual((answer.json["status"], answer.json["error"][:12]), (400, "BadRequest: "))
        self.daemon.key("reader", "read")
        unauthorized = {"status": 401, "error": "Unauthorized"}
        forbidden = {"status": 403, "error": "Forbidden", "code": "write_action_not_allowed_for_event"}
        none = {"status": 404, "error": "Not Found", "code": "event_not_found"}
        for answer, wanted in [
            (self.daemon.post("/api/v1/events", {"event": good}, key="wrong"), unauthorized),
            (self.daemon.post("/api/v1/events/batch", {"events": [good]}, key=None), unauthorized),
            (self.daemon.get("/api/v1/events/e1", key="wrong"), unauthorized),
            (self.daemon.post("/api/v1/events", {"event": good}, key="reader"), forbidden),
            (self.daemon.get("/api/v1/events/none"), none),
        ]:
            self.assertEqual((answer.status, answer.json), (wanted["status"], wanted))

    def test_members_in_every_dress(self):
        table = [
            {}, {"precise_total_amount_cents": "12.3456"}, {"precise_total_amount_cents": 12.5},
            {"properties": {}}, {"properties": None}, {"properties": "ABSENT"}, {"unknown": {"a": [1]}},
            {"properties": {"value": 10, "model": None, "provider": None}},
            {"code": "some_metric", "properties": {"a": 1.50, "b": "é\u2028"}},
            {"code": "litellm_tokens", "properties": {"model": "m", "response_cost": None}},
            {"code": "litellm_tokens", "properties": {"model": "m", "response_cost": 1.35e-05, "prompt_tokens": 10}},
        ]
        for number, changes in enumerate(table):
            with self.subTest(changes):
                line = self.line(f"dress{number}", **changes)
                answer = self.daemon.post("/api/v1/events", {"event": line})
                self.assertEqual(answer.status, 200, answer)
                event = answer.json["event"]
                self.assertEqual(
                    set(event), {"lago_id", "transaction_id", "lago_customer_id", "code", "timestamp",
                                 "precise_total_amount_cents", "properties", "lago_subscription_id",
                                 "external_subscription_id", "created_at"})
                self.assertEqual(event["properties"], line.get("properties") or {})
        for name, bad in [("properties", []), ("properties", "x"), ("precise_total_amount_cents", "much"),
                          ("transaction_id", {}), ("external_subscription_id", "a\nb"), ("code", [1])]:
            with self.subTest(name, bad=bad):
                answer = self.daemon.post("/api/v1/events", {"event": dict(self.line("dress"), **{name: bad})})
                self.assertEqual((answer.status, list(answer.json["error_details"])), (422, [name]), answer)

    def test_a_batch_of_fat_events(self):
        fat = [self.line(f"fat{n}", properties={"value": 1, "note": "x" * 40_000}) for n in range(100)]
        answer = self.daemon.post("/api/v1/events/batch", {"events": fat})
        self.assertEqual((answer.status, len(answer.json["events"])), (200, 100))


class OpenMeter(DaemonCase):
    def event(self, id, **changes):
        data = {"model": "gpt-4o", "cost": 1.35e-05, "prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
        return dict({"specversion": "1.0", "type": "litellm_tokens", "id": id, "subject": "sub_om",
                     "source": "litellm-proxy", "data": data}, **changes)

    def stored(self):
        return {one["event"]["id"] for one in self.daemon.events()}

    def test_batches_and_times(self):
        times = ["2026-11-22T07:52:05.320818+00:00", "2026-11-22t07:52:05z", "2026-11-22T09:52:05.1234567+02:00"]
        batch = [self.event(f"b{n}", time=time) for n, time in enumerate(times)]
        for path, kind, body in [
            ("/api/v1/events", "application/cloudevents-batch+json", batch),
            ("/api/v1/events", "application/json", [self.event("b9", time=None)]),
            ("/api/v1/events/batch", "Application/CloudEvents-Batch+JSON; charset=UTF-8", [self.event("b10")]),
            ("/api/v1/events", "application/cloudevents+json", self.event("b11", data={"model": "m", "cost": None})),
        ]:
            with self.subTest(kind):
                answer = self.daemon.post(path, body, kind=kind)
                self.assertEqual((answer.status, answer.body), (204, b""), answer)
        self.assertLessEqual({"b0", "b1", "b2", "b9", "b10", "b11"}, self.stored())

    def test_bad_ones_are_parked_and_the_others_stored(self):
        batch = [self.event("p1"), 7, None, self.event("p2", data=[]), self.event("p3", time="today"),
                 self.event("p4", specversion="2.0"), self.event("p5")]
        answer = self.daemon.post("/api/v1/events", batch, kind="application/cloudevents-batch+json")
        self.assertEqual(answer.status, 204, answer)
        self.assertEqual({id for id in self.stored() if id.startswith("p")}, {"p1", "p5"})
        self.assertEqual(
            {one["field"] for one in self.daemon.read("/v1/parked")["parked"]}, {"", "data", "time", "specversion"})
        for body in (b"{", b"7", b""):
            self.assertProblem(self.daemon.post("/api/v1/events", body, kind="application/cloudevents+json"), 400)


if __name__ == "__main__":
    unittest.main()
