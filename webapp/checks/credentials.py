"""Checks whether credentials have rights that they do not use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sql.store import Store
from webapp.checks.result import CheckResult, Level
from webapp.config.organisation import OrganisationSettings

UNUSED_AFTER = timedelta(days=90)


def check_credentials(settings: OrganisationSettings, store: Store, now: datetime) -> Iterator[CheckResult]:
    """Report credentials with rights that were not used for 90 days.

    A right that was configured less than 90 days ago is not reported.
    """
    organisation, limit = settings.organisation, now.date() - UNUSED_AFTER
    known = {(each.credential, each.right): each for each in store.statistics.credential_rights(organisation.id)}
    for credential in settings.credentials:
        found = [known[key] for right in credential.rights if (key := (credential.name, right)) in known]
        unused = [each.right for each in found if (each.last_used_on or each.since or limit) < limit]
        if unused:
            days = UNUSED_AFTER.days
            text = f"{organisation.id}, {credential.name} has not used in {days} days: {' '.join(unused)}"
            fix = f"remove these rights, or the whole credential, from organisations/{organisation.id}.toml"
            details = {"id": organisation.id, "credential": credential.name, "unused": unused}
            yield CheckResult(Level.WARNING, "credential", text, fix, details)
