"""Verifies queries and builds responses of the attribute authority.

It uses pysaml2. Assertion Query/Request Profile: saml-profiles-2.0-os section 6; SOAP binding: saml-bindings-2.0-os
section 3.2.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from saml2 import BINDING_SOAP, SAMLError, class_name, samlp
from saml2.config import Config
from saml2.mdstore import TooOld
from saml2.metadata import entity_descriptor
from saml2.pack import make_soap_enveloped_saml_thingy
from saml2.s_utils import sid, status_message_factory, success_status_factory
from saml2.saml import NAMEID_FORMAT_ENTITY, Issuer, NameID
from saml2.server import Server
from saml2.sigver import MissingKey, SignatureError
from saml2.time_util import instant
from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256

from resolver_connector.authority.query import (
    ALLOWED_ALGORITHMS,
    ATTRIBUTE_OF,
    UNSPECIFIED,
    VERSION,
    AttributeQuery,
    QueryDenied,
    issuer_of,
    parse_envelope,
    require_strong_signature,
    to_attribute_query,
)
from shibboleth.attributes import ATTRIBUTES
from shibboleth.metadata import first_expired
from shibboleth.orcid_id import OrcidId

METADATA_CHECK_INTERVAL = timedelta(minutes=1)
"""How often to check whether the metadata file has changed."""

# pysaml2 logs messages, which identify persons; the application logs what is needed
logging.getLogger("saml2").setLevel(logging.CRITICAL)


class InvalidSamlFile(ValueError):
    """The key, the certificate or the federation's metadata cannot be used.

    The message has the reason.
    """


class MetadataExpired(InvalidSamlFile):
    """The `validUntil` of the federation's metadata has passed."""


@dataclass(frozen=True, slots=True)
class AuthorityIdentity:
    """The authority's entityID, keys and metadata."""

    entity_id: str
    url: str
    """The URL to which queries are sent: their Destination, where they have one."""
    key: Path
    """Private key in PEM."""
    certificate: Path
    metadata: Path
    """The federation's metadata."""
    metadata_certificate: Path | None = None
    """The certificate with which the metadata must be signed; None where another program verifies the file."""


