#!/usr/bin/env python3
"""How often a waiting session wakes up, counted from outside with strace.

test_idle.py BCDA_EXPORT BCDA_SANDBOX IDLE_WAIT

idle-wait writes marks, which divide the trace into spans. No result depends on time: a span ends
with a signal or a request, and the test counts the calls that waited and returned in the span.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import programs

IDLE_WAIT = sys.argv[3]
SPAN = 3  # how much of the hour is really waited, in seconds: longer than any short timer
report = programs.Report()
check = report.check

# System calls that wait. The pattern matches the end of the arguments of a call that does not.
WAITS = {"poll": r", 0$", "epoll_wait": r", 0$", "epoll_pwait": r", 0, NULL, \d+$",
         "ppoll": r"tv_nsec=0\}, NULL, \d+$", "epoll_pwait2": r"tv_nsec=0\}, NULL, \d+$",
         "select": r"tv_usec=0\}$", "pselect6": r"tv_nsec=0\}, NULL$",
         "nanosleep": None, "clock_nanosleep": None}


def calls(path):
    """Returns (name, arguments) of each system call of any thread, in the order of their return."""
    begun, found = {}, []
    with open(path, encoding="ascii", errors="replace") as trace:
        for line in trace:
            thread, text = line.rstrip("\n").split(None, 1)
            if text.endswith("<unfinished ...>"):
                begun[thread] = text[:-len("<unfinished ...>")].rstrip()
                continue
            resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", text)
            if resumed:
                text = begun.pop(thread, "") + resumed.group(1)
            call = re.match(r"(\w+)\((.*)\)\s+= ", text)
            if call:
                found.append(call.groups())
    return found


def waits(name, arguments):
    if name not in WAITS:
        return False
    return not (WAITS[name] and re.search(WAITS[name], arguments))


def spans(path):
    """Returns (mark, calls that waited and returned before the next mark) for each mark."""
    found = []
    for name, arguments in calls(path):
        mark = re.match(r'-1, "(\w+)"', arguments) if name == "write" else None
        if mark:
            found.append((mark.group(1), []))
        elif found and waits(name, arguments):
            found[-1][1].append(f"{name}({arguments})")
    return found


def environment(sandbox):
    """Returns the environment for idle-wait. It turns off LeakSanitizer, which cannot be traced."""
    env = dict(os.environ, **sandbox.env)
    env["ASAN_OPTIONS"] = ":".join(filter(None, [env.get("ASAN_OPTIONS"), "detect_leaks=0"]))
    return env


def tracing():
    """Checks that strace is installed and may trace. Otherwise, the counts would mean nothing."""
    if not shutil.which("strace"):
        return check(False, "strace is not installed: sh tests/install tests")
    got = subprocess.run(["strace", "-f", "-o", os.devnull, "true"], capture_output=True, text=True,
                         timeout=programs.LIMIT)
    return check(got.returncode == 0, "strace may not trace here (ptrace is not permitted), so no "
                 "wake-up can be counted: ", got.stderr)


def begin(sandbox, trace, *arguments):
    names = ",".join("?" + name for name in WAITS)
    return subprocess.Popen(
        ["strace", "-f", "-qq", "-s", "64", "-e", "signal=none", "-e", "trace=write," + names,
         "-o", trace, IDLE_WAIT, *arguments], env=environment(sandbox), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)


def is_absent(door, process):
    """Returns True for "step" in a build on poll(), in which a session has no descriptor."""
    return door == "step" and process.returncode == 3


def hour(door, folder):
    """The session does not wake up before the signal, even though the server ends and closes the
    connection."""
    trace = os.path.join(folder, f"{door}-hour")
    with programs.Sandbox("--era", "current", "--fault", "status-503:3600") as sandbox:
        process = begin(sandbox, trace, door, "hour")
        words = process.stdout.readline().split()
        if words[:1] == ["idle"]:
            sandbox.process.terminate()
            sandbox.process.wait(programs.LIMIT)
            time.sleep(SPAN)
            os.kill(int(words[1]), signal.SIGUSR1)
        _, said = process.communicate(timeout=programs.LIMIT)
    if is_absent(door, process):
        return
    check(process.returncode == 0 and not said, door, "hour", process.returncode, said)
    found = spans(trace)
    check([mark for mark, _ in found] == ["hour", "woken"], door, "the marks", found)
    check(len(found) == 2 and len(found[0][1]) == 1, door, "woke up in the hour", found)


def polls(door, folder):
    """A sleep without a request in progress ends only once, and ends to make a request."""
    trace = os.path.join(folder, f"{door}-polls")
    with programs.Sandbox("--era", "current", "--polls", "100000") as sandbox:
        process = begin(sandbox, trace, door, "polls")
        _, said = process.communicate(timeout=programs.LIMIT)
    if is_absent(door, process):
        return
    check(process.returncode == 0 and not said, door, "polls", process.returncode, said)
    found = spans(trace)
    marks = [mark for mark, _ in found]
    check(marks[-1:] == ["end"] and "idle" in marks, door, "the marks", marks)
    check("vain" not in marks, door, "woke up, and no request came of it", marks)
    for mark, returned in found:
        check(len(returned) <= 1, door, mark, "more than one sleep", returned)


def main():
    if tracing():
        with tempfile.TemporaryDirectory(prefix="bcda-idle-") as folder:
            for door in ("run", "step", "loop"):
                hour(door, folder)
            for door in ("step", "loop"):
                polls(door, folder)
    report.finish()


main()
