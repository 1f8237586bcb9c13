"""The token and revoke endpoints, as ORCID's token proxy answers in 2026."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from . import oidc
from .http import FORM_TYPE, Request, Response, html_response, json_response
from .scopes import InvalidScope, client_scopes
from .simulator import AuthorizationCode, Client, OrcidSimulator, TokenPair

NO_STORE: Final = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))
EXCHANGE: Final = ("OAUTH_AUTHORIZATION_CODE_EXCHANGE", "ON")
INVALID: Final = "One of the provided parameters is invalid, or, the provided token/code is invalid or expired"


class TokenError(Exception):
    """A request fails with a status and body; the order of keys is ORCID's."""

    def __init__(self, status: int, error: str, description: str, *, description_first: bool = False) -> None:
        params = [("error", error), ("error_description", description)]
        self.status = status
        self.body = dict(reversed(params) if description_first else params)


@dataclass(frozen=True, slots=True)
class ForwardedRequest:
    """What the proxy forwards: the client, and the form fields it knows."""

    client: Client
    form: dict[str, str]


def token(simulator: OrcidSimulator, request: Request) -> Response:
    """`POST /oauth/token`."""
    if not _is_form(request):
        return _unsupported(request)
    try:
        body = _exchange(simulator, request)
    except TokenError as refused:
        return json_response(refused.status, refused.body, *NO_STORE)
    return json_response(200, body, *NO_STORE, EXCHANGE)


def revoke(simulator: OrcidSimulator, request: Request) -> Response:
    """`POST /oauth/revoke`: revoke the token's pair.

    An unknown token is a success.
    """
    if not _is_form(request):
        return _unsupported(request)
    try:
        client = _client(simulator, *_credentials(request))
    except TokenError as refused:
        return json_response(refused.status, refused.body)
    if not request.form.get("token"):
        return json_response(400, {"error": "invalid_request", "error_description": "token is required"})
    tokens = simulator.find_tokens(request.form["token"])
    if tokens and tokens.client_id == client.client_id:
        tokens.revoked = tokens.revoked or "CLIENT_REVOKED"
    return Response(200)


def _is_form(request: Request) -> bool:
    return request.method == "POST" and request.content_type.partition(";")[0].strip().lower() == FORM_TYPE


def _unsupported(request: Request) -> Response:
    sent = (
        request.content_type.partition(";")[0] if request.content_type in ("application/json", "text/plain") else "null"
    )
    text = f"<!doctype html><title>415</title><h1>HTTP Status 415</h1><p>Content-Type '{sent}' is not supported.</p>"
    return html_response(415, text, ("Accept", FORM_TYPE))


def _exchange(simulator: OrcidSimulator, request: Request) -> dict[str, Any]:
    grant_type = request.form.get("grant_type", "").strip()
    if not grant_type:
        raise TokenError(400, "unsupported_grant_type", "grant_type is missing")
    credentials = _credentials(request)
    grant = GRANTS.get(grant_type)
    for key in grant.needs if grant else ():
        _required(request.form, key)
    client = _client(simulator, *credentials)
    if grant is None or grant.give is None:
        raise TokenError(400, "unsupported_grant_type", f"Unsupported grant type: {grant_type[:100]}")
    sent = ForwardedRequest(client, {key: request.form[key] for key in grant.forwards if key in request.form})
    return grant.give(simulator, sent, request)


# Any `Authorization` header hides the credentials in the body
def _credentials(request: Request) -> tuple[str, str]:
    if request.authorization:
        return request.basic or ("", "")
    return _required(request.form, "client_id"), _required(request.form, "client_secret")


def _required(form: Any, key: str) -> str:
    value: str = form.get(key, "")
    if not value.strip():
        raise TokenError(401, "invalid_request", f"{key} is required")
    return value


def _client(simulator: OrcidSimulator, client_id: str, secret: str) -> Client:
    client = simulator.clients.get(client_id)
    if client is None or client.secret != secret:
        raise TokenError(401, "invalid_client", "Client authentication failed", description_first=True)
    if client.state != "ok":
        raise TokenError(401, "invalid_client", f"Client ({client_id}) is {client.state}")
    return client


# Grants