class SamlMessages:
    """Parses queries and builds responses for one authority.

    It reloads the federation's metadata when the file changes.
    """

    def __init__(self, identity: AuthorityIdentity, now: datetime) -> None:
        """Load keys and metadata.

        Raises:
            InvalidSamlFile: If a file cannot be used.
        """
        self.identity = identity
        self._server, self._file_version = self._load(), self._current_file_version()
        self._checked_at = now
        self.metadata = _own_metadata(self._server.config)
        """The authority's own metadata, for registration in the federation."""

    def parse(self, body: bytes, now: datetime) -> AttributeQuery:
        """Parse a query and verify its signature.

        Raises:
            InvalidQuery: If the body is not an AttributeQuery.
            QueryDenied: If the signature, the service, the time or the Destination is not accepted.
            InvalidSamlFile: If the metadata changed and cannot be loaded.
        """
        query = parse_envelope(body)
        self._reload_metadata(now)
        self._require_current_metadata(query, now)
        self._require_signature(query, body)
        require_strong_signature(query)
        if query.destination not in {None, "", self.identity.url}:
            raise QueryDenied("the Destination is another service", query.id)
        return to_attribute_query(query, now)

    def response(self, query: AttributeQuery, orcid_ids: Sequence[OrcidId]) -> bytes:
        """Build a signed response with an assertion of these iDs.

        If there are none, the response has no assertion.
        """
        if not orcid_ids:
            success = self._status_response(query.id, success_status_factory())
            return _envelope(self._server.sign(success, sign_alg=SIG_RSA_SHA256, digest_alg=DIGEST_SHA256))
        response = self._server.create_attribute_response(
            {"eduPersonOrcid": [each.uri for each in orcid_ids]},
            query.id,
            None,
            query.service,
            name_id=_name_id(query),
            sign_response=True,
            sign_alg=SIG_RSA_SHA256,
            digest_alg=DIGEST_SHA256,
        )
        return _envelope(response)

    def denied_response(self, error: QueryDenied) -> bytes:
        """Build a response that denies a query.

        It is not signed, because the requester is not authenticated.
        """
        status = status_message_factory(str(error), samlp.STATUS_REQUEST_DENIED, samlp.STATUS_REQUESTER)
        return _envelope(self._status_response(error.query_id, status))

    def _status_response(self, query_id: str, status: Any) -> Any:
        return samlp.Response(
            id=sid(),
            version=VERSION,
            issue_instant=instant(),
            issuer=Issuer(text=self._server.config.entityid, format=NAMEID_FORMAT_ENTITY),
            in_response_to=query_id,
            status=status,
        )

    def _require_current_metadata(self, query: Any, now: datetime) -> None:
        # validUntil of the whole file, of the service's entity and of its roles
        for source in self._server.metadata.metadata.values():
            whole = source.entities_descr or source.entity_descr
            if end := first_expired([getattr(whole, "valid_until", None)], now):
                raise MetadataExpired(f"{self.identity.metadata} was valid until {end}")
            if issuer_of(query) in source.to_old or first_expired(
                _valid_until(source.entity.get(issuer_of(query), {})), now
            ):
                raise QueryDenied("the metadata of the service has expired", query.id)

    def _require_signature(self, query: Any, body: bytes) -> None:
        if not query.signature:
            raise QueryDenied("the query is not signed", query.id)
        try:
            # The body as received: pysaml2 writes other namespace prefixes, which the signature covers
            self._server.sec.check_signature(query, class_name(query), body, must=True)
        except MissingKey:
            raise QueryDenied("the metadata has no key of the service", query.id) from None
        except (SignatureError, SAMLError) as error:
            raise QueryDenied(f"the signature is not valid ({type(error).__name__})", query.id) from None

    def _reload_metadata(self, now: datetime) -> None:
        # The federation's metadata changes daily
        if abs(now - self._checked_at) < METADATA_CHECK_INTERVAL:
            return
        self._checked_at = now
        version = self._current_file_version()
        if version not in {None, self._file_version}:
            self._server, self._file_version = self._load(), version

    def _current_file_version(self) -> tuple[int, int] | None:
        try:
            status = self.identity.metadata.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size

    def _load(self) -> Server:
        mine = self.identity
        signed_by = () if mine.metadata_certificate is None else (str(mine.metadata_certificate),)
        source = {"class": "saml2.mdstore.MetaDataFile", "metadata": [(str(mine.metadata), *signed_by)]}
        settings = {
            "entityid": mine.entity_id,
            "key_file": str(mine.key),
            "cert_file": str(mine.certificate),
            "xmlsec_binary": "/usr/bin/xmlsec1",
            "metadata": [source],
            "service": {
                "aa": {
                    "endpoints": {"attribute_service": [(mine.url, BINDING_SOAP)]},
                    "name_id_format": sorted(ATTRIBUTE_OF),
                    "policy": {"default": {"lifetime": {"minutes": 5}, "fail_on_missing_requested": False}},
                }
            },
        }
        try:
            server = Server(config=Config().load(settings))
        except TooOld as error:
            raise MetadataExpired(f"{mine.metadata}: {error}") from error
        except Exception as error:
            # pysaml2 has no common class for errors in a file
            raise InvalidSamlFile(f"{type(error).__name__}: {error}") from error
        # Even with a certificate, pysaml2 accepts metadata without a signature
        if signed_by and not all(each.signed() for each in server.metadata.metadata.values()):
            raise InvalidSamlFile(f"{mine.metadata} is not signed")
        return server


def _own_metadata(config: Config) -> bytes:
    descriptor = entity_descriptor(config)
    # pysaml2 lists all algorithms of xmlsec1, MD5 and SHA-1 too, and a Shibboleth SP signs with the first it supports
    descriptor.extensions.extension_elements = [
        each
        for each in descriptor.extensions.extension_elements
        if each.attributes.get("Algorithm") in ALLOWED_ALGORITHMS
    ]
    return str(descriptor).encode()


def _valid_until(entity: Mapping[str, Any]) -> Iterator[str | None]:
    # validUntil of an entity and of its roles
    yield entity.get("valid_until")
    for roles in entity.values():
        if isinstance(roles, list):
            yield from (role.get("valid_until") for role in roles if isinstance(role, dict))


def _name_id(query: AttributeQuery) -> Any:
    form = UNSPECIFIED if query.attribute is None else ATTRIBUTES[query.attribute].saml2_name
    return NameID(text=query.value, format=form, name_qualifier=query.qualifier)


def _envelope(message: Any) -> bytes:
    text = make_soap_enveloped_saml_thingy(message)
    return text.encode() if isinstance(text, str) else bytes(text)
