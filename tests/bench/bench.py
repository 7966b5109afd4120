#!/usr/bin/env python3
"""bench.py BUILD [--quick] [--rows 1,3]: runs the benchmarks of these rows of doc/performance.md, and prints
the table. The script `run` in this folder builds the programs and calls it."""
import argparse
import concurrent.futures
import contextlib
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from statistics import median

import alongside
import loading
import reader
from server import Server

MIB = 1 << 20
CERTIFICATES = 140
REPEATS = 5
SEVERAL = 2  # number of files that two threads download
MANY = 16  # number of files when they are decoded from disk
SAVES = 1000  # number of small files after which a job is saved
INSTRUCTIONS = {"plain": 9.2, "gzip": 11.5, "encrypted": 11.9}  # the most per byte, inline
BESIDE = ("server", "yajl")  # what bench-stages and fetching() report that is not a part of the pipeline
FORMS = ("plain", "gzip", "encrypted")
HERE = os.path.dirname(os.path.abspath(__file__))
END = "-----END CERTIFICATE-----\n"


def busy():
    """Returns three times in CPU seconds: used on the whole machine, stolen by the host of a virtual
    machine, and used by this benchmark."""
    with open("/proc/stat", encoding="ascii") as f:
        ticks = [int(n) for n in f.readline().split()[1:9]]
    user, nice, system, _, _, irq, softirq, steal = (n / os.sysconf("SC_CLK_TCK") for n in ticks)
    return user + nice + system + irq + softirq, steal, sum(os.times()[:4])


class Table:
    """Prints each row as soon as it is measured, and counts the targets that were missed. A target is a
    greatest or a least ratio."""

    def __init__(self):
        self.missed = 0
        self.line("row", "what", "figure", "ratio", "target", "")

    @staticmethod
    def line(*cells):
        print(("%-3s %-50s %-32s %7s %8s  %s" % cells).rstrip(), flush=True)

    def add(self, row, what, figure, ratio, most=None, least=None):
        met = (most is None or ratio <= most) and (least is None or ratio >= least)
        target = "" if most is None and least is None else (
            f"<= {most:g}" if least is None else f">= {least:g}")
        self.missed += not met
        self.line(row, what, figure, f"{ratio:.3f}", target,
                  "" if not target else "met" if met else "NOT MET")

    @staticmethod
    def parts(alone):
        print("      " + "  ".join(f"{name} {value:.2f}" for name, value in alone.items()), flush=True)

    def left_out(self, row, what, why):
        self.line(row, what, why, "", "", "left out")


