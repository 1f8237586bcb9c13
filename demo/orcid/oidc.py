"""OpenID Connect: discovery, keys, id_token and userinfo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from . import jwt
from .wire import Answer, Call, json_answer

if TYPE_CHECKING:
    from .faults import Fault
    from .world import Client, OrcidWorld, Pair

ANY_ORIGIN: Final = ("Access-Control-Allow-Origin", "*")
DAY: Final = 86400


def discovery(world: OrcidWorld, _call: Call) -> Answer:
    """`/.well-known/openid-configuration`, fields in the order served."""
    base = world.base_url
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
    return json_answer(200, document, ANY_ORIGIN)


def keys(_world: OrcidWorld, call: Call) -> Answer:
    """`/oauth/jwks`."""
    stale = call.fault is not None and call.fault.name == "stale_jwks"
    return json_answer(200, jwt.public_keys(stale=stale), ANY_ORIGIN)


def id_token(world: OrcidWorld, pair: Pair, nonce: str | None, client: Client, fault: Fault | None) -> str:
    """Sign an id_token for a pair. `aud` and `amr` are text, not lists; `amr` is for member clients only."""
    skew = fault.seconds if fault and fault.name == "clock_skew" else 0
    now = int(world.now().timestamp() + skew)
    claims: dict[str, Any] = {
        "at_hash": jwt.half_hash(pair.access),
        "aud": client.client_id,
        "sub": pair.orcid,
        "auth_time": now,
        "iss": world.base_url,
        "exp": now + DAY,
        "iat": now,
        "jti": str(uuid4()),
        "nonce": nonce,
        **_names(world, pair),
        "amr": None if client.public else "pwd",
    }
    return jwt.signed({name: value for name, value in claims.items() if value is not None})


def _names(world: OrcidWorld, pair: Pair) -> dict[str, str | None]:
    user = world.users[str(pair.orcid)]
    if user.visibility != "public":
        return {}
    return {"given_name": user.given, "family_name": user.family, "name": user.credit}


def userinfo(world: OrcidWorld, call: Call) -> Answer:
    """`/oauth/userinfo`: `name` is the credit name only, and every name is null when it is not public."""
    token = call.bearer or call.form.get("access_token", "")
    pair = world.memory.by_access.get(token)
    if pair is None or not pair.live(world.now()) or not {"openid", "/authenticate"} & set(pair.scopes):
        body = {"error": "access_denied", "error-description": "access_token is invalid"}
        return json_answer(403, body, ANY_ORIGIN)
    names = _names(world, pair)
    found: dict[str, str | None] = {
        "id": world.uri(str(pair.orcid)),
        "sub": pair.orcid,
        "name": names.get("name"),
        "family_name": names.get("family_name"),
        "given_name": names.get("given_name"),
    }
    return json_answer(200, found, ANY_ORIGIN)
