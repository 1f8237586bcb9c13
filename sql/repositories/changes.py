"""Numbered changes of links, and how far an organisation has fetched them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sql import rows
from sql.organisation_transaction import Repository
from sql.records import Change, CurrentLink
from sql.repositories.links import ALL, paged

AT_ONCE = 5_000
"""How many changes are let go of by one statement."""


class ChangeRepository(Repository):
    """Numbered changes of links, and how far an organisation has fetched them."""

    def list_after(self, entity_id: str, after: int, limit: int) -> list[Change]:
        """Give the next changes of an organisation after a number, oldest first."""
        found = self.engine.fetch_all("changes_after", organisation=entity_id, after=after, limit=limit)
        return [rows.change_of(row) for row in found]

    def last_number(self, entity_id: str) -> int:
        """Give the number of an organisation's last change; 0 when there was none."""
        row = self.engine.fetch_one("last_change", organisation=entity_id)
        return 0 if row is None else int(row["changes"])

    def snapshot(self, entity_id: str) -> tuple[int, Iterator[CurrentLink]]:
        """Give the number of an organisation's last change, and all its current links, a page at a time.

        The number is of the moment of the call; a link that comes or goes while the links are read may be seen or
        not. Whoever puts the links down by their persons and then applies the changes after the number, again by
        their persons, ends with what the organisation has: what both tell is the same.
        """
        number = self.last_number(entity_id)
        return number, map(rows.current_link_of, paged(self.engine, "some_current_links", entity_id))

    def oldest_number(self, entity_id: str) -> int:
        """Give the number of the oldest change from which on none is missing; the next number where none is kept.

        Whoever has read up to a number has missed something if the next after it is smaller than this. A change is not
        missing that was about somebody who has been erased since, once the organisation had fetched that.
        """
        row = self.engine.fetch_one("oldest_change", organisation=entity_id)
        if row is None:
            return 1
        oldest = row["next"] if row["oldest"] is None else row["oldest"]
        return max(int(oldest), int(row["forgotten"]) + 1)

    def newest_for_person(self, entity_id: str, person_key: str) -> Change | None:
        """Give a person's newest change that is kept."""
        row = self.engine.fetch_one("newest_change_of", organisation=entity_id, person_key=person_key)
        return None if row is None else rows.change_of(row)

    def list_for_person(self, entity_id: str, person_key: str, limit: int = ALL) -> list[Change]:
        """Give the changes of a person's link that are kept."""
        found = self.engine.fetch_all("changes_of_person", organisation=entity_id, person_key=person_key, limit=limit)
        return [rows.change_of(row) for row in found]

    def acknowledge(self, entity_id: str, number: int, now: datetime) -> bool:
        """Keep that an organisation has all changes up to a number; false when there is no such change.

        It never goes back: a smaller number than before is true, and changes nothing.
        """
        self.engine.execute("acknowledge", organisation=entity_id, number=number, now=rows.timestamp(now))
        come = self.acknowledged(entity_id)
        return number <= (come[0] if come else 0)

    def acknowledged(self, entity_id: str) -> tuple[int, datetime] | None:
        """Tell up to which number an organisation has its changes, and when it said so."""
        row = self.engine.fetch_one("acknowledged", organisation=entity_id)
        return None if row is None else (row["number"], rows.time_of(row["at"]))

    def delete_before(self, before: datetime) -> int:
        """Let go of the changes made before a moment, up to the first that some transfer still lacks; tell how many.

        A reader of the feed who has not come so far has to begin again with a snapshot.
        """
        organisations = [row["organisation"] for row in self.engine.fetch_all("organisations")]
        return sum(self._delete_before(name, rows.timestamp(before)) for name in organisations)

    def _delete_before(self, entity_id: str, before: str) -> int:
        """Let go of them by so many at a time that nobody waits for it."""
        (found,) = self.engine.fetch_all("kept_from", organisation=entity_id, before=before)
        until, first, gone = found["oldest"] or found["first"], found["first"], 0
        while until < first:
            until = min(until + AT_ONCE, first)
            gone += self.engine.execute("forget_changes", organisation=entity_id, until=until)
        return gone
