"""Shared by the tests: starts the test server (bcda-sandbox) in a process of its own, and creates clients
for it."""
import gc
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest  # noqa

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(HERE)
ROOT = os.path.dirname(os.path.dirname(PACKAGE))
SOURCE = os.path.join(PACKAGE, "src")
SANDBOX = os.environ["BCDA_SANDBOX_PROGRAM"]
LIMIT = 120  # seconds after which a process that hangs is killed

sys.path.insert(0, SOURCE)

import bcda  # noqa: E402

PLAIN = {"allow_http_loopback": True}


class Sandbox:
    """A running bcda-sandbox. `env` holds the variables that its option --print-env has printed."""

    def __init__(self, *options, era="current", tls=True, patients=10, claims=5, polls=0, duplicates=True):
        self.state = tempfile.mkdtemp(prefix="bcda-test-")
        command = [SANDBOX, "--print-env", "--state-dir", self.state, "--era", era,
                   "--patients", str(patients), "--claims", str(claims), "--polls", str(polls)]
        command += (["--allow-duplicates"] if duplicates else []) + (["--tls"] if tls else []) + list(options)
        self.tls = tls
        # LD_PRELOAD may load a sanitizer, which only the client needs.
        env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        self.env = {}
        for line in self.process.stdout:
            word = shlex.split(line)
            word = word[1:] if word and word[0] == "export" else word
            name, _, value = (word[0] if word else "").partition("=")
            self.env[name] = value
        assert "BCDA_FHIR_URL" in self.env, (command, self.env)

    def settings(self, **more):
        with open(self.env["BCDA_CLIENT_SECRET_FILE"], encoding="ascii") as f:
            secret = f.read().strip()
        found = {"fhir_url": self.env["BCDA_FHIR_URL"], "client_id": self.env["BCDA_CLIENT_ID"],
                 "client_secret": secret, "private_key": self.env.get("BCDA_PRIVATE_KEY") or None,
                 "ca_file": self.env.get("BCDA_CA_FILE") or None}
        if not self.tls:
            found["options"] = dict(PLAIN)
        options = {**found.pop("options", {}), **more.pop("options", {})}
        return {**found, **more, "options": options}

    def client(self, **more):
        """A client with one attempt per request and short polling intervals, so that the tests are fast.
        The C tests check retries and delays."""
        settings = self.settings(**more)
        settings["options"] = {"attempts": 1, "poll_max_ms": 5, **settings["options"]}
        return bcda.Client(settings.pop("fhir_url"), **settings)

    def close(self):
        self.process.terminate()
        self.process.wait(LIMIT)
        self.process.stdout.close()
        shutil.rmtree(self.state, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class WithSandbox(unittest.TestCase):
    """Base of test classes. The tests of a class share one sandbox, which is started with the command-line
    options `OPTIONS` and the keyword arguments `HOW`."""

    OPTIONS = ()
    HOW = {}

    @classmethod
    def setUpClass(cls):
        cls.sandbox = Sandbox(*cls.OPTIONS, **cls.HOW)

    @classmethod
    def tearDownClass(cls):
        gc.collect()
        cls.sandbox.close()

    def client(self, **more):
        client = self.sandbox.client(**more)
        self.addCleanup(client.close)
        return client


def script(text, sandbox=None, **more):
    """Runs the Python program `text` in a process of its own. With a sandbox, the program can use `url` and
    `settings` to create a client."""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join((SOURCE, HERE)), **(sandbox.env if sandbox else {}))
    settings = sandbox.settings() if sandbox else {}
    settings.pop("options", None)
    head = f"settings = {settings!r}\nurl = settings.pop('fhir_url')\n" if sandbox else ""
    return subprocess.run([sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c",
                           "import bcda, os, sys, threading, time, signal, gc\n" + head + text],
                          env=env, capture_output=True, text=True, timeout=LIMIT, **more)
