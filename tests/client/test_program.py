#!/usr/bin/env python3
"""bcda-export as people use it: the files that it writes, its exit status, and what it prints.

test_program.py BCDA_EXPORT BCDA_SANDBOX ...
"""
import base64
import fcntl
import glob
import json
import os
import re
import resource
import signal
import stat
import struct
import subprocess
import sys
import termios
import time

import programs
from fhir_server import Server

report = programs.Report()
check = report.check
EOB = "ExplanationOfBenefit"
WORK = ".bcda-export"


def read(path):
    with open(path, "rb") as f:
        return f.read()


def listing(folder):
    """Returns all names in the folder, including hidden ones; none if it does not exist."""
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def plain(sandbox):
    """Returns the bare resources that the sandbox generated for its files, sorted."""
    found = []
    for path in glob.glob(os.path.join(sandbox.state, "s", "**", "*.plain"), recursive=True):
        for line in read(path).split(b"\n")[:-1]:
            if line.startswith(b'{"fullUrl"'):
                line = line[line.index(b',"resource":') + 12:-1]
            found.append(line)
    return sorted(found)


def resources(folder, types="*"):
    found = []
    for path in glob.glob(os.path.join(folder, types + "-[0-9]*.ndjson")):
        found += read(path).split(b"\n")[:-1]
    return sorted(found)


def check_modes(folder):
    for name in listing(folder):
        mode = stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode)
        check(mode == 0o600, name, oct(mode))


def secrets(sandbox):
    e = sandbox.env
    found = [read(e["BCDA_CLIENT_SECRET_FILE"]).strip()]
    found.append(read(e["BCDA_PRIVATE_KEY"]).split(b"\n")[1])
    return found


def check_silent_on_secrets(sandbox, done):
    for said in (done.stderr, done.stdout):
        for secret in secrets(sandbox):
            check(secret not in said, "a secret is said")
        check(b"Bearer" not in said and b"eyJhbGciOi" not in said, "a token is said")


def complete():
    for era, level in (("2019-04", "resource"), ("current", "patient")):
        with programs.Sandbox("--era", era, "--keep-plain", "--polls", "1") as s:
            out = os.path.join(s.state, "out")
            done = programs.export(s, "--level", level, "--type", EOB, "--out", out)
            check(done.returncode == 0, era, done.returncode, done.stderr)
            check(listing(out) == [EOB + "-0001.ndjson"], era, listing(out))
            check(resources(out) == plain(s) and len(plain(s)) == 50, era, "resources differ")
            check_modes(out)
            check_silent_on_secrets(s, done)
            check(b"\x1b" not in done.stderr and b"\r" not in done.stderr, "no terminal, yet a bar")
            check(done.stdout == b"", done.stdout)
            lines = done.stderr.decode().splitlines()
            check(lines and re.search(r"\b50\b", done.stderr.decode()), "no counts", lines)

            # with --add: the file that is already there stays as it is
            before = read(os.path.join(out, EOB + "-0001.ndjson"))
            inode = os.stat(os.path.join(out, EOB + "-0001.ndjson")).st_ino
            done = programs.export(s, "--level", level, "--type", EOB, "--out", out, "--quiet", "--add")
            check(done.returncode == 0, era, done.returncode, done.stderr)
            check(done.stderr == b"", "not quiet", done.stderr)
            check(len(listing(out)) == 2, listing(out))
            check(read(os.path.join(out, EOB + "-0001.ndjson")) == before, "overwritten")
            check(os.stat(os.path.join(out, EOB + "-0001.ndjson")).st_ino == inode, "replaced")

            # to standard output
            done = programs.export(s, "--level", level, "--type", EOB, "--out", "-", "--statistics")
            check(done.returncode == 0, era, done.returncode, done.stderr)
            check(b" requests, 0 of them retries; 1 tokens; 0 waits" in done.stderr, era, done.stderr)
            for stage in (b"network and TLS", b"hashing", b"inflating", b"decrypting", b"parsing", b"spool",
                          b"writing", b"waiting"):
                spent = re.search(b"(?m)^ *" + stage + rb" +(\d+\.\d{3}) s$", done.stderr)
                check(spent, era, stage, done.stderr)
            lines = sorted(before.split(b"\n")[:-1])
            check(sorted(done.stdout.split(b"\n")[:-1]) == lines, era, "standard output differs")
            read_by_yajl = 0 if os.environ.get("BCDA_NO_SCANNER") != "1" else len(lines)
            said = b"\n%d lines were read by yajl, not by the faster scanner\n"
            check(said % read_by_yajl in done.stderr, era, done.stderr)
            done = programs.export(s, "--level", level, "--type", EOB, "--out", "-", "--statistics", "--set",
                                   "scanner=off")
            check(done.returncode == 0, era, done.returncode, done.stderr)
            check(said % len(lines) in done.stderr, era, done.stderr)
            check(sorted(done.stdout.split(b"\n")[:-1]) == lines, era, "without the scanner, the output differs")


