"""When SQLite's disk is waited for, and who does so: whoever commits, or somebody else while others go on.

A commit that is waited for aside (`sql.waits`) costs two ways from one thread to another and back, and on the way each
takes the interpreter from the other. A good disk takes a commit in less than that. So it is waited for in place, until
one commit was slow: the disk was, or another thread kept the interpreter meanwhile. Then some are waited for aside,
and twice as many each time that the next one in place is slow again: a disk that hesitates now and then stays quick.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from time import monotonic

from sql.waits import Waits

SLOW = 0.002
"""In seconds: a commit that takes so long in place is the last one there for a while."""
FEWEST, MOST = 4, 256
"""How many commits are waited for aside after the first slow one, and after many that were slow one after the other."""
OFTEN = 400
"""After how many commits, of those too that do not wait for the disk, the write-ahead log is taken into the file. One
adds one to twenty pages to the log."""
MOST_PAGES = 16_000
"""How long the log grows before SQLite itself takes it into the file, in the middle of some commit: twice what this
process adds to it at most, since another one adds to it as well."""


class Disk:
    """The disk of one process's writer, of whom there is one at a time."""

    __slots__ = ("_aside", "_commits", "_next", "_waits")

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._commits = 0
        """How many there were since the log was taken in."""
        self._aside = 0
        """How many are still waited for aside."""
        self._next = FEWEST
        """How many will be, when one in place is slow."""

    def count(self) -> None:
        """Count a commit that does not come by here: one statement by itself."""
        self._commits += 1

    def commit(self, driver: sqlite3.Connection, *, durable: bool) -> None:
        """Commit, and if durable come back when it is on the disk."""
        self.count()
        if not durable:
            driver.execute("commit")
        elif self._commits >= OFTEN:
            self._waits.aside(lambda: _commit_and_take_in(driver))
            self._commits = 0
        elif self._aside:
            self._aside -= 1
            self._waits.aside(lambda: driver.execute("commit"))
        else:
            self._commit_in_place(driver)

    def _commit_in_place(self, driver: sqlite3.Connection) -> None:
        begun = monotonic()
        try:
            driver.execute("commit")
        finally:
            slow = monotonic() - begun >= SLOW
            self._aside = self._next if slow else 0
            self._next = min(2 * self._next, MOST) if slow else FEWEST


def _commit_and_take_in(driver: sqlite3.Connection) -> None:
    driver.execute("commit")
    # What is committed is committed, also where its log cannot be taken in now
    with suppress(sqlite3.Error):
        driver.execute("pragma wal_checkpoint(passive)").fetchall()
