"""What a query to the attribute authority says, and what it must be whoever asks: SAML 2.0 by pysaml2.

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

SKEW = timedelta(minutes=5)
"""How far another machine's clock may be from ours, and how old a query may be."""
_WHITE = " \t\r\n"
"""XML's white space (section 2.3)."""
VERSION = "2.0"
ORCID = ATTRIBUTES["eduPersonOrcid"].saml2_name
UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
ATTRIBUTE_OF = {row.saml2_name: row.id for row in ATTRIBUTES.values() if row.may_be_key}
"""The id of each attribute by which a query may name a person, by the attribute's name in SAML."""

_STRONG = {
    *(SIG_RSA_SHA256, SIG_RSA_SHA384, SIG_RSA_SHA512),
    *(SIG_ECDSA_SHA256, SIG_ECDSA_SHA384, SIG_ECDSA_SHA512),
}
_DIGESTS = {DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512}
LISTED = {*_DIGESTS, *_STRONG}
"""The algorithms that a signature may be made by."""
_IDS = re.compile(rb"""\sID\s*=\s*["']""")
_SIGNATURES = re.compile(rb"<(?:[^\s<>:/]+:)?Signature[\s/>]")


class Malformed(ValueError):
    """What came is no AttributeQuery in a SOAP envelope; its text says why."""


class Denied(PermissionError):
    """Nobody whom the federation knows has signed this query, now and for us; its text says why."""

    def __init__(self, why: str, query_id: str) -> None:
        super().__init__(why)
        self.query_id = query_id


@dataclass(frozen=True, slots=True)
class Query:
    """What a service of the federation asks, its signature checked."""

    id: str
    issued: datetime
    service: str
    """The entityID of who asks."""
    value: str
    """The person, by the value of an attribute."""
    attribute: str | None
    """The id of that attribute (`shibboleth.attributes`); None where the query leaves it to us."""
    qualifier: str | None
    """The entityID of the person's Identity Provider, where the query names it."""
    wants_orcid: bool


def parsed(body: bytes) -> Any:
    """Read a query from its envelope, as pysaml2 gives it. Raises Malformed."""
    query = samlp.attribute_query_from_string(_inside(body))
    if query is None or not query.id or query.version != VERSION:
        raise Malformed("the query has no ID, or is not of SAML 2.0")
    if query.issuer is None or not (query.issuer.text or "").strip(_WHITE):
        raise Malformed("the query does not say who asks")
    if query.subject is None or query.subject.name_id is None or not (query.subject.name_id.text or "").strip(_WHITE):
        raise Malformed("the query does not say about whom")
    return query


def must_be_strong(query: Any) -> None:
    """Raise Denied for a signature that others can make as well."""
    signed = query.signature.signed_info
    digests = {each.digest_method.algorithm for each in signed.reference}
    if signed.signature_method.algorithm not in _STRONG or not digests <= _DIGESTS:
        raise Denied("it is signed with SHA-1; SHA-256 is the least", query.id)


def issuer_of(query: Any) -> str:
    """Give the entityID of who asks."""
    return str(query.issuer.text).strip(_WHITE)


def asked(query: Any, now: datetime) -> Query:
    """Give what a query asks that was made just now. Raises Malformed and Denied."""
    issued = _must_be_new(query, now)
    name_id = query.subject.name_id
    form = name_id.format or UNSPECIFIED
    if form != UNSPECIFIED and form not in ATTRIBUTE_OF:
        raise Denied("a person is named by an attribute here: the Format must be its name", query.id)
    wanted = {each.name for each in query.attribute}
    return Query(
        id=query.id,
        issued=issued,
        service=issuer_of(query),
        value=name_id.text.strip(_WHITE),
        attribute=ATTRIBUTE_OF.get(form),
        qualifier=name_id.name_qualifier or None,
        wants_orcid=not wanted or ORCID in wanted,
    )


def _inside(body: bytes) -> str:
    """Give the query that a SOAP envelope holds."""
    # Whatever a signature covers must be what is read: one element with an ID, and it is the query
    if len(_IDS.findall(body)) != 1 or b"<!DOCTYPE" in body:
        raise Malformed("exactly one element of it must have an ID, the query, and there may be no DOCTYPE")
    if len(_SIGNATURES.findall(body)) > 1:
        # xmlsec1 verifies the first that it finds, which might be another than the one that is looked at here
        raise Malformed("there may be one signature, that of the query")
    try:
        found = parse_soap_enveloped_saml_attribute_query(body)
    except Exception as error:  # noqa: BLE001 - pysaml2 raises Exception itself, and its XML reader some of its own
        raise Malformed(f"no AttributeQuery in a SOAP envelope ({type(error).__name__})") from None
    if not found:
        raise Malformed("the envelope has no body")
    return found.decode() if isinstance(found, bytes) else str(found)


def _must_be_new(query: Any, now: datetime) -> datetime:
    """Give when a query was made."""
    try:
        issued = datetime.fromtimestamp(timegm(str_to_time(query.issue_instant)), UTC)
    except (ValueError, TypeError, OverflowError):
        raise Malformed("the query does not say when it was made") from None
    if abs(now - issued) > SKEW:
        raise Denied("it was made more than five minutes ago, or a clock is wrong", query.id)
    return issued
