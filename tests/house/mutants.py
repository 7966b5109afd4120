#!/usr/bin/env python3
"""Runs the faults of mutants.list: puts each fault into a copy of the tree; the suite that the list
names must then fail. The head of mutants.list describes the format of an entry.

Each parallel job has its own copy of the tree and builds it; all suites must pass there before the
first fault. If the suite does not notice a fault, the fault has survived. Errors of the list are:
an entry whose line does not occur in its file exactly once, a fault that does not compile, and a
suite that fails without a fault. Survivors and errors are repeated at the end; the last line is "N
passed, M failed".
"""
import argparse
import fnmatch
import glob
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
KEYS = {"file", "in", "line", "with", "test", "env", "flags"}
FLAGS = {"asan", "hang"}
FACTOR = 10  # time limit of a suite, as a multiple of the time that it takes without a fault
BUILDS = {
    "plain": ["-Dbuildtype=plain", "-Doptimization=1", "-Dvariants=true"],
    "asan": ["-Dbuildtype=debugoptimized", "-Db_sanitize=address,undefined", "-Db_lundef=false",
             "-Dvariants=true"],
}
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=32:detect_stack_use_after_return=1:"
                    "abort_on_error=0",
    "UBSAN_OPTIONS": "halt_on_error=1",
}


class ListError(Exception):
    """An entry of the list is wrong or does not match the tree."""


class Mutant:
    def __init__(self, name, where):
        self.name = name
        self.where = where
        self.values = {}

    def __getitem__(self, key):
        return self.values.get(key, "")

    def fail(self, text):
        raise ListError(f"{self.name}: {text}")

    def check(self):
        for key in ("file", "line", "test"):
            if not self[key]:
                self.fail(f"has no \"{key}\"")
        if "with" not in self.values:
            self.fail("has no \"with\"")
        if not self.flags() <= FLAGS:
            self.fail(f"has a flag that is none of {', '.join(sorted(FLAGS))}")
        if any("=" not in word for word in self["env"].split()):
            self.fail("has an \"env\" that is not NAME=VALUE")

    def flags(self):
        return set(self["flags"].split())

    def build(self):
        return "asan" if "asan" in self.flags() else "plain"

    def suite(self):
        """Returns what to run: the build, the program, the test case or "", the environment."""
        program, _, case = self["test"].partition(" ")
        return self.build(), program, case.strip(), self["env"]

    def body(self, lines):
        """Returns the indexes of the lines that the entry refers to: of the file or of one
        function."""
        if not self["in"]:
            return range(len(lines))
        head = re.compile(r"^[^\s#/].*\b%s\(" % re.escape(self["in"]))
        begins = [i for i, line in enumerate(lines)
                  if head.match(line) and not is_declaration(lines, i)]
        if len(begins) != 1:
            self.fail(f"stale: {self['file']} has {len(begins)} functions {self['in']}()")
        end = next((i for i in range(begins[0], len(lines)) if lines[i].startswith("}")), len(lines))
        return range(begins[0], end)

    def apply(self, text):
        """Returns the text with the fault in it."""
        lines = text.split("\n")
        found = [i for i in self.body(lines) if lines[i].strip() == self["line"]]
        if len(found) != 1:
            self.fail(f"stale: {self['file']} has its line {len(found)} times: {self['line']}")
        old = lines[found[0]]
        lines[found[0]] = old[:len(old) - len(old.lstrip())] + self["with"]
        return "\n".join(lines)


def is_declaration(lines, i):
    for line in lines[i:]:
        if line.startswith("{"):
            return False
        if line.rstrip().endswith(";"):
            return True
    return True


def read_list(path):
    mutants = []
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            head = re.fullmatch(r"\[([\w-]+)\]", line)
            key, colon, value = line.partition(":")
            if head:
                mutants.append(Mutant(head.group(1), number))
            elif not mutants or not colon or key not in KEYS or key in mutants[-1].values:
                raise ListError(f"{os.path.basename(path)}:{number}: not understood: {line}")
            else:
                mutants[-1].values[key] = value.strip()
    names = [m.name for m in mutants]
    for m in mutants:
        m.check()
        if names.count(m.name) > 1:
            m.fail("there are several of this name")
    return mutants


def choose(mutants, patterns):
    if not patterns:
        return mutants
    return [m for m in mutants
            if any(fnmatch.fnmatch(m.name, p) or fnmatch.fnmatch(m["file"], p) for p in patterns)]


def check_case(mutant, root):
    """Checks that the source of the test program names the test case. A variant of a program has a longer name
    than its source."""
    _, program, case, _ = mutant.suite()
    name = os.path.basename(program)
    for path in glob.glob(os.path.join(root, "tests", "*", "*.c")):
        stem = os.path.splitext(os.path.basename(path))[0]
        if case and (name == stem or name.startswith(stem + "_")):
            with open(path, encoding="utf-8") as f:
                if f'case("{case}"' in f.read():
                    return
    if case:
        mutant.fail(f"{program} has no test case \"{case}\"")


