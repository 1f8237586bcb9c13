"""The health pages of the worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from wsgiref.types import StartResponse

from resolver_connector.http import STATUS_LINES, Environ, Response, json_response
from shibboleth.process_state import ProcessState
from sql.errors import MigrationChanged, SchemaAhead, SchemaBehind, StoreUnavailable
from sql.health import MAX_WAL_BACKLOG
from sql.store import Store

MAX_IDLE = 120.0
"""Seconds without a round of the worker after which it is not alive; jobs that run in its thread take less."""


def worker_health(
    store: Store, idle_seconds: Callable[[], float], process: ProcessState
) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    """Return the WSGI application with `/healthz` and `/readyz` of a worker.

    Args:
        store: The store that the worker uses.
        idle_seconds: Returns for how long the worker has begun no round.
        process: Whether the worker ends.
    """

    def respond(path: str) -> Response:
        if path not in {"/healthz", "/readyz"}:
            return json_response({"error": "no such path"}, 404)
        if idle_seconds() > MAX_IDLE:
            return json_response({"error": "the worker hangs"}, 503, process.headers)
        if path == "/healthz":
            return json_response({"status": "ok"}, 200, process.headers)
        if process.ending:
            return json_response({"error": "the process ends"}, 503, process.headers)
        try:
            store.check_schema()
            growing = store.check_writable() > MAX_WAL_BACKLOG
        except (StoreUnavailable, SchemaBehind, SchemaAhead, MigrationChanged) as error:
            return json_response({"error": str(error)}, 503, process.headers)
        return json_response({"status": "wal-growing" if growing else "ok"}, 200, process.headers)

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            status, headers, body = json_response(
                {"error": "allowed methods: GET, HEAD"}, 405, [("Allow", "GET, HEAD")]
            )
        else:
            status, headers, body = respond(environ.get("PATH_INFO", ""))
        start_response(STATUS_LINES[status], [*headers])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    return application
