"""The one table of what is stored about a person: what it is, from whom, what for, and for how long.

My data, its file and the privacy notice are all made from it, and a test holds it against the database's own schema:
nothing can be stored of which nobody is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from webapp.language import mark


class Source(StrEnum):
    """From whom a value came."""

    ORGANISATION = "organisation"
    ORCID = "orcid"
    PERSON = "person"
    SERVICE = "service"
    INTERFACE = "interface"


HOME, ORCID, YOU, US, THEM = Source

SOURCES: Mapping[Source, str] = MappingProxyType(
    {
        Source.ORGANISATION: mark("From your organisation's sign-in"),
        Source.ORCID: mark("From ORCID"),
        Source.PERSON: mark("From you"),
        Source.SERVICE: mark("From this service"),
        Source.INTERFACE: mark("From your organisation's interface"),
    }
)
"""The same in a person's words."""

KEEP_CHANGES = 730
"""For how many days changes are kept where nobody says otherwise."""
Say = Callable[..., str]
"""Says a sentence in a language, with facts in their places."""
Words = Mapping[str, str]
"""Sentences for values that are words of the program."""


@dataclass(frozen=True, slots=True)
class Field:
    """One value that is stored."""

    name: str
    """In the file."""
    words: str
    """What it is, for a person."""
    source: Source
    columns: tuple[str, ...]
    """Where it is stored, as `table.column`; nowhere, where it is only shown."""
    path: str
    """Where it stands in a record of the store."""
    values: Words | None = None

    def of(self, record: Any) -> Any:
        """Take it out of a record; none where there is nothing."""
        found = record
        for name in self.path.split("."):
            found = None if found is None else getattr(found, name)
        return None if found == "" else found


@dataclass(frozen=True, slots=True)
class Section:
    """Things of one kind that are stored."""

    name: str
    """In the file."""
    title: str
    purpose: str
    span: str
    """How long they are kept where links are kept."""
    fields: tuple[Field, ...]
    forgetful_span: str = ""
    """How long they are kept where nothing is to be kept; the same where it is empty."""
    ends: bool = False
    """Whether they go some days after a person's last connection has ended, where the operator says so."""

    @property
    def on_page(self) -> tuple[Field, ...]:
        """Give the fields that say something to a reader; the others are in the file."""
        return tuple(each for each in self.fields if each.name not in FOR_MACHINES)

    @property
    def in_file(self) -> tuple[Field, ...]:
        """Give the others."""
        return tuple(each for each in self.fields if each.name in FOR_MACHINES)

    @property
    def sources(self) -> Mapping[Source, tuple[Field, ...]]:
        """Give the fields by where they come from."""
        known = dict.fromkeys(each.source for each in self.fields)
        return {source: tuple(each for each in self.fields if each.source is source) for source in known}

    def kept(self, say: Say, *, forgetful: bool, days: int | None, changes: int = KEEP_CHANGES) -> str:
        """Say for how long it is kept.

        `days` is after how many of them what has ended is forgotten, and `changes` for how many of them changes stay.
        """
        if forgetful and self.forgetful_span:
            return say(self.forgetful_span)
        span = say(self.span, **({"changes": changes} if "%(changes)s" in self.span else {}))
        return f"{span} {say(GOES, days=days)}" if days and self.ends else span


GOES = mark("Once nothing is connected any more, it goes by itself %(days)s days after the last that happened.")

FOR_MACHINES = frozenset({"id", "person_key", "digest", "hash"})
"""Fields that the page leaves to the file."""
LANGUAGES = frozenset({"consent_language", "language"})
"""Fields that hold the code of a language; the page says what the language is called."""


def _fields(table: str, *given: tuple[Any, ...]) -> tuple[Field, ...]:
    """Make fields of a table: name, words, source, columns (of this table, where no other is named), path, values."""
    return tuple(
        Field(name, words, source, tuple(_column(table, each) for each in columns.split()), *path)
        for name, words, source, columns, *path in given
    )


def _column(table: str, name: str) -> str:
    return name if "." in name else f"{table}.{name}"


