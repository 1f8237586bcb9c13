"""Progress of a person's newest change, at transfers and in the feed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from sql.records import ChangeKind, DeliveryState, PersonStatus
from webapp.config.organisation import OrganisationSettings
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
    """Progress of the change at one transfer."""

    name: str
    text: str
    """A sentence of the catalogues."""
    message: str
    """What the receiver answered: plain text from outside."""
    state: DeliveryState
    at: datetime | None

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
                "Your organisation can now release this iD to the services you sign in to. Services learn it at your "
                "next sign-in."
            ),
        ),
        LinkState.PENDING: LinkStateText(
            gettext_noop("Your ORCID iD is on its way to your organisation"),
            gettext_noop(
                "You have confirmed it, and there is nothing more for you to do. Your organisation's own systems have "
                "not taken it yet; until they have, services may not learn it."
            ),
        ),
        LinkState.REFUSED: LinkStateText(
            gettext_noop("Your organisation has not taken your ORCID iD"),
            gettext_noop(
                "You have confirmed it, but your organisation's own systems did not take it, and we have stopped "
                "trying. Services may not learn it before that is put right. Ask:"
            ),
        ),
        LinkState.SUSPENDED: LinkStateText(
            gettext_noop("Your ORCID iD is not released just now"),
            gettext_noop(
                "ORCID has deactivated or locked this iD. Your organisation does not release it to services until it "
                "is in use at ORCID again. The connection stays yours, and you need not make it anew."
            ),
        ),
        LinkState.REMOVED: LinkStateText(
            gettext_noop("The connection is removed"),
            gettext_noop("What you connected on this visit has been removed since."),
        ),
        LinkState.FORGOTTEN: LinkStateText(
            gettext_noop("Nothing is kept here any more"),
            gettext_noop(
                "This service hands your ORCID iD to your organisation and keeps nothing of it afterwards. Whether one "
                "is connected, and how to remove it, your organisation can tell you."
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
            text=TEXTS.get((each.state, each.outcome or ""), ON_ITS_WAY),
            message=each.message,
            state=each.state,
            at=each.finished_at or each.last_try_at,
        )
        for each in person_status.deliveries
        if affiliation is None or each.transfer != affiliation[0]
    )
    return DeliveryStatus(person_status.newest_change, transfers, person_status.fetched_at)
