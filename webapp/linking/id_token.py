"""Validation of an id_token (OpenID Connect Core 1.0, section 3.1.3.7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from joserfc import jwt
from joserfc.errors import BadSignatureError, ClaimError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from resolver_connector.orcid.strict_json import StrictDecoder

_ALGORITHMS = ["RS256"]
"""ORCID's keys name no algorithm, so it is fixed here (RFC 8725, section 3.1)."""
_LEEWAY = 120
"""Seconds by which ORCID's clock and this machine's may differ."""


class InvalidIdToken(ValueError):
    """The id_token fails a check; the message names it without quoting a value."""


class WrongSignature(InvalidIdToken):
    """The signature was not made with the key that the id_token names.

    If it names none, the key is the only one of the key set.
    """


class UnknownKey(LookupError):
    """The id_token names a key that is not in the key set."""


def import_keys(document: Mapping[str, Any]) -> KeySet:
    """Read a JWK set (RFC 7517, section 5).

    Raises:
        ValueError: If it holds no RSA key, or is no JWK set.
    """
    try:
        return KeySet.import_key_set({"keys": [key for key in document["keys"] if key["kty"] == "RSA"]})
    except (JoseError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"no key set ({type(error).__name__})") from None


def check_id_token(  # noqa: PLR0913 - the values of the checks
    id_token: object, keys: KeySet, *, issuer: str, client_id: str, subject: str, nonce: str, now: datetime
) -> None:
    """Check signature and claims of an id_token.

    Args:
        subject: The iD of the token response, which `sub` must equal.

    Raises:
        InvalidIdToken: If a check fails.
        WrongSignature: If the signature is wrong, perhaps because the key set is out of date.
        UnknownKey: If the key set lacks the key of the signature.
    """
    if not isinstance(id_token, str):
        raise InvalidIdToken("none")
    expected = jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=_LEEWAY,
        iss={"essential": True, "value": issuer},
        sub={"essential": True, "value": subject},
        aud={"essential": True, "value": client_id},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
        azp={"value": client_id},
    )
    try:
        claims = jwt.decode(id_token, keys, algorithms=_ALGORITHMS, decoder_cls=StrictDecoder).claims
        expected.validate(claims)
    except InvalidKeyIdError:
        raise UnknownKey from None
    except BadSignatureError as error:
        raise WrongSignature(type(error).__name__) from None
    except ClaimError as error:
        raise InvalidIdToken(error.claim) from None
    except (JoseError, ValueError, RecursionError) as error:
        raise InvalidIdToken(type(error).__name__) from None
    # The library also accepts a list that holds the value, and further audiences
    single = {"nonce": nonce, "azp": client_id} | ({} if claims["aud"] == [client_id] else {"aud": client_id})
    for name, value in single.items():
        if name in claims and claims[name] != value:
            raise InvalidIdToken(name)
