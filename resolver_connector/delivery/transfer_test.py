"""Tests a transfer with a fictitious person: link, repeat, replace, remove."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from resolver_connector.transfers.base import ChangeMessage, DeliveryResult, Outcome, Transfer
from shibboleth.orcid_id import OrcidId, Registry, check_digit
from shibboleth.organisation import Organisation
from sql.records import ChangeKind

TIMEOUT = 20.0
"""Seconds for each step."""
TEST_USER = "orcid-connect-test"
"""The fictitious account, before the @ and the organisation's scope."""

FIXES = {
    Outcome.UNKNOWN_PERSON: "use --account with an account that the interface knows; if it knows this one, check how "
    "it finds people, and which attribute `key` names in the organisation's file",
    Outcome.CONFLICT: "use --account with an account that has no other ORCID iD there, and check the setting policy",
    Outcome.REFUSED: "see the message, and the log of the interface",
    Outcome.TEMPORARY: "check that the interface is running and that this machine can reach it, then repeat the test",
    Outcome.MISCONFIGURED: "check the settings of this transfer: address, credentials, certificates, names",
}
"""What to do about each outcome that is not a success."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of one step of the test."""

    name: str
    result: DeliveryResult | None
    """None if the step was skipped because the one before it failed."""

    @property
    def ok(self) -> bool:
        """Whether the receiver has the change."""
        return self.result is not None and self.result.delivered

    @property
    def failed(self) -> bool:
        """Whether it was tried without success."""
        return self.result is not None and not self.result.delivered

    @property
    def fix(self) -> str:
        """What to do about a failure; empty after success."""
        return FIXES.get(self.result.outcome, "") if self.result is not None else ""


def make_test_orcid_id(number: int) -> OrcidId:
    """Return an iD of the sandbox below the range from which ORCID issues iDs."""
    digits = f"{number:015d}"
    bare = digits + check_digit(digits)
    return OrcidId("-".join(bare[at : at + 4] for at in (0, 4, 8, 12)), Registry.SANDBOX)


FIRST, SECOND = make_test_orcid_id(99_000_001), make_test_orcid_id(99_000_002)


def make_test_account(organisation: Organisation) -> str:
    """Return the fictitious account, in the first of the organisation's scopes."""
    return f"{TEST_USER}@{min(organisation.scopes)}"


def run_transfer_test(
    transfer: Transfer, organisation: Organisation, account: str, clock: Callable[[], datetime]
) -> Iterator[StepResult]:
    """Link, repeat, replace and remove an iD, and yield the result of each step.

    If the link fails, the other steps are skipped. What has been linked is removed in any case.
    """
    linked = ChangeMessage(
        id=f"test-{secrets.token_hex(12)}",
        kind=ChangeKind.LINKED,
        organisation=organisation.entity_id,
        key=organisation.key,
        account=account,
        orcid_id=FIRST,
        previous=None,
        at=clock(),
    )
    replaced = _successor(linked, ChangeKind.REPLACED, SECOND, clock())

    def deliver(message: ChangeMessage) -> DeliveryResult:
        return transfer.deliver(message, now=clock(), timeout=TIMEOUT)

    first = StepResult("link", deliver(linked))
    yield first
    if not first.ok:
        yield from (StepResult(name, None) for name in ("link again", "replace", "remove"))
        return
    yield StepResult("link again", deliver(linked))
    second = StepResult("replace", deliver(replaced))
    yield second
    held = replaced if second.ok else linked
    yield StepResult("remove", deliver(_successor(held, ChangeKind.REMOVED, None, clock())))


def _successor(before: ChangeMessage, kind: ChangeKind, orcid_id: OrcidId | None, at: datetime) -> ChangeMessage:
    name = f"test-{secrets.token_hex(12)}"
    return replace(before, id=name, kind=kind, orcid_id=orcid_id, previous=before.orcid_id, at=at)