class Bench:
    def __init__(self, build, quick):
        self.build, self.quick = build, quick
        self.size = (128 if quick else 1024) * MIB
        self.often = REPEATS if quick else 11  # repeats of measurements whose targets are close to the measured ratios
        self.prepared = {}
        self.table = Table()
        self.baseline = int(self.call(None, [self.program("memory-baseline")])[0])

    def program(self, name):
        return os.path.join(self.build, "tests", "bench", "bench-" + name)

    @staticmethod
    def call(env, command):
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command[:3])} ...: {done.stderr[-2000:]}")
        return done.stdout.split()

    def server(self, form, *options, size=None, files=1):
        if not options and not size and (form, files) in self.prepared:
            return self.prepared.pop((form, files))
        size = size or self.size * (SEVERAL if files == SEVERAL else 1)
        return Server(os.path.join(self.build, "tools", "bcda-sandbox"), form,
                      "--patients", "200", "--files", str(files),
                      "--file-bytes", str(size // files), *options)

    def pipeline(self, server, *options, env=None, program="pipeline"):
        """Downloads once with the library. Returns (resources, bytes, wall, CPU, peak KiB)."""
        gzip = f"gzip={int(server.form == 'gzip')}"
        words = self.call(env or server.env,
                          [self.program(program), server.status_url, gzip, *options])
        return [float(w) for w in words]

    # ---- row 1: the line reader

    def line_reader(self, server):
        reader.measure(self, server.files[-1].plain)

    # ---- row 2: one file on one core, compared with the sum of the stages measured alone

    def alone(self, server, part, f):
        """Returns the CPU seconds of each stage in this part of bench-stages ("curl" or "rest")."""
        words = self.call(server.env, [self.program("stages"), part, server.form, f.plain, f.stored, f.url])
        return dict(zip(words[::2], map(float, words[1::2])))

    def fetching(self, server, files):
        """Downloads the files with libcurl alone, which discards the data. Returns the CPU seconds of libcurl
        and of the server."""
        before = server.cpu()
        curl = sum(self.alone(server, "curl", f)["curl"] for f in files)
        return {"curl": curl, "server": server.cpu() - before}

    def stages(self, server):
        """Returns the CPU seconds of each stage when it runs alone."""
        f = server.files[-1]
        return self.fetching(server, [f]) | self.alone(server, "rest", f)

    def take(self, turns, repeats=REPEATS):
        """Makes each measurement `repeats` times and returns the list of its results. The measurements
        alternate, and each round starts with another one, so that none has an advantage by its place."""
        names, found = list(turns), {name: [] for name in turns}
        for i in range(repeats):
            for name in names[i % len(names):] + names[:i % len(names)]:
                found[name].append(turns[name]())
        return found

    def inline(self, server):
        self.warm_up(server)
        found = self.take({"ours": lambda: self.pipeline(server, "parallel=1"),
                           "stages": lambda: self.stages(server)}, self.often)
        self.against_stages(server, found["ours"], found["stages"])

    def warm_up(self, server):
        """Makes one download that is not measured, after which the machine has allocated memory."""
        if not self.quick:
            self.pipeline(server, "parallel=1")

    def against_stages(self, server, ours, stages):
        size = server.bytes()
        alone = {name: median(s[name] for s in stages) / size for name in stages[0]}
        cpu = median(run[3] for run in ours) / size
        total = median(self.total(s) for s in stages) / size
        self.table.add("2", f"inline, {server.form}: CPU against its stages",
                       f"{cpu * 1e9:.2f} : {total * 1e9:.2f} ns a byte", cpu / total, most=1.10)
        self.table.parts({name: value * 1e9 for name, value in alone.items()})

    @staticmethod
    def total(stages):
        return sum(value for name, value in stages.items() if name not in BESIDE)

    def callgrind(self, env, command):
        """Runs a program under callgrind. Returns the number of instructions between each two calls of
        bench_mark(), and the words that the program printed."""
        folder = tempfile.mkdtemp(prefix="bcda-bench-")
        out = os.path.join(folder, "out")
        # valgrind counts each byte of "rep movsb" and "rep stosb" as an instruction, so the C library must copy
        # and clear without them.
        env = dict(env, GLIBC_TUNABLES="glibc.cpu.x86_rep_movsb_threshold=1000000000:"
                   "glibc.cpu.x86_rep_stosb_threshold=1000000000")
        words = self.call(env, ["valgrind", "--tool=callgrind", "--instr-atstart=no",
                                "--dump-before=bench_mark",
                                "--callgrind-out-file=" + out] + command)
        counts = {}
        for name in glob.glob(out + ".*"):
            with open(name, encoding="utf-8", errors="replace") as f:
                found = re.search(r"^(?:totals|summary): (\d+)", f.read(), re.M)
            counts[int(name.rsplit(".", 1)[1])] = int(found.group(1))
        shutil.rmtree(folder)
        return [counts[i] for i in sorted(counts)], words

    def samples(self):
        """Creates two small files of claims of different sizes. The cost of the larger minus that of the
        smaller does not include the cost of a connection."""
        folder = tempfile.mkdtemp(prefix="bcda-bench-")
        with self.server("plain", size=4 * MIB) as server:
            with open(server.export().files[-1].plain, "rb") as f:
                text = f.read(MIB if self.quick else 3 * MIB)
        for name, size in (("ExplanationOfBenefit", len(text)), ("ExplanationOfBenefit-2", len(text) // 4)):
            with open(os.path.join(folder, name + ".ndjson"), "wb") as f:
                f.write(text[:text.rindex(b"\n", 0, size) + 1])
        return folder

    def count_pipeline(self, server, *options):
        """Returns the instructions of a download of both files, by file."""
        counts, _ = self.callgrind(server.env, [
            self.program("pipeline"), server.status_url, "parallel=1",
            f"gzip={int(server.form == 'gzip')}", *options])
        return counts

    def count(self, form, folder):
        with Server(os.path.join(self.build, "tools", "bcda-sandbox"), form, "--data",
                    folder) as server:
            server.export()
            paths = sorted(glob.glob(os.path.join(folder, "*.ndjson")), key=os.path.getsize)
            sizes = [os.path.getsize(p) for p in paths]
            first, last = server.files
            with concurrent.futures.ThreadPoolExecutor() as pool:
                whole = pool.submit(self.count_pipeline, server)
                parts = pool.submit(self.callgrind, server.env, [
                    self.program("stages"), "count", form, paths[-1], last.stored or paths[-1],
                    last.url, first.url])
                fields = pool.submit(self.count_pipeline, server, "fields=10") if form == "plain" else None
                counts = [run.result() for run in (whole, fields) if run]
                marks, words = parts.result()
        grown = sizes[1] - sizes[0]
        ours = [abs(c[3] - c[1]) / grown for c in counts]
        per = {n: marks[2 * i + 1] for i, n in enumerate(words[::2])}
        alone = {n: v / sizes[1] for n, v in per.items() if n != "small"}
        alone["curl"] = (per["curl"] - per["small"]) / grown
        return ours, alone

    def instructions(self, rows):
        if not shutil.which("valgrind"):
            self.table.missed += 1
            self.table.left_out("1", "line reader and inline: instructions", "valgrind is missing")
            return
        folder = self.samples()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            forms = FORMS if "2" in rows else ("plain",) if "5" in rows else ()
            counted = [pool.submit(self.count, form, folder) for form in forms]
            if "1" in rows:
                reader.count(self, os.path.join(folder, "ExplanationOfBenefit.ndjson"))
            for form, counts in zip(forms, counted):
                self.against_counts(rows, form, *counts.result())
        shutil.rmtree(folder)

    def against_counts(self, rows, form, ours, alone):
        if "2" in rows:
            self.table.add("2", f"inline, {form}: instructions",
                           f"{ours[0]:.1f} a byte, its stages {self.total(alone):.1f}", ours[0],
                           most=INSTRUCTIONS[form])
            self.table.parts(alone)
        if "5" in rows and form == "plain":
            self.table.add("5", "ten fields: instructions against none",
                           f"{ours[1]:.1f} : {ours[0]:.1f} a byte", ours[1] / ours[0])

    def inflaters(self, server):
        """Compares a build that inflates with ISA-L with one that uses zlib."""
        what = "inline, gzip: CPU with ISA-L against zlib"
        programs = ["pipeline-isal", "pipeline-zlib"]
        if not all(os.path.exists(self.program(name)) for name in programs):
            self.table.left_out("2", what, "libisal is missing")
            return
        found = self.take({name: lambda name=name: self.pipeline(server, "parallel=1", program=name)[3]
                           for name in programs})
        isal, zlib = (median(found[name]) / server.bytes() * 1e9 for name in programs)
        self.table.add("2", what, f"{isal:.2f} : {zlib:.2f} ns a byte", isal / zlib)

    # ---- row 5: fields

    def fields(self, server):
        found = self.take({n: lambda n=n: self.pipeline(server, "parallel=1", f"fields={n}")[3]
                           for n in (0, 10)}, self.often)
        none, ten = (median(found[n]) / server.bytes() * 1e9 for n in (0, 10))
        self.table.add("5", "ten fields: CPU against none", f"{ten:.2f} : {none:.2f} ns a byte", ten / none,
                       most=1.08)

    # ---- row 6: two cores

    @staticmethod
    def at_once(call):
        """Makes the call in two threads at the same time, so that both cores are busy. Returns both
        results."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            both = [pool.submit(call) for _ in range(2)]
            return [b.result() for b in both]

    def from_disk(self, server):
        """Decodes many files from disk with one and with two threads. A decoder takes one file at a time, so
        with few files one thread would wait long for the other at the end."""
        files = [f"{f.stored}={f.key}" for f in server.files]

        def decode(threads):
            return float(self.call(server.env, [self.program("decode"), str(threads), "encrypted",
                                                *files])[2])

        found = self.take({"one": lambda: decode(1), "two": lambda: decode(2),
                           "apart": lambda: max(self.at_once(lambda: decode(1))) / 2}, self.often)
        one, two, apart = (median(found[name]) for name in ("one", "two", "apart"))
        self.table.add("6", f"{MANY} files on disk through two decoders at once", f"{one:.3f} : {two:.3f} s",
                       one / two, least=1.8)
        self.table.add("6", "  two processes instead that share nothing", f"{one:.3f} : {apart:.3f} s",
                       one / apart)

    def over_tls(self, one, several):
        """Compares two decode threads that download two files with two processes, each of which downloads one
        file of the same length."""
        found = self.take({"ours": lambda: self.threaded(several)[2],
                           "apart": lambda: max(run[2] for run in self.at_once(
                               lambda: self.pipeline(one, "parallel=1")))}, self.often)
        ours, apart = median(found["ours"]), median(found["apart"])
        self.table.add("6", "two files over TLS: two threads, of two processes",
                       f"{several.bytes() / ours / MIB:.0f} : {2 * one.bytes() / apart / MIB:.0f} MiB/s",
                       several.bytes() / ours / (2 * one.bytes() / apart), least=0.9)

    def threaded(self, server):
        return self.pipeline(server, f"parallel={SEVERAL}", "decode_threads=2")

    # ---- row 12: saved jobs

    def saving(self, server):
        """Compares a file and its save with the file alone. A save takes a thousandth of the time of a large file,
        less than the variation between runs, so it is measured with many small files."""
        files = self.take({"none": lambda: self.pipeline(server, "parallel=1")})
        with self.small_files(SAVES) as small, tempfile.TemporaryDirectory(prefix="bcda-bench-") as folder:
            save = "save=" + os.path.join(folder, "job")
            found = self.take({"none": lambda: self.pipeline(small, "parallel=1"),
                               "saved": lambda: self.pipeline(small, "parallel=1", save)}, self.often)
        cpu, wall = ((median(run[i] for run in found["saved"]) - median(run[i] for run in found["none"])) / SAVES
                     for i in (3, 2))
        whole = [median(run[i] for run in files["none"]) / MANY for i in (3, 2)]
        self.table.add("12", f"file of {self.size // MANY // MIB} MiB, saved after it: CPU against not",
                       f"{(whole[0] + cpu) * 1000:.2f} : {whole[0] * 1000:.2f} ms", 1 + cpu / whole[0], most=1.01)
        self.table.add("12", "  its time on loopback against not",
                       f"{(whole[1] + wall) * 1000:.2f} : {whole[1] * 1000:.2f} ms", 1 + wall / whole[1])

    # ---- row 7: memory

    def memory(self):
        for size in (self.size // 4, self.size):
            with self.server("encrypted", size=size, files=5) as server:
                server.export()
                peak = self.pipeline(server, "parallel=5")[4]
            above = (peak - self.baseline) / 1024
            self.table.add("7", f"five encrypted files at once, {size // MIB} MiB",
                           f"{above:.1f} of 24 MiB above {self.baseline / 1024:.1f}", above / 24, most=1)

    # ---- row 9: many small files

    def bundle(self, server, count):
        """Creates a CA file of `count` certificates, of which the last is that of the server's authority.
        Returns its path."""
        with open("/etc/ssl/certs/ca-certificates.crt", encoding="ascii") as f:
            known = f.read().split(END)[:count - 1]
        if len(known) < count - 1:
            raise SystemExit("the system has too few CA certificates (package ca-certificates)")
        path = os.path.join(server.state, f"bundle-{count}.pem")
        with open(path, "w", encoding="ascii") as out, open(server.env["BCDA_CA_FILE"],
                                                            encoding="ascii") as own:
            out.write("".join(c + END for c in known) + own.read())
        return path

    @contextlib.contextmanager
    def small_files(self, count):
        with Server(os.path.join(self.build, "tools", "bcda-sandbox"), "plain", "--files",
                    str(count), "--patients", str(count), "--claims", "5") as server:
            server.export()
            yield server

    def small(self):
        count = 12 if self.quick else 2000
        with self.small_files(count) as server:
            urls = os.path.join(server.state, "urls")
            with open(urls, "w", encoding="ascii") as f:
                f.writelines(f'url = "{x.url}"\noutput = "/dev/null"\n' for x in server.files)
            # With one authority curl is faster, because it reads the CA file again for each connection.
            for authorities, target in ((CERTIFICATES, 0.9),) if self.quick else ((CERTIFICATES, 0.9), (1, None)):
                self.against_curl(server, count, urls, self.bundle(server, authorities), authorities,
                                  target)

    def against_curl(self, server, count, urls, bundle, authorities, target):
        env = dict(server.env, BCDA_CA_FILE=bundle)
        curl = ["curl", "-sZ", "--http1.1", "--parallel-max", "5", "--cacert", bundle, "-H",
                "Authorization: Bearer " + server.token, "-K", urls]
        found = self.take({"ours": lambda: self.timed(self.pipeline, server, "parallel=5", env=env),
                           "curl": lambda: self.timed(self.call, env, curl)})
        ours, theirs = median(found["ours"]), median(found["curl"])
        self.table.add("9", f"{count} files of {server.bytes() // count // 1000} KB, "
                       f"{authorities} CAs: our rate to curl -Z",
                       f"{count / ours:.0f} : {count / theirs:.0f} files a second",
                       theirs / ours, least=target)

    @staticmethod
    def timed(call, *args, **more):
        begun = time.monotonic()
        call(*args, **more)
        return time.monotonic() - begun

    # ---- row 10: waiting

    def wait(self):
        """Lets sessions wait for a job that does not end. Returns (seconds, clock, polls, other wake-ups) for
        a simulated and for a real clock."""
        found = []
        with self.server("plain", "--polls", "1000000", size=MIB) as server:
            server.start()
            for seconds, clock in (("3600", "own"), ("3" if self.quick else "60", "real")):
                words = self.call(server.env, [self.program("idle"), server.status_url, seconds, clock])
                found.append((seconds, clock, int(words[0]), int(words[1])))
        return found

    def idle(self, waits):
        for seconds, clock, polls, idle in waits:
            self.table.add("10", f"{seconds} s of waiting ({clock} clock): other wake-ups",
                           f"{idle} beside {polls} polls", idle, most=0)

    def prepare(self, stack, rows):
        """With --quick: starts all servers at the same time, which saves some seconds. Their data is small
        enough to be on the disk together."""
        wanted = [("plain", 1)] if rows & {"1", "2", "5"} else []
        wanted += [("gzip", 1)] if "2" in rows else []
        wanted += [("encrypted", 1), ("encrypted", SEVERAL)] if rows & (set("23468") | {"12"}) else []
        wanted += [("encrypted", MANY)] if {"6", "12"} & rows else []

        def start(key):
            server = stack.enter_context(self.server(key[0], files=key[1]))
            self.prepared[key] = server.export()

        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(start, wanted))

    def run(self, rows):
        with contextlib.ExitStack() as stack:
            if self.quick:
                self.prepare(stack, rows)
            return self.measure(rows)

    def measure(self, rows):
        if rows & {"1", "2", "5"}:
            with self.server("plain") as server:
                self.plain(rows, server.export())
        if "2" in rows:
            with self.server("gzip") as server:
                self.inline(server.export())
                if not self.quick:
                    self.inflaters(server)
        if rows & (set("23468") | {"12"}):
            self.encrypted(rows)
        if "9" in rows:
            self.small()
        if "11" in rows:
            loading.measure(self)
        self.counts(rows)
        return self.table.missed

    def plain(self, rows, server):
        if "1" in rows:
            self.line_reader(server)
        if "2" in rows:
            self.inline(server)
        if "5" in rows:
            self.fields(server)

    def encrypted(self, rows):
        with self.server("encrypted") as one, self.server("encrypted", files=SEVERAL) as several:
            one.export()
            several.export()
            if "2" in rows:
                self.inline(one)
            if rows & {"6", "12"}:
                with self.server("encrypted", files=MANY) as many:
                    self.many(rows, many.export())
            if "6" in rows:
                self.over_tls(one, several)
            if rows & set("348"):
                alongside.measure(self, rows, one, several)

    def many(self, rows, server):
        if "6" in rows:
            self.from_disk(server)
        if "12" in rows:
            self.saving(server)

    def counts(self, rows):
        """Runs the benchmarks that count instructions, bytes or wake-ups. They do not measure time, so they
        may run at the same time."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waits = pool.submit(self.wait) if "10" in rows else None
            if rows & {"1", "2", "5"}:
                self.instructions(rows)
            if "7" in rows:
                self.memory()
            if waits:
                self.idle(waits.result())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows")
    args = parser.parse_args()
    rows = args.rows or ("1,2,3,4,5,6,7,9,10" if args.quick else "1,2,3,4,5,6,7,8,9,10,11,12")
    # SIGTERM runs the cleanup, which stops the servers and removes the data.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    begun, before = time.monotonic(), busy()
    missed = Bench(args.build, args.quick).run(set(rows.split(",")))
    spent = time.monotonic() - begun
    all_of_it, steal, ours = (b - a for a, b in zip(before, busy()))
    print(f"{spent:.0f} s; others took {max(all_of_it - ours, 0) / spent:.1f} of {os.cpu_count()} cores "
          f"meanwhile, the host {steal / spent:.1f}")
    print(f"{missed} targets not met" if missed else "all targets met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
