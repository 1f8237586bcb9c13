"""Handlers of the operator's pages.

Each handler first determines what the person may see.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shibboleth.organisation import State
from sql.errors import AccountLinked, AttemptClosed, LinkChanged, StoreUnavailable
from sql.health import MAX_WAL_BACKLOG
from webapp.auth.cookies import OWS
from webapp.auth.csrf import csrf_token
from webapp.i18n.language import gettext_noop
from webapp.linking.public_api import LookupFailed, LookupPaused
from webapp.linking.service import NoSuchAttempt
from webapp.log import log
from webapp.operator.access import Permissions
from webapp.operator.failures import list_failures
from webapp.operator.people import IncompleteSearch, SearchResult, find_person, parse_search, requester
from webapp.operator.statistics import COLUMNS, PERIODS, chart_rows, organisation_statuses, parse_period, periods
from webapp.pages.data_inventory import RECORD_STATES
from webapp.pages.problems import PROBLEMS_BY_CODE
from webapp.pages.request import Page, PageRequest, Redirect

if TYPE_CHECKING:
    from webapp.pages.context import AppContext

_INCIDENT_NUMBER = re.compile(r"[0-9a-f]{8}", re.ASCII)
_COUNT = re.compile(r"\d{1,9}", re.ASCII)

LOOKUP_FAILED = gettext_noop("ORCID cannot tell the status of this iD right now. Nothing was changed.")
LOOKUP_PAUSED = gettext_noop(
    "We did not ask ORCID: it has asked us to wait, or today's limit on look-ups has been reached. Try again "
    "later. Nothing was changed."
)
CLAIM_OVER = gettext_noop("This claim is no longer open: it has been decided or has expired. Nothing was changed.")
CLAIMANT_LINKED = gettext_noop("The account that claims the iD has since connected another one. Nothing was changed.")
STATES = {
    State.HIDDEN: gettext_noop("hidden: only its test accounts can connect an iD"),
    State.PILOT: gettext_noop("pilot: only named users can connect an iD"),
    State.OPEN: gettext_noop("open to all its users"),
    State.CLOSED: gettext_noop("closed: no new connections"),
}
"""Messages of the catalogues for the states of an organisation, as sentences."""
DELIVERY_STATES = {
    "waiting": gettext_noop("waiting"),
    "done": gettext_noop("arrived"),
    "dead-letter": gettext_noop("failed"),
}
"""Messages of the catalogues for the states of a delivery."""


def overview(context: AppContext, request: PageRequest) -> Page:
    """Show the organisations that the person may see, and the database's state."""
    permissions, days = _permissions(context, request), parse_period(request.parameter("days"))
    try:
        wal_growing, writable = context.store.check_writable() > MAX_WAL_BACKLOG, True
    except StoreUnavailable:
        wal_growing, writable = False, False
    facts = {
        "statuses": organisation_statuses(
            context.store, permissions.sorted_by_name(request.language.code), days, request.now
        ),
        "columns": COLUMNS,
        "days": days,
        "periods": PERIODS,
        "misconfigured": sorted(context.organisations.misconfigured) if permissions.operator else [],
        "writable": writable,
        "wal_growing": wal_growing,
    }
    return Page("operator/overview.html", facts)


def organisation(context: AppContext, request: PageRequest) -> Page:
    """Show the status, statistics and dead letters of one organisation."""
    one = _permissions(context, request).organisation(request.path_params["name"])
    days = parse_period(request.parameter("days"))
    (status,) = organisation_statuses(context.store, [one], days, request.now)
    over_time = periods(context.store, one.id, days, request.now)
    facts = {
        "status": status,
        "states": STATES,
        "records": context.store.record_statuses.counts(one.id),
        "record_states": RECORD_STATES,
        "rename_conflicts": len(context.store.links.list_rename_conflicts(one.id)),
        "columns": COLUMNS,
        "period_counts": over_time,
        "chart_rows": chart_rows(COLUMNS, over_time),
        "failures": list_failures(context.store, one.id),
        "days": days,
        "periods": PERIODS,
        "now": request.now,
        "retried": _retried(request),
        "token": csrf_token(request.browser, request.person),
        "lists_links": one.id == request.person.organisation.id
        and context.admin_access.is_administrator(request.person),
    }
    return Page("operator/organisation.html", facts)


def retry(context: AppContext, request: PageRequest) -> Redirect:
    """Retry the dead letters of a transfer."""
    permissions = _permissions(context, request)
    one = permissions.organisation(request.path_params["name"])
    transfer = request.form.get("transfer", "")
    facts = requester(request.person)
    count = context.store.deliveries.retry(one.id, transfer, request.now, permissions.actor, facts)
    log("dead-letters-retried", organisation=one.id, transfer=transfer, deliveries=count)
    return Redirect(f"/operator/organisations/{one.id}?retried={count}")


