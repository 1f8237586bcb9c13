"""The person's pages: sign-in, registration, record, trusted organisations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import affiliations, pages
from .http import Request, Response, json_response, see_other
from .people import FORM, VISIBILITIES
from .simulator import INTERSTITIALS

if TYPE_CHECKING:
    from .people import User
    from .simulator import OrcidSimulator, Session

CANNOT_SIGN_IN: Final = {
    "deactivated": "This account is deactivated.",
    "deprecated": "This account was merged. Sign in with {primary} instead.",
    "unclaimed": "This record has not been claimed yet.",
}


def sign_in_page(simulator: OrcidSimulator, request: Request) -> Response:
    """`GET /signin`."""
    return pages.with_session(simulator, pages.sign_in(simulator, request.query), simulator.session(request.session))


def sign_in(simulator: OrcidSimulator, request: Request) -> Response:
    """`POST /signin`: the person chooses who they are; there is no password."""
    session = simulator.session(request.session)
    user = simulator.users.get(request.form.get("orcid", ""))
    if user is None:
        return pages.sign_in(simulator, {}, "Please choose who you are.")
    if user.state in CANNOT_SIGN_IN:
        return pages.sign_in(simulator, {}, CANNOT_SIGN_IN[user.state].format(primary=user.primary))
    return _signed_in(simulator, session, user)


def _signed_in(simulator: OrcidSimulator, session: Session, user: User) -> Response:
    session.orcid, session.acting_for = user.orcid, None
    saved = simulator.saved_request(session)
    there = f"/oauth/authorize?{saved}" if saved else "/my-orcid"
    return pages.with_session(simulator, see_other(simulator.base_url + there), session)


def register_page(simulator: OrcidSimulator, request: Request) -> Response:
    """`GET /register`."""
    return pages.with_session(simulator, pages.register(simulator, request.query), simulator.session(request.session))


def register(simulator: OrcidSimulator, request: Request) -> Response:
    """`POST /register`: create a person with a new iD, and sign them in."""
    given = request.form.get("given_names", "").strip()[:100]
    family = request.form.get("family_names", "").strip()[:100] or None
    visibility = request.form.get("visibility", "public")
    if not given or visibility not in VISIBILITIES:
        return pages.register(simulator, request.form, "Please enter your given names.")
    return _signed_in(simulator, simulator.session(request.session), simulator.register(given, family, visibility))


def sign_out(simulator: OrcidSimulator, request: Request) -> Response:
    """`GET /signout`: end the session; a saved authorisation request stays."""
    session = simulator.session(request.session)
    session.orcid = session.acting_for = None
    return pages.with_session(simulator, see_other(f"{simulator.base_url}/signin"), session)


def user_status(simulator: OrcidSimulator, request: Request) -> Response:
    """`GET /userStatus.json`.

    `logUserOut=true` signs out, as ORCID's own JavaScript does.
    """
    session = simulator.session(request.session)
    if request.query.get("logUserOut") == "true":
        session.orcid = session.acting_for = None
    return json_response(200, {"loggedIn": session.orcid is not None})


def interstitial_page(simulator: OrcidSimulator, request: Request) -> Response:
    """`GET /interstitial`: the next page between consent and redirect."""
    session = simulator.session(request.session)
    if not session.interstitials:
        return see_other(f"{simulator.base_url}/my-orcid")
    text = INTERSTITIALS[session.interstitials[0]]
    return pages.page(simulator, "interstitial.html", title="One more thing", text=text)


def interstitial(simulator: OrcidSimulator, request: Request) -> Response:
    """`POST /interstitial`: go on to the next page, or redirect to the client."""
    session = simulator.session(request.session)
    session.interstitials = session.interstitials[1:]
    if session.interstitials:
        return see_other(f"{simulator.base_url}/interstitial")
    there, session.after_interstitials = session.after_interstitials, None
    return see_other(there or f"{simulator.base_url}/my-orcid")


def my_orcid(simulator: OrcidSimulator, request: Request) -> Response:
    """`GET /my-orcid`."""
    session = simulator.session(request.session)
    if not session.orcid:
        return see_other(f"{simulator.base_url}/signin")
    user = simulator.users[session.orcid]
    items = [(item, affiliations.render_item(simulator, user.orcid, item)) for item in simulator.items(user.orcid)]
    uri = simulator.uri(user.orcid)
    return pages.page(
        simulator, "my_orcid.html", title="My record", user=user, uri=uri, items=items, visibilities=VISIBILITIES
    )


def change_item(simulator: OrcidSimulator, request: Request) -> Response:
    """`POST /my-orcid/items`: delete an affiliation, or change who sees it."""
    session = simulator.session(request.session)
    put_code, visibility = request.form.get("put_code", ""), request.form.get("visibility", "")
    if session.orcid and put_code.isdecimal():
        if "delete" in request.form:
            simulator.remove_item(session.orcid, int(put_code))
        elif visibility in VISIBILITIES:
            simulator.set_item_visibility(session.orcid, int(put_code), visibility)
    return see_other(f"{simulator.base_url}/my-orcid")


def trusted_parties(simulator: OrcidSimulator, request: Request) -> Response:
    """`GET /trusted-parties`: clients that hold a valid token of the person."""
    session = simulator.session(request.session)
    if not session.orcid:
        return see_other(f"{simulator.base_url}/signin")
    clients = {tokens.client_id: simulator.clients[tokens.client_id] for tokens in simulator.live_tokens(session.orcid)}
    return pages.page(simulator, "trusted_parties.html", title="Trusted organizations", clients=list(clients.values()))


def revoke(simulator: OrcidSimulator, request: Request) -> Response:
    """`POST /trusted-parties`: revoke all tokens of one client."""
    session = simulator.session(request.session)
    if session.orcid:
        simulator.revoke_grants(session.orcid, request.form.get("client_id"))
    return see_other(f"{simulator.base_url}/trusted-parties")


def public_page(simulator: OrcidSimulator, request: Request, orcid: str) -> Response:
    """`GET /<iD>`: the public page.

    Requests for JSON or XML are redirected to the public API.
    """
    user = simulator.users.get(orcid) if FORM.fullmatch(orcid) else None
    if user is None:
        return pages.message(simulator, 404, "Page not found", "No such record.")
    if "json" in request.accept or ("xml" in request.accept and "html" not in request.accept):
        return see_other(f"{simulator.base_url}/pub/v3.0/{orcid}/record")
    primary = simulator.uri(user.primary) if user.primary else None
    shown = user.public_name if user.state == "ok" else ""
    return pages.page(
        simulator,
        "record.html",
        title=shown or "ORCID record",
        user=user,
        uri=simulator.uri(orcid),
        primary=primary,
        shown=shown,
    )


def front_page(simulator: OrcidSimulator, _call: Request) -> Response:
    """`GET /`: describe the simulator."""
    return pages.page(simulator, "front.html", title="ORCID simulator", clients=list(simulator.clients.values()))
