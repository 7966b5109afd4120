"""Tests of the package: the table of errors, how the library is found, type annotations, wheels, examples."""
import doctest
import email
import glob
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile

from support import HERE, LIMIT, PACKAGE, ROOT, SOURCE, Sandbox, bcda, unittest

from bcda import _abi, errors

LIBRARY = os.environ["BCDA_LIBRARY"]
AUDITWHEEL = shutil.which("auditwheel")


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, **more)


STUB = """
import sys
class tqdm:
    total = n = 0
    def __init__(self, unit, unit_scale, unit_divisor, desc):
        self.desc = desc
    def set_postfix_str(self, text, refresh): pass
    def refresh(self): pass
    def update(self, n):
        self.n += n
    def close(self):
        print(f"{self.desc}: {self.n * 100 // self.total}% {self.n} B/s", file=sys.stderr)
"""


def python_with(module):
    """Returns a Python interpreter that can import the modules. The modules of Debian's packages can only be
    imported by Debian's /usr/bin/python3."""
    for python in (sys.executable, "/usr/bin/python3"):
        if os.path.exists(python) and run([python, "-c", f"import {module}"]).returncode == 0:
            return python
    return None


class Errors(unittest.TestCase):
    def test_every_code_has_one_class(self):
        codes = {value: name for name, value in vars(_abi).items() if name.startswith("ERR_")}
        self.assertEqual(set(errors.CLASSES), set(codes))
        for code, name in codes.items():
            made = errors.from_code(code)
            self.assertIs(type(made), errors.CLASSES[code])
            self.assertEqual((made.code, made.name), (code, "BCDA_" + name))
            self.assertIn(type(made).__name__, bcda.__all__)
            ranges = {c for top, c in errors._RANGES if issubclass(type(made), c)}
            self.assertEqual(len(ranges), 1, name)
            self.assertTrue(made.text)

    def test_codes_of_later_libraries_are_raised_by_their_range(self):
        for code, kind in ((-49, errors.UsageError), (-99, errors.LocalError), (-199, errors.TransportError),
                           (-299, errors.ServerError), (-399, errors.DataError), (-499, errors.HostError)):
            self.assertIs(errors.class_of(code), kind)
        self.assertEqual(bcda.Verdict(77).name, "UNKNOWN_77")

    def test_every_class_is_public_and_documented(self):
        for name, value in vars(errors).items():
            if isinstance(value, type) and issubclass(value, errors.Error):
                self.assertIn(name, bcda.__all__)
                self.assertTrue(value.__doc__)
                self.assertNotIn(name, dir(__builtins__))

    def test_errors_can_be_pickled(self):
        made = bcda.BadLine("words", code=-308, line=3, offset=5, file="a", retry_after=1.5, server_text="s")
        again = pickle.loads(pickle.dumps(made))
        self.assertEqual((type(again), vars(again), str(again)), (bcda.BadLine, vars(made), "words"))


