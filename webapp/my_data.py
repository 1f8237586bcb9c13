"""My data: everything that is stored about a person, on one page and in one file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from shibboleth.orcid_id import OrcidId
from shibboleth.person import Person
from sql.own import ALL
from sql.records import Erasure
from sql.rows import moment
from sql.store import Store
from webapp.hall import Hall
from webapp.kept import FACT_VALUES, FACTS, LANGUAGES, NEVER_SHOWN, SECTIONS, SOURCES, Say, Section
from webapp.visit import Page, Raw, Visit

FORMAT = "orcid-connect my data, version 1"
"""What the file calls itself. Fields may be added; what one means, or is called, changes with the version alone."""
SHOWN = 50
"""How many things of each kind the page shows, the newest; the file has them all."""

Reader = Callable[[Store, str, str, int], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Fetched:
    """How far the person's organisation has fetched its changes."""

    number: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Shelf:
    """What is stored of one kind."""

    section: Section
    records: Sequence[Any]
    more: bool = False


def my_data(hall: Hall, visit: Visit) -> Page:
    """Show everything that is stored about the person, the newest things of each kind."""
    facts = {
        "shelves": shelves(hall.store, visit.person, SHOWN),
        "kept": _kept(hall, visit),
        "sources": SOURCES,
        "fact_words": FACTS,
        "fact_values": FACT_VALUES,
        "never_shown": tuple(dict.fromkeys(NEVER_SHOWN.values())),
        "languages": LANGUAGES,
        "most": SHOWN,
    }
    return Page("my_data.html", facts)


def my_data_file(hall: Hall, visit: Visit) -> Raw:
    """Give all of it in a file, for the person to keep or to take along."""
    person = visit.person
    say, kept = visit.language.say, _kept(hall, visit)
    told: dict[str, Any] = {"format": FORMAT, "made_at": moment(visit.now), "language": visit.language.code}
    found = shelves(hall.store, person, ALL)
    told |= {each.section.name: _written(each) for each in found}
    told["explained"] = {each.name: _explained(each, say, kept[each.name]) for each in SECTIONS}
    told["never_shown"] = {column: say(words) for column, words in NEVER_SHOWN.items()}
    body = json.dumps(told, ensure_ascii=False, indent=2, default=_plain) + "\n"
    return Raw(body.encode(), "application/json", save_as="my-data.json")


def shelves(store: Store, person: Person, most: int) -> list[Shelf]:
    """Read everything that is stored about a person: one question for each kind, however much there is."""
    whose = person.organisation.entity_id, person.key
    since = _theirs_since(store, person)
    before = [] if since is None else [each.number for each in store.changes_of(*whose) if each.at <= since]
    earlier = max(before, default=0)
    found = [Shelf(SECTIONS[0], (person,))]
    for section in SECTIONS[1:]:
        records = READERS[section.name](store, *whose, most if most == ALL else most + 1)
        own = [each for each in records if since is None or attrgetter(MADE_AT[section.name])(each) > since]
        if section.name == "events":
            # What came of a delivery is written when it ends: of the earlier holder's changes that may be afterwards
            own = [each for each in own if int(each.facts.get("change", earlier + 1)) > earlier]
        found.append(Shelf(section, own[:most], len(own) > most))
    return found


def _theirs_since(store: Store, person: Person) -> datetime | None:
    """Tell after which moment what is stored is the person's own, where somebody else had the account before."""
    whose = person.organisation.entity_id, person.key
    others = [each for each in store.links_of(*whose) if each.issued and person.issued not in {"", each.issued}]
    ends = [store.passed_on(*whose), *(each.ended_at for each in others)]
    return max((each for each in ends if each is not None), default=None)


def _fetched(store: Store, entity_id: str, person_key: str, _limit: int) -> Sequence[Fetched]:
    # A number of the organisation's alone, of no meaning to somebody of whom it never had to learn anything
    if store.newest_change_of(entity_id, person_key) is None:
        return ()
    come = store.acknowledged(entity_id)
    return () if come is None else (Fetched(*come),)


def _erasure(store: Store, entity_id: str, person_key: str, _limit: int) -> Sequence[Erasure]:
    asked = store.erasure_of(entity_id, person_key)
    return () if asked is None else (asked,)


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "links": Store.links_of,
        "attempts": Store.attempts_of,
        "changes": Store.changes_of,
        "deliveries": Store.deliveries_of,
        "feed": _fetched,
        "events": lambda store, entity_id, key, most: list(store.events(entity_id, key, newest_first=True, limit=most)),
        "mails": Store.mails_of,
        "erasure": _erasure,
    }
)
"""How what is in each section is read."""

MADE_AT: Mapping[str, str] = MappingProxyType(
    {
        "links": "linked_at",
        "attempts": "started_at",
        "changes": "at",
        "deliveries": "created_at",
        "feed": "at",
        "events": "at",
        "mails": "asked_at",
        "erasure": "asked_at",
    }
)
"""What tells whether something is the person's own, or of somebody who had the account before."""

ALONE = frozenset({"you", "feed", "erasure"})
"""Sections of which there is one thing or none."""


def _kept(hall: Hall, visit: Visit) -> Mapping[str, str]:
    entity_id = visit.person.organisation.entity_id
    forgetful, days = entity_id in hall.forgetful, hall.retention.get(entity_id)
    say, changes = visit.language.say, hall.keep_changes
    return {each.name: each.kept(say, forgetful=forgetful, days=days, changes=changes) for each in SECTIONS}


def _written(shelf: Shelf) -> Any:
    records = [{each.name: each.of(record) for each in shelf.section.fields} for record in shelf.records]
    if shelf.section.name in ALONE:
        return records[0] if records else None
    return records


def _explained(section: Section, say: Say, kept: str) -> dict[str, Any]:
    return {
        "what": say(section.title),
        "purpose": say(section.purpose),
        "kept": kept,
        "fields": {each.name: {"what": say(each.words), "from": each.source} for each in section.fields},
    }


def _plain(value: Any) -> Any:
    """Write what JSON has no form for."""
    return _FORMS[type(value)](value)


_FORMS: Mapping[type, Callable[[Any], Any]] = MappingProxyType(
    {
        datetime: moment,
        OrcidId: lambda orcid_id: orcid_id.uri,
        frozenset: lambda values: sorted(_plain(each) for each in values),
        MappingProxyType: dict,
    }
)
