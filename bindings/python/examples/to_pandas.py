#!/usr/bin/env python3
"""Loads batches into a pandas table, one column at a time: no resource is parsed in Python.

The settings are read from the environment variables that `bcda-sandbox --print-env` prints.
"""
import os

import pandas

import bcda

FIELDS = ["patient.reference", "billablePeriod.start", "type.coding.code"]


def to_table(job):
    tables = []
    for batch in job.batches():
        columns = {"id": batch.ids, "bytes": batch.json.lengths.tolist()}
        columns.update((path, batch.field(path).texts()) for path in FIELDS)
        tables.append(pandas.DataFrame(columns))
    return pandas.concat(tables, ignore_index=True)


def main():
    with open(os.environ["BCDA_CLIENT_SECRET_FILE"], encoding="ascii") as f:
        secret = f.read().strip()
    with bcda.Client(os.environ["BCDA_FHIR_URL"], client_id=os.environ["BCDA_CLIENT_ID"], client_secret=secret,
                     ca_file=os.environ["BCDA_CA_FILE"]) as client:
        table = to_table(client.export("ExplanationOfBenefit", fields=FIELDS))
    print(table.describe(include="all"))
    print(f"{len(table)} claims of {table['patient.reference'].nunique()} people")


main()
