"""Pages of a person's link, from the start of linking to its removal."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from resolver_connector.orcid.scopes import Scope, permissions_in
from shibboleth.orcid_id import InvalidOrcidId, OrcidId
from sql.errors import AccountLinked, AttemptClosed, LinkChanged
from sql.records import Attempt, ChangeKind, Link
from webapp.auth.csrf import csrf_token
from webapp.i18n.language import gettext_noop
from webapp.linking.earlier_holders import own_released_ids
from webapp.linking.renamed import link_of_earlier_account
from webapp.linking.return_address import ReturnAddress, ReturnNotAllowed, ReturnResult, find_return
from webapp.linking.service import CallbackParams, NoSuchAttempt, NotAgreed, make_consent
from webapp.linking.unread_events import mark_read, unread_events
from webapp.log import log
from webapp.operator import incidents
from webapp.pages.context import AppContext
from webapp.pages.delivery_status import LINK_STATE_TEXTS, DeliveryStatus, delivery_status, link_state
from webapp.pages.orcid.affiliation import affiliation_status, consent_text, permit, record_affiliation
from webapp.pages.orcid.permissions import (
    PERMISSION_TEXTS,
    granted_permissions,
    offered_permissions,
    permission_status,
    start,
)
from webapp.pages.problems import ORGANISATION_HELP, PROBLEMS, PROBLEMS_BY_CODE, Problem
from webapp.pages.release import record_release, release_notice
from webapp.pages.request import Page, PageRequest, Redirect

CONSENT = gettext_noop(
    "I agree that this ORCID iD is connected to my account, that this service gives both to "
    "%(organisation)s, and that %(organisation)s may share the iD with services I sign in to. I can remove "
    "the connection here at any time."
)
CONSENT_REPLACING = gettext_noop("This iD replaces the one that is connected now.")
CONSENT_PERMISSIONS = gettext_noop(
    "%(organisation)s may do what I permitted at ORCID until I withdraw the permission or the connection ends. To "
    "make this possible, this service stores the permission from ORCID in encrypted form."
)
CONSENT_KEEPING_NOTHING = gettext_noop(
    "I agree that this ORCID iD is connected to my account, that this service gives both to "
    "%(organisation)s, and that %(organisation)s may share the iD with services I sign in to. This service "
    "keeps nothing afterwards, so I cannot remove the connection here: %(organisation)s can."
)
RETURN_RESULTS: Mapping[str, ReturnResult] = MappingProxyType(
    {
        "linked": ReturnResult.LINKED,
        "replaced": ReturnResult.LINKED,
        "unchanged": ReturnResult.ALREADY_LINKED,
        "declined": ReturnResult.DECLINED,
        "cancelled": ReturnResult.CANCELLED,
    }
)
"""What the service that sent the person here is told, by the outcome of the attempt."""


def me(context: AppContext, request: PageRequest) -> Page:
    """Show the person's own page."""
    person, person_status = request.person, request.person_status
    link = record_release(context.store, person, person_status.link, request.now)
    status = delivery_status(person_status, context.settings(person.organisation))
    released = own_released_ids(context.store, person, link)
    record_affiliation(context, request)
    variables = {
        "link": link,
        "unread": unread_events(context.store, person, link),
        **_link_state(context, request, status),
        "token": csrf_token(request.browser, person),
        "delivery_status": status,
        "affiliation": affiliation_status(context, person.organisation, link),
        # A suspended iD is not expected to be released
        "release": None
        if link and link.suspended_at
        else release_notice(link, released, request.now, removed=status.kind is ChangeKind.REMOVED),
        "orcid_unavailable": context.linking.orcid_status.recently_failed(request.now),
        "resume_path": _resume_path(context, request),
        "earlier": _earlier_link(context, request),
        "permissions": permission_status(context, request),
        "permission_texts": PERMISSION_TEXTS,
    }
    return Page("me.html", variables)


def _earlier_link(context: AppContext, request: PageRequest) -> Link | None:
    # The link of the person's renamed account, where the person has none
    if request.person_status.link is not None:
        return None
    return link_of_earlier_account(context.store, request.person, request.now)


