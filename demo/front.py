"""Stands in for Apache and mod_shib, in front of the real processes; everything a person sees is at one address.

    /orcid/…                the ORCID simulator          /v1/…       the connector
    /Shibboleth.sso/…       sessions                     /me…        the service, for whoever has a session
    /identity-provider      signing in                   the rest    the service, for anyone
    /service-provider       another service              /mail       what the service has sent by e-mail
    /identity-management/   what the university's register has been told

What it tells the service of a person is what mod_shib would: attributes in request headers, percent-encoded, with a
proof that they come from here. What a client says of itself under those names goes nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlsplit

from demo import consumer, identity_provider, letters
from demo.configuration import Configuration
from demo.identity_provider import IdentityProvider, sign_in_address, sign_in_page
from demo.idm.app import Idm
from demo.idm.wire import Request
from demo.orcid.wire import Answer, Call, call_from, see_other
from demo.pages import Environ, StartResponse, WSGIApplication, cookie, message, page, sent, set_cookie, style
from demo.passing_on import passed_on
from demo.people import PEOPLE
from demo.sessions import Session, Sessions
from shibboleth.attributes import IDENTITY_PROVIDER
from shibboleth.person import PROOF_HEADER

COOKIE: Final = "demo-session"
SERVICE: Final = "orcid-connect"
REGISTER: Final = "/identity-management"
PERSONS_OWN: Final = "/me"
FOR_PERSONS: Final = (PERSONS_OWN, "/operator")
"""Where Apache asks for a session."""
BARE: Final = "!$'()*"
"""What the Service Provider leaves as it is besides letters, digits and `-._`; anything else it writes as %XX."""


@dataclass(frozen=True, slots=True)
class Backends:
    """Where the parts are to which requests are passed on: host:port of the two processes, and the stand-ins."""

    web: str
    connector: str
    orcid: WSGIApplication
    register: Idm
    letters: letters.Letters


@dataclass(frozen=True, slots=True)
class Front:
    """The one WSGI application that answers at the address of the demonstration."""

    configuration: Configuration
    backends: Backends
    own: Sessions = field(default_factory=Sessions)
    """Sessions at the Service Provider of the service."""
    consumers: Sessions = field(default_factory=Sessions)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        path = environ["PATH_INFO"]
        if not below(path, "/v1") and environ.get("HTTP_HOST") != self.netloc:
            return sent(self._misdirected(environ), environ, start_response)
        if below(path, "/orcid"):
            there = environ | {"SCRIPT_NAME": "/orcid", "PATH_INFO": path.removeprefix("/orcid") or "/"}
            return self.backends.orcid(there, start_response)
        handler = next((handler for start, handler in PLACES.items() if below(path, start)), Front._service)
        return sent(handler(self, environ), environ, start_response)

    @property
    def netloc(self) -> str:
        """The host and port by which we are called; other names are not ours."""
        return urlsplit(self.configuration.base_url).netloc

    def _misdirected(self, environ: Environ) -> Answer:
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return message(421, "This is another address", f"The demonstration is at {self.configuration.base_url}/")
        return see_other(self.configuration.base_url + quote(environ["PATH_INFO"].encode("latin-1")))

    # The service and its Service Provider

    def _service(self, environ: Environ) -> Answer:
        session = self.own.find(cookie(environ, COOKIE))
        if session is None and any(below(environ["PATH_INFO"], place) for place in FOR_PERSONS):
            return see_other(sign_in_address(SERVICE, environ["REQUEST_URI"]))
        told = {PROOF_HEADER: self.configuration.proof, **(headers_of(session) if session else {})}
        return passed_on(environ, self.backends.web, told)

    def _connector(self, environ: Environ) -> Answer:
        return passed_on(environ, self.backends.connector, {})

    def _sso(self, environ: Environ) -> Answer:
        handler = SSO.get(environ["PATH_INFO"].removeprefix("/Shibboleth.sso"))
        if handler is None:
            return message(404, "There is no such page", "The Service Provider answers at Login, Logout and Session.")
        return handler(self, environ)

    def _login(self, environ: Environ) -> Answer:
        return see_other(sign_in_address(SERVICE, call_from(environ).query.get("target", "")))

    def _logout(self, environ: Environ) -> Answer:
        self.own.end(cookie(environ, COOKIE))
        there = self.ours(call_from(environ).query.get("return", ""), "/")
        return see_other(there).with_headers(set_cookie(COOKIE, ""))

    def _session(self, environ: Environ) -> Answer:
        session = self.own.find(cookie(environ, COOKIE))
        return page("session.html", session=session, headers=headers_of(session) if session else {})

    def ours(self, target: str, otherwise: str) -> str:
        """Give the target where it is an address of ours, and another one where it is not."""
        path = target.removeprefix(self.configuration.base_url)
        return path if path.startswith("/") and not path.startswith(("//", "/\\")) else otherwise

    # Signing in

    def _identity_provider(self, environ: Environ) -> Answer:
        call = call_from(environ)
        if call.path == f"{identity_provider.ADDRESS}/style.css":
            return style()
        if call.method == "POST":
            return self._signed_in(call)
        return sign_in_page(call.query.get("service", SERVICE), call.query.get("target", ""))

    def _signed_in(self, call: Call) -> Answer:
        service, target = call.form.get("service", SERVICE), call.form.get("target", "")
        person = PEOPLE.get(call.form.get("person", ""))
        if person is None:
            return sign_in_page(service, target, "Please choose who you are.")
        attributes = IdentityProvider(self.configuration).released(person)
        session = Session(person, attributes, datetime.now(UTC))
        if service == consumer.SERVICE:
            key = set_cookie(consumer.COOKIE, self.consumers.begin(session))
            return see_other(consumer.ADDRESS).with_headers(key)
        there = see_other(self.ours(target, PERSONS_OWN))
        return there.with_headers(set_cookie(COOKIE, self.own.begin(session)))

    # What the service tells others

    def _register(self, environ: Environ) -> Answer:
        call = call_from(environ)
        if call.path == REGISTER:
            return see_other(f"{REGISTER}/")
        there = Request(call.method, call.path.removeprefix(REGISTER), "", {}, call.body)
        return self.backends.register.page(there)

    def _letters(self, environ: Environ) -> Answer:
        if environ["PATH_INFO"] != letters.ADDRESS:
            return message(404, "There is no such page", "All mail is on one page.")
        return self.backends.letters.shown()

    # The other service

    def _consumer(self, environ: Environ) -> Answer:
        call = call_from(environ)
        key = cookie(environ, consumer.COOKIE)
        if call.path == consumer.SIGN_OUT and call.method == "POST":
            self.consumers.end(key)
            return consumer.signed_out()
        if call.path != consumer.ADDRESS:
            return message(404, "There is no such page", "This service provider has one page only.")
        return consumer.shown(self.consumers.find(key))


Handler = Callable[[Front, Environ], Answer]

PLACES: Final[dict[str, Handler]] = {
    "/v1": Front._connector,  # noqa: SLF001 - the table of its own methods, as are the others
    "/Shibboleth.sso": Front._sso,  # noqa: SLF001
    identity_provider.ADDRESS: Front._identity_provider,  # noqa: SLF001
    consumer.ADDRESS: Front._consumer,  # noqa: SLF001
    letters.ADDRESS: Front._letters,  # noqa: SLF001
    REGISTER: Front._register,  # noqa: SLF001
}
SSO: Final[dict[str, Handler]] = {
    "/Login": Front._login,  # noqa: SLF001
    "/Logout": Front._logout,  # noqa: SLF001
    "/Session": Front._session,  # noqa: SLF001
}


def below(path: str, start: str) -> bool:
    """Tell whether the path is this place or below it."""
    return path == start or path.startswith(f"{start}/")


def headers_of(session: Session) -> dict[str, str]:
    """Give what the Service Provider says of a session: `ShibRequestSetting encoding URL`, `;` between values."""
    said = {IDENTITY_PROVIDER: (session.person.organisation.entity_id,), **session.attributes}
    return {name: ";".join(encoded(value) for value in values) for name, values in said.items()}


def encoded(value: str) -> str:
    """Write a value as the Service Provider does, in ASCII."""
    return quote(value, safe=BARE).replace("~", "%7E")
