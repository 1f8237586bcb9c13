"""Checks of an organisation's audit log."""

from __future__ import annotations

from shibboleth.organisation import Organisation
from sql.store import Store
from webapp.checks.result import CheckResult, Level

_MAX_BREAKS = 3


def check_audit_chain(store: Store, organisation: Organisation) -> CheckResult:
    """Verify the hash chain of an organisation's audit log, and compare its newest events with the links."""
    breaks = store.audit.verify(organisation.entity_id) + store.audit.compare_with_links(organisation.entity_id)
    details = {"id": organisation.id, "intact": not breaks, "breaks": breaks}
    if not breaks:
        return CheckResult(Level.OK, "audit", f"{organisation.id}, the chain is intact", details=details)
    more = len(breaks) - _MAX_BREAKS
    listed = "; ".join(breaks[:_MAX_BREAKS]) + (f"; and {more} more" if more > 0 else "")
    fix = 'compare with a backup; see "If the audit does not hold" in docs/operator.md'
    return CheckResult(Level.ERROR, "audit", f"{organisation.id}: {listed}", fix, details)
