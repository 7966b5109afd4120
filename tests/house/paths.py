#!/usr/bin/env python3
"""Checks that the tree has no paths of a developer's machine, no names of package hosts, and no
secrets."""
import os
import re
import shutil
import subprocess

from house import ROOT, finish, problem

# Written so that this file does not match itself.
PATTERNS = [(re.compile(p), why) for p, why in (
    (r"(?<![\w/])/(?:wo[r]k|ro[o]t|workspac[e])/", "a path of one machine"),
    (r"(?<![\w/])/(?:hom[e]|Use?rs)/[a-z]", "a path of one machine"),
    (r"/tm[p]/bash", "a path of one machine"),
    (r"(?:pyp[i]|rubygem[s]|npmj[s]|crate[s])\.(?:org|com|io)", "a registry's host"),
    (r"\b(?:deb|security)\.debia[n]\.org|archive\.ubunt[u]|proxy\.golan[g]", "a mirror's host"),
    (r"-----BEGI[N] (?:RSA |EC |ENCRYPTED )?PRIVATE KEY", "a private key"),
)]
# Tests make their keys at run time. These files may have a key as a fixed input.
ALLOWED = {"a private key": re.compile(r"^(tests|lib/codec/key\.c|doc)")}


def names():
    if shutil.which("git"):  # git may not be installed
        git = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"],
                             text=True, capture_output=True)
        if git.returncode == 0 and git.stdout:
            yield from git.stdout.splitlines()
            return
    for base, folders, found in os.walk(ROOT):
        folders[:] = [f for f in folders if f != ".git" and not f.startswith("build")]
        for name in found:
            yield os.path.relpath(os.path.join(base, name), ROOT)


count = 0
for name in sorted(set(names())):
    path = os.path.join(ROOT, name)
    if not os.path.isfile(path) or os.path.islink(path):
        continue
    count += 1
    with open(path, "rb") as f:
        text = f.read(4 << 20).decode("utf-8", "replace")
    for i, line in enumerate(text.split("\n"), 1):
        for pattern, why in PATTERNS:
            if pattern.search(line) and not (why in ALLOWED and ALLOWED[why].match(name)):
                problem(path, i, why)
if count < 20:
    problem(ROOT, 0, f"only {count} files found")
finish("paths")
