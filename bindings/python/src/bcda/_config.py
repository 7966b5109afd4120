"""The configuration of a client or a decoder: a ``bcda_config``."""

from __future__ import annotations

import ctypes
import logging
import os
from typing import Any, Iterable, Mapping, Optional, Sequence, Tuple, Union

from . import _abi, errors
from ._arguments import (PEM, Path, argument, mapping, mistyped, named, optional, path, quoted, refused,
                         similar)
from ._core import enter_callback, leave_callback
from ._native import callback, lib, text

#: The path of a PEM file, or the content of one (str or bytes), or a sequence of these.
PrivateKey = Union[Path, bytes, Sequence[Union[Path, bytes]]]
OptionValue = Union[int, bool, str]

#: The options whose values are names in Python and numbers in C.
CHOICES = {
    "delivery": {"streaming": _abi.DELIVERY_STREAMING, "verified": _abi.DELIVERY_VERIFIED},
    "duplicate_job": {"wait": _abi.DUPLICATE_WAIT, "refuse": _abi.DUPLICATE_REFUSE,
                      "take_over": _abi.DUPLICATE_TAKE_OVER},
    "confirm_lines": {"none": _abi.CONFIRM_NONE, "verified": _abi.CONFIRM_VERIFIED,
                      "staged": _abi.CONFIRM_STAGED},
}
OPTIONS = [name[len("OPT_"):].lower() for name in vars(_abi) if name.startswith("OPT_")]

# ---- log lines

_log = logging.getLogger("bcda")
_log.addHandler(logging.NullHandler())
_LEVELS = {
    _abi.LOG_ERROR: logging.ERROR,
    _abi.LOG_WARNING: logging.WARNING,
    _abi.LOG_INFO: logging.INFO,
    _abi.LOG_DEBUG: logging.DEBUG,
}


def _on_log(level: int, component: Optional[bytes], message: Optional[bytes], _: int) -> None:
    enter_callback()  # in a callback the library must not be called, so finalizers only queue their objects
    try:
        logging.getLogger("bcda." + text(component)).log(
            _LEVELS.get(level, logging.DEBUG), "%s", text(message))
    except Exception:
        pass  # logging.raiseExceptions decides whether logging itself reports the exception
    finally:
        leave_callback()


_ON_LOG = callback("bcda_log_cb", _on_log)


def log_level(wanted: Union[int, str, None]) -> int:
    """Converts a level of `logging` to a level of the library. 0 means that nothing is logged."""
    level = _log.getEffectiveLevel() if wanted is None else wanted
    if isinstance(level, str):
        by_name = {logging.getLevelName(theirs): theirs for theirs in (*_LEVELS.values(), logging.CRITICAL)}
        if level.upper() not in by_name:
            raise refused("log_level", level, "one of " + ", ".join(by_name))
        level = by_name[level.upper()]
    if not isinstance(level, int):
        raise mistyped("log_level", level, "a level of logging")
    return max((ours for ours, theirs in _LEVELS.items() if theirs >= level), default=0)


class Config:
    """Owns a ``bcda_config`` until a client or a decoder is created from it."""

    def __init__(self) -> None:
        made = ctypes.c_void_p()
        code = lib.bcda_config_new(ctypes.byref(made))
        if code:
            raise errors.from_code(code)
        self.pointer: int = made.value or 0

    def __enter__(self) -> "Config":
        return self

    def __exit__(self, *_: object) -> None:
        lib.bcda_config_free(self.pointer)

    def error(self, code: int) -> errors.Error:
        """The error of the last call that failed."""
        pointer = lib.bcda_config_error(self.pointer)
        if pointer and lib.bcda_error_code(pointer) == code:
            return errors.from_pointer(pointer)
        return errors.from_code(code)

    def check(self, code: int) -> None:
        if code:
            raise self.error(code)

    def set(self, keyword: str, setter: str, *values: Any, shows: Optional[str] = None) -> None:
        """Calls a setter for a keyword. `shows` is the value that an error text quotes; None for a secret."""
        code = getattr(lib, "bcda_config_" + setter)(self.pointer, *values)
        if code:
            raise named(self.error(code), keyword, shows)

    def text(self, keyword: str, setter: str, value: str) -> None:
        self.set(keyword, setter, argument(value, keyword), shows=value)

    def private_keys(self, keys: Union[PrivateKey, Mapping[str, Any], None], passphrase: Optional[str]) -> None:
        secret = optional(passphrase, "private_key_passphrase")
        if keys is None:
            if secret is not None:
                raise errors.from_code(_abi.ERR_CONFIG, "private_key_passphrase is given without private_key")
            return
        if isinstance(keys, (str, bytes, os.PathLike)):
            keys = [keys]
        if not isinstance(keys, Iterable) or isinstance(keys, Mapping):
            raise mistyped("private_key", keys, "a path, PEM text, or a sequence of them")
        for key in keys:
            if isinstance(key, str) and PEM in key:
                key = argument(key, "private_key")
            if isinstance(key, bytes):
                self.set("private_key", "add_private_key_pem", key, len(key), secret)
            else:
                self.set("private_key", "add_private_key_file", path(key, "private_key"), secret)

    def options(self, options: Optional[Mapping[str, OptionValue]]) -> None:
        for name, value in mapping(options, "options").items():
            number = lib.bcda_option_by_name(argument(name, "the name of an option"))
            if number < 0:
                raise errors.from_code(_abi.ERR_OPTION_UNKNOWN,
                                       f"there is no option {quoted(name)}; {similar(name, OPTIONS)}")
            self._option(number, name, value)

    def _option(self, number: int, name: str, value: OptionValue) -> None:
        what = f'option "{name}"'
        choices = CHOICES.get(name)
        if choices is not None:
            if value not in (*choices, *choices.values()):
                raise refused(what, value, "one of " + ", ".join(choices), _abi.ERR_OPTION_RANGE)
            value = choices.get(str(value), value)
        is_text = lib.bcda_config_get_int(self.pointer, number, ctypes.byref(ctypes.c_int64()))
        expected = "a str" if is_text else "an int"
        if not isinstance(value, (int, str)):
            raise mistyped(what, value, expected)
        if isinstance(value, str) != bool(is_text):
            raise refused(what, value, expected, _abi.ERR_OPTION_TYPE)
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise refused(what, value, "within 64 bits", _abi.ERR_OPTION_RANGE)
        code = lib.bcda_config_set_str(self.pointer, number, argument(value, what)) \
            if isinstance(value, str) else lib.bcda_config_set_int(self.pointer, number, int(value))
        if code:
            error = self.error(code)
            raise errors.reworded(error, f"{error.text}; given {quoted(value)}")

    def log(self, wanted: Union[int, str, None]) -> None:
        level = log_level(wanted)
        if level:
            self.set("log_level", "set_log", level, _ON_LOG, None, None)


def both(value: Union[Path, Tuple[Path, Path]], keyword: str) -> Tuple[bytes, bytes]:
    """Splits the value of ``client_certificate`` into the file of the certificate and that of its key."""
    if isinstance(value, tuple):
        if len(value) != 2:
            raise mistyped(keyword, value, "a path, or a path and that of its key")
        return path(value[0], keyword), path(value[1], keyword)
    return path(value, keyword), path(value, keyword)
