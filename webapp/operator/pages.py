"""The operator's pages: one short handler each, and none that does not ask first what the person may see."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from webapp.door import OWS, form_token
from webapp.language import mark
from webapp.log import log
from webapp.operator.access import Sight
from webapp.operator.failures import failures
from webapp.operator.figures import COLUMNS, PERIODS, period_of, plots, spans, standings
from webapp.operator.people import Found, Unasked, asked_by, look_up, question_in
from webapp.problems import BY_WORD
from webapp.visit import Go, Page, Visit

if TYPE_CHECKING:
    from webapp.hall import Hall

_NUMBER = re.compile(r"[0-9a-f]{8}", re.ASCII)
_COUNT = re.compile(r"\d{1,9}", re.ASCII)

STATES = {"waiting": mark("waiting"), "done": mark("arrived"), "given-up": mark("given up")}
"""How a delivery stands, in the operator's words."""


def overview(hall: Hall, visit: Visit) -> Page:
    """Show how all the organisations stand that the person may see."""
    sight, days = _sight(hall, visit), period_of(visit.parameter("days"))
    facts = {
        "standings": standings(hall.store, sight.in_order(visit.language.code), days, visit.now),
        "columns": COLUMNS,
        "days": days,
        "periods": PERIODS,
    }
    return Page("operator/overview.html", facts)


def organisation(hall: Hall, visit: Visit) -> Page:
    """Show one organisation: now, over time, and what did not arrive."""
    one, days = _sight(hall, visit).of(visit.place["name"]), period_of(visit.parameter("days"))
    (standing,) = standings(hall.store, [one], days, visit.now)
    over_time = spans(hall.store, one.entity_id, days, visit.now)
    facts = {
        "standing": standing,
        "columns": COLUMNS,
        "spans": over_time,
        "plots": plots(over_time),
        "failures": failures(hall.store, one.entity_id),
        "days": days,
        "periods": PERIODS,
        "now": visit.now,
        "retried": _retried(visit),
        "token": form_token(visit.browser, visit.person),
    }
    return Page("operator/organisation.html", facts)


def retry(hall: Hall, visit: Visit) -> Go:
    """Let what one transfer was not given be tried again."""
    sight = _sight(hall, visit)
    one = sight.of(visit.place["name"])
    transfer = visit.form.get("transfer", "")
    moved = hall.store.retry(one.entity_id, transfer, visit.now, sight.actor, asked_by(visit.person))
    log("retried", organisation=one.id, transfer=transfer, deliveries=moved)
    return Go(f"/operator/organisations/{one.id}?retried={moved}")


def back_to_organisation(hall: Hall, visit: Visit) -> Go:
    """Send whoever lands by GET on an address that only takes forms to the organisation's page."""
    return Go(f"/operator/organisations/{_sight(hall, visit).of(visit.place['name']).id}")


def incident(hall: Hall, visit: Visit) -> Page:
    """Tell what an incident number stood for."""
    sight = _sight(hall, visit)
    said = visit.parameter("number").strip(OWS).lower()
    found = hall.store.incident(said) if _NUMBER.fullmatch(said) else None
    home = next((one for one in sight.organisations if found and one.entity_id == found.organisation), None)
    seen = found if sight.operator or home else None
    facts: dict[str, Any] = {"said": said[:40], "found": seen, "home": home}
    return Page("operator/incident.html", facts | {"told": BY_WORD.get(seen.word) if seen else None})


def search(hall: Hall, visit: Visit) -> Page:
    """Show the form to look for a person."""
    return _search_page(visit, _sight(hall, visit))


def searched(hall: Hall, visit: Visit) -> Page:
    """Show a person's link to whoever says why."""
    sight = _sight(hall, visit)
    try:
        question = question_in(visit.form, sight)
    except Unasked as error:
        return _search_page(visit, sight, wrong=error.words, status=422)
    found = look_up(hall.store, question, visit.person, sight, hall.linking.orcid.registry, visit.now)
    log("looked-up", organisation=question.organisation.id)
    return _search_page(visit, sight, found=found)


def _search_page(visit: Visit, sight: Sight, *, found: Found | None = None, wrong: str = "", status: int = 200) -> Page:
    facts = {
        "organisations": sight.in_order(visit.language.code),
        "found": found,
        "wrong": wrong,
        "said": {} if found else visit.form,
        "states": STATES,
        "token": form_token(visit.browser, visit.person),
    }
    return Page("operator/people.html", facts, status)


def _sight(hall: Hall, visit: Visit) -> Sight:
    return hall.staff.sight(visit.person, hall.organisations)


def _retried(visit: Visit) -> int | None:
    said = visit.parameter("retried")
    return int(said) if _COUNT.fullmatch(said) else None
