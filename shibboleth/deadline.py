"""Deadlines for calls to other servers, whatever these servers do.

Socket time-outs restart with each packet, and neither a host name look-up nor a write to a disk has one. Therefore each
call runs in a thread of its own, and the caller stops waiting at the deadline. The thread ends by its own time-outs.
Until then it counts against the limit of the calls to this server; calls to others are not affected.
"""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TypeVar

Result = TypeVar("Result")


class Saturated(Exception):
    """Every thread for calls to a server is still waiting for it."""

    def __init__(self, running: int) -> None:
        super().__init__(running)
        self.running = running


class Deadline:
    """A time of the monotonic clock at which waiting ends."""

    def __init__(self, seconds: float) -> None:
        self._at = monotonic() + seconds
        self._then: Callable[[], None] | None = None

    @property
    def left(self) -> float:
        """Seconds until the deadline, at least 0.001, so that it is a valid time-out."""
        return max(self._at - monotonic(), 0.001)

    @property
    def passed(self) -> bool:
        """Whether it has passed."""
        return monotonic() >= self._at

    def check(self) -> None:
        """Check that the deadline has not passed.

        Raises:
            TimeoutError: If it has.
        """
        if self.passed:
            raise TimeoutError(errno.ETIMEDOUT, "no answer in time")

    def when_passed(self, call: Callable[[], None]) -> None:
        """Register a function that the waiting caller calls if the deadline passes."""
        self._then = call

    def expire(self) -> None:
        """Call the registered function."""
        if self._then is not None:
            self._then()


def shut_down(connection: socket.socket) -> None:
    """Interrupt what another thread waits for at a connection.

    The connection is not closed: the thread would read from the next connection that gets the same descriptor.
    """
    with suppress(OSError):
        # Not the method of TLS sockets, which changes what the other thread is reading from
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


@dataclass(slots=True)
class BoundedThreads:
    """Threads for calls that may not return, at most `most` at the same time.

    Equal limits compare equal.
    """

    most: int
    _free: threading.Semaphore = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._free = threading.Semaphore(self.most)

    def run(self, call: Callable[[], Result], deadline: Deadline) -> Result:
        """Return what the call returns, or raise what it raises.

        Raises:
            TimeoutError: If the deadline passes; the call continues in its thread.
            Saturated: If as many calls as allowed are still running.
        """
        deadline.check()
        if not self._free.acquire(blocking=False):
            raise Saturated(self.most)
        outcomes: SimpleQueue[Result | BaseException] = SimpleQueue()
        try:
            # A daemon, unlike the threads of ThreadPoolExecutor: the process can end without it
            threading.Thread(target=self._run, args=(call, outcomes), daemon=True).start()
        except RuntimeError:  # the system gives no thread
            self._free.release()
            raise
        try:
            outcome = outcomes.get(timeout=deadline.left)
        except Empty:
            deadline.expire()
            raise TimeoutError from None
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _run(self, call: Callable[[], Result], outcomes: SimpleQueue[Result | BaseException]) -> None:
        try:
            outcome: Result | BaseException = call()
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            outcome = error
        self._free.release()
        outcomes.put(outcome)