def usage():
    for options in ([], ["--no-such-option"], ["--url", "https://localhost/"], ["--level", "x"],
                    ["--url", "https://localhost/", "--client-id", "x"], ["surplus"],
                    ["--url"], ["--url", "https://h/", "--set", "nonsense=1", "--client-id", "i",
                                "--client-secret-file", __file__]):
        done = subprocess.run([programs.EXPORT] + options, capture_output=True,
                              timeout=programs.LIMIT)
        check(done.returncode == 2, options, done.returncode, done.stderr)
        check(done.stderr, options, "nothing is said")
    for option in ("--help", "--version"):
        done = subprocess.run([programs.EXPORT, option], capture_output=True,
                              timeout=programs.LIMIT)
        check(done.returncode == 0 and done.stdout, option, done.returncode)


# Era, fault of the server, and exit status of bcda-export.
FAILURES = [
    ("2019-04", "data-flip:-1", 1), ("2019-04", "data-short:100000", 1),
    ("2019-04", "wrong-key", 1), ("2019-04", "wrong-label", 1), ("2019-04", "job-failed", 1),
    ("2019-04", "cut-line", 1), ("2019-04", "kickoff-no-location", 1),
    ("current", "data-short:500", 1), ("current", "manifest-not-json", 1),
    ("current", "token-html", 1), ("current", "kickoff-html", 1),
    ("current", "bad-json", 3), ("2019-04", "bad-utf8", 3),
    ("current", "error-file", 3), ("2019-04", "error-file", 3),
    ("current", "deleted", 0), ("2019-04", "deleted", 0), ("2021-01", "deleted-twice", 0),
    ("current", "deleted-invalid", 3), ("2019-04", "deleted-cut", 1), ("current", "deleted-cut", 1),
]


def failures():
    for era, fault, code in FAILURES:
        name = f"{era} with {fault}"
        level = "resource" if era == "2019-04" else "patient"
        with programs.Sandbox("--era", era, "--polls", "1", "--fault", fault) as s:
            out = os.path.join(s.state, "out")
            done = programs.export(s, "--level", level, "--type", EOB, "--out", out)
            check(done.returncode == code, name, done.returncode, done.stderr)
            check(done.stderr.startswith(b"bcda-export: ") or b"\nbcda-export: " in done.stderr
                  or code in (0, 3), name, done.stderr)
            check_silent_on_secrets(s, done)
            check(b"resourceType" not in done.stderr and b"MBI" not in done.stderr, name,
                  "patient data is said", done.stderr)
            left = ["Deleted-0001.ndjson"] if fault.startswith("deleted") and code != 1 else []
            left += [EOB + "-0001.ndjson"] if code != 1 or fault == "deleted-cut" else []
            left += ["OperationOutcome-0001.ndjson"] if fault == "error-file" else []
            left += ["bad-lines.jsonl"] if fault.startswith("bad-") or fault == "deleted-invalid" else []
            check(listing(out) == left, name, listing(out))


