#!/usr/bin/env python3
"""The loaders as people use them: what is in the database afterwards, the exit status, and what is
printed.

test_load.py BCDA_EXPORT BCDA_SANDBOX LOADER sqlite|postgres [TEST]...
"""
import calendar
import glob
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "client"))
import programs  # noqa: E402
from databases import KINDS  # noqa: E402
from fhir_server import Server, wait_for  # noqa: E402

report = programs.Report()
check = report.check
db = None  # the database of all tests


class Clinic(Server):
    """A server whose files are those of `files`: for each job, a list of (type, lines)."""

    def __init__(self, *jobs):
        self.lost_jobs = set()
        super().__init__(report, types=())
        self.jobs_files = list(jobs)
        self.deletions = []  # lines of the file of deletions; none = there is no such file
        self.times = []      # the transaction time of each job

    def files(self, job):
        return self.jobs_files[min(job, len(self.jobs_files)) - 1]

    @property
    def lost(self):
        """The files that are answered with 404, whatever the job; all files of the job if it is lost."""
        return range(1000) if self.jobs in self.lost_jobs else self.lost_files

    @lost.setter
    def lost(self, files):
        self.lost_files = files

    def content(self, job, index):
        files = self.files(job)
        lines = self.deletions if index >= len(files) else files[index][1]
        return b"".join(line + b"\n" for line in lines)

    @property
    def more(self):
        """Members of the manifest; the status handler reads them once for each answer."""
        job = self.jobs
        time_of_job = self.times[job - 1] if job <= len(self.times) else "2024-01-01T00:00:00Z"
        files = self.files(job)
        manifest = {"transactionTime": time_of_job,
                    "output": [{"type": kind, "url": f"{self.origin}/data/{job}/{i}.ndjson"}
                               for i, (kind, _) in enumerate(files)]}
        if self.deletions:
            manifest["deleted"] = [{"type": "Bundle",
                                    "url": f"{self.origin}/data/{job}/{len(files)}.ndjson"}]
        return manifest

    @more.setter
    def more(self, _):
        pass

    def command(self, *options):
        return [*db.arguments(), "--url", self.url, "--bearer-token-file",
                os.path.join(self.work, "token"), "--allow-http-loopback", *programs.FAST, *options]

    def load(self, *options, code=0, **more):
        done = subprocess.run(self.command(*options), capture_output=True, timeout=programs.LIMIT,
                              **more)
        check(done.returncode == code, options, done.returncode, done.stderr)
        return done.stderr.decode()

    def start(self, *options):
        return subprocess.Popen(self.command(*options), stderr=subprocess.PIPE)

    def exports(self):
        """Returns the parameters of each kick-off."""
        return [urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
                for path in self.requests if "$export" in path]

    def downloads(self, job, index):
        return self.requests.count(f"/data/{job}/{index}.ndjson")


def line(kind, number, updated=None, **more):
    r = {"resourceType": kind, "id": str(number), **more}
    if updated:
        r["meta"] = {"lastUpdated": updated}
    return json.dumps(r, separators=(",", ":")).encode()


def people(first, count, updated="2023-01-01T00:00:00Z", **more):
    return [line("Patient", first + i, updated, **more) for i in range(count)]


def deletion(*names):
    return json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"request": {"method": "DELETE", "url": name}} for name in names]}).encode()


def loads():
    return db.query("SELECT * FROM bcda_load ORDER BY id")


def committed():
    """Returns how many files are committed."""
    return sum(row["files"] for row in loads())


def resource_of(number, kind="Patient"):
    rows = db.query(f"SELECT * FROM resource WHERE type = '{kind}' AND id = '{number}'")
    if not rows:
        return None
    text = rows[0]["json"]
    return json.loads(text) if isinstance(text, str) else text


def check_content(lines, *what):
    """Checks that the table has these lines and no others."""
    found, expected = db.texts(), db.form(lines)
    check(found == expected, *what, f"{len(found)} rows, expected {len(expected)}",
          set(found) ^ set(expected))


def check_over(*what):
    """Checks that nothing is left of a load that has ended."""
    check(db.query("SELECT * FROM bcda_job") == [], *what, "a job is left")
    if db.kind == "sqlite":
        left = [name for name in os.listdir(db.folder)
                if name.startswith(os.path.basename(db.path) + "-")]
        check(left == [], *what, left)


# ---- whole loads ----

def plain(sandbox):
    """Returns the bare resources that the sandbox generated, without those of error files."""
    found = []
    for path in glob.glob(os.path.join(sandbox.state, "s", "**", "*.plain"), recursive=True):
        with open(path, "rb") as f:
            for text in f.read().split(b"\n")[:-1]:
                if text.startswith(b'{"fullUrl"'):
                    text = text[text.index(b',"resource":') + 12:-1]
                if b'"OperationOutcome"' not in text[:60]:
                    found.append(text)
    return found


