#!/usr/bin/env python3
"""The sandbox must answer as the real server did in each era, byte for byte. The expected answers
here come from what is known of that server, not from the sandbox. The test uses plain sockets, so
that no HTTP library corrects an answer, and decrypts with python3-cryptography.

test_sandbox.py BCDA_EXPORT BCDA_SANDBOX ...
"""
import base64
import hashlib
import json
import os
import re
import socket
import ssl
import tempfile
import time
import zlib

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import programs

report = programs.Report()
ERAS = ("2018-12", "2019-04", "2019-12", "2021-01", "2021", "current")
ERA_A = ERAS[:3]
ERA_B = ERAS[3:5]
EOB = "ExplanationOfBenefit"
WANTED = {"Accept": "application/fhir+json", "Prefer": "respond-async"}
TEXT = "text/plain; charset=utf-8"
EMPTY_MEMBER = bytes.fromhex("1f8b08000000000000ff010000ffff0000000000000000")
SYSTEM = "http://hl7.org/fhir/ValueSet/operation-outcome"


class Answer:
    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1]) if lines[0] else 0
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            self.headers[name] = value
        self.is_chunked = self.headers.get("Transfer-Encoding") == "chunked"
        if self.is_chunked:
            self.body = self.dechunk(self.body)

    @staticmethod
    def dechunk(body):
        out = b""
        while True:
            size, _, body = body.partition(b"\r\n")
            n = int(size, 16)
            if n == 0:
                assert body == b"\r\n", body
                return out
            out, body = out + body[:n], body[n + 2:]


class Server(programs.Sandbox):
    def __init__(self, era, *options, tls=True):
        super().__init__("--era", era, *options, tls=tls)
        self.era, self.tls = era, tls
        self.host = self.env["BCDA_FHIR_URL"].split("/")[2]
        self.origin = ("https://" if tls else "http://") + self.host
        self.path = self.env["BCDA_FHIR_URL"][len(self.origin):]
        self.token = None

    def raw(self, text, port=None):
        """Returns everything that the server sends until it closes the connection by itself."""
        plain = socket.create_connection(("127.0.0.1", port or int(self.host.split(":")[1])), 60)
        if self.tls and not port:
            context = ssl.create_default_context(cafile=self.env["BCDA_CA_FILE"])
            context.set_alpn_protocols(["h2", "http/1.1"])
            plain = context.wrap_socket(plain, server_hostname="localhost")
            report.check(plain.selected_alpn_protocol() != "h2", "HTTP/2")
        with plain:
            plain.sendall(text.encode("latin-1"))
            data = b""
            while True:
                try:
                    more = plain.recv(65536)
                except ssl.SSLEOFError:
                    more = b""
                if not more:
                    return data
                data += more

    def ask(self, method, target, headers=None, port=None):
        lines = "".join(f"{n}: {v}\r\n" for n, v in (headers or {}).items())
        return Answer(self.raw(f"{method} {target} HTTP/1.1\r\nHost: {self.host}\r\n{lines}\r\n", port))

    def get(self, target, **headers):
        """Sends a GET request with a token."""
        if not self.token:
            self.token = json.loads(self.fetch_token().body)["access_token"]
        return self.ask("GET", target, {"Authorization": "Bearer " + self.token, **headers})

    def fetch_token(self, secret=None, method="POST", scheme="Basic"):
        with open(self.env["BCDA_CLIENT_SECRET_FILE"], encoding="ascii") as f:
            both = self.env["BCDA_CLIENT_ID"] + ":" + (secret or f.read())
        word = base64.b64encode(both.encode()).decode()
        return self.ask(method, "/auth/token", {"Authorization": f"{scheme} {word}",
                                                "Content-Length": "0"})

    def start(self, target):
        return self.get(target, **WANTED)

    def finish(self, location):
        """Polls until the job has ended. Returns the last answer, normally the manifest."""
        for _ in range(600):
            a = self.get(location[len(self.origin):])
            if a.status != 202:
                return a
            time.sleep(0.02)
        raise AssertionError("a job that does not end")


