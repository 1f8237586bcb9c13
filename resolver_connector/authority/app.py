"""WSGI application of the attribute authority.

It is separate from the connector because the SAML library is slow and large.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from wsgiref.types import StartResponse
from xml.sax.saxutils import escape

from resolver_connector.authority.query import CLOCK_SKEW, AttributeQuery, InvalidQuery, QueryDenied
from resolver_connector.authority.replay import ReplayCache
from resolver_connector.authority.saml import InvalidSamlFile, MetadataExpired, SamlMessages
from resolver_connector.http import (
    COMMON_HEADERS,
    STATUS_LINES,
    BadRequest,
    Environ,
    Header,
    RequestTooLarge,
    Response,
    read_body,
)
from resolver_connector.resolver import current_orcid_ids
from shibboleth.orcid_id import OrcidId, Registry
from shibboleth.organisation import Organisation, OrganisationMisconfigured
from sql.errors import SchemaAhead, SchemaBehind, StoreUnavailable
from sql.store import Store

MAX_QUERY_BYTES = 64 * 1024
"""A query with its certificate has about 4,000 bytes."""
_TEMPORARY = (StoreUnavailable, SchemaBehind, SchemaAhead, InvalidSamlFile, OrganisationMisconfigured)
_XML = "text/xml; charset=utf-8"
_FAULT = (
    '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault>'
    "<faultcode>soap:{code}</faultcode><faultstring>{text}</faultstring>"
    "</soap:Fault></soap:Body></soap:Envelope>"
)

_log = logging.getLogger("orcid-connect")


@dataclass(frozen=True, slots=True)
class AttributeAuthority:
    """The WSGI application of the attribute authority."""

    store: Store
    saml: SamlMessages
    clients: Sequence[tuple[Organisation, frozenset[str]]]
    """Each organisation, and the entityIDs of the services that may query attributes of its people."""
    registry: Registry
    clock: Callable[[], datetime]
    misconfigured: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The scopes of organisations with invalid settings, by the organisation's id."""
    replay_cache: ReplayCache = field(default_factory=ReplayCache)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333).

        A POST request is an AttributeQuery; a GET request returns the authority's metadata.
        """
        status, headers, body = self._dispatch(environ)
        start_response(STATUS_LINES[status], headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    def _dispatch(self, environ: Environ) -> Response:
        method = environ["REQUEST_METHOD"]
        if method in {"GET", "HEAD"}:
            return _response(200, self.saml.metadata, "application/samlmetadata+xml")
        if method != "POST":
            return _response(405, b"", "text/plain", ("Allow", "GET, HEAD, POST"))
        try:
            return _response(200, self._answer(read_body(environ, MAX_QUERY_BYTES)))
        except (InvalidQuery, BadRequest, RequestTooLarge) as error:
            return _fault("Client", str(error))
        except _TEMPORARY as error:
            _log.error("authority", extra={"facts": {"error": type(error).__name__, "reason": str(error)}})
            text, retry_after = "the service is temporarily unavailable; try again", [("Retry-After", "5")]
            if isinstance(error, MetadataExpired):
                text, retry_after = "the federation's metadata has expired", []
            return _fault("Server", text, *retry_after)
        except Exception:  # noqa: BLE001 - the response is SOAP whatever happens
            _log.exception("bug")
            return _fault("Server", "internal error")

    def _answer(self, body: bytes) -> bytes:
        try:
            query = self._accepted_query(body)
        except QueryDenied as error:
            _log.warning("authority-denied", extra={"facts": {"reason": str(error)}})
            return self.saml.denied_response(error)
        return self.saml.response(query, self._orcid_ids(query))

    def _accepted_query(self, body: bytes) -> AttributeQuery:
        query = self.saml.parse(body, self.clock())
        for organisation_id, scopes in self.misconfigured.items():
            if query.value.rpartition("@")[2].lower() in scopes:
                raise OrganisationMisconfigured(organisation_id)
        if not any(query.service in services for _, services in self.clients):
            raise QueryDenied("no organisation has named this service", query.id)
        # Only for queries of known services, so that others cannot push entries out of the cache
        if not self.replay_cache.add(query.service, query.id, query.issued_at + CLOCK_SKEW, self.clock()):
            raise QueryDenied("the query was sent before", query.id)
        return query

    def _orcid_ids(self, query: AttributeQuery) -> list[OrcidId]:
        # An unknown account and an organisation that has not named the service are not distinguished
        organisations = [
            organisation
            for organisation, services in self.clients
            if query.service in services and _may_answer(organisation, query)
        ]
        if len(organisations) != 1 or not query.wants_orcid:
            return []
        return current_orcid_ids(self.store, organisations[0], query.value, self.registry)


def _may_answer(organisation: Organisation, query: AttributeQuery) -> bool:
    return (
        query.attribute in {None, organisation.key}
        and query.qualifier in {None, *organisation.entity_ids, query.service}
        and organisation.has_scope(query.value.rpartition("@")[2])
    )


def _fault(code: str, text: str, *extra_headers: Header) -> Response:
    # SOAP 1.1 section 6.2: every fault has the status 500
    return _response(500, _FAULT.format(code=code, text=escape(text)).encode(), _XML, *extra_headers)


def _response(status: int, body: bytes, media_type: str = _XML, *extra_headers: Header) -> Response:
    headers = [("Content-Type", media_type), ("Content-Length", str(len(body))), *COMMON_HEADERS, *extra_headers]
    return status, headers, [body]
