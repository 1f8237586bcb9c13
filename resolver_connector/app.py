"""The connector: the WSGI application that organisations' systems query.

Its clients are organisations' Identity Providers and identity management systems. Every response is JSON, errors and
bugs included; there are no redirects and no HTML. Look-ups by an Identity Provider have a Content-Length and are never
compressed. Bottle is not used here, because its own error responses are HTML and every sign-in of every organisation
passes through this module.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from threading import BoundedSemaphore
from time import monotonic
from wsgiref.types import StartResponse, WSGIEnvironment

from resolver_connector.attested.bulk import MAX_BULK_BYTES, BulkRequest, bulk
from resolver_connector.attested.listing import ListRequest, is_listed, person_json, write_links
from resolver_connector.attested.person import OTHER_SOURCE, PutRequest, entity_tag, link_json, precondition
from resolver_connector.attested.receivers import Receivers
from resolver_connector.attested.rows import InvalidMember, RowReader
from resolver_connector.change_json import timestamp
from resolver_connector.client_address import FailureLimit, TrustedProxies
from resolver_connector.credential_uses import CredentialUses
from resolver_connector.credentials import Client, Credentials, Right
from resolver_connector.deprovision import (
    DeprovisionRequest,
    ReconciliationRequest,
    cancelled_json,
    deprovision,
    pending_json,
)
from resolver_connector.feed import MAX_SNAPSHOTS, Feed, stream_slot
from resolver_connector.http import (
    COMMON_HEADERS,
    JSON,
    NDJSON,
    OWS,
    STATUS_LINES,
    AttestationRefused,
    BadRequest,
    Conflict,
    CredentialsUnknown,
    CursorExpired,
    Environ,
    Header,
    MethodNotAllowed,
    MissingRight,
    NotFound,
    NoToken,
    PreconditionFailed,
    RequestTooLarge,
    Response,
    TokenRefused,
    TooManyFailures,
    TooManySnapshots,
    Unauthorized,
    UnsupportedMediaType,
    json_response,
    parse_query,
    request_path,
    spool_body,
)
from resolver_connector.metrics import CREDENTIALS_REFUSED, OTHER_ROUTE, count_lookup
from resolver_connector.move import MOVE_SUFFIX, MoveRequest, move
from resolver_connector.openapi import openapi_response
from resolver_connector.orcid.pairs import TokenError, open_access_token
from resolver_connector.orcid.sealing import TokenSealer
from resolver_connector.orcid.token_request import TOKEN_READ, TOKEN_SUFFIX, TokenRequest
from resolver_connector.replica_cache import ReplicaCache
from resolver_connector.resolver import PEOPLE_PATH, Lookup, RequestedPerson, Resolver
from shibboleth.account_holder import different_holders
from shibboleth.attributes import fold
from shibboleth.orcid_id import Registry
from shibboleth.organisation import OrganisationMisconfigured
from shibboleth.process_state import ProcessState
from sql.errors import LinkedByPerson, SchemaAhead, SchemaBehind, StoreUnavailable
from sql.health import MAX_WAL_BACKLOG
from sql.records import Link
from sql.repositories.attested_links import Outcome, Precondition, Refusal
from sql.repositories.base import Attester
from sql.repositories.deletion.removals import RemovalsPending, TooManyRemovals
from sql.store import Store

__all__ = ["PUBLIC_ROUTES", "ROUTES", "Connector", "Route"]

MERGED_REFRESH = 5.0
"""Seconds after which the merged organisations, whose credentials have ended, are read again."""

_ROUTE = "orcid_connect.route"
"""The key of a request's route in its WSGI environment."""
_log = logging.getLogger("orcid-connect")


