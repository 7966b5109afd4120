#!/usr/bin/env python3
"""Checks that the comment of each option in include/bcda/config.h ends with the default and the allowed
values of the option, and that these match the table in lib/client/options.c."""
import os
import re

from house import HEADERS, ROOT, finish, problem, read

CONFIG = os.path.join(HEADERS, "config.h")
TABLE = os.path.join(ROOT, "lib", "client", "options.c")
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
NUMBER = r"-?[\d,]+(?: (?:KiB|MiB|GiB))?"
RANGE = re.compile(rf"Default ({NUMBER})(?:, [^;]*)?; ({NUMBER}) to ({NUMBER})\.$")


def number(text):
    digits, _, unit = text.partition(" ")
    return int(digits.replace(",", "")) * UNITS.get(unit, 1)


def documented(text):
    """Yields the name and the comment of each option, in the order of the header."""
    for match in re.finditer(r"/\*((?:(?!\*/).)*)\*/\n#define (BCDA_OPT_\w+) +\d+$", text,
                             flags=re.S | re.M):
        yield match.group(2), re.sub(r"\s*\n \*\s*|\s+", " ", match.group(1)).strip()


def constants(header, table):
    """Returns the values of the macros of both files that the table uses."""
    known = {"INT64_MAX": (1 << 63) - 1}
    for name, value in re.findall(r"^#define (\w+) +(-?\d+)\b", header, flags=re.M):
        known[name] = int(value)
    for name, value in re.findall(r"^#define (\w+) +(.+)$", table, flags=re.M):
        known[name] = evaluate(value, known)
    return known


def evaluate(expression, known):
    expression = re.sub(r"INT64_C\((\d+)\)", r"\1", expression)
    names = set(re.findall(r"[A-Z]\w*", expression))
    return eval(expression, {"__builtins__": {}}, {n: known[n] for n in names})


header, table = read(CONFIG), read(TABLE)
known = constants(header, table)
comments = dict(documented(header))
rows = 0
for row in re.findall(r"\{(BCDA_OPT_\w+, \"[^}]*)\}", table):
    name, _, is_text, least, most, default = (p.strip() for p in row.split(",")[:6])
    rows += 1
    comment = comments.pop(name, None)
    if comment is None:
        problem(CONFIG, 0, f"{name} has no comment above it")
    elif is_text == "0":
        match = RANGE.search(comment)
        if not match:
            problem(CONFIG, 0, f"{name}: no \"Default A; B to C.\" at the end of its comment")
        elif [number(n) for n in match.groups()] != [evaluate(v, known)
                                                     for v in (default, least, most)]:
            problem(CONFIG, 0, f"{name}: not the default and limits of lib/client/options.c")
    elif "Default" not in comment:
        problem(CONFIG, 0, f"{name}: no default in its comment")
for name in comments:
    problem(CONFIG, 0, f"{name} is not in the table of lib/client/options.c")
if rows < 25:
    problem(TABLE, 0, f"only {rows} options found")
finish("options")
