"""Snapshots beside a daemon under load, killed ones, restored ones; nothing that was changed passes."""

import glob
import http.client
import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

from harness import LONG, ROOT, Daemon, binary, call
from test_durability import QUESTIONS, fill


class Folder(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.root = tempfile.mkdtemp(prefix="tallystick-e2e-")
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.root, name)

    def tool(self, *words, code=0):
        done = subprocess.run([binary("tallystick-replay"), *words], capture_output=True, timeout=600)
        self.assertEqual(done.returncode, code, (words, done.stdout[-2000:], done.stderr[-2000:]))
        return done

    def snapshot(self, name, *more, code=0):
        done = self.tool("snapshot", "--data", self.daemon.folder, "--to", self.path(name), "--json", *more, code=code)
        return json.loads(done.stdout) if code == 0 else None

    def restored(self, *names):
        """A daemon on what these snapshots give."""
        folder = self.path("restored-" + "-".join(names))
        self.tool("restore", *[self.path(name) for name in names], "--data", folder)
        copy = Daemon(folder)
        copy.keys = dict(self.daemon.keys)
        self.addCleanup(copy.close)
        return copy

    def answers(self, daemon, position):
        """All that can be asked, as of the position that it is at."""
        paths = [
            *QUESTIONS, "/v1/projections", "/v1/parked", "/v1/unpriced?org=org_acme", "/v1/alerts", "/v1/alerts/firings",
            "/v1/users/u_ann/credits", f"/v1/orgs/org_acme/credits?as_of={position // 2}",
            f"/v1/events?after=0&limit=1000",
        ]
        found = {}
        for path in paths:
            answer = daemon.get(path, headers={"X-Min-Position": str(position)})
            if "as_of" not in path:
                self.assertEqual(answer.headers.get("x-position", str(position)), str(position), (path, answer))
            found[path] = (answer.status, answer.body)
        for batch in json.loads(found["/v1/lago/batches"][1])["batches"]:
            path = f"/v1/lago/batches/{batch['id']}/events"
            found[path] = daemon.get(path).body
        return found


class Load:
    """Workers that post batches until told to stop, or until that many events are in."""

    def __init__(self, daemon, workers=4, batch=50, most=1 << 60):
        self.daemon, self.batch, self.most, self.stopping = daemon, batch, most, threading.Event()
        self.acknowledged = 0
        self.lock = threading.Lock()
        self.workers = [threading.Thread(target=self.post, args=(n,)) for n in range(workers)]
        for worker in self.workers:
            worker.start()

    def post(self, worker):
        connection = self.daemon.connect()
        number = 0
        while not self.stopping.is_set() and self.acknowledged < self.most:
            number += 1
            events = [call(f"load-{worker}-{number}-{n}", user=f"u{n}") for n in range(self.batch)]
            try:
                answer = self.daemon.post("/v1/events", events, connection=connection)
            except (OSError, http.client.HTTPException):
                return
            if answer.status == 200:
                with self.lock:
                    self.acknowledged += answer.json["accepted"]

    def wait(self, count, seconds=60):
        end = time.monotonic() + seconds
        while self.acknowledged < count and time.monotonic() < end:
            time.sleep(0.01)
        return self.acknowledged

    def stop(self):
        self.stopping.set()
        for worker in self.workers:
            worker.join()