def whole_export():
    """Encrypted files of 2019, one job for each type, and gzip files of today."""
    for options in (("--era", "2019-04"), ("--era", "current", "--api-version", "2", "--files", "4")):
        db.renew()
        with programs.Sandbox(*options, "--keep-plain", "--polls", "1") as s:
            with open(s.env["BCDA_CLIENT_SECRET_FILE"], "rb") as f:
                secret = f.read().strip()
            command = [*db.arguments(), *s.arguments(), *programs.FAST, "--field",
                       "patient.reference", "--threads", "2", "--statistics"]
            done = subprocess.run(command, capture_output=True, timeout=programs.LIMIT)
            check(done.returncode == 0, options, done.returncode, done.stderr)
            lines = plain(s)
            check(len(lines) >= 100, len(lines))
            check_content(lines, options)
            check_over(options)
            for secret_text in (secret, b"Bearer", b"eyJhbGciOi", b"BEGIN"):
                check(secret_text not in done.stderr + done.stdout, "a secret is said")
            wrong = [r["id"] for r in db.query("SELECT * FROM resource") if r["type"] ==
                     "ExplanationOfBenefit" and not (r["patient_reference"] or "").startswith("Patient/")]
            check(wrong == [], "values of the field", wrong)
            check(all(row["transaction_time"] and row["status"] == "complete" for row in loads()),
                  loads())


def signing_key():
    """A load that signs in with a key, fails in the middle, and is continued with another key. The token is
    shared by both."""
    db.renew()
    with programs.Sandbox("--era", "current", "--api-version", "2", "--auth", "smart", "--keep-plain", "--polls", "0",
                          "--files", "3", "--control") as s:
        with open(s.env["BCDA_SIGNING_JWKS_FILE"], encoding="ascii") as f:
            keys = json.load(f)["keys"]
        command = [*db.arguments(), "--url", s.env["BCDA_FHIR_URL"], "--ca", s.env["BCDA_CA_FILE"], *programs.FAST,
                   "--set", "parallel=1", "--client-id", s.env["BCDA_CLIENT_ID"], "--token-cache",
                   os.path.join(s.state, "cache"), "--request-budget", os.path.join(s.state, "budget")]
        s.control("POST", "fault?spec=data-500*1000%2B1")
        for algorithm, code in (("es384", 1), ("rs384", 0)):
            kid = next(key["kid"] for key in keys if key["alg"].lower() == algorithm)
            pem = os.path.join(s.state, "s", f"signing-{algorithm}.pem")
            done = subprocess.run([*command, "--private-key-jwt", pem, "--kid", kid], capture_output=True,
                                  timeout=programs.LIMIT)
            check(done.returncode == code, algorithm, done.returncode, done.stderr)
            for text in (b"Bearer", b"eyJhbGciOi", b"BEGIN", *(key["d"].encode() for key in keys)):
                check(text not in done.stderr + done.stdout, algorithm, "a secret is said")
            s.control("DELETE", "fault")
        check_content(plain(s), "signing_key")
        counts = [int(s.control("GET", "count?name=" + name)) for name in ("assertions", "kickoff")]
        check(counts == [1, 1], counts)


def large_rows():
    """Rows of many sizes in several files at once, and a row that is larger than a chunk."""
    db.renew()
    files = [("Patient", [line("Patient", f"{f}-{i}", "2023-01-01T00:00:00Z",
                               note="é\\\"\t" * (i * 7 % 400)) for i in range(3000)])
             for f in range(6)]
    files.append(("Patient", [line("Patient", "giant", note="x" * 5000000)]))
    with Clinic(files) as s:
        s.load("--set", "batch_size=4096")
        check_content([text for _, lines in files for text in lines])


# ---- a load that is ended ----

def killed_between_files():
    db.renew()
    files = [("Patient", people(100 * f, 50)) for f in range(3)]
    with Clinic(files) as s:
        s.held = {2}
        process = s.start("--set", "parallel=1")
        check(wait_for(lambda: committed() == 2 or process.poll() is not None), "no file")
        process.kill()
        process.communicate(timeout=programs.LIMIT)
        check_content(files[0][1] + files[1][1], "after the kill")
        s.gate.set()
        s.held = set()
        said = s.load()
        check("is resumed" in said, said)
        check_content([text for _, lines in files for text in lines], "after the second run")
        check(s.jobs == 1, "a second export", s.requests)
        check(s.downloads(1, 0) == s.downloads(1, 1) == 1, s.requests)
        check_over()
        check([(row["resources"], row["outdated"]) for row in loads()] == [(150, 0)], loads())


