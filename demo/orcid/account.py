"""The person's own pages: signing in and out, registering, the record, and the list of those they trust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import pages
from .people import FORM, VISIBILITIES
from .wire import Answer, Call, json_answer, see_other

if TYPE_CHECKING:
    from .people import User
    from .world import OrcidWorld, Session

CANNOT_SIGN_IN: Final = {
    "deactivated": "This account is deactivated.",
    "deprecated": "This account was merged. Sign in with {primary} instead.",
    "unclaimed": "This record has not been claimed yet.",
}


def sign_in_page(world: OrcidWorld, call: Call) -> Answer:
    """`GET /signin`."""
    return pages.with_session(world, pages.sign_in(world, call.query), world.session(call.session))


def sign_in(world: OrcidWorld, call: Call) -> Answer:
    """`POST /signin`: the person says who they are; no password in this world."""
    session = world.session(call.session)
    user = world.users.get(call.form.get("orcid", ""))
    if user is None:
        return pages.sign_in(world, {}, "Please choose who you are.")
    if user.state in CANNOT_SIGN_IN:
        return pages.sign_in(world, {}, CANNOT_SIGN_IN[user.state].format(primary=user.primary))
    return _signed_in(world, session, user)


def _signed_in(world: OrcidWorld, session: Session, user: User) -> Answer:
    session.orcid, session.acting_for = user.orcid, None
    request = world.remembered(session)
    there = f"/oauth/authorize?{request}" if request else "/my-orcid"
    return pages.with_session(world, see_other(world.base_url + there), session)


def register_page(world: OrcidWorld, call: Call) -> Answer:
    """`GET /register`."""
    return pages.with_session(world, pages.register(world, call.query), world.session(call.session))


def register(world: OrcidWorld, call: Call) -> Answer:
    """`POST /register`: a new person with a new iD, signed in at once."""
    given = call.form.get("given_names", "").strip()[:100]
    family = call.form.get("family_names", "").strip()[:100] or None
    visibility = call.form.get("visibility", "public")
    if not given or visibility not in VISIBILITIES:
        return pages.register(world, call.form, "Please enter your given names.")
    return _signed_in(world, world.session(call.session), world.register(given, family, visibility))


def sign_out(world: OrcidWorld, call: Call) -> Answer:
    """`GET /signout`: the browser forgets the person; a request in mind stays."""
    session = world.session(call.session)
    session.orcid = session.acting_for = None
    return pages.with_session(world, see_other(f"{world.base_url}/signin"), session)


def user_status(world: OrcidWorld, call: Call) -> Answer:
    """`GET /userStatus.json`, whose `logUserOut=true` signs out by script."""
    session = world.session(call.session)
    if call.query.get("logUserOut") == "true":
        session.orcid = session.acting_for = None
    return json_answer(200, {"loggedIn": session.orcid is not None})


def interstitial_page(world: OrcidWorld, _call: Call) -> Answer:
    """`GET /interstitial`: one of the pages that may come between consent and the way back."""
    return pages.page(world, "interstitial.html", title="One more thing")


def interstitial(world: OrcidWorld, call: Call) -> Answer:
    """`POST /interstitial`: on to the client."""
    session = world.session(call.session)
    there, session.after_interstitial = session.after_interstitial, None
    return see_other(there or f"{world.base_url}/my-orcid")


def my_orcid(world: OrcidWorld, call: Call) -> Answer:
    """`GET /my-orcid`."""
    session = world.session(call.session)
    if not session.orcid:
        return see_other(f"{world.base_url}/signin")
    user = world.users[session.orcid]
    return pages.page(world, "my_orcid.html", title="My record", user=user, uri=world.uri(user.orcid))


def trusted_parties(world: OrcidWorld, call: Call) -> Answer:
    """`GET /trusted-parties`: the organisations that hold a live permission."""
    session = world.session(call.session)
    if not session.orcid:
        return see_other(f"{world.base_url}/signin")
    clients = {pair.client_id: world.clients[pair.client_id] for pair in world.grants(session.orcid)}
    return pages.page(world, "trusted_parties.html", title="Trusted organizations", clients=list(clients.values()))


def revoke(world: OrcidWorld, call: Call) -> Answer:
    """`POST /trusted-parties`: the person takes all permissions of one organisation back."""
    session = world.session(call.session)
    if session.orcid:
        world.revoke_grants(session.orcid, call.form.get("client_id"))
    return see_other(f"{world.base_url}/trusted-parties")


def public_page(world: OrcidWorld, call: Call, orcid: str) -> Answer:
    """`GET /<iD>`: the person's page; programs are sent to the public API."""
    user = world.users.get(orcid) if FORM.fullmatch(orcid) else None
    if user is None:
        return pages.message(world, 404, "Page not found", "No such record.")
    if "json" in call.accept or ("xml" in call.accept and "html" not in call.accept):
        return see_other(f"{world.base_url}/pub/v3.0/{orcid}/record")
    primary = world.uri(user.primary) if user.primary else None
    shown = user.public_name if user.state == "ok" else ""
    return pages.page(
        world,
        "record.html",
        title=shown or "ORCID record",
        user=user,
        uri=world.uri(orcid),
        primary=primary,
        shown=shown,
    )


def front_page(world: OrcidWorld, _call: Call) -> Answer:
    """`GET /`: what this is."""
    return pages.page(world, "front.html", title="ORCID simulator", clients=list(world.clients.values()))
