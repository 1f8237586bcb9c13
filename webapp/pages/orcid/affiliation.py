"""The page of the affiliation on the person's ORCID record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from shibboleth.organisation import Organisation
from sql.records import (
    AffiliationItem,
    AffiliationItemState,
    AffiliationPermission,
    Delivery,
    DeliveryState,
    Link,
)
from webapp.auth.csrf import csrf_token
from webapp.config.organisation import AffiliationSettings
from webapp.i18n.language import Language, gettext_noop
from webapp.linking.service import NotAgreed, make_consent
from webapp.log import log
from webapp.pages.context import AppContext
from webapp.pages.data_inventory import AFFILIATION_SECTIONS
from webapp.pages.problems import PROBLEMS, NotFound, Problem
from webapp.pages.request import Page, PageRequest, Redirect

CONSENTS: Mapping[str, str] = MappingProxyType(
    {
        "date": gettext_noop(
            "I agree that %(organisation)s writes to my ORCID record the information that it sends about me when "
            "I sign in here: that I work or study there, and my department and title if they are known. It keeps "
            "the entry up to date and adds an end date when it no longer applies, or deletes it if ORCID no "
            "longer accepts my permission. I can stop this here at any time."
        ),
        "delete": gettext_noop(
            "I agree that %(organisation)s writes to my ORCID record the information that it sends about me when "
            "I sign in here: that I work or study there, and my department and title if they are known. It keeps "
            "the entry up to date and deletes it when it no longer applies. I can stop this here at any time."
        ),
    }
)
"""What a person agrees to, by what happens to the entry in the end."""


class AffiliationState(StrEnum):
    """What the page says of the entry on a person's ORCID record."""

    OFF = "off"
    """The person has not given permission here."""
    ENDING = "ending"
    """The person took the permission back here, and the entry is still to be ended."""
    WAITING = "waiting"
    WRITTEN = "written"
    NOTHING = "nothing"
    """The organisation says nothing of the person that is written."""
    LEFT = "left"
    """Another system of the organisation has written the entry."""
    DELETED = "deleted"
    """The person deleted the entry at ORCID."""
    NOT_PERMITTED = "not-permitted"
    """There is no permission at ORCID."""
    REFUSED = "refused"
    """The delivery was given up."""


STATE_TEXTS: Mapping[AffiliationState, tuple[str, str]] = MappingProxyType(
    {
        AffiliationState.OFF: (
            gettext_noop("not written"),
            gettext_noop(
                "Your organisation can write to your ORCID record that you work or study there. Nothing is written "
                "unless you tick the box."
            ),
        ),
        AffiliationState.ENDING: (
            gettext_noop("being stopped"),
            gettext_noop(
                "You have stopped this. The entry on your ORCID record will get an end date or be deleted, as you "
                "agreed.",
            ),
        ),
        AffiliationState.WAITING: (
            gettext_noop("on its way"),
            gettext_noop("The entry is on its way to your ORCID record. You do not need to do anything else."),
        ),
        AffiliationState.WRITTEN: (
            gettext_noop("written"),
            gettext_noop("The entry is on your ORCID record. You decide at ORCID who can see it."),
        ),
        AffiliationState.NOTHING: (
            gettext_noop("nothing to write"),
            gettext_noop(
                "Your organisation has not sent any information about you that could be written. If it sends some "
                "when you sign in here again, the entry is written then."
            ),
        ),
        AffiliationState.LEFT: (
            gettext_noop("written by another system"),
            gettext_noop(
                "Another system of your organisation has already written such an entry to your ORCID record, so "
                "nothing was added. This service does not change or delete that entry."
            ),
        ),
        AffiliationState.DELETED: (
            gettext_noop("deleted by you at ORCID"),
            gettext_noop(
                "You deleted the entry at ORCID, so it is not written again. Tick the box if you want it back.",
            ),
        ),
        AffiliationState.NOT_PERMITTED: (
            gettext_noop("not permitted at ORCID"),
            gettext_noop(
                "You have not given your organisation permission at ORCID to write to your record, or ORCID no "
                "longer accepts that permission. Nothing is written. To give permission, connect your iD again "
                "and allow it at ORCID."
            ),
        ),
        AffiliationState.REFUSED: (
            gettext_noop("not accepted by ORCID"),
            gettext_noop("ORCID did not accept the entry, and we have stopped trying. Contact:"),
        ),
    }
)
"""The short and the long text of each state."""


_SHOWN: Mapping[AffiliationItemState, AffiliationState] = MappingProxyType(
    {
        AffiliationItemState.DELETED: AffiliationState.DELETED,
        AffiliationItemState.WRITTEN: AffiliationState.WRITTEN,
        AffiliationItemState.PENDING: AffiliationState.WRITTEN,
        AffiliationItemState.CLOSED: AffiliationState.WRITTEN,
        AffiliationItemState.LEFT: AffiliationState.LEFT,
    }
)
"""What is said of several items: the first of these states that one has."""


