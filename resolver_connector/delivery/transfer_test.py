"""Tests a transfer with a fictitious person: link, repeat, replace, remove."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from resolver_connector.transfers.base import ChangeMessage, DeliveryResult, Outcome, TransferModel
from shibboleth.orcid_id import OrcidId, Registry, check_digit
from shibboleth.organisation import Organisation
from sql.records import ChangeKind

TIMEOUT = 20.0
"""Seconds for each step."""
TEST_USER = "orcid-connect-test"
"""The fictitious account, before the @ and the organisation's scope."""

SUCCESSES = frozenset({Outcome.STORED, Outcome.ALREADY_THERE})
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
    """None if the step was skipped."""
    accepted: frozenset[Outcome] = SUCCESSES
    """The outcomes with which the step passes."""

    @property
    def ok(self) -> bool:
        """Whether the step was done and passed."""
        return self.result is not None and self.result.outcome in self.accepted

    @property
    def failed(self) -> bool:
        """Whether the step was done and did not pass."""
        return self.result is not None and not self.ok

    @property
    def fix(self) -> str:
        """What the administrator does about a failure; empty if the step passed."""
        return FIXES[self.result.outcome] if self.result is not None and self.failed else ""


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
    transfer: TransferModel, organisation: Organisation, account: str, clock: Callable[[], datetime]
) -> Iterator[StepResult]:
    """Link, repeat, replace and remove an iD; yield the result of each step.

    If the link fails, the next two steps are skipped. The removal is always sent, because the iD may have been stored.
    If the transfer cannot remove an iD, none is linked: an empty iD, which the receiver may refuse, shows whether it
    answers.
    """
    token = secrets.token_hex(12)

    def message(number: int, kind: ChangeKind, orcid_id: OrcidId | None, previous: OrcidId | None) -> ChangeMessage:
        return ChangeMessage(
            id=f"test-{token}-{number}",
            kind=kind,
            organisation=organisation.id,
            entity_id=organisation.entity_ids[0],
            key=organisation.key,
            account=account,
            orcid_id=orcid_id,
            previous=previous,
            at=clock(),
            number=number,
        )

    def deliver(to: TransferModel, change: ChangeMessage) -> DeliveryResult:
        try:
            return to.deliver(change, now=clock(), timeout=TIMEOUT)
        except Exception as error:  # noqa: BLE001 - the kind may be of another package
            return DeliveryResult(Outcome.TEMPORARY, f"the kind failed with {type(error).__name__}")

    if (probe := transfer.removal_probe) is not None:
        yield from (StepResult(name, None) for name in ("link", "link again", "replace"))
        removed = deliver(probe, message(1, ChangeKind.REMOVED, None, FIRST))
        yield StepResult("remove", removed, SUCCESSES | {Outcome.REFUSED})
        return
    link = message(1, ChangeKind.LINKED, FIRST, None)
    linked = StepResult("link", deliver(transfer, link))
    yield linked
    held = [FIRST] if _may_be_stored(linked) else []
    if linked.ok:
        yield StepResult("link again", deliver(transfer, link))
        replaced = StepResult("replace", deliver(transfer, message(2, ChangeKind.REPLACED, SECOND, FIRST)))
        yield replaced
        held = ([SECOND] if _may_be_stored(replaced) else []) + ([] if replaced.ok else [FIRST])
    else:
        yield from (StepResult(name, None) for name in ("link again", "replace"))
    removals = [
        deliver(transfer, message(number, ChangeKind.REMOVED, None, orcid_id))
        for number, orcid_id in enumerate(held, 3)
    ]
    failures = [each for each in removals if not each.delivered]
    yield StepResult("remove", next(iter(failures or removals), None))


def _may_be_stored(step: StepResult) -> bool:
    """Return whether the receiver may have stored the iD of a step.

    It may if it said so, or if its response was lost.
    """
    return step.result is not None and (step.result.delivered or step.result.retryable)