class Restore(Folder):
    def test_a_restored_daemon_answers_as_the_original_did_and_goes_on(self):
        self.daemon.start()
        fill(self.daemon)
        self.daemon.digests()
        for name in ("full", "full.tar"):
            made = self.snapshot(name)
            self.assertEqual(made["position"], self.daemon.high_water())
            self.tool("verify", self.path(name))
        first = self.daemon.high_water()
        before = self.answers(self.daemon, first)
        # What comes later is not in it, but in the one that goes on from it.
        self.daemon.post("/v1/events", [call(f"later{n}", org="org_acme") for n in range(5)])
        self.daemon.digests()
        made = self.snapshot("next.tar", "--incremental", self.path("full"))
        self.assertEqual((made["first_position"], made["position"]), (first + 1, first + 5))
        after = self.answers(self.daemon, first + 5)
        self.assertNotEqual(before, after)
        for names, answers, position in ((("full",), before, first), (("full.tar",), before, first),
                                         (("next.tar",), after, first + 5)):
            with self.subTest(names):
                copy = self.restored(*names)
                copy.start()
                self.assertEqual(self.answers(copy, position), answers)
                self.assertEqual(copy.post("/v1/events", call("and on")).json["first_position"], position + 1)
                # The index of keys came back: what is there already is a duplicate.
                self.assertEqual(copy.post("/v1/events", call("and on")).json["duplicates"], 1)
                self.assertEqual(copy.replay("verify").returncode, 0)
                self.assertEqual(copy.stop(), 0)

    def test_without_a_daemon_and_without_read_models(self):
        self.daemon.start()
        fill(self.daemon)
        digests = self.daemon.digests()
        self.assertEqual(self.daemon.stop(), 0)
        shutil.rmtree(os.path.join(self.daemon.folder, "readmodels"))
        self.snapshot("full")
        self.tool("verify", self.path("full"))
        copy = self.restored("full")
        copy.start()
        self.assertEqual(copy.digests(), digests)

    def test_what_cannot_be_done_is_said_and_changes_nothing(self):
        self.daemon.start()
        fill(self.daemon)
        self.snapshot("full")
        for words in (
            ("snapshot", "--data", self.daemon.folder, "--to", self.path("full")),
            ("snapshot", "--data", self.daemon.folder),
            ("snapshot", "--data", self.path("nothing"), "--to", self.path("x")),
            ("snapshot", "--data", self.daemon.folder, "--to", self.path("x"), "--incremental", self.path("nothing")),
            ("restore", self.path("full"), "--data", self.daemon.folder),
            ("restore", self.path("full"), "--data", self.path("full")),
            ("restore", self.path("nothing"), "--data", self.path("x")),
            ("restore", "--data", self.path("x")),
        ):
            self.tool(*words, code=2)
        self.assertEqual(os.listdir(self.root), ["full"])


