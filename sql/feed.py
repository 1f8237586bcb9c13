"""The feed's part of the store: for organisations that fetch their changes and say how far they have come."""

from __future__ import annotations

from datetime import datetime

from sql import rows
from sql.held import Keeper
from sql.records import Change


class Feed(Keeper):
    """The part of the store that knows where the changes of an organisation begin, and how far it has read them."""

    def oldest_change(self, entity_id: str) -> int:
        """Give the number of the oldest change from which on none is missing; the next number where none is kept.

        Whoever has read up to a number has missed something if the next after it is smaller than this. A change is not
        missing that was about somebody who has been erased since, once the organisation had fetched that.
        """
        row = self.engine.fetch_one("oldest_change", organisation=entity_id)
        if row is None:
            return 1
        oldest = row["next"] if row["oldest"] is None else row["oldest"]
        return max(int(oldest), int(row["forgotten"]) + 1)

    def newest_change_of(self, entity_id: str, person_key: str) -> Change | None:
        """Give a person's newest change that is kept."""
        row = self.engine.fetch_one("newest_change_of", organisation=entity_id, person_key=person_key)
        return None if row is None else rows.change_of(row)

    def acknowledge(self, entity_id: str, number: int, now: datetime) -> bool:
        """Keep that an organisation has all changes up to a number; false when there is no such change.

        It never goes back: a smaller number than before is true, and changes nothing.
        """
        self.engine.execute("acknowledge", organisation=entity_id, number=number, now=rows.moment(now))
        come = self.acknowledged(entity_id)
        return number <= (come[0] if come else 0)

    def acknowledged(self, entity_id: str) -> tuple[int, datetime] | None:
        """Tell up to which number an organisation has its changes, and when it said so."""
        row = self.engine.fetch_one("acknowledged", organisation=entity_id)
        return None if row is None else (row["number"], rows.time_of(row["at"]))
