"""Checks of the linked iDs' records at ORCID, and of their look-ups."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from shibboleth.organisation import Organisation
from sql.store import Store
from webapp.checks.result import CheckResult, Level
from webapp.config.loader import Config

_OVERDUE = timedelta(days=7)
"""How late a look-up may be without a warning: the first round of many links takes days."""


def check_status_round(config: Config, store: Store, now: datetime) -> CheckResult:
    """Report whether the look-ups at ORCID keep up."""
    registry, days = config.service.registry, config.orcid.status_check_days
    oldest, failures = store.record_statuses.oldest_due(registry), store.record_statuses.batch(registry, now).failures
    overdue = max(now - oldest, timedelta()) if oldest else timedelta()
    details = {"status_check_days": days, "overdue_seconds": int(overdue.total_seconds()), "failures": failures}
    if not days:
        text = "the iDs' records are not looked up at ORCID: [orcid] status_check_days = 0"
        return CheckResult(Level.INFO, "records", text, details=details)
    if overdue > _OVERDUE:
        text = f"a look-up at ORCID is {overdue.days} days late; the last {failures} batches failed"
        fix = "check that the worker runs (orcid-connect deliver) and reaches ORCID; its log says record-lookup-failed"
        return CheckResult(Level.WARNING, "records", text, fix, details)
    return CheckResult(Level.OK, "records", f"each iD is looked up at ORCID every {days} days", details=details)


def check_records(store: Store, organisation: Organisation) -> Iterator[CheckResult]:
    """Report the links of an organisation whose iD's record is not `ok`."""
    counts = store.record_statuses.counts(organisation.id)
    if not counts.by_state:
        return
    states = ", ".join(f"{state} {count}" for state, count in counts.by_state.items())
    text = f"{organisation.id}, at ORCID: {states}; release suspended: {counts.suspended}"
    details = {
        "id": organisation.id,
        **{state.value: count for state, count in counts.by_state.items()},
        "suspended": counts.suspended,
        "conflicts": counts.conflicts,
    }
    yield CheckResult(Level.INFO, "records", text, details=details)
    if counts.conflicts:
        text = f"{organisation.id}, {counts.conflicts} deprecated: another account has the iD they were merged into"
        fix = f"ask whose it is, and remove the link of the other account: orcid-connect link list {organisation.id}"
        yield CheckResult(Level.WARNING, "records", text, fix, details)
