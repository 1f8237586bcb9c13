"""Base class of repositories, and the transaction of an organisation."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from shibboleth.orcid_id import OrcidId
from sql import audit, rows
from sql.endings import end_link
from sql.engines.base import Engine, Row, Transaction
from sql.records import Change, ChangeKind, ChangeReason, Link, LinkSummary

ID_BYTES = 16
PAGE_SIZE = 500
"""Number of rows that are read at once, and held in memory, where all rows of a query are wanted."""
ATTESTER = "attester"
"""Who ended a link that a system of the organisation no longer attests, or whose iD it replaced."""
NOT_ATTESTED = "no longer attested by the organisation"
"""The reason in the audit log of the removal of an attested link."""
MAX_BUSY = 0.1
"""Seconds of transactions after which other writers get a pause, where many rows are written."""
PAUSE = 0.12
"""Seconds. A writer that waits for SQLite's lock asks for it at least every 0.1 seconds."""
NO_LIMIT = 2**63 - 1
"""The value of a query's limit that returns all rows."""


@dataclass(frozen=True, slots=True)
class DeprovisionResult:
    """What is, or in a dry run would be, deleted with a person."""

    links: int
    attempts: int
    deliveries: int
    """Number of transfers to which the removal is delivered."""


@dataclass(frozen=True, slots=True)
class Attester:
    """A system of an organisation that attests links.

    With it go the transfers to which its changes are delivered.
    """

    credential: str | None = None
    """The name of its credential; None on the command line."""
    transfers: Sequence[str] = ()
    """The names of all the organisation's transfers."""
    own_transfers: Collection[str] = ()
    """Those to the system itself, which is not told its own changes."""


NO_TRANSFERS = Attester()
"""The command line, where the organisation has no transfers."""


class Rollback(Exception):
    """Raised inside a transaction to roll it back, as in a dry run."""


