"""Tests of whole exports: from the servers of 2019 and of today, the values that a job returns, and how a
job is paused, cancelled and resumed."""
import asyncio
import datetime
import gc
import json
import os
import tempfile
import threading
import unittest
import warnings
import weakref

from support import Sandbox, WithSandbox, bcda

TYPES = ("Patient", "ExplanationOfBenefit")


class Early(WithSandbox):
    """The server behaves as BCDA did in April 2019: files are encrypted, and each line is an envelope around
    a resource."""

    HOW = {"era": "2019-04"}

    def test_encrypted_envelopes(self):
        told = []
        job = self.client().export("Patient", level="resource",
                                   on_file=lambda j, f, e: told.append((f.name, e, f.verdict)))
        self.assertEqual(job.state, bcda.JobState.STARTING)
        found = list(job)
        self.assertEqual(len(found), 10)
        for resource in found:
            parsed = resource.parse()
            self.assertEqual(parsed["resourceType"], resource.type)
            self.assertEqual(parsed["id"], resource.id)
            self.assertEqual(json.loads(resource.line)["resource"], parsed)
            self.assertIn("Patient/", resource.full_url)
            self.assertTrue(resource.file.is_encrypted)
        self.assertEqual([e for _, e, _ in told], [bcda.FileEvent.BEGIN, bcda.FileEvent.END])
        self.assertEqual(told[1][2], bcda.Verdict.COMPLETE)
        self.assertEqual(job.verdict, bcda.Verdict.COMPLETE)
        self.assertEqual(job.resources, 10)

    def test_provisional_until_the_end(self):
        client = self.client(options={"batch_size": 4096})
        batches = list(client.export("ExplanationOfBenefit", level="resource").batches())
        self.assertGreater(len(batches), 2)
        self.assertTrue(batches[0].is_provisional and batches[0][0].is_provisional)

    def test_wrong_private_key(self):
        with Sandbox(era="2019-04") as other:
            client = self.client(private_key=other.env["BCDA_PRIVATE_KEY"])
            with self.assertRaises(bcda.FileKeyError) as caught:
                list(client.export("Patient", level="resource"))
        self.assertEqual(caught.exception.name, "BCDA_ERR_KEY_UNWRAP")
        self.assertTrue(caught.exception.file)

    def test_no_private_key(self):
        with self.assertRaises(bcda.FileKeyError) as caught:
            list(self.client(private_key=None).export("Patient", level="resource"))
        self.assertEqual(caught.exception.name, "BCDA_ERR_KEY_MISSING")

    def test_key_as_bytes(self):
        with open(self.sandbox.env["BCDA_PRIVATE_KEY"], "rb") as f:
            pem = f.read()
        for key in (pem, [pem], [self.sandbox.env["BCDA_PRIVATE_KEY"]]):
            self.assertEqual(len(list(self.client(private_key=key).export("Patient", level="resource"))), 10)

    def test_verified_delivery(self):
        with tempfile.TemporaryDirectory() as folder:
            client = self.client(spool_directory=folder, options={"delivery": "verified"})
            found = list(client.export("Patient", level="resource"))
            self.assertEqual(len(found), 10)
            self.assertFalse(any(r.is_provisional for r in found))
            self.assertEqual(os.listdir(folder), [])


