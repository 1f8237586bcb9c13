"""Records that the repositories take and return.

Datetimes are timezone-aware, in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from shibboleth.orcid_id import OrcidId


@dataclass(frozen=True, slots=True)
class Attempt:
    """One started linking: who started it, in which browser, and its progress."""

    id: str
    """Random and public: part of the confirm page's address, and no credential."""
    organisation: str
    """The organisation's id."""
    person_key: str
    account: str
    browser_hash: str
    """Hash of the secret in the browser's cookie."""
    started_at: datetime
    expires_at: datetime
    consumed_at: datetime | None = None
    """When ORCID's answer came back and the state was used up."""
    orcid_id: OrcidId | None = None
    """The iD that ORCID answered; deleted when the attempt is closed."""
    orcid_name: str = ""
    account_issued_at: str = ""
    """The account's time of issue when the attempt was started; likewise the stable id."""
    stable_id: str = ""
    claim_expires_at: datetime | None = None
    """Until when the holder of the iD may give it to this account; None where no other account has the iD."""
    client_id: str = ""
    """The OAuth client with which ORCID was asked."""
    scope: str = ""
    """The scope that was requested."""
    return_to: str = ""
    """The address of the service that sent the person here; empty where none did."""
    closed_at: datetime | None = None
    outcome: str | None = None
    """How it ended: `linked`, `replaced`, `unchanged`, `declined`, `cancelled`, or the log code of a problem."""


@dataclass(frozen=True, slots=True)
class Consent:
    """The text that a person agreed to, as it was shown."""

    version: str
    language: str
    text: str
    at: datetime


class ReleaseState(StrEnum):
    """Whether the Identity Provider released a link, as seen at sign-ins.

    The state of a link only moves forward: `MISSING`, `OTHER`, `SEEN`. Queries rely on the alphabetical order, which is
    the same.
    """

    MISSING = "missing"
    """The person signed in, long enough after the linking, and the Identity Provider released no iD."""
    OTHER = "other"
    """It released another iD."""
    SEEN = "seen"
    """It released the linked iD."""


@dataclass(frozen=True, slots=True)
class Release:
    """The state of a link's release, and when it was observed first."""

    state: ReleaseState
    at: datetime


@dataclass(frozen=True, slots=True)
class ReleaseCounts:
    """Number of links of an organisation, and by release state."""

    linked: int
    seen: int
    other: int
    missing: int


class RecordState(StrEnum):
    """The state of an iD's record at ORCID."""

    OK = "ok"
    DEPRECATED = "deprecated"
    """ORCID merged the record into another one."""
    DEACTIVATED = "deactivated"
    """The person closed the record; it can be opened again."""
    LOCKED = "locked"
    """ORCID locked the record."""
    NOT_FOUND = "not-found"


CONFIRMED_AFTER = timedelta(hours=1)
"""A state counts as confirmed when look-ups at least this far apart have shown it."""


@dataclass(frozen=True, slots=True)
class RecordStatus:
    """What look-ups at ORCID's public API have shown of an iD's record."""

    state: RecordState
    since: datetime
    """When a look-up showed this state first."""
    checked_at: datetime
    """When one showed it last."""
    primary: OrcidId | None = None
    """The iD in use into which ORCID merged a deprecated one; None where none is known."""

    @property
    def confirmed(self) -> bool:
        """Whether a second look-up, an hour or more later, has shown the same."""
        return self.checked_at - self.since >= CONFIRMED_AFTER

    @property
    def inactive(self) -> bool:
        """Whether ORCID deactivated or locked the record."""
        return self.state in {RecordState.DEACTIVATED, RecordState.LOCKED}


@dataclass(frozen=True, slots=True)
class StatusBatch:
    """The state of the round of look-ups when a batch began."""

    failures: int
    """Number of batches since the last one that ORCID answered completely."""
    requests: int
    """Number of requests to ORCID on this UTC day."""
    next_batch_at: datetime | None = None
    """When the next batch may begin; None before the first."""


SELF_MADE = "orcid"
"""The source of a link that the person made here, by signing in at ORCID."""


