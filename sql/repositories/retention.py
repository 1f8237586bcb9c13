"""What the store no longer keeps: old changes, people who have left, and those of whom nothing is to be kept.

To forget is to delete rows. What deleted rows leave behind in the database's files is for `vacuum`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sql import rows
from sql.engines.base import Values
from sql.organisation_transaction import Repository
from sql.repositories.statistics import count_attempts, count_forgotten

LEAVING = "left the organisation"
"""The reason in the audit of a removal that the organisation asked for."""


@dataclass(frozen=True, slots=True)
class Gone:
    """What goes, or would go, with a person."""

    links: int
    attempts: int
    deliveries: int
    """How many transfers are, or would be, told of the removal."""


class _OnlyLooking(Exception):
    """Undoes a transaction that was begun to see what it would do."""

    def __init__(self, gone: Gone) -> None:
        super().__init__("this was to be undone")
        self.gone = gone


class RetentionRepository(Repository):
    """Deleting what is no longer kept."""

    def list_forgettable(self, entity_id: str, before: datetime, limit: int = 500) -> list[int]:
        """Give the numbers of the oldest changes of which nothing has been owed since a moment, for `forget`."""
        since = rows.timestamp(before)
        found = self.engine.fetch_all("some_forgettable", organisation=entity_id, before=since, limit=limit)
        return [row["number"] for row in found]

    def forget(self, entity_id: str, number: int) -> bool:
        """Forget a change and whom it was about; false when it is gone already, or still owed to some transfer.

        With the last change of a person go their links, their closed attempts, and what the audit says of them. What
        stays names nobody: that there was a change, which transfers got it, and when.
        """
        whose: Values = {"organisation": entity_id, "number": number}
        with self.engine.transaction() as session:
            session.fetch_one("hold_organisation", organisation=entity_id)
            change = session.fetch_one("change_of_number", **whose)
            if change is None or session.fetch_all("owed", **whose):
                return False
            person = {"organisation": entity_id, "person_key": change["person_key"]}
            session.execute("forget_change", **whose)
            session.execute("forget_deliveries", **whose)
            if session.fetch_one("newest_change_of", **person) is None:
                own = session.fetch_all("own_orcid_id", **person)
                count_forgotten(session, entity_id, change["at"][:10], len(own))
                session.execute("forget_links", **person)
                session.execute("erase_facts", **person)
                count_attempts(session, session.fetch_all("forget_closed_attempts", **person))
            return True

    def deprovision(
        self, entity_id: str, person_key: str, now: datetime, *, transfers: Sequence[str] = (), dry_run: bool = False
    ) -> Gone:
        """Forget a person who has left, as their organisation asks: their link ends, and their attempts are gone.

        The removal is owed to the `transfers`. The audit keeps its lines. Twice is the same as once; a dry run tells
        what would go, by doing it and undoing it.
        """
        try:
            return self._deprovision(entity_id, person_key, now, transfers, dry_run)
        except _OnlyLooking as looked:
            return looked.gone

    def _deprovision(
        self, entity_id: str, person_key: str, now: datetime, transfers: Sequence[str], dry_run: bool
    ) -> Gone:
        whose = {"organisation": entity_id, "person_key": person_key}
        with self._holding(entity_id, now) as held:
            own = held.session.fetch_all("link_of", **whose)
            held.session.execute("forget_mails", **whose)
            attempts = held.session.fetch_all("forget_attempts", **whose)
            count_attempts(held.session, attempts)
            gone = Gone(len(own), len(attempts), len(own) * len(transfers))
            if own:
                held.remove(rows.link_of(own[0]), "organisation", LEAVING, transfers)
            elif attempts:
                held.event("deprovisioned", "organisation", person_key, {"reason": LEAVING})
            if dry_run:
                raise _OnlyLooking(gone)
            return gone