def killed_anywhere():
    """Runs that are killed at any moment, and resumed, end with the same rows. The moments are a sample;
    whether the test passes does not depend on them."""
    seed = int(os.environ.get("BCDA_TEST_SEED") or time.time_ns() % 1000000)
    print(f"# BCDA_TEST_SEED={seed}", flush=True)
    moment = random.Random(seed)
    files = [("Patient", people(1000 * f, 300, note="x" * 200)) for f in range(8)]
    for _ in range(60 if os.environ.get("BCDA_TEST_EXHAUSTIVE") == "1" else 8):
        db.renew()
        with Clinic(files) as s:
            status, longest = -signal.SIGKILL, 0.6
            while status == -signal.SIGKILL:
                process = s.start()
                longest += 0.05  # on a slow machine, too, a run comes to the end in time
                try:
                    process.wait(moment.uniform(0.03, longest))
                except subprocess.TimeoutExpired:
                    process.kill()
                said = process.communicate(timeout=programs.LIMIT)[1].decode()
                status = process.returncode
            check(status == 0, seed, status, said)
            check_content([text for _, lines in files for text in lines], seed)
            check_over(seed)
            first = loads()[0]  # a run that is killed after its load has ended is followed by another load
            check((first["files"], first["resources"], first["status"]) == (8, 2400, "complete"), seed, first)


def killed_while_server_works():
    db.renew()
    with Clinic([("Patient", people(0, 5))]) as s:
        s.running = True
        process = s.start()
        check(wait_for(lambda: db.query("SELECT * FROM bcda_job")), "no job is saved")
        process.kill()
        process.communicate(timeout=programs.LIMIT)
        s.running = False
        s.load()
        check(s.jobs == 1, "a second export", s.requests)
        check_content(people(0, 5))


def interrupted():
    db.renew()
    files = [("Patient", people(0, 5)), ("Patient", people(10, 5))]
    with Clinic(files) as s:
        s.held = {1}
        process = s.start("--set", "parallel=1")
        check(wait_for(lambda: committed() == 1 or process.poll() is not None), "no file")
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=programs.LIMIT)[1].decode()
        check(process.returncode == 130, process.returncode, said)
        check("interrupted" in said and "resumes after the 1 file " in said, said)
        check_content(files[0][1])
        s.gate.set()
        s.held = set()
        s.load()
        check_content(files[0][1] + files[1][1])
        check(s.jobs == 1, s.requests)


def expired_job():
    """The server no longer has the job of an unfinished load: a new export brings the types that
    are missing. The next load begins at the transaction time of the first job."""
    for answer in ((404, b""), (410, b"")):
        db.renew()
        first = [("Coverage", [line("Coverage", 1)]), ("Patient", people(0, 5))]
        second = [("Patient", people(0, 7))]
        with Clinic(first, second, []) as s:
            s.times = ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"]
            s.held = {1}
            process = s.start("--set", "parallel=1", "--type", "Coverage", "--type", "Patient")
            check(wait_for(lambda: committed() == 1 or process.poll() is not None), "no file")
            process.kill()
            process.communicate(timeout=programs.LIMIT)
            s.gate.set()
            s.held = set()
            s.dead = {1: answer}
            said = s.load("--type", "Patient", "--type", "Coverage")
            check("a new export starts for what is missing" in said, said)
            check(s.exports()[1] == {"_type": ["Patient"], "_outputFormat": s.exports()[0].get(
                "_outputFormat")} or s.exports()[1].get("_type") == ["Patient"], s.exports())
            check_content(first[0][1] + second[0][1])
            s.load("--type", "Patient", "--type", "Coverage")
            check(s.exports()[2].get("_since") == ["2024-01-01T00:00:00Z"], s.exports())


def job_lost_in_the_middle():
    """The server loses the job while its files are downloaded: the same run starts another export."""
    db.renew()
    first = [("Coverage", [line("Coverage", 1)]), ("Patient", people(0, 5))]
    with Clinic(first, [("Patient", people(0, 7))]) as s:
        s.held = {1}
        process = s.start("--set", "parallel=1", "--type", "Coverage", "--type", "Patient")
        check(wait_for(lambda: committed() == 1 or process.poll() is not None), "no file")
        s.dead = {1: (404, b"")}
        s.lost_jobs = {1}
        s.gate.set()
        s.held = set()
        said = process.communicate(timeout=programs.LIMIT)[1].decode()
        check(process.returncode == 0, process.returncode, said)
        check("a new export starts for what is missing" in said, said)
        check(s.exports()[1].get("_type") == ["Patient"], s.exports())
        check_content(first[0][1] + people(0, 7))
        check([(row["status"], row["files"]) for row in loads()] == [("complete", 2)], loads())


def job_failed_at_once():
    db.renew()
    with Clinic([("Patient", people(0, 5))]) as s:
        s.dead = {1: (404, b"")}
        said = s.load(code=1)
        check("the load is not complete" in said, said)
        s.load()
        check(s.jobs == 2, s.requests)
        check_content(people(0, 5))


