"""How long changes are kept for whoever fetches them: the worker lets go of older ones."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from resolver_connector.http import Report
from sql.errors import StoreUnavailable
from sql.store import Store


class FeedRetention:
    """Lets go of old changes, once a day."""

    def __init__(self, store: Store, kept: timedelta, report: Report) -> None:
        """Take how long a change is kept at the least."""
        self._store = store
        self._kept = kept
        self._report = report
        self._done_on: date | None = None

    def turn(self, now: datetime) -> None:
        """Do what is due; for the rest of the day nothing is. Never raises for a store that is away."""
        if self._done_on == now.date():
            return
        try:
            gone = self._store.changes.delete_before(now - self._kept)
        except StoreUnavailable as error:
            self._report("store-unavailable", reason=str(error))
            return
        self._done_on = now.date()
        if gone:
            self._report("changes-forgotten", changes=gone)
