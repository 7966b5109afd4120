"""Checks arguments and converts them for C. Errors name the keyword of the argument."""

from __future__ import annotations

import ctypes
import difflib
import inspect
import os
import re
from typing import Any, Callable, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from . import _abi, errors

Path = Union[str, "os.PathLike[str]"]
Pairs = Union[Mapping[str, str], Iterable[Tuple[str, str]]]

#: The beginning of the text in a PEM file.
PEM = "-----BEGIN"
#: What is not a path, but a secret: PEM text, JSON, a JWT, or a key in base64. An error text would quote it as a path.
NO_PATH = re.compile(r"-----BEGIN|\A\s*(\{|eyJ[\w-]*\.|M[\w+/=]{100,}\s*\Z)")
#: How much of a value an error text quotes.
QUOTE_MAX = 80


# ---- errors


def quoted(value: object) -> str:
    """The value as an error text quotes it: shortened, and a URL without its user information."""
    if isinstance(value, str):
        value = re.sub(r"^([A-Za-z][\w+.-]*://)?.*@", r"\1...@", value, flags=re.S)
    text = repr(value)
    return text if len(text) <= QUOTE_MAX else text[:QUOTE_MAX - 4] + "..." + text[-1]


def refused(keyword: str, value: object, expected: str, code: int = _abi.ERR_INVALID) -> errors.Error:
    """The error for a value that is not `expected`."""
    return errors.from_code(code, f"{keyword}: {quoted(value)} is not {expected}")


def mistyped(keyword: str, value: object, expected: str) -> TypeError:
    """The error for a value of a wrong type; the value itself is not shown."""
    return TypeError(f"{keyword} must be {expected}, not {type(value).__name__}")


def named(error: errors.Error, keyword: str, value: object = None) -> errors.Error:
    """The library's error, reworded: its text names the keyword, and quotes the value if it is not a secret."""
    words = error.text if error.text.startswith(keyword) else f"{keyword}: {error.text}"
    return errors.reworded(error, words if value is None else f"{words}; given {quoted(value)}")


def similar(name: str, names: Iterable[str]) -> str:
    """Suggests the known names that are similar to an unknown one; lists all if none is similar."""
    known = sorted(names)
    close = difflib.get_close_matches(name, known, 1, 0.7)
    return f"did you mean {close[0]!r}?" if close else "there are " + ", ".join(known)


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


# ---- values for C


def argument(value: str, keyword: str) -> bytes:
    """Converts a string for C. A string with a NUL is refused, because NUL ends a string in C."""
    if not isinstance(value, str):
        raise mistyped(keyword, value, "a str")
    if "\0" in value:
        raise errors.from_code(_abi.ERR_INVALID, f"{keyword} has a NUL character in it")
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError:
        raise errors.from_code(_abi.ERR_INVALID, f"{keyword} cannot be written in UTF-8") from None


def optional(value: Optional[str], keyword: str) -> Optional[bytes]:
    return None if value is None else argument(value, keyword)


def path(value: Any, keyword: str) -> bytes:
    if not isinstance(value, (str, os.PathLike)):
        raise mistyped(keyword, value, "a path")
    if NO_PATH.search(os.fsdecode(value)):
        raise errors.from_code(_abi.ERR_INVALID, f"{keyword} is the path of a file, not the text in it")
    made = os.fsencode(value)
    if b"\0" in made:
        raise errors.from_code(_abi.ERR_INVALID, f"{keyword} has a NUL character in it")
    return made


# ---- sequences and mappings


def texts(values: Iterable[Any], keyword: str) -> List[Any]:
    """Checks a sequence of strings. A single string is refused, because it would be read as a sequence of
characters."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise mistyped(keyword, values, "a sequence of str")
    return list(values)


def pairs(values: Pairs, keyword: str) -> List[Tuple[str, str]]:
    """Checks pairs of strings, which are given as a mapping or an iterable."""
    items: List[Any] = list(values.items()) if isinstance(values, Mapping) else texts(values, keyword)
    for item in items:
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise TypeError(f"{keyword} must be a mapping of str, or pairs of str")
    return [(item[0], item[1]) for item in items]


def mapping(value: Optional[Mapping[str, Any]], keyword: str) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise mistyped(keyword, value, "a mapping")
    return value or {}


def handler(value: Any, keyword: str, awaits: bool = False) -> None:
    """Checks that a callback is callable."""
    if value is not None and not callable(value):
        raise mistyped(keyword, value, "callable")
    if inspect.iscoroutinefunction(value) and not awaits:
        raise TypeError(f"{keyword} must be a plain function: a coroutine is not awaited")


def seconds(value: Optional[float], keyword: str) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise mistyped(keyword, value, "a number of seconds")


def add_fields(paths: Sequence[str], add: Callable[[bytes, Any], int],
               error: Callable[[int], errors.Error]) -> None:
    """Adds the paths of the keyword ``fields``: `add` passes one to the library; `error` returns the reason
if the library refuses it."""
    index = ctypes.c_int()
    for i, name in enumerate(paths):
        if name in paths[:i]:
            raise errors.from_code(_abi.ERR_INVALID, f"fields: {name!r} is given twice")
        code = add(argument(name, "fields"), ctypes.byref(index))
        if code:
            raise named(error(code), "fields", name)