class Loading(unittest.TestCase):
    """Which library file is loaded, and which files are refused."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def import_with(self, source=SOURCE, **env):
        env = {**{k: v for k, v in os.environ.items() if k != "BCDA_LIBRARY"}, "PYTHONPATH": source, **env}
        return run([sys.executable, "-c", "import bcda; print(bcda.library_path, bcda.library_version)"], env=env)

    def toy(self, version, names):
        source, library = os.path.join(self.folder, "toy.c"), os.path.join(self.folder, "toy.so")
        with open(source, "w", encoding="ascii") as f:
            if version:
                f.write(f"int bcda_version_number(void) {{ return {version}; }}\n")
            f.writelines(f"void {name}(void) {{}}\n" for name in names if name != "bcda_version_number")
        subprocess.run([os.environ.get("CC", "cc").split()[-1], "-shared", "-fPIC", "-o", library, source],
                       check=True)
        return library

    def test_by_the_environment(self):
        got = self.import_with(BCDA_LIBRARY=LIBRARY)
        self.assertEqual(got.stdout, f"{LIBRARY} {bcda.__version__}\n")

    def test_not_found(self):
        got = self.import_with(BCDA_LIBRARY="/nowhere/libbcda.so.0")
        self.assertIn("LibraryError: libbcda was not found", got.stderr)
        self.assertIn("/nowhere/libbcda.so.0 (BCDA_LIBRARY)", got.stderr)

    def test_by_the_system(self):
        folder = os.path.join(self.folder, "lib")
        os.mkdir(folder)
        shutil.copy(LIBRARY, os.path.join(folder, "libbcda.so.0"))
        got = self.import_with(LD_LIBRARY_PATH=folder)
        self.assertEqual(got.stdout, f"libbcda.so.0 {bcda.__version__}\n", got.stderr)

    def test_too_old(self):
        old = self.toy(_abi.VERSION_NUMBER - 1, _abi.FUNCTIONS)
        got = self.import_with(BCDA_LIBRARY=old)
        self.assertRegex(got.stderr, rf"LibraryError: {re.escape(old)}: libbcda 0\.0\.99 is too old: .* 0\.1\.0")

    def test_functions_missing(self):
        names = [n for n in _abi.FUNCTIONS if n != "bcda_job_next"]
        got = self.import_with(BCDA_LIBRARY=self.toy(_abi.VERSION_NUMBER, names))
        self.assertRegex(got.stderr, "LibraryError: .*toy.so: this libbcda lacks bcda_job_next, ")

    def test_not_a_libbcda(self):
        got = self.import_with(BCDA_LIBRARY=self.toy(0, ["hello"]))
        self.assertIn("toy.so: not a libbcda", got.stderr)

    def wheel(self, **env):
        """Builds a wheel from a copy of the tree, without a network, and installs it into a new virtual
        environment. Returns the wheel and a function that imports the installed package."""
        python = python_with("wheel, setuptools, pip")
        self.assertIsNotNone(python, "python3-setuptools, -wheel and -pip are needed (tests/install)")
        copy = os.path.join(self.folder, "tree")
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "tests", "build"))
        env = {**{k: v for k, v in os.environ.items() if k != "BCDA_LIBRARY"}, **env}
        out = os.path.join(self.folder, "wheels")
        built = run([python, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-q",
                     "--disable-pip-version-check", "-w", out, copy], env=env)
        self.assertEqual(built.returncode, 0, built.stdout + built.stderr)
        (wheel,) = glob.glob(os.path.join(out, "*.whl"))
        venv = os.path.join(self.folder, "venv")
        run([python, "-m", "venv", "--without-pip", venv], check=True)
        inside = os.path.join(venv, "bin", "python")
        site = run([inside, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).stdout.strip()
        done = run([python, "-m", "pip", "install", "--no-index", "--no-deps", "-q", "--no-compile",
                    "--disable-pip-version-check", "--target", site, wheel], env=env)
        self.assertEqual(done.returncode, 0, done.stderr)
        del env["BCDA_SANDBOX_PROGRAM"]
        return wheel, lambda **more: run(
            [inside, "-I", "-c", "import bcda; print(bcda.library_path, bcda.library_version)"],
            env={**env, **more}, cwd="/")

    def inside(self, wheel):
        """Returns the fields of the wheel's metadata file WHEEL, and the names of its files."""
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            (told,) = [name for name in names if name.endswith(".dist-info/WHEEL")]
            fields = email.message_from_bytes(archive.read(told))
        return fields, names

    def test_a_wheel_that_carries_the_library(self):
        wheel, imported = self.wheel(BCDA_WHEEL_LIBRARY=LIBRARY)
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        self.assertEqual(os.path.basename(wheel), f"bcda-{bcda.__version__}-py3-none-{platform}.whl")
        fields, names = self.inside(wheel)
        self.assertEqual((fields["Root-Is-Purelib"], fields.get_all("Tag")), ("false", [f"py3-none-{platform}"]))
        self.assertIn("bcda/_lib/libbcda.so.0", names)  # files at the root of a wheel go to platlib
        self.assertEqual([name for name in names if ".data/" in name], [])
        got = imported()
        self.assertRegex(got.stdout, r"site-packages/bcda/_lib/libbcda\.so\.0 0\.1\.0\n$", got.stderr)

    # Debian has no package of auditwheel, and a test must not download it. So this test exists only where
    # auditwheel is installed.
    if AUDITWHEEL:
        def test_auditwheel_accepts_it(self):
            wheel, _ = self.wheel(BCDA_WHEEL_LIBRARY=LIBRARY)
            got = run([AUDITWHEEL, "show", wheel])
            self.assertEqual(got.returncode, 0, got.stderr)
            self.assertIn("consistent", got.stdout)

    def test_a_wheel_for_any_platform(self):
        wheel, imported = self.wheel()
        self.assertEqual(os.path.basename(wheel), f"bcda-{bcda.__version__}-py3-none-any.whl")
        fields, names = self.inside(wheel)
        self.assertEqual((fields["Root-Is-Purelib"], fields.get_all("Tag")), ("true", ["py3-none-any"]))
        self.assertEqual([name for name in names if "_lib/" in name], [])
        self.assertEqual(imported(BCDA_LIBRARY=LIBRARY).stdout, f"{LIBRARY} {bcda.__version__}\n")

    def test_versions_agree(self):
        n = _abi.VERSION_NUMBER
        version = f"{n // 10000}.{n // 100 % 100}.{n % 100}"
        self.assertEqual(bcda.__version__, version)
        self.assertEqual(bcda.library_version, version)
        with open(os.path.join(PACKAGE, "pyproject.toml"), encoding="utf-8") as f:
            self.assertIn(f'\nversion = "{version}"\n', f.read())


