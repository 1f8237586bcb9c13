"""The web application: Bottle, the table of routes, and error pages."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import bottle

from shibboleth.organisation import Organisation, OrganisationMisconfigured, State, UnknownOrganisation
from shibboleth.person import Person
from sql.errors import StoreUnavailable, UnstorableText
from webapp.auth.authenticator import Access, Authenticator
from webapp.auth.cookies import parse_cookies
from webapp.auth.csrf import check_csrf_token, check_origin
from webapp.auth.display import DisplayedPerson
from webapp.i18n.language import ChosenBy, Language, LanguageNegotiator, gettext_noop
from webapp.linking.admission import LinkingClosed, NotAdmitted
from webapp.linking.return_address import ReturnAddress, find_return
from webapp.linking.service import LIFETIME
from webapp.log import log
from webapp.operator import incidents
from webapp.pages.context import AppContext
from webapp.pages.data_inventory import ACTORS, FACT_VALUES
from webapp.pages.delivery_status import TransferStatus
from webapp.pages.problems import (
    ORGANISATION_HELP,
    REFUSED_SIGN_INS,
    SERVICE_HELP,
    Bug,
    NotAllowed,
    NotFound,
    Problem,
    problem_of,
    problem_values,
    refusing_organisation,
)
from webapp.pages.request import (
    FormTooLarge,
    Page,
    PageRequest,
    RawResponse,
    Redirect,
    parse_fields,
    read_form,
    read_upload,
)
from webapp.pages.support_messages import RenderedMessage, delivery_message, support_messages
from webapp.rendering.templating import Templates
from webapp.routes import ROUTES, Route

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_LANG_PARAMETER = re.compile(r"(?:^|&)lang=([A-Za-z-]{2,20})(?=&|$)", re.ASCII)
_SPECULATIVE = re.compile("prefetch|prerender|preview", re.ASCII | re.IGNORECASE)
_PURPOSE_HEADERS = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")
_MAX_ENTITY_ID = 1024
"""In characters (SAML 2.0 Core, section 8.3.6)."""
_LANGUAGE_LINK_PATHS = {"/me/callback": "/me"}
"""Where the links of the language menu lead, for pages whose address is valid only once."""


BODY_LABELS = {"owner": gettext_noop("Service provider:"), "commissioner": gettext_noop("Commissioned by:")}


@dataclass(frozen=True, slots=True)
class FooterBody:
    """A body that the footer names."""

    label: str
    """A sentence of the catalogues, of `BODY_LABELS`."""
    name: str
    url: str = ""
    logo: str = ""
    """Name of the logo among the static files; empty without one."""


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """Facts about the service that every page shows."""

    public_url: str
    name: str
    contact: str
    language: str
    sandbox: bool
    zone: tzinfo = UTC
    logo: str = ""
    """Name of the logo among the static files; empty without one."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The name by language, where it is not `name`."""
    bodies: tuple[FooterBody, ...] = ()
    """Owner and commissioner."""

    def named(self, code: str) -> str:
        """Return the name in a language."""
        return self.names.get(code, self.name)