def check(s, what, a, status, body=None, **headers):
    """Checks the whole head, and compares the body with a text or a pattern. A header whose value
    is None is not checked."""
    want = {"Connection": "close"}
    if s.tls:
        want["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains; preload"
    if s.tls and s.era not in ERA_A:
        want.update({"Cache-Control": "no-cache; no-store; must-revalidate; max-age=0",
                     "Pragma": "no-cache", "X-Content-Type-Options": "nosniff"})
    want.update({n.replace("_", "-"): v for n, v in headers.items()})
    if "Content-Length" not in want and not a.is_chunked:
        want["Content-Length"] = str(len(a.body))
    if a.is_chunked:
        want["Transfer-Encoding"] = "chunked"
    have = dict(a.headers)
    report.check(re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", have.pop("Date", "")),
                 s.era, what, "Date", a.headers)
    for name in [n for n, v in want.items() if v is None]:
        want.pop(name)
        report.check(have.pop(name, None) is not None, s.era, what, name + " is missing")
    report.check(a.status == status, s.era, what, a.status, status, a.body)
    report.check(have == want, s.era, what, "the head is", have, "and not", want)
    if isinstance(body, re.Pattern):
        report.check(body.fullmatch(a.body.decode()), s.era, what, a.body, "does not match", body.pattern)
    elif body is not None:
        report.check(a.body == body.encode(), s.era, what, a.body, "is not", body)


def check_json(s, what, a, status, body, kind="application/json", **headers):
    """Checks Go's rule: a body of up to 2048 bytes has a length, a longer one is chunked."""
    report.check(a.is_chunked == (len(a.body) > 2048), s.era, what, len(a.body), a.headers)
    check(s, what, a, status, body, Content_Type=kind, **headers)


def check_text(s, what, a, status, text):
    check(s, what, a, status, text, Content_Type=TEXT, X_Content_Type_Options="nosniff")


def outcome(era, api, old, new, text, era_b="exception", current="exception", said=True):
    """Returns an OperationOutcome as this era's server writes it. `old` is the display text in era A,
    `new` the code in era B (eras of the server: see ERA_A and ERA_B)."""
    if era in ERA_A:
        more = f',"diagnostics":"{text}"' if old == "Formatting Error" else ""
        code = "Structural Issue" if old == "Formatting Error" else "Exception"
        return ('{"resourceType":"OperationOutcome","issue":[{"severity":"Error","code":"' + code +
                '","details":{"coding":[{"display":"' + old + '"}],"text":"' + old + '"}' + more +
                "}]}")
    if era == "2021-01":
        display = f',"display":"{text}"' if said else ""
        tail = f',"text":"{text}"' if said else ""
        return ('{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"' + era_b +
                '","details":{"coding":[{"system":"' + SYSTEM + '","code":"' + new + '"' + display +
                "}]" + tail + "}}]}")
    if era == "2021":
        display = f',"display":"{text}"' if said else ""
        tail = f',"text":"{text}"' if said else ""
        return ('{"issue":[{"code":"' + era_b + '","details":{"coding":[{"code":"' + new + '"' +
                display + ',"system":"' + SYSTEM + '"}]' + tail +
                '},"severity":"error"}],"resourceType":"OperationOutcome"}')
    details = ""
    if api == 2:
        details = (',"details":{"coding":[{"system":"' + SYSTEM + '","code":"Request Error",'
                   '"display":"' + text + '"}],"text":"' + text + '"}')
    if api == 3:
        details = ',"details":{"text":"' + text + '"}'
    return ('{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"' + current +
            '","diagnostics":"' + text + '"' + details + "}]}")


def outcome_type(era):
    return "application/fhir+json" if era == "current" else "application/json"


def check_outcome(s, what, a, status, body, **headers):
    check_json(s, what, a, status, body, outcome_type(s.era), **headers)


def bad_token(era, api=1, text="Invalid Token"):
    return outcome(era, api, "Invalid Token", "Invalid Token", text, current="forbidden", said=False)


# ---- 1: transport and routes ----

def transport(s):
    check_text(s, "unknown path", s.ask("GET", "/nowhere"), 404, "404 page not found\n")
    check_text(s, "trailing slash", s.ask("GET", s.path + "/metadata/"), 404, "404 page not found\n")
    check_text(s, "case", s.ask("GET", s.path + "/Metadata"), 404, "404 page not found\n")
    check_text(s, "escaped $", s.start(s.path + "/Patient/%24export"), 404, "404 page not found\n")
    check(s, "HEAD", s.ask("HEAD", "/_version"), 405, "", Content_Length="0")
    check(s, "wrong method", s.ask("PUT", "/_version", {"Content-Length": "0"}), 405, "")
    check(s, "kick-off by POST", s.ask("POST", s.path + "/Patient/$export", {"Content-Length": "0"}),
          405, "")
    # a second request on the same connection is never answered
    one = f"GET /_version HTTP/1.1\r\nHost: {s.host}\r\n\r\n"
    report.check(s.raw(one + one).count(b"HTTP/1.1 200") == 1, s.era, "two on one connection")
    with_token = {"Authorization": "Bearer " + json.loads(s.fetch_token().body)["access_token"]}
    for value in ("bearer x.y.z", "Bearer  x.y.z", "Bearer", "Basic abc",
                  with_token["Authorization"] + " ", with_token["Authorization"].replace("B", "b")):
        a = s.ask("GET", s.path + "/jobs/1", {"Authorization": value})
        if value.endswith(" "):
            continue  # HTTP itself removes a space at the end
        check_outcome(s, value, a, 401, bad_token(s.era))
    check_outcome(s, "no token", s.ask("GET", s.path + "/jobs/1"), 401, bad_token(s.era))
    unknown = s.ask("GET", s.path + "/jobs/1", {"Authorization": "Bearer nonsense"})
    if s.era == "current":
        check_outcome(s, "no JWT", unknown, 400, outcome(s.era, 1, "", "", "Request Error",
                                                         current="structure"))
        a = s.ask("GET", "/_version", {"Authorization": "Bearer x.y.z"})
        check_outcome(s, "a bad token where none is needed", a, 401, bad_token(s.era))
    else:
        check_outcome(s, "unknown token", unknown, 401, bad_token(s.era))


# ---- 3: the token ----

def token(s):
    body = r'\{"access_token": "[\w-]+\.[\w-]+\.[\w-]+",'
    body += r' "expires_in": "1200", ' if s.era == "current" else ""
    body = re.compile(body + r'"token_type":"bearer"\}')
    none = {"Cache_Control": "no-store", "Pragma": "no-cache"}
    check_json(s, "token", s.fetch_token(), 200, body, **none)
    check_json(s, "scheme in any case", s.fetch_token(scheme="basic"), 200, body, **none)
    part = json.loads(s.fetch_token().body)["access_token"].split(".")
    head, claims = (json.loads(base64.urlsafe_b64decode(p + "==")) for p in part[:2])
    report.check(head == {"alg": "RS512", "typ": "JWT"}, s.era, head)
    names = ["aco", "exp", "iat", "id"] if s.era < "2019-12" else \
        ["cid", "dat", "exp", "iat", "iss", "jti", "sys", "use"]
    report.check(sorted(claims) == names, s.era, claims)
    # in spring 2019, an overflow made the lifetime 4.5 years
    report.check(claims["exp"] - claims["iat"] == (143342396 if s.era < "2019-12" else 1200), s.era, claims)
    check_text(s, "wrong secret", s.fetch_token(secret="0" * 80), 401, "Unauthorized\n")
    check_text(s, "no Basic", s.ask("POST", "/auth/token", {"Content-Length": "0"}), 400,
               "Bad Request\n")
    check(s, "token by GET", s.fetch_token(method="GET"), 405, "")


# ---- 4: kick-off ----

def levels(era):
    """Returns two kick-off targets that work in this era."""
    return ("/Patient/$export", "/ExplanationOfBenefit/$export") if era < "2019-12" else \
        ("/Patient/$export?_type=Patient", "/Group/all/$export?_type=Coverage")


def refusals(s):
    target = s.path + "/Patient/$export"
    rows = (({}, "Accept header is required"),
            ({"Accept": "application/json"}, "application/fhir+json is the only supported response format"),
            ({"Accept": "*/*"}, "application/fhir+json is the only supported response format"),
            ({"Accept": "application/fhir+json"}, "Prefer header is required"),
            ({"Accept": "application/fhir+json", "Prefer": "x"}, "Only asynchronous responses are supported"))
    for headers, text in rows:
        check_outcome(s, text, s.get(target, **headers), 400,
                      outcome(s.era, 1, "Formatting Error", "Formatting Error", text,
                              era_b="structure", current="structure"))
    listed = {"Accept": "text/html, Application/FHIR+json;q=0.5", "Prefer": "Respond-Async"}
    a = s.get(target, **listed)
    report.check(a.status == (202 if s.era == "current" else 400), s.era, "lists", a.status)
    if s.era in ERA_A:
        return
    repeated = "Repeated resource type" + ("" if s.era == "2021-01" else " Patient")
    rows = [("_type=Patient,Patient", repeated),
            ("_since=2020-13-01", "Invalid date format supplied in _since parameter.  Date must be in FHIR Instant format."),
            ("_since=2020-01-01T00:00:00+00:00", "Invalid date format supplied in _since parameter.  Date must be in FHIR Instant format."),
            ("_since=3000-01-01T00:00:00Z", "Invalid date format supplied in _since parameter. Date must be a date that has already passed"),
            ("_elements=id", "Invalid parameter: this server does not support the _elements parameter."),
            ("?_type=Patient", "Invalid parameter: query parameters cannot start with ?")]
    for query, text in rows:
        check_outcome(s, query, s.start(target + "?" + query), 400,
                      outcome(s.era, 1, "Request Error", "Request Error", text, current="structure"))
    check_outcome(s, "group", s.start(s.path + "/Group/new/$export"), 400,
                  outcome(s.era, 1, "Request Error", "Request Error", "Invalid group ID",
                          current="structure"))


def endpoints(s):
    there = {"Patient": 1, EOB: s.era < "2019-12", "Coverage": s.era == "2019-04",
             "Group/all": s.era >= "2019-12"}
    for level, is_there in there.items():
        a = s.ask("GET", f"{s.path}/{level}/$export", WANTED)  # no token, so no job is started
        report.check(a.status == (401 if is_there else 404), s.era, level, a.status)
    for version in (2, 3):
        a = s.ask("GET", f"/api/v{version}/Patient/$export", WANTED)
        is_there = s.era == "current" or (s.era == "2021" and version == 2)
        report.check(a.status == (401 if is_there else 404), s.era, f"v{version}", a.status)
        if is_there:
            check_outcome(s, f"v{version}, no token", a, 401, bad_token(s.era, version))


# ---- 5 to 7: a job ----

PROGRESS = {"2018-12": r"In Progress", "2019-04": r"In Progress"}


def polling(s, location):
    target = location[len(s.origin):]
    a = s.get(target)
    check(s, "first poll", a, 202, "", X_Progress="Pending")
    for _ in range(600):
        a = s.get(target)
        if a.status != 202:
            break
        report.check(re.fullmatch(PROGRESS.get(s.era, r"In Progress( \(\d{1,3}%\))?"),
                                  a.headers.get("X-Progress", "")), s.era, a.headers)
        check(s, "poll", a, 202, "", X_Progress=None)
        time.sleep(0.02)
    return a


def manifest(s, kick, a, encrypted):
    head = {} if s.era == "2018-12" else {"Expires": None}
    check_json(s, "manifest", a, 200, None, **head)
    if head:
        report.check(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})? \+0000 UTC",
                                  a.headers["Expires"]), s.era, a.headers["Expires"])
    text = a.body.decode()
    name = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.ndjson"
    wrapped = "[0-9a-f]{512}" if encrypted else "4e4f5f454e4352595054494f4e"
    key = ',"encryptedKey":"' + wrapped + '"' if s.era == "2019-04" else ""
    origin = re.escape(s.origin)
    item = (r'\{"type":"\w+","url":"' + origin + r'/data/\d+/' + name + '"' + key + r"\}")
    tail = r',"JobID":\d+'
    if s.era == "2019-04":
        tail = r',"KeyMap":\{"' + name + '":"' + wrapped + r'"\}' + tail
    elif s.era == "2018-12" and encrypted:
        tail = (r',"KeyMap":\{"' + name + " {%d}" % (127 - 43) + '":"' + wrapped +
                r'"\},"keys":\["' + wrapped + r"\|" + name + r'"\]')
    elif s.era == "2018-12":
        tail = r',"KeyMap":\{\},"keys":null'
    pattern = (r'\{"transactionTime":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z","request":"' +
               origin + re.escape(s.path + kick).replace(r"\&", r"\\u0026") +
               r'","requiresAccessToken":true,"output":\[' + item + r'\],"error":\[\]' + tail + r"\}")
    report.check(re.fullmatch(pattern, text), s.era, text, "does not match", pattern)
    return json.loads(text)