class Types(unittest.TestCase):
    def mypy(self, *arguments):
        python = python_with("mypy")
        self.assertIsNotNone(python, "mypy is needed (tests/install)")
        with tempfile.TemporaryDirectory() as cache:
            return run([python, "-m", "mypy", "--cache-dir", cache, "--strict", *arguments], cwd=PACKAGE,
                       env={**os.environ, "MYPYPATH": SOURCE})

    def test_mypy_accepts_the_package_and_its_users(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "user.py")
            with open(path, "w", encoding="utf-8") as f:
                f.write("""\
import bcda
from typing import List, Optional, Tuple, Type
def on_file(job: bcda.Job, file: bcda.File, event: bcda.FileEvent) -> None: ...
async def both(client: bcda.Client) -> int:
    n = 0
    async for resource in client.export("Patient", since="2020-01-01T00:00:00Z", on_file=on_file):
        n += len(resource.json)
    async for batch in client.attach("u").batches():
        n += len(batch.ids)
    await client.export("Patient")
    return n
with bcda.Client("https://x/", client_id="a", client_secret="b", options={"delivery": "verified", "parallel": 2},
                 url_rewrites={"https://a/": "https://b/"}, log_level="debug") as client:
    job = client.export("Patient")
    missing: Tuple[str, ...] = job.missing_types
    deleted: int = job.deleted_files + job.deletions
    deletions: List[bcda.Deletion] = []
    def on_deletion(job: bcda.Job, deletion: bcda.Deletion) -> None:
        deletions.append(deletion)
        names: Tuple[str, str, int, bool] = (deletion.type, deletion.id, deletion.line_number, deletion.file.has_deletions)
    client.export("Patient", on_deletion=on_deletion).wait()
    code: Optional[bcda.ErrorCode] = job.result
    kind: Type[Warning] = bcda.IncompleteExport
    number: int = bcda.ErrorCode.TAG
    assert code is bcda.ErrorCode.OK and job.verdict is bcda.Verdict.COMPLETE
    sizes: List[int] = [len(batch.json.buffer) for batch in client.export().batches()]
    names: List[str] = [r.type for r in client.restore("x")]
bcda.Client("u", client_id="a", private_key_jwt={"kty": "EC"}, kid="k", scope=["s"], token_cache="f")
bcda.Client("u", client_id="a", private_key_jwt=b"pem", private_key_jwt_passphrase="p", scope="s", request_budget="f")
bcda.Client("u", client_id="a", private_key={"keys": []})
bcda.Client("u", token_file="f", client_certificate=("c", "k"), certificate_origins=["https://x"])
bcda.Client("u", token_command="c")
missing_scope: List[str] = bcda.Client("u", no_auth=True).missing_scope
""")
            got = self.mypy("--python-version", "3.9", "src/bcda", path)
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)


