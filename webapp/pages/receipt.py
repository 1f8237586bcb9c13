"""The receipt: what a person agreed to, with whom, when, and how to take it back; to be printed or kept."""

from __future__ import annotations

from webapp.pages.context import AppContext
from webapp.pages.request import Page, PageRequest, Redirect


def receipt(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Show the receipt of the connection that holds; without one there is nothing to show."""
    person = request.person
    link = request.person_status.link
    if link is None:
        return Redirect("/me")
    controller = context.notices.said("controller", request.language.code, person.organisation.entity_id)
    return Page("receipt.html", {"link": link, "controller": controller, "mails": context.mails_to(person)})
