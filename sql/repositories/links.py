"""Current and former links.

* A person has at most one current link, and an iD at most one current link in an organisation.
* A link, its change, deliveries and audit event, and the end of its attempt are written in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from operator import attrgetter
from types import MappingProxyType

from shibboleth.account_holder import (
    UNKNOWN_HOLDER,
    AccountHolder,
    KnownHolder,
    different_holders,
    different_stable_ids,
)
from shibboleth.account_time import is_readable
from shibboleth.attributes import fold
from shibboleth.orcid_id import OrcidId
from sql import rows
from sql.endings import close_attempt_for_link, delete_attempts, revoke_tokens
from sql.engines.base import Row, Transaction
from sql.errors import AccountLinked, AttemptClosed, AttemptNotAuthenticated, LinkChanged, OrcidIdInUse
from sql.records import Attempt, Change, ChangeKind, Consent, Link, PersonStatus
from sql.repositories.base import NO_LIMIT, OrganisationTransaction, Repository


class LinkRepository(Repository):
    """Current and former links."""

    def orcid_ids(self, organisation_id: str, person_key: str) -> list[OrcidId]:
        """Return the iD of a person's current link, or an empty list."""
        row = self.engine.fetch_one("get_current_orcid_id", organisation=organisation_id, person_key=person_key)
        return [] if row is None else [rows.orcid_id_from_row(row)]

    def get(self, organisation_id: str, person_key: str) -> Link | None:
        """Return a person's current link."""
        row = self.engine.fetch_one("get_link", organisation=organisation_id, person_key=person_key)
        return None if row is None else rows.link_from_row(row)

    def get_by_orcid_id(self, organisation_id: str, orcid_id: OrcidId) -> Link | None:
        """Return the organisation's current link with this iD."""
        row = self.engine.fetch_one(
            "get_link_by_orcid_id", organisation=organisation_id, **rows.orcid_id_values(orcid_id)
        )
        return None if row is None else rows.link_from_row(row)

    def person_status(
        self, organisation_id: str, person_key: str, holder: AccountHolder = UNKNOWN_HOLDER, *, deliveries: bool = True
    ) -> PersonStatus:
        """Return a person's current link and the progress of their newest change.

        Args:
            organisation_id: The organisation's id.
            person_key: The person's key.
            holder: The present holder of the account; attempts of other holders are reported by `has_other_attempts`.
            deliveries: Whether to read the deliveries.
        """
        person = {"organisation": organisation_id, "person_key": person_key}
        known = {
            "stable_id": holder.stable_id,
            "account_issued_at": rows.storable(holder.account_issued_at),
        }
        (row,) = self.engine.fetch_all("get_person_status", **person, **known)
        newest, fetched = row["newest_number"], row["fetched_number"]
        is_fetched = newest is not None and fetched is not None and fetched >= newest
        found = self.engine.fetch_all("list_deliveries_of_newest_change", **person) if deliveries else []
        return PersonStatus(
            link=None if row["id"] is None else rows.link_from_row(row),
            newest_change=None if newest is None else ChangeKind(row["newest_kind"]),
            fetched_at=rows.parse_timestamp(row["fetched_at"]) if is_fetched else None,
            deliveries=tuple(map(rows.delivery_from_row, found)),
            has_other_attempts=bool(row["has_other_attempts"]),
            removal_pending=bool(row["removal_pending"]),
        )

    def list_for_person(self, organisation_id: str, person_key: str, limit: int = NO_LIMIT) -> list[Link]:
        """Return a person's current and former links, newest first."""
        found = self.engine.fetch_all(
            "list_links_of_person", organisation=organisation_id, person_key=person_key, limit=limit
        )
        return [rows.link_from_row(row) for row in found]

    def reassigned_at(self, organisation_id: str, person_key: str) -> datetime | None:
        """Return when the account was last found to have another holder, if ever.

        Older data belongs to an earlier holder.
        """
        row = self.engine.fetch_one("get_last_reassignment", organisation=organisation_id, person_key=person_key)
        return None if row is None else rows.parse_timestamp(row["at"])

    def list_current(self, organisation_id: str) -> Iterator[Link]:
        """Yield an organisation's current links by person_key, a page at a time.

        Each person occurs at most once. A link that is added or removed meanwhile may be missing: a caller that needs a
        consistent state reads `ChangeRepository.last_number` first and applies the changes after it.
        """
        return map(rows.link_from_row, self.pages("list_links", organisation_id))

    def linked_keys(self, organisation_id: str) -> Iterator[str]:
        """Yield the person_key of each current link, a page at a time."""
        return (row["person_key"] for row in self.pages("list_linked_keys", organisation_id))

    def count(self, organisation_id: str) -> int:
        """Return the number of an organisation's current links."""
        (row,) = self.engine.fetch_all("count_links", organisation=organisation_id)
        return int(row["count"])

    def add(  # noqa: PLR0913, PLR0917 - all that a confirmation contains
        self,
        attempt: Attempt,
        account_issued_at: str,
        consent: Consent,
        replacing: OrcidId | None,
        now: datetime,
        link_id: str,
        transfers: Sequence[str] = (),
        *,
        stable_id: str = "",
        key_attribute: str | None = None,
    ) -> Change | None:
        """Link the iD that ORCID returned for an attempt to the attempt's person.

        The link, its change, deliveries and event, and the end of the attempt are one transaction.

        Args:
            account_issued_at: When the organisation issued the account; empty where it does not say.
            stable_id: The person's stable id; empty where none is known.
            replacing: The iD that the person was shown as their current one.
            transfers: The names of the organisation's transfers, to which the change is delivered.
            key_attribute: The attribute of which the person's key is a value; kept with the organisation's first link.

        Returns:
            None when the person has this iD already, so that the organisation need not be told. The attempt then ends
            as `unchanged`, or as `linked` where the organisation had attested the link, which is the person's own now.

        Raises:
            AttemptClosed: If the attempt is closed or deleted.
            AttemptNotAuthenticated: If ORCID has not answered it.
            LinkChanged: If the person's current iD is not `replacing`.
            OrcidIdInUse: If another person of the organisation has the iD.
        """
        with self.organisation_transaction(attempt.organisation, now) as transaction:
            transaction.key_attribute = key_attribute
            row, stored, orcid_id = _lock_answered_attempt(transaction, attempt)
            new = Link(
                link_id,
                stored.organisation,
                stored.person_key,
                stored.account,
                account_issued_at,
                orcid_id,
                now,
                consent,
                stable_id=stable_id,
                last_seen_on=now.date(),
            )
            current = None if row["current_link_id"] is None else transaction.current_link(stored.person_key)
            # A reassigned account is another person, even with the same iD
            has_id = current is not None and current.orcid_id == new.orcid_id and not different_holders(current, new)
            if current is not None and has_id and not current.attested:
                tokens = transaction.session.fetch_all("list_tokens_of_attempt", attempt=stored.id)
                close_attempt_for_link(transaction.session, stored.id, "unchanged", current.id, now)
                transaction.insert_event("unchanged", "person", stored.person_key, _facts(current, consent))
                transaction.insert_permitted(current, tokens)
                return None
            _check_current(current, replacing)
            if current is not None and has_id:
                _confirm_attested_link(transaction, stored, current, new)
                return None
            if row["linked_person_key"] not in {None, new.person_key}:
                raise OrcidIdInUse(new.orcid_id)
            return _insert_link(transaction, stored, current, new, transfers)

    def record_sign_in(self, link: Link, holder: AccountHolder, now: datetime) -> None:
        """Record that the holder of a link's account has signed in.

        The day of the sign-in is stored, once a day. A time of issue or a stable id that the link lacks is stored too,
        and a stable id of another attribute replaces the stored one.
        """
        issued, stable_id = link.account_issued_at, link.stable_id
        if not issued and is_readable(holder.account_issued_at):
            issued = rows.storable(holder.account_issued_at)
        if holder.stable_id and not different_stable_ids(holder.stable_id, stable_id):
            stable_id = holder.stable_id
        if (issued, stable_id, now.date()) != (link.account_issued_at, link.stable_id, link.last_seen_on):
            self.engine.execute(
                "record_sign_in",
                id=link.id,
                person_key=link.person_key,
                day=now.date().isoformat(),
                account_issued_at=issued,
                stable_id=stable_id,
                known_issued_at=link.account_issued_at,
                known_stable_id=link.stable_id,
            )

    def end_earlier_holder(
        self, organisation_id: str, person_key: str, holder: AccountHolder, now: datetime, transfers: Sequence[str] = ()
    ) -> Change | None:
        """End the link and attempts of an earlier holder of an account.

        In one transaction the link ends, attempts and mail are deleted, and the audit log says that the account was
        reassigned. Nothing is done if neither the link nor an attempt belongs to another holder.

        Returns:
            The removal of the link, if there was one.
        """
        person = {"organisation": organisation_id, "person_key": person_key}
        with self.organisation_transaction(organisation_id, now) as transaction:
            session = transaction.session
            link = transaction.current_link(person_key)
            attempts = session.fetch_all("list_attempts_of_person", **person, limit=NO_LIMIT)
            reassigned = link is not None and different_holders(link, holder)
            if not reassigned and not any(different_holders(rows.attempt_from_row(row), holder) for row in attempts):
                return None
            delete_attempts(session, attempts, now)
            transaction.insert_event("reassigned", "service", person_key, {})
            if link is None or not reassigned:
                return None
            session.execute("delete_mail_of_person", **person)
            return transaction.remove_link(link, "service", "account reassigned", transfers)

    def list_by_stable_id(self, organisation_id: str, stable_id: str) -> list[Link]:
        """Return at most two current links with this stable id."""
        found = self.engine.fetch_all("list_links_by_stable_id", organisation=organisation_id, stable_id=stable_id)
        return [rows.link_from_row(row) for row in found]

    def list_rename_conflicts(self, organisation_id: str, limit: int = NO_LIMIT) -> list[tuple[str, str]]:
        """Return pairs of accounts with one stable id whose links no sign-in moves.

        Either both accounts have a link, or the account with the link was used after the other one started an attempt.
        Only attempts that are not deleted yet are known.

        Returns:
            Folded keys, the account that was seen first before the other.
        """
        found = self.engine.fetch_all("list_rename_conflicts", organisation=organisation_id, limit=limit)
        return [(row["person_key"], row["other_person_key"]) for row in found]

    def move(  # noqa: PLR0913, PLR0917 - all that an audit event says
        self,
        organisation_id: str,
        person_key: str,
        account: str,
        actor: str,
        reason: str,
        now: datetime,
        *,
        holder: AccountHolder | None = None,
        expected: OrcidId | None = None,
        unchanged: Link | None = None,
        claim: str | None = None,
        by: Mapping[str, str] = MappingProxyType({}),
        transfers: Sequence[str] = (),
    ) -> Change | None:
        """Move a person's current link to another account of theirs.

        It is one transaction.

        What was stored under the earlier account stays there; `earlier_accounts` finds it, unless the iD was claimed.

        Args:
            account: The account that the person has now.
            holder: What is known of the account's holder. If None, the person is the same: the stable id stays with the
                link, and the time of issue, which is the earlier account's, does not.
            expected: The iD that the link must have; None accepts any.
            unchanged: The link whose stable id and last sign-in are the evidence for the move; None needs no evidence.
            claim: The id of the attempt that asked for the iD; it is closed as `moved`, and works once.
            by: Facts of the audit events that name the administrator who moved it.
            transfers: The names of the organisation's transfers, to which the change is delivered.

        Returns:
            None when the earlier account has no link.

        Raises:
            AttemptClosed: If the claim is closed.
            AccountLinked: If the account has a link already.
            LinkChanged: If the link has another iD than `expected`, or the evidence has changed.
        """
        with self.organisation_transaction(organisation_id, now) as transaction:
            link = transaction.current_link(person_key)
            if link is None:
                return None
            if expected is not None:
                _check_current(link, expected)
            if transaction.current_link(fold(account)) is not None:
                raise AccountLinked
            if unchanged is not None:
                _check_evidence(transaction.session, link, unchanged)
            tokens: Sequence[Row] = ()
            if claim is not None:
                # What the earlier account's holder permitted is not for the account now, which has permitted it itself
                revoke_tokens(transaction.session, link.id, now)
                transaction.session.execute("delete_affiliation_permission", link_id=link.id)
                transaction.session.fetch_one("lock_attempt", id=claim)
                tokens = transaction.session.fetch_all("list_tokens_of_attempt", attempt=claim)
                if not close_attempt_for_link(transaction.session, claim, "moved", link.id, now):
                    raise AttemptClosed(None)
            holder = KnownHolder(stable_id=link.stable_id) if holder is None else holder
            facts = {"reason": reason, **by} | ({} if claim is None else {"attempt": claim})
            change = _move_link(transaction, link, account, holder, actor, facts, transfers)
            transaction.insert_permitted(replace(link, person_key=fold(account), account=account), tokens)
            return change

    def remove(  # noqa: PLR0913, PLR0917 - all that an audit event says
        self,
        organisation_id: str,
        person_key: str,
        actor: str,
        reason: str,
        now: datetime,
        expected: OrcidId | None = None,
        transfers: Sequence[str] = (),
    ) -> Change | None:
        """End a person's current link; return None when there is none.

        Args:
            expected: The iD that the current link must have; None accepts any.
            transfers: The names of the organisation's transfers, to which the change is delivered.

        Raises:
            LinkChanged: If the current link has another iD than `expected`.
        """
        with self.organisation_transaction(organisation_id, now) as transaction:
            current = transaction.current_link(person_key)
            if current is None:
                return None
            if expected is not None:
                _check_current(current, expected)
            return transaction.remove_link(current, actor, reason, transfers)


