"""One session of the library, and the rules for every call on it.

- One lock serialises the calls: a second thread waits for the current step, which is short. Only
  one thread at a time drives the session (iterates, waits); a second one is refused.
- This module waits on the session's descriptor itself. It holds neither the lock of the session nor
  the interpreter's lock while it waits, so signals are handled at once.
- A finalizer may run anywhere: on another thread, inside a callback, inside a log call. So it frees
  nothing. It puts the object on a list (`garbage`, `_orphans`) and wakes the session. The object is
  freed by the next call that may free it, or at the end of the interpreter.
"""

from __future__ import annotations

import atexit
import collections
import os
import select
import threading
import weakref
from typing import Any, Callable, Deque, Optional, Tuple

from . import _abi, errors
from ._native import lib

_step = lib.bcda_session_step
_run = lib.bcda_session_run
_cancel = lib.bcda_job_cancel
_unref = lib.bcda_job_unref

#: How long a build on poll(), which has no single descriptor, waits before it checks for signals.
SLICE_MS = 100

_local = threading.local()


def callback_depth() -> int:
    """How many callbacks of the library are on the stack of this thread."""
    return getattr(_local, "depth", 0)


def enter_callback() -> None:
    _local.depth = getattr(_local, "depth", 0) + 1


def leave_callback() -> None:
    _local.depth -= 1


class Unique:
    """Base of classes that own one object of the library. They refuse to be copied, because the copy would
    free that object a second time."""

    __slots__ = ()

    def __reduce__(self) -> Any:
        raise TypeError("clients, jobs, files and decoders cannot be pickled, nor sent to another process: make a "
                        "client there, and hand over job.save()")

    def __deepcopy__(self, _: Any) -> Any:
        return self


class Core(Unique):
    """Owns a ``bcda_session``. A `Core` refers to no object of the application, so it keeps none alive."""

    def __init__(self, session: int) -> None:
        self.session: Optional[int] = session
        self.lock = threading.RLock()
        self.wake_lock = threading.RLock()
        self.driver: Optional[int] = None  # the thread that drives the session
        self.garbage: Deque[Tuple[Callable[[int], Any], "Handle"]] = collections.deque()
        self.raising: Optional[BaseException] = None  # KeyboardInterrupt and similar: raised at once
        self.fd: int = lib.bcda_session_fd(session)
        self.poller: Optional["select.poll"] = None
        if self.fd >= 0:
            self.poller = select.poll()
            self.poller.register(self.fd, select.POLLIN)
        self.aio: Any = None
        _cores.add(self)

    # ---- the list of objects that finalizers released

    def wake(self) -> None:
        """Ends the wait of the thread that drives the session. May be called from any thread, and from
        finalizers."""
        with self.wake_lock:
            if self.session is not None:
                lib.bcda_session_wakeup(self.session)

    def leave(self, action: Callable[[int], Any], handle: "Handle") -> bool:
        """For finalizers: queues the action and wakes the session. Returns False if the session is closed."""
        with self.wake_lock:
            if self.session is None:
                return False
            self.garbage.append((action, handle))
            lib.bcda_session_wakeup(self.session)
            return True

    def settle(self) -> None:
        """Executes the actions that finalizers have queued. The caller holds the lock."""
        while self.garbage:
            action, handle = self.garbage.popleft()
            action(handle.pointer)
            del handle  # its finalizer queues the release of the reference

    # ---- calls

    def live(self) -> int:
        if self.session is None:
            raise errors.from_code(_abi.ERR_STATE, "the client is closed")
        return self.session

    def error(self, code: int) -> errors.Error:
        """The error of the last call that failed. The caller holds the lock."""
        if self.session is None:
            return errors.from_code(code)
        pointer = lib.bcda_session_error(self.session)
        if pointer and lib.bcda_error_code(pointer) == code:
            return errors.from_pointer(pointer)
        return errors.from_code(code)

    def check(self, code: int) -> int:
        """Returns `code` if it is not an error."""
        if code < 0:
            raise self.error(code)
        return code

    def drive(self) -> Optional[int]:
        """Makes this thread the one that drives the session. Returns the thread that drove it before, if
        any. The caller holds the lock."""
        me = threading.get_ident()
        before = self.driver
        if before is not None and before != me:
            raise errors.from_code(_abi.ERR_STATE, "another thread is waiting on this client; one "
                                   "thread at a time drives a client")
        self.driver = me
        return before

    def step(self) -> int:
        """Does the work that is possible without waiting. Returns 0 if there was none. The caller holds the
        lock."""
        if self.session is None:  # closed by a callback: the next call reports it
            return 1
        if self.garbage:
            self.settle()
        done: int = _step(self.session)
        if self.raising is not None:
            raising, self.raising = self.raising, None
            raise raising
        if done < 0:
            raise self.error(done)
        return done

    def wait(self, seconds: Optional[float] = None) -> None:
        """Waits until a step would do something. The caller does not hold the lock."""
        if self.poller is not None:
            self.poller.poll(None if seconds is None else max(0, int(seconds * 1000) + 1))
            return
        # In a build on poll(), the library itself waits. Each wait is short, so that signals are handled.
        ms = SLICE_MS if seconds is None else max(0, min(SLICE_MS, int(seconds * 1000) + 1))
        with self.lock:
            if self.session is None:
                return
            self.settle()
            done = _run(self.session, ms)
            if self.raising is not None:
                raising, self.raising = self.raising, None
                raise raising
            if done not in (_abi.OK, 1, _abi.ERR_TIMEOUT, _abi.ERR_INTERRUPTED):
                raise self.error(done)

    # ---- the end

    def close(self) -> None:
        with self.lock:
            if self.driver not in (None, threading.get_ident()) and os.getpid() == _pid:
                raise errors.from_code(_abi.ERR_STATE, "another thread is waiting on this client: "
                                       "cancel its job first")
            self.settle()
            with self.wake_lock:
                session, self.session = self.session, None
            if session is None:
                return
            if self.aio is not None:
                self.aio.forget()
            lib.bcda_session_free(session)
            self.settle()
            raising, self.raising = self.raising, None
        if raising is not None:
            raise raising


