#!/usr/bin/env python3
"""A disk that is full from the n-th call on, for each n: the program ends with status 1 and says why,
and the next run, on a disk with room, has each resource exactly once. Only a call after all data are
safe may fail unnoticed.

test_full.py BCDA_EXPORT BCDA_SANDBOX DISK_FULL_LIBRARY [LOADER]
"""
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "client"))
# pylint: disable=wrong-import-position
import programs  # noqa: E402
import sample  # noqa: E402

LIBRARY = os.path.abspath(sys.argv[3])
LOADER = os.path.abspath(sys.argv[4]) if len(sys.argv) > 4 else None
report = programs.Report()
check = report.check
SIZE = ("--era", "current", "--api-version", "2", "--patients", "8", "--claims", "3", "--day", "1")
SINCE = "2021-08-17T20:00:00Z"
COUNT = "count"
# SQLite gives the reason only for a write.
CLEAR = (b"No space left on device", b"the disk is full", b"disk I/O error", b"unable to open database file")
MODES = ("ever", "short", "once")


def full(folder, first, mode):
    """Returns the environment of a program for which the disk is full from call `first` on."""
    return dict(os.environ, LD_PRELOAD=LIBRARY, BCDA_TEST_FULL_DIR=os.path.join(folder, "disk"),
                BCDA_TEST_FULL_FROM=str(first), BCDA_TEST_FULL_SHORT=str(int(mode == "short")),
                BCDA_TEST_FULL_ONCE=str(int(mode == "once")),
                BCDA_TEST_FULL_COUNT=os.path.join(folder, COUNT),
                # A library that is preloaded comes before that of the sanitizer.
                ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")


def calls(folder):
    """Returns the number of calls, and the name of the first that failed."""
    with open(os.path.join(folder, COUNT), encoding="ascii") as f:
        number, _, name = f.read().strip().partition(" ")
    return int(number), name


def export(sandbox, folder, **more):
    disk = os.path.join(folder, "disk")
    return programs.export(sandbox, "--since", SINCE, "--out", os.path.join(disk, "out"), "--resume",
                           os.path.join(disk, "state"), **more)


def exported(folder):
    """Returns the lines of the folder that an export has written, sorted."""
    out = os.path.join(folder, "disk", "out")
    lines = []
    for name in sorted(os.listdir(out)):
        check(name.endswith("-0001.ndjson") or name.endswith("-0002.ndjson"), "a file that remained", name)
        with open(os.path.join(out, name), encoding="utf-8") as f:
            lines += f.read().splitlines()
    check(os.listdir(os.path.join(folder, "disk")) == ["out"], os.listdir(os.path.join(folder, "disk")))
    return sorted(lines)


def load(sandbox, folder, **more):
    return subprocess.run([LOADER, *sandbox.arguments(), *programs.FAST, "--since", SINCE, "--database",
                           os.path.join(folder, "disk", "db")], capture_output=True, timeout=programs.LIMIT,
                          **more)


def loaded(folder):
    """Returns the resources of a database, sorted."""
    disk = os.path.join(folder, "disk")
    # The log remains if there was no room to move it into the database after the last transaction.
    check(not set(os.listdir(disk)) - {"db", "db-wal", "db-shm"}, "a file that remained", os.listdir(disk))
    with contextlib.closing(sqlite3.connect(os.path.join(disk, "db"))) as db:
        check(db.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "the database is damaged")
        return sorted(row[0] for row in db.execute("SELECT json FROM resource"))


def is_full(sandbox, run, found, want, first, mode):
    """Runs a program once on a disk that is full from call `first` on, and then on one with room.
    Returns False if the program did not come to that call."""
    folder = tempfile.mkdtemp(prefix="bcda-test-")
    os.mkdir(os.path.join(folder, "disk"))
    done = run(sandbox, folder, env=full(folder, first, mode))
    what = f"call {first}, {mode}"
    number, failed = calls(folder)
    if done.returncode == 0 and number >= first:
        if run is export:
            # Names can be made durable later, and the last call can come after all data are safe. Data cannot.
            check(failed not in ("write", "fsync"), what, failed)
            check(mode == "once" or number <= first + 1, what, number)
        check(b"No space" not in done.stderr and b"error" not in done.stderr, what, done.stderr)
    elif number >= first:
        check(done.returncode == 1, what, done.returncode, done.stderr)
        check(any(text in done.stderr for text in CLEAR), what, done.stderr)
        done = run(sandbox, folder)
    check(done.returncode == 0, what, done.returncode, done.stderr)
    check(found(folder) == want, what, "other data after it")
    shutil.rmtree(folder)
    return number >= first


def modes(run, tried):
    return MODES if sample.EXHAUSTIVE and run is export else (MODES[(tried + sample.SEED) % len(MODES)],)


def each_call(run, found):
    """Runs a program with each first failing call, or with a sample of them."""
    with programs.Sandbox(*SIZE, "--files", "2", "--polls", "0", "--allow-duplicates", tls=False) as s:
        folder = tempfile.mkdtemp(prefix="bcda-test-")
        os.mkdir(os.path.join(folder, "disk"))
        done = run(s, folder, env=full(folder, 10 ** 9, ""))
        check(done.returncode == 0, done.returncode, done.stderr)
        want = found(folder)
        check(len(want) > 20, want)
        shutil.rmtree(folder)
        first, tried = 1, 0
        while all([is_full(s, run, found, want, first, mode) for mode in modes(run, tried)]):
            first += sample.gap(4 if run is export else 10) if first > 3 else 1
            tried += 1
        check(tried > 5, tried)
        print(f"{first - 1} calls at most, {tried} of them the first on a full disk")


def bcda_export():
    each_call(export, exported)


def bcda_load_sqlite():
    each_call(load, loaded)


def main():
    report.run((bcda_export, bcda_load_sqlite) if LOADER else (bcda_export,), [])
    report.finish()


main()
