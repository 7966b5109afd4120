"""Tests of the ways to sign in: a signing key, tokens from a file or a command, an open server, a token that
clients share, and client certificates."""
import json
import logging
import os
import ssl
import stat
import subprocess
import tempfile
import traceback
import unittest
import urllib.request

from support import Sandbox, WithSandbox, bcda

CA = """
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=client -keyout client.key -out client.csr
openssl x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out client.pem
"""


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


def ec_key(curve):
    return openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:" + curve)


def read(path):
    with open(path, encoding="ascii") as f:
        return f.read()


def write(path, content):
    with open(path, "w", encoding="ascii") as f:
        f.write(content)


def secrets_of(key):
    """The parts of a key that no text may show: the lines of a PEM, the private members of a JWK."""
    text = key.decode() if isinstance(key, bytes) else key
    if "-----BEGIN" in text:
        return [line for line in text.splitlines() if line and not line.startswith("-")]
    return [jwk[name] for jwk in json.loads(text).get("keys", [json.loads(text)])
            for name in ("d", "p", "q", "dp", "dq", "qi") if name in jwk]


class SignIn(WithSandbox):
    def new(self, sandbox=None, **settings):
        """A client that knows only the URL and the authority of the sandbox."""
        sandbox = sandbox or self.sandbox
        options = {"attempts": 1, "poll_max_ms": 5, **settings.pop("options", {})}
        client = bcda.Client(sandbox.env["BCDA_FHIR_URL"], ca_file=sandbox.env["BCDA_CA_FILE"], options=options,
                             **settings)
        self.addCleanup(client.close)
        return client

    def count(self, name, sandbox=None):
        env = (sandbox or self.sandbox).env
        url = f"{env['BCDA_FHIR_URL'].rsplit('/api/', 1)[0]}/_sandbox/count?name={name}"
        trust = ssl.create_default_context(cafile=env["BCDA_CA_FILE"])
        with urllib.request.urlopen(url, context=trust) as answer:
            return int(answer.read())

    def exports(self, client):
        self.assertEqual(len(list(client.export("Patient"))), 10)

    def fails(self, kind, call, words=(), secrets=()):
        """Checks that the call fails, and that nothing that can be printed of its error has a secret."""
        with self.assertRaises(kind) as caught:
            call()
        error = caught.exception
        printed = "".join((str(error), repr(error), repr(vars(error)), getattr(error, "server_text", ""),
                           *traceback.format_exception(type(error), error, error.__traceback__)))
        for word in words:
            self.assertIn(word, str(error))
        for word in ("bcda_", "BCDA_"):
            self.assertNotIn(word, str(error))
        for secret in secrets:
            self.assertNotIn(secret, printed)
        return error


