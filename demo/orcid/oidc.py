"""OpenID Connect: discovery, keys, id_token and userinfo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from . import jwt
from .http import Request, Response, json_response

if TYPE_CHECKING:
    from .faults import Fault
    from .simulator import Client, OrcidSimulator, TokenPair

ANY_ORIGIN: Final = ("Access-Control-Allow-Origin", "*")
DAY: Final = 86400


def discovery(simulator: OrcidSimulator, _call: Request) -> Response:
    """`/.well-known/openid-configuration`, keys in ORCID's order."""
    base = simulator.base_url
    document = {
        "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "userinfo_endpoint": f"{base}/oauth/userinfo",
        "authorization_endpoint": f"{base}/oauth/authorize",
        "token_endpoint": f"{base}/oauth/token",
        "jwks_uri": f"{base}/oauth/jwks",
        "claims_supported": ["family_name", "given_name", "name", "auth_time", "iss", "sub"],
        "scopes_supported": ["openid"],
        "subject_types_supported": ["public"],
        "response_types_supported": ["code", "id_token", "id_token token"],
        "claims_parameter_supported": False,
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "grant_types_supported": ["authorization_code", "implicit", "refresh_token"],
        "issuer": base,
    }
    return json_response(200, document, ANY_ORIGIN)


def keys(_world: OrcidSimulator, request: Request) -> Response:
    """`/oauth/jwks`."""
    stale = request.fault is not None and request.fault.name == "stale_jwks"
    return json_response(200, jwt.public_keys(stale=stale), ANY_ORIGIN)


def id_token(
    simulator: OrcidSimulator, tokens: TokenPair, nonce: str | None, client: Client, fault: Fault | None
) -> str:
    """Sign an id_token. `aud` and `amr` are strings, not lists.

    `amr` is for member clients only.
    """
    skew = fault.seconds if fault and fault.name == "clock_skew" else 0
    now = int(simulator.now().timestamp() + skew)
    claims: dict[str, Any] = {
        "at_hash": jwt.at_hash(tokens.access),
        "aud": client.client_id,
        "sub": tokens.orcid,
        "auth_time": now,
        "iss": simulator.base_url,
        "exp": now + DAY,
        "iat": now,
        "jti": str(uuid4()),
        "nonce": nonce,
        **_names(simulator, tokens),
        "amr": None if client.public else "pwd",
    }
    return jwt.sign({name: value for name, value in claims.items() if value is not None})


def _names(simulator: OrcidSimulator, tokens: TokenPair) -> dict[str, str | None]:
    user = simulator.users[str(tokens.orcid)]
    if user.visibility != "public":
        return {}
    return {"given_name": user.given, "family_name": user.family, "name": user.credit}


def userinfo(simulator: OrcidSimulator, request: Request) -> Response:
    """`/oauth/userinfo`: `name` is the credit name.

    Names that are not public are null.
    """
    token = request.bearer or request.form.get("access_token", "")
    tokens = simulator.data.by_access_token.get(token)
    if tokens is None or not tokens.live(simulator.now()) or not {"openid", "/authenticate"} & set(tokens.scopes):
        body = {"error": "access_denied", "error-description": "access_token is invalid"}
        return json_response(403, body, ANY_ORIGIN)
    names = _names(simulator, tokens)
    found: dict[str, str | None] = {
        "id": simulator.uri(str(tokens.orcid)),
        "sub": tokens.orcid,
        "name": names.get("name"),
        "family_name": names.get("family_name"),
        "given_name": names.get("given_name"),
    }
    return json_response(200, found, ANY_ORIGIN)
