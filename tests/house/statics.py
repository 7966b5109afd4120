#!/usr/bin/env python3
"""Checks that no two files have a static function of the same name, so that a name in a backtrace or a
search identifies one function."""
import re

from house import code, files, finish, problem, read

DEFINITION = re.compile(r"^static\b[^;={}]*?\b(\w+)\([^;{}]*\)\s*\n\{", re.M)
ATTRIBUTE = re.compile(r"__attribute__\(\(.*?\)\)")

places = {}
for folder in ("lib", "tools"):
    for path in files(folder, ".c", ".h"):
        text = ATTRIBUTE.sub("", code(read(path)))
        for match in DEFINITION.finditer(text):
            line = text.count("\n", 0, match.start(1)) + 1
            places.setdefault(match.group(1), {}).setdefault(path, line)
for name, where in sorted(places.items()):
    for path, line in sorted(where.items())[1:]:
        problem(path, line, f"{name}() is a static function of {sorted(where)[0]} too")
if len(places) < 500:
    problem("lib", 0, f"only {len(places)} static functions found")
finish("statics")
