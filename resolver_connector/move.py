"""Move of a link to the account's new name: `POST /v1/people/{account}/move`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from resolver_connector.http import BadRequest, Conflict, Environ, read_json_object
from resolver_connector.resolver import requested_account
from shibboleth.account_holder import UNKNOWN_HOLDER
from shibboleth.attributes import fold
from shibboleth.organisation import Organisation
from shibboleth.person import invalid_account
from sql.errors import AccountLinked
from sql.records import Change
from sql.store import Store

MOVE_SUFFIX = "/move"
REASON = "moved by the organisation"
"""The reason in the audit log."""


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """A request to move a person's link."""

    account: str
    new_account: str
    forget_stable_id: bool = False

    @classmethod
    def parse(cls, organisation: Organisation, environ: Environ, path: str) -> MoveRequest:
        """Parse the account in the path, and the new account in the body.

        The body is `{"account": "new@example.org"}`, and may have `"forget_stable_id": true`.

        Raises:
            BadRequest: If one of them cannot be an account of the organisation, or the body has another member.
            RequestTooLarge: If the body is too large.
        """
        account, body = requested_account(environ, path.removesuffix(MOVE_SUFFIX)), read_json_object(environ)
        new_account, forget = body.pop("account", None), body.pop("forget_stable_id", False)
        if body or not isinstance(new_account, str) or not isinstance(forget, bool):
            raise BadRequest('the body is not {"account": "..."} with the new account')
        if problem := invalid_account(organisation, new_account):
            raise BadRequest(f"the new account cannot be one: {problem}")
        return cls(account, new_account, forget)


def move(
    store: Store, organisation: Organisation, request: MoveRequest, now: datetime, transfers: Sequence[str]
) -> Change | None:
    """Move the link; return None where the account has none.

    Raises:
        Conflict: If the new account has a link of its own.
    """
    try:
        return store.links.move(
            organisation.id,
            fold(request.account),
            request.new_account,
            "organisation",
            REASON,
            now,
            holder=UNKNOWN_HOLDER if request.forget_stable_id else None,
            transfers=transfers,
        )
    except AccountLinked:
        raise Conflict("the new account has a link of its own") from None
