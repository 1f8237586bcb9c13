"""What the handlers of the pages work with, and what a route is; `pages.py` holds the table of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from shibboleth.organisation import Organisation, Organisations
from shibboleth.person import Person
from sql.records import Change
from sql.store import Store
from webapp.door import Who
from webapp.kept import KEEP_CHANGES
from webapp.lately import Lately
from webapp.linking import Linking
from webapp.notices import Notices
from webapp.operator.access import Staff
from webapp.static import Static
from webapp.visit import Go, Page, Raw, Visit
from webapp.whereabouts import Labels, label_in

DeliverNow = Callable[[Change], object]
"""Tries at once to send a change to the organisation's transfers, within ten seconds; never raises."""


def deliver_nothing(_change: Change) -> None:
    """Leave a change to the worker."""


@dataclass(frozen=True, slots=True)
class Hall:
    """What the handlers work with."""

    linking: Linking
    store: Store
    organisations: Organisations
    static: Static
    orcid_url: str
    deliver_now: DeliverNow = deliver_nothing
    forgetful: frozenset[str] = frozenset()
    """The entityIDs of the organisations of whose people nothing is kept once it has been handed on."""
    staff: Staff = field(default_factory=Staff)
    labels: Labels = field(default_factory=dict)
    lately: Lately = field(default_factory=Lately)
    asking: frozenset[str] = frozenset()
    """The entityIDs of the organisations that may ask the connector, and fetch their changes there."""
    mails: bool = False
    """Whether people can have e-mail sent."""
    notices: Notices = field(default_factory=Notices)
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


Handler = Callable[[Hall, Visit], "Page | Go | Raw"]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and address, for whom it is, and what happens there."""

    method: str
    address: str
    who: Who
    handler: Handler
