"""Finds and checks the shared library, and makes its functions callable."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import _abi

SONAME = "libbcda.0.dylib" if sys.platform == "darwin" else "libbcda.so.0"


class LibraryError(ImportError):
    """libbcda cannot be used: it was not found, is too old, or lacks functions.

    Raised by ``import bcda``. The text names each file that was tried.
    """


_KINDS: Dict[str, Any] = {
    "void": None,
    "int": ctypes.c_int,
    "int32": ctypes.c_int32,
    "uint32": ctypes.c_uint32,
    "int64": ctypes.c_int64,
    "uint64": ctypes.c_uint64,
    "size": ctypes.c_size_t,
    "str": ctypes.c_char_p,
}

# These functions work, wait or run callbacks, so ctypes releases the interpreter's lock during them.
# All other functions return within about a microsecond. Releasing the lock for those could cost a
# program with several threads five milliseconds per call.
_GIVES_UP_LOCK = frozenset((
    "bcda_config_add_private_key_file", "bcda_config_add_private_key_pem", "bcda_decoder_finish",
    "bcda_decoder_free", "bcda_decoder_new", "bcda_decoder_write", "bcda_global_cleanup",
    "bcda_global_init", "bcda_session_free", "bcda_session_new", "bcda_session_run",
    "bcda_session_step",
))


def _kind(name: str) -> Any:
    # Pointers, the addresses of results, and callbacks are all passed as void pointers.
    return _KINDS.get(name, ctypes.c_void_p) if name else None


def _version(number: int) -> str:
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


class Library:
    """The functions of the library, as attributes."""

    def __init__(self, path: str) -> None:
        slow = ctypes.CDLL(path)
        quick = ctypes.PyDLL(path)
        self.path = path
        self._check_version(slow)
        missing = []
        for name, (result, parameters) in _abi.FUNCTIONS.items():
            try:
                function = getattr(slow if name in _GIVES_UP_LOCK else quick, name)
            except AttributeError:
                missing.append(name)
                continue
            function.restype = _kind(result)
            function.argtypes = [_kind(p) for p in parameters]
            setattr(self, name, function)
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise LibraryError(f"{path}: this libbcda lacks {', '.join(missing[:3])}{more}, which "
                               f"the bindings need (version {_version(_abi.VERSION_NUMBER)})")

    def _check_version(self, dll: ctypes.CDLL) -> None:
        try:
            number = dll.bcda_version_number
        except AttributeError:
            raise LibraryError(f"{self.path}: not a libbcda: it has no version") from None
        number.restype, number.argtypes = ctypes.c_int, []
        found = int(number())
        if found < _abi.VERSION_NUMBER:
            raise LibraryError(f"{self.path}: libbcda {_version(found)} is too old: these bindings "
                               f"need {_version(_abi.VERSION_NUMBER)} or later")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AttributeError(name)


def candidates() -> List[Tuple[str, str]]:
    """Pairs of a text that says where the name came from, and the name to load; in the order in which they
    are tried."""
    named = os.environ.get("BCDA_LIBRARY")
    if named:
        return [("BCDA_LIBRARY", named)]
    found = []
    carried = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_lib", SONAME)
    if os.path.exists(carried):
        found.append(("in the package", carried))
    found.append(("by the system", SONAME))
    return found


def load() -> Library:
    tried: List[str] = []
    cause: Optional[BaseException] = None
    for how, path in candidates():
        try:
            return Library(path)
        except LibraryError:
            raise  # the library exists but cannot be used: do not silently load a different one
        except OSError as e:
            tried.append(f"{path} ({how}): {e}")
            cause = e
    raise LibraryError("libbcda was not found. Install it, or set BCDA_LIBRARY to the path of "
                       f"{SONAME}. Tried: " + "; ".join(tried)) from cause


lib = load()


def callback_type(name: str) -> Any:
    """The ctypes function type of a callback."""
    result, parameters = _abi.CALLBACKS[name]
    return ctypes.CFUNCTYPE(_kind(result), *[_kind(p) for p in parameters])


_kept: List[Any] = []  # callbacks that C may call until the process ends


def callback(name: str, function: Callable[..., Any]) -> int:
    """The address of a C function that calls `function`. The C function is never freed."""
    made = callback_type(name)(function)
    _kept.append(made)
    return int(ctypes.cast(made, ctypes.c_void_p).value or 0)


def text(value: Optional[bytes]) -> str:
    return value.decode("utf-8", "replace") if value else ""
