"""The transfers of an organisation, and those to a credential's system."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


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

    def own(self, organisation_id: str, credential: str | None) -> tuple[str, ...]:
        """Return the transfers to a credential's system; none for None."""
        return tuple(
            name
            for name in self.all(organisation_id)
            if credential is not None and self.credentials.get((organisation_id, name)) == credential
        )
