"""The signed-in person, read from the attributes that the SP exports.

The attributes are validated here; the rest of the program trusts a `Person`.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import unquote

from shibboleth.account_holder import parse_stable_id
from shibboleth.account_time import same_issue_time
from shibboleth.attributes import AFFILIATION_DETAILS, ATTRIBUTES, IDENTITY_PROVIDER, KEYS, fold
from shibboleth.characters import XML_WHITE_SPACE, displayed, is_visible
from shibboleth.orcid_id import InvalidOrcidId, OrcidId
from shibboleth.organisation import Organisation, Organisations, UnknownOrganisation

PROOF_HEADER = "X-Front-Proof"
"""The header by which the proxy authenticates itself (`front = "proxy"`)."""
MAX_ACCOUNT_LENGTH = 512
"""In characters."""

_MAX_NAME_LENGTH = 200
# What the Service Provider's URL encoder leaves as it is, and percent-encoded octets
_URL_ENCODED = re.compile(r"(?:[A-Za-z0-9!$'()*,._~-]|%[0-9A-Fa-f]{2})*", re.ASCII)


class Encoding(StrEnum):
    """How the Service Provider encodes attribute values."""

    URL = "url"
    """`ShibRequestSetting encoding URL`: each value percent-encoded, `;` only between values."""
    UTF8 = "utf-8"
    """UTF-8, which WSGI presents as Latin-1 (PEP 3333); `;` inside a value is written `\\;`."""


class ProxyNotAuthenticated(PermissionError):
    """The request did not come through the trusted proxy."""


class NotSignedIn(PermissionError):
    """The request has no Shibboleth session."""


class MissingAttribute(LookupError):
    """The Identity Provider did not release the organisation's key attribute."""

    def __init__(self, name: str, organisation: Organisation) -> None:
        super().__init__(f"{organisation.id} sent no {name}")
        self.name = name
        self.organisation = organisation


class SeveralValues(ValueError):
    """The key attribute has several different values."""

    def __init__(self, name: str, organisation: Organisation) -> None:
        super().__init__(f"{organisation.id} sent several values of {name}")
        self.name = name
        self.organisation = organisation


class ForeignScope(ValueError):
    """The scope of the account is not one of the organisation's."""

    def __init__(self, name: str, organisation: Organisation) -> None:
        super().__init__(f"{organisation.id} sent {name} with a scope that is not its own")
        self.name = name
        self.organisation = organisation


class AttributeDefect(StrEnum):
    """Why the value of an attribute is not valid."""

    NOT_UTF8 = "it is not UTF-8"
    TOO_LONG = "it is longer than 512 characters"
    NOT_URL_ENCODED = "it is not URL-encoded"
    INVISIBLE = "it contains invisible characters"
    NOT_SCOPED = "it does not have exactly one @"
    EMPTY = "it is empty"
    FOREIGN_SCOPE = "it does not end in one of the organisation's domains"


class BrokenAttribute(ValueError):
    """A value is not in the configured encoding, or cannot be an account."""

    def __init__(self, name: str, reason: AttributeDefect) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason
        self.organisation: Organisation | None = None
        """None where the broken value is the entityID."""


