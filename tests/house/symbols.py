#!/usr/bin/env python3
"""symbols.py ROOT LIBRARY [BUILD_INCLUDE CC [release]]

Checks that lib/libbcda.map lists exactly the functions that the headers declare; that the library
exports exactly those and has the right soname; with "release", that the library imports no function
that ends the process or prints; and that a program that names every function links.
"""
import os
import re
import subprocess
import sys
import tempfile

from house import HEADERS, ROOT, finish, functions, problem, read

NEVER = {"exit", "_exit", "_Exit", "abort", "quick_exit", "printf", "puts", "putchar", "fprintf",
         "vprintf", "vfprintf", "__printf_chk", "__fprintf_chk", "__vfprintf_chk", "perror",
         "stdout", "stderr", "fputs", "fwrite", "setlocale", "signal", "sigaction", "sleep",
         "usleep", "nanosleep", "chdir", "umask", "setenv", "putenv", "unsetenv", "getenv",
         "secure_getenv", "system", "popen", "fork", "__assert_fail", "atexit",
         "curl_global_init_mem", "curl_global_sslset", "gcry_md_hash_buffer",
         "gcry_malloc_secure", "yajl_tree_parse"}
SONAME = "libbcda.so.0"

MAP = os.path.join(ROOT, "lib", "libbcda.map")
declared = {name for _, _, _, name, _ in functions()}


def check_map():
    text = re.sub(r"/\*.*?\*/", "", read(MAP), flags=re.S)
    listed = re.findall(r"^\s*(\w[\w*]*);", text, flags=re.M)
    if len(listed) != len(set(listed)):
        problem(MAP, 0, "a symbol stands there twice")
    for name in sorted(set(listed) - declared):
        problem(MAP, 0, f"{name} is declared in no header")
    for name in sorted(declared - set(listed)):
        problem(MAP, 0, f"{name} is missing")
    if not re.search(r"local:\s*\*;", text):
        problem(MAP, 0, "no local: *")


def run(*command):
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout


def check_library(library, release):
    exported = set()
    for line in run("nm", "-D", "--defined-only", "--format=posix", library).splitlines():
        name, kind = line.split()[:2]
        name = name.split("@")[0]
        if kind == "A":  # the symbol of the version node
            continue
        exported.add(name)
        if kind != "T":
            problem(library, 0, f"{name} is exported as {kind}: functions only")
    for name in sorted(exported ^ declared):
        problem(library, 0, f"{name}: " + ("exported, not declared" if name in exported else
                                           "declared, not exported"))
    sonames = re.findall(r"\(SONAME\).*\[(.*)\]", run("readelf", "-dW", library))
    if sonames != [SONAME]:
        problem(library, 0, f"its soname is {sonames}, not {SONAME}")
    if release:
        for line in run("nm", "-D", "--undefined-only", "--format=posix", library).splitlines():
            if line.split()[0].split("@")[0] in NEVER:
                problem(library, 0, f"needs {line.split()[0]}")


def check_link(library, include, compiler):
    body = ["#include <bcda/bcda.h>", "typedef void (*any)(void);", "any all[] = {"]
    body += [f"    (any){name}," for name in sorted(declared)]
    body += ["};", "int main(void)", "{", "    return !all[0];", "}"]
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "all.c")
        with open(source, "w", encoding="utf-8") as out:
            out.write("\n".join(body) + "\n")
        done = subprocess.run([compiler, "-Werror", "-I", os.path.dirname(HEADERS), "-I", include,
                               "-o", os.path.join(folder, "all"), source, library],
                              text=True, capture_output=True)
        if done.returncode:
            problem(library, 0, "a program that names every function does not link: " +
                    done.stderr.strip()[-400:])


if len(declared) < 100:
    problem(HEADERS, 0, f"only {len(declared)} functions found")
check_map()
if len(sys.argv) > 2:
    check_library(sys.argv[2], "release" in sys.argv[5:])
if len(sys.argv) > 4:
    check_link(sys.argv[2], sys.argv[3], sys.argv[4])
finish("symbols")
