"""Pages of a person's link: own page, linking, confirming, removing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from shibboleth.orcid_id import InvalidOrcidId, OrcidId
from sql.errors import AttemptClosed, LinkChanged
from sql.records import Attempt, ChangeKind
from webapp.auth.csrf import csrf_token
from webapp.i18n.language import gettext_noop
from webapp.linking.service import AttemptUsed, CallbackParams, NotAgreed, consent_to
from webapp.log import log
from webapp.operator import incidents
from webapp.pages.context import AppContext
from webapp.pages.delivery_status import delivery_status
from webapp.pages.problems import BY_WORD, PROBLEMS, Problem
from webapp.pages.release import record_release, release_notice
from webapp.pages.request import Page, PageRequest, Redirect

CONSENT = gettext_noop(
    "I agree that the ORCID iD and the account shown above are connected, and that this service hands the two to "
    "%(organisation)s, which may release the iD to the services I sign in to. I can remove the connection here at "
    "any time."
)


def me(context: AppContext, request: PageRequest) -> Page:
    """Show a person how things stand."""
    person, person_status = request.person, request.person_status
    link = record_release(context.store, person, person_status.link, request.now)
    where = delivery_status(person_status)
    facts = {
        "link": link,
        "keeps_nothing": person.organisation.entity_id in context.forgetful,
        "token": csrf_token(request.browser, person),
        "delivery_status": where,
        "release": release_notice(link, person.released, request.now, removed=where.kind is ChangeKind.REMOVED),
        "orcid_away": context.lately.away(request.now),
        "go_on": _waiting(context, request),
    }
    return Page("me.html", facts)


def start(context: AppContext, request: PageRequest) -> Redirect:
    """Send a person to ORCID."""
    return Redirect(context.linking.start(request.person, request.browser, request.language.code, request.now))


def callback(context: AppContext, request: PageRequest) -> Redirect | Page:
    """Take the person back from ORCID, and send them on to an address without code and state."""
    answer = CallbackParams(*(request.parameter(name) for name in ("state", "code", "error")))
    try:
        attempt = context.linking.handle_callback(request.person, request.browser, answer, request.now)
    except AttemptUsed as error:
        _log(request, "returned", error.attempt.id, outcome=PROBLEMS[AttemptUsed].word)
        return _used(context, request, error.attempt)
    _log(request, "returned", attempt.id, outcome=attempt.outcome or "to-confirm")
    _remember(context, request, attempt)
    return Redirect(_place_of(attempt), attempt.id if attempt.closed_at is None else "")


def confirm(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Ask the person to confirm what ORCID answered."""
    return _ask_to_confirm(context, request)


