"""Jobs: one export, from kick-off to the last byte; and its files."""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
import time
import warnings
import weakref
from typing import (Any, AsyncIterator, Callable, Dict, Generator, Iterator, List, Mapping, NamedTuple, Optional,
                    Sequence, Tuple, Type, Union, TYPE_CHECKING, overload)

from . import _abi, errors
from ._arguments import counted, mistyped, named, refused, seconds
from ._batch import Batch, InvalidLine, Resource, invalid_line
from ._core import Core, Handle, enter_callback, leave_callback, tidy, _orphans
from ._native import callback, lib, text
from .enums import ErrorCode, FileEvent, JobState, Severity, Verdict

if TYPE_CHECKING:
    from types import TracebackType
    from ._client import Client
    from ._progress import Bar

_next = lib.bcda_job_next
_batch_file = lib.bcda_batch_file
_bad_line_count = lib.bcda_batch_bad_line_count

_jobs: Dict[int, "weakref.ref[Job]"] = {}  # the keys are the userdata of the callbacks
_numbers = itertools.count(1)


_TAKING = "a loop is already taking the data of this job; a job delivers its data once, to one loop"
_TAKEN = "the data of this job was taken by an earlier loop; a job delivers its data once"
_LEFT = "a loop over this job was left before its end, which cancelled the job; a job delivers its data once"
_DISCARDED = "waiting for this job has discarded its data; to get the data, loop over a job instead of waiting for it"
_WAITED_FOR = "another call waits for this job, which discards its data"
_NOT_YET = "a loop is taking the data of this job, and waiting would discard the rest; let the loop end, " \
    "or cancel the job"


class _End(Exception):
    """The job has succeeded, and all batches were taken."""


class IncompleteExport(UserWarning):
    """The job has succeeded, but requested data is missing.

    Requested types have no file in the manifest (`Job.missing_types`), the manifest lists files of
    deletions (`Job.deleted_files`) and there is no ``on_deletion`` to receive them, or the server
    reports errors and there is no ``on_issue`` to receive them. The warning is issued once per job, at
    the end of its loop or by `Job.wait`. To get an exception instead:
    ``warnings.simplefilter("error", bcda.IncompleteExport)``.
    """


class File:
    """One entry of a job's manifest. Its numbers are current, also during the download."""

    __slots__ = ("_pointer", "_handle", "_core", "index", "name", "type", "url", "is_error",
                 "has_deletions", "is_encrypted", "resources_expected")

    def __init__(self, pointer: int, handle: Handle, core: Core) -> None:
        self._pointer = pointer
        self._handle = handle
        self._core = core
        #: The index of the file in the manifest, from 0.
        self.index: int = lib.bcda_file_index(pointer)
        #: The last segment of the file's URL. Check this text before you use it as a path.
        self.name = text(lib.bcda_file_name(pointer))
        #: The resource type, as in the manifest; empty if the manifest has none.
        self.type = text(lib.bcda_file_type(pointer))
        self.url = text(lib.bcda_file_url(pointer))
        #: Whether the file holds problems that the server reports (OperationOutcome lines), not data.
        self.is_error = bool(lib.bcda_file_is_error(pointer))
        #: Whether the file lists deletions (Bundles of DELETE requests), for ``on_deletion``.
        self.has_deletions = bool(lib.bcda_file_has_deletions(pointer))
        self.is_encrypted = bool(lib.bcda_file_is_encrypted(pointer))
        expected = lib.bcda_file_resources_expected(pointer)
        #: The number of resources that the manifest promises; ``None`` if it has none (BCDA gives none).
        self.resources_expected: Optional[int] = expected if expected >= 0 else None

    def _get(self, getter: Callable[[int], int]) -> int:
        with self._core.lock:
            return getter(self._pointer)

    @property
    def bytes_received(self) -> int:
        """How many bytes of the file were received."""
        return self._get(lib.bcda_file_bytes_received)

    @property
    def bytes(self) -> int:
        """How many bytes of NDJSON were decoded."""
        return self._get(lib.bcda_file_bytes)

    @property
    def bytes_expected(self) -> Optional[int]:
        """How many bytes the server will send for the file; ``None`` if that is not known."""
        expected = self._get(lib.bcda_file_bytes_expected)
        return expected if expected >= 0 else None

    @property
    def resources(self) -> int:
        """How many resources were delivered."""
        return self._get(lib.bcda_file_resources)

    @property
    def bad_lines(self) -> int:
        """How many lines were invalid."""
        return self._get(lib.bcda_file_bad_lines)

    @property
    def confirmed_line(self) -> int:
        """The last line that was confirmed by `Job.confirm`, perhaps before the job was restored; 0 if
        there is none. When a file begins, it is the line after which the delivery begins."""
        return self._get(lib.bcda_file_confirmed_line)

    @property
    def verdict(self) -> Verdict:
        """The verdict on the file."""
        return Verdict(self._get(lib.bcda_file_verdict))

    @property
    def error(self) -> Optional[errors.Error]:
        """Why the file failed; ``None`` if it has not failed."""
        with self._core.lock:
            pointer = lib.bcda_file_error(self._pointer)
            return errors.from_pointer(pointer) if pointer else None

    def __repr__(self) -> str:
        return f"<bcda.File {self.name} {self.verdict.name.lower()}>"


