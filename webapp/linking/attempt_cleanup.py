"""Deletion of expired attempts during requests, without a worker."""

from __future__ import annotations

from datetime import datetime, timedelta

from sql.repositories.attempts import KEEP_EXPIRED, AttemptRepository

INTERVAL = timedelta(minutes=10)


class AttemptCleanup:
    """Deletes expired attempts in batches; pauses for INTERVAL when none is left."""

    def __init__(self) -> None:
        self._finished_at: datetime | None = None

    def run(self, attempts: AttemptRepository, now: datetime) -> None:
        """Delete a batch of expired attempts if it is due, in one short transaction."""
        due = self._finished_at is None or abs(now - self._finished_at) >= INTERVAL
        if due and attempts.delete_some_expired(now - KEEP_EXPIRED):
            self._finished_at = now
