"""Functions that the checks in tests/house share: lists of files, C code without comments, and the
declarations of public functions."""
import os
import re
import sys

ROOT = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.path.abspath(
    os.path.join(os.path.dirname(__file__), "..", ".."))
HEADERS = os.path.join(ROOT, "include", "bcda")

problems = []


def problem(path, line, text):
    where = os.path.relpath(path, ROOT) + (f":{line}" if line else "")
    problems.append(f"{where}: {text}")


def finish(what):
    """Prints the problems and ends the check with its exit status."""
    for text in problems:
        print(text)
    print(f"{what}: " + (f"{len(problems)} problems" if problems else "ok"))
    sys.exit(1 if problems else 0)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def files(folder, *endings):
    for base, folders, names in os.walk(os.path.join(ROOT, folder)):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "build", "__pycache__")))
        for name in sorted(names):
            if name.endswith(endings):
                yield os.path.join(base, name)


TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code(text, keep_strings=False):
    """Returns C code with comments (and strings) replaced by blanks; line numbers stay the same."""
    def blank(match):
        t = match.group(0)
        if t[0] in "\"'":
            return t if keep_strings else t[0] + t[-1]
        return re.sub(r"[^\n]", " ", t)
    return TOKEN.sub(blank, text)


def headers():
    for name in sorted(os.listdir(HEADERS)):
        if name.endswith((".h", ".h.in")):
            yield os.path.join(HEADERS, name)


def declarations(text):
    """Yields (line, text) of each declaration in a header, without comments, directives and extern
    "C"."""
    text = code(text, keep_strings=True)
    text = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: re.sub(r"[^\n]", " ", m.group(0)), text,
                  flags=re.M)
    text = re.sub(r'extern "C" \{', lambda m: " " * len(m.group(0)), text)
    text = text.replace("}", " ")
    start = 0
    for end in (m.start() for m in re.finditer(";", text)):
        part = text[start:end]
        stripped = part.strip()
        if stripped:
            line = text.count("\n", 0, start + len(part) - len(part.lstrip())) + 1
            yield line, re.sub(r"\s+", " ", stripped)
        start = end + 1


FUNCTION = re.compile(r"^BCDA_API (.*?)(\bbcda_\w+)\((.*)\)$")


def functions():
    """Yields (header, line, return type, name, parameters) of each public function."""
    for path in headers():
        for line, text in declarations(read(path)):
            match = FUNCTION.match(text)
            if match:
                yield path, line, match.group(1).strip(), match.group(2), match.group(3).strip()