def redirect_to_organisation(context: AppContext, request: PageRequest) -> Redirect:
    """Redirect a GET request for a form's address to the organisation's page."""
    one = _permissions(context, request).organisation(request.path_params["name"])
    return Redirect(f"/operator/organisations/{one.id}")


def incident(context: AppContext, request: PageRequest) -> Page:
    """Show what an incident number refers to."""
    permissions = _permissions(context, request)
    number = request.parameter("number").strip(OWS).lower()
    found = context.store.incidents.get(number) if _INCIDENT_NUMBER.fullmatch(number) else None
    organisation = next((one for one in permissions.organisations if found and one.id == found.organisation), None)
    visible = found if permissions.operator or organisation else None
    facts: dict[str, Any] = {
        "number": number[:40],
        "found": visible,
        "organisation": organisation,
        "problem": PROBLEMS_BY_CODE.get(visible.code) if visible else None,
    }
    return Page("operator/incident.html", facts)


def search(context: AppContext, request: PageRequest) -> Page:
    """Show the form to search for a person."""
    return _search_page(request, _permissions(context, request))


def submit_search(context: AppContext, request: PageRequest) -> Page:
    """Show a person's link.

    The search is recorded in the audit log with its reason.
    """
    permissions = _permissions(context, request)
    try:
        result = _find_person(context, request, permissions)
    except IncompleteSearch as error:
        return _search_page(request, permissions, error=error.message, error_field=error.field, status=422)
    return _search_page(request, permissions, result=result)


def check_record(context: AppContext, request: PageRequest) -> Page:
    """Look up a person's iD at ORCID now, and show the link.

    It is recorded in the audit log like a search.
    """
    permissions = _permissions(context, request)
    try:
        result = _find_person(context, request, permissions)
    except IncompleteSearch as error:
        return _search_page(request, permissions, error=error.message, error_field=error.field, status=422)
    problem = ""
    if result.link is not None:
        try:
            context.check_record(result.link.orcid_id, request.now)
        except LookupFailed as failed:
            log("record-lookup-failed", reason=failed.reason)
            problem = LOOKUP_PAUSED if isinstance(failed, LookupPaused) else LOOKUP_FAILED
        link = context.store.links.get(result.link.organisation, result.link.person_key)
        result = replace(result, link=link)
    return _search_page(request, permissions, result=result, error=problem)


def confirm_claim(context: AppContext, request: PageRequest) -> Page:
    """Move the link to the account that claims its iD, and show the link.

    It is recorded in the audit log like a search, and as a move with the administrator's reason.
    """
    permissions = _permissions(context, request)
    try:
        result = _find_person(context, request, permissions)
    except IncompleteSearch as error:
        return _search_page(request, permissions, error=error.message, error_field=error.field, status=422)
    change, link, reason, by = None, result.link, result.search.reason, requester(request.person)
    try:
        claim = request.form.get("claim", "")
        if link is not None and claim in {each.id for each in result.claims}:
            change = context.linking.confirm_claim(link, claim, permissions.actor, reason, by, request.now)
    except (AttemptClosed, LinkChanged, NoSuchAttempt):
        pass
    except AccountLinked:
        return _search_page(request, permissions, result=result, error=CLAIMANT_LINKED, status=409)
    if link is None or change is None:
        return _search_page(request, permissions, result=result, error=CLAIM_OVER, status=409)
    log("moved", organisation=change.organisation)
    context.deliver_now(change)
    moved = context.store.links.get_by_orcid_id(change.organisation, link.orcid_id)
    return _search_page(request, permissions, result=replace(result, link=moved, claims=()), moved=True)


def _find_person(context: AppContext, request: PageRequest, permissions: Permissions) -> SearchResult:
    search, registry = parse_search(request.form, permissions), context.linking.orcid.registry
    result = find_person(context.store, search, request.person, permissions, registry, request.now)
    log("person-searched", organisation=search.organisation.id)
    return result


def _search_page(  # noqa: PLR0913 - what the page shows
    request: PageRequest,
    permissions: Permissions,
    *,
    result: SearchResult | None = None,
    error: str = "",
    error_field: str = "",
    status: int = 200,
    moved: bool = False,
) -> Page:
    facts = {
        "organisations": permissions.sorted_by_name(request.language.code),
        "found": result,
        "error": error,
        "error_field": error_field,
        "moved": moved,
        "form": {} if result else request.form,
        "states": DELIVERY_STATES,
        "record_states": RECORD_STATES,
        "token": csrf_token(request.browser, request.person),
    }
    return Page("operator/people.html", facts, status)


def _permissions(context: AppContext, request: PageRequest) -> Permissions:
    return context.admin_access.permissions(request.person, context.organisations)


def _retried(request: PageRequest) -> int | None:
    said = request.parameter("retried")
    return int(said) if _COUNT.fullmatch(said) else None
