"""What `check` and `history` say about the audit log of an organisation."""

from __future__ import annotations

from shibboleth.organisation import Organisation
from sql.store import Store
from webapp.checks.result import CheckResult, Level

_SHOWN_BREAKS = 3


def audit_of(store: Store, organisation: Organisation) -> CheckResult:
    """Tell whether an organisation's audit is whole and unchanged."""
    breaks = store.audit.verify(organisation.entity_id)
    facts = {"id": organisation.id, "sound": not breaks, "breaks": breaks}
    if not breaks:
        return CheckResult(Level.OK, "audit", f"{organisation.id}, the chain is sound", facts=facts)
    more = len(breaks) - _SHOWN_BREAKS
    told = "; ".join(breaks[:_SHOWN_BREAKS]) + (f"; and {more} more" if more > 0 else "")
    mend = "compare with a backup to learn what was changed; docs/operator.md says how"
    return CheckResult(Level.WRONG, "audit", f"{organisation.id}: {told}", mend, facts)
