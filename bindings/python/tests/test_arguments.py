"""Tests of the errors for wrong arguments. The text must name the keyword, the given value and what is
expected, and must not use names of the C library."""
import datetime
import inspect
import itertools
import json
import logging
import subprocess
import tempfile
import traceback
import unittest

from support import WithSandbox, bcda

from bcda import _abi, _config

URL = "https://bcda.example/api/v2"
# Not a real key. It is split so that no scanner takes it for one.
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE-secret\n-----END RSA PRIVATE KEY-----\n"
SECRET = "MIIE-secret"

KEY = SECRET.encode()  # not a key

T = {"bearer_token": "t"}  # the credentials that a client needs
# The ways to sign in, without client_id. Only one can be given.
WAYS = {"client_secret": {"client_secret": SECRET}, "private_key_jwt": {"private_key_jwt": KEY},
        "bearer_token": {"bearer_token": SECRET}, "token_provider": {"token_provider": lambda: SECRET},
        "token_file": {"token_file": "/nowhere"}, "token_command": {"token_command": "cat " + SECRET},
        "no_auth": {"no_auth": True}}

# keyword: rows of (settings, class of the error, words that its text must contain)
CLIENT = {
    "fhir_url": [
        ({**T, "fhir_url": "nonsense"}, bcda.UrlError, ["fhir_url: ", "not an absolute URL", "given 'nonsense'"]),
        ({**T, "fhir_url": "https://me:MIIE-secret@x/"}, bcda.UrlError, ["fhir_url: ", "given 'https://...@x/'"]),
        ({**T, "fhir_url": "http://bcda.example/api/v2"}, bcda.InsecureUrl,
         ["fhir_url: ", "use https://bcda.example/api/v2"]),
        ({**T, "fhir_url": None}, TypeError, ["fhir_url must be a str, not NoneType"]),
    ],
    "client_id": [
        ({"client_id": "a:b", "client_secret": SECRET}, bcda.InvalidArgument, ["client_id: ", "given 'a:b'"]),
        ({"client_id": "a\n", "private_key_jwt": KEY}, bcda.InvalidArgument, ["client_id: ", "given 'a\\n'"]),
        ({"client_id": "a"}, bcda.ConfigError, ["client_id needs client_secret or private_key_jwt"]),
        ({"client_id": "a", "private_key": [KEY]}, bcda.ConfigError,
         ["client_id needs client_secret or private_key_jwt"]),
        ({"client_id": 5, "client_secret": SECRET}, TypeError, ["client_id must be a str, not int"]),
        ({"client_id": 5, "private_key_jwt": KEY}, TypeError, ["client_id must be a str, not int"]),
        *[({"client_id": "a", **way}, bcda.ConfigError, [f"client_id and {name} exclude each other"])
          for name, way in WAYS.items() if name not in ("client_secret", "private_key_jwt")],
        *[({"client_id": "a", "private_key": KEY, **way}, bcda.ConfigError,
           [f"client_id and {name} exclude each other"])
          for name, way in WAYS.items() if name not in ("client_secret", "private_key_jwt")],
        *[({"client_id": "a", **one, **other}, bcda.ConfigError, [f"{a} and {b} exclude each other"])
          for (a, one), (b, other) in itertools.combinations(WAYS.items(), 2)],
        ({}, bcda.ConfigError, ["no identity", "client_id and client_secret", *WAYS]),
        ({"private_key": KEY}, bcda.ConfigError, ["no identity"]),
    ],
    "client_secret": [
        ({"client_id": "a", "client_secret": SECRET + "\n"}, bcda.InvalidArgument, ["client_secret: "]),
        ({"client_secret": SECRET}, bcda.ConfigError, ["client_secret needs client_id"]),
        ({"client_id": "a", "client_secret": b"MIIE-secret"}, TypeError, ["client_secret must be a str, not bytes"]),
    ],
    "bearer_token": [
        ({"bearer_token": SECRET + " x"}, bcda.InvalidArgument, ["bearer_token: "]),
        ({"bearer_token": SECRET + "\0"}, bcda.InvalidArgument, ["bearer_token has a NUL character in it"]),
        ({"bearer_token": b"MIIE-secret"}, TypeError, ["bearer_token must be a str, not bytes"]),
    ],
    "private_key_jwt": [
        ({"private_key_jwt": KEY}, bcda.ConfigError, ["private_key_jwt needs client_id"]),
        ({"client_id": "a", "private_key_jwt": KEY}, bcda.PrivateKeyError, ["private_key_jwt: "]),
        ({"client_id": "a", "private_key_jwt": PEM}, bcda.PrivateKeyError, ["private_key_jwt: "]),
        ({"client_id": "a", "private_key_jwt": "/nowhere/key.pem"}, bcda.LocalFileError,
         ["private_key_jwt: /nowhere/key.pem: No such file"]),
        ({"client_id": "a", "private_key_jwt": '{"kty": "EC", "d": "MIIE-secret"}'}, bcda.PrivateKeyError,
         ["private_key_jwt: "]),
        ({"client_id": "a", "private_key_jwt": {"kty": "EC", "d": SECRET}}, bcda.PrivateKeyError,
         ["private_key_jwt: "]),
        ({"client_id": "a", "private_key_jwt": {SECRET: b"x"}}, TypeError, ["private_key_jwt is not a JWK or JWKS"]),
        ({"client_id": "a", "private_key_jwt": "MIIE" + 100 * "x"}, bcda.InvalidArgument,
         ["private_key_jwt is neither the path of a file nor a key in PEM, JWK or JWKS"]),
        ({"client_id": "a", "private_key_jwt": [KEY]}, TypeError,
         ["private_key_jwt must be a path, the text of a key, or a dict, not list"]),
        ({"client_id": "a", "private_key_jwt": "/dev/null\0"}, bcda.InvalidArgument,
         ["private_key_jwt has a NUL character in it"]),
    ],
    "private_key_jwt_passphrase": [
        ({"client_id": "a", "private_key_jwt": KEY, "private_key_jwt_passphrase": b"MIIE-secret"}, TypeError,
         ["private_key_jwt_passphrase must be a str, not bytes"]),
        ({**T, "private_key_jwt_passphrase": SECRET}, bcda.ConfigError,
         ["private_key_jwt_passphrase is given without private_key_jwt"]),
        ({"client_id": "a", "private_key": KEY, "private_key_jwt_passphrase": SECRET}, bcda.ConfigError,
         ["private_key_jwt_passphrase is given without private_key_jwt", "private_key_passphrase"]),
    ],
    "kid": [
        ({"client_id": "a", "private_key_jwt": KEY, "kid": ""}, bcda.InvalidArgument, ["kid: ", "given ''"]),
        ({"client_id": "a", "private_key_jwt": KEY, "kid": 5}, TypeError, ["kid must be a str, not int"]),
        ({**T, "kid": "k"}, bcda.ConfigError, ["kid is given without private_key_jwt"]),
        ({"client_id": "a", "client_secret": SECRET, "private_key": KEY, "kid": "k"}, bcda.ConfigError,
         ["kid is given without private_key_jwt"]),
    ],
    "scope": [
        ({**T, "scope": "system/*.rs"}, bcda.ConfigError, ["scope is given without private_key_jwt"]),
        ({"client_id": "a", "client_secret": SECRET, "scope": "system/*.rs"}, bcda.ConfigError,
         ["scope is given without private_key_jwt"]),
    ],
    "token_file": [
        ({"token_file": 5}, TypeError, ["token_file must be a path, not int"]),
        ({"token_file": ""}, bcda.InvalidArgument, ["token_file: ", "is empty"]),
        ({"token_file": "eyJhbGciOiJSUzUxMiJ9.MIIE-secret.x"}, bcda.InvalidArgument,
         ["token_file is the path of a file, not the text in it"]),
        ({"token_file": '{"access_token": "MIIE-secret"}'}, bcda.InvalidArgument,
         ["token_file is the path of a file, not the text in it"]),
    ],
    "token_command": [
        ({"token_command": ["cat", "x"]}, TypeError, ["token_command must be a str, not list"]),
        ({"token_command": ""}, bcda.InvalidArgument, ["token_command: ", "is empty"]),
    ],
    "no_auth": [
        ({"no_auth": "yes"}, TypeError, ["no_auth must be a bool, not str"]),
        ({"no_auth": None}, TypeError, ["no_auth must be a bool, not NoneType"]),
        ({"no_auth": True, "token_url": URL}, bcda.ConfigError, ["no_auth and token_url exclude each other"]),
        ({"no_auth": False}, bcda.ConfigError, ["no identity"]),
    ],
    "token_cache": [
        *[({**way, "token_cache": "x"}, bcda.ConfigError,
           ["token_cache is given without client_secret or private_key_jwt"])
          for name, way in WAYS.items() if name not in ("client_secret", "private_key_jwt")],
        ({"client_id": "a", "client_secret": "s", "token_cache": 5}, TypeError,
         ["token_cache must be a path, not int"]),
        ({"client_id": "a", "client_secret": "s", "token_cache": "/nowhere/t"}, bcda.LocalFileError,
         ["token_cache: /nowhere/t cannot be opened: No such file"]),
    ],
    "request_budget": [
        ({**T, "request_budget": 5}, TypeError, ["request_budget must be a path, not int"]),
        ({**T, "request_budget": "/nowhere/b"}, bcda.LocalFileError,
         ["request_budget: /nowhere/b cannot be opened: No such file"]),
    ],
    "token_provider": [
        ({"token_provider": SECRET}, TypeError, ["token_provider must be callable, not str"]),
    ],
    "token_url": [
        ({**T, "token_url": "nonsense"}, bcda.UrlError, ["token_url: ", "given 'nonsense'"]),
        ({**T, "token_url": "http://bcda.example/t"}, bcda.InsecureUrl, ["token_url: ", "https://"]),
    ],
    "private_key": [
        ({**T, "private_key": "/nowhere/key.pem"}, bcda.LocalFileError, ["private_key: /nowhere/key.pem: "]),
        ({**T, "private_key": b"MIIE-secret"}, bcda.PrivateKeyError, ["private_key: "]),
        ({**T, "private_key": PEM}, bcda.PrivateKeyError, ["private_key: "]),
        ({**T, "private_key": 5}, TypeError, ["private_key must be a path, PEM text, or a sequence of them"]),
        ({**T, "private_key": {"kty": "RSA", "d": SECRET}}, TypeError,
         ["private_key must be a path, PEM text, or a sequence of them, not dict"]),
        ({"client_id": "a", "private_key": PEM}, bcda.PrivateKeyError, ["private_key: "]),
        ({"client_id": "a", "private_key": "/nowhere/key.pem"}, bcda.LocalFileError,
         ["private_key: /nowhere/key.pem: "]),
        ({**T, "private_key": "MIIE" + 100 * "x"}, bcda.InvalidArgument, ["private_key is the path of a file"]),
        ({**T, "private_key": [5]}, TypeError, ["private_key must be a path, not int"]),
    ],
    "private_key_passphrase": [
        ({**T, "private_key_passphrase": SECRET}, bcda.ConfigError,
         ["private_key_passphrase is given without private_key"]),
        ({**T, "private_key": b"x", "private_key_passphrase": b"MIIE-secret"}, TypeError,
         ["private_key_passphrase must be a str"]),
    ],
    "ca_file": [
        ({**T, "ca_file": "/nowhere/ca.pem"}, bcda.LocalFileError, ["ca_file: /nowhere/ca.pem: No such file"]),
        ({**T, "ca_file": 5}, TypeError, ["ca_file must be a path, not int"]),
        ({**T, "ca_file": "/dev/null\0.pem"}, bcda.InvalidArgument, ["ca_file has a NUL character in it"]),
        ({**T, "ca_file": PEM}, bcda.InvalidArgument, ["ca_file is the path of a file, not the text in it"]),
    ],
    "client_certificate": [
        ({**T, "client_certificate": "/nowhere/c.pem"}, bcda.LocalFileError,
         ["client_certificate: /nowhere/c.pem: "]),
        ({**T, "client_certificate": ("/dev/null", "/nowhere/k.pem")}, bcda.LocalFileError,
         ["client_certificate: /nowhere/k.pem: "]),
        ({**T, "client_certificate": ("/dev/null",)}, TypeError, ["client_certificate must be a path, or"]),
        ({**T, "client_certificate": PEM}, bcda.InvalidArgument, ["client_certificate is the path of a file"]),
    ],
    "client_certificate_passphrase": [
        ({**T, "client_certificate_passphrase": SECRET}, bcda.ConfigError,
         ["client_certificate_passphrase is given without client_certificate"]),
    ],
    "certificate_origins": [
        ({**T, "certificate_origins": ["https://x"]}, bcda.ConfigError,
         ["certificate_origins is given without client_certificate"]),
        ({**T, "client_certificate": "/dev/null", "certificate_origins": ["x"]}, bcda.UrlError,
         ["certificate_origins: ", "given 'x'"]),
        ({**T, "client_certificate": "/dev/null", "certificate_origins": "https://x"}, TypeError,
         ["certificate_origins must be a sequence of str, not str"]),
    ],
    "proxy": [({**T, "proxy": 5}, TypeError, ["proxy must be a str, not int"])],
    "proxy_user": [
        ({**T, "proxy_user": "me"}, bcda.ConfigError, ["proxy_user is given without proxy"]),
    ],
    "proxy_password": [
        ({**T, "proxy_password": SECRET}, bcda.ConfigError, ["proxy_password is given without proxy"]),
        ({**T, "proxy": "http://p", "proxy_password": b"MIIE-secret"}, TypeError,
         ["proxy_password must be a str, not bytes"]),
    ],
    "spool_directory": [
        ({**T, "options": {"delivery": "verified"}}, bcda.ConfigError,
         ['option "delivery": "verified" needs spool_directory']),
        ({**T, "spool_directory": 5}, TypeError, ["spool_directory must be a path, not int"]),
    ],
    "url_rewrites": [
        ({**T, "url_rewrites": [("x", "https://y/")]}, bcda.UrlError, ["url_rewrites: ", "given 'x'"]),
        ({**T, "url_rewrites": {"https://x/": "http://y/"}}, bcda.InsecureUrl, ["url_rewrites: "]),
        ({**T, "url_rewrites": "https://x/"}, TypeError, ["url_rewrites must be a sequence of str"]),
        ({**T, "url_rewrites": ["https://x/"]}, TypeError,
         ["url_rewrites must be a mapping of str, or pairs of str"]),
    ],
    "allowed_origins": [
        ({**T, "allowed_origins": ["x"]}, bcda.UrlError, ["allowed_origins: ", "given 'x'"]),
        ({**T, "allowed_origins": "https://files.example"}, TypeError,
         ["allowed_origins must be a sequence of str, not str"]),
        ({**T, "allowed_origins": 5}, TypeError, ["allowed_origins must be a sequence of str, not int"]),
    ],
    "log_level": [
        ({**T, "log_level": "loud"}, bcda.InvalidArgument,
         ["log_level: 'loud' is not one of ERROR, WARNING, INFO, DEBUG"]),
        ({**T, "log_level": 1.5}, TypeError, ["log_level must be a level of logging, not float"]),
    ],
    "options": [
        ({**T, "options": {"no_such": 1}}, bcda.OptionError, ["no option 'no_such'", "there are ", "parallel"]),
        ({**T, "options": {"paralel": 1}}, bcda.OptionError, ["no option 'paralel'; did you mean 'parallel'?"]),
        ({**T, "options": {5: 1}}, TypeError, ["the name of an option must be a str, not int"]),
        ({**T, "options": [("parallel", 1)]}, TypeError, ["options must be a mapping, not list"]),
        ({**T, "options": {"parallel": "many"}}, bcda.OptionError, ['option "parallel": \'many\' is not an int']),
        ({**T, "options": {"user_agent": 5}}, bcda.OptionError, ['option "user_agent": 5 is not a str']),
        ({**T, "options": {"parallel": 1.5}}, TypeError, ['option "parallel" must be an int, not float']),
        ({**T, "options": {"parallel": -5}}, bcda.OptionError, ["parallel", "1 to 64", "given -5"]),
        ({**T, "options": {"parallel": 1 << 70}}, bcda.OptionError, ['option "parallel": ', "64 bits"]),
        ({**T, "options": {"delivery": "verfied"}}, bcda.OptionError,
         ['option "delivery": \'verfied\' is not one of streaming, verified']),
        ({**T, "options": {"duplicate_job": "takeover"}}, bcda.OptionError,
         ['option "duplicate_job": \'takeover\' is not one of wait, refuse, take_over']),
        ({**T, "options": {"duplicate_job": 7}}, bcda.OptionError,
         ['option "duplicate_job": 7 is not one of wait, refuse, take_over']),
    ],
}

