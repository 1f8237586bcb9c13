"""Answers that take turns in one thread: one is worked on, and when it has to wait the next one is.

Threads that all want Python's interpreter take it from each other in the middle of everything, and each way from one to
another costs more than many a page. Here one thread watches the connections and answers what comes itself. An answer
that has to wait, for a database server, for ORCID, for a place among the writers, says so (`sql.waits.Waits`): it is
put aside as it stands (a greenlet), and goes on in the same thread once it can. What nobody can watch, such as a slow
disk, is waited for by a helper, a thread of its own.

What may take long without saying so is not answered here, but by the server's other threads.
"""

from __future__ import annotations

import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, cast

from greenlet import getcurrent, greenlet
from waitress import wasyncore

from sql.waits import IN_PLACE, Found, Waiter

LONGEST_LOOK = 1.0
"""In seconds: how long connections are watched before the server looks after those that are idle."""
MOST_HELPERS = 64
"""How many threads wait at once for what cannot be watched: so many for the disk, and as many for others."""
MOST_ANSWERS = 256
"""How many answers are under way at once; the next is left to the server's other threads, and waits for one."""


class _Answer(greenlet):
    """An answer that is being worked on, or waits."""


class _Rest:
    """One wait of one answer."""

    __slots__ = ("_turns", "answer", "until")

    def __init__(self, turns: Turns, answer: _Answer, until: float) -> None:
        self._turns = turns
        self.answer = answer
        self.until = until

    def wait(self) -> bool:
        """Let others be answered, until this one is called or its time is over."""
        return self._turns._put_aside(self)  # noqa: SLF001 - its own

    def call(self) -> None:
        """Let the answer go on."""
        self._turns._go_on(self)  # noqa: SLF001 - its own


