"""Tests of each kind of failure, and of exceptions that the application's callbacks raise."""
import asyncio
import logging
import os
import traceback

from support import Sandbox, WithSandbox, bcda, unittest

KIND = {  # fault of the sandbox: (class, name of the code)
    "token-html": (bcda.ProtocolError, "BCDA_ERR_NOT_JSON"),
    "token-no-token": (bcda.AuthError, "BCDA_ERR_TOKEN"),
    "kickoff-no-location": (bcda.ProtocolError, "BCDA_ERR_NO_LOCATION"),
    "kickoff-html": (bcda.ServerError, None),
    "kickoff-500-once": (bcda.ServerUnavailable, "BCDA_ERR_SERVER"),
    "manifest-not-json": (bcda.ProtocolError, None),
    "manifest-not-manifest": (bcda.ProtocolError, "BCDA_ERR_MANIFEST"),
    "job-expired": (bcda.NotFound, "BCDA_ERR_NOT_FOUND"),
    "job-failed": (bcda.JobFailed, "BCDA_ERR_JOB_FAILED"),
    "job-cancelled": (bcda.JobCancelled, "BCDA_ERR_JOB_CANCELLED"),
    "data-404": (bcda.NotFound, "BCDA_ERR_NOT_FOUND"),
    "data-500": (bcda.ServerUnavailable, "BCDA_ERR_SERVER"),
    "data-cut:0": (bcda.TransferError, None),
    "data-reset:0": (bcda.TransferError, None),
    "headers-huge:300000": (bcda.AnswerTooLarge, "BCDA_ERR_HEADERS_TOO_LARGE"),
    "bad-utf8": (bcda.BadLine, "BCDA_ERR_LINE_UTF8"),
    "two-on-line": (bcda.BadLine, "BCDA_ERR_LINE_JSON"),
    "deep-line:100": (bcda.BadLine, "BCDA_ERR_LINE_DEPTH"),
    "cut-line": (bcda.CutFile, "BCDA_ERR_LINE_CUT"),
    "redirect-loop": (bcda.RedirectError, "BCDA_ERR_REDIRECT"),
}
EARLY = {
    "job-expired": (bcda.Gone, "BCDA_ERR_GONE"),
    "data-flip:-20": (bcda.TamperedFile, "BCDA_ERR_TAG"),
    "data-short:100": (bcda.TamperedFile, "BCDA_ERR_TAG"),
    "data-short:20": (bcda.CutFile, "BCDA_ERR_CIPHER_SHORT"),
    "wrong-label": (bcda.FileKeyError, "BCDA_ERR_KEY_LABEL"),
    "wrong-key": (bcda.FileKeyError, "BCDA_ERR_KEY_UNWRAP"),
    "key-not-hex": (bcda.FileKeyError, "BCDA_ERR_KEY_VALUE"),
}


class Kinds(unittest.TestCase):
    """Each fault of the server must raise the exception class of its error code."""

    def fails(self, fault, era, kind, name, **how):
        with self.subTest(fault=fault), Sandbox("--fault", fault, era=era, patients=3) as sandbox:
            with sandbox.client() as client:
                with self.assertRaises(bcda.Error) as caught:
                    list(client.export("Patient", **how))
                error = caught.exception
                self.assertIsInstance(error, kind)
                self.assertIs(type(error), bcda.errors.CLASSES[error.code])
                if name:
                    self.assertEqual(error.name, name)
                self.assertTrue(error.text and str(error) == error.text)

    def test_today(self):
        for fault, (kind, name) in KIND.items():
            self.fails(fault, "current", kind, name)

    def test_encrypted(self):
        for fault, (kind, name) in EARLY.items():
            self.fails(fault, "2019-04", kind, name, level="resource")