EXPORT = {
    "types": [
        ({"types": ["Pat ient"]}, bcda.InvalidArgument,
         ["types: ", "1 to 64 letters, such as Patient", "given 'Pat ient'"]),
        ({"types": ["Patient", "Patient"]}, bcda.InvalidArgument, ["types: 'Patient' is given twice"]),
        ({"types": [["Patient", "Coverage"]]}, TypeError, ["types must be str, not list", "export('Patient', "]),
        ({"types": ["Pat\0ient"]}, bcda.InvalidArgument, ["types has a NUL character in it"]),
        ({"types": ["Pat\ud800"]}, bcda.InvalidArgument, ["types cannot be written in UTF-8"]),
    ],
    "level": [
        ({"level": "planet"}, bcda.InvalidArgument, ["level: 'planet' is not one of resource, patient, group, system"]),
        ({"level": 7}, bcda.InvalidArgument, ["level: 7 is not one of resource, patient, group, system"]),
    ],
    "group": [
        ({"group": ""}, bcda.InvalidArgument, ["group: ", "missing or empty"]),
        ({"group": "all", "level": "patient"}, bcda.ConfigError, ["group is given, and level is PATIENT"]),
        ({"group": 5}, TypeError, ["group must be a str, not int"]),
        ({"level": "group"}, bcda.ConfigError, ["group"]),
    ],
    "since": [
        ({"since": "2024-01-01"}, bcda.InvalidArgument,
         ["since is not ", "such as 2024-01-31T00:00:00Z", "given '2024-01-01'"]),
        ({"since": datetime.datetime(2024, 1, 1)}, bcda.InvalidArgument,
         ["since: ", "2024-01-01T00:00:00", "no time zone"]),
        ({"since": datetime.date(2024, 1, 1)}, TypeError, ["since must be a str or a datetime, not date"]),
    ],
    "type_filter": [
        ({"type_filter": ""}, bcda.InvalidArgument, ["type_filter: ", "missing or empty"]),
        ({"type_filter": 5}, TypeError, ["type_filter must be a sequence of str, not int"]),
        ({"type_filter": [5]}, TypeError, ["type_filter must be a str, not int"]),
    ],
    "parameters": [
        ({"parameters": {"": "x"}}, bcda.InvalidArgument, ["parameters: ", "a name that is not empty", "given ''"]),
        ({"parameters": {"_x": 5}}, TypeError, ["the value of '_x' in parameters must be a str, not int"]),
        ({"parameters": "_x=5"}, TypeError, ["parameters must be a mapping, not str"]),
    ],
    "fields": [
        ({"fields": ["a..b"]}, bcda.InvalidArgument,
         ["fields: ", "such as patient.reference", "given 'a..b'"]),
        ({"fields": ["a", "a"]}, bcda.InvalidArgument, ["fields: 'a' is given twice"]),
        ({"fields": "id"}, TypeError, ["fields must be a sequence of str, not str"]),
        ({"fields": [5]}, TypeError, ["fields must be a str, not int"]),
    ],
    "progress": [],
    **{name: [({name: 5}, TypeError, [f"{name} must be callable, not int"])] for name in (
        "on_state", "on_file", "on_progress", "on_issue", "on_deletion", "on_bad_line", "on_done")},
}

