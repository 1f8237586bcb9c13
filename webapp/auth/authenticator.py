"""Authentication of the person and the browser of a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from shibboleth.organisation import Organisations
from shibboleth.person import AttributeSource, Encoding, Person, person_from
from webapp.auth import display
from webapp.auth.browser import SECRET, Browser
from webapp.auth.cookies import Cookies, RepeatedCookie, single_value

_COOKIE = "orcid-connect"
_LANGUAGE_LASTS = 365 * 24 * 3600


class Access(StrEnum):
    """Who may use a route."""

    ANYONE = "anyone"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Identifies the person and the browser of a request."""

    front: AttributeSource
    organisations: Organisations
    encoding: Encoding
    secure: bool = True
    """Whether the service's public address is https; only a demonstration on loopback is not."""

    @property
    def browser_cookie_name(self) -> str:
        """Name of the browser cookie; `__Host-` as in RFC 6265bis, 4.1.3.2."""
        return f"__Host-{_COOKIE}" if self.secure else _COOKIE

    @property
    def language_cookie_name(self) -> str:
        """Name of the cookie with the language that the user chose."""
        return f"{self.browser_cookie_name}-language"

    def person(self, environ: Mapping[str, Any]) -> Person:
        """Return the authenticated person. Raises as `person_from`."""
        return person_from(environ, self.front, self.organisations, self.encoding)

    def browser(self, cookies: Cookies) -> Browser:
        """Return the browser, with a new secret if it has no valid cookie."""
        shown = single_value(cookies, self.browser_cookie_name)
        return Browser(shown) if SECRET.fullmatch(shown) else Browser.unknown()

    def check_single_browser_cookie(self, cookies: Cookies) -> None:
        """Check that the request has at most one browser cookie.

        Raises:
            RepeatedCookie: If it came more than once.
        """
        if len(cookies.get(self.browser_cookie_name, ())) > 1:
            raise RepeatedCookie

    def browser_cookie(self, browser: Browser) -> str:
        """Return the Set-Cookie value of the browser cookie.

        `Lax`, not `Strict`: the redirect from ORCID is a navigation from another site.
        """
        return f"{self.browser_cookie_name}={browser.secret}; {self._rules}"

    def language(self, cookies: Cookies) -> str:
        """Return the language in the cookie; empty unless it came exactly once."""
        return single_value(cookies, self.language_cookie_name)

    def language_cookie(self, code: str) -> str:
        """Return the Set-Cookie value that stores a language for a year."""
        return f"{self.language_cookie_name}={code}; Max-Age={_LANGUAGE_LASTS}; {self._rules}"

    @property
    def attempt_cookie_name(self) -> str:
        """Name of the cookie with the id of an open attempt."""
        return f"{self.browser_cookie_name}-attempt"

    def attempt(self, cookies: Cookies) -> str:
        """Return the id in the attempt cookie; empty unless it came exactly once."""
        return single_value(cookies, self.attempt_cookie_name)

    def attempt_cookie(self, attempt_id: str, seconds: int) -> str:
        """Return the Set-Cookie value that stores the id of an open attempt."""
        return f"{self.attempt_cookie_name}={attempt_id}; Max-Age={seconds}; {self._rules}"

    @property
    def display_cookie_name(self) -> str:
        """Name of the cookie from which public pages show who is signed in."""
        return f"{self.browser_cookie_name}-display"

    def displayed_person(self, cookies: Cookies, now: datetime) -> display.DisplayedPerson | None:
        """Return whom the display cookie names; None if it is not valid."""
        value = single_value(cookies, self.display_cookie_name)
        return display.verify(value, self.browser(cookies), self.organisations, now)

    def display_cookie(self, shown: display.DisplayedPerson, browser: Browser, now: datetime) -> str:
        """Return the Set-Cookie value of the display cookie, a session cookie."""
        return f"{self.display_cookie_name}={display.sign(shown, browser, now)}; {self._rules}"

    def expired_display_cookie(self) -> str:
        """Return the Set-Cookie value that deletes the display cookie."""
        return f"{self.display_cookie_name}=; Max-Age=0; {self._rules}"

    @property
    def _rules(self) -> str:
        return f"Path=/; HttpOnly; SameSite=Lax{'; Secure' if self.secure else ''}"
