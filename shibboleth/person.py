"""Who is signed in, as the Service Provider tells it: decoded once, and refused here or trusted from here on."""

from __future__ import annotations

import hmac
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import unquote

from shibboleth.attributes import ATTRIBUTES, IDENTITY_PROVIDER, KEYS, fold
from shibboleth.orcid_id import InvalidOrcidId, OrcidId
from shibboleth.organisation import Organisation, Organisations

PROOF_HEADER = "X-Front-Proof"
"""The header by which the proxy proves to be ours (`front = "proxy"`)."""

_WHITE = " \t\r\n"
"""XML's white space (section 2.3), which may stand around a value; any other character is part of it."""
_LONGEST_KEY = 512
_LONGEST_NAME = 200
_BREAKING = frozenset({"Cc", "Zl", "Zp"})
_UNSEEN = _BREAKING | {"Cf"}


class Encoding(StrEnum):
    """How the Service Provider writes values that are not plain ASCII."""

    URL = "url"
    """`ShibRequestSetting encoding URL`: each value percent-encoded, `;` only between values."""
    UTF8 = "utf-8"
    """As they are: UTF-8, which WSGI shows as Latin-1 (PEP 3333), `;` inside a value written `\\;`."""


class ProxyNotAuthenticated(PermissionError):
    """The request did not come through the front, so nothing it says of a person is believed."""


class NotSignedIn(PermissionError):
    """The front tells of no session."""


class MissingAttribute(LookupError):
    """The Identity Provider did not send the attribute that tells this organisation's people apart."""

    def __init__(self, name: str, organisation: Organisation) -> None:
        super().__init__(f"{organisation.id} sent no {name}")
        self.name = name
        self.organisation = organisation


class SeveralValues(ValueError):
    """An attribute that must have one value came with several; none of them is guessed to be the person."""

    def __init__(self, name: str, organisation: Organisation) -> None:
        super().__init__(f"{organisation.id} sent several values of {name}")
        self.name = name
        self.organisation = organisation


class ForeignScope(ValueError):
    """The identifier's scope is not one of the organisation's."""

    def __init__(self, name: str, organisation: Organisation) -> None:
        super().__init__(f"{organisation.id} sent {name} with a scope that is not its own")
        self.name = name
        self.organisation = organisation


class Flaw(StrEnum):
    """Why a value cannot be what it should be."""

    NOT_UTF8 = "it is not UTF-8"
    TOO_LONG = "it is longer than 512 characters"
    UNSEEN = "it holds characters that cannot be seen"
    NOT_SCOPED = "it has not exactly one @"


class BrokenAttribute(ValueError):
    """A value cannot be what it should be."""

    def __init__(self, name: str, reason: Flaw) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Person:
    """A signed-in person: an account at an organisation."""

    organisation: Organisation
    account: str
    """The value of the organisation's key attribute as it was sent, for example `maija@yliopisto.example`."""
    name: str = ""
    """The display name, only to greet; empty where none was sent."""
    issued: str = ""
    """When the account was issued (funetEduPersonEPPNTimeStamp); another value means another person."""
    released: frozenset[OrcidId] = field(default_factory=frozenset)
    """The ORCID iDs which the Identity Provider itself releases for this person."""
    entitlements: frozenset[str] = field(default_factory=frozenset)
    """What the Identity Provider says the person may do: worth as much as that Identity Provider, and never stored."""

    @property
    def key(self) -> str:
        """The account in the form in which two spellings of one account are equal."""
        return fold(self.account)


class AttributeSource(Protocol):
    """The one place where what the Service Provider says is read."""

    def must_be_proven(self, environ: Mapping[str, Any]) -> None:
        """Raise ProxyNotAuthenticated unless the request came through our own front."""

    def read(self, environ: Mapping[str, Any], name: str) -> str:
        """Give the raw value under which the front carries this name; empty when there is none."""


@dataclass(frozen=True, slots=True)
class Variables:
    """mod_wsgi: attributes are variables of the request, out of reach of any header (`front = "variables"`)."""

    def must_be_proven(self, environ: Mapping[str, Any]) -> None:
        """Nothing to prove: no client can set these variables."""

    def read(self, environ: Mapping[str, Any], name: str) -> str:
        """Read the variable itself, never the header of the same name."""
        value = environ.get(name, "")
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A reverse proxy in front of the app: attributes are headers, believed only with the proof (`front = "proxy"`)."""

    proof: str = field(repr=False)

    def must_be_proven(self, environ: Mapping[str, Any]) -> None:
        """Compare the proof header in constant time; a missing one is a wrong one."""
        shown = self.read(environ, PROOF_HEADER)
        if not hmac.compare_digest(shown.encode("latin-1", "replace"), self.proof.encode()):
            raise ProxyNotAuthenticated

    def read(self, environ: Mapping[str, Any], name: str) -> str:
        """Read the header, never the variable; Apache's word for an absent variable means absent."""
        value = environ.get("HTTP_" + name.upper().replace("-", "_"), "")
        return value if isinstance(value, str) and value != "(null)" else ""


