"""One person of an organisation: what `/v1/people/{account}` answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from resolver_connector.http import BadRequest, Environ, fields_of, only
from shibboleth.attributes import fold
from shibboleth.organisation import Organisation
from sql.store import Store


@dataclass(frozen=True, slots=True)
class PersonRequest:
    """Whom an organisation wants forgotten."""

    account: str
    dry_run: bool
    """Whether it only wants to know what would go."""


LONGEST_ACCOUNT = 1024
"""In characters."""
_PEOPLE = "/v1/people/"
_YES_OR_NO = {None: False, "false": False, "true": True}


def account_of(environ: Environ, path: str) -> str:
    """Give the account that is asked about, from the path or from the query. Raises BadRequest."""
    account = only(fields_of(environ), "account") if environ.get("QUERY_STRING") else None
    if path.startswith(_PEOPLE):
        if account is not None:
            raise BadRequest("one account at a time: it stands in the path")
        account = _text(path.removeprefix(_PEOPLE))
    if not account:
        raise BadRequest("the account is missing: ask /v1/people/{account}")
    if account.startswith("$"):
        raise BadRequest("the account begins with $: a template variable that was not filled in?")
    if "\0" in account or len(account) > LONGEST_ACCOUNT:
        raise BadRequest("no account is like this")
    return account


def asked_to_deprovision(environ: Environ, path: str) -> PersonRequest:
    """Read whom an organisation wants forgotten. Raises BadRequest."""
    dry_run = _dry_run(environ, path)
    return PersonRequest(account_of(environ, path), dry_run)


def deprovision(
    store: Store, organisation: Organisation, asked: PersonRequest, now: datetime, transfers: Sequence[str]
) -> dict[str, int]:
    """Forget a person who has left, and tell what went with them; or look what would go."""
    entity_id, person_key = organisation.entity_id, fold(asked.account)
    return asdict(store.retention.deprovision(entity_id, person_key, now, transfers=transfers, dry_run=asked.dry_run))


def _dry_run(environ: Environ, path: str) -> bool:
    fields = fields_of(environ)
    # Somebody who writes `dryrun=true` wants to look, and nobody is to be removed for that
    for name in fields.keys() - ({"dry_run"} if path.startswith(_PEOPLE) else {"dry_run", "account"}):
        raise BadRequest(f"there is no {name[:100]} here; dry_run=true tells what would go")
    said = only(fields, "dry_run")
    if said not in _YES_OR_NO:
        raise BadRequest("dry_run is true or false")
    return _YES_OR_NO[said]


def _text(path: str) -> str:
    try:
        return path.encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise BadRequest("the account is not UTF-8") from None