@dataclass(frozen=True, slots=True)
class WebApp:
    """Runs the handlers: authentication, CSRF, language, rendering, error pages."""

    service_info: ServiceInfo
    authenticator: Authenticator
    context: AppContext
    languages: Mapping[str, Language]
    templates: Mapping[str, Templates]
    """By language."""
    headers: Mapping[str, str]
    clock: Callable[[], datetime]
    negotiator: LanguageNegotiator = field(init=False)

    def __post_init__(self) -> None:
        """Create the language negotiator."""
        object.__setattr__(self, "negotiator", LanguageNegotiator(self.languages, self.service_info.language))

    def handle(self, route: Route, path_params: Mapping[str, str]) -> bottle.HTTPResponse:
        """Handle Bottle's current request; every exception becomes an error page."""
        environ = bottle.request.environ
        request = self._build_request(environ)
        try:
            _check_path_encoding(environ)
            request = replace(request, query=parse_fields(environ.get("QUERY_STRING", "")))
            # Before the sign-in is checked, so that its error pages offer the way back too
            request = self._with_return(request, request.parameter("return"))
            if route.access is Access.ANYONE:
                request = self._with_displayed_person(environ, request)
            elif route.access is Access.PERSON:
                if environ["REQUEST_METHOD"] == "HEAD":
                    # What such a page shows may change the state of the link, so it is made only to be seen
                    allowed = ", ".join(sorted({one.method for one in ROUTES if one.path == route.path}))
                    return self.error_page(environ, NotAllowed(allowed), request, route.path)
                if route.method == "GET" and any(
                    _SPECULATIVE.search(environ.get(name, "")) for name in _PURPOSE_HEADERS
                ):
                    # The browser repeats a failed prefetch when the user goes there
                    return self._build_response(environ, RawResponse(b"", "text/plain", 503), request)
                person = self._authenticate(environ, request.now)
                # Before the request has a person: the error page must not set the cookie whose repetition it reports
                self.authenticator.check_single_browser_cookie(parse_cookies(environ))
                shown = DisplayedPerson(person.name or person.account, person.organisation)
                request = self._with_language_of(person.organisation, request)
                request = replace(request, optional_person=person, displayed_person=shown)
            request = replace(request, path_params=path_params)
            if route.uploads and self.context.admin_access.is_administrator(request.person):
                form, files = read_upload(environ, request.query)
                request = replace(request, form=form, files=files)
            else:
                request = replace(request, form=read_form(environ, request.query))
            request = self._with_return(request, request.form.get("return", ""))
            request.parameter("lang")
            if route.access is Access.PERSON:
                is_form = environ["REQUEST_METHOD"] == "POST"
                if is_form:
                    check_origin("{0.scheme}://{0.netloc}".format(urlsplit(self.service_info.public_url)), environ)
                    check_csrf_token(request.form.get("token", ""), request.browser, request.person)
                status = self.context.linking.record_sign_in(request.person, request.now, deliveries=not is_form)
                request = replace(request, person_status=status)
                self._require_admitted(request)
                # After the first use of the database, so that one that does not answer is not waited for twice
                self._record_sign_in(request.person.organisation.id, request.person.entity_id, request.now)
            return self._build_response(environ, route.handler(self.context, request), request)
        except Exception as error:  # noqa: BLE001 - each error gets its own page here, an unexpected one too
            if route.access is Access.PERSON and isinstance(error, REFUSED_SIGN_INS):
                self._count_refused_sign_in(error, request.now)
            return self.error_page(environ, error, request, route.path)

    def _require_admitted(self, request: PageRequest) -> None:
        # Everyone with data here may see and remove it, and administrators see their pages, in any state
        person, status = request.person, request.person_status
        if request.path == "/me/erased":
            return
        known = status.link or status.newest_change or status.has_other_attempts
        if self.context.linking.admission.may_link(person) or known or self.context.admin_access.has_grant(person):
            return
        if person.organisation.state is not State.CLOSED:
            raise NotAdmitted(person.organisation)
        # The page itself says that they cannot link
        self._count_refused_sign_in(LinkingClosed(person.organisation), request.now)

    def _with_displayed_person(self, environ: Mapping[str, Any], request: PageRequest) -> PageRequest:
        shown = self.authenticator.displayed_person(parse_cookies(environ), request.now)
        if shown is None:
            return request
        return replace(self._with_language_of(shown.organisation, request), displayed_person=shown)

    def _authenticate(self, environ: Mapping[str, Any], now: datetime) -> Person:
        try:
            return self.authenticator.person(environ)
        except UnknownOrganisation as error:
            self._require_no_misconfigured(error.name)
            self._record_sign_in(error.likely_id, error.name, now, refused=True)
            raise

    def _count_refused_sign_in(self, error: Exception, now: datetime) -> None:
        organisation_id = refusing_organisation(error)
        if self.context.limits.refused_sign_ins.allow(organisation_id, now):
            with suppress(StoreUnavailable):
                self.context.store.statistics.count_refused_sign_in(organisation_id, problem_of(error).code, now.date())

    def _require_no_misconfigured(self, entity_id: str) -> None:
        # If a file cannot be read, the database still knows through which entityIDs the organisation's people came
        if misconfigured := self.context.organisations.misconfigured:
            for each in self.context.store.organisations.identity_providers():
                if each.entity_id == entity_id and each.organisation in misconfigured:
                    raise OrganisationMisconfigured(each.organisation)

    def _record_sign_in(self, organisation_id: str, entity_id: str, now: datetime, *, refused: bool = False) -> None:
        # Once a day; the person's visit does not depend on it
        if self.context.limits.sign_ins_recorded.allow((organisation_id, entity_id, refused), now):
            organisations = self.context.store.organisations
            record = organisations.record_refused_sign_in if refused else organisations.record_sign_in
            with suppress(StoreUnavailable, UnstorableText):
                record(organisation_id, entity_id[:_MAX_ENTITY_ID], now)

    def error_page(
        self, environ: Mapping[str, Any], error: Exception, request: PageRequest | None = None, path: str = ""
    ) -> bottle.HTTPResponse:
        """Log an error, record its incident and return its page."""
        organisation: Organisation | None = getattr(error, "organisation", None)
        request = self._with_language_of(organisation, request or self._build_request(environ))
        problem, incident = problem_of(error), secrets.token_hex(4)
        recorded = incidents.record(self.context, incident, problem.code, request, path, organisation)
        # Only the class: the message may quote the person
        facts = {"incident": incident, "recorded": recorded, "at": path, "error": type(error).__name__}
        log("problem", problem=problem.code, **facts)
        if problem.code == "bug":
            log.exception(error)
        if organisation is None and problem.contact == ORGANISATION_HELP and request.optional_person:
            organisation = request.optional_person.organisation
        values = {"incident": incident, **problem_values(error, request.language)}
        foreign = self._foreign_organisation(error, request.language)
        if foreign is not None:
            name, entity_id = foreign
            values["name"] = f"{name} ({entity_id})" if name else entity_id
        variables = {
            "problem": problem,
            "incident": incident,
            "values": values,
            "foreign": foreign,
            "sign_in_target": self._sign_in_target(environ, request),
            "organisation": organisation,
        }
        response = self._build_response(environ, Page("problem.html", variables, problem.status), request)
        if isinstance(error, NotAllowed):
            response.set_header("Allow", error.allowed)
        return response

    def _foreign_organisation(self, error: Exception, language: Language) -> tuple[str, str] | None:
        # Name and entityID of an organisation that is not connected; the name is empty where metadata has none
        if not isinstance(error, UnknownOrganisation):
            return None
        names = self.context.display_names(error.name)
        name = names.get(language.code) or names.get("en") or next(iter(names.values()), "")
        return name, error.name[:200]

    def _build_request(self, environ: Mapping[str, Any]) -> PageRequest:
        authenticator, cookies = self.authenticator, parse_cookies(environ)
        asked = _LANG_PARAMETER.findall(environ.get("QUERY_STRING", ""))
        language_choice = self.negotiator.choose(
            asked[0] if len(asked) == 1 else "",
            authenticator.language(cookies),
            environ.get("HTTP_ACCEPT_LANGUAGE", ""),
        )
        return PageRequest(
            language_choice,
            self.clock(),
            authenticator.browser(cookies),
            path=environ.get("PATH_INFO", "/"),
            open_attempt_id=authenticator.attempt(cookies),
            authorization=environ.get("HTTP_AUTHORIZATION", ""),
        )

    def _with_return(self, request: PageRequest, text: str) -> PageRequest:
        return replace(request, return_address=find_return(text, self.context.returns)) if text else request

    def _with_language_of(self, organisation: Organisation | None, request: PageRequest) -> PageRequest:
        if organisation is None or not organisation.language:
            return request
        choice = self.negotiator.for_organisation(request.language_choice, organisation.language)
        return replace(request, language_choice=choice)

    def _sign_in_target(self, environ: Mapping[str, Any], request: PageRequest) -> str:
        # The page that was asked for; the own page where that was a form
        if environ["REQUEST_METHOD"] != "GET":
            return f"{self.service_info.public_url}/me{request.language_query}"
        query = environ.get("QUERY_STRING", "")
        if request.path == "/me/callback":
            # Without ORCID's `error_description`, which may quote a code or a token
            query = urlencode([pair for pair in parse_qsl(query) if pair[0] in {"state", "code", "error", "lang"}])
        return self.service_info.public_url + quote(request.path) + (f"?{query}" if query else "")

    def _build_response(
        self, environ: Mapping[str, Any], answer: Page | Redirect | RawResponse, request: PageRequest
    ) -> bottle.HTTPResponse:
        authenticator, signed_in = self.authenticator, request.optional_person is not None
        response = self._render(answer, request)
        if signed_in and request.browser.new:
            response.add_header("Set-Cookie", authenticator.browser_cookie(request.browser))
        if signed_in and request.displayed_person is not None:
            cookie = authenticator.display_cookie(request.displayed_person, request.browser, request.now)
            response.add_header("Set-Cookie", cookie)
        if request.language_choice.by is ChosenBy.ADDRESS:
            code, stored = request.language.code, authenticator.language(parse_cookies(environ))
            # No cookie before the sign-in; until then the links carry the language
            if stored != code and (signed_in or stored):
                response.add_header("Set-Cookie", authenticator.language_cookie(code))
        if isinstance(answer, Redirect) and answer.open_attempt_id:
            cookie = authenticator.attempt_cookie(answer.open_attempt_id, int(LIFETIME.total_seconds()))
            response.add_header("Set-Cookie", cookie)
        if isinstance(answer, Redirect) and answer.signs_out:
            response.add_header("Set-Cookie", authenticator.expired_display_cookie())
        return response

    def _render(self, answer: Page | Redirect | RawResponse, request: PageRequest) -> bottle.HTTPResponse:
        if isinstance(answer, Redirect):
            # The service's address comes from the configuration, never from the request
            url = self.service_info.public_url + answer.to if answer.to.startswith("/") else answer.to
            return bottle.HTTPResponse(b"", 303, {"Location": url, "Cache-Control": "no-store"})
        if isinstance(answer, RawResponse):
            caching = "public, max-age=31536000, immutable" if answer.immutable else "no-store"
            headers = {"Content-Type": answer.content_type, "Cache-Control": caching, **answer.headers}
            if answer.filename:
                headers["Content-Disposition"] = f'attachment; filename="{answer.filename}"'
            return bottle.HTTPResponse(answer.body, answer.status, headers)
        variables = {"return_address": request.return_address, **answer.variables}
        address: ReturnAddress | None = variables["return_address"]
        variables = {
            **variables,
            "return_query": address.query if address else "",
            "person": request.optional_person,
            "displayed_person": request.displayed_person,
            "may_link": request.optional_person is None
            or self.context.linking.admission.may_link(request.optional_person),
            "administers": request.optional_person is not None
            and self.context.admin_access.has_grant(request.optional_person),
            "is_administrator": request.optional_person is not None
            and self.context.admin_access.is_administrator(request.optional_person),
            "language_query": request.language_query,
            "language_links": {code: _language_link(request, code) for code in self.languages},
            "request": request,
        }
        text = self.templates[request.language.code](answer.template, variables)
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Language": request.language.code,
            "Cache-Control": "no-store",
            "Vary": "Accept-Language, Cookie",
        }
        return bottle.HTTPResponse(text.encode(), answer.status, headers)