DECODER = {
    "private_key": [({"private_key": PEM}, bcda.PrivateKeyError, ["private_key: "])],
    "private_key_passphrase": [({"private_key_passphrase": SECRET}, bcda.ConfigError, ["without private_key"])],
    "wrapped_key": [
        ({"wrapped_key": "00"}, bcda.ConfigError, ["wrapped_key needs label"]),
        ({"wrapped_key": "00", "label": "x"}, bcda.FileKeyError, ["private_key: ", "no private key was given"]),
        ({"wrapped_key": 5, "label": "x"}, TypeError, ["wrapped_key must be a str, not int"]),
    ],
    "label": [({"wrapped_key": "00", "label": 5}, TypeError, ["label must be a str, not int"])],
    "gzip": [],
    "name": [({"name": 5}, TypeError, ["name must be a str, not int"])],
    "fields": [
        ({"fields": ["a..b"]}, bcda.InvalidArgument, ["fields: ", "such as patient.reference", "given 'a..b'"]),
        ({"fields": "id"}, TypeError, ["fields must be a sequence of str, not str"]),
    ],
    "on_bad_line": [({"on_bad_line": 5}, TypeError, ["on_bad_line must be callable, not int"])],
    "options": [({"options": {"bad_line_max": 5}}, bcda.OptionError, ["did you mean 'bad_lines_max'?"])],
}


