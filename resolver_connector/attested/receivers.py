"""The transfers to which the change of an attested link is delivered.

That of the system which attested it is left out.
"""

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

    def __call__(self, organisation_id: str, credential: str | None = None) -> tuple[str, ...]:
        """Return the transfers to which a change is delivered.

        Args:
            organisation_id: The organisation.
            credential: The name of the credential whose system attested the change; None of all others.
        """
        return tuple(
            name
            for name in self.transfers.get(organisation_id, ())
            if credential is None or self.credentials.get((organisation_id, name)) != credential
        )