class Current(WithSandbox):
    """The server behaves as BCDA does today: gzip, a bare resource in each line, several types in a job."""

    HOW = {"patients": 20, "claims": 5}

    def test_resources_and_what_a_job_knows(self):
        states, done = [], []
        client = self.client()
        job = client.export(*TYPES, on_state=lambda j, s: states.append(s), on_done=done.append)
        self.assertEqual((job.url, job.id, job.files, job.result, job.transaction_time),
                         ("", "", [], None, ""))
        counts = {}
        for resource in job:
            counts[resource.type] = counts.get(resource.type, 0) + 1
            self.assertEqual(len(resource), len(resource.json))
            self.assertEqual(bytes(resource.view), resource.json)
            self.assertEqual(resource.line, resource.json)
            self.assertEqual(json.loads(resource.json)["meta"]["lastUpdated"], resource.last_updated)
            self.assertEqual(resource.full_url, "")
            self.assertIs(resource.file, job.files[resource.file.index])
        self.assertEqual(counts, {"Patient": 20, "ExplanationOfBenefit": 100})
        S = bcda.JobState
        self.assertEqual(states, [S.STARTING, S.RUNNING, S.DOWNLOADING, S.DONE])
        self.assertEqual(done, [job])
        self.assertEqual((job.result, job.error, job.resources), (0, None, 120))
        self.assertTrue(job.url.endswith(job.id) and job.transaction_time)
        self.assertEqual(sorted(f.type for f in job.files), sorted(TYPES))
        self.assertTrue(all(f.verdict.is_good and f.bytes and f.bytes_received for f in job.files))
        self.assertEqual(sum(f.resources for f in job.files), 120)
        self.assertEqual((client.stats.tokens, client.stats.resources), (1, 120))

    def test_without_the_scanner(self):
        found = []
        for scanner in (True, False):
            client = self.client(options={"scanner": scanner, "parallel": 1})
            found.append([(r.json, r.line, r.type, r.id, r.last_updated, r.fields("identifier.value"))
                          for r in client.export(*TYPES, fields=["identifier.value"])])
            has_scanner = scanner and os.environ.get("BCDA_NO_SCANNER") != "1"
            self.assertEqual(client.stats.yajl_lines, 0 if has_scanner else 120)
        self.assertEqual(len(found[0]), 120)
        self.assertEqual(found[0], found[1])

    def test_batches_are_columns(self):
        job = self.client().export(*TYPES, fields=["id", "patient.reference", "identifier.value"])
        total = 0
        for batch in job.batches():
            total += len(batch)
            resources = list(batch)
            self.assertEqual(batch.types, [r.type for r in resources])
            self.assertEqual(batch.ids, [r.id for r in resources])
            self.assertEqual(batch.last_updated, [r.last_updated for r in resources])
            self.assertEqual(batch.json.bytes(), [r.json for r in resources])
            self.assertEqual([bytes(v) for v in batch.json], batch.json.bytes())
            self.assertEqual([bytes(v) for v in batch.column("line")], [r.line for r in resources])
            self.assertEqual(batch.line_numbers.tolist(), [r.line_number for r in resources])
            self.assertEqual(batch.offsets.tolist(), [r.offset for r in resources])
            self.assertEqual(batch.field("id").texts(), batch.ids)
            self.assertEqual(batch.field("id").lists(), [[i] for i in batch.ids])
            parsed = [r.parse() for r in resources]
            self.assertEqual(batch.field("patient.reference").texts(),
                             [p.get("patient", {}).get("reference") for p in parsed])
            values = [[i["value"] for i in p.get("identifier", []) if "value" in i] for p in parsed]
            self.assertEqual(batch.field("identifier.value").lists(), values)
            self.assertEqual([r.fields("identifier.value") for r in resources], values)
            self.assertEqual([r.field("identifier.value") for r in resources],
                             [v[0] if v else None for v in values])
            self.assertEqual(bytes(batch[-1].view), batch[len(batch) - 1].json)
            self.assertEqual([r.id for r in batch[1:3]], batch.ids[1:3])
            self.assertTrue(batch.json.buffer.readonly and batch.json.offsets.readonly)
            with self.assertRaises(IndexError):
                batch[len(batch)]
            with self.assertRaises(ValueError):
                batch.field("not.asked.for")
            with self.assertRaises(ValueError):
                batch.column("nothing")
        self.assertEqual(total, 120)

    def test_what_is_kept_stays_valid(self):
        client = self.client(options={"batch_size": 4096})
        kept, views, resources = [], [], []
        for batch in client.export("Patient").batches():
            kept.append((batch, batch.json.bytes()))
            views.append((batch.json[0], bytes(batch.json[0])))
            resources.append((batch[0], batch[0].json, batch.file.name))
        client.close()
        self.assertGreater(len(kept), 1)
        batches = [batch for batch, _ in kept]
        for batch, copy in kept:
            self.assertEqual(batch.json.bytes(), copy)
        held = weakref.ref(batches[0]._held) if hasattr(batches[0]._held, "__weakref__") else None
        self.assertIsNone(held)
        del batches, batch, copy
        kept.clear()
        gc.collect()
        for view, copy in views:
            self.assertEqual(bytes(view), copy)
        for resource, copy, name in resources:
            self.assertEqual((resource.json, resource.file.name), (copy, name))

    def test_since_levels_and_names(self):
        client = self.client()
        first = client.export("Patient")
        first.wait()
        self.assertEqual(list(client.export("Patient", since=first.transaction_time)).__class__, list)
        when = datetime.datetime.now(datetime.timezone.utc)
        client.export("Patient", since=when).wait()
        for wrong in (lambda: client.export("Patient", since=datetime.datetime.now()),
                      lambda: client.export("Patient", since="yesterday"),
                      lambda: client.export("Patient", "Patient"),
                      lambda: client.export("Pat\0ient"),
                      lambda: client.export(level="planet"),
                      lambda: client.export("Patient", fields=["a", "a"]),
                      lambda: client.export("Patient", fields=["a..b"])):
            with self.assertRaises(ValueError):
                wrong()
        with self.assertRaises(TypeError):
            client.export("Patient", fields="id")
        with self.assertRaises(bcda.ConfigError):
            client.export(level="group")
        self.assertGreater(len(list(client.export("Patient", group="all"))), 0)

    def test_attach_save_restore(self):
        client = self.client(options={"parallel": 1})
        job = client.export(*TYPES)
        with self.assertRaises(bcda.StateError):
            job.save()
        saved = []
        job.wait()
        again = client.attach(job.url)
        self.assertEqual(len(list(again)), 120)

        def on_file(job, file, event):
            if event == bcda.FileEvent.END:
                saved.append(job.save())

        job = client.attach(job.url, on_file=on_file)
        with self.assertRaises(ZeroDivisionError):
            for batch in job.batches():
                if saved:
                    raise ZeroDivisionError
        rest = self.client().restore(saved[0])
        count = len(list(rest))
        verdicts = [f.verdict for f in rest.files]
        self.assertEqual(verdicts.count(bcda.Verdict.SKIPPED), 1)
        self.assertIn(count, (20, 100))
        with self.assertRaises(bcda.InvalidArgument):
            client.restore("nonsense")
        with self.assertRaises(bcda.OriginError):
            client.attach("https://elsewhere.example/api/v1/jobs/1")

    def test_cancel(self):
        job = self.client().export(*TYPES)
        with self.assertRaises(bcda.Cancelled):
            for _ in job:
                job.cancel()
        self.assertEqual(job.result, bcda.errors._abi.ERR_CANCELLED)
        with self.assertRaises(bcda.Cancelled):
            job.wait()

    def test_cancel_from_another_thread_and_at_the_server(self):
        client = self.client(options={"cancel_at_server": True})
        running = threading.Event()
        with Sandbox(polls=1000000) as slow:
            client = slow.client(options={"cancel_at_server": True})
            job = client.export("Patient", on_state=lambda j, s: s == bcda.JobState.RUNNING and running.set())
            thread = threading.Thread(target=lambda: (running.wait(), job.cancel()))
            thread.start()
            with self.assertRaises(bcda.Cancelled):
                job.wait()
            thread.join()
            with self.assertRaises(bcda.JobCancelled):
                client.attach(job.url).wait()
            client.close()

    def test_closing_and_leaving(self):
        client = self.client()
        with client.export(*TYPES) as job:
            next(iter(job))
        self.assertEqual(job.state, bcda.JobState.FAILED)
        job = client.export(*TYPES)
        client.close()
        client.close()
        self.assertTrue(client.is_closed)
        with self.assertRaises(bcda.Cancelled):
            job.wait()
        with self.assertRaises(bcda.StateError):
            client.export("Patient")
        with self.assertRaises(bcda.StateError):
            client.stats
        self.assertEqual(repr(client), "<bcda.Client closed>")

    def test_a_loop_that_is_left_cancels(self):
        job = self.client().export(*TYPES)
        for _ in job:
            break
        with self.assertRaises(bcda.Cancelled):
            job.wait()
        job = self.client().export(*TYPES)
        with self.assertRaises(ZeroDivisionError) as caught:
            for _ in job.batches():
                1 / 0
        self.assertEqual(caught.exception.args, ("division by zero",))
        with self.assertRaises(bcda.Cancelled):
            job.wait()
        iterator = iter(self.client().export(*TYPES))  # while the iterator is referenced, it can be continued
        first = next(iterator)
        self.assertEqual(1 + len(list(iterator)), 120)
        self.assertTrue(first.id)

    def test_pause(self):
        client = self.client(options={"batch_size": 4096})
        job = client.export(*TYPES)
        seen = []

        def later():
            paused.wait()
            seen.append(len(found))
            job.resume()

        paused, found = threading.Event(), []
        thread = threading.Thread(target=later)
        thread.start()
        for resource in job:
            found.append(resource)
            if len(found) == 3:
                job.pause()
                paused.set()
        thread.join()
        self.assertEqual(len(found), 120)
        self.assertLess(seen[0], 120)

    def test_two_clients_in_two_threads(self):
        counts, wrong = [], []

        def work():
            try:
                client = self.sandbox.client()
                for _ in range(3):
                    counts.append(len(list(client.export(*TYPES))))
                client.close()
            except BaseException as e:
                wrong.append(e)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual((counts, wrong), ([120] * 6, []))

    def test_a_second_thread_is_refused(self):
        with Sandbox(polls=1000000) as slow:
            client = slow.client()
            waiting = threading.Event()
            job = client.export("Patient", on_state=lambda j, s: s == bcda.JobState.RUNNING and waiting.set())
            wrong = []

            def work():
                try:
                    job.wait()
                except BaseException as e:
                    wrong.append(e)

            thread = threading.Thread(target=work)
            thread.start()
            waiting.wait()
            with self.assertRaisesRegex(bcda.StateError, "another thread"):
                list(client.export("Patient"))
            with self.assertRaisesRegex(bcda.StateError, "another thread"):
                client.close()
            self.assertEqual(job.state, bcda.JobState.RUNNING)  # values may be read from any thread
            job.cancel()
            thread.join()
            self.assertEqual([type(e) for e in wrong], [bcda.Cancelled])
            client.close()

    def test_garbage_in_the_middle(self):
        client = self.client(options={"batch_size": 4096})
        gone = weakref.ref(client.export("Patient"))  # no loop has started this job, and nothing references it
        gc.collect()
        self.assertIsNone(gone())
        jobs = [client.export(*TYPES) for _ in range(3)]
        count = 0
        for resource in jobs[0]:
            count += 1
            if count == 10:
                jobs[1].me = jobs[1]  # a reference cycle, which only the garbage collector can free
                jobs.pop(1)
                jobs.pop(1)
            gc.collect()
        self.assertEqual(count, 120)
        self.assertEqual(client.stats.transfers, 0)

    def test_collected_on_another_thread_inside_a_callback(self):
        client = self.client()
        other = [client.export("Patient")]

        def drop(*_):
            thread = threading.Thread(target=lambda: (other.clear(), gc.collect()))
            thread.start()
            thread.join()

        self.assertEqual(len(list(client.export("Patient", on_state=drop))), 20)
        self.assertEqual(other, [])

    def test_a_client_that_is_dropped(self):
        from bcda import _core
        client = self.sandbox.client()
        job = client.export("Patient")
        next(iter(job))
        core = client._core
        del client, job
        gc.collect()
        self.assertIsNotNone(core.session)  # a finalizer must not free the session; the next call does
        self.client()
        self.assertIsNone(core.session)
        self.assertFalse(_core._orphans)

    def test_requests(self):
        client = self.client()
        metadata = client.metadata()
        self.assertEqual(metadata.parse()["resourceType"], "CapabilityStatement")
        self.assertTrue(metadata.fhir_version and metadata.software_version and metadata.token_url)
        self.assertTrue(client.version())

    def test_progress(self):
        seen = []
        job = self.client().export(*TYPES, on_progress=lambda j: seen.append(j.bytes), progress=True)
        job.wait()
        self.assertEqual(job.progress_percent, None if not job.progress_text else job.progress_percent)

    def test_without_one_descriptor(self):
        """A build on poll() has no single descriptor, so the package waits in short calls of
        bcda_session_run(). The test makes the package behave as in such a build."""
        client = self.client()
        client._core.fd, client._core.poller = -8, None
        self.assertEqual(len(list(client.export(*TYPES))), 120)
        self.assertTrue(client.version())
        with self.assertRaises(bcda.TimeoutExpired):
            client.export(*TYPES).wait(0)

    def test_wait_with_a_limit(self):
        with Sandbox(polls=1000000) as slow:
            client = slow.client()
            job = client.export("Patient")
            with self.assertRaises(bcda.TimeoutExpired):
                job.wait(0.05)
            self.assertIsNone(job.result)
            client.close()


