#!/usr/bin/env python3
"""What bcda-export leaves in its output folder after success, after failure, and after a kill at
any moment.

test_folder.py BCDA_EXPORT BCDA_SANDBOX EXPORT_KILLED [TEST]...

Programs are killed at a sample of their steps (sample.py).

Terms: the state is the file of --resume, which lists the jobs and their complete files. The work folder is
the hidden folder WORK inside the output folder. A mark is a hard link in the work folder to a data file that
was committed but is not yet in the state; its name ends in ".part" (see tools/export/folder.c).
"""
import fcntl
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import programs
import sample
from fhir_server import Server, read, wait_for, write

report = programs.Report()
check = report.check
KILLED = os.path.abspath(sys.argv[3])
WORK = ".bcda-export"
BAD = "bad-lines.jsonl"


def listing(folder):
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def tree(folder):
    """Returns all files below the folder, including hidden ones."""
    return sorted(os.path.relpath(os.path.join(at, name), folder)
                  for at, _, names in os.walk(folder) for name in names)


def lines(folder):
    """Returns the lines of all data files in the folder, sorted."""
    return sorted(line for path in glob.glob(os.path.join(folder, "*-[0-9]*.ndjson"))
                  for line in read(path).split(b"\n")[:-1])


def check_clean(s, job, *what):
    """Checks that the folder has just the files of this job, and that no state is left."""
    check(lines(s.out) == s.lines(job), *what, "other resources", lines(s.out))
    check(listing(s.out) == ["Coverage-0001.ndjson", "Patient-0001.ndjson", "Patient-0002.ndjson"],
          *what, listing(s.out))
    check(not os.path.exists(s.state), *what, "the state is left")


# ---- a second export into the same folder ----

def again():
    """Without --add or --replace, a folder with an earlier export is refused before any request."""
    with Server(report) as s:
        s.run(code=0)
        check_clean(s, 1)
        sent = s.settled_requests()
        for more in ([], ["--resume", s.state], ["--quiet"]):
            done = s.run(*more, code=2)
            check(b"--replace" in done.stderr and b"--add" in done.stderr, done.stderr)
        check(s.settled_requests() == sent, "something was sent", s.requests[sent:])
        check_clean(s, 1)
        s.run("--add", code=0)
        check(lines(s.out) == sorted(s.lines(1) + s.lines(2)), lines(s.out))
        check(len(listing(s.out)) == 6 and "Patient-0004.ndjson" in listing(s.out), listing(s.out))
        s.run("--replace", code=0)
        check_clean(s, 3)
        s.run("--add", "--replace", code=2)
        s.run("--replace", "--out", "-", code=2)


def replace_fails():
    """A new export that is not complete leaves the old files as they are."""
    with Server(report) as s:
        s.run(code=0)
        s.lost = {2}
        done = s.run("--replace", code=1)
        check(b"not complete" in done.stderr, done.stderr)
        check_clean(s, 1, "a file is lost")
        s.lost = set()
        s.refuse = True
        s.run("--replace", code=1)
        check_clean(s, 1, "refused")
        s.refuse = False
        # an export that lacks a requested type or has no file at all does not replace the old one
        for types, more in ((("Patient", "Patient"), []),
                            (("Patient", "Patient"), ["--resume", s.state]), ((), [])):
            s.types = types
            asked = ["--type", "Patient", "--type", "Coverage"] if types else []
            done = s.run("--replace", *asked, *more, code=1)
            check(b"Coverage: was requested" in done.stderr or not types, done.stderr)
            check(b"keeps its files" in done.stderr, done.stderr)
            s.types = ("Patient", "Patient", "Coverage")
            check_clean(s, 1, types)


def replace_resumed():
    """With --replace and --resume, the files of an interrupted run stay in the hidden work folder
    until the next run has the rest."""
    with Server(report) as s:
        s.run(code=0)
        s.start_and_end("--replace", files=2)
        check(lines(s.out) == s.lines(1), "before all is here", listing(s.out))
        check(len(glob.glob(os.path.join(s.out, WORK, "new-*", "*.ndjson"))) == 2, tree(s.out))
        s.run("--resume", s.state, code=2)  # the same export, but without --replace
        before = s.requests.count("/data/2/0.ndjson")
        s.run("--replace", "--resume", s.state, code=0)
        check(s.requests.count("/data/2/0.ndjson") == before, "fetched again")
        check_clean(s, 2)
        # files that were deleted from the work folder do not count as complete
        s.start_and_end("--replace", files=2)
        shutil.rmtree(os.path.join(s.out, WORK))
        s.run("--replace", "--resume", s.state, code=0)
        check_clean(s, 4)


