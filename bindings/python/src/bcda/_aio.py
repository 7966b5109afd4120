"""Runs a session in an asyncio event loop, which watches the session's descriptor. No threads are used."""

from __future__ import annotations

import asyncio
import time
from typing import Optional, Set

from . import _abi, errors
from ._core import Core

#: How long the session may work before it returns to the event loop, in seconds.
SLICE = 0.002
#: The interval of steps, in seconds, of a session that has no descriptor to watch (a build on poll()).
TICK = 0.02


class Driver:
    """Steps a session in one event loop, while a coroutine waits for that session."""

    def __init__(self, core: Core, loop: asyncio.AbstractEventLoop) -> None:
        self.core = core
        self.loop = loop
        self.waiters: Set["asyncio.Future[None]"] = set()
        self.watching = False

    async def wait(self) -> None:
        """Waits until the session has made a step that did something."""
        if self.core.session is None:
            self.core.live()
        waiter = self.loop.create_future()
        self.waiters.add(waiter)
        self.watch()
        try:
            await waiter
        finally:
            self.waiters.discard(waiter)

    def watch(self) -> None:
        if self.watching:
            return
        self.watching = True
        if self.core.fd >= 0:
            self.loop.add_reader(self.core.fd, self.readable)
        else:
            self.loop.call_later(TICK, self.tick)

    def forget(self) -> None:
        """The session is being freed: wakes the coroutines that wait for it."""
        if self.watching and self.core.fd >= 0 and not self.loop.is_closed():
            self.loop.remove_reader(self.core.fd)
        self.watching = False
        self.wake(None)

    def wake(self, error: Optional[BaseException]) -> None:
        waiters, self.waiters = self.waiters, set()
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    def readable(self) -> None:
        if not self.waiters:  # no coroutine waits
            # In a child of fork() this is false: the child must not change the epoll set that it
            # shares with its parent.
            if self.core.aio is self:
                self.loop.remove_reader(self.core.fd)
                self.watching = False
            return
        self.run_slice()

    def tick(self) -> None:
        self.watching = False
        if self.waiters:
            self.run_slice()
            if self.waiters:
                self.watch()

    def run_slice(self) -> None:
        until = time.monotonic() + SLICE
        core = self.core
        try:
            with core.lock:
                before = core.drive()
                try:
                    while core.step() and time.monotonic() < until:
                        pass
                finally:
                    core.driver = before
        except Exception as e:
            self.wake(e)
        except BaseException:
            self.wake(None)
            raise
        else:
            self.wake(None)
