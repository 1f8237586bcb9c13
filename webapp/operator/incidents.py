"""Recording of incidents: what the number on an error page refers to."""

from __future__ import annotations

from contextlib import suppress

from shibboleth.organisation import Organisation
from sql.records import Incident
from webapp.pages.context import AppContext
from webapp.pages.request import PageRequest

NOT_RECORDED = frozenset(
    {
        # Anyone can cause any number of these without signing in
        *(
            "not-signed-in",
            "proxy-not-authenticated",
            "not-found",
            "not-allowed",
            "too-large",
            "incomplete-form",
            "repeated-parameter",
            "no-such-organisation",
            "return-not-allowed",
        ),
        # These cannot be stored
        *("store-unavailable", "schema-behind", "schema-ahead"),
    }
)
"""Problems that are only logged."""


def record(  # noqa: PLR0913, PLR0917 - the columns of a row
    context: AppContext,
    number: str,
    code: str,
    request: PageRequest,
    route: str,
    organisation: Organisation | None = None,
) -> bool:
    """Store what an incident number refers to, unless it is only logged.

    Some codes are never stored, and no more incidents of a person and of an organisation than `webapp.limits` allows.
    Database errors are ignored: the person gets the page anyway.

    Returns:
        False if it is only logged.
    """
    if code in NOT_RECORDED:
        return False
    person, limits = request.optional_person, context.limits
    home = organisation or (person.organisation if person else None)
    organisation_id = home.id if home else None
    if person and not limits.incidents_of_person.allow((person.organisation.id, person.key), request.now):
        return False
    if not limits.incidents_of_organisation.allow(organisation_id, request.now):
        return False
    with suppress(Exception):
        context.store.incidents.add(Incident(number, request.now, code, organisation_id, route))
        return True
    return False