class Beside(Folder):
    def test_under_load_the_log_does_not_grow_by_more_than_the_load(self):
        """A reader that stays keeps every page that is freed meanwhile: the file grows, whatever comes in."""
        self.daemon.start()
        fill(self.daemon)
        load = Load(self.daemon, batch=200)
        self.addCleanup(load.stop)
        log = os.path.join(self.daemon.folder, "log", "data.mdb")
        load.wait(60_000)

        def growth(body):
            """Bytes of data.mdb, and records that came meanwhile."""
            size, count = os.stat(log).st_size, load.acknowledged
            body()
            return os.stat(log).st_size - size, load.acknowledged - count

        made = []

        def several():
            start = load.acknowledged
            while load.acknowledged < start + 40_000 or len(made) < 2:
                made.append(self.snapshot(f"under-load-{len(made)}"))

        alone, alone_records = growth(lambda: load.wait(load.acknowledged + 40_000))
        size = os.stat(log).st_size
        beside, records = growth(several)
        extra = beside - alone / alone_records * records
        print(f"\ndata.mdb: {alone / alone_records:.1f} bytes a record alone, {beside / records:.1f} beside "
              f"{len(made)} snapshots, the last of {made[-1]['bytes']} bytes in {made[-1]['milliseconds']} ms: "
              f"{100 * extra / size:.1f} % of the file")
        self.assertLess(extra, 0.1 * size)
        step = self.snapshot("step", "--incremental", self.path(f"under-load-{len(made) - 1}"))
        self.assertGreater(step["position"], made[-1]["position"])
        load.stop()
        # Each is one position of the same history.
        for name, one in [(f"under-load-{len(made) - 1}", made[-1]), ("step", step)]:
            self.tool("verify", self.path(name))
            copy = self.restored(name)
            done = self.tool("diff", self.daemon.folder, copy.folder, code=1)
            self.assertIn(b"up to the shorter end they are the same", done.stdout)
            copy.start()
            self.assertEqual(copy.high_water(), one["position"])
            self.assertEqual(copy.replay("verify").returncode, 0)

    def test_a_killed_snapshot_leaves_nothing_that_looks_whole(self):
        self.daemon.start()
        fill(self.daemon)
        load = Load(self.daemon, workers=2, most=20_000)
        self.addCleanup(load.stop)
        load.wait(5_000)
        seeded = random.Random(20261125)
        killed = 0
        for round in range(40 if LONG else 10):
            name = f"killed{round}" + seeded.choice(("", ".tar"))
            process = subprocess.Popen(
                [binary("tallystick-replay"), "snapshot", "--data", self.daemon.folder, "--to", self.path(name)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(seeded.uniform(0.0, 0.6))
            process.kill()
            killed += process.wait() != 0
            if os.path.exists(self.path(name)):
                self.tool("verify", self.path(name))
            else:
                self.assertNotEqual(self.tool("verify", self.path(name), code=2).returncode, 0)
                # The next one of that name is not in its way.
                if round % 4 == 0:
                    self.snapshot(name)
                    self.tool("verify", self.path(name))
                    self.assertFalse(os.path.exists(self.path(name) + ".partial"))
        self.assertGreater(killed, 0)
        load.stop()
        self.assertEqual(self.daemon.replay("verify").returncode, 0)

    def test_a_killed_restore_leaves_no_data_folder(self):
        self.daemon.start()
        fill(self.daemon)
        load = Load(self.daemon, workers=2, most=5_000)
        load.wait(5_000)
        load.stop()
        self.snapshot("full")
        seeded = random.Random(7)
        for round in range(20 if LONG else 6):
            folder = self.path(f"copy{round}")
            process = subprocess.Popen(
                [binary("tallystick-replay"), "restore", self.path("full"), "--data", folder],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(seeded.uniform(0.0, 0.8))
            process.kill()
            process.wait()
            if not os.path.exists(folder):
                self.tool("restore", self.path("full"), "--data", folder)
            self.tool("verify", "--data", folder)


class Changed(Folder):
    def test_what_was_changed_is_not_restored(self):
        self.daemon.start()
        fill(self.daemon)
        self.snapshot("full")
        self.assertEqual(self.daemon.stop(), 0)
        seeded = random.Random(1)
        files = sorted(path for path in glob.glob(self.path("full/**"), recursive=True)
                       if os.path.isfile(path) and os.path.getsize(path))
        self.assertGreater(len(files), 8)
        for path in files:
            with open(path, "rb") as file:
                content = bytearray(file.read())
            place = seeded.randrange(len(content))
            content[place] ^= 1 << seeded.randrange(8)
            with open(path, "r+b") as file:
                file.write(content)
            done = self.tool("restore", self.path("full"), "--data", self.path("copy"), code=1)
            self.assertIn(b"nothing was restored", done.stdout)
            self.tool("verify", self.path("full"), "--json", code=1)
            self.assertFalse(os.path.exists(self.path("copy")))
            shutil.rmtree(self.path("full"))
            self.snapshot("full")


class Scheduled(Folder):
    """What the timer units run."""

    def run_script(self, *words, code=0):
        folder = os.path.dirname(binary("tallystick-replay"))
        environment = dict(os.environ, PATH=folder + os.pathsep + os.environ["PATH"], TALLYSTICK_DATA=self.daemon.folder,
                           TALLYSTICK_SNAPSHOTS=self.path("snapshots"))
        done = subprocess.run([os.path.join(ROOT, "ops/snapshots"), *words], capture_output=True, env=environment,
                              timeout=600)
        self.assertEqual(done.returncode, code, done)
        return done

    def kept(self):
        return sorted(name for name in os.listdir(self.path("snapshots")) if not name.startswith("."))

    def test_daily_hourly_verify_and_what_is_kept(self):
        self.daemon.start()
        fill(self.daemon)
        # The first hour of all: there is nothing to go on from, so it is a full one.
        self.run_script("hourly")
        self.daemon.post("/v1/events", call("more"))
        self.run_script("hourly")
        self.run_script("daily")
        self.daemon.post("/v1/events", call("still more"))
        self.run_script("hourly")
        self.run_script("verify")
        names = self.kept()
        self.assertEqual(len([name for name in names if name.endswith("-full")]), 2, names)
        self.assertEqual(len([name for name in names if name.endswith("-more")]), 2, names)
        self.tool("verify", self.path("snapshots/" + names[-1]))
        # A day's chain goes, whole, once it ended before what is kept; the newest never.
        self.run_script("prune", "30")
        self.assertEqual(self.kept(), names)
        while time.strftime("%Y%m%dT%H%M%S", time.gmtime()) <= names[-2]:
            time.sleep(0.05)
        self.run_script("prune", "0")
        self.assertEqual(self.kept(), names[-2:])
        self.run_script("verify")
        with open(self.path(f"snapshots/{names[-1]}/checkpoint"), "r+b") as file:
            file.write(b"x")
        self.run_script("verify", code=1)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not installed")
    def test_units_are_units(self):
        units = sorted(glob.glob(os.path.join(ROOT, "ops/systemd/*.service")))
        timers = sorted(glob.glob(os.path.join(ROOT, "ops/systemd/*.timer")))
        self.assertEqual((len(units), len(timers)), (4, 3))
        done = subprocess.run(["systemd-analyze", "verify", *units, *timers], capture_output=True, text=True)
        # The programs are not installed where this runs.
        said = [line for line in done.stderr.splitlines()
                if "tallystick" in line and "No such file or directory" not in line]
        self.assertEqual(said, [])
        for unit in units:
            # Exposure of at most 1.5 of 10.
            done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=15", unit],
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, (unit, done.stdout[-300:], done.stderr))


if __name__ == "__main__":
    unittest.main()
