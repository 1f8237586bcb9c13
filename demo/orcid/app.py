"""The simulator as one WSGI application, at the root or mounted below a path.

The fault `cut` sends headers with the full `Content-Length` and half of the body: waitress closes the connection and
logs "too few bytes", and the client receives an incomplete response.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from http.client import responses
from typing import TYPE_CHECKING, Any, Final

import bottle

from . import account, admin, authorize, oidc, pages, record, tokens
from .faults import response_instead, spoil_response
from .http import HTML_TYPE, Request, Response, parse_request

if TYPE_CHECKING:
    from .simulator import OrcidSimulator

NO_CONTENT: Final = 204
Handler = Callable[..., Response]
WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Route:
    """Methods, path and handler.

    `place` is the name under which faults for it are armed.
    """

    methods: str
    path: str
    handler: Handler
    place: str = ""


ROUTES: Final = (
    Route("GET", "/", account.front_page),
    Route("GET", "/style.css", pages.style),
    Route("GET", "/oauth/authorize", authorize.show_page, "authorize"),
    Route("POST", "/oauth/authorize", authorize.consent, "authorize"),
    Route("GET", "/oauth/authorize/deny", authorize.deny, "authorize"),
    Route("POST", "/oauth/switch", authorize.switch),
    Route("GET", "/signin", account.sign_in_page),
    Route("POST", "/signin", account.sign_in),
    Route("GET", "/register", account.register_page),
    Route("POST", "/register", account.register),
    Route("GET", "/signout", account.sign_out),
    Route("GET", "/userStatus.json", account.user_status),
    Route("GET", "/interstitial", account.interstitial_page),
    Route("POST", "/interstitial", account.interstitial),
    Route("GET", "/my-orcid", account.my_orcid),
    Route("POST", "/my-orcid/items", account.change_item),
    Route("GET", "/trusted-parties", account.trusted_parties),
    Route("POST", "/trusted-parties", account.revoke),
    Route("GET POST PUT DELETE", "/oauth/token", tokens.token, "token"),
    Route("GET POST PUT DELETE", "/oauth/revoke", tokens.revoke, "revoke"),
    Route("GET POST", "/oauth/userinfo", oidc.userinfo, "userinfo"),
    Route("GET", "/oauth/jwks", oidc.keys, "jwks"),
    Route("GET", "/.well-known/openid-configuration", oidc.discovery, "discovery"),
    Route("GET", "/<host:re:pub|api>/v3.0/apiStatus", record.status, "api"),
    Route("GET POST PUT DELETE", "/<host:re:pub|api>/v3.0/<path:path>", record.handle, "api"),
    Route("GET POST PUT DELETE", "/admin/<what:path>", admin.handle),
    Route("GET", "/<orcid:re:[0-9X-]+>", account.public_page),
)


def make_simulator_app(simulator: OrcidSimulator) -> WSGIApplication:
    """Return the application of a simulator."""
    router = bottle.Router()
    for route in ROUTES:
        for method in route.methods.split():
            router.add(route.path, method, route)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = parse_request(environ)
        try:
            route, parts = router.match(environ)
        except bottle.HTTPError as missing:
            return _send(_not_found(simulator, missing.status_code), request, start_response)
        client_id = request.client_id or simulator.client_of(request.bearer or request.form.get("access_token", ""))
        fault = simulator.faults.take(route.place, client_id) if route.place else None
        if fault:
            request = replace(request, fault=fault)
        response = _respond(simulator, route, request, parts)
        simulator.call_log.add(request, response, client_id, simulator.now())
        return _send(response, request, start_response)

    return application


def _not_found(simulator: OrcidSimulator, status: int) -> Response:
    return pages.message(simulator, status, "Page not found", "There is nothing here.")


def _respond(simulator: OrcidSimulator, route: Route, request: Request, parts: dict[str, str]) -> Response:
    if request.fault is None:
        return route.handler(simulator, request, **parts)
    return response_instead(request.fault) or spoil_response(request.fault, route.handler(simulator, request, **parts))


def _send(response: Response, request: Request, start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = response.body or (b"\n" * 64 if response.cut else b"")
    headers = list(response.headers)
    if response.status != NO_CONTENT:
        headers.append(("Content-Length", str(len(body))))
        if not any(name == "Content-Type" for name, _ in headers):
            headers.append(("Content-Type", HTML_TYPE))
    start_response(f"{response.status} {responses[response.status]}", headers)
    if request.method == "HEAD":
        return [b""]
    return [body[: len(body) // 2] if response.cut else body]
