"""Reads the log of one step of ops/test. Usage: count.py LOG STATUS

First line: "passed failed". After it, what failed: the lines of the log that name or explain a failure, each once.
"""

import re
import sys

# Lines told of a failed step: enough to see what broke, few enough to stay below the table.
TOLD_MAX = 30

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

if failed:
    # Swift Testing's and the compiler's words, unittest's, a Python exception's, a sanitizer's.
    telling = re.compile(
        r"recorded an issue at|^✘|: error: |^(?:FAIL|ERROR): |^\w*(?:Error|Exception)\b"
        r"|^WARNING: \w+Sanitizer|^==\d+==ERROR|^SUMMARY:")
    told = list(dict.fromkeys(line for line in text.splitlines() if telling.search(line)))
    # A step may fail without any of these; then its end is the best there is.
    told = told or text.splitlines()[-5:]
    for line in told[:TOLD_MAX]:
        print("  " + line[:400])
    if len(told) > TOLD_MAX:
        print(f"  and {len(told) - TOLD_MAX} lines more")
