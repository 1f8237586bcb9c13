"""Simulate Apache and mod_shib in front of the real processes.

Everything is served at one address:

    /orcid/...              the ORCID simulator          /v1/...     the connector
    /Shibboleth.sso/...     sessions                     /me...      the service; a session is required
    /identity-provider      the sign-in page             the rest    the service, without a session
    /service-provider       another service              /mail       messages sent by the service
    /identity-management/   what the university's identity management received

The proxy passes a person's attributes as mod_shib does: in request headers, URL-encoded, with the shared proof. Headers
of these names that a client sends are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlsplit

from demo import consumer, identity_provider, mailbox
from demo.configuration import Configuration
from demo.forwarding import forward
from demo.identity_provider import IdentityProvider, sign_in_page, sign_in_url
from demo.idm.app import Idm
from demo.idm.http import Request as IdmRequest
from demo.orcid.http import Request, Response, parse_request, see_other
from demo.orcid.pages import templates
from demo.pages import (
    TEMPLATES,
    Environ,
    StartResponse,
    WSGIApplication,
    cookie,
    message,
    page,
    send_response,
    set_cookie,
    style,
)
from demo.people import ORGANISATIONS, PEOPLE, Person
from demo.sessions import Session, SessionStore
from shibboleth.attributes import IDENTITY_PROVIDER
from shibboleth.person import PROOF_HEADER

COOKIE: Final = "demo-session"
SERVICE: Final = "orcid-connect"
REGISTER: Final = "/identity-management"
PERSON_PAGE: Final = "/me"
PEOPLE_PATH: Final = f"{identity_provider.PATH}/people"
"""Where tests rename accounts, or give them to others."""
SESSION_REQUIRED: Final = (PERSON_PAGE, "/operator")
"""Paths for which Apache requires a session, and passes its attributes on."""
UNENCODED: Final = "!$'()*"
"""Characters besides letters, digits and `-._` that mod_shib leaves unencoded."""


@dataclass(frozen=True, slots=True)
class Backends:
    """Addresses of the two processes, and the parts in this process.

    An address is `host:port`.
    """

    web: str
    connector: str
    orcid: WSGIApplication
    register: Idm
    mailbox: mailbox.Mailbox


@dataclass(frozen=True, slots=True)
class Proxy:
    """WSGI application that answers at the demonstration's address."""

    configuration: Configuration
    backends: Backends
    own_sessions: SessionStore = field(default_factory=SessionStore)
    """Sessions at the Service Provider of the service."""
    consumer_sessions: SessionStore = field(default_factory=SessionStore)
    """Sessions at the other service provider."""
    people: dict[str, Person] = field(default_factory=lambda: dict(PEOPLE))
    """What their organisations release about them; `_change_person` changes it."""

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        path = environ["PATH_INFO"]
        if not is_below(path, "/v1") and environ.get("HTTP_HOST") != self.netloc:
            return send_response(self._redirect_to_base_url(environ), environ, start_response)
        if is_below(path, "/orcid"):
            there = environ | {"SCRIPT_NAME": "/orcid", "PATH_INFO": path.removeprefix("/orcid") or "/"}
            return self.backends.orcid(there, start_response)
        handler = next((handler for start, handler in HANDLERS.items() if is_below(path, start)), Proxy._service)
        return send_response(handler(self, environ), environ, start_response)

    @property
    def netloc(self) -> str:
        """Host and port of the demonstration; requests for others are redirected."""
        return urlsplit(self.configuration.base_url).netloc

    def _redirect_to_base_url(self, environ: Environ) -> Response:
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return message(421, "This is another address", f"The demonstration is at {self.configuration.base_url}/")
        return see_other(self.configuration.base_url + quote(environ["PATH_INFO"].encode("latin-1")))

    # The service and its Service Provider

    def _service(self, environ: Environ) -> Response:
        extra_headers = {PROOF_HEADER: self.configuration.proof}
        if any(is_below(environ["PATH_INFO"], place) for place in SESSION_REQUIRED):
            session = self.own_sessions.get(cookie(environ, COOKIE))
            if session is None:
                return see_other(sign_in_url(SERVICE, environ["REQUEST_URI"]))
            extra_headers |= headers_for(session)
        return _with_links(forward(environ, self.backends.web, extra_headers))

    def _connector(self, environ: Environ) -> Response:
        return forward(environ, self.backends.connector, {})

    def _sso(self, environ: Environ) -> Response:
        handler = SESSION_HANDLERS.get(environ["PATH_INFO"].removeprefix("/Shibboleth.sso"))
        if handler is None:
            return message(404, "There is no such page", "The Service Provider answers at Login, Logout and Session.")
        return handler(self, environ)

    def _login(self, environ: Environ) -> Response:
        return see_other(sign_in_url(SERVICE, parse_request(environ).query.get("target", "")))

    def _logout(self, environ: Environ) -> Response:
        self.own_sessions.delete(cookie(environ, COOKIE))
        there = self.local_path(parse_request(environ).query.get("return", ""), "/")
        return see_other(there).with_headers(set_cookie(COOKIE, ""))

    def _session(self, environ: Environ) -> Response:
        session = self.own_sessions.get(cookie(environ, COOKIE))
        return page("session.html", session=session, headers=headers_for(session) if session else {})

    def local_path(self, target: str, otherwise: str) -> str:
        """Return the target as a path if it is on this host, else the fallback."""
        path = target.removeprefix(self.configuration.base_url)
        return path if path.startswith("/") and not path.startswith(("//", "/\\")) else otherwise

    # Signing in

    def _identity_provider(self, environ: Environ) -> Response:
        request = parse_request(environ)
        if request.path == f"{identity_provider.PATH}/style.css":
            return style()
        if request.path == PEOPLE_PATH and request.method == "POST":
            return self._change_person(request)
        if request.method == "POST":
            return self._create_session(request)
        return sign_in_page(request.query.get("service", SERVICE), request.query.get("target", ""))

    def _change_person(self, request: Request) -> Response:
        """Change what is released about a person from now on.

        The form has the person, and the new account, organisation and stable id; what is left out stays. A form without
        a person undoes all changes.
        """
        form, name = request.form, request.form.get("person", "")
        if name not in PEOPLE:
            self.people.update(PEOPLE)
            return message(200, "Unchanged", "Everyone is as in the beginning.")
        old = self.people[name]
        new = replace(
            old,
            account=form.get("account", old.account),
            organisation=next(
                (each for each in ORGANISATIONS if each.id == form.get("organisation")), old.organisation
            ),
            subject_id=form.get("subject_id", old.subject_id),
        )
        self.people[name] = new
        register = self.backends.register.directory
        if register.entry(new.eppn) is None:
            register.add(new.eppn)
        return message(200, "Changed", f"{name} is {new.eppn} now.")

    def _create_session(self, request: Request) -> Response:
        service, target = request.form.get("service", SERVICE), request.form.get("target", "")
        person = self.people.get(request.form.get("person", ""))
        if person is None:
            return sign_in_page(service, target, "Please choose who you are.")
        attributes = IdentityProvider(self.configuration).release_attributes(person)
        session = Session(person, attributes, datetime.now(UTC))
        if service == consumer.SERVICE:
            key = set_cookie(consumer.COOKIE, self.consumer_sessions.create(session))
            return see_other(consumer.PATH).with_headers(key)
        there = see_other(self.local_path(target, PERSON_PAGE))
        return there.with_headers(set_cookie(COOKIE, self.own_sessions.create(session)))

    # What the service tells others

    def _register(self, environ: Environ) -> Response:
        request = parse_request(environ)
        if request.path == REGISTER:
            return see_other(f"{REGISTER}/")
        there = IdmRequest(request.method, request.path.removeprefix(REGISTER), "", {}, request.body)
        return self.backends.register.page(there)

    def _render_mail(self, environ: Environ) -> Response:
        if environ["PATH_INFO"] != mailbox.PATH:
            return message(404, "There is no such page", "All mail is on one page.")
        return self.backends.mailbox.render()

    # The other service

    def _consumer(self, environ: Environ) -> Response:
        request = parse_request(environ)
        key = cookie(environ, consumer.COOKIE)
        if request.path == consumer.SIGN_OUT and request.method == "POST":
            self.consumer_sessions.delete(key)
            return consumer.sign_out()
        if request.path != consumer.PATH:
            return message(404, "There is no such page", "This service provider has one page only.")
        return consumer.render(self.consumer_sessions.get(key))


