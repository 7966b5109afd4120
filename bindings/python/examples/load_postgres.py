#!/usr/bin/env python3
"""Loads an export into PostgreSQL, each resource once. Run it again to resume a load that was killed, and later to
load what has changed.

    load_postgres.py [--confirm] [TYPE]...

Needs psycopg 3 (Debian: python3-psycopg). The database is that of libpq's environment (PGHOST, PGDATABASE ...), the
server that of the variables below, which `bcda-sandbox --print-env` prints. The saved text of the job is stored in the
transaction that stores a file's resources, so the two never differ. With --confirm, rows are also kept inside a file:
a load that is resumed continues after the last row.
"""
import os
import sys

import psycopg

import bcda

TABLES = """
CREATE TABLE IF NOT EXISTS resource (type text, id text, last_updated timestamptz, json jsonb,
    PRIMARY KEY (type, id));
CREATE TABLE IF NOT EXISTS bcda_load (since text, next_since text);
CREATE TABLE IF NOT EXISTS bcda_saved (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL);
INSERT INTO bcda_load SELECT WHERE NOT EXISTS (SELECT FROM bcda_load);
"""
STAGED = """
TABLE IF NOT EXISTS bcda_staged (file text, line bigint, type text, id text, last_updated timestamptz, json jsonb)
"""
UPSERT = """
INSERT INTO resource SELECT DISTINCT ON (type, id) type, id, last_updated, json FROM bcda_staged WHERE file = %s
    ORDER BY type, id, last_updated DESC NULLS LAST, line DESC
ON CONFLICT (type, id) DO UPDATE SET last_updated = excluded.last_updated, json = excluded.json
    WHERE resource.last_updated IS NULL OR excluded.last_updated >= resource.last_updated
"""
DELETE = "DELETE FROM resource r USING bcda_staged s WHERE s.file = %s AND (r.type, r.id) = (s.type, s.id)"
DISCARD = "DELETE FROM bcda_staged WHERE file = %s AND line > %s"


class Loader:
    def __init__(self, connection, confirms):
        self.db, self.confirms, self.is_new = connection, confirms, False
        # The session of a program that was killed may still be committing. The lock waits for its end.
        self.db.execute("SELECT pg_advisory_lock(hashtext('bcda'))")
        self.db.execute(TABLES)
        # Rows of confirmed lines must survive a crash; so must those of an earlier run with --confirm.
        kept, = self.db.execute("SELECT to_regclass('bcda_staged') IS NOT NULL").fetchone()
        self.db.execute(f"CREATE {'' if confirms or kept else 'TEMPORARY '}{STAGED}")

    def store_changes(self, job):
        """Stores what has changed in the saved text. The text of a new job replaces that of another one."""
        if self.is_new:
            self.db.execute("DELETE FROM bcda_saved")
            self.db.execute("DELETE FROM bcda_staged")
            self.is_new = False
        changes = job.save_changes()
        if changes:
            self.db.execute("INSERT INTO bcda_saved (text) VALUES (%s)", [changes])

    def on_state(self, job, _):
        if job.url:  # from now on, the job at the server is not lost
            with self.db.transaction():
                self.store_changes(job)

    def on_file(self, job, file, event):
        """The rows of a file are staged until its end decides whether they are valid. An exception in this
        function, such as that of a commit, stops the job, and the file does not count as complete."""
        with self.db.transaction():
            if event == bcda.FileEvent.BEGIN or not file.verdict.is_good:
                self.db.execute(DISCARD, [file.name, file.confirmed_line])
            elif not file.is_error:
                self.db.execute(DELETE if file.has_deletions else UPSERT, [file.name])
                self.db.execute(DISCARD, [file.name, 0])
            self.store_changes(job)

    def on_deletion(self, _, deletion):
        self.db.execute("INSERT INTO bcda_staged VALUES (%s, %s, %s, %s)",
                        [deletion.file.name, deletion.line_number, deletion.type, deletion.id])

    def stage(self, job, batch):
        with self.db.transaction():
            with self.db.cursor().copy("COPY bcda_staged FROM STDIN") as copy:
                for line, kind, name, updated, json in zip(batch.line_numbers, batch.types, batch.ids,
                                                           batch.last_updated, batch.json):
                    copy.write_row((batch.file.name, line, kind, name, updated or None, str(json, "utf-8")))
            # Rows after the confirmed line are discarded when the file begins again.
            if self.confirms and job.confirm(batch):
                self.store_changes(job)

    def drive(self, job):
        for batch in job.batches():
            self.stage(job, batch)

    def finish(self, job):
        """The load has ended: the next one exports what changes after the transaction time of its first job."""
        with self.db.transaction():
            self.keep_time(job)
            self.db.execute("UPDATE bcda_load SET since = next_since, next_since = NULL")
            self.db.execute("DELETE FROM bcda_saved")
            self.db.execute("DROP TABLE bcda_staged")

    def keep_time(self, job):
        self.db.execute("UPDATE bcda_load SET next_since = coalesce(next_since, %s)", [job.transaction_time or None])

    def load(self, client, types):
        """Continues the load that the database knows, or begins one. Returns the last job."""
        callbacks = {"on_state": self.on_state, "on_file": self.on_file, "on_deletion": self.on_deletion}
        saved = "".join(text for (text,) in self.db.execute("SELECT text FROM bcda_saved ORDER BY number"))
        since, = self.db.execute("SELECT since FROM bcda_load").fetchone()
        if not saved:
            self.is_new = True
            job = client.export(*types, since=since, **callbacks)
            self.drive(job)
            return job
        job = client.restore(saved, **callbacks)
        try:
            self.drive(job)
            return job
        except (bcda.NotFound, bcda.Gone, bcda.JobCancelled):  # the server keeps a job for a day only
            self.keep_time(job)
            self.is_new = True
            rest = client.export_remaining(job, *types, since=since, **callbacks)
        if rest is not None:
            self.drive(rest)
        return job


def main():
    types = [word for word in sys.argv[1:] if word != "--confirm"]
    confirms = "--confirm" in sys.argv[1:]
    with open(os.environ["BCDA_CLIENT_SECRET_FILE"], encoding="ascii") as f:
        secret = f.read().strip()
    options = {"parallel": 4, "confirm_lines": "staged" if confirms else "none"}
    with psycopg.connect("", autocommit=True) as connection, bcda.Client(
            os.environ["BCDA_FHIR_URL"], client_id=os.environ["BCDA_CLIENT_ID"], client_secret=secret,
            ca_file=os.environ.get("BCDA_CA_FILE"), private_key=os.environ.get("BCDA_PRIVATE_KEY") or None,
            options=options) as client:
        loader = Loader(connection, confirms)
        job = loader.load(client, types)
        loader.finish(job)
        print("%s: %d resources in the table" % (
            job.id, connection.execute("SELECT count(*) FROM resource").fetchone()[0]))


if __name__ == "__main__":
    main()