ACTORS: Words = MappingProxyType(
    {
        "person": mark("you"),
        "operator": mark("the operator of this service"),
        "organisation": mark("your organisation"),
        "service": mark("this service"),
    }
)
KINDS: Words = MappingProxyType(
    {"linked": mark("connected"), "replaced": mark("replaced by another iD"), "removed": mark("removed")}
)
STATES: Words = MappingProxyType({"waiting": mark("waiting"), "done": mark("done"), "given-up": mark("given up")})
OUTCOMES: Words = MappingProxyType(
    {
        **KINDS,
        "unchanged": mark("it was connected already"),
        "declined": mark("you did not give ORCID your permission"),
        "cancelled": mark("you chose not to connect the iD"),
        "held-by-someone-else": mark("the iD is connected to another account"),
        "orcid-refused": mark("ORCID did not accept the answer"),
        "orcid-unavailable": mark("ORCID did not answer"),
        "orcid-misconfigured": mark("this service could not talk to ORCID"),
        "nothing-came-back": mark("ORCID sent no answer"),
    }
)
"""How an attempt ended."""
ANSWERS: Words = MappingProxyType(
    {
        "stored": mark("it has been stored"),
        "already-there": mark("it was there already"),
        "superseded": mark("later news came in its place"),
        "unknown-person": mark("the account is not known there"),
        "conflict": mark("something else is held there"),
        "refused": mark("it was refused"),
        "temporary": mark("no answer for the time being"),
        "misconfigured": mark("it could not be taken"),
    }
)
"""What an interface answered."""
EVENTS: Words = MappingProxyType(
    {
        **OUTCOMES,
        "delivered": mark("an interface of your organisation took a change"),
        "given-up": mark("an interface of your organisation did not take a change, and we stopped trying"),
        "deprovisioned": mark("your organisation said that you have left"),
        "release-seen": mark("your organisation was seen to release the iD"),
        "erasing": mark("everything about you is to be erased"),
        "looked-up": mark("somebody who looks after this service looked at your connection"),
    }
)
"""What happened, by the audit's word for it."""
FACTS: Words = MappingProxyType(
    {
        "orcid": mark("ORCID iD"),
        "previous": mark("ORCID iD before"),
        "account": mark("Account"),
        "link": mark("Number of the connection"),
        "consent": mark("Version and language of what you agreed to"),
        "reason": mark("Reason"),
        "transfer": mark("Interface"),
        "change": mark("Number of the change"),
        "outcome": mark("What came of it"),
        "message": mark("What the interface said"),
        "attempt": mark("Number of the visit"),
        "by": mark("Who asked"),
        "by_organisation": mark("Where they signed in"),
    }
)
"""What a fact of an event is, by the audit's word for it."""
FACT_VALUES: Words = MappingProxyType(
    {
        **ANSWERS,
        "removed by the person": mark("you removed it"),
        "erased by the person": mark("you had everything erased"),
        "account reassigned": mark("the account was given to somebody else"),
        "kept for long enough": mark("it was kept for long enough"),
        "left the organisation": mark("you left the organisation"),
    }
)
"""Facts of events that are words of the program."""
MAIL_KINDS: Words = MappingProxyType(
    {
        "receipt": mark("what you agreed to"),
        "arrived": mark("whether your organisation's interfaces took it"),
    }
)
RELEASES: Words = MappingProxyType(
    {
        "missing": mark("no iD came with your sign-in"),
        "other": mark("another iD came with your sign-in"),
        "seen": mark("it came with your sign-in"),
    }
)
AUTHENTICATED: Words = MappingProxyType({"orcid": mark("at ORCID, where you signed in")})

NEVER_SHOWN: Mapping[str, str] = MappingProxyType(
    {
        "attempts.state_hash": mark("the fingerprint of a secret that went to ORCID and back"),
        "attempts.browser": mark("the fingerprint of a secret in your browser's cookie"),
        "deliveries.leased_until": mark("which of our machines is at work on a delivery, and until when"),
        "deliveries.leased_by": mark("which of our machines is at work on a delivery, and until when"),
        "links.consent_digest": mark("under which number the text you agreed to is filed"),
        "consent_texts.digest": mark("under which number the text you agreed to is filed"),
        "erasures.id": mark("under which number your wish to be erased is filed"),
        "erasures.by_feed": mark("whether your organisation fetches removals by itself"),
        "erasures.finished_at": mark("when an erasure was done; its line names nobody by then"),
    }
)
"""Columns about a person that are in no file of theirs, and what they hold."""

ABOUT_NOBODY: Mapping[str, str] = MappingProxyType(
    {
        "counters": "numbers of an organisation",
        "breakers": "how an organisation's interfaces work",
        "daily_counts": "how often something happened on a day",
        "counted_events": "how far the audit has been counted",
        "incidents": "what went wrong, by the number on the page; not for whom",
        "schema_migrations": "what was done to the database",
    }
)
"""Tables without a person in them, and what they hold."""

TABLES = ("attempts", "links", "changes", "deliveries", "events", "erasures", "mails")
"""Tables of which each row is about one person."""

