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
from webapp.pages.problems import BY_WORD
from webapp.pages.request import Page, PageRequest, Redirect

if TYPE_CHECKING:
    from webapp.pages.context import AppContext

_NUMBER = re.compile(r"[0-9a-f]{8}", re.ASCII)
_COUNT = re.compile(r"\d{1,9}", re.ASCII)

STATES = {"waiting": gettext_noop("waiting"), "done": gettext_noop("arrived"), "given-up": gettext_noop("given up")}
"""How a delivery stands, in the operator's words."""


def overview(context: AppContext, request: PageRequest) -> Page:
    """Show how all the organisations stand that the person may see."""
    sight, days = _sight(context, request), period_of(request.parameter("days"))
    facts = {
        "standings": organisation_statuses(context.store, sight.in_order(request.language.code), days, request.now),
        "columns": COLUMNS,
        "days": days,
        "periods": PERIODS,
    }
    return Page("operator/overview.html", facts)


def organisation(context: AppContext, request: PageRequest) -> Page:
    """Show one organisation: now, over time, and what did not arrive."""
    one, days = _sight(context, request).of(request.path_params["name"]), period_of(request.parameter("days"))
    (person_status,) = organisation_statuses(context.store, [one], days, request.now)
    over_time = periods(context.store, one.entity_id, days, request.now)
    facts = {
        "standing": person_status,
        "columns": COLUMNS,
        "spans": over_time,
        "plots": charts(over_time),
        "failures": failures(context.store, one.entity_id),
        "days": days,
        "periods": PERIODS,
        "now": request.now,
        "retried": _retried(request),
        "token": csrf_token(request.browser, request.person),
    }
    return Page("operator/organisation.html", facts)


def retry(context: AppContext, request: PageRequest) -> Redirect:
    """Let what one transfer was not given be tried again."""
    sight = _sight(context, request)
    one = sight.of(request.path_params["name"])
    transfer = request.form.get("transfer", "")
    moved = context.store.deliveries.retry(one.entity_id, transfer, request.now, sight.actor, asked_by(request.person))
    log("retried", organisation=one.id, transfer=transfer, deliveries=moved)
    return Redirect(f"/operator/organisations/{one.id}?retried={moved}")


def back_to_organisation(context: AppContext, request: PageRequest) -> Redirect:
    """Send whoever lands by GET on an address that only takes forms to the organisation's page."""
    return Redirect(f"/operator/organisations/{_sight(context, request).of(request.path_params['name']).id}")


def incident(context: AppContext, request: PageRequest) -> Page:
    """Tell what an incident number stood for."""
    sight = _sight(context, request)
    said = request.parameter("number").strip(OWS).lower()
    found = context.store.incidents.get(said) if _NUMBER.fullmatch(said) else None
    home = next((one for one in sight.organisations if found and one.entity_id == found.organisation), None)
    seen = found if sight.operator or home else None
    facts: dict[str, Any] = {"said": said[:40], "found": seen, "home": home}
    return Page("operator/incident.html", facts | {"told": BY_WORD.get(seen.word) if seen else None})


def search(context: AppContext, request: PageRequest) -> Page:
    """Show the form to look for a person."""
    return _search_page(request, _sight(context, request))


def searched(context: AppContext, request: PageRequest) -> Page:
    """Show a person's link to whoever says why."""
    sight = _sight(context, request)
    try:
        question = search_from(request.form, sight)
    except IncompleteSearch as error:
        return _search_page(request, sight, wrong=error.words, status=422)
    found = look_up(context.store, question, request.person, sight, context.linking.orcid.registry, request.now)
    log("looked-up", organisation=question.organisation.id)
    return _search_page(request, sight, found=found)


def _search_page(
    request: PageRequest, sight: Permissions, *, found: SearchResult | None = None, wrong: str = "", status: int = 200
) -> Page:
    facts = {
        "organisations": sight.in_order(request.language.code),
        "found": found,
        "wrong": wrong,
        "said": {} if found else request.form,
        "states": STATES,
        "token": csrf_token(request.browser, request.person),
    }
    return Page("operator/people.html", facts, status)


def _sight(context: AppContext, request: PageRequest) -> Permissions:
    return context.staff.sight(request.person, context.organisations)


def _retried(request: PageRequest) -> int | None:
    said = request.parameter("retried")
    return int(said) if _COUNT.fullmatch(said) else None
