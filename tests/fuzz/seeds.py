#!/usr/bin/env python3
"""Writes the first inputs of fuzz_line.c: seeds.py FOLDER

If BCDA_SHARED names a folder with JSONTestSuite or samples of BCDA, these are used, too.
"""
import glob
import os
import sys

RESOURCES = [
    b'{"resourceType":"Patient","id":"1"}',
    b'{"resourceType":"Patient","id":"-19990000000001","meta":{"lastUpdated":"2020-02-13T08:00:00.000-05:00"},'
    b'"identifier":[{"system":"https://bluebutton.cms.gov/resources/variables/bene_id","value":"-19990000000001"},'
    b'{"value":"1S00E00AA01"}],"name":[{"family":"Doe","given":["Jane","X"]}],"gender":"female","deceasedBoolean":false}',
    b'{"fullUrl":"https://example.org/Patient/1","resource":{"resourceType":"Patient","id":"1","a":[1,2.5,-3e2]}}',
    b'{ "id" : "2", "resourceType" : "Coverage", "a" : { "b" : [ true, false, null, "x" ] } } ',
    b'{"resourceType":"Patient","a":"\\u00e9\\ud83d\\ude00\\"\\\\\\/\\b\\f\\n\\r\\t","x":{"y":{"z":"\xc3\xa9\xf0\x9f\x98\x80"}}}',
    b'{"resourceType":"Claim","a":{},"b":[],"c":[[],[{}],[[["d"]]]],"":""}',
    b'{"resource\\u0054ype":"Patient"}',
    b'{"resourceType":"Patient","id":"1","id":"2"}',
    b'{"resourceType":"Patient","x":' + b'{"y":' * 62 + b'1' + b'}' * 62 + b'}',
    b'{"resourceType":"Patient","x":' + b'[' * 63 + b']' * 63 + b'}',
    b'{"resourceType":"ExplanationOfBenefit","id":"carrier-1","item":[' + b','.join(
        b'{"sequence":%d,"adjudication":[{"category":{"coding":[{"code":"c"}]},"amount":{"value":%d.25}}]}' % (i, i)
        for i in range(20)) + b']}',
    b'{"resourceType":"Patient","text":"' + b'x' * 300 + b'"}',
    b'{"resourceType":"Patient"', b'nonsense', b'[]', b'', b' \r', b'\t{"resourceType":"Patient"}\t',
    b'{"resourceType":"Patient","a":"\xc0\xaf"}', b'{"resourceType":"Patient","a":"\\ud800"}',
]
# The option byte (fuzz_line.c) and the sizes of pieces.
HEADERS = [b"\xc1\xff\xff\xff\xff\xff\xff\xff", b"\x01\x00\x00\x00\x00\x00\x00\x00", b"\x49\x3f\x00\x40\x07\x3e\x01\x80",
           b"\x82\x10\x20\x30\x40\x50\x60\x70", b"\x05\x62\x63\x64\x65\x66\x00\x01"]
LARGEST = 4000


def shared_files():
    shared = os.environ.get("BCDA_SHARED", "")
    if not shared:
        return
    for path in glob.glob(os.path.join(shared, "data", "json-suite", "*_*")):
        with open(path, "rb") as f:
            yield f.read(LARGEST)
    for path in glob.glob(os.path.join(shared, "data", "**", "*.ndjson"), recursive=True):
        with open(path, "rb") as f:
            yield from f.read(LARGEST * 20).split(b"\n")[:3]


def main():
    folder, written = sys.argv[1], 0
    os.makedirs(folder, exist_ok=True)
    files = RESOURCES + [b"\n".join(RESOURCES), b"\r\n".join(RESOURCES) + b"\r\n"]
    for i, text in enumerate(files + [t for t in shared_files() if len(t) <= LARGEST]):
        with open(os.path.join(folder, "seed-%05d" % i), "wb") as f:
            f.write(HEADERS[i % len(HEADERS)] + text)
        written += 1
    print(written)


if __name__ == "__main__":
    main()