def _check_current(current: Link | None, shown: OrcidId | None) -> None:
    if (None if current is None else current.orcid_id) != shown:
        raise LinkChanged(current)


def _check_evidence(session: Transaction, link: Link, unchanged: Link) -> None:
    # Of all that was read before the transaction began, what a move by the person depends on
    evidence = attrgetter("id", "stable_id", "account_issued_at", "last_seen_on")
    values = {"organisation": link.organisation, "stable_id": link.stable_id}
    if evidence(link) != evidence(unchanged) or len(session.fetch_all("list_links_by_stable_id", **values)) > 1:
        raise LinkChanged(link)


def _lock_answered_attempt(transaction: OrganisationTransaction, attempt: Attempt) -> tuple[Row, Attempt, OrcidId]:
    row = transaction.session.fetch_one("lock_attempt", id=attempt.id)
    # An attempt of another organisation is not covered by the transaction's lock
    if row is None or row["organisation"] != attempt.organisation:
        raise AttemptClosed(None)
    stored = rows.attempt_from_row(row)
    if stored.closed_at is not None:
        raise AttemptClosed(stored)
    if stored.orcid_id is None:
        raise AttemptNotAuthenticated(stored)
    return row, stored, stored.orcid_id


def _insert_link(
    transaction: OrganisationTransaction, attempt: Attempt, current: Link | None, new: Link, transfers: Sequence[str]
) -> Change:
    kind = ChangeKind.LINKED if current is None else ChangeKind.REPLACED
    previous = None if current is None else current.orcid_id
    facts = _facts(new, new.consent) | ({} if previous is None else {"previous": previous.uri})
    tokens = transaction.session.fetch_all("list_tokens_of_attempt", attempt=attempt.id)
    with transaction.session.pipeline():
        if current is not None:
            transaction.end_link(current, "person")
        transaction.session.execute("insert_consent_text", **rows.consent_text_values(new.consent))
        transaction.session.execute("insert_link", **rows.link_values(new))
        close_attempt_for_link(transaction.session, attempt.id, kind.value, new.id, transaction.now, is_new=True)
        change = transaction.insert_change(kind, new, new.orcid_id, previous, transfers)
        transaction.insert_event(kind.value, "person", new.person_key, facts)
        transaction.insert_permitted(new, tokens)
    return change