def remarks_resumed():
    """An interrupted run has found a cause of exit status 3, a missing type. The run that resumes must
    report that cause, too."""
    with Server(report) as s:
        asked = [word for kind in ("Patient", "Coverage", "Claim") for word in ("--type", kind)]
        s.start_and_end(*asked, files=2)
        done = s.run("--resume", s.state, *asked, code=3)
        check(b"Claim: was requested" in done.stderr, done.stderr)
        check_clean(s, 1)


# ---- deletions ----

def check_deletions(s, job, first=1):
    """Checks that the folder has the server's files of deletions, byte for byte, and not more of them."""
    names = [name for name in listing(s.out) if name.startswith("Deleted")]
    check(len(names) == first + s.deleted - 1, names)
    for i in range(s.deleted):
        name = f"Deleted-{first + i:04d}.ndjson"
        check(name in names and read(os.path.join(s.out, name)) == s.content(job, len(s.types) + i),
              name, names)


def deletions():
    """Files of deletions follow the rules of data files: --add, --replace, and the quarantine."""
    with Server(report) as s:
        s.deleted = 2
        done = s.run(code=0)
        check(b" 12 deletions in 2 files" in done.stderr, done.stderr)
        check(b"\n9 resources" in done.stderr, done.stderr)
        check_deletions(s, 1)
        check(lines(s.out) == s.lines(1), listing(s.out))
        s.run(code=2)
        s.run("--add", code=0)
        check_deletions(s, 2, first=3)
        s.deleted = 1
        s.run("--replace", code=0)
        check_deletions(s, 3)
        for name in listing(s.out):
            if not name.startswith("Deleted"):
                os.unlink(os.path.join(s.out, name))
        s.run(code=2)  # a folder with only deletions holds an earlier export, too
        s.lost = {3}
        s.run("--replace", code=1)
        check_deletions(s, 3)
        # an incremental export can have nothing but deletions
        s.lost, s.types = set(), ()
        s.run("--replace", code=0)
        check_deletions(s, 5)
        check(listing(s.out) == ["Deleted-0001.ndjson"], listing(s.out))
        s.deleted = 0
        s.run("--replace", code=1)
        check(listing(s.out) == ["Deleted-0001.ndjson"], listing(s.out))


def deletions_to_stdout():
    """Standard output has resources only."""
    with Server(report) as s:
        s.deleted = 2
        done = s.run("--out", "-", code=3)
        check(b"2 files of deletions were not exported, because standard output" in done.stderr, done.stderr)
        check(b"--out DIR" in done.stderr and b"DELETE" not in done.stdout, done.stderr)
        check(sorted(done.stdout.splitlines()) == [line for line in s.lines(1) if b"DELETE" not in line],
              done.stdout)
        check(not [path for path in s.requests if path.endswith(("/3.ndjson", "/4.ndjson"))], s.requests)


def deletions_resumed():
    """A file of deletions that is complete is not downloaded again, and one that is not complete leaves
    nothing."""
    for more in ([], ["--replace"]):
        with Server(report) as s:
            s.deleted = 2
            s.start_and_end(*more, files=4)  # the second file of deletions is missing
            check(not more or listing(s.out) == [WORK], listing(s.out))
            before = s.requests.count("/data/1/3.ndjson")
            done = s.run("--resume", s.state, *more, code=0)
            check(before == s.requests.count("/data/1/3.ndjson") == 1, s.requests)
            check(b" 6 deletions in 1 file\n" in done.stderr, done.stderr)
            check(b"4 files were here from the previous run" in done.stderr, done.stderr)
            check_deletions(s, 1)
            check(lines(s.out) == s.lines(1) and WORK not in listing(s.out), tree(s.out))