# ---- what a row replaces ----

def duplicates():
    """Rows with the same type and id in one file are stored as if each line were loaded alone."""
    db.renew()
    old, new = "2023-01-01T00:00:00Z", "2023-06-01T00:00:00Z"
    lines = [line("Patient", 1, new, v=1), line("Patient", 1, old, v=2),   # the newest
             line("Patient", 2, old, v=1), line("Patient", 2, old, v=2),   # the last line
             line("Patient", 3, v=1), line("Patient", 3, v=2),             # no time: the last line
             line("Patient", 4, new, v=1), line("Patient", 4, v=2), line("Patient", 4, old, v=3),
             line("Patient", 5, new, v=1), line("Patient", 5, v=2),
             line("Patient", 6, v=1), line("Patient", 6, new, v=2), line("Patient", 6, old, v=3),
             line("Patient", 7, old, v=1)]
    with Clinic([("Patient", lines)]) as s:
        s.load()
    found = {n: resource_of(n)["v"] for n in range(1, 8)}
    check(found == {1: 1, 2: 2, 3: 2, 4: 3, 5: 2, 6: 2, 7: 1}, found)


def older_rows():
    """A row never replaces one that is newer, whatever its time zone and fraction."""
    db.renew()
    cases = [  # before, after, replaced
        ("2023-05-01T00:00:00Z", "2023-04-30T23:59:59Z", False),
        ("2023-05-01T00:00:00Z", "2023-05-01T00:00:00Z", True),
        ("2023-05-01T00:00:00Z", "2023-05-01T00:00:01Z", True),
        ("2023-05-01T12:00:00+02:00", "2023-05-01T09:59:59Z", False),
        ("2023-05-01T12:00:00+02:00", "2023-05-01T11:00:00.5+01:00", True),
        ("2023-05-01T00:00:00.123456789Z", "2023-05-01T00:00:00.123456788Z", False),
        ("2023-05-01T00:00:00.123456788Z", "2023-05-01T00:00:00.123456789Z", True),
        ("2023-05-01T00:00:00.5Z", "2023-05-01T00:00:00.45Z", False),
        ("2023-05-01T00:00:00.9Z", "2023-05-01T00:00:01Z", True),
        ("2023-05-01T23:30:00-05:00", "2023-05-02T04:29:59Z", False),
        ("2023-05-01T00:00:00Z", None, True),
        (None, "2023-05-01T00:00:00Z", True),
        (None, None, True),
        ("2023-05-01T00:00:00Z", "yesterday", True),
    ]
    first = [line("Patient", i, c[0], v=1) for i, c in enumerate(cases)]
    second = [line("Patient", i, c[1], v=2) for i, c in enumerate(cases)]
    with Clinic([("Patient", first)], [("Patient", second)]) as s:
        s.load()
        s.load("--full")
        found = [resource_of(i)["v"] == 2 for i in range(len(cases))]
        check(found == [c[2] for c in cases], found)
        check([row["outdated"] for row in loads()] == [0, sum(not c[2] for c in cases)], loads())


def instants():
    """The column last_updated is the instant in UTC."""
    db.renew()
    texts = ["2024-02-29T23:59:59.999999999Z", "2000-03-01T00:00:00+14:00", "1999-12-31T23:59:60Z",
             "1900-02-28T12:00:00-11:30", "2100-02-28T23:59:59.000001Z", "0001-01-01T00:00:00Z",
             "9999-12-31T23:59:59Z", "1969-12-31T23:59:59.5Z", "1970-01-01T00:00:00.000Z"]
    wrong = ["2023-02-29T00:00:00Z", "2023-05-01", "2023-05-01T00:00:00", "2023-05-01T24:00:00Z",
             "2023-13-01T00:00:00Z", "2023-05-01T00:00:00.Z", "2023-05-01T00:00:00Zx",
             "9999-12-31T23:59:59-01:00"]
    with Clinic([("Patient", [line("Patient", i, t) for i, t in enumerate(texts + wrong)])]) as s:
        s.load()
    column = "last_updated" if db.kind == "sqlite" else (
        "to_char(last_updated AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US') ||"
        " lpad(last_updated_ns::text, 3, '0') || 'Z'")
    found = {int(r["id"]): r["t"] for r in db.query(f"SELECT id, {column} AS t FROM resource")}
    for i, text in enumerate(texts):
        check(found[i] == in_utc(text), text, found[i], in_utc(text))
    for i in range(len(texts), len(texts + wrong)):
        check(found[i] is None, wrong[i - len(texts)], found[i])