def _by_code(simulator: OrcidSimulator, sent: ForwardedRequest, request: Request) -> dict[str, Any]:
    value = sent.form.get("code", "")
    if not value.strip():
        raise TokenError(400, "invalid_request", "An authorization code must be supplied")
    code = simulator.data.codes.get(value)
    if code is None:
        raise TokenError(400, "invalid_grant", f"Invalid authorization code: {value[:200]}")
    if code.client_id != sent.client.client_id:
        raise TokenError(400, "invalid_grant", INVALID)
    if code.tokens is None and not _is_valid(simulator, code, sent.form.get("redirect_uri")):
        raise TokenError(400, "invalid_grant", INVALID)
    if request.fault and request.fault.name == "scope_reduced":
        code.scopes = code.scopes[:-1]
    tokens = simulator.redeem_code(code)
    if tokens is None:
        raise TokenError(400, "invalid_grant", f"Reused authorization code: {value}")
    body = token_response(simulator, tokens)
    if "openid" in tokens.scopes:
        body["id_token"] = oidc.id_token(simulator, tokens, code.nonce, sent.client, request.fault)
    return _with_other_id(simulator, body) if request.fault and request.fault.name == "other_id" else body


# In time, for the same redirect URI, and without a PKCE challenge where the option `pkce` rejects one
def _is_valid(simulator: OrcidSimulator, code: AuthorizationCode, redirect_uri: str | None) -> bool:
    in_time = simulator.now() - code.issued < timedelta(seconds=simulator.options.code_seconds)
    return (
        in_time
        and redirect_uri in (None, code.redirect_uri)
        and not (code.challenged and simulator.options.pkce == "reject")
    )


def _by_refresh(simulator: OrcidSimulator, sent: ForwardedRequest, _call: Request) -> dict[str, Any]:
    parent = simulator.data.by_refresh_token.get(sent.form["refresh_token"])
    if parent is None or parent.client_id != sent.client.client_id:
        raise TokenError(400, "invalid_grant", "Unable to find refresh token")
    if not parent.live(simulator.now()):
        raise TokenError(400, "invalid_grant", "Parent token is disabled")
    scopes = tuple(sent.form.get("scope", "").split()) or parent.scopes
    for scope in scopes:
        if scope not in parent.scopes:
            raise TokenError(
                400, "invalid_scope", f"The given scope '{scope[:100]}' is not allowed for the parent token"
            )
    if simulator.options.refresh_revokes_old:
        parent.revoked = "CLIENT_REVOKED"
    return token_response(simulator, simulator.issue_tokens(parent.client_id, parent.orcid, scopes))


def _by_client(simulator: OrcidSimulator, sent: ForwardedRequest, _call: Request) -> dict[str, Any]:
    try:
        scopes = client_scopes(sent.form.get("scope", ""), premium=sent.client.premium)
    except InvalidScope as invalid:
        raise TokenError(400, "invalid_scope", f"Invalid scope: {str(invalid)[:100]}") from None
    return token_response(simulator, simulator.issue_tokens(sent.client.client_id, None, scopes))


def token_response(simulator: OrcidSimulator, tokens: TokenPair) -> dict[str, Any]:
    """Return the response that hands over a token pair, keys in ORCID's order."""
    user = simulator.users.get(tokens.orcid) if tokens.orcid else None
    return {
        "access_token": tokens.access,
        "token_type": "bearer",
        "refresh_token": tokens.refresh,
        "expires_in": tokens.seconds,
        "scope": " ".join(tokens.scopes),
        **(user.name_fields if user else {}),
        "orcid": tokens.orcid,
    }


def _with_other_id(simulator: OrcidSimulator, body: dict[str, Any]) -> dict[str, Any]:
    other = simulator.other_user(body["orcid"])
    return body | {"name": other.public_name, "orcid": other.orcid}


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant type: its handler, and the form fields that the proxy forwards.

    Some of the fields are required.
    """

    forwards: tuple[str, ...]
    needs: tuple[str, ...] = ()
    give: Callable[[OrcidSimulator, ForwardedRequest, Request], dict[str, Any]] | None = None


GRANTS: Final = {
    "authorization_code": Grant(("redirect_uri", "code"), give=_by_code),
    "refresh_token": Grant(("refresh_token", "scope"), ("refresh_token",), _by_refresh),
    "client_credentials": Grant(("scope",), give=_by_client),
    "urn:ietf:params:oauth:grant-type:token-exchange": Grant(
        ("subject_token", "subject_token_type", "requested_token_type", "scope"),
        ("subject_token", "subject_token_type"),
    ),
}
