"""The client's half: the token endpoint and the revoke endpoint, as the proxies of 2026 answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from . import oidc
from .scopes import InvalidScope, asked_of_client
from .wire import FORM_TYPE, Answer, Call, html_answer, json_answer
from .world import Client, Code, OrcidWorld, Pair

NO_STORE: Final = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))
EXCHANGE: Final = ("OAUTH_AUTHORIZATION_CODE_EXCHANGE", "ON")
INVALID: Final = "One of the provided parameters is invalid, or, the provided token/code is invalid or expired"


class Refused(Exception):
    """The call fails with this status and body; the order of the keys is ORCID's."""

    def __init__(self, status: int, error: str, description: str, *, description_first: bool = False) -> None:
        pairs = [("error", error), ("error_description", description)]
        self.status = status
        self.body = dict(reversed(pairs) if description_first else pairs)


@dataclass(frozen=True, slots=True)
class Sent:
    """What the proxy passes on: the credentials, and of the form only what it knows."""

    client: Client
    form: dict[str, str]


def token(world: OrcidWorld, call: Call) -> Answer:
    """`POST /oauth/token`."""
    if not _is_form(call):
        return _unsupported(call)
    try:
        body = _exchanged(world, call)
    except Refused as refused:
        return json_answer(refused.status, refused.body, *NO_STORE)
    return json_answer(200, body, *NO_STORE, EXCHANGE)


def revoke(world: OrcidWorld, call: Call) -> Answer:
    """`POST /oauth/revoke`: ends the pair of the token, and is content with a token it does not know."""
    if not _is_form(call):
        return _unsupported(call)
    try:
        client = _client(world, *_credentials(call))
    except Refused as refused:
        return json_answer(refused.status, refused.body)
    if not call.form.get("token"):
        return json_answer(400, {"error": "invalid_request", "error_description": "token is required"})
    pair = world.pair_of(call.form["token"])
    if pair and pair.client_id == client.client_id:
        pair.revoked = pair.revoked or "CLIENT_REVOKED"
    return Answer(200)


def _is_form(call: Call) -> bool:
    return call.method == "POST" and call.content_type.partition(";")[0].strip().lower() == FORM_TYPE


def _unsupported(call: Call) -> Answer:
    sent = call.content_type.partition(";")[0] if call.content_type in ("application/json", "text/plain") else "null"
    text = f"<!doctype html><title>415</title><h1>HTTP Status 415</h1><p>Content-Type '{sent}' is not supported.</p>"
    return html_answer(415, text, ("Accept", FORM_TYPE))


def _exchanged(world: OrcidWorld, call: Call) -> dict[str, Any]:
    grant_type = call.form.get("grant_type", "").strip()
    if not grant_type:
        raise Refused(400, "unsupported_grant_type", "grant_type is missing")
    credentials = _credentials(call)
    grant = GRANTS.get(grant_type)
    for key in grant.needs if grant else ():
        _required(call.form, key)
    client = _client(world, *credentials)
    if grant is None or grant.give is None:
        raise Refused(400, "unsupported_grant_type", f"Unsupported grant type: {grant_type[:100]}")
    sent = Sent(client, {key: call.form[key] for key in grant.forwards if key in call.form})
    return grant.give(world, sent, call)


def _credentials(call: Call) -> tuple[str, str]:
    """Name and secret of the client. Any `Authorization` header hides those of the body."""
    if call.authorization:
        return call.basic or ("", "")
    return _required(call.form, "client_id"), _required(call.form, "client_secret")


def _required(form: Any, key: str) -> str:
    value: str = form.get(key, "")
    if not value.strip():
        raise Refused(401, "invalid_request", f"{key} is required")
    return value


def _client(world: OrcidWorld, client_id: str, secret: str) -> Client:
    client = world.clients.get(client_id)
    if client is None or client.secret != secret:
        raise Refused(401, "invalid_client", "Client authentication failed", description_first=True)
    if client.state != "ok":
        raise Refused(401, "invalid_client", f"Client ({client_id}) is {client.state}")
    return client


# Grants