def in_utc(text):
    """Converts an instant, without the code of the loader."""
    zone = 0
    if text[-1] != "Z":
        zone = (1 if text[-6] == "+" else -1) * (int(text[-5:-3]) * 60 + int(text[-2:])) * 60
        text = text[:-6]
    text = text.rstrip("Z")
    whole, _, fraction = text.partition(".")
    parts = [int(p) for p in whole.replace("T", "-").replace(":", "-").split("-")]
    seconds = calendar.timegm((*parts, 0, 0, 0)) - zone
    t = time.gmtime(seconds)
    return "%04d-%02d-%02dT%02d:%02d:%02d.%sZ" % (*t[:6], fraction.ljust(9, "0"))


def deletions():
    db.renew()
    with Clinic([("Patient", people(0, 4)), ("Coverage", [line("Coverage", 1)])],
                [("Patient", [line("Patient", 3, "2024-06-01T00:00:00Z"), line("Patient", 9)])]) as s:
        s.load()
        s.deletions = [deletion("Patient/0", "Patient/777"), deletion("Patient/1", "Coverage/1"),
                       deletion("Patient/3")]
        s.times = ["2024-01-01T00:00:00Z", "2024-05-01T00:00:00Z"]
        s.load()
        left = {(r["type"], r["id"]) for r in db.query("SELECT type, id FROM resource")}
        # Patient/3 is newer than the export that lists its deletion.
        check(left == {("Patient", "2"), ("Patient", "3"), ("Patient", "9")}, left)
        check([row["deletions"] for row in loads()] == [0, 3], loads())


def deletions_that_fail():
    """Nothing is deleted if the file of deletions is not complete."""
    db.renew()
    with Clinic([("Patient", people(0, 4))]) as s:
        s.load()
        s.deletions = [deletion("Patient/0")]
        s.lost = {1}
        said = s.load(code=1)
        check("the load is not complete" in said, said)
        check_content(people(0, 4))
        s.lost = set()
        s.load()
        check_content(people(1, 3))
        check(s.jobs == 2, "the second load was resumed", s.requests)


# ---- which load comes next ----

def incremental():
    db.renew()
    with Clinic([("Patient", people(0, 4))], [("Patient", people(0, 1, "2024-02-01T00:00:00Z", v=2))]) as s:
        s.times = ["2024-01-01T00:00:00.123456789Z", "2024-02-02T00:00:00+01:00",
                   "2024-03-03T00:00:00Z", "2024-04-04T00:00:00Z", "2024-05-05T00:00:00Z"]
        s.load()
        s.load()
        s.load("--type", "Patient")
        s.load("--full")
        s.load()
        since = [e.get("_since") for e in s.exports()]
        check(since == [None, [s.times[0]], None, None, [s.times[3]]], since)
        check([row["status"] for row in loads()] == 5 * ["complete"], loads())
        check_content(people(0, 1, "2024-02-01T00:00:00Z", v=2) + people(1, 3))
        # Another server, or another version of its API, is another request.
        s.url += "/v3"
        s.load()
        check(s.exports()[-1].get("_since") is None, s.exports())


def since_on_the_command_line():
    db.renew()
    with Clinic([("Patient", people(0, 4))]) as s:
        s.times = ["2024-01-01T00:00:00Z"] * 9
        s.load("--since", "2023-01-01T00:00:00Z")
        s.load("--since", "2023-12-31T00:00:00Z")
        said = s.load("--since", "2024-01-01T00:00:01Z", code=1)
        check("changes in between would be missing" in said, said)
        check([e.get("_since") for e in s.exports()] == [["2023-01-01T00:00:00Z"],
                                                       ["2023-12-31T00:00:00Z"]], s.exports())
        s.lost = {0}
        s.load("--since", "2023-06-01T00:00:00Z", code=1)
        said = s.load("--since", "2023-07-01T00:00:00Z", code=1)
        check("an unfinished load of this request" in said, said)
        s.lost = set()
        s.load()
        check(s.jobs == 3, s.requests)


def full_gives_up_the_unfinished():
    db.renew()
    with Clinic([("Patient", people(0, 4)), ("Patient", people(10, 4))]) as s:
        s.lost = {1}
        s.load(code=1)
        s.lost = set()
        s.load("--full")
        check(s.jobs == 2, s.requests)
        check([row["status"] for row in loads()] == ["abandoned", "complete"], loads())


def nothing_new():
    """No file in a load of changes means that nothing has changed. In a load of everything, it
    needs attention."""
    db.renew()
    with Clinic([("Patient", people(0, 4))], []) as s:
        s.load("--type", "Patient", "--type", "Coverage", code=3)
        s.load("--type", "Patient", "--type", "Coverage")
        s.load("--full", code=3)
        check_content(people(0, 4))


# ---- files and lines that are wrong ----