class Once(WithSandbox):
    """A job delivers its data once, to one loop. A second loop must be refused, and no data may be lost
    without an error."""

    HOW = {"patients": 20, "claims": 5}
    LOOPS = (iter, lambda job: job.batches(), lambda job: job.__aiter__())

    def refused(self, words, job, loops=LOOPS):
        for loop in loops:
            with self.assertRaisesRegex(bcda.StateError, words):
                loop(job)

    def begun(self, **how):
        """Starts a job and a loop over its batches. Returns the job, the loop and the first batch."""
        job = self.client(options={"batch_size": 4096}).export(*TYPES, **how)
        batches = job.batches()
        return job, batches, next(batches)

    def test_taken_before(self):
        for loop in (list, lambda job: list(job.batches())):
            job = self.client().export(*TYPES)
            self.assertGreater(len(loop(job)), 0)
            self.refused("taken by an earlier loop", job)
            job.wait()  # is allowed after the loop, and returns at once
            self.assertEqual(job.verdict, bcda.Verdict.COMPLETE)

    def test_two_loops_at_once(self):
        job, batches, first = self.begun()
        self.refused("a loop is already taking the data", job)
        self.assertEqual(len(first) + sum(map(len, batches)), 120)

    def test_two_threads_at_once(self):
        job, batches, first = self.begun()
        wrong = []

        def work():
            for loop in (*self.LOOPS, lambda job: job.wait()):
                try:
                    loop(job)
                except bcda.StateError as e:
                    wrong.append(e)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertEqual(len(wrong), 4)
        self.assertEqual(len(first) + sum(map(len, batches)), 120)

    def test_a_loop_that_was_left(self):
        job = self.client().export(*TYPES)
        for _ in job:
            break
        self.refused("left before its end", job)

    def test_a_loop_that_was_never_begun(self):
        job = self.client().export(*TYPES)
        job.batches()
        self.refused("left before its end", job)

    def test_after_waiting(self):
        job = self.client().export(*TYPES)
        job.wait()
        self.refused("waiting for this job has discarded its data", job)
        job.wait()

    def test_waiting_while_a_loop_is_open(self):
        job, batches, first = self.begun()
        with self.assertRaisesRegex(bcda.StateError, "waiting would discard the rest"):
            job.wait()
        self.assertEqual(len(first) + sum(map(len, batches)), 120)
        job.wait()
        job, batches, first = self.begun()
        job.cancel()
        with self.assertRaises(bcda.Cancelled):
            job.wait()

    def test_waiting_for_a_time(self):
        """After a wait() with a timeout, a loop may begin if wait() discarded no data. If wait() has discarded
        a batch, a loop must be refused."""
        with Sandbox(polls=1000000) as slow, slow.client() as client:
            job = client.export("Patient")
            with self.assertRaisesRegex(bcda.TimeoutExpired, "the job has not ended"):
                job.wait(0.01)
            iter(job)
        job = self.client(options={"batch_size": 4096}).export(*TYPES)
        pull, given = job._pull, []

        def one_batch_in_time(deadline):
            if given:
                raise bcda.errors.from_code(bcda.ErrorCode.TIMEOUT)
            given.append(1)
            return pull(deadline)

        job._pull = one_batch_in_time
        with self.assertRaises(bcda.TimeoutExpired):
            job.wait(1)
        self.refused("has discarded its data", job)

    def test_a_loop_while_another_thread_waits(self):
        with Sandbox(polls=1000000) as slow, slow.client() as client:
            running = threading.Event()
            job = client.export("Patient", on_state=lambda j, s: s == bcda.JobState.RUNNING and running.set())

            def work():
                try:
                    job.wait()
                except bcda.Cancelled:
                    pass

            thread = threading.Thread(target=work)
            thread.start()
            running.wait()
            self.refused("another call waits for this job", job)
            job.cancel()
            thread.join()

    def test_after_a_failure(self):
        with Sandbox("--fault", "data-404") as broken, broken.client() as client:
            job = client.export("Patient")
            with self.assertRaises(bcda.NotFound):
                list(job)
            self.refused("taken by an earlier loop", job)
            with self.assertRaises(bcda.NotFound):
                job.wait()

    def test_iterators_are_as_all_of_pythons(self):
        """As Python requires, an iterator that has ended stays at its end."""
        for loop in (iter, lambda job: job.batches()):
            iterator = loop(self.client().export("Patient"))
            self.assertGreater(len(list(iterator)), 0)
            self.assertEqual(list(iterator), [])

    def test_resources_are_what_the_loop_gave(self):
        with Sandbox("--fault", "error-file") as sandbox, sandbox.client() as client:
            for loop in (list, lambda job: [r for batch in job.batches() for r in batch]):
                job = client.export("Patient", on_issue=lambda *_: None)
                self.assertEqual(len(loop(job)), job.resources)
                self.assertEqual([f.is_error for f in job.files], [False, True])
                self.assertGreater(job.files[1].resources, 0)
                self.assertEqual(job.resources, job.files[0].resources)
            self.assertEqual(client.stats.resources, 2 * job.resources)


