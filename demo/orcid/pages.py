"""Pages: templates, session cookie and the headers of every page."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .http import COOKIE, Response, html_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .simulator import OrcidSimulator, Session

TEMPLATES: Final = Path(__file__).parent / "templates"
HEADERS: Final = (
    ("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)


@functools.cache
def templates(directory: Path) -> Environment:
    """Return the template environment of a directory, created at the first call."""
    return Environment(
        loader=FileSystemLoader(directory),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(simulator: OrcidSimulator, template: str, status: int = 200, **values: Any) -> Response:
    """Render a page; all links start with the base URL."""
    values |= {"base": simulator.base_url, "prefix": simulator.registry_prefix}
    text = templates(TEMPLATES).get_template(template).render(values)
    return html_response(status, text, *HEADERS)


def message(simulator: OrcidSimulator, status: int, title: str, words: str) -> Response:
    """Return a page with a title and one paragraph."""
    return page(simulator, "message.html", status, title=title, words=words)


def sign_in(simulator: OrcidSimulator, query: Mapping[str, str], notice: str = "") -> Response:
    """Return the sign-in page.

    `orcid` or `email` of the request is shown as a hint.
    """
    hint = query.get("orcid", "").rpartition("/")[2] or query.get("email", "")
    users = list(simulator.users.values())
    return page(simulator, "sign_in.html", title="Sign in", users=users, hint=hint[:100], notice=notice)


def register(simulator: OrcidSimulator, query: Mapping[str, str], notice: str = "") -> Response:
    """Return the registration page, filled in from the request."""
    filled = {key: query.get(key, "")[:100] for key in ("given_names", "family_names", "email")}
    return page(simulator, "register.html", title="Register", filled=filled, notice=notice)


def style(_world: OrcidSimulator, _call: object) -> Response:
    """`GET /style.css`."""
    text = (TEMPLATES / "style.css").read_bytes()
    return Response(200, text, (("Content-Type", "text/css;charset=UTF-8"), ("Cache-Control", "max-age=300")))


def with_session(simulator: OrcidSimulator, response: Response, session: Session, lang: str | None = None) -> Response:
    """Add the session cookie, and a requested language's cookie."""
    rest = f"Path={simulator.path}; HttpOnly; SameSite=Lax" + (
        "; Secure" if simulator.base_url.startswith("https:") else ""
    )
    cookies = [("Set-Cookie", f"{COOKIE}={session.key}; {rest}")]
    if lang:
        cookies.append(("Set-Cookie", f"locale_v3={lang}; {rest}"))
    return response.with_headers(*cookies)
