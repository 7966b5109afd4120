"""Starts bcda-sandbox in a process of its own for the benchmarks, and exports one job from it."""
import base64
import glob
import json
import os
import shlex
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")
# The name of each form of a file, and the server version (era) that stores files in this form.
ERAS = {"plain": "2019-12", "gzip": "current", "encrypted": "2019-04"}
PLAIN_KEY = "4e4f5f454e4352595054494f4e"


class File:
    """A file of the job: its URL, its path on disk, and its wrapped key."""

    def __init__(self, url, key, folder):
        self.url, self.key = url, key
        self.name = url.rsplit("/", 1)[-1]
        found = glob.glob(os.path.join(glob.escape(folder), "**", self.name), recursive=True)
        self.stored = found[0] if found else None
        self.plain = self.stored
        if self.stored and os.path.exists(self.stored + ".plain"):
            self.plain += ".plain"
        self.bytes = os.path.getsize(self.plain) if self.plain else 0


class Server:
    """A running bcda-sandbox with TLS and one finished job, of claims if nothing else is said, whose files
    have one of the three forms."""

    def __init__(self, program, form, *options, keep_plain=True, types="ExplanationOfBenefit"):
        self.form, self.types = form, types
        self.state = tempfile.mkdtemp(prefix="bcda-bench-")
        command = [program, "--era", ERAS[form], "--tls", "--port", "0", "--polls", "0",
                   "--token-seconds", "1000000", "--allow-duplicates", "--print-env",
                   "--state-dir", self.state] + (["--keep-plain"] if keep_plain else [])
        self.process = subprocess.Popen(command + list(options), stdout=subprocess.PIPE, text=True)
        self.env = dict(os.environ)
        for line in self.process.stdout:
            name, _, value = shlex.split(line)[0].partition("=")
            self.env[name] = value
        self.tls = ssl.create_default_context(cafile=self.env["BCDA_CA_FILE"])
        self.token = self.sign_in()
        self.env["BCDA_BENCH_TOKEN"] = self.token
        self.status_url, self.files = None, []

    def request(self, url, headers, data=None):
        request = urllib.request.Request(url, headers=headers, data=data)
        with urllib.request.urlopen(request, context=self.tls) as answer:
            return answer.status, answer.headers, answer.read()

    def sign_in(self):
        with open(self.env["BCDA_CLIENT_SECRET_FILE"], encoding="ascii") as f:
            pair = self.env["BCDA_CLIENT_ID"] + ":" + f.read()
        basic = base64.b64encode(pair.encode()).decode()
        _, _, body = self.request(self.env["BCDA_TOKEN_URL"], {
            "Authorization": "Basic " + basic, "Accept": "application/json"}, b"")
        return json.loads(body)["access_token"]

    def start(self):
        """Starts the job. Returns the headers for requests of its status."""
        path = (f"/{self.types}/$export" if self.form == "encrypted" else
                f"/Patient/$export?_type={self.types}")
        headers = {"Authorization": "Bearer " + self.token, "Accept": "application/fhir+json",
                   "Prefer": "respond-async"}
        _, answer, _ = self.request(self.env["BCDA_FHIR_URL"] + path, headers)
        self.status_url = answer["Content-Location"]
        return headers

    def export(self):
        """Waits for the end of the job and lists its files, the smallest first. The files exist until the
        server is stopped."""
        if self.files:
            return self
        headers = self.start()
        status = 202
        while status != 200:
            time.sleep(0.05)
            status, _, body = self.request(self.status_url, headers)
        manifest = json.loads(body)
        keys = manifest.get("KeyMap") or {}
        for entry in manifest["output"]:
            key = keys.get(entry["url"].rsplit("/", 1)[-1]) or entry.get("encryptedKey") or ""
            self.files.append(File(entry["url"], "" if key == PLAIN_KEY else key, self.state))
        for f in self.files:
            if not f.bytes:  # a file of --data, which is served without a copy in the state folder
                f.bytes = len(self.request(f.url, {"Authorization": "Bearer " + self.token})[2])
        self.files.sort(key=lambda f: f.bytes)
        return self

    def bytes(self):
        return sum(f.bytes for f in self.files)

    def cpu(self):
        """Returns how many CPU seconds the server has used so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.state, ignore_errors=True)
