#!/usr/bin/env python3
"""A sandbox whose data change from day to day (--day), and which is killed and started again
(--keep-state). A client that applies each export to what it has must have, after each day, what
exists on that day.

test_days.py BCDA_EXPORT BCDA_SANDBOX ... [NAME...]
"""
import base64
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import programs

report = programs.Report()
SIZE = ("--patients", "40", "--claims", "3")
V2 = ("--era", "current", "--api-version", "2")


class Client:
    """Reads the exports of a sandbox without the library under test."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.token = None
        self.forms = set()

    def request(self, url, **headers):
        """Returns status, headers and body."""
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=programs.LIMIT) as a:
                return a.status, a.headers, a.read()
        except urllib.error.HTTPError as a:
            with a:
                return a.code, a.headers, a.read()

    def sign_in(self):
        e = self.sandbox.env
        with open(e["BCDA_CLIENT_SECRET_FILE"], encoding="ascii") as f:
            word = base64.b64encode(f"{e['BCDA_CLIENT_ID']}:{f.read()}".encode()).decode()
        request = urllib.request.Request(e["BCDA_TOKEN_URL"], b"", {"Authorization": "Basic " + word})
        with urllib.request.urlopen(request, timeout=programs.LIMIT) as answer:
            self.token = json.loads(answer.read())["access_token"]

    def get(self, url, **headers):
        if not self.token:
            self.sign_in()
        return self.request(url, Authorization="Bearer " + self.token, **headers)

    def start(self, since=None, types=None):
        """Returns the URL of the job's status."""
        query = {n: v for n, v in (("_since", since), ("_type", types)) if v}
        status, headers, body = self.get(
            self.sandbox.env["BCDA_FHIR_URL"] + "/Patient/$export?" + urllib.parse.urlencode(query),
            Accept="application/fhir+json", Prefer="respond-async")
        assert status == 202, (status, body)
        return headers["Content-Location"]

    def finish(self, location):
        """Returns the manifest."""
        while True:
            status, _, body = self.get(location)
            if status != 202:
                assert status == 200, (status, body)
                return json.loads(body)
            time.sleep(0.01)

    def lines(self, item):
        status, headers, body = self.get(item["url"], **{"Accept-Encoding": "gzip"})
        assert status == 200, (status, item)
        form = "plain"
        if headers.get("Content-Encoding") == "gzip":
            form, reader, whole = "gzip", zlib.decompressobj(31), b""
            while body:
                whole += reader.decompress(body)
                body, reader = reader.unused_data, zlib.decompressobj(31)
            body = whole
        if item.get("encryptedKey"):
            form, body = "encrypted", self.decrypt(item, body)
        if item["type"] != "Bundle":
            self.forms.add(form)
        return body.decode().splitlines()

    def decrypt(self, item, body):
        with open(self.sandbox.env["BCDA_PRIVATE_KEY"], "rb") as f:
            key = serialization.load_pem_private_key(f.read(), None)
        name = item["url"].rsplit("/", 1)[1].encode()
        aes = key.decrypt(bytes.fromhex(item["encryptedKey"]),
                          padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), name))
        return AESGCM(aes).decrypt(body[:12], body[12:], None)

    def export(self, since=None, types=None):
        """Returns the manifest, the resources, and the references that are deleted."""
        manifest = self.finish(self.start(since, types))
        resources, deleted = {}, []
        for item in manifest["output"]:
            lines = self.lines(item)
            report.check(lines, "an empty file is listed", item)
            for line in lines:
                r = json.loads(line)
                report.check((r["resourceType"], r["id"]) not in resources, "twice", r["id"])
                resources[r["resourceType"], r["id"]] = line
        for item in manifest.get("deleted", []):
            for line in self.lines(item):
                for entry in json.loads(line)["entry"]:
                    report.check(entry["request"]["method"] == "DELETE", line)
                    deleted.append(tuple(entry["request"]["url"].split("/")))
        return manifest, resources, deleted


def truth(day, *options):
    """Returns the resources that exist on a day."""
    folder = tempfile.mkdtemp(prefix="bcda-test-")
    subprocess.run([programs.SANDBOX, *V2, *SIZE, "--day", str(day), "--dump-state", folder, *options],
                   check=True, timeout=programs.LIMIT)
    found = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            for line in f.read().splitlines():
                r = json.loads(line)
                assert name == r["resourceType"] + ".ndjson" and (r["resourceType"], r["id"]) not in found, r["id"]
                found[r["resourceType"], r["id"]] = line
    shutil.rmtree(folder)
    return found


