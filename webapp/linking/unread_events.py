"""Changes of a person's link by others that the person has not read yet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from shibboleth.orcid_id import OrcidId
from shibboleth.person import Person
from sql.records import Event, Link
from sql.rows import parse_optional_timestamp
from sql.store import Store
from webapp.i18n.language import gettext_noop
from webapp.linking.earlier_holders import current_holder_since, is_of_other_holder, is_own_move

REFUSED_ATTESTATION = "attestation-refused"
"""The kind of the event that the organisation attests another iD than the one that the person linked."""
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)

REASON_TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "deprecated": gettext_noop(
            "ORCID has merged your ORCID iD into another one, which is connected to your account now."
        ),
        "suspended": gettext_noop(
            "Your ORCID iD is not shared with services for now, because ORCID has deactivated or locked it."
        ),
        "resumed": gettext_noop("Your ORCID iD is shared with services again, because it is in use at ORCID again."),
        "merged": gettext_noop(
            "Your organisation became part of another one, and the connection of your ORCID iD moved with it."
        ),
        "moved": gettext_noop("The connection of your ORCID iD was moved, because your account has a new name."),
        "attested": gettext_noop("Another system of your organisation reported your ORCID iD."),
    }
)
"""What others did, by the event's reason, where that says more than its kind."""

EVENT_TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "linked": gettext_noop("An ORCID iD was connected to your account."),
        "attested-updated": gettext_noop("Your organisation updated how and when the connected ORCID iD was verified."),
        "attestation-refused": gettext_noop(
            "Your organisation reported a different ORCID iD for you from the one you connected here. Nothing was "
            "changed. You decide which iD is connected."
        ),
        "replaced": gettext_noop("The ORCID iD that is connected to your account was replaced by another one."),
        "removed": gettext_noop("The connection of your ORCID iD was removed."),
        "removal-cancelled": gettext_noop(
            "Your account was missing from a list of your organisation's accounts, so the connection of "
            "your ORCID iD was due to be removed. You have signed in, so it stays."
        ),
        "moved": REASON_TEXTS["moved"],
        "moved-away": gettext_noop("The connection of your ORCID iD was moved to another account."),
        "given-away": gettext_noop("The connection of your ORCID iD was moved to another account."),
        "suspended": REASON_TEXTS["suspended"],
        "resumed": REASON_TEXTS["resumed"],
        "permission-withdrawn": gettext_noop(
            "ORCID no longer accepts the permission that you gave there, for example because you withdrew "
            "it. Your ORCID iD stays connected. We no longer use the permission. To give it again, connect "
            "your iD again."
        ),
        "affiliation-withdrawn": gettext_noop(
            "Your organisation no longer writes to your ORCID record. The entry that it wrote there will get an "
            "end date or be deleted, as you agreed."
        ),
        "deprovisioned": gettext_noop("The visits to ORCID that you had started here were deleted."),
        "erasure-requested": gettext_noop("Everything stored about you in this service will be erased."),
    }
)
"""What others did to a link, by the event's kind; of other kinds the person is not told here."""

_REPORTED_TEXT = gettext_noop(
    "A system of your organisation reported that ORCID no longer accepts the permission you gave there. "
    "Your ORCID iD stays connected. To give permission again, connect your iD again."
)
_CLAIM_TEXT = gettext_noop("The connection of the ORCID iD that you claimed was moved to your account.")


@dataclass(frozen=True, slots=True)
class UnreadEvent:
    """A change of a person's link that another actor made."""

    text: str
    actor: str
    """`operator`, `organisation` or `service`; `person` of a move to another account."""
    at: datetime
    reason: str = ""
    """A word of the program, or what the operator wrote; empty where the text says it."""
    source: str = ""
    """The system in which the person had shown that an iD is theirs; empty where that was not told."""
    authenticated_at: datetime | None = None
    """When they had; None where that was not told."""
    other_orcid_id: OrcidId | None = None
    """The iD that the organisation attests instead of the connected one; None unless that is what happened."""


@dataclass(frozen=True, slots=True)
class UnreadEvents:
    """The changes that a person has not confirmed to have read, oldest first."""

    events: tuple[UnreadEvent, ...] = ()
    last_number: int = 0
    """The number of the last of these events in the audit log; 0 where none has one."""

    @property
    def other_orcid_id(self) -> OrcidId | None:
        """The iD of the question which iD is the person's; None if there is none."""
        return next((each.other_orcid_id for each in self.events if each.other_orcid_id is not None), None)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.events)


def unread_events(store: Store, person: Person, link: Link | None) -> UnreadEvents:
    """Return what others did to a person's link and the person has not read.

    A move to another account is included even if the person made it. Events of an earlier holder of the account are
    left out.

    Args:
        store: The store.
        person: The person who is signed in.
        link: Their current link.
    """
    read = store.audit.read_events(person.organisation.id, person.key)
    events = store.audit.list_events_of_others(person.organisation.id, person.key, 0 if read is None else read.number)
    told = [each for each in events if each.kind in EVENT_TEXTS or each.facts.get("reason") in REASON_TEXTS]
    # Of the questions only the newest, and only while the link is there that it is about
    asked = max((each.number for each in told if each.kind == REFUSED_ATTESTATION), default=0)
    about = None if link is None else link.id
    told = [
        each
        for each in told
        if each.kind != REFUSED_ATTESTATION or (each.number, each.facts.get("link")) == (asked, about)
    ]
    if told and (since := current_holder_since(store, person)) is not None:
        told = [each for each in told if each.at > since or is_own_move(each, person)]
    found = [_unread_event(each) for each in told if not is_of_other_holder(each, person)]
    last_number = max((each.number for each in told), default=0)
    return UnreadEvents(tuple(sorted(found, key=lambda each: each.at)), last_number)


def mark_read(store: Store, person: Person, link: Link | None, shown: str, now: datetime) -> None:
    """Store that a person has read the events that a page showed them.

    Later events stay unread, and values that no page can have shown are ignored.

    Args:
        store: The store.
        person: The person who is signed in.
        link: Their current link.
        shown: `last_number` of the page, as its form sends it.
        now: The time.
    """
    unread = unread_events(store, person, link)
    read = int(shown) if _NUMBER.fullmatch(shown) else 0
    if unread and read:
        store.audit.mark_read(person.organisation.id, person.key, min(read, unread.last_number), now)


def _unread_event(event: Event) -> UnreadEvent:
    reason, source = event.facts.get("reason", ""), event.facts.get("source", "")
    if reason in REASON_TEXTS:
        return UnreadEvent(REASON_TEXTS[reason], event.actor, event.at, source=source)
    text = EVENT_TEXTS[event.kind]
    if event.kind == "moved" and "attempt" in event.facts:
        text = _CLAIM_TEXT
    elif event.kind == "permission-withdrawn" and "credential" in event.facts:
        text = _REPORTED_TEXT
    authenticated_at = parse_optional_timestamp(event.facts.get("authenticated_at"))
    other = OrcidId.parse(event.facts["orcid"]) if event.kind == REFUSED_ATTESTATION else None
    return UnreadEvent(text, event.actor, event.at, reason, source, authenticated_at, other)
