"""Organisations: their Identity Providers, and moves of all their links.

Links move when an organisation is merged into another one, or when its accounts were renamed. Either all are moved in
one transaction, or none. A link keeps its iD, its times and what the person agreed to. Its number, stable id and time
of issue of the account are not kept, because the account is another one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from shibboleth.attributes import fold
from sql import rows
from sql.endings import cancel_attempts, end_links, move_tokens
from sql.records import (
    Change,
    ChangeKind,
    ChangeReason,
    HolderAttributes,
    IdentityProvider,
    Link,
    LinkSummary,
    StoredOrganisation,
)
from sql.repositories.base import (
    ID_BYTES,
    PAGE_SIZE,
    OrganisationTransaction,
    Repository,
    Rollback,
    lock_organisation,
)


class MoveConflict(StrEnum):
    """Why a link cannot be moved."""

    NOT_MAPPED = "the file has no new account for it"
    FOREIGN_SCOPE = "its new account has a scope that is not one of the organisation's"
    OTHER_ORCID_ID = "its new account has another ORCID iD"
    OTHER_PERSON = "another account has this ORCID iD"
    CIRCLE = "accounts are exchanged in a circle; move one of the links to an unused account first"


AccountMapping = Callable[[str], str | MoveConflict]
"""Returns the new account of an account."""
ConflictHandler = Callable[[Link | LinkSummary, str, MoveConflict], None]
"""Called with a link that cannot be moved, its new account (empty if there is none) and the reason."""


@dataclass(frozen=True, slots=True)
class MoveResult:
    """Numbers of a move."""

    moved: int
    already_there: int
    """Number of links whose new account has the same iD already; they only end."""
    conflicts: int
    written: bool
    """False in a dry run, and if there was a conflict."""


class AlreadyMerged(Exception):
    """The organisation into which another one should be merged was merged itself."""


class OrganisationRepository(Repository):
    """Organisations of which data is stored, and their Identity Providers."""

    def list_stored(self) -> list[StoredOrganisation]:
        """Return every organisation of which the database has data, sorted by id."""
        return [
            StoredOrganisation(row["organisation"], row["links"], row["key_attribute"], row["merged_into"])
            for row in self.engine.fetch_all("list_organisations_with_links")
        ]

    def links_by_scope(self, organisation_id: str) -> Mapping[str, int]:
        """Return the number of current links by the scope of the person's key."""
        found = self.engine.fetch_all("count_links_by_scope", organisation=organisation_id)
        return {row["scope"]: row["count"] for row in found}

    def holder_attributes(self, organisation_id: str) -> HolderAttributes:
        """Return how many current links have each attribute of their holder."""
        (row,) = self.engine.fetch_all("count_holder_attributes", organisation=organisation_id)
        return HolderAttributes(row["links"], row["stable_ids"], row["issue_times"])

    def record_sign_in(self, organisation_id: str, entity_id: str, now: datetime) -> None:
        """Store that a person signed in through an Identity Provider today."""
        self._record("record_provider_sign_in", organisation_id, entity_id, now)

    def record_refused_sign_in(self, organisation_id: str, entity_id: str, now: datetime) -> None:
        """Store that a person was refused because no file has the entityID.

        Args:
            organisation_id: The organisation to which the person seems to belong; empty if that is none.
            entity_id: The entityID of the person's Identity Provider.
            now: The time; the day is stored.
        """
        self._record("record_provider_refusal", organisation_id, entity_id, now)

    def _record(self, query: str, organisation_id: str, entity_id: str, now: datetime) -> None:
        day = rows.format_timestamp(now.replace(hour=0, minute=0, second=0, microsecond=0))
        self.engine.execute(query, organisation=organisation_id, entity_id=entity_id, now=day)

    def identity_providers(self) -> list[IdentityProvider]:
        """Return the Identity Providers through which people came."""
        return [
            IdentityProvider(
                row["organisation"],
                row["entity_id"],
                rows.parse_optional_timestamp(row["signed_in_at"]),
                rows.parse_optional_timestamp(row["refused_at"]),
            )
            for row in self.engine.fetch_all("list_identity_providers")
        ]

    def merge(  # noqa: PLR0913 - two organisations
        self,
        from_id: str,
        into_id: str,
        new_account: AccountMapping,
        now: datetime,
        *,
        key_attribute: str,
        from_transfers: Sequence[str] = (),
        into_transfers: Sequence[str] = (),
        orcid_clients: Sequence[str] = (),
        report: ConflictHandler = lambda _link, _account, _reason: None,
        dry_run: bool = False,
    ) -> MoveResult:
        """Move all links of an organisation to another one, and mark it as merged.

        The removals are delivered to the transfers of the first organisation, the new links to those of the other one.
        Open attempts of the first one are cancelled, and its Identity Providers become those of the other one. With a
        conflict nothing is written. The call can be repeated, for links that were made meanwhile. Until the end no
        other transaction can write data of either organisation, and on SQLite no data at all.

        Args:
            from_id: The organisation that ends.
            into_id: The organisation that goes on.
            new_account: Returns the account there of an account.
            now: The time of the changes.
            key_attribute: The key attribute of the organisation that goes on.
            from_transfers: The names of the transfers of the one that ends.
            into_transfers: The names of the transfers of the one that goes on.
            orcid_clients: The client ids at ORCID that the one that goes on uses; tokens of others are revoked.
            report: Called for each conflict.
            dry_run: Roll everything back.

        Raises:
            AlreadyMerged: If the organisation that should go on was merged itself.
        """
        result = MoveResult(0, 0, 0, written=False)
        with suppress(Rollback), self.engine.transaction(long=True) as session:
            # In one order, so that two mergers cannot wait for each other
            locked = {one: lock_organisation(session, one, now) for one in sorted((from_id, into_id))}
            source, target = locked[from_id], locked[into_id]
            (row,) = session.fetch_all("get_merged_into", organisation=into_id)
            if row["merged_into"] is not None:
                raise AlreadyMerged
            target.key_attribute = key_attribute
            result = _Merger(source, target, from_transfers, into_transfers, orcid_clients).run(new_account, report)
            if result.conflicts or dry_run:
                raise Rollback
            cancel_attempts(session, from_id, now)
            session.execute("copy_identity_providers", organisation=from_id, into=into_id)
            session.execute("delete_identity_providers", organisation=from_id)
            session.execute("set_merged_into", organisation=from_id, into=into_id)
            facts = {"from": from_id, "into": into_id, "links": str(result.moved + result.already_there)}
            source.insert_event("organisation-merged", "operator", None, facts)
            target.insert_event("organisation-merged", "operator", None, facts)
            return replace(result, written=True)
        return result

    def rekey(  # noqa: PLR0913 - as `merge`
        self,
        organisation_id: str,
        new_account: AccountMapping,
        now: datetime,
        *,
        key_attribute: str,
        transfers: Sequence[str] = (),
        report: ConflictHandler = lambda _link, _account, _reason: None,
        dry_run: bool = False,
    ) -> MoveResult:
        """Move all links of an organisation to the accounts that a mapping returns.

        A link whose account stays the same is not changed; each other one moves as by `LinkRepository.move`, without
        its stable id. Open attempts are cancelled. With a conflict nothing is written.

        Args:
            organisation_id: The organisation.
            new_account: Returns the new account of an account.
            now: The time of the changes.
            key_attribute: The key attribute, of which the new accounts are values.
            transfers: The names of its transfers.
            report: Called for each conflict.
            dry_run: Roll everything back.
        """
        result = MoveResult(0, 0, 0, written=False)
        with suppress(Rollback), self.organisation_transaction(organisation_id, now, long=True) as transaction:
            result = _rename(transaction, new_account, report, transfers)
            if result.conflicts or dry_run:
                raise Rollback
            session = transaction.session
            cancel_attempts(session, organisation_id, now)
            session.execute("set_key_attribute", organisation=organisation_id, key_attribute=key_attribute)
            facts = {"key": key_attribute, "links": str(result.moved)}
            transaction.insert_event("accounts-renamed", "operator", None, facts)
            return replace(result, written=True)
        return result

    def list_merged(self) -> frozenset[str]:
        """Return the ids of the organisations that were merged into others."""
        return frozenset(row["organisation"] for row in self.engine.fetch_all("list_merged_organisations"))


