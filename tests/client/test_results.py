#!/usr/bin/env python3
"""Checks the table of doc/guide/results.md: each row is tried at each level that it names.

test_results.py BCDA_EXPORT BCDA_SANDBOX RESULTS_OF RESULTS_MD [WORD]...

With WORDs, only the rows that contain all of them are checked.
"""
import concurrent.futures
import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys

import programs

report = programs.Report()
check = report.check
RESULTS_OF, DOCUMENT = (os.path.abspath(path) for path in sys.argv[3:5])
LEVELS = ("system", "group", "patient", "resource")
TYPES = ("Patient", "Coverage")


def rows():
    """Yields the situation, levels, exit status, result and verdict of each row."""
    with open(DOCUMENT, encoding="utf-8") as f:
        text = f.read().split("<!-- table: test_results.py -->")[1].split("<!-- end -->")[0]
    for line in text.strip().splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not cells[0].startswith("**"):
            levels = LEVELS if cells[1] == "all" else tuple(cells[1].split(", "))
            yield cells[0], levels, cells[2], cells[3], cells[4]


# ---- what the sandbox serves ----

def lines(kind, count):
    return "".join(f'{{"resourceType":"{kind}","id":"{i}"}}\n' for i in range(count))


def issue(severity):
    return ('{"resourceType":"OperationOutcome","issue":[{"severity":"%s","code":"exception",'
            '"diagnostics":"words"}]}\n' % severity)


BOTH = {"Patient.ndjson": lines("Patient", 3), "Coverage.ndjson": lines("Coverage", 3)}
ONLY_PATIENT = {"Patient.ndjson": lines("Patient", 3)}
NEITHER = {"Claim.ndjson": lines("Claim", 1)}


