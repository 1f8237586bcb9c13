"""How to wait for what is outside this process: a socket, a place among those who may, or what takes its time.

Whoever runs the service may have others answered meanwhile, if it is told what is waited for. Where nobody minds, one
waits in place.
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeVar

Found = TypeVar("Found")

READABLE, WRITABLE = select.POLLIN, select.POLLOUT
"""What a file is waited for to be."""


class Waiter(Protocol):
    """One who waits to be called, once."""

    def wait(self) -> bool:
        """Wait; false when time ends first."""

    def call(self) -> None:
        """Let them go on, whichever thread knows that they can."""


class Waits(Protocol):
    """How it is waited. A `Waiter` is made from how long it may take, in seconds."""

    def until(self, file: int, events: int, seconds: float) -> bool:
        """Wait until the file of this number is READABLE or WRITABLE, or broken; false when time ends first.

        One at a time waits for a file.
        """

    def aside(self, act: Callable[[], Found]) -> Found:
        """Do what waits for this machine alone, such as for its disk, and give or raise what it does."""

    def afar(self, act: Callable[[], Found]) -> Found:
        """Do what waits for somebody else, who may be slow or not there, and give or raise what it does."""

    def pause(self, seconds: float) -> None:
        """Let so much time go by."""

    def waiter(self, seconds: float) -> Waiter:
        """Give what waits to be called."""


class Places:
    """So many places, each somebody's at a time. Who has waited for longest is given the one that comes free."""

    def __init__(self, number: int, waits: Waits) -> None:
        self._free = number
        self._waits = waits
        self._lock = threading.Lock()
        self._queue: deque[Waiter] = deque()

    def take(self, seconds: float) -> bool:
        """Take one, waiting for so long at most; false when there was none."""
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return True
            waiter = self._waits.waiter(seconds)
            self._queue.append(waiter)
        return waiter.wait() or not self._gave_up(waiter)

    def _gave_up(self, waiter: Waiter) -> bool:
        with self._lock:
            if waiter not in self._queue:
                return False  # it was called just when its time ended: the place is taken
            self._queue.remove(waiter)
            return True

    def give_back(self) -> None:
        """Let another have it."""
        with self._lock:
            if self._queue:
                self._queue.popleft().call()
            else:
                self._free += 1


class _ThreadWaiter:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._called = threading.Lock()
        self._called.acquire()

    def wait(self) -> bool:
        return self._called.acquire(timeout=self._seconds)

    def call(self) -> None:
        self._called.release()


class InPlace:
    """Waits in place: whoever waits does nothing else."""

    def until(self, file: int, events: int, seconds: float) -> bool:
        """Wait until the file can be used."""
        # Not `select`: it takes no file beyond the thousandth, and a server may have more
        looking = select.poll()
        looking.register(file, events)
        return bool(looking.poll(1000 * seconds))

    def aside(self, act: Callable[[], Found]) -> Found:
        """Do it."""
        return act()

    afar = aside

    def pause(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    def waiter(self, seconds: float) -> Waiter:
        """Give what a thread waits by."""
        return _ThreadWaiter(seconds)


IN_PLACE = InPlace()
