"""What the worker does beside delivering: it counts, and it forgets.

Forgotten are people of whom nothing is to be kept, people who wished to be erased, and attempts that were abandoned.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta

from resolver_connector.http import Report
from sql.errors import StoreUnavailable
from sql.repositories.attempts import KEEP_EXPIRED
from sql.store import Store

EVERY = timedelta(minutes=1)
GRACE = timedelta(minutes=15)
"""So long after the last transfer has answered, the person can still look at what came of it."""
SMALL_HOURS = range(1, 4)
"""UTC: when the database is written anew, which holds up whoever writes."""


class Maintenance:
    """Counts what has happened, and forgets what is to be forgotten."""

    def __init__(
        self,
        store: Store,
        forgetful: Collection[str],
        report: Report,
        *,
        retention: Mapping[str, int] | None = None,
        asking: Collection[str] = (),
    ) -> None:
        """Take organisations by their entityIDs: those with `keep = "nothing"`, and those that may fetch changes.

        `retention` is after how many days people go who have no link any more, for the organisations where they do.
        """
        self._retention = dict(retention or {})
        self._asking = frozenset(asking)
        self._retired_on: date | None = None
        self._store = store
        self._forgetful = tuple(forgetful)
        self._report = report
        self._done_at: datetime | None = None
        self._scrubbed_on: date | None = None

    def turn(self, now: datetime) -> None:
        """Do what is due; soon after the last time nothing is. Never raises for a store that is away."""
        if self._done_at is not None and abs(now - self._done_at) < EVERY:
            return
        self._done_at = now
        try:
            self._store.statistics.count_up()
            self._forget_all(now)
        except StoreUnavailable as error:
            self._report("store-unavailable", reason=str(error))

    def _forget_all(self, now: datetime) -> None:
        self._store.attempts.delete_expired(now - KEEP_EXPIRED)
        if forgotten := sum(self._forget(entity_id, now - GRACE) for entity_id in self._forgetful):
            self._report("forgotten", changes=forgotten)
        if erased := self._store.erasures.finish_due(now) + self._retire(now):
            self._report("erased", persons=erased)
        if self._forgetful or self._store.erasures.finished_since_vacuum():
            self._scrub(now)

    def _forget(self, entity_id: str, before: datetime) -> int:
        forgotten = 0
        while numbers := self._store.retention.list_forgettable(entity_id, before):
            gone = sum(self._store.retention.forget(entity_id, number) for number in numbers)
            if not gone:
                break
            forgotten += gone
        return forgotten

    def _retire(self, now: datetime) -> int:
        if now.hour not in SMALL_HOURS or self._retired_on == now.date():
            return 0
        gone = sum(
            self._store.erasures.erase_inactive(
                entity_id, now - timedelta(days=days), now, by_feed=entity_id in self._asking
            )
            for entity_id, days in self._retention.items()
        )
        self._retired_on = now.date()
        return gone

    def _scrub(self, now: datetime) -> None:
        if now.hour in SMALL_HOURS and self._scrubbed_on != now.date() and self._store.vacuum(now):
            self._scrubbed_on = now.date()
            self._report("scrubbed")