def template_globals(service_info: ServiceInfo, context: AppContext, known: Mapping[str, Language]) -> dict[str, Any]:
    """Return the variables that every template can use."""
    return {
        "service_info": service_info,
        "site_languages": [(code, language.name()) for code, language in known.items()],
        "static": context.static,
        "label": context.label,
        "orcid_url": context.orcid_url,
        "actors": ACTORS,
        "fact_values": FACT_VALUES,
        "support_messages": partial(_support_messages, service_info),
        "delivery_message": partial(_delivery_message, service_info, context),
    }


def _support_messages(
    service_info: ServiceInfo,
    problem: Problem,
    request: PageRequest,
    values: Mapping[str, str],
    organisation: Organisation | None,
) -> list[RenderedMessage]:
    known = {
        "service": service_info.named(request.language.code),
        "url": service_info.public_url,
        "contact": service_info.contact,
        "when": request.language.format_datetime(request.now, service_info.zone),
    }
    if organisation is not None:
        known["organisation"] = organisation.name(request.language.code)
    addresses = {ORGANISATION_HELP: organisation.help if organisation else "", SERVICE_HELP: service_info.contact}
    return support_messages(problem.code, request.language, {**known, **values}, addresses)


def _delivery_message(
    service_info: ServiceInfo,
    context: AppContext,
    language: Language,
    transfer: TransferStatus,
    organisation: Organisation,
) -> RenderedMessage:
    facts = {
        "service": service_info.named(language.code),
        "url": service_info.public_url,
        "system": context.label(organisation, transfer.name, language.code) or transfer.name,
        "when": language.format_datetime(transfer.at, service_info.zone) if transfer.at else "",
    }
    address = organisation.help or service_info.contact
    return delivery_message(language, transfer.change, facts, address, transfer.message)