def check_fit(mutants, root):
    """Returns the errors of all entries that can be found without a build."""
    errors = []
    for m in mutants:
        try:
            with open(os.path.join(root, m["file"]), encoding="utf-8") as f:
                text = f.read()
            if m.apply(text) == text:
                m.fail("changes nothing")
            check_case(m, root)
        except OSError as error:
            errors.append(f"{m.name}: {m['file']}: {error.strerror}")
        except ListError as error:
            errors.append(str(error))
    return errors


# ---- builds and suites ----

def stop(process):
    """Ends a suite. SIGTERM goes first, so that the program can end the test that it has forked."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            pass
        try:
            process.wait(5)
            return
        except subprocess.TimeoutExpired:
            pass


class Tree:
    """A copy of the sources, with a separate build for each kind of build."""

    def __init__(self, folder, source):
        self.folder = folder
        self.root = os.path.join(folder, "tree")
        shutil.copytree(source, self.root, symlinks=True,
                        ignore=shutil.ignore_patterns("build", ".git", "__pycache__"))

    def build(self, kind, programs):
        """Builds the programs. Returns "", or the compiler's message on failure."""
        build = os.path.join(self.folder, kind)
        targets = [os.path.join("tests", p) for p in sorted(programs)]
        if not os.path.exists(os.path.join(build, "build.ninja")):
            done = subprocess.run(["meson", "setup", build, self.root, "-Dtests=enabled",
                                   "-Dexamples=disabled", *BUILDS[kind]],
                                  text=True, capture_output=True)
            if done.returncode:
                return done.stdout + done.stderr
        done = subprocess.run(["ninja", "-C", build, "-j", "1", *targets], text=True,
                              capture_output=True)
        return done.stdout + done.stderr if done.returncode else ""

    def run(self, suite, limit):
        """Runs a suite. Returns "passed", "failed" or "hung", then the first failure, and the
        seconds."""
        kind, program, case, env = suite
        scratch = os.path.join(self.folder, "tmp")
        os.makedirs(scratch, exist_ok=True)
        variables = {**os.environ, **SANITIZERS, "TMPDIR": scratch, "CK_TIMEOUT_MULTIPLIER": "2",
                     "BCDA_TEST_EXHAUSTIVE": "1"}
        for name in ("CK_RUN_CASE", "BCDA_TEST_DECODE_THREADS", "BCDA_TEST_SEED"):
            variables.pop(name, None)
        if case:
            variables["CK_RUN_CASE"] = case
        variables.update(word.split("=", 1) for word in env.split())
        began = time.monotonic()
        process = subprocess.Popen([os.path.join(self.folder, kind, "tests", program)],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                   errors="replace", env=variables, start_new_session=True)
        overdue = threading.Event()
        timer = threading.Timer(limit, lambda: (overdue.set(), stop(process)))
        timer.start()
        ended, first, count = read_tap(process.stdout)
        if ended == "failed":
            stop(process)
        status = process.wait()
        timer.cancel()
        timer.join()
        process.stdout.close()
        shutil.rmtree(scratch, ignore_errors=True)
        if ended != "failed" and overdue.is_set():
            ended, first = "hung", f"not done after {limit:.0f} s"
        elif ended == "passed" and status:
            ended, first = "failed", f"ended with status {status}"
        elif ended == "passed" and not count:
            ended, first = "failed", "no test has run"
        return ended, first, time.monotonic() - began


def read_tap(lines):
    """Reads the results of the tests, up to the first that failed for a reason other than its time
    limit."""
    hung, count = "", 0
    for line in lines:
        count += line.startswith("ok ")
        if line.startswith("not ok "):
            text = line.split(" - ", 1)[-1].strip()
            if "Test timeout expired" not in text:
                return "failed", text, count
            hung = hung or text
    return ("hung", hung, count) if hung else ("passed", "", count)


# ---- the run ----