def wrong_secret():
    with programs.Sandbox("--era", "current") as s:
        wrong = os.path.join(s.state, "wrong")
        with open(wrong, "w", encoding="ascii") as f:
            f.write("not-the-secret\n")
        arguments = s.arguments()
        arguments[arguments.index("--client-secret-file") + 1] = wrong
        out = os.path.join(s.state, "out")
        done = subprocess.run([programs.EXPORT, *arguments, *programs.FAST, "--out", out], capture_output=True,
                              timeout=programs.LIMIT)
        check(done.returncode == 1, done.returncode, done.stderr)
        check(b"401" in done.stderr and b"not-the-secret" not in done.stderr, done.stderr)
        check(listing(out) == [], listing(out))


def metadata():
    with programs.Sandbox("--era", "current", "--api-version", "2") as s:
        done = programs.export(s, "--metadata")
        check(done.returncode == 0 and b"4.0.1" in done.stdout + done.stderr, done.returncode,
              done.stdout, done.stderr)


# ---- invalid lines ----

BAD = "bad-lines.jsonl"
# A fault that makes a line invalid, the error code, and whether the bytes of the line are kept.
BAD_LINES = [("bad-json", "BCDA_ERR_LINE_JSON", True), ("bad-utf8", "BCDA_ERR_LINE_UTF8", True),
             ("deep-line:100", "BCDA_ERR_LINE_DEPTH", True),
             ("long-line:300000", "BCDA_ERR_LINE_TOO_LONG", False)]


def check_entries(sandbox, path, code, kept):
    """Checks that each entry names the file and the place where its bytes are in that file. Returns
    the number of entries."""
    plain_files = {os.path.basename(p)[:-len(".plain")]: read(p) for p in
                   glob.glob(os.path.join(sandbox.state, "s", "**", "*.plain"), recursive=True)}
    text = read(path)
    check(text.endswith(b"\n"), "no end")
    check(stat.S_IMODE(os.stat(path).st_mode) == 0o600, oct(os.stat(path).st_mode))
    entries = [json.loads(line) for line in text.split(b"\n")[:-1]]
    for e in entries:
        keys = ["file", "line", "offset", "length", "error", "reason"] + (["bytes"] if kept else [])
        check(list(e) == keys, list(e))
        check(e["error"] == code and e["reason"], e["error"])
        check(e["file"] in plain_files, e["file"], sorted(plain_files))
        data = plain_files.get(e["file"], b"")
        line = data[e["offset"]:data.index(b"\n", e["offset"])]
        check(data[:e["offset"]].count(b"\n") == e["line"] - 1, "the line's number")
        if kept:
            check(base64.b64decode(e["bytes"], validate=True) == line, code, "other bytes")
            check(e["length"] == len(line), code, "another length")
    return len(entries)


def quarantine():
    for fault, code, kept in BAD_LINES:
        with programs.Sandbox("--era", "current", "--polls", "0", "--keep-plain", "--fault",
                              fault) as s:
            limit = [] if kept else ["--set", "line_max=200000"]
            for mask in (0o000, 0o022):
                out = os.path.join(s.state, f"out-{mask}")
                done = programs.export(s, "--level", "patient", "--type", EOB, "--out", out, *limit,
                                       umask=mask)
                check(done.returncode == 3, fault, done.returncode, done.stderr)
                check(listing(out) == [EOB + "-0001.ndjson", BAD], fault, listing(out))
                check_modes(out)
                check(check_entries(s, os.path.join(out, BAD), code, kept) == 1, fault, "entries")
                check(BAD.encode() in done.stderr, done.stderr)
                check_silent_on_secrets(s, done)


