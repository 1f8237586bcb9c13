"""Links that an organisation attests.

People authenticated their iDs in another of its systems.

An attested iD replaces an attested iD of the same account, and never one that the person linked here.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice
from time import monotonic, sleep
from types import MappingProxyType

from shibboleth.orcid_id import OrcidId
from sql import audit, rows
from sql.endings import end_links
from sql.engines.base import Row, Values
from sql.errors import LinkedByPerson
from sql.records import ChangeKind, ChangeReason, Consent, Link
from sql.repositories.base import (
    ATTESTER,
    ID_BYTES,
    MAX_BUSY,
    NO_TRANSFERS,
    PAUSE,
    Attester,
    DeprovisionResult,
    OrganisationTransaction,
    Repository,
    Rollback,
)

MAX_ROWS = 50_000
"""Number of rows of one list."""
BATCH_SIZE = 100
"""Number of rows of one transaction, for whose end other writers wait."""


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
    LEFT_ORGANISATION = "left-organisation"
    ACCOUNT_REASSIGNED = "account-reassigned"
    ERASURE_PENDING = "erasure-pending"
    DEPRECATED = "deprecated"


REFUSAL_TEXTS: Mapping[Refusal, str] = MappingProxyType(
    {
        Refusal.REPEATED: "an earlier row has the same account or the same ORCID iD",
        Refusal.ORCID_IN_USE: "another account of the organisation has this ORCID iD",
        Refusal.LINKED_BY_PERSON: "the person has linked another ORCID iD here themselves",
        Refusal.REMOVED_BY_PERSON: "the person or an operator removed the link after this ORCID iD was authenticated",
        Refusal.LEFT_ORGANISATION: "the organisation has reported since then that the person has left; "
        "it is accepted once they have authenticated the ORCID iD again",
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
        system: Attester = NO_TRANSFERS,
        key_attribute: str | None = None,
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
            system: The system that attests.
            key_attribute: The attribute of which the persons' keys are values.
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
                _write(transaction, states, actor, system)
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
        system: Attester = NO_TRANSFERS,
        key_attribute: str | None = None,
        precondition: Precondition = lambda _link: None,
    ) -> tuple[RowResult, Link | None]:
        """Link one person at their organisation's request.

        Return what became of it, and the current link. It is one transaction. Arguments as in `add`.

        Args:
            precondition: Called with the current link; what it raises rolls back.
        """
        with self.organisation_transaction(organisation_id, now) as transaction:
            precondition(transaction.current_link(row.person_key))
            transaction.key_attribute = key_attribute
            states = _decide(transaction, [row], set())
            _write(transaction, states, "organisation", system)
            return states[0].result, transaction.current_link(row.person_key)

    def remove(  # noqa: PLR0913 - all that a request says
        self,
        organisation_id: str,
        person_key: str,
        now: datetime,
        *,
        system: Attester = NO_TRANSFERS,
        precondition: Precondition = lambda _link: None,
        dry_run: bool = False,
    ) -> DeprovisionResult:
        """End a person's attested link.

        Return what ended, or would in a dry run.

        Args:
            system: The system that no longer attests it.
            precondition: Called with the current link; what it raises rolls back.
            dry_run: Roll everything back.

        Raises:
            LinkedByPerson: If the person made the link.
        """
        result = DeprovisionResult(0, 0, 0)
        with suppress(Rollback), self.organisation_transaction(organisation_id, now) as transaction:
            link = transaction.current_link(person_key)
            precondition(link)
            if link is not None:
                if not link.attested:
                    raise LinkedByPerson
                told = transaction.remove_attested_link(link, "organisation", system)
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
    # A row, its account's current link, what else decides, and what becomes of the row
    row: AttestedLink
    link: Link | None
    history: Row
    result: RowResult


def refused(row: AttestedLink, refusal: Refusal) -> RowResult:
    """Return the result of a row that is refused."""
    return RowResult(row.line, row.account, Outcome.REFUSED, refusal, REFUSAL_TEXTS[refusal])


def _decide(
    transaction: OrganisationTransaction, attested: Sequence[AttestedLink], freed: set[OrcidId]
) -> list[_State]:
    # Adds to `freed` the iDs that rows replace, which later rows may have
    people = [{"organisation": transaction.organisation, "person_key": row.person_key} for row in attested]
    values = [{**person, **rows.orcid_id_values(row.orcid_id)} for person, row in zip(people, attested, strict=True)]
    current = transaction.session.fetch_batch("get_link", people)
    histories = transaction.session.fetch_batch("get_attestation_history", values)
    states = []
    for row, found, (history,) in zip(attested, current, histories, strict=True):
        link = rows.link_from_row(found[0]) if found else None
        outcome = _outcome(row, link, history, freed)
        if link is not None and outcome is Outcome.REPLACED:
            freed.add(link.orcid_id)
        result = refused(row, outcome) if isinstance(outcome, Refusal) else RowResult(row.line, row.account, outcome)
        states.append(_State(row, link, history, result))
    return states


def _outcome(row: AttestedLink, link: Link | None, history: Row, freed: Collection[OrcidId]) -> Outcome | Refusal:
    at = rows.format_timestamp(row.authenticated_at)
    reassigned = (history["reassigned_at"] or "") >= at
    if link is not None and link.orcid_id == row.orcid_id:
        stored_at = rows.format_timestamp(link.authenticated_at or link.linked_at)
        # Two systems that both attest it do not replace each other for ever: the later time stays
        if not link.attested or (stored_at >= at if link.source != row.source else stored_at == at):
            return Outcome.UNCHANGED
        return Refusal.ACCOUNT_REASSIGNED if reassigned else Outcome.UPDATED
    refusal = None
    if history["holder"] not in {None, row.person_key} and row.orcid_id not in freed:
        refusal = Refusal.ORCID_IN_USE
    elif link is not None and not link.attested:
        refusal = Refusal.LINKED_BY_PERSON
    elif link is not None and history["is_merged"]:
        refusal = Refusal.DEPRECATED
    elif link is None and history["erasure_pending"]:
        refusal = Refusal.ERASURE_PENDING
    elif reassigned:
        refusal = Refusal.ACCOUNT_REASSIGNED
    elif max(history["account_removed_at"] or "", history["orcid_removed_at"] or "") >= at:
        refusal = Refusal.REMOVED_BY_PERSON
    elif (history["left_at"] or "") >= at:
        refusal = Refusal.LEFT_ORGANISATION
    return refusal or (Outcome.LINKED if link is None else Outcome.REPLACED)


def _write(transaction: OrganisationTransaction, states: Sequence[_State], actor: str, system: Attester) -> None:
    made = [state for state in states if state.result.outcome in {Outcome.LINKED, Outcome.REPLACED}]
    updated = [state for state in states if state.result.outcome is Outcome.UPDATED]
    sources = {state.row.source for state in (*made, *updated)}
    consents = {source: _consent(source, transaction.now) for source in sources}
    for consent in consents.values():
        transaction.session.execute("insert_consent_text", **rows.consent_text_values(consent))
    events = [
        *_insert_links(transaction, made, consents, actor, system),
        *_update_links(transaction, updated, consents, actor, system),
        *_refusal_events(transaction, states, actor, system),
        *_cancel_removals(transaction, states, actor, system),
    ]
    if events:
        transaction.session.execute_many("insert_event", events)
        transaction.write_numbers()


def _insert_links(
    transaction: OrganisationTransaction,
    states: Sequence[_State],
    consents: Mapping[str, Consent],
    actor: str,
    system: Attester,
) -> Sequence[Values]:
    session, organisation = transaction.session, transaction.organisation
    told = transaction.attested_changes([(state.row.person_key, state.row.orcid_id) for state in states], system)
    ended, links, changes, deliveries, events = [], [], [], [], []
    for state, (attested_by, names) in zip(states, told, strict=True):
        link, previous = _new_link(transaction, state, consents[state.row.source]), None
        facts = _facts(state.row, link, system)
        if state.link is not None:
            previous = state.link.orcid_id
            facts["previous"] = previous.uri
            ended.append(state.link.id)
        links.append(rows.link_values(link))
        kind, reason = ChangeKind(state.result.outcome.value), ChangeReason.ATTESTED
        change = transaction.new_change(kind, link, link.orcid_id, previous, reason=reason, attested_by=attested_by)
        changes.append(rows.change_values(change))
        deliveries += [rows.delivery_values(change, name) for name in names]
        events.append(transaction.new_event(kind.value, actor, link.person_key, facts))
    for transfer in system.transfers if deliveries else ():
        session.execute("insert_circuit_breaker", organisation=organisation, transfer=transfer)
    end_links(session, ended, ATTESTER, transaction.now)
    session.execute_many("insert_link", links)
    session.execute_many("insert_change", changes)
    session.execute_many("insert_delivery", deliveries)
    return events


def _update_links(
    transaction: OrganisationTransaction,
    states: Sequence[_State],
    consents: Mapping[str, Consent],
    actor: str,
    system: Attester,
) -> Sequence[Values]:
    updates, events = [], []
    for state in states:
        facts = _facts(state.row, state.link, system)
        updates.append(
            {
                "id": facts["link"],
                "source": state.row.source,
                "authenticated_at": facts["authenticated_at"],
                "consent_digest": rows.consent_digest(consents[state.row.source]),
                "now": rows.format_timestamp(transaction.now),
            }
        )
        events.append(transaction.new_event("attested-updated", actor, state.row.person_key, facts))
    transaction.session.execute_many("update_attested_link", updates)
    return events


def _refusal_events(
    transaction: OrganisationTransaction, states: Sequence[_State], actor: str, system: Attester
) -> Sequence[Values]:
    # iDs that differ from the one that the person linked, which the person is shown; once, however often they are sent
    told = [state for state in states if state.result.refusal is Refusal.LINKED_BY_PERSON]
    people = [{"organisation": transaction.organisation, "person_key": state.row.person_key} for state in told]
    found = transaction.session.fetch_batch("list_attestation_refusals", people)
    events = []
    for state, earlier in zip(told, found, strict=True):
        facts = _facts(state.row, state.link, system)
        asked = [audit.facts_of(each["facts"]) for each in earlier]
        # Not again for another time or system, nor where two systems take turns
        if all((each.get("orcid"), each.get("link")) != (facts["orcid"], facts["link"]) for each in asked):
            events.append(transaction.new_event("attestation-refused", actor, state.row.person_key, facts))
    return events


def _cancel_removals(
    transaction: OrganisationTransaction, states: Sequence[_State], actor: str, system: Attester
) -> Sequence[Values]:
    # Of links that an earlier list lacked
    kept = [state for state in states if state.history["removal_pending"] and not state.result.refusal]
    people = [{"organisation": transaction.organisation, "person_key": state.row.person_key} for state in kept]
    transaction.session.execute_many("delete_pending_removal", people)
    return [
        transaction.new_event("attested-again", actor, state.row.person_key, _facts(state.row, state.link, system))
        for state in kept
    ]


def _new_link(transaction: OrganisationTransaction, state: _State, consent: Consent) -> Link:
    row, earlier = state.row, state.link
    link = Link(
        id=secrets.token_hex(ID_BYTES),
        organisation=transaction.organisation,
        person_key=row.person_key,
        account=row.account,
        account_issued_at="",
        orcid_id=row.orcid_id,
        linked_at=transaction.now,
        consent=consent,
        source=row.source,
        authenticated_at=row.authenticated_at,
    )
    if earlier is None:
        return link
    # What is known of the account's holder stays with a link that replaces another one
    return replace(
        link,
        account_issued_at=earlier.account_issued_at,
        stable_id=earlier.stable_id,
        last_seen_on=earlier.last_seen_on,
    )


def _consent(source: str, now: datetime) -> Consent:
    text = f"The organisation attests that the person authenticated the ORCID iD at {source}."
    return Consent("attested", "en", text, now)


def _facts(row: AttestedLink, link: Link | None, system: Attester) -> dict[str, str]:
    facts = {
        "orcid": row.orcid_id.uri,
        "account": row.account,
        "source": row.source,
        "authenticated_at": rows.format_timestamp(row.authenticated_at),
    }
    facts |= {} if link is None else {"link": link.id}
    return facts | ({} if system.credential is None else {"credential": system.credential})
