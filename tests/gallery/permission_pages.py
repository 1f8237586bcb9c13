"""Page states of what people permit their organisation at ORCID."""

from __future__ import annotations

from tests.gallery.page_states import page_state
from tests.gallery.rendering import ACCOUNT, DAY, NEW, OLD
from tests.support.factories import UNIVERSITY
from tests.support.service import authorize_at_orcid, with_own_client
from webapp.linking.service import OrcidClientChanged

TICKED = ("read-limited", "activities-update")


def _maija(context):
    return context.maija(with_own_client(context.web_app(), context.simulator))


def _way_back(maija, simulator, *ticked, bare=OLD):
    form = {"token": maija.get("/me/start").field("token"), "chosen": "yes", **dict.fromkeys(ticked, "yes")}
    return authorize_at_orcid(simulator, maija.post("/me/start", form).header("Location"), bare)


def _to_confirm(maija, simulator, *ticked, bare=OLD):
    return maija.get(_way_back(maija, simulator, *ticked, bare=bare)).location


def _linked(context, *ticked):
    maija = _maija(context)
    return maija, maija.agree(_to_confirm(maija, context.simulator, *ticked)).location


@page_state("GET /me/start")
def start_with_permissions(context):
    return _maija(context).get("/me/start")


@page_state("GET /me/confirm/<attempt>")
def confirm_with_permissions(context):
    context.simulator.faults.arm("token", "scope_reduced")
    maija = _maija(context)
    return maija.get(_to_confirm(maija, context.simulator, *TICKED))


@page_state("GET /me/confirm/<attempt>")
def confirm_another_id_with_permissions(context):
    context.link()
    maija = _maija(context)
    return maija.get(_to_confirm(maija, context.simulator, *TICKED, bare=NEW))


@page_state("GET /me/result/<attempt>")
def result_with_permissions(context):
    maija, place = _linked(context, *TICKED)
    return maija.get(place)


@page_state("GET /me/result/<attempt>")
def result_declined_with_permissions(context):
    maija = _maija(context)
    form = {"token": maija.get("/me/start").field("token"), "chosen": "yes"}
    state = maija.post("/me/start", form).header("Location").partition("state=")[2].partition("&")[0]
    return maija.get(maija.get(f"/me/callback?error=access_denied&state={state}").location)


@page_state("GET /me")
def me_without_permissions(context):
    maija, _ = _linked(context)
    return maija.get("/me")


@page_state("GET /me")
def me_with_permissions(context):
    maija, _ = _linked(context, *TICKED)
    facts = {"credential": "research-information-system", "scope": "/read-limited"}
    context.store.audit.add(UNIVERSITY, "orcid-token-read", "organisation", ACCOUNT, facts, context.clock.now + DAY)
    return maija.get("/me")


@page_state("GET /me")
def me_with_permissions_taken_back_at_orcid(context):
    maija, _ = _linked(context, *TICKED)
    (token,) = context.store.orcid_tokens.list_for_link(context.store.links.get(UNIVERSITY, ACCOUNT).id)
    context.store.orcid_tokens.record_withdrawn(token.id, context.clock.now + DAY)
    return maija.get("/me")


@page_state("GET /me/result/<attempt>", OrcidClientChanged)
def client_changed_meanwhile(context):
    maija = _maija(context)
    way_back = _way_back(maija, context.simulator)
    maija.app = context.app()
    return maija.get(maija.get(way_back).location)
