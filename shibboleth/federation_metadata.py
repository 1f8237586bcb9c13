"""Reads an Identity Provider from signed metadata of its federation.

Only what is signed is read: the signature is verified with the federation's certificate, never with one of the file.
SAML metadata (saml-metadata-2.0-os) sections 2.3, 2.4 and 3; scopes: Shibboleth metadata extensions
(`urn:mace:shibboleth:metadata:1.0`); names: Metadata Extensions for Login and Discovery User Interface 1.0, 2.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from types import MappingProxyType
from typing import Any

from cryptography import x509
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse
from signxml import SignatureConfiguration, XMLVerifier

from shibboleth.characters import displayed
from shibboleth.metadata import InvalidMetadata, first_expired

_MD = "{urn:oasis:names:tc:SAML:2.0:metadata}"
_UI = "{urn:oasis:names:tc:SAML:metadata:ui}"
_SCOPE = "{urn:mace:shibboleth:metadata:1.0}Scope"
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_MAX_TEXT = 200
_MAX_CONTACTS = 20


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact of an Identity Provider, in the words of its operator."""

    kind: str
    """`technical`, `support`, `administrative`, `billing` or `other`."""
    name: str
    address: str
    """Without `mailto:`; not validated."""


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """An Identity Provider as the federation describes it."""

    entity_id: str
    names: Mapping[str, str]
    """Its names by language code, on one line each."""
    scopes: tuple[str, ...]
    pattern_scopes: tuple[str, ...]
    """Scopes that are regular expressions."""
    contacts: tuple[Contact, ...]
    valid_until: str
    """The earliest `validUntil` that applies to it, as written; empty where there is none."""


def read_identity_provider(data: bytes, certificate: str, entity_id: str, now: datetime) -> IdentityProvider:
    """Verify metadata, and read one Identity Provider in it.

    Args:
        data: The metadata.
        certificate: The certificate of the federation's signing key, in PEM. Its own validity does not matter.
        entity_id: The entityID, compared exactly.
        now: The time at which the metadata must be valid.

    Raises:
        InvalidMetadata: If it is not SAML metadata, is not signed by this certificate, has expired, or does not have
            the entity once and as an Identity Provider.
    """
    found = list(_entities(_verified(data, certificate), entity_id))
    if len(found) != 1:
        raise InvalidMetadata(f"it has {'no' if not found else 'more than one'} entity with this entityID")
    ((entity, times),) = found
    role = entity.find(f"{_MD}IDPSSODescriptor")
    if role is None:
        raise InvalidMetadata("the entity is not an Identity Provider")
    times += [each.get("validUntil") for each in (entity, role) if each.get("validUntil")]
    if end := first_expired(times, now):
        raise InvalidMetadata(f"it expired at {displayed(end)[:_MAX_TEXT]}")
    extensions = [each for one in (entity, role) for each in one.findall(f"{_MD}Extensions")]
    scopes = [each for one in extensions for each in one.findall(_SCOPE)]
    return IdentityProvider(
        entity_id,
        MappingProxyType(dict(_names(entity, role))),
        tuple(dict.fromkeys(_text(each) for each in scopes if not _is_pattern(each) and _text(each))),
        tuple(dict.fromkeys(_text(each) for each in scopes if _is_pattern(each))),
        tuple(_contacts(entity))[:_MAX_CONTACTS],
        min(times, default=""),
    )


def _verified(data: bytes, certificate: str) -> bytes:
    # Returns what is signed. The first reading refuses document types and entities, which the second would expand
    try:
        for _, element in iterparse(BytesIO(data), forbid_dtd=True):
            element.clear()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise InvalidMetadata(f"it is not acceptable XML ({type(error).__name__})") from None
    try:
        pinned = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        raise InvalidMetadata("the certificate is not one in PEM") from None
    # It is pinned for its key, whatever its own validity, as in Shibboleth
    at = pinned.not_valid_before_utc
    expected = SignatureConfiguration(location="./", expect_references=1, verification_time=at)
    try:
        result = XMLVerifier().verify(data, x509_cert=pinned, id_attribute="ID", expect_config=expected)
    except Exception as error:  # noqa: BLE001 - for a hostile signature the library raises more than it documents
        raise InvalidMetadata(f"its signature is not valid for this certificate ({type(error).__name__})") from None
    signed: bytes = getattr(result, "signed_data", b"")
    return signed


def _entities(data: bytes, entity_id: str) -> Iterator[tuple[Any, list[str]]]:
    # Each entity with this entityID, and the `validUntil` of what is around it
    around: list[Any] = []
    for event, element in iterparse(BytesIO(data), ("start", "end"), forbid_dtd=True):
        if event == "start":
            if not around and element.tag not in {f"{_MD}EntitiesDescriptor", f"{_MD}EntityDescriptor"}:
                raise InvalidMetadata("it is signed XML, but not SAML 2.0 metadata")
            around.append(element)
            continue
        around.pop()
        if element.tag == f"{_MD}EntityDescriptor":
            if element.get("entityID") == entity_id:
                yield element, [each.get("validUntil") for each in around if each.get("validUntil")]
            else:
                # Free the memory: a federation has thousands of entities
                element.clear()


def _names(entity: Any, role: Any) -> Iterator[tuple[str, str]]:
    # The last one of a language wins: those for people who sign in, over those of the organisation
    places = (
        (entity, f"{_MD}Organization/{_MD}OrganizationName"),
        (entity, f"{_MD}Organization/{_MD}OrganizationDisplayName"),
        (role, f"{_MD}Extensions/{_UI}UIInfo/{_UI}DisplayName"),
    )
    for parent, path in places:
        for each in parent.findall(path):
            if _text(each):
                yield (each.get(_LANG) or "").partition("-")[0].lower(), _text(each)


def _contacts(entity: Any) -> Iterator[Contact]:
    for person in entity.findall(f"{_MD}ContactPerson"):
        name = " ".join(filter(None, (_text(person.find(f"{_MD}{part}")) for part in ("GivenName", "SurName"))))
        for each in person.findall(f"{_MD}EmailAddress"):
            address = _text(each)
            if address.lower().startswith("mailto:"):
                address = address[len("mailto:") :]
            yield Contact(displayed(person.get("contactType") or "")[:_MAX_TEXT], name, address)


def _is_pattern(scope: Any) -> bool:
    return (scope.get("regexp") or "").strip() in {"true", "1"}


def _text(element: Any) -> str:
    text = "" if element is None else element.text or ""
    return " ".join(displayed(text).split())[:_MAX_TEXT].strip()
