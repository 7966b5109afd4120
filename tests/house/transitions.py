#!/usr/bin/env python3
"""transitions.py DESIGN NOTED: compares the state diagrams of doc/design.md with the transitions
that the suites made (recorded by tests/client/transitions.c). A transition that is in no diagram is
a failure. Transitions that no suite made are listed. The last line is "N passed, M failed".

A diagram is a mermaid block; its comment "%% NAME (FILE)" names the state machine."""
import re
import sys

BLOCK = re.compile(r"```mermaid\n(.*?)```", re.S)
NAME = re.compile(r"%% (\w+) \(")
ARROW = re.compile(r"^\s*(\w+) --> (\w+)\s*$", re.M)


def drawn_in(text):
    found = set()
    for block in BLOCK.findall(text):
        name = NAME.search(block)
        if name:
            found |= {(name[1], *arrow) for arrow in ARROW.findall(block)}
    return found


def main():
    design, noted = sys.argv[1:]
    with open(design, encoding="utf-8") as f:
        drawn = drawn_in(f.read())
    with open(noted, encoding="ascii") as f:
        taken = {tuple(line.split()) for line in f}
    undrawn = sorted(taken - drawn)
    for machine, start, end in undrawn:
        print(f"{machine}: {start} -> {end} is not drawn in {design}")
    for machine, start, end in sorted(drawn - taken):
        print(f"{machine}: no suite took {start} -> {end}")
    missing = {machine for machine, *_ in drawn} - {machine for machine, *_ in taken}
    for machine in sorted(missing):
        print(f"{machine}: no transition was noted at all")
    failed = len(undrawn) + len(missing)
    print(f"{len(taken & drawn)} passed, {failed} failed")
    return failed > 0 or not taken


sys.exit(main())
