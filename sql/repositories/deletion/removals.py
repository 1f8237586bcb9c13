"""Removal of the links of people whom a list lacks.

A list is of an organisation's accounts, or of the iDs that one of its systems attests. There is one list at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep

from sql import rows
from sql.engines.base import Row, Session
from sql.repositories.base import MAX_BUSY, PAGE_SIZE, PAUSE, Attester, OrganisationTransaction, Repository
from sql.repositories.deletion.retention import LEFT_ORGANISATION, delete_mail_and_attempts

REMOVAL_DELAY = timedelta(hours=1)
"""How long removals by a list can be cancelled."""
SIGNED_IN = "signed in"
"""The reason in the audit log of a removal that was cancelled because the person signed in."""


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

    count: int = 0
    requested_at: datetime | None = None
    due_at: datetime | None = None
    """When they are going to be removed; None where there is none."""
    source: str | None = None
    """The system whose attested links they are; None of a list of accounts."""
    credential: str | None = None
    """The credential with which the list came; None on the command line."""
    links: int = 0
    """Number of current links that the list could have removed; 0 where they were not counted."""
    accounts: Sequence[str] = ()
    """Whose links are going to be removed; empty where only their number was asked for."""


class RemovalRepository(Repository):
    """Pending removals of links."""

    def schedule(  # noqa: PLR0913 - all that a list says
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
            credential: The credential with which the list came; None on the command line.
            dry_run: Roll everything back.

        Raises:
            RemovalsPending: If removals of an earlier list are pending.
            TooManyRemovals: If more than `max_percent` of the links would be removed.
        """
        with self.organisation_transaction(organisation_id, now, long=True) as transaction:
            if (earlier := _pending(transaction.session, organisation_id)).count:
                raise RemovalsPending(earlier.count, earlier.due_at or now)
            links, missing = _missing_links(transaction, person_keys, made_at, source)
            if len(missing) * 100 > max_percent * links:
                raise TooManyRemovals(len(missing), links, max_percent)
            due_at = now + REMOVAL_DELAY if missing else None
            accounts = tuple(row["account"] for row in missing)
            pending = PendingRemovals(len(missing), now, due_at, source, credential, links, accounts)
            if missing and not dry_run:
                _insert(transaction, missing, pending, actor)
                facts = {"links": str(links), **_facts(pending), "made_at": rows.format_timestamp(made_at)}
                transaction.insert_event("removals-scheduled", actor, None, facts)
        return pending

    def pending(self, organisation_id: str) -> PendingRemovals:
        """Return how many links are going to be removed, and by which list."""
        with self.engine.session() as session:
            return _pending(session, organisation_id)

    def cancel(
        self,
        organisation_id: str,
        actor: str,
        now: datetime,
        *,
        attested_only: bool = False,
        source: str | None = None,
    ) -> PendingRemovals:
        """Cancel the pending removals of an organisation, and return what they were.

        Args:
            attested_only: Cancel them only if they are those of a list of attested iDs.
            source: Of these, cancel those of a list of this system only.
        """
        with self.organisation_transaction(organisation_id, now) as transaction:
            pending = _pending(transaction.session, organisation_id)
            if attested_only and (pending.source is None or source not in {None, pending.source}):
                return PendingRemovals()
            if pending.count:
                transaction.session.execute("delete_pending_removals", organisation=organisation_id)
                transaction.insert_event("removals-cancelled", actor, None, _facts(pending))
            return pending

    def cancel_for_person(self, organisation_id: str, person_key: str, now: datetime) -> bool:
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

    def execute_due(
        self, attester: Callable[[str, str | None], Attester], now: datetime, except_for: Collection[str] = ()
    ) -> int:
        """Remove the links whose removal is due, and return their number.

        Each is removed in a transaction of its own, and others can write between them.

        Args:
            attester: Returns the system of an organisation's credential, and to which transfers removals are delivered.
            now: The time.
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
                    system = attester(organisation_id, row["credential"])
                    with self.organisation_transaction(organisation_id, now) as transaction:
                        removed += _execute(transaction, row["person_key"], system)
                    if monotonic() - busy_since > MAX_BUSY:
                        sleep(PAUSE)
                        busy_since = monotonic()
        return removed


def _pending(session: Session, organisation_id: str) -> PendingRemovals:
    (row,) = session.fetch_all("get_pending_removals", organisation=organisation_id)
    requested_at, due_at = (rows.parse_optional_timestamp(row[name]) for name in ("requested_at", "due_at"))
    return PendingRemovals(row["count"], requested_at, due_at, row["source"], row["credential"])


def _facts(pending: PendingRemovals) -> dict[str, str]:
    facts = {"removals": str(pending.count), "source": pending.source, "credential": pending.credential}
    return {name: value for name, value in facts.items() if value is not None}


def _missing_links(
    transaction: OrganisationTransaction, person_keys: Collection[str], made_at: datetime, source: str | None
) -> tuple[int, list[Row]]:
    # How many links the list is about, and those that it lacks
    missing, links, after = [], 0, ""
    while page := transaction.session.fetch_all(
        "list_links_of_seen_people", organisation=transaction.organisation, after=after, limit=PAGE_SIZE
    ):
        after = page[-1]["person_key"]
        listed = [row for row in page if source in {None, row["source"]}]
        links += len(listed)
        missing += [
            row
            for row in listed
            if row["person_key"] not in person_keys and not _is_later(row, made_at, seen_counts=source is None)
        ]
    return links, missing


def _is_later(row: Row, made_at: datetime, *, seen_counts: bool) -> bool:
    # A list of accounts of an earlier day says nothing about a person who signed in since
    seen = row["last_seen_on"] if seen_counts else None
    return bool(max(row["linked_at"], row["consent_at"]) >= rows.format_timestamp(made_at)) or (
        seen is not None and seen > made_at.astimezone(UTC).date().isoformat()
    )


def _insert(
    transaction: OrganisationTransaction, missing: Collection[Row], pending: PendingRemovals, actor: str
) -> None:
    common = {
        "organisation": transaction.organisation,
        "actor": actor,
        "source": pending.source,
        "credential": pending.credential,
        "requested_at": rows.format_timestamp(transaction.now),
        "due_at": rows.format_timestamp(transaction.now + REMOVAL_DELAY),
    }
    removals = [{**common, "person_key": row["person_key"], "link_id": row["id"]} for row in missing]
    transaction.session.execute_many("insert_pending_removal", removals)


def _execute(transaction: OrganisationTransaction, person_key: str, system: Attester) -> bool:
    session = transaction.session
    person = {"organisation": transaction.organisation, "person_key": person_key}
    # It may have been cancelled since it was listed
    pending = session.fetch_one("take_due_removal", **person, now=rows.format_timestamp(transaction.now))
    link = transaction.current_link(person_key)
    if pending is None or link is None or link.id != pending["link_id"]:
        return False
    if pending["source"] not in {None, link.source}:
        # Another system attests it now, or a merger has made it the person's own
        return False
    if pending["source"] is None:
        delete_mail_and_attempts(session, person, transaction.now)
        transaction.remove_link(link, pending["actor"], LEFT_ORGANISATION, system.transfers, ended_by="organisation")
    else:
        transaction.remove_attested_link(link, pending["actor"], system)
    return True
