#!/usr/bin/env python3
"""A file of lib/<floor>/ includes only its own floor and those below; and each foreign library has
exactly one includer (doc/design.md)."""
import os
import re

from house import HEADERS, ROOT, code, files, finish, problem, read

FLOORS = ["base", "codec", "protocol", "net", "client"]
ONE_INCLUDER = {"curl/": "net/curl.c", "yajl/": "codec/json.c", "gcrypt.h": "codec/crypto.c",
                "zlib.h": "codec/inflate_zlib.c", "isa-l": "codec/inflate_isal.c",
                "libtasn1.h": "codec/key.c"}
# The system's headers that need a place of their own.
PLATFORM = {"sys/epoll.h": {"net/loop_epoll.c"}, "sys/timerfd.h": {"net/loop_epoll.c"},
            "sys/eventfd.h": {"net/loop_epoll.c"}}

lib = os.path.join(ROOT, "lib")
seen = {}
count = 0
for path in files("lib", ".c", ".h"):
    name = os.path.relpath(path, lib)
    floor = name.split(os.sep)[0]
    count += 1
    if floor not in FLOORS:
        problem(path, 0, "not on a floor")
        continue
    for i, line in enumerate(code(read(path), keep_strings=True).split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if not match:
            if re.match(r"\s*#\s*include\b", line):
                problem(path, i, "an #include that cannot be read")
            continue
        target = match.group(2)
        if target.startswith("bcda/"):
            if not any(os.path.exists(os.path.join(HEADERS, target[5:] + end)) for end in ("", ".in")):
                problem(path, i, f"<{target}> is no public header")
        elif match.group(1) == '"':
            if "/" not in target or target.split("/")[0] not in FLOORS:
                problem(path, i, f'"{target}" names no floor')
            elif FLOORS.index(target.split("/")[0]) > FLOORS.index(floor):
                problem(path, i, f'{floor} may not look up to "{target}"')
            elif not os.path.exists(os.path.join(lib, target)):
                problem(path, i, f'"{target}" is not there')
        for library, includer in ONE_INCLUDER.items():
            if target.startswith(library):
                seen.setdefault(library, set()).add(name)
                if name != includer:
                    problem(path, i, f"only lib/{includer} includes <{target}>")
        if target in PLATFORM and name not in PLATFORM[target]:
            problem(path, i, f"<{target}> belongs to {' or '.join(sorted(PLATFORM[target]))}")
for library, includer in ONE_INCLUDER.items():
    if library not in seen:
        problem(os.path.join(lib, includer), 0, f"does not include {library}")
if count < 10:
    problem(lib, 0, f"only {count} files found")
finish("floors")
