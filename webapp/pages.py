"""What happens on each page: one short handler each, and the table of routes that says for whom."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from shibboleth.orcid_id import InvalidOrcidId, OrcidId
from sql.errors import AttemptClosed, LinkChanged
from sql.records import Attempt, ChangeKind
from webapp.door import Who, form_token
from webapp.hall import Hall, Route
from webapp.in_control import erase, erased, erasure, removal
from webapp.language import mark
from webapp.linking import Answer, AttemptUsed, NotAgreed, consent_to
from webapp.log import log
from webapp.mail_pages import ask_mail, mail, mailed
from webapp.my_data import my_data, my_data_file
from webapp.notice_pages import accessibility, privacy, privacy_of
from webapp.operator import incidents
from webapp.operator import pages as operator
from webapp.operator.metrics import metrics
from webapp.problems import BY_WORD, PROBLEMS, NotFound, Problem
from webapp.public_pages import help_page, landing, signed_out
from webapp.receipt import receipt
from webapp.release import news, noted
from webapp.visit import Go, Page, Raw, Visit
from webapp.whereabouts import whereabouts

CONSENT = mark(
    "I agree that the ORCID iD and the account shown above are connected, and that this service hands the two to "
    "%(organisation)s, which may release the iD to the services I sign in to. I can remove the connection here at "
    "any time."
)


def me(hall: Hall, visit: Visit) -> Page:
    """Show a person how things stand."""
    person, standing = visit.person, visit.standing
    link = noted(hall.store, person, standing.link, visit.now)
    where = whereabouts(standing)
    facts = {
        "link": link,
        "forgetful": person.organisation.entity_id in hall.forgetful,
        "token": form_token(visit.browser, person),
        "where": where,
        "release": news(link, person.released, visit.now, removed=where.kind is ChangeKind.REMOVED),
        "orcid_away": hall.lately.away(visit.now),
        "go_on": _waiting(hall, visit),
    }
    return Page("me.html", facts)


def start(hall: Hall, visit: Visit) -> Go:
    """Send a person to ORCID."""
    return Go(hall.linking.start(visit.person, visit.browser, visit.language.code, visit.now))


def callback(hall: Hall, visit: Visit) -> Go | Page:
    """Take the person back from ORCID, and send them on to an address without code and state."""
    answer = Answer(*(visit.parameter(name) for name in ("state", "code", "error")))
    try:
        attempt = hall.linking.returned(visit.person, visit.browser, answer, visit.now)
    except AttemptUsed as error:
        _log(visit, "returned", error.attempt.id, outcome=PROBLEMS[AttemptUsed].word)
        return _used(hall, visit, error.attempt)
    _log(visit, "returned", attempt.id, outcome=attempt.outcome or "to-confirm")
    _remember(hall, visit, attempt)
    return Go(_place_of(attempt), attempt.id if attempt.closed_at is None else "")


def confirm(hall: Hall, visit: Visit) -> Page | Go:
    """Ask the person to confirm what ORCID answered."""
    return _ask_to_confirm(hall, visit)


def confirmed(hall: Hall, visit: Visit) -> Page | Go:
    """Link, if the person agrees; asked twice, it is done once."""
    try:
        way_out = next((way for name, way in _WAYS_OUT.items() if name in visit.form), None)
        return _agreed(hall, visit) if way_out is None else _cancelled(hall, visit, way_out)
    except AttemptClosed:
        return _result_of(visit)
    except (NotAgreed, LinkChanged) as error:
        return _ask_to_confirm(hall, visit, PROBLEMS[type(error)])


def another_account(_hall: Hall, visit: Visit) -> Page:
    """Show the way to another ORCID account than the one that is signed in there."""
    return Page("another_account.html", {"token": form_token(visit.browser, visit.person)})


def result(hall: Hall, visit: Visit) -> Page | Go:
    """Show how an attempt ended."""
    attempt, standing = hall.linking.attempt(visit.person, visit.browser, visit.place["attempt"]), visit.standing
    if attempt.outcome is None:
        return Go(f"/me/confirm/{attempt.id}")
    token = form_token(visit.browser, visit.person)
    if attempt.outcome in BY_WORD:
        return _outcome_problem(hall, visit, attempt, token)
    facts = {
        "outcome": attempt.outcome,
        "link": standing.link,
        "token": token,
        "where": whereabouts(standing),
        "mails": hall.mails_to(visit.person),
    }
    return Page("result.html", facts)


def remove(hall: Hall, visit: Visit) -> Go:
    """End the link which the page showed."""
    shown = _shown(hall, visit, visit.form.get("shown", ""))
    change = hall.linking.remove(visit.person, shown, visit.now)
    if change:
        log("removed", organisation=visit.person.organisation.id)
        hall.deliver_now(change)
    return Go("/me/removed")


def removed(_hall: Hall, visit: Visit) -> Page | Go:
    """Say that the link is gone, unless there is one."""
    if visit.standing.link is not None:
        return Go("/me")
    facts = {"token": form_token(visit.browser, visit.person), "where": whereabouts(visit.standing)}
    return Page("removed.html", facts)


def back_to_me(_hall: Hall, _visit: Visit) -> Go:
    """Send whoever lands by GET on an address that only takes forms to their own page.

    It happens: a session that ended meanwhile turns the form's POST into a GET after the new sign-in.
    """
    return Go("/me")


def static(hall: Hall, visit: Visit) -> Raw:
    """Give a style sheet or a picture."""
    try:
        return hall.static.give(visit.place["name"])
    except KeyError:
        raise NotFound from None


def healthz(hall: Hall, _visit: Visit) -> Raw:
    """Tell a monitor that the service can work: the store answers and is up to date."""
    hall.store.must_be_ready()
    return Raw(b"ok\n", "text/plain; charset=utf-8")


ROUTES = (
    Route("GET", "/", Who.ANYONE, landing),
    Route("GET", "/help", Who.ANYONE, help_page),
    Route("GET", "/signed-out", Who.ANYONE, signed_out),
    Route("GET", "/me", Who.PERSON, me),
    Route("POST", "/me/start", Who.PERSON, start),
    Route("GET", "/me/start", Who.PERSON, back_to_me),
    Route("GET", "/me/callback", Who.PERSON, callback),
    Route("GET", "/me/confirm/<attempt>", Who.PERSON, confirm),
    Route("POST", "/me/confirm/<attempt>", Who.PERSON, confirmed),
    Route("GET", "/me/another-account", Who.PERSON, another_account),
    Route("GET", "/me/result/<attempt>", Who.PERSON, result),
    Route("POST", "/me/remove", Who.PERSON, remove),
    Route("GET", "/me/remove", Who.PERSON, removal),
    Route("GET", "/me/removed", Who.PERSON, removed),
    Route("GET", "/me/erase", Who.PERSON, erasure),
    Route("POST", "/me/erase", Who.PERSON, erase),
    Route("GET", "/me/erased", Who.PERSON, erased),
    Route("GET", "/me/receipt", Who.PERSON, receipt),
    Route("GET", "/me/mail", Who.PERSON, mail),
    Route("POST", "/me/mail", Who.PERSON, ask_mail),
    Route("GET", "/me/mailed", Who.PERSON, mailed),
    Route("GET", "/me/data", Who.PERSON, my_data),
    Route("GET", "/me/data.json", Who.PERSON, my_data_file),
    Route("GET", "/privacy", Who.ANYONE, privacy),
    Route("GET", "/privacy/<organisation>", Who.ANYONE, privacy_of),
    Route("GET", "/accessibility", Who.ANYONE, accessibility),
    Route("GET", "/static/<name>", Who.ANYONE, static),
    Route("GET", "/healthz", Who.ANYONE, healthz),
    Route("GET", "/metrics", Who.ANYONE, metrics),
    Route("GET", "/operator", Who.PERSON, operator.overview),
    Route("GET", "/operator/organisations/<name>", Who.PERSON, operator.organisation),
    Route("POST", "/operator/organisations/<name>/retry", Who.PERSON, operator.retry),
    Route("GET", "/operator/organisations/<name>/retry", Who.PERSON, operator.back_to_organisation),
    Route("GET", "/operator/incidents", Who.PERSON, operator.incident),
    Route("GET", "/operator/people", Who.PERSON, operator.search),
    Route("POST", "/operator/people", Who.PERSON, operator.searched),
)


def _cancelled(hall: Hall, visit: Visit, way_out: Callable[[Hall, Visit], Go]) -> Go:
    hall.linking.cancel(visit.person, visit.browser, visit.place["attempt"], visit.now)
    return way_out(hall, visit)


def _to_another_account(hall: Hall, visit: Visit) -> Go:
    # Where ORCID asks everybody to sign in, one is asked there; otherwise one has to sign out there oneself
    if hall.linking.orcid.asks_to_sign_in:
        return Go(hall.linking.start(visit.person, visit.browser, visit.language.code, visit.now))
    return Go("/me/another-account")


_WAYS_OUT: Mapping[str, Callable[[Hall, Visit], Go]] = {
    "cancel": lambda _hall, visit: _result_of(visit),
    "another": _to_another_account,
}
"""Where the buttons of the confirm page lead that connect nothing."""


def _agreed(hall: Hall, visit: Visit) -> Go:
    if visit.form.get("agree") != "yes":
        raise NotAgreed
    agreed = consent_to(_consent_text(visit), visit.language.code, visit.now)
    replacing = _shown(hall, visit, visit.form["replacing"]) if visit.form.get("replacing") else None
    attempt_id = visit.place["attempt"]
    change = hall.linking.confirm(visit.person, visit.browser, attempt_id, agreed, replacing, visit.now)
    _log(visit, change.kind if change else "unchanged", attempt_id)
    if change:
        hall.deliver_now(change)
    return _result_of(visit)


def _result_of(visit: Visit) -> Go:
    return Go(f"/me/result/{visit.place['attempt']}")


def _shown(hall: Hall, visit: Visit, text: str) -> OrcidId:
    """Read the iD which a page of ours showed; another text than one of ours is a page that is out of date."""
    try:
        return OrcidId.parse(text)
    except InvalidOrcidId:
        raise LinkChanged(hall.linking.link_of(visit.person)) from None


def _consent_text(visit: Visit) -> str:
    # Without the person's own facts, which stand above it: the text is kept, and kept once for all who agreed to it
    return visit.language.say(CONSENT, organisation=visit.person.organisation.name(visit.language.code))


def _ask_to_confirm(hall: Hall, visit: Visit, problem: Problem | None = None) -> Page | Go:
    try:
        attempt = hall.linking.under_way(visit.person, visit.browser, visit.place["attempt"], visit.now)
    except AttemptClosed:
        return _result_of(visit)
    facts = {
        "attempt": attempt,
        "current": hall.linking.link_of(visit.person) if problem else visit.standing.link,
        "consent": _consent_text(visit),
        "token": form_token(visit.browser, visit.person),
        "interfaces": hall.linking.transfers_of(attempt.organisation),
        "problem": problem,
    }
    return Page("confirm.html", facts, problem.status if problem else 200)


def _waiting(hall: Hall, visit: Visit) -> str:
    """Give the place of an attempt that waits to be confirmed; looked for only where the browser knows of one."""
    if not visit.attempt:
        return ""
    try:
        return _place_of(hall.linking.under_way(visit.person, visit.browser, visit.attempt, visit.now))
    except (AttemptClosed, LookupError, PermissionError):
        return ""


def _place_of(attempt: Attempt) -> str:
    return f"/me/{'confirm' if attempt.closed_at is None else 'result'}/{attempt.id}"


def _remember(hall: Hall, visit: Visit, attempt: Attempt) -> None:
    # Whether ORCID is there, for whoever is about to go; a refusal by the person says nothing about it
    if attempt.outcome == "orcid-unavailable":
        hall.lately.failed(visit.now)
    elif attempt.outcome != "declined":
        hall.lately.answered()


def _log(visit: Visit, word: str, attempt_id: str, **facts: object) -> None:
    log(word, organisation=visit.person.organisation.id, incident=_incident(attempt_id), **facts)


def _incident(attempt_id: str) -> str:
    # Of the attempt, so that page and log show the same however often the page is loaded; readable over a telephone
    return hashlib.sha256(attempt_id.encode()).hexdigest()[:8]


def _used(hall: Hall, visit: Visit, attempt: Attempt) -> Page:
    # The back button and a reload end here: nothing is exchanged again, and the way on is offered
    latest = hall.store.attempt(attempt.id) or attempt
    row = PROBLEMS[AttemptUsed]
    incident = _incident(attempt.id)
    incidents.keep(hall.store, incident, row.word, visit, "/me/callback")
    facts = {"problem": row, "incident": incident, "told": {"incident": incident}, "go_on": _place_of(latest)}
    return Page("problem.html", facts, row.status)


def _outcome_problem(hall: Hall, visit: Visit, attempt: Attempt, token: str) -> Page:
    row = BY_WORD[attempt.outcome or ""]
    incident = _incident(attempt.id)
    incidents.keep(hall.store, incident, row.word, visit, "/me/result/<attempt>")
    facts = {"problem": row, "incident": incident, "told": {"incident": incident}, "token": token}
    if row.ask == "organisation":
        facts["organisation"] = visit.person.organisation
    return Page("problem.html", facts, row.status)