class Issue(NamedTuple):
    """One issue that the server reported in an error file.

    Attributes
    ----------
    severity : Severity
    code : str
        FHIR's issue type, such as ``"not-found"``; empty where there is none.
    text : str
        The server's text. It may name a beneficiary: never log it.
    outcome : bytes
        The whole OperationOutcome as JSON; the same for each of its issues.
    """

    severity: Severity
    code: str
    text: str
    outcome: bytes

    def __repr__(self) -> str:
        return f"<bcda.Issue {self.severity.name.lower()} {self.code}>"


class Deletion(NamedTuple):
    """A resource that the server has deleted, which a copy of its data must remove.

    Attributes
    ----------
    type : str
        Such as ``"Patient"``.
    id : str
        The id of the resource.
    line_number : int
        The number of the line in the decoded file, from 1. One line can list several deletions.
    file : File
        The file of deletions. If it fails, undo its deletions.
    """

    type: str
    id: str
    line_number: int
    file: File

    def __repr__(self) -> str:
        return f"<bcda.Deletion {self.type} line {self.line_number}>"


class Callbacks(NamedTuple):
    """The callbacks of a job."""

    on_state: Optional[Callable[["Job", JobState], object]] = None
    on_file: Optional[Callable[["Job", File, FileEvent], object]] = None
    on_progress: Optional[Callable[["Job"], object]] = None
    on_issue: Optional[Callable[["Job", Issue], object]] = None
    on_deletion: Optional[Callable[["Job", Deletion], object]] = None
    on_bad_line: Optional[Callable[["Job", InvalidLine], object]] = None
    on_done: Optional[Callable[["Job"], object]] = None


# ---- callbacks of the library. An exception in a callback is kept and stops the job; the call that
# waits for the job raises it. KeyboardInterrupt, SystemExit and others that are not a subclass of
# Exception are raised by the current call, even if that call waits for another job.


def _called(userdata: Optional[int], body: Callable[["Job"], None]) -> int:
    enter_callback()
    job: Optional[Job] = None
    try:
        found = _jobs.get(userdata or 0)
        job = found() if found is not None else None
        if job is None:  # the Job object was collected, and its C job is being cancelled
            return _abi.STOP
        body(job)
        return _abi.CONTINUE
    except BaseException as e:
        if job is not None:
            job._failed(e)
        return _abi.STOP
    finally:
        leave_callback()


def _on_state(_: int, state: int, userdata: int) -> int:
    def body(job: Job) -> None:
        if job._callbacks.on_state:
            job._callbacks.on_state(job, JobState(state))
    return _called(userdata, body)


def _on_file(_: int, file: int, event: int, userdata: int) -> int:
    def body(job: Job) -> None:
        if job._callbacks.on_file:
            job._callbacks.on_file(job, job._file(file), FileEvent(event))
    return _called(userdata, body)


def _on_progress(_: int, userdata: int) -> int:
    def body(job: Job) -> None:
        if job._callbacks.on_progress:
            job._callbacks.on_progress(job)
        if job._bar is not None:
            job._bar.show(job)
    return _called(userdata, body)


