#!/usr/bin/env python3
"""The ways to sign in of bcda-export, against a sandbox that demands each of them, over TLS: whole
exports, files that processes share, keys that are refused before anything is sent, and what the program
prints when the server refuses it.

test_signing_in.py BCDA_EXPORT BCDA_SANDBOX [TEST]...
"""
import glob
import json
import os
import re
import stat
import subprocess
import sys
import tempfile

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import programs
import test_sandbox_auth

report = programs.Report()
check = report.check
SMALL = ("--era", "current", "--polls", "0", "--patients", "4", "--claims", "2", "--control", "--keep-plain")
# Names of the C library, which no message may contain.
FOREIGN = re.compile(r"bcda_[a-z_]+\(|BCDA_(OPT|ERR)")


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, data):
    """Replaces the file in one step."""
    with open(path + ".new", "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    os.replace(path + ".new", path)
    return path


class Server(programs.Sandbox):
    """A sandbox, and runs of bcda-export against it. `secrets` are texts that no output may contain."""

    def __init__(self, *options):
        super().__init__(*SMALL, *options)
        self.secrets, self.runs = [], 0
        for name in ("BCDA_SIGNING_KEY_FILE", "BCDA_CLIENT_SECRET_FILE"):
            if self.env.get(name):
                self.secrets += [line for line in read(self.env[name]).split(b"\n") if b"-" not in line and line]

    def path(self, name):
        return os.path.join(self.state, name)

    def count(self, name):
        return int(self.control("GET", "count?name=" + name))

    def client(self, *options):
        return [programs.EXPORT, "--url", self.env["BCDA_FHIR_URL"], "--ca", self.env["BCDA_CA_FILE"],
                *programs.FAST, *options]

    def judge(self, options, code, status, said):
        """`said` is what was printed on standard error. Returns it as text. A thumbprint in it is random, and can
        contain "eyJ"; each token begins with {"alg": in base64url."""
        text = said.decode()
        check(status == code, options, status, text)
        check(not any(secret in said for secret in self.secrets), options, "a secret is printed")
        check("eyJhbGciOi" not in text and "Bearer" not in text, options, "a token is printed", text)
        check(not FOREIGN.search(text), options, "a word of the C interface", text)
        return text

    def run(self, *options, code=0):
        """Runs bcda-export. A run that succeeds must have all resources. Returns what it printed."""
        self.runs += 1
        out = self.path(f"out-{self.runs}")
        done = subprocess.run(self.client("--out", out, *options), capture_output=True, timeout=programs.LIMIT)
        check(done.stdout == b"", options, done.stdout)
        if code == 0 == done.returncode:
            check(self.written(out) == self.generated(), options, "other resources", os.listdir(out))
        return self.judge(options, code, done.returncode, done.stderr)

    def generated(self):
        """The lines of the newest job. All jobs have the same lines."""
        files = {os.path.basename(p): read(p) for p in
                 glob.glob(os.path.join(self.state, "s", "**", "*.plain"), recursive=True)}
        return sorted(set(b"".join(files.values()).splitlines()))

    def written(self, out):
        return sorted(b"".join(read(p) for p in glob.glob(os.path.join(out, "*-[0-9]*.ndjson"))).splitlines())


class Smart(Server):
    def __init__(self, *options):
        super().__init__("--auth", "smart", *options)
        self.folder = os.path.dirname(self.env.get("BCDA_SIGNING_JWKS_FILE", ""))
        self.kids = {}
        if self.folder:
            with open(self.env["BCDA_SIGNING_JWKS_FILE"], encoding="ascii") as f:
                for jwk in json.load(f)["keys"]:
                    self.kids[jwk["alg"]] = jwk["kid"]
                    self.secrets.append(jwk["d"].encode())

    def pem(self, algorithm="ES384"):
        return os.path.join(self.folder, f"signing-{algorithm.lower()}.pem")

    def key(self, algorithm="ES384", file=None):
        """The options for a key of the client."""
        return ["--client-id", self.env["BCDA_CLIENT_ID"], "--private-key-jwt", file or self.pem(algorithm), "--kid",
                self.kids[algorithm]]


def encrypted(path, to, passphrase):
    """Writes a private key as encrypted PKCS#8."""
    key = serialization.load_pem_private_key(read(path), None)
    return write(to, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                       serialization.BestAvailableEncryption(passphrase.encode())))


