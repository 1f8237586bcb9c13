"""CSRF protection: a token in every form, and the origin that the browser names."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from shibboleth.person import Person
from webapp.auth.browser import Browser


class CsrfError(PermissionError):
    """A form came without its own token: it is old, or another site sent it."""


def csrf_token(browser: Browser, person: Person) -> str:
    """Give the token that each form of ours carries: it is of this browser and this person."""
    return browser.derive("form", person.organisation.entity_id, person.key)


def check_csrf_token(token: str, browser: Browser, person: Person) -> None:
    """Raise CsrfError unless the form is one that we gave to this person in this browser."""
    if not hmac.compare_digest(token.encode(), csrf_token(browser, person).encode()):
        raise CsrfError


def check_origin(origin: str, environ: Mapping[str, Any]) -> None:
    """Raise CsrfError where the browser says that another origin than this one made the request.

    Browsers send `Origin: null` with our own forms because of `Referrer-Policy: no-referrer` (Fetch, "append a request
    Origin header"), so `null` says nothing. `Sec-Fetch-Site: none` is the user's own doing. A client that sends neither
    header is judged by the form's token alone.
    """
    if environ.get("HTTP_ORIGIN", "null") not in {"null", origin}:
        raise CsrfError
    if environ.get("HTTP_SEC_FETCH_SITE", "none") not in {"none", "same-origin"}:
        raise CsrfError