class Connector:
    """The WSGI application of the connector."""

    def __init__(  # noqa: PLR0913 - one argument for each dependency
        self,
        store: Store,
        credentials: Credentials,
        registry: Registry,
        clock: Callable[[], datetime],
        transfers: Mapping[str, Collection[str]] | None = None,
        *,
        transfer_credentials: Mapping[tuple[str, str], str] | None = None,
        snapshot_slots: BoundedSemaphore | None = None,
        lookup: Lookup | None = None,
        replicas: ReplicaCache | None = None,
        trusted_proxies: TrustedProxies | None = None,
        credential_uses: CredentialUses | None = None,
        process: ProcessState | None = None,
        sealer: TokenSealer | None = None,
    ) -> None:
        self.store = store
        self.credentials = credentials
        self.clock = clock
        self.registry = registry
        self.receivers = Receivers(transfers or {}, transfer_credentials or {})
        self.lookup = lookup or store.lookup()
        self.resolver = Resolver(self.lookup, registry, replicas)
        self.trusted_proxies = trusted_proxies or TrustedProxies()
        self.credential_uses = credential_uses
        self.process = process or ProcessState()
        self.sealer = sealer
        self.failure_limit = FailureLimit()
        self._merged: frozenset[str] = frozenset()
        self._merged_until = 0.0
        self.openapi_response = openapi_response()
        self.feed = Feed(store, registry, snapshot_slots or BoundedSemaphore(MAX_SNAPSHOTS))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        try:
            status, headers, body = self._dispatch(environ)
        except tuple(_ERROR_RESPONSES) as error:
            status, text, extra_headers = _ERROR_RESPONSES[type(error)]
            if status >= 500:  # noqa: PLR2004 - the class of server errors
                _log.error("connector", extra={"facts": {"error": type(error).__name__, "reason": str(error)}})
            if isinstance(error, MethodNotAllowed):
                extra_headers = [("Allow", error.allowed)]
            if isinstance(error, TooManyFailures):
                extra_headers = [("Retry-After", str(error.retry_after))]
            content = {"error": text or str(error)}
            match error:
                case PreconditionFailed(entity_tag=str(tag)):
                    extra_headers = [("ETag", tag)]
                case MissingRight():
                    content["right"] = error.right
                case (
                    AttestationRefused()
                    | OrganisationMisconfigured()
                    | CredentialsUnknown()
                    | NoToken()
                    | TokenRefused()
                ):
                    content["code"] = error.code
                case InvalidMember():
                    content["member"] = error.member
            status, headers, body = json_response(content, status, extra_headers)
        except Exception:  # noqa: BLE001 - the response is JSON whatever happens
            _log.exception("bug")
            status, headers, body = json_response({"error": "internal error"}, 500)
        # A copy, because a server may change the list
        start_response(STATUS_LINES[status], [*headers])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    def _dispatch(self, environ: WSGIEnvironment) -> Response:
        path = request_path(environ)
        method = environ["REQUEST_METHOD"]
        if public := PUBLIC_ROUTES.get(path):
            environ[_ROUTE] = path
            if method not in {"GET", "HEAD"}:
                raise MethodNotAllowed(("GET", "HEAD"))
            return public(self)
        route_path = _route_path(method, path)
        methods = ROUTES.get(route_path)
        if methods is None:
            raise NotFound
        environ[_ROUTE] = route_path
        route = methods.get(method)
        if route is None:
            raise MethodNotAllowed(methods)
        if route.without_account is not None and "account" not in parse_query(environ):
            route = route.without_account
        client = self.authenticate(environ)
        used = [right for right in route.rights if right in client.rights]
        if not used:
            facts = {"organisation": client.organisation.id, "credential": client.credential, "right": route.rights[0]}
            _log.warning("right-missing", extra={"facts": facts})
            raise MissingRight(route.rights)
        response = route.handler(self, client, environ, path)
        if used[0] is Right.READ:
            count_lookup(client.organisation.id)
        if self.credential_uses is not None:
            self.credential_uses.add(client, used[0])
        return response

    def authenticate(self, environ: Environ) -> Client:
        """Return the client whose credential the request carries.

        Each credential that is not valid is logged with the client's address, and counted by address. A request without
        a credential is neither: an Identity Provider sends one first, and its password after the challenge.

        Raises:
            OrganisationMisconfigured: If the credential is that of an organisation with invalid settings.
            CredentialsUnknown: If it is unknown, and may be that of such an organisation.
            Unauthorized: If there is no credential, or it is not valid.
            TooManyFailures: If it is not valid, and the address has sent too many of these.
        """
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        client = self.credentials.authenticate(authorization)
        if client is not None and client.organisation.id not in self._merged_organisations():
            return client
        if authorization and not self.credentials.complete:
            # Neither counted nor a refusal that others act on: it may be the credential of that organisation
            _log.warning("credential-unverifiable")
            raise CredentialsUnknown
        if authorization:
            address = self.trusted_proxies.client_address(environ)
            retry_after = self.failure_limit.add(address)
            scheme = authorization.strip(OWS).partition(" ")[0].lower()
            facts = {"address": address, "scheme": scheme if scheme in {"basic", "bearer"} else "other"}
            CREDENTIALS_REFUSED.labels(facts["scheme"]).inc()
            _log.warning("credential-refused", extra={"facts": facts})
            if retry_after:
                raise TooManyFailures(retry_after)
        raise Unauthorized

    def _merged_organisations(self) -> frozenset[str]:
        # Their credentials have ended. While the database is unavailable, the last result is used
        if (now := monotonic()) >= self._merged_until:
            self._merged_until = now + MERGED_REFRESH
            with suppress(StoreUnavailable):
                self._merged = self.lookup.merged_organisations()
        return self._merged


