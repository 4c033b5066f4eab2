"""Random streams through the real daemon, and every number it answers against the oracle's.

    python3 Tests/oracle/run.py --seeds 1..200 --events 2000 [--bin DIR] [--jobs 2] [--corrections]
        [--seconds N] [--keep]

Exit code 0: all agree; 1: some seed does not (its number is printed first, then the first differences).
"""

import argparse
import concurrent.futures
import json
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]

from compare import Comparison  # noqa: E402
from generate import Generator, dumps  # noqa: E402
from harness import Daemon  # noqa: E402
from oracle import Oracle  # noqa: E402

BATCH = 500
EXPIRY_SECONDS = 15     # within which the daemon must have recorded that a lot has ended


class Failure(Exception):
    pass


class Run:
    def __init__(self, seed, events, corrections):
        self.seed, self.events = seed, events
        self.stream = Generator(seed, corrections).stream(events)
        self.daemon = Daemon()

    def post(self, batch):
        """Every item must be answered as the generator says."""
        body = b"[" + b",".join(dumps(event).encode() for event, _ in batch) + b"]"
        answer = self.daemon.request("POST", "/v1/events", body, headers={"Prefer": "return=representation"},
                                     connection=self.connection)
        if answer.status != 200:
            raise Failure(f"POST /v1/events: {answer}")
        results = answer.json["results"]
        for (event, verdict), result in zip(batch, results, strict=True):
            if result["status"] != verdict:
                errors = [one for one in answer.json["errors"] if one.get("id") == event["id"]]
                raise Failure(f"{result['status']}, not {verdict}: {dumps(event)} {errors}")

    def exported(self):
        done = self.daemon.replay("export")
        if done.returncode != 0:
            raise Failure(f"export: {done.returncode} {done.stderr.decode(errors='replace')}")
        return done.stdout

    def wait_for_expiry(self):
        """Until every lot that has ended is recorded as expired."""
        end = time.monotonic() + EXPIRY_SECONDS
        while True:
            oracle = Oracle().read(self.exported().splitlines())
            now = time.time_ns() // 1000
            due = [lot.id for lot in oracle.lots.values() if lot.left and lot.expires is not None and lot.expires < now]
            if not due:
                return
            if time.monotonic() > end:
                raise Failure(f"lots that ended long ago are not expired after {EXPIRY_SECONDS} s: {due}")
            time.sleep(0.2)

    def close_windows(self):
        answer = self.daemon.request("POST", "/v1/lago/windows/close", connection=self.connection)
        if answer.status != 200:
            raise Failure(f"POST /v1/lago/windows/close: {answer}")

    def differences(self):
        r = random.Random(f"run {self.seed}")
        self.daemon.start()
        self.connection = self.daemon.connect()
        waits = r.random() < 0.2
        pending = self.stream
        while pending:
            size = r.choice((1, 17, BATCH, BATCH, BATCH)) if len(pending) > 1 else 1
            batch, pending = pending[:size], pending[size:]
            self.post(batch)
            if r.random() < 0.05:
                self.post([(event, "conflict" if verdict == "conflict" else "duplicate") for event, verdict in batch])
            if r.random() < 0.25:
                self.close_windows()
            if waits and r.random() < 0.2:
                self.wait_for_expiry()
        if waits:
            self.wait_for_expiry()
        if r.random() < 0.8:
            self.close_windows()
        return self.compared()

    def compared(self):
        """The daemon may write on its own: asked again until nothing came between."""
        for _ in range(20):
            log = self.exported()
            oracle = Oracle().read(log.splitlines())
            comparison = Comparison(oracle, self.ask, time.time_ns() // 1000)
            comparison.all()
            settled = self.daemon.high_water() == oracle.position and comparison.positions <= {oracle.position}
            if settled and time.time_ns() // 86_400_000_000_000 == comparison.now // 86_400_000_000:
                return comparison.differences
        raise Failure("the log does not come to rest")

    def ask(self, path, position):
        """(position seen, answer or None when nothing is known)"""
        answer = self.daemon.request("GET", path, headers={"X-Min-Position": str(position)}, connection=self.connection)
        if answer.status == 404:
            return position, None
        if answer.status != 200:
            raise Failure(f"GET {path}: {answer}")
        return int(answer.headers["x-position"]), answer.json


def one(seed, events, corrections, keep):
    run = Run(seed, events, corrections)
    try:
        return [str(line) for line in run.differences()]
    except Failure as failure:
        return [str(failure)]
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    finally:
        if keep:
            run.daemon.stop()
            print(f"seed {seed}: kept in {run.daemon.folder}", flush=True)
        else:
            run.daemon.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1..10", help="A..B or one number")
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--bin", help="folder of the binaries")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--corrections", action="store_true", help="voids and amendments too")
    parser.add_argument("--seconds", type=float, help="start no further seed after so long")
    parser.add_argument("--first", action="store_true", help="start no further seed after the first that fails")
    parser.add_argument("--keep", action="store_true", help="leave the data folders")
    parser.add_argument("--lines", type=int, default=10, help="differences shown of each seed")
    options = parser.parse_args()
    if options.bin:
        os.environ["TALLYSTICK_BIN"] = os.path.abspath(options.bin)
    first, _, last = options.seeds.partition("..")
    seeds = range(int(first), int(last or first) + 1)
    begun, failed, done = time.monotonic(), [], 0
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        waiting, running = list(seeds), {}
        while waiting or running:
            late = options.seconds and time.monotonic() - begun > options.seconds
            if late or (failed and options.first):
                waiting = []
            while waiting and len(running) < options.jobs:
                seed = waiting.pop(0)
                running[pool.submit(one, seed, options.events, options.corrections, options.keep)] = seed
            ended, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in ended:
                seed, differences = running.pop(future), future.result()
                done += 1
                if differences:
                    failed.append(seed)
                    again = f"python3 Tests/oracle/run.py --seeds {seed} --events {options.events} --keep"
                    print(f"seed {seed} FAILED, {len(differences)} differences; again: {again}"
                          f"{' --corrections' if options.corrections else ''}")
                    for line in differences[:options.lines]:
                        print(f"  {line}", flush=True)
    took = time.monotonic() - begun
    # The form that ops/count.py reads.
    print(f"Ran {done} tests in {took:.1f}s ({options.events} events each)\n")
    print(f"FAILED (failures={len(failed)}): seeds {sorted(failed)}" if failed else "OK")
    return 1 if failed or not done else 0


if __name__ == "__main__":
    sys.exit(main())