def confirmed(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Link, if the person agrees; asked twice, it is done once."""
    try:
        way_out = next((way for name, way in _WAYS_OUT.items() if name in request.form), None)
        return _agreed(context, request) if way_out is None else _cancelled(context, request, way_out)
    except AttemptClosed:
        return _result_of(request)
    except (NotAgreed, LinkChanged) as error:
        return _ask_to_confirm(context, request, PROBLEMS[type(error)])


def another_account(_context: AppContext, request: PageRequest) -> Page:
    """Show the way to another ORCID account than the one that is signed in there."""
    return Page("another_account.html", {"token": csrf_token(request.browser, request.person)})


def result(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Show how an attempt ended."""
    attempt, person_status = (
        context.linking.attempt(request.person, request.browser, request.path_params["attempt"]),
        request.person_status,
    )
    if attempt.outcome is None:
        return Redirect(f"/me/confirm/{attempt.id}")
    token = csrf_token(request.browser, request.person)
    if attempt.outcome in BY_WORD:
        return _outcome_problem(context, request, attempt, token)
    facts = {
        "outcome": attempt.outcome,
        "link": person_status.link,
        "token": token,
        "delivery_status": delivery_status(person_status),
        "mails": context.mails_to(request.person),
    }
    return Page("result.html", facts)


def remove(context: AppContext, request: PageRequest) -> Redirect:
    """End the link which the page showed."""
    shown = _shown(context, request, request.form.get("shown", ""))
    change = context.linking.remove(request.person, shown, request.now)
    if change:
        log("removed", organisation=request.person.organisation.id)
        context.deliver_now(change)
    return Redirect("/me/removed")


def removed(_context: AppContext, request: PageRequest) -> Page | Redirect:
    """Say that the link is gone, unless there is one."""
    if request.person_status.link is not None:
        return Redirect("/me")
    facts = {
        "token": csrf_token(request.browser, request.person),
        "delivery_status": delivery_status(request.person_status),
    }
    return Page("removed.html", facts)


def back_to_me(_context: AppContext, _request: PageRequest) -> Redirect:
    """Send whoever lands by GET on an address that only takes forms to their own page.

    It happens: a session that ended meanwhile turns the form's POST into a GET after the new sign-in.
    """
    return Redirect("/me")


def _cancelled(
    context: AppContext, request: PageRequest, way_out: Callable[[AppContext, PageRequest], Redirect]
) -> Redirect:
    context.linking.cancel(request.person, request.browser, request.path_params["attempt"], request.now)
    return way_out(context, request)


def _to_another_account(context: AppContext, request: PageRequest) -> Redirect:
    # Where ORCID asks everybody to sign in, one is asked there; otherwise one has to sign out there oneself
    if context.linking.orcid.asks_to_sign_in:
        return Redirect(context.linking.start(request.person, request.browser, request.language.code, request.now))
    return Redirect("/me/another-account")


_WAYS_OUT: Mapping[str, Callable[[AppContext, PageRequest], Redirect]] = {
    "cancel": lambda _context, request: _result_of(request),
    "another": _to_another_account,
}
"""Where the buttons of the confirm page lead that connect nothing."""


def _agreed(context: AppContext, request: PageRequest) -> Redirect:
    if request.form.get("agree") != "yes":
        raise NotAgreed
    agreed = consent_to(_consent_text(request), request.language.code, request.now)
    replacing = _shown(context, request, request.form["replacing"]) if request.form.get("replacing") else None
    attempt_id = request.path_params["attempt"]
    change = context.linking.confirm(request.person, request.browser, attempt_id, agreed, replacing, request.now)
    _log(request, change.kind if change else "unchanged", attempt_id)
    if change:
        context.deliver_now(change)
    return _result_of(request)


def _result_of(request: PageRequest) -> Redirect:
    return Redirect(f"/me/result/{request.path_params['attempt']}")


def _shown(context: AppContext, request: PageRequest, text: str) -> OrcidId:
    """Read the iD which a page of ours showed; another text than one of ours is a page that is out of date."""
    try:
        return OrcidId.parse(text)
    except InvalidOrcidId:
        raise LinkChanged(context.linking.link_of(request.person)) from None


def _consent_text(request: PageRequest) -> str:
    # Without the person's own facts, which stand above it: the text is kept, and kept once for all who agreed to it
    return request.language.gettext(CONSENT, organisation=request.person.organisation.name(request.language.code))


def _ask_to_confirm(context: AppContext, request: PageRequest, problem: Problem | None = None) -> Page | Redirect:
    try:
        attempt = context.linking.open_attempt(
            request.person, request.browser, request.path_params["attempt"], request.now
        )
    except AttemptClosed:
        return _result_of(request)
    facts = {
        "attempt": attempt,
        "current": context.linking.link_of(request.person) if problem else request.person_status.link,
        "consent": _consent_text(request),
        "token": csrf_token(request.browser, request.person),
        "interfaces": context.linking.transfers_of(attempt.organisation),
        "problem": problem,
    }
    return Page("confirm.html", facts, problem.status if problem else 200)


def _waiting(context: AppContext, request: PageRequest) -> str:
    """Give the place of an attempt that waits to be confirmed; looked for only where the browser knows of one."""
    if not request.attempt:
        return ""
    try:
        return _place_of(context.linking.open_attempt(request.person, request.browser, request.attempt, request.now))
    except (AttemptClosed, LookupError, PermissionError):
        return ""


def _place_of(attempt: Attempt) -> str:
    return f"/me/{'confirm' if attempt.closed_at is None else 'result'}/{attempt.id}"


def _remember(context: AppContext, request: PageRequest, attempt: Attempt) -> None:
    # Whether ORCID is there, for whoever is about to go; a refusal by the person says nothing about it
    if attempt.outcome == "orcid-unavailable":
        context.lately.failed(request.now)
    elif attempt.outcome != "declined":
        context.lately.answered()


def _log(request: PageRequest, word: str, attempt_id: str, **facts: object) -> None:
    log(word, organisation=request.person.organisation.id, incident=_incident(attempt_id), **facts)


def _incident(attempt_id: str) -> str:
    # Of the attempt, so that page and log show the same however often the page is loaded; readable over a telephone
    return hashlib.sha256(attempt_id.encode()).hexdigest()[:8]


def _used(context: AppContext, request: PageRequest, attempt: Attempt) -> Page:
    # The back button and a reload end here: nothing is exchanged again, and the way on is offered
    latest = context.store.attempts.get(attempt.id) or attempt
    row = PROBLEMS[AttemptUsed]
    incident = _incident(attempt.id)
    incidents.keep(context.store, incident, row.word, request, "/me/callback")
    facts = {"problem": row, "incident": incident, "told": {"incident": incident}, "go_on": _place_of(latest)}
    return Page("problem.html", facts, row.status)


def _outcome_problem(context: AppContext, request: PageRequest, attempt: Attempt, token: str) -> Page:
    row = BY_WORD[attempt.outcome or ""]
    incident = _incident(attempt.id)
    incidents.keep(context.store, incident, row.word, request, "/me/result/<attempt>")
    facts = {"problem": row, "incident": incident, "told": {"incident": incident}, "token": token}
    if row.ask == "organisation":
        facts["organisation"] = request.person.organisation
    return Page("problem.html", facts, row.status)
