"""Batches: many resources of one file, which are read as columns or one by one."""

from __future__ import annotations

import ctypes
import json
from typing import (Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union, overload,
                    TYPE_CHECKING)

from . import _abi, errors
from ._native import lib, text

if TYPE_CHECKING:
    from ._job import Deletion, File

_unref_batch = lib.bcda_batch_unref
_count = lib.bcda_batch_count
_column = lib.bcda_batch_column
_field_column = lib.bcda_batch_field_column
_Places = ctypes.c_size_t * 4
_EMPTY = memoryview(b"")
_NO_NUMBERS = _EMPTY.cast("Q")

COLUMNS = {
    "json": _abi.COLUMN_JSON,
    "line": _abi.COLUMN_LINE,
    "type": _abi.COLUMN_TYPE,
    "id": _abi.COLUMN_ID,
    "last_updated": _abi.COLUMN_LAST_UPDATED,
    "full_url": _abi.COLUMN_FULL_URL,
}


class Held:
    """Owns one reference to a ``bcda_batch``. The library allows a batch to be released on any thread,
    also inside callbacks, so the finalizer releases the reference itself."""

    __slots__ = ("pointer",)

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer

    def __del__(self, _unref: Any = _unref_batch) -> None:
        _unref(self.pointer)

    def __reduce__(self) -> Any:  # a copy would release the same reference a second time
        raise TypeError("a batch, its columns and its resources cannot be pickled, nor sent to another process: "
                        "take their bytes, such as resource.json")

    def __deepcopy__(self, _: Any) -> "Held":  # a batch never changes, so a copy of it is not needed
        return self


_windows: Dict[int, Any] = {}


def window(held: Held, address: int, size: int) -> memoryview:
    """A read-only view of memory of a batch. The view keeps the batch alive."""
    if not size:
        return _EMPTY
    # Rounded up to a power of two, so that few ctypes classes are made. Only `size` bytes are exposed.
    width = 1 << (size - 1).bit_length()
    made: Any = _windows.get(width)
    if made is None:
        made = _windows[width] = type("Window", (ctypes.c_ubyte * width,), {"__slots__": ("held",)})
    memory = made.from_address(address)
    memory.held = held
    return memoryview(memory).cast("B")[:size].toreadonly()


_from_memory = ctypes.pythonapi.PyMemoryView_FromMemory
_from_memory.restype = ctypes.py_object
_from_memory.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int]
_to_bytes = ctypes.pythonapi.PyBytes_FromStringAndSize
_to_bytes.restype = ctypes.py_object
_to_bytes.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t]


def peek(address: int, size: int) -> memoryview:
    """A view for use inside this module. It does not keep the batch alive, so it is never returned to the
application."""
    view: memoryview = _from_memory(address, size, 0x100)  # PyBUF_READ
    return view


def string_at(address: int, size: int) -> bytes:
    made: bytes = _to_bytes(address, size)
    return made


def numbers(held: Held, address: int, count: int) -> memoryview:
    return window(held, address, count * 8).cast("Q") if count else _NO_NUMBERS


class Column(Sequence[memoryview]):
    """One column of a batch, without a copy.

    Value *i* is ``buffer[offsets[i]:offsets[i] + lengths[i]]``; ``column[i]`` returns it.
    """

    __slots__ = ("_held", "_base", "_offsets_at", "_lengths_at", "_count", "_buffer", "_offsets",
                 "_lengths")

    def __init__(self, held: Held, base: int, offsets: int, lengths: int, count: int) -> None:
        self._held = held
        self._base = base
        self._offsets_at = offsets
        self._lengths_at = lengths
        self._count = count
        self._buffer: Optional[memoryview] = None
        self._offsets: Optional[memoryview] = None
        self._lengths: Optional[memoryview] = None

    @property
    def buffer(self) -> memoryview:
        """The memory that contains all values, and the bytes between them. Read-only."""
        if self._buffer is None:
            end = 0
            if self._count:  # offsets never decrease
                end = self.offsets[-1] + self.lengths[-1]
            self._buffer = window(self._held, self._base, end)
        return self._buffer

    @property
    def offsets(self) -> memoryview:
        """The offset of each value in `buffer`; unsigned, 64 bits: ``numpy.frombuffer(column.offsets, "u8")``."""
        if self._offsets is None:
            self._offsets = numbers(self._held, self._offsets_at, self._count)
        return self._offsets

    @property
    def lengths(self) -> memoryview:
        """The length of each value, in the same form as `offsets`."""
        if self._lengths is None:
            self._lengths = numbers(self._held, self._lengths_at, self._count)
        return self._lengths

    def places(self) -> Tuple[List[int], List[int]]:
        """`offsets` and `lengths` as lists."""
        return (peek(self._offsets_at, self._count * 8).cast("Q").tolist(),
                peek(self._lengths_at, self._count * 8).cast("Q").tolist())

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, i: int) -> memoryview: ...

    @overload
    def __getitem__(self, i: slice) -> List[memoryview]: ...

    def __getitem__(self, i: Union[int, slice]) -> Union[memoryview, List[memoryview]]:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(self._count))]
        at = self.offsets[i]
        return self.buffer[at:at + self.lengths[i]]

    def __iter__(self) -> Iterator[memoryview]:
        buffer = self.buffer
        for at, length in zip(*self.places()):
            yield buffer[at:at + length]

    def bytes(self) -> List[bytes]:
        """Copies of the values, as bytes."""
        base = self._base
        return [string_at(base + at, length) for at, length in zip(*self.places())]

    def texts(self) -> List[str]:
        """Copies of the values, as strings."""
        count = self._count
        if not count:
            return []
        offsets, lengths = self.places()
        first = offsets[0]
        if first == offsets[-1]:  # all resources share one stored value
            return [string_at(self._base + first, lengths[0]).decode("utf-8")] * count
        raw = string_at(self._base + first, offsets[-1] + lengths[-1] - first)
        whole = raw.decode("utf-8")
        if len(whole) == len(raw):  # ASCII: offsets in bytes are offsets in characters
            return [whole[at - first:at - first + length] for at, length in zip(offsets, lengths)]
        return [raw[at - first:at - first + length].decode("utf-8")
                for at, length in zip(offsets, lengths)]

    def __repr__(self) -> str:  # without the values, which are patient data
        return f"<bcda.Column of {self._count} values>"


