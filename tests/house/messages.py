#!/usr/bin/env python3
"""messages.py [ROOT] [--list]

Checks every text that can reach a user of the command line, Python or Ruby: the string literals of
the library, of the command-line clients and of the bindings. No text names a C function or constant, because
those users do not have them (an option has its name for bcda_option_by_name(), such as option
"parallel"), and none has a word that the project's messages avoid. --list prints the texts."""
import ast
import os
import re
import sys

LIST = "--list" in sys.argv
if LIST:
    sys.argv.remove("--list")

from house import ROOT, files, finish, problem, read  # noqa: E402 (it reads the arguments)

# Words to avoid, each with its replacement.
AVOIDED = {
    r"\blike (job|export)\b": "an identical export",
    r"\bbad lines?\b": "invalid line",
    r"\b(go|goes|going|gone) on with\b": "resume",
    r"\b(begin|begins|begun) afresh\b": "restart from offset 0",
    r"\b(the|a|of the) hosts?'s?\b": "the application's",
    r"\b(borne|condemned|lent|floor|news)\b": "tolerated, discarded, borrowed, layer, report",
    r"\bdoor\b": "entry point",
    r"\b(told|tell|tells) (you|the)\b": "report",
    r"\bdoubles\b": "duplicates",
}
# bcda_error_name() returns this name for the code of a later version.
NAMES = {"BCDA_ERR_UNKNOWN"}
# A line of bcda-export's state file, whose format must not change.
FORMS = {"# bcda-export: % bad lines, % issues, % refused"}
# Statements of the loaders, which no user sees.
SQL = re.compile(r" *(ALTER|BEGIN|COPY|CREATE|DELETE|INSERT|SELECT|TRUNCATE|UPDATE|WITH) ")
CALL = re.compile(r"\w\(\)")
OPTION = re.compile(r'\boptions? "(\w+)"')

cdef = read(os.path.join(ROOT, "bindings", "bcda.cdef"))
CONSTANTS = set(re.findall(r"^#define (BCDA_\w+)", cdef, flags=re.M)) | {
    "BCDA_OK", "BCDA_VERSION_STRING"}
OPTIONS = set(re.findall(r'\{BCDA_OPT_\w+, "(\w+)"',
                         read(os.path.join(ROOT, "lib", "client", "options.c"))))
FUNCTIONS = set(re.findall(r"\b(bcda_\w+)\(", cdef))

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
# White space and macros of <inttypes.h>, which may be between two string literals of one text.
GLUE = re.compile(r"\s*(?:PRI\w+\s*)?")
# A directive such as #include, but not #define, which may contain a text.
DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(?!define)(?:\\\n|[^\n])*", re.M)


def unescape(text):
    return re.sub(r"\\(.)", lambda m: {"n": " ", "t": " ", "r": " "}.get(m.group(1), m.group(1)),
                  text)


def c_texts(path):
    """Yields (line, text) of each text; adjacent literals are joined."""
    text = DIRECTIVE.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), read(path))
    text = text.replace("\\\n", " \n")
    start = end = None
    parts = []
    for match in TOKEN.finditer(text):
        if match.group(0)[0] != '"':
            continue
        if end is not None and GLUE.fullmatch(text, end, match.start()):
            parts.append(match.group(0)[1:-1])
        else:
            if parts:
                yield text.count("\n", 0, start) + 1, unescape("".join(parts))
            parts, start = [match.group(0)[1:-1]], match.start()
        end = match.end()
    if parts:
        yield text.count("\n", 0, start) + 1, unescape("".join(parts))


def python_texts(path):
    tree = ast.parse(read(path))
    documents = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            documents.add(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documents:
            yield node.lineno, node.value


RUBY = re.compile(r'#(?!\{)[^\n]*|"((?:\\.|[^"\\])*)"|\'((?:\\.|[^\'\\])*)\'')


def ruby_texts(path):
    text = read(path)
    for match in RUBY.finditer(text):
        said = match.group(1) if match.group(1) is not None else match.group(2)
        if said is not None:
            said = re.sub(r"#\{[^}]*\}", "#", said)
            yield text.count("\n", 0, match.start()) + 1, unescape(said)


def check(path, line, text, is_c):
    """Checks one text. A text without a space is not a message but, for example, a name in a
    table."""
    if " " not in text.strip() or not re.search(r"[a-z]{2}", text) or text in FORMS \
            or SQL.match(text):
        return 0
    if LIST:
        print(f"{os.path.relpath(path, ROOT)}:{line}: {' '.join(text.split())}")
    for name in re.findall(r"\bbcda_\w+", text):
        if name in FUNCTIONS:
            problem(path, line, f"names the C function {name}: {text}")
    for name in re.findall(r"\bBCDA_\w+", text):
        if name in CONSTANTS and name not in NAMES:
            problem(path, line, f"names the C constant {name}: {text}")
    for name in OPTION.findall(text):
        if name not in OPTIONS:
            problem(path, line, f"names an option \"{name}\" that there is not: {text}")
    if is_c and CALL.search(text):
        problem(path, line, f"names a C function: {text}")
    for pattern, better in AVOIDED.items():
        match = re.search(pattern, text, flags=re.I)
        if match:
            problem(path, line, f"says \"{match.group(0)}\" (better: {better}): {text}")
    return 1


count = {}
for what, folder, endings, texts in (
        ("library", "lib", (".c", ".h"), c_texts),
        ("bcda-export", os.path.join("tools", "export"), (".c", ".h"), c_texts),
        ("tools/common", os.path.join("tools", "common"), (".c", ".h"), c_texts),
        ("loaders", os.path.join("tools", "load"), (".c", ".h"), c_texts),
        ("Python", os.path.join("bindings", "python", "src"), (".py",), python_texts),
        ("Ruby", os.path.join("bindings", "ruby", "lib"), (".rb",), ruby_texts)):
    for path in files(folder, *endings):
        for line, text in texts(path):
            count[what] = count.get(what, 0) + check(path, line, text, texts is c_texts)
if len(OPTIONS) < 20 or len(FUNCTIONS) < 100 or len(CONSTANTS) < 100:
    problem(ROOT, 0, "hardly any names of options, functions or constants were found")
for what, least in (("library", 150), ("bcda-export", 30), ("tools/common", 15), ("loaders", 40),
                    ("Python", 10), ("Ruby", 10)):
    if count.get(what, 0) < least:
        problem(ROOT, 0, f"only {count.get(what, 0)} texts of {what} were found")
finish("messages")
