"""Conversion between records and the text and integers of database rows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache

from shibboleth.orcid_id import OrcidId, Registry
from sql.audit import digest
from sql.engines.base import Row
from sql.records import (
    Affiliation,
    AffiliationItem,
    AffiliationItemState,
    AffiliationPermission,
    AffiliationSection,
    Attempt,
    Change,
    ChangeKind,
    ChangeReason,
    Consent,
    Delivery,
    DeliveryState,
    Link,
    LinkSummary,
    OrcidToken,
    RecordState,
    RecordStatus,
    Release,
    ReleaseState,
    TransferBreaker,
)


@lru_cache(maxsize=64)
def format_timestamp(time: datetime) -> str:
    """Return a time as UTC text of one width, which sorts as text.

    Raises:
        ValueError: If the time has no time zone.
    """
    if time.tzinfo is None:
        raise ValueError("a time needs a time zone")
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def format_optional_timestamp(time: datetime | None) -> str | None:
    """Return None for None, else what `format_timestamp` returns."""
    return None if time is None else format_timestamp(time)


def parse_timestamp(text: str) -> datetime:
    """Return the time that `format_timestamp` wrote."""
    return datetime.fromisoformat(text)


def parse_optional_timestamp(text: str | None) -> datetime | None:
    """Return None for None, else what `parse_timestamp` returns."""
    return None if text is None else parse_timestamp(text)


def storable(text: str) -> str:
    """Return text without NUL characters and halves of surrogate pairs.

    No database can store them.
    """
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def orcid_id_from_row(row: Row) -> OrcidId:
    """Return the iD of the columns `registry` and `orcid`, which are not null."""
    return OrcidId(row["orcid"], Registry(row["registry"]))


def optional_orcid_id(registry: str | None, orcid: str | None) -> OrcidId | None:
    """Return the iD of two columns that may be null."""
    return None if registry is None or orcid is None else OrcidId(orcid, Registry(registry))


def orcid_id_values(orcid_id: OrcidId | None) -> dict[str, str | None]:
    """Return the values of the columns `registry` and `orcid`."""
    if orcid_id is None:
        return {"registry": None, "orcid": None}
    return {"registry": orcid_id.registry.value, "orcid": orcid_id.bare}


def attempt_from_row(row: Row) -> Attempt:
    """Return the attempt of a row of `attempts`."""
    return Attempt(
        id=row["id"],
        organisation=row["organisation"],
        person_key=row["person_key"],
        account=row["account"],
        account_issued_at=row["account_issued_at"],
        stable_id=row["stable_id"],
        claim_expires_at=parse_optional_timestamp(row["claim_expires_at"]),
        browser_hash=row["browser_hash"],
        started_at=parse_timestamp(row["started_at"]),
        expires_at=parse_timestamp(row["expires_at"]),
        consumed_at=parse_optional_timestamp(row["consumed_at"]),
        orcid_id=optional_orcid_id(row["registry"], row["orcid"]),
        orcid_name=row["orcid_name"],
        client_id=row["client_id"],
        scope=row["scope"],
        return_to=row["return_to"],
        closed_at=parse_optional_timestamp(row["closed_at"]),
        outcome=row["outcome"],
    )


@lru_cache(maxsize=64)
def consent_digest(consent: Consent) -> str:
    """Return the digest that identifies the text of a consent."""
    return digest(f"{consent.version}\n{consent.language}\n{consent.text}")


def consent_text_values(consent: Consent) -> dict[str, str]:
    """Return the values of a row of `consent_texts`."""
    return {
        "digest": consent_digest(consent),
        "version": consent.version,
        "language": consent.language,
        "text": consent.text,
    }


def link_values(link: Link) -> dict[str, str | None]:
    """Return the values of a new row of `links`, which is not suspended."""
    record = link.record
    return {
        "id": link.id,
        "organisation": link.organisation,
        "person_key": link.person_key,
        "account": link.account,
        "account_issued_at": link.account_issued_at,
        "stable_id": link.stable_id,
        "last_seen_on": None if link.last_seen_on is None else link.last_seen_on.isoformat(),
        **orcid_id_values(link.orcid_id),
        "linked_at": format_timestamp(link.linked_at),
        "consent_digest": consent_digest(link.consent),
        "consent_at": format_timestamp(link.consent.at),
        "source": link.source,
        "authenticated_at": format_optional_timestamp(link.authenticated_at),
        "record_state": None if record is None else record.state.value,
        "record_since": None if record is None else format_timestamp(record.since),
        "record_checked_at": None if record is None else format_timestamp(record.checked_at),
        "record_primary": None if record is None or record.primary is None else record.primary.bare,
    }


def link_from_row(row: Row) -> Link:
    """Return the link of a row of `links` joined with `consent_texts`."""
    state = row["release_state"]
    return Link(
        id=row["id"],
        organisation=row["organisation"],
        person_key=row["person_key"],
        account=row["account"],
        account_issued_at=row["account_issued_at"],
        stable_id=row["stable_id"],
        last_seen_on=None if row["last_seen_on"] is None else date.fromisoformat(row["last_seen_on"]),
        orcid_id=orcid_id_from_row(row),
        linked_at=parse_timestamp(row["linked_at"]),
        consent=Consent(row["version"], row["language"], row["text"], parse_timestamp(row["consent_at"])),
        ended_at=parse_optional_timestamp(row["ended_at"]),
        ended_by=row["ended_by"],
        source=row["source"],
        authenticated_at=parse_optional_timestamp(row["authenticated_at"]),
        release=None if state is None else Release(ReleaseState(state), parse_timestamp(row["release_at"])),
        record=_record_status_from_row(row),
        suspended_at=parse_optional_timestamp(row["suspended_at"]),
    )


def _record_status_from_row(row: Row) -> RecordStatus | None:
    if row["record_state"] is None:
        return None
    since, checked_at = parse_timestamp(row["record_since"]), parse_timestamp(row["record_checked_at"])
    primary = optional_orcid_id(row["registry"], row["record_primary"])
    return RecordStatus(RecordState(row["record_state"]), since, checked_at, primary)


def orcid_token_values(token: OrcidToken) -> dict[str, str | None]:
    """Return the values of a new row of `orcid_tokens`."""
    return {
        "id": token.id,
        "organisation": token.organisation,
        "attempt": token.attempt,
        "client_id": token.client_id,
        "scope": token.scope,
        "sealed": token.sealed,
        "obtained_at": format_timestamp(token.obtained_at),
        "expires_at": format_optional_timestamp(token.expires_at),
        "revocation_due_at": format_optional_timestamp(token.revocation_due_at),
    }


def orcid_token_from_row(row: Row, orcid_id: OrcidId | None = None, person_key: str | None = None) -> OrcidToken:
    """Return the pair of a row of `orcid_tokens`."""
    return OrcidToken(
        id=row["id"],
        organisation=row["organisation"],
        client_id=row["client_id"],
        scope=row["scope"],
        obtained_at=parse_timestamp(row["obtained_at"]),
        expires_at=parse_optional_timestamp(row["expires_at"]),
        attempt=row["attempt"],
        link=row["link"],
        sealed=row["sealed"],
        withdrawn_at=parse_optional_timestamp(row["withdrawn_at"]),
        revocation_due_at=parse_optional_timestamp(row["revocation_due_at"]),
        next_try_at=parse_optional_timestamp(row["next_try_at"]),
        tries=row["tries"],
        outcome=row["outcome"],
        lease_expires_at=parse_optional_timestamp(row["lease_expires_at"]),
        leased_by=row["leased_by"],
        revoked_at=parse_optional_timestamp(row["revoked_at"]),
        orcid_id=orcid_id,
        person_key=person_key,
    )


def link_summary_from_row(row: Row) -> LinkSummary:
    """Return the summary of a link.

    The row is one of `list_link_summaries`, or of a page for a backfill.
    """
    linked_at = parse_timestamp(row["linked_at"])
    state = None if row["record_state"] is None else RecordState(row["record_state"])
    return LinkSummary(row["id"], row["person_key"], row["account"], orcid_id_from_row(row), linked_at, state)


def change_values(change: Change) -> dict[str, str | int | None]:
    """Return the values of a row of `changes`."""
    previous = orcid_id_values(change.previous)
    return {
        "organisation": change.organisation,
        "number": change.number,
        "id": change.id,
        "kind": change.kind.value,
        "person_key": change.person_key,
        "account": change.account,
        "previous_person_key": change.previous_person_key,
        "previous_account": change.previous_account,
        **orcid_id_values(change.orcid_id),
        "previous_registry": previous["registry"],
        "previous_orcid": previous["orcid"],
        "at": format_timestamp(change.at),
        "reason": None if change.reason is None else change.reason.value,
        "attested_by": change.attested_by,
    }


def change_from_row(row: Row, number: str = "number") -> Change:
    """Return the change of a row of `changes`.

    `number` is the name of the column with its number.
    """
    return Change(
        organisation=row["organisation"],
        number=row[number],
        kind=ChangeKind(row["kind"]),
        person_key=row["person_key"],
        account=row["account"],
        previous_person_key=row["previous_person_key"],
        previous_account=row["previous_account"],
        orcid_id=optional_orcid_id(row["registry"], row["orcid"]),
        previous=optional_orcid_id(row["previous_registry"], row["previous_orcid"]),
        at=parse_timestamp(row["at"]),
        id=row["id"],
        reason=None if row["reason"] is None else ChangeReason(row["reason"]),
        attested_by=row["attested_by"],
    )


def delivery_values(change: Change, transfer: str) -> dict[str, str | int]:
    """Return the values of a new row of `deliveries`."""
    return {
        "organisation": change.organisation,
        "change_number": change.number,
        "transfer": transfer,
        "kind": change.kind.value,
        "person_key": change.person_key,
        "now": format_timestamp(change.at),
    }


def delivery_from_row(row: Row) -> Delivery:
    """Return the delivery of a row of `deliveries`, joined with its change.

    The change is None if it was deleted.
    """
    return Delivery(
        organisation=row["organisation"],
        change_number=row["change_number"],
        transfer=row["transfer"],
        kind=ChangeKind(row["kind"]),
        person_key=row["person_key"],
        change=None if row["at"] is None else change_from_row(row, "change_number"),
        state=DeliveryState(row["state"]),
        outcome=row["outcome"],
        message=row["message"],
        tries=row["tries"],
        created_at=parse_timestamp(row["created_at"]),
        queued_at=parse_timestamp(row["queued_at"]),
        next_try_at=parse_timestamp(row["next_try_at"]),
        last_try_at=parse_optional_timestamp(row["last_try_at"]),
        lease_expires_at=parse_optional_timestamp(row["lease_expires_at"]),
        leased_by=row["leased_by"],
        finished_at=parse_optional_timestamp(row["finished_at"]),
    )


def breaker_from_row(row: Row) -> TransferBreaker:
    """Return the circuit breaker of a row that has its columns."""
    open_until = parse_optional_timestamp(row["open_until"])
    return TransferBreaker(row["organisation"], row["transfer"], row["consecutive_failures"], open_until)


def affiliation_values(said: Affiliation) -> dict[str, str]:
    """Return the columns with what the organisation says."""
    return {
        "sections": said.section_names,
        "department": storable(said.department),
        "title": storable(said.title),
    }


def affiliation_permission_from_row(row: Row) -> AffiliationPermission:
    """Return the permission of a row, joined with `consent_texts`."""
    return AffiliationPermission(
        row["link_id"],
        Consent(row["version"], row["language"], row["text"], parse_timestamp(row["consent_at"])),
        Affiliation(frozenset(map(AffiliationSection, row["sections"].split())), row["department"], row["title"]),
        parse_timestamp(row["said_at"]),
        parse_optional_timestamp(row["refused_at"]),
    )


def affiliation_item_from_row(row: Row) -> AffiliationItem:
    """Return the item of a row of `affiliation_items` joined with its link."""
    return AffiliationItem(
        row["link_id"],
        AffiliationSection(row["section"]),
        orcid_id_from_row(row),
        row["client_id"],
        AffiliationItemState(row["state"]),
        parse_timestamp(row["changed_at"]),
        row["put_code"],
    )
