"""CSRF protection: a token in every form, and a check of the origin."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from shibboleth.person import Person
from webapp.auth.browser import Browser


class CsrfError(PermissionError):
    """The form's token is absent or wrong, or another site sent the form."""


def csrf_token(browser: Browser, person: Person) -> str:
    """Return the CSRF token for all forms of this person in this browser."""
    return browser.derive("form", person.organisation.id, person.key)


def check_csrf_token(token: str, browser: Browser, person: Person) -> None:
    """Check the CSRF token of a submitted form.

    Raises:
        CsrfError: If it is not the token of this person in this browser.
    """
    if not hmac.compare_digest(token.encode(), csrf_token(browser, person).encode()):
        raise CsrfError


def check_origin(origin: str, environ: Mapping[str, Any]) -> None:
    """Check that the request was not made by another origin.

    Because of `Referrer-Policy: no-referrer`, browsers send `Origin: null` with this service's own forms as well
    (Fetch, "append a request Origin header"), so `null` is accepted. `Sec-Fetch-Site: none` is a navigation by the
    user. If a client sends neither header, only the token is checked.

    Raises:
        CsrfError: If `Origin` or `Sec-Fetch-Site` names another origin.
    """
    if environ.get("HTTP_ORIGIN", "null") not in {"null", origin}:
        raise CsrfError
    if environ.get("HTTP_SEC_FETCH_SITE", "none") not in {"none", "same-origin"}:
        raise CsrfError
