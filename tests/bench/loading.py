"""Row 11: bcda-load-postgres, compared with COPY of the same lines from a file on the same server."""
import glob
import os
import shutil
import subprocess
import sys
import time
from statistics import median

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "load"))
import databases  # noqa: E402

MIB = 1 << 20
REPEATS = 5
FILES = 6


class Loading:
    def __init__(self, bench, server):
        self.server = server
        self.db = databases.Postgres(os.path.join(bench.build, "tools", "bcda-load-postgres"),
                                     "fsync = on", "max_wal_size = 4GB", "shared_buffers = 256MB")
        self.lines = os.path.join(self.db.folder, "lines.ndjson")
        with open(self.lines, "wb") as out:
            for f in server.files:
                with open(f.plain, "rb") as lines:
                    shutil.copyfileobj(lines, out)
        os.chmod(self.lines, 0o644)
        self.size = os.path.getsize(self.lines)

    def sql(self, text):
        done = self.db.psql(text)
        if done.returncode:
            raise SystemExit(done.stderr)
        return done.stdout

    def cpu(self):
        """Returns the CPU seconds of all connections that have ended."""
        with open(os.path.join(self.db.data, "postmaster.pid"), encoding="ascii") as f:
            process = f.readline().strip()
        with open(f"/proc/{process}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

    def fresh(self):
        """Gives both measurements the same beginning: no table, and nothing to write for a checkpoint."""
        self.sql(f'DROP SCHEMA IF EXISTS "{self.db.schema}" CASCADE')
        self.sql("CHECKPOINT")

    def load(self):
        """Returns the seconds from the manifest to the end of the program, and the CPU seconds of the
        server."""
        self.fresh()
        before = self.cpu()
        e = self.server.env
        process = subprocess.Popen(
            [*self.db.arguments(), "--url", e["BCDA_FHIR_URL"], "--client-id", e["BCDA_CLIENT_ID"],
             "--client-secret-file", e["BCDA_CLIENT_SECRET_FILE"], "--ca", e["BCDA_CA_FILE"],
             "--type", "ExplanationOfBenefit"], stderr=subprocess.PIPE, text=True)
        said, begun = [], None
        for line in process.stderr:
            said.append(line)
            if line.rstrip().endswith(" files") and begun is None:
                begun = time.monotonic()
        if process.wait() or begun is None:
            raise SystemExit("".join(said))
        took = time.monotonic() - begun
        found = int(self.sql("SELECT count(*) FROM resource"))
        if found != self.count:
            raise SystemExit(f"{found} rows, expected {self.count}")
        return took, self.cpu() - before

    def copy(self):
        """Returns the same for COPY into a table with one column of jsonb. The CSV form with quotes and
        separators that do not occur takes lines as they are."""
        self.fresh()
        before = self.cpu()
        self.sql(f'CREATE SCHEMA "{self.db.schema}"')
        self.sql("CREATE TABLE line(json jsonb)")
        begun = time.monotonic()
        self.sql(f"COPY line FROM '{self.lines}' (FORMAT csv, DELIMITER e'\\x02', QUOTE e'\\x01')")
        took = time.monotonic() - begun
        self.count = int(self.sql("SELECT count(*) FROM line"))
        return took, self.cpu() - before


def middle(found, i):
    """Returns the middle of the i-th result of both measurements, and of the ratios of neighbouring
    measurements, because the speed of the machine changes."""
    return (median(one[i] for one in found["load"]), median(one[i] for one in found["copy"]),
            median(c[i] / l[i] for c, l in zip(found["copy"], found["load"])))


def measure(bench):
    if not glob.glob("/usr/lib/postgresql/*/bin") or \
            not os.path.exists(os.path.join(bench.build, "tools", "bcda-load-postgres")):
        bench.table.left_out("11", "load into PostgreSQL : COPY", "no PostgreSQL, or no libpq")
        return
    with bench.server("gzip", size=128 * MIB, files=FILES) as server:
        loading = Loading(bench, server.export())
        try:
            loading.copy()  # also counts the lines
            found = bench.take({"load": loading.load, "copy": loading.copy}, REPEATS)
        finally:
            loading.db.close()
    load, copy, ratio = middle(found, 0)
    bench.table.add("11", "load into PostgreSQL : COPY, throughput",
                    f"{loading.size / MIB / load:.1f} : {loading.size / MIB / copy:.1f} MiB/s", ratio,
                    least=0.8)
    load, copy, ratio = middle(found, 1)
    bench.table.add("11", "COPY : load into PostgreSQL, CPU time of the server",
                    f"{copy:.1f} : {load:.1f} s", ratio)
