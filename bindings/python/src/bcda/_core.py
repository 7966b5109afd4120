"""One session of the library, and the rules that every call on it keeps.

- One lock serialises the calls: a second thread waits for the step at hand, which is short. Only one
  thread at a time moves the session (iterates, waits); a second one is refused.
- Waiting is done here, on the session's descriptor, without the lock and without the interpreter's
  lock, so that signals are handled at once.
- A finalizer may run anywhere: on a foreign thread, inside a callback, inside a log call. It frees
  nothing. It puts what is to be done on a list (`garbage`, `orphans`) and wakes the session; the
  next call that may do it does it, or the end of the interpreter.
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

#: How long a build without one descriptor waits before it looks at signals again.
SLICE_MS = 100

_local = threading.local()


def callback_depth() -> int:
    """How many callbacks of the library are below the caller, in this thread."""
    return getattr(_local, "depth", 0)


def enter_callback() -> None:
    _local.depth = getattr(_local, "depth", 0) + 1


def leave_callback() -> None:
    _local.depth -= 1


class Unique:
    """One object of the library's: a second one in Python would free it again."""

    __slots__ = ()

    def __reduce__(self) -> Any:
        raise TypeError("clients, jobs, files and decoders cannot be pickled, nor sent to another process: make a "
                        "client there, and hand over job.save()")

    def __deepcopy__(self, _: Any) -> Any:
        return self


class Core(Unique):
    """A ``bcda_session``. Holds no object of the user's, so that it never keeps one alive."""

    def __init__(self, session: int) -> None:
        self.session: Optional[int] = session
        self.lock = threading.RLock()
        self.wake_lock = threading.RLock()
        self.driver: Optional[int] = None  # the thread that moves the session
        self.garbage: Deque[Tuple[Callable[[int], Any], "Handle"]] = collections.deque()
        self.raising: Optional[BaseException] = None  # KeyboardInterrupt and its like: at once
        self.fd: int = lib.bcda_session_fd(session)
        self.poller: Optional["select.poll"] = None
        if self.fd >= 0:
            self.poller = select.poll()
            self.poller.register(self.fd, select.POLLIN)
        self.aio: Any = None
        _cores.add(self)

    # ---- the list of what finalizers leave behind

    def wake(self) -> None:
        """From any thread, and from finalizers."""
        with self.wake_lock:
            if self.session is not None:
                lib.bcda_session_wakeup(self.session)

    def leave(self, action: Callable[[int], Any], handle: "Handle") -> bool:
        """What a finalizer does: mark, and wake. False: the session is gone."""
        with self.wake_lock:
            if self.session is None:
                return False
            self.garbage.append((action, handle))
            lib.bcda_session_wakeup(self.session)
            return True

    def settle(self) -> None:
        """Does what finalizers left. With the lock."""
        while self.garbage:
            action, handle = self.garbage.popleft()
            action(handle.pointer)
            del handle  # its own reference comes back in the same way

    # ---- calls

    def live(self) -> int:
        if self.session is None:
            raise errors.from_code(_abi.ERR_STATE, "the client is closed")
        return self.session

    def error(self, code: int) -> errors.Error:
        """The error of the last call that failed. With the lock."""
        if self.session is None:
            return errors.from_code(code)
        pointer = lib.bcda_session_error(self.session)
        if pointer and lib.bcda_error_code(pointer) == code:
            return errors.from_pointer(pointer)
        return errors.from_code(code)

    def check(self, code: int) -> int:
        """`code`, where it says that all is well."""
        if code < 0:
            raise self.error(code)
        return code

    def drive(self) -> Optional[int]:
        """This thread moves the session from now on; who did before. With the lock."""
        me = threading.get_ident()
        before = self.driver
        if before is not None and before != me:
            raise errors.from_code(_abi.ERR_STATE, "another thread is waiting on this client; a "
                                   "client is moved by one thread at a time")
        self.driver = me
        return before

    def step(self) -> int:
        """What can be done now. 0: nothing could. With the lock."""
        if self.session is None:  # closed by a callback: whoever asks next finds that out
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
        """Until a step would do something. Without the lock."""
        if self.poller is not None:
            self.poller.poll(None if seconds is None else max(0, int(seconds * 1000) + 1))
            return
        # A build on poll(): the library waits, in slices, so that signals are looked at.
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
    """A counted object of the library that may only be given back on the owner's side."""

    __slots__ = ("pointer", "__weakref__")

    def __init__(self, core: Core, pointer: int, unref: Callable[[int], Any]) -> None:
        self.pointer = pointer
        finalizer = weakref.finalize(self, _give_back, core, pointer, unref)
        finalizer.atexit = False


class _Bare(Handle):
    """A pointer whose handle is gone already."""

    __slots__ = ()

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer


def _give_back(core: Core, pointer: int, unref: Callable[[int], Any]) -> None:
    if not core.leave(unref, _Bare(pointer)):
        _leftovers.append((unref, pointer))  # nobody will settle that session any more


_cores: "weakref.WeakSet[Core]" = weakref.WeakSet()
_orphans: Deque[Core] = collections.deque()  # sessions whose clients were collected
_leftovers: Deque[Tuple[Callable[[int], Any], int]] = collections.deque()
_pid = os.getpid()


def abandon(core: Core) -> None:
    """The finalizer of a client."""
    if core.session is not None:
        _orphans.append(core)
        core.wake()


def tidy() -> None:
    """Frees what collected clients have left, where the caller is in no callback."""
    if callback_depth():
        return
    while _orphans:
        _orphans.popleft().close()
    while _leftovers:
        unref, pointer = _leftovers.popleft()
        unref(pointer)


def _at_exit() -> None:
    """Sessions that another thread is inside of are left to the end of the process."""
    for core in list(_cores):
        if core.lock.acquire(blocking=False):
            try:
                if core.driver in (None, threading.get_ident()):
                    core.close()
            except BaseException:  # there is nobody left to tell
                pass
            finally:
                core.lock.release()
    _leftovers.clear()


def _in_child() -> None:
    """A lock that another thread held at the fork would never be given back."""
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
