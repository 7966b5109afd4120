"""The databases of the tests of the loaders: an SQLite file, and a PostgreSQL server that the test
starts. The server has a socket in a temporary directory and no TCP port, and runs as an unprivileged
user, because PostgreSQL refuses to run as root."""
import glob
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "client"))
from account import as_account  # noqa: E402

LIMIT = 300  # seconds until a program counts as hung


class SQLite:
    kind = "sqlite"
    keeps_bytes = True  # the column json has the bytes of the line

    def __init__(self, program):
        self.program = program
        self.folder = tempfile.mkdtemp(prefix="bcda-test-")
        self.count = 0
        self.path = None
        self.renew()

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def renew(self):
        """Makes the next runs use a new database."""
        self.count += 1
        self.path = os.path.join(self.folder, f"{self.count}.db")

    def arguments(self):
        return [self.program, "--database", self.path]

    def query(self, sql, *values):
        """Returns the rows as dictionaries; none if the table does not exist yet."""
        if not os.path.exists(self.path):
            return []
        connection = sqlite3.connect(self.path, timeout=LIMIT)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(sql, values)]
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return []
        finally:
            connection.close()

    def texts(self):
        """Returns the column json of all rows, sorted."""
        return sorted(row["json"].encode() for row in self.query("SELECT json FROM resource"))

    @staticmethod
    def form(lines):
        """Returns lines as texts() returns them."""
        return sorted(lines)


def canonical(text):
    return json.dumps(json.loads(text, parse_float=str), sort_keys=True).encode()


class Postgres:
    kind = "postgres"
    keeps_bytes = False  # jsonb keeps the values only

    def __init__(self, program, *settings):
        self.program = program
        self.user = as_account("postgres") if os.getuid() == 0 else []
        self.folder = tempfile.mkdtemp(prefix="bcda-test-")
        self.data = os.path.join(self.folder, "data")
        self.binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"),
                               key=lambda p: int(p.split("/")[-2]))[-1]
        if self.user:
            shutil.chown(self.folder, "postgres", "postgres")
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "loader", "-E", "UTF8",
                 "--locale=C.UTF-8", "--no-sync")
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as f:
            f.write(f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\n"
                    "fsync = off\nmax_connections = 40\nlog_min_messages = warning\n")
            f.writelines(line + "\n" for line in settings)
        self.start()
        self.count = 0
        self.schema = None
        self.renew()

    def run(self, name, *options):
        subprocess.run([*self.user, os.path.join(self.binaries, name), *options], check=True,
                       stdout=subprocess.DEVNULL, timeout=LIMIT, cwd=self.folder)

    def control(self, *what):
        # The server must not keep the pipes of the test open.
        self.run("pg_ctl", "-D", self.data, "-l", os.path.join(self.folder, "log"), "-w", *what)

    def start(self):
        self.control("start")

    def stop(self, mode="fast"):
        self.control("-m", mode, "stop")

    def close(self):
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def renew(self):
        self.count += 1
        self.schema = f"load{self.count}"

    def connection(self):
        return f"host={self.folder} user=loader dbname=postgres"

    def arguments(self):
        return [self.program, "--database", self.connection(), "--schema", self.schema]

    def psql(self, sql):
        done = subprocess.run(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", self.connection(),
                               "-c", f'SET search_path = "{self.schema}"', "-c", sql],
                              capture_output=True, timeout=LIMIT, text=True)
        return done

    def query(self, sql):
        done = self.psql(f"SELECT coalesce(json_agg(to_json(x)), '[]') FROM ({sql}) x")
        if done.returncode and ("does not exist" in done.stderr):
            return []
        assert done.returncode == 0, (sql, done.stderr)
        return json.loads(done.stdout)

    def texts(self):
        done = self.psql("SELECT json FROM resource")
        return sorted(canonical(line) for line in done.stdout.split("\n") if line)

    @staticmethod
    def form(lines):
        return sorted(canonical(line) for line in lines)

    def log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as f:
            return f.read()


KINDS = {"sqlite": SQLite, "postgres": Postgres}
