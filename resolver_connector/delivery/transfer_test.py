"""Plays the life of a link against a transfer: with a made-up person, at the organisation's own test interface."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from resolver_connector.transfers.base import ChangeMessage, DeliveryResult, Outcome, Transfer
from shibboleth.orcid_id import OrcidId, Registry, check_digit
from shibboleth.organisation import Organisation
from sql.records import ChangeKind

SECONDS = 20.0
ACCOUNT = "orcid-connect-test"
"""Who is made up, before the @ and the organisation's scope."""

MENDS = {
    Outcome.UNKNOWN_PERSON: "say with --account who is known over there; if that one is, see how the interface finds "
    "people, and which attribute `key` in the organisation's file names",
    Outcome.CONFLICT: "say with --account somebody who has no other ORCID iD over there, and see the setting policy",
    Outcome.REFUSED: "see what it says, and its own log",
    Outcome.TEMPORARY: "see that it runs and that this machine may reach it, and try again",
    Outcome.MISCONFIGURED: "see the settings of this transfer: address, credentials, certificates, names",
}
"""What to do about each answer that is none of success."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried."""

    name: str
    answer: DeliveryResult | None
    """None when it was not tried, since what had to come before it failed."""

    @property
    def ok(self) -> bool:
        """Whether it went well."""
        return self.answer is not None and self.answer.outcome.arrived

    @property
    def failed(self) -> bool:
        """Whether it was tried, and did not go well."""
        return self.answer is not None and not self.ok

    @property
    def mend(self) -> str:
        """What to do about it."""
        return MENDS[self.answer.outcome] if self.answer is not None and not self.ok else ""


def made_up(number: int) -> OrcidId:
    """Give an iD of the sandbox that ORCID issues to nobody: it lies before the numbers it has ever given out."""
    digits = f"{number:015d}"
    bare = digits + check_digit(digits)
    return OrcidId("-".join(bare[at : at + 4] for at in (0, 4, 8, 12)), Registry.SANDBOX)


FIRST, SECOND = made_up(99_000_001), made_up(99_000_002)


def made_up_account(organisation: Organisation) -> str:
    """Give the account of nobody, in the first of the organisation's scopes."""
    return f"{ACCOUNT}@{min(organisation.scopes)}"


def play(transfer: Transfer, organisation: Organisation, account: str, clock: Callable[[], datetime]) -> Iterator[Step]:
    """Link, say the same again, replace, remove; give what each came to as it comes.

    Once a link has failed there is nothing to replace. What has been linked is removed in any case.
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
    replaced = _next(linked, ChangeKind.REPLACED, SECOND, clock())

    def told(news: ChangeMessage) -> DeliveryResult:
        return transfer.deliver(news, now=clock(), seconds=SECONDS)

    first = Step("link", told(linked))
    yield first
    if not first.ok:
        yield from (Step(name, None) for name in ("link again", "replace", "remove"))
        return
    yield Step("link again", told(linked))
    second = Step("replace", told(replaced))
    yield second
    yield Step("remove", told(_next(replaced if second.ok else linked, ChangeKind.REMOVED, None, clock())))


def _next(before: ChangeMessage, kind: ChangeKind, orcid_id: OrcidId | None, at: datetime) -> ChangeMessage:
    name = f"test-{secrets.token_hex(12)}"
    return replace(before, id=name, kind=kind, orcid_id=orcid_id, previous=before.orcid_id, at=at)
