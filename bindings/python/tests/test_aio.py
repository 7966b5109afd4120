"""Tests of asyncio: the event loop watches the session's descriptor, and no thread is started."""
import asyncio
import gc
import threading

from support import Sandbox, WithSandbox, bcda, unittest


class Aio(WithSandbox):
    HOW = {"patients": 20}

    def run_(self, main):
        before = threading.active_count()
        result = asyncio.run(asyncio.wait_for(main(), 60))
        self.assertEqual(threading.active_count(), before)
        return result

    def test_two_jobs_at_once(self):
        """Three jobs of two clients run in one event loop. Each job waits after its first resource until all
        three have one, so the test would hang if the jobs ran one after the other."""
        async def count(client, name, begun, everyone):
            n = 0
            async for resource in client.export("Patient", "ExplanationOfBenefit"):
                n += 1
                begun.add(name)
                if len(begun) == 3:
                    everyone.set()
                await everyone.wait()
            return n

        async def main():
            begun, everyone = set(), asyncio.Event()
            async with self.client(options={"batch_size": 4096}) as one, self.client() as two:
                return await asyncio.gather(*(count(client, name, begun, everyone) for client, name in (
                    (one, "a"), (one, "b"), (two, "c"))))

        self.assertEqual(self.run_(main), [120, 120, 120])

    def test_batches_await_and_requests(self):
        async def main():
            async with self.client() as client:
                n = 0
                async for batch in client.export("Patient").batches():
                    n += len(batch)
                job = client.export("Patient")
                await job
                metadata, version = await asyncio.gather(client.metadata_async(), client.version_async())
                return n, job.verdict, metadata.fhir_version, version

        n, verdict, fhir, version = self.run_(main)
        self.assertEqual((n, verdict), (20, bcda.Verdict.COMPLETE))
        self.assertTrue(fhir and version)

    def test_the_loop_goes_on_meanwhile(self):
        async def main():
            ticks = 0

            async def tick():
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0.001)

            with Sandbox(polls=10) as slow, slow.client(options={"poll_max_ms": 20}) as client:
                task = asyncio.ensure_future(tick())
                await client.export("Patient")
                task.cancel()
            return ticks

        self.assertGreater(self.run_(main), 20)

    def test_a_task_is_cancelled(self):
        async def main():
            with Sandbox(polls=1000000) as slow, slow.client() as client:
                running = asyncio.Event()
                jobs = [client.export("Patient", on_state=lambda j, s: running.set()) for _ in range(2)]

                async def use(job):
                    async for _ in job:
                        pass

                tasks = [asyncio.ensure_future(use(job)) for job in jobs]
                await running.wait()
                tasks[0].cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await tasks[0]
                with self.assertRaises(bcda.Cancelled):  # cancelling the task has cancelled its job
                    await jobs[0]
                self.assertFalse(tasks[1].done())
                jobs[1].cancel()
                with self.assertRaises(bcda.Cancelled):
                    await tasks[1]

        self.run_(main)

    def test_the_loop_is_left(self):
        async def main():
            async with self.client(options={"batch_size": 4096}) as client:
                job = client.export("Patient", "ExplanationOfBenefit")
                async for _ in job:
                    break
                with self.assertRaises(bcda.Cancelled):
                    await job
                with self.assertRaises(ZeroDivisionError):
                    async for _ in client.export("Patient"):
                        1 / 0

        self.run_(main)

    def test_data_comes_once(self):
        async def take(job):
            return [r async for r in job]

        async def main():
            async with self.client(options={"batch_size": 4096}) as client:
                job = client.export("Patient")
                self.assertEqual(len(await take(job)), 20)
                for loop in (take(job), self.batches(job)):
                    with self.assertRaisesRegex(bcda.StateError, "taken by an earlier loop"):
                        await loop
                await job
                await job
                both = await asyncio.gather(take(job := client.export("Patient")), take(job), self.waits(job),
                                            return_exceptions=True)
                self.assertEqual(len(both[0]), 20)
                self.assertEqual([type(e) for e in both[1:]], [bcda.StateError] * 2)
                first = await asyncio.gather(self.waits(job := client.export("Patient")), take(job), self.waits(job),
                                             return_exceptions=True)
                self.assertEqual([type(e) for e in first], [type(None), bcda.StateError, type(None)])
                with self.assertRaisesRegex(bcda.StateError, "has discarded its data"):
                    await take(job)

        self.run_(main)

    async def batches(self, job):
        return [b async for b in job.batches()]

    async def waits(self, job):
        await job

    def test_one_client_in_two_loops_one_after_the_other(self):
        client = self.client()

        async def main():
            return len([r async for r in client.export("Patient")])

        self.assertEqual([self.run_(main) for _ in range(2)], [20, 20])
        self.assertEqual(len(list(client.export("Patient"))), 20)

    def test_closed_while_somebody_waits(self):
        async def main():
            with Sandbox(polls=1000000) as slow:
                client = slow.client()
                running = asyncio.Event()
                job = client.export("Patient", on_state=lambda j, s: running.set())
                task = asyncio.ensure_future(job._wait())
                await running.wait()
                client.close()
                with self.assertRaises(bcda.Cancelled):
                    await task

        self.run_(main)

    def test_without_one_descriptor(self):
        async def main():
            async with self.client() as client:
                client._core.fd, client._core.poller = -8, None
                return len([r async for r in client.export("Patient")])

        self.assertEqual(self.run_(main), 20)


if __name__ == "__main__":
    unittest.main()