def quarantine_elsewhere():
    """Where invalid lines are stored: with --quarantine, with --out -, if they are not tolerated, and if the
    file for them already exists or cannot be used."""
    with programs.Sandbox("--era", "current", "--polls", "0", "--keep-plain", "--fault",
                          "bad-json") as s:
        def run(*options, code):
            done = programs.export(s, "--level", "patient", "--type", EOB, "--add" if "--out" in options
                                   and "-" not in options else "--quiet", *options)
            check(done.returncode == code, options, done.returncode, done.stderr)
            check(b"resourceType" not in done.stderr, "patient data is said", done.stderr)
            return done

        out, aside = os.path.join(s.state, "out"), os.path.join(s.state, "aside")
        entry = ("BCDA_ERR_LINE_JSON", True)
        # invalid lines are not tolerated: neither the data file nor the invalid line is kept
        run("--out", out, "--set", "bad_lines_max=0", code=1)
        check(listing(out) == [], listing(out))
        run("--out", out, code=3)
        check(check_entries(s, os.path.join(out, BAD), *entry) == 1, "entries")
        # new lines are added after one that a crash has cut short
        with open(os.path.join(out, BAD), "ab") as f:
            f.write(b'{"file":"cut')
        os.chmod(os.path.join(out, BAD), 0o644)
        run("--out", out, "--set", "bad_lines_max=-1", code=3)
        lines = read(os.path.join(out, BAD)).split(b"\n")
        check(len(lines) == 4 and lines[1] == b'{"file":"cut', lines)
        check_modes(out)
        # --quarantine names another file, and data goes to standard output or to the folder
        run("--out", "-", code=3)
        run("--out", "-", "--quarantine", aside, code=3)
        check(check_entries(s, aside, *entry) == 1, "entries")
        run("--out", out, "--quarantine", aside, code=3)
        check(check_entries(s, aside, *entry) == 2, "entries")
        check(read(os.path.join(out, BAD)).count(b"\n") == 3, "both were written")
        run("--out", out, "--quarantine", "-", code=2)
        # --quarantine names a link, a folder, a pipe or a full disk: the run fails and keeps no data
        target = os.path.join(s.state, "target")
        for make in (lambda: os.symlink(target, aside), lambda: os.mkdir(aside),
                     lambda: os.mkfifo(aside), lambda: os.link(os.path.join(out, BAD), aside),
                     lambda: os.symlink("/dev/full", aside)):
            os.rmdir(aside) if os.path.isdir(aside) else os.unlink(aside)
            make()
            clean = os.path.join(s.state, "clean")
            before = read(os.path.join(out, BAD))
            done = run("--out", clean, "--quarantine", aside, code=1)
            check(b"aside" in done.stderr, done.stderr)
            check(listing(clean) == [] and not os.path.exists(target), listing(clean))
            check(read(os.path.join(out, BAD)) == before, "written through another name")
        # the same if the output folder has a link with the default name
        linked = os.path.join(s.state, "linked")
        os.mkdir(linked)
        os.symlink(target, os.path.join(linked, BAD))
        run("--out", linked, code=1)
        check(listing(linked) == [BAD] and not os.path.exists(target), listing(linked))


def quarantine_full():
    """If the disk is too full to store an invalid line, the run must fail and keep no data file."""
    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    with programs.Sandbox("--era", "current", "--polls", "0", "--fault", "bad-json") as s:
        out = os.path.join(s.state, "out")
        done = programs.export(s, "--level", "patient", "--type", EOB, "--out", "-", "--quarantine",
                               out, preexec_fn=small)
        check(done.returncode == 1, done.returncode, done.stderr)
        check(b"the invalid lines cannot be kept" in done.stderr, done.stderr)


