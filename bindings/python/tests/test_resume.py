"""Tests of jobs that are resumed from a saved text: changes as a journal, confirmed lines, and the export of
what a job that the server no longer has did not load."""
import json
import os
import tempfile
import unittest

from support import Sandbox, WithSandbox, bcda

LINES = 3000
BAD = (7, 1500, LINES)  # the last line of the file is invalid, too
STAGED = {"confirm_lines": "staged", "bad_lines_max": -1, "batch_size": 4096, "parallel": 1}


def write_patients(folder, name="Patient.ndjson", lines=LINES, bad=BAD):
    with open(os.path.join(folder, name), "w", encoding="ascii") as f:
        for i in range(1, lines + 1):
            f.write("not a resource\n" if i in bad else f'{{"resourceType":"Patient","id":"p{i}","x":"{i:040d}"}}\n')


class Store:
    """A store with transactions: what a program has committed, and the saved text that was committed with it."""

    def __init__(self):
        self.saved = ""
        self.ids = []
        self.open = {}

    def take(self, batch):
        self.open.setdefault(batch.file.name, []).extend(batch.ids)

    def commit(self, job, file):
        self.ids += self.open.pop(file.name, [])
        self.saved += job.save_changes()


class Journal(WithSandbox):
    """Files that are loaded one by one. Each text of save_changes is stored together with a file's resources."""

    OPTIONS = ("--files", "5", "--all-levels")
    HOW = {"patients": 12, "claims": 5}
    TYPES = ("Patient", "Coverage", "ExplanationOfBenefit")

    def run_job(self, store, job):
        for batch in job.batches():
            store.take(batch)

    def start(self, store, on_file, **options):
        client = self.client(options={"parallel": 2, **options})
        if store.saved:
            return client.restore(store.saved, on_file=on_file)
        return client.export(*self.TYPES, on_file=on_file)

    def test_each_file_once(self):
        """The program is interrupted after each file, and continues from what it has committed."""
        store, runs, again = Store(), 0, True
        while again:
            again, runs = False, runs + 1

            def on_file(job, file, event):
                nonlocal again
                if event == bcda.FileEvent.END and not again:
                    store.commit(job, file)
                    again = not all(f.verdict in (bcda.Verdict.COMPLETE, bcda.Verdict.SKIPPED) for f in job.files)
                    if again:
                        raise InterruptedError

            job = self.start(store, on_file)
            if again is None:
                break
            try:
                self.run_job(store, job)
            except InterruptedError:
                # The exception says that this file was not kept, although it was. What was committed stands.
                store.open = {}
        self.assertEqual(runs, 7)  # one file for each type, and five of ExplanationOfBenefit
        self.assertEqual(len(store.ids), 12 + 12 * 4 + 12 * 5)
        want = [r.id for r in self.client().export(*self.TYPES)]
        self.assertEqual(sorted(store.ids), sorted(want))

    def test_a_commit_that_fails(self):
        """A file whose on_file raises is not complete: the next text says so, also if the text that was made
        before the exception was kept."""
        store, seen = Store(), []

        def on_file(job, file, event):
            if event == bcda.FileEvent.END:
                seen.append(file.name)
                store.saved += job.save_changes()
                if len(seen) == 2:
                    raise InterruptedError

        job = self.start(store, on_file, parallel=1)
        with self.assertRaises(InterruptedError):
            self.run_job(store, job)
        for saved in (store.saved + job.save_changes(), job.save()):
            rest = self.client().restore(saved)
            rest.wait()
            skipped = [f.name for f in rest.files if f.verdict == bcda.Verdict.SKIPPED]
            self.assertEqual(skipped, seen[:1])
        self.assertEqual(job.save_changes(), "")

    def test_only_changes(self):
        job = self.start(Store(), None, parallel=1)
        self.check_not_accepted(job)
        texts = []
        for batch in job.batches():
            texts.append(job.save_changes())
            self.assertEqual(job.save_changes(), "")
        texts.append(job.save_changes())
        lines = "".join(texts).split("\n")
        self.assertEqual(lines[0], "")
        for line in lines[1:]:
            json.loads(line)
        self.assertLess(len(texts[-1]), len(job.save()))
        for saved in ("".join(texts), "".join(texts)[1:], "".join(texts) + "\n"):
            rest = self.client().restore(saved)
            self.assertEqual(list(rest), [])
            self.assertEqual({f.verdict for f in rest.files}, {bcda.Verdict.SKIPPED})
        altered = "".join(texts).replace("complete", "Complete")
        with self.assertRaisesRegex(bcda.InvalidArgument, "^saved: "):
            self.client().restore(altered)

    def check_not_accepted(self, job):
        with self.assertRaisesRegex(bcda.StateError, "the server has not accepted the job"):
            job.save_changes()