def _on_issue(_: int, issue: int, userdata: int) -> int:
    def body(job: Job) -> None:
        if job._callbacks.on_issue:
            size = ctypes.c_size_t()
            at = lib.bcda_resource_json(lib.bcda_issue_resource(issue), ctypes.byref(size))
            job._callbacks.on_issue(job, Issue(
                Severity(lib.bcda_issue_severity(issue)), text(lib.bcda_issue_code(issue)),
                text(lib.bcda_issue_text(issue)), ctypes.string_at(at, size.value)))
    return _called(userdata, body)


def _on_deletion(_: int, deletion: int, userdata: int) -> int:
    def body(job: Job) -> None:
        if job._callbacks.on_deletion:
            bundle = lib.bcda_deletion_resource(deletion)
            job._callbacks.on_deletion(job, Deletion(
                text(lib.bcda_deletion_type(deletion)), text(lib.bcda_deletion_id(deletion)),
                lib.bcda_resource_line_number(bundle), job._file(lib.bcda_resource_file(bundle))))
    return _called(userdata, body)


def _on_bad_line(_: int, line: int, userdata: int) -> int:
    """An invalid line of a file that has no batches: a file of deletions, or an error file."""
    def body(job: Job) -> None:
        if job._callbacks.on_bad_line:
            job._callbacks.on_bad_line(job, invalid_line(line, job._file(lib.bcda_bad_line_file(line))))
    return _called(userdata, body)


def _on_done(_: int, result: int, userdata: int) -> None:
    def body(job: Job) -> None:
        job._ended()
        if job._bar is not None:
            job._bar.close(job)
        if job._callbacks.on_done:
            job._callbacks.on_done(job)
    _called(userdata, body)


_ON_STATE = callback("bcda_state_cb", _on_state)
_ON_FILE = callback("bcda_file_cb", _on_file)
_ON_PROGRESS = callback("bcda_progress_cb", _on_progress)
_ON_ISSUE = callback("bcda_issue_cb", _on_issue)
_ON_DELETION = callback("bcda_deletion_cb", _on_deletion)
_ON_BAD_LINE = callback("bcda_bad_line_cb", _on_bad_line)
_ON_DONE = callback("bcda_done_cb", _on_done)


def _forget(number: int) -> None:
    _jobs.pop(number, None)


