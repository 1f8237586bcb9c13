"""Pages of the stand-ins, their cookies, and how an answer is sent."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from http.client import responses
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from demo.orcid.http import Response, html_response

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


@functools.cache
def templates() -> Environment:
    """Give the templates, read at the first page; outside text is text, since everything is escaped."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(template: str, status: int = 200, **facts: Any) -> Response:
    """Give one page of a stand-in."""
    return html_response(status, templates().get_template(template).render(facts), *HEADERS)


def message(status: int, title: str, words: str) -> Response:
    """Give a page that only says something."""
    return page("message.html", status, title=title, words=words)


def style() -> Response:
    """Give the style sheet of the stand-ins."""
    body = (TEMPLATES / "style.css").read_bytes()
    return Response(200, body, (("Content-Type", "text/css; charset=utf-8"), ("Cache-Control", "no-store")))


def cookie(environ: Environ, name: str) -> str:
    """Give the value of a cookie; empty where there is none."""
    try:
        shown = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(name)
    except CookieError:
        return ""
    return shown.value if shown else ""


def set_cookie(name: str, value: str) -> tuple[str, str]:
    """Give the header that sets a cookie for as long as the browser runs, or with an empty value takes it away."""
    ending = "" if value else "; Max-Age=0"
    return ("Set-Cookie", f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{ending}")


def send_response(response: Response, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send an answer (PEP 3333)."""
    headers = [*response.headers]
    if not any(name.lower() == "content-length" for name, _ in headers):
        headers.append(("Content-Length", str(len(response.body))))
    start_response(f"{response.status} {responses.get(response.status, 'Unknown')}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]