class Docs(unittest.TestCase):
    def test_examples_in_docstrings_and_readme(self):
        with Sandbox() as sandbox, sandbox.client() as client:
            names = {"client": client, "bcda": bcda, "sandbox": sandbox}
            tried = 0
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
            for name in sorted(n for n in sys.modules if n == "bcda" or n.startswith("bcda.")):
                for test in doctest.DocTestFinder(exclude_empty=True).find(sys.modules[name], extraglobs=names):
                    tried += runner.run(test, out=self.wrong).attempted
            self.assertGreater(tried, 8)
            self.assertEqual(runner.failures, 0)

    def wrong(self, text):
        print("\n".join("# " + line for line in text.splitlines()))

    def test_python_in_the_readme_compiles(self):
        with open(os.path.join(PACKAGE, "README.md"), encoding="utf-8") as f:
            blocks = re.findall(r"```python\n(.*?)```", f.read(), flags=re.S)
        self.assertGreater(len(blocks), 2)
        for block in blocks:
            compile(block, "README.md", "exec", flags=0x2000)  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    def test_quickstart(self):
        build = os.path.dirname(os.path.dirname(os.path.abspath(LIBRARY)))
        got = run([sys.executable, os.path.join(PACKAGE, "examples", "quickstart.py"), build])
        self.assertEqual((got.returncode, got.stderr), (0, ""))
        self.assertIn("ExplanationOfBenefit           12000 resources in 1 file\n", got.stdout)
        self.assertIn("13000 resources, ", got.stdout)
        self.assertIn('"benefitBalance"', got.stdout)

    def test_a_bar_of_tqdm(self):
        """Uses tqdm if it is installed, otherwise a stub that prints the values it receives."""
        python = python_with("tqdm") or sys.executable
        with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
            if not python_with("tqdm"):
                os.mkdir(os.path.join(folder, "tqdm"))
                with open(os.path.join(folder, "tqdm", "auto.py"), "w", encoding="ascii") as f:
                    f.write(STUB)
            settings = {k: v for k, v in sandbox.settings().items() if k != "options"}
            url = settings.pop("fhir_url")
            got = run([python, "-c", f"import bcda; c = bcda.Client({url!r}, **{settings!r})\n"
                       "c.export('Patient', progress=True).wait()"],
                      env={**os.environ, "PYTHONPATH": os.pathsep.join((SOURCE, folder))})
        self.assertEqual((got.returncode, got.stdout), (0, ""))
        self.assertRegex(got.stderr, r"bcda: +100%.*k?B/")
        self.assertNotIn("Error", got.stderr)

    def test_to_pandas(self):
        python = python_with("pandas")
        self.assertIsNotNone(python, "python3-pandas is needed (tests/install)")
        with Sandbox(patients=7, claims=5) as sandbox:
            got = run([python, os.path.join(PACKAGE, "examples", "to_pandas.py")],
                      env={**os.environ, **sandbox.env, "PYTHONPATH": SOURCE})
        self.assertEqual((got.returncode, got.stderr), (0, ""))
        self.assertIn("35 claims of 7 people\n", got.stdout)


