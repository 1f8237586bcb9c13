"""Links that an organisation attests.

People authenticated their iDs in another of its systems.

An attested iD replaces an attested iD of the same account, and never one that the person linked here.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import islice
from time import monotonic, sleep
from types import MappingProxyType

from shibboleth.orcid_id import OrcidId
from sql import audit, rows
from sql.endings import end_links
from sql.engines.base import Row
from sql.errors import LinkedByPerson
from sql.records import SELF_MADE, ChangeKind, ChangeReason, Consent, Link
from sql.repositories.base import ID_BYTES, DeprovisionResult, OrganisationTransaction, Repository, Rollback

MAX_ROWS = 50_000
"""Number of rows of one list."""
BATCH_SIZE = 250
"""Number of rows of one transaction, for whose end other writers wait."""
MAX_BUSY = 0.1
"""Seconds of transactions after which other writers get a pause."""
PAUSE = 0.12
"""Seconds. A writer that waits for SQLite's lock asks for it at least every 0.1 seconds."""


@dataclass(frozen=True, slots=True)
class AttestedLink:
    """One person's iD; the organisation attests the authentication."""

    line: int
    """The number of the row in its list, for messages."""
    person_key: str
    account: str
    orcid_id: OrcidId
    authenticated_at: datetime
    """When the person authenticated the iD."""
    source: str
    """The system in which they did."""


class Outcome(StrEnum):
    """What became of a row."""

    LINKED = "linked"
    REPLACED = "replaced"
    """It replaced another attested iD of the account."""
    UPDATED = "updated"
    """The account had this iD with another time, or a source that was earlier; the new ones are stored.

    There is no change.
    """
    UNCHANGED = "unchanged"
    """All of it was stored already, or the person has linked this iD here, or another source was not earlier."""
    REFUSED = "refused"


class Refusal(StrEnum):
    """Why a row is refused."""

    INVALID = "invalid"
    REPEATED = "repeated"
    ORCID_IN_USE = "orcid-in-use"
    LINKED_BY_PERSON = "linked-by-person"
    REMOVED_BY_PERSON = "removed-by-person"
    ACCOUNT_REASSIGNED = "account-reassigned"
    ERASURE_PENDING = "erasure-pending"
    DEPRECATED = "deprecated"


REFUSAL_TEXTS: Mapping[Refusal, str] = MappingProxyType(
    {
        Refusal.REPEATED: "an earlier row has the same account or the same ORCID iD",
        Refusal.ORCID_IN_USE: "another account of the organisation has this ORCID iD",
        Refusal.LINKED_BY_PERSON: "the person has linked another ORCID iD here themselves",
        Refusal.REMOVED_BY_PERSON: "the person or an operator removed the link after this ORCID iD was authenticated",
        Refusal.ACCOUNT_REASSIGNED: "the account has another holder since this ORCID iD was authenticated",
        Refusal.ERASURE_PENDING: "the person has asked to be erased",
        Refusal.DEPRECATED: "ORCID has merged this ORCID iD into another one",
    }
)
"""The reason of each refusal; that of an invalid row is its own."""


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of one row of a list."""

    line: int
    account: str
    """Empty where the row has none that can be read."""
    outcome: Outcome
    refusal: Refusal | None = None
    reason: str = ""
    """A sentence; empty unless the row is refused."""
    member: str = ""
    """The member or column that is invalid; empty where it is the row as a whole, or none."""


Precondition = Callable[[Link | None], None]
"""Raises an exception if the person's current link is not what a request requires."""


