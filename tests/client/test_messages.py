#!/usr/bin/env python3
"""Command lines that bcda-export accepts or refuses, and its messages. A message must use the names of
the command line, not those of the C library.

test_messages.py BCDA_EXPORT BCDA_SANDBOX [TEST]...
"""
import fcntl
import glob
import os
import re
import signal
import struct
import subprocess
import sys
import termios

import programs
from fhir_server import Server, read, wait_for

report = programs.Report()
check = report.check
EOB = "ExplanationOfBenefit"
# Names of the C library, which no message may contain.
FOREIGN = re.compile(rb"bcda_[a-z_]+\(|BCDA_(OPT|ERR|LEVEL|DELIVERY|DUPLICATE)")


def check_words(said, *what):
    check(not FOREIGN.search(said), *what, "a word of the C interface", said)


WRONG = [
    (["--since", "2024-01-01"], b"--since 2024-01-01: ", b"2024-01-31T00:00:00Z"),
    (["--type", "Patient,Coverage"], b"--type Patient,Coverage: ", b"letters"),
    (["--group", ""], b"--group : ", b"empty"),
    (["--type-filter", ""], b"--type-filter : ", b"empty"),
    (["--parameter", "x"], b"--parameter x: ", b"NAME=VALUE"),
    (["--parameter", "=x"], b"--parameter =x: ", b"name"),
    (["--parameter", "_type=Patient"], b"--parameter _type=Patient: ", b"--type"),
    (["--parameter", "_since=x"], b"--parameter _since=x: ", b"--since"),
    (["--set", "duplicate_job=maybe"], b"--set duplicate_job=maybe: ", b"wait, refuse or take_over"),
    (["--set", "duplicate_job=3"], b"--set duplicate_job=3: ", b"wait, refuse or take_over"),
    (["--set", "delivery=checked"], b"--set delivery=checked: ", b"streaming or verified"),
    (["--set", "gzip=maybe"], b"--set gzip=maybe: ", b"off or on"),
    (["--set", "parallel=many"], b"--set parallel=many: ", b"whole number"),
    (["--set", "parallel=0"], b"--set parallel=0: ", b"1 to 64"),
    (["--set", "threads=2"], b"--set threads=2: ", b"decode_threads"),
    (["--set", "gzip"], b"--set gzip: ", b"NAME=VALUE"),
    (["--set", "delivery=verified", "--out", "-"], b"--set delivery=verified ", b"--spool"),
    (["--url", "http://example.com/fhir"], b"--url: ", b"https://example.com/fhir"),
    (["--url", "example.com"], b"--url: ", b"URL"),
    (["--add", "--replace"], b"--add", b"--replace"),
]
FAILED = [
    (["--ca", "/nowhere/ca.pem"], b"--ca", b"/nowhere/ca.pem"),
    (["--private-key", __file__], b"--private-key: ", b"PEM"),
    (["--out", "/dev/null"], b"/dev/null", b"Not a directory"),
    (["--set", "job_timeout_ms=50"], b"the job has run for 50 ms", b"has not accepted it"),
]


def wrong_values():
    """Each message names the option, the value, and what is expected; nothing is sent."""
    with Server(report) as s:
        s.slow_start = True
        for options, option, expected in WRONG + FAILED:
            done = subprocess.run(s.command("--resume", s.state, *options) if "-" not in options
                                  else s.command(*options), capture_output=True,
                                  timeout=programs.LIMIT)
            check(done.returncode == (2 if (options, option, expected) in WRONG else 1), options,
                  done.returncode, done.stderr)
            check(b"bcda-export: " + option in done.stderr and expected in done.stderr, options,
                  done.stderr)
            check_words(done.stderr, options)
            if "job_timeout_ms=50" not in options:
                check(s.requests == [], options, s.requests)


def helps():
    done = subprocess.run([programs.EXPORT, "--help"], capture_output=True, timeout=programs.LIMIT)
    for status in (b"  0  ", b"  1  ", b"  2  ", b"  3  ", b"  130  ", b"143"):
        check(status in done.stdout, status, "is not in --help")
    check(b"bad-lines.jsonl" in done.stdout, done.stdout)
    check_words(done.stdout, "--help")


# ---- requests ----