class Job:
    """One export, from kick-off to the last byte. Made by `Client.export`, `attach` or `restore`.

    Iterating over a job yields its resources; `batches` yields many at a time. Both drive the
    export, and data that is not taken is not downloaded. A loop that is left before its end, by
    ``break`` or an exception, cancels the job; so does releasing the last reference to the job.

    A job delivers its data once, to one loop: a second loop, also while the first one runs or after
    `wait`, raises `StateError`. If a loop ends without an exception, every file is complete;
    `verdict` says whether something needs attention, and `missing_types` and `deleted_files` say
    what is not in the data.

    Examples
    --------
    >>> with client.export("Patient") as job:
    ...     for resource in job:
    ...         _ = resource.type, resource.id, resource.parse()
    >>> print(job.verdict)
    COMPLETE
    """

    _callbacks: Callbacks
    _bar: "Optional[Bar]"

    def __init__(self, client: "Client", fields: Sequence[str], callbacks: Callbacks, bar: "Optional[Bar]",
                 start: Callable[[int, Any], int]) -> None:
        self._client = client  # a job keeps its client alive
        self._core: Core = client._core
        self._callbacks = callbacks
        self._bar = bar
        self._exception: Optional[BaseException] = None
        self._claimed = ""  # the reason why no further loop can begin, such as `_TAKING`
        self._waits = 0
        self._cancelled = False
        self._warned = False
        self._files: Dict[int, File] = {}
        self._fields = {path: index for index, path in enumerate(fields)}
        self._out = ctypes.c_void_p()  # the batch being taken; kept here so that Ctrl-C cannot lose it
        self._out_at = ctypes.addressof(self._out)
        self._number = next(_numbers)
        _jobs[self._number] = weakref.ref(self)
        weakref.finalize(self, _forget, self._number).atexit = False
        pointer = ctypes.c_void_p()
        handlers = self._make_handlers()
        try:
            with self._core.lock:
                self._core.settle()
                self._core.check(start(handlers, ctypes.addressof(pointer)))
                self._pointer: int = pointer.value or 0
        finally:
            lib.bcda_handlers_free(handlers)
        self._handle = Handle(self._core, self._pointer, lib.bcda_job_unref)
        weakref.finalize(self, self._core.leave, lib.bcda_job_cancel, self._handle).atexit = False

    def _make_handlers(self) -> int:
        made = ctypes.c_void_p()
        wanted = self._callbacks
        code = lib.bcda_handlers_new(ctypes.byref(made))
        for name, address, needed in (
                ("state", _ON_STATE, wanted.on_state), ("file", _ON_FILE, wanted.on_file),
                ("progress", _ON_PROGRESS, wanted.on_progress or self._bar),
                ("server_issue", _ON_ISSUE, True), ("deleted", _ON_DELETION, wanted.on_deletion),
                ("bad_line", _ON_BAD_LINE, wanted.on_bad_line), ("done", _ON_DONE, True)):
            if not code and needed:
                code = getattr(lib, "bcda_handlers_on_" + name)(made, address, self._number, None)
        if code:
            lib.bcda_handlers_free(made)
            raise errors.from_code(code)
        return made.value or 0

    # ---- state that callbacks set

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            if self._exception is None:
                self._exception = error
        else:
            self._core.raising = error
            self._exception = self._exception or error

    def _ended(self) -> None:
        provider = self._client._provider_exception
        if provider is not None and self._exception is None and \
                lib.bcda_job_result(self._pointer) in (_abi.ERR_AUTH, _abi.ERR_TOKEN):
            self._exception = provider

    def _file(self, pointer: int) -> File:
        found = self._files.get(pointer)
        if found is None:
            found = self._files[pointer] = File(pointer, self._handle, self._core)
        return found

    # ---- the end

    def _raise(self, result: int) -> None:
        """Raises the error of the job."""
        if isinstance(self._exception, (StopIteration, StopAsyncIteration)):
            # Raised as it is, StopIteration would end the application's loop without an error.
            raise RuntimeError("a callback raised StopIteration") from self._exception
        if self._exception is not None:
            raise self._exception
        if result == _abi.ERR_STOPPED:
            # A callback of this module stopped the job, but no exception was kept. Only Ctrl-C that
            # arrives before the callback's own handler can cause that.
            raise KeyboardInterrupt
        if result != _abi.OK:
            raise errors.from_pointer(lib.bcda_job_error(self._pointer), result)

    # ---- the data

    def _claim(self) -> None:
        """Marks the data as taken by the loop that begins now; raises if a loop has already begun."""
        with self._core.lock:
            if self._claimed or self._waits:
                raise errors.from_code(_abi.ERR_STATE, self._claimed or _WAITED_FOR)
            self._claimed = _TAKING

    def _wait_begins(self) -> None:
        with self._core.lock:
            if self._claimed == _TAKING and not self._cancelled and self.result is None:
                raise errors.from_code(_abi.ERR_STATE, _NOT_YET)
            self._waits += 1

    def _wait_ends(self) -> None:
        with self._core.lock:
            self._waits -= 1

    def _discard(self, batch: Optional[Batch]) -> None:
        """Discards the batch that `wait` took. `None` means that the job has ended."""
        self._claimed = self._claimed or _DISCARDED
        if batch is not None:
            self._report_bad_lines(batch)

    def _lacks(self) -> List[str]:
        """Texts about requested data that is missing and was reported to no callback."""
        lacks = []
        missing, counts = self.missing_types, self.issue_counts
        deleted = self.deleted_files
        if deleted and any(file.has_deletions for file in self.files):  # they were downloaded
            deleted = 0
        reported = counts[Severity.ERROR] + counts[Severity.FATAL]
        if missing:
            lacks.append(f"the server lists no file for {', '.join(missing)}")
        if deleted:
            lacks.append(f"it lists {counted(deleted, 'file')} of deleted resources, not delivered, which "
                         "on_deletion would receive")
        if reported and self._callbacks.on_issue is None:
            lacks.append(f"it reports {counted(reported, 'issue')} of severity error, which on_issue would receive")
        return lacks

    def _warn(self) -> None:
        """Issues IncompleteExport if data is missing; at most once for a job."""
        lacks = [] if self._warned else self._lacks()
        self._warned = True
        if lacks:
            warnings.warn(f"job {self.id} is complete, but {'; '.join(lacks)}", IncompleteExport, _outside())

    def _take(self) -> Optional[Batch]:
        """Returns the next batch of data, or ``None`` if none is ready; raises `_End` after the last. The
        caller holds the lock."""
        out = self._out
        while True:
            if not out.value:
                code = _next(self._pointer, self._out_at)
                if code == _abi.ERR_AGAIN:
                    return None
                if code == _abi.ERR_END:
                    self._raise(lib.bcda_job_result(self._pointer))
                    raise _End
                if code:
                    raise errors.from_code(code)
            pointer = out.value or 0
            batch = Batch(pointer, self._file(_batch_file(pointer)), self._fields)
            out.value = None
            if batch.file is None or not batch.file.is_error:
                return batch

    def _pull(self, deadline: Optional[float] = None) -> Batch:
        """Waits for the next batch and returns it; raises `_End` after the last."""
        core = self._core
        if _orphans:
            tidy()
        with core.lock:
            batch = self._take()
            if batch is not None:
                return batch
            before = core.drive()
        try:
            while True:
                with core.lock:
                    done = core.step()
                    batch = self._take()
                    if batch is not None:
                        return batch
                if done:
                    continue
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise errors.from_code(_abi.ERR_TIMEOUT)
                core.wait(left)
        finally:
            core.driver = before

    async def _pull_async(self) -> Batch:
        """The same as `_pull`, for asyncio."""
        driver = self._client._aio()
        while True:
            with self._core.lock:
                batch = self._take()
            if batch is not None:
                return batch
            await driver.wait()

    def batches(self) -> "Batches":
        """The resources of the data files, many at a time.

        Returns
        -------
        Batches
            An iterator of `Batch`, for ``for`` and for ``async for``. Batches of different files
            alternate; the batches of one file are in the order of that file. A batch is empty if all
            its lines are invalid.

        Raises
        ------
        StateError
            The data of this job is being taken or was already taken.

        Examples
        --------
        >>> with client.export("Patient") as job:
        ...     for batch in job.batches():
        ...         _ = len(batch), batch.ids, batch.json.buffer
        """
        return Batches(self)

    def __iter__(self) -> Iterator[Resource]:
        return _resources(Batches(self, report=False))

    def __aiter__(self) -> AsyncIterator[Resource]:
        return Resources(self)

    def wait(self, timeout: Optional[float] = None) -> None:
        """Drives the job to its end. Data that no loop has taken is discarded.

        Parameters
        ----------
        timeout : float, optional
            Seconds; then `TimeoutExpired` is raised. The next loop or `wait` continues the job.

        Raises
        ------
        StateError
            A loop over the job is open; `wait` would discard the data that the loop has not taken.
        Error
            The error of the job, or the exception of a callback.
        """
        seconds(timeout, "timeout")
        deadline = None if timeout is None else time.monotonic() + timeout
        self._wait_begins()
        try:
            while True:
                self._discard(self._pull(deadline))
        except _End:
            self._discard(None)
        finally:
            self._wait_ends()
        self._warn()

    async def _wait(self) -> None:
        self._wait_begins()
        try:
            while True:
                self._discard(await self._pull_async())
        except _End:
            self._discard(None)
        except BaseException:  # cancelling the task cancels its job
            self._core.leave(lib.bcda_job_cancel, self._handle)
            raise
        finally:
            self._wait_ends()
        self._warn()

    def __await__(self) -> Generator[Any, None, None]:
        """``await job`` does the same as `wait`, for asyncio."""
        return self._wait().__await__()

    def _report_bad_lines(self, batch: Batch) -> None:
        if self._callbacks.on_bad_line and batch.bad_line_count:
            for line in batch.bad_lines:
                self._callbacks.on_bad_line(self, line)

    # ---- control

    def _call(self, function: Callable[[int], int]) -> None:
        with self._core.lock:
            code = function(self._pointer)
            if code:
                raise self._core.error(code)
        self._core.wake()

    def cancel(self) -> None:
        """Ends the job in this process; a loop over it, or `wait`, raises `Cancelled`.

        May be called from any thread. The server is notified only with the option
        ``cancel_at_server``, and only while the job is driven, for example by `wait`.
        """
        self._call(lib.bcda_job_cancel)
        self._cancelled = True

    def pause(self) -> None:
        """Pauses the delivery until `resume`: a loop over the job waits. From any thread."""
        self._call(lib.bcda_job_pause)

    def resume(self) -> None:
        """Resumes the job after `pause`. From any thread."""
        self._call(lib.bcda_job_resume)

    def save(self) -> str:
        """Returns the text with which `Client.restore` can resume the job later, also in another process.

        Save when a file has ended and its resources are stored safely. The text is one line of JSON
        without secrets or patient data. It replaces all texts that were saved before.

        Raises
        ------
        StateError
            The server has not accepted the job yet.
        """
        return self._saved(lib.bcda_job_save)

    def save_changes(self) -> str:
        """Returns only what has changed since the last call of this method or of `save`.

        Append the text to the text that was saved before; `Client.restore` takes all of it. It is
        empty if nothing has changed. The first call returns the whole job, so `save` is not needed
        before it.

        To load each file exactly once, call this method in ``on_file`` at `FileEvent.END`, and store
        the text in the transaction that stores the file's resources. If the commit fails, let
        ``on_file`` raise: the file then does not count as complete.

        Raises
        ------
        StateError
            The server has not accepted the job yet.
        """
        return self._saved(lib.bcda_job_save_changes)

    def _saved(self, function: Callable[[int, Any], int]) -> str:
        made = ctypes.c_void_p()
        with self._core.lock:
            code = function(self._pointer, ctypes.byref(made))
            if code == _abi.ERR_STATE:
                raise errors.from_code(code, "the server has not accepted the job: there is nothing to save yet")
            if code:
                raise errors.from_code(code)
            try:
                return text(ctypes.string_at(made.value or 0))
            finally:
                lib.bcda_free(made)

    @overload
    def confirm(self, what: Batch) -> bool: ...

    @overload
    def confirm(self, what: File, line: int) -> bool: ...

    def confirm(self, what: Union[Batch, File], line: Optional[int] = None) -> bool:
        """Says that the lines of a file are stored: of a batch and all before it, or up to a line.

        Saved texts then contain that line, and a restored job delivers only what follows it. Needs the
        option ``confirm_lines``: ``"verified"`` for lines of verified delivery, or ``"staged"`` also
        for provisional lines, if what is stored of a file is discarded when the file fails. The file
        then counts as complete when its last line was confirmed, and not before.

        If a file fails with a `DataError`, nothing of it is confirmed any more: discard what was stored
        of it. After any other error the lines up to `File.confirmed_line` stay valid.

        Parameters
        ----------
        what : Batch or File
            With a batch, all its lines are confirmed, with the invalid lines at its end.
        line : int, optional
            With a file: the number of the last line that is stored, such as `Resource.line_number` or
            `InvalidLine.number`. Lines are confirmed in increasing order.

        Returns
        -------
        bool
            False if this line cannot be confirmed any more, because hundreds of later batches were
            delivered. Nothing has changed then. A later line can be confirmed, and so can the last
            line of every file.

        Raises
        ------
        InvalidArgument
            The line was not delivered, or a later one was confirmed before; the file is not one of
            this job.
        StateError
            The option ``confirm_lines`` does not allow it; the file has failed, or was skipped.
        """
        file, number = self._line_of(what, line)
        with self._core.lock:
            code = lib.bcda_job_confirm(self._pointer, file._pointer, number)
            if code == _abi.ERR_INVALID:
                raise named(self._core.error(code), "line", number)
            if code not in (_abi.OK, _abi.ERR_AGAIN):
                raise self._core.error(code)
        return bool(code == _abi.OK)

    def _line_of(self, what: Union[Batch, File], line: Optional[int]) -> Tuple[File, int]:
        """The arguments of `confirm` as a file and the number of a line."""
        if isinstance(what, Batch):
            if line is not None:
                raise TypeError("line is given with a batch, whose last line is confirmed")
            keyword, file, number = "batch", what.file, what.last_line
        elif isinstance(what, File):
            if isinstance(line, bool) or not isinstance(line, int):
                raise mistyped("line", line, "an int")
            if not -(1 << 63) <= line < 1 << 63:
                raise refused("line", line, "within 64 bits")
            keyword, file, number = "file", what, line
        else:
            raise mistyped("what", what, "a Batch or a File")
        if file is None or file._handle is not self._handle:
            raise errors.from_code(_abi.ERR_INVALID, f"{keyword}: it is not one of this job")
        return file, number

    def close(self) -> None:
        """Cancels the job if it still runs, and drives it to its end. Does not raise `Cancelled`."""
        if self.result is not None or self._core.session is None:
            return
        self.cancel()
        try:
            self.wait()
        except errors.Cancelled:
            pass

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: "Optional[TracebackType]") -> None:
        if kind is None:
            self.close()
        elif self._core.session is not None and self.result is None:
            self.cancel()  # an exception is being raised: do not wait

    # ---- state and results

    def _get(self, getter: Callable[[int], Any]) -> Any:
        with self._core.lock:
            return getter(self._pointer)

    @property
    def state(self) -> JobState:
        """The state of the job."""
        return JobState(self._get(lib.bcda_job_state))

    @property
    def result(self) -> Optional[ErrorCode]:
        """`ErrorCode.OK` (0), or the code of the failure; ``None`` while it runs."""
        code = int(self._get(lib.bcda_job_result))
        return None if code == _abi.ERR_AGAIN else ErrorCode(code)

    @property
    def verdict(self) -> Verdict:
        """The verdict on the whole job. Only with `Verdict.COMPLETE` nothing needs attention."""
        return Verdict(self._get(lib.bcda_job_verdict))

    @property
    def error(self) -> Optional[errors.Error]:
        """Why the job failed; ``None`` while it runs, and if it succeeded."""
        with self._core.lock:
            pointer = lib.bcda_job_error(self._pointer)
            return errors.from_pointer(pointer) if pointer else None

    @property
    def url(self) -> str:
        """The status URL of the job, for `Client.attach`; empty until the server has accepted the job."""
        return text(self._get(lib.bcda_job_url))

    @property
    def id(self) -> str:
        """The last segment of `url`."""
        return text(self._get(lib.bcda_job_id))

    @property
    def is_taken_over(self) -> bool:
        """Whether an identical export was already running, and this job took it over."""
        return bool(self._get(lib.bcda_job_is_taken_over))

    @property
    def progress_text(self) -> str:
        """The last progress text of the server."""
        return text(self._get(lib.bcda_job_progress_text))

    @property
    def progress_percent(self) -> Optional[int]:
        """The percentage in `progress_text`; ``None`` if it has none. The value may jump, and 100 does not
        mean that the job has ended."""
        percent = int(self._get(lib.bcda_job_progress_percent))
        return percent if percent >= 0 else None

    @property
    def transaction_time(self) -> str:
        """The time to pass as ``since`` to the next export. Empty before the manifest was received."""
        return text(self._get(lib.bcda_job_transaction_time))

    @property
    def files(self) -> List[File]:
        """The files of the manifest: data files, then files of deletions if they are downloaded,
        then error files. Empty before the manifest, unless the job was restored from a text that lists
        them and has failed, because the server no longer has it."""
        with self._core.lock:
            return [self._file(lib.bcda_job_file(self._pointer, i))
                    for i in range(lib.bcda_job_file_count(self._pointer))]

    @property
    def missing_types(self) -> Tuple[str, ...]:
        """The requested types that have no file in the manifest.

        The server had nothing to export for them (with `since`, nothing new), or left them out
        because another job exports them at the same time; the manifest does not distinguish the two
        cases. Empty before the manifest, and if no types were requested.
        """
        with self._core.lock:
            return tuple(text(lib.bcda_job_missing_type(self._pointer, i))
                         for i in range(lib.bcda_job_missing_type_count(self._pointer)))

    @property
    def deleted_files(self) -> int:
        """How many files of deletions the manifest lists. Without ``on_deletion``, or the option
        ``pull_deletions``, they are not downloaded, and they are not among `files`."""
        return int(self._get(lib.bcda_job_deleted_file_count))

    @property
    def deletions(self) -> int:
        """How many deletions were reported to ``on_deletion``, or were in batches."""
        return int(self._get(lib.bcda_job_deletions))

    @property
    def files_ended(self) -> int:
        """How many files have a verdict."""
        return int(self._get(lib.bcda_job_files_ended))

    @property
    def bytes_received(self) -> int:
        """How many bytes were received."""
        return int(self._get(lib.bcda_job_bytes_received))

    @property
    def bytes(self) -> int:
        """How many bytes of NDJSON were decoded."""
        return int(self._get(lib.bcda_job_bytes))

    @property
    def resources(self) -> int:
        """How many resources of data files were delivered: the number that the loop yielded.

        The issues in error files are not data; `issue_counts` counts them. Deletions are counted by
        `deletions`.
        """
        return int(self._get(lib.bcda_job_resources))

    @property
    def bad_lines(self) -> int:
        """How many lines were invalid."""
        return int(self._get(lib.bcda_job_bad_lines))

    @property
    def issue_counts(self) -> Mapping[Severity, int]:
        """How many issues of each severity the server's error files had."""
        with self._core.lock:
            return {severity: lib.bcda_job_issue_count(self._pointer, severity)
                    for severity in Severity}

    def __repr__(self) -> str:
        return f"<bcda.Job {self.id or 'not accepted yet'} {self.state.name.lower()}>"


