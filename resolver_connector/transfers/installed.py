"""The kinds of transfers that installed packages add, by entry point.

A package names its kinds in the entry point group `orcid_connect.transfers`; docs/transfer-kinds.md describes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from resolver_connector.transfers import TRANSFERS
from resolver_connector.transfers.base import TransferModel, TransferSettings

GROUP = "orcid_connect.transfers"


@dataclass(frozen=True, slots=True)
class UnusableKind:
    """A kind of an installed package that cannot be used."""

    kind: str
    problem: str
    """Why, as the end of a sentence about the kind."""


def installed_kinds() -> dict[str, type[TransferModel] | UnusableKind]:
    """Load the kinds of all installed packages, by name.

    An error of a package never leaves this function: its kind is unusable then. No package replaces a kind of this one.
    """
    found: dict[str, type[TransferModel] | UnusableKind] = {}
    for each in entry_points(group=GROUP):
        if each.name in found:
            found[each.name] = UnusableKind(each.name, "is in two installed packages")
        else:
            found[each.name] = _load(each)
    return found


def all_kinds() -> Mapping[str, type[TransferSettings] | UnusableKind]:
    """Return the built-in kinds and those of installed packages, by name."""
    return {**installed_kinds(), **TRANSFERS}


def _load(entry_point: EntryPoint) -> type[TransferModel] | UnusableKind:
    name = entry_point.name
    if name in TRANSFERS:
        return UnusableKind(name, "has the name of a built-in kind, which is used instead")
    try:
        kind = entry_point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the package does concerns its users alone
        return UnusableKind(name, f"cannot be loaded from its package ({type(error).__name__})")
    if not (isinstance(kind, type) and issubclass(kind, TransferModel)) or getattr(kind, "kind", "") != name:
        return UnusableKind(name, f'is not a TransferModel with kind = "{name}"')
    return kind
