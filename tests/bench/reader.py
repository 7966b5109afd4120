"""Measures the line reader of the library (row 1): with its scanner, with yajl alone, and against
simdjson's DOM, which reads the same three values of each line. Bench.line_reader() calls it."""
import glob
import os
import shutil
import tempfile
from statistics import median

import shapes
from server import Server

MIB = 1 << 20
HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLES = ("era-a-envelope", "sandbox-2019", "sandbox-2021", "v1-bare", "v2-r4", "v3-r4")
CLAIMS, SHORT, MIXED = "claims", "short lines", "mixed samples"
FASTER = {CLAIMS: 7, MIXED: 6.5}        # the least ratio of the CPU time with yajl to that with the scanner
INSTRUCTIONS = {CLAIMS: 3.8, SHORT: 4.3}  # the most per byte, with the scanner
OF_YAJL = 0.6                           # of the CPU time with yajl, the most that any shape may take


def join(paths, to):
    with open(to, "wb") as out:
        for path in paths:
            with open(path, "rb") as f:
                out.write(f.read())
    return to


def short_lines(bench, to):
    """Writes lines of Patient and Coverage, which have less than 1 KB."""
    with Server(os.path.join(bench.build, "tools", "bcda-sandbox"), "plain", "--patients", "1000",
                types="Patient,Coverage") as server:
        return join([f.plain for f in server.export().files], to)


def mixed_samples(to):
    """Writes the lines of all samples of BCDA in one file. Returns None if the samples, which are not in
    this tree, are missing."""
    data = os.path.join(os.environ.get("BCDA_SHARED", os.path.join(HERE, "../../../shared")), "data")
    found = [path for name in SAMPLES for path in sorted(glob.glob(os.path.join(data, name, "*.ndjson")))]
    return join(found, to) if found else None


class Reader:
    def __init__(self, bench, folder):
        self.bench, self.table, self.folder = bench, bench.table, folder
        self.bytes = (16 if bench.quick else 64) * MIB  # read again and again until there are so many

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, how, path, size):
        """Returns the CPU nanoseconds per byte, and how many lines yajl has read."""
        words = self.bench.call(None, [self.bench.program("lines"), how, str(size), path])
        return float(words[0]) / int(words[1]) * 1e9, int(words[3])

    def simdjson(self, path):
        words = self.bench.call(None, [self.bench.program("simdjson"), path])
        return float(words[0]) / os.path.getsize(path) * 1e9, words[2]

    def turns(self, path, size):
        return {how: lambda how=how: self.run(how, path, size) for how in ("scanner", "yajl")}

    def against_yajl(self, name, path, found):
        """Adds the row of one set of lines."""
        scanner, yajl = (median(ns for ns, _ in found[how]) for how in ("scanner", "yajl"))
        left = found["scanner"][0][1]
        figure = f"{yajl:.2f} : {scanner:.2f} ns a byte" + (f", {left} lines by yajl" if left else "")
        self.table.add("1", f"line reader, {name}: yajl's CPU against it", figure, yajl / scanner,
                       least=FASTER.get(name))
        return scanner

    def claims(self, path):
        turns = self.turns(path, 0)
        simdjson = os.path.exists(self.bench.program("simdjson"))
        if simdjson:
            turns["simdjson"] = lambda: self.simdjson(path)
        found = self.bench.take(turns, self.bench.often)
        scanner = self.against_yajl(CLAIMS, path, found)
        if not simdjson:
            self.table.left_out("1", "  simdjson's DOM against it", "libsimdjson or g++ is missing")
            return
        dom, kernel = median(ns for ns, _ in found["simdjson"]), found["simdjson"][0][1]
        self.table.add("1", f"  simdjson's DOM ({kernel}) against it", f"{dom:.2f} : {scanner:.2f} ns a byte",
                       dom / scanner, least=1.5)

    def lines(self, name, path):
        if not path:
            self.table.left_out("1", f"line reader, {name}", "BCDA_SHARED is not set")
            return
        self.against_yajl(name, path, self.bench.take(self.turns(path, self.bytes), self.bench.often))

    def shape(self, name, path):
        found = self.bench.take(self.turns(path, self.bytes), self.bench.often)
        scanner, yajl = (median(ns for ns, _ in found[how]) for how in ("scanner", "yajl"))
        self.table.add("1", f"  {name}: CPU against yajl", f"{scanner:.2f} : {yajl:.2f} ns a byte",
                       scanner / yajl, most=OF_YAJL)


def measure(bench, claims):
    """Measures the CPU time. `claims` is the path of a file of claims."""
    folder = tempfile.mkdtemp(prefix="bcda-bench-")
    try:
        reader = Reader(bench, folder)
        reader.claims(claims)
        reader.lines(SHORT, short_lines(bench, reader.path("short")))
        reader.lines(MIXED, mixed_samples(reader.path("mixed")))
        for name, path in shapes.write_shapes(folder, claims, MIB).items():
            reader.shape(name, path)
    finally:
        shutil.rmtree(folder)


def count(bench, claims):
    """Counts the instructions. `claims` is the path of a small file of claims."""
    folder = tempfile.mkdtemp(prefix="bcda-bench-")
    try:
        sets = {CLAIMS: claims, SHORT: short_lines(bench, os.path.join(folder, "short")),
                MIXED: mixed_samples(os.path.join(folder, "mixed"))}
        for name, path in sets.items():
            if path:
                marks, words = bench.callgrind(os.environ, [bench.program("lines"), "count", "0", path])
                scanner, yajl = (marks[i] / int(words[0]) for i in (1, 3))
                bench.table.add("1", f"line reader, {name}: instructions",
                                f"{scanner:.2f} a byte, yajl {yajl:.2f}", scanner,
                                most=INSTRUCTIONS.get(name))
    finally:
        shutil.rmtree(folder)