class Confirmed(unittest.TestCase):
    """Lines that are confirmed inside a file."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        write_patients(cls.folder.name)
        cls.sandbox = Sandbox("--data", cls.folder.name)

    @classmethod
    def tearDownClass(cls):
        cls.sandbox.close()
        cls.folder.cleanup()

    def client(self, **options):
        client = self.sandbox.client(options={**STAGED, **options})
        self.addCleanup(client.close)
        return client

    WANT = [f"p{i}" for i in range(1, LINES + 1) if i not in BAD]

    def first_line(self, batch):
        return min([*batch.line_numbers[:1], *(line.number for line in batch.bad_lines[:1])])

    def test_batches(self):
        """The program is ended again and again, after it has taken a batch that it does not commit."""
        found, bad, saved, runs, over = [], [], "", 0, False
        while not over:
            runs += 1
            client = self.client()
            job = client.restore(saved) if saved else client.export("Patient")
            commits, over = 0, True
            for batch in job.batches():
                if not commits:
                    self.assertEqual(self.first_line(batch), batch.file.confirmed_line + 1)
                if commits == 2:
                    over = False
                    break
                self.assertTrue(job.confirm(batch))
                self.assertEqual(batch.file.confirmed_line, batch.last_line)
                found += batch.ids
                bad += [line.number for line in batch.bad_lines]
                saved += job.save_changes()
                commits += 1
        self.assertGreater(runs, 10)
        self.assertEqual((found, bad), (self.WANT, list(BAD)))
        saved += job.save_changes()  # the file has ended after its last line was confirmed
        rest = self.client().restore(saved)
        self.assertEqual(list(rest), [])
        self.assertEqual([f.verdict for f in rest.files], [bcda.Verdict.SKIPPED])

    def test_verified(self):
        with tempfile.TemporaryDirectory() as folder:
            client = self.sandbox.client(spool_directory=folder, options={
                **STAGED, "delivery": "verified", "confirm_lines": "verified"})
            self.addCleanup(client.close)
            job = client.export("Patient")
            for resource in job:
                job.confirm(resource.file, resource.line_number)
                if resource.id == "p1000":
                    break
            rest = client.restore(job.save())
            self.assertEqual([r.id for r in rest], self.WANT[self.WANT.index("p1000") + 1:])
            self.assertEqual(rest.files[0].bad_lines, len(BAD))

    def test_complete_with_its_last_line_only(self):
        for line in (LINES - 1, LINES):
            job = self.client().export("Patient")
            self.assertEqual(len(list(job)), len(self.WANT))
            self.assertEqual(job.verdict, bcda.Verdict.COMPLETE_ERRORS)
            job.confirm(job.files[0], line)
            rest = self.client().restore(job.save())
            self.assertEqual(list(rest), [])
            self.assertEqual(rest.files[0].verdict == bcda.Verdict.SKIPPED, line == LINES)

    def test_too_late(self):
        """The library remembers the ends of about a thousand batches."""
        with tempfile.TemporaryDirectory() as folder:
            write_patients(folder, lines=60000, bad=())
            with Sandbox("--data", folder) as sandbox, sandbox.client(options=STAGED) as client:
                job = client.export("Patient")
                lines = [batch.last_line for batch in job.batches()]
                self.assertGreater(len(lines), 1024)
                self.assertFalse(job.confirm(job.files[0], lines[0]))
                self.assertEqual(job.files[0].confirmed_line, 0)
                self.assertTrue(job.confirm(job.files[0], lines[-1]))
                self.assertEqual(job.files[0].confirmed_line, 60000)


class Expired(unittest.TestCase):
    """A restored job that the server no longer has."""

    TYPES = ("Patient", "Coverage", "ExplanationOfBenefit")

    def lose(self, types=TYPES):
        """Starts a job whose files are there for one download only. Returns the sandbox, a client, and the
        restored job, which has failed."""
        sandbox = Sandbox("--fault", "job-expires-after:1", patients=12, claims=5)
        self.addCleanup(sandbox.close)
        client = sandbox.client(options={"parallel": 1})
        self.addCleanup(client.close)
        journal = []

        def on_file(job, file, event):
            if event == bcda.FileEvent.END and file.verdict.is_good:
                journal.append(job.save_changes())

        with self.assertRaises(bcda.ServerError):
            list(client.export(*types, on_file=on_file))
        job = client.restore("".join(journal))
        with self.assertRaises((bcda.NotFound, bcda.Gone)):
            job.wait()
        return client, job

    def test_files_are_listed(self):
        _, job = self.lose()
        verdicts = {f.type: f.verdict for f in job.files}
        self.assertEqual(set(verdicts), set(self.TYPES))
        self.assertEqual(sorted(verdicts.values()), [bcda.Verdict.NONE, bcda.Verdict.NONE, bcda.Verdict.SKIPPED])
        self.assertTrue(job.transaction_time)

    def test_the_rest(self):
        client, job = self.lose()
        missing = {f.type for f in job.files if f.verdict == bcda.Verdict.NONE}
        found = []
        rest = client.export_remaining(job, *self.TYPES, fields=["id"],
                                       on_file=lambda j, f, e: found.append(f.type))
        with self.assertRaises(bcda.ServerError):  # the fault holds for the new job, too
            for resource in rest:
                self.assertEqual(resource.field("id"), resource.id)
        self.assertEqual({f.type for f in rest.files}, missing)
        self.assertTrue(set(found) & missing)

    def test_nothing_remains(self):
        with Sandbox() as sandbox, sandbox.client() as client:
            job = client.export("Patient")
            self.assertEqual(len(list(job)), 10)
            self.assertIsNone(client.export_remaining(job, "Patient"))
            again = client.export_remaining(client.export("Patient"), "Patient")  # without a manifest: everything
            self.assertEqual(len(list(again)), 10)


if __name__ == "__main__":
    unittest.main()