def failed_tag():
    """A file whose authentication tag is wrong: nothing of it is loaded, and the other files are."""
    db.renew()
    with programs.Sandbox("--era", "2019-04", "--keep-plain", "--polls", "1", "--fault",
                          "data-flip:-40*1@Coverage") as s:
        command = [*db.arguments(), *s.arguments(), *programs.FAST, "--type", "Coverage", "--type",
                   "Patient"]
        done = subprocess.run(command, capture_output=True, timeout=programs.LIMIT)
        check(done.returncode == 1, done.returncode, done.stderr)
        check(b"nothing of this file is loaded" in done.stderr, done.stderr)
        lines = plain(s)
        check_content([t for t in lines if b'"resourceType":"Patient"' in t], "with the wrong tag")
        done = subprocess.run(command, capture_output=True, timeout=programs.LIMIT)
        check(done.returncode == 0, done.returncode, done.stderr)
        check(sum(t["type"] == "Coverage" for t in db.query("SELECT type FROM resource")) ==
              sum(b'"resourceType":"Coverage"' in t for t in lines), "coverage is missing")


def lost_file():
    """The rows of a file that is cut off are not loaded, even if they were staged."""
    db.renew()
    files = [("Patient", people(0, 2000)), ("Patient", people(5000, 20))]
    with Clinic(files) as s:
        text = s.content

        def cut(job, index):
            return text(job, index) + (b'{"resourceType":"Patient","id":"cu' if index == 0 else b"")
        s.content = cut
        said = s.load("--set", "bad_lines_max=0", code=1)
        check("nothing of this file is loaded" in said, said)
        check_content(files[1][1])


def invalid_lines():
    db.renew()
    lines = people(0, 3) + [b"{not json", line("Patient", ""), b'{"resourceType":"Patient"}']
    with Clinic([("Patient", lines)], []) as s:
        said = s.load(code=3)
        check("0.ndjson, line 4: " in said and "0.ndjson, line 6: the resource has no id" in said, said)
        check_content(people(0, 3))
        found = db.query("SELECT * FROM bcda_remark ORDER BY line")
        check([(r["line"], r["kind"], r["file"]) for r in found] == [
            (4, "invalid line", "0.ndjson"), (5, "not stored", "0.ndjson"),
            (6, "not stored", "0.ndjson")], found)
        kept = [bytes(r["content"]) if db.kind == "sqlite" else bytes.fromhex(r["content"][2:])
                for r in found]
        check(kept == lines[3:], kept)
        check([row["remarks"] for row in loads()] == [3], loads())
        # The lines of a load that has ended do not concern the next one.
        s.load()


def useless_file():
    db.renew()
    with Clinic([("Patient", [b"\x00\x01 not NDJSON", b"and neither is this"])]) as s:
        said = s.load(code=1)
        check("none of its 2 lines is a resource" in said, said)
        check(committed() == 0 and db.query("SELECT * FROM bcda_remark") == [], loads())


def server_issues():
    db.renew()
    with programs.Sandbox("--era", "current", "--api-version", "2", "--polls", "1", "--fault",
                          "error-file") as s:
        command = [*db.arguments(), *s.arguments(), *programs.FAST]
        done = subprocess.run(command, capture_output=True, timeout=programs.LIMIT)
        kinds = {r["kind"] for r in db.query("SELECT kind FROM bcda_remark")}
        check(done.returncode == 3, done.returncode, done.stderr)
        check(kinds == {"server issue"}, kinds)


# ---- fields ----

def fields():
    db.renew()
    lines = [line("Patient", 1, birthDate="1950-01-02", identifier=[{"value": "a"}, {"value": 'b"\n'}]),
             line("Patient", 2, identifier=[{"value": "c"}]), line("Patient", 3, birthDate="")]
    with Clinic([("Patient", lines)]) as s:
        s.load("--field", "birthDate", "--field", "identifier.value")
        found = db.query("SELECT id, birthDate AS b, identifier_value AS i FROM resource ORDER BY id")
        check([(r["b"], r["i"]) for r in found] == [
            ("1950-01-02", '["a","b\\"\\u000a"]'), (None, "c"), ("", None)], found)
        # The next load may leave the fields out, and may give them in another order.
        s.load("--full")
        s.load("--full", "--field", "identifier.value", "--field", "birthDate")
        found = db.query("SELECT birthDate AS b FROM resource WHERE id = '1'")
        check(found[0]["b"] == "1950-01-02", found)
        said = s.load("--field", "birthDate", code=1)
        check("the columns of the table are not those of --field" in said, said)
        check(s.jobs == 3, "an export was started", s.requests)
        for names in (("id",), ("a.b", "a_b"), ("Json",), ("x", "x"), ("a..b",), ("y" * 64,)):
            options = [o for name in names for o in ("--field", name)]
            s.load(*options, code=2)


# ---- arguments, locks and errors of the database ----

