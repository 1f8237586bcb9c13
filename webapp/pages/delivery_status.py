"""Where a person's latest change has got to: at each of the organisation's interfaces, and in its feed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from sql.records import ChangeKind, Delivery, DeliveryState, PersonStatus
from webapp.i18n.catalogues import SOURCE
from webapp.i18n.language import gettext_noop

Labels = Mapping[str, Mapping[str, Mapping[str, str]]]
"""What people are told that a transfer is: by entityID, name and language."""

ON_ITS_WAY = gettext_noop("It is on its way.")

WORDS: Mapping[tuple[DeliveryState, str], str] = MappingProxyType(
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
        (DeliveryState.GIVEN_UP, "unknown-person"): gettext_noop(
            "It does not know your account. Tell your organisation's help what it says below."
        ),
        (DeliveryState.GIVEN_UP, "conflict"): gettext_noop(
            "It holds something else for you or for this iD. Tell your organisation's help what it says below."
        ),
        (DeliveryState.GIVEN_UP, "refused"): gettext_noop(
            "It refused to take this. Tell your organisation's help what it says below."
        ),
        (DeliveryState.GIVEN_UP, "temporary"): gettext_noop(
            "It did not answer for three days, so we stopped trying. Tell your organisation's help."
        ),
        (DeliveryState.GIVEN_UP, "misconfigured"): gettext_noop(
            "It could not take this for three days, so we stopped trying. Tell your organisation's help."
        ),
    }
)
"""What came of a delivery, by state and outcome, in a person's words."""


@dataclass(frozen=True, slots=True)
class TransferStatus:
    """One interface, and what it made of the change."""

    name: str
    words: str
    """A sentence of the catalogues."""
    said: str
    """The interface's own words: plain text from outside."""
    well: bool
    at: datetime | None


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """How far a person's latest change has come."""

    kind: ChangeKind | None
    stops: tuple[TransferStatus, ...] = ()
    fetched_at: datetime | None = None
    """When the organisation said that it had fetched the change, or a later one."""

    @property
    def told(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.stops) or self.fetched_at is not None


def label_in(labels: Labels, entity_id: str, transfer: str, language: str) -> str:
    """Say what a transfer is, in this language or in English; empty where the operator has not said it."""
    said = labels.get(entity_id, {}).get(transfer, {})
    return said.get(language) or said.get(SOURCE, "")


def delivery_status(person_status: PersonStatus) -> DeliveryStatus:
    """Tell how far a person's latest change has come."""
    return DeliveryStatus(
        person_status.newest, tuple(_stop(each) for each in person_status.deliveries), person_status.fetched_at
    )


def _stop(delivery: Delivery) -> TransferStatus:
    words = WORDS.get((delivery.state, delivery.outcome or ""), ON_ITS_WAY)
    well = delivery.state is not DeliveryState.GIVEN_UP
    return TransferStatus(delivery.transfer, words, delivery.message, well, delivery.finished_at or delivery.tried_at)
