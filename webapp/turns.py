"""Threads that take turns: one works, and whoever has to wait lets another one work meanwhile.

Threads that all want Python's interpreter take it from each other in the middle of everything: each statement of SQLite
lets go of it several times, and each time it goes to somebody else and has to be won back. That took longer than what
the threads had to do. Here a thread that answers a request keeps at it until it is done, or until it says that it waits
(`waiting`): for the disk, a database server, ORCID. Then, and only then, the next one goes on.

One thread at a time watches the connections; what comes, it reads and answers itself, without handing it to anybody
(Schmidt, O'Ryan, Kircher, Pyarali: Leader/Followers, 2000). When it has to wait, the one that watched last before it
takes over. What may take long without saying so is not answered here, but by the server's other threads; and so is all
that comes while everybody else waits, for somebody has to watch (`followed`).
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from waitress import wasyncore

_LONGEST_LOOK = 1.0
"""In seconds: how long connections are watched before the server looks after those that are idle."""
_GRACE = 5.0
"""In seconds: how long what is being answered may take when all is to end."""


class _Own(threading.local):
    """What a thread has in hand."""

    watches = False
    """Whether it is the one that watches the connections."""
    works = False
    """Whether it is the one that works."""

    def __init__(self) -> None:
        self.baton = threading.Lock()
        """What it waits for: whoever has what it wants gives it, and this with it."""
        self.baton.acquire()


class _Waiting:
    """What a thread is in while it waits."""

    __slots__ = ("_turns", "_worked")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._worked = False

    def __enter__(self) -> None:
        self._worked = self._turns.leave()

    def __exit__(self, *_: object) -> None:
        if self._worked:
            self._turns.come_back()


class Turns:
    """Who works, who watches, and who comes next.

    Whenever nobody works somebody watches: the server is to leave one for it who waits for nothing (`followed`). A
    thread that works must not wait for a lock that somebody may hold who waits, unless it says so as well: neither
    would ever go on.
    """

    def __init__(self) -> None:
        self._own = _Own()
        self._order = threading.Lock()
        self._worked = False
        self._come_back: deque[threading.Lock] = deque()
        self._watched = False
        self._idle: list[threading.Lock] = []
        self._free = 0
        """How many threads beside the one that watches have nothing in hand."""
        self._ended = threading.Event()
        self._broken: BaseException | None = None

    @property
    def mine(self) -> bool:
        """Whether it is this thread's turn."""
        return self._own.works

    @property
    def followed(self) -> bool:
        """Whether somebody would watch if this thread, which watches and works, had to wait."""
        return self._free > 0

    def waiting(self) -> _Waiting:
        """Give what to be in while waiting; for a thread that has no turn it means nothing."""
        return _Waiting(self)

    def leave(self) -> bool:
        """Let others work; tells whether it was this thread's turn at all."""
        own = self._own
        if not own.works:
            return False
        own.works = False
        with self._order:
            if own.watches:
                own.watches = self._watched = False
                self._free -= 1
            self._pass_on()
        return True

    def come_back(self) -> None:
        """Work on, when those who came back before have done their part."""
        own = self._own
        with self._order:
            mine, self._worked = not self._worked, True
            if not mine:
                self._come_back.append(own.baton)
        if not mine:
            own.baton.acquire()
        own.works = True

    def _pass_on(self) -> None:
        """Give the turn to who came back first; where nobody did, see to it that somebody watches."""
        if self._come_back:
            # Whoever ends an answer and finds that nobody watches does so: nobody has to be woken for it
            self._come_back.popleft().release()
            return
        self._worked = False
        if self._idle and not self._watched:
            self._watched = True
            self._idle.pop().release()

    def run(self, server: Any, channels: dict[int, Any], threads: int) -> None:
        """Serve until this thread is interrupted; what is being answered then is given five seconds to end.

        `server` is one of waitress, and `channels` its map of what is watched, by the numbers of files. So many
        `threads` answer, and one more is there to watch while all of them wait.
        """
        self._wake, server.pull_trigger = server.pull_trigger, self._tell
        self._free = threads
        workers = [threading.Thread(target=self._work, args=[channels], daemon=True) for _ in range(threads + 1)]
        for worker in workers:
            worker.start()
        try:
            self._ended.wait()
        finally:
            self._ended.set()
            self._wake()
            deadline = time.monotonic() + _GRACE
            for worker in workers:
                worker.join(max(0.0, deadline - time.monotonic()))
        raise RuntimeError("a thread of the server ended before its time") from self._broken

    _wake: Callable[[], object]

    def _tell(self) -> None:
        # Whoever comes to watch sees what has changed until then; only who does so already has to be told
        if self._watched and not self._own.watches:
            self._wake()

    def _work(self, channels: dict[int, Any]) -> None:
        try:
            while not self._ended.is_set():
                self._be_idle()
                self.come_back()
                while self._is_to_watch() and not self._ended.is_set():
                    self._deal_with(self._look(channels), channels)
                self.leave()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the one who runs it all is told
            self._broken = error
            self._ended.set()
            self.leave()

    def _be_idle(self) -> None:
        """Wait until there is nobody who watches; those who were idle last come first, for they have all at hand."""
        own = self._own
        with self._order:
            mine, self._watched = not self._watched, True
            if not mine:
                self._idle.append(own.baton)
        if not mine:
            own.baton.acquire()
        own.watches = True

    def _is_to_watch(self) -> bool:
        """Tell whether it is this thread that watches: it goes on, or has ended an answer and nobody does."""
        own = self._own
        if not own.watches:
            with self._order:
                self._free += 1
                own.watches, self._watched = not self._watched, True
        return own.watches

    def _look(self, channels: dict[int, Any]) -> list[tuple[int, int]]:
        """Watch until something comes; whoever comes back from waiting works meanwhile."""
        looking = _looking(channels)
        self._own.works = False
        with self._order:
            self._pass_on()
        try:
            return looking.poll(1000 * _LONGEST_LOOK)
        finally:
            self.come_back()

    def _deal_with(self, ready: list[tuple[int, int]], channels: dict[int, Any]) -> None:
        """Deal with what came, or with the first part of it that makes one wait."""
        for number, events in ready:
            channel = channels.get(number)
            if channel is not None:
                wasyncore.readwrite(channel, events)
            if not self._own.watches:
                return  # whoever watches next sees the others as well


def _looking(channels: dict[int, Any]) -> select.poll:
    """Give what watches; as in `wasyncore.poll2`, which does not stop there."""
    looking = select.poll()
    for number, channel in [*channels.items()]:
        events = select.POLLIN | select.POLLPRI if channel.readable() else 0
        if channel.writable() and not channel.accepting:
            events |= select.POLLOUT
        if events:
            looking.register(number, events)
    return looking
