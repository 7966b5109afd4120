"""Measures several programs that download the same encrypted file: the library in C, the programs in rivals/
(row 3), and the Python and Ruby packages (rows 7 and 8). The library with decode threads downloads the same
amount of data in four files. The programs run one after the other, several times.

The benchmark program of a binding is called as

    PROGRAM STATUS_URL batches|resources [OPTION=NUMBER]...

Its environment has BCDA_LIBRARY and the variables that `bcda-sandbox --print-env` prints. It reads the type,
the id and the length of the JSON of every resource. It prints one line; as for bench-pipeline, the times are
those from the beginning of the first file to the end of the last file:

    <resources> <bytes of JSON> <wall seconds> <CPU seconds> <peak KiB>

A program in rivals/ prints the same, followed by its peak memory before the request; see rivals/README.md.
"""
import os
import shutil
import subprocess
import sys
from statistics import median

HERE = os.path.dirname(os.path.abspath(__file__))
RIVALS = os.path.join(HERE, "rivals")
BINDINGS = os.path.join(HERE, "..", "..", "bindings")
MIB = 1 << 20
INLINE, THREADED = "C", "C, two decode threads"


class Rival:
    def __init__(self, name, command, inline=None, threaded=None, whole=False, batches=None, cpu=None,
                 targets=True):
        self.name, self.command = name, command
        # The smallest ratios allowed in row 3, and of the CPU time; None: no target.
        self.inline, self.threaded, self.cpu = inline, threaded, cpu
        self.targets = targets  # False: the ratios are only reported
        self.batches = batches  # the smallest ratio allowed in row 7
        self.whole = whole


class Binding:
    def __init__(self, row, name, command, least):
        self.row, self.name, self.command, self.least = row, name, command, least


def python_rivals():
    return [Rival("Python, whole file", [sys.executable, f"{RIVALS}/python_whole.py"], 3.5, whole=True,
                  batches=3.5),
            Rival("Python, streaming", [sys.executable, f"{RIVALS}/python_stream.py"], 2, 3, batches=2)]


def rivals(bench, rows):
    found = []
    if not rows & {"3", "7"}:
        return found
    if subprocess.run([sys.executable, "-c", "import requests, cryptography"], capture_output=True).returncode:
        bench.table.left_out("3", "Python", "requests or cryptography is missing")
    else:
        found += python_rivals()
    if "3" not in rows:
        return found
    found += python_orjson(bench, found)
    if shutil.which("node"):
        found.append(Rival("Node, streaming", ["node", f"{RIVALS}/node_stream.js"], 1.9, 2.8))
    else:
        bench.table.left_out("3", "Node", "node is missing")
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go:
        program = os.path.abspath(os.path.join(bench.build, "go_whole"))
        bench.call(dict(os.environ, GOPROXY="off", GOFLAGS="-mod=mod"),
                   [go, "build", "-C", f"{RIVALS}/go_whole", "-o", program, "."])
        found.append(Rival("Go, whole file", [program], 2.8, whole=True))
    else:
        bench.table.left_out("3", "Go", "go is missing")
    return found + by_hand(bench)


def python_orjson(bench, other_python):
    """The streaming client with orjson; its seconds have no target, and --quick does without them."""
    what = "Python, streaming, orjson"
    if bench.quick:
        bench.table.left_out("3", what, "--quick")
    elif not other_python or subprocess.run([sys.executable, "-c", "import orjson"],
                                            capture_output=True).returncode:
        bench.table.left_out("3", what, "orjson is missing")
    else:
        return [Rival(what, [sys.executable, f"{RIVALS}/python_orjson.py"], targets=False)]
    return []


def by_hand(bench):
    program = bench.program("cpp-simdjson")
    if os.path.exists(program):
        return [Rival("C++ by hand", [program], cpu=1.1)]
    bench.table.left_out("3", "C++ by hand (libcurl, OpenSSL, simdjson)", "libsimdjson or g++ is missing")
    return []


def bindings(bench, rows, status_url):
    python = [sys.executable, os.path.join(BINDINGS, "python", "bench", "batches.py"), status_url]
    ruby = [shutil.which("ruby"), os.path.join(BINDINGS, "ruby", "bench", "batches.rb"), status_url]
    found = [Binding("7", "Python, batches", python + ["batches"], 0.9),
             Binding("7", "Python, resource by resource", python + ["resources"], 0.6),
             Binding("8", "Ruby, batches", ruby + ["batches"], 0.85)]
    found = [b for b in found if b.row in rows]
    for b in list(found):
        why = missing(b.command)
        if why:
            bench.table.left_out(b.row, b.name, why)
            found.remove(b)
    return found


