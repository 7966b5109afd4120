"""Downloads the files of a finished job with the Python package, and reads the type, the id and the
length of the JSON of every resource. Prints one line; its times are those between the beginning of
the first file and the end of the last file:

    <resources> <bytes> <wall seconds> <CPU seconds> <peak KiB>

Usage: batches.py STATUS_URL batches|resources [OPTION=NUMBER]... with the settings of
`bcda-sandbox --print-env` in the environment. bindings/ruby/bench/batches.rb does the same in Ruby.
"""
import os
import resource as system
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src"))

import bcda  # noqa: E402

CLAIM = "ExplanationOfBenefit"


class Clock:
    begin = end = None

    def on_file(self, job, file, event):
        now = time.monotonic(), time.process_time()
        self.begin = self.begin or now
        self.end = now


def by_batches(job):
    claims = others = size = ids = 0
    for batch in job.batches():
        claims_here = batch.types.count(CLAIM)
        claims += claims_here
        others += len(batch) - claims_here
        ids += sum(map(len, batch.ids))
        size += sum(batch.json.lengths)
    return claims + others, size, ids


def by_resources(job):
    claims = others = size = ids = 0
    for resource in job:
        if resource.type == CLAIM:
            claims += 1
        else:
            others += 1
        ids += len(resource.id)
        size += len(resource.json)
    return claims + others, size, ids


def main():
    url, mode, *options = sys.argv[1:]
    with open(os.environ["BCDA_CLIENT_SECRET_FILE"], encoding="ascii") as f:
        secret = f.readline().rstrip("\r\n")
    clock = Clock()
    with bcda.Client(os.environ["BCDA_FHIR_URL"], client_id=os.environ["BCDA_CLIENT_ID"],
                     client_secret=secret, private_key=os.environ.get("BCDA_PRIVATE_KEY"),
                     ca_file=os.environ["BCDA_CA_FILE"],
                     options={name: int(value) for name, value in (o.split("=") for o in options)}) as client:
        job = client.attach(url, on_file=clock.on_file)
        count, size, ids = {"batches": by_batches, "resources": by_resources}[mode](job)
    if not ids:
        raise SystemExit("no resource has an id")
    print(count, size, f"{clock.end[0] - clock.begin[0]:.6f} {clock.end[1] - clock.begin[1]:.6f}",
          system.getrusage(system.RUSAGE_SELF).ru_maxrss)


main()
