"""What a client or a decoder is told: a ``bcda_config``, filled."""

from __future__ import annotations

import ctypes
import logging
import os
from typing import Any, Mapping, Optional, Sequence, Tuple, Union

from . import _abi, errors
from ._core import enter_callback, leave_callback
from ._native import argument, callback, lib, optional, text

Path = Union[str, "os.PathLike[str]"]
#: A path of a PEM file, its bytes, or several of either.
PrivateKey = Union[Path, bytes, Sequence[Union[Path, bytes]]]
OptionValue = Union[int, bool, str]

_NAMED = {
    ("delivery", "streaming"): _abi.DELIVERY_STREAMING,
    ("delivery", "verified"): _abi.DELIVERY_VERIFIED,
    ("duplicate_job", "wait"): _abi.DUPLICATE_WAIT,
    ("duplicate_job", "refuse"): _abi.DUPLICATE_REFUSE,
    ("duplicate_job", "take_over"): _abi.DUPLICATE_TAKE_OVER,
}

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
    enter_callback()  # the library may not be called in here: finalizers only mark
    try:
        logging.getLogger("bcda." + text(component)).log(
            _LEVELS.get(level, logging.DEBUG), "%s", text(message))
    except Exception:
        pass  # logging has its own way to tell (logging.raiseExceptions)
    finally:
        leave_callback()


_ON_LOG = callback("bcda_log_cb", _on_log)


def log_level(wanted: Optional[int]) -> int:
    """The library's level for one of logging's; 0: none."""
    level = _log.getEffectiveLevel() if wanted is None else wanted
    return max((ours for ours, theirs in _LEVELS.items() if theirs >= level), default=0)


class Config:
    """A ``bcda_config``, for as long as it takes to make something of it."""

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

    def check(self, code: int) -> None:
        if code:
            pointer = lib.bcda_config_error(self.pointer)
            if pointer and lib.bcda_error_code(pointer) == code:
                raise errors.from_pointer(pointer)
            raise errors.from_code(code)

    def set(self, name: str, *values: Any) -> None:
        self.check(getattr(lib, "bcda_config_" + name)(self.pointer, *values))

    def strings(self, name: str, *values: Optional[str]) -> None:
        self.set(name, *(optional(v, name) for v in values))

    def private_keys(self, keys: Optional[PrivateKey], passphrase: Optional[str]) -> None:
        if keys is None:
            return
        if isinstance(keys, (str, bytes, os.PathLike)):
            keys = [keys]
        secret = optional(passphrase, "private_key_passphrase")
        for key in keys:
            if isinstance(key, bytes):
                self.set("add_private_key_pem", key, len(key), secret)
            else:
                self.set("add_private_key_file", os.fsencode(key), secret)

    def options(self, options: Optional[Mapping[str, OptionValue]]) -> None:
        for name, value in (options or {}).items():
            number = lib.bcda_option_by_name(argument(name, "the name of an option"))
            if number < 0:
                raise errors.from_code(_abi.ERR_OPTION_UNKNOWN, f"there is no option {name!r}")
            try:
                if isinstance(value, str) and (name, value) in _NAMED:
                    value = _NAMED[name, value]
                if isinstance(value, str):
                    self.set("set_str", number, argument(value, name))
                elif isinstance(value, int):
                    if not -(1 << 63) <= value < 1 << 63:
                        raise errors.from_code(_abi.ERR_OPTION_RANGE)
                    self.set("set_int", number, int(value))
                else:
                    raise TypeError(f"the option {name!r} is an int or a str, not "
                                    f"{type(value).__name__}")
            except errors.OptionError as e:
                if name in e.text:
                    raise
                raise errors.from_code(e.code, f"the option {name!r} cannot be {value!r}: {e}") from None

    def log(self, wanted: Optional[int]) -> None:
        level = log_level(wanted)
        if level:
            self.set("set_log", level, _ON_LOG, None, None)


def paths(value: Union[Path, Tuple[Path, Path], None]) -> Tuple[Optional[bytes], Optional[bytes]]:
    """Certificate and key, of one file or two."""
    if value is None:
        return None, None
    if isinstance(value, tuple):
        return os.fsencode(value[0]), os.fsencode(value[1])
    return os.fsencode(value), os.fsencode(value)


