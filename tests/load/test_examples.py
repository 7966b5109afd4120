#!/usr/bin/env python3
"""The examples of the bindings that load an export into PostgreSQL. They are killed in the middle of their
transactions and restarted until they end; then the table has each resource of the server once.

test_examples.py BCDA_EXPORT BCDA_SANDBOX LIBRARY EXAMPLE [TEST]...
"""
import glob
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "client"))
import programs  # noqa: E402
from databases import Postgres  # noqa: E402
from fhir_server import wait_for  # noqa: E402

LIBRARY, EXAMPLE = sys.argv[3:5]
BINDING = os.path.dirname(os.path.dirname(os.path.abspath(EXAMPLE)))
TYPES = ["Patient", "Coverage", "ExplanationOfBenefit"]
MODES = ([], ["--confirm"])
RUNNING = "hashtext('bcda')"  # the lock of a program that runs

report = programs.Report()
check = report.check
db = None  # the database of all tests

# The program stops where it inserts into a table while another session has the lock 42: in the statement, or
# in the commit, which then takes place although the program was killed.
STOPS = """
CREATE TABLE stop_at (moment text, number int);
CREATE TABLE repeated (type text, id text);
CREATE UNIQUE INDEX ON bcda_staged (file, line, type, id);
CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM stop_at WHERE moment = TG_ARGV[0] AND number <= (SELECT count(*) FROM bcda_saved)) THEN
        PERFORM pg_advisory_xact_lock(42);
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO repeated VALUES (NEW.type, NEW.id);
    RETURN NEW;
END $$;
CREATE TRIGGER saving BEFORE INSERT ON bcda_saved FOR EACH ROW EXECUTE FUNCTION stop('saving');
CREATE CONSTRAINT TRIGGER committing AFTER INSERT ON bcda_saved DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION stop('committing');
CREATE TRIGGER replacing AFTER INSERT ON resource FOR EACH STATEMENT EXECUTE FUNCTION stop('replacing');
CREATE TRIGGER repeating BEFORE UPDATE ON resource FOR EACH ROW EXECUTE FUNCTION note();
"""
STAGING = "CREATE TRIGGER staging BEFORE INSERT ON bcda_staged FOR EACH STATEMENT EXECUTE FUNCTION stop('staging');"


def interpreter():
    """Returns how the example is run. The modules of Debian's packages can only be imported by Debian's Python."""
    if EXAMPLE.endswith(".rb"):
        return ["ruby", "-I", os.path.join(BINDING, "lib")]
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import psycopg"], capture_output=True, check=False).returncode == 0:
            return [python]
    sys.exit("python3-psycopg is needed (tests/install)")


