"""Where a person says that they want e-mail, what about, and where to: nothing is sent to whoever did not ask."""

from __future__ import annotations

from sql.records import Mail, MailKind
from webapp import config_values as values
from webapp.config_errors import Wrong
from webapp.door import OWS, form_token
from webapp.hall import Hall
from webapp.problems import PROBLEMS, BadAddress, NotFound, Problem
from webapp.visit import Go, Page, Visit


def mail(hall: Hall, visit: Visit) -> Page | Go:
    """Ask where to, and what about."""
    _must_be_offered(hall, visit)
    if visit.standing.link is None:
        return Go("/me")
    return _page(visit)


def ask_mail(hall: Hall, visit: Visit) -> Page | Go:
    """Keep what is to be sent; the worker sends it."""
    _must_be_offered(hall, visit)
    if visit.standing.link is None:
        return Go("/me")
    kinds = [kind for kind in MailKind if visit.form.get(kind.value) == "yes"]
    try:
        address = values.mailbox(visit.form.get("address", "").strip(OWS))
    except Wrong:
        return _page(visit, PROBLEMS[BadAddress])
    if not kinds:
        return _page(visit, PROBLEMS[BadAddress])
    entity_id, key = visit.person.organisation.entity_id, visit.person.key
    change = hall.store.newest_change_of(entity_id, key)
    # Changes are let go of after a while, and a link holds on
    number = change.number if change else 0
    for kind in kinds:
        hall.store.ask_mail(Mail(entity_id, key, kind, number, address, visit.language.code, visit.now))
    return Go("/me/mailed")


def mailed(hall: Hall, visit: Visit) -> Page:
    """Say that it will be sent."""
    _must_be_offered(hall, visit)
    return Page("mailed.html")


def _must_be_offered(hall: Hall, visit: Visit) -> None:
    if not hall.mails_to(visit.person):
        raise NotFound


def _page(visit: Visit, problem: Problem | None = None) -> Page:
    facts = {
        "token": form_token(visit.browser, visit.person),
        "problem": problem,
        "address": visit.form.get("address", "")[:254],
        "ticked": [kind.value for kind in MailKind if visit.form.get(kind.value) == "yes"],
    }
    return Page("mail.html", facts, problem.status if problem else 200)