class FieldColumn:
    """A requested field (``fields=``) as a column, without a copy.

    Resource *i* has the values ``first[i]`` up to ``first[i + 1]`` of `values`.
    """

    __slots__ = ("first", "values")

    def __init__(self, held: Held, places: Any, count: int) -> None:
        base, first, offsets, lengths = places
        self.first = numbers(held, first, count + 1)
        self.values = Column(held, base, offsets, lengths, self.first[-1])

    def __len__(self) -> int:
        return len(self.first) - 1

    def __getitem__(self, i: int) -> List[str]:
        if i < 0:
            i += len(self)
        if not 0 <= i < len(self):
            raise IndexError("no such resource")
        return [str(self.values[k], "utf-8") for k in range(self.first[i], self.first[i + 1])]

    def texts(self) -> List[Optional[str]]:
        """The first value for each resource, ``None`` where there is none."""
        first, texts = self.first.tolist(), self.values.texts()
        return [texts[a] if a < b else None for a, b in zip(first, first[1:])]

    def lists(self) -> List[List[str]]:
        """All values for each resource."""
        first, texts = self.first.tolist(), self.values.texts()
        return [texts[a:b] for a, b in zip(first, first[1:])]

    def __repr__(self) -> str:
        return f"<bcda.FieldColumn of {len(self)} resources>"


class InvalidLine(NamedTuple):
    """An invalid line: a line that is not a resource.

    Attributes
    ----------
    error : Error
        Why it is invalid (`BadLine` or a subclass).
    number : int
        The number of the line in the decoded file, from 1.
    offset, length : int
        The offset of the line in the decoded file, and the number of its bytes that were read.
    bytes : bytes or None
        The line itself, which is patient data; keep it only in quarantine. ``None`` if the line was
        longer than the option ``line_max``.
    file : File or None
        The file; ``None`` from a `Decoder`.
    """

    error: errors.Error
    number: int
    offset: int
    length: int
    bytes: Optional[bytes]
    file: "Optional[File]"

    def __repr__(self) -> str:
        return f"<bcda.InvalidLine {self.number}: {self.error.name}>"


def invalid_line(pointer: int, file: "Optional[File]") -> InvalidLine:
    """A Python copy of a ``bcda_bad_line``, which the library frees after the callback."""
    size = ctypes.c_size_t()
    at = lib.bcda_bad_line_bytes(pointer, ctypes.byref(size))
    code = lib.bcda_bad_line_code(pointer)
    number, offset = lib.bcda_bad_line_number(pointer), lib.bcda_bad_line_offset(pointer)
    error = errors.class_of(code)(text(lib.bcda_error_string(code)), code=code, line=number,
                                  offset=offset, file=file.name if file else "")
    return InvalidLine(error, number, offset, lib.bcda_bad_line_length(pointer),
                       ctypes.string_at(at, size.value) if at else None, file)


