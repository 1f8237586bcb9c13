"""Deletion of a person who has left: `DELETE /v1/people/{account}`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from resolver_connector.http import BadRequest, Environ, parse_query, single_value
from resolver_connector.resolver import PEOPLE_PATH, requested_account
from shibboleth.attributes import fold
from shibboleth.organisation import Organisation
from sql.store import Store


@dataclass(frozen=True, slots=True)
class DeprovisionRequest:
    """A request to delete what is stored about a person."""

    account: str
    dry_run: bool
    """Whether to count only, and change nothing."""

    @classmethod
    def parse(cls, environ: Environ, path: str) -> DeprovisionRequest:
        """Parse the account and `dry_run`.

        Raises:
            BadRequest: If a parameter is unknown, or the account or `dry_run` is invalid.

        """
        parameters = parse_query(environ)
        # A misspelt `dryrun=true` must not delete anything
        for name in parameters.keys() - ({"dry_run"} if path.startswith(PEOPLE_PATH) else {"dry_run", "account"}):
            raise BadRequest(f"unknown parameter {name[:100]}; dry_run=true shows what would be deleted")
        dry_run = single_value(parameters, "dry_run")
        if dry_run not in {None, "false", "true"}:
            raise BadRequest("dry_run must be true or false")
        return cls(requested_account(environ, path), dry_run == "true")


def deprovision(
    store: Store, organisation: Organisation, request: DeprovisionRequest, now: datetime, transfers: Sequence[str]
) -> dict[str, int]:
    """End the person's link and delete their attempts and deliveries.

    Return how many of each.

    With `request.dry_run` nothing is changed.
    """
    counts = store.retention.deprovision(
        organisation.id, fold(request.account), now, transfers=transfers, dry_run=request.dry_run
    )
    return asdict(counts)
