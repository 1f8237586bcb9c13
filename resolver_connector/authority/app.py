"""The attribute authority, a WSGI application of its own: SAML is slow and large, and no sign-in shall wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from wsgiref.types import StartResponse
from xml.sax.saxutils import escape

from resolver_connector.authority.query import SKEW, Denied, Malformed, Query
from resolver_connector.authority.replay import Answered
from resolver_connector.authority.saml import MetadataExpired, Saml, Unusable
from resolver_connector.http import GUARDS, STATUS, Environ, Header, Reply, Report
from resolver_connector.resolver import resolve
from shibboleth.orcid_id import OrcidId, Registry
from shibboleth.organisation import Organisation
from sql.errors import SchemaAhead, SchemaBehind, StoreUnavailable
from sql.store import Store

LARGEST_QUERY = 64 * 1024
"""In bytes; one with its certificate has about four thousand."""
_DIGITS = len(str(LARGEST_QUERY))
_AWAY = (StoreUnavailable, SchemaBehind, SchemaAhead, Unusable)
"""What may well happen to us, and passes."""
_FAULT = (
    '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault>'
    "<faultcode>soap:{whose}</faultcode><faultstring>{why}</faultstring>"
    "</soap:Fault></soap:Body></soap:Envelope>"
)


@dataclass(frozen=True, slots=True)
class AttributeAuthority:
    """What the attribute authority works with."""

    store: Store
    saml: Saml
    clients: Sequence[tuple[Organisation, frozenset[str]]]
    """Each organisation, and the entityIDs of the services that may query attributes of its people."""
    registry: Registry
    report: Report
    clock: Callable[[], datetime]
    answered: Answered = field(default_factory=Answered)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333): a query by POST, our metadata by GET."""
        status, headers, body = self._reply(environ)
        start_response(STATUS[status], headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    def _reply(self, environ: Environ) -> Reply:
        method = environ["REQUEST_METHOD"]
        if method in {"GET", "HEAD"}:
            return _written(200, self.saml.description, "application/samlmetadata+xml")
        if method != "POST":
            return _written(405, b"", "text/plain", ("Allow", "GET, HEAD, POST"))
        try:
            return _written(200, self._answer(_body(environ)))
        except Malformed as error:
            return _fault("Client", str(error))
        except _AWAY as error:
            self.report("authority", error=type(error).__name__, reason=str(error))
            return _away(error)
        except Exception as error:  # noqa: BLE001 - whatever happens, the answer is SOAP
            self.report.exception(error)
            return _fault("Server", "internal error")

    def _answer(self, body: bytes) -> bytes:
        try:
            query = self.saml.read(body, self.clock())
            self._must_be_trusted(query)
            self._must_be_the_first(query)
        except Denied as error:
            self.report("authority-denied", reason=str(error))
            return self.saml.denied(error)
        return self.saml.found(query, self._found(query))

    def _must_be_trusted(self, query: Query) -> None:
        if not any(query.service in services for _, services in self.clients):
            raise Denied("no organisation has named who asks", query.id)

    def _must_be_the_first(self, query: Query) -> None:
        # Only now, since what anybody can send must not push out of the memory what was answered
        if not self.answered.note(query.service, query.id, query.issued + SKEW, self.clock()):
            raise Denied("it was sent before", query.id)

    def _found(self, query: Query) -> list[OrcidId]:
        organisation = self._organisation(query)
        if organisation is None or not query.wants_orcid:
            return []
        return resolve(self.store, organisation, query.value, self.registry)

    def _organisation(self, query: Query) -> Organisation | None:
        """Give the one organisation that named who asks and whose person this may be.

        Whether nobody has such an account, or an organisation has not named the service, is not told apart.
        """
        fitting = [
            organisation
            for organisation, services in self.clients
            if query.service in services and _fits(organisation, query)
        ]
        return fitting[0] if len(fitting) == 1 else None


def _fits(organisation: Organisation, query: Query) -> bool:
    return (
        query.attribute in {None, organisation.key}
        and query.qualifier in {None, organisation.entity_id, query.service}
        and organisation.owns(query.value.rpartition("@")[2])
    )


def _body(environ: Environ) -> bytes:
    length = environ.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdecimal() and len(length) <= _DIGITS and 0 < int(length) <= LARGEST_QUERY):
        raise Malformed(f"a query has at least one byte and at most {LARGEST_QUERY}")
    body: bytes = environ["wsgi.input"].read(int(length))
    return body


def _away(error: Exception) -> Reply:
    if isinstance(error, MetadataExpired):
        return _fault("Server", "the federation's metadata that we hold has expired")
    return _fault("Server", "the service cannot answer now; try again", ("Retry-After", "5"))


def _fault(whose: str, why: str, *extra: Header) -> Reply:
    # SOAP 1.1 section 6.2: a fault goes with 500, whoever is to blame
    return _written(500, _FAULT.format(whose=whose, why=escape(why)).encode(), "text/xml; charset=utf-8", *extra)


def _written(status: int, body: bytes, kind: str = "text/xml; charset=utf-8", *extra: Header) -> Reply:
    return status, [("Content-Type", kind), ("Content-Length", str(len(body))), *GUARDS, *extra], [body]
