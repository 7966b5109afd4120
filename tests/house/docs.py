#!/usr/bin/env python3
"""Every public function has a comment, in its own group of lines or as the group's, and every
header says since when its functions are there, from which thread, and whether callbacks may call
them. Sections of the server notes that the code cites are there."""
import os
import re

from house import HEADERS, ROOT, files, finish, functions, headers, problem, read

by_header = {}
for path, line, _, name, _ in functions():
    by_header.setdefault(path, []).append((line, name))

for path in headers():
    text = read(path)
    lines = text.split("\n")
    if path not in by_header:
        continue
    for words in ("Since 0.", "Thread:"):
        if words not in text:
            problem(path, 0, f'says nowhere "{words}"')
    if not re.search(r"[Ff]rom\s+(\*\s+)?callbacks:", text):
        problem(path, 0, 'says nowhere "from callbacks:"')
    for line, name in by_header[path]:
        # Up over the declarations of the same group, to a comment; a blank line ends the group.
        top = line - 1
        while top > 0 and lines[top - 1].strip():
            top -= 1
        end = line
        while end < len(lines) and ";" not in lines[end - 1]:
            end += 1
        # What _ref and _unref do stands in bcda/types.h.
        if "/*" not in "\n".join(lines[top:end]) and not name.endswith(("_ref", "_unref")):
            problem(path, line, f"{name} has no comment")

server = os.path.join(ROOT, "doc", "guide", "server.md")
sections = set(re.findall(r"^#+ (\d+(?:\.\d+)?)", read(server), flags=re.M)) \
    if os.path.exists(server) else set()
cited = {}
for folder in ("include", "lib"):
    for path in files(folder, ".h", ".c", ".h.in"):
        text = re.sub(r"\n\s*\*?\s*", " ", read(path))
        for match in re.finditer(r"bcda-api ((?:\d+(?:\.\d+)?(?:, | and )?)+)", text):
            for number in re.findall(r"\d+(?:\.\d+)?", match.group(1)):
                cited.setdefault(number, path)
for number, path in sorted(cited.items()):
    if number not in sections:
        problem(path, 0, f"cites section {number} of doc/guide/server.md, which is not there")

errors = os.path.join(ROOT, "doc", "guide", "errors.md")
table = read(errors) if os.path.exists(errors) else ""
for name, value in re.findall(r"#define (BCDA_ERR_\w+) \((-\d+)\)",
                              read(os.path.join(HEADERS, "error.h"))):
    if not re.search(rf"^\| `{name}` \| {value} \|", table, flags=re.M):
        problem(errors, 0, f"{name} ({value}) is not in the table")
if sum(map(len, by_header.values())) < 100:
    problem(HEADERS, 0, "hardly any functions found")
finish("docs")
