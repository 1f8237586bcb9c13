"""The pages that anybody may read: what this is, help, and what a sign-out leaves."""

from __future__ import annotations

from shibboleth.organisation import Organisation
from webapp.pages.context import AppContext
from webapp.pages.request import Page, PageRequest


def landing(context: AppContext, request: PageRequest) -> Page:
    """Say what this is, and for whom."""
    code = request.language.code

    def in_order(one: Organisation) -> str:
        return one.name(code).casefold()

    facts = {
        "organisations": sorted(context.organisations, key=in_order),
        "orcid_away": context.lately.away(request.now),
    }
    return Page("landing.html", facts)


def help_page(context: AppContext, request: PageRequest) -> Page:
    """Answer what people ask."""
    return Page("help.html", {"orcid_away": context.lately.away(request.now)})


def signed_out(_context: AppContext, _request: PageRequest) -> Page:
    """Say which sessions have ended, and which have not."""
    return Page("signed_out.html")
