#!/usr/bin/env python3
"""Tests the house checks, since a check that has never failed proves nothing: each check runs on
copies of the tree with a fault, and must find the fault. (Other tests run the checks on the tree
itself, where they must find nothing.)"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(HERE))


def add(path, text):
    def change(root):
        with open(os.path.join(root, path), "a", encoding="utf-8") as f:
            f.write(text)
    return change


def swap(path, old, new):
    def change(root):
        full = os.path.join(root, path)
        with open(full, encoding="utf-8") as f:
            text = f.read()
        assert old in text, (path, old)
        with open(full, "w", encoding="utf-8") as f:
            f.write(text.replace(old, new, 1))
    return change


EXPORT = "include/bcda/export.h"
NEW = "BCDA_API int bcda_export_new(bcda_export **out, int level);"
FAULTS = [
    ("layers.py", add("lib/base/buf.c", '#include "codec/json.h"\n'), "look up"),
    ("layers.py", add("lib/codec/json.c", "#include <zlib.h>\n"), "only lib/codec/inflate_zlib.c"),
    ("layers.py", add("lib/codec/inflate.c", "#include <isa-l/crc.h>\n"), "only lib/codec/inflate_isal.c"),
    ("layers.py", swap("lib/codec/inflate_zlib.c", "#include <zlib.h>", ""), "does not include zlib.h"),
    ("layers.py", add("lib/client/origin.h", "#include \"client/call.h\"\n"), "include each other"),
    ("layers.py", add("lib/client/config.c", "#include <sys/epoll.h>\n"), "belongs to"),
    ("layers.py", add("lib/codec/coding.c", "#include <zstd.h>\n"), "no known library"),
    ("curl.py", swap("lib/net/curl.c", "NUM >= 0x075700", "NUM >= 0x075600"), "since libcurl 7.87"),
    ("curl.py", add("lib/net/curl.c", "static const int more = CURLOPT_PIPEWAIT;\n"), "since when"),
    ("headers.py", swap(EXPORT, NEW, NEW.replace("int level", "long level")), "long"),
    ("headers.py", swap(EXPORT, NEW, NEW.replace("int level", "bcda_job job")), "no type"),
    ("headers.py", swap(EXPORT, NEW, NEW.replace("int level", "...")), "no type"),
    ("headers.py", swap(EXPORT, NEW, "struct bcda_pair { int a; int b; };" + NEW), "neither"),
    ("headers.py", swap(EXPORT, NEW, "enum bcda_level { BCDA_A };" + NEW), "enum"),
    ("headers.py", swap(EXPORT, "#include <bcda/types.h>", ""), "c99"),
    ("headers.py", swap(EXPORT, "#include <bcda/types.h>",
                        "#include <bcda/types.h>\n#include <stdio.h>"), "includes <stdio.h>"),
    ("headers.py", swap(EXPORT, NEW, NEW.replace("level)", "class)")), "c++11"),
    ("headers.py", swap("README.md", "bcda_job_result(job)", "bcda_job_outcome(job)"), "its program"),
    ("symbols.py", swap("lib/libbcda.map", "    bcda_free;\n", ""), "bcda_free is missing"),
    ("symbols.py", swap("lib/libbcda.map", "bcda_free;", "bcda_free; \n    bcda_old;"), "bcda_old"),
    ("symbols.py", swap(EXPORT, NEW, NEW + "\nBCDA_API int bcda_export_more(void);"), "missing"),
    ("statics.py", add("lib/base/buf.c", "static void fail_call(void)\n{\n}\n"), "fail_call()"),
    ("banned.py", add("lib/base/buf.c", "void x(char *a) { sprintf(a, \"\"); }\n"), "sprintf"),
    ("banned.py", add("lib/base/buf.c", "void x(void) { free(malloc(1)); }\n"), "malloc"),
    ("banned.py", add("lib/base/buf.c", "static void (*f)(void *) = free;\n"), "free"),
    ("banned.py", add("lib/base/buf.c", "void x(void) { puts(getenv(\"A\")); }\n"), "getenv"),
    ("banned.py", add("lib/base/buf.c", "void x(int a) { assert(a++); }\n"), "side effect"),
    ("banned.py", add("lib/base/buf.c", "int x(void) { return getpid(); }\n"), "getpid"),
    ("callbacks.py", swap("lib/client/request.c",
                          "        bcda__context_leave_callback(cx);\n    }", "    }"), "no leave behind it"),
    ("callbacks.py", swap("lib/client/session.c", "    enter_loop_callback(s);\n", ""), "no enter before it"),
    ("format.sh", add("lib/base/buf.c", "void   x( void );\n"), "clang-format"),
    ("docs.py", swap("include/bcda/job.h", "bcda_job_start(). From callbacks:\n * queued. Thread: owner.",
                     "bcda_job_start()."), "bcda_job_attach: nothing says"),
    ("docs.py", swap("include/bcda/session.h", "Returns 0, BCDA_ERR_INVALID (no such statistic), or BCDA_ERR_FORKED.", ""),
     "bcda_session_stat: nothing says which codes"),
    ("docs.py", swap(EXPORT, NEW, "\n" + NEW), "no comment"),
    ("docs.py", swap("include/bcda/session.h", "This is the only function that may be called",
                     "From callbacks: no."), "bcda_session_wakeup"),
    ("docs.py", swap("lib/client/entry.c", "{\"bcda_job_cancel\", /*   */ YES", "{\"bcda_job_cancel\", /*   */ NO"),
     "bcda_job_cancel"),
    ("docs.py", swap(EXPORT, "bcda-api 2", "bcda-api 99.1"), "99.1"),
    ("docs.py", swap("doc/guide/errors.md", "| `BCDA_ERR_TAG` | -305 |", "| `BCDA_ERR_TAG` | 1 |"),
     "BCDA_ERR_TAG"),
    ("options.py", swap("include/bcda/config.h", "Default 5; 1 to 64.", "Default 5; 1 to 32."),
     "BCDA_OPT_PARALLEL"),
    ("options.py", swap("include/bcda/config.h", "/* Maximum number of files in a manifest. Default 200,000; 1 to 10,000,000. */\n", ""),
     "BCDA_OPT_MANIFEST_ENTRIES_MAX has no comment"),
    ("bindings.py", swap(EXPORT, NEW, NEW.replace("int level", "int64_t level")), "bcda.cdef"),
    ("bindings.py", swap(EXPORT, "LEVEL_SYSTEM   4", "LEVEL_SYSTEM   5"), "abi.rb"),
    ("bindings.py", add("bindings/python/src/bcda/_abi.py", "MORE = 1\n"), "_abi.py"),
    ("messages.py", swap("lib/client/session.c", "no FHIR URL is set",
                         "no FHIR URL: bcda_config_set_fhir_url()"), "the C function bcda_config_set_fhir_url"),
    ("messages.py", swap("lib/client/call.c", "option \\\"answer_max\\\"", "BCDA_OPT_ANSWER_MAX"),
     "the C constant BCDA_OPT_ANSWER_MAX"),
    ("messages.py", swap("lib/client/call.c", "option \\\"answer_max\\\"", "option \\\"answers_max\\\""),
     "that there is not"),
    ("messages.py", swap("lib/client/api.c", "the system refused to wait for descriptors",
                         "poll() was refused"), "names a C function"),
    ("messages.py", swap("lib/client/start.c", "an identical export is already running, ",
                         "a like job is running, "), "an identical export"),
    ("messages.py", add("tools/common/report.c", "const char *more = \"see bcda_job_next() for more\";\n"),
     "tools/common/report.c"),
    ("messages.py", add("bindings/python/src/bcda/errors.py", "MORE = \"call bcda_job_next() again\"\n"),
     "bindings/python"),
    ("messages.py", add("bindings/ruby/lib/bcda/errors.rb", "MORE = \"of BCDA_OPT_PARALLEL files\"\n"),
     "bindings/ruby"),
    ("paths.py", add("README.md", "see /wo" + "rk/main\n"), "machine"),
    ("paths.py", add("README.md", "from pypi" + ".org\n"), "registry"),
]


# Libraries for symbols.py: code to add to the library, its soname, and the text that symbols.py
# must print.
TOYS = [
    ("", "libbcda.so.0", "symbols: ok"),
    ("", "libbcda.so.0.1", "its soname"),
    ("void bcda_extra(void); void bcda_extra(void) {}", "libbcda.so.0", "exported, not declared"),
    ("int bcda_data = 1;", "libbcda.so.0", "functions only"),
    ("#include <stdlib.h>\nvoid bcda_extra(void); void bcda_extra(void) { exit(1); }",
     "libbcda.so.0", "needs exit"),
    (None, "libbcda.so.0", "declared, not exported"),
]


def toy(root, number, extra, soname):
    """Builds a library of empty functions; it lacks the first function if `extra` is None."""
    with open(os.path.join(root, "lib", "libbcda.map"), encoding="utf-8") as f:
        names = re.findall(r"^\s*(bcda_\w+);", f.read(), flags=re.M)
    source = os.path.join(root, f"toy{number}.c")
    library = os.path.join(root, f"toy{number}.so")
    with open(source, "w", encoding="utf-8") as f:
        f.writelines(f"void {name}(void);\nvoid {name}(void) {{}}\n"
                     for name in names[extra is None:])
        f.write((extra or "") + "\n")
    subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", library, source],
                   check=True)
    return library


# Lists for mutants.py, run on a tree of two functions: the entries, the exit status, and the text
# that mutants.py must print.
def entry(name, replacement, line="return n * 2;", more="", test="test_toy"):
    return f"[{name}]\nfile: lib/toy.c\n{more}line: {line}\nwith: {replacement}\ntest: {test}\n"


MUTANTS = [
    (entry("other", "return n * 3;") + entry("one", "(void)n;", "n++;", "in: thrice\n"), 0,
     ["killed   other", "killed   one", "2 passed, 0 failed"]),
    (entry("same", "return 2 * n;") + entry("wrong", "return n *;") +
     entry("endless", "for (;;) continue;") + entry("slow", "for (;;) continue;", more="flags: hang\n"), 1,
     ["SURVIVED same", "wrong: does not compile", "endless: test_toy hangs, and the list",
      "killed   slow", "1 passed, 3 failed"]),
    (entry("broken", "return n * 3;", test="test_broken"), 1, ["test_broken: fails without a fault"]),
    (entry("gone", "return n * 3;", "return n + n;") + entry("both", "(void)n;", "n++;") +
     entry("same", "return n * 2;") + entry("other", "return n * 3;"), 1,
     ["gone: stale", "its line 2 times", "same: changes nothing", "1 passed, 3 failed"]),
    (entry("whith", "return n * 3;").replace("with:", "whith:"), 1, ["not understood"]),
    (entry("case", "return n * 3;", test="test_toy other"), 1, ['case: test_toy has no test case "other"']),
]
TOY_TREE = {
    "meson.build": "project('toy', 'c')\nsubdir('tests')\n",
    "meson_options.txt": "option('tests', type: 'feature')\noption('examples', type: 'feature')\n"
                         "option('variants', type: 'boolean')\n",
    "lib/toy.c": "int twice(int n);\nint thrice(int n);\n"
                 "int twice(int n)\n{\n    n++;\n    n--;\n    return n * 2;\n}\n"
                 "int thrice(int n)\n{\n    n++;\n    return twice(n) + n - 3;\n}\n",
    "tests/meson.build": "executable('test_toy', 'test_toy.c', '../lib/toy.c')\n"
                         "executable('test_broken', 'test_broken.c')\n",
    "tests/test_toy.c": "#include <stdio.h>\nint twice(int n);\nint thrice(int n);\nint main(void)\n{\n"
                        "    int good = twice(2) == 4 && thrice(2) == 6;\n"
                        "    printf(\"%sok 1 - toy\\n1..1\\n\", good ? \"\" : \"not \");\n"
                        "    return !good;\n}\n",
    "tests/test_broken.c": "int main(void)\n{\n    return 1;\n}\n",
}


def mutate(folder, entries):
    """Runs mutants.py on the toy tree with these entries; returns its output and exit status."""
    for name, text in {**TOY_TREE, "list": entries}.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    done = subprocess.run([sys.executable, os.path.join(HERE, "mutants.py"), "--root", folder, "--entries",
                           os.path.join(folder, "list"), "--seconds", "3"], text=True, capture_output=True)
    return done.returncode, done.stdout + done.stderr


def copy(to):
    for name in ("include", "lib", "examples", "tools", "bindings", "doc", "tests", "README.md", "meson.build",
                 ".clang-format"):
        source = os.path.join(ROOT, name)
        if os.path.isdir(source):
            shutil.copytree(source, os.path.join(to, name),
                            ignore=shutil.ignore_patterns("__pycache__", "data", "corpus*"))
        elif os.path.exists(source):
            shutil.copy(source, to)


def run(check, root, *more):
    command = ["sh" if check.endswith(".sh") else sys.executable, os.path.join(HERE, check), root,
               *more]
    done = subprocess.run(command, text=True, capture_output=True,
                          env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    return done.returncode, done.stdout + done.stderr


def main():
    results = []

    def tell(good, what, output):
        results.append(good)
        print(f"{'ok' if good else 'not ok'} {len(results)} - {what}")
        if not good:
            print("\n".join("# " + line for line in output.splitlines()[-20:]))

    print(f"1..{len(FAULTS) + len(TOYS) + sum(len(words) for _, _, words in MUTANTS)}")
    with tempfile.TemporaryDirectory() as folder:
        clean = os.path.join(folder, "clean")
        os.mkdir(clean)
        copy(clean)
        for number, (check, change, words) in enumerate(FAULTS):
            root = os.path.join(folder, str(number))
            shutil.copytree(clean, root)
            change(root)
            status, output = run(check, root)
            tell(status == 1 and words in output, f"{check} finds: {words}", output)
            shutil.rmtree(root)
        os.mkdir(os.path.join(clean, "bcda"))
        with open(os.path.join(clean, "include", "bcda", "version.h.in"), encoding="utf-8") as f:
            version = re.sub(r"@\w+@", "0", f.read())
        with open(os.path.join(clean, "bcda", "version.h"), "w", encoding="utf-8") as f:
            f.write(version)
        for number, (extra, soname, words) in enumerate(TOYS):
            library = toy(clean, number, extra, soname)
            status, output = run("symbols.py", clean, library, clean, "cc", "release")
            tell(words in output, f"symbols.py on a library finds: {words}", output)
        for number, (entries, wanted, all_words) in enumerate(MUTANTS):
            status, output = mutate(os.path.join(folder, f"mutants{number}"), entries)
            for words in all_words:
                tell(words in output and status == wanted, f"mutants.py finds: {words}", output)
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
