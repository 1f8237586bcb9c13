"""Page states of the affiliation on a person's ORCID record."""

from __future__ import annotations

from datetime import timedelta

from sql.records import AffiliationItemState
from tests.gallery.page_states import page_state
from tests.gallery.rendering import ACCOUNT, OLD
from tests.support.affiliation import BOTH, NAME, NOTHING, SETTINGS
from tests.support.factories import NOON, UNIVERSITY, make_consent
from tests.support.service import authorize_at_orcid, with_own_client


def person(context):
    """Return Maija, whose organisation writes affiliations."""
    return context.maija(context.web_app(settings={"transfers": {NAME: SETTINGS}}))


def permit(context, said=BOTH, *, outcome="stored", state=AffiliationItemState.WRITTEN):
    """Link and permit, and let a worker have tried it."""
    context.link(transfers=(NAME,))
    link = context.store.links.get(UNIVERSITY, ACCOUNT)
    context.store.affiliations.permit(link, make_consent(), said, NAME, NOON)
    for section in sorted(said.sections) if state else ():
        context.store.affiliations.add_item(link.id, section, "APP-OWN", NOON)
    for item in context.store.affiliations.list_items(UNIVERSITY, ACCOUNT):
        code = None if state is AffiliationItemState.LEFT else "1001"
        context.store.affiliations.set_item(UNIVERSITY, ACCOUNT, item, state, NOON, put_code=code)
    (delivery,) = context.store.deliveries.claim("worker", NOON, timedelta(minutes=1), 1)
    end = context.store.deliveries.dead_letter if outcome == "refused" else context.store.deliveries.complete
    message = "ORCID does not know a value of the item (9051)" if outcome == "refused" else ""
    end(delivery, "worker", outcome, message, NOON)
    return person(context)


@page_state("GET /me/affiliation")
def affiliation_off(context):
    context.link()
    return person(context).get("/me/affiliation")


@page_state("POST /me/affiliation")
def affiliation_without_a_tick(context):
    context.link()
    maija = person(context)
    return maija.post("/me/affiliation", {"token": maija.token()})


@page_state("GET /me/affiliation")
def affiliation_on_its_way(context):
    context.link()
    maija = person(context)
    return maija.get(maija.post("/me/affiliation", {"token": maija.token(), "agree": "yes"}).location)


@page_state("GET /me/affiliation")
def affiliation_of_another_system(context):
    return permit(context, state=AffiliationItemState.LEFT).get("/me/affiliation")


@page_state("GET /me/affiliation")
def affiliation_written(context):
    return permit(context).get("/me/affiliation")


@page_state("GET /me")
def me_with_an_affiliation(context):
    return permit(context).get("/me")


@page_state("GET /me/data")
def data_with_an_affiliation(context):
    return permit(context).get("/me/data")


@page_state("GET /me/affiliation")
def affiliation_being_ended(context):
    maija = permit(context)
    maija.post("/me/affiliation", {"token": maija.token(), "stop": "yes"})
    return maija.get("/me/affiliation")


@page_state("GET /me/affiliation")
def affiliation_deleted_at_orcid(context):
    return permit(context, state=AffiliationItemState.DELETED).get("/me/affiliation")


@page_state("GET /me/affiliation")
def affiliation_nothing_to_write(context):
    return permit(context, NOTHING).get("/me/affiliation")


@page_state("GET /me/affiliation")
def affiliation_not_permitted_at_orcid(context):
    maija = permit(context, state=None)
    context.store.affiliations.set_refused(context.store.links.get(UNIVERSITY, ACCOUNT), NOON)
    return maija.get("/me/affiliation")


@page_state("GET /me/affiliation")
def affiliation_refused_by_orcid(context):
    return permit(context, outcome="refused", state=None).get("/me/affiliation")


@page_state("GET /me/confirm/<attempt>")
def confirm_with_an_affiliation(context):
    settings = {"transfers": {NAME: SETTINGS}}
    maija = context.maija(with_own_client(context.web_app(settings=settings), context.simulator))
    form = {"token": maija.get("/me/start").field("token"), "chosen": "yes", "activities-update": "yes"}
    address = maija.post("/me/start", form).header("Location")
    return maija.get(maija.get(authorize_at_orcid(context.simulator, address, OLD)).location)


@page_state("GET /me/remove")
def remove_with_an_affiliation(context):
    return permit(context).get("/me/remove")