@dataclass(frozen=True, slots=True)
class _Merger:
    source: OrganisationTransaction
    target: OrganisationTransaction
    source_transfers: Sequence[str]
    target_transfers: Sequence[str]
    orcid_clients: Sequence[str]

    def run(self, new_account: AccountMapping, report: ConflictHandler) -> MoveResult:
        session = self.source.session
        moved, there, conflicts, after = 0, 0, 0, ""
        while page := session.fetch_all(
            "list_links", organisation=self.source.organisation, after=after, limit=PAGE_SIZE
        ):
            ended, new = [], []
            for link in map(rows.link_from_row, page):
                account = new_account(link.account)
                inserted = account if isinstance(account, MoveConflict) else self._insert(link, account)
                if isinstance(inserted, MoveConflict):
                    report(link, "" if account is inserted else account, inserted)
                    conflicts += 1
                    continue
                ended.append(link)
                new += [] if inserted is None else [inserted]
            end_links(session, [link.id for link in ended], "operator", self.source.now)
            self._write(self.source, ended, ChangeKind.REMOVED, self.source_transfers)
            self._write(self.target, new, ChangeKind.LINKED, self.target_transfers)
            moved, there, after = moved + len(new), there + len(ended) - len(new), page[-1]["person_key"]
        return MoveResult(moved, there, conflicts, written=False)

    def _insert(self, link: Link, account: str) -> Link | MoveConflict | None:
        # None if the new account has the same iD already
        session = self.target.session
        new = replace(
            link,
            id=secrets.token_hex(ID_BYTES),
            organisation=self.target.organisation,
            person_key=fold(account),
            account=account,
            account_issued_at="",
            stable_id="",
            # The holder had the account at least until today
            last_seen_on=self.target.now.date(),
            release=None,
        )
        if session.execute("insert_link_if_free", **rows.link_values(new)):
            move_tokens(session, link.id, new.id, new.organisation, self.orcid_clients)
            return new
        holder = self.target.current_link(new.person_key)
        if holder is None:
            return MoveConflict.OTHER_PERSON
        if holder.orcid_id != new.orcid_id:
            return MoveConflict.OTHER_ORCID_ID
        if holder.attested and not link.attested:
            self._confirm(holder, link)
        move_tokens(session, link.id, holder.id, new.organisation, self.orcid_clients)
        return None

    def _confirm(self, attested: Link, own: Link) -> None:
        # What the person linked themselves stays theirs
        confirmed = replace(
            attested,
            linked_at=own.linked_at,
            consent=own.consent,
            source=own.source,
            authenticated_at=own.authenticated_at,
        )
        self.target.session.execute("confirm_attested_link", **rows.link_values(confirmed))
        facts = {
            "orcid": confirmed.orcid_id.uri,
            "account": confirmed.account,
            "link": confirmed.id,
            "consent": f"{own.consent.version} {own.consent.language}",
            "previous_source": attested.source,
            "reason": ChangeReason.MERGED.value,
            "from": self.source.organisation,
            "into": self.target.organisation,
        }
        event = self.target.new_event("authenticated", "operator", confirmed.person_key, facts)
        self.target.session.execute("insert_event", **event)

    def _write(
        self,
        transaction: OrganisationTransaction,
        links: Sequence[Link],
        kind: ChangeKind,
        transfers: Sequence[str],
    ) -> None:
        reason, organisations = ChangeReason.MERGED, (self.source.organisation, self.target.organisation)
        changes, events = [], []
        for link in links:
            new, old = (link.orcid_id, None) if kind is ChangeKind.LINKED else (None, link.orcid_id)
            changes.append(transaction.new_change(kind, link, new, old, reason=reason))
            facts = {"orcid": link.orcid_id.uri, "account": link.account, "link": link.id, "reason": reason.value}
            facts |= dict(zip(("from", "into"), organisations, strict=True))
            events.append(transaction.new_event(kind.value, "operator", link.person_key, facts))
        _insert_changes(transaction, changes, transfers, events)


