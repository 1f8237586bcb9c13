"""Deleting expired attempts in passing, for services that run no worker."""

from __future__ import annotations

from datetime import datetime, timedelta

from sql.repositories.attempts import KEEP_EXPIRED, AttemptRepository

INTERVAL = timedelta(minutes=10)


class AttemptCleanup:
    """Deletes expired attempts, at most once in an interval when there are few, and some at each call when many."""

    def __init__(self) -> None:
        self._finished_at: datetime | None = None

    def run(self, attempts: AttemptRepository, now: datetime) -> None:
        """Delete some of them, if it is time to; one transaction, so that nobody waits for long."""
        due = self._finished_at is None or abs(now - self._finished_at) >= INTERVAL
        if due and attempts.delete_some_expired(now - KEEP_EXPIRED):
            self._finished_at = now
