"""What a person can undo: the connection, and all that is stored of them; and what happens where when they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from webapp.door import form_token
from webapp.hall import Hall
from webapp.log import log
from webapp.problems import PROBLEMS, NotSure, Problem
from webapp.visit import Go, Page, Visit
from webapp.whereabouts import whereabouts

REASON = "erased by the person"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Who beside us learns that a connection is gone, and by what way."""

    transfers: tuple[str, ...]
    """The interfaces of the organisation that are told."""
    asking: bool
    """Whether the organisation asks us, at sign-ins and for changes."""


def removal(hall: Hall, visit: Visit) -> Page | Go:
    """Say what will happen where when the connection is removed, and ask."""
    link = visit.standing.link
    if link is None:
        return Go("/me")
    return Page("remove.html", {"link": link, "token": _token(visit), "elsewhere": _elsewhere(hall, visit)})


def erasure(hall: Hall, visit: Visit) -> Page:
    """Say what will happen where when everything is erased, and ask."""
    return _erasure_page(hall, visit)


def erase(hall: Hall, visit: Visit) -> Page | Go:
    """Erase everything about the person, as far as it is not owed to the organisation any more."""
    if visit.form.get("sure") != "yes":
        return _erasure_page(hall, visit, PROBLEMS[NotSure])
    whose = visit.person.organisation.entity_id, visit.person.key
    erased = hall.store.erase(
        *whose,
        "person",
        REASON,
        visit.now,
        transfers=hall.linking.transfers_of(whose[0]),
        by_feed=whose[0] in hall.asking,
    )
    log("erasing", organisation=visit.person.organisation.id, done=erased.done)
    if erased.removal is not None and not erased.done:
        hall.deliver_now(erased.removal)
        hall.store.finish_erasure(*whose, visit.now)
    return Go("/me/erased")


def erased(hall: Hall, visit: Visit) -> Page | Go:
    """Say that everything is erased, or what still has to happen first."""
    person = visit.person
    if visit.standing.link is not None:
        return Go("/me")
    facts = {
        "asked": hall.store.erasure_of(person.organisation.entity_id, person.key),
        "where": whereabouts(visit.standing),
        "elsewhere": _elsewhere(hall, visit),
    }
    return Page("erased.html", facts)


def _erasure_page(hall: Hall, visit: Visit, problem: Problem | None = None) -> Page:
    facts: dict[str, Any] = {
        "link": visit.standing.link,
        "token": _token(visit),
        "elsewhere": _elsewhere(hall, visit),
        "problem": problem,
    }
    return Page("erase.html", facts, problem.status if problem else 200)


def _token(visit: Visit) -> str:
    return form_token(visit.browser, visit.person)


def _elsewhere(hall: Hall, visit: Visit) -> Elsewhere:
    entity_id = visit.person.organisation.entity_id
    return Elsewhere(tuple(hall.linking.transfers_of(entity_id)), entity_id in hall.asking)