_EACH_ORGANISATION = " ".join(f"{table}.organisation" for table in TABLES)
_EACH_KEY = " ".join(f"{table}.person_key" for table in TABLES)

_WITH_LINKS = mark("As long as the connection, and after it until you have everything erased.")
_FOR_THE_FEED = mark(
    "%(changes)s days, so that your organisation can fetch it; until you have everything erased at the latest."
)
_NOTHING_KEPT = mark("Until a quarter of an hour after your organisation's interfaces have answered.")

PERSON = Section(
    "you",
    mark("Who you are here"),
    mark("To know whose ORCID iD it is, and to greet you."),
    mark(
        "Organisation and account are stored with each thing below, for as long as that. The rest is read anew at each "
        "page you open, and not stored."
    ),
    _fields(
        "",
        ("organisation", mark("Your organisation"), HOME, _EACH_ORGANISATION, "organisation.entity_id"),
        ("account", mark("Your account"), HOME, "", "account"),
        ("person_key", mark("The form of your account by which it is found"), HOME, _EACH_KEY, "key"),
        ("name", mark("Your name"), HOME, "", "name"),
        ("account_issued", mark("When your account was issued"), HOME, "", "issued"),
        ("released", mark("ORCID iDs that your organisation releases"), HOME, "", "released"),
    ),
)

LINKS = Section(
    "links",
    mark("Connected ORCID iDs"),
    mark("So that your organisation can hold your iD and release it to the services you sign in to."),
    mark(
        "As long as the connection. One that has ended stays, to show what you had agreed to, until you have "
        "everything erased."
    ),
    _fields(
        "links",
        ("orcid", mark("ORCID iD"), ORCID, "registry orcid", "orcid_id"),
        ("account", mark("Account"), HOME, "account", "account"),
        ("account_issued", mark("When your account was issued"), HOME, "issued", "issued"),
        ("linked_at", mark("Connected"), US, "linked_at", "linked_at"),
        ("source", mark("Where the iD was shown to be yours"), US, "source", "source", AUTHENTICATED),
        ("authenticated_at", mark("When it was shown to be yours"), HOME, "authenticated_at", "authenticated_at"),
        ("consent_text", mark("What you agreed to"), YOU, "consent_texts.text", "consent.text"),
        ("consent_at", mark("When you agreed"), YOU, "consent_at", "consent.at"),
        ("consent_language", mark("Language of the text"), YOU, "consent_texts.language", "consent.language"),
        ("consent_version", mark("Version of the text"), US, "consent_texts.version", "consent.version"),
        ("release", mark("Whether your organisation releases it"), HOME, "release_state", "release.state", RELEASES),
        ("release_at", mark("When that was seen"), US, "release_at", "release.at"),
        ("ended_at", mark("Ended"), US, "ended_at", "ended_at"),
        ("ended_by", mark("Ended by"), US, "ended_by", "ended_by", ACTORS),
        ("id", mark("Number of the record"), US, "id", "id"),
    ),
    _NOTHING_KEPT,
    ends=True,
)

ATTEMPTS = Section(
    "attempts",
    mark("Visits to ORCID that you began"),
    mark("To bring you safely back from ORCID, to the browser in which you began."),
    mark("About two days. The iD and the name that ORCID gave us are forgotten as soon as the visit has ended."),
    _fields(
        "attempts",
        ("started_at", mark("Begun"), US, "started_at", "started_at"),
        ("account", mark("Account"), HOME, "account", "account"),
        ("orcid", mark("ORCID iD"), ORCID, "registry orcid", "orcid_id"),
        ("orcid_name", mark("Name at ORCID"), ORCID, "orcid_name", "orcid_name"),
        ("answered_at", mark("Back from ORCID"), US, "taken_at", "taken_at"),
        ("expires_at", mark("To be finished by"), US, "expires_at", "expires_at"),
        ("ended_at", mark("Ended"), US, "closed_at", "closed_at"),
        ("outcome", mark("How it ended"), US, "outcome", "outcome", OUTCOMES),
        ("id", mark("Number of the record"), US, "id", "id"),
    ),
)

CHANGES = Section(
    "changes",
    mark("What your organisation has to learn"),
    mark("So that your organisation learns of each change once, and in the right order."),
    _FOR_THE_FEED,
    _fields(
        "changes",
        ("at", mark("When"), US, "at", "at"),
        ("kind", mark("What happened"), US, "kind", "kind", KINDS),
        ("account", mark("Account"), HOME, "account", "account"),
        ("orcid", mark("ORCID iD"), ORCID, "registry orcid", "orcid_id"),
        ("previous", mark("ORCID iD before"), ORCID, "previous_registry previous_orcid", "previous"),
        ("number", mark("Number of the change"), US, "number", "number"),
        ("id", mark("Number of the record"), US, "id", "id"),
    ),
    _NOTHING_KEPT,
    ends=True,
)