class Arguments(WithSandbox):
    def check(self, call, kind, words):
        with self.assertRaises(kind) as caught:
            call()
        text = str(caught.exception)
        for word in words:
            self.assertIn(word, text)
        for word in ("bcda_", "BCDA_", SECRET, "an argument is not allowed"):
            self.assertNotIn(word, text)
        error = caught.exception
        self.assertNotIn(SECRET, "".join(traceback.format_exception(type(error), error, None)))  # with the cause
        if isinstance(caught.exception, bcda.Error):
            self.assertEqual(caught.exception.text, text)

    def every(self, table, function, call):
        """Checks that the table has all keywords of the function, and that each row causes its error."""
        self.assertEqual(set(table), set(inspect.signature(function).parameters) - {"self"})
        for keyword, rows in table.items():
            for settings, kind, words in rows:
                with self.subTest(keyword=keyword, settings=settings):
                    self.check(lambda: call(**settings), kind, words)

    def test_client(self):
        self.every(CLIENT, bcda.Client.__init__, lambda **settings: bcda.Client(**{"fhir_url": URL, **settings}))

    def test_scopes(self):
        """They need a key that can be used, which the table does not have."""
        key = subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
                             check=True, capture_output=True).stdout
        for scope, kind, words in (("a  b", bcda.InvalidArgument, ["scope", "given 'a  b'"]),
                                   ([], bcda.InvalidArgument, ["scope", "given ''"]),
                                   (["a", ""], bcda.InvalidArgument, ["scope", "given 'a '"]),
                                   ([5], TypeError, ["scope must be a str, not int"]),
                                   (b"a", TypeError, ["scope must be a sequence of str, not bytes"])):
            with self.subTest(scope=scope):
                self.check(lambda: bcda.Client(URL, client_id="a", private_key_jwt=key, scope=scope), kind, words)

    def test_export(self):
        client = self.client()
        self.every(EXPORT, bcda.Client.export, lambda types=("Patient",), **how: client.export(*types, **how))
        self.check(lambda: client.export("Patient", "Coverage", level="resource"), bcda.ConfigError,
                   ["exactly one type"])

    def test_attach_and_restore(self):
        client = self.client()
        for how in (client.attach, client.restore):
            for keyword in EXPORT.keys() & inspect.signature(how).parameters:
                for settings, kind, words in EXPORT[keyword]:
                    with self.subTest(how=how, settings=settings):
                        self.check(lambda: how("x", **settings), kind, words)
        self.check(lambda: client.attach("nonsense"), bcda.UrlError,
                   ["status_url: ", "not an absolute http or https URL", "given 'nonsense'"])
        self.check(lambda: client.attach("https://elsewhere.example/jobs/1"), bcda.OriginError,
                   ["status_url: ", "elsewhere.example"])
        self.check(lambda: client.attach(5), TypeError, ["status_url must be a str, not int"])
        self.check(lambda: client.restore("state.json"), bcda.InvalidArgument,
                   ["saved: ", "not that of a saved job", "given 'state.json'"])
        self.check(lambda: client.restore(b"x"), TypeError, ["saved must be a str, not bytes"])
        job = client.export("Patient")
        job.wait()
        # Texts of the first version, which had no checksum, are still accepted.
        saved = json.dumps({"bcda": 1, "url": "https://elsewhere.example/jobs/1", "types": ["Patient"], "done": []})
        self.check(lambda: client.restore(saved), bcda.OriginError, ["saved: ", "elsewhere.example"])
        self.check(lambda: client.restore(job.save().replace(job.id, "1")), bcda.InvalidArgument,
                   ["saved: ", "damaged"])

    def test_export_remaining(self):
        client = self.client()
        job = client.export("Patient")
        self.every({**EXPORT, "job": [({"job": "Patient"}, TypeError, ["job must be a Job, not str"])]},
                   bcda.Client.export_remaining,
                   lambda job=job, types=("Patient",), **how: client.export_remaining(job, *types, **how))

    def test_confirm(self):
        client = self.client(options={"confirm_lines": "staged"})
        job, other = client.export("Patient"), client.export("Patient")
        other.wait()
        loop = job.batches()
        batch = next(loop)
        file = batch.file
        with bcda.Decoder() as decoder:
            (loose,) = decoder.write(b'{"resourceType":"Patient"}\n') + decoder.finish()
        self.assertTrue(job.confirm(file, 5))
        self.assertTrue(job.confirm(file, 5))
        for given, kind, words in (
                ((file, 0), bcda.InvalidArgument, ["line", "of the file was not delivered", "given 0"]),
                ((file, 11), bcda.InvalidArgument, ["line", "of the file was not delivered", "given 11"]),
                ((file, 4), bcda.InvalidArgument, ["line", "was confirmed before", "given 4"]),
                ((file, 1 << 64), bcda.InvalidArgument, ["line: ", "is not within 64 bits"]),
                ((file, "5"), TypeError, ["line must be an int, not str"]),
                ((file, True), TypeError, ["line must be an int, not bool"]),
                ((file,), TypeError, ["line must be an int, not NoneType"]),
                ((batch, 5), TypeError, ["line is given with a batch"]),
                (("x", 5), TypeError, ["what must be a Batch or a File, not str"]),
                ((other.files[0], 5), bcda.InvalidArgument, ["file: ", "not one of this job"]),
                ((loose,), bcda.InvalidArgument, ["batch: ", "not one of this job"])):
            with self.subTest(given=given):
                self.check(lambda: job.confirm(*given), kind, words)
        self.check(lambda: other.confirm(batch), bcda.InvalidArgument, ["batch: ", "not one of this job"])
        for options in ({}, {"confirm_lines": "none"}, {"confirm_lines": "verified"}):
            plain = self.client(options=options).export("Patient")
            batch = next(plain.batches())
            self.check(lambda: plain.confirm(batch), bcda.StateError, ['set option "confirm_lines"', '"delivery"'])

    def test_decoder(self):
        self.every(DECODER, bcda.Decoder.__init__, bcda.Decoder)
        with bcda.Decoder() as decoder:
            for data in ("text", 5, None):
                self.check(lambda: decoder.write(data), TypeError, ["data must be bytes, not "])
        self.check(lambda: bcda.read_file(5), TypeError, ["path must be a path, not int"])

    def test_a_coroutine_is_no_callback(self):
        async def never_awaited(*_):
            pass

        client = self.client()
        self.check(lambda: client.export("Patient", on_file=never_awaited), TypeError,
                   ["on_file must be a plain function"])

    def test_fields_may_be_any_iterable(self):
        job = self.client().export("Patient", fields=(name for name in ["id"]))
        self.assertEqual([r.field("id") == r.id for r in job], [True] * 10)

    def test_options_by_name(self):
        self.assertEqual(sorted(_config.OPTIONS), sorted(
            bcda._lib.bcda_option_name(value).decode() for name, value in vars(_abi).items()
            if name.startswith("OPT_")))
        for name, choices in _config.CHOICES.items():  # CHOICES must have every constant of the C headers
            constants = {k: v for k, v in vars(_abi).items() if k.startswith(name.partition("_")[0].upper() + "_")}
            self.assertEqual({f"{name.partition('_')[0]}_{word}".upper(): value for word, value in choices.items()},
                             constants)
        with tempfile.TemporaryDirectory() as folder:
            for name, choices in _config.CHOICES.items():
                for word, value in choices.items():
                    for given in (word, value):
                        self.client(spool_directory=folder, options={name: given})

    def test_log_levels_by_name(self):
        for given, expected in (("debug", _abi.LOG_DEBUG), ("WARNING", _abi.LOG_WARNING), ("critical", 0),
                                (logging.INFO, _abi.LOG_INFO)):
            self.assertEqual(_config.log_level(given), expected)

    def test_what_a_provider_gives(self):
        for given in (None, 5, ("t",), ("t", "soon"), (5, 6), b"t"):
            client = self.client(client_id=None, client_secret=None, token_provider=lambda: given)
            self.check(lambda: list(client.export("Patient")), TypeError,
                       ["token_provider must return a str, or a tuple of a str and a number of seconds"])

    def test_times(self):
        job = self.client().export("Patient")
        for wrong in ("5", None.__class__, True):
            self.check(lambda: job.wait(wrong), TypeError, ["timeout must be a number of seconds"])
        for method in (job.save, job.save_changes):
            self.check(method, bcda.StateError, ["the server has not accepted the job"])


