"""Check for links of renamed accounts that a sign-in cannot move."""

from __future__ import annotations

from collections.abc import Iterator

from shibboleth.organisation import Organisation
from sql.store import Store
from webapp.checks.result import CheckResult, Level

_MAX_SHOWN = 5


def check_renamed(store: Store, organisation: Organisation) -> Iterator[CheckResult]:
    """Report pairs of accounts of an organisation with one stable id."""
    conflicts = store.links.list_rename_conflicts(organisation.id)
    if not conflicts:
        return
    pairs = [f"{earlier} and {later}" for earlier, later in conflicts[:_MAX_SHOWN]]
    more = [f"and {len(conflicts) - _MAX_SHOWN} more"] if len(conflicts) > _MAX_SHOWN else []
    text = f"{organisation.id}, accounts with one stable id: {', '.join(pairs + more)}"
    fix = (
        "ask the organisation which account the person has; if both have a link, remove the other's: orcid-connect "
        f"link remove {organisation.id} ACCOUNT; if one has, move it: orcid-connect link move {organisation.id} OLD NEW"
    )
    yield CheckResult(Level.WARNING, "renamed", text, fix, {"id": organisation.id, "accounts": conflicts})
