#!/usr/bin/env python3
"""Checks that lib/ calls an enter function before, and a leave function after, every callback of the
application. With these functions a session detects that the callback has forked and now runs in the
child."""
import os
import re

from house import ROOT, code, files, finish, problem, read

CALL = re.compile(r"\(\(bcda_\w+_cb\)|(?<=[.>])(?:cb|watch_fd|watch_timer|destroy)\(")
# This file calls all destroy callbacks. Its callers have enter and leave if they continue after it.
ELSEWHERE = "registration.c"

lib = os.path.join(ROOT, "lib", "client")  # the layers below call no callback of the application
count = 0
for path in files(os.path.join("lib", "client"), ".c"):
    if os.path.basename(path) == ELSEWHERE:
        continue
    lines = code(read(path)).split("\n")
    for i, line in enumerate(lines):
        match = CALL.search(line)
        if not match or re.match(r"\s*#", line):
            continue
        count += 1
        end = i
        while ";" not in lines[end]:
            end += 1
        if not re.match(r"\s*\w*enter\w*\(.*\);", lines[i - 1]):
            problem(path, i + 1, "a callback, and no enter before it")
        if not re.search(r"(?:^\s*|= |return )\w*leave\w*\(", lines[end + 1]):
            problem(path, end + 1, "a callback, and no leave behind it")
if count < 13:
    problem(lib, 0, f"only {count} calls of callbacks found")
finish("callbacks")
