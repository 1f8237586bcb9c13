"""Privacy notice and accessibility statement.

What is stored, why and for how long is taken from `data_inventory.py`, as for the page of my data, so the notice cannot
differ from what the code does.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from shibboleth.organisation import Organisation, UnknownOrganisation
from webapp.i18n.language import gettext_noop
from webapp.pages.context import AppContext
from webapp.pages.data_inventory import SECTIONS, SOURCES
from webapp.pages.operator_texts import ACCESSIBILITY, PRIVACY
from webapp.pages.problems import NotFound
from webapp.pages.request import Page, PageRequest

CONFORMANCE: Mapping[str, str] = MappingProxyType(
    {
        "fully": gettext_noop("The pages fully comply with the accessibility requirements."),
        "partially": gettext_noop("The pages partially comply with the accessibility requirements."),
        "not": gettext_noop("The pages do not comply with the accessibility requirements."),
    }
)
ASSESSORS: Mapping[str, str] = MappingProxyType(
    {
        "self": gettext_noop("Self-assessment by the service provider."),
        "outside": gettext_noop("Assessment by an external party."),
    }
)


def privacy(context: AppContext, request: PageRequest) -> Page:
    """Show the privacy notice."""
    return _privacy(context, request)


def privacy_of(context: AppContext, request: PageRequest) -> Page:
    """Show the privacy notice of an organisation with texts of its own.

    Raises:
        NotFound: If there is no such organisation.
    """
    try:
        organisation = context.organisations.by_id(request.path_params["organisation"])
    except UnknownOrganisation:
        raise NotFound from None
    return _privacy(context, request, organisation)


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


def _privacy(context: AppContext, request: PageRequest, organisation: Organisation | None = None) -> Page:
    everyone = tuple(context.organisation_settings.values())
    own = context.settings(organisation) if organisation else None
    forgetful = own is not None and not own.keeps_links
    retention = {each.retention_days for each in ([own] if own else everyone)}
    # Without an organisation, a number of days is named only where it is the same for all of them
    days = retention.pop() if len(retention) == 1 else None
    texts, changes = context.operator_texts, context.keep_changes
    code, gettext = request.language.code, request.language.gettext
    variables = {
        "organisation": organisation,
        "others": [each.organisation for each in everyone if each.texts],
        "operator_texts": {name: texts.get(name, code, own.texts if own else {}) for name in PRIVACY},
        "privacy_url": texts.privacy_url,
        "sections": [(each, each.kept(gettext, forgetful=forgetful, days=days, changes=changes)) for each in SECTIONS],
        "sources": SOURCES,
        "some_keep_nothing": own is None and not all(each.keeps_links for each in everyone),
        "transfers": own.idm_transfers if own else (),
        "keeps_tokens": context.linking.tokens.keeps_tokens,
    }
    return Page("privacy.html", variables)
