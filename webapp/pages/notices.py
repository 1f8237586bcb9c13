"""Privacy notice and accessibility statement: the operator's texts, and beside them what the program itself knows.

What is stored, what for and for how long is taken from the table that my data is made of, so that the notice cannot
say otherwise than the code does.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from shibboleth.organisation import UnknownOrganisation
from webapp.i18n.language import gettext_noop
from webapp.pages.context import AppContext
from webapp.pages.data_inventory import SECTIONS, SOURCES
from webapp.pages.operator_texts import ACCESSIBILITY, PRIVACY
from webapp.pages.problems import NotFound
from webapp.pages.request import Page, PageRequest

CONFORMANCE: Mapping[str, str] = MappingProxyType(
    {
        "fully": gettext_noop("The pages do all that the law asks."),
        "partially": gettext_noop("The pages do most of what the law asks."),
        "not": gettext_noop("The pages do not do what the law asks."),
    }
)
ASSESSORS: Mapping[str, str] = MappingProxyType(
    {
        "self": gettext_noop("The provider of the service looked at them."),
        "outside": gettext_noop("Somebody from outside looked at them."),
    }
)


def privacy(context: AppContext, request: PageRequest) -> Page:
    """Show the privacy notice."""
    return _privacy(context, request)


def privacy_of(context: AppContext, request: PageRequest) -> Page:
    """Show the privacy notice for the people of an organisation that says some of it otherwise. Raises NotFound."""
    try:
        organisation = context.organisations.by_id(request.path_params["organisation"])
    except UnknownOrganisation:
        raise NotFound from None
    return _privacy(context, request, organisation.entity_id)


def accessibility(context: AppContext, request: PageRequest) -> Page:
    """Show the accessibility statement."""
    texts, code = context.operator_texts, request.language.code
    variables = {
        "operator_texts": {name: texts.get(name, code) for name in ACCESSIBILITY},
        "statement": texts.statement,
        "conformance": CONFORMANCE,
        "assessors": ASSESSORS,
    }
    return Page("accessibility.html", variables)


def _privacy(context: AppContext, request: PageRequest, entity_id: str = "") -> Page:
    texts, code = context.operator_texts, request.language.code
    forgetful, days, changes = entity_id in context.forgetful, _days(context, entity_id), context.keep_changes
    gettext = request.language.gettext
    variables = {
        "organisation": context.organisations.by_entity_id(entity_id) if entity_id else None,
        "others": [each for each in context.organisations if texts.own.get(each.entity_id)],
        "operator_texts": {name: texts.get(name, code, entity_id) for name in PRIVACY},
        "privacy_url": texts.privacy_url,
        "sections": [(each, each.kept(gettext, forgetful=forgetful, days=days, changes=changes)) for each in SECTIONS],
        "sources": SOURCES,
        "some_keep_nothing": bool(context.forgetful) and not entity_id,
        "transfers": context.linking.transfers_of(entity_id) if entity_id else (),
    }
    return Page("privacy.html", variables)


def _days(context: AppContext, entity_id: str) -> int | None:
    """Tell after how many days what has ended goes: an organisation's, or what is so for all of them."""
    if entity_id:
        return context.retention.get(entity_id)
    found = {context.retention.get(each.entity_id) for each in context.organisations}
    return found.pop() if len(found) == 1 else None
