"""Checks of an organisation's audit log: hash chain, and current links."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from shibboleth.organisation import Organisation
from sql.store import Store
from webapp.checks.result import CheckResult, Level

_MAX_LISTED = 3
_FIX = 'compare with a backup; see "If the audit does not hold" in docs/operator/backup.md'


def check_audit_log(
    store: Store, organisation: Organisation, known_hashes: Sequence[str] = ()
) -> Iterator[CheckResult]:
    """Check the chain, the current links, and hashes that another party has kept.

    Args:
        store: The store.
        organisation: Whose audit log is checked.
        known_hashes: Hashes that were the last of the chain once; each must still be in it.
    """
    yield check_audit_chain(store, organisation.id)
    differences = store.audit.compare_with_links(organisation.id)
    details: dict[str, Any] = {"id": organisation.id, "differences": differences}
    if differences:
        text = f"{organisation.id}, links and events differ: {_listed(differences)}"
        yield CheckResult(Level.ERROR, "audit", text, _FIX, details)
    else:
        yield CheckResult(Level.OK, "audit", f"{organisation.id}, links and events agree", details=details)
    for kept in known_hashes:
        number = store.audit.find_hash(organisation.id, kept)
        details = {"id": organisation.id, "kept_hash": kept, "event": number}
        if number is None:
            text = f"{organisation.id}, no event has the hash {kept}: the chain was rewritten or cut since it was kept"
            yield CheckResult(Level.ERROR, "audit", text, _FIX, details)
        else:
            text = f"{organisation.id}, the hash {kept} is that of event {number}"
            yield CheckResult(Level.OK, "audit", text, details=details)


def check_audit_chain(store: Store, organisation_id: str) -> CheckResult:
    """Verify the hash chain of an audit log, and report its last hash."""
    last_hash = store.audit.last_hash(organisation_id)
    breaks = store.audit.verify(organisation_id)
    details = {"id": organisation_id, "intact": not breaks, "breaks": breaks, "last_hash": last_hash}
    if breaks:
        return CheckResult(Level.ERROR, "audit", f"{organisation_id}: {_listed(breaks)}", _FIX, details)
    last = f", its last hash is {last_hash}" if last_hash else ", it has no events"
    return CheckResult(Level.OK, "audit", f"{organisation_id}, the chain is intact{last}", details=details)


def _listed(problems: Sequence[str]) -> str:
    more = len(problems) - _MAX_LISTED
    return "; ".join(problems[:_MAX_LISTED]) + (f"; and {more} more" if more > 0 else "")