@dataclass(frozen=True, slots=True)
class Person:
    """A signed-in person: an account at an organisation."""

    organisation: Organisation
    account: str
    """The value of the organisation's key attribute as released, for example `maija@yliopisto.example`."""
    name: str = ""
    """The display name, for display only; empty where none was released."""
    account_issued_at: str = ""
    """When the account was issued (funetEduPersonEPPNTimeStamp), as released; compared by `account_time`."""
    stable_id: str = ""
    """The stable id (`account_holder.parse_stable_id`); empty where none was released."""
    prior_keys: frozenset[str] = frozenset()
    """The folded eppns that the person had before (eduPersonPrincipalNamePrior), where the key attribute is eppn."""
    released: frozenset[OrcidId] = field(default_factory=frozenset)
    """The ORCID iDs that the Identity Provider releases for this person."""
    entitlements: frozenset[str] = field(default_factory=frozenset)
    """Values of eduPersonEntitlement; never stored."""
    entity_id: str = ""
    """The entityID of the Identity Provider where the person signed in; never stored with the person."""
    affiliations: frozenset[str] = frozenset()
    """What the person is in the organisation, such as `staff`: values of eduPersonScopedAffiliation in its scopes."""
    affiliation_details: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The values of the attributes AFFILIATION_DETAILS that have one value."""

    @property
    def key(self) -> str:
        """The folded account, by which spellings of one account are equal."""
        return fold(self.account)

    @property
    def prior_accounts(self) -> str:
        """The earlier eppns in one text, for display only."""
        return ", ".join(sorted(self.prior_keys))

    @property
    def affiliation_text(self) -> str:
        """Affiliations, department and title in one text, for display only."""
        return ", ".join([*sorted(self.affiliations), *self.affiliation_details.values()])


class AttributeSource(Protocol):
    """Reads the attributes that the Service Provider exports from a request."""

    def require_proof(self, environ: Mapping[str, Any]) -> None:
        """Check that the request came through the service's own Apache.

        Raises:
            ProxyNotAuthenticated: If it did not.
        """

    def read(self, environ: Mapping[str, Any], name: str) -> str:
        """Return the encoded values of an attribute; empty where it is absent."""


@dataclass(frozen=True, slots=True)
class VariableSource:
    """Attributes in WSGI variables (mod_wsgi; `front = "variables"`).

    A client cannot set WSGI variables.
    """

    def require_proof(self, environ: Mapping[str, Any]) -> None:
        """Accept every request: no client can set these variables."""

    def read(self, environ: Mapping[str, Any], name: str) -> str:
        """Return the variable, never the header of the same name."""
        value = environ.get(name, "")
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class HeaderSource:
    """Attributes in request headers (`front = "proxy"`).

    The headers are trusted only with the proxy's proof, since clients can send headers too.
    """

    proof: str = field(repr=False)

    def require_proof(self, environ: Mapping[str, Any]) -> None:
        """Compare the proof header in constant time; a missing header is a wrong one."""
        shown = self.read(environ, PROOF_HEADER)
        if not hmac.compare_digest(shown.encode("latin-1", "replace"), self.proof.encode()):
            raise ProxyNotAuthenticated

    def read(self, environ: Mapping[str, Any], name: str) -> str:
        """Return the header, never the variable.

        `(null)` is how Apache writes an absent variable.
        """
        value = environ.get("HTTP_" + name.upper().replace("-", "_"), "")
        return value if isinstance(value, str) and value != "(null)" else ""


@dataclass(frozen=True, slots=True)
class ShibbolethSession:
    """The attributes of a Shibboleth session, decoded as the SP encodes them."""

    attributes: Mapping[str, str] = field(repr=False)
    encoding: Encoding

    def values(self, name: str) -> list[str]:
        """Return the decoded values of an attribute without white space around them.

        Empty values are left out.

        Raises:
            BrokenAttribute: If a value is not in the configured encoding.
        """
        raw = self.attributes[name]
        try:
            parts = _split_url_encoded(name, raw) if self.encoding is Encoding.URL else _split_utf8(raw)
        except UnicodeDecodeError:
            raise BrokenAttribute(name, AttributeDefect.NOT_UTF8) from None
        return [value for value in (part.strip(XML_WHITE_SPACE) for part in parts) if value]

    def optional_values(self, name: str) -> list[str]:
        """Return the decoded values of an attribute that sign-in does not need.

        Returns:
            Empty if a value is not in the configured encoding.
        """
        try:
            return self.values(name)
        except BrokenAttribute:
            return []


def _split_url_encoded(name: str, raw: str) -> list[str]:
    # unquote, not unquote_plus: the Service Provider encodes a space as %20. It does not encode the entityID
    parts = raw.split(";")
    if name == IDENTITY_PROVIDER:
        return [part if ":" in part else unquote(part, errors="strict") for part in parts]
    if not all(map(_URL_ENCODED.fullmatch, parts)):
        raise BrokenAttribute(name, AttributeDefect.NOT_URL_ENCODED)
    return [unquote(part, errors="strict") for part in parts]


def _split_utf8(raw: str) -> list[str]:
    text = raw.encode("latin-1", "strict").decode("utf-8")
    # The Service Provider escapes a semicolon inside a value, and nothing else
    return [part.replace("\\;", ";") for part in re.split(r"(?<!\\);", text)]


_ATTRIBUTES_READ = (
    IDENTITY_PROVIDER,
    *KEYS,
    "displayName",
    "eduPersonPrincipalNamePrior",
    "funetEduPersonEPPNTimeStamp",
    "eduPersonOrcid",
    "eduPersonEntitlement",
    "eduPersonScopedAffiliation",
    *AFFILIATION_DETAILS,
)


def person_from(
    environ: Mapping[str, Any],
    source: AttributeSource,
    organisations: Organisations,
    encoding: Encoding = Encoding.URL,
) -> Person:
    """Return the signed-in person from the attributes of a request.

    Values that are equal are one value. Only the entityID and the organisation's key attribute are needed to sign in;
    every other attribute is ignored where it is broken.

    Raises:
        ProxyNotAuthenticated: If the request did not come through the proxy.
        NotSignedIn: If there is no session.
        UnknownOrganisation: If no organisation has this entityID.
        OrganisationMisconfigured: If the organisation's settings are invalid.
        MissingAttribute: If the key attribute is absent.
        SeveralValues: If the key attribute has different values.
        BrokenAttribute: If one of the two is not in the configured encoding, or the value cannot be an account.
        ForeignScope: If the scope of the account is not one of the organisation's.
    """
    source.require_proof(environ)
    session = ShibbolethSession({name: source.read(environ, name) for name in _ATTRIBUTES_READ}, encoding)
    entity_ids = {*session.values(IDENTITY_PROVIDER)}
    if len(entity_ids) != 1:
        raise NotSignedIn
    (entity_id,) = entity_ids
    try:
        organisation = organisations.by_entity_id(entity_id)
    except UnknownOrganisation:
        raise UnknownOrganisation(entity_id, _likely_organisation(entity_id, session, organisations)) from None
    try:
        account = _account(session, organisation)
    except BrokenAttribute as error:
        error.organisation = organisation
        raise
    names = map(displayed, session.optional_values("displayName"))
    return Person(
        organisation,
        account=account,
        name=next(filter(None, names), "")[:_MAX_NAME_LENGTH],
        account_issued_at=_account_issued_at(session),
        stable_id=parse_stable_id(organisation, session.optional_values(organisation.stable_id or organisation.key)),
        prior_keys=frozenset(_prior_keys(session, organisation)),
        released=frozenset(_released(session)),
        entitlements=frozenset(session.optional_values("eduPersonEntitlement")),
        entity_id=entity_id,
        affiliations=frozenset(_affiliations(session, organisation)),
        affiliation_details=MappingProxyType(dict(_affiliation_details(session))),
    )


def _likely_organisation(entity_id: str, session: ShibbolethSession, organisations: Organisations) -> str:
    # Only reported to the operator; a sign-in through it is refused
    scopes = {value.rpartition("@")[2] for name in KEYS for value in session.optional_values(name)}
    for one in organisations:
        if entity_id in one.former_entity_ids or any(map(one.has_scope, scopes)):
            return one.id
    return ""


def invalid_account(organisation: Organisation, account: str) -> AttributeDefect | None:
    """Return why a text cannot be an account of an organisation.

    Returns:
        None if it can be one.
    """
    if not account:
        return AttributeDefect.EMPTY
    if len(account) > MAX_ACCOUNT_LENGTH:
        return AttributeDefect.TOO_LONG
    if not is_visible(account):
        return AttributeDefect.INVISIBLE
    # Every key attribute is scoped
    user, _, scope = account.rpartition("@")
    if not user or "@" in user:
        return AttributeDefect.NOT_SCOPED
    return None if organisation.has_scope(scope) else AttributeDefect.FOREIGN_SCOPE


def _account(session: ShibbolethSession, organisation: Organisation) -> str:
    name = organisation.key
    values = {fold(value): value for value in reversed(session.values(name))}
    if not values:
        raise MissingAttribute(name, organisation)
    if len(values) > 1:
        raise SeveralValues(name, organisation)
    (value,) = values.values()
    scoped = ATTRIBUTES[name].scoped
    if len(value) > MAX_ACCOUNT_LENGTH:
        raise BrokenAttribute(name, AttributeDefect.TOO_LONG)
    if not is_visible(value):
        raise BrokenAttribute(name, AttributeDefect.INVISIBLE)
    if scoped and value.count("@") != 1:
        raise BrokenAttribute(name, AttributeDefect.NOT_SCOPED)
    user, _, scope = value.rpartition("@")
    if scoped and not (user and organisation.has_scope(scope)):
        raise ForeignScope(name, organisation)
    return value


def _account_issued_at(session: ShibbolethSession) -> str:
    values = [*map(displayed, session.optional_values("funetEduPersonEPPNTimeStamp"))]
    if any(not same_issue_time(values[0], other) for other in values[1:]):
        return ""  # none of several times is chosen
    return values[0][:_MAX_NAME_LENGTH] if values else ""


def _prior_keys(session: ShibbolethSession, organisation: Organisation) -> Iterator[str]:
    if organisation.key == "eppn":
        for value in session.optional_values("eduPersonPrincipalNamePrior"):
            user, _, scope = value.rpartition("@")
            if user and "@" not in user and organisation.has_scope(scope) and len(value) <= MAX_ACCOUNT_LENGTH:
                yield fold(value)


def _released(session: ShibbolethSession) -> Iterator[OrcidId]:
    for text in session.optional_values("eduPersonOrcid"):
        with suppress(InvalidOrcidId):
            yield OrcidId.parse(text)


def _affiliations(session: ShibbolethSession, organisation: Organisation) -> Iterator[str]:
    for value in session.optional_values("eduPersonScopedAffiliation"):
        affiliation, at, scope = value.rpartition("@")
        if at and organisation.has_scope(scope):
            yield affiliation.lower()


def _affiliation_details(session: ShibbolethSession) -> Iterator[tuple[str, str]]:
    for name in AFFILIATION_DETAILS:
        values = {*map(displayed, session.optional_values(name))}
        if len(values) == 1:  # none of several is chosen
            yield name, values.pop()[:_MAX_NAME_LENGTH]
