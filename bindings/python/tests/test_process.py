"""Tests of the package and its process: fork, signals, the end of the interpreter, and leaks."""
import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time

from support import HERE, LIMIT, SOURCE, Sandbox, WithSandbox, bcda, script, unittest


class Fork(WithSandbox):
    HOW = {"patients": 20}

    def test_the_child_is_told_and_the_parent_goes_on(self):
        client = self.client(options={"batch_size": 4096})
        job = client.export("Patient", "ExplanationOfBenefit")
        resources = iter(job)
        first = next(resources)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            said = []
            try:
                for call in (lambda: list(resources), lambda: client.export("Patient"), job.cancel,
                             client.metadata, job.pause):
                    try:
                        call()
                        said.append("nothing")
                    except bcda.ForkedError:
                        said.append("forked")
                said.append(first.id and "kept")  # a child may read the batches of its parent
                client.close()
            except BaseException as e:
                said.append(repr(e))
            finally:
                os.write(write, " ".join(said).encode())
                os._exit(0)
        os.close(write)
        with open(read, encoding="utf-8") as pipe:
            said = pipe.read()
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(said, "forked forked forked forked forked kept")
        self.assertEqual(1 + len(list(resources)), 120)

    def test_forked_while_another_thread_is_inside(self):
        """At the fork, another thread holds the client's lock. That thread does not exist in the child, so a
        call in the child would wait for ever if the lock were not replaced."""
        got = script("""
client = bcda.Client(url, **settings)
inside, go = threading.Event(), threading.Event()
def on_state(*_):
    inside.set()
    go.wait()
job = client.export("Patient", on_state=on_state)
thread = threading.Thread(target=job.wait)
thread.start()
inside.wait()
child = os.fork()
if child == 0:
    try:
        client.export("Patient")
    except bcda.ForkedError:
        print("forked", flush=True)
    client.close()
    del job, client
    gc.collect()
    os._exit(0)
print(os.waitpid(child, 0)[1], flush=True)
go.set()
thread.join()
print(job.verdict.name)
client.close()
""", self.sandbox)
        self.assertEqual((got.stdout, got.stderr, got.returncode), ("forked\n0\nCOMPLETE\n", "", 0))

    def test_a_child_that_ends_by_itself(self):
        got = script("""
client = bcda.Client(url, **settings)
job = client.export("Patient")
next(it := iter(job))
threads = threading.Thread(target=lambda: None); threads.start(); threads.join()
if os.fork() == 0:
    sys.exit(3)
print(os.waitstatus_to_exitcode(os.wait()[1]), 1 + len(list(it)))
client.close()
""", self.sandbox)
        self.assertEqual((got.stdout, got.stderr, got.returncode), ("3 20\n", "", 0))


    def test_a_child_that_returns_from_a_callback(self):
        """A callback forks. In the child, the call that ran the callback must raise ForkedError; in the parent
        the call continues."""
        for use, options in (("sum(1 for _ in job)", {}), ("sum(1 for _ in job)", {"decode_threads": 2}),
                             ("asyncio.run(take())", {}), ("job.wait()", {"decode_threads": 2})):
            with self.subTest(use=use, options=options):
                got = script(f"""
import asyncio
client = bcda.Client(url, **settings, options={options!r})
children = []
def on_file(job, file, event):
    if event == bcda.FileEvent.BEGIN and not children:
        children.append(os.fork())
job = client.export("Patient", "ExplanationOfBenefit", on_file=on_file)
async def take():
    async for _ in job:
        pass
try:
    {use}
except bcda.ForkedError as e:
    print("child", e.code, flush=True)
    client.close()
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]), job.resources, job.verdict)
client.close()
""", self.sandbox)
                self.assertEqual((got.stdout, got.stderr, got.returncode),
                                 ("child BCDA_ERR_FORKED\n7 120 COMPLETE\n", "", 0))

    def test_multiprocessing(self):
        """In a forked worker, the parent's client must raise ForkedError, and a new client must work."""
        got = script("""
import multiprocessing
client = bcda.Client(url, **settings)
job = client.export("Patient")
resources = iter(job)
first = next(resources)
def of_the_parent(_):
    try:
        client.export("Patient")
    except bcda.ForkedError as e:
        kept = e
    with bcda.Client(url, **settings) as own:
        return str(kept.code), len(list(own.export("Patient"))), first.id != ""
def raises(_):
    client.metadata()
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(sorted(pool.map(of_the_parent, range(2))))
    try:
        pool.map(raises, [1])
    except bcda.ForkedError as e:
        print("raised here:", e)
print(1 + len(list(resources)))
client.close()
""", self.sandbox)
        self.assertEqual((got.stderr, got.returncode), ("", 0))
        self.assertEqual(got.stdout.splitlines(), [
            "[('BCDA_ERR_FORKED', 20, True), ('BCDA_ERR_FORKED', 20, True)]",
            "raised here: the client was made before fork() and belongs to the parent process: make a new client in "
            "the child", "20"])

    def test_nothing_of_the_library_can_be_pickled(self):
        """Pickling must be refused: an unpickled object would free the batch a second time."""
        got = script("""
import copy, pickle
client = bcda.Client(url, **settings)
job = client.export("Patient")
batch = next(job.batches())
with bcda.Decoder() as decoder:
    (other,) = decoder.write(batch[0].json + b"\\n") + decoder.finish()
    things = [client, job, batch, batch[0], batch.json, batch.file, other, other[0], other.json, decoder]
    for thing in things:
        try:
            pickle.dumps(thing)
        except TypeError as e:
            print("cannot be pickled" in str(e))
    copies = [copy.deepcopy(thing) for thing in things[2:9]] + [copy.copy(thing) for thing in things[2:9]]
    for i, thing in enumerate(copies):
        if isinstance(thing, bcda.Resource):
            print(thing.json == things[i % 7 + 2].json)
del things, thing, copies, other, batch
gc.collect()
client.close()
""", self.sandbox)
        self.assertEqual((got.stderr, got.stdout, got.returncode), ("", "True\n" * 14, 0))


