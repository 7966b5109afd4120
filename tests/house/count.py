#!/usr/bin/env python3
"""Counts the results of meson test: count.py [--failed N] FOLDER...

Each FOLDER is the folder meson-logs of a build. Each test of a TAP program counts as one. A program
that fails although all of its tests passed (a leak found at its end, a crash) counts as one more
failure. With CI=true a skipped test is a failure. The last line is "N passed, M failed[, K
skipped]".
"""
import argparse
import json
import os
import re
import sys
import xml.etree.ElementTree as ET

GOOD = {"OK", "EXPECTEDFAIL"}


def subtests(folder):
    """Returns {program: [passed, failed, skipped]} for the TAP programs."""
    counts = {}
    path = os.path.join(folder, "testlog.junit.xml")
    if not os.path.exists(path):
        return counts
    with open(path, encoding="utf-8", errors="replace") as log:
        text = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f]", "?", log.read())  # control characters
    for suite in ET.fromstring(text.encode("utf-8")).iter("testsuite"):
        for case in suite.iter("testcase"):
            count = counts.setdefault(suite.get("name"), [0, 0, 0])
            if case.find("failure") is not None or case.find("error") is not None:
                count[1] += 1
            elif case.find("skipped") is not None:
                count[2] += 1
            else:
                count[0] += 1
    return counts


def inside_of(counts, name):
    """Returns the counts of a program from the JUnit log, where its name is "bcda.unit base" or
    "bcda.bcda:unit / unit base", depending on the version of meson."""
    short = name.split(" / ", 1)[-1]
    for key in ("bcda." + name, "bcda." + short):
        if key in counts:
            return counts[key]
    return [0, 0, 0]


def count(folder, total, bad):
    inside = subtests(folder)
    build = os.path.basename(os.path.dirname(os.path.abspath(folder)))
    with open(os.path.join(folder, "testlog.json"), encoding="utf-8") as log:
        for line in log:
            test = json.loads(line)
            passed, failed, skipped = inside_of(inside, test["name"])
            result = test["result"]
            if passed + failed + skipped == 0:
                passed = int(result in GOOD)
                skipped = int(result == "SKIP")
                failed = int(result not in GOOD and result != "SKIP")
            elif result not in GOOD and result != "SKIP" and failed == 0:
                failed = 1
            if failed or skipped:
                what = "skipped" if not failed else "FAILED"
                bad.append(f"{build}: {test['name']}: {what} ({result})")
            total[0] += passed
            total[1] += failed
            total[2] += skipped


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--failed", type=int, default=0)
    parser.add_argument("folders", nargs="*")
    args = parser.parse_args()
    total = [0, args.failed, 0]
    bad = []
    for folder in args.folders:
        count(folder, total, bad)
    if total[0] == 0 and total[1] == 0:
        bad.append("no test has run")
        total[1] = 1
    for line in bad:
        print(line)
    passed, failed, skipped = total
    if skipped and os.environ.get("CI") == "true":
        print(f"{skipped} skipped tests count as failures in CI")
        failed += skipped
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
