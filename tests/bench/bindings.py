"""Rows 7 and 8: what a download costs in Python and in Ruby, on the same file and in the same run as
the C pipeline and, for Python, as what people do instead.

The program of each binding is called as

    PROGRAM STATUS_URL batches|resources [OPTION=NUMBER]...

with BCDA_LIBRARY and what `bcda-sandbox --print-env` says in its environment. It touches every resource
(type, id, length of its JSON) and prints, as bench-pipeline does, the time from the BEGIN of the first
file to the END of the last one:

    <resources> <bytes of JSON> <wall seconds> <CPU seconds> <peak KiB>
"""
import os
import shutil
import subprocess
import sys
from statistics import median

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = os.path.join(HERE, "..", "..", "bindings")
RIVALS = (("streaming", "python_stream.py", 2.0), ("whole file", "python_whole.py", 3.5))


def ways(rows, status_url):
    """(row, name, command, least ratio)"""
    more = [status_url]
    python = [sys.executable, os.path.join(PROGRAMS, "python", "bench", "batches.py")]
    ruby = [shutil.which("ruby"), os.path.join(PROGRAMS, "ruby", "bench", "batches.rb")]
    if "7" in rows:
        yield "7", "Python, batches", python + more + ["batches"], 0.9
        yield "7", "Python, resource by resource", python + more + ["resources"], 0.6
    if "8" in rows:
        yield "8", "Ruby, batches", ruby + more + ["batches"], 0.85


def missing(command):
    """Why it cannot be run, or None."""
    if not command[0]:
        return "ruby is missing"
    if not os.path.exists(command[1]):
        return "no program for it"
    if command[0].endswith("ruby") and subprocess.run([command[0], "-e", "require 'ffi'"],
                                                      capture_output=True).returncode:
        return "the ffi gem is missing"
    return None


def rivals(bench, rows):
    found = subprocess.run([sys.executable, "-c", "import requests, cryptography"], capture_output=True)
    if "7" not in rows:
        return []
    if found.returncode:
        bench.table.left_out("7", "Python, batches against pure Python", "requests or cryptography is missing")
        return []
    return [(name, [sys.executable, os.path.join(HERE, "rivals", program)], least)
            for name, program, least in RIVALS]


def measure(bench, rows):
    with bench.server("encrypted") as server:
        server.export()
        file = server.files[-1]
        env = dict(server.env, BCDA_BENCH_URL=file.url, BCDA_BENCH_KEY=file.key, BCDA_BENCH_NAME=file.name,
                   BCDA_LIBRARY=os.path.join(os.path.abspath(bench.build), "lib", "libbcda.so.0"))
        turns, ran = {"C": lambda: bench.pipeline(server, "parallel=1")}, []
        for row, name, command, least in ways(rows, server.status_url):
            why = missing(command)
            if why:
                bench.table.left_out(row, name, why)
                continue
            ran.append((row, name, least))
            turns[name] = lambda c=command: numbers(bench, env, c + ["parallel=1", "gzip=0"])
        others = rivals(bench, rows)
        for name, command, _ in others:
            turns[name] = lambda c=command: numbers(bench, env, c)
        report(bench, ran, others, take(bench, turns))


def numbers(bench, env, command):
    return [float(word) for word in bench.call(env, command)]


def take(bench, turns):
    """The medians of all, in turns; each begins as often as another."""
    names, found = list(turns), {name: [] for name in turns}
    turns["C"]()  # warms the machine's memory up
    for i in range(bench.repeats):
        for name in names[i % len(names):] + names[:i % len(names)]:
            found[name].append(turns[name]())
    for name, runs in found.items():
        if any(run[0] != found["C"][0][0] for run in runs):
            raise SystemExit(f"{name} counted other resources than the library")
    return {name: median(run[2] for run in runs) for name, runs in found.items()}


def report(bench, ran, others, wall):
    for row, name, least in ran:
        bench.table.add(row, f"{name}: throughput against C", f"{wall['C']:.3f} : {wall[name]:.3f} s",
                        wall["C"] / wall[name], least=least)
    for name, _, least in others:
        ours = wall["Python, batches"]
        bench.table.add("7", f"  pure Python, {name}: its time against batches", f"{wall[name]:.3f} : {ours:.3f} s",
                        wall[name] / ours, least=least)
