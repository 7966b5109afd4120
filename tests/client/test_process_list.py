#!/usr/bin/env python3
"""What other users and programs can see of bcda-export while it runs: neither its command line and
environment nor those of its children contain a key, an assertion, a token or another secret.

test_process_list.py BCDA_EXPORT BCDA_SANDBOX [TEST]...
"""
import json
import os
import subprocess
import sys
import threading
import urllib.parse

import fhir_server
import programs

report = programs.Report()
check = report.check
# These are visible. Each snapshot must have them, else it proves nothing.
CLIENT_ID = b"my-client-id"
MARK = b"BCDA_TEST_MARK=visible"
TOKEN, SECRET, PASSPHRASE = b"tok.en.of.the.server", b"the-client-secret", b"the-passphrase"


def parents():
    """Returns the parent of each process."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = fhir_server.read(f"/proc/{pid}/stat")
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[int(pid)] = int(text[text.rindex(b")") + 2:].split()[1])
    return found


def family(pid):
    """Returns the process and its descendants."""
    of, members = parents(), [pid]
    for member in members:
        members += [child for child, parent in of.items() if parent == member]
    return members


class Handler(fhir_server.Handler):
    """Looks at the processes of the client while it waits for an answer."""

    def look(self, body=b""):
        s = self.server.owner
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        s.secrets |= {value.encode()} if kind else set()
        s.secrets |= {a.encode() for a in urllib.parse.parse_qs(body.decode()).get("client_assertion", [])}
        s.look()

    def do_GET(self):
        self.look()
        if self.path.endswith("/smart-configuration"):
            text = json.dumps({"token_endpoint": self.server.owner.origin + "/token"})
            return self.answer(200, text.encode())
        return super().do_GET()

    def do_POST(self):
        self.look(self.rfile.read(int(self.headers["Content-Length"] or 0)))
        self.answer(200, json.dumps({"access_token": TOKEN.decode(), "expires_in": 300}).encode())


class Server(fhir_server.Server):
    def __init__(self):
        super().__init__(report)
        self.http.RequestHandlerClass = Handler
        self.secrets, self.seen = {TOKEN, SECRET, PASSPHRASE}, []
        self.pid, self.has_started = None, threading.Event()
        self.fifo = os.path.join(self.work, "fifo")
        os.mkfifo(self.fifo)

    def path(self, name, content):
        path = os.path.join(self.work, name)
        fhir_server.write(path, content)
        os.chmod(path, 0o600)
        return path

    def look(self):
        self.has_started.wait(programs.LIMIT)
        for pid in family(self.pid):
            try:
                self.seen.append((pid, fhir_server.read(f"/proc/{pid}/cmdline"),
                                  fhir_server.read(f"/proc/{pid}/environ")))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended

    def export(self, *options, meanwhile=None):
        """Runs bcda-export. Checks what was seen, and returns the ids of the processes that were."""
        command = [programs.EXPORT, "--url", self.url, "--allow-http-loopback", "--out", self.out,
                   *programs.FAST, *options]
        name, _, value = MARK.decode().partition("=")
        self.has_started.clear()
        self.seen = []
        with subprocess.Popen(command, stderr=subprocess.PIPE, env=dict(os.environ, **{name: value})) as process:
            self.pid = process.pid
            self.has_started.set()
            if meanwhile:
                meanwhile()
            said = process.communicate(timeout=programs.LIMIT)[1]
        check(process.returncode == 0, options, process.returncode, said)
        own = [what for what in self.seen if what[0] == process.pid]
        check(len(own) >= 5, "seldom seen", len(own))
        for _, line, environment in own:
            check(options[0].encode() in line and MARK in environment, line, environment)
        for secret in self.secrets:
            check(not any(secret in line or secret in environment for _, line, environment in self.seen),
                  "visible", secret)
        return {pid for pid, _, _ in self.seen}


def private_key():
    with Server() as s:
        passphrase, key = s.path("passphrase", PASSPHRASE), s.path("key.pem", b"")
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384",
                        "-aes256", "-pass", "file:" + passphrase, "-out", key], check=True,
                       timeout=programs.LIMIT, stderr=subprocess.DEVNULL)
        plain = subprocess.run(["openssl", "pkey", "-in", key, "-passin", "file:" + passphrase], check=True,
                               timeout=programs.LIMIT, capture_output=True).stdout
        for text in (plain, fhir_server.read(key)):
            s.secrets |= {line for line in text.split(b"\n") if line and not line.startswith(b"-----")}
        known = len(s.secrets)
        seen = s.export("--client-id", CLIENT_ID.decode(), "--private-key-jwt", key, "--kid", "my-key",
                        "--private-key-jwt-passphrase-file", passphrase, "--token-cache",
                        os.path.join(s.work, "cache"))
        check(len(s.secrets) == known + 1 and any(w.startswith(b"eyJ") for w in s.secrets), "no assertion")
        check(len(seen) == 1, "a child", seen)


def token_command():
    with Server() as s:
        def answer_command():
            with open(s.fifo, "wb") as f:  # waits until the command has opened it
                s.look()
                f.write(TOKEN)

        seen = s.export("--token-command", f"cat {s.fifo}", meanwhile=answer_command)
        check(len(seen) >= 2, "the command was not seen", seen)


def files():
    with Server() as s:
        s.export("--bearer-token-file", s.path("token", TOKEN))
        s.export("--client-id", CLIENT_ID.decode(), "--client-secret-file", s.path("secret", SECRET), "--token-url",
                 s.origin + "/token", "--replace")


def main():
    report.run([private_key, token_command, files], sys.argv[3:])
    report.finish()


main()
