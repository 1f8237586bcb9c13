"""Import of links that were made elsewhere and that an organisation attests.

Either all links of a file are imported, or none.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice

from shibboleth.orcid_id import OrcidId
from sql import rows
from sql.engines.base import unstorable
from sql.records import ChangeKind, Consent, Link
from sql.repositories.base import ID_BYTES, PAGE_SIZE, OrganisationTransaction, Repository, Rollback


@dataclass(frozen=True, slots=True)
class AttestedLink:
    """One person's iD; the organisation attests the authentication."""

    line: int
    """The line of the file that is imported, for messages."""
    person_key: str
    account: str
    orcid_id: OrcidId
    authenticated_at: datetime | None = None
    """When the person authenticated the iD; None means the import's `attested_at`."""


class RejectionReason(StrEnum):
    """Why a link is not imported."""

    OTHER_ORCID_ID = "the person has another ORCID iD"
    OTHER_PERSON = "another person of the organisation has this ORCID iD"
    UNSTORABLE = "it holds a character that cannot be stored"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Numbers of an import."""

    linked: int
    unchanged: int
    """Number of persons who had this iD already."""
    rejected: int
    written: bool
    """False in a dry run, and when any link was rejected."""


RejectionHandler = Callable[[AttestedLink, RejectionReason], None]


class ImportRepository(Repository):
    """Import of links that an organisation attests."""

    def add(  # noqa: PLR0913 - all that an import needs
        self,
        organisation_id: str,
        attested: Iterable[AttestedLink],
        source: str,
        attested_at: datetime,
        now: datetime,
        *,
        transfers: Sequence[str] = (),
        key_attribute: str | None = None,
        reject: RejectionHandler = lambda _row, _reason: None,
        dry_run: bool = False,
    ) -> ImportResult:
        """Link persons to iDs that they authenticated in another system, `source`.

        When any link is rejected, nothing is written; `reject` is called for each. An import never replaces an iD. Each
        link has its change and deliveries; the audit log has one event for all. Memory does not grow with the number of
        links. Until the end no other transaction can write data of the organisation, and on SQLite no data at all.
        """
        text = f"The organisation attests that the person authenticated the ORCID iD at {source}."
        consent = Consent("import", "en", text, attested_at)
        linked = unchanged = rejected = 0
        with suppress(Rollback), self.organisation_transaction(organisation_id, now, long=True) as transaction:
            transaction.key_attribute = key_attribute
            session = transaction.session
            session.execute("insert_consent_text", **rows.consent_text_values(consent))
            for transfer in transfers:
                session.execute("insert_circuit_breaker", organisation=organisation_id, transfer=transfer)
            links = iter(attested)
            while batch := list(islice(links, PAGE_SIZE)):
                new, rejections = _insert_links(transaction, batch, source, consent)
                changes = [transaction.new_change(ChangeKind.LINKED, link, link.orcid_id, None) for link in new]
                session.execute_many("insert_change", [rows.change_values(change) for change in changes])
                deliveries = [rows.delivery_values(change, name) for change in changes for name in transfers]
                session.execute_many("insert_delivery", deliveries)
                for row, reason in rejections:
                    reject(row, reason)
                linked += len(new)
                rejected += len(rejections)
                unchanged += len(batch) - len(new) - len(rejections)
            if rejected or dry_run:
                raise Rollback
            facts = {
                "source": source,
                "attested_at": rows.format_timestamp(attested_at),
                "linked": str(linked),
                "unchanged": str(unchanged),
            }
            transaction.insert_event("imported", "operator", None, facts)
        return ImportResult(linked, unchanged, rejected, written=not rejected and not dry_run)


def _insert_links(
    transaction: OrganisationTransaction, batch: list[AttestedLink], source: str, consent: Consent
) -> tuple[list[Link], list[tuple[AttestedLink, RejectionReason]]]:
    """Insert the valid links of a batch; return them, and the rejected ones."""
    rejections, candidates = [], []
    for row in batch:
        if unstorable({"person_key": row.person_key, "account": row.account}):
            rejections.append((row, RejectionReason.UNSTORABLE))
            continue
        link = Link(
            id=secrets.token_hex(ID_BYTES),
            organisation=transaction.organisation,
            person_key=row.person_key,
            account=row.account,
            account_issued_at="",
            orcid_id=row.orcid_id,
            linked_at=transaction.now,
            consent=consent,
            source=source,
            authenticated_at=row.authenticated_at or consent.at,
        )
        candidates.append((row, link))
    values = [rows.link_values(link) for _, link in candidates]
    if transaction.session.execute_many("insert_link_if_free", values) == len(values):
        return [link for _, link in candidates], rejections
    # Some were not inserted: look up which
    people = [{"organisation": link.organisation, "person_key": link.person_key} for _, link in candidates]
    new = []
    for (row, link), found in zip(candidates, transaction.session.fetch_batch("get_link_id", people), strict=True):
        if not found:
            rejections.append((row, RejectionReason.OTHER_PERSON))
        elif found[0]["id"] == link.id:
            new.append(link)
        elif rows.orcid_id_from_row(found[0]) != row.orcid_id:
            rejections.append((row, RejectionReason.OTHER_ORCID_ID))
    return new, rejections
