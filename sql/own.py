"""What is kept of one person, all of it: for the person, who has a right to see it."""

from __future__ import annotations

from datetime import datetime

from sql import rows
from sql.held import Keeper
from sql.records import Attempt, Change, Erasure, Link

ALL = 2**63 - 1
"""A limit that is none."""


class Own(Keeper):
    """The part of the store that shows a person what is kept of them; one question for each kind, the newest first."""

    def links_of(self, entity_id: str, person_key: str, limit: int = ALL) -> list[Link]:
        """Give a person's links, those that ended too."""
        found = self.engine.fetch_all("links_of_person", organisation=entity_id, person_key=person_key, limit=limit)
        return [rows.link_of(row) for row in found]

    def attempts_of(self, entity_id: str, person_key: str, limit: int = ALL) -> list[Attempt]:
        """Give a person's attempts, as long as they are not swept out."""
        found = self.engine.fetch_all("attempts_of_person", organisation=entity_id, person_key=person_key, limit=limit)
        return [rows.attempt_of(row) for row in found]

    def changes_of(self, entity_id: str, person_key: str, limit: int = ALL) -> list[Change]:
        """Give the changes of a person's link that are kept."""
        found = self.engine.fetch_all("changes_of_person", organisation=entity_id, person_key=person_key, limit=limit)
        return [rows.change_of(row) for row in found]

    def erasure_of(self, entity_id: str, person_key: str) -> Erasure | None:
        """Give a person's wish to be forgotten, as long as it is not done."""
        row = self.engine.fetch_one("erasure_of_person", organisation=entity_id, person_key=person_key)
        return None if row is None else rows.erasure_of(row)

    def passed_on(self, entity_id: str, person_key: str) -> datetime | None:
        """Tell when the account was last seen to have passed to somebody else: what is older is not theirs to see."""
        row = self.engine.fetch_one("passed_on", organisation=entity_id, person_key=person_key)
        return None if row is None else rows.time_of(row["at"])