class Turns:
    """Who is answered and who waits; before `run`, and for whoever is not answered here, one waits in place."""

    def __init__(self) -> None:
        self._hub: greenlet | None = None
        self._under_way = 0
        self._unused: list[_Answer] = []
        self._resting: set[_Rest] = set()
        self._soonest = math.inf
        """Before this time no wait is too long."""
        self._back: deque[_Rest] = deque()
        """Who can go on."""
        self._files: dict[int, tuple[int, _Rest]] = {}
        """What is watched for whom, by the numbers of files."""
        self._helpers, self._messengers = _Helpers(MOST_HELPERS), _Helpers(MOST_HELPERS)
        self._looks = False
        self._bell = -1
        self._ending = threading.Event()
        self._answering: threading.Thread | None = None
        self._broken: BaseException | None = None

    @property
    def mine(self) -> bool:
        """Whether this is the thread that answers, ready to begin another answer."""
        return getcurrent() is self._hub and self._under_way < MOST_ANSWERS

    # What those who are answered say

    def until(self, file: int, events: int, seconds: float) -> bool:
        """Wait until a file can be used; false when time ends first."""
        rest = self._rest(seconds)
        if rest is None:
            return IN_PLACE.until(file, events, seconds)
        self._files[file] = events, rest
        try:
            return rest.wait()
        finally:
            del self._files[file]

    def aside(self, act: Callable[[], Found]) -> Found:
        """Have a helper do what waits for the disk."""
        return self._done_by(self._helpers, act)

    def afar(self, act: Callable[[], Found]) -> Found:
        """Have a messenger do what waits for somebody else."""
        return self._done_by(self._messengers, act)

    def pause(self, seconds: float) -> None:
        """Let so much time go by."""
        self.waiter(seconds).wait()

    def waiter(self, seconds: float) -> Waiter:
        """Give what waits to be called."""
        return self._rest(seconds) or IN_PLACE.waiter(seconds)

    def _rest(self, seconds: float = math.inf) -> _Rest | None:
        """Give what an answer waits by; none for whoever is not answered here."""
        answer = getcurrent()
        return _Rest(self, answer, time.monotonic() + seconds) if isinstance(answer, _Answer) else None

    def _done_by(self, helpers: _Helpers, act: Callable[[], Found]) -> Found:
        rest = self._rest()
        if rest is None:
            return act()
        errand = _Errand(act, rest.call)
        helpers.take(errand)
        rest.wait()
        return cast("Found", errand.found())

    def _put_aside(self, rest: _Rest) -> bool:
        self._resting.add(rest)
        self._soonest = min(self._soonest, rest.until)
        in_time: bool = cast("greenlet", self._hub).switch()
        return in_time

    def _go_on(self, rest: _Rest) -> None:
        self._back.append(rest)
        self._tell()

    def _tell(self, *_: object) -> None:
        # Whoever comes to watch sees what has changed until then; only who does so already has to be told
        if self._looks:
            self._looks = False
            os.eventfd_write(self._bell, 1)

    # What the thread does that answers

    def answer(self, act: Callable[[], object]) -> None:
        """Begin an answer, and come back when it is done or has to wait."""
        # A greenlet is kept for the next answer: to make one costs a piece of memory from the kernel, and back
        answer = self._unused.pop() if self._unused else _Answer(self._answer_one_by_one, self._hub)
        answer.switch(act)

    def _answer_one_by_one(self, act: Callable[[], object]) -> None:
        own = cast("_Answer", getcurrent())
        while True:
            self._under_way += 1
            try:
                act()
            finally:
                self._under_way -= 1
            self._unused.append(own)
            act = cast("greenlet", self._hub).switch()

    def run(self, server: Any, channels: dict[int, Any]) -> None:
        """Serve until this thread is interrupted or `end` is called; then `ended` waits for what is under way.

        `server` is one of waitress, and `channels` its map of what is watched, by the numbers of files. Raises
        RuntimeError where the thread that answers ended before its time.
        """
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        server.pull_trigger = self._tell
        self._answering = threading.Thread(target=self._answer_all, args=[channels], daemon=True)
        try:
            self._answering.start()
            # Not for ever: a signal that another thread was given is heard by this one when it wakes
            while not self._ending.wait(LONGEST_LOOK):
                pass
        finally:
            self.end()
        if self._broken is not None:
            raise RuntimeError("the thread that answers ended before its time") from self._broken

    def end(self) -> None:
        """Begin no answer any more."""
        self._ending.set()
        self._tell()

    def ended(self, seconds: float) -> bool:
        """Wait until what was under way is answered, for so long at most; false when time ends first."""
        # Whoever was interrupted in the middle of starting it has nothing under way either
        if self._answering is None or not self._answering.is_alive():
            return True
        self._answering.join(seconds)
        return not self._answering.is_alive()

    def _answer_all(self, channels: dict[int, Any]) -> None:
        self._hub = getcurrent()
        try:
            while not self._ending.is_set():
                self._turn(channels)
            while self._under_way:
                self._turn({})
        except BaseException as error:  # noqa: BLE001 - whatever it is, the one who runs it all is told
            self._broken = error
            self._ending.set()

    def _turn(self, channels: dict[int, Any]) -> None:
        """Watch until something comes, and work on it until all is done or waits."""
        new = []
        for file, events in self._look(channels):
            if file == self._bell:
                with suppress(BlockingIOError):
                    os.eventfd_read(file)
            elif file in self._files:
                self._resume(self._files[file][1], in_time=True)
            else:
                new.append((file, events))
        for _ in range(len(self._back)):
            self._resume(self._back.popleft(), in_time=True)
        for file, events in new:
            if file in channels:
                wasyncore.readwrite(channels[file], events)
        if self._soonest <= time.monotonic():
            self._wake_those_too_late()

    def _look(self, channels: dict[int, Any]) -> list[tuple[int, int]]:
        # Before anything is looked at: what changes from now on rings
        self._looks = True
        try:
            looking = select.poll()
            looking.register(self._bell, select.POLLIN)
            for file, events in self._wanted(channels):
                looking.register(file, events)
            return looking.poll(1000 * self._longest_look())
        finally:
            self._looks = False

    def _longest_look(self) -> float:
        if self._back or (self._ending.is_set() and not self._under_way):
            return 0.0
        return max(0.0, min(LONGEST_LOOK, self._soonest - time.monotonic()))

    def _wanted(self, channels: dict[int, Any]) -> Iterator[tuple[int, int]]:
        # As in `wasyncore.poll2`; another thread may take on or end a connection meanwhile
        for file, channel in [*channels.items()]:
            events = select.POLLIN | select.POLLPRI if channel.readable() else 0
            if channel.writable() and not channel.accepting:
                events |= select.POLLOUT
            if events:
                yield file, events
        for file, (events, _) in self._files.items():
            yield file, events

    def _resume(self, rest: _Rest, *, in_time: bool) -> None:
        # It may have gone on meanwhile, for its time was over
        if rest in self._resting:
            self._resting.remove(rest)
            rest.answer.switch(in_time)

    def _wake_those_too_late(self) -> None:
        now = time.monotonic()
        for rest in [each for each in self._resting if each.until <= now]:
            self._resume(rest, in_time=False)
        self._soonest = min((each.until for each in self._resting), default=math.inf)


class _Errand:
    """What a helper does for somebody."""

    __slots__ = ("_act", "_done", "_error", "_found")

    def __init__(self, act: Callable[[], object], done: Callable[[], object]) -> None:
        self._act = act
        self._done = done
        self._found: object = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Do it, and tell that it is done."""
        try:
            self._found = self._act()
        except BaseException as error:  # noqa: BLE001 - raised again where it was asked for
            self._error = error
        self._done()

    def found(self) -> object:
        """Give or raise what came of it."""
        if self._error is not None:
            raise self._error
        return self._found


class _Helpers:
    """Threads that do errands: started when all are busy, and then kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._idle: deque[None] = deque()
        """As many as have nothing to do."""
        self._errands: SimpleQueue[_Errand] = SimpleQueue()

    def take(self, errand: _Errand) -> None:
        """Have a helper do it. Only the thread that answers gives errands. Raises RuntimeError where there is none."""
        if self._idle:
            self._idle.pop()
        elif self._count < self._most:
            self._start()
        self._errands.put(errand)

    def _start(self) -> None:
        try:
            threading.Thread(target=self._help, daemon=True).start()
        except RuntimeError:
            # No room for another thread: those that there are will do it, if there are any
            if not self._count:
                raise
        else:
            self._count += 1

    def _help(self) -> None:
        while True:
            self._errands.get().run()
            self._idle.append(None)
