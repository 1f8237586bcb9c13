"""An access token of the organisation's own ORCID client.

`POST /v1/people/{account}/orcid-token`
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from resolver_connector.http import BadRequest, Environ, NoToken, TokenRefused, read_json_object
from resolver_connector.orcid.scopes import PERMISSIONS, permissions_in
from resolver_connector.orcid.sealing import CannotOpen, TokenSealer
from resolver_connector.resolver import RequestedPerson
from shibboleth.organisation import Organisation
from sql.records import OrcidToken

TOKEN_SUFFIX = "/orcid-token"  # noqa: S105 - a path
TOKEN_READ = "orcid-token-read"  # noqa: S105 - a word
"""The kind of the audit event of a token that was handed out."""

_log = logging.getLogger("orcid-connect")


class TokenError(StrEnum):
    """Why there is no access token; the code of the answer."""

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


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request for an access token to a person's ORCID record."""

    person: RequestedPerson
    scope: frozenset[str]
    """The scopes that the token must have; empty accepts any permission."""
    refused: str = ""
    """An access token that ORCID refused; empty if the client reports none."""

    @classmethod
    def parse(cls, organisation: Organisation, environ: Environ, path: str) -> TokenRequest:
        """Parse the account in the path, and the body.

        The body may be absent, or `{"scope": "/read-limited", "refused": "..."}` with both or one of the members.

        Raises:
            BadRequest: If the account or the scope is not valid, or the body has another member.
            RequestTooLarge: If the body is too large.
        """
        person = RequestedPerson.parse(organisation, environ, path.removesuffix(TOKEN_SUFFIX))
        body = read_json_object(environ, optional=True)
        scope, refused = body.pop("scope", ""), body.pop("refused", "")
        if body or not isinstance(scope, str) or not isinstance(refused, str):
            raise BadRequest('the body is neither empty nor {"scope": "...", "refused": "..."}')
        wanted = frozenset(scope.split(" ") if scope else ())
        if not wanted <= {*PERMISSIONS}:
            raise BadRequest(f"scope has others than {', '.join(PERMISSIONS)}")
        return cls(person, wanted, refused)

    def reports(self, token: OrcidToken, sealer: TokenSealer | None) -> bool:
        """Return whether the client reports that ORCID refused this token."""
        if not self.refused or token.withdrawn_at is not None:
            return False
        try:
            return open_token(token, sealer) == self.refused
        except TokenRefused:
            return False

    def choose(self, tokens: Collection[OrcidToken], now: datetime) -> OrcidToken:
        """Return the newest of a link's tokens that has the scope.

        Args:
            tokens: Those of the organisation's own client, newest first.
            now: The time; tokens that have expired are left out.

        Raises:
            NoToken: If no token has any permission.
            TokenRefused: If none that works has the scope.
        """
        valid = [each for each in tokens if each.expires_at is None or each.expires_at > now]
        permitted = [each for each in valid if permissions_in(each.scope)]
        if not permitted:
            raise NoToken(TokenError.NO_PERMISSION, "the person permitted nothing but the iD")
        granted = [each for each in permitted if self.scope <= {*each.scope.split()}]
        if not granted:
            raise TokenRefused(TokenError.SCOPE_NOT_GRANTED, "the person did not permit this scope")
        for each in granted:
            if each.withdrawn_at is None:
                return each
        raise TokenRefused(TokenError.WITHDRAWN, "ORCID no longer accepts the permission")


def open_token(token: OrcidToken, sealer: TokenSealer | None) -> str:
    """Return the access token of a pair.

    Raises:
        TokenRefused: If there is no key that opens it.
    """
    try:
        if sealer is not None and token.sealed is not None:
            return sealer.open(token.id, token.sealed).access_token
    except CannotOpen as error:
        _log.error(
            "orcid-token-unreadable", extra={"facts": {"organisation": token.organisation, "reason": error.reason}}
        )
    raise TokenRefused(TokenError.UNREADABLE, "the service cannot read the token; ask its operator")