# ---- whole exports ----

def keys():
    with Smart() as s:
        passphrase = write(s.path("passphrase"), "correct horse\n")
        s.secrets.append(b"correct horse")
        jwk = os.path.join(s.folder, "signing-rs384.jwk")
        ways = [s.key(a, f) for a in ("ES384", "RS384") for f in (None, s.env["BCDA_SIGNING_JWKS_FILE"])]
        ways += [["--client-id", s.env["BCDA_CLIENT_ID"], "--private-key-jwt", jwk],
                 [*s.key(), "--scope", "system/*.read"],
                 [*s.key(), "--token-url", s.env["BCDA_TOKEN_URL"]]]
        for algorithm in ("ES384", "RS384"):
            file = encrypted(s.pem(algorithm), s.path("encrypted-" + algorithm), "correct horse")
            ways.append([*s.key(algorithm, file), "--private-key-jwt-passphrase-file", passphrase])
        for n, way in enumerate(ways, 1):
            said = s.run(*way)
            check("bcda-export:" not in said, way, said)
            check(s.count("assertions") == n and s.count("assertions-refused") == 0, way, s.count("assertions"))
        # With --token-url, too: the server's configuration says which form of scope it has.
        check(s.count("discovery") == len(ways), s.count("discovery"))
        said = s.run(*s.key(), "--statistics")
        check(" 1 tokens" in said, said)


def secret():
    """The credentials of BCDA, with the token shared by two runs."""
    with Server() as s:
        way = ["--client-id", s.env["BCDA_CLIENT_ID"], "--client-secret-file", s.env["BCDA_CLIENT_SECRET_FILE"]]
        for _ in range(2):
            s.run(*way, "--token-cache", s.path("cache"))
        check(s.count("token") == 1, s.count("token"))


def no_auth():
    """The sandbox answers a request that has an Authorization header with 400."""
    with Server("--auth", "none") as s:
        s.run("--no-auth")
        check(s.count("token") == 0 and s.count("discovery") == 0, "what an open server does not have")
    with Smart() as s:
        said = s.run("--no-auth", code=1)
        check("requires a token (401)" in said, said)


