"""Everything that is stored about a person, as a page and as a JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import takewhile
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from resolver_connector.orcid.token_request import TOKEN_READ
from shibboleth.orcid_id import OrcidId
from shibboleth.person import Person
from sql.records import Change, EarlierAccount, Erasure, Event, ReadEvents
from sql.repositories.base import NO_LIMIT
from sql.rows import format_timestamp
from sql.store import Store
from webapp.linking.earlier_holders import current_holder_since, is_of_other_holder, is_own_move
from webapp.pages.context import AppContext
from webapp.pages.data_inventory import FACTS, LANGUAGES, NEVER_SHOWN, SECTIONS, SOURCES, Gettext, Section
from webapp.pages.request import Page, PageRequest, RawResponse

FORMAT = "orcid-connect my data, version 1"
"""The name and version of the file's format. Fields may be added; meanings and names change only with the version."""
MAX_SHOWN = 50
"""Number of the newest records of each section that the page shows; the file has all."""

Reader = Callable[[Store, str, str, int], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """Up to which change the organisation has acknowledged."""

    number: int
    at: datetime


@dataclass(frozen=True, slots=True)
class DataSection:
    """The records of one section."""

    section: Section
    records: Sequence[Any]
    more: bool = False


def my_data(context: AppContext, request: PageRequest) -> Page:
    """Show what is stored about the person, the newest records of each section."""
    variables = {
        "data_sections": data_sections(context.store, request.person, MAX_SHOWN),
        "retention": _retention(context, request),
        "sources": SOURCES,
        "fact_labels": FACTS,
        "never_shown": tuple(dict.fromkeys(NEVER_SHOWN.values())),
        "languages": LANGUAGES,
        "max_shown": MAX_SHOWN,
    }
    return Page("my_data.html", variables)


def my_data_file(context: AppContext, request: PageRequest) -> RawResponse:
    """Return everything that is stored about the person as a JSON file."""
    person = request.person
    gettext, retention = request.language.gettext, _retention(context, request)
    content: dict[str, Any] = {
        "format": FORMAT,
        "made_at": format_timestamp(request.now),
        "language": request.language.code,
    }
    found = data_sections(context.store, person, NO_LIMIT)
    content |= {each.section.name: _file_value(each) for each in found}
    content["explained"] = {each.name: _explained(each, gettext, retention[each.name]) for each in SECTIONS}
    content["never_shown"] = {column: gettext(words) for column, words in NEVER_SHOWN.items()}
    body = json.dumps(content, ensure_ascii=False, indent=2, default=_plain) + "\n"
    return RawResponse(body.encode(), "application/json", filename="my-data.json")


def data_sections(store: Store, person: Person, most: int) -> list[DataSection]:
    """Read what is stored about a person, with one query for each section."""
    whose = person.organisation.id, person.key
    since, moved_from = current_holder_since(store, person), store.audit.earlier_accounts(*whose)
    before = (
        [] if since is None else [each.number for each in store.changes.list_for_person(*whose) if each.at <= since]
    )
    earlier = max(before, default=0)
    found = [DataSection(SECTIONS[0], (person,))]
    for section in SECTIONS[1:]:
        records = READERS[section.name](store, *whose, most if most == NO_LIMIT else most + 1)
        own = [each for each in records if since is None or attrgetter(MADE_AT[section.name])(each) > since]
        if section.name == "events":
            # What came of a delivery is written when it ends: of the earlier holder's changes that may be afterwards
            own = [each for each in own if int(each.facts.get("change", earlier + 1)) > earlier]
            # Newest first: what is older than an event of another holder's is not the person's either
            own = [*takewhile(lambda each: not is_of_other_holder(each, person), own)]
            own += [each for each in records if each not in own and is_own_move(each, person)]
        for each in [] if section.name in SINGLE_RECORD_SECTIONS else moved_from:
            records = READERS[section.name](store, whose[0], each.person_key, NO_LIMIT)
            own += [one for one in records if _is_between(attrgetter(MADE_AT[section.name])(one), each)]
        if section.name == "changes":
            own = [_without_another_person(each, {one.person_key for one in moved_from}) for each in own]
        found.append(DataSection(section, own[:most], len(own) > most))
    return found


def _without_another_person(change: Change, earlier_keys: Collection[str]) -> Change:
    # Who claimed an iD does not learn whose it was
    if change.previous_person_key is None or change.previous_person_key in earlier_keys:
        return change
    return replace(change, previous_person_key=None, previous_account=None)


def _is_between(at: datetime, account: EarlierAccount) -> bool:
    return at <= account.until and (account.since is None or at > account.since)


def _events(store: Store, organisation_id: str, person_key: str, limit: int) -> Sequence[Event]:
    if limit == NO_LIMIT:
        return [*store.audit.list_events(organisation_id, person_key, newest_first=True)]
    # Systems fetch tokens each night: of the newest events, the page shows the last fetch alone
    whose = organisation_id, person_key
    found = [*store.audit.list_events(*whose, newest_first=True, limit=limit, without=TOKEN_READ)]
    last = store.audit.last_event(*whose, TOKEN_READ)
    return sorted([*found, *([] if last is None else [last])], key=attrgetter("number"), reverse=True)


def _fetched(store: Store, organisation_id: str, person_key: str, _limit: int) -> Sequence[FeedPosition]:
    # A number of the organisation; it says something only about persons with a change
    if store.changes.newest_for_person(organisation_id, person_key) is None:
        return ()
    come = store.changes.acknowledged(organisation_id)
    return () if come is None else (FeedPosition(*come),)


def _read(store: Store, organisation_id: str, person_key: str, _limit: int) -> Sequence[ReadEvents]:
    read = store.audit.read_events(organisation_id, person_key)
    return () if read is None else (read,)


def _erasure(store: Store, organisation_id: str, person_key: str, _limit: int) -> Sequence[Erasure]:
    asked = store.erasures.get(organisation_id, person_key)
    return () if asked is None else (asked,)


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "links": lambda store, *whose: store.links.list_for_person(*whose),
        "orcid_tokens": lambda store, *whose: store.orcid_tokens.list_for_person(*whose),
        "affiliation_permissions": lambda store, *whose: store.affiliations.list_permissions(*whose),
        "affiliations": lambda store, *whose: store.affiliations.list_items(*whose),
        "attempts": lambda store, *whose: store.attempts.list_for_person(*whose),
        "changes": lambda store, *whose: store.changes.list_for_person(*whose),
        "deliveries": lambda store, *whose: store.deliveries.list_for_person(*whose),
        "feed": _fetched,
        "events": _events,
        "read_events": _read,
        "mails": lambda store, *whose: store.mail.list_for_person(*whose),
        "erasure": _erasure,
    }
)
"""The function that reads the records of each section."""

