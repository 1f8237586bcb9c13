"""The receipt: what a person agreed to, with whom, when, and how to take it back; to be printed or kept."""

from __future__ import annotations

from webapp.hall import Hall
from webapp.visit import Go, Page, Visit


def receipt(hall: Hall, visit: Visit) -> Page | Go:
    """Show the receipt of the connection that holds; without one there is nothing to show."""
    person = visit.person
    link = visit.standing.link
    if link is None:
        return Go("/me")
    controller = hall.notices.said("controller", visit.language.code, person.organisation.entity_id)
    return Page("receipt.html", {"link": link, "controller": controller, "mails": hall.mails_to(person)})
