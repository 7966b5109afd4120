#!/usr/bin/env python3
"""Runs the commands of doc/guide/sandbox.md in one shell, as a reader would. Each block must print
what the page says.

test_guide.py BCDA_EXPORT BCDA_SANDBOX LIBBCDA INCLUDE
"""
import os
import re
import signal
import subprocess
import sys
import tempfile

import programs

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
LIBRARY, INCLUDE = (os.path.abspath(path) for path in sys.argv[3:5])
MARK = "==== the end of a block ===="
report = programs.Report()


def blocks(page):
    """Returns [commands, expected output] for each block, in the order of the page."""
    found = []
    for kind, text in re.findall(r"^```(sh|text)\n(.*?)^```$", page, flags=re.M | re.S):
        if kind == "sh":
            found.append([text, ""])
        else:
            found[-1][1] = text
    return found


def install(folder):
    """Makes the folder look like an installation: programs on the path, bcda.pc, and the folders of
    the source tree. Returns the environment for it."""
    os.mkdir(os.path.join(folder, "bin"))
    for program in (programs.EXPORT, programs.SANDBOX):
        os.symlink(program, os.path.join(folder, "bin", os.path.basename(program)))
    for name in ("examples", "bindings"):
        os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
    with open(os.path.join(folder, "bcda.pc"), "w", encoding="utf-8") as f:
        f.write(f"Name: bcda\nDescription: bcda\nVersion: 0\nCflags: -I{ROOT}/include -I{INCLUDE}\n"
                f"Libs: -L{folder} -lbcda\n")
    os.symlink(LIBRARY, os.path.join(folder, "libbcda.so"))
    return dict(os.environ, PATH=os.path.join(folder, "bin") + os.pathsep + os.environ["PATH"],
                PKG_CONFIG_PATH=folder, LD_LIBRARY_PATH=os.path.dirname(LIBRARY), BCDA_LIBRARY=LIBRARY,
                PYTHONDONTWRITEBYTECODE="1", TMPDIR=folder)


def run(script, folder):
    """Returns what the shell prints on stdout and stderr. Ends programs that it left running."""
    shell = subprocess.Popen(["sh", "-eu"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, cwd=folder, env=install(folder),
                             start_new_session=True)
    try:
        return shell.communicate(script, timeout=programs.LIMIT)
    finally:
        try:
            os.killpg(shell.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass


with open(os.path.join(ROOT, "doc", "guide", "sandbox.md"), encoding="utf-8") as document:
    PAGE = document.read()
BLOCKS = blocks(PAGE)
report.check(len(BLOCKS) >= 6, "hardly a block on the page", BLOCKS)
with tempfile.TemporaryDirectory(prefix="bcda-guide-") as folder:
    printed, complaints = run("".join(f"{commands}echo '{MARK}'\n" for commands, _ in BLOCKS), folder)
got = printed.split(MARK + "\n")
report.check(len(got) == len(BLOCKS) + 1, "not all blocks ran", printed, complaints)
for (commands, expected), lines in zip(BLOCKS, got):
    report.check(not expected or lines == expected, commands, "printed", lines, "not", expected, complaints)

# The faults and eras that the page names must exist.
known = subprocess.run([programs.SANDBOX, "--fault", "help"], capture_output=True, text=True, check=False).stdout
known = set(re.findall(r"^  ([\w-]+)", known, flags=re.M))
faults = re.findall(r"`([\w-]+)", PAGE.split("| to test |")[1].split("\n\n")[0])
report.check(len(faults) > 10 and set(faults) <= known, "unknown faults", sorted(set(faults) - known))
usage = subprocess.run([programs.SANDBOX, "--help"], capture_output=True, text=True, check=False).stdout
eras = re.findall(r"^\| `([^`]+)`(?: \(default\))? \|", PAGE.split("| `--era` |")[1].split("\n\n")[0], flags=re.M)
for era in eras:
    report.check(era in usage, era)
report.check(len(eras) == 6, eras)
report.finish()