class Run:
    def __init__(self, mutants, jobs, least):
        self.mutants = mutants
        self.jobs = jobs
        self.least = least  # least time limit of a suite, in seconds
        self.lock = threading.Lock()
        self.passed = 0
        self.bad = []  # survivors and errors, to be repeated at the end
        self.times = {}  # seconds of each suite without a fault

    def say(self, text):
        with self.lock:
            print(text, flush=True)

    def good(self, text):
        with self.lock:
            self.passed += 1
            print(text, flush=True)

    def wrong(self, text):
        with self.lock:
            self.bad.append(text)
            print(text, flush=True)

    def programs(self, kind):
        return {m.suite()[1] for m in self.mutants if m.build() == kind}

    def check_unchanged(self, tree, suites):
        """Runs the suites without a fault. They must pass; otherwise a failure would prove
        nothing."""
        while True:
            try:
                suite = suites.get_nowait()
            except queue.Empty:
                return
            ended, first, seconds = tree.run(suite, 600)
            with self.lock:
                self.times[suite] = seconds
            if ended != "passed":
                self.wrong(f"ERROR {' '.join(filter(None, suite))}: fails without a fault: {first}")

    def try_mutant(self, tree, m):
        path = os.path.join(tree.root, m["file"])
        with open(path, encoding="utf-8") as f:
            original = f.read()
        suite = m.suite()
        try:
            write(path, m.apply(original))
            words = tree.build(m.build(), {suite[1]})
            if words:
                error = next((w for w in words.splitlines() if "error:" in w), words[-300:])
                self.wrong(f"ERROR {m.name}: does not compile: {error}")
                return
            limit = max(self.least, FACTOR * self.times[suite])
            ended, first, seconds = tree.run(suite, limit)
        finally:
            write(path, original)
        if ended == "failed" or (ended == "hung" and "hang" in m.flags()):
            self.good(f"killed   {m.name} ({m['test']}, {seconds:.1f} s): {shorten(first)}")
        elif ended == "hung":
            self.wrong(f"ERROR {m.name}: {m['test']} hangs, and the list does not say so: {first}")
        else:
            self.wrong(f"SURVIVED {m.name}: {m['file']}: {m['line']} -> {m['with']} ({m['test']})")

    def work(self, tree, work):
        while True:
            try:
                m = work.get_nowait()
            except queue.Empty:
                return
            try:
                self.try_mutant(tree, m)
            except ListError as error:
                self.wrong(f"ERROR {error}")

    def in_parallel(self, trees, function, items):
        work = queue.Queue()
        for item in items:
            work.put(item)
        threads = [threading.Thread(target=function, args=(tree, work)) for tree in trees]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def prepare(self, folder, root):
        """Copies and builds the tree once for each parallel job."""
        trees = []

        def make(number):
            tree = Tree(os.path.join(folder, str(number)), root)
            for kind in BUILDS:
                if self.programs(kind):
                    words = tree.build(kind, self.programs(kind))
                    if words:
                        self.wrong(f"ERROR the {kind} build fails without a fault:\n{words[-2000:]}")
            trees.append(tree)

        threads = [threading.Thread(target=make, args=(i,)) for i in range(self.jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return trees

    def all(self, root):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="bcda-mutants-") as folder:
            trees = self.prepare(folder, root)
            if not self.bad:
                self.say(f"built in {time.monotonic() - began:.0f} s")
                self.in_parallel(trees, self.check_unchanged, sorted({m.suite() for m in self.mutants}))
            if not self.bad:
                self.say(f"{len(self.times)} suites pass without a fault, "
                         f"{time.monotonic() - began:.0f} s")
                # The slowest suites first: otherwise one job could still run them when all others
                # have ended.
                self.in_parallel(trees, self.work,
                                 sorted(self.mutants, key=lambda m: -self.times[m.suite()]))
        self.say(f"{time.monotonic() - began:.0f} seconds")


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def shorten(text):
    text = re.sub(r"^\S*/", "", text)
    return text if len(text) <= 100 else text[:97] + "..."


def finish(passed, bad):
    for text in bad:
        print(text)
    print(f"{passed} passed, {len(bad)} failed")
    return 1 if bad else 0


def main():
    parser = argparse.ArgumentParser(description="Puts faults into a copy of the library; the suites "
                                                 "that are named for them must fail.")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN",
                        help="only faults whose name or file matches")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trees to build and run in")
    parser.add_argument("--list", action="store_true", help="print the names, and run nothing")
    parser.add_argument("--check", action="store_true",
                        help="only check that each entry of the list fits the tree")
    parser.add_argument("--seconds", type=float, default=60,
                        help="time that a suite gets at least, before it is taken to hang")
    parser.add_argument("--root", default=ROOT, help="the tree")
    parser.add_argument("--entries", help="the list, in place of ROOT/tests/house/mutants.list")
    args = parser.parse_args()
    root = os.path.abspath(args.root)
    try:
        mutants = choose(read_list(args.entries or os.path.join(root, "tests/house/mutants.list")),
                         args.patterns)
    except (ListError, OSError) as error:
        return finish(0, [f"ERROR {error}"])
    if args.list:
        for m in mutants:
            print(f"{m.name}: {m['file']} ({m['test']})")
        return 0
    bad = ["ERROR " + error for error in check_fit(mutants, root)]
    if not mutants:
        bad.append("ERROR no entry of the list matches")
    if args.check or bad:
        return finish(len(mutants) - len(bad), bad)
    run = Run(mutants, max(1, min(args.jobs, len(mutants))), args.seconds)
    run.all(root)
    return finish(run.passed, run.bad)


if __name__ == "__main__":
    sys.exit(main())
