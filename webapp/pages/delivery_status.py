"""What became of a person's newest change: at each transfer of the organisation, and in its feed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from sql.records import ChangeKind, DeliveryState, PersonStatus
from webapp.i18n.language import gettext_noop

ON_ITS_WAY = gettext_noop("It is on its way.")

TEXTS: Mapping[tuple[DeliveryState, str], str] = MappingProxyType(
    {
        (DeliveryState.DONE, "stored"): gettext_noop("It has been stored."),
        (DeliveryState.DONE, "already-there"): gettext_noop("It knew that already."),
        (DeliveryState.DONE, "superseded"): gettext_noop("It has been told of a later change."),
        (DeliveryState.WAITING, "temporary"): gettext_noop(
            "It does not answer just now. Nothing is lost: we keep trying for three days."
        ),
        (DeliveryState.WAITING, "misconfigured"): gettext_noop(
            "It cannot take this just now. Nothing is lost: we keep trying for three days."
        ),
        (DeliveryState.DEAD_LETTER, "unknown-person"): gettext_noop(
            "It does not know your account. Tell your organisation's help what it says below."
        ),
        (DeliveryState.DEAD_LETTER, "conflict"): gettext_noop(
            "It holds something else for you or for this iD. Tell your organisation's help what it says below."
        ),
        (DeliveryState.DEAD_LETTER, "refused"): gettext_noop(
            "It refused to take this. Tell your organisation's help what it says below."
        ),
        (DeliveryState.DEAD_LETTER, "temporary"): gettext_noop(
            "It did not answer for three days, so we stopped trying. Tell your organisation's help."
        ),
        (DeliveryState.DEAD_LETTER, "misconfigured"): gettext_noop(
            "It could not take this for three days, so we stopped trying. Tell your organisation's help."
        ),
    }
)
"""What a person is told about a delivery, by state and outcome."""


@dataclass(frozen=True, slots=True)
class TransferStatus:
    """What became of the change at one transfer."""

    name: str
    text: str
    """A sentence of the catalogues."""
    message: str
    """What the receiver answered: plain text from outside."""
    ok: bool
    at: datetime | None


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """What became of a person's newest change."""

    kind: ChangeKind | None
    transfers: tuple[TransferStatus, ...] = ()
    fetched_at: datetime | None = None
    """When the organisation acknowledged that it had fetched the change, or a later one."""

    @property
    def known(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.transfers) or self.fetched_at is not None


def delivery_status(person_status: PersonStatus) -> DeliveryStatus:
    """Return what became of a person's newest change."""
    transfers = tuple(
        TransferStatus(
            name=each.transfer,
            text=TEXTS.get((each.state, each.outcome or ""), ON_ITS_WAY),
            message=each.message,
            ok=each.state is not DeliveryState.DEAD_LETTER,
            at=each.finished_at or each.last_attempt_at,
        )
        for each in person_status.deliveries
    )
    return DeliveryStatus(person_status.newest_change, transfers, person_status.fetched_at)