def _route_path(method: str, path: str) -> str:
    if method == "POST" and path.startswith(PEOPLE_PATH) and path.endswith(MOVE_SUFFIX):
        return MOVE_PATH
    if method == "POST" and path.startswith(PEOPLE_PATH) and path.endswith(TOKEN_SUFFIX):
        return TOKEN_PATH
    return PERSON_PATH if path.startswith(PEOPLE_PATH) else path


def requested_route(environ: Environ) -> str:
    """Return the route of a request that was answered, for the metrics."""
    route: str = environ.get(_ROUTE, OTHER_ROUTE)
    return route


def _get_person(connector: Connector, client: Client, environ: Environ, path: str) -> Response:
    return connector.resolver.released(RequestedPerson.parse(client.organisation, environ, path))


def _get_records(connector: Connector, client: Client, environ: Environ, path: str) -> Response:
    return connector.resolver.records(RequestedPerson.parse(client.organisation, environ, path))


def _delete_person(connector: Connector, client: Client, environ: Environ, path: str) -> Response:
    request, condition = DeprovisionRequest.parse(environ, path), precondition(environ)
    connector.lookup.ping()
    organisation, now = client.organisation, connector.clock()
    if Right.DEPROVISION in client.rights:
        transfers = connector.receivers.all(organisation.id)
        counts = deprovision(connector.store, organisation, request, now, transfers=transfers, precondition=condition)
        event = "deprovisioned"
    else:
        counts, event = _remove_attested(connector, client, request, condition), "attested-link-removed"
    if not request.dry_run:
        _log.info(event, extra={"facts": {"organisation": organisation.id, "links": counts["links"]}})
    return json_response({"dry_run": request.dry_run, **counts})


def _remove_attested(
    connector: Connector, client: Client, request: DeprovisionRequest, condition: Precondition
) -> dict[str, int]:
    def check(link: Link | None) -> None:
        condition(link)
        if link is not None and link.attested and client.source not in {None, link.source}:
            raise AttestationRefused(OTHER_SOURCE, f"the link is attested by {link.source}, not by {client.source}")

    try:
        removed = connector.store.attested_links.remove(
            client.organisation.id,
            fold(request.account),
            connector.clock(),
            system=_system(connector, client),
            precondition=check,
            dry_run=request.dry_run,
        )
    except LinkedByPerson as error:
        raise AttestationRefused(Refusal.LINKED_BY_PERSON, str(error)) from None
    return asdict(removed)


def _system(connector: Connector, client: Client) -> Attester:
    return connector.receivers.attester(client.organisation.id, client.credential)


def _put_person(connector: Connector, client: Client, environ: Environ, path: str) -> Response:
    now, organisation = connector.clock(), client.organisation
    request = PutRequest.parse(_row_reader(connector, client, now), environ, path)
    connector.lookup.ping()
    result, link = connector.store.attested_links.put(
        organisation.id,
        request.row,
        now,
        system=_system(connector, client),
        key_attribute=organisation.key,
        precondition=request.precondition,
    )
    facts = {"organisation": organisation.id, "outcome": result.refusal or result.outcome}
    _log.info("attested", extra={"facts": facts})
    if result.refusal is not None or link is None:
        raise AttestationRefused(str(result.refusal), result.reason)
    status = 201 if result.outcome is Outcome.LINKED else 200
    return json_response({"outcome": result.outcome, **link_json(link)}, status, [("ETag", entity_tag(link))])


