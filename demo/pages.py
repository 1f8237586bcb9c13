"""Pages and cookies of the simulated parts, and the WSGI side of responses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http.client import responses
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, Final

from demo.orcid.http import Response, html_response
from demo.orcid.pages import templates

Environ = Mapping[str, Any]
StartResponse = Callable[..., Any]
WSGIApplication = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

TEMPLATES: Final = Path(__file__).parent / "templates"
HEADERS: Final = (
    ("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)


def page(template: str, status: int = 200, **facts: Any) -> Response:
    """Render a template as a response."""
    return html_response(status, templates(TEMPLATES).get_template(template).render(facts), *HEADERS)


def message(status: int, title: str, words: str) -> Response:
    """Return a page with a title and one paragraph."""
    return page("message.html", status, title=title, words=words)


def style() -> Response:
    """Return the style sheet."""
    body = (TEMPLATES / "style.css").read_bytes()
    return Response(200, body, (("Content-Type", "text/css; charset=utf-8"), ("Cache-Control", "no-store")))


def cookie(environ: Environ, name: str) -> str:
    """Return a cookie's value; empty if absent."""
    try:
        shown = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(name)
    except CookieError:
        return ""
    return shown.value if shown else ""


def set_cookie(name: str, value: str) -> tuple[str, str]:
    """Return a `Set-Cookie` header for a session cookie.

    An empty value deletes the cookie.
    """
    ending = "" if value else "; Max-Age=0"
    return ("Set-Cookie", f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{ending}")


def send_response(response: Response, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send a response (PEP 3333)."""
    headers = [*response.headers]
    if not any(name.lower() == "content-length" for name, _ in headers):
        headers.append(("Content-Length", str(len(response.body))))
    start_response(f"{response.status} {responses.get(response.status, 'Unknown')}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]
