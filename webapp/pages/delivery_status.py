"""Progress of a person's newest change, at transfers and in the feed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from sql.records import Change, ChangeKind, Delivery, DeliveryState, PersonStatus
from webapp.config.organisation import OrganisationSettings
from webapp.i18n.language import gettext_noop

ON_ITS_WAY = gettext_noop("It is on its way.")

TEXTS: Mapping[tuple[DeliveryState, str], str] = MappingProxyType(
    {
        (DeliveryState.DONE, "stored"): gettext_noop("Received."),
        (DeliveryState.DONE, "already-there"): gettext_noop("Already up to date."),
        (DeliveryState.DONE, "superseded"): gettext_noop("A later change was sent instead."),
        (DeliveryState.WAITING, "temporary"): gettext_noop(
            "This system is not responding right now. We will keep trying for three days."
        ),
        (DeliveryState.WAITING, "misconfigured"): gettext_noop(
            "This system cannot accept updates right now. We will keep trying for three days."
        ),
        (DeliveryState.DEAD_LETTER, "unknown-person"): gettext_noop(
            "This system does not know your account. Contact %(help)s and quote the message below."
        ),
        (DeliveryState.DEAD_LETTER, "conflict"): gettext_noop(
            "This system has a different record for you or for this iD. Contact %(help)s and quote the message below."
        ),
        (DeliveryState.DEAD_LETTER, "refused"): gettext_noop(
            "This system rejected the update. Contact %(help)s and quote the message below."
        ),
        (DeliveryState.DEAD_LETTER, "temporary"): gettext_noop(
            "This system did not respond for three days, so we have stopped trying. Contact %(help)s and "
            "quote the message below."
        ),
        (DeliveryState.DEAD_LETTER, "misconfigured"): gettext_noop(
            "Delivery failed for three days, so we have stopped trying. Contact %(help)s and quote the message below."
        ),
    }
)
"""What a person is told about a delivery, by state and outcome; `help` is whom to contact."""
REMOVED = gettext_noop("Removed.")
"""The text of a removal that a transfer has stored."""


def delivery_text(delivery: Delivery) -> str:
    """Return the sentence of the catalogues about a delivery."""
    if delivery.kind is ChangeKind.REMOVED and (delivery.state, delivery.outcome) == (DeliveryState.DONE, "stored"):
        return REMOVED
    return TEXTS.get((delivery.state, delivery.outcome or ""), ON_ITS_WAY)


@dataclass(frozen=True, slots=True)
class TransferStatus:
    """Progress of the change at one transfer."""

    name: str
    text: str
    """A sentence of the catalogues."""
    message: str
    """What the receiver answered: plain text from outside."""
    state: DeliveryState
    at: datetime | None
    change: Change | None = None
    """The change that is delivered; None if it has been deleted."""

    @property
    def ok(self) -> bool:
        """Whether the change has arrived or may still arrive."""
        return self.state is not DeliveryState.DEAD_LETTER


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """Progress of a person's newest change."""

    kind: ChangeKind | None
    transfers: tuple[TransferStatus, ...] = ()
    fetched_at: datetime | None = None
    """When the organisation acknowledged that it had fetched the change, or a later one."""

    @property
    def known(self) -> bool:
        """Whether there is any delivery or acknowledgement to show."""
        return bool(self.transfers) or self.fetched_at is not None

    @property
    def refused(self) -> bool:
        """Whether at least one transfer gave up."""
        return any(each.state is DeliveryState.DEAD_LETTER for each in self.transfers)

    @property
    def pending(self) -> bool:
        """Whether at least one transfer has not taken the change yet."""
        return any(each.state is DeliveryState.WAITING for each in self.transfers)


class LinkState(StrEnum):
    """What a page may say about a person's link."""

    CONNECTED = "connected"
    """Every transfer has taken the iD, and the organisation has fetched it if it fetches changes."""
    PENDING = "pending"
    """At least one system of the organisation has not taken it yet."""
    REFUSED = "refused"
    """At least one transfer gave up."""
    SUSPENDED = "suspended"
    """The iD is not released, because ORCID deactivated or locked it."""
    REMOVED = "removed"
    FORGOTTEN = "forgotten"
    """Nothing is kept of a link that was delivered (`keep = "nothing"`)."""


@dataclass(frozen=True, slots=True)
class LinkStateText:
    """The texts of pages in a state; for `CONNECTED` the outcome has the title."""

    title: str
    text: str


LINK_STATE_TEXTS: Mapping[LinkState, LinkStateText] = MappingProxyType(
    {
        LinkState.CONNECTED: LinkStateText(
            "",
            gettext_noop(
                "Your organisation can now share this iD with the services you sign in to. Services get it "
                "the next time you sign in."
            ),
        ),
        LinkState.PENDING: LinkStateText(
            gettext_noop("Your ORCID iD is on its way to your organisation"),
            gettext_noop(
                "You have confirmed it, and you do not need to do anything else. Your organisation's systems have "
                "not received it yet; until they do, services may not get it."
            ),
        ),
        LinkState.REFUSED: LinkStateText(
            gettext_noop("Your ORCID iD could not be delivered to your organisation"),
            gettext_noop(
                "You have confirmed it, but your organisation's systems did not accept it, and we have "
                "stopped trying. Services may not get it until this is fixed. Contact:"
            ),
        ),
        LinkState.SUSPENDED: LinkStateText(
            gettext_noop("Your ORCID iD is not shared with services right now"),
            gettext_noop(
                "ORCID has deactivated or locked this iD. Your organisation does not share it with services until "
                "it is in use at ORCID again. It stays connected, so you do not need to connect it again."
            ),
        ),
        LinkState.REMOVED: LinkStateText(
            gettext_noop("The connection has been removed"),
            gettext_noop("The connection that you made on this visit has since been removed."),
        ),
        LinkState.FORGOTTEN: LinkStateText(
            gettext_noop("Nothing about your connection is stored here"),
            gettext_noop(
                "This service gives your ORCID iD to your organisation and keeps nothing afterwards. Your "
                "organisation can tell you whether an iD is connected and how to remove it."
            ),
        ),
    }
)


def link_state(
    status: DeliveryStatus, *, linked: bool, suspended: bool = False, keeps_links: bool, fetches: bool
) -> LinkState:
    """Return what a page may say about a person's link.

    Args:
        linked: Whether there is a link now.
        suspended: Whether its iD is not released.
        keeps_links: Whether the organisation has `keep = "links"`.
        fetches: Whether the organisation fetches changes from the connector.
    """
    if not linked:
        forgotten = not keeps_links and status.kind is not ChangeKind.REMOVED
        return LinkState.FORGOTTEN if forgotten else LinkState.REMOVED
    if suspended:
        return LinkState.SUSPENDED
    if status.refused:
        return LinkState.REFUSED
    if status.pending or (fetches and status.fetched_at is None):
        return LinkState.PENDING
    return LinkState.CONNECTED


def delivery_status(person_status: PersonStatus, settings: OrganisationSettings) -> DeliveryStatus:
    """Return the progress of a person's newest change.

    What is written to the ORCID record is not among it.
    """
    affiliation = settings.affiliation_transfer
    transfers = tuple(
        TransferStatus(
            name=each.transfer,
            text=delivery_text(each),
            message=each.message,
            state=each.state,
            at=each.finished_at or each.last_try_at,
            change=each.change,
        )
        for each in person_status.deliveries
        if affiliation is None or each.transfer != affiliation[0]
    )
    return DeliveryStatus(person_status.newest_change, transfers, person_status.fetched_at)
