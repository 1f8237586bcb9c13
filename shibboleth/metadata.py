"""How long the federation's metadata may be believed: `validUntil` of the whole, of an entity and of its roles.

SAML metadata (saml-metadata-2.0-os) sections 2.3.1, 2.3.2 and 2.4.1. How often a copy is fetched anew, `cacheDuration`,
is for whoever fetches it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

_SAML = "{urn:oasis:names:tc:SAML:2.0:metadata}"
_ENTITY = f"{_SAML}EntityDescriptor"
_ROOTS = {_ENTITY, f"{_SAML}EntitiesDescriptor"}
_ENDS = "validUntil"


class InvalidMetadata(ValueError):
    """The file is no metadata; its text says why."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a file of metadata says about how long it may be believed, each moment as it is written there."""

    ends: tuple[str, ...]
    """Of the whole."""
    entities: dict[str, tuple[str, ...]]
    """Of each entity that was asked about and is there, its roles included, by entityID."""


def read_metadata(path: Path, wanted: Collection[str]) -> Metadata:
    """Read when metadata ends, as a whole and for these entities. Raises Unreadable."""
    try:
        with path.open("rb") as file:
            return _read(file, wanted)
    except OSError as error:
        raise InvalidMetadata(error.strerror or type(error).__name__) from None
    except (ParseError, DefusedXmlException) as error:
        raise InvalidMetadata(f"it is not XML that we read ({type(error).__name__})") from None


def _read(file: BinaryIO, wanted: Collection[str]) -> Metadata:
    events = iterparse(file, ("start", "end"))
    _, root = next(events)
    if root.tag not in _ROOTS:
        raise InvalidMetadata("it is XML, but no metadata of SAML 2.0")
    found = {}
    for event, element in events:
        if event == "end" and element.tag == _ENTITY:
            entity_id = element.get("entityID")
            if entity_id in wanted:
                found[entity_id] = tuple(each.get(_ENDS) for each in element.iter() if each.get(_ENDS))
            # A federation has thousands, and each is looked at once
            element.clear()
    ends = (root.get(_ENDS),) if root.get(_ENDS) else ()
    return Metadata(ends, found)


def ended(moments: Iterable[str | None], now: datetime) -> str | None:
    """Give the first of these moments that is over; one that cannot be read counts as over, and none has no end."""
    return next((each for each in moments if each and not _to_come(each, now)), None)


def _to_come(written: str, now: datetime) -> bool:
    try:
        moment = datetime.fromisoformat(written.strip())
    except ValueError:
        return False
    # xs:dateTime without a zone is UTC in SAML (saml-core-2.0-os section 1.3.3)
    return now < (moment if moment.tzinfo else moment.replace(tzinfo=UTC))
