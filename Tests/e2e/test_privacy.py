"""Canaries: a prompt and a secret go in by every door, and are then found nowhere: not in any file of the data folder,
not in the log of the daemon, its metrics, any answer, an export or the list of keys.

What a client states as a fact is stored, since it asks for that: names and ids, `reason`, `reference`, `detail`, and
the values of attributes, but of attributes whose name says that they are a prompt, an answer, headers or a credential.
"""

import json
import os
import socket
import subprocess
import unittest

from harness import DaemonCase, binary, call, captures, event

PROMPT = "zqxCANARYPROMPTzqx"
SECRET = "zqxCANARYSECRETzqx"
# The control: a fact of a client's own that is stored, so that the search is seen to find.
KEPT = "zqxKEPTzqx"
CONTENT = ("prompt", "prompts", "system_prompt", "messages", "completion", "completions", "content", "contents",
           "choices", "request_body", "response_body", "headers", "Authorization", "cookie", "cookies", "Password",
           "secret")
MESSAGES = [{"role": "user", "content": f"please {PROMPT}"}]


class Canary(DaemonCase):
    starter = True

    def test_what_was_said_is_found_nowhere(self):
        daemon = self.daemon
        daemon.key("lago", "ingest", "--default-org", "org_canary")
        self.say_it_to_the_native_door()
        self.say_it_to_litellms()
        self.say_it_to_lagos()
        self.say_it_to_openmeters()
        self.say_it_in_heads_and_paths()
        found = {}
        for name, data in self.answers():
            found[name] = data
        exported = daemon.replay("export")
        self.assertEqual(exported.returncode, 0, exported.stderr)
        found["export"] = exported.stdout + exported.stderr
        verified = daemon.replay("verify", "--json")
        found["verify"] = verified.stdout + verified.stderr
        listed = subprocess.run([binary("tallystick"), "keys", "list", "--data", daemon.folder], capture_output=True)
        found["keys list"] = listed.stdout + listed.stderr
        self.search(found)
        # Once more when it has stopped: what is written at the end.
        self.assertEqual(daemon.stop(), 0)
        self.search({})

    def search(self, found):
        daemon = self.daemon
        for folder, _, names in os.walk(daemon.folder):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    found[os.path.join(folder, name)] = file.read()
        with open(daemon.log_path, "rb") as file:
            found["log"] = file.read()
        kept = [name for name, data in found.items() if KEPT.encode() in data]
        self.assertTrue([name for name in kept if name.endswith("log/data.mdb")], f"the search is blind: {kept}")
        wanted = [PROMPT.encode(), SECRET.encode()]
        wanted += [secret.split("_")[2][:64].encode() for secret in daemon.keys.values()]
        for name, data in found.items():
            for word in wanted:
                self.assertNotIn(word, data, f"found in {name}")

    def answers(self):
        """Every GET of the API's own description, with what there is to ask for, and the open ones."""
        end = self.daemon.high_water()
        for template, item in self.daemon.get("/openapi.json", key=None).json["paths"].items():
            if "get" not in item:
                continue
            for position in range(1, end + 1) if "{position}" in template else (1,):
                path = template.format(position=position, org="org_canary", user="u_canary", transaction_id="tx-1",
                                       id=self.batch())
                if path == "/v1/events":
                    path += "?limit=1000"
                answer = self.daemon.get(path, headers={"X-Min-Position": str(end)} if "log" not in path else {})
                yield f"GET {path}", answer.body + str(answer.headers).encode()

    def batch(self):
        batches = self.daemon.get("/v1/lago/batches").json["batches"]
        return batches[0]["id"] if batches else "none"

    # Doors

    def refused(self, body, **more):
        answer = self.daemon.post("/v1/events", body, **more)
        self.assertIn(answer.status, (400, 413, 422), answer)

    def say_it_to_the_native_door(self):
        post, good = self.daemon.post, call("good", org="org_canary", user="u_canary", attributes={"note": KEPT})
        self.assertEqual(post("/v1/events", good).status, 200)

        def with_data(**more):
            return {**good, "id": "bad", "data": {**good["data"], **more}}

        for name in CONTENT:
            self.refused(with_data(**{name: PROMPT}))
            self.refused(with_data(attributes={name: PROMPT}))
        for body in (
            with_data(messages=MESSAGES), with_data(**{PROMPT: 1}), with_data(usage={PROMPT: 1}),
            with_data(usage={"input_tokens": PROMPT}), with_data(model={"content": PROMPT}), with_data(org=PROMPT * 20),
            with_data(attributes={"note": [PROMPT]}), with_data(attributes={"note": PROMPT * 60}),
            with_data(attributes={"note": f"\u0007{PROMPT}"}), {**good, "id": "bad", "prompt": MESSAGES},
            {**good, "id": "bad", "time": PROMPT}, {**good, "id": "bad", "type": PROMPT},
            event("bad", "credits.granted", org="org_canary", credits=PROMPT, category="paid"), PROMPT,
            [PROMPT, [PROMPT]],
        ):
            answer = post("/v1/events", body)
            self.assertTrue(answer.status in (400, 422) or answer.json["rejected"], answer)
        text = json.dumps(with_data(messages=MESSAGES)).encode()
        for body in (text[:-1], text + b"}", text.replace(b'"id"', b'"id":1,"id"'), b'{"%s":1,"%s":2}' % (
                PROMPT.encode(), PROMPT.encode()), text + b"\n" + text[:-2], b"\xff" + PROMPT.encode(), b"",
                b"[" + text + b"," + text[:-3] + b"]"):
            for kind in ("application/json", "application/x-ndjson"):
                answer = post("/v1/events", body, kind=kind)
                self.assertTrue(answer.status in (400, 422) or answer.json["accepted"] == 0, answer)
        # Ignored members of the envelope are ignored, not kept.
        self.assertEqual(post("/v1/events", {**good, "id": "good 2", "subject": PROMPT, "x": PROMPT}).status, 200)
        # Too large: refused by its length.
        with socket.create_connection(("127.0.0.1", self.daemon.port), timeout=60) as client:
            client.sendall(("POST /v1/events HTTP/1.1\r\nHost: h\r\n"
                            f"Authorization: Bearer {self.daemon.keys['all']}\r\n"
                            f"Content-Length: {1 << 31}\r\n\r\n{PROMPT}").encode())
            self.assertIn(b" 413 ", client.recv(4096))
        asked = {"id": "hold", "org": "org_canary", "provider": "openai", "model": "gpt-4o", "credits": "0.001"}
        self.assertEqual(post("/v1/authorizations", {**asked, "messages": MESSAGES}).status, 422)
        self.assertEqual(post("/v1/authorizations", {**asked, "attributes": {"note": {"x": PROMPT}}}).status, 422)
        self.assertEqual(post("/v1/authorizations", PROMPT.encode()).status, 400)
        self.assertEqual(post("/v1/lago/batches/none/delivery", {"outcome": PROMPT}).status, 404)

    def say_it_to_litellms(self):
        items = [item for _, body in captures() for item in json.loads(body) if item]
        self.assertTrue(items)

        def spread(item, id):
            """The canary in every member that the door has no use for, and where content is."""
            item = json.loads(json.dumps(item))
            item.update(
                id=id, litellm_call_id=id, messages=MESSAGES, response={"choices": [{"message": {"content": PROMPT}}]},
                error_str=f"Traceback: {PROMPT}", requester_ip_address=PROMPT, user_agent=PROMPT, api_base=PROMPT,
                request_tags=[PROMPT], model_parameters={"system": PROMPT}, guardrail_information=[{"x": PROMPT}],
                hidden_params={"additional_headers": {"authorization": SECRET}}, proxy_server_request={"body": PROMPT},
                cache_key=SECRET)
            item[PROMPT] = PROMPT
            # What went wrong with the price is looked at and not kept.
            information = item.setdefault("error_information", {}) or {}
            information.update(traceback=PROMPT, error_message=PROMPT)
            item["error_information"] = information
            metadata = item.setdefault("metadata", {})
            metadata.update(
                user_api_key_user_email=PROMPT, requester_metadata={"x": PROMPT}, headers={"cookie": SECRET},
                requester_custom_headers={"authorization": SECRET}, user_api_key_request_route=PROMPT,
                prompt_management_metadata={"prompt": PROMPT}, user_api_key_org_id="org_canary",
                spend_logs_metadata={**{name: PROMPT for name in CONTENT}, "note": KEPT, "nested": {"x": PROMPT},
                                     "long": PROMPT * 100, "control": f"\u0007{PROMPT}"},
                user_api_key_auth_metadata={**{name: SECRET for name in CONTENT}, "nested": [SECRET]})
            return item

        good = [spread(item, f"canary-{index}") for index, item in enumerate(items)]
        answer = self.daemon.post("/v1/ingest/litellm", good)
        self.assertEqual(answer.status, 200, answer)
        self.assertGreater(answer.json["accepted"], 0)
        bad = [{**spread(item, f"bad-{index}"), **fault} for index, item in enumerate(items) for fault in (
            {"prompt_tokens": -1}, {"startTime": PROMPT, "endTime": PROMPT}, {"response_cost": PROMPT},
            {"prompt_tokens": PROMPT}, {"status": {"x": PROMPT}}, {"id": [PROMPT]})]
        answer = self.daemon.post("/v1/ingest/litellm", [*bad, PROMPT, [PROMPT], 7, None])
        self.assertEqual(answer.status, 200, answer)
        self.assertGreater(answer.json["parked"], 0)
        text = json.dumps(good[0]).encode()
        twice = text[:-1] + b',"' + PROMPT.encode() + b'":1}'
        for body in (b"[" + text[:-5] + b"]", b"[" + twice + b"]", twice, text + b" " + PROMPT.encode(), text[:200],
                     PROMPT.encode(), b'"' + PROMPT.encode() + b'"', b"[" + text + b"] " + text[:-1],
                     text + b"\n" + text[:-9] + b"\n" + twice, b'[{"messages":"\\ud800' + PROMPT.encode() + b'"},null]',
                     b'[{"messages":NaN,"x":"' + PROMPT.encode() + b'"}]'):
            answer = self.daemon.post("/v1/ingest/litellm", body)
            self.assertIn(answer.status, (200, 400), answer)

    def say_it_to_lagos(self):
        def lago(id, **more):
            return {"transaction_id": id, "external_subscription_id": "org_canary", "code": "litellm_tokens",
                    "timestamp": 1767225601, "properties": {
                        "model": "gpt-4o", "response_cost": "0.1", "prompt_tokens": 10, "completion_tokens": 5,
                        "total_tokens": 15, "prompt": PROMPT, "messages": MESSAGES, "headers": {"cookie": SECRET},
                        PROMPT: PROMPT}, "metadata": {"x": PROMPT}, PROMPT: 1, **more}
        post = self.daemon.post
        self.assertEqual(post("/api/v1/events", {"event": lago("tx-1"), "x": PROMPT}).status, 200)
        self.assertEqual(post("/api/v1/events/batch", {"events": [lago("tx-2"), lago("tx-3")]}).status, 200)
        metric = {"value": 7, "model": "gpt-4o", "provider": "openai", "prompt": PROMPT}
        for event in (lago("tx-4", code="another", properties={"t": PROMPT}),
                      lago("tx-5", code="llm_input_tokens", properties=metric)):
            self.assertEqual(post("/api/v1/events", {"event": event}).status, 200)
        for bad in (lago("tx-6", timestamp=PROMPT), lago("tx-7", properties=PROMPT), lago({"x": PROMPT}),
                    lago("tx-8", precise_total_amount_cents=PROMPT), lago("tx-9", code=[PROMPT]), PROMPT, [PROMPT]):
            self.assertIn(post("/api/v1/events", {"event": bad}).status, (400, 422))
        bad = lago("tx-10")
        bad["properties"].update(prompt_tokens=PROMPT)
        self.assertIn(post("/api/v1/events", {"event": bad}).status, (200, 422))
        for body in (PROMPT.encode(), json.dumps({"event": lago("tx-11")}).encode()[:-1]):
            self.assertEqual(post("/api/v1/events", body).status, 400)

    def say_it_to_openmeters(self):
        def usage(id, **more):
            return {"specversion": "1.0", "id": id, "source": "om", "type": "litellm_tokens", "subject": "org_canary",
                    "time": "2026-01-01T00:00:00Z", PROMPT: PROMPT, "data": {
                        "model": "gpt-4o", "cost": "0.1", "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2,
                        "prompt": PROMPT, "messages": MESSAGES, PROMPT: 1}, **more}
        bad = usage("om-2")
        bad["data"]["prompt_tokens"] = PROMPT
        for body in (usage("om-1"), bad, usage("om-3", data=PROMPT), usage("om-4", time=PROMPT),
                     [usage("om-5"), PROMPT], usage("om-6", specversion=PROMPT), usage("om-7", source={"x": PROMPT})):
            answer = self.daemon.post("/api/v1/events", body, kind="application/cloudevents+json")
            self.assertEqual(answer.status, 204, answer)
        for body in (PROMPT.encode(), json.dumps(usage("om-8")).encode()[:-1]):
            answer = self.daemon.post("/api/v1/events", body, kind="application/cloudevents+json")
            self.assertEqual(answer.status, 400, answer)

    def say_it_in_heads_and_paths(self):
        daemon = self.daemon
        for key in (SECRET, f"tsk_{SECRET}", "tsk_000000000000_" + SECRET.ljust(72, "0"), f"{SECRET} {PROMPT}"):
            self.assertEqual(daemon.get("/v1/tokens", key=key).status, 401)
            self.assertEqual(daemon.get("/v1/tokens", key=None, headers={"X-Service-Key": key}).status, 401)
        headers = {"User-Agent": PROMPT, "Cookie": SECRET, "X-Canary": PROMPT, "Referer": PROMPT,
                   "X-Forwarded-For": PROMPT, "Accept": PROMPT, "Prefer": PROMPT}
        self.assertEqual(daemon.get("/v1/tokens", headers=headers).status, 200)
        for path in (f"/{PROMPT}", f"/v1/tokens?prompt={PROMPT}", f"/v1/tokens?from={PROMPT}", f"/v1/tokens?{PROMPT}",
                     f"/v1/events/{PROMPT}", f"/v1/orgs/{PROMPT}", f"/v1/orgs/{PROMPT}/statement?cursor={PROMPT}",
                     f"/v1/lago/batches/{PROMPT}", f"/v1/alerts?state={PROMPT}", f"/api/v1/events/{PROMPT}"):
            self.assertIn(daemon.get(path).status, (400, 404), path)
        self.assertEqual(daemon.get("/v1/tokens", headers={"X-Min-Position": PROMPT}).status, 400)
        self.assertEqual(daemon.request(PROMPT, "/v1/tokens").status, 405)
        for raw in (f"{PROMPT}\r\n\r\n", f"GET /{PROMPT} HTTP/1.1\r\n{PROMPT}\r\n\r\n",
                    f"GET / HTTP/1.1\r\nHost: {PROMPT} {PROMPT}\r\n\r\n",
                    f"POST / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: x\r\n\r\n",
                    f"GET / HTTP/1.1\r\nHost: h\r\n\x1b[2J{SECRET}: 1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", daemon.port), timeout=60) as client:
                client.sendall(raw.encode())
                self.assertIn(b" 4", client.recv(4096)[:16], raw)


if __name__ == "__main__":
    unittest.main()