def move(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Show both accounts of a person whose account was renamed."""
    link = _earlier_link(context, request)
    if link is None:
        return Redirect("/me")
    return Page("move.html", {"link": link, "token": csrf_token(request.browser, request.person)})


def submit_move(context: AppContext, request: PageRequest) -> Redirect:
    """Move the link that the page showed; a repeated form has no effect."""
    link, person = _earlier_link(context, request), request.person
    if link is None:
        return Redirect("/me")
    shown = _shown_orcid_id(context, request, request.form.get("shown", ""))
    if link.id != request.form.get("link"):
        raise LinkChanged(link)
    try:
        change = context.linking.move(person, link, shown, request.now)
    except AccountLinked:
        return Redirect("/me")
    if change:
        log("moved", organisation=person.organisation.id)
        context.deliver_now(change)
    return Redirect("/me")


def read(context: AppContext, request: PageRequest) -> Redirect:
    """Store that the person has read what others did to the link."""
    link, shown = request.person_status.link, request.form.get("number", "")
    mark_read(context.store, request.person, link, shown, request.now)
    return Redirect("/me")


def _link_state(context: AppContext, request: PageRequest, status: DeliveryStatus) -> dict[str, Any]:
    settings, organisation_id = context.settings(request.person.organisation), request.person.organisation.id
    link = request.person_status.link
    linked, suspended = link is not None, link is not None and link.suspended_at is not None
    fetches = settings.uses_feed and linked and context.store.changes.acknowledged(organisation_id) is not None
    state = link_state(status, linked=linked, suspended=suspended, keeps_links=settings.keeps_links, fetches=fetches)
    return {
        "keeps_nothing": not settings.keeps_links,
        "link_state": state,
        "link_state_text": LINK_STATE_TEXTS[state],
        "help": request.person.organisation.help,
    }


def _resume_path(context: AppContext, request: PageRequest) -> str:
    # Looked up only where the browser has the cookie of an attempt
    if not request.open_attempt_id:
        return ""
    try:
        attempt = context.linking.open_attempt(request.person, request.browser, request.open_attempt_id, request.now)
    except (AttemptClosed, LookupError, PermissionError):
        return ""
    return _path_of(attempt)


def callback(context: AppContext, request: PageRequest) -> Redirect:
    """Handle the redirect URI, and redirect to an address without the code."""
    params = CallbackParams(*(request.parameter(name) for name in ("state", "code", "error")))
    attempt = context.linking.handle_callback(request.person, request.browser, params, request.now)
    _log(request, "orcid-callback", attempt.id, outcome=attempt.outcome or "to-confirm")
    if attempt.outcome == "unchanged":
        _queue_affiliation(context, request)
    return Redirect(_path_of(attempt), attempt.id if attempt.closed_at is None else "")


def confirm(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Show the confirmation page."""
    return _confirm_page(context, request)


def submit_confirmation(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Link the iD, or cancel the attempt; a repeated form has no effect."""
    attempt_id, form = request.path_params["attempt"], request.form
    who = request.person, request.browser, attempt_id
    try:
        if "cancel" in form:
            context.linking.cancel(*who, request.now)
            return Redirect(f"/me/result/{attempt_id}")
        if "another" in form:
            context.linking.cancel(*who, request.now)
            # Without openid ORCID does not ask a signed-in user again, so the user has to sign out there first
            asks = context.linking.client_of(request.person.organisation.id).asks_to_sign_in
            return start(context, request) if asks else Redirect(request.carry_return("/me/another-account"))
        if form.get("agree") != "yes":
            return _confirm_page(context, request, PROBLEMS[NotAgreed])
        granted = granted_permissions(context, request, attempt_id)
        replacing = _shown_orcid_id(context, request, form["replacing"]) if form.get("replacing") else None
        attempt = context.linking.attempt(request.person, request.browser, attempt_id)
        text = _consent_text(context, request, granted, replacing=replacing not in {None, attempt.orcid_id})
        consent = make_consent(text, request.language.code, request.now)
        change = context.linking.confirm(*who, consent, replacing, request.now)
    except AttemptClosed:
        return Redirect(f"/me/result/{attempt_id}")
    except LinkChanged:
        return _confirm_page(context, request, PROBLEMS[LinkChanged])
    _log(request, change.kind if change else "unchanged", attempt_id)
    _queue_affiliation(context, request)
    if change:
        context.deliver_now(change)
    return Redirect(f"/me/result/{attempt_id}")


def _affiliation_consent(context: AppContext, request: PageRequest, granted: Collection[Scope]) -> str:
    # The text of the second box; empty where nothing is written, or the person did not permit it at ORCID
    organisation = request.person.organisation
    transfer = context.settings(organisation).affiliation_transfer
    if transfer is None or Scope.ACTIVITIES_UPDATE not in granted:
        return ""
    return consent_text(transfer[1], organisation, request.language)


def _queue_affiliation(context: AppContext, request: PageRequest) -> None:
    # The person may have ticked the second box, or have permitted at ORCID what was not permitted before
    transfer = context.settings(request.person.organisation).affiliation_transfer
    link = None if transfer is None else context.linking.current_link(request.person)
    if transfer is None or link is None:
        return
    name, settings = transfer
    if request.form.get("affiliation") == "yes":
        permit(context, request, link, settings, name)
    elif context.store.affiliations.permission(link.id) is not None:
        context.store.affiliations.queue(link, name, request.now)


def another_account(_context: AppContext, request: PageRequest) -> Page:
    """Explain how to use another ORCID account."""
    return Page("another_account.html", {"token": csrf_token(request.browser, request.person)})


def result(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Show how an attempt ended."""
    try:
        attempt = context.linking.attempt(request.person, request.browser, request.path_params["attempt"])
    except NoSuchAttempt:
        if context.settings(request.person.organisation).keeps_links:
            raise
        # Deleted together with the link it led to
        return _result_page(context, request, ChangeKind.LINKED, None)
    if attempt.outcome is None:
        return Redirect(_path_of(attempt))
    address = _return_address(context, attempt)
    if attempt.outcome in PROBLEMS_BY_CODE:
        variables = {"token": csrf_token(request.browser, request.person), "return_address": address}
        problem = PROBLEMS_BY_CODE[attempt.outcome]
        return _problem_page(context, request, problem, attempt.id, "/me/result/<attempt>", variables)
    if attempt.outcome == ChangeKind.MOVED:
        return Redirect(replace(request, return_address=address).carry_return("/me"))
    return _result_page(context, request, attempt.outcome, address)


def _return_address(context: AppContext, attempt: Attempt) -> ReturnAddress | None:
    # The operator may have removed the service from the list meanwhile
    try:
        return find_return(attempt.return_to, context.returns)
    except ReturnNotAllowed:
        return None


def _result_page(context: AppContext, request: PageRequest, outcome: str, return_address: ReturnAddress | None) -> Page:
    status = delivery_status(request.person_status, context.settings(request.person.organisation))
    variables = {
        "outcome": outcome,
        "return_address": return_address,
        "return_result": RETURN_RESULTS[outcome],
        "offered": offered_permissions(context, request),
        "permissions": permission_status(context, request),
        "permission_texts": PERMISSION_TEXTS,
        "link": request.person_status.link,
        "token": csrf_token(request.browser, request.person),
        "delivery_status": status,
        **_link_state(context, request, status),
        "mail_available": context.mail_available(request.person),
    }
    return Page("result.html", variables)


def receipt(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Show the receipt of the current link; an attested one has none."""
    person, link = request.person, request.person_status.link
    if link is None or link.attested:
        return Redirect("/me")
    controller = context.operator_texts.get(
        "controller", request.language.code, context.settings(person.organisation).texts
    )
    variables = {
        "link": link,
        "controller": controller,
        "keeps_nothing": not context.settings(person.organisation).keeps_links,
        "mail_available": context.mail_available(person),
    }
    return Page("receipt.html", variables)


def remove(context: AppContext, request: PageRequest) -> Redirect:
    """Remove the link that the page showed."""
    shown = _shown_orcid_id(context, request, request.form.get("shown", ""))
    change = context.linking.remove(request.person, shown, request.now)
    if change:
        log("removed", organisation=request.person.organisation.id)
        context.deliver_now(change)
    return Redirect("/me/removed")


def removed(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Show that the link is removed; redirect to `/me` if there is a link."""
    if request.person_status.link is not None:
        return Redirect("/me")
    settings = context.settings(request.person.organisation)
    variables = {
        "token": csrf_token(request.browser, request.person),
        "delivery_status": delivery_status(request.person_status, settings),
        "may_have_written": settings.affiliation_transfer is not None,
        "keeps_tokens": context.linking.tokens.keeps_tokens,
    }
    return Page("removed.html", variables)


def claim(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Show a claim of an iD.

    The person who claims it sees what to do, and the holder of the iD the form.
    """
    person, attempt_id = request.person, request.path_params["attempt"]
    try:
        attempt = context.linking.claim(person, request.browser, attempt_id, request.now)
    except AttemptClosed as error:
        closed = error.attempt
        own = closed is not None and closed.person_key == person.key and closed.outcome in PROBLEMS_BY_CODE
        return Redirect(f"/me/result/{attempt_id}" if own else "/me")
    own = attempt.person_key == person.key
    token = csrf_token(request.browser, person)
    # The holder's page leads to no service that sent the other account here
    address = _return_address(context, attempt) if own else None
    return Page("claim.html", {"attempt": attempt, "own": own, "token": token, "return_address": address})


def submit_claim(context: AppContext, request: PageRequest) -> Redirect:
    """Move the holder's link to the account that claims the iD.

    A repeated form has no effect.
    """
    try:
        change = context.linking.accept_claim(
            request.person, request.browser, request.path_params["attempt"], request.now
        )
    except (AccountLinked, AttemptClosed):
        return Redirect("/me")
    if change:
        log("moved", organisation=request.person.organisation.id)
        context.deliver_now(change)
    return Redirect("/me")


def redirect_to_me(_context: AppContext, _request: PageRequest) -> Redirect:
    """Redirect a GET request for the address of a form to `/me`.

    When a session has ended, the sign-in turns the POST request of a form into a GET request.
    """
    return Redirect("/me")


def _confirm_page(context: AppContext, request: PageRequest, problem: Problem | None = None) -> Page | Redirect:
    person, attempt_id = request.person, request.path_params["attempt"]
    try:
        attempt = context.linking.open_attempt(person, request.browser, attempt_id, request.now)
    except AttemptClosed:
        return Redirect(f"/me/result/{attempt_id}")
    if attempt.claim_expires_at is not None:
        return Redirect(_path_of(attempt))
    granted = granted_permissions(context, request, attempt_id)
    current = context.linking.current_link(person) if problem else request.person_status.link
    replacing = current is not None and current.orcid_id != attempt.orcid_id
    variables = {
        "attempt": attempt,
        "granted": granted,
        "not_granted": [scope for scope in permissions_in(attempt.scope) if scope not in granted],
        "permission_texts": PERMISSION_TEXTS,
        "unread": unread_events(context.store, person, request.person_status.link),
        "current": current,
        "replacing": replacing,
        "consent": _consent_text(context, request, granted, replacing=replacing),
        "affiliation_consent": _affiliation_consent(context, request, granted),
        # Only on the page that a form without the first tick leads to
        "affiliation_ticked": request.form.get("affiliation") == "yes",
        "token": csrf_token(request.browser, person),
        "transfers": context.settings(request.person.organisation).idm_transfers,
        "problem": problem,
        "return_address": _return_address(context, attempt),
    }
    return Page("confirm.html", variables, problem.status if problem else 200)


def _problem_page(  # noqa: PLR0913, PLR0917 - the parts of a page that is not made from an exception
    context: AppContext,
    request: PageRequest,
    problem: Problem,
    attempt_id: str,
    path: str,
    variables: Mapping[str, Any],
) -> Page:
    incident = _incident(attempt_id)
    incidents.record(context, incident, problem.code, request, path)
    everything: dict[str, Any] = {
        "problem": problem,
        "incident": incident,
        "values": {"incident": incident},
        **variables,
    }
    if problem.contact == ORGANISATION_HELP:
        everything["organisation"] = request.person.organisation
    return Page("problem.html", everything, problem.status)


def _shown_orcid_id(context: AppContext, request: PageRequest, text: str) -> OrcidId:
    # A text that no page of ours shows is treated like a page that is out of date
    try:
        return OrcidId.parse(text)
    except InvalidOrcidId:
        raise LinkChanged(context.linking.current_link(request.person)) from None


def _consent_text(context: AppContext, request: PageRequest, granted: Sequence[Scope], *, replacing: bool) -> str:
    # Without facts about the person, so that the text is stored once for all who agreed to it
    organisation = request.person.organisation
    texts = [CONSENT if context.settings(organisation).keeps_links else CONSENT_KEEPING_NOTHING]
    texts += [CONSENT_REPLACING] if replacing else []
    texts += [CONSENT_PERMISSIONS] if granted else []
    name = organisation.name(request.language.code)
    return " ".join(request.language.gettext(text, organisation=name) for text in texts)


def _path_of(attempt: Attempt) -> str:
    page = "result" if attempt.closed_at is not None else "confirm" if attempt.claim_expires_at is None else "claim"
    return f"/me/{page}/{attempt.id}"


def _log(request: PageRequest, event: str, attempt_id: str, **facts: object) -> None:
    log(event, organisation=request.person.organisation.id, incident=_incident(attempt_id), **facts)


def _incident(attempt_id: str) -> str:
    # Made from the attempt, so that the page shows the number in the log however often it is loaded
    return hashlib.sha256(attempt_id.encode()).hexdigest()[:8]