def wrong_arguments():
    db.renew()
    program = db.program
    with Clinic([]) as s:
        rest = s.command()[len(db.arguments()):]
        for wrong, text in ((["--database", ""], "--database is needed"),
                            ([], "--database is needed"),
                            ([*db.arguments()[1:], "--full", "--since", "2024-01-01T00:00:00Z"],
                             "contradict"),
                            ([*db.arguments()[1:], "--threads", "x"], "--threads x"),
                            ([*db.arguments()[1:], "--wait", "-1"], "--wait -1"),
                            ([*db.arguments()[1:], "--out", "x"], "unrecognized option")):
            done = subprocess.run([program, *wrong, *rest], capture_output=True,
                                  timeout=programs.LIMIT, text=True)
            check(done.returncode == 2 and text in done.stderr, wrong, done.returncode, done.stderr)
        done = subprocess.run([program, "--help"], capture_output=True, timeout=programs.LIMIT,
                              text=True)
        check(done.returncode == 0 and max(map(len, done.stdout.split("\n"))) <= 92, done)
        check(s.requests == [], "something was sent", s.requests)


def passwords():
    """A password in --database is refused, and not printed. (PostgreSQL)"""
    with Clinic([]) as s:
        rest = s.command()[len(db.arguments()):]
        for text in (f"{db.connection()} password=hunter2", "postgresql://loader:hunter2@/postgres",
                     f"{db.connection()} sslpassword=hunter2", "host=x hunter2",
                     "postgresql://loader:hunter2@[/postgres"):
            done = subprocess.run([db.program, "--database", text, *rest], capture_output=True,
                                  timeout=programs.LIMIT, text=True)
            check(done.returncode == 2, text, done.returncode, done.stderr)
            check("hunter2" not in done.stderr, "the password is printed", done.stderr)
        done = subprocess.run([db.program, "--database", f"{db.connection()} password=hunter2", *rest],
                              capture_output=True, timeout=programs.LIMIT, text=True)
        check("PGPASSFILE" in done.stderr and "PGSERVICE" in done.stderr, done.stderr)
        check(s.requests == [], "something was sent", s.requests)


def wrong_database():
    db.renew()
    targets = {"sqlite": ["/nonexistent/x.db", "/dev/null", db.folder if db.kind == "sqlite" else ""],
               "postgres": ["host=/nonexistent dbname=x", "host={0} user=loader dbname=nothere",
                            "host={0} user=nobodythere dbname=postgres", "postgresql://nohost.invalid/x"]}
    with Clinic([("Patient", people(0, 1))]) as s:
        rest = s.command()[len(db.arguments()):]
        for target in targets[db.kind]:
            done = subprocess.run([db.program, "--database", target.format(db.folder), *rest],
                                  capture_output=True, timeout=programs.LIMIT, text=True)
            check(done.returncode == 1, target, done.returncode, done.stderr)
        check(s.requests == [], "something was sent", s.requests)


def second_loader():
    db.renew()
    with Clinic([("Patient", people(0, 5))]) as s:
        s.held = {0}
        process = s.start()
        check(wait_for(lambda: s.downloads(1, 0)), "no download")
        said = s.load(code=1)
        check("another program loads into" in said, said)
        s.gate.set()
        process.communicate(timeout=programs.LIMIT)
        check(process.returncode == 0, process.returncode)
        check(s.jobs == 1, s.requests)
        check_content(people(0, 5))


def locked_database():
    """Another program has locked the file. (SQLite)"""
    db.renew()
    with Clinic([("Patient", people(0, 5)), ("Patient", people(10, 5))]) as s:
        s.held = {1}
        process = s.start("--wait", "1", "--set", "parallel=1")
        check(wait_for(lambda: committed() == 1), "no file")
        other = sqlite3.connect(db.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        s.gate.set()
        said = process.communicate(timeout=programs.LIMIT)[1].decode()
        check(process.returncode == 1 and "another program has locked the database" in said,
              process.returncode, said)
        other.execute("ROLLBACK")
        other.close()
        s.held = set()
        s.load()
        check_content(people(0, 5) + people(10, 5))
        check(s.jobs == 1, s.requests)


def full_disk():
    """The file may not grow. (SQLite)"""
    db.renew()
    files = [("Patient", people(0, 300)), ("Patient", people(1000, 3000, note="x" * 300))]

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600000, 600000))
    with Clinic(files) as s:
        said = s.load("--set", "parallel=1", code=1, preexec_fn=limit)
        check("disk" in said, said)
        check_content(files[0][1])
        s.load()
        check_content(files[0][1] + files[1][1])
        check(s.jobs == 1 and s.downloads(1, 0) == 1, s.requests)
        check_over()