class Names(unittest.TestCase):
    """Enumeration values are numbers in C. Python must print their names."""

    def test_members_print_as_their_names(self):
        for member, word in ((bcda.Verdict.COMPLETE_ERRORS, "COMPLETE_ERRORS"), (bcda.JobState.RUNNING, "RUNNING"),
                             (bcda.Severity.FATAL, "FATAL"), (bcda.FileEvent.END, "END"), (bcda.Level.GROUP, "GROUP"),
                             (bcda.ErrorCode.TAG, "BCDA_ERR_TAG"), (bcda.ErrorCode.OK, "BCDA_OK"),
                             (bcda.Verdict(77), "UNKNOWN_77")):
            self.assertEqual((str(member), f"{member}", "%s" % member, "{:>20}".format(member)),
                             (word, word, word, word.rjust(20)))
            self.assertIn(member.name, repr(member))
            number = int(member)
            self.assertEqual((f"{member:d}", "%d" % member, json.dumps(member), member), (*[str(number)] * 3, number))

    def test_every_code_has_a_name(self):
        codes = {name: value for name, value in vars(_abi).items() if name.startswith("ERR_")}
        self.assertEqual({f"ERR_{member.name}": member.value for member in bcda.ErrorCode if member}, codes)
        for name, value in codes.items():
            error = bcda.errors.from_code(value)
            self.assertIsInstance(error.code, bcda.ErrorCode)
            self.assertEqual((str(error.code), error.name), ("BCDA_" + name, "BCDA_" + name))


if __name__ == "__main__":
    unittest.main()
