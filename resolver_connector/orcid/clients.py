"""OAuth clients registered at ORCID: the service's, and organisations' own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shibboleth.orcid_id import Registry


@dataclass(frozen=True, slots=True)
class OrcidCredentials:
    """One client that is registered at ORCID, and how ORCID is reached."""

    client_id: str
    client_secret: str = field(repr=False)
    base_url: str
    """The root of ORCID's OAuth endpoints."""
    registry: Registry
    connect_timeout: float = 5.0
    """Seconds; so is `read_timeout`."""
    read_timeout: float = 20.0
    proxy: str | None = None
    """URL of the HTTP proxy through which ORCID is reached."""

    @property
    def timeouts(self) -> tuple[float, float]:
        """Seconds to wait for a connection, and for each part of a response."""
        return self.connect_timeout, self.read_timeout


@dataclass(frozen=True, slots=True)
class OrcidClients:
    """All clients of a configuration."""

    service: OrcidCredentials
    """The service's own, which each organisation uses that has none."""
    organisations: Mapping[str, OrcidCredentials] = field(default_factory=dict)
    """Those of organisations, by the organisation's id."""
    former: Sequence[OrcidCredentials] = ()
    """Those that are used no more, whose tokens are revoked."""

    def find(self, client_id: str) -> OrcidCredentials | None:
        """Return the client with this id; None if the configuration has it no more."""
        known = (self.service, *self.organisations.values(), *self.former)
        return next((each for each in known if each.client_id == client_id), None)

    def ids_for(self, organisation_id: str) -> tuple[str, ...]:
        """Return the ids of the clients whose tokens an organisation can use."""
        own = self.organisations.get(organisation_id)
        return (self.service.client_id,) if own is None else (self.service.client_id, own.client_id)