class Faults(WithSandbox):
    """Errors whose cause is on the client's side."""

    def test_wrong_secret(self):
        with self.assertRaises(bcda.AuthError) as caught:
            list(self.client(client_secret="wrong").export("Patient"))
        error = caught.exception
        self.assertEqual((error.name, error.http_status, error.file, error.line, error.offset),
                         ("BCDA_ERR_AUTH", 401, "", None, None))
        self.assertFalse(error.is_retryable)
        self.assertIsInstance(error, bcda.ServerError)

    def test_nobody_there(self):
        settings = self.sandbox.settings(options={"attempts": 1})
        settings["fhir_url"] = "https://localhost:1/api/v1"
        with bcda.Client(**settings) as client:
            with self.assertRaises(bcda.ConnectError) as caught:
                list(client.export("Patient"))
            with self.assertRaises(bcda.ConnectError):
                client.metadata()
        self.assertTrue(caught.exception.is_retryable)

    def test_certificate_not_trusted(self):
        with Sandbox() as other:
            with self.assertRaises(bcda.CertificateError):
                list(self.client(ca_file=other.env["BCDA_CA_FILE"]).export("Patient"))

    def test_configuration(self):
        url = "https://bcda.example/api/v2"
        for kind, settings in (
                (bcda.ConfigError, {}),
                (bcda.ConfigError, {"client_id": "a"}),
                (bcda.ConfigError, {"client_id": "a", "client_secret": "b", "bearer_token": "c"}),
                (bcda.InvalidArgument, {"client_id": "a:b", "client_secret": "c"}),
                (bcda.UrlError, {"fhir_url": "nonsense", "bearer_token": "t"}),
                (bcda.InsecureUrl, {"fhir_url": "http://bcda.example/api/v2", "bearer_token": "t"}),
                (bcda.OptionError, {"bearer_token": "t", "options": {"no_such": 1}}),
                (bcda.OptionError, {"bearer_token": "t", "options": {"parallel": "many"}}),
                (bcda.OptionError, {"bearer_token": "t", "options": {"parallel": -5}}),
                (bcda.OptionError, {"bearer_token": "t", "options": {"parallel": 1 << 70}}),
                (TypeError, {"bearer_token": "t", "options": {"parallel": 1.5}}),
                (bcda.LocalFileError, {"bearer_token": "t", "ca_file": "/nowhere/ca.pem"}),
                (bcda.LocalFileError, {"bearer_token": "t", "private_key": "/nowhere/key.pem"}),
                (bcda.PrivateKeyError, {"bearer_token": "t", "private_key": b"no key"}),
                (bcda.ConfigError, {"bearer_token": "t", "options": {"delivery": "verified"}}),
                (ValueError, {"bearer_token": "t\0"}),
                (TypeError, {"bearer_token": b"t"})):
            with self.subTest(settings=settings), self.assertRaises(kind):
                bcda.Client(settings.pop("fhir_url", url), **settings)
        with self.assertRaisesRegex(bcda.OptionError, "parallel"):
            bcda.Client(url, bearer_token="t", options={"parallel": -5})

    def test_tokens_of_our_own(self):
        with self.client() as client:
            client.export("Patient").wait()
        asked = []
        token = self.token()

        def provider():
            asked.append(1)
            return token, 600.0

        credentials = {"client_id": None, "client_secret": None}
        client = self.client(token_provider=provider, **credentials)
        self.assertEqual(len(list(client.export("Patient"))), 10)
        self.assertEqual(len(list(client.export("Patient"))), 10)
        self.assertEqual(len(asked), 1)
        client = self.client(bearer_token=token, **credentials)
        self.assertEqual(len(list(client.export("Patient"))), 10)
        for bad in (lambda: None, lambda: "", lambda: 1 / 0):
            with self.assertRaises((bcda.AuthError, TypeError, ZeroDivisionError)):
                list(self.client(token_provider=bad, **credentials).export("Patient"))

    def token(self):
        import base64
        import json
        import ssl
        import urllib.request
        e = self.sandbox.env
        pair = base64.b64encode(f"{e['BCDA_CLIENT_ID']}:{self.sandbox.settings()['client_secret']}".encode())
        request = urllib.request.Request(e["BCDA_TOKEN_URL"], data=b"", headers={
            "Authorization": "Basic " + pair.decode(), "Accept": "application/json"})
        tls = ssl.create_default_context(cafile=e["BCDA_CA_FILE"])
        with urllib.request.urlopen(request, context=tls) as answer:
            return json.load(answer)["access_token"]

    def test_coroutine_brings_tokens(self):
        token = self.token()
        credentials = {"client_id": None, "client_secret": None}

        async def provider():
            await asyncio.sleep(0)
            return token

        async def fails():
            await asyncio.sleep(0)
            raise ZeroDivisionError

        async def main():
            async with self.client(token_provider=provider, **credentials) as client:
                self.assertEqual(len([r async for r in client.export("Patient")]), 10)
            async with self.client(token_provider=fails, **credentials) as client:
                with self.assertRaises(ZeroDivisionError):
                    await client.export("Patient")

        asyncio.run(main())
        with self.assertRaisesRegex(TypeError, "asyncio"):
            list(self.client(token_provider=provider, **credentials).export("Patient"))

    def test_log_lines(self):
        with self.assertLogs("bcda", logging.DEBUG) as caught:
            client = self.client()
            client.export("Patient").wait()
            with self.assertRaises(bcda.AuthError):
                self.client(client_secret="very secret").export("Patient").wait()
        names = {r.name for r in caught.records}
        self.assertIn("bcda.client", names)
        self.assertNotIn("very secret", "\n".join(caught.output))
        with self.assertNoLogs("bcda") if hasattr(self, "assertNoLogs") else self.subTest():
            self.client(log_level=logging.CRITICAL).export("Patient").wait()