class WithoutBundle(Server):
    """In the first file of deletions, `wrong` lines are a Patient in place of a Bundle."""
    wrong = 1

    def content(self, job, index):
        text = super().content(job, index)
        if index != len(self.types):
            return text
        return b'{"resourceType":"Patient","id":"a"}\n' * self.wrong + \
            b"".join(line + b"\n" for line in text.split(b"\n")[self.wrong:-1])


def deletions_invalid():
    """A line that is not a Bundle of deletions is invalid. A file that has no other lines is useless."""
    with WithoutBundle(report) as s:
        s.deleted = 1
        done = s.run(code=3)
        check(b"3.ndjson, line 1: a line is not a Bundle of DELETE requests" in done.stderr, done.stderr)
        kept = [json.loads(line) for line in read(os.path.join(s.out, BAD)).splitlines()]
        check([(one["file"], one["line"]) for one in kept] == [("3.ndjson", 1)], kept)
        check(read(os.path.join(s.out, "Deleted-0001.ndjson")) == b"".join(
            line + b"\n" for line in s.content(1, 3).split(b"\n")[1:-1]), listing(s.out))
        shutil.rmtree(s.out)
        s.wrong = 3
        done = s.run(code=1)
        check(b"none of its 3 lines is a Bundle of DELETE requests" in done.stderr, done.stderr)
        check("Deleted-0001.ndjson" not in listing(s.out), listing(s.out))
    with Server(report, ("Patient", "Deleted")) as s:  # data must not be taken for deletions
        done = s.run(code=1)
        check(b'its type "Deleted" cannot be' in done.stderr, done.stderr)
        check(listing(s.out) == ["Patient-0001.ndjson"], listing(s.out))


def other_wishes():
    """A command with --resume must be refused if it requests another export, or another folder, than the
    command that wrote the state."""
    with Server(report) as s:
        s.start_and_end("--type", "Patient", "--type", "Coverage", files=1)
        sent = s.settled_requests()
        state = ["--resume", s.state]
        for more in (["--type", "Patient"], [], ["--group", "all"],
                     ["--type", "Patient", "--type", "Coverage", "--out", os.path.join(s.work, "b")],
                     ["--type", "Patient", "--type", "Coverage", "--replace"]):
            done = s.run(*state, *more, code=2)
            check(b"state is of an export" in done.stderr, more, done.stderr)
        check(s.settled_requests() == sent, "something was sent", s.requests[sent:])
        s.run(*state, "--type", "Patient", "--type", "Coverage", code=0)
        check_clean(s, 1)


