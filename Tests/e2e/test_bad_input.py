"""What must be refused: the right status, a problem that names the field, and nothing else in the batch lost."""

import json
import socket
import unittest

from harness import DaemonCase, call, event

# The body of an event that is fine but for one thing, what is wrong, the member at fault (None: not told), and codes.
GOOD = call("x")


def changed(path, value):
    """GOOD with one member at a dotted path set."""
    copy = json.loads(json.dumps(GOOD))
    place = copy
    *way, last = path.split(".")
    for name in way:
        place = place[name]
    place[last] = value
    return copy


def without(path):
    copy = json.loads(json.dumps(GOOD))
    place = copy
    *way, last = path.split(".")
    for name in way:
        place = place[name]
    del place[last]
    return copy


INVALID = [
    ("unknown member of data", changed("data.modle", "gpt-4o"), "data.modle"),
    ("unknown member of usage", changed("data.usage.tokens", 1), "data.usage.tokens"),
    ("a prompt", changed("data.messages", [{"role": "user", "content": "hi"}]), "data.messages"),
    ("string for a count", changed("data.usage.input_tokens", "many"), "data.usage.input_tokens"),
    ("fraction for a count", changed("data.usage.input_tokens", 1.5), "data.usage.input_tokens"),
    ("array for a count", changed("data.usage.input_tokens", [1]), "data.usage.input_tokens"),
    ("negative count", changed("data.usage.output_tokens", -1), "data.usage.output_tokens"),
    ("huge count", changed("data.usage.input_tokens", 10 ** 30), "data.usage.input_tokens"),
    ("count over the limit", changed("data.usage.input_tokens", 10 ** 12 + 1), "data.usage.input_tokens"),
    ("subset larger than its total", changed("data.usage.cache_read_tokens", 1001), "data.usage.cache_read_tokens"),
    ("reasoning larger than output", changed("data.usage.reasoning_tokens", 501), "data.usage.reasoning_tokens"),
    ("unknown status", changed("data.status", "maybe"), "data.status"),
    ("unknown operation", changed("data.operation", "think"), "data.operation"),
    ("number for a name", changed("data.model", 7), "data.model"),
    ("empty name", changed("data.model", ""), "data.model"),
    ("name over 256 bytes", changed("data.org", "o" * 257), "data.org"),
    ("control character in a name", changed("data.org", "a\nb"), "data.org"),
    ("missing provider", without("data.provider"), "data.provider"),
    ("missing usage kind of owner", without("data.org"), None),
    ("missing id", without("id"), "id"),
    ("missing source", without("source"), "source"),
    ("missing data", without("data"), "data"),
    ("data is an array", changed("data", []), "data"),
    ("unknown type", changed("type", "llm.cal"), "type"),
    ("other specversion", changed("specversion", "0.3"), "specversion"),
    ("time is not RFC 3339", changed("time", "yesterday"), "time"),
    ("time far ahead", changed("time", "2999-01-01T00:00:00Z"), "time"),
    ("cost with 19 integer digits", changed("data.cost_usd", "1" * 19), "data.cost_usd"),
    ("cost is a word", changed("data.cost_usd", "free"), "data.cost_usd"),
    ("33 attributes", changed("data.attributes", {f"a{n}": "v" for n in range(33)}), "data.attributes"),
    ("attribute is a number", changed("data.attributes", {"a": 1}), "data.attributes.a"),
    ("daemon's own type", event("x", "credits.expired", lot="l", credits="1"), None),
    ("grant of nothing", event("x", "credits.granted", org="o", credits="0", category="paid"), "data.credits"),
    ("grant of both owners", event("x", "credits.granted", org="o", user="u", credits="1", category="paid"), None),
    ("unknown category", event("x", "credits.granted", org="o", credits="1", category="gift"), "data.category"),
    ("unknown plan", event("x", "plan.assigned", org="o", plan="no such plan"), "data.plan"),
]