def later(resources, since):
    """Returns the names of the resources whose lastUpdated is later than the instant."""
    limit = datetime.datetime.fromisoformat(since.replace("Z", "+00:00"))
    return {n for n, line in resources.items()
            if datetime.datetime.fromisoformat(json.loads(line)["meta"]["lastUpdated"]) > limit}


def days():
    """Each day has new, changed and deleted people, and what a client has is right after each."""
    with programs.Sandbox(*V2, *SIZE, "--day", "0", "--control", "--files", "4", "--mixed", "--polls", "0",
                          tls=False) as s:
        client = Client(s)
        have, since = {}, None
        for day in range(4):
            if day:
                report.check(s.control("POST", f"day?day={day}") == f"{day}\n", "the day is set")
            manifest, resources, deleted = client.export(since)
            now = truth(day)
            report.check(manifest["transactionTime"] == f"2021-08-{17 + day}T20:00:00Z", manifest["transactionTime"])
            report.check(bool(deleted) == (day > 0) == ("deleted" in manifest), day, deleted)
            if day:
                new = resources.keys() - have.keys()
                changed = {n for n in resources.keys() & have.keys() if resources[n] != have[n]}
                report.check(new and changed and not resources.keys() - new - changed, day, len(new), len(changed))
                report.check({t for t, _ in changed} == {t for t, _ in now}, day, "each type has changes")
                report.check(resources.keys() == later(now, since), day, "what is later than _since")
                report.check(set(deleted) == have.keys() - now.keys(), day, "what was deleted")
            report.check(len(set(deleted)) == len(deleted), day, "deleted twice")
            have.update(resources)
            for name in deleted:
                have.pop(name, None)
            report.check(have == now, day, len(have), len(now))
            since = manifest["transactionTime"]
        report.check(client.forms == {"plain", "gzip", "encrypted"}, client.forms)
        manifest, resources, _ = client.export()
        report.check(resources == truth(3) and "deleted" not in manifest, "a full export")
        _, resources, deleted = client.export("2021-08-17T20:00:00Z")
        report.check(resources.keys() == later(truth(3), "2021-08-17T20:00:00Z"), "three days at once")
        report.check(set(deleted) >= truth(0).keys() - truth(3).keys(), "deletions of three days")
        _, resources, deleted = client.export(since, "Patient")
        report.check(not resources and not deleted, "nothing is later than now", resources, deleted)
        _, resources, deleted = client.export("2021-08-19T20:00:00Z", "Patient")
        report.check({t for t, _ in list(resources) + deleted} == {"Patient"}, "one type", deleted)


def fractions():
    """`_since` is compared to the millisecond."""
    with programs.Sandbox(*V2, *SIZE, "--day", "0", tls=False) as s:
        client = Client(s)
        for since, count in (("2021-08-17T17:43:00.036Z", 40), ("2021-08-17T17:43:00.037Z", 0),
                             ("2021-08-17T13:43:00.0369-04:00", 40)):
            _, resources, _ = client.export(since, "Patient")
            report.check(len(resources) == count, since, len(resources), count)


def reproducible():
    report.check(truth(5) == truth(5), "the same seed")
    one, two = truth(5), truth(5, "--seed", "2")
    report.check(one.keys() != two.keys(), "another seed, other deletions")
    with programs.Sandbox(*V2, *SIZE, "--day", "5", tls=False) as s:
        _, resources, _ = Client(s).export()
        report.check(resources == one, "a sandbox that starts on a later day")


