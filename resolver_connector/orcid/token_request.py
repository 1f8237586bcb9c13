"""An access token of the organisation's own ORCID client.

`POST /v1/people/{account}/orcid-token`
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from resolver_connector.http import BadRequest, Environ, NoToken, TokenRefused, read_json_object
from resolver_connector.orcid.pairs import TokenError, open_access_token, usable_pairs
from resolver_connector.orcid.scopes import PERMISSIONS
from resolver_connector.orcid.sealing import TokenSealer
from resolver_connector.resolver import RequestedPerson
from shibboleth.organisation import Organisation
from sql.records import OrcidToken

TOKEN_SUFFIX = "/orcid-token"  # noqa: S105 - a path
TOKEN_READ = "orcid-token-read"  # noqa: S105 - a word
"""The kind of the audit event of a token that was handed out."""

_MESSAGES = {
    TokenError.NO_PERMISSION: "the person permitted nothing but the iD",
    TokenError.SCOPE_NOT_GRANTED: "the person did not permit this scope",
    TokenError.WITHDRAWN: "ORCID no longer accepts the permission",
}


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
        return open_access_token(token, sealer) == self.refused

    def choose(self, tokens: Collection[OrcidToken], now: datetime) -> OrcidToken:
        """Return the newest of a link's tokens that has the scope.

        Args:
            tokens: Those of the organisation's own client, newest first.
            now: The time; tokens that have expired are left out.

        Raises:
            NoToken: If no token has any permission.
            TokenRefused: If none that works has the scope.
        """
        found = usable_pairs(tokens, self.scope, now)
        if isinstance(found, TokenError):
            raise (NoToken if found is TokenError.NO_PERMISSION else TokenRefused)(found, _MESSAGES[found])
        return found[0]
