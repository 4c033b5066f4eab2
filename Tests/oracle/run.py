"""Random streams through the real daemon, and every number it answers against the oracle's.

    python3 Tests/oracle/run.py --seeds 1..200 --events 2000 [--bin DIR] [--jobs 2] [--corrections]

Exit code 0: all agree; 1: some seed does not (its number is printed first, then the first differences).
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]

from asking import Asked  # noqa: E402
from authorizations import key_of  # noqa: E402
from compare import Comparison, meaning, missing, quote  # noqa: E402
from generate import Generator, dumps  # noqa: E402
from harness import Daemon, binary  # noqa: E402
from oracle import Oracle, records_of  # noqa: E402
from values import Decimal  # noqa: E402

BATCH = 500
EXPIRY_SECONDS = 15     # within which the daemon must have recorded that a lot has ended
BEHIND_SECONDS = 600    # that a projection may be behind the log
IDLE_SECONDS = 2        # after which a connection is not trusted to be open still
CLOSINGS = 20           # of Lago's windows in one stream, about, at most
SHORT_EVENTS = 20_000   # in a stream at most to keep it in memory, and to ask for answers as of a position
WAITS = 3               # for expiry in one stream, at most


class Failure(Exception):
    pass


class Records:
    """Of an open file, each time from its beginning."""

    def __init__(self, file):
        self.file = file

    def __iter__(self):
        self.file.seek(0)
        return records_of(self.file)


class Run:
    def __init__(self, seed, events, corrections):
        self.seed, self.events, self.corrections = seed, events, corrections
        self.daemon = Daemon()
        self.connection, self.used = None, 0
        self.position = 0       # of the last record that is known of
        self.asked = {}         # position: [Asked]
        self.asks = {}          # (owner, id): the first question with hold
        self.made = None        # the stream

    def stream(self):
        """(event, verdict, as JSON)"""
        made = ((event, verdict, dumps(event)) for event, verdict in Generator(
            self.seed, self.corrections).stream(self.events))
        if self.events > SHORT_EVENTS:
            return made
        self.made = self.made or list(made)
        return iter(self.made)

    def oracle(self):
        oracle = Oracle(keeps_calls=self.corrections)
        oracle.asked, oracle.asks = self.asked, self.asks
        return oracle

    def request(self, *arguments, **more):
        if self.connection is None or time.monotonic() - self.used > IDLE_SECONDS:
            self.connection = self.daemon.connect()
        answer = self.daemon.request(*arguments, connection=self.connection, **more)
        self.used = time.monotonic()
        return answer

    def post(self, batch):
        """Every item must be answered as the generator says."""
        body = "[" + ",".join(text for _, _, text in batch) + "]"
        answer = self.request("POST", "/v1/events", body.encode(), headers={"Prefer": "return=representation"})
        if answer.status != 200:
            raise Failure(f"POST /v1/events: {answer}")
        results = answer.json["results"]
        self.position = max(self.position, int(answer.headers["x-position"]))
        for (event, verdict, text), result in zip(batch, results, strict=True):
            verdict, _, code = verdict.partition(" ")
            if result["status"] != {"refused": "rejected"}.get(verdict, verdict):
                errors = [one for one in answer.json["errors"] if one.get("id") == event["id"]]
                # A lot may have ended, or be spent, before it is voided.
                if verdict == "perhaps" and all(one["code"] == "lot_empty" for one in errors):
                    continue
                raise Failure(f"{result['status']}, not {verdict}: {text} {errors}")
            if code:
                codes = [one["code"] for one in answer.json["errors"] if one.get("id") == event["id"]]
                if code not in codes:
                    raise Failure(f"refused for {codes}, not for {code}: {text}")

    def ask_whether(self, body, verdict):
        """May this call run; or what was held for it is free again."""
        owner, id = key_of(body, body["id"])
        body_text = dumps(body)
        now = time.time_ns() // 1000
        if verdict == "release":
            answer = self.request("DELETE", f"/v1/authorizations/{quote(id)}?{owner[0]}={quote(owner[1])}")
        else:
            answer = self.request("POST", "/v1/authorizations", body_text.encode())
        if answer.status not in (200, 402, 404, 409, 429):
            raise Failure(f"{verdict} {body_text}: {answer}")
        body = json.loads(body_text, parse_float=Decimal)
        asked = Asked(verdict, body, now, answer, self.position)
        if asked.wrote:
            self.asks[owner, id] = body
        self.position = max(self.position, asked.position)
        self.asked.setdefault(asked.position, []).append(asked)

    def exported(self):
        """The log's records: those of a long stream again and again from a file, one by one."""
        file = tempfile.TemporaryFile()
        done = subprocess.run(
            [binary("tallystick-replay"), "export", "--data", self.daemon.folder], stdout=file, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise Failure(f"export: {done.returncode} {done.stderr.decode(errors='replace')}")
        file.seek(0)
        if self.events > SHORT_EVENTS:
            return Records(file)
        with file:
            return list(records_of(file))

    def wait_for_expiry(self):
        """Until every lot that has ended is recorded as expired."""
        end = time.monotonic() + EXPIRY_SECONDS
        while True:
            # Of a long stream the oracle is longer at its reading than that.
            exported = time.monotonic()
            oracle = self.oracle().read(self.exported())
            now = time.time_ns() // 1000
            due = [lot.id for lot in oracle.lots.values() if lot.left and lot.expires is not None and lot.expires < now]
            if not due:
                return
            if exported > end:
                raise Failure(f"lots that ended long ago are not expired after {EXPIRY_SECONDS} s: {due}")
            time.sleep(0.2)

    def close_windows(self):
        answer = self.request("POST", "/v1/lago/windows/close")
        if answer.status != 200:
            raise Failure(f"POST /v1/lago/windows/close: {answer}")

    def differences(self):
        r = random.Random(f"run {self.seed}")
        self.daemon.start()
        waits = WAITS if r.random() < 0.2 else 0
        restarts = r.random() < 0.2
        stream = self.stream()
        while batch := list(itertools.islice(stream, r.choice((1, 17, BATCH, BATCH, BATCH)))):
            self.send(batch)
            batch = [item for item in batch if item[0]["type"] != "ask"]
            if restarts and r.random() < 0.1:
                # What it answers follows from the log alone.
                restarts, self.connection = False, None
                self.daemon.kill()
                self.daemon.start()
            if batch and r.random() < 0.05:
                self.post([(event, "duplicate" if verdict == "accepted" else verdict, text)
                           for event, verdict, text in batch])
            if r.random() < min(0.25, CLOSINGS * BATCH / self.events):
                self.close_windows()
            if waits > 1 and r.random() < 0.2:
                waits -= 1
                self.wait_for_expiry()
        if waits:
            self.wait_for_expiry()
        if r.random() < 0.8:
            self.close_windows()
        return self.compared()

    def send(self, items):
        """Events in one request, up to the next question."""
        for is_question, run in itertools.groupby(items, lambda item: item[0]["type"] == "ask"):
            if not is_question:
                self.post(list(run))
                continue
            for question, verdict, _ in run:
                self.ask_whether(question["body"], verdict)

    def content_differences(self, log):
        """What was sent against what is stored, in order: values, not the way they were written."""
        stored = (record["event"] for record in log if record["door"] != "daemon")
        found = next(stored, None)
        perhaps = set()
        for event, verdict, text in self.stream():
            if verdict == "perhaps":
                # Refused at first, such a one may have been taken when it was sent again.
                perhaps.add((event["source"], event["id"]))
            if verdict != "accepted":
                continue
            while found is not None and (found["source"], found["id"]) in perhaps:
                found = next(stored, None)
            if found is None or (found["source"], found["id"]) != (event["source"], event["id"]):
                yield f"{event['id']} is not in the log where it was sent"
                return
            said = json.loads(text, parse_float=Decimal)
            if "time" in found and "time" not in said:
                yield f"{event['id']}: stored with a time, sent without"
            elif wrong := missing(meaning(None, said), meaning(None, found)):
                yield f"{event['id']} {wrong}"
            found = next(stored, None)
        if found is not None and (found["source"], found["id"]) not in perhaps:
            yield f"{found['id']} is in the log and was not sent"

    def compared(self):
        """The daemon may write on its own: asked again until nothing came between."""
        oracle, as_of = self.oracle(), []
        for _ in range(20):
            log = self.exported()
            comparison = Comparison(oracle, self.ask, time.time_ns() // 1000)
            rest = itertools.islice(log, oracle.position, None)
            # Answers as of a position fold the log anew, one after another: not for a long one.
            if self.events <= SHORT_EVENTS and oracle.position == 0:
                oracle.read(itertools.islice(rest, random.Random(self.seed).randint(1, len(log))))
                comparison.as_of(len(log))
                as_of, comparison.differences = comparison.differences, []
            oracle.read(rest)
            comparison.all()
            settled = self.daemon.high_water() == oracle.position and comparison.positions <= {oracle.position}
            if settled and time.time_ns() // 86_400_000_000_000 == comparison.now // 86_400_000_000:
                return [*self.content_differences(log), *as_of, *comparison.differences]
        raise Failure("the log does not come to rest")

    def ask(self, path, position, lines):
        """(position seen, answer or None when nothing is known)"""
        end = time.monotonic() + BEHIND_SECONDS
        while True:
            answer = self.request("GET", path, headers={"X-Min-Position": str(position)})
            if answer.status != 503 or answer.json.get("code") != "not_caught_up" or time.monotonic() > end:
                break
        if answer.status == 404:
            return position, None
        if answer.status != 200:
            raise Failure(f"GET {path}: {answer}")
        if lines:
            return int(answer.headers["x-position"]), (answer.lines, int(answer.headers["x-next-after"]))
        return int(answer.headers["x-position"]), answer.json


def one(seed, events, corrections, keep):
    run = Run(seed, events, corrections)
    try:
        return [str(line) for line in run.differences()]
    except Failure as failure:
        return [str(failure)]
    except Exception as error:
        ended = run.daemon.process and run.daemon.process.poll()
        return [f"{type(error).__name__}: {error}", *(
            [f"the daemon ended with {ended}: {run.daemon.log()[-1500:]}"] if ended is not None else [])]
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
            if failed and options.first:
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
