#!/usr/bin/env python3
"""Checks the rules for #include in lib/ (doc/design.md). A file of lib/<layer>/ includes only headers of
its own layer and of those below. No two modules include each other, directly or through others, except
those that get the token. Only one file includes the headers of each foreign library."""
import os
import re

from house import HEADERS, ROOT, code, files, finish, problem, read

LAYERS = ["base", "codec", "protocol", "net", "client"]
ONE_INCLUDER = {"curl/": "net/curl.c", "yajl/": "codec/json.c", "gcrypt.h": "codec/crypto.c",
                "zlib.h": "codec/inflate_zlib.c", "isa-l": "codec/inflate_isal.c",
                "libtasn1.h": "codec/key.c"}
# A call needs a token, and calls fetch the token.
CIRCLES = {("client/auth", "client/call"), ("client/auth", "client/token_endpoint"),
           ("client/call", "client/token_endpoint")}
# System headers that only the named files may include.
PLATFORM = {"sys/epoll.h": {"net/loop_epoll.c"}, "sys/timerfd.h": {"net/loop_epoll.c"},
            "sys/eventfd.h": {"net/loop_epoll.c"}, "emmintrin.h": {"codec/scan_block.h"},
            "arm_neon.h": {"codec/scan_block.h"},
            "sys/file.h": {"client/shared_file.c", "client/state_file.c"}}

# The headers of C and POSIX. Any other header belongs to a library, which must be listed above.
SYSTEM = set("""arpa/inet assert errno fcntl inttypes limits poll pthread setjmp signal spawn stdarg
    stdatomic stddef stdint stdio stdlib string sys/mman sys/socket sys/stat sys/types sys/wait time unistd""".split())

lib = os.path.join(ROOT, "lib")
seen = {}
uses = {}
count = 0
for path in files("lib", ".c", ".h"):
    name = os.path.relpath(path, lib)
    layer = name.split(os.sep)[0]
    count += 1
    if layer not in LAYERS:
        problem(path, 0, "in no layer")
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
            if "/" not in target or target.split("/")[0] not in LAYERS:
                problem(path, i, f'"{target}" names no layer')
            elif LAYERS.index(target.split("/")[0]) > LAYERS.index(layer):
                problem(path, i, f'{layer} may not look up to "{target}"')
            elif not os.path.exists(os.path.join(lib, target)):
                problem(path, i, f'"{target}" is not there')
            uses.setdefault(os.path.splitext(name)[0], set()).add(os.path.splitext(target)[0])
        for library, includer in ONE_INCLUDER.items():
            if target.startswith(library):
                seen.setdefault(library, set()).add(name)
                if name != includer:
                    problem(path, i, f"only lib/{includer} includes <{target}>")
        if match.group(1) == "<" and not target.startswith("bcda/") and target not in PLATFORM \
                and target[:-2] not in SYSTEM and not any(target.startswith(known) for known in ONE_INCLUDER):
            problem(path, i, f"<{target}> is of no known library: see ONE_INCLUDER")
        if target in PLATFORM and name not in PLATFORM[target]:
            problem(path, i, f"<{target}> belongs to {' or '.join(sorted(PLATFORM[target]))}")


def reach(module):
    """Returns all modules that this one includes, directly or through others."""
    found, todo = set(), [module]
    while todo:
        for target in uses.get(todo.pop(), ()):
            if target not in found:
                found.add(target)
                todo.append(target)
    return found


reached = {module: reach(module) - {module} for module in uses}
for module in sorted(uses):
    for other in sorted(reached[module]):
        if module < other and module in reached.get(other, ()) and (module, other) not in CIRCLES:
            problem(os.path.join(lib, module + ".c"), 0, f"{module} and {other} include each other")
for library, includer in ONE_INCLUDER.items():
    if library not in seen:
        problem(os.path.join(lib, includer), 0, f"does not include {library}")
if count < 10:
    problem(lib, 0, f"only {count} files found")
finish("layers")
