"""What the tests of loaders share: what a sandbox has on a day, and what a database has."""
import contextlib
import hashlib
import json
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "client"))
# pylint: disable=wrong-import-position
import programs  # noqa: E402
from account import as_account  # noqa: E402

LIMIT = programs.LIMIT


def digest(data):
    return hashlib.sha256(data).hexdigest()


def digest_values(data):
    """Returns a hash of the values of a JSON document, whatever the order of members and the white space."""
    return digest(json.dumps(json.loads(data, parse_float=str), sort_keys=True).encode())


def name_of(line):
    resource = json.loads(line)
    return resource["resourceType"], resource["id"]


def truth(size, day, database):
    """Returns {(type, id): hash} of what exists on a day. `size` are the options of the sandbox that decide it."""
    folder = tempfile.mkdtemp(prefix="bcda-test-")
    subprocess.run([programs.SANDBOX, *size, "--day", str(day), "--dump-state", folder], check=True, timeout=LIMIT)
    found = {}
    for name in os.listdir(folder):
        found.update(database.digests(os.path.join(folder, name)))
    shutil.rmtree(folder)
    return found


def loader_command(program, sandbox, database, *options):
    return [program, *sandbox.arguments(), *programs.FAST, "--level", "patient", "--database", database, *options]


class Database:
    """What both databases have in common: `digest` is a hash of a resource as the database keeps it."""

    def digests(self, path):
        """Returns {(type, id): hash} of the lines of a file."""
        with open(path, "rb") as f:
            return {name_of(line): self.digest(line.rstrip(b"\n")) for line in f}


class Sqlite(Database):
    """A database file. Each query works on a copy, so that recovery is left to the loader."""
    name = "SQLite"
    digest = staticmethod(digest)

    def __init__(self, program):
        self.program = program
        self.folder = tempfile.mkdtemp(prefix="bcda-test-")
        self.database = os.path.join(self.folder, "db")

    def open(self):
        pass  # the loader creates the database

    def query(self, sql):
        with tempfile.TemporaryDirectory(prefix="bcda-test-") as copy:
            for name in os.listdir(self.folder):
                if not name.endswith("-shm") and not name.endswith("-lock"):
                    shutil.copy(os.path.join(self.folder, name), copy)
            with contextlib.closing(sqlite3.connect(os.path.join(copy, "db"))) as db:
                return db.execute(sql).fetchall()

    def has_tables(self):
        return bool(self.query("SELECT 1 FROM sqlite_master WHERE name = 'resource'"))

    def rows(self):
        """Returns (type, id, hash) of each row."""
        if not self.has_tables():
            return []
        return [(t, i, digest(j.encode())) for t, i, j in self.query("SELECT type, id, json FROM resource")]

    def files_loaded(self):
        """Returns the number of files that the unfinished load has recorded, or None if there is none."""
        found = self.query("SELECT files FROM bcda_load WHERE status = 'unfinished'") if self.has_tables() else []
        return found[0][0] if found else None

    def leftovers(self):
        """Returns what a complete load must not leave behind."""
        return [name for name in os.listdir(self.folder) if name != "db"] + \
            [row for row in self.query("PRAGMA integrity_check") if row != ("ok",)]

    def close(self):
        shutil.rmtree(self.folder)


def children(pid):
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            with open(f"/proc/{int(name)}/stat", encoding="ascii", errors="replace") as f:
                if int(f.read().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(name))
    return found


class Postgres(Database):
    """A PostgreSQL server of its own: a socket in a folder, and no TCP. It must not run as root."""
    name = "PostgreSQL"
    digest = staticmethod(digest_values)  # jsonb keeps the values only

    @staticmethod
    def programs():
        """Returns the folder of the newest server that is installed, or None."""
        base = "/usr/lib/postgresql"
        versions = sorted(os.listdir(base), key=int) if os.path.isdir(base) else []
        return os.path.join(base, versions[-1], "bin") if versions else None

    def __init__(self, program):
        self.program = program
        self.known = {}  # version of a row: hash of its values
        self.account = as_account("postgres") if os.getuid() == 0 else []
        self.bin = self.programs()
        self.folder = tempfile.mkdtemp(prefix="bcda-test-")
        self.data = os.path.join(self.folder, "data")
        self.user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
        self.database = f"host={self.folder} dbname=postgres user={self.user}"

    def open(self):
        """Creates the database and starts the server."""
        self.run("initdb", "--pgdata", self.data, "--auth", "trust", "--username", self.user, "--encoding", "UTF8",
                 "--locale", "C.UTF-8")
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="ascii") as f:
            f.write(f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\nshared_buffers = 16MB\n"
                    "max_connections = 100\nautovacuum = off\n")
        self.start()

    def run(self, name, *options):
        """Runs a program of the server as its user."""
        command = [*self.account, os.path.join(self.bin, name), *options]
        with open(os.path.join(self.folder, "output"), "ab") as f:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=f, stderr=f, check=True, timeout=LIMIT,
                           cwd=self.folder)

    def start(self):
        self.run("pg_ctl", "start", "--wait", "--pgdata", self.data, "--log", os.path.join(self.data, "log"))

    def pid(self):
        with open(os.path.join(self.data, "postmaster.pid"), encoding="ascii") as f:
            return int(f.readline())

    def crash(self, how):
        """Ends the server without a shutdown: "kill" by SIGKILL of all processes, "immediate" by its own way."""
        if how == "immediate":
            self.run("pg_ctl", "stop", "--mode", "immediate", "--pgdata", self.data)
            return
        pid = self.pid()
        os.kill(pid, signal.SIGSTOP)  # it starts no process meanwhile
        processes = children(pid) + [pid]
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        while any(os.path.exists(f"/proc/{process}") for process in processes):
            time.sleep(0.01)

    def query(self, sql):
        done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-F", "\x1f", "-d",
                               self.database + " options='-csearch_path=bcda'", "-c", sql],
                              capture_output=True, text=True, timeout=LIMIT, check=True)
        return [tuple(line.split("\x1f")) for line in done.stdout.splitlines()]

    def has_tables(self):
        return bool(self.query("SELECT 1 FROM pg_tables WHERE tablename = 'resource'"))

    def rows(self):
        if not self.has_tables():
            return []
        # The transaction that wrote a row, and its place: a version of a row is read only once.
        rows = self.query("SELECT type, id, xmin, ctid FROM resource")
        new = {row[2] for row in rows if row not in self.known}
        if new:
            self.known.update((row[:4], self.digest(row[4])) for row in self.query(
                "SELECT type, id, xmin, ctid, json FROM resource WHERE xmin::text IN ('" + "', '".join(new) + "')"))
        return [(*row[:2], self.known[row]) for row in rows]

    def files_loaded(self):
        found = self.query("SELECT files FROM bcda_load WHERE status = 'unfinished'") if self.has_tables() else []
        return int(found[0][0]) if found else None

    def leftovers(self):
        return self.query("SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE"
                          " relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema') AND"
                          " relpersistence <> 't' AND relname NOT IN ('resource', 'bcda_setting', 'bcda_load',"
                          " 'bcda_job', 'bcda_remark')")

    def close(self):
        with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
            self.run("pg_ctl", "stop", "--mode", "immediate", "--pgdata", self.data)
        shutil.rmtree(self.folder)
