"""LiteLLM's bookkeeping is no call, and what a batch came to is charged once, however often it is read."""

import json
import os
import re
import shutil
import tempfile
from datetime import datetime, timezone

from harness import DaemonCase, event

START = 1795333949
IN_PROGRESS = {"status": "in_progress", "output_file_id": None, "request_counts": {"completed": 0, "total": 3}}
DONE = {"status": "completed", "output_file_id": "file-o", "request_counts": {"completed": 3, "total": 3}}


def item(number, org, call_type="aretrieve_batch", id="batch_x", tokens=0, cost=0.0, answer=None, **metadata):
    """An item of LiteLLM's generic callback, with what 1.110.2 sends of a look at a batch."""
    usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens} if tokens else {}
    return {
        "id": id, "litellm_call_id": f"c{number}", "call_type": call_type, "status": "success",
        "startTime": START + number, "endTime": START + number + 0.5, "model": "gpt-4o-mini",
        "custom_llm_provider": "openai", "response_cost": cost, "prompt_tokens": tokens, "completion_tokens": 0,
        "metadata": {"user_api_key_org_id": org, "usage_object": usage, **metadata}, "response": answer or {},
        "hidden_params": {"response_cost": cost, "batch_models": ["gpt-4o-mini"] if cost else None},
    }