def _post_people(connector: Connector, client: Client, environ: Environ, _path: str) -> Response:
    request = BulkRequest.parse(_row_reader(connector, client, connector.clock()), environ)
    connector.lookup.ping()
    # Read before it takes a slot, which a slow sender would hold
    file = spool_body(environ, MAX_BULK_BYTES)
    with stream_slot(connector.feed.snapshot_slots, file) as stream:
        chunks = bulk(connector.store, request, file, _system(connector, client), connector.clock)
        return 200, [*COMMON_HEADERS, ("Content-Type", NDJSON)], stream(chunks)


def _row_reader(connector: Connector, client: Client, now: datetime) -> RowReader:
    only_source = client.source is not None
    return RowReader(client.organisation, connector.registry, now, client.source or "", only_source=only_source)


def _list_people(connector: Connector, client: Client, environ: Environ, _path: str) -> Response:
    organisation_id, registry = client.organisation.id, connector.registry
    request = ListRequest.parse(registry, environ)
    connector.lookup.ping()
    facts = {"credential": client.credential}
    media_type = JSON if request.orcid_id is not None else request.media_type
    headers = [*COMMON_HEADERS, ("Content-Type", media_type), ("Vary", "Accept")]
    if environ["REQUEST_METHOD"] == "HEAD":
        # Nothing is read, because what is read is in the audit
        return 200, headers, []
    if request.orcid_id is not None:
        link = connector.store.links.get_by_orcid_id(organisation_id, request.orcid_id)
        found = [link] if link is not None and is_listed(link, registry) else []
        for each in found:
            _audit(connector, client, "person-looked-up", each.person_key, {**facts, "orcid": each.orcid_id.uri})
        return json_response({"people": [person_json(each) for each in found]})
    with stream_slot(connector.feed.snapshot_slots) as stream:
        _audit(connector, client, "links-listed", None, facts)
        links = (each for each in connector.store.links.list_current(organisation_id) if is_listed(each, registry))
        return 200, headers, stream(write_links(request.media_type, links))


def _audit(connector: Connector, client: Client, kind: str, person_key: str | None, facts: Mapping[str, str]) -> None:
    connector.store.audit.add(client.organisation.id, kind, "organisation", person_key, facts, connector.clock())


def _move_person(connector: Connector, client: Client, environ: Environ, path: str) -> Response:
    request = MoveRequest.parse(client.organisation, environ, path)
    connector.lookup.ping()
    transfers = connector.receivers.all(client.organisation.id)
    change = move(connector.store, client.organisation, request, connector.clock(), transfers)
    if change is not None:
        _log.info("moved", extra={"facts": {"organisation": client.organisation.id, "change": change.number}})
    return json_response({"moved": change is not None})


def _get_orcid_token(connector: Connector, client: Client, environ: Environ, path: str) -> Response:
    request, organisation = TokenRequest.parse(client.organisation, environ, path), client.organisation
    if not client.orcid_client_id:
        raise TokenRefused(TokenError.NO_CLIENT, "your organisation has no ORCID client that asks for permissions")
    connector.lookup.ping()
    link = connector.store.links.get(organisation.id, fold(request.person.account))
    if (
        link is None
        or not is_listed(link, connector.registry)
        or different_holders(link, request.person)
        or (organisation.needs_stable_id and not request.person.stable_id)
    ):
        raise NoToken(TokenError.NO_LINK, "the account has no ORCID iD that is released")
    stored = connector.store.orcid_tokens
    tokens = [each for each in stored.list_for_link(link.id) if each.client_id == client.orcid_client_id]
    for reported in [each for each in tokens if request.reports(each, connector.sealer)]:
        if stored.record_withdrawn(reported.id, connector.clock(), client.credential) is not None:
            facts = {"organisation": organisation.id, "client": reported.client_id}
            _log.info("orcid-permission-withdrawn", extra={"facts": facts})
        tokens = [each for each in stored.list_for_link(link.id) if each.client_id == client.orcid_client_id]
    token = request.choose(tokens, connector.clock())
    value = open_access_token(token, connector.sealer)
    if value is None:
        raise TokenRefused(TokenError.UNREADABLE, "the service cannot read the token; ask its operator")
    # Before the token is handed out: if it cannot be recorded, the client gets none
    facts = {"credential": client.credential, "scope": token.scope}
    _audit(connector, client, TOKEN_READ, link.person_key, facts)
    expires_at = None if token.expires_at is None else timestamp(token.expires_at)
    content = {"orcid": link.orcid_id.uri, "access_token": value, "token_type": "bearer", "scope": token.scope}
    return json_response({**content, "expires_at": expires_at})