def _rename(
    transaction: OrganisationTransaction, new_account: AccountMapping, report: ConflictHandler, transfers: Sequence[str]
) -> MoveResult:
    session, organisation = transaction.session, transaction.organisation
    moves: dict[str, tuple[Link, str]] = {}
    conflicts, moved, after = 0, 0, ""
    while page := session.fetch_all("list_links", organisation=organisation, after=after, limit=PAGE_SIZE):
        for link in map(rows.link_from_row, page):
            account = new_account(link.account)
            if isinstance(account, MoveConflict):
                report(link, "", account)
                conflicts += 1
            elif fold(account) != link.person_key:
                moves[link.person_key] = link, account
        after = page[-1]["person_key"]
    ordered, circles = _vacated_first(moves)
    for link, account in circles:
        report(link, account, MoveConflict.CIRCLE)
    conflicts += len(circles)
    day, now = transaction.now.date().isoformat(), rows.format_timestamp(transaction.now)
    for start in range(0, len(ordered), PAGE_SIZE):
        changes, events = [], []
        for link, account in ordered[start : start + PAGE_SIZE]:
            if session.fetch_one("get_link_id", organisation=organisation, person_key=fold(account)) is not None:
                report(link, account, MoveConflict.OTHER_ORCID_ID)
                conflicts += 1
                continue
            new = replace(link, person_key=fold(account), account=account)
            values = {"id": link.id, "person_key": new.person_key, "account": account, "day": day, "now": now}
            session.execute("move_link", **values, account_issued_at="", stable_id="")
            change = transaction.new_change(ChangeKind.MOVED, new, link.orcid_id, None, moved_from=link)
            changes.append(change)
            events += transaction.new_move_events(link, change, "operator", {"reason": ChangeReason.MOVED.value})
        _insert_changes(transaction, changes, transfers, events)
        moved += len(changes)
    return MoveResult(moved, 0, conflicts, written=False)