def quarantine_resumed():
    """The first run is interrupted. The invalid lines that it has stored must stay, and the next run must
    add those of the remaining files."""
    with programs.Sandbox("--era", "current", "--polls", "0", "--files", "4", "--keep-plain",
                          "--patients", "8", "--fault", "bad-json", "--fault",
                          "slow:100000") as s:
        out, state = os.path.join(s.state, "out"), os.path.join(s.state, "state")
        command = [programs.EXPORT, *s.arguments(), *programs.FAST, "--level", "patient", "--type", EOB, "--out",
                   out, "--resume", state, "--set", "parallel=1"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        until = time.monotonic() + programs.LIMIT
        while process.poll() is None and time.monotonic() < until:
            if glob.glob(os.path.join(out, EOB + "-*.ndjson")):
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        process.communicate(timeout=programs.LIMIT)
        first = read(os.path.join(out, BAD))
        check(first.count(b"\n") >= 1, first)
        done = subprocess.run(command, capture_output=True, timeout=programs.LIMIT)
        check(done.returncode == 3, done.returncode, done.stderr)
        check(read(os.path.join(out, BAD)).startswith(first), "what was there is gone")
        check_entries(s, os.path.join(out, BAD), "BCDA_ERR_LINE_JSON", True)
        told = {(e["file"], e["line"]) for e in map(json.loads, read(os.path.join(out, BAD)).splitlines())}
        check(len(told) == 4, told)
        check_modes(out)


# ---- a hostile server ----

# "{}" is the folder of the test.
HOSTILE = ["../../escaped", "{}/escaped", "..", ".", "", "a/b", "Patient\u0000x", "Pat ient",
           "-rf", "P" * 300, "Patient\n"]


def hostile():
    """A hostile server sends types and URLs that, used as file names, would lead out of the output
    folder. No file may be written outside that folder."""
    for kind in HOSTILE:
        with Server(report, ("Patient",)) as s:
            s.more = {"output": [{"type": kind.format(s.work), "url": s.origin + "/data/1/0..%2f..%2fescaped"}]}
            s.out = os.path.join(s.work, "a", "b", "out")
            os.makedirs(os.path.dirname(s.out))
            done = subprocess.run(s.command("--level", "patient"), capture_output=True,
                                  timeout=programs.LIMIT)
            check(done.returncode != 0 or listing(s.out) == ["Patient-0001.ndjson"], kind,
                  done.returncode, done.stderr)
            found = [p for p in glob.glob(os.path.join(s.work, "**"), recursive=True,
                                          include_hidden=True)
                     if os.path.isfile(p) and os.path.basename(p) != "token"]
            check(done.returncode == 0 or not found, kind, found)
            check(all(p.startswith(s.out + os.sep) for p in found), kind, "it got out", found)
            check(b"a-token" not in done.stderr, kind, "the token is said")


# ---- interrupted runs ----

def resume(sign, era, level):
    """Ends a run when some files are complete and others are not, then resumes it once or more."""
    name = f"{sign.name} in {era}"
    with programs.Sandbox("--era", era, "--polls", "1", "--files", "6", "--keep-plain",
                          "--patients", "12", "--fault", "slow:150000") as s:
        out, state = os.path.join(s.state, "out"), os.path.join(s.state, "state")
        command = [programs.EXPORT, *s.arguments(), *programs.FAST, "--level", level, "--type", EOB, "--out", out,
                   "--resume", state, "--set", "parallel=2"]
        cut = 0
        for rounds in range(20):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            before = len(glob.glob(os.path.join(out, EOB + "-*.ndjson")))
            until = time.monotonic() + programs.LIMIT
            # The first two runs end as soon as another file is complete.
            while rounds < 2 and process.poll() is None and time.monotonic() < until:
                if len(glob.glob(os.path.join(out, EOB + "-*.ndjson"))) > before:
                    process.send_signal(sign)
                    cut += 1
                    break
                with open(f"/proc/{process.pid}/cmdline", "rb") as f:
                    line = f.read()
                check(not any(secret in line for secret in secrets(s)), "a secret among arguments")
                time.sleep(0.01)
            _, said = process.communicate(timeout=programs.LIMIT)
            if process.returncode == 0:
                break
            check(process.returncode in (-sign, 1, 128 + sign), name, process.returncode, said)
        check(process.returncode == 0, name, process.returncode, said)
        check(cut > 0, name, "it was never cut off")
        check(len(plain(s)) == 60, name, len(plain(s)))
        check(resources(out) == plain(s), name, "not each resource exactly once", len(resources(out)))
        check(len(listing(out)) == 6, name, listing(out))
        check(not os.path.exists(state), name, "the state is left")
        check_modes(out)


def state_lost():
    """The folder of the --resume file is renamed before a data file is complete, which takes four seconds, so
    the file cannot be replaced. After the folder is back, the next run must not store any resource twice."""
    with programs.Sandbox("--era", "2019-04", "--polls", "1", "--keep-plain", "--fault", "slow:100000",
                          "--control") as sandbox:
        out = os.path.join(sandbox.state, "out")
        folder, aside = os.path.join(sandbox.state, "states"), os.path.join(sandbox.state, "aside")
        os.mkdir(folder)
        state = os.path.join(folder, "state")
        command = ([programs.EXPORT] + sandbox.arguments() + programs.FAST +
                   ["--level", "resource", "--type", "ExplanationOfBenefit", "--out", out,
                    "--resume", state])
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        until = time.monotonic() + programs.LIMIT
        while process.poll() is None and time.monotonic() < until:
            if os.path.exists(state) and b"/jobs/" in read(state):
                break
            time.sleep(0.01)
        os.rename(folder, aside)
        said = process.communicate(timeout=programs.LIMIT)[1]
        check(process.returncode == 1, process.returncode, said)
        check(b"the state cannot be saved" in said, said)
        os.rename(aside, folder)
        sandbox.control("DELETE", "fault")
        done = subprocess.run(command, capture_output=True, timeout=programs.LIMIT)
        check(done.returncode == 0, done.returncode, done.stderr)
        check(resources(out) == plain(sandbox), "not once each", listing(out))
        check(WORK not in listing(out), listing(out))


def on_a_terminal(sandbox, out, *more):
    """Returns the exit status and what bcda-export prints on a terminal of 100 columns."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = subprocess.Popen([programs.EXPORT, *sandbox.arguments(), "--level", "resource", "--type",
                                EOB, "--out", out, *more], stderr=its)
    os.close(its)
    seen = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the other side is closed
            data = b""
        if not data:
            break
        seen += data
    os.close(ours)
    return process.wait(programs.LIMIT), seen


def terminal():
    """The progress bar is redrawn in place, and is removed before the final lines are printed."""
    with programs.Sandbox("--era", "2019-04", "--polls", "1", "--fault", "slow:200000") as s:
        status, seen = on_a_terminal(s, os.path.join(s.state, "out"))
        check(status == 0, status, seen)
        bars = re.findall(rb"\r(\[[#-]{30}\] +(\d+)%  [01]/1 files  \d+ resources  [^\x1b\r]*)\x1b\[K", seen)
        shares = [int(share) for _, share in bars]
        check(len(bars) > 1 and shares == sorted(shares) and shares[-1] <= 100, seen)
        check(all(len(bar) < 100 for bar, _ in bars), "wider than the terminal", bars)
        check(all(abs(bar.count(b"#") - int(share) * 0.3) < 1.5 for bar, share in bars), bars)
        last = seen.rpartition(b"\x1b[K")[2]
        check(b"50 resources" in last and b"[#" not in last, "the bar is still there", last)
        status, seen = on_a_terminal(s, os.path.join(s.state, "quiet"), "--quiet")
        check(status == 0 and seen == b"", status, seen)


def interrupted_without_state():
    """Ctrl-C leaves no incomplete file."""
    with programs.Sandbox("--era", "2019-04", "--polls", "1", "--fault", "slow:50000") as s:
        out = os.path.join(s.state, "out")
        process = subprocess.Popen([programs.EXPORT, *s.arguments(), *programs.FAST, "--level", "resource", "--type",
                                    EOB, "--out", out], stderr=subprocess.PIPE)
        until = time.monotonic() + programs.LIMIT
        process.stderr.readline()  # the job was accepted
        process.stderr.readline()  # its files are known
        while not listing(out) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        check(listing(out) == [WORK], "not out of sight", listing(out))
        check(stat.S_IMODE(os.stat(os.path.join(out, WORK)).st_mode) == 0o700, "others can look")
        check_modes(os.path.join(out, WORK))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=programs.LIMIT)
        check(process.returncode == 130, process.returncode)
        check(listing(out) == [], "left behind", listing(out))


def resume_all():
    resume(signal.SIGKILL, "2019-04", "resource")
    resume(signal.SIGINT, "2019-04", "resource")
    resume(signal.SIGKILL, "current", "patient")


def main():
    report.run([usage, complete, failures, quarantine, quarantine_elsewhere, quarantine_full,
                quarantine_resumed, wrong_secret, metadata, hostile, terminal,
                interrupted_without_state, state_lost, resume_all], sys.argv[4:])
    report.finish()


main()