def server_restart():
    """PostgreSQL ends in the middle of a load. The load continues when it is back."""
    for mode in ("fast", "immediate"):
        db.renew()
        files = [("Patient", people(100 * f, 50)) for f in range(4)]
        with Clinic(files) as s:
            s.held = {2, 3}
            process = s.start()
            check(wait_for(lambda: committed() == 2 or process.poll() is not None), "no file")
            db.stop(mode)
            s.gate.set()
            s.held = set()
            db.start()
            said = process.communicate(timeout=programs.LIMIT)[1].decode()
            check(process.returncode == 0, mode, process.returncode, said)
            check("connection to the database is lost" in said, said)
            check_content([text for _, lines in files for text in lines], mode)
            check(s.jobs == 1 and s.downloads(1, 0) == s.downloads(1, 1) == 1, s.requests)
            check_over()


def server_gone():
    """PostgreSQL does not come back in time: the load ends, and the next run resumes it."""
    db.renew()
    files = [("Patient", people(100 * f, 50)) for f in range(2)]
    with Clinic(files) as s:
        s.held = {1}
        process = s.start("--wait", "0")
        check(wait_for(lambda: committed() == 1 or process.poll() is not None), "no file")
        db.stop("immediate")
        s.gate.set()
        s.held = set()
        said = process.communicate(timeout=programs.LIMIT)[1].decode()
        check(process.returncode == 1, process.returncode, said)
        db.start()
        s.load()
        check(s.jobs == 1, s.requests)
        check_content([text for _, lines in files for text in lines])


def taken_over():
    """The control connection is lost, and another loader begins: the first one must not commit."""
    db.renew()
    files = [("Patient", people(0, 5)), ("Patient", people(10, 5))]
    with Clinic(files) as s:
        s.held = {1}
        process = s.start("--set", "parallel=1")
        check(wait_for(lambda: committed() == 1 or process.poll() is not None), "no file")
        db.psql("UPDATE bcda_setting SET value = 'another' WHERE name = 'owner'")
        s.gate.set()
        said = process.communicate(timeout=programs.LIMIT)[1].decode()
        check(process.returncode == 1 and "another program has begun to load" in said,
              process.returncode, said)
        check_content(files[0][1])


def unstorable_texts():
    """jsonb cannot store some lines that are valid JSON. They do not lose the other lines of the
    file, and the server does not write them to its log. (PostgreSQL)"""
    db.renew()
    good = people(0, 500) + [b'{"resourceType":"Patient","id":"pair","x":"\\ud83d\\ude00 \\\\u0000"}']
    bad = [b'{"resourceType":"Patient","id":"nul","x":"secret \\u0000"}',
           b'{"resourceType":"Patient","id":"other","x":"secret \\\\\\u0000"}',
           b'{"resourceType":"Patient","id":"number","x":1e999999}']
    with Clinic([("Patient", good[:250] + bad + good[250:])]) as s:
        said = s.load(code=3)
        check_content(good)
        found = db.query("SELECT line, content FROM bcda_remark WHERE kind = 'not stored' ORDER BY line")
        check([bytes.fromhex(r["content"][2:]) for r in found] == bad, found)
        check([r["line"] for r in found] == [251, 252, 253], found)
        check("0.ndjson, line 251: " in said and "secret" not in said, said)
        check("secret" not in db.log(), "the server has logged data")
        row = loads()[0]
        check((row["resources"], row["remarks"]) == (len(good), 3), row)


def schema_names():
    """A schema with a quote in its name, and one that exists. (PostgreSQL)"""
    with Clinic([("Patient", people(0, 5))]) as s:
        for name in ('We"ird Näme', "exists"):
            db.psql('CREATE SCHEMA IF NOT EXISTS exists')
            options = [o for o in s.command() if o != db.schema]
            options.remove("--schema")
            done = subprocess.run([*options, "--schema", name], capture_output=True,
                                  timeout=programs.LIMIT)
            check(done.returncode == 0, name, done.stderr)
            quoted = name.replace('"', '""')
            count = db.psql(f'SELECT count(*) FROM "{quoted}".resource').stdout.strip()
            check(count == "5", name, count)


COMMON = [whole_export, signing_key, large_rows, killed_between_files, killed_anywhere, killed_while_server_works,
          interrupted, expired_job, job_lost_in_the_middle, job_failed_at_once, duplicates, older_rows, instants, deletions,
          deletions_that_fail, incremental, since_on_the_command_line, full_gives_up_the_unfinished,
          nothing_new, failed_tag, lost_file, invalid_lines, useless_file, server_issues, fields,
          wrong_arguments, wrong_database, second_loader]
SPECIAL = {"sqlite": [locked_database, full_disk],
           "postgres": [passwords, server_restart, server_gone, taken_over, unstorable_texts,
                        schema_names]}


def main():
    global db
    # A test that is ended also ends its database server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    db = KINDS[sys.argv[4]](os.path.abspath(sys.argv[3]))
    try:
        report.run(COMMON + SPECIAL[db.kind], sys.argv[5:])
    finally:
        db.close()
    report.finish()


if __name__ == "__main__":
    main()
