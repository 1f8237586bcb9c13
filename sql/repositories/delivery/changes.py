"""Numbered changes of links, and how far an organisation has read its feed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from sql import rows
from sql.records import Change, LinkSummary
from sql.repositories.base import NO_LIMIT, Repository

DELETE_BATCH = 5_000
"""Number of changes that one statement deletes, which keeps other writers' waits short."""


class ChangeRepository(Repository):
    """Numbered changes of links, and the feed's acknowledgements."""

    def list_after(self, organisation_id: str, after: int, limit: int) -> list[Change]:
        """Return the changes of an organisation after a number, oldest first."""
        found = self.engine.fetch_all("list_changes_after", organisation=organisation_id, after=after, limit=limit)
        return [rows.change_from_row(row) for row in found]

    def last_number(self, organisation_id: str) -> int:
        """Return the number of an organisation's last change; 0 when there was none."""
        row = self.engine.fetch_one("get_last_change_number", organisation=organisation_id)
        return 0 if row is None else int(row["last_change_number"])

    def snapshot(self, organisation_id: str) -> tuple[int, Iterator[LinkSummary]]:
        """Return an organisation's last change number and current links.

        The links are read a page at a time, and the number is that of the time of the call. A link that is added or
        removed while the links are read may be missing or included: a reader that stores the links by person, and then
        applies the changes after the number by person, has the current state.
        """
        number = self.last_number(organisation_id)
        return number, map(rows.link_summary_from_row, self.pages("list_link_summaries", organisation_id))

    def oldest_number(self, organisation_id: str) -> int:
        """Return the number from which on all changes are kept.

        If none is kept, it is the number that the next change will get. A reader that has read up to a number has
        missed changes if the number after it is smaller. A change of an erased person does not count as missing if the
        organisation had acknowledged it.
        """
        row = self.engine.fetch_one("get_oldest_change_number", organisation=organisation_id)
        if row is None:
            return 1
        oldest = row["next"] if row["oldest"] is None else row["oldest"]
        return max(int(oldest), int(row["erased_through"]) + 1)

    def newest_for_person(self, organisation_id: str, person_key: str) -> Change | None:
        """Return a person's newest change that is kept."""
        row = self.engine.fetch_one("get_newest_change_of_person", organisation=organisation_id, person_key=person_key)
        return None if row is None else rows.change_from_row(row)

    def list_for_person(self, organisation_id: str, person_key: str, limit: int = NO_LIMIT) -> list[Change]:
        """Return a person's changes that are kept, newest first."""
        found = self.engine.fetch_all(
            "list_changes_of_person", organisation=organisation_id, person_key=person_key, limit=limit
        )
        return [rows.change_from_row(row) for row in found]

    def acknowledge(self, organisation_id: str, number: int, now: datetime) -> bool:
        """Store that an organisation has read all changes up to a number.

        A number smaller than the stored one changes nothing and is accepted.

        Returns:
            False when there is no such change.
        """
        self.engine.execute("acknowledge", organisation=organisation_id, number=number, now=rows.format_timestamp(now))
        stored = self.acknowledged(organisation_id)
        return number <= (stored[0] if stored else 0)

    def acknowledged(self, organisation_id: str) -> tuple[int, datetime] | None:
        """Return the highest number that an organisation has acknowledged, and when."""
        row = self.engine.fetch_one("get_acknowledgement", organisation=organisation_id)
        return None if row is None else (row["number"], rows.parse_timestamp(row["at"]))

    def delete_before(self, before: datetime, except_for: Collection[str] = ()) -> int:
        """Delete the changes made before a time, and return their number.

        In each organisation it stops at the first change with a waiting or dead-letter delivery. A reader of the feed
        that has not read them needs a new snapshot.

        Args:
            except_for: The ids of organisations whose changes are kept.
        """
        deleted, time = 0, rows.format_timestamp(before)
        found = self.engine.fetch_all("list_organisations")
        for organisation_id in [row["organisation"] for row in found if row["organisation"] not in except_for]:
            (bounds,) = self.engine.fetch_all("get_deletable_changes", organisation=organisation_id, before=time)
            until, keep_from = bounds["oldest"] or bounds["keep_from"], bounds["keep_from"]
            while until < keep_from:
                until = min(until + DELETE_BATCH, keep_from)
                deleted += self.engine.execute("delete_changes_before", organisation=organisation_id, before=until)
        return deleted
