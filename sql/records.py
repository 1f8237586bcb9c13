"""What rests in the store, as values. Times are aware and in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from shibboleth.orcid_id import OrcidId


@dataclass(frozen=True, slots=True)
class Attempt:
    """One started linking: who began it, in which browser, and how far it came."""

    id: str
    """Random and public: it stands in the address of the confirm page, and opens nothing by itself."""
    organisation: str
    """entityID."""
    person_key: str
    account: str
    browser: str
    """Hash of the secret in the browser's cookie."""
    started_at: datetime
    expires_at: datetime
    taken_at: datetime | None = None
    """When ORCID's answer came back; a state works once."""
    orcid_id: OrcidId | None = None
    """What ORCID answered; forgotten once the attempt is closed."""
    orcid_name: str = ""
    closed_at: datetime | None = None
    outcome: str | None = None
    """How it ended: `linked`, `replaced`, `unchanged`, `declined`, `cancelled`, or a problem's log word."""


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person agreed to, as it was shown."""

    version: str
    language: str
    text: str
    at: datetime


class ReleaseState(StrEnum):
    """What was seen of a link's release. Each one tells more than the one before it, in the order of their words."""

    MISSING = "missing"
    """The person signed in, long enough after the linking, and their organisation gave us no iD."""
    OTHER = "other"
    """It gave us another iD."""
    SEEN = "seen"
    """It gave us the iD that is linked."""


@dataclass(frozen=True, slots=True)
class Release:
    """What is known of a link's release, and since when."""

    state: ReleaseState
    at: datetime


@dataclass(frozen=True, slots=True)
class ReleaseCounts:
    """How many persons of an organisation have a link now, and of how many the release is known to be what."""

    linked: int
    seen: int
    other: int
    missing: int


@dataclass(frozen=True, slots=True)
class Link:
    """An ORCID iD tied to an account, now or once."""

    id: str
    organisation: str
    person_key: str
    account: str
    issued: str
    """When the organisation issued the account, where it says so; another value means another person."""
    orcid_id: OrcidId
    linked_at: datetime
    consent: Consent
    ended_at: datetime | None = None
    ended_by: str | None = None
    source: str = "orcid"
    """Where the person showed that the iD is theirs: at ORCID, or in a system for which the organisation vouches."""
    authenticated_at: datetime | None = None
    """When they did, if not when the link was made."""
    release: Release | None = None
    """What was seen of its release; none before there was anything to see."""

    @property
    def current(self) -> bool:
        """Whether the link holds now."""
        return self.ended_at is None


@dataclass(frozen=True, slots=True)
class CurrentLink:
    """A link that holds now, by what a snapshot tells of it."""

    id: str
    person_key: str
    account: str
    orcid_id: OrcidId
    linked_at: datetime


class ChangeKind(StrEnum):
    """A link came, was replaced, or went."""

    LINKED = "linked"
    REPLACED = "replaced"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Change:
    """What an organisation has to learn: the news of one person's link, numbered in the order of commits."""

    organisation: str
    number: int
    """1, 2, 3 … for each organisation by itself, without gaps."""
    kind: ChangeKind
    person_key: str
    account: str
    orcid_id: OrcidId | None
    """The iD that now holds; none after a removal."""
    previous: OrcidId | None
    at: datetime
    id: str
    """Random, and the same for ever: it names the change towards the organisation even if a number is given twice, as
    after the restoring of a backup."""


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    DONE = "done"
    """It has arrived, or news that came later has arrived in its place (outcome `superseded`)."""
    GIVEN_UP = "given-up"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A change that is owed to a transfer, or was."""

    organisation: str
    number: int
    """The change's."""
    transfer: str
    """The name of one of the organisation's transfers."""
    kind: ChangeKind
    person_key: str | None
    """None once the person has been forgotten."""
    change: Change | None
    """What there is to deliver. It is there as long as the delivery waits, and may be gone once it does not."""
    state: DeliveryState
    outcome: str | None
    """What came of the last try, in the words of the transfers; none before the first."""
    message: str
    """What the other side said of it."""
    attempts: int
    """How often it has been tried since it began to wait, this time included where it is on its way."""
    created_at: datetime
    waiting_since: datetime
    """When it began to wait: when it was made, or taken up again after it had been given up."""
    next_at: datetime
    tried_at: datetime | None = None
    """When the last try ended."""
    leased_until: datetime | None = None
    leased_by: str | None = None
    finished_at: datetime | None = None

    @property
    def waiting(self) -> bool:
        """Whether it is still owed."""
        return self.state is DeliveryState.WAITING


@dataclass(frozen=True, slots=True)
class PersonStatus:
    """How things stand with a person: all that their own page shows of it, read at once."""

    link: Link | None
    """The one that holds now."""
    newest: ChangeKind | None = None
    """What their newest change was, where it is kept."""
    fetched_at: datetime | None = None
    """When the organisation said that it had fetched that change, or a later one."""
    deliveries: tuple[Delivery, ...] = ()
    """What became of that change at each of the organisation's transfers."""


@dataclass(frozen=True, slots=True)
class DeliveryCount:
    """How many deliveries to one transfer are in one state."""

    transfer: str
    state: DeliveryState
    count: int
    oldest: datetime
    """When the oldest of them was made."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """What one transfer's failures have led to."""

    organisation: str
    transfer: str
    failures: int
    """How many there were in a row."""
    open_until: datetime | None
    """Until then nothing is sent, and after it one delivery at a time, until one succeeds; none: it is closed."""


@dataclass(frozen=True, slots=True)
class TransferBacklog:
    """How one transfer of an organisation stands."""

    breaker: Breaker
    waiting: int
    """How many deliveries wait."""
    waiting_since: datetime | None
    """When the oldest of them was made."""
    given_up: int


@dataclass(frozen=True, slots=True)
class FeedProgress:
    """How far an organisation has come that fetches its changes."""

    organisation: str
    number: int
    """Up to which change it has them all."""
    at: datetime
    """When it said so."""
    behind: int
    """How many changes there are after it."""
    waiting_since: datetime | None
    """When the oldest of these that is kept was made."""


@dataclass(frozen=True, slots=True)
class Incident:
    """What somebody was told when something went wrong, by the number on their page; it names nobody."""

    number: str
    at: datetime
    word: str
    """As in the log."""
    organisation: str | None
    """entityID, where it is known."""
    place: str
    """The page, as the table of routes names it."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """A person's wish that everything about them be forgotten, while something of their removal is still owed."""

    organisation: str
    person_key: str
    change_number: int
    """Up to which change they are to be forgotten; what comes later is of a new beginning."""
    event_number: int
    """Up to which line of the audit."""
    asked_at: datetime


class MailKind(StrEnum):
    """What an e-mail is about."""

    RECEIPT = "receipt"
    """What the person agreed to."""
    ARRIVED = "arrived"
    """What came of a change at the organisation's interfaces."""


@dataclass(frozen=True, slots=True)
class Mail:
    """An e-mail that a person asked for."""

    organisation: str
    person_key: str
    kind: MailKind
    change_number: int
    """The change that it is about; 0 where none is kept."""
    address: str | None
    """None once nothing is to be sent any more."""
    language: str
    asked_at: datetime
    attempts: int = 0
    next_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the audit. Each one's hash covers the one before, so that none can be changed in silence."""

    organisation: str
    number: int
    at: datetime
    kind: str
    actor: str
    """`person`, `operator`, `organisation` or `service`."""
    person_key: str | None
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Words about it; empty once they have been erased, which the hash survives."""
    digest: str = ""
    hash: str = ""