class AttestedLinkRepository(Repository):
    """Links that organisations attest."""

    def add(  # noqa: PLR0913 - all that a list says
        self,
        organisation_id: str,
        items: Iterable[AttestedLink | RowResult],
        actor: str,
        now: datetime,
        *,
        transfers: Sequence[str] = (),
        own_transfers: Collection[str] = (),
        key_attribute: str | None = None,
        credential: str | None = None,
        dry_run: bool = False,
    ) -> Iterator[RowResult]:
        """Link people to iDs that they authenticated elsewhere.

        Yield what became of each row.

        A transaction writes at most BATCH_SIZE rows, and its results are yielded when it is committed. Between
        transactions others can write. Nothing happens before the first result is asked for. If it fails, what was
        yielded is stored; doing it again has the same effect. Memory grows with the number of rows by an account and
        an iD each.

        Args:
            organisation_id: The organisation.
            items: The rows. A result among them, of a row that could not be read, is yielded in its place.
            actor: `operator` or `organisation`.
            now: The time.
            transfers: The names of the organisation's transfers, to which changes are delivered.
            own_transfers: Those to the system that attests, which are not told its own changes.
            key_attribute: The attribute of which the persons' keys are values.
            credential: The name of the credential of the system that attests; None on the command line.
            dry_run: Write nothing. The results are those that the rows would have now.
        """
        seen, freed = _Seen(), set[OrcidId]()
        remaining, busy_since = iter(items), monotonic()
        while batch := list(islice(remaining, BATCH_SIZE)):
            checked = [seen.refuse_repeated(item) for item in batch]
            attested = [item for item in checked if isinstance(item, AttestedLink)]
            with suppress(Rollback), self.organisation_transaction(organisation_id, now, long=True) as transaction:
                # In a dry run, an iD that an earlier row would replace stays stored
                states = _decide(transaction, attested, freed if dry_run else set())
                if dry_run:
                    raise Rollback
                transaction.key_attribute = key_attribute
                _write(transaction, states, actor, transfers, own_transfers, credential)
            results = (state.result for state in states)
            yield from [item if isinstance(item, RowResult) else next(results) for item in checked]
            if monotonic() - busy_since > MAX_BUSY:
                sleep(PAUSE)
                busy_since = monotonic()

    def put(  # noqa: PLR0913 - all that a request says
        self,
        organisation_id: str,
        row: AttestedLink,
        now: datetime,
        *,
        transfers: Sequence[str] = (),
        own_transfers: Collection[str] = (),
        key_attribute: str | None = None,
        credential: str | None = None,
        precondition: Precondition = lambda _link: None,
    ) -> tuple[RowResult, Link | None]:
        """Link one person at their organisation's request.

        Return what became of it, and the current link. It is one transaction. Arguments as in `add`.

        Args:
            precondition: Called with the current link; what it raises rolls back.
        """
        with self.organisation_transaction(organisation_id, now) as transaction:
            precondition(_current_link(transaction, row.person_key))
            transaction.key_attribute = key_attribute
            states = _decide(transaction, [row], set())
            _write(transaction, states, "organisation", transfers, own_transfers, credential)
            return states[0].result, _current_link(transaction, row.person_key)

    def remove(  # noqa: PLR0913 - all that a request says
        self,
        organisation_id: str,
        person_key: str,
        now: datetime,
        *,
        transfers: Sequence[str] = (),
        own_transfers: Collection[str] = (),
        credential: str | None = None,
        precondition: Precondition = lambda _link: None,
        dry_run: bool = False,
    ) -> DeprovisionResult:
        """End a person's attested link.

        Return what ended, or would in a dry run.

        Args:
            transfers: As in `add`; so are `own_transfers` and `credential`.
            precondition: Called with the current link; what it raises rolls back.
            dry_run: Roll everything back.

        Raises:
            LinkedByPerson: If the person made the link.
        """
        result = DeprovisionResult(0, 0, 0)
        with suppress(Rollback), self.organisation_transaction(organisation_id, now) as transaction:
            link = _current_link(transaction, person_key)
            precondition(link)
            if link is not None:
                if not link.attested:
                    raise LinkedByPerson
                told = transaction.remove_attested_link(link, "organisation", credential, transfers, own_transfers)
                result = DeprovisionResult(1, 0, told)
            if dry_run:
                raise Rollback
        return result


class _Seen:
    # The accounts and iDs of earlier rows of a list

    def __init__(self) -> None:
        self._people: set[str] = set()
        self._orcid_ids: set[str] = set()

    def refuse_repeated(self, item: AttestedLink | RowResult) -> AttestedLink | RowResult:
        if isinstance(item, RowResult):
            return item
        repeated = item.person_key in self._people or item.orcid_id.bare in self._orcid_ids
        self._people.add(item.person_key)
        self._orcid_ids.add(item.orcid_id.bare)
        return refused(item, Refusal.REPEATED) if repeated else item


