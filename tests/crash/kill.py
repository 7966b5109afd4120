#!/usr/bin/env python3
"""Loads that are killed at random moments: each resource must be in the database exactly once, and
equal to its source. sh tests/kill runs this.

kill.py BCDA_EXPORT BCDA_SANDBOX KILL_LIBRARY [--rounds N] [--seed S] sqlite=LOADER [postgres=LOADER]
"""
import argparse
import concurrent.futures
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

import crash
import programs  # found by crash

PHASES = ("starting", "polling", "downloading", "transaction", "committed", "deletions", "finishing")
TITLES = ("starting", "polling", "downloading", "inside a transaction", "after a commit, before the next file",
          "deletions", "finishing")
KINDS = ("time", "bytes", "sync", "row", "begin", "commit", "after")
# An export has 60 files: 56 of claims, and one of each other type.
SIZE = ("--era", "current", "--api-version", "2", "--patients", "140", "--claims", "12")
FILES = ("--mixed", "--files", "56", "--polls", "2")
CHECKED = ("Patient", "Coverage", "Claim")
ATTEMPTS = 12  # runs in a row that fail by themselves


class Wrong(Exception):
    """What must never happen."""


def must(right, *what):
    if not right:
        raise Wrong(" ".join(str(w)[:1500] for w in what))


class Load:
    """What the sandbox has offered during one load: its files, and what existed before and exists now."""

    def __init__(self, sandbox, database, before, now):
        self.kept = os.path.join(sandbox.state, "s", "jobs")
        self.old_jobs = set(self.jobs())
        self.database, self.before, self.now = database, before, now
        self.files = {}
        self.lost_jobs = False

    def jobs(self):
        """Returns the jobs that the sandbox has kept."""
        return [name for name in os.listdir(self.kept) if name.isdigit()]

    def plain_files(self):
        """Returns {path: {(type, id): hash}} of the data files of the load's jobs that are complete."""
        for job in set(self.jobs()) - self.old_jobs:
            with open(os.path.join(self.kept, job), encoding="ascii") as f:
                files = [line.split("\t") for line in f if line.startswith("file\t")]
            for _, _, kind, _, path, *_ in files:
                if kind not in ("Bundle", "OperationOutcome") and path not in self.files:
                    self.files[path] = self.database.digests(path)
        return self.files

    def judge(self):
        """Checks a database after a crash: each row is one of the sandbox, each file is there as a whole
        or not at all, and the state of the load says how many are there."""
        rows = self.database.rows()
        have = {row[:2]: row[2] for row in rows}
        must(len(have) == len(rows), "a resource is there twice")
        for name, value in have.items():
            must(value in (self.before.get(name), self.now.get(name)), "a row that is not of the source", name)
        recorded, whole = self.database.files_loaded(), 0
        if recorded is None:
            must(have in (self.before, self.now), "no load is unfinished, but the tables have a part of one")
            return
        for path, lines in self.plain_files().items():
            count = sum(have.get(name) == value for name, value in lines.items())
            must(count in (0, len(lines)), "a part of a file", path, count, "of", len(lines))
            whole += count > 0
        gone = self.before.keys() - have.keys()
        must(gone in (set(), self.before.keys() - self.now.keys()), "a part of the deletions", len(gone))
        if not self.lost_jobs:
            must(recorded == whole + bool(gone), "the state has", recorded, "files, and the tables", whole,
                 "and deletions" if gone else "")