Handler = Callable[[Proxy, Environ], Response]

HANDLERS: Final[dict[str, Handler]] = {
    "/v1": Proxy._connector,  # noqa: SLF001 - table of the class's own methods
    "/Shibboleth.sso": Proxy._sso,  # noqa: SLF001
    identity_provider.PATH: Proxy._identity_provider,  # noqa: SLF001
    consumer.PATH: Proxy._consumer,  # noqa: SLF001
    mailbox.PATH: Proxy._render_mail,  # noqa: SLF001
    REGISTER: Proxy._register,  # noqa: SLF001
}
SESSION_HANDLERS: Final[dict[str, Handler]] = {
    "/Login": Proxy._login,  # noqa: SLF001
    "/Logout": Proxy._logout,  # noqa: SLF001
    "/Session": Proxy._session,  # noqa: SLF001
}


def _with_links(response: Response) -> Response:
    # The service's pages get the links of the demonstration at their end
    headers = {name.lower(): value for name, value in response.headers}
    if not headers.get("content-type", "").startswith("text/html") or not response.body:
        return response
    links = templates(TEMPLATES).get_template("nav.html").render().encode()
    kept = tuple((name, value) for name, value in response.headers if name.lower() != "content-length")
    return replace(response, body=response.body.replace(b"</body>", links + b"\n</body>"), headers=kept)


def is_below(path: str, start: str) -> bool:
    """Return whether a path equals a prefix or is below it."""
    return path == start or path.startswith(f"{start}/")


def headers_for(session: Session) -> dict[str, str]:
    """Return a session's attributes as headers.

    URL-encoded, with `;` between values.
    """
    said = {IDENTITY_PROVIDER: (session.person.organisation.entity_id,), **session.attributes}
    return {name: ";".join(encode_value(value) for value in values) for name, values in said.items()}


def encode_value(value: str) -> str:
    """URL-encode a value as mod_shib does with `ShibRequestSetting encoding URL`."""
    return quote(value, safe=UNENCODED).replace("~", "%7E")