def decrypt(s, entry, name, stored):
    with open(s.env["BCDA_PRIVATE_KEY"], "rb") as f:
        pem = f.read()
    report.check(pem.startswith(b"-----BEGIN RSA PRIVATE KEY-----"), s.era, "the key's form")
    key = serialization.load_pem_private_key(pem, None)
    aes = key.decrypt(bytes.fromhex(entry),
                      padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), name.encode()))
    return AESGCM(aes).decrypt(stored[:12], stored[12:], None)


def check_lines(s, plain, type_):
    report.check(plain.endswith(b"\n") and b"\n\n" not in plain and b"\r" not in plain, s.era, "lines")
    for line in plain.decode().split("\n")[:-1]:
        outer = json.loads(line)
        if s.era < "2019-12":
            report.check(list(outer) == ["fullUrl", "resource"], s.era, "no envelope", line[:80])
            outer = outer["resource"]
        report.check(outer["resourceType"] == type_, s.era, line[:80])
        again = json.dumps(outer, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        for sign in "&<>":
            again = again.replace(sign, "\\u%04x" % ord(sign))
        if not report.check(line.endswith(again + "}" * (s.era < "2019-12")), s.era, line[:200], again[:200]):
            return


def ranges(s, target, whole, head):
    size = len(whole)
    a = s.get(target, Range="bytes=10-19")
    check(s, "range", a, 206, None, Content_Range=f"bytes 10-19/{size}", **head)
    report.check(a.body == whole[10:20], s.era, "another range")
    a = s.get(target, **{"Range": "bytes=-5", "If-Range": head["Last_Modified"]})
    check(s, "the last bytes", a, 206, None, Content_Range=f"bytes {size - 5}-{size - 1}/{size}", **head)
    a = s.get(target, **{"Range": "bytes=5-", "If-Range": "Mon, 01 Jan 2001 00:00:00 GMT"})
    check(s, "of another date", a, 200, None, **head)
    report.check(a.body == whole, s.era, "not the whole")
    a = s.get(target, Range="bytes=1-2,4-6")
    report.check(a.status == 206 and re.fullmatch(r"multipart/byteranges; boundary=.+",
                                                  a.headers.get("Content-Type", "")), s.era, a.headers)
    a = s.get(target, Range=f"bytes={size}-")
    check(s, "beyond the end", a, 416, "invalid range: failed to overlap\n", Content_Type=TEXT,
          X_Content_Type_Options="nosniff", Content_Range=f"bytes */{size}",
          Last_Modified=head["Last_Modified"])
    a = s.get(target, **{"If-Modified-Since": head["Last_Modified"]})
    report.check(a.status == 304 and a.body == b"", s.era, "304", a.status)


def plain_file(s, target, encrypted):
    """A file without gzip: in era A, and in 2021 if gzip is not requested."""
    a = s.get(target)
    kind = "application/octet-stream" if encrypted else TEXT
    head = {"Content_Type": "application/fhir+ndjson" if s.era in ERA_B else kind,
            "Accept_Ranges": "bytes", "Last_Modified": a.headers.get("Last-Modified", "none")}
    report.check(re.fullmatch(r"\w{3}, .* GMT", head["Last_Modified"]), s.era, head)
    check(s, "file", a, 200, None, **head)
    ranges(s, target, a.body, head)
    if s.era in ERA_A:
        b = s.get(target, **{"Accept-Encoding": "gzip"})
        report.check(b.body == a.body and "Content-Encoding" not in b.headers, s.era, "gzip in era A")
    return a.body


def gzip_exact(s, target, plain):
    head = {"Content_Type": "application/fhir+ndjson", "Content_Encoding": "gzip",
            "Accept_Ranges": "bytes", "Last_Modified": None}
    a = s.get(target, **{"Accept-Encoding": "gzip"})
    check(s, "gzip", a, 200, None, **head)
    report.check(zlib.decompress(a.body, 31) == plain, s.era, "another text")
    report.check(a.is_chunked == (len(a.body) > 2048), s.era, "the length of gzip", a.headers)
    a = s.get(target, **{"Accept-Encoding": "gzip, deflate"})
    report.check("Content-Encoding" not in a.headers and a.body == plain, s.era, "gzip, deflate")
    a = s.get(target, **{"Accept-Encoding": "gzip", "Range": "bytes=10-19"})
    check(s, "range of gzip", a, 206, None, Content_Range=f"bytes 10-19/{len(plain)}", **head)
    report.check(zlib.decompress(a.body, 31) == plain[10:20], s.era, "another slice")
    a = s.get(target[:-1] + "x", **{"Accept-Encoding": "gzip"})
    check(s, "404 as gzip", a, 404, None, Content_Type=TEXT, Content_Encoding="gzip",
          X_Content_Type_Options="nosniff")
    report.check(a.body[:2] == b"\x1f\x8b" and zlib.decompress(a.body, 31) == b"404 page not found\n",
                 s.era, "404 as gzip", a.body)


def gzip_stored(s, target):
    head = {"Content_Type": "application/fhir+ndjson", "Content_Encoding": "gzip"}
    a = s.get(target, **{"Accept-Encoding": "x-gzip;q=0"})
    check(s, "gzip", a, 200, None, Accept_Ranges="bytes", Last_Modified=None, **head)
    report.check(a.body.endswith(EMPTY_MEMBER), s.era, "no empty member")
    report.check(a.is_chunked == (len(a.body) > 2048), s.era, "the length of gzip", a.headers)
    stored = a.body[:-len(EMPTY_MEMBER)]
    reader = zlib.decompressobj(31)
    plain = reader.decompress(stored)
    report.check(reader.eof and not reader.unused_data, s.era, "more than one member before it")
    a = s.get(target)
    check(s, "inflated", a, 200, None, Content_Type="application/fhir+ndjson")
    report.check(a.is_chunked == (len(plain) > 2048) and a.body == plain, s.era, "inflated")
    a = s.get(target, Range="bytes=10-19")
    report.check(a.status == 200 and a.body == plain, s.era, "a range of what is inflated")
    a = s.get(target, **{"Accept-Encoding": "gzip", "Range": "bytes=10-19"})
    check(s, "range of gzip", a, 206, None, Content_Range=f"bytes 10-19/{len(stored)}",
          Accept_Ranges="bytes", Last_Modified=None, Content_Length="10", **head)
    report.check(a.body == stored[10:20], s.era, "another range")
    return plain


def first_files(s):
    """Starts a job. Returns the target of its status, and the targets of its files."""
    location = s.start(s.path + "/Patient/$export").headers["Content-Location"]
    a = s.finish(location)
    return location[len(s.origin):], [f["url"][len(s.origin):] for f in json.loads(a.body)["output"]]


def length_of_small_files(folder):
    """Go's rule applies to files, too. If a file, with the empty gzip member at its end, has up to
    2048 bytes, it has a Content-Length, which is not the length of the stored file. The files here
    contain random text, which hardly shrinks, and have sizes on both sides of the limit."""
    noise = base64.b64encode(b"".join(hashlib.sha512(bytes([i])).digest() for i in range(64))).decode()
    for i in range(60):
        with open(os.path.join(folder, f"Patient.{i:02}.ndjson"), "w", encoding="ascii") as f:
            f.write('{"resourceType":"Patient","id":"%s"}\n' % noise[:2545 + i])
    accept = {"Accept-Encoding": "gzip"}
    sizes = set()
    with Server("current", "--polls", "1", "--data", folder) as s:
        for target in first_files(s)[1]:
            a = s.get(target, **accept)
            n = len(a.body)
            sizes.add(n)
            report.check(a.body.endswith(EMPTY_MEMBER), n, "no empty member")
            report.check(a.is_chunked == (n > 2048), n, "the length of a small file", a.headers)
            if not a.is_chunked:
                report.check(a.headers["Content-Length"] == str(n), a.headers)
            part = s.get(target, Range="bytes=100-", **accept)
            stored = n - len(EMPTY_MEMBER)
            report.check(part.headers["Content-Range"] == f"bytes 100-{stored - 1}/{stored}", part.headers)
            report.check(part.headers["Last-Modified"] == a.headers["Last-Modified"], part.headers)
            report.check(part.body == a.body[100:stored], n, "a part")
    report.check({2048, 2049} <= sizes, "no file at the limit", sorted(sizes))


def buffered(era):
    """A proxy that buffers announces the length of every file, with and without gzip."""
    with Server(era, "--polls", "1", "--patients", "100", "--fault", "buffered") as s:
        target = first_files(s)[1][0]
        a = s.get(target, **{"Accept-Encoding": "gzip"})
        report.check(len(a.body) > 2048 and a.headers["Content-Length"] == str(len(a.body)), era, a.headers)
        report.check(zlib.decompress(a.body, 31)[:1] == b"{", era, "gzip")
        b = s.get(target)
        report.check(b.headers["Content-Length"] == str(len(b.body)), era, b.headers)


def expires(era):
    """The job expires after its first two files were requested."""
    with Server(era, "--polls", "1", "--fault", "job-expires-after:2") as s:
        status, targets = first_files(s)
        report.check(len(targets) == 3, era, targets)
        found = [s.get(t).status for t in targets] + [s.get(status).status]
        report.check(found == [200, 200, 404, 404 if era == "current" else 410], era, found)


def missing_files(s, target):
    folder = target.rsplit("/", 1)[0]
    other = "/b8cfdb04-7c57-4c7a-bb78-2fc16cbc05a1.ndjson"
    if s.era == "current":
        check_outcome(s, "no such file", s.get(folder + other), 404,
                      outcome(s.era, 1, "", "", "Job not found", current="not-found"))
    elif s.era == "2018-12":
        # the server compared the name with the organization, and crashed on a name without a UUID
        check_outcome(s, "another organization's file", s.get(folder + other), 401, bad_token(s.era))
        report.check(s.get(folder + "/x.ndjson").status == 0, s.era, "a name without a UUID")
    else:
        check_text(s, "no such file", s.get(folder + other), 404, "404 page not found\n")
    if s.era in ("2019-04", "2019-12"):
        check_text(s, "..", s.get(folder + "/.."), 400, "invalid URL path\n")
        check_outcome(s, "another job", s.get("/data/999999/x.ndjson"), 404,
                      outcome(s.era, 1, "Not Found", "", ""))
    check_outcome(s, "file without a token", s.ask("GET", target), 401, bad_token(s.era))


def job(s, kick, type_, encrypted):
    a = s.start(s.path + kick)
    check(s, "kick-off", a, 202, "", Content_Location=None)
    location = a.headers["Content-Location"]
    report.check(re.fullmatch(re.escape(s.origin + s.path) + r"/jobs/\d+", location), s.era, location)
    a = polling(s, location)
    m = manifest(s, kick, a, encrypted)
    entry = m["output"][0]
    report.check(entry["type"] == type_, s.era, entry["type"])
    target = entry["url"][len(s.origin):]
    name = target.rsplit("/", 1)[1]
    if s.era == "2018-12":
        report.check(name == "0c527d2e-2e8a-4808-b11d-0fa06baf8254.ndjson", s.era, name)
    if s.era == "current":
        plain = gzip_stored(s, target)
    else:
        plain = plain_file(s, target, encrypted)
    if s.era in ERA_B:
        gzip_exact(s, target, plain)
    if encrypted:
        keys = {k.strip(): v for k, v in m["KeyMap"].items()}
        stored, plain = plain, decrypt(s, keys[name], name, plain)
        report.check(len(stored) == len(plain) + 28, s.era, len(stored), len(plain))
    check_lines(s, plain, type_)
    missing_files(s, target)
    return location


def jobs_gone(s):
    number = s.get(s.path + "/jobs/999999")
    word = s.get(s.path + "/jobs/abc")
    if s.era == "2018-12":
        check_outcome(s, "unknown job", number, 404, outcome(s.era, 1, "Database Error", "", ""))
        check_outcome(s, "no number", word, 400, outcome(s.era, 1, "Processing Failure", "", ""))
    elif s.era in ERA_A:
        for a in (number, word):
            check_outcome(s, "unknown job", a, 404, outcome(s.era, 1, "Not Found", "", ""))
    elif s.era in ERA_B:
        report.check(number.status == 404 and word.status == 404, s.era, "unknown job")
    else:
        report.check(number.status == 404 and word.status == 400, s.era, "unknown job", word.status)


def faults(era):
    """The answers for a job that has failed, and for one that is more than a day old."""
    with Server(era, "--polls", "1", "--fault", "job-failed") as s:
        location = s.start(s.path + levels(era)[0]).headers["Content-Location"]
        text = "Service encountered numerous errors. Job failed to complete."
        body = '{"resourceType":"OperationOutcome"}' if era in ERA_A else \
            outcome(era, 1, "", "Internal Error", text)
        check_outcome(s, "failed", s.finish(location), 500, body)
    with Server(era, "--polls", "1", "--fault", "job-expired") as s:
        location = s.start(s.path + levels(era)[0]).headers["Content-Location"]
        a = s.finish(location)
        if era == "current":
            both = re.compile(r'\{"resourceType":"OperationOutcome".*\}\{"resourceType":"OperationOutcome".*\}')
            check_outcome(s, "expired", a, 404, both)
        elif era == "2018-12":
            report.check(a.status == 410, era, a.status)
        else:
            report.check(a.status == 410 and "Expires" in a.headers, era, a.status, a.headers)
    with Server(era, "--polls", "1", "--fault", "manifest-null-output-once") as s:
        location = s.start(s.path + levels(era)[0]).headers["Content-Location"]
        m = json.loads(s.finish(location).body)
        report.check(m["output"] == (None if era < "2019-12" else []) and m["error"] == [], era, m)
        report.check(("KeyMap" in m) == (era < "2019-12"), era, m)
    with Server(era, "--polls", "1", "--fault", "deleted", "--fault", "manifest-next-page") as s:
        location = s.start(s.path + levels(era)[0]).headers["Content-Location"]
        m = json.loads(s.finish(location).body)
        report.check([f["type"] for f in m["deleted"]] == ["Bundle"], era, m)
        report.check(m["link"] == [{"relation": "next", "url": location + "?page=2"}], era, m)
        report.check(all("deleted" not in f["url"] for f in m["output"] + m["error"]), era, m)
        body = s.get(m["deleted"][0]["url"][len(s.origin):]).body
        for line in body.splitlines():
            methods = [e["request"]["method"] for e in json.loads(line)["entry"]]
            report.check(methods == ["DELETE", "DELETE"], era, line)
        report.check(len(body.splitlines()) == 2, era, body)
        a = s.get(m["deleted"][0]["url"][len(s.origin):], **{"Accept-Encoding": "gzip"})
        report.check(("Content-Encoding" in a.headers) == (era not in ERA_A), era, a.headers)
        if "Content-Encoding" in a.headers:
            report.check(zlib.decompress(a.body, 31) == body, era, "gzip", a.body)
    damaged_deletions(era, body)


def damaged_deletions(era, whole):
    """Files of deletions that are damaged. `whole` is one that is not."""
    names = ("deleted-cut", "deleted-invalid", "deleted-twice")
    with Server(era, "--polls", "1", *(word for name in names for word in ("--fault", name))) as s:
        location = s.start(s.path + levels(era)[0]).headers["Content-Location"]
        urls = [f["url"] for f in json.loads(s.finish(location).body)["deleted"]]
        report.check(len(urls) == 4 and len(set(urls)) == 3 and urls[2] == urls[3], era, urls)
        bodies = [s.get(url[len(s.origin):]).body for url in urls]
        first = whole.index(b"\n") + 1
        report.check(whole.startswith(bodies[0]) and first < len(bodies[0]) < len(whole) - 1
                     and not bodies[0].endswith(b"}"), era, bodies[0])
        report.check(bodies[1] == whole[:first] + b'{"resourceType":"Patient","id":"gone-1"}\n', era, bodies[1])
        report.check(bodies[2] == bodies[3] == whole, era, bodies[2])


def like_jobs(era):
    """A second job is started while one runs. In the oldest eras, it is accepted. Later, the types
    of the first job are silently left out. Later still, it is refused if it shares a type."""
    with Server(era, "--polls", "2") as s:
        kick = s.path + levels(era)[0].split("?")[0]
        first = s.start(kick + "?_type=Patient")
        both = s.start(kick + "?_type=Patient,Coverage")
        same = s.start(kick + "?_type=Patient")
        if era < "2019-12":
            report.check((both.status, same.status) == (202, 202), era, both.status, same.status)
        elif era in ("2019-12", "2021-01"):
            report.check((both.status, same.status) == (202, 429), era, both.status, same.status)
            m = json.loads(s.finish(both.headers["Content-Location"]).body)
            report.check([f["type"] for f in m["output"]] == ["Coverage"], era, m["output"])
        else:
            report.check((both.status, same.status) == (429, 429), era, both.status, same.status)
            check(s, "a like job runs", same, 429, "", Retry_After="0")
        s.finish(first.headers["Content-Location"])
        report.check(s.start(kick + "?_type=Patient").status == 202, era, "after its end")


# ---- endpoints of later eras ----

def modern(s):
    if s.era in ERAS[:4]:
        for method, target in (("GET", "/jobs"), ("GET", "/attribution_status")):
            report.check(s.ask(method, s.path + target).status == 404, s.era, target)
        report.check(s.ask("DELETE", s.path + "/jobs/1").status == 405, s.era, "DELETE")
        return
    a = s.get(s.path + "/jobs", **WANTED)
    if s.era == "current":
        check_outcome(s, "no jobs", a, 404,
                      re.compile(r'\{"resourceType":"OperationOutcome".*\}\{"resourceType":"Bundle",'
                                 r'"type":"searchset","total":0,"entry":\[\]\}'))
    location = s.start(s.path + "/Patient/$export").headers["Content-Location"]
    job_id = location.rsplit("/", 1)[1]
    again = s.start(s.path + "/Patient/$export")
    check(s, "a like job runs", again, 429, "", Retry_After="0")
    a = s.get(s.path + "/jobs", **WANTED)
    task = json.loads(a.body)["entry"][0]["resource"]
    report.check(a.status == 200 and task["identifier"][0]["value"] == job_id, s.era, task)
    report.check(task["status"] == ("accepted" if s.era == "current" else "in-progress"), s.era, task)
    report.check(task["input"][0]["valueString"] == f"GET {s.origin}{s.path}/Patient/$export", s.era, task)
    headers = {"Authorization": "Bearer " + s.token}
    check(s, "cancelled", s.ask("DELETE", location[len(s.origin):], headers), 202, "")
    a = s.get(location[len(s.origin):])
    check_outcome(s, "after that", a, 404, outcome(s.era, 1, "", "Not Found Error",
                                                   "Job has been cancelled.", current="not-found"))
    a = s.ask("DELETE", location[len(s.origin):], headers)
    report.check(a.status == 410, s.era, "cancelled twice", a.status)
    check_json(s, "attribution", s.get(s.path + "/attribution_status"), 200,
               re.compile(r'\{"ingestion_dates":\[\{"timestamp":"[^"]+Z","type":"last_attribution_update"\},'
                          r'\{"timestamp":"[^"]+Z","type":"last_runout_update"\}\]\}\n'))
    check_json(s, "welcome", s.get("/auth/welcome"), 200,
               '{"success":"Welcome to the Beneficiary Claims Data API!"}')


def small(s):
    check_json(s, "version", s.ask("GET", "/_version"), 200, '{"version":"latest"}')
    health = '{"database":"ok","ssas":"ok","ssas_introspect":"ok"}' if s.era == "current" else \
        '{"database":"ok"}'
    check_json(s, "health", s.ask("GET", "/_health"), 200, health, TEXT)
    a = s.ask("GET", s.path + "/metadata")
    check_json(s, "metadata", a, 200, None)
    m = json.loads(a.body)
    report.check(b"\\u0026" in a.body and m["resourceType"] == "CapabilityStatement", s.era, "metadata")
    report.check(m["kind"] == ("capability" if s.era in ERA_A else "instance"), s.era, m["kind"])
    report.check(m["fhirVersion"] == "3.0.1", s.era, m["fhirVersion"])


def redirects(era):
    with Server(era, "--redirect-port", "0") as s:
        port = int(s.env["BCDA_REDIRECT_URL"].rsplit(":", 1)[1])
        a = s.ask("GET", s.path + "/metadata?x=%24", port=port)
        report.check(a.status == 301 and a.headers["Location"] == s.origin + s.path + "/metadata?x=%24",
                     era, a.status, a.headers)
        a = s.ask("POST", "/auth/token", {"Content-Length": "0"}, port=port)
        report.check(a.status == 405 and a.body == b"", era, a.status, a.body)


def main():
    for era in ERAS:
        with Server(era, "--polls", "2", "--claims", "2", "--patients", "6") as s:
            transport(s)
            token(s)
            refusals(s)
            endpoints(s)
            jobs_gone(s)
            small(s)
        with Server(era, "--polls", "2") as s:
            modern(s)
        with Server(era, "--polls", "3", "--claims", "2", "--patients", "6",
                    "--allow-duplicates") as s:
            kick, other = levels(era)
            type_ = "Patient"
            if era == "2018-12":
                job(s, kick, type_, False)
                job(s, other + "?encrypt=True", EOB, True)
            elif era == "2019-04":
                job(s, kick, type_, True)
                job(s, other + "?x=1&encrypt=false", EOB, False)
            else:
                job(s, kick, type_, False)
                job(s, other, "Coverage", False)
        with Server(era, "--polls", "2", tls=False) as s:
            check_json(s, "without TLS", s.ask("GET", "/_version"), 200, '{"version":"latest"}')
        like_jobs(era)
        faults(era)
        redirects(era)
    for era in ("2021", "current"):
        buffered(era)
        expires(era)
    with tempfile.TemporaryDirectory(prefix="bcda-test-") as folder:
        length_of_small_files(folder)
    report.finish()


main()