def at_work():
    """Only one program at a time may work in a folder."""
    with Server(report) as s:
        write(os.path.join(s.out, WORK, "lock"))
        with open(os.path.join(s.out, WORK, "lock"), "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for more in ([], ["--add"], ["--replace"]):
                done = s.run(*more, code=1)
                check(b"another bcda-export is at work" in done.stderr, done.stderr)
            check(s.requests == [], s.requests)
        s.run(code=0)
        check_clean(s, 1)
        os.symlink(s.work, os.path.join(s.out, WORK))
        s.run("--add", code=1)
        check(listing(os.path.join(s.work, "new-")) == [], "written through a link")


def stale():
    """The next run in the folder removes what killed runs have left, even if it is refused."""
    with Server(report) as s:
        work = os.path.join(s.out, WORK)

        def litter():
            for name in ("7.tmp", "bad-lines.tmp", "Patient-0123456789abcdef-000001.part",
                         "new-0123456789abcdef/Patient-0001.ndjson"):
                write(os.path.join(work, name), b"patient data")

        litter()
        s.refuse = True
        s.run(code=1)
        check(tree(s.out) == [], "after a refused start", tree(s.out))
        s.refuse = False
        litter()
        s.run("--resume", s.state, code=0)
        check_clean(s, 1)
        litter()
        s.run(code=2)  # refused, but the leftovers are removed
        check(not glob.glob(work + "/new-*"), tree(s.out))
        # a mark must stay as long as its data file exists: the state of another job may need it
        name = os.path.join(s.out, "Patient-0001.ndjson")
        mark = os.path.join(work, "Patient-0123456789abcdef-000001.part")
        os.makedirs(work, exist_ok=True)
        os.link(name, mark)
        s.run("--add", code=0)
        check(os.path.exists(mark) and lines(s.out) == sorted(s.lines(1) + s.lines(2)), tree(s.out))
        os.unlink(name)
        s.run("--add", code=0)
        check(not os.path.exists(mark), "the data would outlive its file", tree(s.out))


# ---- jobs that no longer exist ----

DEAD = {"unknown": (404, b"{}"), "expired": (410, b"{}"), "failed": (500, b"{}"),
        "cancelled": (404, b'{"resourceType":"OperationOutcome","issue":[{"severity":"error",'
                           b'"code":"not-found","diagnostics":"Job has been cancelled."}]}')}


def dead_job():
    """If the job to resume no longer exists, the run must start a new one. The folder must not have
    any resource twice."""
    for name, answer in DEAD.items():
        for more in ([], ["--replace"], ["--add"]):
            with Server(report) as s:
                if more:
                    s.run(code=0)
                before = lines(s.out)
                s.start_and_end(*more, files=2)
                first = s.jobs
                s.dead[first] = answer
                done = s.run("--resume", s.state, *more, code=0)
                check(b"a new export starts" in done.stderr, name, done.stderr)
                check(lines(s.out) == sorted(s.lines(first + 1) + (before if more == ["--add"] else [])),
                      name, more, listing(s.out))
                check(not os.path.exists(s.state) and WORK not in listing(s.out), name, tree(s.out))


def dead_job_and_no_other():
    """The job no longer exists, and the server refuses new exports, perhaps for weeks. The files in the
    folder must stay until an export succeeds, which replaces them."""
    with Server(report) as s:
        s.start_and_end(files=2)
        there = lines(s.out)
        s.dead[1] = DEAD["expired"]
        s.refuse = True
        for _ in range(2):
            s.run("--resume", s.state, code=1)
            check(len(there) == 6 and lines(s.out) == there, listing(s.out))
        s.refuse = False
        # the new job is interrupted, too: the folder must still have no resource twice
        s.start_and_end(files=2)
        check(lines(s.out) == there, listing(s.out))
        s.run("--resume", s.state, code=0)
        check_clean(s, 2)


def tag_of(url):
    """Returns the tag in the names of a job's marks: the FNV-1a hash of the job's URL."""
    h = 0xcbf29ce484222325
    for c in url.encode():
        h = (h ^ c) * 0x100000001b3 % 2**64
    return f"{h:016x}"


def dead_job_of_several():
    """The state has two jobs. One no longer exists at the server. The other has committed a file that is
    not in the state. The next run must export both types completely, with no resource twice."""
    with Server(report) as s:
        more = ["--level", "resource", "--type", "Patient", "--type", "Coverage", "--resume", s.state]
        s.lost = {2}
        s.run(*more, code=1)
        check(s.jobs == 2 and len(lines(s.out)) == 12, listing(s.out))
        s.dead[1] = DEAD["expired"]
        s.refuse = True  # the run after this one then begins with files that it must replace
        s.run(*more, code=1)
        s.refuse, s.lost = False, set()
        write(os.path.join(s.out, "Coverage-0001.ndjson"), s.content(2, 2))
        os.makedirs(os.path.join(s.out, WORK), exist_ok=True)
        os.link(os.path.join(s.out, "Coverage-0001.ndjson"),
                os.path.join(s.out, WORK, f"Coverage-{tag_of(s.url + '/jobs/2')}-000002.part"))
        s.run(*more, code=0)
        check(lines(s.out) == sorted(s.lines(2) + s.lines(3)), lines(s.out))
        check(len(listing(s.out)) == 6, tree(s.out))


def dead_jobs_of_all_types():
    """None of the jobs in the state exists any more. While the server refuses new exports, the run fails
    and leaves the old files; later it succeeds."""
    with Server(report) as s:
        s.url = s.origin + "/api/v1"
        s.lost = {2}
        s.run("--resume", s.state, code=1)
        check(s.jobs == 3, s.jobs)
        for job in (1, 2, 3):
            s.dead[job] = DEAD["expired"]
        s.refuse = True
        there = lines(s.out)
        done = s.run("--resume", s.state, code=1)
        check(done.stderr.count(b"nothing to export") == 3 and there == lines(s.out), done.stderr)
        s.refuse, s.lost = False, set()
        s.run("--resume", s.state, code=3)  # status 3, because the server has no claims
        check(lines(s.out) == sorted(s.lines(4) + s.lines(5) + s.lines(6)), s.jobs, listing(s.out))


def dies_under_way():
    """If a job fails in its first run, the next run starts a new one."""
    for name, answer in DEAD.items():
        with Server(report) as s:
            s.dead[1] = answer
            done = s.run("--resume", s.state, code=1)
            check(b"run the same command" not in done.stderr, name, done.stderr)
            check(not os.path.exists(s.state) and tree(s.out) == [], name, tree(s.out))
            s.run("--resume", s.state, code=0)
            check_clean(s, 2, name)


def appended_lines():
    """A run appends a line to the state for each file. A last line that was not written completely is
    ignored, and a line that is damaged is refused."""
    for end, code in ((b"", 0), (b"+ 0 0 0 0 Patient 9", 0), (b"+ 0 0 0\n", 1), (b"+ 7 0 0 0 - 0 0 0 {}\n", 1),
                      (b"+ 0 0 0 0 - 0 0 0 {}\n", 1)):
        with Server(report) as s:
            s.start_and_end(files=1)
            state = read(s.state)
            check(state.count(b"\n+ 0 ") >= 1, state)
            write(s.state, state + end)
            done = s.run("--resume", s.state, code=code)
            if code:
                check(b"damaged" in done.stderr and b"Traceback" not in done.stderr, done.stderr)
            else:
                check(lines(s.out) == s.lines(1), tree(s.out))


def lost_file():
    """If the server lacks a file, the run fails, but its job can still be resumed."""
    with Server(report) as s:
        s.lost = {1}
        for _ in range(2):
            done = s.run("--resume", s.state, code=1)
            check(b"no more" not in done.stderr and b"resumes from" in done.stderr, done.stderr)
        s.lost = set()
        s.run("--resume", s.state, code=0)
        check(s.jobs == 1, s.jobs)
        check(lines(s.out) == s.lines(1), listing(s.out))


def useless_file():
    """A file that was received completely cannot be used. Requesting it again would give the same file, so
    the next run must start a new job."""
    with Server(report, ("Patient", "no type")) as s:
        done = s.run("--resume", s.state, code=1)
        check(b"the next run starts a new one" in done.stderr, done.stderr)
        s.types = ("Patient", "Patient", "Coverage")
        s.run("--resume", s.state, code=0)
        check_clean(s, 2)


def interrupted():
    """After SIGINT or SIGTERM: the exit status, the message, and whether the job is cancelled at the
    server."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        with Server(report) as s:
            status, said = s.start_and_end(sign=sign, files=2)
            check(status == 128 + sign, status, said)
            check(b"interrupted" in said and b"resumes from" in said, said)
            check(b"stay at the server" in said, said)
            s.run("--resume", s.state, code=0)
            check_clean(s, 1)
    for more, words in (([], b"needs --resume"), (["--resume", "state"], b"resumes from"),
                        (["--set", "cancel_at_server=on"], b"asked to cancel job 1"),
                        (["--set", "cancel_at_server=on", "--resume", "state"],
                         b"the next run starts a new one")):
        with Server(report) as s:
            s.running = True
            process = subprocess.Popen(s.command(*more), stderr=subprocess.PIPE, cwd=s.work)
            wait_for(lambda: "/api/v2/jobs/1" in s.requests)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=programs.LIMIT)[1]
            check(process.returncode == 130 and words in said, more, process.returncode, said)
            check((b"continues at the server" in said) == ("cancel_at_server=on" not in more), said)
            check(("DELETE /api/v2/jobs/1" in s.requests) == ("cancel_at_server=on" in more), s.requests)
            check(tree(s.out) == [], tree(s.out))


# ---- invalid lines ----

class WithInvalidLine(Server):
    def content(self, job, index):
        text = super().content(job, index).split(b"\n")
        return b"\n".join(text[:1] + [b'{"resourceType":"Pat'] + text[1:])


def invalid_lines():
    """Invalid lines of a failed file are neither kept nor printed: it may have been altered."""
    with WithInvalidLine(report) as s:
        done = s.run(code=3)
        kept = [json.loads(line)["file"] for line in read(os.path.join(s.out, BAD)).splitlines()]
        check(sorted(kept) == ["0.ndjson", "1.ndjson", "2.ndjson"], kept)
        check(done.stderr.count(b", line 2: ") == 3, done.stderr)
        s.more = {"output": [{"type": "Patient", "url": s.origin + "/data/1/0.ndjson"},
                             {"type": "Patient", "url": s.origin + "/data/1/1.ndjson", "count": 5}]}
        shutil.rmtree(s.out)
        done = s.run(code=1)
        kept = [json.loads(line)["file"] for line in read(os.path.join(s.out, BAD)).splitlines()]
        check(kept == ["0.ndjson"], kept)
        check(b"1.ndjson, line" not in done.stderr and b"0.ndjson, line 2" in done.stderr, done.stderr)
        check(tree(s.out) == ["Patient-0001.ndjson", BAD], tree(s.out))


def altered():
    """A flipped bit breaks the JSON of an encrypted file and its authentication tag: only the
    alteration is reported."""
    with programs.Sandbox("--era", "2019-04", "--polls", "0", "--fault", "data-flip:12",
                          tls=False) as s:
        out = os.path.join(s.state, "out")
        done = programs.export(s, "--level", "resource", "--type", "Patient", "--out", out)
        check(done.returncode == 1 and listing(out) == [], done.returncode, listing(out), done.stderr)
        check(b", line" not in done.stderr and b"altered" in done.stderr, done.stderr)


# ---- killed at each step ----

def killed(command, step, **env):
    return subprocess.run([KILLED] + command[1:], capture_output=True, timeout=programs.LIMIT,
                          env=dict(os.environ, BCDA_TEST_KILL_AT=str(step), **env))


POOR = {"BCDA_TEST_NO_TMPFILE": "1"}


def each_step(make, after, deleted=0, **env):
    """Runs the command of make(server) many times, each time killed at another step: the first, a
    sample, and the last. Calls after() each time. Returns the number of steps."""
    def ends_at(step):
        with WithInvalidLine(report, ("Patient", "Coverage")) as s:
            s.deleted = deleted
            command = make(s)
            done = killed(command, step, **env)
            after(s, command, done)
            if done.returncode == -signal.SIGKILL:
                return False
            check(done.returncode == 3, step, done.returncode, done.stderr)
            return True

    last, step = 0, 1
    while not ends_at(step):
        check(step < 1000, "no end")
        last, step = step, step + sample.gap(8)
    while step - last > 1:
        middle = (last + step) // 2
        if ends_at(middle):
            step = middle
        else:
            last = middle
    return last


def kept_lines(s):
    path = os.path.join(s.out, BAD)
    return [json.loads(line)["file"] for line in read(path).splitlines()] if os.path.exists(path) else []


def kill_and_resume():
    """A run is killed at any step. After the next run, the folder must have each resource exactly once."""
    def make(s):
        return s.command("--resume", s.state)

    def after(s, command, done):
        name = (done.stderr, tree(s.out))
        for path in glob.glob(os.path.join(s.out, WORK, "*.tmp")):
            check(poor or not read(path), *name, "unfinished data has a name")
        visible = lines(s.out)
        check(len(visible) in (0, 3, 6, 9) and len(set(visible)) == len(visible), *name)
        done = subprocess.run(command, capture_output=True, timeout=programs.LIMIT)
        if done.returncode == 2:  # the first run was killed after its last step, or not at all
            check(not os.path.exists(s.state), *name)
        else:
            check(done.returncode == 3, *name, done.returncode, done.stderr)
        check(lines(s.out) == sorted(line for line in s.lines(s.jobs) if line != b'{"resourceType":"Pat'),
              *name, "not each resource once", lines(s.out))
        check(tree(s.out) == ["Coverage-0001.ndjson", "Deleted-0001.ndjson", "Patient-0001.ndjson", BAD],
              *name, tree(s.out))
        check(not os.path.exists(s.state) and listing(s.work) == ["out", "token"], listing(s.work))
        check(set(kept_lines(s)) == {"0.ndjson", "1.ndjson", "2.ndjson"}, *name, kept_lines(s))

    for poor in ({}, POOR):
        steps = each_step(make, after, deleted=1, **poor)
        check(steps > 60, "so few steps?", steps)


def kill_and_replace():
    """A run with --replace is killed at any step. After the next run, the folder must have either all old
    files or all new files, and never a mixture."""
    def after(s, command, done):
        name = (done.stderr, tree(s.out))
        jobs = s.jobs
        s.refuse = True
        subprocess.run(s.command("--replace"), capture_output=True, timeout=programs.LIMIT)
        s.refuse = False
        old = [b'{"resourceType":"Patient","id":"old"}', b'{"resourceType":"Patient","id":"older"}']
        new = sorted(line for line in s.lines(jobs) if line != b'{"resourceType":"Pat') if jobs else None
        check(lines(s.out) in (old, new), *name, "neither the old nor the new", lines(s.out))
        done = subprocess.run(command, capture_output=True, timeout=programs.LIMIT)
        check(done.returncode == 3, *name, done.returncode, done.stderr)
        check(lines(s.out) == sorted(line for line in s.lines(s.jobs) if line != b'{"resourceType":"Pat'),
              *name, lines(s.out))
        check(tree(s.out) == ["Coverage-0001.ndjson", "Patient-0001.ndjson", BAD], *name, tree(s.out))
        check(listing(s.work) == ["out", "token"], listing(s.work))

    def make(s, *more):
        write(os.path.join(s.out, "Patient-0001.ndjson"), b'{"resourceType":"Patient","id":"old"}\n')
        write(os.path.join(s.out, "Patient-0002.ndjson"), b'{"resourceType":"Patient","id":"older"}\n')
        return s.command("--replace", *more)

    for more, env in ((lambda s: (), {}), (lambda s: ("--resume", s.state), POOR)):
        steps = each_step(lambda s: make(s, *more(s)), after, **env)
        check(steps > 40, "so few steps?", steps)


def kill_and_restart():
    """A run that starts a new job, because the old one no longer exists, is killed at any step. The
    next run must complete the export."""
    def make(s, *more):
        s.start_and_end(*more)
        s.dead[1] = DEAD["expired"]
        return s.command("--resume", s.state, *more)

    def after(s, command, done):
        name = (done.stderr, tree(s.out))
        done = subprocess.run(command, capture_output=True, timeout=programs.LIMIT)
        check(done.returncode == 3 or done.returncode == 2 and not os.path.exists(s.state), *name,
              done.returncode, done.stderr)
        check(not os.path.exists(s.state), *name, done.stderr)
        check(lines(s.out) == sorted(line for line in s.lines(s.jobs) if line != b'{"resourceType":"Pat'),
              *name, lines(s.out))
        check(tree(s.out) == ["Coverage-0001.ndjson", "Patient-0001.ndjson", BAD], *name, tree(s.out))
        check(listing(s.work) == ["out", "token"], listing(s.work))

    for more in ((), ("--replace",)):
        steps = each_step(lambda s, more=more: make(s, *more), after)
        check(steps > 60, "so few steps?", steps)


def poor_file_system():
    """An export to a file system that has neither O_TMPFILE nor hard links, nor a rename that fails if the
    target exists."""
    env = dict(os.environ, BCDA_TEST_NO_TMPFILE="1", BCDA_TEST_NO_LINKS="1")
    with Server(report) as s:
        for job, more in enumerate(([], ["--replace"], ["--replace", "--resume", s.state]), 1):
            done = subprocess.run([KILLED] + s.command(*more)[1:], capture_output=True, env=env,
                                  timeout=programs.LIMIT)
            check(done.returncode == 0, done.returncode, done.stderr)
            check_clean(s, job)
        done = subprocess.run([KILLED] + s.command("--add")[1:], capture_output=True, env=env,
                              timeout=programs.LIMIT)
        check(lines(s.out) == sorted(s.lines(3) + s.lines(4)), listing(s.out))


def main():
    report.run([again, replace_fails, replace_resumed, remarks_resumed, deletions,
                deletions_to_stdout, deletions_resumed, deletions_invalid, other_wishes, at_work, stale,
                dead_job, dead_job_and_no_other, dead_job_of_several, dead_jobs_of_all_types,
                dies_under_way, appended_lines, lost_file, useless_file, interrupted, invalid_lines, altered,
                kill_and_resume, kill_and_replace, kill_and_restart, poor_file_system], sys.argv[4:])
    report.finish()


main()
