"""Parses and validates an AttributeQuery, with pysaml2.

AttributeQuery: saml-core-2.0-os section 3.3.2.3, in a SOAP envelope, saml-bindings-2.0-os section 3.2.
"""

from __future__ import annotations

import re
from calendar import timegm
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from saml2 import samlp
from saml2.soap import parse_soap_enveloped_saml_attribute_query
from saml2.time_util import str_to_time
from saml2.xmldsig import (
    DIGEST_SHA256,
    DIGEST_SHA384,
    DIGEST_SHA512,
    SIG_ECDSA_SHA256,
    SIG_ECDSA_SHA384,
    SIG_ECDSA_SHA512,
    SIG_RSA_SHA256,
    SIG_RSA_SHA384,
    SIG_RSA_SHA512,
)

from shibboleth.attributes import ATTRIBUTES
from shibboleth.characters import XML_WHITE_SPACE

CLOCK_SKEW = timedelta(minutes=5)
"""Maximum difference between a query's IssueInstant and the current time."""
VERSION = "2.0"
ORCID = ATTRIBUTES["eduPersonOrcid"].saml2_name
UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
ATTRIBUTE_OF = {row.saml2_name: row.id for row in ATTRIBUTES.values() if row.may_be_key}
"""The ids of the attributes that may identify the person in a query, by their SAML names."""

_STRONG = {
    *(SIG_RSA_SHA256, SIG_RSA_SHA384, SIG_RSA_SHA512),
    *(SIG_ECDSA_SHA256, SIG_ECDSA_SHA384, SIG_ECDSA_SHA512),
}
_DIGESTS = {DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512}
ALLOWED_ALGORITHMS = {*_DIGESTS, *_STRONG}
"""The accepted signature and digest algorithms."""
_IDS = re.compile(rb"""\sID\s*=\s*["']""")
_SIGNATURES = re.compile(rb"<(?:[^\s<>:/]+:)?Signature[\s/>]")


class InvalidQuery(ValueError):
    """The body is not an AttributeQuery in a SOAP envelope.

    The message has the reason.
    """


class QueryDenied(PermissionError):
    """The service, the time or the recipient of the query is not accepted.

    The message has the reason.
    """

    def __init__(self, reason: str, query_id: str) -> None:
        super().__init__(reason)
        self.query_id = query_id


@dataclass(frozen=True, slots=True)
class AttributeQuery:
    """A query whose signature was verified."""

    id: str
    issued_at: datetime
    service: str
    """The entityID of the requesting service."""
    value: str
    """The value of the attribute that identifies the person."""
    attribute: str | None
    """The id of that attribute (`shibboleth.attributes`); None where the query does not name it."""
    qualifier: str | None
    """The NameQualifier: the entityID of the person's Identity Provider or of the service; None where absent."""
    wants_orcid: bool


def parse_envelope(body: bytes) -> Any:
    """Parse the SOAP envelope; return pysaml2's AttributeQuery, not verified.

    Raises:
        InvalidQuery: If the body is not one AttributeQuery in a SOAP envelope, or lacks ID, Issuer or Subject.
    """
    query = samlp.attribute_query_from_string(_query_in(body))
    if query is None or not query.id or query.version != VERSION:
        raise InvalidQuery("the query has no ID, or its Version is not 2.0")
    if query.issuer is None or not (query.issuer.text or "").strip(XML_WHITE_SPACE):
        raise InvalidQuery("the query has no Issuer")
    if (
        query.subject is None
        or query.subject.name_id is None
        or not (query.subject.name_id.text or "").strip(XML_WHITE_SPACE)
    ):
        raise InvalidQuery("the query has no Subject with a NameID")
    return query


def require_strong_signature(query: Any) -> None:
    """Check that the signature uses strong algorithms.

    Raises:
        QueryDenied: If the signature or a digest uses an algorithm that is not in `ALLOWED_ALGORITHMS`.
    """
    signed = query.signature.signed_info
    digests = {each.digest_method.algorithm for each in signed.reference}
    if signed.signature_method.algorithm not in _STRONG or not digests <= _DIGESTS:
        raise QueryDenied("the signature must use SHA-256 or stronger", query.id)


def issuer_of(query: Any) -> str:
    """Return the entityID of the requesting service."""
    return str(query.issuer.text).strip(XML_WHITE_SPACE)


def to_attribute_query(query: Any, now: datetime) -> AttributeQuery:
    """Convert pysaml2's query to an `AttributeQuery`.

    The caller has verified its signature.

    Raises:
        InvalidQuery: If the IssueInstant is missing or invalid.
        QueryDenied: If the query is not current, or the NameID's Format is not supported.
    """
    try:
        issued_at = datetime.fromtimestamp(timegm(str_to_time(query.issue_instant)), UTC)
    except (ValueError, TypeError, OverflowError):
        raise InvalidQuery("the query has no valid IssueInstant") from None
    if abs(now - issued_at) > CLOCK_SKEW:
        raise QueryDenied("the IssueInstant is more than five minutes from the current time", query.id)
    name_id = query.subject.name_id
    form = name_id.format or UNSPECIFIED
    if form != UNSPECIFIED and form not in ATTRIBUTE_OF:
        raise QueryDenied("the Format of the NameID must be the name of an identifying attribute", query.id)
    wanted = {each.name for each in query.attribute}
    return AttributeQuery(
        id=query.id,
        issued_at=issued_at,
        service=issuer_of(query),
        value=name_id.text.strip(XML_WHITE_SPACE),
        attribute=ATTRIBUTE_OF.get(form),
        qualifier=name_id.name_qualifier or None,
        wants_orcid=not wanted or ORCID in wanted,
    )


def _query_in(body: bytes) -> str:
    # With a second ID, the signature could cover another element than the one that is parsed
    if len(_IDS.findall(body)) != 1 or b"<!DOCTYPE" in body:
        raise InvalidQuery("exactly one element, the query, must have an ID, and a DOCTYPE is not allowed")
    if len(_SIGNATURES.findall(body)) > 1:
        # xmlsec1 verifies the first signature that it finds
        raise InvalidQuery("there must be one signature, that of the query")
    try:
        found = parse_soap_enveloped_saml_attribute_query(body)
    except Exception as error:  # noqa: BLE001 - pysaml2 raises Exception itself, and its XML parser others
        raise InvalidQuery(f"no AttributeQuery in a SOAP envelope ({type(error).__name__})") from None
    if not found:
        raise InvalidQuery("the envelope has no body")
    return found.decode() if isinstance(found, bytes) else str(found)