@dataclass(frozen=True, slots=True)
class Link:
    """An ORCID iD linked to an account, now or formerly."""

    id: str
    organisation: str
    """The organisation's id."""
    person_key: str
    account: str
    account_issued_at: str
    """When the organisation issued the account, as first released; a different time means a different person."""
    orcid_id: OrcidId
    linked_at: datetime
    consent: Consent
    ended_at: datetime | None = None
    ended_by: str | None = None
    """`person`, `operator`, `organisation` (the person left), `attester` (no longer attested) or `service`."""
    source: str = SELF_MADE
    """Where the person authenticated the iD: at ORCID, or in a system that the organisation attests."""
    authenticated_at: datetime | None = None
    """When the person did, if that was not when the link was made."""
    release: Release | None = None
    """None before any sign-in showed something."""
    stable_id: str = ""
    """The holder's stable id, as first released; a different one means a different person."""
    last_seen_on: date | None = None
    """The day (UTC) of the last sign-in with this account; None before any."""
    record: RecordStatus | None = None
    """The state of the iD's record at ORCID; None before the first look-up."""
    suspended_at: datetime | None = None
    """Since when the iD is not released, because ORCID deactivated or locked its record."""

    @property
    def current(self) -> bool:
        """Whether the link has not ended."""
        return self.ended_at is None

    @property
    def attested(self) -> bool:
        """Whether the organisation attests where the iD was authenticated."""
        return self.source != SELF_MADE

    @property
    def held_on(self) -> str:
        """The last day on which the person of an attested iD had the account.

        It is as 2026-01-15, and the last one that is known; empty where the person linked the iD here.
        """
        if not self.attested or self.authenticated_at is None:
            return ""
        days = self.authenticated_at.date(), self.last_seen_on
        return max(day.isoformat() for day in days if day is not None)

    @property
    def agreement(self) -> Consent | None:
        """What the person agreed to; None where the organisation attests the link."""
        return None if self.attested else self.consent

    @property
    def statement(self) -> Consent | None:
        """What the organisation attested; None where the person linked the iD here."""
        return self.consent if self.attested else None


@dataclass(frozen=True, slots=True)
class OrcidToken:
    """A pair of access and refresh token that ORCID gave."""

    id: str
    """Random; the sealed text contains it."""
    organisation: str
    """The organisation's id."""
    client_id: str
    """The ORCID client that got it."""
    scope: str
    """As granted, in alphabetical order with spaces between."""
    obtained_at: datetime
    expires_at: datetime | None
    """None where ORCID did not say."""
    attempt: str | None = None
    """The id of the attempt in which ORCID gave it; None once it belongs to a link."""
    link: str | None = None
    """The id of the link; None until the person has confirmed."""
    sealed: str | None = field(default=None, repr=False)
    """Both tokens, encrypted; None once they are revoked."""
    withdrawn_at: datetime | None = None
    """When ORCID refused the access token: it no longer accepts the permission."""
    revocation_due_at: datetime | None = None
    """Since when neither an open attempt nor a current link needs it."""
    next_try_at: datetime | None = None
    """When it is tried next to revoke it."""
    tries: int = 0
    """Number of tries to revoke it, with the one in progress."""
    outcome: str | None = None
    """Of the last try: `temporary`, `misconfigured` or `unreadable`; None before the first."""
    lease_expires_at: datetime | None = None
    leased_by: str | None = None
    revoked_at: datetime | None = None
    orcid_id: OrcidId | None = None
    """The iD of its link or attempt, where it was read with them."""
    person_key: str | None = None
    """Whose it is, where it was read with its link."""

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes of `scope`."""
        return frozenset(self.scope.split())


@dataclass(frozen=True, slots=True)
class OrcidTokenCount:
    """Number of pairs of an organisation and client that are not revoked."""

    organisation: str
    client_id: str
    due: bool
    """Whether they are due to be revoked."""
    outcome: str | None
    """Of the last attempt to revoke them."""
    count: int
    oldest: datetime
    """Since when the oldest is due; if they are not due, when it was obtained."""


@dataclass(frozen=True, slots=True)
class LinkSummary:
    """The part of a current link that the feed's snapshot contains."""

    id: str
    person_key: str
    account: str
    orcid_id: OrcidId
    linked_at: datetime
    record_state: RecordState | None = None
    """None before the first look-up at ORCID."""


class ChangeKind(StrEnum):
    """What happened to a person's link."""

    LINKED = "linked"
    REPLACED = "replaced"
    REMOVED = "removed"
    MOVED = "moved"
    """The link belongs to another account of the same person now; the iD is the same."""


@dataclass(frozen=True, slots=True)
class EarlierAccount:
    """An account that a person had before the link moved away from it."""

    person_key: str
    since: datetime | None
    """Older data under the key belongs to another holder; None if there was none."""
    until: datetime
    """When the link moved."""
    change_number: int
    event_number: int
    """Like `change_number`, that of the move."""