class Batch(Sequence["Resource"]):
    """Resources of one file, in order, with an index over them.

    A batch is a sequence of `Resource`, and a set of columns. It may be kept: the batch, its
    resources and its views stay valid as long as one of them is held, also after the end of the job
    and the client. A batch that is kept keeps its memory.

    Attributes
    ----------
    file : File or None
        The file of the resources; ``None`` from a `Decoder`.
    """

    __slots__ = ("_held", "_count", "file", "_fields", "_columns", "_types", "_ids", "_json")

    def __init__(self, pointer: int, file: "Optional[File]", fields: Dict[str, int]) -> None:
        self._held = Held(pointer)
        self._count: int = _count(pointer)
        self.file = file
        self._fields = fields
        self._columns: Dict[int, Any] = {}
        self._types: Optional[List[str]] = None
        self._ids: Optional[List[str]] = None
        self._json: Optional[Tuple[int, List[int], List[int]]] = None

    # ---- columns

    def column(self, name: str) -> Column:
        """A column without a copy.

        Parameters
        ----------
        name : str
            ``"json"`` (the bare resources), ``"line"`` (the whole lines), ``"type"``, ``"id"``,
            ``"last_updated"`` or ``"full_url"``.
        """
        number = COLUMNS.get(name)
        if number is None:
            raise ValueError(f"no column {name!r}; there are {', '.join(COLUMNS)}")
        return self._column(number)

    def _column(self, number: int) -> Column:
        found: Optional[Column] = self._columns.get(number)
        if found is None:
            places = _Places()
            at = ctypes.addressof(places)
            code = _column(self._held.pointer, number, at, at + 8, at + 16)
            if code:
                raise errors.from_code(code)
            found = self._columns[number] = Column(self._held, places[0], places[1], places[2],
                                                   self._count)
        return found

    @property
    def json(self) -> Column:
        """The bare resources, byte for byte as the server wrote them."""
        return self._column(_abi.COLUMN_JSON)

    @property
    def deletions(self) -> "List[Deletion]":
        """The deletions in a batch of a file of deletions, whose resources are Bundles of DELETE requests;
        empty for other files. Such batches come with the option ``pull_deletions``, without ``on_deletion``."""
        from ._job import Deletion
        if self.file is None or not self.file.has_deletions:
            return []
        count = ctypes.c_size_t()
        code = lib.bcda_batch_deletion_count(self._held.pointer, ctypes.byref(count))
        if code:
            raise errors.from_code(code)
        found = []
        for i in range(count.value):
            at = lib.bcda_batch_deletion(self._held.pointer, i)
            line = lib.bcda_resource_line_number(lib.bcda_deletion_resource(at))
            found.append(Deletion(text(lib.bcda_deletion_type(at)), text(lib.bcda_deletion_id(at)), line, self.file))
        return found

    @property
    def types(self) -> List[str]:
        """``resourceType`` of each resource."""
        if self._types is None:
            self._types = self._column(_abi.COLUMN_TYPE).texts()
        return self._types

    @property
    def ids(self) -> List[str]:
        """``id`` of each resource; an empty string where there is none."""
        if self._ids is None:
            self._ids = self._column(_abi.COLUMN_ID).texts()
        return self._ids

    @property
    def last_updated(self) -> List[str]:
        """``meta.lastUpdated`` of each resource, unchanged; an empty string where there is none."""
        return self._column(_abi.COLUMN_LAST_UPDATED).texts()

    @property
    def line_numbers(self) -> memoryview:
        """The number of each resource's line in the decoded file, from 1 (format ``"Q"``)."""
        return self._numbers("line", lib.bcda_batch_line_numbers)

    @property
    def offsets(self) -> memoryview:
        """The offset of each resource's line in the decoded file (format ``"Q"``)."""
        return self._numbers("offset", lib.bcda_batch_file_offsets)

    def _numbers(self, name: str, getter: Any) -> memoryview:
        key = -1 if name == "line" else -2
        found: Optional[memoryview] = self._columns.get(key)
        if found is None:
            found = self._columns[key] = numbers(self._held, getter(self._held.pointer) or 0,
                                                 self._count)
        return found

    def field(self, path: str) -> FieldColumn:
        """A field of the export (``fields=``) as a column.

        Parameters
        ----------
        path : str
            As it was given to `Client.export`, such as ``"patient.reference"``.
        """
        index = self._fields.get(path)
        if index is None:
            raise ValueError(f"the field {path!r} was not requested: use fields=[...] of the export")
        key = -10 - index
        found: Optional[FieldColumn] = self._columns.get(key)
        if found is None:
            places = _Places()
            at = ctypes.addressof(places)
            code = _field_column(self._held.pointer, index, at, at + 8, at + 16, at + 24)
            if code:
                raise errors.from_code(code)
            found = self._columns[key] = FieldColumn(self._held, places, self._count)
        return found

    # ---- invalid lines and resources

    @property
    def is_provisional(self) -> bool:
        """Whether the end of the file is not verified yet. Then commit only at `FileEvent.END`."""
        return bool(lib.bcda_batch_is_provisional(self._held.pointer))

    @property
    def bad_line_count(self) -> int:
        """How many lines of this batch are invalid."""
        return int(lib.bcda_batch_bad_line_count(self._held.pointer))

    @property
    def bad_lines(self) -> List[InvalidLine]:
        """The invalid lines of this batch."""
        return [invalid_line(lib.bcda_batch_bad_line(self._held.pointer, i), self.file)
                for i in range(self.bad_line_count)]

    @property
    def last_line(self) -> int:
        """The number of the last line in this batch, also if it is invalid."""
        pointer, count, bad = self._held.pointer, self._count, self.bad_line_count
        last: int = lib.bcda_bad_line_number(lib.bcda_batch_bad_line(pointer, bad - 1)) if bad else 0
        return max(last, self.line_numbers[count - 1] if count else 0)

    def json_places(self) -> Tuple[int, List[int], List[int]]:
        if self._json is None:
            column = self._column(_abi.COLUMN_JSON)
            self._json = (column._base, *column.places())
        return self._json

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, i: int) -> "Resource": ...

    @overload
    def __getitem__(self, i: slice) -> "List[Resource]": ...

    def __getitem__(self, i: Union[int, slice]) -> "Union[Resource, List[Resource]]":
        if isinstance(i, slice):
            return [Resource(self, k) for k in range(*i.indices(self._count))]
        if i < 0:
            i += self._count
        if not 0 <= i < self._count:
            raise IndexError("no such resource in this batch")
        return Resource(self, i)

    def __iter__(self) -> Iterator["Resource"]:
        for i in range(self._count):
            yield Resource(self, i)

    def __repr__(self) -> str:
        where = f" of {self.file.name}" if self.file else ""
        return f"<bcda.Batch of {self._count} resources{where}>"