class Batches:
    """The iterator that `Job.batches` returns, for ``for`` and for ``async for``."""

    __slots__ = ("_job", "_over", "_report")

    def __init__(self, job: Job, report: bool = True) -> None:
        self._over = True
        job._claim()
        self._job = job
        self._report = report
        self._over = False

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> Batch:
        try:
            batch = self._job._pull()
        except Exception as e:
            if not self._has_ended(e):
                raise
        else:
            return self._shown(batch)
        self._job._warn()
        raise StopIteration

    def __aiter__(self) -> "Batches":
        return self

    async def __anext__(self) -> Batch:
        try:
            batch = await self._job._pull_async()
        except Exception as e:
            if not self._has_ended(e):
                raise
        else:
            return self._shown(batch)
        self._job._warn()
        raise StopAsyncIteration

    def _shown(self, batch: Batch) -> Batch:
        if self._report:
            self._job._report_bad_lines(batch)
        return batch

    def _has_ended(self, error: Exception) -> bool:
        """Whether `error` means that no further batch will follow, because the job has ended or failed."""
        if self._job.result is not None:
            self._over = True
            self._job._claimed = _TAKEN
        return isinstance(error, _End)

    def __del__(self) -> None:
        if not self._over:  # the loop was left early: the next call on the session cancels the job
            self._job._claimed = _LEFT
            self._job._core.leave(lib.bcda_job_cancel, self._job._handle)


