#!/usr/bin/env python3
"""Runs every short example as a reader would: against a sandbox of the current era, over TLS.

test_examples.py BCDA_EXPORT BCDA_SANDBOX EXAMPLE... In CI, all LOOPS must have been built.
"""
import glob
import os
import re
import subprocess
import sys

import programs

LOOPS = {"loop-libuv", "loop-glib", "loop-libevent", "poll-loop"}
report = programs.Report()
found = {os.path.basename(path): path for path in sys.argv[3:]}


def run(path, sandbox, **more):
    env = dict(os.environ, **sandbox.env)
    env.update(more)
    return subprocess.run([path], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=programs.LIMIT)


with programs.Sandbox("--era", "current", "--patients", "20", "--claims", "5",
                      "--polls", "0", "--allow-duplicates") as sandbox:
    for name in sorted(LOOPS & set(found)):
        for types, count in (("Patient", 20), ("Patient ExplanationOfBenefit", 120)):
            got = run(found[name], sandbox, BCDA_TYPES=types)
            report.check(got.returncode == 0 and f"complete: {count} resources" in got.stdout,
                         name, types, got)
            report.check(got.stderr == "", name, got.stderr)
        # if no job can be started, the example prints an error and exits with 1
        got = run(found[name], sandbox, BCDA_TYPES="No-Type")
        report.check(got.returncode == 1 and "complete" not in got.stdout and got.stderr, name, got)
    for name, says in (("minimal", r"\b\d+ resources"), ("pull", r"(?m)^Coverage\t")):
        got = run(found[name], sandbox, BCDA_TYPES="Patient")
        report.check(got.returncode == 0 and re.search(says, got.stdout), name, got)

# If the job fails, each loop ends, and the example prints the cause.
with programs.Sandbox("--era", "current", "--fault", "kickoff-no-location",
                      "--allow-duplicates") as sandbox:
    for name in sorted(LOOPS & set(found)):
        got = run(found[name], sandbox, BCDA_TYPES="Patient")
        report.check(got.returncode == 1 and "Content-Location" in got.stderr, name, got)

# Checks that the sources stay short, because they are examples to read.
folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples")
sources = glob.glob(os.path.join(folder, "loops", "*.c")) + [os.path.join(folder, "poll-loop.c")]
report.check(len(sources) >= len(LOOPS), "no sources", sources)
for path in sources:
    with open(path, encoding="utf-8") as source:
        length = len(source.readlines())
    report.check(length < 150, os.path.basename(path), length, " lines")

if os.environ.get("CI"):
    report.check(LOOPS <= set(found), "not built: ", sorted(LOOPS - set(found)))
report.finish()