class Resource:
    """One FHIR resource of a batch.

    It is cheap to create: it keeps the batch alive, and reads a value from the batch only when that
    value is used. """

    __slots__ = ("_batch", "_row")

    def __init__(self, batch: Batch, row: int) -> None:
        self._batch = batch
        self._row = row

    @property
    def json(self) -> bytes:
        """The bare resource, byte for byte as the server wrote it. Each use makes a new copy."""
        base, offsets, lengths = self._batch.json_places()
        return string_at(base + offsets[self._row], lengths[self._row])

    @property
    def view(self) -> memoryview:
        """The bytes of `json`, without a copy."""
        return self._batch.json[self._row]

    @property
    def line(self) -> bytes:
        """The whole line. Until 2019-07, a line of BCDA was an envelope (a JSON object) around the resource."""
        return self._batch.column("line")[self._row].tobytes()

    def parse(self) -> Any:
        """The resource as Python's dicts and lists (`json.loads`)."""
        return json.loads(self.json)

    @property
    def type(self) -> str:
        """``resourceType``, such as ``"ExplanationOfBenefit"``."""
        return self._batch.types[self._row]

    @property
    def id(self) -> str:
        """``id``; empty where there is none."""
        return self._batch.ids[self._row]

    @property
    def last_updated(self) -> str:
        """``meta.lastUpdated``, unchanged; empty if there is none."""
        return str(self._batch.column("last_updated")[self._row], "utf-8")

    @property
    def full_url(self) -> str:
        """``fullUrl`` of the envelope; empty for a bare line."""
        return str(self._batch.column("full_url")[self._row], "utf-8")

    @property
    def line_number(self) -> int:
        """The number of the line in the decoded file, from 1."""
        return int(self._batch.line_numbers[self._row])

    @property
    def offset(self) -> int:
        """The offset of the line in the decoded file."""
        return int(self._batch.offsets[self._row])

    @property
    def is_provisional(self) -> bool:
        """Whether the end of the file is not verified yet. Then commit only at `FileEvent.END`."""
        return self._batch.is_provisional

    @property
    def file(self) -> "Optional[File]":
        """The file of the resource; ``None`` from a `Decoder`."""
        return self._batch.file

    def field(self, path: str) -> Optional[str]:
        """The first value of a field of the export (``fields=``); ``None`` where there is none."""
        column = self._batch.field(path)
        at = column.first[self._row]
        return str(column.values[at], "utf-8") if at < column.first[self._row + 1] else None

    def fields(self, path: str) -> List[str]:
        """All values of a field of the export, in the order of the document."""
        return self._batch.field(path)[self._row]

    def __len__(self) -> int:
        """The length of `json` in bytes."""
        return self._batch.json_places()[2][self._row]

    def __repr__(self) -> str:  # without id and JSON, which are patient data
        return f"<bcda.Resource {self.type} in line {self.line_number}>"
