"""Tells which person and which browser sent a request, before anything else happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shibboleth.organisation import Organisations
from shibboleth.person import AttributeSource, Encoding, Person, person_from
from webapp.auth.browser import SECRET, Browser
from webapp.auth.cookies import Cookies, RepeatedCookie, single_value

_COOKIE = "orcid-connect"
_LANGUAGE_LASTS = 365 * 24 * 3600


class Access(StrEnum):
    """For whom a route is; a route that does not say cannot exist."""

    ANYONE = "anyone"
    PERSON = "person"


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
        shown = single_value(cookies, self.cookie_name)
        return Browser(shown) if SECRET.fullmatch(shown) else Browser.unknown()

    def check_single_browser_cookie(self, cookies: Cookies) -> None:
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
        return single_value(cookies, self.language_cookie_name)

    def language_cookie(self, code: str) -> str:
        """Give the Set-Cookie value that keeps a choice of language for a year."""
        return f"{self.language_cookie_name}={code}; Max-Age={_LANGUAGE_LASTS}; {self._rules}"

    @property
    def attempt_cookie_name(self) -> str:
        """The cookie of an attempt that waits for the person to confirm it."""
        return f"{self.cookie_name}-attempt"

    def attempt(self, cookies: Cookies) -> str:
        """Give the id of the attempt that this browser may have to go on with; empty where there is not exactly one."""
        return single_value(cookies, self.attempt_cookie_name)

    def attempt_cookie(self, attempt_id: str, seconds: int) -> str:
        """Give the Set-Cookie value by which the browser finds its way back to an attempt, for a while."""
        return f"{self.attempt_cookie_name}={attempt_id}; Max-Age={seconds}; {self._rules}"

    @property
    def _rules(self) -> str:
        return f"Path=/; HttpOnly; SameSite=Lax{'; Secure' if self.secure else ''}"
