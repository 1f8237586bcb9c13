"""Where a person's latest change has got to: at each of the organisation's interfaces, and in its feed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from sql.records import ChangeKind, Delivery, DeliveryState, Standing
from webapp.catalogues import SOURCE
from webapp.language import mark

Labels = Mapping[str, Mapping[str, Mapping[str, str]]]
"""What people are told that a transfer is: by entityID, name and language."""

ON_ITS_WAY = mark("It is on its way.")

WORDS: Mapping[tuple[DeliveryState, str], str] = MappingProxyType(
    {
        (DeliveryState.DONE, "stored"): mark("It has been stored."),
        (DeliveryState.DONE, "already-there"): mark("It knew that already."),
        (DeliveryState.DONE, "superseded"): mark("It has been told of a later change."),
        (DeliveryState.WAITING, "temporary"): mark(
            "It does not answer just now. Nothing is lost: we keep trying for three days."
        ),
        (DeliveryState.WAITING, "misconfigured"): mark(
            "It cannot take this just now. Nothing is lost: we keep trying for three days."
        ),
        (DeliveryState.GIVEN_UP, "unknown-person"): mark(
            "It does not know your account. Tell your organisation's help what it says below."
        ),
        (DeliveryState.GIVEN_UP, "conflict"): mark(
            "It holds something else for you or for this iD. Tell your organisation's help what it says below."
        ),
        (DeliveryState.GIVEN_UP, "refused"): mark(
            "It refused to take this. Tell your organisation's help what it says below."
        ),
        (DeliveryState.GIVEN_UP, "temporary"): mark(
            "It did not answer for three days, so we stopped trying. Tell your organisation's help."
        ),
        (DeliveryState.GIVEN_UP, "misconfigured"): mark(
            "It could not take this for three days, so we stopped trying. Tell your organisation's help."
        ),
    }
)
"""What came of a delivery, by state and outcome, in a person's words."""


@dataclass(frozen=True, slots=True)
class Stop:
    """One interface, and what it made of the change."""

    name: str
    words: str
    """A sentence of the catalogues."""
    said: str
    """The interface's own words: plain text from outside."""
    well: bool
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """How far a person's latest change has come."""

    kind: ChangeKind | None
    stops: tuple[Stop, ...] = ()
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


def whereabouts(standing: Standing) -> Whereabouts:
    """Tell how far a person's latest change has come."""
    return Whereabouts(standing.newest, tuple(_stop(each) for each in standing.deliveries), standing.fetched_at)


def _stop(delivery: Delivery) -> Stop:
    words = WORDS.get((delivery.state, delivery.outcome or ""), ON_ITS_WAY)
    well = delivery.state is not DeliveryState.GIVEN_UP
    return Stop(delivery.transfer, words, delivery.message, well, delivery.finished_at or delivery.tried_at)
