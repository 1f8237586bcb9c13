"""Checks of transfers: backlog, given-up deliveries, circuit breaker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from shibboleth.organisation import Organisation
from sql.records import DeliveryCount, DeliveryState, TransferBreaker
from sql.store import Store
from webapp.checks.result import CheckResult, Level
from webapp.config.organisation import OrganisationSettings


def check_deliveries(settings: OrganisationSettings, store: Store, now: datetime) -> Iterator[CheckResult]:
    """Report the backlog of each transfer, and what prevents its deliveries."""
    organisation = settings.organisation
    counts = {(each.transfer, each.state): each for each in store.deliveries.counts(organisation.id)}
    breakers = {each.transfer: each for each in store.deliveries.breakers(organisation.id)}
    configured = settings.transfers
    for name in dict.fromkeys([*configured, *breakers]):
        waiting, given_up = (counts.get((name, state)) for state in (DeliveryState.WAITING, DeliveryState.DEAD_LETTER))
        if name not in configured and not waiting:
            continue
        yield _backlog(organisation, name, waiting, given_up)
        details: dict[str, Any] = {"id": organisation.id, "transfer": name}
        if given_up:
            text = f"{organisation.id}, {given_up.count} given up for {name}"
            commands = f"orcid-connect history {organisation.id}; then: orcid-connect deliver --retry {organisation.id}"
            fix = f"see why: {commands}"
            yield CheckResult(Level.WARNING, "transfer", text, fix, {**details, "given_up": given_up.count})
        if name not in configured:
            text = f"{organisation.id} has deliveries for {name}, which is no longer configured"
            fix = f'add [[transfer]] with name = "{name}" again; otherwise they are given up after three days'
            yield CheckResult(Level.WARNING, "transfer", text, fix, details)
            continue
        # To ORCID records nothing is written before a person agrees to it
        missing = 0 if name not in settings.idm_transfers else store.deliveries.count_missing(organisation.id, name)
        if missing:
            text = (
                f"{organisation.id}, {missing} {'link or removal was' if missing == 1 else 'links or removals were'}"
                f" never sent to {name}"
            )
            fix = f"send them: orcid-connect transfer backfill {organisation.id} {name}"
            yield CheckResult(Level.WARNING, "transfer", text, fix, {**details, "never_sent": missing})
        if name in breakers and (open_until := breakers[name].open_until):
            yield _open_breaker(organisation, breakers[name], open_until, now)


def _backlog(
    organisation: Organisation, name: str, waiting: DeliveryCount | None, given_up: DeliveryCount | None
) -> CheckResult:
    details = {
        "id": organisation.id,
        "transfer": name,
        "waiting": waiting.count if waiting else 0,
        "oldest": waiting.oldest.isoformat() if waiting else None,
        "given_up": given_up.count if given_up else 0,
    }
    if waiting is None:
        return CheckResult(Level.OK, "transfer", f"{organisation.id}, nothing waits for {name}", details=details)
    since = waiting.oldest.strftime("%Y-%m-%d %H:%M UTC")
    text = f"{organisation.id}, {waiting.count} waiting for {name}, the oldest since {since}"
    return CheckResult(Level.INFO, "transfer", text, details=details)


def _open_breaker(
    organisation: Organisation, breaker: TransferBreaker, open_until: datetime, now: datetime
) -> CheckResult:
    until = open_until.strftime("%Y-%m-%d %H:%M:%S UTC")
    state = f"paused until {until}" if open_until > now else "tried with one delivery at a time"
    count = breaker.consecutive_failures
    text = (
        f"{organisation.id}, {breaker.transfer} is {state}, after {count} failure{'' if count == 1 else 's in a row'}"
    )
    fix = f"test it: orcid-connect transfer test {organisation.id} --transfer {breaker.transfer}"
    details = {
        "id": organisation.id,
        "transfer": breaker.transfer,
        "failures": count,
        "until": until,
    }
    return CheckResult(Level.WARNING, "transfer", text, fix, details)