def _move_link(  # noqa: PLR0913, PLR0917 - all that an audit event says
    transaction: OrganisationTransaction,
    link: Link,
    account: str,
    holder: AccountHolder,
    actor: str,
    facts: Mapping[str, str],
    transfers: Sequence[str],
) -> Change:
    session, old = transaction.session, {"organisation": link.organisation, "person_key": link.person_key}
    delete_attempts(session, session.fetch_all("list_attempts_of_person", **old, limit=NO_LIMIT), transaction.now)
    moved = replace(link, person_key=fold(account), account=account, suspended_at=None)
    with session.pipeline():
        session.execute(
            "move_link",
            id=link.id,
            person_key=moved.person_key,
            account=account,
            account_issued_at=rows.storable(holder.account_issued_at),
            stable_id=holder.stable_id,
            day=transaction.now.date().isoformat(),
            now=rows.format_timestamp(transaction.now),
        )
        change = transaction.insert_change(ChangeKind.MOVED, moved, link.orcid_id, None, transfers, moved_from=link)
        events = transaction.new_move_events(link, change, actor, facts, claimed="attempt" in facts)
        session.execute_many("insert_event", events)
        transaction.write_numbers()
    return change


def _confirm_attested_link(transaction: OrganisationTransaction, attempt: Attempt, current: Link, new: Link) -> None:
    # The link stays the same one, so that what is known of its record and release stays with it
    session, own = transaction.session, replace(new, id=current.id)
    facts = _facts(own, own.consent) | {"previous_source": current.source}
    tokens = session.fetch_all("list_tokens_of_attempt", attempt=attempt.id)
    with session.pipeline():
        session.execute("insert_consent_text", **rows.consent_text_values(own.consent))
        session.execute("confirm_attested_link", **rows.link_values(own))
        session.execute("delete_pending_removal", organisation=own.organisation, person_key=own.person_key)
        close_attempt_for_link(session, attempt.id, "linked", own.id, transaction.now, is_new=True)
        transaction.insert_event("authenticated", "person", own.person_key, facts)
        transaction.insert_permitted(own, tokens)


def _facts(link: Link, consent: Consent) -> dict[str, str]:
    return {
        "orcid": link.orcid_id.uri,
        "account": link.account,
        "link": link.id,
        "consent": f"{consent.version} {consent.language}",
    }
