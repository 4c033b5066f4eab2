"""Reads the log of one step of ops/test and prints "passed failed". Usage: count.py LOG STATUS"""

import re
import sys

text = open(sys.argv[1], errors="replace").read()
status = int(sys.argv[2])
passed = failed = 0

# Swift Testing: one closing line a run: "Test run with 12 tests in 3 suites failed after 1 seconds with 2 issues."
for total, verdict in re.findall(r"Test run with (\d+) tests?\b.*? (passed|failed)\b", text):
    broken = 0
    if verdict == "failed":
        names = re.findall(r"^\S* ?Test (?!run\b)(.+?) (?:with \d+ test cases? )?failed after", text, re.M)
        broken = len(set(names)) or 1
    failed += broken
    passed += max(0, int(total) - broken)

# unittest: "Ran 12 tests in 3.4s", then "OK (skipped=1)" or "FAILED (failures=1, errors=2, skipped=1)"
for total, verdict in re.findall(r"^Ran (\d+) tests? in .*?\n\n(OK.*|FAILED.*)$", text, re.M):
    numbers = dict(re.findall(r"(\w+)=(\d+)", verdict))
    broken = int(numbers.get("failures", 0)) + int(numbers.get("errors", 0))
    failed += broken
    passed += max(0, int(total) - broken - int(numbers.get("skipped", 0)))

if status != 0 and failed == 0:
    failed = 1
elif status == 0 and passed == 0:
    passed = 1
print(passed, failed)
