"""Checks whether an organisation's Identity Provider releases the linked iDs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta

from shibboleth.organisation import Organisation
from sql.records import ReleaseCounts
from sql.store import Store
from webapp.checks.result import CheckResult, Level

_MIN_FAILURES = 3
"""Number of people who signed in again without their iD, from which on it is no coincidence."""
_MIN_LINKS = 20
_MIN_AGE = timedelta(days=14)
"""Of _MIN_LINKS people with links of this age, at least one should have signed in again."""


def check_release(store: Store, organisation: Organisation, counts: ReleaseCounts, now: datetime) -> CheckResult:
    """Report how many linked iDs were seen to be released."""
    details = {"id": organisation.id, **asdict(counts)}
    text = f"{organisation.id}, linked {counts.linked}, release seen {counts.seen}"
    returned = counts.other + counts.missing
    if returned:
        text += f"; came back with another iD {counts.other}, with none {counts.missing}"
    never_seen = not counts.seen and counts.linked >= _MIN_FAILURES
    if never_seen and (
        returned >= _MIN_FAILURES
        or store.releases.count_linked_before(organisation.id, now - _MIN_AGE, _MIN_LINKS) == _MIN_LINKS
    ):
        fix = 'the release does not seem to work; see "Release seen" in docs/operator/run.md'
        return CheckResult(Level.WARNING, "release", text, fix, details)
    return CheckResult(Level.INFO if returned else Level.OK, "release", text, details=details)
