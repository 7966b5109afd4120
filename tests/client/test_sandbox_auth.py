#!/usr/bin/env python3
"""The ways to sign in of the sandbox (--auth): what it accepts and refuses is compared with what SMART
Backend Services, RFC 6749, RFC 7523 and RFC 7518 demand. The assertions are made by
python3-cryptography. The library has no part in this test.

test_sandbox_auth.py BCDA_EXPORT BCDA_SANDBOX [TEST...]
"""
import base64
import datetime
import email.utils
import hashlib
import hmac
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

import programs

report = programs.Report()
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FORM = "application/x-www-form-urlencoded"
CONFIGURATION = "/.well-known/smart-configuration"
SHA384 = hashes.SHA384()
WITHOUT = object()  # as the value of a member, field or header: it is left out


def b64(data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def number(n, width=None):
    return b64(n.to_bytes(width or (n.bit_length() + 7) // 8, "big"))


def with_changes(members, changes):
    merged = {**members, **changes}
    return {name: value for name, value in merged.items() if value is not WITHOUT}


def sign(key, text, raw=True):
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(text, padding.PKCS1v15(), SHA384)
    der = key.sign(text, ec.ECDSA(SHA384))
    if not raw:
        return der
    size = (key.curve.key_size + 7) // 8
    return b"".join(n.to_bytes(size, "big") for n in decode_dss_signature(der))


def load_key(path):
    with open(path, "rb") as f:
        return serialization.load_pem_private_key(f.read(), None)


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return {}


class Server(programs.Sandbox):
    def __init__(self, *options, era="current", tls=False):
        super().__init__("--era", era, "--control", *options, tls=tls)
        self.tls = tls
        self.host = self.env["BCDA_FHIR_URL"].split("/")[2]
        self.origin = ("https://" if tls else "http://") + self.host
        self.base = self.env["BCDA_FHIR_URL"][len(self.origin):]
        self.skew = 0
        self.certificate = None

    def ask(self, method, target, headers=None, body=None, port=None, certificate=None):
        headers = with_changes({"Host": f"localhost:{port}" if port else self.host}, headers or {})
        port = int(port or self.port())
        if self.tls:
            context = ssl.create_default_context(cafile=self.env["BCDA_CA_FILE"])
            if certificate:
                context.load_cert_chain(certificate)
            connection = http.client.HTTPSConnection("localhost", port, timeout=60, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request(method, target, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def count(self, name):
        return int(self.ask("GET", "/_sandbox/count?name=" + name, certificate=self.certificate).body)

    def set_clock(self, skew):
        report.check(self.ask("POST", f"/_sandbox/clock?skew={skew}").status == 204, "the clock is set")
        self.skew = skew

    def fault(self, spec):
        self.ask("DELETE", "/_sandbox/fault")
        a = self.ask("POST", "/_sandbox/fault?spec=" + urllib.parse.quote(spec))
        report.check(a.status == 204, spec, a.status)

    def no_faults(self):
        self.ask("DELETE", "/_sandbox/fault")


class Smart(Server):
    def __init__(self, *options, era="current", tls=False):
        super().__init__("--auth", "smart", *options, era=era, tls=tls)
        self.keys, self.ids = {}, {}
        folder = os.path.dirname(self.env.get("BCDA_SIGNING_JWKS_FILE", ""))
        if not folder:
            return
        for alg in ("ES384", "RS384"):
            self.keys[alg] = load_key(os.path.join(folder, f"signing-{alg.lower()}.pem"))
        with open(self.env["BCDA_SIGNING_JWKS_FILE"], encoding="ascii") as f:
            self.jwks = json.load(f)["keys"]
        for jwk in self.jwks:
            self.ids[jwk["alg"]] = jwk["kid"]

    def head(self, alg="ES384", **changes):
        return with_changes({"alg": alg, "typ": "JWT", "kid": self.ids.get(alg)}, changes)

    def claims(self, **changes):
        now = int(time.time()) + self.skew
        client = self.env["BCDA_CLIENT_ID"]
        return with_changes({"iss": client, "sub": client, "aud": self.env["BCDA_TOKEN_URL"], "iat": now,
                             "exp": now + 240, "jti": str(uuid.uuid4())}, changes)

    def assertion(self, alg="ES384", head=None, claims=None, key=None, raw=True):
        text = b64(self.head(alg) if head is None else head)
        text += "." + b64(self.claims() if claims is None else claims)
        return text + "." + b64(sign(key or self.keys[alg], text.encode(), raw))

    def fields(self, assertion=None, **changes):
        return with_changes({"grant_type": "client_credentials", "scope": "system/*.rs",
                             "client_assertion_type": JWT_BEARER,
                             "client_assertion": assertion or self.assertion()}, changes)

    def token(self, assertion=None, headers=None, method="POST", body=None, target=None, **changes):
        if body is None:
            body = urllib.parse.urlencode(self.fields(assertion, **changes))
        path = self.env["BCDA_TOKEN_URL"][len(self.origin):]
        headers = with_changes({"Content-Type": FORM}, headers or {})
        return self.ask(method, target or path, headers, body)


def granted(s, what, a, scope="system/*.rs", seconds=300):
    """Checks an answer with a token. Returns the token."""
    j = a.json()
    report.check(a.status == 200, what, a.status, a.body)
    report.check(sorted(j) == ["access_token", "expires_in", "scope", "token_type"], what, j)
    report.check(j.get("scope") == scope and j.get("token_type") == "bearer", what, j)
    report.check(type(j.get("expires_in")) is int and j["expires_in"] == seconds, what, j)
    report.check(a.headers["Content-Type"] == "application/json", what, a.headers["Content-Type"])
    report.check(a.headers["Cache-Control"] == "no-store", what, a.headers["Cache-Control"])
    report.check(a.headers["Pragma"] == "no-cache", what, a.headers["Pragma"])
    return j.get("access_token", "")


SEEN = {}  # each description, and the first case that had it


def refused(what, a, error, words, status=400):
    """Checks an OAuth error. Cases with different `words` must have different descriptions."""
    j = a.json()
    text = j.get("error_description", "")
    report.check(a.status == status, what, a.status, a.body)
    report.check(sorted(j) == ["error", "error_description"] and j.get("error") == error, what, a.body)
    report.check(words in text, what, text, "has not the words", words)
    report.check(SEEN.setdefault(text, words) == words, what, text, "is also the text for", SEEN[text])
    report.check(all(" " <= c <= "~" and c not in '"\\' for c in text), what, text)
    report.check(a.headers["Content-Type"] == "application/json", what, a.headers["Content-Type"])
    report.check(a.headers["Cache-Control"] == "no-store", what, a.headers["Cache-Control"])
    report.check(a.headers["Pragma"] == "no-cache", what, a.headers["Pragma"])
    report.check((a.headers["WWW-Authenticate"] is not None) == (status == 401), what, "WWW-Authenticate")


def invalid(what, a, words):
    refused(what, a, "invalid_client", words)


# ---- keys ----

def keys():
    with Smart() as s:
        report.check(s.env["BCDA_TOKEN_URL"] == s.origin + "/oauth2/token", s.env["BCDA_TOKEN_URL"])
        report.check("BCDA_CLIENT_SECRET_FILE" not in s.env, "no secret is needed")
        report.check(s.env["BCDA_SIGNING_KEY_ID"] == s.ids["ES384"], s.env["BCDA_SIGNING_KEY_ID"])
        with open(s.env["BCDA_SIGNING_KEY_FILE"], encoding="ascii") as f:
            report.check(f.read().startswith("-----BEGIN " + "PRIVATE KEY-----\n"), "not PKCS#8")
        e = s.keys["ES384"].private_numbers()
        report.check(s.keys["ES384"].curve.name == "secp384r1", s.keys["ES384"].curve.name)
        r = s.keys["RS384"].private_numbers()
        report.check(s.keys["RS384"].key_size == 2048, s.keys["RS384"].key_size)
        x, y = (number(n, 48) for n in (e.public_numbers.x, e.public_numbers.y))
        thumb = b64(hashlib.sha256(f'{{"crv":"P-384","kty":"EC","x":"{x}","y":"{y}"}}'.encode()).digest())
        report.check(s.jwks[0] == {"kty": "EC", "kid": thumb, "use": "sig", "key_ops": ["sign"], "alg": "ES384",
                                   "crv": "P-384", "x": x, "y": y, "d": number(e.private_value, 48)}, s.jwks[0])
        n, exponent = number(r.public_numbers.n), number(r.public_numbers.e)
        thumb = b64(hashlib.sha256(f'{{"e":"{exponent}","kty":"RSA","n":"{n}"}}'.encode()).digest())
        want = {"kty": "RSA", "kid": thumb, "use": "sig", "key_ops": ["sign"], "alg": "RS384", "n": n,
                "e": exponent, "d": number(r.d), "p": number(r.p), "q": number(r.q), "dp": number(r.dmp1),
                "dq": number(r.dmq1), "qi": number(r.iqmp)}
        report.check(s.jwks[1] == want, s.jwks[1])
        folder = os.path.dirname(s.env["BCDA_SIGNING_JWKS_FILE"])
        with open(os.path.join(folder, "signing-rs384.jwk"), encoding="ascii") as f:
            report.check(json.load(f) == want, "the JWK file")
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            report.check(os.path.isdir(path) or os.stat(path).st_mode & 0o77 == 0, name, "others can read it")
    report.check(not os.path.exists(s.env["BCDA_SIGNING_KEY_FILE"]), "the key file remains")


def keys_kept():
    with Smart("--keep-state") as s:
        first = dict(s.ids)
        with open(s.env["BCDA_SIGNING_KEY_FILE"], "rb") as f:
            text = f.read()
        s.kill()
        s.restart()
        with open(s.env["BCDA_SIGNING_KEY_FILE"], "rb") as f:
            report.check(f.read() == text, "another key after the restart")
        report.check(s.env["BCDA_SIGNING_KEY_ID"] == first["ES384"], "another kid after the restart")
        granted(s, "after a restart", s.token())


# ---- requests that are accepted ----

def accepted():
    with Smart() as s:
        for alg in ("ES384", "RS384"):
            for _ in range(3):
                token = granted(s, alg, s.token(s.assertion(alg)))
                check_use(s, token)
        now = int(time.time())
        for name, claims in {"exp at the limit": {"exp": now + 295}, "no iat": {"iat": WITHOUT},
                             "nbf": {"nbf": now}, "iat a little ahead": {"iat": now + 40},
                             "nbf a little ahead": {"nbf": now + 40}, "another claim": {"x": {"y": [1, "z"]}},
                             "a jti with all characters": {"jti": "\"\\\u00e9\U0001f600" + str(uuid.uuid4())}}.items():
            granted(s, name, s.token(s.assertion(claims=s.claims(**claims))))
        granted(s, "another member of the header", s.token(s.assertion(head=s.head(x5t="a"))))
        granted(s, "charset", s.token(headers={"Content-Type": FORM + "; charset=UTF-8"}))
        granted(s, "Content-Type in upper case", s.token(headers={"Content-Type": FORM.upper()}))
        granted(s, "client_id", s.token(client_id=s.env["BCDA_CLIENT_ID"]))
        granted(s, "an unknown parameter", s.token(resource="x"))
        granted(s, "an empty parameter", s.token(client_secret=""))
        for scope in ("system/*.read", "system/*.rs", "system/Patient.read", "system/Patient.rs",
                      "system/ExplanationOfBenefit.rs", "system/Coverage.r", "system/Group.read",
                      "system/Patient.read system/Coverage.rs"):
            granted(s, scope, s.token(scope=scope), scope)
        report.check(s.count("assertions-refused") == 0, "refused", s.count("assertions-refused"))
        report.check(s.count("assertions") == s.count("token") > 20, "accepted", s.count("assertions"))
        refused("wrong scope", s.token(scope="openid"), "invalid_scope", "scope is unknown")
        invalid("wrong aud", s.token(s.assertion(claims=s.claims(aud="x"))), "the aud")
        report.check(s.count("assertions") + 1 == s.count("token"), "accepted", s.count("assertions"))
        report.check(s.count("assertions-refused") == 1, "refused", s.count("assertions-refused"))


def check_use(s, token):
    report.check(export_status(s, "Bearer " + token) == 202, "the token is not accepted")


def export_status(s, authorization=WITHOUT):
    a = s.ask("GET", s.base + "/Patient/$export", {"Accept": "application/fhir+json", "Prefer": "respond-async",
                                                   "Authorization": authorization})
    if a.status == 202:
        s.ask("DELETE", a.headers["Content-Location"][len(s.origin):], {"Authorization": authorization})
    return a.status


# ---- requests that are refused ----

def requests_refused():
    with Smart() as s:
        def bad(what, words, **how):
            refused(what, s.token(**how), "invalid_request", words)

        refused("GET", s.token(method="GET"), "invalid_request", "the method", 405)
        refused("PUT", s.token(method="PUT"), "invalid_request", "the method", 405)
        for value in (WITHOUT, "application/json", "text/plain", FORM + "x", FORM + "; charset=latin1",
                      "multipart/form-data; boundary=x"):
            bad("Content-Type", "Content-Type", headers={"Content-Type": value})
        good = urllib.parse.urlencode(s.fields())
        for name in ("grant_type", "scope", "client_assertion", "client_assertion_type"):
            again = urllib.parse.urlencode({name: s.fields()[name]})
            bad(name + " twice", "occurs twice", body=good + "&" + again)
            bad(name + " twice, once empty", "occurs twice", body=good + "&" + name + "=")
        bad("unknown one twice", "occurs twice", body="x=1&" + good + "&x=2")
        bad("twice, once escaped", "occurs twice", body=good + "&%73cope=system%2F*.rs")
        bad("empty body", "body is empty", body="")
        for body in ("grant_type=%zz", "grant_type=%4", "grant_type=a%00b", "a=b&&c=d", good + "&", "=x",
                     "grant_type=a b", json.dumps(s.fields())):
            bad(body[:20], "not a form", body=body)
        bad("long body", "too long", body=good + "&x=" + "x" * 70000)
        path = s.env["BCDA_TOKEN_URL"][len(s.origin):]
        bad("query", "the URL has a query", target=path + "?" + good)
        for value in (WITHOUT, ""):
            bad("no grant_type", "grant_type is missing", grant_type=value)
            bad("no client_assertion", "client_assertion is missing", client_assertion=value)
            bad("no client_assertion_type", "client_assertion_type is missing", client_assertion_type=value)
        for value in ("authorization_code", "Client_credentials", "client_credentials "):
            refused(value, s.token(grant_type=value), "unsupported_grant_type", "grant_type is not")
        for value in (JWT_BEARER + " ", JWT_BEARER[:-1], "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"):
            invalid(value, s.token(client_assertion_type=value), "client_assertion_type is not")
        invalid("no client", s.token(client_assertion=WITHOUT, client_assertion_type=WITHOUT),
                "does not authenticate")
        basic = {"Authorization": "Basic " + base64.b64encode(b"a:b").decode()}
        bad("Basic and an assertion", "Authorization header beside", headers=basic)
        for value, scheme in ((basic["Authorization"], 'Basic realm="token"'), ("Bearer x", "Bearer")):
            a = s.token(headers={"Authorization": value}, client_assertion=WITHOUT, client_assertion_type=WITHOUT)
            refused(value, a, "invalid_client", "not by an Authorization header", 401)
            report.check(a.headers["WWW-Authenticate"] == scheme, value, a.headers["WWW-Authenticate"])
        bad("secret and an assertion", "client_secret beside", client_secret="x")
        invalid("secret", s.token(client_secret="x", client_assertion=WITHOUT, client_assertion_type=WITHOUT),
                "not by a secret")
        invalid("client_id", s.token(client_id="x"), "client_id is not")
        report.check(s.count("assertions") == 0, "accepted", s.count("assertions"))
        report.check(s.count("assertions-refused") == s.count("token") > 30, s.count("assertions-refused"))
        # Without an assertion that counts as used, the same request is good afterwards.
        granted(s, "the same form", s.token(body=good))
        a = s.ask("POST", "/auth/token", {**basic, "Content-Length": "0"})
        report.check(a.status in (401, 404), "/auth/token", a.status)
        a = s.ask("POST", "/auth/token", {"Content-Length": "0"})
        report.check(a.status == 404, "/auth/token", a.status)


def scopes_refused():
    with Smart() as s:
        for scope in (WITHOUT, ""):
            refused("no scope", s.token(scope=scope), "invalid_scope", "scope is missing")
        for scope in ("system/*.write", "system/*.*", "system/*.sr", "system/*.cruds", "system/*.", "system/*",
                      "system/.rs", "system/Nothing.read", "system/patient.read", "patient/*.read", "user/*.rs",
                      "openid", "system/*.rs ", " system/*.rs", "system/*.rs  system/*.read",
                      "system/*.rs openid", "system/Patient.rs?_id=1", "system/*.rs\t"):
            refused(repr(scope), s.token(scope=scope), "invalid_scope", "scope is unknown")
    with Smart("--grant-scope", "system/Patient.read") as s:
        granted(s, "granted less", s.token(), "system/Patient.read")
        granted(s, "granted whatever was asked", s.token(scope="launch openid"), "system/Patient.read")
        refused("no scope", s.token(scope=WITHOUT), "invalid_scope", "scope is missing")


def heads_refused():
    with Smart() as s:
        def bad(what, words, **how):
            invalid(what, s.token(s.assertion(**how)), words)

        none = b64({**s.head(), "alg": "none"}) + "." + b64(s.claims()) + "."
        invalid("alg none", s.token(none), "neither RS384 nor ES384")
        public = s.keys["RS384"].public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        for alg, method in (("HS256", hashlib.sha256), ("HS384", hashlib.sha384)):
            text = b64(s.head(alg, kid=s.ids["RS384"])) + "." + b64(s.claims())
            text += "." + b64(hmac.new(public, text.encode(), method).digest())
            invalid(alg, s.token(text), "neither RS384 nor ES384")
        for alg in ("RS256", "ES256", "PS384", "es384", "", "ES384 ", 7, None, ["ES384"], WITHOUT):
            bad(f"alg {alg}", "neither RS384 nor ES384", head=with_changes(s.head(), {"alg": alg}))
        for kind in ("jwt", "at+jwt", "", 1, None, WITHOUT):
            bad(f"typ {kind}", "the typ", head=s.head(typ=kind))
        bad("no kid", "has no kid", head=s.head(kid=WITHOUT))
        for kid in ("x", "", s.ids["ES384"][:-1], s.ids["ES384"].swapcase()):
            bad("kid " + kid, "kid of the header is unknown", head=s.head(kid=kid))
        for kid in (7, None, [s.ids["ES384"]]):
            bad(f"kid {kid}", "kid of the header is not a string", head=s.head(kid=kid))
        bad("kid of the RSA key", "not one for the alg", head=s.head(kid=s.ids["RS384"]))
        bad("kid of the EC key", "not one for the alg", alg="RS384", head=s.head("RS384", kid=s.ids["ES384"]))
        bad("crit", "crit", head=s.head(crit=["b64"], b64=False))
        bad("jku", "jku", head=s.head(jku="https://example.org/jwks.json"))
        report.check(s.count("assertions") == 0, "accepted", s.count("assertions"))


def forms_refused():
    """Assertions that are no JWT."""
    with Smart() as s:
        head, claims, signature = s.assertion().split(".")
        def bad(what, words, text):
            invalid(what, s.token(text), words)

        for text in ("x", head + "." + claims, ".".join((head, claims, signature, "")),
                     ".".join((head, claims, signature, "a", "b"))):
            bad("parts", "three parts", text)
        bad("padding", "base64url", f"{head}==.{claims}.{signature}")
        bad("padding of the signature", "base64url", f"{head}.{claims}.{signature}=")
        bad("space", "base64url", f"{head}.{claims}.{signature} ")
        bad("standard base64", "base64url", f"{head}.{claims}.+{signature[1:]}")
        bad("standard base64", "base64url", f"{head}.{claims}./{signature[1:]}")
        bad("length", "base64url", f"{head}.{claims}.{signature}A")
        # 47 bytes and 4 unused bits: a decoder that ignores them has two texts for one signature.
        for bits in "BCDEFGHIJKLMNOP":
            bad("unused bits", "base64url", f"{b64(b'x')[:-1]}{bits}.{claims}.{signature}")
        for text in (b"", b"{", b"[]", b"7", b"null", b"\"a\"", b'{"alg":"ES384"}x', b"{'alg':1}", b'{"a":1,}',
                     b'{"a":01}', b'{"a":"\n"}', b'{"a":"\\x"}', b'{"a":"\\u0000"}', b'{"a":"\\ud800"}',
                     b'{"a":1,"a":1}', b'{"a":' + b"[" * 20 + b"]" * 20 + b"}",
                     b'{"a":1.}', b'{"a":-}', b'{"a":+1}', b'{"a":tru}'):
            bad("head", "header of the assertion is not", ".".join((b64(text), claims, signature)))
            bad("claims", "claims of the assertion are not", ".".join((head, b64(text), signature)))
        double = b'{"alg":"none",' + json.dumps(s.head()).encode()[1:]
        bad("two alg", "header of the assertion is not", ".".join((b64(double), claims, signature)))
        report.check(s.count("assertions") == 0, "accepted", s.count("assertions"))
        granted(s, "the parts are good", s.token(".".join((head, claims, signature))))


def signatures_refused():
    with Smart() as s:
        def bad(what, words, text):
            invalid(what, s.token(text), words)

        bad("ES384 as DER", "r and s of 48 bytes", s.assertion(raw=False))
        bad("another EC key", "signature is wrong", s.assertion(key=ec.generate_private_key(ec.SECP384R1())))
        bad("P-256", "r and s of 48 bytes", s.assertion(key=ec.generate_private_key(ec.SECP256R1())))
        other = rsa.generate_private_key(65537, 2048)
        bad("another RSA key", "signature is wrong", s.assertion("RS384", key=other))
        bad("RSA for ES384", "r and s of 48 bytes", s.assertion(key=s.keys["RS384"]))
        bad("EC for RS384", "the size of the key", s.assertion("RS384", key=s.keys["ES384"]))
        for alg, size in (("ES384", 96), ("RS384", 256)):
            head, claims, signature = s.assertion(alg).split(".")
            raw = base64.urlsafe_b64decode(signature + "==")
            words = "r and s of 48 bytes" if alg == "ES384" else "the size of the key"
            for text in (b"", raw[:-1], raw + b"\0", b"\0" + raw):
                bad(alg + " size", words, ".".join((head, claims, b64(text))))
            for at in (0, size // 2, size - 1):
                flipped = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1:]
                bad(alg + " flipped", "signature is wrong", ".".join((head, claims, b64(flipped))))
            bad(alg + " zeros", "signature is wrong", ".".join((head, claims, b64(bytes(size)))))
            bad(alg + " of other claims", "signature is wrong", ".".join((head, b64(s.claims()), signature)))
            granted(s, alg, s.token(".".join((head, claims, signature))))
        text = b64(s.head("RS384")) + "." + b64(s.claims())
        for method, scheme in ((hashes.SHA256(), padding.PKCS1v15()),
                               (SHA384, padding.PSS(padding.MGF1(SHA384), 48))):
            signature = s.keys["RS384"].sign(text.encode(), scheme, method)
            bad("another hash or padding", "signature is wrong", text + "." + b64(signature))


def claims_refused():
    with Smart() as s:
        def bad(what, words, **changes):
            invalid(what, s.token(s.assertion(claims=s.claims(**changes))), words)

        client, url, now = s.env["BCDA_CLIENT_ID"], s.env["BCDA_TOKEN_URL"], int(time.time())
        for value in ("x", client.upper(), client + " ", "", 7, [client], WITHOUT):
            bad(f"iss {value}", "the iss", iss=value)
            bad(f"sub {value}", "the sub", sub=value)
        for value in (s.origin, url + "/", url.upper(), url.replace("localhost", "127.0.0.1"), [url], "", 7,
                      s.env["BCDA_FHIR_URL"], WITHOUT):
            bad(f"aud {value}", "the aud", aud=value)
        bad("no exp", "has no exp", exp=WITHOUT)
        for name in ("exp", "iat", "nbf"):
            for value in (now + 200.5, str(now + 200), None, True, [now + 200], 10**30):
                bad(f"{name} {value}", f"the {name} is not an integer", **{name: value})
        for value in (now - 1, now - 86400, 0, -1):
            bad("expired", "has expired", exp=value)
        for value in (now + 400, now + 86400, 9 * 10**18):
            bad("exp too far ahead", "more than 300 seconds", exp=value)
        for value in (now + 200, now + 86400):
            bad("iat in the future", "the iat is in the future", iat=value)
            bad("nbf in the future", "the nbf is in the future", nbf=value)
        for value in ("", 7, None, ["a"], WITHOUT):
            bad(f"jti {value}", "no jti", jti=value)
        report.check(s.count("assertions") == 0, "accepted", s.count("assertions"))


def replay():
    with Smart() as s:
        first = s.assertion()
        granted(s, "first", s.token(first))
        invalid("the same again", s.token(first), "jti was used before")
        jti = str(uuid.uuid4())
        granted(s, "first", s.token(s.assertion(claims=s.claims(jti=jti))))
        invalid("the same jti", s.token(s.assertion("RS384", claims=s.claims(jti=jti))), "jti was used before")
        # An assertion that was refused for another reason has not used its jti.
        jti = str(uuid.uuid4())
        invalid("wrong aud", s.token(s.assertion(claims=s.claims(jti=jti, aud="x"))), "the aud")
        granted(s, "its jti", s.token(s.assertion(claims=s.claims(jti=jti))))
        # One whose scope was refused has.
        first = s.assertion()
        refused("scope", s.token(first, scope="x"), "invalid_scope", "scope is unknown")
        invalid("its jti", s.token(first), "jti was used before")
        # A fault in the answer is no excuse for a client that sends the same assertion again.
        for spec in ("token-500-once", "token-429:0", "reset*1@token", "gateway*1@token", "token-html*1"):
            s.fault(spec)
            first = s.assertion()
            try:
                status = s.token(first).status
                report.check(status in (200, 429, 500, 502), spec, status)
            except (http.client.HTTPException, ConnectionError):
                report.check(spec.startswith("reset"), spec, "no answer")
            invalid(spec, s.token(first), "jti was used before")
            granted(s, spec, s.token())


# ---- options ----

def algorithms():
    for announced in ("ES384", "RS384", "RS384,ES384", "ES384,RS384", "RS256,ES384"):
        with Smart("--token-algorithms", announced) as s:
            names = announced.split(",")
            j = s.ask("GET", s.base + CONFIGURATION).json()
            report.check(j.get("token_endpoint_auth_signing_alg_values_supported") == names, announced, j)
            for alg in ("ES384", "RS384"):
                a = s.token(s.assertion(alg))
                if alg in names:
                    granted(s, announced, a)
                else:
                    invalid(announced, a, "not accepted by this server")
            want = "ES384" if "ES384" in names else "RS384"
            report.check(s.env["BCDA_SIGNING_KEY_ID"] == s.ids[want], announced, "the printed key")
    with Smart("--token-algorithms", "ES3840,ES38") as s:
        invalid("a part of a name", s.token(), "not accepted by this server")


def public_jwk(key, **members):
    n = key.public_key().public_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        return {"kty": "RSA", "n": number(n.n), "e": number(n.e), **members}
    return {"kty": "EC", "crv": "P-384", "x": number(n.x, 48), "y": number(n.y, 48), **members}


def client_keys():
    first, second = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    third = rsa.generate_private_key(65537, 3072)
    path = os.path.join(FOLDER, "jwks.json")

    def register(*jwks):
        with open(path, "w", encoding="ascii") as f:
            json.dump({"keys": jwks}, f, indent=1)

    register({"kty": "oct", "k": "AAAA"}, public_jwk(first, kid="one", alg="ES384"),
             public_jwk(second, kid="two"), public_jwk(third, kid="three", use="sig"),
             public_jwk(first, kid="four", alg="ES256"))
    for more in ([], ["--kid-optional"]):
        with Smart("--client-jwks", path, *more) as s:
            report.check(not any(name.startswith("BCDA_SIGNING") for name in s.env), s.env)
            for alg, kid, key in (("ES384", "one", first), ("ES384", "two", second), ("RS384", "three", third)):
                granted(s, kid, s.token(s.assertion(alg, s.head(alg, kid=kid), key=key)))
            invalid("key of another kid", s.token(s.assertion(head=s.head(kid="one"), key=second)),
                    "signature is wrong")
            invalid("key for another algorithm", s.token(s.assertion(head=s.head(kid="four"), key=first)),
                    "kid of the header is unknown")
            a = s.token(s.assertion(head=s.head(kid=WITHOUT), key=first))
            invalid("no kid, two keys", a, "not exactly one key" if more else "has no kid")
            a = s.token(s.assertion("RS384", s.head("RS384", kid=WITHOUT), key=third))
            if more:
                granted(s, "no kid, one key", a)
            else:
                invalid("no kid", a, "has no kid")
    wrong = public_jwk(first, kid="one")
    for what, jwks in (("no key", []), ("no key of use", [{"kty": "oct", "k": "AAAA"}]),
                       ("not on the curve", [{**wrong, "y": wrong["x"]}]), ("short", [{**wrong, "x": "AAAA"}]),
                       ("another curve", [{**wrong, "crv": "P-256"}]), ("padding", [{**wrong, "x": wrong["x"] + "="}]),
                       ("an even exponent", [{**public_jwk(third), "e": "Ag"}]),
                       ("RSA of 1024 bits", [public_jwk(rsa.generate_private_key(65537, 1024))])):
        register(*jwks)
        report.check(not starts("--auth", "smart", "--client-jwks", path), what)
    for text in ("", "{}", "[]", '{"keys":{}}', '{"keys":[}'):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        report.check(not starts("--auth", "smart", "--client-jwks", path), text)
    report.check(not starts("--auth", "smart", "--client-jwks", path + "x"), "no such file")


def starts(*options):
    """Returns whether the sandbox starts with these options."""
    with subprocess.Popen([programs.SANDBOX, "--print-env", *options], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        started = process.stdout.read() != ""
        if started:
            process.terminate()
        message = process.stderr.read()
    report.check(started or message.startswith("bcda-sandbox: "), options, message)
    return started


def options_refused():
    for options in (["--auth", "digest"], ["--auth", ""], ["--auth", "bearer"], ["--bearer-tokens", "x"],
                    ["--auth", "smart", "--bearer-tokens", "x"], ["--grant-scope", "x"], ["--client-jwks", "x"],
                    ["--auth", "none", "--no-smart-configuration"], ["--kid-optional"],
                    ["--auth", "smart", "--token-algorithms", ""], ["--auth", "smart", "--token-algorithms", "a,"],
                    ["--auth", "smart", "--token-algorithms", "a b"], ["--clock-skew", "x"], ["--clock-skew", "--1"]):
        report.check(not starts(*options), options)


def check_date(a, skew):
    dates = a.headers.get_all("Date")
    at = email.utils.parsedate_to_datetime(dates[0]).timestamp()
    report.check(len(dates) == 1 and abs(at - time.time() - skew) < 600, "Date", dates)


def clock():
    for skew in (-3600, 7200):
        with Smart("--clock-skew", str(skew)) as s:
            a = s.token()
            check_date(a, skew)
            invalid("the true time", a, "more than 300 seconds" if skew < 0 else "has expired")
            s.skew = skew
            token = granted(s, "the server's time", s.token())
            check_use(s, token)
    with Smart("--token-seconds", "3") as s:
        token = granted(s, "3 seconds", s.token(), seconds=3)
        s.set_clock(-3600)
        check_use(s, token)
        granted(s, "an hour ago", s.token(), seconds=3)
        s.set_clock(10)
        report.check(export_status(s, "Bearer " + token) == 401, "the token has expired")
        for text in ("", "x", "1.5"):
            a = s.ask("POST", "/_sandbox/clock?skew=" + text)
            report.check(a.status == 400, text, a.status)
        report.check(s.ask("GET", "/_sandbox/clock?skew=1").status == 405, "GET")
    with Server("--clock-skew", "86400") as s:
        check_date(s.ask("GET", "/_version"), 86400)


def tokens_refused():
    with Smart() as s:
        for value in ("Bearer nonsense", "Bearer a.b.c", "Bearer", "bearer x", "Basic YTpi", WITHOUT):
            a = s.ask("GET", s.base + "/jobs/1", {"Authorization": value})
            want = "Bearer" if value is WITHOUT else 'Bearer error="invalid_token"'
            report.check(a.status == 401 and a.headers["WWW-Authenticate"] == want, value, a.status, a.headers)
            report.check(a.json().get("resourceType") == "OperationOutcome", a.body)
        s.fault("token-uses:1")
        token = granted(s, "one use", s.token())
        a = s.ask("GET", s.base + "/jobs/1", {"Authorization": "Bearer " + token})
        report.check(a.status == 404, "first use", a.status)
        report.check(export_status(s, "Bearer " + token) == 401, "second use")


# ---- discovery ----

def discovery():
    for era, versions in (("2019-04", 1), ("2021", 2), ("current", 3)):
        with Smart(era=era, tls=era == "current") as s:
            for version in range(1, 5):
                a = s.ask("GET", f"/api/v{version}{CONFIGURATION}")
                if version > versions:
                    report.check(a.status == 404, era, version, a.status)
                    continue
                j = a.json()
                report.check(a.status == 200 and a.headers["Content-Type"] == "application/json", a.status, a.headers)
                report.check(j.get("token_endpoint") == s.env["BCDA_TOKEN_URL"], j)
                report.check(j.get("token_endpoint_auth_methods_supported") == ["private_key_jwt"], j)
                report.check(j.get("token_endpoint_auth_signing_alg_values_supported") == ["RS384", "ES384"], j)
                report.check(j.get("grant_types_supported") == ["client_credentials"], j)
                report.check("system/*.rs" in j.get("scopes_supported", []), j)
                report.check({"client-confidential-asymmetric", "permission-v2"} <= set(j.get("capabilities", [])), j)
                report.check(j.get("code_challenge_methods_supported") == ["S256"], j)
            report.check(s.count("discovery") == versions, era, s.count("discovery"))
            report.check(s.ask("POST", s.base + CONFIGURATION, body="").status == 405, "POST")
            report.check(s.ask("GET", CONFIGURATION).status == 404, "discovery at the origin")
            granted(s, era, s.token())
            check_security(s, True)
    with Smart("--no-smart-configuration") as s:
        report.check(s.ask("GET", s.base + CONFIGURATION).status == 404, "discovery")
        report.check(s.count("discovery") == 1, s.count("discovery"))
        check_security(s, True)
        granted(s, "no discovery", s.token())
    with Server() as s:
        report.check(s.ask("GET", s.base + CONFIGURATION).status == 404, "discovery at BCDA")
        report.check(s.count("discovery") == 1, s.count("discovery"))


def check_security(s, smart):
    rest = s.ask("GET", s.base + "/metadata").json()["rest"][0]
    extensions = rest["security"].get("extension", [])
    if not smart:
        report.check(extensions == [], extensions)
        return
    uris = {e["url"]: e["valueUri"] for e in extensions[0]["extension"]}
    report.check(len(extensions) == 1 and extensions[0]["url"] ==
                 "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris", extensions)
    report.check(uris == {"token": s.env["BCDA_TOKEN_URL"], "authorize": s.origin + "/oauth2/authorize"}, uris)


def discovery_faults():
    with Smart(tls=True) as s:
        target = s.base + CONFIGURATION
        s.fault("smart-configuration-html")
        a = s.ask("GET", target)
        report.check(a.status == 200 and a.headers["Content-Type"].startswith("text/html"), a.status, a.headers)
        s.fault("smart-configuration-no-token-endpoint")
        j = s.ask("GET", target).json()
        report.check("token_endpoint" not in j and "capabilities" in j, j)
        s.fault("smart-configuration-http")
        j = s.ask("GET", target).json()
        report.check(j["token_endpoint"] == s.env["BCDA_TOKEN_URL"].replace("https", "http"), j)
        s.fault("smart-configuration-500*2")
        report.check([s.ask("GET", target).status for _ in range(3)] == [500, 500, 200], "500, twice")
        s.fault("gateway*1@discovery")
        report.check([s.ask("GET", target).status for _ in range(2)] == [502, 200], "502, once")


def token_faults():
    with Smart() as s:
        s.fault("token-invalid-client")
        invalid("token-invalid-client", s.token(), "not registered")
        s.fault("token-invalid-scope*1")
        refused("token-invalid-scope", s.token(), "invalid_scope", "may have none")
        granted(s, "once", s.token())
        for alg, other in (("ES384", "RS384"), ("RS384", "ES384")):
            s.fault("token-refuse-alg:" + alg)
            invalid(alg, s.token(s.assertion(alg)), "must sign with " + other)
            granted(s, other, s.token(s.assertion(other)))
        s.fault("token-echo")
        assertion = s.assertion()
        j = s.token(assertion).json()
        report.check(j["error"] == "invalid_client" and assertion in j["error_description"], j)
        s.fault("token-redirect")
        report.check(s.count("elsewhere") == 0, "elsewhere", s.count("elsewhere"))
        a = s.token()
        location = a.headers["Location"]
        report.check(a.status == 307 and location == f"http://127.0.0.1:{s.port()}/oauth2/token", a.status, location)
        granted(s, "a client that follows", s.token(headers={"Host": location.split("/")[2]}))
        report.check(s.count("elsewhere") == 1, "elsewhere", s.count("elsewhere"))
        s.fault("token-429:7")
        a = s.token()
        report.check(a.status == 429 and a.headers["Retry-After"] == "7", a.status, a.headers["Retry-After"])
        s.fault("token-500-once")
        report.check([s.token().status for _ in range(2)] == [500, 200], "500, once")
        s.fault("token-html")
        a = s.token()
        report.check(a.status == 200 and a.headers["Content-Type"].startswith("text/html"), a.status, a.headers)
        s.fault("token-no-token")
        j = s.token().json()
        report.check(sorted(j) == ["expires_in", "scope", "token_type"], j)
        s.fault("token-seconds:5")
        granted(s, "token-seconds", s.token(), seconds=5)
        s.fault("two-documents@token")
        half = len(s.token().body) // 2
        body = s.token().body
        report.check(body[:half].startswith(b"{") and body[half:].startswith(b"{"), body)


# ---- the sign-in of BCDA ----

def basic():
    for options in ([], ["--auth", "basic"]):
        with Server(*options) as s:
            report.check(s.env["BCDA_TOKEN_URL"] == s.origin + "/auth/token", s.env["BCDA_TOKEN_URL"])
            report.check(not any(name.startswith("BCDA_SIGNING") for name in s.env), s.env)
            with open(s.env["BCDA_CLIENT_SECRET_FILE"], encoding="ascii") as f:
                both = s.env["BCDA_CLIENT_ID"] + ":" + f.read()
            word = base64.b64encode(both.encode()).decode()
            a = s.ask("POST", "/auth/token", {"Authorization": "Basic " + word}, "")
            report.check(a.status == 200 and a.json().get("expires_in") == "1200", a.status, a.body)
            check_use(s, a.json().get("access_token", ""))
            report.check(s.ask("POST", "/oauth2/token", {"Content-Type": FORM}, "a=b").status == 404, "/oauth2/token")
            report.check(s.count("assertions") == s.count("assertions-refused") == 0, "assertions")


# ---- servers without a token endpoint ----

def open_server():
    for era in ("2019-04", "current"):
        with Server("--auth", "none", "--all-levels", "--polls", "0", era=era) as s:
            for name in ("BCDA_TOKEN_URL", "BCDA_CLIENT_ID", "BCDA_CLIENT_SECRET_FILE", "BCDA_SIGNING_KEY_FILE"):
                report.check(name not in s.env, name)
            report.check(export_status(s) == 202, era)
            for value in ("Bearer x", "Basic YTpi", "x"):
                report.check(export_status(s, value) == 400, era, value)
                for target in (s.base + "/metadata", "/_version", "/nowhere", s.base + CONFIGURATION):
                    a = s.ask("GET", target, {"Authorization": value})
                    report.check(a.status == 400, era, target, a.status)
            no_token_endpoint(s)


def no_token_endpoint(s):
    for path in ("/auth/token", "/oauth2/token"):
        report.check(s.ask("POST", path, {"Content-Type": FORM}, "grant_type=client_credentials").status == 404, path)
    report.check(s.ask("GET", s.base + CONFIGURATION).status == 404, "discovery")
    report.check(s.ask("GET", s.base + "/token").status == 404, "token of 2018")
    check_security(s, False)


def bearer():
    path = os.path.join(FOLDER, "tokens")

    def write(text):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)

    write("first\nsecond\r\n\nthird")
    for era in ("2018-12", "current"):
        with Server("--auth", "bearer", "--bearer-tokens", path, era=era) as s:
            for name in ("BCDA_TOKEN_URL", "BCDA_CLIENT_ID", "BCDA_CLIENT_SECRET_FILE", "BCDA_SIGNING_KEY_FILE"):
                report.check(name not in s.env, name)
            write("first\nsecond\r\n\nthird")
            for token in ("first", "second", "third"):
                report.check(export_status(s, "Bearer " + token) == 202 or era == "2018-12", era, token)
                a = s.ask("GET", s.base + "/jobs/1", {"Authorization": "Bearer " + token})
                report.check(a.status != 401, era, token, a.status)
            for value in ("Bearer fir", "Bearer firstx", "Bearer ", "Bearer first,second", "bearer first",
                          "Basic first", "Bearer FIRST", WITHOUT):
                a = s.ask("GET", s.base + "/jobs/1", {"Authorization": value})
                report.check(a.status == 401, era, value, a.status)
            write("fourth\n")
            report.check(s.ask("GET", s.base + "/jobs/1", {"Authorization": "Bearer first"}).status == 401, "rotated")
            report.check(s.ask("GET", s.base + "/jobs/1", {"Authorization": "Bearer fourth"}).status != 401, "rotated")
            os.remove(path)
            report.check(s.ask("GET", s.base + "/jobs/1", {"Authorization": "Bearer fourth"}).status == 401, "no file")
            no_token_endpoint(s)


# ---- certificates of the client, and files at another origin ----

def make_certificate(path, name, issuer=None):
    """Writes a certificate and its key to a file. Without an issuer it is that of an authority. Returns both."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.utcnow()
    certificate = x509.CertificateBuilder(
        issuer[0].subject if issuer else subject, subject, key.public_key(), x509.random_serial_number(),
        now - datetime.timedelta(days=1), now + datetime.timedelta(days=1)).add_extension(
            x509.BasicConstraints(not issuer, None), True).sign(issuer[1] if issuer else key, hashes.SHA256())
    with open(path, "wb") as f:
        f.write(certificate.public_bytes(serialization.Encoding.PEM))
        f.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                  serialization.NoEncryption()))
    return certificate, key


def manifest_of(s, headers, certificate=None):
    headers = {"Accept": "application/fhir+json", "Prefer": "respond-async", **headers}
    a = s.ask("GET", s.base + "/Patient/$export?_type=Patient", headers, certificate=certificate)
    job = a.headers["Content-Location"][len(s.origin):]
    while a.status == 202:
        a = s.ask("GET", job, headers, certificate=certificate)
    return a.json()


def resumed(s, certificate):
    """Sends a request over a resumed TLS session. Returns the answer."""
    context = ssl.create_default_context(cafile=s.env["BCDA_CA_FILE"])
    context.load_cert_chain(certificate)
    session, answer = None, b""
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", int(s.port())), 60) as plain, \
                context.wrap_socket(plain, server_hostname="localhost", session=session) as secure:
            secure.sendall(f"GET /_version HTTP/1.1\r\nHost: {s.host}\r\n\r\n".encode())
            answer, more = b"", secure.recv(65536)
            while more:
                answer, more = answer + more, secure.recv(65536)
            report.check(session is None or secure.session_reused, "the session is not resumed")
            session = secure.session
    return answer


def certificates():
    authority, other, good, bad = (os.path.join(FOLDER, n) for n in ("ca", "other-ca", "good", "bad"))
    make_certificate(good, "client", make_certificate(authority, "authority"))
    make_certificate(bad, "client", make_certificate(other, "authority"))
    with Server("--client-ca", authority, "--files-port", "0", "--polls", "0", "--auth", "none", tls=True) as s:
        s.certificate = good
        for target in (s.base + "/metadata", "/_version", "/auth/token", "/nowhere"):
            a = s.ask("GET", target)
            report.check(a.status == 400 and b"No required" in a.body, target, a.status, a.body)
            a = s.ask("GET", target, certificate=bad)
            report.check(a.status == 400 and b"certificate error" in a.body, target, a.status, a.body)
        report.check(s.count("client-certificates") == 1, s.count("client-certificates"))
        report.check(s.ask("GET", s.base + "/metadata", certificate=good).status == 200, "with a certificate")
        report.check(resumed(s, good).startswith(b"HTTP/1.1 200"), "a resumed session")
        before = s.count("client-certificates")
        manifest = manifest_of(s, {}, good)
        report.check(s.count("client-certificates") >= before + 3, before, s.count("client-certificates"))
        file = urllib.parse.urlsplit(manifest["output"][0]["url"])
        report.check(file.scheme == "https" and file.hostname == "localhost", file)
        report.check(f"https://localhost:{file.port}" == s.env["BCDA_FILES_URL"], file, s.env)
        a = s.ask("GET", file.path, port=file.port)
        report.check(a.status == 200 and len(a.body) > 1000, a.status)
        report.check(s.count("client-certificates-elsewhere") == 0, "elsewhere")
        for n, certificate in enumerate((good, bad), 1):
            report.check(s.ask("GET", file.path, port=file.port, certificate=certificate).status == 200, "file")
            report.check(s.count("client-certificates-elsewhere") == n, "elsewhere")
        for target in (s.base + "/metadata", "/auth/token", "/_version", "/_sandbox/count?name=total"):
            report.check(s.ask("GET", target, port=file.port).status == 404, target)
    report.check(not starts("--client-ca", authority), "without TLS")
    report.check(not starts("--tls", "--client-ca", authority + "x"), "no such file")
    report.check(not starts("--tls", "--client-ca", os.path.abspath(__file__)), "no certificate")


def files_elsewhere():
    with Smart("--files-port", "0", "--polls", "0") as s:
        authorization = {"Authorization": "Bearer " + granted(s, "token", s.token())}
        manifest = manifest_of(s, authorization)
        report.check(manifest["requiresAccessToken"] is False, manifest)
        file = urllib.parse.urlsplit(manifest["output"][0]["url"])
        report.check(s.ask("GET", file.path, port=file.port).status == 200, "file without a token")
        report.check(s.count("elsewhere") == 0, "elsewhere")
        report.check(s.ask("GET", file.path, authorization, port=file.port).status == 200, "file with a token")
        report.check(s.count("elsewhere") == 1, "elsewhere")
        report.check(s.ask("GET", file.path).status == 401, "file at the first origin without a token")
    with Smart("--polls", "0") as s:
        authorization = {"Authorization": "Bearer " + granted(s, "token", s.token())}
        report.check(manifest_of(s, authorization)["requiresAccessToken"] is True, "requiresAccessToken")
    with Server("--auth", "none", "--polls", "0") as s:
        report.check(manifest_of(s, {})["requiresAccessToken"] is False, "requiresAccessToken")


TESTS = [keys, keys_kept, accepted, requests_refused, scopes_refused, heads_refused, forms_refused,
         signatures_refused, claims_refused, replay, algorithms, client_keys, options_refused, clock,
         tokens_refused, discovery, discovery_faults, token_faults, basic, open_server, bearer, certificates,
         files_elsewhere]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bcda-test-") as FOLDER:
        report.run(TESTS, sys.argv[3:])
    report.finish()
