"""A client in Python that decodes the file while it is received: see README.md."""
import json
from collections import Counter

from common import Clock, get, open_key
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

PIECE = 1 << 20
TAG = 16


def pieces(key):
    """Yields the decrypted file in pieces. Holds the last 16 bytes received back, because they may be the
    tag."""
    answer = get(stream=True)
    if not key:
        yield from answer.iter_content(PIECE)
        return
    body = answer.raw
    nonce = body.read(12)
    cipher = Cipher(algorithms.AES(key), modes.GCM(nonce)).decryptor()
    held = body.read(TAG)
    while piece := body.read(PIECE):
        held += piece
        yield cipher.update(memoryview(held)[:-TAG])
        held = held[-TAG:]
    cipher.finalize_with_tag(held)


def main(loads):
    clock = Clock()
    types, size, rest = Counter(), 0, b""
    for text in pieces(open_key()):
        size += len(text)
        lines = (rest + text).split(b"\n")
        rest = lines.pop()
        for line in lines:
            entry = loads(line)
            types[entry.get("resource", entry)["resourceType"]] += 1
    if rest:
        raise SystemExit("a line without an end")
    clock.report(types, size)


if __name__ == "__main__":
    main(json.loads)
