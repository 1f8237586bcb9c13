"""What the handlers of the pages work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from shibboleth.organisation import Organisation, Organisations
from shibboleth.person import Person
from sql.records import Change
from sql.store import Store
from webapp.linking.orcid_status import OrcidStatus
from webapp.linking.service import LinkingService
from webapp.operator.access import AdminAccess
from webapp.pages.data_inventory import KEEP_CHANGES
from webapp.pages.delivery_status import Labels, label_in
from webapp.pages.operator_texts import OperatorTexts
from webapp.rendering.static import StaticFiles

DeliverNow = Callable[[Change], object]
"""Tries at once to send a change to the organisation's transfers, within ten seconds; never raises."""


def no_delivery(_change: Change) -> None:
    """Leave a change to the worker."""


@dataclass(frozen=True, slots=True)
class AppContext:
    """What the handlers work with."""

    linking: LinkingService
    store: Store
    organisations: Organisations
    static: StaticFiles
    orcid_url: str
    deliver_now: DeliverNow = no_delivery
    forgetful: frozenset[str] = frozenset()
    """The entityIDs of the organisations of whose people nothing is kept once it has been handed on."""
    staff: AdminAccess = field(default_factory=AdminAccess)
    labels: Labels = field(default_factory=dict)
    lately: OrcidStatus = field(default_factory=OrcidStatus)
    asking: frozenset[str] = frozenset()
    """The entityIDs of the organisations that may ask the connector, and fetch their changes there."""
    mails: bool = False
    """Whether people can have e-mail sent."""
    notices: OperatorTexts = field(default_factory=OperatorTexts)
    keep_changes: int = KEEP_CHANGES
    """For how many days changes are kept for organisations that fetch."""
    retention: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """After how many days what has ended is forgotten, by entityID, for the organisations where it is."""

    def label(self, organisation: Organisation, transfer: str, language: str) -> str:
        """Say what a transfer is, in this language or in English; empty where the operator has not said it."""
        return label_in(self.labels, organisation.entity_id, transfer, language)

    def mails_to(self, person: Person) -> bool:
        """Tell whether a person can have e-mail sent: not where nothing is to be kept of them."""
        return self.mails and person.organisation.entity_id not in self.forgetful
