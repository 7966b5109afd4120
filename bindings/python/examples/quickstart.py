#!/usr/bin/env python3
"""Does the same as examples/quickstart, in Python: starts a local server that behaves as BCDA did in
April 2019, runs an encrypted export from it over TLS, and prints the result.

    python3 bindings/python/examples/quickstart.py [BUILD]

BUILD is a build folder of libbcda with its tests (default: build/quickstart, which
`sh examples/quickstart` creates). For a real server, only the settings must be changed.
"""
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
BUILD = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build", "quickstart")
os.environ.setdefault("BCDA_LIBRARY", os.path.join(BUILD, "lib", "libbcda.so.0"))
sys.path.insert(0, os.path.join(ROOT, "bindings", "python", "src"))

import bcda  # noqa: E402


def start_sandbox(folder):
    program = os.path.join(BUILD, "tools", "bcda-sandbox")
    process = subprocess.Popen([program, "--era", "2019-04", "--tls", "--print-env", "--patients", "200",
                                "--claims", "60", "--state-dir", folder], stdout=subprocess.PIPE, text=True)
    words = (shlex.split(line)[-1] for line in process.stdout)
    return process, dict(word.split("=", 1) for word in words)


def export(env):
    with open(env["BCDA_CLIENT_SECRET_FILE"], encoding="ascii") as f:
        secret = f.read().strip()
    with bcda.Client(env["BCDA_FHIR_URL"], client_id=env["BCDA_CLIENT_ID"], client_secret=secret,
                     private_key=env["BCDA_PRIVATE_KEY"], ca_file=env["BCDA_CA_FILE"]) as client:
        claim, begun, total, size = None, time.monotonic(), 0, 0
        types = ("Patient", "Coverage", "ExplanationOfBenefit")
        # A loop over one of these jobs also advances the others, because they share the client.
        jobs = [client.export(name, level="resource") for name in types]
        for name, job in zip(types, jobs):
            for batch in job.batches():
                if claim is None and name == "ExplanationOfBenefit":
                    claim = batch[0]
            print(f"{name:<24}{job.resources:>12} resources in {len(job.files)} file")
            total, size = total + job.resources, size + job.bytes
        took = time.monotonic() - begun
        print(f"{total} resources, {size / 1e6:.1f} MB in {took:.1f} s")
        return claim


def main():
    with tempfile.TemporaryDirectory() as folder:
        print("Starting a local BCDA of April 2019, with TLS, and a new key pair ...")
        process, env = start_sandbox(folder)
        try:
            claim = export(env)
        finally:
            process.terminate()
            process.communicate()
    print("\nThe first lines of the first claim, which was downloaded encrypted and decrypted:")
    print("\n".join(json.dumps(claim.parse(), indent=4).splitlines()[:14]), "\n    ...")


main()
