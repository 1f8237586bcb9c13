"""Choice among a client's token pairs, and the access token of one."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from datetime import datetime
from enum import StrEnum

from resolver_connector.orcid.scopes import permissions_in
from resolver_connector.orcid.sealing import CannotOpen, TokenSealer
from sql.records import OrcidToken

_log = logging.getLogger("orcid-connect")


class TokenError(StrEnum):
    """Why there is no access token; the code of the token API's answer."""

    NO_CLIENT = "no-client"
    """The organisation has no client of its own that asks for permissions."""
    NO_LINK = "no-link"
    NO_PERMISSION = "no-permission"
    """The person permitted nothing but the iD."""
    SCOPE_NOT_GRANTED = "scope-not-granted"
    WITHDRAWN = "withdrawn"
    """ORCID no longer accepts the permission."""
    UNREADABLE = "token-unreadable"
    """The service cannot open what it has stored, because a key is missing."""


def usable_pairs(
    pairs: Iterable[OrcidToken], scope: Collection[str], now: datetime, *, to_end: bool = False
) -> list[OrcidToken] | TokenError:
    """Return the pairs that have a scope and work, in their order.

    Args:
        pairs: Those of one client for one iD, newest first.
        scope: The scopes that a pair must have; empty accepts any permission.
        now: The time.
        to_end: Whether to accept pairs that are due to be revoked, or whose permission ORCID no longer accepts: with
            them a client may still delete what it wrote.

    Returns:
        Why there is none, if there is none.
    """
    valid = [each for each in pairs if each.expires_at is None or each.expires_at > now]
    permitted = [each for each in valid if permissions_in(each.scope)]
    if not permitted:
        return TokenError.NO_PERMISSION
    granted = [each for each in permitted if set(scope) <= each.scopes]
    if not granted:
        return TokenError.SCOPE_NOT_GRANTED
    usable = [each for each in granted if to_end or (each.withdrawn_at is None and each.revocation_due_at is None)]
    return usable or TokenError.WITHDRAWN


def open_access_token(pair: OrcidToken, sealer: TokenSealer | None) -> str | None:
    """Return the access token of a pair.

    Returns:
        None if no key opens it, which is logged, or it is revoked.
    """
    try:
        if sealer is not None and pair.sealed is not None:
            return sealer.open(pair.id, pair.sealed).access_token
    except CannotOpen as error:
        facts = {"organisation": pair.organisation, "reason": error.reason}
        _log.error("orcid-token-unreadable", extra={"facts": facts})
    return None
