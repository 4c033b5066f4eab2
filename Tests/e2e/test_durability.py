"""Restarts, kill -9 under load, failing disks, rebuilt read models, export and import."""

import glob
import http.client
import json
import os
import random
import shutil
import threading
import time
import unittest

from harness import LONG, Daemon, call, captures, event, post_starter, starter

QUESTIONS = (
    "/v1/orgs/org_acme", "/v1/orgs/org_acme/credits", "/v1/orgs/org-1/credits",
    "/v1/orgs/org_acme/calls?period=2026-11",
    "/v1/orgs/org_acme/tokens?group_by=day,model,user", "/v1/tokens?group_by=org", "/v1/orgs/org_acme/statement",
    "/v1/lago/batches", "/v1/events/3",
)


def fill(daemon):
    post_starter(daemon)
    for _, body in captures():
        daemon.post("/v1/ingest/litellm", body)
    daemon.post("/v1/events", starter("calls.json"))
    daemon.post("/v1/lago/windows/close", None)


class Folder(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)

    def answers(self):
        end = self.daemon.high_water()
        return {path: self.daemon.read(path, end) for path in QUESTIONS}

    def assertVerified(self, daemon=None):
        done = (daemon or self.daemon).replay("verify")
        self.assertEqual(done.returncode, 0, done)


class Restarts(Folder):
    def test_a_restart_keeps_every_answer(self):
        self.daemon.start()
        fill(self.daemon)
        answers, digests = self.answers(), self.daemon.digests()
        self.assertVerified()
        self.assertEqual(self.daemon.stop(), 0)
        self.assertVerified()
        self.daemon.start()
        self.assertEqual(self.daemon.digests(), digests)
        self.assertEqual(self.answers(), answers)
        again = self.daemon.post("/v1/events", starter("calls.json")).json
        self.assertEqual((again["accepted"], again["duplicates"]), (0, 3))

    def test_each_read_model_comes_back_the_same(self):
        self.daemon.start()
        fill(self.daemon)
        answers, digests = self.answers(), self.daemon.digests()
        self.assertEqual(set(digests), {"calls", "credits", "tokens", "lago", "alerts"})
        for name in sorted(digests):
            with self.subTest(name):
                self.assertEqual(self.daemon.stop(), 0)
                found = glob.glob(os.path.join(self.daemon.folder, "readmodels", f"{name}.sqlite*"))
                self.assertTrue(found)
                for path in found:
                    os.unlink(path)
                self.daemon.start()
                self.assertEqual(self.daemon.digests(), digests)
                self.assertEqual(self.answers(), answers)
        self.assertEqual(self.daemon.stop(), 0)
        done = self.daemon.replay("rebuild")
        self.assertEqual(done.returncode, 0, done)
        self.daemon.start()
        self.assertEqual(self.daemon.digests(), digests)

    def test_export_import_diff(self):
        self.daemon.start()
        fill(self.daemon)
        # A correction keeps more than its event says: what it unwinds.
        answer = self.daemon.post("/v1/events", [call("to void"), call("to amend")])
        self.assertEqual(answer.json["accepted"], 2, answer)
        stored = call("to void")
        answer = self.daemon.post("/v1/events", [
            {"specversion": "1.0", "source": stored["source"], "id": "a void", "type": "llm.call.voided",
             "data": {"source": stored["source"], "id": stored["id"], "reason": "test"}},
            {"specversion": "1.0", "source": stored["source"], "id": "an amendment", "type": "llm.call.amended",
             "data": {"source": stored["source"], "id": call("to amend")["id"], "reason": "test",
                      "call": call("to amend", usage={"input_tokens": 10, "output_tokens": 1})["data"]}}])
        self.assertEqual(answer.json["accepted"], 2, answer)
        digests = self.daemon.digests()
        exported = self.daemon.replay("export")
        self.assertEqual(exported.returncode, 0, exported.stderr)
        lines = exported.stdout.splitlines()
        self.assertEqual(len(lines), self.daemon.high_water())
        for line in lines:
            json.loads(line)
        copy = Daemon()
        self.addCleanup(copy.close)
        done = copy.replay("import", input=exported.stdout)
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(copy.replay("export").stdout, exported.stdout)
        copy.start()
        self.assertEqual(copy.digests(), digests)
        same = self.daemon.replay("diff", self.daemon.folder, copy.folder, folder=False)
        self.assertEqual(same.returncode, 0, same)
        copy.post("/v1/events", call("one more"))
        copy.digests()
        other = self.daemon.replay("diff", self.daemon.folder, copy.folder, folder=False)
        self.assertEqual(other.returncode, 1, other)

    def test_one_daemon_a_folder(self):
        self.daemon.start()
        second = Daemon(self.daemon.folder)
        second.keys = self.daemon.keys
        second.log_path += ".second"
        self.addCleanup(second.close)
        second.start(wait=False)
        self.assertNotEqual(second.process.wait(timeout=60), 0)
        second.process = None
        self.assertEqual(self.daemon.get("/healthz").status, 200)

    def test_a_changed_byte_is_found(self):
        self.daemon.start()
        fill(self.daemon)
        self.daemon.digests()
        self.assertEqual(self.daemon.stop(), 0)
        path = os.path.join(self.daemon.folder, "log", "data.mdb")
        with open(path, "r+b") as file:
            content = file.read()
            at = content.find(b"ops-center")
            self.assertGreater(at, 0)
            while at >= 0:
                file.seek(at)
                file.write(b"X")
                at = content.find(b"ops-center", at + 1)
        done = self.daemon.replay("verify")
        self.assertEqual(done.returncode, 1, done)