class Exit(WithSandbox):
    """The interpreter ends while a job runs. It must print nothing and must not crash."""

    OPTIONS = ("--fault", "slow:2000")
    HOW = {"patients": 50}

    def ends(self, text, status=0, stdout="", stderr=""):
        got = script(text, self.sandbox)
        self.assertEqual((got.stdout, got.stderr, got.returncode), (stdout, stderr, status))

    def test_with_a_job_begun(self):
        self.ends("client = bcda.Client(url, **settings)\njob = client.export('Patient')\n"
                  "job.pause\ntry:\n    job.wait(0.1)\nexcept bcda.TimeoutExpired:\n    pass\n")

    def test_inside_a_loop(self):
        self.ends("client = bcda.Client(url, **settings, options={'batch_delay_ms': 1})\n"
                  "for batch in client.export('Patient').batches():\n    sys.exit(5)\n", 5)

    def test_with_decode_threads(self):
        self.ends("client = bcda.Client(url, **settings, options={'decode_threads': 2, 'batch_delay_ms': 1})\n"
                  "job = client.export('Patient')\nkeep = next(iter(job.batches()))\nsys.exit(4)\n", 4)

    def test_in_a_callback(self):
        self.ends("client = bcda.Client(url, **settings)\n"
                  "list(client.export('Patient', on_state=lambda *_: sys.exit(6)))\n", 6)

    def test_everything_in_a_cycle(self):
        self.ends("client = bcda.Client(url, **settings)\njob = client.export('Patient', on_file=lambda *_: job)\n"
                  "job.self = job; client.self = client, job\nit = job.batches()\n")

    def test_a_daemon_thread_waits(self):
        self.ends("client = bcda.Client(url, **settings)\nready = threading.Event()\n"
                  "job = client.export('Patient', on_file=lambda *_: ready.set())\n"
                  "threading.Thread(target=job.wait, daemon=True).start()\nready.wait()\n")

    def test_a_daemon_thread_works(self):
        self.ends("""
ready = threading.Event()
def work():
    while True:  # steps, callbacks, failures, all the time
        client = bcda.Client(url, **settings, options={"poll_max_ms": 1, "attempts": 1})
        job = client.export("Patient", on_state=lambda *_: ready.set())
        for _ in range(50):
            try:
                job.wait(0.001)
            except bcda.TimeoutExpired:
                pass
        client.close()
for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
ready.wait()
time.sleep(0.05)
""")

    def test_a_daemon_thread_inside_a_callback(self):
        self.ends("""
client = bcda.Client(url, **settings)
ready = threading.Event()
def on_state(*_):
    ready.set()
    time.sleep(100)
threading.Thread(target=lambda: client.export("Patient", on_state=on_state).wait(), daemon=True).start()
ready.wait()
""")


