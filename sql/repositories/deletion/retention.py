"""Deletion of old changes, and of the data of people who have left.

Data that is not to be kept after its delivery (`keep = "nothing"`) is deleted here too. Deleted rows leave traces in
the database's files; `Store.vacuum` removes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from sql import rows
from sql.endings import delete_attempts, delete_links_of_person
from sql.engines.base import Transaction, Values
from sql.records import Link
from sql.repositories.base import NO_LIMIT, DeprovisionResult, Repository, Rollback
from sql.repositories.statistics import count_deleted_links

LEFT_ORGANISATION = "left the organisation"
"""The reason in the audit log of a removal that the organisation asked for."""


class RetentionRepository(Repository):
    """Deletion of old changes and of people."""

    def list_expired_changes(self, organisation_id: str, before: datetime, limit: int = 500) -> list[int]:
        """Return the numbers of the oldest changes delivered before a time."""
        time = rows.format_timestamp(before)
        found = self.engine.fetch_all("list_expired_changes", organisation=organisation_id, before=time, limit=limit)
        return [row["number"] for row in found]

    def delete_change(self, organisation_id: str, number: int, now: datetime) -> bool:
        """Delete a change and, if it is the person's last one, the person's data.

        The data is the person's links, closed attempts and facts in the audit log. What stays identifies no person:
        that there was a change, which transfers received it, and when.

        Returns:
            False when the change is deleted already, or a delivery of it is waiting.
        """
        change_number: Values = {"organisation": organisation_id, "number": number}
        with self.engine.transaction() as session:
            session.fetch_one("lock_organisation", organisation=organisation_id)
            change = session.fetch_one("get_change", **change_number)
            if change is None or session.fetch_one("get_waiting_delivery_of_change", **change_number):
                return False
            person = {"organisation": organisation_id, "person_key": change["person_key"]}
            session.execute("delete_change", **change_number)
            session.execute("anonymise_deliveries_of_change", **change_number)
            if session.fetch_one("get_newest_change_of_person", **person) is None:
                current = session.fetch_all("get_link_id", **person)
                count_deleted_links(session, organisation_id, change["at"][:10], len(current))
                delete_links_of_person(session, person, now)
                session.execute("erase_facts_of_person", **person)
                session.execute("delete_read_events", **person)
                attempts = session.fetch_all("list_attempts_of_person", **person, limit=NO_LIMIT)
                delete_attempts(session, [row for row in attempts if row["closed_at"] is not None], now)
            return True

    def deprovision(  # noqa: PLR0913 - all that a request says
        self,
        organisation_id: str,
        person_key: str,
        now: datetime,
        *,
        transfers: Sequence[str] = (),
        precondition: Callable[[Link | None], None] = lambda _link: None,
        dry_run: bool = False,
    ) -> DeprovisionResult:
        """End the link of a person who has left the organisation.

        Their attempts and mail are deleted, and the audit log keeps its events. A repeated call changes nothing.

        Args:
            transfers: The names of the organisation's transfers, to which the removal is delivered.
            precondition: Called with the current link; what it raises rolls back.
            dry_run: Roll everything back.
        """
        person = {"organisation": organisation_id, "person_key": person_key}
        with suppress(Rollback), self.organisation_transaction(organisation_id, now) as transaction:
            session = transaction.session
            link = transaction.current_link(person_key)
            precondition(link)
            attempts = delete_mail_and_attempts(session, person, now)
            links = 0 if link is None else 1
            result = DeprovisionResult(links, attempts, links * len(transfers))
            if link is not None:
                transaction.remove_link(link, "organisation", LEFT_ORGANISATION, transfers)
            elif attempts:
                facts = {"reason": LEFT_ORGANISATION}
                transaction.insert_event("deprovisioned", "organisation", person_key, facts)
            if dry_run:
                raise Rollback
        return result


def delete_mail_and_attempts(session: Transaction, person: Mapping[str, str], now: datetime) -> int:
    """Delete a person's waiting mail and attempts; return the number of attempts."""
    session.execute("delete_mail_of_person", **person)
    return delete_attempts(session, session.fetch_all("list_attempts_of_person", **person, limit=NO_LIMIT), now)