class Issues(WithSandbox):
    OPTIONS = ("--fault", "error-file")

    def test_issues_come_to_their_handler(self):
        found = []
        job = self.client().export("Patient", on_issue=lambda j, i: found.append(i))
        self.assertEqual(len(list(job)), 10)
        self.assertEqual(len(found), 3)
        for issue in found:
            self.assertEqual(issue.severity, bcda.Severity.ERROR)
            self.assertTrue(issue.text.startswith("Error retrieving "))
            self.assertEqual(json.loads(issue.outcome)["resourceType"], "OperationOutcome")
            self.assertNotIn(issue.text, repr(issue))
        self.assertEqual(job.issue_counts[bcda.Severity.ERROR], 3)
        self.assertEqual(job.verdict, bcda.Verdict.COMPLETE_ERRORS)


class Deletions(WithSandbox):
    OPTIONS = ("--fault", "deleted")
    WANT = [("Patient", "gone-0", 1), ("Coverage", "gone-0", 1), ("Patient", "gone-1", 2), ("Coverage", "gone-1", 2)]

    def test_in_every_way_to_the_end(self):
        """Deletions must be reported after all resources were delivered, in whichever way data is taken, and must
        cause no warning."""
        for way in Incomplete.WAYS:
            events = []
            job = self.client().export(
                "Patient", on_deletion=lambda j, d: events.append((j, d)),
                on_file=lambda j, f, e: events.append((f.has_deletions, e.name, f.verdict.name)))
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                way(job)
            self.assertEqual(events[:3] + events[-1:], [
                (False, "BEGIN", "NONE"), (False, "END", "COMPLETE"), (True, "BEGIN", "NONE"), (True, "END", "COMPLETE")])
            self.assertTrue(all(j is job for j, _ in events[3:-1]))
            found = [d for _, d in events[3:-1]]
            self.assertEqual([(d.type, d.id, d.line_number) for d in found], self.WANT)
            self.assertEqual([(f.has_deletions, f.is_error) for f in job.files], [(False, False), (True, False)])
            self.assertTrue(all(d.file is job.files[1] for d in found))
            self.assertNotIn("gone", repr(found))
            self.assertEqual((job.deletions, job.deleted_files, job.resources), (4, 1, 10))
            self.assertEqual(job.verdict, bcda.Verdict.COMPLETE)

    def test_in_batches(self):
        job = self.client(options={"pull_deletions": True}).export("Patient")
        rows, found = 0, []
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for batch in job.batches():
                rows += 0 if batch.file.has_deletions else len(batch)
                found += batch.deletions
        self.assertEqual((rows, [d[:3] for d in found]), (10, self.WANT))
        self.assertTrue(all(d.file is job.files[1] for d in found))
        self.assertEqual((job.deletions, job.verdict), (4, bcda.Verdict.COMPLETE))

    def test_of_a_restored_job(self):
        job = self.client().export("Patient", on_deletion=lambda *_: None)
        job.wait()
        for start, resume in ((job.save(), self.client().restore), (job.url, self.client().attach)):
            found = []
            again = resume(start, on_deletion=lambda j, d: found.append(d[:3]))
            again.wait()
            restored = resume.__name__ == "restore"  # its file of deletions was complete before
            self.assertEqual((found, again.deletions), ([], 0) if restored else (self.WANT, 4))
            self.assertEqual(again.verdict, bcda.Verdict.COMPLETE)

    def test_an_invalid_line(self):
        """An invalid line of a file of deletions must be reported to on_bad_line, although the file has no batches.
        It fails the file, unless it is tolerated."""
        with Sandbox("--fault", "deleted", "--fault", "bad-json@Bundle") as sandbox:
            for most in (0, -1):
                found, bad = [], []
                with sandbox.client(options={"bad_lines_max": most}) as client:
                    job = client.export("Patient", on_deletion=lambda j, d: found.append(d[:3]),
                                        on_bad_line=lambda j, line: bad.append(line))
                    if most:
                        job.wait()
                        self.assertEqual(job.verdict, bcda.Verdict.COMPLETE_ERRORS)
                    else:
                        with self.assertRaises(bcda.BadLine) as caught:
                            job.wait()
                        self.assertEqual((caught.exception.file, caught.exception.line), (job.files[1].name, 2))
                self.assertEqual((found, job.deletions), (self.WANT[:2], 2))
                self.assertEqual([(line.number, line.error.file, line.file.has_deletions) for line in bad],
                                 [(2, job.files[1].name, True)])


