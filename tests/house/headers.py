#!/usr/bin/env python3
"""Checks the public headers: each compiles alone in every dialect, includes only <stddef.h>,
<stdint.h> and other public headers, and uses only types that keep the ABI stable for years."""
import os
import re
import shutil
import subprocess
import tempfile

from house import HEADERS, ROOT, code, declarations, files, finish, headers, problem, read

WORDS = {"int", "int32_t", "int64_t", "uint32_t", "uint64_t", "size_t", "char", "void", "const"}
STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-Wshadow", "-Wconversion", "-fsyntax-only"]


def dialects():
    for compiler in ("gcc", "clang"):
        if shutil.which(compiler):
            for std in ("c99", "c11", "c17"):
                yield [compiler, "-x", "c", f"-std={std}", "-Wstrict-prototypes"]
    plus = 0
    for compiler in ("g++", "clang++"):
        if shutil.which(compiler):
            plus += 1
            yield [compiler, "-x", "c++", "-std=c++11"]
    if not plus:
        problem(HEADERS, 0, "no C++ compiler: install g++ or clang")


def compile_alone(folder):
    tried = 0
    for compiler in dialects():
        for path in headers():
            name = os.path.basename(path).removesuffix(".in")
            source = f"#include <bcda/{name}>\nint house_check_(void);\n"
            done = subprocess.run([*compiler, *STRICT, "-I", folder, "-"], input=source, text=True,
                                  capture_output=True)
            tried += 1
            if done.returncode:
                problem(path, 0, f"{' '.join(compiler)}: {done.stderr.strip().splitlines()[0]}")
    if tried < 30:
        problem(HEADERS, 0, f"only {tried} compilations")


def compile_examples(folder):
    """The whole programs in README.md and doc/ must compile unchanged."""
    found = 0
    for path in [os.path.join(ROOT, "README.md"), *files("doc", ".md")]:
        for block in re.findall(r"^```c\n(.*?)^```", read(path), flags=re.M | re.S):
            if "int main(" not in block:
                continue
            found += 1
            done = subprocess.run([shutil.which("gcc") or "cc", "-std=c99", "-x", "c", "-Wall",
                                   "-Wextra", "-Werror", "-fsyntax-only", "-I", folder, "-"],
                                  input=block, text=True, capture_output=True)
            if done.returncode:
                problem(path, 0, f"its program: {done.stderr.strip().splitlines()[1]}")
    if not found:
        problem(os.path.join(ROOT, "README.md"), 0, "no program in it")


def type_is_fine(text):
    """True if the type of a parameter (with or without its name) or of a result is allowed."""
    words = re.findall(r"\w+", text)
    if "(" in text or "[" in text or "..." in text or not words:
        return False
    if words == ["void"]:
        return True
    own = [w for w in words if w.startswith("bcda_")]
    if own and own[0].endswith("_cb"):
        return "*" not in text
    if own and "*" not in text:
        return False  # an object passed by value
    base = [w for w in words if w in WORDS and w != "const"] or own[:1]
    rest = [w for w in words if w not in base and w != "const"]
    if not base or len(base) > 1 or len(rest) > 1:
        return False
    return base != ["void"] or "*" in text


def check_declaration(path, line, text):
    match = re.match(r"^typedef struct (bcda_\w+) (bcda_\w+)$", text)
    if match:
        if match.group(1) != match.group(2):
            problem(path, line, "the struct's tag has another name")
        return
    match = re.match(r"^typedef (.*?)\(\*(bcda_\w+_cb)\)\((.*)\)$", text) or \
        re.match(r"^BCDA_API (.*?)(\bbcda_\w+)\((.*)\)$", text)
    if not match:
        problem(path, line, f"neither an opaque struct, a callback nor a BCDA_API function: {text}")
        return
    if match.group(3).strip() == "":
        problem(path, line, f"{match.group(2)}: () is no prototype in C")
    for part in [match.group(1), *match.group(3).split(",")]:
        if not type_is_fine(part.strip()):
            problem(path, line, f"{match.group(2)}: \"{part.strip()}\" is no type for the ABI")


def check_text(path):
    text = read(path)
    for i, line in enumerate(code(text, keep_strings=True).split("\n"), 1):
        match = re.match(r"\s*#\s*include\s*(.*)", line)
        if match and not re.match(r"<(stddef\.h|stdint\.h|bcda/\w+\.h)>\s*$", match.group(1)):
            problem(path, i, f"includes {match.group(1).strip()}")
        if re.search(r"\b(enum|union|inline|static|extern(?! \"C\")|bool|long|short|unsigned|float|"
                     r"double|va_list|ssize_t|time_t|off_t)\b|\.\.\.", line):
            problem(path, i, f"not for a public header: {line.strip()}")
    if 'extern "C"' not in text and os.path.basename(path) != "bcda.h":
        problem(path, 0, 'no extern "C"')
    for line, declaration in declarations(text):
        check_declaration(path, line, declaration)


count = 0
with tempfile.TemporaryDirectory() as include:
    os.mkdir(os.path.join(include, "bcda"))
    for header in headers():
        count += 1
        check_text(header)
        body = read(header)
        if header.endswith(".in"):
            body = re.sub(r"@\w+@", "0", body)
        target = os.path.join(include, "bcda", os.path.basename(header).removesuffix(".in"))
        with open(target, "w", encoding="utf-8") as out:
            out.write(body)
    compile_alone(include)
    compile_examples(include)
if count < 10:
    problem(HEADERS, 0, f"only {count} headers found")
finish("headers")