def controls():
    with programs.Sandbox(*V2, *SIZE, "--day", "2", "--control", tls=False) as s:
        report.check(s.control("GET", "day") == "2\n", "the first day")
        for method, target in (("POST", "day?day=x"), ("POST", "day?day=-1"), ("POST", "day?day=1501"),
                               ("POST", "day"), ("POST", "fault?spec=none-such"), ("POST", "fault"),
                               ("PUT", "day?day=1"), ("POST", "other")):
            try:
                s.control(method, target)
                report.check(False, method, target, "is accepted")
            except urllib.error.HTTPError as e:
                report.check(e.code in (400, 404, 405), method, target, e.code)
                e.close()
        report.check(s.control("GET", "day") == "2\n", "no wrong day was set")
        client = Client(s)
        url = s.env["BCDA_FHIR_URL"] + "/jobs/1"
        report.check(client.get(url)[0] == 404, "without a fault")
        s.control("POST", "fault?spec=gateway*2%40status")
        report.check([client.get(url)[0] for _ in range(3)] == [502, 502, 404], "with a fault")
        s.control("POST", "fault?spec=gateway%40status")
        s.control("DELETE", "fault")
        report.check(client.get(url)[0] == 404, "the faults are removed")
    with programs.Sandbox(*V2, *SIZE, "--day", "2", tls=False) as s:
        try:
            s.control("POST", "day?day=1")
            report.check(False, "--control is not given")
        except urllib.error.HTTPError as e:
            report.check(e.code == 404, e.code)
            e.close()


def restarted():
    """A sandbox that is killed comes back with its credentials, keys, jobs and files."""
    with programs.Sandbox(*V2, *SIZE, "--day", "1", "--mixed", "--keep-state", "--polls", "0", "--files", "5",
                          tls=False) as s:
        client, first = Client(s), dict(s.env)
        location = client.start("2021-08-17T20:00:00Z")
        manifest = client.finish(location)
        items = manifest["output"] + manifest["deleted"]
        lines = [client.lines(item) for item in items]
        s.kill()
        s.restart("--day", "2")
        pid = "BCDA_SANDBOX_PID"
        report.check({**s.env, pid: 0} == {**first, pid: 0}, "another environment", s.env)
        report.check(client.get(location)[0] == 401, "a token of the first run")
        client.token = None
        report.check(client.finish(location) == manifest, "another manifest")
        report.check([client.lines(item) for item in items] == lines, "other files")
        next_job = client.start()
        report.check(next_job != location and client.finish(next_job)["transactionTime"] == "2021-08-19T20:00:00Z",
                     "a new job has the new day")
        s.kill()
        shutil.rmtree(os.path.join(s.state, "s", "jobs"))
        s.restart("--day", "2")
        client.token = None
        report.check(client.get(location)[0] == 404, "a job that was lost")
        new = client.start()
        report.check(new not in (location, next_job), "the number of a lost job is used again", new)
        client.finish(new)
        report.check(client.export()[1] == truth(2), "a new export")


def kept_state(sandbox, location):
    """Returns the state of a job in its file: "0" while it runs."""
    with open(os.path.join(sandbox.state, "s", "jobs", location.rsplit("/", 1)[1]), encoding="ascii") as f:
        return f.readline().split("\t")[5]


def killed_while_running():
    """A job whose files are not complete when the sandbox is killed is completed afterwards."""
    for people in (1000, 8000, 64000):  # a job of more people takes longer
        with programs.Sandbox(*V2, "--day", "0", "--patients", str(people), "--claims", "3", "--keep-state",
                              "--polls", "0", "--files", "20", tls=False) as s:
            client = Client(s)
            location = client.start()
            s.kill()
            if kept_state(s, location) != "0":
                continue
            s.restart()
            client.token = None
            manifest = client.finish(location)
            types = [item["type"] for item in manifest["output"]]
            report.check(types.count("ExplanationOfBenefit") == 20 and len(types) == 24, types)
            count = sum(len(client.lines(item)) for item in manifest["output"])
            report.check(count == people * (3 + 4 + 3), count)
            return
    report.check(False, "no job was killed while it ran")


def refused():
    for words in (("--day", "1", "--file-bytes", "10"), ("--day", "1501"), ("--keep-state",),
                  ("--era", "2018-12", "--mixed"), ("--day", "1", "--patients", "90000", "--day", "1000"),
                  ("--era", "2019-04", "--api-version", "2", "--dump-state", "unused")):
        p = subprocess.run([programs.SANDBOX, *words], capture_output=True, timeout=programs.LIMIT)
        report.check(p.returncode == 1 and p.stderr.startswith(b"bcda-sandbox: ") and not p.stdout, words, p)


def main():
    report.run((days, fractions, reproducible, controls, restarted, killed_while_running, refused), sys.argv[4:])
    report.finish()


main()