MADE_AT: Mapping[str, str] = MappingProxyType(
    {
        "links": "linked_at",
        "orcid_tokens": "obtained_at",
        "affiliation_permissions": "consent.at",
        "affiliations": "changed_at",
        "attempts": "started_at",
        "changes": "at",
        "deliveries": "created_at",
        "feed": "at",
        "events": "at",
        "read_events": "at",
        "mails": "requested_at",
        "erasure": "requested_at",
    }
)
"""The time of a record that decides whether it belongs to the person or to an earlier holder of the account."""

SINGLE_RECORD_SECTIONS = frozenset({"you", "feed", "read_events", "erasure"})
"""Sections with one record at most."""


def _retention(context: AppContext, request: PageRequest) -> Mapping[str, str]:
    settings = context.settings(request.person.organisation)
    forgetful, days = not settings.keeps_links, settings.retention_days
    gettext, changes = request.language.gettext, context.keep_changes
    return {each.name: each.kept(gettext, forgetful=forgetful, days=days, changes=changes) for each in SECTIONS}


def _file_value(data_section: DataSection) -> Any:
    records = [
        {each.name: each.value_in(record) for each in data_section.section.fields} for record in data_section.records
    ]
    if data_section.section.name in SINGLE_RECORD_SECTIONS:
        return records[0] if records else None
    return records


def _explained(section: Section, gettext: Gettext, kept: str) -> dict[str, Any]:
    return {
        "what": gettext(section.title),
        "purpose": gettext(section.purpose),
        "kept": kept,
        "fields": {each.name: {"what": gettext(each.label), "from": each.source} for each in section.fields},
    }


def _plain(value: Any) -> Any:
    """Write what JSON has no form for."""
    return _FORMS[type(value)](value)


_FORMS: Mapping[type, Callable[[Any], Any]] = MappingProxyType(
    {
        date: date.isoformat,
        datetime: format_timestamp,
        OrcidId: lambda orcid_id: orcid_id.uri,
        frozenset: lambda values: sorted(_plain(each) for each in values),
        MappingProxyType: dict,
    }
)