@dataclass(frozen=True, slots=True)
class _State:
    # A row, what is stored about its account, and what becomes of it
    row: AttestedLink
    stored: Row
    result: RowResult


def refused(row: AttestedLink, refusal: Refusal) -> RowResult:
    """Return the result of a row that is refused."""
    return RowResult(row.line, row.account, Outcome.REFUSED, refusal, REFUSAL_TEXTS[refusal])


def _current_link(transaction: OrganisationTransaction, person_key: str) -> Link | None:
    row = transaction.session.fetch_one("get_link", organisation=transaction.organisation, person_key=person_key)
    return None if row is None else rows.link_from_row(row)


def _decide(
    transaction: OrganisationTransaction, attested: Sequence[AttestedLink], freed: set[OrcidId]
) -> list[_State]:
    # Adds to `freed` the iDs that rows replace, which later rows may have
    values = [
        {
            "organisation": transaction.organisation,
            "person_key": row.person_key,
            **rows.orcid_id_values(row.orcid_id),
        }
        for row in attested
    ]
    states = []
    for row, found in zip(attested, transaction.session.fetch_batch("get_attested_state", values), strict=True):
        outcome = _outcome(row, found[0], freed)
        if outcome is Outcome.REPLACED:
            freed.add(rows.orcid_id_from_row(found[0]))
        result = refused(row, outcome) if isinstance(outcome, Refusal) else RowResult(row.line, row.account, outcome)
        states.append(_State(row, found[0], result))
    return states


def _outcome(row: AttestedLink, stored: Row, freed: Collection[OrcidId]) -> Outcome | Refusal:
    linked = stored["id"] is not None
    at = rows.format_timestamp(row.authenticated_at)
    reassigned = (stored["reassigned_at"] or "") >= at
    if linked and rows.orcid_id_from_row(stored) == row.orcid_id:
        source, stored_at = stored["source"], stored["authenticated_at"]
        # Two systems that both attest it do not replace each other for ever: the later time stays
        if source == SELF_MADE or (stored_at >= at if source != row.source else stored_at == at):
            return Outcome.UNCHANGED
        return Refusal.ACCOUNT_REASSIGNED if reassigned else Outcome.UPDATED
    refusal = None
    if stored["holder"] not in {None, row.person_key} and row.orcid_id not in freed:
        refusal = Refusal.ORCID_IN_USE
    elif linked and stored["source"] == SELF_MADE:
        refusal = Refusal.LINKED_BY_PERSON
    elif linked and stored["is_merged"]:
        refusal = Refusal.DEPRECATED
    elif not linked and stored["erasure_pending"]:
        refusal = Refusal.ERASURE_PENDING
    elif reassigned:
        refusal = Refusal.ACCOUNT_REASSIGNED
    elif max(stored["account_removed_at"] or "", stored["orcid_removed_at"] or "") >= at:
        refusal = Refusal.REMOVED_BY_PERSON
    return refusal or (Outcome.REPLACED if linked else Outcome.LINKED)


