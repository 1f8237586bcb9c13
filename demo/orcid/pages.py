"""The pages: templates, the cookie of a browser's session, and the headers that each page carries."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .wire import COOKIE, Answer, html_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .world import OrcidWorld, Session

TEMPLATES: Final = Path(__file__).parent / "templates"
HEADERS: Final = (
    ("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)


@functools.cache
def templates() -> Environment:
    """Give the templates, read at the first page."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(world: OrcidWorld, template: str, status: int = 200, **values: Any) -> Answer:
    """One page; every link in it begins with the base URL."""
    text = templates().get_template(template).render(base=world.base_url, prefix=world.registry_prefix, **values)
    return html_answer(status, text, *HEADERS)


def message(world: OrcidWorld, status: int, title: str, words: str) -> Answer:
    """Give a page that only says something."""
    return page(world, "message.html", status, title=title, words=words)


def sign_in(world: OrcidWorld, query: Mapping[str, str], notice: str = "") -> Answer:
    """Give the sign-in page. `orcid` or `email` of the request is shown as a suggestion; nothing is believed."""
    hint = query.get("orcid", "").rpartition("/")[2] or query.get("email", "")
    users = list(world.users.values())
    return page(world, "sign_in.html", title="Sign in", users=users, hint=hint[:100], notice=notice)


def register(world: OrcidWorld, query: Mapping[str, str], notice: str = "") -> Answer:
    """Give the registration page, filled in from the request."""
    filled = {key: query.get(key, "")[:100] for key in ("given_names", "family_names", "email")}
    return page(world, "register.html", title="Register", filled=filled, notice=notice)


def style(_world: OrcidWorld, _call: object) -> Answer:
    """`GET /style.css`."""
    text = (TEMPLATES / "style.css").read_bytes()
    return Answer(200, text, (("Content-Type", "text/css;charset=UTF-8"), ("Cache-Control", "max-age=300")))


def with_session(world: OrcidWorld, answer: Answer, session: Session, lang: str | None = None) -> Answer:
    """Give the answer with the cookie of the browser's session, and the language it asked for."""
    rest = f"Path={world.path}; HttpOnly; SameSite=Lax" + ("; Secure" if world.base_url.startswith("https:") else "")
    cookies = [("Set-Cookie", f"{COOKIE}={session.key}; {rest}")]
    if lang:
        cookies.append(("Set-Cookie", f"locale_v3={lang}; {rest}"))
    return answer.with_headers(*cookies)