class Show:
    """One column of the table: one loader, and who is killed."""

    def __init__(self, options, database, victim, title):
        self.rounds = options.rounds
        self.database, self.victim, self.title = database, victim, title
        self.random = random.Random(f"{options.seed} {title}")
        self.library = os.path.abspath(options.library)
        self.killed = dict.fromkeys(PHASES, 0)
        self.kills = self.loads = self.failed = self.compared = 0
        self.folder = tempfile.TemporaryDirectory(prefix="bcda-test-")
        self.totals = {}  # of a load that was not killed: how often each kind of event occurs
        self.first = list(PHASES)
        self.random.shuffle(self.first)
        self.day = 0

    def path(self, name):
        return os.path.join(self.folder.name, name)

    # ---- the sandbox ----

    def arm(self, sandbox, alters=False):
        """Switches faults on: transient ones in every third answer, and a file whose end is altered."""
        sandbox.control("DELETE", "fault")
        sandbox.control("POST", f"fault?spec=random:{self.random.randrange(10 ** 6)}")
        if alters:
            # One file of these types is encrypted or gzip, so that the alteration can be detected.
            sandbox.control("POST", f"fault?spec=data-flip:-1*1%40{self.random.choice(CHECKED)}")
        cut, skip = self.random.randrange(100), self.random.randrange(30)
        sandbox.control("POST", f"fault?spec=data-cut:{cut}%25*2%2B{skip}")
        # The server's requests to wait a second would make up most of the time.
        sandbox.control("POST", "fault?spec=retry-after:0")

    def restart_sandbox(self, sandbox, load):
        sandbox.kill()
        if self.victim == "jobs":
            load.lost_jobs = True
            for name in os.listdir(load.kept):
                os.unlink(os.path.join(load.kept, name))
        sandbox.restart("--day", str(self.day))
        self.arm(sandbox)

    # ---- one run of the loader ----

    def choose(self):
        """Returns the event at which the next run is killed. First each phase is chosen once, and later
        those more often that were seldom met. A phase may have a single event."""
        if self.first and self.random.random() < 0.7:
            return f"{self.first[-1]}:{self.random.randint(1, min(3, self.totals[self.first[-1]]))}"
        kind = self.random.choice(KINDS)
        if self.random.random() < 0.5:
            kind = min(self.random.sample(PHASES, 3), key=self.killed.get)
        return f"{kind}:{self.random.randint(1, max(2, self.totals[kind] // 4))}"

    def start(self, sandbox, at):
        env = dict(os.environ, LD_PRELOAD=self.library, BCDA_KILL_REPORT=self.path("report"),
                   BCDA_KILL_COUNTS=self.path("counts"),
                   BCDA_KILL_ACTION="kill" if self.victim == "loader" else "stop")
        if at:
            env["BCDA_KILL_AT"] = at
        for name in ("report", "counts"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(name))
        command = crash.loader_command(self.database.program, sandbox, self.database.database, "--wait", "20",
                                       "--quiet")
        with open(self.path("output"), "wb") as out:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env)

    def output(self):
        with open(self.path("output"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def phase(self):
        """Returns the phase in which the run was killed or stopped."""
        with open(self.path("report"), encoding="ascii") as f:
            return f.readline().split()[0]

    def note_kill(self):
        phase = self.phase()
        self.kills += 1
        self.killed[phase] += 1
        if phase in self.first:
            self.first.remove(phase)

    def disturb(self, process, sandbox, load):
        """Kills a server while the loader is stopped. In half of the cases, the loader continues before
        the server is there again, and fails or waits."""
        self.note_kill()
        late = self.random.random() < 0.5
        if self.victim == "server":
            self.database.crash(self.random.choice(("kill", "immediate")))
            restart = self.database.start
        else:
            sandbox.kill()

            def restart():
                return self.restart_sandbox(sandbox, load)
        if late:
            os.kill(process.pid, signal.SIGCONT)
        restart()
        os.kill(process.pid, signal.SIGCONT)

    def run(self, sandbox, load, at):
        """Returns the exit status of one run, negative if it was killed."""
        process = self.start(sandbox, at)
        watchdog = threading.Timer(crash.LIMIT, os.kill, [process.pid, signal.SIGABRT])
        watchdog.start()
        try:
            while True:
                _, status = os.waitpid(process.pid, os.WUNTRACED)
                if not os.WIFSTOPPED(status):
                    process.returncode = os.waitstatus_to_exitcode(status)
                    return process.returncode
                self.disturb(process, sandbox, load)
        finally:
            watchdog.cancel()

    # ---- one load ----

    def load(self, sandbox, before):
        """Runs the loader until a load is complete. Returns what then exists."""
        load = Load(sandbox, self.database, before, crash.truth(SIZE, self.day, self.database))
        failed = 0
        while True:
            at = self.choose() if self.loads >= 2 and (self.kills < self.rounds or self.first) else None
            kills = self.kills
            status = self.run(sandbox, load, at)
            if status == 0:
                break
            must(status in (1, -signal.SIGKILL), "exit status", status, at, self.output())
            if status == 1:
                must(self.output(), "a failure without a word")
                self.failed += 1
                failed = failed + 1 if kills == self.kills else 0
                must(failed < ATTEMPTS, "too many failures in a row", self.output())
            else:
                failed = 0
                self.note_kill()
            load.judge()
        self.finish(load)
        return load.now

    def finish(self, load):
        rows = self.database.rows()
        have = {row[:2]: row[2] for row in rows}
        missing = [name for name, value in load.now.items() if have.get(name) != value]
        must(len(rows) == len(have) and not missing and len(have) == len(load.now), "after day", self.day, len(rows),
             "rows of", len(load.now), "; missing or old:", missing[:3], "; beyond:",
             list(have.keys() - load.now.keys())[:3])
        must(not self.database.leftovers(), "what remains after a load", self.database.leftovers())
        must(self.database.files_loaded() is None, "the load is not recorded as complete")
        self.loads += 1
        self.compared += len(rows)

    def note_totals(self):
        """Reads how often each event occurred in a load that was not killed."""
        with open(self.path("counts"), encoding="ascii") as f:
            self.totals = {name: int(count) for name, count in (line.split() for line in f)}

    def play(self):
        with programs.Sandbox(*SIZE, *FILES, "--day", "0", "--control", "--keep-state", "--keep-plain",
                              tls=False) as sandbox:
            # The first two loads are not killed: one of all resources, and one of changes, which shows how
            # many events there are in each of the later ones.
            have = {}
            while self.kills < self.rounds or self.first or self.loads < 3:
                began = time.monotonic()
                sandbox.control("POST", f"day?day={self.day}")
                if self.loads >= 2:
                    self.arm(sandbox, alters=True)
                have = self.load(sandbox, have)
                if self.loads <= 2:
                    self.note_totals()
                    self.totals["time"] = int((time.monotonic() - began) * 1000)
                must(self.loads < 3 * self.rounds + 20, "phases without a kill", self.first)
                self.day += 1


def table(shows):
    """Prints one column for each show."""
    rows = [["killed", *(show.title for show in shows)]]
    rows += [[title, *(str(show.killed[phase]) for show in shows)] for phase, title in zip(PHASES, TITLES)]
    rows += [["kills", *(str(show.kills) for show in shows)],
             ["loads that then were complete", *(str(show.loads) for show in shows)],
             ["runs that failed by faults", *(str(show.failed) for show in shows)],
             ["rows compared with their source", *(str(show.compared) for show in shows)]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for i, row in enumerate(rows):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
        if i == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


def parse():
    parser = argparse.ArgumentParser(prog="tests/kill")
    for name in ("export", "sandbox", "library"):
        parser.add_argument(name)
    parser.add_argument("--rounds", type=int, default=200, help="kills of each kind of victim")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2 ** 32))
    parser.add_argument("--only", help="one column: its victim, such as loader")
    parser.add_argument("loaders", nargs="+")
    options = parser.parse_args()
    if options.rounds < len(PHASES):
        parser.error(f"--rounds: at least {len(PHASES)}")
    return options


def plan(options):
    """Returns the makers of the databases, with the victims of each."""
    titles = {"loader": "the loader", "sandbox": "BCDA", "jobs": "BCDA, which loses its jobs",
              "server": "the database"}
    for word in options.loaders:
        kind, _, program = word.partition("=")
        victims = ("loader", "sandbox", "jobs") if kind == "sqlite" else ("loader", "server", "sandbox", "jobs")
        for victim in victims:
            if options.only in (None, victim):
                make = crash.Sqlite if kind == "sqlite" else crash.Postgres
                yield make, os.path.abspath(program), victim, f"{make.name}: {titles[victim]}"


def play(show):
    """Returns true if nothing was wrong."""
    began, right = time.monotonic(), False
    try:
        show.database.open()
        show.play()
        right = True
    except (Wrong, OSError, ValueError, subprocess.SubprocessError) as e:
        print(f"WRONG: {show.title}: load {show.loads + 1}, kill {show.kills}: {e or repr(e)}", flush=True)
    finally:
        show.database.close()
    print(f"# {show.title}: {show.kills} kills, {time.monotonic() - began:.0f} s", flush=True)
    return right


def main():
    options = parse()
    print(f"# --rounds {options.rounds} --seed {options.seed}", flush=True)
    shows = [Show(options, make(program), victim, title) for make, program, victim, title in plan(options)]
    with concurrent.futures.ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        right = list(pool.map(play, shows))
    table(shows)
    sys.exit(0 if right and all(right) else 1)


main()
