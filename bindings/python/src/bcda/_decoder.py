"""Decodes files that were already downloaded."""

from __future__ import annotations

import ctypes
import itertools
import os
import tempfile
import weakref
from typing import (Any, BinaryIO, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence,
                    Type, Union, TYPE_CHECKING)

from . import _abi, errors
from ._batch import Batch, InvalidLine, invalid_line
from ._arguments import Path, add_fields, argument, handler, mistyped, named, path as path_bytes, texts
from ._config import Config, OptionValue, PrivateKey
from ._core import Unique, _leftovers, callback_depth, enter_callback, leave_callback, tidy
from ._native import callback, lib

if TYPE_CHECKING:
    from types import TracebackType

PIECE = 1 << 18

_decoders: Dict[int, "weakref.ref[Decoder]"] = {}
_numbers = itertools.count(1)


def _called(userdata: Optional[int], body: "Callable[[Decoder], None]") -> int:
    enter_callback()
    decoder: Optional[Decoder] = None
    try:
        found = _decoders.get(userdata or 0)
        decoder = found() if found is not None else None
        if decoder is None:
            return _abi.STOP
        body(decoder)
        return _abi.CONTINUE
    except BaseException as e:
        if decoder is not None:
            decoder._exception = e
        return _abi.STOP
    finally:
        leave_callback()


def _on_batch(_: int, batch: int, userdata: int) -> int:
    def body(decoder: "Decoder") -> None:
        decoder._batches.append(Batch(lib.bcda_batch_ref(batch), None, decoder._fields))
    return _called(userdata, body)


def _on_bad_line(_: int, line: int, userdata: int) -> int:
    def body(decoder: "Decoder") -> None:
        if decoder._on_bad_line:
            decoder._on_bad_line(invalid_line(line, None))
    return _called(userdata, body)


_ON_BATCH = callback("bcda_batch_cb", _on_batch)
_ON_BAD_LINE = callback("bcda_bad_line_cb", _on_bad_line)


def _end(pointer: int, number: int) -> None:
    _decoders.pop(number, None)
    _leftovers.append((lib.bcda_decoder_free, pointer))


