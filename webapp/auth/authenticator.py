"""The door: which person and which browser a request comes from, told once, before anything else happens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from shibboleth.organisation import Organisations
from shibboleth.person import AttributeSource, Encoding, Person, person_from

_COOKIE = "orcid-connect"
_LANGUAGE_LASTS = 365 * 24 * 3600
OWS = " \t"
"""The white space around a part of a header (RFC 9110 section 5.6.3); Unicode has more, and HTTP does not know it."""
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


Cookies = Mapping[str, Sequence[str]]


class Access(StrEnum):
    """For whom a route is; a route that does not say cannot exist."""

    ANYONE = "anyone"
    PERSON = "person"


class CsrfError(PermissionError):
    """A form came without its own token: it is old, or another site sent it."""


class RepeatedCookie(ValueError):
    """The cookie that identifies the browser came more than once, so another host may have set one of them."""


@dataclass(frozen=True, slots=True)
class Browser:
    """The browser a request comes from, known by a random secret in a cookie of ours."""

    secret: str = field(repr=False)
    new: bool = False

    @classmethod
    def unknown(cls) -> Self:
        """Make the secret of a browser that has none yet: 256 random bits."""
        return cls(secrets.token_urlsafe(32), new=True)

    @property
    def hash(self) -> str:
        """What the store may keep of it."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    def derive(self, purpose: str, *about: str) -> str:
        """Give a value that only this browser's secret makes, for one purpose: a form token, a nonce, a verifier."""
        message = "\0".join((purpose, *about)).encode()
        # With a key this is a MAC (RFC 7693 section 2.9), in a tenth of the time that OpenSSL needs to begin an HMAC
        digest = hashlib.blake2b(message, key=self.secret.encode(), digest_size=32).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Turns requests into persons, and refuses those that are nobody's."""

    front: AttributeSource
    organisations: Organisations
    encoding: Encoding
    secure: bool = True
    """Whether the service's public address is https; only a demonstration on loopback is not."""

    @property
    def cookie_name(self) -> str:
        """The browser's cookie. `__Host-` keeps neighbouring hosts from setting it (RFC 6265bis section 4.1.3.2)."""
        return f"__Host-{_COOKIE}" if self.secure else _COOKIE

    @property
    def language_cookie_name(self) -> str:
        """The cookie of a language that the person has chosen."""
        return f"{self.cookie_name}-language"

    def person(self, environ: Mapping[str, Any]) -> Person:
        """Who is signed in; raises what `person_from` raises."""
        return person_from(environ, self.front, self.organisations, self.encoding)

    def browser(self, cookies: Cookies) -> Browser:
        """Which browser asks; a new secret where it has none, or one that we did not make."""
        shown = _only(cookies, self.cookie_name)
        return Browser(shown) if _SECRET.fullmatch(shown) else Browser.unknown()

    def must_be_one_browser(self, cookies: Cookies) -> None:
        """Raise RepeatedCookie where the browser's cookie came more than once."""
        if len(cookies.get(self.cookie_name, ())) > 1:
            raise RepeatedCookie

    def cookie(self, browser: Browser) -> str:
        """Give the Set-Cookie value that makes the browser known.

        `Lax`, not `Strict`: the way back from ORCID is a navigation from another site.
        """
        return f"{self.cookie_name}={browser.secret}; {self._rules}"

    def language(self, cookies: Cookies) -> str:
        """Give the language that the person chose earlier; empty where there is no such choice, or more than one."""
        return _only(cookies, self.language_cookie_name)

    def language_cookie(self, code: str) -> str:
        """Give the Set-Cookie value that keeps a choice of language for a year."""
        return f"{self.language_cookie_name}={code}; Max-Age={_LANGUAGE_LASTS}; {self._rules}"

    @property
    def attempt_cookie_name(self) -> str:
        """The cookie of an attempt that waits for the person to confirm it."""
        return f"{self.cookie_name}-attempt"

    def attempt(self, cookies: Cookies) -> str:
        """Give the id of the attempt that this browser may have to go on with; empty where there is not exactly one."""
        return _only(cookies, self.attempt_cookie_name)

    def attempt_cookie(self, attempt_id: str, seconds: int) -> str:
        """Give the Set-Cookie value by which the browser finds its way back to an attempt, for a while."""
        return f"{self.attempt_cookie_name}={attempt_id}; Max-Age={seconds}; {self._rules}"

    @property
    def _rules(self) -> str:
        return f"Path=/; HttpOnly; SameSite=Lax{'; Secure' if self.secure else ''}"


def cookies_of(environ: Mapping[str, Any]) -> dict[str, list[str]]:
    """Give all values of each cookie that a request carries (RFC 6265 section 4.2.1)."""
    found: dict[str, list[str]] = {}
    # Not http.cookies: one cookie that it does not like, and it finds none. A name keeps every character that a browser
    # keeps: with U+00A0 before it, it is not held to `__Host-`, so any neighbouring host can set it
    for part in environ.get("HTTP_COOKIE", "").split(";"):
        name, _, value = part.strip(OWS).partition("=")
        found.setdefault(name, []).append(value)
    return found


def _only(cookies: Cookies, name: str) -> str:
    values = cookies.get(name, ())
    return values[0] if len(values) == 1 else ""


def csrf_token(browser: Browser, person: Person) -> str:
    """Give the token that each form of ours carries: it is of this browser and this person."""
    return browser.derive("form", person.organisation.entity_id, person.key)


def check_csrf_token(token: str, browser: Browser, person: Person) -> None:
    """Raise BadForm unless the form is one that we gave to this person in this browser."""
    if not hmac.compare_digest(token.encode(), csrf_token(browser, person).encode()):
        raise CsrfError


def must_come_from(origin: str, environ: Mapping[str, Any]) -> None:
    """Raise BadForm where the browser says that another origin than this one made the request.

    Browsers send `Origin: null` with our own forms because of `Referrer-Policy: no-referrer` (Fetch, "append a request
    Origin header"), so `null` says nothing. `Sec-Fetch-Site: none` is the user's own doing. A client that sends neither
    header is judged by the form's token alone.
    """
    if environ.get("HTTP_ORIGIN", "null") not in {"null", origin}:
        raise CsrfError
    if environ.get("HTTP_SEC_FETCH_SITE", "none") not in {"none", "same-origin"}:
        raise CsrfError