@dataclass(frozen=True, slots=True)
class ShibbolethSession:
    """What the Service Provider says of a session: values by attribute, decoded."""

    said: Mapping[str, str] = field(repr=False)
    """Each attribute's values as the front carries them."""
    encoding: Encoding

    def values(self, name: str) -> list[str]:
        """Give all values of an attribute; none where it is absent or empty. Raises BrokenAttribute."""
        try:
            parts = _SPLIT[self.encoding](self.said[name])
        except UnicodeDecodeError:
            raise BrokenAttribute(name, Flaw.NOT_UTF8) from None
        return [value for value in (part.strip(_WHITE) for part in parts) if value]

    def first(self, name: str) -> str:
        """Give the first value of an attribute that is only for show; empty where there is none."""
        values = self.values(name)
        return values[0] if values else ""


def _split_url_encoded(raw: str) -> list[str]:
    # unquote, not unquote_plus: a plus is a plus
    return [unquote(part, errors="strict") for part in raw.split(";")]


def _split_utf8(raw: str) -> list[str]:
    text = raw.encode("latin-1", "strict").decode("utf-8")
    # The Service Provider escapes a semicolon inside a value, and nothing else
    return [part.replace("\\;", ";") for part in re.split(r"(?<!\\);", text)]


_SPLIT = {Encoding.URL: _split_url_encoded, Encoding.UTF8: _split_utf8}
_READ = (
    IDENTITY_PROVIDER,
    *KEYS,
    "displayName",
    "funetEduPersonEPPNTimeStamp",
    "eduPersonOrcid",
    "eduPersonEntitlement",
)
"""All that is read of a person."""


def person_from(
    environ: Mapping[str, Any], front: AttributeSource, organisations: Organisations, encoding: Encoding = Encoding.URL
) -> Person:
    """Who is signed in, as the Service Provider tells it.

    Raises ProxyNotAuthenticated, NotSignedIn, UnknownOrganisation, MissingAttribute, SeveralValues, ForeignScope and
    BrokenAttribute.
    """
    front.must_be_proven(environ)
    session = ShibbolethSession({name: front.read(environ, name) for name in _READ}, encoding)
    organisation = _organisation(session, organisations)
    return Person(
        organisation,
        account=_account(session, organisation),
        name=_printable(session.first("displayName"))[:_LONGEST_NAME],
        issued=_printable(session.first("funetEduPersonEPPNTimeStamp"))[:_LONGEST_NAME],
        released=frozenset(_released(session)),
        entitlements=_entitlements(session),
    )


def _organisation(session: ShibbolethSession, organisations: Organisations) -> Organisation:
    entity_ids = session.values(IDENTITY_PROVIDER)
    if len(entity_ids) != 1:
        raise NotSignedIn
    return organisations.by_entity_id(entity_ids[0])


def _account(session: ShibbolethSession, organisation: Organisation) -> str:
    name = organisation.key
    values = session.values(name)
    if not values:
        raise MissingAttribute(name, organisation)
    if len(values) > 1:
        raise SeveralValues(name, organisation)
    (value,) = values
    _must_be_sound(name, value)
    user, _, scope = value.rpartition("@")
    if ATTRIBUTES[name].scoped and not (user and organisation.has_scope(scope)):
        raise ForeignScope(name, organisation)
    return value


def _must_be_sound(name: str, value: str) -> None:
    if len(value) > _LONGEST_KEY:
        raise BrokenAttribute(name, Flaw.TOO_LONG)
    if not value.isprintable() and any(unicodedata.category(each) in _UNSEEN for each in value):
        raise BrokenAttribute(name, Flaw.UNSEEN)
    if ATTRIBUTES[name].scoped and value.count("@") != 1:
        raise BrokenAttribute(name, Flaw.NOT_SCOPED)


def _released(session: ShibbolethSession) -> list[OrcidId]:
    found = []
    for text in session.values("eduPersonOrcid"):
        try:
            found.append(OrcidId.parse(text))
        except InvalidOrcidId:
            continue  # what another source releases is its own affair
    return found


def _entitlements(session: ShibbolethSession) -> frozenset[str]:
    try:
        return frozenset(session.values("eduPersonEntitlement"))
    except BrokenAttribute:
        return frozenset()  # nobody is kept from their own page by what is only for a few


def _printable(text: str) -> str:
    if text.isprintable():
        return text.strip(_WHITE)
    # A line feed in a name ends in nobody's log or header; joiners stay, since some scripts need them
    return "".join(" " if unicodedata.category(each) in _BREAKING else each for each in text).strip(_WHITE)