class Decoder(Unique):
    """Decodes one file: it takes the bytes of the file, as the server stores them, in pieces.

    A decoder belongs to one thread. Its resources are provisional until `finish` has returned.

    Parameters
    ----------
    private_key, private_key_passphrase
        As for `Client`; for an encrypted file.
    wrapped_key : str, optional
        The file's ``encryptedKey``, or its entry in ``KeyMap`` (hexadecimal).
    label : str, optional
        The file's name as in its URL. Needed with `wrapped_key`.
    gzip : bool, optional
        Whether the bytes are gzip.
    name : str, optional
        The name of the file in errors.
    fields : sequence of str, optional
        As for `Client.export`.
    on_bad_line : callable, optional
        ``on_bad_line(line)``, with an `InvalidLine`.
    options : mapping, optional
        Options, such as ``{"bad_lines_max": -1}``.

    Examples
    --------
    >>> import bcda
    >>> with bcda.Decoder() as decoder:
    ...     batches = decoder.write(b'{"resourceType":"Patient","id":"1"}\\n') + decoder.finish()
    >>> [(r.type, r.id) for batch in batches for r in batch]
    [('Patient', '1')]
    """

    def __init__(self, *, private_key: Optional[PrivateKey] = None,
                 private_key_passphrase: Optional[str] = None, wrapped_key: Optional[str] = None,
                 label: Optional[str] = None, gzip: bool = False, name: Optional[str] = None,
                 fields: Sequence[str] = (),
                 on_bad_line: Optional[Callable[[InvalidLine], object]] = None,
                 options: Optional[Mapping[str, OptionValue]] = None) -> None:
        tidy()
        self._batches: List[Batch] = []
        self._on_bad_line = on_bad_line
        self._exception: Optional[BaseException] = None
        fields = texts(fields, "fields")
        handler(on_bad_line, "on_bad_line")
        self._fields = {path: index for index, path in enumerate(fields)}
        self._number = next(_numbers)
        self._pointer = self._make(private_key, private_key_passphrase, options)
        _decoders[self._number] = weakref.ref(self)
        self._finalizer = weakref.finalize(self, _end, self._pointer, self._number)
        self._finalizer.atexit = False
        if name is not None:
            self._check(lib.bcda_decoder_set_name(self._pointer, argument(name, "name")))
        self._set_key(wrapped_key, label)
        self._check(lib.bcda_decoder_set_gzip(self._pointer, int(gzip)))
        add_fields(fields, lambda path, index: int(lib.bcda_decoder_add_field(self._pointer, path, index)),
                   self._error)

    def _set_key(self, wrapped_key: Optional[str], label: Optional[str]) -> None:
        if wrapped_key is None:
            return
        if label is None:
            raise errors.from_code(_abi.ERR_CONFIG, "wrapped_key needs label: the file's name as in its URL")
        key, name = argument(wrapped_key, "wrapped_key"), argument(label, "label")
        try:
            self._check(lib.bcda_decoder_set_wrapped_key(self._pointer, key, name))
        except errors.DataError as e:
            keywords = {_abi.ERR_KEY_LABEL: "label", _abi.ERR_KEY_MISSING: "private_key"}
            raise named(e, keywords.get(e.code, "wrapped_key")) from None

    def _make(self, key: Optional[PrivateKey], passphrase: Optional[str],
              options: Optional[Mapping[str, OptionValue]]) -> int:
        made, handlers = ctypes.c_void_p(), ctypes.c_void_p()
        with Config() as config:
            config.private_keys(key, passphrase)
            config.options(options)
            code = lib.bcda_handlers_new(ctypes.byref(handlers))
            if not code:
                code = lib.bcda_handlers_on_batch(handlers, _ON_BATCH, self._number, None)
            if not code:
                code = lib.bcda_handlers_on_bad_line(handlers, _ON_BAD_LINE, self._number, None)
            if not code:
                code = lib.bcda_decoder_new(ctypes.byref(made), config.pointer, handlers)
            lib.bcda_handlers_free(handlers)
            config.check(code)
        return made.value or 0

    def _check(self, code: int) -> None:
        exception, self._exception = self._exception, None
        if exception is not None:
            raise exception
        if code == _abi.ERR_STOPPED:  # Ctrl-C between two lines of a callback; see Job._raise
            raise KeyboardInterrupt
        if code:
            raise self._error(code)

    def _error(self, code: int) -> errors.Error:
        """Why the last call failed."""
        pointer = lib.bcda_decoder_error(self._pointer)
        if pointer and lib.bcda_error_code(pointer) == code:
            return errors.from_pointer(pointer)
        return errors.from_code(code)

    def _open(self) -> int:
        if not self._finalizer.alive:
            raise errors.from_code(_abi.ERR_STATE, "the decoder is closed")
        return self._pointer

    def take(self) -> List[Batch]:
        """Returns the batches that were not returned yet, including those decoded before an error."""
        batches, self._batches = self._batches, []
        return batches

    def write(self, data: Union[bytes, bytearray, memoryview]) -> List[Batch]:
        """Takes the next bytes of the file; returns the batches that they complete.

        Raises
        ------
        DataError
            The file cannot be decoded.
        """
        pointer = self._open()
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise mistyped("data", data, "bytes")
        data = bytes(data)
        self._check(lib.bcda_decoder_write(pointer, data, len(data)))
        return self.take()

    def finish(self) -> List[Batch]:
        """Ends the file; returns the last batches, if it is complete and unaltered.

        Raises
        ------
        DataError
            The file is incomplete or was altered: all its resources are void.
        """
        self._check(lib.bcda_decoder_finish(self._open()))
        return self.take()

    @property
    def resources(self) -> int:
        """How many resources were decoded so far."""
        return int(lib.bcda_decoder_resources(self._open()))

    @property
    def bad_lines(self) -> int:
        """How many invalid lines were found so far."""
        return int(lib.bcda_decoder_bad_lines(self._open()))

    @property
    def bytes(self) -> int:
        """How many bytes of NDJSON were decoded so far."""
        return int(lib.bcda_decoder_bytes(self._open()))

    def close(self) -> None:
        """Frees the decoder. Batches that were returned stay valid."""
        self._finalizer()
        tidy()

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: "Optional[TracebackType]") -> None:
        self.close()


