"""Whether the comparison has teeth: ten faults of one line, put into a copy of the sources one after another.
Every one must turn it red, and the copy without any must be green.

    python3 Tests/oracle/mutate.py [--only NAME,NAME] [--seeds 1..6] [--events 2000] [--list] [--configuration release]

Builds eleven times: a quarter of an hour on two cores. Exit code 0: all were caught.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
COPIED = ("Package.swift", "Sources", "Schemas", "Replay", "Tests", "ops")

# name: (file, what stands there exactly once, what is put in its place)
FAULTS = {
    "byok calls are charged": (
        "Sources/Billing/Rater.swift", "call.keySource == .byok || (call.status", "(call.status"),
    "cached input is priced twice": (
        "Sources/Billing/Rater.swift", "(usage.inputTokens ?? 0) - cacheRead - cacheWrite,",
        "(usage.inputTokens ?? 0) - cacheWrite,"),
    "half a nano-dollar is rounded up": (
        "Sources/Billing/Exact.swift", "(remainder == half && quotient & 1 == 1)", "remainder == half"),
    "client attributes pick multipliers": (
        "Sources/Billing/Rater.swift",
        'for multiplier in list.multipliers where !multiplier.attribute.text.utf8.starts(with: "client.".utf8) {',
        "for multiplier in list.multipliers {"),
    "the org's plan comes before the user's own": (
        "Sources/Billing/Catalog.swift", "if let user = call.user, let own = assigned(.user(user), at: time, &span) {",
        "if call.org == nil, let user = call.user, let own = assigned(.user(user), at: time, &span) {"),
    "a lot burns at the instant it ends": (
        "Sources/Billing/Lot.swift", "return time < expiresAt", "return time <= expiresAt"),
    "the lot that ends last burns first": (
        "Sources/Billing/Lot.swift", "return end < otherEnd", "return end > otherEnd"),
    "a cap does not count what was drawn": (
        "Sources/Billing/LedgerCharge.swift", "draws[draw].add(paid.nanos, on: day)",
        "if isCarveOut { draws[draw].add(paid.nanos, on: day) }"),
    "carve-outs of others are free for all": (
        "Sources/Billing/LedgerCharge.swift", "let free = max(Int128(usable(index, at: time).nanos) - others,",
        "let free = max(Int128(usable(index, at: time).nanos) - 0 * others,"),
    "all overage is invoiced": (
        "Sources/Billing/LedgerCharge.swift", "let invoiced = invoicesOverage ? overage : .zero",
        "let invoiced = overage"),
}


def build(folder, configuration):
    """The folder of the binaries."""
    command = ["swift", "build", "-c", configuration, "--package-path", folder]
    for product in ("tallystick", "tallystick-replay"):
        done = subprocess.run([*command, "--product", product], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"does not build:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return subprocess.run([*command, "--show-bin-path"], capture_output=True, text=True, check=True).stdout.strip()


def compared(binaries, options):
    """(exit code, output) of a comparison that ends with the first difference."""
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, "run.py"), "--bin", binaries, "--seeds", options.seeds, "--events",
         str(options.events), "--corrections", "--first", "--lines", "1"], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="names, or beginnings of names, of faults")
    parser.add_argument("--seeds", default="1..6")
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--configuration", default="release", choices=("release", "debug"))
    parser.add_argument("--list", action="store_true", help="say what there is and whether it applies; build nothing")
    options = parser.parse_args()
    wanted = [name for name in FAULTS
              if not options.only or any(name.startswith(one) for one in options.only.split(","))]
    sources = {}
    for name in wanted:
        file, old, _ = FAULTS[name]
        with open(os.path.join(ROOT, file), encoding="utf-8") as source:
            sources[name] = source.read()
        if sources[name].count(old) != 1:
            sys.exit(f"{name}: {file} has {sources[name].count(old)} times: {old}")
        if options.list:
            print(f"{name}: {file}")
    if options.list:
        return 0

    folder = tempfile.mkdtemp(prefix="tallystick-mutants-")
    survived = []
    begun = time.monotonic()
    try:
        for part in COPIED:
            source, target = os.path.join(ROOT, part), os.path.join(folder, part)
            if os.path.isdir(source):
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".build*"))
            else:
                shutil.copy(source, target)
        code, output = compared(build(folder, options.configuration), options)
        if code != 0:
            sys.exit(f"red without any fault:\n{output}")
        print(f"without a fault: green ({time.monotonic() - begun:.0f} s)", flush=True)
        for name in wanted:
            file, old, new = FAULTS[name]
            path = os.path.join(folder, file)
            with open(path, "w", encoding="utf-8") as target:
                target.write(sources[name].replace(old, new))
            try:
                code, output = compared(build(folder, options.configuration), options)
            finally:
                with open(path, "w", encoding="utf-8") as target:
                    target.write(sources[name])
            caught = code == 1 and ", the oracle " in output
            first = next((line for line in output.splitlines() if ", the oracle " in line), output[-300:])
            print(f"{'caught' if caught else 'SURVIVED'}: {name} ({time.monotonic() - begun:.0f} s)\n  {first[:300]}",
                  flush=True)
            if not caught:
                survived.append(name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    # The form that ops/count.py reads.
    print(f"Ran {len(wanted)} tests in {time.monotonic() - begun:.1f}s\n")
    print(f"FAILED (failures={len(survived)}): {survived}" if survived else "OK")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
