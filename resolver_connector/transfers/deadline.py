"""Deadlines of deliveries: a caller waits no longer than told, whatever a receiver does.

The time-outs of sockets start anew with each packet, and neither the system's look-up of a host name nor a disk has
one. So each delivery runs in a thread of its own, and its caller stops waiting when the deadline passes. Such a thread
ends when its own time-outs let it; until then it takes one of a bounded number of threads of its transfer, and no
thread of any other.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeVar

Result = TypeVar("Result")

THREADS_OF_A_TRANSFER = 32
"""More than the deliveries that a worker and a web server have under way to one transfer at the same time."""


class Saturated(Exception):
    """All threads of a transfer still wait for its receiver."""

    def __init__(self, running: int) -> None:
        super().__init__(running)
        self.running = running


class Deadline:
    """A moment of the monotonic clock, by which something has to have ended."""

    def __init__(self, seconds: float) -> None:
        self._at = monotonic() + seconds
        self._then: Callable[[], None] | None = None

    @property
    def left(self) -> float:
        """Seconds until then; never less than a millisecond, so that they can be a time-out."""
        return max(self._at - monotonic(), 0.001)

    @property
    def passed(self) -> bool:
        """Whether it has passed."""
        return monotonic() >= self._at

    def check(self) -> None:
        """Raise TimeoutError if it has passed."""
        if self.passed:
            raise TimeoutError(errno.ETIMEDOUT, "no answer in time")

    def when_passed(self, call: Callable[[], None]) -> None:
        """Have this called, by whoever waits, if it passes before the waiting is over."""
        self._then = call

    def give_up(self) -> None:
        """Call what has to be called when it passes."""
        if self._then is not None:
            self._then()


@dataclass(slots=True)
class BoundedThreads:
    """Threads for calls that may not return: so many at the same time, and no more."""

    most: int = THREADS_OF_A_TRANSFER
    _free: threading.Semaphore = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._free = threading.Semaphore(self.most)

    def run(self, call: Callable[[], Result], deadline: Deadline) -> Result:
        """Return what the call returns, or raise what it raises.

        Raises:
            TimeoutError: the deadline has passed; the call goes on in its thread, which keeps its place.
            Saturated: there is no thread to be had.

        """
        deadline.check()
        if not self._free.acquire(blocking=False):
            raise Saturated(self.most)
        future: Future[Result] = Future()
        try:
            threading.Thread(target=self._run, args=(call, future), daemon=True).start()
        except RuntimeError:  # the system gives no thread
            self._free.release()
            raise
        try:
            return future.result(deadline.left)
        except TimeoutError:
            deadline.give_up()
            raise

    def _run(self, call: Callable[[], Result], future: Future[Result]) -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            self._free.release()
            future.set_exception(error)
        else:
            self._free.release()
            future.set_result(result)
