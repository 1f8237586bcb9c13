"""The operator's pages: one short handler each, and none that does not ask first what the person may see."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from webapp.auth.cookies import OWS
from webapp.auth.csrf import csrf_token
from webapp.i18n.language import gettext_noop
from webapp.log import log
from webapp.operator.access import Permissions
from webapp.operator.failures import failures
from webapp.operator.figures import COLUMNS, PERIODS, charts, organisation_statuses, period_of, periods
from webapp.operator.people import IncompleteSearch, SearchResult, asked_by, look_up, search_from
from webapp.pages.problems import PROBLEMS_BY_CODE
from webapp.pages.request import Page, PageRequest, Redirect

if TYPE_CHECKING:
    from webapp.pages.context import AppContext

_NUMBER = re.compile(r"[0-9a-f]{8}", re.ASCII)
_COUNT = re.compile(r"\d{1,9}", re.ASCII)

STATES = {"waiting": gettext_noop("waiting"), "done": gettext_noop("arrived"), "dead-letter": gettext_noop("given up")}
"""How a delivery stands, in the operator's words."""


def overview(context: AppContext, request: PageRequest) -> Page:
    """Show how all the organisations stand that the person may see."""
    permissions, days = _permissions(context, request), period_of(request.parameter("days"))
    variables = {
        "statuses": organisation_statuses(
            context.store, permissions.in_order(request.language.code), days, request.now
        ),
        "columns": COLUMNS,
        "days": days,
        "periods": PERIODS,
    }
    return Page("operator/overview.html", variables)


def organisation(context: AppContext, request: PageRequest) -> Page:
    """Show one organisation: now, over time, and what did not arrive."""
    one, days = _permissions(context, request).of(request.path_params["name"]), period_of(request.parameter("days"))
    (status,) = organisation_statuses(context.store, [one], days, request.now)
    period_counts = periods(context.store, one.entity_id, days, request.now)
    variables = {
        "status": status,
        "columns": COLUMNS,
        "period_counts": period_counts,
        "charts": charts(period_counts),
        "failures": failures(context.store, one.entity_id),
        "days": days,
        "periods": PERIODS,
        "now": request.now,
        "retried": _retried(request),
        "token": csrf_token(request.browser, request.person),
    }
    return Page("operator/organisation.html", variables)


def retry(context: AppContext, request: PageRequest) -> Redirect:
    """Let what one transfer was not given be tried again."""
    permissions = _permissions(context, request)
    one = permissions.of(request.path_params["name"])
    transfer = request.form.get("transfer", "")
    moved = context.store.deliveries.retry(
        one.entity_id, transfer, request.now, permissions.actor, asked_by(request.person)
    )
    log("retried", organisation=one.id, transfer=transfer, deliveries=moved)
    return Redirect(f"/operator/organisations/{one.id}?retried={moved}")


def redirect_to_organisation(context: AppContext, request: PageRequest) -> Redirect:
    """Send whoever lands by GET on an address that only takes forms to the organisation's page."""
    return Redirect(f"/operator/organisations/{_permissions(context, request).of(request.path_params['name']).id}")


def incident(context: AppContext, request: PageRequest) -> Page:
    """Tell what an incident number stood for."""
    permissions = _permissions(context, request)
    number = request.parameter("number").strip(OWS).lower()
    found = context.store.incidents.get(number) if _NUMBER.fullmatch(number) else None
    home = next((one for one in permissions.organisations if found and one.entity_id == found.organisation), None)
    seen = found if permissions.operator or home else None
    variables: dict[str, Any] = {"number": number[:40], "found": seen, "organisation": home}
    return Page("operator/incident.html", variables | {"problem": PROBLEMS_BY_CODE.get(seen.code) if seen else None})


def search(context: AppContext, request: PageRequest) -> Page:
    """Show the form to look for a person."""
    return _search_page(request, _permissions(context, request))


def submit_search(context: AppContext, request: PageRequest) -> Page:
    """Show a person's link to whoever says why."""
    permissions = _permissions(context, request)
    try:
        person_search = search_from(request.form, permissions)
    except IncompleteSearch as wrong:
        return _search_page(request, permissions, error=wrong.message, status=422)
    found = look_up(
        context.store, person_search, request.person, permissions, context.linking.orcid.registry, request.now
    )
    log("looked-up", organisation=person_search.organisation.id)
    return _search_page(request, permissions, found=found)


def _search_page(
    request: PageRequest,
    permissions: Permissions,
    *,
    found: SearchResult | None = None,
    error: str = "",
    status: int = 200,
) -> Page:
    variables = {
        "organisations": permissions.in_order(request.language.code),
        "found": found,
        "error": error,
        "form": {} if found else request.form,
        "states": STATES,
        "token": csrf_token(request.browser, request.person),
    }
    return Page("operator/people.html", variables, status)


def _permissions(context: AppContext, request: PageRequest) -> Permissions:
    return context.admin_access.permissions(request.person, context.organisations)


def _retried(request: PageRequest) -> int | None:
    count = request.parameter("retried")
    return int(count) if _COUNT.fullmatch(count) else None