def _get_changes(connector: Connector, client: Client, environ: Environ, _path: str) -> Response:
    connector.lookup.ping()
    return connector.feed.changes(
        client.organisation, environ, without=None if client.own_changes else client.credential
    )


def _acknowledge_changes(connector: Connector, client: Client, environ: Environ, _path: str) -> Response:
    connector.lookup.ping()
    return connector.feed.acknowledge(client.organisation, environ, connector.clock())


def _reconcile(connector: Connector, client: Client, environ: Environ, _path: str) -> Response:
    now = connector.clock()
    request = ReconciliationRequest.parse(client.organisation, environ, now)
    connector.lookup.ping()
    scheduled = connector.store.removals.schedule(
        client.organisation.id,
        request.person_keys,
        request.made_at,
        "organisation",
        now,
        max_percent=request.max_percent,
        credential=client.credential,
        dry_run=request.dry_run,
    )
    if scheduled.count and not request.dry_run:
        _log.info(
            "removals-scheduled", extra={"facts": {"organisation": client.organisation.id, "links": scheduled.count}}
        )
    content = {"dry_run": request.dry_run, "rows": request.rows, "links": scheduled.links, **pending_json(scheduled)}
    return json_response({**content, "accounts": scheduled.accounts})


def _get_reconciliation(connector: Connector, client: Client, _environ: Environ, _path: str) -> Response:
    connector.lookup.ping()
    return json_response(pending_json(connector.store.removals.pending(client.organisation.id)))


def _cancel_reconciliation(connector: Connector, client: Client, _environ: Environ, _path: str) -> Response:
    connector.lookup.ping()
    cancelled = connector.store.removals.cancel(
        client.organisation.id,
        "organisation",
        connector.clock(),
        attested_only=Right.DEPROVISION not in client.rights,
        source=client.source,
    )
    if cancelled.count:
        facts = {"organisation": client.organisation.id, "links": cancelled.count}
        _log.info("removals-cancelled", extra={"facts": facts})
    return json_response(cancelled_json(cancelled))


def _get_alive(connector: Connector) -> Response:
    return json_response({"status": "ok"}, extra_headers=connector.process.headers)


def _get_ready(connector: Connector) -> Response:
    if connector.process.ending:
        return json_response({"error": "the process ends"}, 503, [("Retry-After", "5"), *connector.process.headers])
    connector.lookup.check_schema()
    try:
        growing = connector.store.check_writable() > MAX_WAL_BACKLOG
    except StoreUnavailable as error:
        text = f"look-ups are answered, but nothing can be written: {error.reason}"
        return json_response({"error": text}, 503, [("Retry-After", "5"), *connector.process.headers])
    return json_response({"status": "wal-growing" if growing else "ok"}, extra_headers=connector.process.headers)


def _get_openapi(connector: Connector) -> Response:
    return connector.openapi_response


