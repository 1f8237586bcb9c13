"""Several processes that do the same work: a parent starts them, starts anew whoever dies, and ends them with itself.

They are forks of a parent that has no thread and no connection, so each has all that was loaded and made before, and
shares the memory of it. Once they run, nothing but a signal ends the parent: those that are left go on answering.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from time import monotonic
from typing import NoReturn

from webapp.log import log

PAUSE = 1.0
"""In seconds: how much later than itself another is started in place of one that died at once."""
REST = 5.0
"""In seconds: how much later it is tried again when the machine had no room for another process."""
GRACE = 8.0
"""In seconds: how long they may take to end; a server gives five to what it is answering."""
_HEARD = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
_LONG = 3600.0


def keep_working(number: int, *, work: Callable[[], None], ready: Callable[[], None]) -> None:
    """Have so many processes work until SIGTERM or SIGINT, and tell `ready` when they are started."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    try:
        workers = _Workers(number, work)
        workers.start_due()
        ready()
        while not _told_to_end(workers.soonest()):
            workers.bury()
            workers.start_due()
        workers.end()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _told_to_end(seconds: float) -> bool:
    """Wait until something happens, for so long at most."""
    heard = signal.sigtimedwait(_HEARD, seconds)
    return heard is not None and heard.si_signo != signal.SIGCHLD


class _Workers:
    """The processes that there are, and those that there are to be."""

    def __init__(self, number: int, work: Callable[[], None]) -> None:
        self._work = work
        self._born: dict[int, float] = {}
        self._due = [monotonic()] * number
        # Nothing is ever written into it: its end is the news that the parent is gone
        self._heard_by_workers, self._held_by_parent = os.pipe()

    def soonest(self) -> float:
        """Give how many seconds there are until one is to be started."""
        return max(0.0, min(self._due) - monotonic()) if self._due else _LONG

    def bury(self) -> None:
        """Note who has died, and when another is to be started in their place."""
        for pid in [*self._born]:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                born, now = self._born.pop(pid), monotonic()
                self._due.append(max(now, born + PAUSE))
                log("worker-died", pid=pid, status=os.waitstatus_to_exitcode(status), seconds=round(now - born))

    def start_due(self) -> None:
        """Start those whose time has come; where the machine has no room for one just now, later."""
        now = monotonic()
        for due in [each for each in self._due if each <= now]:
            try:
                self._start()
            except OSError as error:
                later = now + REST
                self._due = [max(each, later) for each in self._due]
                log("worker-not-started", reason=error.strerror or type(error).__name__, again_in=round(REST))
                return
            self._due.remove(due)

    def _start(self) -> None:
        pid = os.fork()
        if pid == 0:
            os.close(self._held_by_parent)
            _live(self._work, self._heard_by_workers)
        self._born[pid] = monotonic()

    def end(self) -> None:
        """End them all: asked first, and made to in the end."""
        self._signal(signal.SIGTERM)
        deadline = monotonic() + GRACE
        while self._born and monotonic() < deadline:
            signal.sigtimedwait({signal.SIGCHLD}, max(0.0, deadline - monotonic()))
            self._reap()
        self._signal(signal.SIGKILL)
        for pid in self._born:
            os.waitpid(pid, 0)

    def _reap(self) -> None:
        for pid in [*self._born]:
            if os.waitpid(pid, os.WNOHANG)[0]:
                del self._born[pid]

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._born:
            os.kill(pid, number)


def _live(work: Callable[[], None], parent: int) -> NoReturn:
    """Be a worker, and nothing else after that."""
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
        threading.Thread(target=_end_with_parent, args=[parent], daemon=True).start()
        work()
        status = 0
    except (SystemExit, KeyboardInterrupt):
        status = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, it ends this process and is told here
        log.exception(error)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _end_with_parent(parent: int) -> None:
    os.read(parent, 1)
    os.kill(os.getpid(), signal.SIGTERM)