class Play:
    """A situation: a sandbox with these data files and options, in which bcda-export and an
    application run."""

    def __init__(self, data=None, *options, era="current", types=TYPES, out=(), both=(), library=(),
                 url=None, limit=None, wait=b"", sign=signal.SIGINT, prepare=None, secret=None):
        self.data, self.options, self.era, self.types = data or BOTH, options, era, types
        self.out, self.both, self.library, self.url = out, both, library, url
        self.limit, self.wait, self.sign = limit, wait, sign
        self.prepare, self.secret = prepare, secret

    @contextlib.contextmanager
    def sandbox(self):
        # start_another() leaves a running job, of which the next export must be a duplicate.
        duplicates = [] if self.prepare == start_another else ["--allow-duplicates"]
        with programs.Sandbox("--era", self.era, "--polls", "0", *self.all_levels(), *duplicates,
                              *[word for fault in self.options for word in
                                (("--fault", fault) if not fault.startswith("-") else (fault,))],
                              data=self.data, tls=False) as s:
            if self.url:
                s.env["BCDA_FHIR_URL"] = self.url(s.env["BCDA_FHIR_URL"])
            if self.secret:
                s.env["BCDA_CLIENT_SECRET_FILE"] = os.path.join(s.state, "wrong")
                with open(s.env["BCDA_CLIENT_SECRET_FILE"], "w", encoding="ascii") as f:
                    f.write(self.secret)
            yield s

    def all_levels(self):
        return ["--all-levels"] if self.era == "current" else []

    def small_files(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, self.limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def more(self):
        return {"preexec_fn": self.small_files} if self.limit is not None else {}

    def program(self, s, level):
        """Runs bcda-export. Returns its exit status and what it printed."""
        group = ["--group", "all"] if level == "group" and "--group" not in self.both else []
        types = [word for kind in self.types for word in ("--type", kind)]
        command = [programs.EXPORT, *s.arguments(), *programs.FAST, "--out",
                   out_of(s, level), *group, *types,
                   *(["--level", level] if types or level != "resource" else []),
                   *self.both, *self.out]
        if not self.wait:
            done = subprocess.run(command, capture_output=True, timeout=programs.LIMIT, **self.more())
            return done.returncode, done.stderr
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        said = b""
        for line in process.stderr:
            said += line
            if self.wait in line:
                process.send_signal(self.sign)
                break
        said += process.stderr.read()
        process.stderr.close()
        return process.wait(programs.LIMIT), said

    def application(self, s, level):
        """Runs results-of, a program that uses the library. Returns its result and verdict. At the
        resource level, it exports only the last type, which is the one with the fault."""
        group = ["--group", "all"] if level == "group" and "--group" not in self.both else []
        types = self.types[-1:] if level == "resource" else self.types
        if level == "resource" and not types:
            types = ("Coverage",)
        done = subprocess.run(
            [RESULTS_OF, level, *group, *[word for kind in types for word in ("--type", kind)],
             *programs.FAST, *self.both, *self.library], capture_output=True, text=True,
            timeout=programs.LIMIT, env=dict(os.environ, **s.env), **self.more())
        check(done.returncode == 0, "the application", done.stderr)
        return tuple(done.stdout.split())


def out_of(s, level):
    return os.path.join(s.state, "out-" + level)


# Nothing listens at this socket, so its port refuses connections. It stays bound until the test ends, so no other
# process gets the port meanwhile.
closed = socket.socket()
closed.bind(("127.0.0.1", 0))


def closed_port(_):
    return "http://127.0.0.1:%d/api/v1" % closed.getsockname()[1]


def start_another(play, s, level):
    """Starts an export of the first type and kills the program. The job stays unfinished: the program polls once
    a second or less often, and the job needs many polls."""
    group = ["--group", "all"] if level == "group" else []
    process = subprocess.Popen(
        [programs.EXPORT, *s.arguments(), "--level", level, *group, "--type", play.types[0], "--out",
         os.path.join(s.state, "other")], stderr=subprocess.PIPE)
    process.stderr.readline()  # the job was accepted
    process.kill()
    process.communicate()


def leave_files(_play, s, level):
    """Creates the files of an earlier export."""
    os.mkdir(out_of(s, level))
    with open(os.path.join(out_of(s, level), "Patient-0001.ndjson"), "w", encoding="ascii") as f:
        f.write(lines("Patient", 1))


BAD = {"Patient.ndjson": lines("Patient", 3), "Coverage.ndjson": lines("Coverage", 2) + "{no\n"}
TOLERATED = ("--set", "bad_lines_max=-1")
PLAYS = {
    "complete": Play(),
    "wrong usage, or a session that cannot be made": Play(out=("--since", "yesterday")),
    "the folder holds files of an earlier export": Play(prepare=leave_files),
    "the server cannot be reached": Play(url=closed_port, both=("--set", "attempts=1")),
    "wrong credentials": Play(secret="no"),
    "nothing at the address (404 to the kick-off)": Play(url=lambda url: url.replace("/v1", "/v9")),
    "no such group (404)": Play(both=("--group", "nobody")),
    "no attribution data yet, as in January (404)": Play(None, "kickoff-404"),
    # In December 2018 there was no Coverage/$export.
    "no type was named, and the server exports some of them only":
        Play({"ExplanationOfBenefit.ndjson": lines("ExplanationOfBenefit", 1), **BOTH}, era="2018-12",
             types=()),
    "no type was named, and the server exports none of them":
        Play(types=(), url=lambda url: url.replace("/v1", "/v9")),
    "a parameter that the server refuses (400)": Play(both=("--parameter", "_outputFormat=csv")),
    "an identical export is running, and waiting is not wanted (429)":
        Play(None, "kickoff-429:0*1000", both=("--set", "duplicate_job=1")),
    "a requested type has no file": Play(ONLY_PATIENT),
    "no requested type has a file": Play(NEITHER),
    "no type was named, and there is no file":
        Play({"error.ndjson": issue("information")}, types=(), both=TOLERATED),
    "a type is left out while another export of it runs (BCDA until April 2021)":
        Play(None, "--polls=50", era="2021-01", prepare=start_another),
    "deletions, which are delivered": Play(None, "deleted", library=("--do", "deletions")),
    "deletions without a receiver: `--out -`, or no `on_deleted`":
        Play(None, "deleted", out=("--out", "-")),
    "no type was named, and there are only deletions":
        Play({"error.ndjson": issue("information")}, "deleted", types=(), library=("--do", "deletions")),
    "with `--replace`: a requested type has no file":
        Play(ONLY_PATIENT, out=("--replace",), prepare=leave_files),
    "issues of a severity that FHIR does not have": Play({**BOTH, "error.ndjson": issue("grave")}),
    "invalid lines, tolerated (the default of `bcda-export`)": Play(BAD, library=TOLERATED),
    "invalid lines, not tolerated (the default of the library)":
        Play(BAD, out=("--set", "bad_lines_max=0")),
    "some files failed": Play(None, "data-500@Coverage"),
    "all files failed": Play(None, "data-500"),
    "a file is cut off, each time": Play(None, "data-cut:0@Coverage"),
    "an encrypted file was altered": Play(None, "data-flip:-1@Coverage", era="2019-04"),
    "a file that the manifest lists is not there (404)": Play(None, "data-404@Coverage"),
    "the job failed at the server": Play(None, "job-failed"),
    "the job was cancelled at the server": Play(None, "job-cancelled"),
    "the job has expired (410)": Play(None, "job-expired", era="2019-04"),
    "the job has expired (404, BCDA since August 2025)": Play(None, "job-expired"),
    "the job takes longer than `job_timeout_ms`":
        Play(None, "--polls=1000000", both=("--set", "job_timeout_ms=300")),
    "interrupted by SIGINT before the server has accepted the job":
        Play(None, "kickoff-429:0*1000", wait=b"again in", out=("--set", "retry_max_ms=60000"),
             library=("--do", "cancel-1")),
    "interrupted by SIGINT while the server works":
        Play(None, "--polls=1000000", wait=b"accepted", library=("--do", "cancel-2")),
    "interrupted by SIGINT while files come":
        Play(None, "stall", wait=b"1 file", library=("--do", "cancel-3"), types=("Patient",)),
    "ended by SIGTERM while files come":
        Play(None, "stall", wait=b"1 file", library=("--do", "cancel-3"), sign=signal.SIGTERM,
             types=("Patient",)),
    "a callback returned `BCDA_STOP`": Play(library=("--do", "stop")),
    "a callback returned what it may not": Play(library=("--do", "nonsense")),
    "no room for the output of `bcda-export`": Play(limit=0),
    "no room for the spool of verified delivery":
        Play(limit=8, both=("--set", "delivery=1", "--spool", "/tmp")),
}
for name in ("information", "warning", "error", "fatal"):
    PLAYS[f"issues of severity {name}"] = Play({**BOTH, "error.ndjson": issue(name)})


def play(situation, levels, status, result, verdict):
    """Checks one row of the table. Its levels use the same sandbox."""
    how = PLAYS[situation]
    with how.sandbox() as s:
        for level in levels:
            if how.prepare:
                how.prepare(how, s, level)
            if status != "-":
                got, said = how.program(s, level)
                check(str(got) == status, situation, level, f"bcda-export ends with {got}", said)
                check(said or got == 0, situation, level, "nothing is said")
            if result != "-":
                got = how.application(s, level)
                wanted = ("BCDA_OK" if result == "OK" else "BCDA_ERR_" + result, verdict)
                check(got == wanted, situation, level, "the application gets", got)


def main():
    table = list(rows())
    check(len(table) > 35, "where is the table?", len(table))
    for situation in {row[0] for row in table} ^ set(PLAYS):
        check(False, situation, "is not in both the table and the test")
    wanted = [row for row in table if row[0] in PLAYS
              and all(word in row[0] for word in sys.argv[5:])]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:  # most of the time is spent waiting
        for done in [pool.submit(play, *row) for row in wanted]:
            done.result()
    report.finish()


main()