def make_app(web_app: WebApp) -> WSGIApplication:
    """Create the WSGI application."""
    app = bottle.Bottle()
    for route in ROUTES:
        # Without Bottle's plugins, which would turn what a handler returns into JSON or templates
        app.route(route.path, route.method, _callback(web_app, route), skip=True)
    app.default_error_handler = _bottle_error_handler(web_app)
    return _with_headers(app, [*web_app.headers.items()])


def _callback(web_app: WebApp, route: Route) -> Callable[..., bottle.HTTPResponse]:
    def callback(**path_params: str) -> bottle.HTTPResponse:
        return web_app.handle(route, path_params)

    return callback


def _bottle_error_handler(web_app: WebApp) -> Callable[[bottle.HTTPError], bytes]:
    errors = {400: NotFound, 404: NotFound, 413: FormTooLarge}

    def handler(bottle_error: bottle.HTTPError) -> bytes:
        allowed = bottle_error.get_header("Allow")
        error = NotAllowed(allowed) if allowed else errors.get(bottle_error.status_code, Bug)()
        response = web_app.error_page(bottle.request.environ, error)
        for name, value in response.headerlist:
            bottle.response.headers[name] = value
        bottle.response.status = response.status
        body: bytes = response.body
        return body

    return handler


def _with_headers(app: WSGIApplication, fixed: list[tuple[str, str]]) -> WSGIApplication:
    # Outside Bottle, so that responses of its own making carry them as well
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            return start_response(status, headers + fixed, exc_info)

        return app(environ, start)

    return application


def security_headers(orcid_url: str, *, secure: bool) -> dict[str, str]:
    """Return the headers that every response carries.

    `form-action` allows any https address: browsers apply it to redirects after a form as well, and a form sent after
    the session ended is redirected to the organisation's Identity Provider.
    """
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(orcid_url))
    forms = "'self' https:" if secure else f"'self' https: {origin}"
    policy = {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "'self'",
        "form-action": forms,
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def _language_link(request: PageRequest, code: str) -> str:
    # The same address in another language
    if request.path in _LANGUAGE_LINK_PATHS:
        return f"{_LANGUAGE_LINK_PATHS[request.path]}?lang={code}"
    return "?" + urlencode({**request.query, "lang": code}, doseq=True)


def _check_path_encoding(environ: Mapping[str, Any]) -> None:
    # Bottle drops bytes that are not UTF-8, so it would serve another path than the front-end server authorised
    try:
        environ.get("bottle.raw_path", "").encode("latin-1").decode()
    except UnicodeError:
        raise NotFound from None
