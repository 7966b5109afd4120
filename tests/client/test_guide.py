#!/usr/bin/env python3
"""Runs the commands of doc/guide/sandbox.md in one shell, as a reader would. Each block must print
what the page says.

test_guide.py BCDA_EXPORT BCDA_SANDBOX LIBBCDA INCLUDE
"""
import os
import re
import subprocess
import sys
import tempfile

import programs

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
LIBRARY, INCLUDE = (os.path.abspath(path) for path in sys.argv[3:5])
report = programs.Report()


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


with open(os.path.join(ROOT, "doc", "guide", "sandbox.md"), encoding="utf-8") as document:
    PAGE = document.read()
with tempfile.TemporaryDirectory(prefix="bcda-test-") as folder:
    programs.run_guide(report, PAGE, 6, folder, install(folder))

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