def named_values():
    """Options such as duplicate_job accept the name of a value as well as its number."""
    with Server(report) as s:
        for setting in ("duplicate_job=take_over", "duplicate_job=2", "delivery=verified",
                        "delivery=1", "gzip=off", "cancel_at_server=on", "check_count=off"):
            s.run("--set", setting, "--replace", code=0)


def filters():
    with Server(report) as s:
        s.run("--type", "Patient", "--type", "Coverage", "--type-filter", "Patient?active=true",
              "--type-filter", "Coverage?x=1&y=2", "--parameter", "_elements=id,name", "--parameter",
              "a b=c=d", code=0)
        check(s.requests[0].endswith(
            "/Patient/$export?_type=Patient,Coverage&_typeFilter=Patient%3Factive%3Dtrue"
            "&_typeFilter=Coverage%3Fx%3D1%26y%3D2&_elements=id%2Cname&a%20b=c%3Dd"), s.requests[0])


def one_type():
    """In the current era, Patient/$export means the patient level. With --level resource, the one
    type must therefore be sent as a parameter."""
    with programs.Sandbox("--era", "current", "--polls", "0", tls=False) as s:
        out = os.path.join(s.state, "out")
        done = programs.export(s, "--level", "resource", "--type", "Patient", "--out", out)
        check(done.returncode == 0, done.returncode, done.stderr)
        check(os.listdir(out) == ["Patient-0001.ndjson"], os.listdir(out))


# ---- messages ----

def not_found():
    """If the kick-off is answered with 404, the error message must quote the server's text and give a
    hint."""
    with programs.Sandbox("--era", "current", "--polls", "0", "--fault", "kickoff-404",
                          tls=False) as s:
        out = os.path.join(s.state, "out")
        for more in ([], ["--type", "Patient"], ["--group", "all"], ["--level", "system"],
                     ["--url", s.env["BCDA_FHIR_URL"].replace("v1", "v2")]):
            done = programs.export(s, *more, "--out", out)
            check(done.returncode == 1, more, done.returncode, done.stderr)
            check(b"the server says: " in done.stderr and b"FHIR URL" in done.stderr
                  and b"January" in done.stderr, more, done.stderr)
            check(b"does not export this type" not in done.stderr, more, done.stderr)


def taken_over():
    # The first program polls once a second or less often, so the job is still running when it is killed. The second
    # one polls every 10 ms.
    with programs.Sandbox("--era", "current", "--polls", "50", tls=False) as s:
        first = subprocess.Popen([programs.EXPORT, *s.arguments(), "--level", "patient", "--out",
                                  os.path.join(s.state, "other")], stderr=subprocess.PIPE)
        job = first.stderr.readline().split()[1]
        first.kill()
        first.communicate()
        done = programs.export(s, "--level", "patient", "--set", "duplicate_job=take_over", "--out",
                               os.path.join(s.state, "out"))
        check(done.returncode == 0, done.returncode, done.stderr)
        check(b"job " + job + b" was running already and is taken over" in done.stderr
              and b"was accepted" not in done.stderr, done.stderr)


def noise():
    """Some servers send an OperationOutcome that has a code but no text. The message must not quote
    that code as a text of the server."""
    with programs.Sandbox("--era", "2019-12", "--polls", "0", tls=False) as s:
        done = programs.export(s, "--group", "x", "--out", "-")
        check(done.returncode == 1 and b"400" in done.stderr, done.returncode, done.stderr)
        check(b"the server says" not in done.stderr, done.stderr)
    with programs.Sandbox("--era", "current", "--polls", "0", tls=False) as s:
        done = programs.export(s, "--group", "x", "--out", "-")
        check(b"the server says: Invalid group ID" in done.stderr, done.stderr)


def damaged():
    """A flipped bit in a gzip file makes lines invalid. The message must report the gzip error, and not
    the invalid lines."""
    for offset in (100, 400, 1000):
        with programs.Sandbox("--era", "current", "--polls", "0", "--fault", f"data-flip:{offset}",
                              tls=False) as s:
            done = programs.export(s, "--level", "patient", "--type", EOB, "--out", "-")
            check(done.returncode == 1, done.returncode, done.stderr)
            check(b", line" not in done.stderr and b"invalid line" not in done.stderr, done.stderr)
            check(b"gzip" in done.stderr, done.stderr)


def other_servers():
    """--metadata works with a server that has no /_version."""
    with Server(report) as s:
        done = s.run("--metadata", code=0)
        check(done.stderr == b"" and b"4.0.1" in done.stdout and b"(not given)" in done.stdout,
              done.stderr, done.stdout)


