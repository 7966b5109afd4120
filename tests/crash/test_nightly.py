#!/usr/bin/env python3
"""Nightly loads from a sandbox whose data change: after each load, the database has exactly what exists
on the day.

test_nightly.py BCDA_EXPORT BCDA_SANDBOX sqlite=LOADER [postgres=LOADER]
"""
import subprocess
import sys

import crash
import programs  # found by crash

SIZE = ("--era", "current", "--api-version", "2", "--patients", "60", "--claims", "3")
# The days on which a load runs: each of three nights, then one after a night without a load, and one on a
# day on which nothing has changed since.
DAYS = (0, 1, 2, 3, 5, 5)
report = programs.Report()
check = report.check


def nightly(database):
    with programs.Sandbox(*SIZE, "--day", "0", "--control", "--mixed", "--files", "6", "--polls", "0",
                          tls=False) as s:
        before = {}
        for day in DAYS:
            s.control("POST", f"day?day={day}")
            done = subprocess.run(crash.loader_command(database.program, s, database.database),
                                  capture_output=True, timeout=crash.LIMIT)
            check(done.returncode == 0, database.name, day, done.returncode, done.stderr)
            rows = database.rows()
            now = crash.truth(SIZE, day, database)
            check(len({row[:2] for row in rows}) == len(rows), database.name, day, "a resource is there twice")
            check({row[:2]: row[2] for row in rows} == now, database.name, day, len(rows), len(now))
            check(not database.leftovers(), database.name, day, database.leftovers())
            if before and day < 5:
                kept = before.keys() & now.keys()
                check(now.keys() - kept and before.keys() - kept and any(before[n] != now[n] for n in kept),
                      "a day without new, deleted and changed resources", day)
            before = now


def main():
    kinds = {"sqlite": crash.Sqlite, "postgres": crash.Postgres}
    for word in sys.argv[3:]:
        kind, _, program = word.partition("=")
        database = kinds[kind](program)
        try:
            database.open()
            nightly(database)
        finally:
            database.close()
    report.finish()


main()