@dataclass(slots=True)
class OrganisationTransaction:
    """A transaction that holds an organisation's row lock.

    No other transaction can write data of the organisation until it ends.
    """

    session: Transaction
    organisation: str
    now: datetime
    last_change_number: int
    last_event_number: int
    last_event_hash: str
    key_attribute: str | None = None
    """The organisation's key attribute, where the transaction makes links."""

    def current_link(self, person_key: str) -> Link | None:
        """Return a person's current link."""
        row = self.session.fetch_one("get_link", organisation=self.organisation, person_key=person_key)
        return None if row is None else rows.link_from_row(row)

    def new_change(  # noqa: PLR0913 - a change
        self,
        kind: ChangeKind,
        link: Link | LinkSummary,
        orcid_id: OrcidId | None,
        previous: OrcidId | None,
        *,
        reason: ChangeReason | None = None,
        moved_from: Link | LinkSummary | None = None,
        attested_by: str | None = None,
    ) -> Change:
        """Return a change with the next number, without inserting it."""
        self.last_change_number += 1
        return Change(
            organisation=self.organisation,
            number=self.last_change_number,
            kind=kind,
            person_key=link.person_key,
            account=link.account,
            orcid_id=orcid_id,
            previous=previous,
            at=self.now,
            id=secrets.token_hex(ID_BYTES),
            reason=reason,
            previous_person_key=None if moved_from is None else moved_from.person_key,
            previous_account=None if moved_from is None else moved_from.account,
            attested_by=attested_by,
        )

    def insert_change(  # noqa: PLR0913 - a change and its deliveries
        self,
        kind: ChangeKind,
        link: Link | LinkSummary,
        orcid_id: OrcidId | None,
        previous: OrcidId | None,
        transfers: Sequence[str] = (),
        *,
        reason: ChangeReason | None = None,
        moved_from: Link | LinkSummary | None = None,
        attested_by: str | None = None,
    ) -> Change:
        """Insert a change with the next number, and a delivery to each transfer."""
        change = self.new_change(
            kind, link, orcid_id, previous, reason=reason, moved_from=moved_from, attested_by=attested_by
        )
        self.session.execute("insert_change", **rows.change_values(change))
        for transfer in transfers:
            self.session.execute("insert_circuit_breaker", organisation=self.organisation, transfer=transfer)
            self.session.execute("insert_delivery", **rows.delivery_values(change, transfer))
        return change

    def insert_event(self, kind: str, actor: str, person_key: str | None, facts: Mapping[str, str]) -> None:
        """Append an audit event, and store the organisation's last numbers.

        Call it after all changes of the transaction were inserted.
        """
        self.session.execute("insert_event", **self.new_event(kind, actor, person_key, facts))
        self.write_numbers()

    def insert_permitted(self, link: Link, tokens: Sequence[Row]) -> None:
        """Append an event for each pair of tokens that permits more than the iD.

        Call it in the transaction that gives them to the link.
        """
        for each in tokens:
            if set(each["scope"].split()) - {"/authenticate", "openid"}:
                facts = {"orcid": link.orcid_id.uri, "account": link.account, "link": link.id}
                facts |= {"scope": each["scope"], "client": each["client_id"]}
                self.insert_event("permitted", "person", link.person_key, facts)

    def new_event(
        self, kind: str, actor: str, person_key: str | None, facts: Mapping[str, str]
    ) -> dict[str, str | int | None]:
        """Return the row of an audit event with the next number, not inserted."""
        self.last_event_number += 1
        text = audit.facts_text(person_key, facts)
        covered: dict[str, str | int | None] = {
            "organisation": self.organisation,
            "number": self.last_event_number,
            "at": rows.format_timestamp(self.now),
            "kind": kind,
            "actor": actor,
            "digest": audit.digest(text),
        }
        self.last_event_hash = audit.event_hash(self.last_event_hash, covered)
        return {**covered, "hash": self.last_event_hash, "person_key": person_key, "facts": text}

    def new_move_events(
        self, link: Link, change: Change, actor: str, facts: Mapping[str, str], *, claimed: bool = False
    ) -> list[dict[str, str | int | None]]:
        """Return the rows of the two audit events of a move, not inserted.

        Args:
            link: The link as it was before.
            change: The change that names both accounts.
            actor: Who moved it.
            facts: Facts of both events, with the reason.
            claimed: Whether the account now claimed the iD. It is not told whose the iD was.
        """
        common = {"link": link.id, "change": str(change.number), **facts}
        now = {"orcid": link.orcid_id.uri, "account": change.account}
        now |= {} if claimed else {"previous_account": link.account}
        # The values that distinguish this holder from a later holder of the earlier account
        known = {"account_issued_at": link.account_issued_at, "stable_id": link.stable_id}
        before = {"account": link.account} | {name: value for name, value in known.items() if value}
        return [
            self.new_event("moved", actor, change.person_key, common | now),
            self.new_event("given-away" if claimed else "moved-away", actor, link.person_key, common | before),
        ]

    def write_numbers(self) -> None:
        """Store the last numbers of changes and events that the transaction has used."""
        self.session.execute(
            "update_organisation",
            organisation=self.organisation,
            last_change_number=self.last_change_number,
            last_event_number=self.last_event_number,
            last_event_hash=self.last_event_hash,
            key_attribute=self.key_attribute,
        )

    def end_link(self, link: Link, actor: str) -> None:
        """Mark a link as ended.

        Args:
            actor: Who ended it. A link that `person` or `operator` ended is not attested again by the same sign-in.
        """
        end_link(self.session, link.id, actor, self.now)

    def remove_link(
        self, link: Link, actor: str, reason: str, transfers: Sequence[str], *, ended_by: str | None = None
    ) -> Change:
        """End a link and write its `removed` change, deliveries and audit event.

        Args:
            ended_by: Who decided it, where that is not the actor.
        """
        return self._remove_link(link, actor, {"reason": reason}, transfers, ended_by=ended_by)

    def attested_changes(
        self, people: Sequence[tuple[str, OrcidId]], system: Attester
    ) -> list[tuple[str | None, Sequence[str]]]:
        """Return to whom each person's next attested change is told.

        The change is the system's own, and not told to it, if all earlier ones of the person and of the iD are. After a
        change of somebody else it is told to everybody: a reader that applied the other one alone would undo it.

        Args:
            people: The key of each, and the iD that the change adds or removes.
            system: The system that attests.

        Returns:
            `attested_by` of the change, and the names of the transfers to which it is delivered.
        """
        if system.credential is None:
            return [(None, system.transfers)] * len(people)
        values = [
            {
                "organisation": self.organisation,
                "credential": system.credential,
                "person_key": person_key,
                "orcid": orcid_id.bare,
            }
            for person_key, orcid_id in people
        ]
        others = tuple(name for name in system.transfers if name not in system.own_transfers)
        found = self.session.fetch_batch("has_change_of_others", values)
        return [(None, system.transfers) if row["found"] else (system.credential, others) for (row,) in found]

    def remove_attested_link(self, link: Link, actor: str, system: Attester) -> int:
        """End an attested link as `remove_link` does.

        The organisation does not attest it any more. Arguments as in `attested_changes`.

        Returns:
            The number of transfers to which the change is delivered.
        """
        people = [(link.person_key, link.orcid_id)]
        ((attested_by, told),) = self.attested_changes(people, system)
        facts = {"reason": NOT_ATTESTED, "source": link.source}
        facts |= {} if system.credential is None else {"credential": system.credential}
        reason = ChangeReason.ATTESTED
        self._remove_link(link, actor, facts, told, reason, attested_by, ended_by=ATTESTER)
        return len(told)

    def _remove_link(  # noqa: PLR0913, PLR0917 - a change and its event
        self,
        link: Link,
        actor: str,
        facts: Mapping[str, str],
        transfers: Sequence[str],
        reason: ChangeReason | None = None,
        attested_by: str | None = None,
        *,
        ended_by: str | None = None,
    ) -> Change:
        details = {"orcid": link.orcid_id.uri, "account": link.account, "link": link.id}
        with self.session.pipeline():
            self.end_link(link, ended_by or actor)
            change = self.insert_change(
                ChangeKind.REMOVED, link, None, link.orcid_id, transfers, reason=reason, attested_by=attested_by
            )
            self.insert_event("removed", actor, link.person_key, {**details, **facts})
        return change


def lock_organisation(session: Transaction, organisation_id: str, now: datetime) -> OrganisationTransaction:
    """Lock the organisation's row until the transaction ends."""
    (row,) = session.fetch_all("lock_organisation", organisation=organisation_id)
    numbers = row["last_change_number"], row["last_event_number"], row["last_event_hash"]
    return OrganisationTransaction(session, organisation_id, now, *numbers)


class Repository:
    """Base class of repositories: runs named queries on the engine of the store."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def organisation_transaction(
        self, organisation_id: str, now: datetime, *, exclusive: bool = False, long: bool = False
    ) -> Iterator[OrganisationTransaction]:
        """Begin a transaction that locks the organisation's row.

        Args:
            organisation_id: The organisation's id.
            exclusive: As in `Engine.transaction`.
            long: As in `Engine.transaction`.
        """
        with self.engine.transaction(exclusive=exclusive, long=long) as session:
            yield lock_organisation(session, organisation_id, now)

    def pages(self, query: str, organisation_id: str) -> Iterator[Row]:
        """Yield the rows of a query that is paged by person_key, a page at a time."""
        after = ""
        while page := self.engine.fetch_all(query, organisation=organisation_id, after=after, limit=PAGE_SIZE):
            yield from page
            after = page[-1]["person_key"]
