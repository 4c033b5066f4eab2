"""Parked items: whatever becomes of the bad ones, the good ones are stored; the store is shared fairly, says what it
dropped, counts what comes again, and survives a full disk."""

import hashlib
import json
import os
import shutil
import subprocess
import unittest

from harness import Daemon, binary

ITEMS_MAX = 100_000
FACTS = {"status": "success", "call_type": "acompletion", "startTime": "1795334519.5", "endTime": "1795334520.75",
         "custom_llm_provider": "openai", "model": "gpt-4o", "response_cost": "0.01"}


def good(id, org):
    return {**FACTS, "id": id, "metadata": {
        "user_api_key_org_id": org, "usage_object": {"prompt_tokens": 10, "completion_tokens": 5}}}


def lago(id, org, **more):
    return {"transaction_id": id, "external_subscription_id": org, "code": "llm", "timestamp": 1767225601,
            "properties": {"model": "gpt-4o", "response_cost": "0.1", "prompt_tokens": 10, "completion_tokens": 5},
            **more}


def usage(id, org, **more):
    return {"specversion": "1.0", "id": id, "source": f"om-{org}", "type": "litellm", "subject": org, "time":
            "2026-01-01T00:00:00Z", "data": {"model": "gpt-4o", "cost": "0.1", "prompt_tokens": 1}, **more}


def sha256(item):
    return hashlib.sha256(item if isinstance(item, bytes) else json.dumps(item).encode()).hexdigest()


