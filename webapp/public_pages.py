"""The pages that anybody may read: what this is, help, and what a sign-out leaves."""

from __future__ import annotations

from shibboleth.organisation import Organisation
from webapp.hall import Hall
from webapp.visit import Page, Visit


def landing(hall: Hall, visit: Visit) -> Page:
    """Say what this is, and for whom."""
    code = visit.language.code

    def in_order(one: Organisation) -> str:
        return one.name(code).casefold()

    facts = {"organisations": sorted(hall.organisations, key=in_order), "orcid_away": hall.lately.away(visit.now)}
    return Page("landing.html", facts)


def help_page(hall: Hall, visit: Visit) -> Page:
    """Answer what people ask."""
    return Page("help.html", {"orcid_away": hall.lately.away(visit.now)})


def signed_out(_hall: Hall, _visit: Visit) -> Page:
    """Say which sessions have ended, and which have not."""
    return Page("signed_out.html")