def _by_code(world: OrcidWorld, sent: Sent, call: Call) -> dict[str, Any]:
    value = sent.form.get("code", "")
    if not value.strip():
        raise Refused(400, "invalid_request", "An authorization code must be supplied")
    code = world.memory.codes.get(value)
    if code is None:
        raise Refused(400, "invalid_grant", f"Invalid authorization code: {value[:200]}")
    if code.client_id != sent.client.client_id:
        raise Refused(400, "invalid_grant", INVALID)
    if code.pair is None and not _holds(world, code, sent.form.get("redirect_uri")):
        raise Refused(400, "invalid_grant", INVALID)
    pair = world.use_code(code)
    if pair is None:
        raise Refused(400, "invalid_grant", f"Reused authorization code: {value}")
    body = answer_for(world, pair)
    if "openid" in pair.scopes:
        body["id_token"] = oidc.id_token(world, pair, code.nonce, sent.client, call.fault)
    return _of_another(world, body) if call.fault and call.fault.name == "other_id" else body


def _holds(world: OrcidWorld, code: Code, redirect_uri: str | None) -> bool:
    """Whether the code is still good: in time, for the same redirect URI, and not under a challenge nobody can meet."""
    in_time = world.now() - code.issued < timedelta(seconds=world.options.code_seconds)
    return (
        in_time
        and redirect_uri in (None, code.redirect_uri)
        and not (code.challenged and world.options.pkce == "reject")
    )


def _by_refresh(world: OrcidWorld, sent: Sent, _call: Call) -> dict[str, Any]:
    parent = world.memory.by_refresh.get(sent.form["refresh_token"])
    if parent is None or parent.client_id != sent.client.client_id:
        raise Refused(400, "invalid_grant", "Unable to find refresh token")
    if not parent.live(world.now()):
        raise Refused(400, "invalid_grant", "Parent token is disabled")
    scopes = tuple(sent.form.get("scope", "").split()) or parent.scopes
    for scope in scopes:
        if scope not in parent.scopes:
            raise Refused(400, "invalid_scope", f"The given scope '{scope[:100]}' is not allowed for the parent token")
    if world.options.refresh_revokes_old:
        parent.revoked = "CLIENT_REVOKED"
    return answer_for(world, world.grant_pair(parent.client_id, parent.orcid, scopes))


def _by_client(world: OrcidWorld, sent: Sent, _call: Call) -> dict[str, Any]:
    try:
        scopes = asked_of_client(sent.form.get("scope", ""), premium=sent.client.premium)
    except InvalidScope as invalid:
        raise Refused(400, "invalid_scope", f"Invalid scope: {str(invalid)[:100]}") from None
    return answer_for(world, world.grant_pair(sent.client.client_id, None, scopes))


def answer_for(world: OrcidWorld, pair: Pair) -> dict[str, Any]:
    """Give the answer that hands a pair over, keys in ORCID's order."""
    user = world.users.get(pair.orcid) if pair.orcid else None
    return {
        "access_token": pair.access,
        "token_type": "bearer",
        "refresh_token": pair.refresh,
        "expires_in": pair.seconds,
        "scope": " ".join(pair.scopes),
        **(user.named if user else {}),
        "orcid": pair.orcid,
    }


def _of_another(world: OrcidWorld, body: dict[str, Any]) -> dict[str, Any]:
    other = world.someone_else(body["orcid"])
    return body | {"name": other.public_name, "orcid": other.orcid}


@dataclass(frozen=True, slots=True)
class Grant:
    """One grant type: what must be in the form, what the proxy passes on, and who gives."""

    forwards: tuple[str, ...]
    needs: tuple[str, ...] = ()
    give: Callable[[OrcidWorld, Sent, Call], dict[str, Any]] | None = None


GRANTS: Final = {
    "authorization_code": Grant(("redirect_uri", "code"), give=_by_code),
    "refresh_token": Grant(("refresh_token", "scope"), ("refresh_token",), _by_refresh),
    "client_credentials": Grant(("scope",), give=_by_client),
    "urn:ietf:params:oauth:grant-type:token-exchange": Grant(
        ("subject_token", "subject_token_type", "requested_token_type", "scope"),
        ("subject_token", "subject_token_type"),
    ),
}