class Interrupt(WithSandbox):
    """SIGINT arrives while a call waits for the server. The call must raise KeyboardInterrupt at once."""

    HOW = {"polls": 1000000}

    def interrupted(self, use, more=""):
        text = f"""
import bcda, asyncio, signal, sys, time
{more}
settings = {self.sandbox.settings()!r}
url = settings.pop("fhir_url")
client = bcda.Client(url, **settings)
def told(job, state):
    if state == bcda.JobState.RUNNING:
        print("waiting", flush=True)
job = client.export("Patient", on_state=told)
try:
    {use}
except KeyboardInterrupt:
    print("interrupted", flush=True)
try:
    job.wait(10)
except bcda.Cancelled:
    print("cancelled", flush=True)
client.close()
"""
        env = dict(os.environ, PYTHONPATH=SOURCE)
        with subprocess.Popen([sys.executable, "-c", text], env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            self.assertEqual(process.stdout.readline(), "waiting\n")
            time.sleep(0.05)  # so that the process is probably waiting; the result is the same if it is not
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.stdout.readline(), "interrupted\n")
            rest, errors = process.stdout.read(), process.stderr.read()
            process.wait(LIMIT)
        self.assertEqual((rest, errors, process.returncode), ("cancelled\n", "", 0))

    def test_in_a_loop(self):
        self.interrupted("list(job)")

    def test_in_batches(self):
        self.interrupted("list(job.batches())")

    def test_on_asyncio(self):
        self.interrupted("asyncio.run(run())", "async def run():\n    await job")

    def test_without_one_descriptor(self):
        self.interrupted("list(job)", "import bcda._core\n"
                         "bcda._core.lib.bcda_session_fd = lambda s: -8")

    def test_a_handler_that_returns(self):
        got = script("""
client = bcda.Client(url, **settings)
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
job = client.export("Patient")
try:
    job.wait(0.3)
except bcda.TimeoutExpired:
    print(len(seen) > 2)
signal.setitimer(signal.ITIMER_REAL, 0)
client.close()
""", self.sandbox)
        self.assertEqual((got.stdout, got.stderr), ("True\n", ""))


class _Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
                 "fordblks", "keepcost")]


def in_use():
    """Returns how many bytes this process has allocated with malloc."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Mallinfo2
    gc.collect()
    found = mallinfo2()
    return found.uordblks + found.hblkhd


class Leak(unittest.TestCase):
    """A thousand jobs that end in different ways must leave no objects, memory or descriptors behind."""

    def test_a_thousand_jobs(self):
        with Sandbox(tls=False, patients=2, claims=1) as sandbox:
            first = sandbox.client()
            job = first.export("Patient")
            job.wait()
            self.url = job.url
            first.close()
            descriptors = len(os.listdir("/proc/self/fd"))
            client = sandbox.client(options={"parallel": 20, "requests_burst": 1000000})
            self.round(client, 100)
            objects, grown = self.objects(), []
            # Tables of Python and of libcurl grow in some rounds; a leak grows in every round. So the
            # test repeats rounds until one grows by less than 8 bytes per job. The smallest block of
            # malloc is 32 bytes, so a leak of one block per job is four times that limit.
            while len(grown) < 6 and (not grown or grown[-1] >= 8 * 1000):
                before = in_use()
                self.round(client, 1000)
                grown.append(in_use() - before)
                self.assertEqual(self.objects(), objects)
            self.assertLess(grown[-1], 8 * 1000, grown)
            client.close()
            self.assertEqual(len(os.listdir("/proc/self/fd")), descriptors)

    def objects(self):
        from bcda import _batch, _core, _job
        gc.collect()
        found = [type(o).__name__ for o in gc.get_objects()
                 if isinstance(o, (_job.Job, _job.File, _batch.Batch, _batch.Resource, _core.Handle))]
        return len(found), len(_job._jobs), len(_core._orphans), len(_core._leftovers)

    def round(self, client, count):
        for i in range(count):
            job = client.attach(self.url, on_state=lambda *_: None, fields=["id"])
            kind = i % 10
            if kind < 6:
                self.assertEqual(len(list(job)), 2)
            elif kind == 6:
                for batch in job.batches():
                    batch.json, batch.ids, batch.field("id").texts(), job.files
                    break
            elif kind == 7:
                job.cancel()
                with self.assertRaises(bcda.Cancelled):
                    job.wait()
            elif kind == 9:
                with self.assertRaises(bcda.NotFound):
                    client.attach(self.url[:-2] + "99999", on_state=lambda *_: None).wait()
            job = None  # jobs of kind 8 and 9 are released before they were started
        while client._core.step() or client.stats.transfers:
            client._core.wait(0.1)

    def test_clients(self):
        with Sandbox(tls=False, patients=2, claims=1) as sandbox:
            def rounds(count):
                for i in range(count):
                    client = sandbox.client()
                    job = client.export("Patient")
                    if i % 2:
                        client.close()
                    del client, job
                bcda._core.tidy()

            rounds(20)
            descriptors, grown = len(os.listdir("/proc/self/fd")), []
            # Stops as in test_a_thousand_jobs, here at less than 30 bytes per client.
            while len(grown) < 6 and (not grown or grown[-1] >= 3000):
                before = in_use()
                rounds(100)
                grown.append(in_use() - before)
            self.assertEqual(len(os.listdir("/proc/self/fd")), descriptors)
            self.assertLess(grown[-1], 3000, grown)


if __name__ == "__main__":
    unittest.main()
