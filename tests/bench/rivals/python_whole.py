"""A client in Python that holds the whole file in memory: see README.md."""
import json
from collections import Counter

from common import Clock, get, open_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def main():
    clock = Clock()
    key = open_key()
    body = get(stream=False).content
    text = AESGCM(key).decrypt(body[:12], body[12:], None) if key else body
    types = Counter()
    for line in text.splitlines():
        entry = json.loads(line)
        types[entry.get("resource", entry)["resourceType"]] += 1
    clock.report(types, len(text))


main()
