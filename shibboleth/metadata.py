"""Validity of SAML metadata: `validUntil` of a file, its entities and roles.

SAML metadata (saml-metadata-2.0-os) sections 2.3.1, 2.3.2 and 2.4.1. `cacheDuration`, how often the file is fetched, is
not read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from xml.etree.ElementTree import Element

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

_SAML = "{urn:oasis:names:tc:SAML:2.0:metadata}"
_ENTITY = f"{_SAML}EntityDescriptor"
_ROOTS = {_ENTITY, f"{_SAML}EntitiesDescriptor"}
_VALID_UNTIL = "validUntil"
_DISPLAY_NAME = "{urn:oasis:names:tc:SAML:metadata:ui}DisplayName"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


class InvalidMetadata(ValueError):
    """The file is not SAML metadata; the message says why."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The validity of a metadata file; times are as written in the file."""

    valid_until: tuple[str, ...]
    """Of the file as a whole; empty where it has none."""
    entities: dict[str, tuple[str, ...]]
    """`validUntil` of each requested entity in the file and of its roles, by entityID."""


def read_metadata(path: Path, entity_ids: Collection[str]) -> Metadata:
    """Read the validity of a metadata file and of these entities in it.

    Raises:
        InvalidMetadata: If the file cannot be read or is not SAML metadata.
    """
    try:
        with path.open("rb") as file:
            return _read(file, entity_ids)
    except OSError as error:
        raise InvalidMetadata(error.strerror or type(error).__name__) from None
    except (ParseError, DefusedXmlException) as error:
        raise InvalidMetadata(f"it is not acceptable XML ({type(error).__name__})") from None


def _read(file: BinaryIO, entity_ids: Collection[str]) -> Metadata:
    events = iterparse(file, ("start", "end"))
    _, root = next(events)
    if root.tag not in _ROOTS:
        raise InvalidMetadata("it is XML, but not SAML 2.0 metadata")
    entities = {}
    for event, element in events:
        if event == "end" and element.tag == _ENTITY:
            entity_id = element.get("entityID")
            if entity_id in entity_ids:
                entities[entity_id] = tuple(each.get(_VALID_UNTIL) for each in element.iter() if each.get(_VALID_UNTIL))
            # Free the memory: a federation has thousands of entities
            element.clear()
    return Metadata((root.get(_VALID_UNTIL),) if root.get(_VALID_UNTIL) else (), entities)


def read_display_names(path: Path, entity_id: str) -> dict[str, str]:
    """Return the display names of an entity, by language.

    The names for users (mdui:DisplayName, sstc-saml-metadata-ui section 2.1.2), or else those of its organisation. A
    file that cannot be read, or has no such entity, has no names.
    """
    try:
        with path.open("rb") as file:
            for _, element in iterparse(file, ("end",)):
                if element.tag == _ENTITY:
                    if element.get("entityID") == entity_id:
                        return _display_names(element)
                    element.clear()
    except (OSError, ParseError, DefusedXmlException):
        pass
    return {}


def _display_names(entity: Element) -> dict[str, str]:
    for tag in (_DISPLAY_NAME, f"{_SAML}OrganizationDisplayName"):
        names = {each.get(_LANGUAGE, "en"): " ".join((each.text or "").split())[:200] for each in entity.iter(tag)}
        if any(names.values()):
            return {code: name for code, name in names.items() if name}
    return {}


def first_expired(times: Iterable[str | None], now: datetime) -> str | None:
    """Return the first time that has passed; None if all are in the future.

    A time that cannot be parsed counts as passed, and None as never.
    """
    return next((each for each in times if each and not _is_future(each, now)), None)


def _is_future(text: str, now: datetime) -> bool:
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        return False
    # xs:dateTime without a zone is UTC in SAML (saml-core-2.0-os section 1.3.3)
    return now < (time if time.tzinfo else time.replace(tzinfo=UTC))
