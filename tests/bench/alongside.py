"""Measures several programs that download the same encrypted file: the library in C, the programs in rivals/
(rows 3 and 4), and the Python and Ruby packages (row 8). The library with decode threads downloads two
such files. The programs run one after the other, several times.

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
    def __init__(self, row, name, command, inline=None, whole=False, batches=None, targets=True):
        self.row, self.name, self.command = row, name, command
        self.inline = inline    # the smallest ratio allowed of its time to the library's
        self.batches = batches  # the smallest ratio allowed of its time to that of the Python package
        self.whole = whole      # True: it holds the whole file in memory
        self.targets = targets  # False: the ratios are only reported


class Binding:
    def __init__(self, row, name, command, least):
        self.row, self.name, self.command, self.least = row, name, command, least


def python_rivals(bench):
    if fails([sys.executable, "-c", "import requests, cryptography"]):
        bench.table.left_out("4", "Python", "requests or cryptography is missing")
        return []
    found = [Rival("4", "Python, whole file", [sys.executable, f"{RIVALS}/python_whole.py"], 5, whole=True,
                   batches=4),
             Rival("4", "Python, streaming", [sys.executable, f"{RIVALS}/python_stream.py"], 5, batches=4)]
    what = "Python, streaming, orjson"
    if bench.quick:
        bench.table.left_out("4", what, "--quick")
    elif fails([sys.executable, "-c", "import orjson"]):
        bench.table.left_out("4", what, "orjson is missing")
    else:
        found.append(Rival("4", what, [sys.executable, f"{RIVALS}/python_orjson.py"], targets=False))
    return found


def fails(command):
    return subprocess.run(command, capture_output=True).returncode != 0


def other_rivals(bench):
    found = []
    if shutil.which("node"):
        found.append(Rival("4", "Node, streaming", ["node", f"{RIVALS}/node_stream.js"], 4.2))
    else:
        bench.table.left_out("4", "Node", "node is missing")
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go:
        program = os.path.abspath(os.path.join(bench.build, "go_whole"))
        bench.call(dict(os.environ, GOPROXY="off", GOFLAGS="-mod=mod"),
                   [go, "build", "-C", f"{RIVALS}/go_whole", "-o", program, "."])
        found.append(Rival("4", "Go, whole file", [program], 4.2, whole=True))
    else:
        bench.table.left_out("4", "Go", "go is missing")
    return found


def rivals(bench, rows):
    found = python_rivals(bench) if rows & {"4", "8"} else []
    return found + (other_rivals(bench) if "4" in rows else [])


def bindings(bench, rows, status_url):
    python = [sys.executable, os.path.join(BINDINGS, "python", "bench", "batches.py"), status_url]
    ruby = [shutil.which("ruby"), os.path.join(BINDINGS, "ruby", "bench", "batches.rb"), status_url]
    if "8" not in rows:
        return []
    found = [Binding("8", "Python, batches", python + ["batches"], 0.8),
             Binding("8", "Python, resource by resource", python + ["resources"], 0.45),
             Binding("8", "Ruby, batches", ruby + ["batches"], 0.7)]
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
    if command[0].endswith("ruby") and fails([command[0], "-e", "require 'ffi'"]):
        return "the ffi gem is missing"
    return None


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
    bench.warm_up(one)
    if "3" in rows:
        by_hand(bench, env, one)
    if rows & {"4", "8"}:
        all_others(bench, rows, env, one, several)


def by_hand(bench, env, one):
    """Compares the library with the C++ client, which is as small as the library, and uses one thread, too. So
    the CPU time is compared, which other programs disturb least, and the whole peak of memory."""
    table, program = bench.table, bench.program("cpp-simdjson")
    if not os.path.exists(program):
        table.left_out("3", "C++ with simdjson", "libsimdjson or g++ is missing")
        return
    found = middle(bench.take({INLINE: lambda: bench.pipeline(one, "parallel=1"),
                               "C++": lambda: numbers(bench, env, [program])}, bench.often))
    size = one.bytes()
    _, _, time, cpu, peak = found["C++"][:5]
    _, _, our_time, our_cpu, our_peak = found[INLINE]
    table.add("3", "C++ with simdjson: its CPU against inline",
              f"{cpu / size * 1e9:.2f} : {our_cpu / size * 1e9:.2f} ns a byte", cpu / our_cpu, least=1.1)
    table.add("3", "  our throughput by the clock against its",
              f"{size / our_time / MIB:.0f} : {size / time / MIB:.0f} MiB/s", time / our_time)
    table.add("3", "  our peak memory against its", f"{our_peak / 1024:.1f} : {peak / 1024:.1f} MiB",
              our_peak / peak, most=1)


def all_others(bench, rows, env, one, several):
    others, bound = rivals(bench, rows), bindings(bench, rows, one.status_url)
    turns = {INLINE: lambda: bench.pipeline(one, "parallel=1")}
    if "4" in rows:
        turns[THREADED] = lambda: bench.threaded(several)
    for r in others:
        turns[r.name] = lambda r=r: numbers(bench, env, r.command)
    for b in bound:
        turns[b.name] = lambda b=b: numbers(bench, env, b.command + ["parallel=1", "gzip=0"])
    found = middle(bench.take(turns, 3) if bench.quick else bench.take(turns))
    if "4" in rows:
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
    table = bench.table
    _, _, wall, cpu, peak = found[INLINE]
    above = peak - bench.baseline
    rate = several / found[THREADED][2]
    for r in others:
        _, _, its_wall, its_cpu, its_peak, its_start = found[r.name]
        table.add("4", f"{r.name}: its time against inline", f"{its_wall:.3f} : {wall:.3f} s",
                  its_wall / wall, least=r.inline)
        table.add("4", "  its CPU against inline",
                  f"{its_cpu / size * 1e9:.2f} : {cpu / size * 1e9:.2f} ns a byte", its_cpu / cpu)
        table.add("4", "  our memory against its, above start-up",
                  f"{above / 1024:.1f} : {(its_peak - its_start) / 1024:.1f} MiB",
                  above / (its_peak - its_start), most=share(bench, r.whole) if r.targets else None)
        table.add("4", "  its time against two decode threads",
                  f"{size / its_wall / MIB:.0f} : {rate / MIB:.0f} MiB/s", rate * its_wall / size)


def against_c(bench, bound, others, found):
    wall, cpu = found[INLINE][2:4]
    for b in bound:
        time, its_cpu = found[b.name][2:4]
        bench.table.add(b.row, f"{b.name}: throughput against C", f"{wall:.3f} : {time:.3f} s", wall / time,
                        least=b.least)
        bench.table.add(b.row, "  CPU of C against its", f"{cpu:.3f} : {its_cpu:.3f} s", cpu / its_cpu)
    if "Python, batches" not in found:
        return
    ours = found["Python, batches"][2]
    for r in others:
        if r.batches:
            time = found[r.name][2]
            bench.table.add("8", f"  {r.name}: its time against batches", f"{time:.3f} : {ours:.3f} s",
                            time / ours, least=r.batches)