def rotated_while(s, way, token, command):
    """Runs an export to standard output, which this process does not read until the token has changed: one
    file is larger than a pipe, so the program waits in the middle of it. Returns the lines and what was
    printed."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    first = process.stdout.read(1)
    check(s.count("401") == 0, way, "a 401 before the token has changed")
    write(token, "second-of-the-tokens\n")
    write(s.path("valid"), "second-of-the-tokens\n")
    rest, said = process.communicate(timeout=programs.LIMIT)
    s.judge(way, 0, process.returncode, said)
    return sorted((first + rest).splitlines())


def tokens_from_elsewhere():
    """A token file and a command. The token changes during the export, and the first one is refused then."""
    with tempfile.TemporaryDirectory(prefix="bcda-test-") as folder:
        valid, token = os.path.join(folder, "valid"), os.path.join(folder, "token")
        for way in (["--bearer-token-file", token], ["--token-command", f"cat '{token}'"]):
            write(valid, "first-of-the-tokens\n")
            write(token, '{"access_token": "first-of-the-tokens", "expires_in": 3600}')
            with Server("--auth", "bearer", "--bearer-tokens", valid, "--files", "4", "--file-bytes", "500000") as s:
                os.symlink(valid, s.path("valid"))
                s.path = lambda name, f=folder: os.path.join(f, name)
                s.secrets += [b"first-of-the", b"second-of-the"]
                lines = rotated_while(s, way, token, s.client("--type", "ExplanationOfBenefit", "--set", "parallel=1",
                                                               "--out", "-", *way))
                check(lines == s.generated() and lines, way, len(lines))
                check(s.count("401") == 1, way, s.count("401"))
                # The file still has a token that the server has refused. It is not sent a second time.
                write(token, "first-of-the-tokens")
                said = s.run(*way, code=1)
                check(s.count("401") == 2, way, s.count("401"))
                check("the server refused this token, and there is no other yet" in said, way, said)
                check(token in said or way[0] == "--token-command", way, said)


def token_command_fails():
    with Server("--auth", "bearer", "--bearer-tokens", "/dev/null") as s:
        for command, words in (("exit 3", "exit status 3"), ("true", "no token"), ("kill -9 $$", "signal 9"),
                               ("/nowhere/command", "exit status 127")):
            said = s.run("--token-command", command, "--quiet", code=1)
            check(words in said, command, said)
        for path in ("/nowhere/token", s.path("empty")):
            write(s.path("empty"), "\n")
            said = s.run("--bearer-token-file", path, code=1)
            check(path in said, path, said)
        check(s.count("total") == 0, s.count("total"))


# ---- files that processes share ----

def token_cache():
    with Smart() as s:
        cache = s.path("cache")
        for _ in range(2):
            s.run(*s.key(), "--token-cache", cache)
        check(s.count("token") == 1 and s.count("assertions") == 1, s.count("token"))
        check(stat.S_IMODE(os.stat(cache).st_mode) == 0o600, oct(os.stat(cache).st_mode))
        together = [subprocess.Popen(s.client(*s.key(), "--token-cache", s.path("new"), "--type", "Patient", "--set",
                                               "duplicate_job=wait", "--out", s.path(f"together-{i}")),
                                     stderr=subprocess.PIPE) for i in range(2)]
        for process in together:
            said = process.communicate(timeout=programs.LIMIT)[1]
            s.judge("two at once", 0, process.returncode, said)
        check(s.count("token") == 2, s.count("token"))
        s.run(*s.key())
        check(s.count("token") == 3, "without --token-cache", s.count("token"))


def budget(path):
    """Returns the level, in thousandths of a request, and the time in milliseconds."""
    return [int(n) for n in read(path).split()[2:4]]


def request_budget():
    """Each request takes one from the file, which is refilled by one per second."""
    with Smart() as s:
        shared = s.path("budget")
        more = ["--request-budget", shared, "--set", "requests_burst=1000", "--set", "requests_per_second=1"]
        s.run(*s.key(), *more)
        check(stat.S_IMODE(os.stat(shared).st_mode) == 0o600, oct(os.stat(shared).st_mode))
        (level, time), sent = budget(shared), s.count("total")
        check(level < 1000000, level)
        s.run(*s.key("RS384"), *more)
        (then, later), sent = budget(shared), s.count("total") - sent
        check(sent >= 5, sent)
        check(then <= level + (later - time) - 1000 * sent, level, time, then, later, sent)


def shared_files_that_cannot_be_used():
    with Smart() as s:
        readable = write(s.path("readable"), "")
        os.chmod(readable, 0o644)
        for option in ("--token-cache", "--request-budget"):
            for path in ("/nowhere/file", s.state, readable):
                said = s.run(*s.key(), option, path, code=1)
                check(said.startswith(f"bcda-export: {option}: ") and path in said, option, path, said)
                check(said.count("\n") == 1, option, path, said)
        said = s.run(*s.key(), "--token-cache", s.path("cache"), "--request-budget", "/nowhere/file", code=1)
        check(said.startswith("bcda-export: --request-budget: "), said)
        said = s.run(*s.key(), "--token-cache", s.path("cache"), "--ca", "/nowhere/ca", code=1)
        check(said.startswith("bcda-export: --ca: /nowhere/ca"), said)
        check(s.count("total") == 0, s.count("total"))


# ---- certificates of the client ----

def split_pem(path, passphrase):
    """Splits a file of a certificate and its key. The key is encrypted."""
    certificate, mark, key = read(path).partition(b"-----BEGIN PRIVATE KEY-----")
    return (write(path + ".crt", certificate),
            encrypted(write(path + ".key", mark + key), path + ".encrypted", passphrase))


def certificates():
    with tempfile.TemporaryDirectory(prefix="bcda-test-") as folder:
        authority, good, bad = (os.path.join(folder, n) for n in ("ca", "good", "bad"))
        test_sandbox_auth.make_certificate(good, "client", test_sandbox_auth.make_certificate(authority, "authority"))
        test_sandbox_auth.make_certificate(bad, "client")
        passphrase = write(os.path.join(folder, "passphrase"), "correct horse\n")
        wrong = write(os.path.join(folder, "wrong"), "incorrect horse\n")
        certificate, key = split_pem(good, "correct horse")
        apart = ["--client-certificate", certificate, "--client-key", key, "--client-key-passphrase-file"]
        with Smart("--client-ca", authority, "--files-port", "0") as s:
            s.certificate = good
            s.secrets += [b"correct horse", *read(good).split(b"\n")[-4:-2], *read(key).split(b"\n")[1:3]]
            way, here, files = s.key(), s.env["BCDA_FHIR_URL"].partition("/api")[0], s.env["BCDA_FILES_URL"]
            for options in (["--client-certificate", good], [*apart, passphrase],
                            ["--client-certificate", good, "--certificate-origin", here]):
                s.run(*way, *options)
            check(s.count("client-certificates-elsewhere") == 0, "the servers of files see the certificate")
            s.run(*way, "--client-certificate", good, "--certificate-origin", here, "--certificate-origin", files)
            check(s.count("client-certificates-elsewhere") > 0, "an origin that is named")
            done = subprocess.run(s.client("--metadata", "--client-certificate", good), capture_output=True,
                                  timeout=programs.LIMIT)
            check(done.returncode == 0 and b"FHIR version" in done.stdout, done)
            for options, words in (([], "400"), (["--client-certificate", bad], "400"),
                                   (["--client-certificate", good, "--certificate-origin", files], "400"),
                                   ([*apart, wrong], "is its passphrase right?"),
                                   (["--client-certificate", good + "x"],
                                    f"bcda-export: --client-certificate: {good}x: No such file"),
                                   (["--client-certificate", good, "--client-key", key + "x"],
                                    f"bcda-export: --client-key: {key}x: No such file"),
                                   (["--client-certificate", ""], "bcda-export: --client-certificate: "),
                                   ([*apart, good + "x"], f"bcda-export: {good}x: No such file")):
                said = s.run(*way, *options, code=1)
                check(words in said, options, said)
            said = s.run(*way, "--client-certificate", good, "--certificate-origin", "localhost", code=2)
            check(said.startswith("bcda-export: --certificate-origin: "), said)


# ---- wrong usage ----

def helps():
    done = subprocess.run([programs.EXPORT, "--help"], capture_output=True, text=True, timeout=programs.LIMIT)
    for option in ("--client-id ID", "--client-secret-file FILE", "--private-key-jwt FILE", "--kid ID", "--scope SCOPES",
                   "--private-key-jwt-passphrase-file FILE", "--bearer-token-file FILE", "--token-command COMMAND",
                   "--no-auth ", "--token-url URL", "--token-cache FILE", "--request-budget FILE",
                   "--client-certificate FILE", "--client-key FILE", "--client-key-passphrase-file FILE",
                   "--certificate-origin URL"):
        check(f"\n  {option}" in done.stdout, option, "is not in --help")
    check(all(len(line) <= 95 for line in done.stdout.splitlines()), "a long line in --help", done.stdout)


KEY = ["--private-key-jwt", "k", "--client-id", "i"]
SECRET = ["--client-secret-file", "s", "--client-id", "i"]
ONLY_ONE = ("only one of --client-secret-file, --private-key-jwt, --bearer-token-file, --token-command and --no-auth "
            "can be given")
NEEDED = "are needed, or --private-key-jwt, --bearer-token-file, --token-command or --no-auth"
CONTRADICTIONS = [
    ([], NEEDED), (["--scope", "x"], NEEDED), (["--token-cache", "c"], NEEDED),
    ([*KEY, "--client-secret-file", "s"], ONLY_ONE), ([*KEY, "--no-auth"], ONLY_ONE),
    ([*KEY, "--bearer-token-file", "t"], ONLY_ONE), ([*SECRET, "--token-command", "c"], ONLY_ONE),
    (["--bearer-token-file", "t", "--token-command", "c"], ONLY_ONE), (["--no-auth", "--token-command", "c"], ONLY_ONE),
    (["--no-auth", "--bearer-token-file", "t"], ONLY_ONE),
    (["--client-id", "i"], "--client-id needs --client-secret-file or --private-key-jwt"),
    (KEY[:2], "--private-key-jwt needs --client-id"), (SECRET[:2], "--client-secret-file needs --client-id"),
    (["--no-auth", "--client-id", "i"], "--client-id is only for --client-secret-file and --private-key-jwt"),
    (["--bearer-token-file", "t", "--client-id", "i"], "--client-id is only for"),
    (["--token-command", "c", "--client-id", "i"], "--client-id is only for"),
    ([*SECRET, "--scope", "x"], "--scope and --private-key-jwt-passphrase-file need --private-key-jwt"),
    ([*SECRET, "--kid", "x"], "--kid, --scope and"), (["--no-auth", "--kid", "x"], "--kid, --scope and"),
    (["--token-command", "c", "--private-key-jwt-passphrase-file", "p"], "--kid, --scope and"),
    (["--no-auth", "--token-cache", "c"], "--token-cache is only for --client-secret-file and --private-key-jwt"),
    (["--bearer-token-file", "t", "--token-cache", "c"], "--token-cache is only for"),
    (["--token-command", "c", "--token-cache", "c"], "--token-cache is only for"),
    ([*KEY, "--token-cache", "c", "--request-budget", "c"], "--token-cache and --request-budget need different files"),
    ([*SECRET, "--token-cache", "s"], "--token-cache needs a file that no other option names"),
    (["--no-auth", "--ca", "c", "--request-budget", "c"], "--request-budget needs a file that no other option names"),
    (["--no-auth", "--client-key", "k"], "--client-key, --client-key-passphrase-file and --certificate-origin need "
     "--client-certificate"), (["--no-auth", "--client-key-passphrase-file", "p"], "need --client-certificate"),
    (["--no-auth", "--certificate-origin", "https://a"], "need --client-certificate"),
    ([*SECRET, "--client-certificate", "c", "--client-key", "k", "--token-cache", "k"], "--token-cache needs a file"),
    (["--no-auth", "--token-url", "https://localhost/token"], "--no-auth and --token-url contradict each other"),
]
EMPTY = [([*KEY[:2], "--client-id", ""], "the client id"), (["--token-command", ""], "--token-command: "),
         (["--bearer-token-file", ""], "--bearer-token-file: ")]


def contradictions():
    for options, words in CONTRADICTIONS:
        done = subprocess.run([programs.EXPORT, "--url", "https://localhost:1/", *options], capture_output=True,
                              text=True, timeout=programs.LIMIT)
        line, _, rest = done.stderr.partition("\n")
        check(done.returncode == 2, options, done.returncode, done.stderr)
        check(line.startswith("bcda-export: ") and words in line, options, done.stderr)
        check(rest == "Try bcda-export --help\n", options, done.stderr)
    with Smart() as s:
        before, other = read(s.pem()), os.path.join(s.folder, ".", os.path.basename(s.pem()))
        for option in ("--token-cache", "--request-budget"):  # it does not overwrite the key
            said = s.run(*s.key(), option, other, code=2)
            check(said.startswith(f"bcda-export: {option} needs a file that no other option names\n"), option, said)
            check(read(s.pem()) == before, option, "the key is overwritten")
        for options, words in [*EMPTY, ([*s.key()[:-1], ""], "the key id"), ([*s.key(), "--scope", 'a"b'], "--scope: ")]:
            said = s.run(*options, code=2)
            check(said.startswith("bcda-export: --") and words in said and said.count("\n") == 1, options, said)
        check(s.count("total") == 0, s.count("total"))


def pem_of(key, form=serialization.PrivateFormat.PKCS8):
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def public_pem_of(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def bad_keys():
    """Each is one line that names the option and the file, and nothing is sent."""
    with Smart() as s:
        good = read(s.pem())
        half = good.split(b"\n")
        bad = {"p256": pem_of(ec.generate_private_key(ec.SECP256R1())), "rsa1024": pem_of(rsa.generate_private_key(65537, 1024)),
               "public": public_pem_of(ec.generate_private_key(ec.SECP384R1())), "empty": b"",
               "damaged": good.replace(half[1], half[1][:20] + b"AAAA" + half[1][24:]), "cut": good[:-60],
               "public.jwk": b'{"kty":"RSA","alg":"RS384","n":"AQAB","e":"AQAB"}', "half.jwk": b'{"kty":"EC",'}
        words = {"p256": "P-384", "rsa1024": "1024", "public": "public", "empty": "is empty",
                 "public.jwk": "public"}
        for name, data in bad.items():
            file = write(s.path(name), data)
            said = s.run(*s.key(file=file), code=1)
            check(said.startswith(f"bcda-export: --private-key-jwt: {file}"), name, said)
            check(words.get(name, "") in said and said.count("\n") == 1, name, said)
            check(all(line.decode() not in said for line in data.split(b"\n") if len(line) > 30), name, said)
        said = s.run(*s.key(file="/nowhere/key"), code=1)
        check(said.startswith("bcda-export: --private-key-jwt: /nowhere/key: "), said)
        jwks = s.env["BCDA_SIGNING_JWKS_FILE"]
        for more in ([], ["--kid", "unknown"]):  # a message lists the ids that can be chosen
            said = s.run(*s.key(file=jwks)[:4], *more, code=2)
            check(said.startswith(f"bcda-export: --private-key-jwt: {jwks}: "), said)
            check(all(kid in said for kid in s.kids.values()) and said.count("\n") == 1, said)
        file = encrypted(s.pem(), s.path("encrypted"), "correct horse")
        wrong, empty = write(s.path("wrong"), "wrong donkey\n"), write(s.path("empty-passphrase"), "\n")
        s.secrets += [b"correct horse", b"wrong donkey"]
        for passphrase, names in ((None, file), (wrong, file), (empty, empty), ("/nowhere/phrase", "/nowhere/phrase")):
            said = s.run(*s.key(file=file), *(["--private-key-jwt-passphrase-file", passphrase] if passphrase else []),
                         code=1)
            check(names in said and said.count("\n") == 1, passphrase, said)
        check(s.count("total") == 0, s.count("total"))


# ---- what the server refuses ----

def refused():
    with Smart() as s:
        said = s.run("--client-id", "another", *s.key()[2:], code=1)
        check("invalid_client" in said and "the server says: invalid_client: the iss is not" in said, said)
        said = s.run(*s.key()[:-2], code=1)
        check("no key id (kid) is set" in said and "the server says: " in said, said)
        said = s.run(*s.key(), "--scope", "system/Nothing.write", code=1)
        check("invalid_scope" in said, said)
        check(s.count("kickoff") == 0, s.count("kickoff"))
        s.control("POST", "fault?spec=token-echo")
        said = s.run(*s.key(), code=1)  # the server's text has the assertion, which is not printed
        check("invalid_client" in said, said)
        s.control("DELETE", "fault")
        for skew, words in ((3600, "behind"), (-3600, "ahead of")):
            s.control("POST", f"clock?skew={skew}")
            said = s.run(*s.key(), code=1)
            check(re.search(rf"this machine's clock is 3[56]\d\d s {words} the server's", said), skew, said)
    with Smart("--token-algorithms", "RS384") as s:
        es384 = write(s.path("es384.pem"), pem_of(ec.generate_private_key(ec.SECP384R1())))
        said = s.run(*s.key("RS384", es384), code=1)
        check("the server announces private_key_jwt with RS384" in said, said)
        s.run(*s.key("RS384"))


def narrower_grant():
    with Smart("--grant-scope", "system/Patient.rs") as s:
        more = ["--scope", "system/Patient.rs system/Coverage.rs", "--type", "Patient"]
        for quiet in ([], ["--quiet"]):
            said = s.run(*s.key(), *more, *quiet)
            lines = [line for line in said.splitlines() if "not granted" in line]
            check(len(lines) == 1 and lines[0].startswith("bcda-export: ") and
                  lines[0].endswith("not granted: system/Coverage.rs"), quiet, said)
            check(not quiet or len(said.splitlines()) == 1, said)


# ---- jobs that are resumed, and requests without a token ----

def resumed():
    """A saved job does not depend on the way to sign in: it began with one key, and is resumed with another,
    and with a token that another program fetched."""
    with test_sandbox_auth.Smart("--polls", "0", "--keep-plain", "--files", "4", tls=True) as server:
        with open(server.env["BCDA_SIGNING_JWKS_FILE"], encoding="ascii") as f:
            private = [jwk["d"].encode() for jwk in json.load(f)["keys"]]
        for n, algorithm in enumerate(("RS384", None), 1):
            client = ["--url", server.env["BCDA_FHIR_URL"], "--ca", server.env["BCDA_CA_FILE"], "--set", "parallel=1",
                      *programs.FAST]
            folder = os.path.dirname(server.env["BCDA_SIGNING_KEY_FILE"])
            key = ["--client-id", server.env["BCDA_CLIENT_ID"], "--private-key-jwt"]
            out, state = (os.path.join(server.state, f"{name}-{n}") for name in ("out", "state"))
            client += ["--out", out, "--resume", state, "--type", "ExplanationOfBenefit"]
            server.fault("data-500*1000+2")
            done = subprocess.run([programs.EXPORT, *client, *key, os.path.join(folder, "signing-es384.pem"), "--kid",
                                   server.ids["ES384"]], capture_output=True, timeout=programs.LIMIT)
            check(done.returncode == 1 and b"500" in done.stderr, done.returncode, done.stderr)
            kept = read(state)
            check(b"eyJhbGciOi" not in kept and not any(d in kept for d in private), "a secret is in the state")
            check(server.env["BCDA_CLIENT_ID"].encode() not in kept, "the state names the client")
            server.no_faults()
            if algorithm:
                way = [*key, os.path.join(folder, "signing-rs384.pem"), "--kid", server.ids["RS384"]]
            else:
                token = write(os.path.join(server.state, "token"), server.token().body)
                way = ["--bearer-token-file", token]
            done = subprocess.run([programs.EXPORT, *client, *way], capture_output=True, timeout=programs.LIMIT)
            check(done.returncode == 0, way, done.returncode, done.stderr)
            check(server.count("kickoff") == n, "another job was started", server.count("kickoff"))
            check(not os.path.exists(state) and len(glob.glob(out + "/*.ndjson")) == 4, os.listdir(out))
            lines = sorted(b"".join(read(p) for p in glob.glob(out + "/*.ndjson")).splitlines())
            files = {os.path.basename(p): p for p in glob.glob(server.state + "/s/**/*.plain", recursive=True)}
            check(lines == sorted(set(b"".join(read(p) for p in files.values()).splitlines())), way, len(lines))


def metadata():
    """--metadata needs no token, whatever is set for signing in."""
    with Smart() as s:
        ways = [[], s.key(), [*s.key(), "--token-cache", s.path("cache"), "--scope", "system/*.rs"], ["--no-auth"],
                ["--bearer-token-file", "/nowhere/token"], ["--token-command", "exit 1"],
                ["--client-id", "i", "--client-secret-file", "/nowhere/secret"],
                ["--request-budget", s.path("budget")]]
        for way in ways:
            done = subprocess.run(s.client("--metadata", *way), capture_output=True, timeout=programs.LIMIT)
            check(done.returncode == 0 and b"3.0.1" in done.stdout and done.stderr == b"", way, done.returncode,
                  done.stdout, done.stderr)
        check(s.count("token") == 0 and s.count("401") == 0, s.count("token"))


# ---- the guide ----

def guide():
    """The commands of doc/guide/signing-in.md."""
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    with open(os.path.join(root, "doc", "guide", "signing-in.md"), encoding="utf-8") as f:
        page = f.read()
    with tempfile.TemporaryDirectory(prefix="bcda-test-") as folder:
        os.mkdir(os.path.join(folder, "bin"))
        for program in (programs.EXPORT, programs.SANDBOX):
            os.symlink(program, os.path.join(folder, "bin", os.path.basename(program)))
        os.symlink(os.path.join(root, "examples"), os.path.join(folder, "examples"))
        path = os.path.join(folder, "bin") + os.pathsep + os.environ["PATH"]
        programs.run_guide(report, page, 3, folder, dict(os.environ, PATH=path, TMPDIR=folder))


def make_jwks(pem, *options):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "jwks.py")
    return subprocess.run([sys.executable, script, *options], input=pem, capture_output=True, timeout=programs.LIMIT)


def registered_keys():
    """Keys that the guide's commands make, and examples/jwks.py registers: RSA, and encrypted."""
    with tempfile.TemporaryDirectory(prefix="bcda-test-") as folder:
        passphrase = write(os.path.join(folder, "passphrase"), "correct horse\n")
        encrypt = ("-aes256", "-pass", "file:" + passphrase)
        for name, how in (("rsa", ("RSA", "-pkeyopt", "rsa_keygen_bits:2048")), ("rsa-encrypted", ("RSA", *encrypt)),
                          ("ec-encrypted", ("EC", "-pkeyopt", "ec_paramgen_curve:P-384", *encrypt))):
            key, jwks = os.path.join(folder, name), os.path.join(folder, name + ".jwks")
            subprocess.run(["openssl", "genpkey", "-out", key, "-algorithm", *how], check=True, timeout=programs.LIMIT,
                           stderr=subprocess.DEVNULL)
            check(stat.S_IMODE(os.stat(key).st_mode) == 0o600, name, oct(os.stat(key).st_mode))
            public = subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-passin", "file:" + passphrase],
                                    check=True, capture_output=True, timeout=programs.LIMIT).stdout
            made = make_jwks(public)
            jwk = json.loads(made.stdout)["keys"][0]
            check(made.returncode == 0 and not {"d", "p", "q"} & set(jwk), name, made)
            more = ["--private-key-jwt-passphrase-file", passphrase] if "encrypted" in name else []
            with Smart("--client-jwks", write(jwks, made.stdout)) as s:
                s.run("--client-id", s.env["BCDA_CLIENT_ID"], "--private-key-jwt", key, "--kid", jwk["kid"], *more)
    # the thumbprint is that of RFC 7638, as in the sandbox
    with Smart() as s:
        for algorithm, kid in s.kids.items():
            public = public_pem_of(serialization.load_pem_private_key(read(s.pem(algorithm)), None))
            check(json.loads(make_jwks(public).stdout)["keys"][0]["kid"] == kid, algorithm, kid)
            check(json.loads(make_jwks(public, "mine").stdout)["keys"][0]["kid"] == "mine", algorithm)
        for pem in (read(s.pem()), b"", public_pem_of(ec.generate_private_key(ec.SECP256R1())),
                    public_pem_of(rsa.generate_private_key(65537, 1024))):
            made = make_jwks(pem)
            check(made.returncode == 1 and made.stdout == b"" and made.stderr.startswith(b"jwks.py: ") and
                  made.stderr.count(b"\n") == 1, made)


TESTS = [guide, registered_keys, keys, secret, no_auth, certificates, tokens_from_elsewhere, token_command_fails,
         token_cache, request_budget, shared_files_that_cannot_be_used, helps, contradictions, bad_keys, refused,
         narrower_grant, resumed, metadata]

if __name__ == "__main__":
    report.run(TESTS, sys.argv[3:])
    report.finish()
