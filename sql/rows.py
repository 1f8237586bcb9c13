"""Between records and rows: values become text and whole numbers, and the other way round."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from shibboleth.orcid_id import OrcidId, Registry
from sql.audit import digest, facts_of
from sql.engines.base import Row
from sql.records import (
    Attempt,
    Breaker,
    Change,
    ChangeKind,
    Consent,
    CurrentLink,
    Delivery,
    DeliveryCount,
    DeliveryState,
    Erasure,
    Event,
    FeedProgress,
    Incident,
    Link,
    Mail,
    MailKind,
    PersonStatus,
    Release,
    ReleaseState,
    TransferBacklog,
)


@lru_cache(maxsize=64)
def timestamp(time: datetime) -> str:
    """Write a time as UTC text of one width, which sorts as it is. Raises ValueError for one without a zone."""
    if time.tzinfo is None:
        raise ValueError("a time without a zone could be any time")
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def time_of(text: str) -> datetime:
    """Read a time back."""
    return datetime.fromisoformat(text)


def _perhaps_moment(time: datetime | None) -> str | None:
    return None if time is None else timestamp(time)


def _perhaps_time(text: str | None) -> datetime | None:
    return None if text is None else time_of(text)


def printable(name: str) -> str:
    """Give a name from outside without the characters that no database can hold."""
    return name.replace("\0", "").encode("utf-8", "replace").decode()


def orcid_id_of(row: Row) -> OrcidId:
    """Read the iD of a row that has one."""
    return OrcidId(row["orcid"], Registry(row["registry"]))


def _perhaps_orcid_id(registry: str | None, orcid: str | None) -> OrcidId | None:
    return None if registry is None or orcid is None else OrcidId(orcid, Registry(registry))


def orcid_values(orcid_id: OrcidId | None) -> dict[str, str | None]:
    """Give the two values an iD is kept as."""
    if orcid_id is None:
        return {"registry": None, "orcid": None}
    return {"registry": orcid_id.registry.value, "orcid": orcid_id.bare}


def attempt_values(attempt: Attempt) -> dict[str, str | None]:
    """Give the values of an attempt, all but the hash of its state."""
    return {
        "id": attempt.id,
        "organisation": attempt.organisation,
        "person_key": attempt.person_key,
        "account": attempt.account,
        "browser": attempt.browser,
        "started_at": timestamp(attempt.started_at),
        "expires_at": timestamp(attempt.expires_at),
        "taken_at": _perhaps_moment(attempt.taken_at),
        **orcid_values(attempt.orcid_id),
        "orcid_name": attempt.orcid_name,
        "closed_at": _perhaps_moment(attempt.closed_at),
        "outcome": attempt.outcome,
    }


def attempt_of(row: Row) -> Attempt:
    """Read an attempt back."""
    return Attempt(
        id=row["id"],
        organisation=row["organisation"],
        person_key=row["person_key"],
        account=row["account"],
        browser=row["browser"],
        started_at=time_of(row["started_at"]),
        expires_at=time_of(row["expires_at"]),
        taken_at=_perhaps_time(row["taken_at"]),
        orcid_id=_perhaps_orcid_id(row["registry"], row["orcid"]),
        orcid_name=row["orcid_name"],
        closed_at=_perhaps_time(row["closed_at"]),
        outcome=row["outcome"],
    )


def consent_text_values(consent: Consent) -> dict[str, str]:
    """Give the values of what was agreed to, and the digest it is known by."""
    return {
        "digest": digest(f"{consent.version}\n{consent.language}\n{consent.text}"),
        "version": consent.version,
        "language": consent.language,
        "text": consent.text,
    }


def link_values(link: Link) -> dict[str, str | None]:
    """Give the values of a link that begins."""
    return {
        "id": link.id,
        "organisation": link.organisation,
        "person_key": link.person_key,
        "account": link.account,
        "issued": link.issued,
        **orcid_values(link.orcid_id),
        "linked_at": timestamp(link.linked_at),
        "consent_digest": consent_text_values(link.consent)["digest"],
        "consent_at": timestamp(link.consent.at),
        "source": link.source,
        "authenticated_at": _perhaps_moment(link.authenticated_at),
    }


def link_of(row: Row) -> Link:
    """Read a link back."""
    return Link(
        id=row["id"],
        organisation=row["organisation"],
        person_key=row["person_key"],
        account=row["account"],
        issued=row["issued"],
        orcid_id=orcid_id_of(row),
        linked_at=time_of(row["linked_at"]),
        consent=Consent(row["version"], row["language"], row["text"], time_of(row["consent_at"])),
        ended_at=_perhaps_time(row["ended_at"]),
        ended_by=row["ended_by"],
        source=row["source"],
        authenticated_at=_perhaps_time(row["authenticated_at"]),
        release=_release_of(row),
    )


def current_link_of(row: Row) -> CurrentLink:
    """Read what a snapshot tells of a link."""
    return CurrentLink(row["id"], row["person_key"], row["account"], orcid_id_of(row), time_of(row["linked_at"]))


def _release_of(row: Row) -> Release | None:
    state = row["release_state"]
    return None if state is None else Release(ReleaseState(state), time_of(row["release_at"]))


def standing_of(row: Row, deliveries: Iterable[Row]) -> PersonStatus:
    """Read how things stand with a person."""
    newest, fetched = row["newest_number"], row["fetched_number"]
    has_it = newest is not None and fetched is not None and fetched >= newest
    return PersonStatus(
        link=None if row["id"] is None else link_of(row),
        newest=None if newest is None else ChangeKind(row["newest_kind"]),
        fetched_at=time_of(row["fetched_at"]) if has_it else None,
        deliveries=tuple(map(delivery_of, deliveries)),
    )


def change_values(change: Change) -> dict[str, str | int | None]:
    """Give the values of a change."""
    previous = orcid_values(change.previous)
    return {
        "organisation": change.organisation,
        "number": change.number,
        "id": change.id,
        "kind": change.kind.value,
        "person_key": change.person_key,
        "account": change.account,
        **orcid_values(change.orcid_id),
        "previous_registry": previous["registry"],
        "previous_orcid": previous["orcid"],
        "at": timestamp(change.at),
    }


def change_of(row: Row) -> Change:
    """Read a change back."""
    return Change(
        organisation=row["organisation"],
        number=row["number"],
        kind=ChangeKind(row["kind"]),
        person_key=row["person_key"],
        account=row["account"],
        orcid_id=_perhaps_orcid_id(row["registry"], row["orcid"]),
        previous=_perhaps_orcid_id(row["previous_registry"], row["previous_orcid"]),
        at=time_of(row["at"]),
        id=row["id"] or _id_of_old(row),
    )


def _id_of_old(row: Row) -> str:
    # Changes from before changes had an id: as stable as theirs, and no other change has the same three
    return digest(f"{row['organisation']}\n{row['number']}\n{row['at']}")[:32]


def delivery_of(row: Row) -> Delivery:
    """Read a delivery back, with its change where that is still there."""
    return Delivery(
        organisation=row["organisation"],
        number=row["number"],
        transfer=row["transfer"],
        kind=ChangeKind(row["kind"]),
        person_key=row["person_key"],
        change=None if row["at"] is None else change_of(row),
        state=DeliveryState(row["state"]),
        outcome=row["outcome"],
        message=row["message"],
        attempts=row["attempts"],
        created_at=time_of(row["created_at"]),
        waiting_since=time_of(row["waiting_since"]),
        next_at=time_of(row["next_at"]),
        tried_at=_perhaps_time(row["tried_at"]),
        leased_until=_perhaps_time(row["leased_until"]),
        leased_by=row["leased_by"],
        finished_at=_perhaps_time(row["finished_at"]),
    )


def owed_values(change: Change, transfer: str) -> dict[str, str | int]:
    """Give the values of a delivery that begins to wait."""
    return {
        "organisation": change.organisation,
        "number": change.number,
        "transfer": transfer,
        "kind": change.kind.value,
        "person_key": change.person_key,
        "now": timestamp(change.at),
    }


def place_values(row: Row) -> dict[str, str | int]:
    """Give what tells a delivery's row from all others."""
    return {name: row[name] for name in ("organisation", "number", "transfer")}