async def take(job):
    async for _ in job:
        pass


async def wait(job):
    await job


class Incomplete(WithSandbox):
    """If requested data is missing, Python must issue one warning, which shows a line of the application."""

    OPTIONS = ("--fault", "error-file")
    WAYS = (lambda job: [r for r in job], lambda job: [b for b in job.batches()], lambda job: job.wait(),
            lambda job: asyncio.run(take(job)), lambda job: asyncio.run(wait(job)))

    def test_a_warning_in_every_way_to_the_end(self):
        for way in self.WAYS:
            job = self.client().export("Patient")
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                way(job)
                job.wait()
            (told,) = caught
            self.assertIs(told.category, bcda.IncompleteExport)
            self.assertEqual(told.filename, __file__)
            self.assertEqual(str(told.message), f"job {job.id} is complete, but it reports 3 issues of "
                             "severity error, which on_issue would receive")
            self.assertEqual(job.verdict, bcda.Verdict.COMPLETE_ERRORS)

    def test_no_warning_of_what_a_callback_got(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.assertEqual(len(list(self.client().export("Patient", on_issue=lambda *_: None))), 10)

    def test_as_an_error(self):
        for way in self.WAYS:
            job = self.client().export("Patient")
            with warnings.catch_warnings(), self.assertRaises(bcda.IncompleteExport):
                warnings.simplefilter("error", bcda.IncompleteExport)
                way(job)
            self.assertEqual((job.result, job.resources), (0, 10))

    def narrowed(self):
        """Returns a client of a server that leaves Patient out of the next export. BCDA did so in January
        2021 if another job that exports Patient was running."""
        sandbox = Sandbox(era="2021-01", duplicates=False)
        self.addCleanup(sandbox.close)

        class Enough(Exception):
            pass

        def accepted(job, state):
            if state == bcda.JobState.RUNNING:
                raise Enough

        with sandbox.client() as client, self.assertRaises(Enough):
            client.export("Patient", on_state=accepted).wait()
        client = sandbox.client()
        self.addCleanup(client.close)
        return client

    def test_a_type_that_did_not_come(self):
        client = self.narrowed()
        job = client.export("Patient", "Coverage")
        self.assertEqual(job.missing_types, ())
        with self.assertWarnsRegex(bcda.IncompleteExport, "the server lists no file for Patient$"):
            types = {r.type for r in job}
        self.assertEqual((types, job.missing_types), ({"Coverage"}, ("Patient",)))
        self.assertEqual((job.verdict, str(job.verdict)), (bcda.Verdict.COMPLETE_ERRORS, "COMPLETE_ERRORS"))
        again = client.restore(job.save())  # the saved text contains the requested types
        with self.assertWarns(bcda.IncompleteExport):
            again.wait()
        self.assertEqual(again.missing_types, ("Patient",))

    def test_files_of_deletions(self):
        with Sandbox("--fault", "deleted") as sandbox, sandbox.client() as client:
            job = client.export("Patient")
            with self.assertWarnsRegex(bcda.IncompleteExport, "it lists 1 file of deleted resources, not delivered, which "
                                       "on_deletion would receive$"):
                self.assertEqual({r.type for r in job}, {"Patient"})
            self.assertEqual((job.deleted_files, job.deletions, job.missing_types, len(job.files)), (1, 0, (), 1))
            self.assertEqual(job.verdict, bcda.Verdict.COMPLETE_ERRORS)

    def test_nothing_is_missing(self):
        with Sandbox() as sandbox, sandbox.client() as client, warnings.catch_warnings():
            warnings.simplefilter("error")
            job = client.export("Patient")
            self.assertEqual((job.missing_types, job.deleted_files), ((), 0))
            self.assertEqual(len(list(job)), 10)
            self.assertEqual((job.missing_types, job.deleted_files, job.verdict), ((), 0, bcda.Verdict.COMPLETE))


class BadLines(WithSandbox):
    OPTIONS = ("--fault", "bad-json")

    def test_a_bad_line_fails_its_file(self):
        told = []
        job = self.client().export("Patient", on_bad_line=lambda j, line: told.append(line), fields=["id"])
        found = []
        with self.assertRaises(bcda.BadLine) as caught:
            for resource in job:
                found.append((resource.line_number, resource.field("id")))
        self.assertEqual([n for n, _ in found], [1])
        self.assertEqual(caught.exception.line, 2)
        self.assertEqual(caught.exception.file, job.files[0].name)
        self.assertEqual(job.files[0].verdict, bcda.Verdict.FAILED)
        self.assertEqual(job.files[0].error.line, 2)
        self.assertEqual([line.number for line in told], [2])

    def test_bad_lines_in_their_places(self):
        order = []
        job = self.client(options={"bad_lines_max": -1}).export(
            "Patient", on_bad_line=lambda j, line: order.append(("bad", line.number, line)))
        for resource in job:
            order.append(("good", resource.line_number))
        self.assertEqual([o[:2] for o in order[:3]], [("good", 1), ("bad", 2), ("good", 3)])
        line = order[1][2]
        self.assertIsInstance(line.error, bcda.BadLine)
        self.assertEqual(len(line.bytes), line.length)
        self.assertEqual(line.file.name, job.files[0].name)
        self.assertNotIn("Patient", repr(line))
        self.assertEqual((job.verdict, job.bad_lines), (bcda.Verdict.COMPLETE_ERRORS, 1))
        self.assertEqual(job.files[0].verdict, bcda.Verdict.COMPLETE_BAD_LINES)

    def test_bad_lines_of_batches(self):
        told = []
        job = self.client(options={"bad_lines_max": -1}).export(
            "Patient", on_bad_line=lambda j, line: told.append(line.number))
        numbers = [line.number for batch in job.batches() for line in batch.bad_lines]
        self.assertEqual((numbers, told), ([2], [2]))

    def test_bad_lines_of_error_files(self):
        """The issues of an error file are reported, so it has no batches. Its invalid lines must be reported too."""
        with Sandbox("--fault", "error-file", "--fault", "bad-json@OperationOutcome") as sandbox:
            for way in Incomplete.WAYS:
                told = []
                with sandbox.client(options={"bad_lines_max": -1}) as client:
                    job = client.export("Patient", on_issue=lambda *_: None,
                                        on_bad_line=lambda j, line: told.append((j, line.number, line.file)))
                    way(job)
                    self.assertEqual((told, job.bad_lines), ([(job, 2, job.files[1])], 1))


if __name__ == "__main__":
    unittest.main()
