"""Shared by python_whole.py and python_stream.py."""
import os
import resource
import time

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding


def setting(name):
    return os.environ["BCDA_" + name]


def open_key():
    """Returns the file's AES key, or None if the file is not encrypted."""
    wrapped = bytes.fromhex(setting("BENCH_KEY"))
    if not wrapped:
        return None
    with open(setting("PRIVATE_KEY"), "rb") as f:
        private = serialization.load_pem_private_key(f.read(), None)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(),
                        setting("BENCH_NAME").encode())
    return private.decrypt(wrapped, oaep)


def get(stream):
    answer = requests.get(setting("BENCH_URL"), stream=stream, verify=setting("CA_FILE"),
                          headers={"Authorization": "Bearer " + setting("BENCH_TOKEN")})
    answer.raise_for_status()
    return answer


class Clock:
    def __init__(self):
        self.peak = self.now()
        self.wall, self.cpu = time.monotonic(), time.process_time()

    @staticmethod
    def now():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def report(self, types, size):
        print(sum(types.values()), size, f"{time.monotonic() - self.wall:.6f}",
              f"{time.process_time() - self.cpu:.6f}",
              self.now(), self.peak)
