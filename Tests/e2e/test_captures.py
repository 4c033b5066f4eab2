"""Every captured body of real clients, in the order they were sent, with the verdict of every item."""

import json
import os
import re
import unittest

from harness import ROOT, DaemonCase

FIXTURES = os.path.join(ROOT, "Tests/Fixtures/captures")

# LiteLLM's generic callback: (accepted, duplicates, parked) for each request with the label, in order.
RETRY = [(1, 0, 0), (0, 1, 0), (0, 1, 0), (0, 1, 0)]
GENERIC = {
    "mock_async": [(4, 0, 0)],
    "mock_async_claude": [(2, 0, 0)],
    "mock_stream": [(3, 0, 0)],
    "mock_embedding": [(2, 0, 0)],
    "mock_fail": [(2, 0, 0)],
    "mock_unknown_model": [(1, 0, 0)],
    "mock_burst20": [(20, 0, 0)],
    "up_openai_cached_reasoning": [(2, 0, 0)],
    "up_openai_audio": [(1, 0, 0)],
    "up_openai_stream_usage": [(1, 0, 0)],
    "up_openai_stream_nousage": [(1, 0, 0)],
    "up_openai_embedding": [(1, 0, 0)],
    "up_openai_image": [(1, 0, 0)],
    "up_openai_transcription": [(1, 0, 0)],
    "up_openai_responses": [(1, 0, 0)],
    "up_anthropic_cache": [(2, 0, 0)],
    "up_anthropic_stream": [(1, 0, 0)],
    "up_anthropic_messages": [(1, 0, 0)],
    "up_gemini_cache_thinking": [(1, 0, 0)],
    "up_rerank": [(1, 0, 0)],
    "up_fail429": [(1, 0, 0)],
    "up_fail500": [(1, 0, 0)],
    # The answer from the cache is a call of its own.
    "up_cache_hit": [(3, 0, 0)],
    "sync": [(1, 0, 0)],
    "reply_500": [(1, 0, 0)],
    "reply_422": [(1, 0, 0)],
    "reply_429": [(1, 0, 0)],
    "reply_401": [(1, 0, 0)],
    "reply_413": [(1, 0, 0)],
    "reply_307": [(1, 0, 0)],
    "abort_first": [(1, 0, 0)],
    # The client sends the same bytes again; the first has been stored.
    "retry3_503": RETRY,
    "retry3_429": [(1, 0, 0)],
    "retry3_timeout": RETRY,
    "fmt_ndjson": [(5, 0, 0)],
    "fmt_single": [(1, 0, 0)] * 5,
    "proxy_chat": [(3, 0, 0)],
    "proxy_stream": [(1, 0, 0)],
    "proxy_embed": [(2, 0, 0)],
    # A failed try and its fallback share a call id: they are two.
    "proxy_fallback": [(1, 0, 0), (1, 0, 0)],
    "proxy_disconnect": [(1, 0, 0)],
}


def captured(folder):
    """[(label, bytes)] in the order of sending."""
    place = os.path.join(FIXTURES, folder)
    for name in sorted(os.listdir(place)):
        found = re.fullmatch(r"\d+_(.+)\.body\.\w+", name)
        if found:
            with open(os.path.join(place, name), "rb") as file:
                yield found.group(1), file.read()


@unittest.skipUnless(os.path.isdir(FIXTURES), "the captures are not here")
class Captures(DaemonCase):
    def stored(self, door):
        return [one for one in self.daemon.events() if one.get("door") == door]

    def test_litellm_generic(self):
        seen = {}
        for label, body in captured("litellm_generic"):
            answer = self.daemon.post("/v1/ingest/litellm", body)
            self.assertEqual(answer.status, 200, (label, answer))
            verdict = tuple(answer.json.get(name, 0) for name in ("accepted", "duplicates", "parked"))
            seen.setdefault(label, []).append(verdict)
        for label in sorted(set(seen) | set(GENERIC)):
            with self.subTest(label):
                self.assertEqual(seen.get(label), GENERIC.get(label))
        # And again, all of it: nothing is new.
        for label, body in captured("litellm_generic"):
            self.assertEqual(self.daemon.post("/v1/ingest/litellm", body).json["accepted"], 0, label)
        stored = self.stored("litellm")
        self.assertEqual(len(stored), sum(verdict[0] for verdicts in GENERIC.values() for verdict in verdicts))
        by_status = {}
        for one in stored:
            status = one["event"]["data"]["status"]
            by_status[status] = by_status.get(status, 0) + 1
        # mock_fail 2, up_fail429, up_fail500 and the failed try of proxy_fallback; proxy_disconnect.
        self.assertEqual((by_status["failure"], by_status["aborted"]), (5, 1))

    def test_lago_of_litellm_and_of_lagos_own_client(self):
        seen, wanted = set(), set()
        for folder, path in (("litellm_lago", "/api/v1/events"), ("lago_agent_sdk", "/api/v1/events/batch")):
            for label, body in captured(folder):
                sent = json.loads(body)
                events = sent.get("events") or [sent["event"]]
                keys = [(one["external_subscription_id"], one["transaction_id"]) for one in events]
                answer = self.daemon.post(path, body)
                with self.subTest(label, key=keys[0]):
                    if seen.isdisjoint(keys):
                        self.assertEqual(answer.status, 200, answer)
                        wanted.update(keys)
                    else:
                        self.assertEqual(answer.status, 422, answer)
                        self.assertEqual(answer.json["code"], "validation_errors")
                seen.update(keys)
        stored = [one["event"]["id"] for one in self.stored("lago")]
        self.assertEqual(len(stored), len(set(stored)))
        self.assertLessEqual(set(stored), {id for _, id in wanted})
        # LiteLLM's own are all calls; of the other client's codes some are parked.
        self.assertGreaterEqual(len(stored), sum(1 for _ in captured("litellm_lago")))

    def test_openmeter(self):
        first = {}
        for label, body in captured("litellm_openmeter"):
            sent = json.loads(body)
            key = (sent["source"], sent["id"])
            answer = self.daemon.post("/api/v1/events", body, kind="application/cloudevents+json")
            with self.subTest(label, key=key):
                if first.setdefault(key, body) == body:
                    self.assertEqual((answer.status, answer.body), (204, b""), answer)
                else:
                    # The same id for another content: a cache hit repeats its call's id, rerank is sent twice.
                    self.assertIn(answer.status, (204, 409), answer)
        stored = self.stored("openmeter")
        self.assertEqual(len(stored), len(first))


if __name__ == "__main__":
    unittest.main()