class Ending(Folder):
    def test_sigterm_drains(self):
        self.daemon.start()
        stop, acknowledged, refused = threading.Event(), [], []

        def post(worker):
            connection = self.daemon.connect()
            number = 0
            while not stop.is_set():
                id = f"w{worker}-{number}"
                number += 1
                try:
                    answer = self.daemon.post("/v1/events", [call(id)], connection=connection)
                except (OSError, http.client.HTTPException):
                    connection.close()
                    return
                (acknowledged if answer.status == 200 else refused).append(id)

        workers = [threading.Thread(target=post, args=(n,)) for n in range(8)]
        for worker in workers:
            worker.start()
        end = time.monotonic() + 120
        while len(acknowledged) < 200 and time.monotonic() < end:
            time.sleep(0.01)
        code = self.daemon.stop()
        stop.set()
        for worker in workers:
            worker.join()
        self.assertEqual(code, 0)
        self.assertGreaterEqual(len(acknowledged), 200)
        self.daemon.start()
        stored = [one["event"]["id"] for one in self.daemon.events()]
        self.assertEqual(len(stored), len(set(stored)))
        self.assertLessEqual(set(acknowledged), set(stored))
        self.assertVerified()


class Killed(Folder):
    rounds = 100 if LONG else 30

    def test_no_acknowledged_event_is_lost_and_none_is_there_twice(self):
        """Workers post batches with new ids, and again those whose fate they do not know, as a gateway would."""
        seeded = random.Random(20261122)
        acknowledged, unknown, faults, lock = set(), [], [], threading.Lock()
        sent = 0
        for round in range(self.rounds):
            self.daemon.start()
            stop = threading.Event()

            def post(worker):
                number = 0
                connection = self.daemon.connect()
                while not stop.is_set():
                    with lock:
                        batch = unknown.pop() if unknown and number % 3 == 0 else None
                    batch = batch or [f"r{round}-w{worker}-{number}-{n}" for n in range(1 + number % 20)]
                    number += 1
                    try:
                        answer = self.daemon.post("/v1/events", [call(id) for id in batch], connection=connection)
                    except (OSError, http.client.HTTPException):
                        with lock:
                            unknown.append(batch)
                        return
                    if answer.status == 200 and answer.json["rejected"] == 0:
                        with lock:
                            acknowledged.update(batch)
                    elif answer.status != 503:
                        faults.append(answer)
                        return

            workers = [threading.Thread(target=post, args=(n,)) for n in range(6)]
            for worker in workers:
                worker.start()
            # The kill comes at a random moment of the load: not before there is any, however slow the machine.
            end = time.monotonic() + 60
            while len(acknowledged) == sent and not faults and time.monotonic() < end:
                time.sleep(0.005)
            time.sleep(seeded.uniform(0.0, 0.35))
            self.daemon.kill()
            stop.set()
            for worker in workers:
                worker.join()
            self.assertEqual(faults, [], f"round {round}")
            self.assertGreater(len(acknowledged), sent, f"round {round}: nothing was acknowledged")
            sent = len(acknowledged)
        self.daemon.start()
        stored = self.daemon.events()
        self.assertEqual([one["position"] for one in stored], list(range(1, len(stored) + 1)))
        ids = [one["event"]["id"] for one in stored]
        self.assertEqual(len(ids), len(set(ids)), "an event is stored twice")
        self.assertEqual(acknowledged - set(ids), set(), "acknowledged, and not in the log")
        totals = self.daemon.read("/v1/tokens", len(ids))["totals"]
        self.assertEqual(totals["calls"], len(ids))
        self.assertVerified()
        self.assertEqual(self.daemon.stop(), 0)
        self.assertVerified()


@unittest.skipUnless(shutil.which("strace"), "strace is not installed")
class FailingDisk(Folder):
    def run_with(self, fault):
        """Starts the daemon with a fault that will strike, posts until it ends; the ids that were acknowledged."""
        self.daemon.start(prefix=("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={fault.split(':')[0]}",
                                  "-e", f"inject={fault}"), wait=False)
        try:
            self.daemon.wait_ready()
        except RuntimeError:
            return [], self.daemon.process.wait(timeout=60)
        acknowledged = []
        for number in range(400):
            id = f"{fault}-{number}"
            try:
                answer = self.daemon.post("/v1/events", call(id))
            except (OSError, http.client.HTTPException):
                break
            if answer.status != 200:
                break
            acknowledged.append(id)
        code = self.daemon.process.wait(timeout=60)
        self.daemon.process = None
        return acknowledged, code

    def test_a_failed_sync_ends_the_process_without_an_answer(self):
        self.daemon.start()
        self.daemon.post("/v1/events", [call(f"first{n}") for n in range(10)])
        self.assertEqual(self.daemon.stop(), 0)
        known = {f"first{n}" for n in range(10)}
        for when in (15, 40):
            with self.subTest(when=when):
                acknowledged, code = self.run_with(f"fdatasync:error=EIO:when={when}+")
                self.assertNotEqual(code, 0, self.daemon.log())
                # It ran, and took events until the disk failed; the syscall is counted for each thread.
                self.assertTrue(acknowledged, self.daemon.log())
                known.update(acknowledged)
                self.daemon.start()
                stored = {one["event"]["id"] for one in self.daemon.events()}
                self.assertLessEqual(known, stored)
                # The event that was under way may be there (it was sent to the disk), but was not acknowledged.
                again = self.daemon.post("/v1/events", call("after")).json
                self.assertEqual(again["accepted"] + again["duplicates"], 1)
                known.add("after")
                self.assertEqual(self.daemon.stop(), 0)
                self.assertVerified()


if __name__ == "__main__":
    unittest.main()