class Bookkeeping(DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        rules = [{"per": 1000, "any_token": "1"}]
        answer = cls.daemon.post("/v1/events", event(
            "p0", "prices.published", effective_at="2026-01-01T00:00:00Z", unit="credits", rules=rules))
        assert answer.json["accepted"] == 1, answer

    def post(self, items, **more):
        answer = self.daemon.post("/v1/ingest/litellm", items, **more)
        self.assertEqual(answer.status, 200, answer)
        return {name: answer.json[name] for name in ("accepted", "duplicates", "conflicts", "parked", "skipped")
                if answer.json[name]}

    def used(self, org):
        return self.daemon.read(f"/v1/orgs/{org}/calls")["used"]

    def totals(self, org):
        totals = self.daemon.read(f"/v1/orgs/{org}/tokens")["totals"]
        return totals["calls"], totals["input_tokens"] + totals["output_tokens"]

    def spent(self, org):
        return self.daemon.read(f"/v1/orgs/{org}/credits")["balance_credits"]

    def metric(self, name, label):
        text = self.daemon.get("/metrics").body.decode()
        found = re.search(rf'^{name}\{{call_type="{re.escape(label)}"\}} (\d+)$', text, re.M)
        return int(found.group(1)) if found else 0

    def test_polls_of_a_batch_and_uploads_use_no_quota(self):
        before = self.metric("tallystick_litellm_bookkeeping_total", "retrieve_batch")
        # As the case was met (BerriAI/litellm#35358): three polls, an upload.
        items = [item(number, "org-1") for number in (1, 2, 3)] + [item(9, "org-1", "acreate_file", "r9")]
        for one in items:
            del one["response"], one["hidden_params"]
        self.assertEqual(self.post(items), {"skipped": 4})
        self.assertEqual(self.post([item(4, "org-1", answer=IN_PROGRESS), None]), {"skipped": 2})
        self.assertEqual((self.used("org-1"), self.totals("org-1")), (0, (0, 0)))
        self.assertEqual(self.metric("tallystick_litellm_bookkeeping_total", "retrieve_batch") - before, 4)
        self.assertGreaterEqual(self.metric("tallystick_litellm_bookkeeping_total", "create_file"), 1)
        # What an org never made is none; of a user nobody knows there is nothing to say.
        self.assertEqual(self.used("org-never"), 0)
        self.assertProblem(self.daemon.get("/v1/users/nobody/calls"), 404, "not_found")
        # Without an owner they are no less nothing: nobody has to look at them.
        orphan = item(5, None, "afile_content", "f")
        self.assertEqual(self.post([orphan]), {"skipped": 1})

    def test_a_finished_batch_is_charged_once_however_often_it_is_read(self):
        polls = [item(number, "org-2", id="batch_2", answer=IN_PROGRESS) for number in range(3)]
        done = [item(number, "org-2", id="batch_2", tokens=35_000, cost=0.35, answer=DONE) for number in range(3, 6)]
        # Read by somebody else, by the synchronous function, and under the id that the proxy coded.
        done[1]["metadata"]["user_api_key_user_id"] = "bob"
        done[2]["call_type"] = "retrieve_batch"
        # litellm:batch_2;model,mini
        coded = item(6, "org-2", id="batch_bGl0ZWxsbTpiYXRjaF8yO21vZGVsLG1pbmk", tokens=35_000, cost=0.35, answer=DONE)
        self.assertEqual(self.post(polls + done[:2]), {"skipped": 3, "accepted": 1, "duplicates": 1})
        self.assertEqual(self.post([done[2], coded, done[0]]), {"duplicates": 3})
        self.daemon.stop()
        self.daemon.start()
        self.assertEqual(self.post(done), {"duplicates": 3})
        self.assertEqual(self.spent("org-2"), "-35")
        self.assertEqual((self.used("org-2"), self.totals("org-2")), (0, (0, 35_000)))
        self.assertEqual(self.daemon.read("/v1/parked")["parked"], [])
        stored = [one for one in self.daemon.events("&type=llm.usage") if one["event"]["data"].get("org") == "org-2"]
        self.assertEqual([one["event"]["id"] for one in stored], ["llb1:retrieve_batch:batch_2"])
        self.assertEqual(stored[0]["event"]["data"]["cost_usd"], "0.35")

    def test_other_money_at_a_later_look_is_no_charge_and_no_noise_but_counted(self):
        def conflicts():
            text = self.daemon.get("/metrics").body.decode()
            return int(re.search(r"^tallystick_events_conflict_total (\d+)$", text, re.M).group(1))
        before = conflicts()
        unpriced = item(1, "org-3", id="batch_3", tokens=1000, answer=DONE)
        self.assertEqual(self.post([unpriced]), {"accepted": 1})
        self.assertEqual(self.post([item(2, "org-3", id="batch_3", tokens=1000, cost=0.1, answer=DONE)]),
                         {"duplicates": 1})
        self.assertEqual((conflicts() - before, self.spent("org-3")), (1, "-1"))
        self.assertEqual(self.daemon.read("/v1/parked")["parked"], [])

    def test_money_is_never_dropped_and_two_batches_are_two(self):
        items = [item(1, "org-4", "acreate_file", "f1", tokens=1000), item(2, "org-4", "avector_store_create", "v1",
                 cost=0.5), item(3, "org-4", id="batch_4", tokens=1000, cost=1), item(4, "org-4", id="batch_5",
                 tokens=1000, cost=1)]
        self.assertEqual(self.post(items), {"accepted": 4})
        self.assertEqual((self.used("org-4"), self.totals("org-4")), (0, (0, 3000)))
        self.assertEqual(self.spent("org-4"), "-3")
        # The same batch told by two keys is each one's own: a source is a gateway.
        other = self.daemon.key("other", "ingest")
        self.assertEqual(self.post(items[3:], key=other), {"accepted": 1})

    def test_an_unknown_call_type_is_a_call_and_named(self):
        wild = 'a"b\\c'
        items = [item(number, "org-5", name, f"u{number}") for number, name in enumerate(
            ["abrand_new_call", "abrand_new_call", wild, "x" * 65, ""])]
        self.assertEqual(self.post(items), {"accepted": 5})
        self.assertEqual((self.used("org-5"), self.totals("org-5")[0]), (5, 5))
        name = "tallystick_litellm_unknown_call_types_total"
        self.assertEqual(self.metric(name, "abrand_new_call"), 2)
        self.assertEqual(self.metric(name, wild.replace("\\", "\\\\").replace('"', '\\"')), 1)
        self.assertEqual((self.metric(name, "other"), self.metric(name, "none")), (1, 1))
        self.assertEqual(self.daemon.get("/readyz").json["warnings"], [])

    def test_litellms_own_spend_log_agrees(self):
        chat = item(100_001, "org-6", "acompletion", "chatcmpl-1", tokens=10, cost=0.25)
        poll, upload = item(100_002, "org-6", id="batch_6"), item(100_003, "org-6", "acreate_file", "file-6")
        done = item(100_004, "org-6", id="batch_6", tokens=35_000, cost=0.35, answer=DONE)
        again = item(100_006, "org-6", id="batch_6", tokens=35_000, cost=0.35, answer=DONE)
        key = self.daemon.key("books", "ingest")
        self.assertEqual(self.post([chat, poll, upload, done, again], key=key),
                         {"accepted": 2, "skipped": 2, "duplicates": 1})

        def row(sent, id):
            at = datetime.fromtimestamp(sent["endTime"], timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
            return {"request_id": id, "call_type": sent["call_type"], "spend": sent["response_cost"],
                    "prompt_tokens": sent["prompt_tokens"], "completion_tokens": 0, "endTime": at,
                    "model": sent["model"], "custom_llm_provider": "openai", "organization_id": "org-6"}
        rows = [row(chat, "chatcmpl-1"), row(poll, "batch_6"), row(upload, "file-6"),
                row(done, "batch_6_batch_cost")]
        # LiteLLM's row of the batch may be that of the later look.
        rows[3]["endTime"] = row(again, "")["endTime"]
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "rows.json")

        def reconcile(rows, code):
            with open(path, "w", encoding="utf-8") as out:
                json.dump(rows, out)
            done = self.daemon.replay("reconcile", "--against", path, "--source", "litellm/books", "--json", text=True)
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            return json.loads(done.stdout)["summary"]
        summary = reconcile(rows, 0)
        self.assertEqual((summary["matched_by_id"], summary["matched_by_facts"], summary["bookkeeping_there"]),
                         (1, 1, 2))
        self.assertEqual((summary["there"]["calls"], summary["difference_usd"]), (2, "0"))
        # A batch that the log has not is a difference.
        lost = row(done, "batch_7_batch_cost") | {"endTime": rows[2]["endTime"]}
        self.assertEqual(reconcile(rows + [lost], 1)["missing_here"], 1)