class _Stored:
    """The iterable of `read_file`: each loop over it reads the file from its beginning."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._path = path
        self._settings = settings

    def __iter__(self) -> Iterator[Batch]:
        with open(self._path, "rb") as source, Decoder(**self._settings) as decoder:
            yield from _decode(source, decoder)


def read_file(path: Path, **settings: Any) -> Iterable[Batch]:
    """The batches of a file that was already downloaded.

    Parameters
    ----------
    path : path
    **settings
        The keywords of `Decoder`. The default of `label` is the file name in `path`.

    Returns
    -------
    iterable of Batch
        The batches are provisional until the loop ends without an exception: only then is the file
        known to be complete. Each loop reads the file again.
    """
    path_bytes(path, "path")
    name = os.path.basename(os.fspath(path))
    settings.setdefault("name", name)
    if settings.get("wrapped_key") is not None:
        settings.setdefault("label", name)
    return _Stored(path, settings)


def _decode(source: BinaryIO, decoder: Decoder) -> Iterator[Batch]:
    try:
        while True:
            piece = source.read(PIECE)
            if not piece:
                break
            yield from decoder.write(piece)
        yield from decoder.finish()
    except errors.DataError:
        yield from decoder.take()
        raise


class Decrypted(NamedTuple):
    """The result of `decrypt_file`."""

    resources: int
    bad_lines: int
    bytes: int


def decrypt_file(source: Path, destination: Path, *, wrapped_key: str, private_key: PrivateKey,
                 private_key_passphrase: Optional[str] = None, label: Optional[str] = None,
                 on_bad_line: Optional[Callable[[InvalidLine], object]] = None,
                 options: Optional[Mapping[str, OptionValue]] = None) -> Decrypted:
    """Decrypts a file to NDJSON, one bare resource per line. BCDA encrypted its files until 2020.

    The destination is created only after the whole file was checked, with mode 0600. The memory that
    is used does not depend on the length of the file.

    Parameters
    ----------
    source, destination : path
    wrapped_key : str
        The file's ``encryptedKey``, or its entry in ``KeyMap``.
    private_key, private_key_passphrase
        As for `Client`.
    label : str, optional
        The file's name as in its URL. Default: the file name in `source`.
    on_bad_line, options
        As for `Decoder`.

    Raises
    ------
    DataError
        The file was altered (`TamperedFile`) or cut, or the key belongs to another file.
    OSError
        A file cannot be read or written.
    """
    folder = os.path.dirname(os.path.abspath(os.fspath(destination)))
    handle, made = tempfile.mkstemp(dir=folder, prefix=".bcda-")  # mode 0600
    try:
        with open(handle, "wb") as out, open(source, "rb") as file, Decoder(
                private_key=private_key, private_key_passphrase=private_key_passphrase,
                wrapped_key=wrapped_key, on_bad_line=on_bad_line, options=options,
                label=os.path.basename(os.fspath(source)) if label is None else label,
                name=os.path.basename(os.fspath(source))) as decoder:
            for batch in _decode(file, decoder):
                for value in batch.json:
                    out.write(value)
                    out.write(b"\n")
            result = Decrypted(decoder.resources, decoder.bad_lines, decoder.bytes)
            out.flush()
            os.fsync(out.fileno())
        os.replace(made, destination)
    except BaseException:
        os.unlink(made)
        raise
    return result