BROKEN = [
    ("an open brace", b"{"),
    ("a comma too many", b'{"specversion":"1.0",}'),
    ("two values", b'{"a":1} x'),
    ("a single quote", b"{'id':'x'}"),
    ("NaN", b'{"specversion":NaN}'),
    ("a leading zero", b'{"n":01}'),
    ("not UTF-8", b'{"id":"\xff\xfe"}'),
    ("a lone surrogate", b'{"id":"\\ud800"}'),
    ("a byte order mark", b"\xef\xbb\xbf{}"),
    ("a control character in a string", b'{"id":"a\nb"}'),
    ("too deep", b"[" * 100 + b"]" * 100),
    ("nothing", b""),
]


class BadEvents(DaemonCase):
    def test_each_alone(self):
        for name, body, field in INVALID:
            with self.subTest(name):
                answer = self.daemon.post("/v1/events", body)
                self.assertProblem(answer, 422)
                if field is not None:
                    self.assertEqual(answer.json.get("field"), field, answer)

    def test_each_between_good_ones(self):
        for index, (name, body, field) in enumerate(INVALID):
            body = json.loads(json.dumps(body))
            with self.subTest(name):
                answer = self.daemon.post("/v1/events", [call(f"before{index}"), body, call(f"after{index}")])
                self.assertEqual(answer.status, 200, answer)
                self.assertEqual((answer.json["accepted"], answer.json["rejected"]), (2, 1), answer)
                error = answer.json["errors"][0]
                self.assertEqual(error["index"], 1)
                self.assertTrue(error["code"] and error["detail"])
                if field is not None:
                    self.assertEqual(error.get("field"), field, error)
        stored = {one["event"]["id"] for one in self.daemon.events()}
        for index in range(len(INVALID)):
            self.assertIn(f"before{index}", stored)
            self.assertIn(f"after{index}", stored)

    def test_all_between_good_ones_at_once(self):
        bad = [json.loads(json.dumps(body)) for _, body, _ in INVALID]
        mixed = []
        for index, body in enumerate(bad):
            mixed += [call(f"mix{index}"), body]
        answer = self.daemon.post("/v1/events", mixed).json
        self.assertEqual((answer["accepted"], answer["rejected"]), (len(bad), len(bad)), answer)
        self.assertEqual([one["index"] for one in answer["errors"]], list(range(1, 2 * len(bad), 2)))

    def test_duplicate_names(self):
        good = json.dumps(call("dup")).encode()
        twice = good.replace(b'"model": "gpt-4o"', b'"model": "gpt-4o", "model": "gpt-4o-mini"')
        self.assertNotEqual(good, twice)
        answer = self.daemon.post("/v1/events", twice)
        self.assertIn(answer.status, (400, 422), answer)
        problem = self.assertProblem(answer, answer.status)
        self.assertIn("model", json.dumps(problem))

    def test_duplicate_names_between_good_ones(self):
        good = [json.dumps(call(f"twin{n}")).encode() for n in range(3)]
        good[1] = good[1].replace(b'"model": "gpt-4o"', b'"model": "gpt-4o", "model": "gpt-4o-mini"')
        answer = self.daemon.post("/v1/events", b"[" + b",".join(good) + b"]")
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual((answer.json["accepted"], answer.json["rejected"]), (2, 1), answer)
        self.assertEqual(answer.json["errors"][0]["index"], 1)
        self.assertIn("model", json.dumps(answer.json["errors"][0]))

    def test_one_bad_line_of_ndjson(self):
        lines = [json.dumps(call("l1")).encode(), b'{"specversion":"1.0",', json.dumps(call("l2")).encode()]
        answer = self.daemon.post("/v1/events", b"\n".join(lines), kind="application/x-ndjson")
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual((answer.json["accepted"], answer.json["rejected"]), (2, 1), answer)
        self.assertEqual(answer.json["errors"][0]["index"], 1)

    def test_broken_json(self):
        before = self.daemon.high_water()
        for name, body in BROKEN:
            with self.subTest(name):
                answer = self.daemon.post("/v1/events", body)
                self.assertIn(answer.status, (400, 422), answer)
                self.assertProblem(answer, answer.status)
        self.assertEqual(self.daemon.high_water(), before)

    def test_money_is_read_as_written(self):
        answer = self.daemon.post("/v1/events", json.dumps(call("money")).replace(
            '"status": "success"', '"status": "success", "cost_usd": 1.35e-05').encode())
        stored = self.daemon.get(f"/v1/events/{answer.json['first_position']}").json
        self.assertEqual(str(stored["event"]["data"]["cost_usd"]), "0.0000135")