@dataclass(frozen=True, slots=True)
class AffiliationStatus:
    """What there is to say of the entry on a person's ORCID record."""

    state: AffiliationState
    items: tuple[AffiliationItem, ...] = ()
    """The entries that are on the record."""
    message: str = ""
    """Why ORCID did not take it."""

    @property
    def permitted(self) -> bool:
        """Whether the person's permission here stands."""
        return self.state not in {AffiliationState.OFF, AffiliationState.ENDING}

    @property
    def text(self) -> str:
        """The text of the page."""
        return STATE_TEXTS[self.state][1]

    @property
    def short_text(self) -> str:
        """The words of the person's own page."""
        return STATE_TEXTS[self.state][0]


def affiliation_status(context: AppContext, organisation: Organisation, link: Link | None) -> AffiliationStatus | None:
    """Return the status of a link's affiliation.

    Returns:
        None where the organisation writes none.
    """
    transfer = context.settings(organisation).affiliation_transfer
    if transfer is None or link is None:
        return None
    permission = context.store.affiliations.permission(link.id)
    found = context.store.affiliations.list_items(link.organisation, link.person_key)
    items = [each for each in found if each.link_id == link.id]
    delivery = context.store.deliveries.newest_of_transfer(link.organisation, link.person_key, transfer[0])
    state = _state(permission, items, delivery)
    message = delivery.message if delivery and state is AffiliationState.REFUSED else ""
    written = (each for each in items if each.state is AffiliationItemState.WRITTEN)
    return AffiliationStatus(state, tuple(sorted(written, key=lambda each: each.section)), message)


def _state(
    permission: AffiliationPermission | None, items: list[AffiliationItem], delivery: Delivery | None
) -> AffiliationState:
    if delivery is not None and delivery.state is DeliveryState.DEAD_LETTER:
        return AffiliationState.REFUSED
    if permission is None:
        return AffiliationState.ENDING if any(each.state.open for each in items) else AffiliationState.OFF
    if permission.refused_at is not None:
        return AffiliationState.NOT_PERMITTED
    if delivery is None or delivery.waiting:
        return AffiliationState.WAITING
    wanted = {each.state for each in items if each.section in permission.said.sections}
    return next((shown for each, shown in _SHOWN.items() if each in wanted), AffiliationState.NOTHING)


def affiliation(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Show the status of the affiliation, and the forms that change it."""
    return _page(context, request)


def submit_affiliation(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Store the person's permission, or delete it; a repeated form has no effect."""
    (name, settings), link = _transfer(context, request), request.person_status.link
    if link is None:
        return Redirect("/me")
    if request.form.get("stop") == "yes":
        if context.store.affiliations.withdraw(link, name, request.now):
            log("affiliation-withdrawn", organisation=request.person.organisation.id)
        return Redirect("/me/affiliation")
    if request.form.get("agree") != "yes":
        return _page(context, request, PROBLEMS[NotAgreed])
    permit(context, request, link, settings, name)
    return Redirect("/me/affiliation")


def permit(context: AppContext, request: PageRequest, link: Link, settings: AffiliationSettings, transfer: str) -> None:
    """Store the permission of a person who ticked the box."""
    person, language = request.person, request.language
    consent = make_consent(consent_text(settings, person.organisation, language), language.code, request.now)
    if context.store.affiliations.permit(link, consent, settings.affiliation_of(person), transfer, request.now):
        log("affiliation-permitted", organisation=person.organisation.id)


def record_affiliation(context: AppContext, request: PageRequest) -> None:
    """Store what the sign-in says of a person who gave permission."""
    person, link = request.person, request.person_status.link
    transfer = context.settings(person.organisation).affiliation_transfer
    # An attribute that is absent says nothing
    if transfer is None or link is None or not person.affiliations:
        return
    permission = context.store.affiliations.permission(link.id)
    if permission is None:
        return
    name, settings = transfer
    said = settings.affiliation_of(person, permission.said)
    if said != permission.said and context.store.affiliations.record_said(link, said, name, request.now):
        log("affiliation-changed", organisation=person.organisation.id)


def consent_text(settings: AffiliationSettings, organisation: Organisation, language: Language) -> str:
    """Return what a person agrees to."""
    return language.gettext(CONSENTS[settings.end.value], organisation=organisation.name(language.code))


def _page(context: AppContext, request: PageRequest, problem: Problem | None = None) -> Page | Redirect:
    (_, settings), organisation = _transfer(context, request), request.person.organisation
    link = request.person_status.link
    status = affiliation_status(context, organisation, link)
    if status is None or link is None:
        return Redirect("/me")
    variables = {
        "link": link,
        "status": status,
        "section_texts": AFFILIATION_SECTIONS,
        "consent": consent_text(settings, organisation, request.language),
        "token": csrf_token(request.browser, request.person),
        "help": organisation.help,
        "problem": problem,
    }
    return Page("affiliation.html", variables, problem.status if problem else 200)


def _transfer(context: AppContext, request: PageRequest) -> tuple[str, AffiliationSettings]:
    transfer = context.settings(request.person.organisation).affiliation_transfer
    if transfer is None:
        raise NotFound
    return transfer