def _outside() -> int:
    """The `stacklevel` with which `warnings.warn` in the caller shows a line of the application."""
    here = os.path.dirname(__file__)
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and os.path.dirname(frame.f_code.co_filename) == here:
        level, frame = level + 1, frame.f_back
    return level


def _merged(job: Job, batch: Batch) -> Iterator[Resource]:
    """Yields the resources of a batch. Between them it reports the invalid lines, in the order of the file."""
    bad = batch.bad_lines
    at = 0
    for i, number in enumerate(batch.line_numbers.tolist()):
        while at < len(bad) and bad[at].number < number:
            at += 1
            assert job._callbacks.on_bad_line is not None
            job._callbacks.on_bad_line(job, bad[at - 1])
        yield Resource(batch, i)
    for line in bad[at:]:
        assert job._callbacks.on_bad_line is not None
        job._callbacks.on_bad_line(job, line)


def _resources(batches: Batches) -> Iterator[Resource]:
    job = batches._job
    reports = job._callbacks.on_bad_line is not None
    for batch in batches:
        if reports and batch.bad_line_count:
            yield from _merged(job, batch)
        else:
            for i in range(len(batch)):
                yield Resource(batch, i)


class Resources:
    """The resources of a job for ``async for``."""

    __slots__ = ("_batches", "_rest")

    def __init__(self, job: Job) -> None:
        self._batches = Batches(job, report=False)
        self._rest: Iterator[Resource] = iter(())

    def __aiter__(self) -> "Resources":
        return self

    async def __anext__(self) -> Resource:
        while True:
            for resource in self._rest:
                return resource
            batch = await self._batches.__anext__()
            job = self._batches._job
            if job._callbacks.on_bad_line and batch.bad_line_count:
                self._rest = _merged(job, batch)
            else:
                self._rest = iter(batch)