class BadRequests(DaemonCase):
    def plug(self):
        return socket.create_connection(("127.0.0.1", self.daemon.port), timeout=30)

    def test_paths_and_methods(self):
        table = [
            ("GET", "/v1/nothing", 404), ("GET", "/v1/orgs", 404), ("GET", "/v1/orgs/", 404),
            ("DELETE", "/v1/events", 405), ("PUT", "/v1/events", 405), ("POST", "/v1/tokens", 405),
            ("GET", "/v1/events/x", (400, 404)), ("GET", "/v1/events/0", (400, 404)),
            ("GET", "/v1/events/-1", (400, 404)),
            ("GET", "/v1/events?after=x", 400), ("GET", "/v1/events?limit=-1", 400),
            ("GET", "/v1/tokens?group_by=colour", 400), ("GET", "/v1/tokens?from=x", 400),
            ("GET", "/v1/tokens?min_position=x", 400),
            ("GET", "/v1/orgs/o/calls?period=2026-13", 400), ("GET", "/v1/lago/batches?state=lost", 400),
            ("GET", "/v1/orgs/%ff/credits", (400, 404)), ("GET", "/v1/orgs/%0a/credits", (400, 404)),
        ]
        for method, path, status in table:
            with self.subTest(method=method, path=path):
                answer = self.daemon.request(method, path)
                self.assertIn(answer.status, status if isinstance(status, tuple) else (status,), answer)
                self.assertProblem(answer, answer.status)
                if answer.status == 405:
                    self.assertIn("allow", answer.headers)

    def test_a_body_over_the_limit(self):
        # Announced, not sent: the answer must come from the head alone, and the connection may close.
        with self.plug() as plug:
            plug.sendall(
                b"POST /v1/events HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer " + self.daemon.key().encode()
                + b"\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n[")
            head = b""
            while b"\r\n\r\n" not in head:
                part = plug.recv(65536)
                self.assertTrue(part, head)
                head += part
            self.assertTrue(head.startswith(b"HTTP/1.1 413 "), head)
            self.assertIn(b"application/problem+json", head.lower())
        self.assertEqual(self.daemon.get("/healthz").status, 200)

    def test_framing_that_smuggles(self):
        table = [
            b"POST /v1/events HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]",
            b"POST /v1/events HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n[]",
            b"POST /v1/events HTTP/1.1\r\nHost: t\r\nContent-Length: +2\r\n\r\n[]",
            b"GET /healthz HTTP/1.1\r\n\r\n",
            b"GET  /healthz HTTP/1.1\r\nHost: t\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost : t\r\n\r\n",
            b"nonsense\r\n\r\n",
        ]
        for request in table:
            with self.subTest(request), self.plug() as plug:
                plug.sendall(request)
                self.assertTrue(plug.recv(65536).startswith(b"HTTP/1.1 400 "), request)

    def test_chunks_pipelines_and_head(self):
        key = self.daemon.key().encode()
        body = json.dumps(call("chunked")).encode()
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[at:at + 7]), body[at:at + 7]) for at in range(0, len(body), 7))
        head = (b"POST /v1/events HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer " + key
                + b"\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        request = head + chunks + b"0\r\n\r\n"
        last = b"GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
        with self.plug() as plug:
            plug.sendall(request + b"HEAD /healthz HTTP/1.1\r\nHost: t\r\n\r\n" + last)
            got = b""
            while part := plug.recv(65536):
                got += part
        self.assertEqual(got.count(b"HTTP/1.1 200 "), 3, got)
        self.assertIn(b'"accepted":1', got.replace(b" ", b""))


if __name__ == "__main__":
    unittest.main()