class ChangeReason(StrEnum):
    """Why a change was made that the person did not make themselves."""

    DEPRECATED = "deprecated"
    """ORCID merged the iD into another one."""
    SUSPENDED = "suspended"
    """ORCID deactivated or locked the iD; the person keeps the link, which is not released."""
    RESUMED = "resumed"
    """The iD of a suspended link is in use again."""
    MERGED = "merged"
    """The organisation became part of another one."""
    MOVED = "moved"
    """The person's account has another identifier now."""
    ATTESTED = "attested"
    """Another system of the organisation attests the iD, or does not any more."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one person's link, to be told to the organisation."""

    organisation: str
    """The organisation's id."""
    number: int
    """1, 2, 3 … for each organisation, without gaps, in the order of commits."""
    kind: ChangeKind
    person_key: str
    account: str
    orcid_id: OrcidId | None
    """The iD that is linked now; None after a removal."""
    previous: OrcidId | None
    at: datetime
    id: str
    """Random and permanent; identifies the change to the organisation even if a restored backup reuses its number."""
    reason: ChangeReason | None = None
    """None where the kind says all, as when the person made the change."""
    previous_person_key: str | None = None
    """Of `moved`: the key that the link had before; None otherwise. So is the account."""
    previous_account: str | None = None
    attested_by: str | None = None
    """The name of the credential whose own change it is, and which is not told of it; None of all others."""


class DeliveryState(StrEnum):
    """The state of a delivery."""

    WAITING = "waiting"
    DONE = "done"
    """The change arrived, or a later change of the person arrived instead (outcome `superseded`)."""
    DEAD_LETTER = "dead-letter"
    """It is not tried again unless an operator retries it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One change owed to one transfer."""

    organisation: str
    """The organisation's id."""
    change_number: int
    transfer: str
    """The name of one of the organisation's transfers."""
    kind: ChangeKind
    person_key: str | None
    """None after the person's data was erased."""
    change: Change | None
    """The change to deliver; always there while the delivery waits, possibly deleted afterwards."""
    state: DeliveryState
    outcome: str | None
    """The outcome of the last try, one of the transfers' outcomes; None before the first."""
    message: str
    """What the receiver said about the last try."""
    tries: int
    """Number of tries since the delivery was queued, with the one in progress."""
    created_at: datetime
    queued_at: datetime
    """When it was created, or retried after it had been a dead letter."""
    next_try_at: datetime
    last_try_at: datetime | None = None
    """When the last try ended."""
    lease_expires_at: datetime | None = None
    leased_by: str | None = None
    finished_at: datetime | None = None

    @property
    def waiting(self) -> bool:
        """Whether the delivery is neither done nor a dead letter."""
        return self.state is DeliveryState.WAITING


@dataclass(frozen=True, slots=True)
class PersonStatus:
    """A person's link and the progress of its newest change, read together."""

    link: Link | None
    """The current one."""
    newest_change: ChangeKind | None = None
    """None where no change of the person is kept."""
    fetched_at: datetime | None = None
    """When the organisation acknowledged that change, or a later one, of its feed."""
    deliveries: tuple[Delivery, ...] = ()
    """That change's delivery to each transfer."""
    has_other_attempts: bool = False
    """Whether there are attempts with another stable id or time of issue, which may be an earlier holder's."""
    removal_pending: bool = False
    """Whether the link is going to be removed, because a list of the organisation's accounts lacked the person's."""


@dataclass(frozen=True, slots=True)
class CredentialRight:
    """A right of a credential of an organisation, and when it was used."""

    organisation: str
    """Id."""
    credential: str
    """The credential's name."""
    right: str
    since: date | None = field(default=None, compare=False)
    """The day since which a connector has known that the credential has the right."""
    last_used_on: date | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class DeliveryCount:
    """Number of deliveries to one transfer in one state."""

    transfer: str
    state: DeliveryState
    count: int
    oldest: datetime
    """When the oldest of them was created."""


@dataclass(frozen=True, slots=True)
class TransferBreaker:
    """The circuit breaker of one transfer."""

    organisation: str
    """The organisation's id."""
    transfer: str
    consecutive_failures: int
    open_until: datetime | None
    """None: closed. Until then: open. After it: half-open, with one delivery at a time until one succeeds."""


@dataclass(frozen=True, slots=True)
class TransferBacklog:
    """The circuit breaker of one transfer, and what has not arrived there."""

    breaker: TransferBreaker
    waiting: int
    """Number of waiting deliveries."""
    oldest_waiting_at: datetime | None
    """When the oldest of them was created."""
    dead_letters: int
    """Number of dead letters."""


@dataclass(frozen=True, slots=True)
class FeedProgress:
    """How far an organisation has acknowledged its feed."""

    organisation: str
    """The organisation's id."""
    number: int
    """The number of the last change that it acknowledged."""
    at: datetime
    """When it did."""
    unfetched: int
    """Number of later changes."""
    oldest_unfetched_at: datetime | None
    """When the oldest later change that is kept was made."""


