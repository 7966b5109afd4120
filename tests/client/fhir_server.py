"""A FHIR Bulk Data server whose behaviour a test controls, and runs of bcda-export against it."""
import http.client
import http.server
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import programs

# Hundreds of runs call fsync(), so their files are kept in memory if there is such a file system.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None

# Connections are accepted in order. When a request for this path is answered, the server has begun
# to handle all earlier ones.
SETTLE = "/settle"


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, data=b""):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def wait_for(what):
    until = time.monotonic() + programs.LIMIT
    while not what() and time.monotonic() < until:
        time.sleep(0.005)
    return what()


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        s = self.server.owner
        if self.path == SETTLE:
            return self.answer(200)
        s.requests.append(self.path)
        part = self.path.split("/")
        if self.path.endswith("/metadata"):
            return self.answer(200, b'{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}')
        if self.path == "/_version":
            return self.answer(404, b"404 page not found")
        if "$export" in self.path:
            if s.slow_start:
                s.gate.wait(programs.LIMIT)
            if s.refuse:
                return self.answer(404, b"nothing for you")
            s.jobs += 1
            return self.answer(202, Content_Location=f"{s.url}/jobs/{s.jobs}")
        if part[-2] == "jobs":
            return self.status(s, int(part[-1]))
        return self.file(s, int(part[-2]), int(part[-1].split(".")[0]))

    def do_DELETE(self):
        self.server.owner.requests.append("DELETE " + self.path)
        self.answer(202)

    def status(self, s, job):
        if job in s.dead:
            return self.answer(*s.dead[job])
        if s.running:
            return self.answer(202, X_Progress=s.progress)
        items = [{"type": kind, "url": f"{s.origin}/data/{job}/{i}.ndjson"}
                 for i, kind in enumerate(s.types)]
        gone = [{"type": "Bundle", "url": f"{s.origin}/data/{job}/{len(s.types) + i}.ndjson"}
                for i in range(s.deleted)]
        self.answer(200, json.dumps(dict({
            "transactionTime": "2020-01-01T00:00:00Z", "request": s.url + "/Patient/$export",
            "requiresAccessToken": True, "output": items, "error": [], "deleted": gone},
            **s.more)).encode())

    def file(self, s, job, index):
        if index in s.held:
            s.gate.wait(programs.LIMIT)
        if index in s.lost:
            return self.answer(404)
        self.answer(200, s.content(job, index))

    def log_message(self, *_):
        pass


class Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *what):
        super().__init__(*what)
        self.lock, self.in_work = threading.Lock(), 0

    def count(self, n):
        with self.lock:
            self.in_work += n

    def process_request(self, *what):
        self.count(1)
        super().process_request(*what)

    def process_request_thread(self, *what):
        try:
            super().process_request_thread(*what)
        finally:
            self.count(-1)

    def handle_error(self, *_):
        """Ignores the error: the client was killed."""


class Server:
    """A running server. The id of each resource in its files names the job. `deleted` is the number of
    files of deletions; their indexes follow those of the data files."""

    def __init__(self, report, types=("Patient", "Patient", "Coverage")):
        self.report = report
        self.types, self.requests, self.jobs = types, [], 0
        self.dead, self.held, self.lost, self.more = {}, set(), set(), {}
        self.deleted = 0
        self.refuse = self.running = self.slow_start = False
        self.progress = "In Progress (50%)"
        self.gate = threading.Event()
        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.http.owner = self
        self.origin = "http://localhost:%d" % self.http.server_address[1]
        self.url = self.origin + "/api/v2"
        self.work = tempfile.mkdtemp(prefix="bcda-test-", dir=MEMORY)
        self.out, self.state = os.path.join(self.work, "out"), os.path.join(self.work, "state")
        write(os.path.join(self.work, "token"), b"a-token")
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.gate.set()
        self.http.shutdown()
        self.http.server_close()
        shutil.rmtree(self.work, ignore_errors=True)

    def content(self, job, index):
        if index >= len(self.types):
            return b"".join(
                b'{"resourceType":"Bundle","type":"transaction","entry":[' + b",".join(
                    b'{"request":{"method":"DELETE","url":"%s/%d-%d-%d"}}' % (kind, job, index, i)
                    for kind in (b"Patient", b"Coverage")) + b"]}\n" for i in range(3))
        return b"".join(b'{"resourceType":"%s","id":"%d-%d-%d"}\n' %
                        (self.types[index].encode(), job, index, i) for i in range(3))

    def lines(self, job):
        return sorted(line for i in range(len(self.types) + self.deleted)
                      for line in self.content(job, i).split(b"\n")[:-1])

    def command(self, *options):
        return [programs.EXPORT, "--url", self.url, "--bearer-token-file",
                os.path.join(self.work, "token"), "--allow-http-loopback", "--out", self.out,
                *programs.FAST, *options]

    def settled_requests(self):
        """Returns how many requests have come so far, including those of clients that were killed
        before the answer."""
        client = http.client.HTTPConnection(*self.http.server_address, timeout=programs.LIMIT)
        client.request("GET", SETTLE)
        client.getresponse().read()
        client.close()
        self.report.check(wait_for(lambda: self.http.in_work == 0), "a request without end")
        return len(self.requests)

    def run(self, *options, code, **more):
        done = subprocess.run(self.command(*options), capture_output=True, timeout=programs.LIMIT,
                              **more)
        self.report.check(done.returncode == code, options, done.returncode, done.stderr)
        self.report.check(done.stderr.count(b"run the same command again") + done.stderr.count(b"cannot be resumed:")
              <= 1, "advice that contradicts", done.stderr)
        return done

    def start_and_end(self, *options, sign=signal.SIGKILL, files=1):
        """Starts a run and ends it by a signal once `files` files are complete, while the last file
        is still awaited. Returns the exit status and what the run printed."""
        self.held = {len(self.types) + self.deleted - 1}
        process = subprocess.Popen(self.command("--resume", self.state, *options),
                                   stderr=subprocess.PIPE)
        self.report.check(wait_for(lambda: process.poll() is not None or
                       os.path.exists(self.state) and read(self.state).count(b'"verdict":"complete"') >= files),
              "no file", self.requests)
        process.send_signal(sign)
        said = process.communicate(timeout=programs.LIMIT)[1]
        self.gate.set()
        self.gate, self.held = threading.Event(), set()
        return process.returncode, said
