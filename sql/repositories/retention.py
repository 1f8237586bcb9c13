"""Deletion of old changes, and of the data of people who have left.

Data that is not to be kept after its delivery (`keep = "nothing"`) is deleted here too. Deleted rows leave traces in
the database's files; `Store.vacuum` removes them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep

from sql import rows
from sql.endings import delete_attempts, delete_links_of_person
from sql.engines.base import Row, Session, Transaction, Values
from sql.records import Link
from sql.repositories.attested_links import MAX_BUSY, PAUSE
from sql.repositories.base import NO_LIMIT, PAGE_SIZE, DeprovisionResult, Repository, Rollback
from sql.repositories.statistics import count_deleted_links

REMOVAL_DELAY = timedelta(hours=1)
"""How long removals by a list can be cancelled."""
SIGNED_IN = "signed in"
"""The reason in the audit log of a removal that was cancelled because the person signed in."""
LEFT_ORGANISATION = "left the organisation"
"""The reason in the audit log of a removal that the organisation asked for."""


class RemovalsPending(Exception):
    """Removals of an earlier list have not been executed or cancelled."""

    def __init__(self, count: int, due_at: datetime) -> None:
        super().__init__(f"{count} removals of an earlier list are due at {due_at:%H:%M} UTC; cancel them first")


class TooManyRemovals(Exception):
    """A list would end a larger share of the links than it may."""

    def __init__(self, removals: int, links: int, max_percent: int) -> None:
        super().__init__(
            f"the list lacks the accounts of {removals} of {links} links, and at most {max_percent} % may be removed; "
            "if the list is right, state a larger max_percent"
        )


@dataclass(frozen=True, slots=True)
class PendingRemovals:
    """Links of an organisation that are going to be removed."""

    links: int
    """Number of current links of the organisation; 0 where they were not counted."""
    accounts: Sequence[str] = ()
    """Whose links are going to be removed; empty where only their number was asked for."""
    count: int = 0
    requested_at: datetime | None = None
    due_at: datetime | None = None
    """When they are going to be removed; None where there is none."""


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
            found = session.fetch_one("get_link", **person)
            link = None if found is None else rows.link_from_row(found)
            precondition(link)
            attempts = _delete_mail_and_attempts(session, person, now)
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

    def schedule_removals(  # noqa: PLR0913 - all that a list says
        self,
        organisation_id: str,
        person_keys: Collection[str],
        made_at: datetime,
        actor: str,
        now: datetime,
        *,
        max_percent: int,
        source: str | None = None,
        credential: str | None = None,
        dry_run: bool = False,
    ) -> PendingRemovals:
        """Schedule the removal of the links of people who are not in a list.

        The removals are due after REMOVAL_DELAY. A link that was made or attested anew after the list is left alone. So
        is the link of a person who has signed in on a later day, if the list is of accounts.

        Args:
            person_keys: The keys of all accounts of the organisation, or of all whose iDs it attests.
            made_at: When the list was made.
            actor: `organisation` or `operator`.
            max_percent: The share of the organisation's current links, of this source, that may be removed.
            source: The system whose attested links may be removed; None of a list of accounts, which are all links.
            credential: The credential with which a list of attested iDs came; None on the command line.
            dry_run: Roll everything back.

        Raises:
            RemovalsPending: If removals of an earlier list are pending.
            TooManyRemovals: If more than `max_percent` of the links would be removed.
        """
        due_at = now + REMOVAL_DELAY
        with suppress(Rollback), self.organisation_transaction(organisation_id, now, long=True) as transaction:
            session = transaction.session
            if (pending := _pending_removals(session, organisation_id)).count:
                raise RemovalsPending(pending.count, pending.due_at or now)
            missing, links, after = [], 0, ""
            while page := session.fetch_all(
                "list_links_of_seen_people", organisation=organisation_id, after=after, limit=PAGE_SIZE
            ):
                after = page[-1]["person_key"]
                listed = [row for row in page if source in {None, row["source"]}]
                links += len(listed)
                missing += [
                    row
                    for row in listed
                    if row["person_key"] not in person_keys and not _is_later(row, made_at, seen_counts=source is None)
                ]
            if len(missing) * 100 > max_percent * links:
                raise TooManyRemovals(len(missing), links, max_percent)
            accounts = tuple(row["account"] for row in missing)
            result = PendingRemovals(links, accounts, len(missing), now, due_at if missing else None)
            if dry_run or not missing:
                raise Rollback
            times = {"requested_at": rows.format_timestamp(now), "due_at": rows.format_timestamp(due_at)}
            removals = [
                {
                    "organisation": organisation_id,
                    "person_key": row["person_key"],
                    "link_id": row["id"],
                    "actor": actor,
                    "source": source,
                    "credential": credential,
                    **times,
                }
                for row in missing
            ]
            session.execute_many("insert_pending_removal", removals)
            facts = {"links": str(links), "removals": str(len(missing)), "made_at": rows.format_timestamp(made_at)}
            facts |= {} if source is None else {"source": source}
            facts |= {} if credential is None else {"credential": credential}
            transaction.insert_event("removals-scheduled", actor, None, facts)
        return result

    def pending_removals(self, organisation_id: str) -> PendingRemovals:
        """Return how many links of an organisation are going to be removed."""
        with self.engine.session() as session:
            return _pending_removals(session, organisation_id)

    def cancel_removals(
        self,
        organisation_id: str,
        actor: str,
        now: datetime,
        *,
        attested_only: bool = False,
        source: str | None = None,
    ) -> int:
        """Cancel all pending removals of an organisation, and return their number.

        Args:
            attested_only: Cancel those of a list of attested iDs only.
            source: Of these, cancel those of a list of this system only.
        """
        query = "delete_pending_attested_removals" if attested_only else "delete_pending_removals"
        with self.organisation_transaction(organisation_id, now) as transaction:
            values: Values = {"organisation": organisation_id} | ({"source": source} if attested_only else {})
            count = transaction.session.execute(query, **values)
            if count:
                transaction.insert_event("removals-cancelled", actor, None, {"removals": str(count)})
            return count

    def cancel_removal(self, organisation_id: str, person_key: str, now: datetime) -> bool:
        """Cancel the pending removal of a person who has signed in.

        Returns:
            False if none is pending.
        """
        person = {"organisation": organisation_id, "person_key": person_key}
        with self.organisation_transaction(organisation_id, now) as transaction:
            if not transaction.session.execute("delete_pending_removal", **person):
                return False
            transaction.insert_event("removal-cancelled", "service", person_key, {"reason": SIGNED_IN})
            return True

    def execute_due_removals(
        self,
        transfers: Callable[[str], Sequence[str]],
        now: datetime,
        own_transfers: Callable[[str, str | None], Collection[str]] = lambda _organisation_id, _credential: (),
        except_for: Collection[str] = (),
    ) -> int:
        """Remove the links whose removal is due, and return their number.

        Each is removed in a transaction of its own, and others can write between them.

        Args:
            transfers: Returns the names of an organisation's transfers, to which removals are delivered.
            now: The time.
            own_transfers: Returns those to the system of a credential, which is not told its own changes.
            except_for: The ids of organisations whose removals wait.
        """
        removed, busy_since, time = 0, monotonic(), rows.format_timestamp(now)
        found = self.engine.fetch_all("list_organisations_of_due_removals", now=time)
        for organisation_id in [row["organisation"] for row in found if row["organisation"] not in except_for]:
            batch = PAGE_SIZE
            while batch == PAGE_SIZE:
                due = self.engine.fetch_all(
                    "list_due_removals", organisation=organisation_id, now=time, limit=PAGE_SIZE
                )
                batch = len(due)
                for row in due:
                    names = transfers(organisation_id), own_transfers(organisation_id, row["credential"])
                    removed += self._execute_removal(organisation_id, row["person_key"], *names, now)
                    if monotonic() - busy_since > MAX_BUSY:
                        sleep(PAUSE)
                        busy_since = monotonic()
        return removed

    def _execute_removal(
        self,
        organisation_id: str,
        person_key: str,
        transfers: Sequence[str],
        own_transfers: Collection[str],
        now: datetime,
    ) -> bool:
        person = {"organisation": organisation_id, "person_key": person_key}
        with self.organisation_transaction(organisation_id, now) as transaction:
            session = transaction.session
            # It may have been cancelled since it was listed
            pending = session.fetch_all("take_due_removal", **person, now=rows.format_timestamp(now))
            link = session.fetch_one("get_link", **person)
            if not pending or link is None or link["id"] != pending[0]["link_id"]:
                return False
            current, actor = rows.link_from_row(link), pending[0]["actor"]
            if pending[0]["source"] not in {None, current.source}:
                # Another system attests it now, or a merger has made it the person's own
                return False
            if pending[0]["source"] is None:
                _delete_mail_and_attempts(session, person, now)
                transaction.remove_link(current, actor, LEFT_ORGANISATION, transfers, ended_by="organisation")
            else:
                credential = pending[0]["credential"]
                transaction.remove_attested_link(current, actor, credential, transfers, own_transfers)
            return True


def _delete_mail_and_attempts(session: Transaction, person: Mapping[str, str], now: datetime) -> int:
    session.execute("delete_mail_of_person", **person)
    return delete_attempts(session, session.fetch_all("list_attempts_of_person", **person, limit=NO_LIMIT), now)


def _pending_removals(session: Session, organisation_id: str) -> PendingRemovals:
    (row,) = session.fetch_all("get_pending_removals", organisation=organisation_id)
    requested_at, due_at = (rows.parse_optional_timestamp(row[name]) for name in ("requested_at", "due_at"))
    return PendingRemovals(0, (), row["count"], requested_at, due_at)


def _is_later(row: Row, made_at: datetime, *, seen_counts: bool) -> bool:
    # A list of accounts of an earlier day says nothing about a person who signed in since
    seen = row["last_seen_on"] if seen_counts else None
    return bool(max(row["linked_at"], row["consent_at"]) >= rows.format_timestamp(made_at)) or (
        seen is not None and seen > made_at.astimezone(UTC).date().isoformat()
    )