class Smart(SignIn):
    OPTIONS = ("--auth", "smart", "--control")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        env = cls.sandbox.env
        cls.name, cls.kid = env["BCDA_CLIENT_ID"], env["BCDA_SIGNING_KEY_ID"]
        cls.pem, cls.jwks = env["BCDA_SIGNING_KEY_FILE"], env["BCDA_SIGNING_JWKS_FILE"]
        cls.rsa_pem, cls.rsa_jwk = (os.path.join(cls.sandbox.state, "signing-rs384." + end) for end in ("pem", "jwk"))
        cls.rsa_kid = json.loads(read(cls.rsa_jwk))["kid"]

    def test_keys_of_every_form(self):
        set_ = json.loads(read(self.jwks))
        for settings in ({"private_key_jwt": self.pem, "kid": self.kid},
                         {"private_key_jwt": read(self.pem), "kid": self.kid},
                         {"private_key_jwt": read(self.pem).encode(), "kid": self.kid},
                         {"private_key_jwt": self.rsa_pem, "kid": self.rsa_kid},
                         {"private_key_jwt": self.rsa_jwk},
                         {"private_key_jwt": self.jwks, "kid": self.kid},
                         {"private_key_jwt": self.jwks, "kid": self.rsa_kid},
                         {"private_key_jwt": read(self.jwks), "kid": self.rsa_kid},
                         {"private_key_jwt": read(self.jwks).encode(), "kid": self.kid},
                         {"private_key_jwt": set_, "kid": self.kid},
                         {"private_key_jwt": set_["keys"][0]},
                         {"private_key": self.pem, "kid": self.kid},
                         {"private_key": read(self.rsa_pem), "kid": self.rsa_kid},
                         {"private_key": set_["keys"][1], "scope": ["system/Patient.rs", "system/Coverage.rs"]},
                         {"private_key": self.rsa_jwk, "scope": "system/Patient.read"},
                         {"private_key": self.pem, "kid": self.kid, "token_url": self.sandbox.env["BCDA_TOKEN_URL"]}):
            with self.subTest(settings=sorted(settings)):
                client = self.new(client_id=self.name, **settings)
                self.exports(client)
                self.assertEqual((client.missing_scope, client.stats.tokens), ([], 1))

    def test_encrypted_keys(self):
        pem = openssl("pkcs8", "-topk8", "-in", self.pem, "-passout", "pass:opensesame")
        self.exports(self.new(client_id=self.name, kid=self.kid, private_key_jwt=pem,
                              private_key_jwt_passphrase="opensesame"))
        self.exports(self.new(client_id=self.name, kid=self.kid, private_key=pem, private_key_passphrase="opensesame"))
        for keyword in ("private_key_jwt", "private_key"):
            self.fails(bcda.PrivateKeyError, lambda: self.new(
                client_id=self.name, kid=self.kid, **{keyword: pem, keyword + "_passphrase": "openbarley"}),
                [keyword + ": the passphrase is wrong"], ["openbarley", *secrets_of(pem)])
            self.fails(bcda.PrivateKeyError, lambda: self.new(client_id=self.name, kid=self.kid, **{keyword: pem}),
                       [keyword + " is encrypted; its passphrase is needed"], secrets_of(pem))

    def test_keys_for_files(self):
        """The short form sets no key for encrypted files; private_key_jwt leaves private_key for them."""
        with Sandbox("--auth", "smart", era="2019-04") as sandbox:
            env = sandbox.env
            client_id, kid, key = (env["BCDA_" + n] for n in ("CLIENT_ID", "SIGNING_KEY_ID", "SIGNING_KEY_FILE"))
            client = self.new(sandbox, client_id=client_id, kid=kid, private_key_jwt=key,
                              private_key=env["BCDA_PRIVATE_KEY"])
            self.assertEqual(len(list(client.export("Patient", level="resource"))), 10)
            client = self.new(sandbox, client_id=client_id, kid=kid, private_key=key)
            error = self.fails(bcda.FileKeyError, lambda: list(client.export("Patient", level="resource")))
            self.assertEqual(error.code, bcda.ErrorCode.KEY_MISSING)

    def test_keys_that_cannot_be_used(self):
        """They are refused before anything is sent."""
        before = [self.count(name) for name in ("token", "assertions", "discovery")]
        p256 = ec_key("P-256")
        naked = "".join(secrets_of(p256))
        jwks = read(self.jwks)
        for keyword in ("private_key_jwt", "private_key"):
            for key, kid, kind, words in (
                    (p256, "x", bcda.PrivateKeyError, [keyword + " is an EC key on P-256", "P-384"]),
                    (p256.decode(), "x", bcda.PrivateKeyError, [keyword + " is an EC key on P-256"]),
                    (naked, "x", bcda.InvalidArgument, [keyword + " is neither the path of a file nor a key in PEM"]),
                    (jwks, "x", bcda.ConfigError, [f"kid: {keyword}: no private key has the key id"]),
                    (jwks, None, bcda.ConfigError, [f"kid: {keyword}: 2 of its keys can sign"]),
                    (self.jwks, None, bcda.ConfigError, [f"kid: {self.jwks}: 2 of its keys can sign"]),
                    (jwks[:-9], "x", bcda.PrivateKeyError, [keyword + ": "]),
                    ({**json.loads(jwks)["keys"][0], "ext": b"x"}, "x", TypeError, [keyword + " is not a JWK"])):
                with self.subTest(words=words):
                    self.fails(kind, lambda: self.new(client_id=self.name, kid=kid, **{keyword: key}), words,
                               [naked, *secrets_of(p256), *secrets_of(jwks)])
        self.assertEqual([self.count(name) for name in ("token", "assertions", "discovery")], before)

    def test_what_the_server_refuses(self):
        stranger = ec_key("P-384")
        for settings, words in (
                ({"client_id": "someone", "private_key_jwt": self.pem, "kid": self.kid},
                 ["invalid_client", "client id"]),
                ({"client_id": self.name, "private_key_jwt": stranger, "kid": self.kid}, ["invalid_client", "key"]),
                ({"client_id": self.name, "private_key_jwt": self.pem}, ["invalid_client", "no key id (kid) is set"])):
            secrets = secrets_of(stranger) + secrets_of(read(self.pem))
            with self.subTest(words=words), self.assertLogs("bcda", logging.DEBUG) as logged:
                client = self.new(log_level="debug", **settings)
                error = self.fails(bcda.AuthError, lambda: list(client.export("Patient")), words, secrets)
                self.assertEqual(error.http_status, 400)
                for secret in secrets:
                    self.assertNotIn(secret, "".join(logged.output) + repr(client))

    def test_a_shared_token(self):
        with tempfile.TemporaryDirectory() as folder:
            cache = os.path.join(folder, "token")
            before = self.count("token")
            for _ in range(2):
                self.exports(self.new(client_id=self.name, private_key_jwt=self.pem, kid=self.kid, token_cache=cache))
            self.assertEqual(self.count("token") - before, 1)
            self.assertEqual(stat.S_IMODE(os.stat(cache).st_mode), 0o600)

    def test_a_shared_budget(self):
        with tempfile.TemporaryDirectory() as folder:
            budget = os.path.join(folder, "budget")
            self.exports(self.new(client_id=self.name, private_key_jwt=self.pem, kid=self.kid, request_budget=budget))
            self.assertEqual(stat.S_IMODE(os.stat(budget).st_mode), 0o600)
            for keyword in ("token_cache", "request_budget"):
                self.fails(bcda.LocalFileError, lambda: self.new(
                    client_id=self.name, private_key_jwt=self.pem, kid=self.kid, **{keyword: folder}),
                    [f"{keyword}: {folder} cannot be opened: "])

    def test_missing_scope(self):
        asked = ["system/Patient.rs", "system/Coverage.rs", "system/ExplanationOfBenefit.rs"]
        with Sandbox("--auth", "smart", "--grant-scope", asked[0]) as sandbox:
            client = self.new(sandbox, client_id=sandbox.env["BCDA_CLIENT_ID"], kid=sandbox.env["BCDA_SIGNING_KEY_ID"],
                              private_key_jwt=sandbox.env["BCDA_SIGNING_KEY_FILE"], scope=asked)
            self.assertEqual(client.missing_scope, [])
            self.exports(client)
            self.assertEqual(client.missing_scope, asked[1:])
            client.close()
            with self.assertRaises(bcda.StateError):
                client.missing_scope

    def test_no_server_to_discover(self):
        with Sandbox("--auth", "none") as sandbox:
            client = self.new(sandbox, client_id=self.name, private_key_jwt=self.pem, kid=self.kid)
            error = self.fails(bcda.AuthError, lambda: list(client.export("Patient")), ["no token URL is set"])
        self.assertEqual(error.code, bcda.ErrorCode.DISCOVERY)