class Case(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        for name in ("a", "b"):
            self.daemon.key(name, "ingest,read", "--org", f"org_{name}")

    def callback(self, items, key):
        body = items if isinstance(items, bytes) else json.dumps(items).encode()
        answer = self.daemon.post("/v1/ingest/litellm", body, key=key)
        self.assertEqual(answer.status, 200, answer)
        return {name: count for name, count in answer.json.items() if count and name != "last_position"}

    def parked(self, key="all", query=""):
        answer = self.daemon.get(f"/v1/parked{query}", key=key)
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    def warnings(self):
        answer = self.daemon.get("/readyz", key=None)
        self.assertEqual(answer.status, 200, answer)
        return answer.json["warnings"]

    def metric(self, name):
        page = self.daemon.get("/metrics", key=None).body.decode()
        return int(next(line.split()[1] for line in page.splitlines() if line.startswith(name + " ")))


class Room(Case):
    def test_a_key_that_fills_the_store_takes_no_room_from_another(self):
        daemon = self.daemon.start()
        self.assertEqual(self.warnings(), [])
        # Distinct, and without a fact: only their bytes tell them apart.
        items = [str(number).encode() for number in range(ITEMS_MAX + 50)]
        self.assertEqual(self.callback(b"[" + b",".join(items) + b"]", "a"), {"parked": ITEMS_MAX, "dropped": 50})
        self.assertEqual(self.metric("tallystick_parked_items"), ITEMS_MAX)

        # Another key finds room by every door; the one with the most gives up its oldest.
        for number in range(3):
            self.assertEqual(self.callback([{"n": number}, good(f"b{number}", "org_b"), good(f"c{number}", "org_b")],
                                           "b"), {"accepted": 2, "parked": 1})
        answer = daemon.post("/api/v1/events/batch", {"events": [
            lago("b1", "org_b"), lago("b2", "org_b", code="storage", properties={}), lago("b3", "org_b")]}, key="b")
        self.assertEqual(answer.status, 200, answer)
        answer = daemon.post("/api/v1/events", [usage("b1", "org_b"), 7, usage("b2", "org_b")], key="b",
                             kind="application/cloudevents-batch+json")
        self.assertEqual(answer.status, 204, answer)
        seen = self.parked("b")
        self.assertEqual([one["door"] for one in seen["parked"]], ["litellm"] * 3 + ["lago", "openmeter"])
        self.assertEqual(seen["dropped"]["total"], 0)

        # The one that filled it: its good ones are stored, by every door, and its bad ones counted.
        bad = {"n": "more"}
        self.assertEqual(self.callback([bad, good("a1", "org_a"), good("a2", "org_a")], "a"),
                         {"accepted": 2, "dropped": 1})
        answer = daemon.post("/api/v1/events/batch", {"events": [
            lago("a1", "org_a"), lago("a2", "org_a", code="storage", properties={}), lago("a3", "org_a")]}, key="a")
        self.assertEqual(answer.status, 200, answer)
        answer = daemon.post("/api/v1/events", [usage("a1", "org_a"), 7, usage("a2", "org_a")], key="a",
                             kind="application/cloudevents-batch+json")
        self.assertEqual(answer.status, 204, answer)
        self.assertEqual(len(daemon.events("&org=org_a")), 2 + 2 + 2)
        self.assertEqual(len(daemon.events("&org=org_b")), 6 + 2 + 2)

        mine, all_ = self.parked("a"), self.parked()
        # 50 found no room, 5 gave theirs to the other key, 3 found none again.
        for seen in (mine, all_):
            self.assertEqual(seen["dropped"]["total"], 50 + 5 + 3, seen["dropped"])
            hours = seen["dropped"]["hours"]
            self.assertEqual(sum(hour["count"] for hour in hours) + seen["dropped"]["earlier"], 58)
            self.assertEqual({(hour["key"], hour["org"]) for hour in hours}, {("a", "org_a")})
            self.assertLessEqual({"wrong_type", "missing_id", "unknown_code"}, {hour["code"] for hour in hours})
            hashes = {hash for hour in hours for hash in hour["items_sha256"]}
            self.assertLessEqual({sha256(items[ITEMS_MAX]), sha256(bad)}, hashes)
        # The first of its items gave up their room, and the numbers of the others stay.
        self.assertEqual([one["number"] for one in mine["parked"][:2]], [6, 7])
        self.assertEqual(mine["parked"][0]["item_sha256"], sha256(items[5]))
        self.assertEqual(self.metric("tallystick_parked_dropped_total"), 58)
        self.assertEqual(len(self.warnings()), 1)
        self.assertNotIn("org_a", str(self.warnings()))

        before = [self.parked(key, query) for key in ("all", "a", "b") for query in ("", "?after=99990&limit=20")]
        self.assertEqual(daemon.stop(), 0)
        daemon.start()
        after = [self.parked(key, query) for key in ("all", "a", "b") for query in ("", "?after=99990&limit=20")]
        self.assertEqual(after, before)
        self.assertEqual(self.metric("tallystick_parked_dropped_total"), 58)
        self.assertEqual(len(self.warnings()), 1)


class Repeats(Case):
    def test_what_comes_again_is_counted(self):
        self.daemon.start()
        body = [{"n": 1}, {"n": 2}, {**FACTS, "id": "x"}, 7, 8, 7]
        self.assertEqual(self.callback(body, "all"), {"parked": 6})
        self.assertEqual(self.callback(body, "all"), {"parked": 6})
        seen = self.parked()["parked"]
        self.assertEqual([one["item_sha256"] for one in seen], [sha256(item) for item in body[:5]])
        self.assertEqual([one["times"] for one in seen], [2, 2, 2, 4, 2])
        for one in seen:
            self.assertEqual(one["received_at"], one["first_received_at"])
            self.assertGreaterEqual(one["last_received_at"], one["first_received_at"])
        self.assertGreater(seen[0]["last_received_at"], seen[0]["first_received_at"])
        self.assertEqual(self.daemon.stop(), 0)
        self.daemon.start()
        self.assertEqual(self.parked()["parked"], seen)

    def test_items_without_facts_are_told_apart_by_every_door(self):
        self.daemon.start()
        # Eight that say nothing of themselves, in one place of the body each: their reasons are the same.
        wrong = [b"[]", b"7", b"8", b'"x"', b'"y"', b"true", b"[1]", b"1.0"]
        self.assertEqual(self.callback(b"[" + b" , ".join(wrong) + b"]", "all"), {"parked": 8})
        self.assertEqual([one["item_sha256"] for one in self.parked()["parked"]], [sha256(one) for one in wrong])
        lines = b"\n".join([b'{"a":', b'{"b":', b' {"a":'])
        self.assertEqual(self.callback(lines, "all"), {"parked": 3})
        body = b"[" + b" , ".join(wrong) + b"]"
        answer = self.daemon.post("/api/v1/events", body, kind="application/cloudevents-batch+json")
        self.assertEqual(answer.status, 204, answer)
        seen = self.parked(query="?limit=1000")["parked"]
        self.assertEqual([one["item_sha256"] for one in seen if one["door"] == "openmeter"],
                         [sha256(one) for one in wrong])
        self.assertEqual({one["times"] for one in seen}, {1})

    def test_what_admission_refuses_has_the_hash_of_its_item_too(self):
        self.daemon.start()
        item = good("other", "org_b")
        self.assertEqual(self.callback([item], "a"), {"parked": 1})
        event = usage("other", "org_b")
        self.assertEqual(self.daemon.post("/api/v1/events", event, key="a", kind="application/cloudevents+json").status,
                         204)
        events = {"events": [lago("t1", "org_a"), lago("t1", "org_b")]}
        self.assertEqual(self.daemon.post("/api/v1/events/batch", events, key="a").status, 422)
        self.assertEqual([(one["code"], one["item_sha256"]) for one in self.parked("a")["parked"]],
                         [("org_forbidden", sha256(one)) for one in (item, event, events["events"][1])])


def can_mount():
    try:
        words = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /tmp"]
        return subprocess.run(words, capture_output=True, timeout=20).returncode == 0
    except OSError:
        return False


@unittest.skipUnless(can_mount(), "a small file system cannot be mounted here")
class FullDisk(Case):
    """The folder of the parked items is a file system of its own, of 64 KiB, which only the daemon sees."""

    def start(self, *tracer):
        folder = os.path.join(self.daemon.folder, "parked")
        os.makedirs(folder, exist_ok=True)
        saved = os.path.join(self.daemon.folder, "parked-before")
        if os.path.exists(saved):
            shutil.rmtree(saved)
        os.rename(folder, saved)
        os.makedirs(folder)
        self.daemon.start(prefix=(
            "unshare", "-rm", "sh", "-c",
            f"mount -t tmpfs -o size=64k tmpfs {folder} && cp -r {saved}/. {folder} && exec \"$@\"", "sh", *tracer))
        # As the daemon sees it.
        self.inside = f"/proc/{self.daemon.process.pid}/root{folder}"
        self.outside = folder

    def restart(self):
        for name in os.listdir(self.inside):
            shutil.copy(os.path.join(self.inside, name), self.outside)
        self.assertEqual(self.daemon.stop(), 0)
        self.start()

    def fill(self):
        with open(os.path.join(self.inside, "filler"), "ab", buffering=0) as filler:
            try:
                while True:
                    filler.write(b"x" * 1024)
            except OSError:
                pass

    def test_good_ones_are_stored_and_what_was_acknowledged_is_there_after_a_restart(self):
        self.start()
        self.assertEqual(self.callback([{"n": 0}], "b"), {"parked": 1})
        self.fill()
        bad = [{"n": number} for number in range(1, 300)]
        for round in range(3):
            mixed = [*bad, *(good(f"g{round}-{n}", "org_b") for n in range(20))]
            self.assertEqual(self.callback(mixed, "b"), {"accepted": 20, "dropped": 299})
        answer = self.daemon.post("/api/v1/events/batch", {"events": [
            lago("b1", "org_b"), lago("b2", "org_b", code="storage", properties={})]}, key="b")
        self.assertEqual(answer.status, 200, answer)
        answer = self.daemon.post("/api/v1/events", [usage("b1", "org_b"), 7], key="b",
                                  kind="application/cloudevents-batch+json")
        self.assertEqual(answer.status, 204, answer)
        self.assertEqual(len(self.daemon.events("&org=org_b")), 62)
        seen = self.parked("b")
        self.assertEqual(len(seen["parked"]), 1)
        self.assertEqual(seen["dropped"]["total"], 3 * 299 + 2)
        self.assertEqual(self.metric("tallystick_parked_dropped_total"), 3 * 299 + 2)
        self.assertEqual(len(self.warnings()), 2, self.warnings())

        # Room again: the next item is acknowledged, and there after a restart, with all that was counted meanwhile.
        os.unlink(os.path.join(self.inside, "filler"))
        self.assertEqual(self.callback([{"n": "after"}], "b"), {"parked": 1})
        self.assertEqual(len(self.warnings()), 1, self.warnings())
        before = self.parked()
        self.assertEqual([one["item_sha256"] for one in before["parked"]], [sha256({"n": 0}), sha256({"n": "after"})])
        self.assertEqual(before["dropped"]["total"], 3 * 299 + 2)
        self.restart()
        self.assertEqual(self.parked(), before)

    @unittest.skipUnless(shutil.which("strace"), "strace is not installed")
    def test_behind_half_a_line_that_cannot_be_cut_off_nothing_is_written(self):
        path = os.path.join(self.daemon.folder, "parked", "parked.ndjson")
        self.start("strace", "-f", "-qq", "-o", "/dev/null", "-P", path, "-e", "trace=ftruncate",
                   "-e", "inject=ftruncate:error=EIO:when=1..3")
        self.assertEqual(self.callback([{"n": 0}], "b"), {"parked": 1})
        self.fill()
        # More than a page: part of it is written.
        bad = [{"n": number} for number in range(1, 300)]
        os.truncate(os.path.join(self.inside, "filler"), 4096)
        self.assertEqual(self.callback([*bad, good("g", "org_b")], "b"), {"accepted": 1, "dropped": 299})
        with open(os.path.join(self.inside, "parked.ndjson"), "rb") as file:
            torn = file.read()
        self.assertNotEqual(torn[-1:], b"\n")
        os.unlink(os.path.join(self.inside, "filler"))
        self.assertEqual(self.callback([{"n": "no"}, good("h", "org_b")], "b"), {"accepted": 1, "dropped": 1})
        self.assertEqual(self.callback([{"n": "yes"}], "b"), {"parked": 1})
        before = self.parked()
        self.assertEqual([one["item_sha256"] for one in before["parked"]], [sha256({"n": 0}), sha256({"n": "yes"})])
        self.assertEqual(before["dropped"]["total"], 300)

    def test_what_was_counted_without_room_is_written_when_the_daemon_ends(self):
        self.start()
        self.fill()
        self.assertEqual(self.callback([{"n": 1}, good("g", "org_b")], "b"), {"accepted": 1, "dropped": 1})
        before = self.parked()
        self.assertEqual(before["dropped"]["total"], 1)
        os.unlink(os.path.join(self.inside, "filler"))
        with open(os.path.join(self.inside, "parked.ndjson"), "rb") as file:
            self.assertEqual(file.read(), b"")
            self.assertEqual(self.daemon.stop(), 0)
            file.seek(0)
            self.assertIn(b'{"dropped":{', file.read())


class Torn(Case):
    def test_a_torn_last_line_swallows_nothing(self):
        self.daemon.start()
        self.assertEqual(self.callback([{"n": 1}], "all"), {"parked": 1})
        self.assertEqual(self.daemon.stop(), 0)
        path = os.path.join(self.daemon.folder, "parked", "parked.ndjson")
        with open(path, "ab") as file:
            file.write(b'{"number":2,"received_at":"2026-01-0')
        self.daemon.start()
        self.assertEqual(self.callback([{"n": 2}], "all"), {"parked": 1})
        self.assertEqual(self.daemon.stop(), 0)
        self.daemon.start()
        self.assertEqual([one["item_sha256"] for one in self.parked()["parked"]], [sha256({"n": 1}), sha256({"n": 2})])

    def test_lines_of_earlier_versions_are_read_also_what_a_torn_one_swallowed(self):
        line = ('{"number":%d,"received_at":"2026-01-01T00:00:00Z","door":"litellm","key":"b","org":"org_b",'
                '"code":"wrong_type","field":"","detail":"the item is not an object","facts":{"id":"%s"}}')
        os.makedirs(os.path.join(self.daemon.folder, "parked"))
        with open(os.path.join(self.daemon.folder, "parked", "parked.ndjson"), "w") as file:
            file.write("\n".join([line % (1, "x"), (line % (2, "torn"))[:90] + line % (3, "y"), line % (3, "z"), ""]))
        self.daemon.start()
        seen = self.parked("b")["parked"]
        self.assertEqual([(one["number"], one["facts"]["id"], one["times"]) for one in seen],
                         [(1, "x", 1), (3, "y", 1), (4, "z", 1)])
        for one in seen:
            self.assertEqual({one[name] for name in ("received_at", "first_received_at", "last_received_at")},
                             {"2026-01-01T00:00:00Z"})
            self.assertNotIn("item_sha256", one)
        self.assertEqual(self.parked("b", "?after=3")["parked"], seen[2:])


if __name__ == "__main__":
    unittest.main()
