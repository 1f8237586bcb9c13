"""The connector: a small WSGI application that organisations' Identity Providers and identity management ask.

It answers in JSON and nothing else: never a redirect, never HTML, also for a bug.  What an Identity Provider asks has
always its Content-Length and is never compressed.  Bottle is not used here: its own answers to what is wrong are
HTML, and each sign-in of each organisation passes through this function.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from threading import BoundedSemaphore
from wsgiref.types import StartResponse

from resolver_connector.credentials import Credentials
from resolver_connector.deprovision import account_of, asked_to_deprovision, deprovision
from resolver_connector.feed import SNAPSHOTS, Feed
from resolver_connector.http import (
    LARGEST_BODY,
    STATUS,
    BadRequest,
    CursorExpired,
    Environ,
    Header,
    MethodNotAllowed,
    NotFound,
    Reply,
    Report,
    RequestTooLarge,
    TooManyRequests,
    Unauthorized,
    path_of,
    reply,
)
from resolver_connector.openapi import openapi
from resolver_connector.resolver import Lookup, Resolver
from resolver_connector.stale import Replicas
from shibboleth.orcid_id import Registry
from shibboleth.organisation import Organisation
from sql.errors import SchemaAhead, SchemaBehind, StoreUnavailable
from sql.store import Store

__all__ = ["ROUTES", "Connector", "Report"]

# Basic first: an Identity Provider of version 4 sends its password only after this challenge
_CHALLENGE = [("WWW-Authenticate", 'Basic realm="orcid-connect", charset="UTF-8"'), ("WWW-Authenticate", "Bearer")]


class Connector:
    """The WSGI application of the connector."""

    def __init__(  # noqa: PLR0913, PLR0917 - one for each thing it works with
        self,
        store: Store,
        credentials: Credentials,
        registry: Registry,
        report: Report,
        clock: Callable[[], datetime],
        transfers: Mapping[str, Collection[str]] | None = None,
        *,
        gate: BoundedSemaphore | None = None,
        lookup: Lookup | None = None,
        replicas: Replicas | None = None,
    ) -> None:
        self.store = store
        self.credentials = credentials
        self.report = report
        self.clock = clock
        self.transfers = transfers or {}
        self.lookup = lookup or store.lookup()
        self.resolver = Resolver(self.lookup, registry, replicas)
        self.document = openapi()
        self.feed = Feed(store, registry, gate or BoundedSemaphore(SNAPSHOTS), report)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        status, headers, body = self._answer(environ)
        # A copy: a server may do with its list as it likes
        start_response(STATUS[status], [*headers])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    def _answer(self, environ: Environ) -> Reply:
        try:
            return self._found(environ)
        except tuple(_ANSWERS) as error:
            status, text, extra = _ANSWERS[type(error)]
            if status >= 500:  # noqa: PLR2004 - the class of answers that are ours to mend
                self.report("connector", error=type(error).__name__, reason=str(error))
            allowed = [("Allow", error.allowed)] if isinstance(error, MethodNotAllowed) else []
            return reply({"error": text or str(error)}, status, [*extra, *allowed])
        except Exception as error:  # noqa: BLE001 - whatever happens, the answer is JSON
            self.report.exception(error)
            return reply({"error": "internal error"}, 500)

    def _found(self, environ: Environ) -> Reply:
        path = path_of(environ)
        methods = _PEOPLE if path.startswith("/v1/people/") else ROUTES.get(path)
        if methods is None:
            raise NotFound
        answer = methods.get(environ["REQUEST_METHOD"])
        if answer is None:
            raise MethodNotAllowed(methods)
        return answer(self, environ, path)

    def asking(self, environ: Environ) -> Organisation:
        """Give the organisation whose credential came with a request. Raises Unauthorized."""
        organisation = self.credentials.organisation(environ.get("HTTP_AUTHORIZATION", ""))
        if organisation is None:
            raise Unauthorized
        return organisation


def _person(connector: Connector, environ: Environ, path: str) -> Reply:
    organisation = connector.asking(environ)
    return connector.resolver.answer(organisation.entity_id, account_of(environ, path))


def _records(connector: Connector, environ: Environ, path: str) -> Reply:
    organisation = connector.asking(environ)
    return connector.resolver.records(organisation.entity_id, account_of(environ, path))


def _leaver(connector: Connector, environ: Environ, path: str) -> Reply:
    organisation = connector.asking(environ)
    asked = asked_to_deprovision(environ, path)
    connector.lookup.must_answer()
    transfers = tuple(connector.transfers.get(organisation.entity_id, ()))
    gone = deprovision(connector.store, organisation, asked, connector.clock(), transfers)
    if not asked.dry_run:
        connector.report("deprovisioned", organisation=organisation.id, links=gone["links"])
    return reply({"dry_run": asked.dry_run, **gone})


def _changes(connector: Connector, environ: Environ, _path: str) -> Reply:
    organisation = connector.asking(environ)
    connector.lookup.must_answer()
    return connector.feed.changes(organisation, environ)


def _acknowledged(connector: Connector, environ: Environ, _path: str) -> Reply:
    organisation = connector.asking(environ)
    connector.lookup.must_answer()
    return connector.feed.acknowledge(organisation, environ, connector.clock())


def _health(connector: Connector, _environ: Environ, _path: str) -> Reply:
    connector.lookup.must_be_ready()
    return reply({"status": "ok"})


def _document(connector: Connector, _environ: Environ, _path: str) -> Reply:
    return connector.document


_Answering = Callable[[Connector, Environ, str], Reply]

ROUTES: Mapping[str, Mapping[str, _Answering]] = {
    "/v1/people": {"GET": _person, "HEAD": _person, "DELETE": _leaver},
    "/v1/records": {"GET": _records, "HEAD": _records},
    "/v1/changes": {"GET": _changes, "HEAD": _changes},
    "/v1/changes/ack": {"POST": _acknowledged},
    "/v1/health": {"GET": _health, "HEAD": _health},
    "/v1/openapi.json": {"GET": _document, "HEAD": _document},
}
"""Each place, and who answers there to which method; an account stands behind `/v1/people/`, or in the query."""
_PEOPLE = ROUTES["/v1/people"]

_ANSWERS: Mapping[type[Exception], tuple[int, str, list[Header]]] = {
    BadRequest: (400, "", []),
    Unauthorized: (401, "a credential of your organisation is needed", _CHALLENGE),
    NotFound: (404, "no such address", []),
    MethodNotAllowed: (405, "", []),
    CursorExpired: (410, "", []),
    RequestTooLarge: (413, f"at most {LARGEST_BODY} bytes are taken", []),
    TooManyRequests: (503, "", [("Retry-After", "10")]),
    StoreUnavailable: (503, "the database does not answer; try again", [("Retry-After", "5")]),
    SchemaBehind: (503, "the service is being updated; try again", [("Retry-After", "30")]),
    SchemaAhead: (503, "the service is being updated; try again", [("Retry-After", "30")]),
}
"""Each thing that may be wrong: status, text (the error's own where empty), and headers."""