class Secret(SignIn):
    """BCDA: client credentials."""

    OPTIONS = ("--control",)

    def test_a_shared_token(self):
        with tempfile.TemporaryDirectory() as folder:
            before = self.count("token")
            for _ in range(2):
                self.exports(self.client(token_cache=os.path.join(folder, "token")))
            self.assertEqual(self.count("token") - before, 1)

    def test_nothing_is_missing(self):
        client = self.client()
        self.exports(client)
        self.assertEqual(client.missing_scope, [])


class Open(SignIn):
    OPTIONS = ("--auth", "none")

    def test_no_auth(self):
        self.exports(self.new(no_auth=True))
        client = self.new(bearer_token="unwanted")
        self.fails(bcda.ServerError, lambda: list(client.export("Patient")), secrets=["unwanted"])


class Bearer(SignIn):
    """Tokens come from another program: the sandbox accepts those of a file."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.accepted, cls.token, cls.runs = (os.path.join(cls.folder.name, name)
                                             for name in ("accepted", "token", "runs"))
        write(cls.accepted, "")
        cls.OPTIONS = ("--auth", "bearer", "--bearer-tokens", cls.accepted)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.folder.cleanup()

    def rotate(self, token, written=None):
        """The server accepts only `token` from now on. `written` is the new content of the token file."""
        write(self.accepted, token + "\n")
        write(self.token, written or token + "\n")

    def test_a_bearer_token(self):
        self.rotate("first")
        self.exports(self.new(bearer_token="first"))

    def test_a_token_file_that_changes(self):
        self.rotate("first")
        client = self.new(token_file=self.token)
        self.exports(client)
        self.rotate("second", json.dumps({"access_token": "second", "expires_in": 300}))
        self.exports(client)
        write(self.accepted, "third\n")
        self.fails(bcda.AuthError, lambda: list(client.export("Patient")),
                   [self.token + ": the server refused this token"], ["second", "third"])
        self.rotate("third")
        self.exports(client)

    def test_a_token_file_that_cannot_be_used(self):
        write(self.token, "two words-of-a-secret\n")
        for path, kind, words in ((self.token, bcda.AuthError, ["not one token"]),
                                  (self.token + "x", bcda.LocalFileError, [self.token + "x: "])):
            client = self.new(token_file=path)
            self.fails(kind, lambda: list(client.export("Patient")), words, ["words-of-a-secret"])

    def test_a_token_command(self):
        self.rotate("first")
        write(self.runs, "")
        client = self.new(token_command=f"echo run >>'{self.runs}'; cat '{self.token}'")
        self.exports(client)
        self.exports(client)
        self.assertEqual(read(self.runs), "run\n")
        self.rotate("second")
        self.exports(client)
        self.assertEqual(read(self.runs), "run\n" * 2)

    def test_a_token_command_that_fails(self):
        for command, kind, words in (("exit 3", bcda.AuthError, ["3"]), ("true", bcda.AuthError, ["no token"]),
                                     ("exec sleep 600", bcda.AuthError, ["token command"])):
            limit = {"token_command_timeout_ms": 1} if "sleep" in command else {}
            client = self.new(token_command=command, options=limit)
            with self.subTest(command=command):
                self.fails(kind, lambda: list(client.export("Patient")), words)


class Certificates(SignIn):
    """The server demands a client certificate. Its files are at another origin."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        for line in CA.strip().splitlines():
            subprocess.run(line.split(), check=True, capture_output=True, cwd=cls.folder.name)
        cls.ca, cls.certificate, cls.key = (os.path.join(cls.folder.name, name)
                                            for name in ("ca.pem", "client.pem", "client.key"))
        cls.OPTIONS = ("--control", "--client-ca", cls.ca, "--files-port", "0")
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.folder.cleanup()

    def count(self, name, sandbox=None):
        env = self.sandbox.env
        trust = ssl.create_default_context(cafile=env["BCDA_CA_FILE"])
        trust.load_cert_chain(self.certificate, self.key)
        url = f"{env['BCDA_FHIR_URL'].rsplit('/api/', 1)[0]}/_sandbox/count?name={name}"
        with urllib.request.urlopen(url, context=trust) as answer:
            return int(answer.read())

    def test_origins_of_the_certificate(self):
        pair = (self.certificate, self.key)
        server = self.sandbox.env["BCDA_FHIR_URL"].rsplit("/api/", 1)[0]
        self.exports(self.client(client_certificate=pair))
        self.assertEqual(self.count("client-certificates-elsewhere"), 0)
        self.exports(self.client(client_certificate=pair,
                                 certificate_origins=[server, self.sandbox.env["BCDA_FILES_URL"]]))
        self.assertGreater(self.count("client-certificates-elsewhere"), 0)
        client = self.client(client_certificate=pair, certificate_origins=["https://elsewhere.example"])
        error = self.fails(bcda.ServerError, lambda: list(client.export("Patient")))
        self.assertEqual(error.http_status, 400)


if __name__ == "__main__":
    unittest.main()
