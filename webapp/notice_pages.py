"""Privacy notice and accessibility statement: the operator's texts, and beside them what the program itself knows.

What is stored, what for and for how long is taken from the table that my data is made of, so that the notice cannot
say otherwise than the code does.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from shibboleth.organisation import UnknownOrganisation
from webapp.hall import Hall
from webapp.kept import SECTIONS, SOURCES
from webapp.language import mark
from webapp.notices import ACCESSIBILITY, PRIVACY
from webapp.problems import NotFound
from webapp.visit import Page, Visit

CONFORMANCE: Mapping[str, str] = MappingProxyType(
    {
        "fully": mark("The pages do all that the law asks."),
        "partially": mark("The pages do most of what the law asks."),
        "not": mark("The pages do not do what the law asks."),
    }
)
ASSESSORS: Mapping[str, str] = MappingProxyType(
    {
        "self": mark("The provider of the service looked at them."),
        "outside": mark("Somebody from outside looked at them."),
    }
)


def privacy(hall: Hall, visit: Visit) -> Page:
    """Show the privacy notice."""
    return _privacy(hall, visit)


def privacy_of(hall: Hall, visit: Visit) -> Page:
    """Show the privacy notice for the people of an organisation that says some of it otherwise. Raises NotFound."""
    try:
        organisation = hall.organisations.by_id(visit.place["organisation"])
    except UnknownOrganisation:
        raise NotFound from None
    return _privacy(hall, visit, organisation.entity_id)


def accessibility(hall: Hall, visit: Visit) -> Page:
    """Show the accessibility statement."""
    notices, code = hall.notices, visit.language.code
    facts = {
        "said": {name: notices.said(name, code) for name in ACCESSIBILITY},
        "statement": notices.statement,
        "conformance": CONFORMANCE,
        "assessors": ASSESSORS,
    }
    return Page("accessibility.html", facts)


def _privacy(hall: Hall, visit: Visit, entity_id: str = "") -> Page:
    notices, code = hall.notices, visit.language.code
    forgetful, days, changes = entity_id in hall.forgetful, _days(hall, entity_id), hall.keep_changes
    say = visit.language.say
    facts = {
        "organisation": hall.organisations.by_entity_id(entity_id) if entity_id else None,
        "others": [each for each in hall.organisations if notices.own.get(each.entity_id)],
        "said": {name: notices.said(name, code, entity_id) for name in PRIVACY},
        "privacy_url": notices.privacy_url,
        "sections": [(each, each.kept(say, forgetful=forgetful, days=days, changes=changes)) for each in SECTIONS],
        "sources": SOURCES,
        "some_forgetful": bool(hall.forgetful) and not entity_id,
        "transfers": hall.linking.transfers_of(entity_id) if entity_id else (),
    }
    return Page("privacy.html", facts)


def _days(hall: Hall, entity_id: str) -> int | None:
    """Tell after how many days what has ended goes: an organisation's, or what is so for all of them."""
    if entity_id:
        return hall.retention.get(entity_id)
    found = {hall.retention.get(each.entity_id) for each in hall.organisations}
    return found.pop() if len(found) == 1 else None
