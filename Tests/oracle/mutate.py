"""Whether the comparison has teeth: faults of one line, put into a copy of the sources. Every one must turn it red, and
the copy without any must be green.

    python3 Tests/oracle/mutate.py [--only NAME,NAME] [--seeds 1..6] [--events 2000] [--list] [--configuration release]

All faults are built into one copy; which of them holds is told to the programs by an environment variable, so that
there is one build and not one for each. Some four minutes on two cores. Exit code 0: all were caught.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]
ROOT = os.path.dirname(os.path.dirname(HERE))

from generate import Generator, dumps  # noqa: E402
from harness import Daemon  # noqa: E402

COPIED = ("Package.swift", "Sources", "Schemas", "Replay", "Tests", "ops")

VARIABLE = "TALLYSTICK_MUTANT"
# What the faults look at: 0 for none.
SWITCH = ("Sources/Billing/Mutant.swift", f"""internal import Glibc

let mutant = getenv("{VARIABLE}").map {{ Int(atoi($0)) }} ?? 0
""")

# name: (file, what stands there exactly once, what is put in its place; N is the fault's number)
FAULTS = {
    "byok calls are charged": (
        "Sources/Billing/Rater.swift", "let isFree = call.keySource == .byok || isFailure",
        "let isFree = (call.keySource == .byok && mutant != N) || isFailure"),
    "cached input is priced twice": (
        "Sources/Billing/Rater.swift", "let input = (usage.inputTokens ?? 0) - cacheRead - cacheWrite",
        "let input = (usage.inputTokens ?? 0) - (mutant == N ? 0 : cacheRead) - cacheWrite"),
    "half a nano-dollar is rounded up": (
        "Sources/Billing/Exact.swift", "(remainder == half && quotient & 1 == 1)",
        "(remainder == half && (mutant == N || quotient & 1 == 1))"),
    "client attributes pick multipliers": (
        "Sources/Billing/Rater.swift", 'where !multiplier.attribute.text.utf8.starts(with: "client.".utf8) {',
        'where mutant == N || !multiplier.attribute.text.utf8.starts(with: "client.".utf8) {'),
    "the org's plan comes before the user's own": (
        "Sources/Billing/Catalog.swift", "if let user = call.user, let own = assigned(.user(user), at: time, &span) {",
        "if mutant != N || call.org == nil, let user = call.user, let own = assigned(.user(user), at: time, &span) {"),
    "a lot burns at the instant it ends": (
        "Sources/Billing/Lot.swift", "return time < expiresAt",
        "return mutant == N ? time <= expiresAt : time < expiresAt"),
    "the lot that ends last burns first": (
        "Sources/Billing/Lot.swift", "return end < otherEnd", "return mutant == N ? end > otherEnd : end < otherEnd"),
    "a cap does not count what was drawn": (
        "Sources/Billing/LedgerCharge.swift", "draws[draw].add(paid.nanos, on: day)",
        "if mutant != N || isCarveOut { draws[draw].add(paid.nanos, on: day) }"),
    "carve-outs of others are free for all": (
        "Sources/Billing/LedgerCharge.swift", "let free = max(Int128(usable(index, at: time).nanos) - others,",
        "let free = max(Int128(usable(index, at: time).nanos) - (mutant == N ? 0 : others),"),
    "all overage is invoiced": (
        "Sources/Billing/LedgerCharge.swift", "let invoiced = invoicesOverage ? overage : .zero",
        "let invoiced = invoicesOverage || mutant == N ? overage : .zero"),
    "what is held may be held again": (
        "Sources/Billing/LedgerHolds.swift", "- Int128(sums.held.nanos) - reserved",
        "- (mutant == N ? 0 : Int128(sums.held.nanos)) - reserved"),
    "running calls use no quota": (
        "Sources/Billing/BookAuthorize.swift", "used: used + running, at: time",
        "used: mutant == N ? used : used + running, at: time"),
}

# A nano-dollar that a lot loses with every charge: no answer of the daemon's, but `verify`, has to say so (I6).
VANISHING = ("Sources/Billing/LedgerCharge.swift", "lots[lot].lot.spent += taken",
             "lots[lot].lot.spent += mutant == N ? taken - Money(nanos: 1) : taken")


def build(folder, configuration):
    """The folder of the binaries."""
    command = ["swift", "build", "-c", configuration, "--package-path", folder]
    for product in ("tallystick", "tallystick-replay"):
        done = subprocess.run([*command, "--product", product], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"does not build:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return subprocess.run([*command, "--show-bin-path"], capture_output=True, text=True, check=True).stdout.strip()


def compared(binaries, options, mutant):
    """(exit code, output) of a comparison that ends with the first difference."""
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, "run.py"), "--bin", binaries, "--seeds", options.seeds, "--events",
         str(options.events), "--corrections", "--first", "--lines", "1"], capture_output=True, text=True,
        env={**os.environ, VARIABLE: str(mutant)})
    return done.returncode, done.stdout + done.stderr


def verified(binaries, options):
    """(exit code, output) of `verify` on a log that a whole daemon wrote, by one that loses credits."""
    os.environ["TALLYSTICK_BIN"] = binaries
    daemon = Daemon()
    try:
        daemon.start()
        stream = Generator(1, corrections=True).stream(options.events)
        daemon.post("/v1/events", "[{}]".format(
            ",".join(dumps(event) for event, _ in stream if event["type"] != "ask")).encode())
        daemon.stop()
        done = subprocess.run(
            [os.path.join(binaries, "tallystick-replay"), "verify", "--data", daemon.folder], capture_output=True,
            text=True, env={**os.environ, VARIABLE: str(len(FAULTS) + 1)})
        return done.returncode, done.stdout + done.stderr
    finally:
        daemon.close()


def copy(folder):
    """The sources, with all faults and the switch between them."""
    for part in COPIED:
        source, target = os.path.join(ROOT, part), os.path.join(folder, part)
        if os.path.isdir(source):
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".build*"))
        else:
            shutil.copy(source, target)
    for number, (name, (file, old, new)) in enumerate([*FAULTS.items(), ("vanishing", VANISHING)], start=1):
        path = os.path.join(folder, file)
        with open(path, encoding="utf-8") as source:
            text = source.read()
        if text.count(old) != 1:
            sys.exit(f"{name}: {file} has {text.count(old)} times: {old}")
        with open(path, "w", encoding="utf-8") as target:
            target.write(text.replace(old, new.replace("mutant == N", f"mutant == {number}")
                                      .replace("mutant != N", f"mutant != {number}")))
    with open(os.path.join(folder, SWITCH[0]), "w", encoding="utf-8") as target:
        target.write(SWITCH[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="names, or beginnings of names, of faults")
    parser.add_argument("--seeds", default="1..6")
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--configuration", default="release", choices=("release", "debug"))
    parser.add_argument("--list", action="store_true", help="say what there is and whether it applies; build nothing")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="tallystick-mutants-")
    survived, tried = [], 0
    begun = time.monotonic()
    try:
        copy(folder)
        if options.list:
            print("\n".join(f"{name}: {file}" for name, (file, _, _) in FAULTS.items()))
            return 0
        binaries = build(folder, options.configuration)
        code, output = compared(binaries, options, 0)
        if code != 0:
            sys.exit(f"red without any fault:\n{output}")
        print(f"without a fault: green ({time.monotonic() - begun:.0f} s)", flush=True)
        for number, name in enumerate(FAULTS, start=1):
            if options.only and not any(name.startswith(one) for one in options.only.split(",")):
                continue
            code, output = compared(binaries, options, number)
            caught = code == 1 and ", the oracle " in output
            first = next((line for line in output.splitlines() if ", the oracle " in line), output[-300:])
            print(f"{'caught' if caught else 'SURVIVED'}: {name} ({time.monotonic() - begun:.0f} s)\n  {first[:300]}",
                  flush=True)
            tried += 1
            if not caught:
                survived.append(name)
        code, output = verified(binaries, options)
        first = next((line for line in output.splitlines() if "credits are not conserved" in line), output[-300:])
        print(f"verify of credits that vanish: exit {code}\n  {first[:300]}", flush=True)
        tried += 1
        if code != 1 or "credits are not conserved" not in first:
            survived.append("credits that vanish")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    # The form that ops/count.py reads.
    print(f"Ran {tried} tests in {time.monotonic() - begun:.1f}s\n")
    print(f"FAILED (failures={len(survived)}): {survived}" if survived else "OK")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
