"""Current and former links.

* A person has at most one current link, and an iD at most one current link in an organisation.
* A link, its change, deliveries and audit event, and the end of its attempt are written in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from shibboleth.account_time import different_issue_times
from shibboleth.orcid_id import OrcidId
from sql import rows
from sql.errors import AttemptClosed, AttemptNotAuthenticated, LinkChanged, OrcidIdInUse
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

    def person_status(self, organisation_id: str, person_key: str, *, deliveries: bool = True) -> PersonStatus:
        """Return a person's current link and their newest change's progress.

        Deliveries are read only if wanted.
        """
        person = {"organisation": organisation_id, "person_key": person_key}
        (row,) = self.engine.fetch_all("get_person_status", **person)
        newest, fetched = row["newest_number"], row["fetched_number"]
        is_fetched = newest is not None and fetched is not None and fetched >= newest
        found = self.engine.fetch_all("list_deliveries_of_newest_change", **person) if deliveries else []
        return PersonStatus(
            link=None if row["id"] is None else rows.link_from_row(row),
            newest_change=None if newest is None else ChangeKind(row["newest_kind"]),
            fetched_at=rows.parse_timestamp(row["fetched_at"]) if is_fetched else None,
            deliveries=tuple(map(rows.delivery_from_row, found)),
        )

    def list_for_person(self, organisation_id: str, person_key: str, limit: int = NO_LIMIT) -> list[Link]:
        """Return a person's current and former links, newest first."""
        found = self.engine.fetch_all(
            "list_links_of_person", organisation=organisation_id, person_key=person_key, limit=limit
        )
        return [rows.link_from_row(row) for row in found]

    def reassigned_at(self, organisation_id: str, person_key: str) -> datetime | None:
        """Return when the account was last found reassigned.

        Older data belongs to its previous holder.
        """
        row = self.engine.fetch_one("get_last_reassignment", organisation=organisation_id, person_key=person_key)
        return None if row is None else rows.parse_timestamp(row["at"])

    def list_current(self, organisation_id: str) -> Iterator[Link]:
        """Give an organisation's current links by person_key, a page at a time.

        Each person occurs at most once. A link that is added or removed meanwhile may be missing: a caller that needs
        a consistent state reads `ChangeRepository.last_number` first and applies the changes after it.
        """
        return map(rows.link_from_row, self.pages("list_links", organisation_id))

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
    ) -> Change | None:
        """Link the iD that ORCID returned for an attempt to the attempt's person.

        It is one transaction.

        Args:
            account_issued_at: When the organisation issued the account; empty where it does not say.
            replacing: The iD that the person was shown as their current one.
            transfers: The names of the organisation's transfers, to which the change is delivered.

        Returns:
            None when the person has this iD already; the attempt then ends as `unchanged`.

        Raises:
            AttemptClosed: If the attempt is closed or deleted.
            AttemptNotAuthenticated: If ORCID has not answered it.
            LinkChanged: If the person's current iD is not `replacing`.
            OrcidIdInUse: If another person of the organisation has the iD.
        """
        with self.organisation_transaction(attempt.organisation, now) as transaction:
            session = transaction.session
            row = session.fetch_one("lock_attempt", id=attempt.id)
            # An attempt of another organisation is not covered by this lock
            if row is None or row["organisation"] != attempt.organisation:
                raise AttemptClosed(None)
            stored = rows.attempt_from_row(row)
            if stored.closed_at is not None:
                raise AttemptClosed(stored)
            if stored.orcid_id is None:
                raise AttemptNotAuthenticated(stored)
            new = Link(
                link_id,
                stored.organisation,
                stored.person_key,
                stored.account,
                account_issued_at,
                stored.orcid_id,
                now,
                consent,
            )
            current = None
            if row["current_link_id"] is not None:
                person = {"organisation": stored.organisation, "person_key": stored.person_key}
                current = rows.link_from_row(session.fetch_all("get_link", **person)[0])
            if current is not None and _is_same(current, new):
                _close_attempt(transaction, stored, "unchanged")
                facts = _facts(current, consent)
                transaction.insert_event("unchanged", "person", stored.person_key, facts)
                return None
            _check_current(current, replacing)
            if row["linked_person_key"] not in {None, new.person_key}:
                raise OrcidIdInUse(new.orcid_id)
            return _insert_link(transaction, stored, current, new, transfers)

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
            row = transaction.session.fetch_one("get_link", organisation=organisation_id, person_key=person_key)
            if row is None:
                return None
            current = rows.link_from_row(row)
            if expected is not None:
                _check_current(current, expected)
            return transaction.remove_link(current, actor, reason, transfers)


def _is_same(current: Link, new: Link) -> bool:
    # A reassigned account is another person, even with the same iD
    reissued = different_issue_times(current.account_issued_at, new.account_issued_at)
    return current.orcid_id == new.orcid_id and not reissued


def _check_current(current: Link | None, shown: OrcidId | None) -> None:
    if (None if current is None else current.orcid_id) != shown:
        raise LinkChanged(current)


def _close_attempt(transaction: OrganisationTransaction, attempt: Attempt, outcome: str) -> None:
    now = rows.format_timestamp(transaction.now)
    transaction.session.execute("close_attempt", id=attempt.id, outcome=outcome, now=now)


def _insert_link(
    transaction: OrganisationTransaction, attempt: Attempt, current: Link | None, new: Link, transfers: Sequence[str]
) -> Change:
    kind = ChangeKind.LINKED if current is None else ChangeKind.REPLACED
    previous = None if current is None else current.orcid_id
    facts = _facts(new, new.consent) | ({} if previous is None else {"previous": previous.uri})
    with transaction.session.pipeline():
        if current is not None:
            transaction.end_link(current, "person")
        transaction.session.execute("insert_consent_text", **rows.consent_text_values(new.consent))
        transaction.session.execute("insert_link", **rows.link_values(new))
        _close_attempt(transaction, attempt, kind.value)
        change = transaction.insert_change(kind, new, new.orcid_id, previous, transfers)
        transaction.insert_event(kind.value, "person", new.person_key, facts)
    return change


def _facts(link: Link, consent: Consent) -> dict[str, str]:
    return {
        "orcid": link.orcid_id.uri,
        "account": link.account,
        "link": link.id,
        "consent": f"{consent.version} {consent.language}",
    }