class Handle(Unique):
    """Owns one reference to an object of the library (a job, a request). Only the thread that drives the
    session may release the reference, so the finalizer queues it."""

    __slots__ = ("pointer", "__weakref__")

    def __init__(self, core: Core, pointer: int, unref: Callable[[int], Any]) -> None:
        self.pointer = pointer
        finalizer = weakref.finalize(self, _give_back, core, pointer, unref)
        finalizer.atexit = False


class _Bare(Handle):
    """A pointer whose `Handle` was already collected. It has no finalizer."""

    __slots__ = ()

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer


def _give_back(core: Core, pointer: int, unref: Callable[[int], Any]) -> None:
    if not core.leave(unref, _Bare(pointer)):
        _leftovers.append((unref, pointer))  # the session is closed: no later call of it would release this


_cores: "weakref.WeakSet[Core]" = weakref.WeakSet()
_orphans: Deque[Core] = collections.deque()  # sessions whose clients were collected
_leftovers: Deque[Tuple[Callable[[int], Any], int]] = collections.deque()
_pid = os.getpid()


def abandon(core: Core) -> None:
    """The finalizer of a client: queues the client's session, which tidy() frees."""
    if core.session is not None:
        _orphans.append(core)
        core.wake()


def tidy() -> None:
    """Frees the sessions of collected clients, unless the caller is in a callback."""
    if callback_depth():
        return
    while _orphans:
        _orphans.popleft().close()
    while _leftovers:
        unref, pointer = _leftovers.popleft()
        unref(pointer)


def _at_exit() -> None:
    """Frees all sessions except those that another thread is using."""
    for core in list(_cores):
        if core.lock.acquire(blocking=False):
            try:
                if core.driver in (None, threading.get_ident()):
                    core.close()
            except BaseException:  # at this point nothing can report an exception
                pass
            finally:
                core.lock.release()
    _leftovers.clear()


def _in_child() -> None:
    """Runs in the child after fork(). Replaces the locks, because a lock that another thread of the parent
    held would never be released in the child."""
    global _pid
    _pid = os.getpid()
    for core in list(_cores):
        core.lock = threading.RLock()
        core.wake_lock = threading.RLock()
        core.driver = None
        core.aio = None


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