class Decoding(unittest.TestCase):
    """Decoding of files that are already on disk."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name, data=None):
        path = os.path.join(self.folder, name)
        if data is not None:
            with open(path, "wb") as f:
                f.write(data)
        return path

    def test_decrypt_file(self):
        with Sandbox("--keep-plain", era="2019-04", patients=30, polls=0) as sandbox:
            with sandbox.client() as client:
                job = client.export("Patient", level="resource")
                want = [r.json for r in job]
                url = job.url
            name, key, stored = self.stored(sandbox, url)
            private = sandbox.env["BCDA_PRIVATE_KEY"]
            out = self.path("out.ndjson")
            got = bcda.decrypt_file(stored, out, wrapped_key=key, private_key=private, label=name)
            with open(out, "rb") as f:
                self.assertEqual(f.read().splitlines(), want)
            self.assertEqual((got.resources, got.bad_lines), (30, 0))
            self.assertEqual(os.stat(out).st_mode & 0o777, 0o600)
            with open(stored, "rb") as f:
                data = bytearray(f.read())
            data[len(data) // 2] ^= 1
            altered = self.path(name, data)
            with self.assertRaises(bcda.TamperedFile):
                bcda.decrypt_file(altered, self.path("no"), wrapped_key=key, private_key=private)
            with self.assertRaises(bcda.FileKeyError) as caught:
                bcda.decrypt_file(stored, self.path("no"), wrapped_key=key, private_key=private, label="other")
            self.assertEqual(caught.exception.name, "BCDA_ERR_KEY_LABEL")
            with self.assertRaises(bcda.FileKeyError):
                bcda.decrypt_file(stored, self.path("no"), wrapped_key="00", private_key=private)
            with self.assertRaises(OSError):
                bcda.decrypt_file("/nowhere", self.path("no"), wrapped_key=key, private_key=private)
            self.assertEqual(sorted(os.listdir(self.folder)), sorted([name, "out.ndjson"]))

    def stored(self, sandbox, url):
        import base64
        import ssl
        import urllib.request
        e = sandbox.env
        tls = ssl.create_default_context(cafile=e["BCDA_CA_FILE"])

        def ask(url, token, data=None):
            request = urllib.request.Request(url, data=data, headers={"Authorization": token,
                                                                      "Accept": "application/json"})
            with urllib.request.urlopen(request, context=tls) as answer:
                return json.load(answer)

        pair = f"{e['BCDA_CLIENT_ID']}:{sandbox.settings()['client_secret']}"
        token = ask(e["BCDA_TOKEN_URL"], "Basic " + base64.b64encode(pair.encode()).decode(), b"")["access_token"]
        manifest = ask(url, "Bearer " + token)
        (entry,) = manifest["output"]
        name = entry["url"].rsplit("/", 1)[1]
        (stored,) = glob.glob(os.path.join(sandbox.state, "**", name), recursive=True)
        return name, entry.get("encryptedKey") or manifest["KeyMap"][name], stored

    def test_read_file(self):
        import gzip
        lines = [b'{"resourceType":"Patient","id":"%d","name":[{"family":"N%d"}]}' % (i, i) for i in range(5000)]
        plain = self.path("a.ndjson", b"\n".join(lines) + b"\n")
        packed = self.path("a.ndjson.gz", gzip.compress(b"\n".join(lines) + b"\n"))
        for path, more in ((plain, {}), (packed, {"gzip": True})):
            stored = bcda.read_file(path, **more)
            for _ in range(2):  # each loop reads the file from its beginning
                self.assertEqual([r.json for batch in stored for r in batch], lines)
        (family,) = {v for batch in bcda.read_file(plain, fields=["name.family"])
                     for v in batch.field("name.family").texts() if v == "N4999"}
        self.assertEqual(family, "N4999")
        cut = self.path("cut.gz", gzip.compress(b"\n".join(lines) + b"\n")[:-10])
        found = []
        with self.assertRaises(bcda.CutFile) as caught:
            for batch in bcda.read_file(cut, gzip=True):
                found.append(batch)
        self.assertEqual(caught.exception.name, "BCDA_ERR_GZIP_CUT")

    def test_bad_lines_and_exceptions(self):
        data = b'{"resourceType":"Patient"}\nno\n{"resourceType":"Patient"}\n'
        told = []
        decoder = bcda.Decoder(on_bad_line=told.append, options={"bad_lines_max": 1}, name="x.ndjson")
        batches = decoder.write(memoryview(data)) + decoder.finish()
        self.assertEqual((sum(map(len, batches)), [t.number for t in told], told[0].bytes), (2, [2], b"no"))
        self.assertEqual((decoder.resources, decoder.bad_lines, decoder.bytes), (2, 1, len(data)))
        for again in (decoder.finish, lambda: decoder.write(data)):
            with self.assertRaisesRegex(bcda.StateError, "finished"):
                again()
        decoder.close()
        with self.assertRaises(bcda.StateError):
            decoder.write(b"")
        self.assertEqual(batches[0][0].json, b'{"resourceType":"Patient"}')
        error = ZeroDivisionError("mine")

        def raises(line):
            raise error

        with bcda.Decoder(on_bad_line=raises, options={"bad_lines_max": -1}) as decoder:
            with self.assertRaises(ZeroDivisionError) as caught:
                decoder.write(data)
                decoder.finish()
            self.assertIs(caught.exception, error)
        with bcda.Decoder() as decoder:
            with self.assertRaises(bcda.BadLine) as caught:
                decoder.write(data)
                decoder.finish()
            self.assertEqual(caught.exception.line, 2)
            self.assertEqual(sum(map(len, decoder.take())), 1)
        with self.assertRaises(bcda.ConfigError):
            bcda.Decoder(wrapped_key="00")
        with self.assertRaises(bcda.FileKeyError):
            bcda.Decoder(wrapped_key="00", label="x")

    def test_text_that_is_not_ascii(self):
        data = b"".join(b'{"resourceType":"Patient","id":"\xc3\xa9%d","x":["\\u00fc","\xf0\x9f\x98\x80"]}\n' % i
                        for i in range(3)) + b'{"resourceType":"Patient"}\n'
        with bcda.Decoder(fields=["x"]) as decoder:
            batches = decoder.write(data) + decoder.finish()
        (batch,) = batches
        self.assertEqual(batch.ids, ["é0", "é1", "é2", ""])
        self.assertEqual(batch[1].id, "é1")
        self.assertEqual(batch.field("x").lists(), [["ü", "😀"]] * 3 + [[]])
        self.assertEqual(batch.field("x").texts(), ["ü"] * 3 + [None])
        self.assertEqual([batch.field("x")[i] for i in range(4)], batch.field("x").lists())

    def test_an_empty_batch(self):
        with bcda.Decoder(options={"bad_lines_max": -1}) as decoder:
            self.assertEqual(decoder.write(b"bad\n") + decoder.finish(), [])
            self.assertEqual(decoder.bad_lines, 1)


if __name__ == "__main__":
    unittest.main()
