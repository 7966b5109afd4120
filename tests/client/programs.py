"""What the tests of the programs share: how to start a sandbox and run bcda-export against it."""
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import urllib.request

EXPORT, SANDBOX = (os.path.abspath(path) for path in sys.argv[1:3])
LIMIT = 300  # seconds until a program counts as hung
# Options for short waits before retries and polls: no test depends on how long these waits are.
FAST = ["--set", "retry_max_ms=1", "--set", "poll_max_ms=10"]


class KeyPair:
    """The RSA key pair that the first sandbox of this program made. All later ones get its public
    key: making a pair takes longer than most exports."""

    def __init__(self):
        self.lock = threading.Lock()
        self.folder = None

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def keep(self, private):
        with self.lock:
            if self.folder:
                return
            folder = tempfile.TemporaryDirectory(prefix="bcda-test-")
            shutil.copy(private, os.path.join(folder.name, "private.pem"))
            subprocess.run(["openssl", "rsa", "-in", private, "-pubout", "-out",
                            os.path.join(folder.name, "public.pem")], check=True, timeout=LIMIT,
                           stderr=subprocess.DEVNULL)
            self.folder = folder


KEYS = KeyPair()


class Sandbox:
    """bcda-sandbox in a process of its own. `env` has the variables that --print-env prints."""

    def __init__(self, *options, tls=True, data=None):
        """`data` maps the names of the files to serve to their contents."""
        self.state = tempfile.mkdtemp(prefix="bcda-test-")
        command = [SANDBOX, "--print-env", "--state-dir", os.path.join(self.state, "s")]
        os.mkdir(os.path.join(self.state, "s"))
        if data:
            command += ["--data", os.path.join(self.state, "d")]
            os.mkdir(os.path.join(self.state, "d"))
            for name, text in data.items():
                with open(os.path.join(self.state, "d", name), "w", encoding="utf-8") as f:
                    f.write(text)
        command += (["--tls"] if tls else []) + list(options)
        self.shared = KEYS.folder is not None
        if self.shared:
            command += ["--public-key", KEYS.path("public.pem")]
        self.command = command
        assert self.launch(command), command

    def launch(self, command):
        """Returns false if the sandbox does not start."""
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.env = {}
        for line in self.process.stdout:
            word = shlex.split(line)
            word = word[1:] if word and word[0] == "export" else word
            name, _, value = (word[0] if word else "").partition("=")
            self.env[name] = value
        if "BCDA_FHIR_URL" not in self.env:
            return False
        if self.shared:
            self.env["BCDA_PRIVATE_KEY"] = KEYS.path("private.pem")
        else:
            KEYS.keep(self.env["BCDA_PRIVATE_KEY"])
        return True

    def port(self):
        return self.env["BCDA_FHIR_URL"].split("/")[2].split(":")[1]

    def kill(self):
        self.process.kill()
        self.process.wait(LIMIT)
        self.process.stdout.close()

    def restart(self, *options):
        """Starts the sandbox again, after kill(), on its port. It must have --keep-state. A connection of
        another program may have that port for a moment."""
        command = self.command + ["--port", self.port()] + list(options)
        deadline = time.monotonic() + LIMIT
        while not self.launch(command):
            self.kill()
            assert time.monotonic() < deadline, command
            time.sleep(0.05)

    certificate = None  # a PEM file with a certificate and its key, if the sandbox demands one

    def control(self, method, target):
        """Sends a request to steer the sandbox, which must have --control."""
        ca = self.env.get("BCDA_CA_FILE")
        origin = f"https://localhost:{self.port()}" if ca else f"http://127.0.0.1:{self.port()}"
        request = urllib.request.Request(f"{origin}/_sandbox/{target}", method=method)
        context = ssl.create_default_context(cafile=ca) if ca else None
        if self.certificate:
            context.load_cert_chain(self.certificate)
        with urllib.request.urlopen(request, timeout=LIMIT, context=context) as answer:
            return answer.read().decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(LIMIT)
        self.process.stdout.close()
        shutil.rmtree(self.state, ignore_errors=True)

    def arguments(self):
        e = self.env
        found = ["--url", e["BCDA_FHIR_URL"], "--client-id", e["BCDA_CLIENT_ID"],
                 "--client-secret-file", e["BCDA_CLIENT_SECRET_FILE"]]
        if e.get("BCDA_CA_FILE"):
            found += ["--ca", e["BCDA_CA_FILE"]]
        else:
            found += ["--allow-http-loopback"]
        if e.get("BCDA_PRIVATE_KEY"):
            found += ["--private-key", e["BCDA_PRIVATE_KEY"]]
        return found


def export(sandbox, *options, **more):
    return subprocess.run([EXPORT] + sandbox.arguments() + FAST + list(options), capture_output=True,
                          timeout=LIMIT, **more)


def guide_blocks(page):
    """Returns [commands, expected output] for each block of commands of a page, in its order."""
    found = []
    for kind, text in re.findall(r"^ *```(sh|text)\n(.*?)^ *```$", page, flags=re.M | re.S):
        if kind == "sh":
            found.append([textwrap.dedent(text), ""])
        else:
            found[-1][1] = textwrap.dedent(text)
    return found


def run_guide(report, page, least, folder, env):
    """Runs the commands of a page in one shell, as a reader would, in an empty folder. Each block must print
    what the page says. Ends the programs that the commands left running. There are `least` blocks or more."""
    mark = "==== the end of a block ===="
    found = guide_blocks(page)
    report.check(len(found) >= least, "hardly a block on the page", found)
    shell = subprocess.Popen(["sh", "-eu"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, cwd=folder, env=env, start_new_session=True)
    try:
        printed, complaints = shell.communicate("".join(f"{commands}echo '{mark}'\n" for commands, _ in found), LIMIT)
    finally:
        try:
            os.killpg(shell.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
    got = printed.split(mark + "\n")
    report.check(len(got) == len(found) + 1, "not all blocks ran", printed, complaints)
    for (commands, expected), lines in zip(found, got):
        report.check(not expected or lines == expected, commands, "printed", lines, "not", expected, complaints)


class Report:
    """Counts the checks, and prints those that fail."""

    def __init__(self):
        self.done = self.wrong = 0

    def check(self, right, *what):
        self.done += 1
        if not right:
            self.wrong += 1
            print("WRONG:", *(repr(w)[:1500] if not isinstance(w, str) else w[:1500] for w in what))
        return right

    @staticmethod
    def run(tests, names):
        """Runs all tests, or those in `names`, and prints how long each of them took."""
        for test in tests:
            if not names or test.__name__ in names:
                began = time.monotonic()
                test()
                print(f"{test.__name__}: {time.monotonic() - began:.1f} s", flush=True)

    def finish(self):
        print(f"{self.done} checks, {self.wrong} wrong")
        sys.exit(1 if self.wrong or not self.done else 0)
