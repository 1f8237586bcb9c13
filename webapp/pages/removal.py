"""Pages for removing a link and for erasing everything about a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from webapp.auth.csrf import csrf_token
from webapp.linking.unread_events import unread_events
from webapp.log import log
from webapp.pages.context import AppContext
from webapp.pages.delivery_status import delivery_status
from webapp.pages.orcid.affiliation import affiliation_status
from webapp.pages.problems import PROBLEMS, ErasureNotConfirmed, Problem
from webapp.pages.request import Page, PageRequest, Redirect

REASON = "erased by the person"


@dataclass(frozen=True, slots=True)
class Notified:
    """The systems that are told of a removal, besides this service."""

    transfers: tuple[str, ...]
    """The interfaces of the organisation that are told."""
    looks_up: bool
    """Whether the organisation's Identity Provider can look iDs up."""
    uses_feed: bool
    """Whether the organisation can fetch its changes."""
    wrote: bool = False
    """Whether the organisation wrote an entry to the person's ORCID record."""
    may_have_written: bool = False
    """Whether it may have, for a link that has ended."""


def removal(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Show what a removal does, and ask for confirmation."""
    link = request.person_status.link
    if link is None:
        return Redirect("/me")
    variables = {
        "link": link,
        "unread": unread_events(context.store, request.person, link),
        "token": _token(request),
        "keeps_links": context.settings(request.person.organisation).keeps_links,
        "notified": _elsewhere(context, request),
        "keeps_tokens": context.linking.tokens.keeps_tokens,
    }
    return Page("remove.html", variables)


def erasure(context: AppContext, request: PageRequest) -> Page:
    """Show what an erasure does, and ask for confirmation."""
    return _erasure_page(context, request)


def erase(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Erase everything about the person, after pending deliveries of a removal."""
    if request.form.get("confirmed") != "yes":
        return _erasure_page(context, request, PROBLEMS[ErasureNotConfirmed])
    whose = request.person.organisation.id, request.person.key
    settings = context.settings(request.person.organisation)
    erased = context.store.erasures.erase(
        *whose, "person", REASON, request.now, transfers=tuple(settings.transfers), uses_feed=settings.uses_feed
    )
    log("erasure-requested", organisation=request.person.organisation.id, done=erased.finished)
    if erased.removal is not None and not erased.finished:
        context.deliver_now(erased.removal)
        context.store.erasures.finish(*whose, request.now)
    return Redirect("/me/erased")


def erased(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Show that everything is erased, or what is still to be delivered first."""
    person = request.person
    if request.person_status.link is not None:
        return Redirect("/me")
    variables = {
        "asked": context.store.erasures.get(person.organisation.id, person.key),
        "delivery_status": delivery_status(request.person_status, context.settings(person.organisation)),
        "notified": _elsewhere(context, request),
        "keeps_tokens": context.linking.tokens.keeps_tokens,
    }
    return Page("erased.html", variables)


def _erasure_page(context: AppContext, request: PageRequest, problem: Problem | None = None) -> Page:
    variables: dict[str, Any] = {
        "link": request.person_status.link,
        "unread": unread_events(context.store, request.person, request.person_status.link),
        "token": _token(request),
        "notified": _elsewhere(context, request),
        "keeps_tokens": context.linking.tokens.keeps_tokens,
        "problem": problem,
    }
    return Page("erase.html", variables, problem.status if problem else 200)


def _token(request: PageRequest) -> str:
    return csrf_token(request.browser, request.person)


def _elsewhere(context: AppContext, request: PageRequest) -> Notified:
    settings = context.settings(request.person.organisation)
    status = affiliation_status(context, request.person.organisation, request.person_status.link)
    wrote = status is not None and bool(status.items)
    may_have_written = status is None and settings.affiliation_transfer is not None
    return Notified(settings.idm_transfers, settings.looks_up, settings.uses_feed, wrote, may_have_written)
