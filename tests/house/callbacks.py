#!/usr/bin/env python3
"""Every callback of the application's is called between an enter and a leave: there a session notices
that the callback has forked, and that it goes on in the child."""
import os
import re

from house import ROOT, code, files, finish, problem, read

CALL = re.compile(r"\(\(bcda_\w+_cb\)|(?<=[.>])(?:cb|watch_fd|watch_timer|destroy)\(")
# Every destroy callback; who goes on after one has both around it.
ELSEWHERE = "registration.c"

lib = os.path.join(ROOT, "lib", "client")  # the layers below call nobody but this one
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
