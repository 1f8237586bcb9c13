"""`AppContext`: the services, settings and texts that handlers use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shibboleth.orcid_id import OrcidId
from shibboleth.organisation import Organisation, Organisations
from shibboleth.person import Person
from shibboleth.process_state import ProcessState
from sql.records import Change
from sql.store import Store
from webapp.certificates import UsedCertificate
from webapp.config.organisation import OrganisationSettings
from webapp.limits import Limits
from webapp.linking.public_api import LookupFailed
from webapp.linking.return_address import AllowedReturn
from webapp.linking.service import LinkingService
from webapp.operator.access import AdminAccess
from webapp.pages.data_inventory import KEEP_CHANGES
from webapp.pages.operator_texts import OperatorTexts
from webapp.rendering.static import StaticFiles

DeliverNow = Callable[[Change], object]
"""Tries to deliver a change to the organisation's transfers, for at most ten seconds; never raises."""


CheckRecord = Callable[[OrcidId, datetime], object]
"""Looks up an iD at ORCID, and stores the state of its record; raises LookupFailed."""


def no_delivery(_change: Change) -> None:
    """Do nothing: the worker delivers the change."""


def no_names(_entity_id: str) -> Mapping[str, str]:
    """Return no names: no metadata is configured."""
    return {}


def no_lookup(_orcid_id: OrcidId, _now: datetime) -> None:
    """Raise LookupFailed: no look-ups at ORCID are configured.

    Raises:
        LookupFailed: Always.
    """
    raise LookupFailed("this service looks up nothing")


@dataclass(frozen=True, slots=True)
class AppContext:
    """The services, settings and texts that handlers use."""

    linking: LinkingService
    store: Store
    organisations: Organisations
    organisation_settings: Mapping[str, OrganisationSettings]
    """By the organisation's id."""
    static: StaticFiles
    orcid_url: str
    public_url: str
    deliver_now: DeliverNow = no_delivery
    check_record: CheckRecord = no_lookup
    display_names: Callable[[str], Mapping[str, str]] = no_names
    """Returns the names of an entity in the federation's metadata, by language."""
    admin_access: AdminAccess = field(default_factory=AdminAccess)
    certificates: tuple[UsedCertificate, ...] = ()
    """The certificates with which the service authenticates."""
    mail_enabled: bool = False
    operator_texts: OperatorTexts = field(default_factory=OperatorTexts)
    keep_changes: int = KEEP_CHANGES
    """Days for which changes are kept in the feed."""
    returns: tuple[AllowedReturn, ...] = ()
    """Where people may go back to the service that sent them here."""
    limits: Limits = field(default_factory=Limits)
    process: ProcessState = field(default_factory=ProcessState)

    def settings(self, organisation: Organisation) -> OrganisationSettings:
        """Return the settings of a connected organisation."""
        return self.organisation_settings[organisation.id]

    def label(self, organisation: Organisation, transfer: str, language: str) -> str:
        """Return the operator's name for a transfer; empty without one."""
        return self.settings(organisation).transfer_label(transfer, language)

    def mail_available(self, person: Person) -> bool:
        """Return whether the person can ask for e-mail."""
        return self.mail_enabled and self.settings(person.organisation).keeps_links