PERSON_PATH = "/v1/people/{account}"
"""The route of one person; `/v1/people?account=` has its methods too."""
MOVE_PATH = "/v1/people/{account}/move"
"""The route of a move; its path has the account in place of `{account}`."""
TOKEN_PATH = "/v1/people/{account}/orcid-token"  # noqa: S105 - a path
"""The route of an access token for ORCID, likewise."""


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path, their handler, and the right that they require."""

    rights: Sequence[Right]
    """Any of them is enough."""
    handler: Callable[[Connector, Client, Environ, str], Response]
    without_account: Route | None = None
    """The route of a request without the parameter `account`; None if it is the same."""


_PERSON_ROUTES: Mapping[str, Route] = {
    "GET": Route((Right.READ,), _get_person),
    "HEAD": Route((Right.READ,), _get_person),
    "PUT": Route((Right.ATTEST,), _put_person),
    "DELETE": Route((Right.DEPROVISION, Right.ATTEST), _delete_person),
}
_GET_PEOPLE = Route((Right.READ,), _get_person, without_account=Route((Right.REVERSE,), _list_people))
ROUTES: Mapping[str, Mapping[str, Route]] = {
    PERSON_PATH: _PERSON_ROUTES,
    "/v1/people": {
        **_PERSON_ROUTES,
        "GET": _GET_PEOPLE,
        "HEAD": _GET_PEOPLE,
        "POST": Route((Right.ATTEST,), _post_people),
    },
    MOVE_PATH: {"POST": Route((Right.MOVE,), _move_person)},
    TOKEN_PATH: {"POST": Route((Right.TOKENS,), _get_orcid_token)},
    "/v1/records": {"GET": Route((Right.READ,), _get_records), "HEAD": Route((Right.READ,), _get_records)},
    "/v1/changes": {"GET": Route((Right.FEED,), _get_changes), "HEAD": Route((Right.FEED,), _get_changes)},
    "/v1/changes/ack": {"POST": Route((Right.FEED,), _acknowledge_changes)},
    "/v1/reconciliation": {
        "GET": Route((Right.DEPROVISION, Right.ATTEST), _get_reconciliation),
        "HEAD": Route((Right.DEPROVISION, Right.ATTEST), _get_reconciliation),
        "POST": Route((Right.DEPROVISION,), _reconcile),
        "DELETE": Route((Right.DEPROVISION, Right.ATTEST), _cancel_reconciliation),
    },
}
"""Routes by path and method."""

PUBLIC_ROUTES: Mapping[str, Callable[[Connector], Response]] = {
    "/healthz": _get_alive,
    "/readyz": _get_ready,
    # Where the front-end server sends only what begins with /v1 to the connector
    "/v1/health": _get_ready,
    "/v1/openapi.json": _get_openapi,
}
"""Handlers of GET and HEAD without a credential, by path."""

_ERROR_RESPONSES: Mapping[type[Exception], tuple[int, str, list[Header]]] = {
    BadRequest: (400, "", []),
    Unauthorized: (
        401,
        "a valid credential of your organisation is required",
        # Basic first: an Identity Provider of version 4 sends its password only after this challenge
        [("WWW-Authenticate", 'Basic realm="orcid-connect", charset="UTF-8"'), ("WWW-Authenticate", "Bearer")],
    ),
    MissingRight: (403, "", []),
    NotFound: (404, "no such path", []),
    MethodNotAllowed: (405, "", []),
    Conflict: (409, "", []),
    AttestationRefused: (409, "", []),
    NoToken: (404, "", []),
    TokenRefused: (409, "", []),
    RemovalsPending: (409, "", []),
    TooManyRemovals: (409, "", []),
    CursorExpired: (410, "", []),
    PreconditionFailed: (412, "", []),
    RequestTooLarge: (413, "", []),
    UnsupportedMediaType: (415, "", []),
    InvalidMember: (422, "", []),
    TooManyFailures: (429, "", []),
    TooManySnapshots: (503, "", [("Retry-After", "10")]),
    # Not 401, on which clients give a credential up, nor an empty list, which means that the iD was removed
    OrganisationMisconfigured: (
        503,
        "the settings of your organisation in this service are invalid; its operator has to fix them",
        [("Retry-After", "300")],
    ),
    CredentialsUnknown: (
        503,
        "the credential cannot be verified, because the settings of an organisation are invalid; try again",
        [("Retry-After", "300")],
    ),
    StoreUnavailable: (503, "the database does not answer; try again", [("Retry-After", "5")]),
    SchemaBehind: (503, "the service is being updated; try again", [("Retry-After", "30")]),
    SchemaAhead: (503, "the service is being updated; try again", [("Retry-After", "30")]),
}
"""Status, text (the exception's own message where empty) and extra headers by exception."""
