#!/usr/bin/env python3
"""Checks the comments of the public functions. Every function must have a comment, of its own or for its
group of declarations. That comment, or an earlier one for all functions or all getters of the header,
must say whether callbacks may call the function, which threads may call it, since which version it
exists, and, if it can fail, the error codes. What it says about callbacks must match lib/client/entry.c.
Each section of doc/guide/server.md that the code cites must exist."""
import os
import re

from house import HEADERS, ROOT, files, finish, functions, headers, problem, read

# lib/client/entry.c has a row for each function that callbacks may not call or that is queued when
# they do. These two have none: the first has no session to ask, and the second postpones itself.
ROWLESS = {"bcda_global_cleanup", "bcda_session_free"}
entry = dict(re.findall(r'\{"(bcda_\w+)",\s*(?:/\*.*?\*/)?\s*(YES|NO)\b',
                       read(os.path.join(ROOT, "lib", "client", "entry.c"))))


def check_callbacks(path, line, name, words):
    said = re.search(r'(?<!")[Ff]rom callbacks: (\w+)', words)
    said = said and said.group(1)
    row = entry.pop(name, None)
    if name in ROWLESS or (row is None and said == "yes"):
        return
    if row is None and said in ("no", "queued"):
        problem(path, line, f"{name}: \"From callbacks: {said}\", and no row in lib/client/entry.c")
    elif row and (row == "NO") != (said == "no"):
        problem(path, line, f"{name}: \"From callbacks: {said}\", and {row} in lib/client/entry.c")


by_header = {}
for path, line, result, name, _ in functions():
    by_header.setdefault(path, []).append((line, name, result))

for path in headers():
    text = read(path)
    lines = text.split("\n")
    if path not in by_header:
        continue
    comments = [(text.count("\n", 0, m.start()) + 1, re.sub(r"\s*\n\s*\*?\s*", " ", m.group(0)))
                for m in re.finditer(r"/\*.*?\*/", text, re.S)]
    for line, name, result in by_header[path]:
        # Find the comment of the group: skip the declarations above, up to a blank line.
        top = line - 1
        while top > 0 and lines[top - 1].strip():
            top -= 1
        end = line
        while end < len(lines) and ";" not in lines[end - 1]:
            end += 1
        own = " ".join(c for at, c in comments if top < at <= end)
        # bcda/types.h documents all _ref and _unref functions.
        if not own and not name.endswith(("_ref", "_unref")):
            problem(path, line, f"{name} has no comment")
        general = " ".join(c for at, c in comments if at <= top and re.search(
            r"\b[Aa]ll (of these|of them|functions)\b|^/\* Getters\b|^/\* A bcda_\w+ is borrowed|"
            r"Getters accept|, borrowed during its callback", c))
        for words in ("[Ff]rom callbacks:", "Thread:", r"Since 0\."):
            if not re.search(words, own) and not re.search(words, general):
                problem(path, line, f"{name}: nothing says \"{words}\"")
        check_callbacks(path, line, name, own if "rom callbacks:" in own else general)
        # The int that a getter returns is not an error code; the getter's comment describes it.
        if result == "int" and not re.search("_is_|_version_number$", name) and not re.search(r"BCDA_ERR|with its errors|[Ee]rrors as above", own + general) \
                and not re.search(r"/\* (Getters|Counts)|Getters accept|Every getter", own + " ".join(
                    c for at, c in comments if at <= top)):
            problem(path, line, f"{name}: nothing says which codes it gives")

for name in entry:
    problem(os.path.join(ROOT, "lib", "client", "entry.c"), 0, f"{name} is no public function")

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