def _vacated_first(moves: Mapping[str, tuple[Link, str]]) -> tuple[list[tuple[Link, str]], list[tuple[Link, str]]]:
    # In an order in which an account is left before another link gets it; and the moves for which there is none,
    # because their accounts are exchanged in a circle
    pending = dict(moves)
    ordered: list[tuple[Link, str]] = []
    circles: list[tuple[Link, str]] = []
    while pending:
        first = key = next(iter(pending))
        chain = []
        while key in pending:
            chain.append(pending.pop(key))
            key = fold(chain[-1][1])
        if key == first:
            circles += chain
        else:
            ordered += reversed(chain)
    return ordered, circles


def _insert_changes(
    transaction: OrganisationTransaction,
    changes: Sequence[Change],
    transfers: Sequence[str],
    events: Sequence[Mapping[str, str | int | None]],
) -> None:
    # Changes with their deliveries and audit events
    session = transaction.session
    for transfer in transfers:
        session.execute("insert_circuit_breaker", organisation=transaction.organisation, transfer=transfer)
    session.execute_many("insert_change", [rows.change_values(change) for change in changes])
    deliveries = [rows.delivery_values(change, transfer) for change in changes for transfer in transfers]
    session.execute_many("insert_delivery", deliveries)
    session.execute_many("insert_event", events)