DELIVERIES = Section(
    "deliveries",
    mark("What was sent to your organisation's interfaces"),
    mark("To get the news there whatever happens, and to show you what came of it."),
    _WITH_LINKS,
    _fields(
        "deliveries",
        ("created_at", mark("When"), US, "created_at", "created_at"),
        ("kind", mark("What happened"), US, "kind", "kind", KINDS),
        ("transfer", mark("Interface"), US, "transfer", "transfer"),
        ("state", mark("How it stands"), US, "state", "state", STATES),
        ("outcome", mark("What came of it"), THEM, "outcome", "outcome", ANSWERS),
        ("message", mark("What the interface said"), THEM, "message", "message"),
        ("attempts", mark("How often it was tried"), US, "attempts", "attempts"),
        ("waiting_since", mark("Waiting since"), US, "waiting_since", "waiting_since"),
        ("tried_at", mark("Last tried"), US, "tried_at", "tried_at"),
        ("next_at", mark("Due"), US, "next_at", "next_at"),
        ("finished_at", mark("Finished"), US, "finished_at", "finished_at"),
        ("change", mark("Number of the change"), US, "number", "number"),
    ),
    _NOTHING_KEPT,
    ends=True,
)

FEED = Section(
    "feed",
    mark("What your organisation has fetched"),
    mark("To know how far your organisation has come in fetching changes, yours among them."),
    mark("As long as your organisation is connected; it is one number for all of its people."),
    _fields(
        "acknowledgements",
        ("number", mark("Fetched up to change number"), THEM, "number", "number"),
        ("at", mark("When it said so"), THEM, "at acknowledgements.organisation", "at"),
    ),
)

EVENTS_SECTION = Section(
    "events",
    mark("Who did what"),
    mark("To be able to show afterwards who did what. Each line is guarded against being changed."),
    mark(
        "As long as the connection, and after it until you have everything erased. What stays then is a line "
        "that names nobody, so that the lines around it can still be proven."
    ),
    _fields(
        "events",
        ("at", mark("When"), US, "at", "at"),
        ("kind", mark("What happened"), US, "kind", "kind", EVENTS),
        ("actor", mark("Who did it"), US, "actor", "actor", ACTORS),
        ("facts", mark("About it"), US, "facts", "facts"),
        ("number", mark("Number of the line"), US, "number", "number"),
        ("digest", mark("Fingerprint of the line"), US, "digest", "digest"),
        ("hash", mark("Fingerprint of all lines up to it"), US, "hash", "hash"),
    ),
    ends=True,
)

ERASURE = Section(
    "erasure",
    mark("Your wish to have everything erased"),
    mark("To finish it once your organisation has learnt that the connection is gone."),
    mark("Until it is done."),
    _fields(
        "erasures",
        ("asked_at", mark("When you asked"), YOU, "asked_at", "asked_at"),
        ("change_number", mark("Up to change number"), US, "change_number", "change_number"),
        ("event_number", mark("Up to line number"), US, "event_number", "event_number"),
    ),
)

MAILS = Section(
    "mails",
    mark("E-mail that you asked for"),
    mark("To send it to you, once."),
    mark(
        "The address until it is sent, or given up a day after the first try. That it was sent is kept as long as the "
        "connection, and after it until you have everything erased."
    ),
    _fields(
        "mails",
        ("asked_at", mark("When you asked"), YOU, "asked_at", "asked_at"),
        ("kind", mark("What about"), YOU, "kind", "kind", MAIL_KINDS),
        ("address", mark("E-mail address"), YOU, "address", "address"),
        ("language", mark("Language of the e-mail"), YOU, "language", "language"),
        ("attempts", mark("How often it was tried"), US, "attempts", "attempts"),
        ("next_at", mark("Due"), US, "next_at", "next_at"),
        ("ended_at", mark("Finished"), US, "ended_at", "ended_at"),
        ("change", mark("Number of the change"), US, "change_number", "change_number"),
    ),
    ends=True,
)

SECTIONS = (PERSON, LINKS, ATTEMPTS, CHANGES, DELIVERIES, FEED, EVENTS_SECTION, MAILS, ERASURE)
"""All there is, in the order in which it is shown."""
