#!/usr/bin/env python3
"""test_assertions.py PROGRAM: checks assertions of the library with a second implementation.

PROGRAM prints the assertions and the public keys, see assertions.c. Each assertion must have a valid
signature, the header and claims of SMART Backend Services, and a jti that no other one has."""
import base64
import json
import os
import re
import subprocess
import sys
import urllib.parse

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import load_der_public_key

COUNT = 1000 if os.environ.get("BCDA_TEST_EXHAUSTIVE") == "1" else 100  # of each algorithm
START = 1790000000
CLIENT = "client \"\u00e9\\ id"
FORM = {
    "grant_type": ["client_credentials"],
    "scope": ["system/*.read system/Patient.rs?a=b&c"],
    "client_assertion_type": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
}


def decode(text):
    """Decodes base64url without padding, and refuses what an encoder does not write."""
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert base64.urlsafe_b64encode(data).decode().rstrip("=") == text, text
    return data


def unique(pairs):
    """Makes an object of its members, which must have different names."""
    assert len({name for name, _ in pairs}) == len(pairs), pairs
    return dict(pairs)


def verify(key, algorithm, signature, data):
    """Raises InvalidSignature if the signature is wrong."""
    if algorithm == "RS384":
        assert isinstance(key, rsa.RSAPublicKey) and len(signature) == key.key_size // 8
        key.verify(signature, data, padding.PKCS1v15(), hashes.SHA384())
        return
    assert isinstance(key.curve, ec.SECP384R1) and len(signature) == 96, len(signature)
    r, s = (int.from_bytes(part, "big") for part in (signature[:48], signature[48:]))
    key.verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA384()))


def check(body, key, algorithm, kid, now):
    """Checks the body of a token request. Returns the jti of the assertion."""
    form = urllib.parse.parse_qs(body, strict_parsing=True, max_num_fields=4)
    (jws,) = form.pop("client_assertion")
    assert form == FORM, form
    header, claims, signature = (decode(part) for part in jws.split("."))
    verify(key, algorithm, signature, jws.rpartition(".")[0].encode())
    header, claims = (json.loads(part, object_pairs_hook=unique) for part in (header, claims))
    assert header == {"alg": algorithm, "typ": "JWT", "kid": kid}, header
    jti = claims.pop("jti")
    assert re.fullmatch(r"[\w-]{22}", jti), jti
    assert 0 < claims["exp"] - claims["iat"] <= 300, claims
    assert claims == {"iss": CLIENT, "sub": CLIENT, "aud": "https://server.example/auth/token",
                      "iat": now, "exp": claims["exp"]}, claims
    return jti


def main():
    output = subprocess.run([sys.argv[1], str(COUNT)], stdout=subprocess.PIPE, check=True).stdout
    seen, counts = set(), {}
    for line in output.decode().splitlines():
        kind, rest = line.split(" ", 1)
        if kind == "key":
            algorithm, kid, der = rest.split(" ")
            key = load_der_public_key(base64.b64decode(der))
            counts[algorithm] = 0
            continue
        seen.add(check(rest, key, algorithm, kid, START + counts[algorithm]))
        counts[algorithm] += 1
    assert counts == {"RS384": COUNT, "ES384": COUNT}, counts
    assert len(seen) == 2 * COUNT, "a jti occurs twice"
    print(f"assertions: {counts} are valid")


if __name__ == "__main__":
    main()
