"""The transfers of an organisation, and those to a credential's system."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sql.repositories.base import Attester


@dataclass(frozen=True, slots=True)
class Receivers:
    """The transfers of all organisations."""

    transfers: Mapping[str, Collection[str]]
    """Names, by the organisation's id."""
    credentials: Mapping[tuple[str, str], str] = field(default_factory=lambda: MappingProxyType({}))
    """The credential of the system behind a transfer, by the organisation's id and the transfer's name."""

    def all(self, organisation_id: str) -> tuple[str, ...]:
        """Return all transfers of an organisation."""
        return tuple(self.transfers.get(organisation_id, ()))

    def attester(self, organisation_id: str, credential: str | None) -> Attester:
        """Return the system of a credential; None stands for the command line."""
        transfers = self.all(organisation_id)
        own = [
            name
            for name in transfers
            if credential is not None and self.credentials.get((organisation_id, name)) == credential
        ]
        return Attester(credential, transfers, own)
