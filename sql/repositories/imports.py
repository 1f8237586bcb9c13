"""Links that were made elsewhere: an organisation vouches for them, and they come all together or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice

from shibboleth.orcid_id import OrcidId
from sql import rows
from sql.engines.base import Row, unstorable
from sql.organisation_transaction import ID_BYTES, OrganisationTransaction, Repository
from sql.records import Change, ChangeKind, Consent, Link

BATCH = 500
"""How many rows are held in memory at once."""


@dataclass(frozen=True, slots=True)
class Attested:
    """One person's iD, of which the organisation says that the person has shown it to be theirs."""

    line: int
    """Where it stands in what is imported, to speak about it."""
    person_key: str
    account: str
    orcid_id: OrcidId
    authenticated_at: datetime | None = None
    """When the person did; none: when the organisation says that all did."""


class Reason(StrEnum):
    """Why a row is not imported."""

    OTHER_ORCID_ID = "the person has another ORCID iD"
    OTHER_PERSON = "another person of the organisation has this ORCID iD"
    UNSTORABLE = "it holds a character that cannot be stored"


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import."""

    linked: int
    unchanged: int
    """How many persons had this iD already."""
    rejected: int
    written: bool
    """Nothing is written while a row is rejected, nor in a dry run."""


Reject = Callable[[Attested, Reason], None]


class _Undone(Exception):
    """Undoes a transaction, and says what it had come to."""

    def __init__(self, imported: Imported) -> None:
        super().__init__("this was to be undone")
        self.imported = imported


class ImportRepository(Repository):
    """Links that were made elsewhere and that an organisation attests."""

    def add(  # noqa: PLR0913 - whose, what, by whose word, and what to do about it
        self,
        entity_id: str,
        attested: Iterable[Attested],
        source: str,
        attested_at: datetime,
        now: datetime,
        *,
        transfers: Sequence[str] = (),
        reject: Reject = lambda _row, _reason: None,
        dry_run: bool = False,
    ) -> Imported:
        """Link persons to iDs that they authenticated at `source`, another system of their organisation.

        All or nothing: when a row is rejected nothing is written, and `reject` is told of each one. Nobody's iD is
        ever replaced by an import. Each link has its change, owed to the `transfers`; the audit has one event for all.
        However many rows there are, few are in memory; until the end nobody else writes about the organisation, and on
        SQLite about any. A dry run does it all, and undoes it.
        """
        consent = _consent(source, attested_at)
        try:
            with self._holding(entity_id, now, long=True) as held:
                work = _Import(held, consent, source, transfers, reject)
                imported = work.all(attested, write=not dry_run)
                _keep_or_undo(held, imported, source, attested_at)
                return imported
        except _Undone as undone:
            return undone.imported


@dataclass(slots=True)
class _Import:
    held: OrganisationTransaction
    consent: Consent
    source: str
    transfers: Sequence[str]
    reject: Reject
    linked: int = 0
    unchanged: int = 0
    rejected: int = 0

    def all(self, attested: Iterable[Attested], *, write: bool) -> Imported:
        self.held.session.execute("keep_consent_text", **rows.consent_text_values(self.consent))
        for transfer in self.transfers:
            self.held.session.execute("add_breaker", organisation=self.held.organisation, transfer=transfer)
        for batch in _batches(self._storable(attested)):
            self._take(batch)
        return Imported(self.linked, self.unchanged, self.rejected, write and not self.rejected)

    def _storable(self, attested: Iterable[Attested]) -> Iterator[Attested]:
        for row in attested:
            if unstorable({"person_key": row.person_key, "account": row.account}):
                self._reject(row, Reason.UNSTORABLE)
            else:
                yield row

    def _reject(self, row: Attested, reason: Reason) -> None:
        self.rejected += 1
        self.reject(row, reason)

    def _take(self, batch: list[Attested]) -> None:
        """Link whom nothing stands against, and look closer only where something did."""
        links = [self._link(row) for row in batch]
        added = self.held.session.execute_many("add_link_if_free", [rows.link_values(link) for link in links])
        new = links if added == len(links) else self._sorted_out(batch, links)
        self.linked += len(new)
        changes = [self.held.next_change(ChangeKind.LINKED, link, link.orcid_id, None) for link in new]
        self.held.session.execute_many("add_change", [rows.change_values(change) for change in changes])
        self._owe(changes)

    def _owe(self, changes: list[Change]) -> None:
        owed = [rows.owed_values(change, transfer) for change in changes for transfer in self.transfers]
        self.held.session.execute_many("add_delivery", owed)

    def _link(self, row: Attested) -> Link:
        return Link(
            id=secrets.token_hex(ID_BYTES),
            organisation=self.held.organisation,
            person_key=row.person_key,
            account=row.account,
            issued="",
            orcid_id=row.orcid_id,
            linked_at=self.held.now,
            consent=self.consent,
            source=self.source,
            authenticated_at=row.authenticated_at or self.consent.at,
        )

    def _sorted_out(self, batch: list[Attested], links: list[Link]) -> list[Link]:
        of_them = [{"organisation": link.organisation, "person_key": link.person_key} for link in links]
        found = self.held.session.fetch_batch("own_orcid_id", of_them)
        new = []
        for row, link, own in zip(batch, links, found, strict=True):
            if own and own[0]["id"] == link.id:
                new.append(link)
            else:
                self._not_new(row, own)
        return new

    def _not_new(self, row: Attested, own: list[Row]) -> None:
        if not own:
            self._reject(row, Reason.OTHER_PERSON)
        elif rows.orcid_id_of(own[0]) != row.orcid_id:
            self._reject(row, Reason.OTHER_ORCID_ID)
        else:
            self.unchanged += 1


def _batches(attested: Iterator[Attested]) -> Iterator[list[Attested]]:
    while batch := list(islice(attested, BATCH)):
        yield batch


def _consent(source: str, attested_at: datetime) -> Consent:
    text = f"Nothing was asked here: the organisation vouches that the person authenticated the ORCID iD at {source}."
    return Consent("import", "en", text, attested_at)


def _keep_or_undo(held: OrganisationTransaction, imported: Imported, source: str, attested_at: datetime) -> None:
    if not imported.written:
        raise _Undone(imported)
    held.event("imported", "operator", None, _facts(imported, source, attested_at))


def _facts(imported: Imported, source: str, attested_at: datetime) -> dict[str, str]:
    return {
        "source": source,
        "attested_at": rows.timestamp(attested_at),
        "linked": str(imported.linked),
        "unchanged": str(imported.unchanged),
    }