def early_interrupt():
    """A signal arrives before the server has answered the kick-off. The program must end with the usual
    status, and leave no state and no files."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        with Server(report) as s:
            s.slow_start = True
            process = subprocess.Popen(s.command("--resume", s.state), stderr=subprocess.PIPE)
            wait_for(lambda s=s: s.requests)
            process.send_signal(sign)
            said = process.communicate(timeout=programs.LIMIT)[1]
            check(process.returncode == 128 + sign and b"interrupted" in said, process.returncode, said)
            check(not os.path.exists(s.state) and os.listdir(s.out) == [], os.listdir(s.work))


def retries():
    """A message about a retry must name the job and the file that are retried."""
    with Server(report) as s:
        s.lost = {1}
        done = s.run(code=1)
        again = [line for line in done.stderr.split(b"\n") if b"again in" in line]
        check(again and all(b"job 1, file 1 (Patient)" in line for line in again), done.stderr)
        check_words(done.stderr)


# ---- terminals: narrow ones, hostile texts on them, and closed descriptors ----

def on_a_terminal(s, locale):
    """Returns what bcda-export prints on a terminal of 60 columns while a job runs."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    process = subprocess.Popen(s.command(), stderr=its, env=dict(os.environ, LC_ALL=locale))
    os.close(its)
    seen = b""
    while seen.count(b"waiting for the server") < 2:
        seen += os.read(ours, 65536)
    process.kill()
    process.wait()
    os.close(ours)
    return seen


def terminal():
    """Control characters, in any encoding, do not reach the terminal."""
    with Server(report) as s:
        s.running = True
        for progress in (b"\x9b31mred", b"\xc2\x9b31mred", b"caf\xc3\xa9 \xe2\x80\xaexcod",
                         b"\xe2\x80", b"\xc0\x9b", b"\xc1\x81", b"\xed\xa0\x80", b"\xf5\x80\x80\x9b", b"\x80\x85\x90\x9f\xff" * 9,
                         b"\xe2\x82\xac" * 40):
            s.progress = progress.decode("latin-1")
            for locale in ("C", "C.UTF-8"):
                seen = on_a_terminal(s, locale)
                shown = seen.replace(b"\x1b[K", b"").replace(b"\r", b"").replace(b"\n", b"")
                if locale == "C":
                    check(all(0x20 <= c < 0x7f for c in shown), progress, seen)
                else:
                    # decode() fails if the bytes are not valid UTF-8
                    check("waiting" in shown.decode(), progress, seen)
                    check(all(c >= " " and not "\x7f" <= c <= "\x9f" and c not in "\u202e\u2028"
                              for c in shown.decode()), progress, seen)
        check("caf\u00e9" not in on_a_terminal(s, "C").decode("latin-1"), "not of its character set")


def closed_descriptors():
    """If standard descriptors are closed, no file or socket gets the number of one of them."""
    def close(*numbers):
        def run():
            for number in numbers:
                os.close(number)
        return run

    with Server(report) as s:
        for numbers in ((0,), (1,), (2,), (0, 1, 2), (1, 2)):
            done = subprocess.run(s.command("--replace"), timeout=programs.LIMIT,
                                  preexec_fn=close(*numbers))
            check(done.returncode == 0, numbers, done.returncode)
            check(sorted(b"".join(read(p) for p in glob.glob(s.out + "/*.ndjson")).splitlines()) ==
                  s.lines(s.jobs), numbers, "other files")
        s.running = True
        process = subprocess.Popen(s.command("--replace"), preexec_fn=close(0, 1, 2))
        wait_for(lambda: any("/jobs/" in path for path in s.requests[-1:]))
        for number in range(3):
            check(os.readlink(f"/proc/{process.pid}/fd/{number}") == "/dev/null", number)
        process.kill()
        process.wait()
        s.running = False
        done = subprocess.run(s.command("--out", "-"), timeout=programs.LIMIT, preexec_fn=close(1),
                              stderr=subprocess.PIPE)
        check(done.returncode == 1 and b"standard output" in done.stderr, done.returncode, done.stderr)


def main():
    report.run([wrong_values, helps, named_values, filters, one_type, not_found, taken_over,
                noise, damaged, other_servers, early_interrupt, retries, terminal,
                closed_descriptors], sys.argv[3:])
    report.finish()


main()