class OurOwn(Exception):
    pass


async def everything(job):
    return [r async for r in job]


class Exceptions(WithSandbox):
    """An exception in the loop or in a callback stops the job, and the caller gets the same exception object."""

    HOW = {"patients": 20}
    OPTIONS = ("--fault", "bad-json", "--fault", "error-file", "--fault", "deleted")
    USES = (list, lambda j: list(j.batches()), lambda j: j.wait(), lambda j: asyncio.run(everything(j)))

    def comes_out(self, use, **callbacks):
        error = OurOwn("mine")

        def where_it_was_raised(*_):
            raise error

        client = self.client(options={"bad_lines_max": -1, "batch_size": 4096})
        callbacks = {name: where_it_was_raised for name in callbacks}
        job = client.export("Patient", "ExplanationOfBenefit", **callbacks)
        frames = []
        try:
            use(job)
        except OurOwn as e:
            self.assertIs(e, error)
            frames = [f.name for f in traceback.extract_tb(e.__traceback__)]
        self.assertIn("where_it_was_raised", frames)
        return job, client

    def test_in_each_callback(self):
        for name in ("on_state", "on_file", "on_issue", "on_deletion", "on_bad_line", "on_done"):
            for use in self.USES:
                with self.subTest(callback=name):
                    job, client = self.comes_out(use, **{name: True})
                    if name not in ("on_done", "on_bad_line"):
                        self.assertEqual(job.error.name, "BCDA_ERR_STOPPED")
                        with self.assertRaises(OurOwn):
                            job.wait()
                    self.assertEqual(client.version().__class__, str)  # the client can still be used

    def test_in_on_progress(self):
        # The export must be slow: a fast job may end without a call of on_progress.
        kept, self.sandbox = self.sandbox, Sandbox(polls=1000000)
        try:
            for use in self.USES:
                self.comes_out(use, on_progress=True)[1].close()
        finally:
            self.sandbox.close()
            self.sandbox = kept

    def test_stop_iteration_does_not_end_a_loop_quietly(self):
        def stops(*_):
            raise StopIteration

        job = self.client(options={"bad_lines_max": -1}).export("Patient", on_file=stops)
        with self.assertRaises(RuntimeError):
            list(job)

    def test_a_callback_may_use_the_client(self):
        seen = []

        def on_file(job, file, event):
            seen.append((file.name, job.state, client.stats.requests > 0))
            other.append(client.export("Patient"))
            with self.assertRaises(bcda.ReentrantError):
                list(other[-1])

        other = []
        client = self.client(options={"bad_lines_max": -1})
        job = client.export("Patient", on_file=on_file, on_issue=lambda *_: None,
                            on_deletion=lambda *_: None)
        self.assertEqual(len(list(job)), 19)
        self.assertTrue(seen)

    def test_closing_in_a_callback(self):
        client = self.client(options={"bad_lines_max": -1})
        job = client.export("Patient", on_state=lambda j, s: s == bcda.JobState.RUNNING and client.close())
        with self.assertRaises(bcda.Cancelled):
            list(job)

    def test_keyboard_interrupt_in_another_jobs_callback(self):
        """A callback of one job raises KeyboardInterrupt while the caller loops over another job. The loop must
        raise it at once."""
        def interrupts(*_):
            raise KeyboardInterrupt

        client = self.client(options={"bad_lines_max": -1})
        other = client.export("Patient", on_state=interrupts)
        with self.assertRaises(KeyboardInterrupt):
            list(client.export("Patient"))
        self.assertIsNotNone(other.result)


if __name__ == "__main__":
    unittest.main()