class Program:
    """The example, with a sandbox as its server and a new schema as its database."""

    def __init__(self, sandbox, mode, types=TYPES):
        db.renew()
        self.sandbox, self.loaded, self.staged = sandbox, set(), {0}
        self.command = [*interpreter(), EXAMPLE, *mode, *types]
        self.env = {**os.environ, **sandbox.env, "BCDA_LIBRARY": LIBRARY, "PGHOST": db.folder, "PGUSER": "loader",
                    "PGDATABASE": "postgres", "PGOPTIONS": f"-c search_path={db.schema}",
                    "PYTHONPATH": os.path.join(BINDING, "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        self.sql(f'CREATE SCHEMA "{db.schema}"')

    @staticmethod
    def sql(text):
        done = db.psql(text)
        check(done.returncode == 0, text, done.stderr)
        return done.stdout.strip()

    def run(self, code=0):
        done = subprocess.run(self.command, env=self.env, capture_output=True, timeout=programs.LIMIT, text=True)
        check((done.returncode != 0) == bool(code), self.command, done.returncode, done.stdout, done.stderr)
        check(code or not done.stderr, done.stderr)
        return done.stdout

    def prepare(self, mode):
        """Makes the tables of the program, with the triggers that stop it."""
        with Locked(RUNNING) as running:
            process = subprocess.Popen(self.command, env=self.env)
            check(running.is_waited_for(process), "the program does not wait")
            process.kill()
            process.wait()
        source = open(EXAMPLE, encoding="utf-8").read()
        tables = source.split("CREATE TABLE IF NOT EXISTS resource", 1)[1].split("\n\"\"\"")[0].split("\nSQL")[0]
        self.sql("CREATE TABLE IF NOT EXISTS resource" + tables)
        self.sql("CREATE TABLE bcda_staged (file text, line bigint, type text, id text, last_updated timestamptz, "
                 "json jsonb)")
        self.sql(STOPS)
        if mode:
            self.sql(STAGING)
        else:  # the program uses a temporary table
            self.sql("DROP TABLE bcda_staged")

    def kill_at(self, moment, skip=0):
        """Kills the program at a moment: where the saved text would get one line more, after `skip` lines."""
        self.sql(f"DELETE FROM stop_at; INSERT INTO stop_at SELECT '{moment}', count(*) + {skip} + "
                 f"('{moment}' = 'committing')::int FROM bcda_saved")
        with Locked("42") as stop:
            process = subprocess.Popen(self.command, env=self.env, stderr=subprocess.PIPE)
            check(stop.is_waited_for(process), moment, skip, "the program has not come there", process.poll())
            process.kill()
            process.communicate()
        with Locked(RUNNING):  # the session of the program has ended
            self.sql("DELETE FROM stop_at")

    def stage_more(self):
        """Stages rows that are not confirmed, as if they were of a batch that could not be confirmed."""
        self.sql("INSERT INTO bcda_staged SELECT DISTINCT file, 1000000, 'Patient', 'not confirmed', "
                 "NULL::timestamptz, '{}'::jsonb FROM bcda_staged ON CONFLICT DO NOTHING")

    def count_loaded(self):
        """Notes how many rows are in the table, and how many are staged."""
        self.loaded.add(int(self.sql("SELECT count(*) FROM resource")))
        if self.sql("SELECT to_regclass('bcda_staged')"):
            self.staged.add(int(self.sql("SELECT count(*) FROM bcda_staged")))

    def check_content(self, *what, without=()):
        lines = {line for line in plain(self.sandbox) if not any(word in line for word in without)}
        found, expected = db.texts(), db.form(lines)
        check(found == expected, self.command, *what, f"{len(found)} rows, expected {len(expected)}",
              [text[:100] for text in set(found) ^ set(expected)][:3])
        check(len(lines) > 100, len(lines))
        check(self.sql("SELECT count(*) FROM bcda_saved") == "0", "a saved text is left")
        check(self.sql("SELECT to_regclass('bcda_staged')") == "", "staged rows are left")


class Locked:
    """A session that has an advisory lock."""

    def __init__(self, key):
        self.key = key

    def __enter__(self):
        self.psql = subprocess.Popen(["psql", "-qAtX", "-d", db.connection()], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True)
        self.psql.stdin.write(f"SELECT pg_advisory_lock({self.key});\n")
        self.psql.stdin.flush()
        self.psql.stdout.readline()
        return self

    def __exit__(self, *_):
        self.psql.communicate(timeout=programs.LIMIT)

    def is_waited_for(self, process):
        """Waits until another session waits for the lock; returns False if the process ends before."""
        def waits():
            return db.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
                            f"AND objid::bigint = {self.key}::bigint & 4294967295")

        wait_for(lambda: waits() or process.poll() is not None)
        return bool(waits())


def plain(sandbox):
    """Returns the bare resources that the sandbox generated, of all its jobs."""
    found = set()
    for path in glob.glob(os.path.join(sandbox.state, "s", "**", "*.plain"), recursive=True):
        with open(path, "rb") as f:
            for text in f.read().split(b"\n")[:-1]:
                if text.startswith(b'{"fullUrl"'):
                    text = text[text.index(b',"resource":') + 12:-1]
                if json.loads(text)["resourceType"] in TYPES:
                    found.add(text)
    return found


def sandbox(*options):
    return programs.Sandbox("--era", "current", "--keep-plain", "--polls", "0", "--allow-duplicates", "--patients",
                            "30", *options)


# ---- tests

def whole_load():
    """Also: what the server has deleted is removed, and the next load begins at the transaction time."""
    with sandbox("--fault", "deleted") as s:
        for mode in MODES:
            p = Program(s, mode)
            check("resources in the table" in p.run())
            p.check_content("first load")
            first = p.sql("SELECT since FROM bcda_load")
            p.sql("INSERT INTO resource (type, id, json) VALUES ('Patient', 'gone-0', '{}'), "
                  "('Coverage', 'gone-1', '{}'), ('Patient', 'kept', '{\"a\":1}')")
            p.run()
            check(p.sql("SELECT id FROM resource WHERE json = '{}' OR id = 'kept'") == "kept", "deletions")
            check(p.sql("SELECT since FROM bcda_load") >= first > "", first)


def newer_wins():
    with sandbox() as s:
        p = Program(s, [])
        p.run()
        p.sql("UPDATE bcda_load SET since = NULL; UPDATE resource SET json = '{\"old\":1}', "
              "last_updated = '1990-01-01Z' WHERE type = 'Patient'; UPDATE resource SET json = '{\"new\":1}', "
              "last_updated = '2990-01-01Z' WHERE type = 'Coverage'")
        p.run()
        check(p.sql("SELECT count(*) FROM resource WHERE json = '{\"old\":1}'") == "0", "an older row has stayed")
        check(p.sql("SELECT count(*) FROM resource WHERE type = 'Coverage' AND json <> '{\"new\":1}'") == "0",
              "a newer row was replaced")


def killed():
    """In statements and in commits; before the server has the job, after each file, and in staging."""
    # Several batches in a file: the option batch_size of the bindings is 512 KiB.
    with sandbox("--fault", "deleted", "--files", "3", "--file-bytes", "1500000") as s:
        for mode in MODES:
            p = Program(s, mode)
            p.prepare(mode)
            # Two lines are those of the states of the job; the third is that of a file, or of confirmed lines.
            for moment, skip in (("saving", 0), ("committing", 0), ("replacing", 0), ("committing", 2), ("saving", 2),
                                 ("committing", 2), ("replacing", 0)):
                p.kill_at(moment, skip)
                if mode:
                    p.kill_at("staging")
                    p.stage_more()
                p.count_loaded()
            kept = p.staged if mode else p.loaded
            check(len(kept) > 2, "the runs that were killed have kept nothing", kept)
            p.run()
            p.check_content("after the kills", mode)
            check(p.sql("SELECT count(*) FROM repeated") == "0", "a resource was loaded twice",
                  p.sql("SELECT * FROM repeated LIMIT 3"))


def damaged_file():
    """The rows of a file that fails are not kept, nor its confirmed lines."""
    for mode in MODES:
        with sandbox("--fault", "data-flip:-5*1@ExplanationOfBenefit") as s:
            p = Program(s, mode)
            p.run(code=1)
            check(p.sql("SELECT count(*) FROM resource WHERE type = 'ExplanationOfBenefit'") == "0", "rows were kept")
            check(not mode or p.sql("SELECT count(*) FROM bcda_staged") == "0", "rows are still staged")
            p.run()
            p.check_content("after the repair", mode)


def expired_job():
    """The server forgets each job after one file. Each run exports what is missing."""
    for mode in MODES:
        with sandbox("--fault", "job-expires-after:1") as s:
            p = Program(s, mode)
            p.run(code=1)
            times = {p.sql("SELECT text::json ->> 'transaction_time' FROM bcda_saved "
                           "WHERE text LIKE '%transaction_time%' LIMIT 1")}
            p.run(code=1)
            p.run()
            p.check_content("after three jobs", mode)
            times.add(p.sql("SELECT since FROM bcda_load"))
            check(len(times) == 1, "the next load does not begin at the time of the first job", times)


if __name__ == "__main__":
    db = Postgres(EXAMPLE)
    try:
        report.run([whole_load, newer_wins, killed, damaged_file, expired_job], sys.argv[5:])
    finally:
        db.close()
    report.finish()