def lease_values(delivery: Delivery, worker: str) -> dict[str, str | int | None]:
    """Give what tells one leasing of a delivery from all others, those by the same worker too."""
    return {
        "organisation": delivery.organisation,
        "number": delivery.number,
        "transfer": delivery.transfer,
        "worker": worker,
        "leased_until": _perhaps_moment(delivery.leased_until),
        "attempts": delivery.attempts,
    }


def delivery_count_of(row: Row) -> DeliveryCount:
    """Read how many deliveries are in a state."""
    return DeliveryCount(row["transfer"], DeliveryState(row["state"]), row["count"], time_of(row["oldest"]))


def breaker_of(row: Row) -> Breaker:
    """Read a breaker back."""
    return Breaker(row["organisation"], row["transfer"], row["failures"], _perhaps_time(row["open_until"]))


def mail_of(row: Row) -> Mail:
    """Read a mail back."""
    return Mail(
        organisation=row["organisation"],
        person_key=row["person_key"],
        kind=MailKind(row["kind"]),
        change_number=row["change_number"],
        address=row["address"],
        language=row["language"],
        asked_at=time_of(row["asked_at"]),
        attempts=row["attempts"],
        next_at=time_of(row["next_at"]),
        ended_at=_perhaps_time(row["ended_at"]),
    )


def erasure_of(row: Row) -> Erasure:
    """Read an erasure back that is not done yet."""
    return Erasure(
        organisation=row["organisation"],
        person_key=row["person_key"],
        change_number=row["change_number"],
        event_number=row["event_number"],
        asked_at=time_of(row["asked_at"]),
    )


def event_of(row: Row) -> Event:
    """Read an event back."""
    return Event(
        organisation=row["organisation"],
        number=row["number"],
        at=time_of(row["at"]),
        kind=row["kind"],
        actor=row["actor"],
        person_key=row["person_key"],
        facts=facts_of(row["facts"]),
        digest=row["digest"],
        hash=row["hash"],
    )


def way_of(row: Row) -> TransferBacklog:
    """Read how a transfer stands."""
    return TransferBacklog(breaker_of(row), row["waiting"], _perhaps_time(row["waiting_since"]), row["given_up"])


def fetching_of(row: Row) -> FeedProgress:
    """Read how far an organisation has come that fetches its changes."""
    return FeedProgress(
        organisation=row["organisation"],
        number=row["number"],
        at=time_of(row["at"]),
        behind=max(row["changes"] - row["number"], 0),
        waiting_since=_perhaps_time(row["waiting_since"]),
    )


def incident_values(incident: Incident) -> dict[str, str | None]:
    """Give the values of an incident."""
    return {
        "incident": incident.number,
        "at": timestamp(incident.at),
        "word": incident.word,
        "organisation": incident.organisation,
        "place": incident.place,
    }


def incident_of(row: Row) -> Incident:
    """Read an incident back."""
    return Incident(row["incident"], time_of(row["at"]), row["word"], row["organisation"], row["place"])