def _write(  # noqa: PLR0913, PLR0917 - what is written, and to whom it is told
    transaction: OrganisationTransaction,
    states: Sequence[_State],
    actor: str,
    transfers: Sequence[str],
    own_transfers: Collection[str],
    credential: str | None,
) -> None:
    session, organisation, now = transaction.session, transaction.organisation, rows.format_timestamp(transaction.now)
    consents = {source: _consent(source, transaction.now) for source in {state.row.source for state in states}}
    made = [state.row for state in states if state.result.outcome in {Outcome.LINKED, Outcome.REPLACED}]
    people = [(row.person_key, row.orcid_id) for row in made]
    told = iter(transaction.attested_changes(people, credential, transfers, own_transfers))
    ended, links, updates, changes, deliveries, events = [], [], [], [], [], []
    for state in states:
        row, outcome = state.row, state.result.outcome
        facts = _facts(row, state.stored["id"], credential)
        if outcome in {Outcome.LINKED, Outcome.REPLACED}:
            link = _new_link(transaction, row, state.stored, consents[row.source])
            previous = None if outcome is Outcome.LINKED else rows.orcid_id_from_row(state.stored)
            if previous is not None:
                # Not the operator, whose removals are those that a person asked for
                ended.append(state.stored["id"])
                facts["previous"] = previous.uri
            links.append(rows.link_values(link))
            kind, reason = ChangeKind(outcome.value), ChangeReason.ATTESTED
            attested_by, names = next(told)
            change = transaction.new_change(kind, link, link.orcid_id, previous, reason=reason, attested_by=attested_by)
            changes.append(change)
            deliveries += [rows.delivery_values(change, name) for name in names]
            events.append(transaction.new_event(kind.value, actor, row.person_key, {**facts, "link": link.id}))
        elif outcome is Outcome.UPDATED:
            updates.append(
                {
                    "id": state.stored["id"],
                    "source": row.source,
                    "authenticated_at": rows.format_timestamp(row.authenticated_at),
                    "consent_digest": rows.consent_digest(consents[row.source]),
                    "now": now,
                }
            )
            events.append(transaction.new_event("attested-updated", actor, row.person_key, facts))
    events += _refusal_events(transaction, states, actor, credential)
    kept = [state for state in states if state.stored["removal_pending"] and not state.result.refusal]
    for state in kept:
        facts = _facts(state.row, state.stored["id"], credential)
        events.append(transaction.new_event("attested-again", actor, state.row.person_key, facts))
    cancelled = [{"organisation": organisation, "person_key": state.row.person_key} for state in kept]
    session.execute_many("delete_pending_removal", cancelled)
    if not events:
        return
    for consent in consents.values():
        session.execute("insert_consent_text", **rows.consent_text_values(consent))
    for transfer in transfers:
        session.execute("insert_circuit_breaker", organisation=organisation, transfer=transfer)
    end_links(session, ended, "organisation", transaction.now)
    session.execute_many("insert_link", links)
    session.execute_many("update_attested_link", updates)
    session.execute_many("insert_change", [rows.change_values(change) for change in changes])
    session.execute_many("insert_delivery", deliveries)
    session.execute_many("insert_event", events)
    transaction.write_numbers()


def _refusal_events(
    transaction: OrganisationTransaction, states: Sequence[_State], actor: str, credential: str | None
) -> list[dict[str, str | int | None]]:
    # iDs that differ from the one that the person linked, which the person is shown; once, however often they are sent
    told = [state for state in states if state.result.refusal is Refusal.LINKED_BY_PERSON]
    people = [{"organisation": transaction.organisation, "person_key": state.row.person_key} for state in told]
    found = transaction.session.fetch_batch("list_attestation_refusals", people)
    events = []
    for state, earlier in zip(told, found, strict=True):
        facts = _facts(state.row, state.stored["id"], credential)
        asked = [audit.facts_of(each["facts"]) for each in earlier]
        # Not again for another time or system, nor where two systems take turns
        if all((each.get("orcid"), each.get("link")) != (facts["orcid"], facts["link"]) for each in asked):
            events.append(transaction.new_event("attestation-refused", actor, state.row.person_key, facts))
    return events


def _new_link(transaction: OrganisationTransaction, row: AttestedLink, stored: Row, consent: Consent) -> Link:
    # What is known of the account's holder stays with a link that replaces another one
    return Link(
        id=secrets.token_hex(ID_BYTES),
        organisation=transaction.organisation,
        person_key=row.person_key,
        account=row.account,
        account_issued_at=stored["account_issued_at"] or "",
        orcid_id=row.orcid_id,
        linked_at=transaction.now,
        consent=consent,
        source=row.source,
        authenticated_at=row.authenticated_at,
        stable_id=stored["stable_id"] or "",
        last_seen_on=None if stored["last_seen_on"] is None else date.fromisoformat(stored["last_seen_on"]),
    )


def _consent(source: str, now: datetime) -> Consent:
    text = f"The organisation attests that the person authenticated the ORCID iD at {source}."
    return Consent("attested", "en", text, now)


def _facts(row: AttestedLink, link_id: str | None, credential: str | None) -> dict[str, str]:
    facts = {
        "orcid": row.orcid_id.uri,
        "account": row.account,
        "source": row.source,
        "authenticated_at": rows.format_timestamp(row.authenticated_at),
    }
    facts |= {} if link_id is None else {"link": link_id}
    return facts | ({} if credential is None else {"credential": credential})
