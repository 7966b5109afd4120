#!/usr/bin/env python3
"""Exports sample records that were copied from CMS's sandboxes, with bcda-export and with a program
that uses the library. For each set of records, the local sandbox behaves as the server version (era)
that served such records.

real_data.py BCDA_EXPORT BCDA_SANDBOX LIST_RESOURCES. The data is in $BCDA_SHARED/data. If it
is missing, the test is skipped (77); in CI, it fails.
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import programs

LIST = sys.argv[3]
DECODER = json.JSONDecoder()

# folder, era, version of the API, level, encrypted
SETS = [
    ("era-a-envelope", "2019-04", 1, "resource", True),
    ("era-a-envelope", "2018-12", 1, "resource", False),
    ("v1-bare", "2019-04", 1, "resource", True),
    ("v1-bare", "2021", 1, "patient", False),
    ("sandbox-2019", "2019-04", 1, "resource", True),
    ("sandbox-2019", "2019-12", 1, "patient", False),
    ("sandbox-2021", "2021", 1, "patient", False),
    ("v2-r4", "current", 2, "patient", False),
    ("v3-r4", "current", 3, "patient", False),
    ("v3-r4", "2019-04", 1, "resource", True),
]

# data folder, error file, its name in the sandbox's folder, era, version of the API, level
ERRORS = [
    ("era-a-envelope", "era-a-error.ndjson", "era-a-error.ndjson", "2019-04", 1, "resource"),
    ("v1-bare", "v1-2021-error.ndjson", "v1-2021-error.ndjson", "2021", 1, "patient"),
    ("v3-r4", "current-error.ndjson", "current-error.ndjson", "current", 3, "patient"),
    ("v3-r4", "v3-warnings-and-info.ndjson", "warnings-and-info.ndjson", "current", 3, "patient"),
]
SEVERITIES = {"information": 1, "warning": 2, "error": 3, "fatal": 4}

report = programs.Report()


def unwrap(line):
    """Returns the bytes of `resource` in an envelope, cut out of the line as they are."""
    text = line.decode("utf-8")
    if not text.startswith('{"fullUrl"'):
        return line
    at = 1
    while text[at - 1] != "}":
        key, end = DECODER.raw_decode(text, at)
        assert text[end] == ":"
        _, after = DECODER.raw_decode(text, end + 1)
        if key == "resource":
            return text[end + 1:after].encode("utf-8")
        at = after + 1
    raise AssertionError("an envelope without a resource")


def lines_of(path):
    with open(path, "rb") as f:
        data = f.read()
    assert data.endswith(b"\n")
    return data[:-1].split(b"\n")


def check_files(name, out, data):
    for type_, path in sorted(data.items()):
        got = sorted(glob.glob(os.path.join(out, type_ + "-*.ndjson")))
        if not report.check(len(got) == 1, name, type_, got):
            continue
        want = [unwrap(line) for line in lines_of(path)]
        have = lines_of(got[0])
        report.check(len(have) == len(want), name, type_, "counts", len(have), len(want))
        for number, (a, b) in enumerate(zip(have, want), 1):
            if a != b:
                report.check(False, name, type_, f"line {number} differs", a[:200], b[:200])
                break
        else:
            report.check(True)
    report.check(len(os.listdir(out)) == len(data), name, "more files than types", os.listdir(out))


def check_list(name, sandbox, level, data):
    """Checks the types, ids, line numbers, offsets and lengths that the library reports."""
    want, have = [], []
    for type_, path in data.items():
        offset = 0
        for number, line in enumerate(lines_of(path), 1):
            resource = json.loads(unwrap(line))
            want.append((resource["resourceType"], resource.get("id", ""), str(number), str(offset),
                         str(len(unwrap(line)))))
            report.check(resource["resourceType"] == type_, name, type_)
            offset += len(line) + 1
    e = sandbox.env
    command = [LIST, e["BCDA_FHIR_URL"], e["BCDA_CA_FILE"], e["BCDA_CLIENT_SECRET_FILE"],
               e["BCDA_CLIENT_ID"], e["BCDA_PRIVATE_KEY"], level]
    for types in [[t] for t in data] if level == "resource" else [list(data)]:
        done = subprocess.run(command + types, capture_output=True, timeout=programs.LIMIT)
        report.check(done.returncode == 0, name, done.stderr)
        have += [tuple(line.split("\t")) for line in done.stdout.decode("utf-8").split("\n")
                 if line and not line.startswith("issue\t")]
    report.check(sorted(have) == sorted(want), name, "what the library says of its resources",
                 len(have), len(want))


def files(folder):
    return {os.path.basename(p)[:-len(".ndjson")]: p
            for p in sorted(glob.glob(os.path.join(folder, "*.ndjson")))}


def options(level, data):
    return ["--level", level] + [word for t in data for word in ("--type", t)]


def one_set(root, folder, era, version, level, encrypted):
    name = f"{folder} in {era}"
    data = files(os.path.join(root, folder))
    if era == "2018-12":
        data.pop("Coverage")  # Coverage/$export was added a month later
    report.check(data, name, "no data")
    with programs.Sandbox("--era", era, "--api-version", str(version), "--data",
                          os.path.join(root, folder), "--polls", "1", "--allow-duplicates") as s:
        out = os.path.join(s.state, "out")
        done = programs.export(s, "--out", out, *options(level, data))
        if not report.check(done.returncode == 0, name, done.returncode, done.stderr):
            return
        check_files(name, out, data)
        check_list(name, s, level, data)
        stored = [p for p in glob.glob(os.path.join(s.state, "s", "**", "*.ndjson"), recursive=True)
                  if open(p, "rb").read(1) != b"{"]
        if encrypted:
            report.check(len(stored) >= len(data), name, "is not encrypted at the server", stored)


def severities(path):
    found = []
    for line in lines_of(path):
        for issue in json.loads(line)["issue"]:
            found.append(SEVERITIES[issue["severity"].lower()])
    return sorted(found)


def one_error(root, folder, file, as_name, era, version, level):
    name = f"{file} in {era}"
    path = os.path.join(root, "errors", file)
    with tempfile.TemporaryDirectory(prefix="bcda-test-") as copy:
        data = files(os.path.join(root, folder))
        for source in data.values():
            shutil.copy(source, copy)
        shutil.copy(path, os.path.join(copy, as_name))
        with programs.Sandbox("--era", era, "--api-version", str(version), "--data", copy,
                              "--polls", "1", "--allow-duplicates") as s:
            out = os.path.join(s.state, "out")
            done = programs.export(s, "--out", out, *options(level, data))
            bad = max(severities(path)) >= SEVERITIES["error"]
            report.check(done.returncode == (3 if bad else 0), name, done.returncode, done.stderr)
            report.check(b"MBI" not in done.stderr and not re.search(rb"[0-9]{13}", done.stderr),
                         name, "a beneficiary is named", done.stderr)
            e = s.env
            listed = subprocess.run(
                [LIST, e["BCDA_FHIR_URL"], e["BCDA_CA_FILE"], e["BCDA_CLIENT_SECRET_FILE"],
                 e["BCDA_CLIENT_ID"], e["BCDA_PRIVATE_KEY"], level, list(data)[0]],
                capture_output=True, timeout=programs.LIMIT)
            report.check(listed.returncode == 0, name, listed.stderr)
            issues = sorted(int(line.split(b"\t")[1]) for line in listed.stdout.splitlines()
                            if line.startswith(b"issue\t"))
            report.check(issues == severities(path), name, issues, severities(path))


def main():
    shared = os.environ.get("BCDA_SHARED")
    if not shared or not os.path.isdir(os.path.join(shared, "data")):
        print("no real data: BCDA_SHARED is not set")
        sys.exit(1 if os.environ.get("CI") else 77)
    root = os.path.join(shared, "data")
    for case in SETS:
        one_set(root, *case)
    for case in ERRORS:
        one_error(root, *case)
    report.finish()


main()
