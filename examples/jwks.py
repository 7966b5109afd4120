#!/usr/bin/env python3
"""Prints the JWK Set with which a public key is registered at a server (RFC 7517), for
bcda-export --private-key-jwt. The public key is read from standard input, in PEM:

    openssl pkey -in key.pem -pubout | python3 jwks.py [KID] >jwks.json

KID is the key id, which bcda-export needs, too (--kid). Without it, the id is the thumbprint of the key
(RFC 7638). Needs the package python3-cryptography.
"""
import base64
import hashlib
import json
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def number(n, size=None):
    """RFC 7518: a coordinate has the size of the curve, and other numbers have no leading zero."""
    return base64url(n.to_bytes(size or (n.bit_length() + 7) // 8, "big"))


def members(key):
    """Returns the members of the JWK that make the key, and the algorithm with which it signs."""
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048:
        n = key.public_numbers()
        return {"e": number(n.e), "kty": "RSA", "n": number(n.n)}, "RS384"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp384r1":
        n = key.public_numbers()
        return {"crv": "P-384", "kty": "EC", "x": number(n.x, 48), "y": number(n.y, 48)}, "ES384"
    sys.exit("jwks.py: needed is an EC key on P-384, or an RSA key of at least 2048 bits")


try:
    jwk, algorithm = members(serialization.load_pem_public_key(sys.stdin.buffer.read()))
except ValueError:
    sys.exit("jwks.py: this is no public key in PEM; openssl pkey -in KEY -pubout prints that of a private key")
thumbprint = hashlib.sha256(json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()).digest()
kid = sys.argv[1] if len(sys.argv) > 1 else base64url(thumbprint)
print(json.dumps({"keys": [{**jwk, "alg": algorithm, "use": "sig", "kid": kid}]}, indent=1))