def missing(command):
    """Returns why the command cannot be run, or None if it can."""
    if not command[0]:
        return "ruby is missing"
    if command[0].endswith("ruby") and subprocess.run([command[0], "-e", "require 'ffi'"],
                                                      capture_output=True).returncode:
        return "the ffi gem is missing"
    return None


def downloads(bench, one, several, rows):
    """Returns the measurements of the library itself: their names, and functions that make them."""
    turns = {INLINE: lambda: bench.pipeline(one, "parallel=1")}
    if "3" in rows:
        turns[THREADED] = lambda: bench.threaded(several)
    return turns


def middle(found):
    """Returns, for each name, the median of every column over all runs."""
    for name, runs in found.items():
        if name != THREADED and any(run[0] != found[INLINE][0][0] for run in runs):
            raise SystemExit(f"{name} counted other resources than the library")
    return {name: [median(column) for column in zip(*runs)] for name, runs in found.items()}


def measure(bench, rows, one, several):
    f = one.files[-1]
    env = dict(one.env, BCDA_BENCH_URL=f.url, BCDA_BENCH_KEY=f.key, BCDA_BENCH_NAME=f.name,
               BCDA_LIBRARY=os.path.join(os.path.abspath(bench.build), "lib", "libbcda.so.0"))
    others, bound = rivals(bench, rows), bindings(bench, rows, one.status_url)
    turns = downloads(bench, one, several, rows)
    for r in others:
        turns[r.name] = lambda r=r: numbers(bench, env, r.command)
    for b in bound:
        turns[b.name] = lambda b=b: numbers(bench, env, b.command + ["parallel=1", "gzip=0"])
    bench.warm_up(one)
    found = middle(bench.take(turns))
    if "3" in rows:
        against_rivals(bench, others, found, one.bytes(), several.bytes())
    against_c(bench, bound, others, found)


def numbers(bench, env, command):
    return [float(word) for word in bench.call(env, command)]


def share(bench, whole):
    """Returns the target of the memory ratio: the library's memory divided by that of another program. A
    program that holds the whole file in memory needs more with a larger file, and the library does not. So
    the target is 0.01 for a file of 1 GiB, and larger for a smaller file."""
    return 0.01 * 1024 * MIB / bench.size if whole else 1


def against_rivals(bench, others, found, size, several):
    table, wall = bench.table, found[INLINE][2]
    above = found[INLINE][4] - bench.baseline
    rate = several / found[THREADED][2]
    for r in others:
        if r.cpu:
            against_one_core(table, r, found, size)
            continue
        time, memory = found[r.name][2], found[r.name][4] - found[r.name][5]
        table.add("3", f"{r.name}: its time against inline", f"{time:.3f} : {wall:.3f} s", time / wall,
                  least=r.inline)
        table.add("3", "  our memory against its, above start-up",
                  f"{above / 1024:.1f} : {memory / 1024:.1f} MiB", above / memory,
                  most=share(bench, r.whole) if r.targets else None)
        if r.threaded:
            table.add("3", "  its time against two decode threads",
                      f"{size / time / MIB:.0f} : {rate / MIB:.0f} MiB/s", rate * time / size,
                      least=r.threaded)


def against_one_core(table, r, found, size):
    """A program as small as the library's, on one thread as it: CPU time is compared, which other programs
    disturb least, and the whole peak of memory."""
    _, _, time, cpu, peak = found[r.name][:5]
    _, _, our_time, our_cpu, our_peak = found[INLINE]
    table.add("3", f"{r.name} (libcurl, OpenSSL, simdjson): its CPU",
              f"{cpu / size * 1e9:.2f} : {our_cpu / size * 1e9:.2f} ns a byte", cpu / our_cpu, least=r.cpu)
    table.add("3", "  our throughput by the clock against its",
              f"{size / our_time / MIB:.0f} : {size / time / MIB:.0f} MiB/s", time / our_time)
    table.add("3", "  our peak memory against its", f"{our_peak / 1024:.1f} : {peak / 1024:.1f} MiB",
              our_peak / peak, most=1)


def against_c(bench, bound, others, found):
    wall = found[INLINE][2]
    for b in bound:
        time = found[b.name][2]
        bench.table.add(b.row, f"{b.name}: throughput against C", f"{wall:.3f} : {time:.3f} s", wall / time,
                        least=b.least)
    if not any(b.row == "7" for b in bound):
        return
    ours = found["Python, batches"][2]
    for r in others:
        if r.batches:
            time = found[r.name][2]
            bench.table.add("7", f"  {r.name}: its time against batches", f"{time:.3f} : {ours:.3f} s",
                            time / ours, least=r.batches)