class AffiliationSection(StrEnum):
    """A section of an ORCID record to which an organisation writes."""

    EDUCATION = "education"
    EMPLOYMENT = "employment"


class AffiliationItemState(StrEnum):
    """The state of an item that the service wrote to an ORCID record."""

    PENDING = "pending"
    """It is not known whether ORCID added it."""
    WRITTEN = "written"
    CLOSED = "closed"
    """It has an end date."""
    DELETED = "deleted"
    """The person deleted it at ORCID."""
    LEFT = "left"
    """Nothing was added: another system of the organisation has written the affiliation."""

    @property
    def open(self) -> bool:
        """Whether the record may say that the affiliation lasts."""
        return self in {AffiliationItemState.PENDING, AffiliationItemState.WRITTEN}


@dataclass(frozen=True, slots=True)
class Affiliation:
    """What an organisation says of a person, for the ORCID record."""

    sections: frozenset[AffiliationSection] = frozenset()
    """Those in which there is something to write."""
    department: str = ""
    title: str = ""

    @property
    def section_names(self) -> str:
        """The names of the sections, in alphabetical order with spaces between."""
        return " ".join(sorted(self.sections))


@dataclass(frozen=True, slots=True)
class AffiliationPermission:
    """A person's permission to write to the ORCID record of a link."""

    link_id: str
    consent: Consent
    said: Affiliation
    said_at: datetime
    """When the Identity Provider first said so."""
    refused_at: datetime | None = None
    """Since when there has been no access token with which to write; None while there is one."""


@dataclass(frozen=True, slots=True)
class AffiliationItem:
    """An item that the service wrote, or may have written, to an ORCID record."""

    link_id: str
    section: AffiliationSection
    orcid_id: OrcidId
    """The record."""
    client_id: str
    """The ORCID client that writes it, which alone can change and end it."""
    state: AffiliationItemState
    changed_at: datetime
    put_code: str | None = None
    """ORCID's number of the item; None while it is not known."""


@dataclass(frozen=True, slots=True)
class Incident:
    """What the incident number on a problem page refers to.

    It contains no personal data.
    """

    number: str
    at: datetime
    code: str
    """The problem's code in the log."""
    organisation: str | None
    """The organisation's id; None where it is not known."""
    route: str
    """The path of the route, as in the table of routes."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """A person's pending request to be erased: the organisation is not told yet."""

    organisation: str
    """The organisation's id."""
    person_key: str
    change_number: int
    """The person's last change at the time; later changes are not erased."""
    event_number: int
    """The organisation's last audit event at the time."""
    requested_at: datetime


class MailKind(StrEnum):
    """The subject of an e-mail."""

    RECEIPT = "receipt"
    """What the person agreed to."""
    DELIVERY_REPORT = "delivery-report"
    """The outcome of a change's deliveries."""


@dataclass(frozen=True, slots=True)
class Mail:
    """An e-mail that a person asked for."""

    organisation: str
    """The organisation's id."""
    person_key: str
    kind: MailKind
    change_number: int
    """The change that it is about; 0 where none is kept."""
    address: str | None
    """None after it was sent or given up."""
    language: str
    requested_at: datetime
    tries: int = 0
    next_try_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReadEvents:
    """Up to which event a person has confirmed to have read what others did."""

    number: int
    """The number of the last audit event."""
    at: datetime
    """When they confirmed it last."""


@dataclass(frozen=True, slots=True)
class StoredOrganisation:
    """What the database knows of an organisation."""

    id: str
    links: int
    """Number of current links."""
    key_attribute: str | None
    """The key attribute when its first link was made; None where that is not known."""
    merged_into: str | None
    """The id of the organisation into which it was merged."""


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """An Identity Provider through which people signed in or were refused.

    They are refused if no organisation's file has its entityID.
    """

    organisation: str
    """The id of the organisation; where people were refused, of the one to which they seem to belong, or empty."""
    entity_id: str
    signed_in_at: datetime | None
    """The last day on which a person signed in."""
    refused_at: datetime | None
    """The last day on which a person was refused."""


@dataclass(frozen=True, slots=True)
class HolderAttributes:
    """Number of current links of an organisation, and of those with an attribute."""

    links: int
    stable_ids: int
    """With a stable id, from a sign-in or as attested."""
    issue_times: int
    """With the time at which the account was issued."""


@dataclass(frozen=True, slots=True)
class Event:
    """An audit event.

    Its hash covers the hash of the previous event, so a change of any event is detected.
    """

    organisation: str
    """The organisation's id."""
    number: int
    at: datetime
    kind: str
    actor: str
    """`person`, `operator`, `organisation` or `service`."""
    person_key: str | None
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Details; empty after an erasure, which leaves the hashes valid."""
    digest: str = ""
    hash: str = ""
