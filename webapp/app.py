"""The web application: Bottle, the table of routes, and what is the same for every answer."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import bottle

from shibboleth.organisation import Organisation
from webapp.auth.authenticator import Access, Authenticator
from webapp.auth.cookies import cookies_of
from webapp.auth.csrf import check_csrf_token, check_origin
from webapp.i18n.language import ChosenBy, Language, LanguageNegotiator
from webapp.linking.service import LIFETIME
from webapp.log import log
from webapp.operator import incidents
from webapp.pages.context import AppContext
from webapp.pages.problems import (
    HOME_HELP,
    OUR_HELP,
    Bug,
    FormTooLarge,
    NotAllowed,
    NotFound,
    Problem,
    facts_of,
    problem_of,
)
from webapp.pages.request import Page, PageRequest, RawResponse, Redirect, RepeatedParameter
from webapp.pages.support_messages import RenderedMessage, support_messages
from webapp.rendering.templating import Templates
from webapp.routes import ROUTES, Route

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_LARGEST_FORM = 16 * 1024
_ASKED = re.compile(r"(?:^|&)lang=([A-Za-z-]{2,20})(?=&|$)", re.ASCII)
_SPECULATIVE = re.compile("prefetch|prerender|preview", re.ASCII | re.IGNORECASE)
_PURPOSES = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")
_LENGTH = re.compile("[0-9]{1,9}")
_ELSEWHERE = {"/me/callback": "/me"}
"""Where a change of language leads from an address that means nothing without what stands behind its `?`."""

_Dressed = tuple[bytes, int, dict[str, str]]
"""An answer's body, status and headers."""


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """What every page says of the service."""

    public_url: str
    name: str
    contact: str
    language: str
    sandbox: bool
    zone: tzinfo = UTC
    logo: str = ""
    """The name of its picture among the static files; empty where it has none."""


@dataclass(frozen=True, slots=True)
class WebApp:
    """What surrounds the handlers: authenticator, languages, templates, headers."""

    service_info: ServiceInfo
    authenticator: Authenticator
    context: AppContext
    languages: Mapping[str, Language]
    templates: Mapping[str, Templates]
    """By language."""
    headers: Mapping[str, str]
    clock: Callable[[], datetime]
    chooser: LanguageNegotiator = field(init=False)

    def __post_init__(self) -> None:
        """Make what chooses the language of a page."""
        object.__setattr__(self, "chooser", LanguageNegotiator(self.languages, self.service_info.language))

    def serve(self, route: Route, path_params: Mapping[str, str]) -> bottle.HTTPResponse:
        """Answer one request."""
        environ = bottle.request.environ
        request = self._arrival(environ)
        try:
            _must_be_text(environ)
            if route.access is Access.PERSON:
                _must_run(environ, route)
                request = self._signed_in(environ, request)
            request = replace(request, path_params=path_params, query=_query(environ), form=_form(environ))
            request.parameter("lang")
            if route.access is Access.PERSON:
                request = self._checked(environ, request)
            answer = route.handler(self.context, request)
            return self._response(environ, answer, request)
        except _NotNow:
            return self._response(environ, RawResponse(b"", "text/plain", 503), request)
        except Exception as error:  # noqa: BLE001 - each one gets its named page here, and a bug gets one too
            return self.problem(environ, error, request, route.path)

    def problem(
        self, environ: Mapping[str, Any], error: Exception, request: PageRequest | None = None, address: str = ""
    ) -> bottle.HTTPResponse:
        """Answer with the page of what is wrong."""
        request = self._at_home(request or self._arrival(environ), getattr(error, "organisation", None))
        row = problem_of(error)
        incident = secrets.token_hex(4)
        # By its class alone: a message may hold a person's words
        log("problem", problem=row.word, incident=incident, at=address, error=type(error).__name__)
        if row.word == "bug":
            log.exception(error)
        incidents.keep(self.context.store, incident, row.word, request, address, getattr(error, "organisation", None))
        facts: dict[str, Any] = {
            "problem": row,
            "incident": incident,
            "told": {"incident": incident, **facts_of(error, request.language)},
            "back": _back(environ, self.service_info, request),
            "organisation": getattr(error, "organisation", None) or _home(request, row.ask),
        }
        response = self._response(environ, Page("problem.html", facts, row.status), request)
        if isinstance(error, NotAllowed):
            response.set_header("Allow", error.allowed)
        return response

    def _arrival(self, environ: Mapping[str, Any]) -> PageRequest:
        authenticator, cookies = self.authenticator, cookies_of(environ)
        choice = self.chooser.choose(
            _asked(environ), authenticator.language(cookies), environ.get("HTTP_ACCEPT_LANGUAGE", "")
        )
        path = environ.get("PATH_INFO", "/")
        return PageRequest(
            choice,
            self.clock(),
            authenticator.browser(cookies),
            path=path,
            attempt=authenticator.attempt(cookies),
            authorization=environ.get("HTTP_AUTHORIZATION", ""),
        )

    def _signed_in(self, environ: Mapping[str, Any], request: PageRequest) -> PageRequest:
        person = self.authenticator.person(environ)
        # Before the visit is a person's: no page about this sets a cookie, which would only hide what is wrong
        self.authenticator.must_be_one_browser(cookies_of(environ))
        return replace(self._at_home(request, person.organisation), optional_person=person)

    def _checked(self, environ: Mapping[str, Any], request: PageRequest) -> PageRequest:
        """Check what holds for every page of a person: a form is ours, and no earlier holder's link is left."""
        if environ["REQUEST_METHOD"] == "POST":
            check_origin(_origin(self.service_info.public_url), environ)
            check_csrf_token(request.form.get("token", ""), request.browser, request.person)
        return replace(request, person_status=self.context.linking.current_status(request.person, request.now))

    def _at_home(self, request: PageRequest, organisation: Organisation | None) -> PageRequest:
        if organisation is None or not organisation.language:
            return request
        return replace(request, choice=self.chooser.for_organisation(request.choice, organisation.language))

    def _response(
        self, environ: Mapping[str, Any], answer: Page | Redirect | RawResponse, request: PageRequest
    ) -> bottle.HTTPResponse:
        body, status, headers = _DRESS[type(answer)](self, answer, request)
        response = bottle.HTTPResponse(body, status, headers)
        if request.optional_person is not None and request.browser.new:
            response.add_header("Set-Cookie", self.authenticator.cookie(request.browser))
        if request.choice.by is ChosenBy.ADDRESS and self._may_keep(environ, request):
            response.add_header("Set-Cookie", self.authenticator.language_cookie(request.language.code))
        if isinstance(answer, Redirect) and answer.attempt:
            lasts = int(LIFETIME.total_seconds())
            response.add_header("Set-Cookie", self.authenticator.attempt_cookie(answer.attempt, lasts))
        return response

    def _may_keep(self, environ: Mapping[str, Any], request: PageRequest) -> bool:
        # Before the sign-in there is no cookie of ours: until then the addresses carry the language
        kept = self.authenticator.language(cookies_of(environ))
        return kept != request.language.code and (request.optional_person is not None or kept != "")

    def _page(self, page: Page, request: PageRequest) -> _Dressed:
        known = {
            "person": request.optional_person,
            "language_query": request.language_query,
            "here": _ELSEWHERE.get(request.path, ""),
            "request": request,
        }
        text = self.templates[request.language.code](page.template, {**page.facts, **known})
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Language": request.language.code,
            "Cache-Control": "no-store",
            "Vary": "Accept-Language, Cookie",
        }
        return text.encode(), page.status, headers

    def _go(self, go: Redirect, _request: PageRequest) -> _Dressed:
        # The address of the service is the operator's to say, never the request's
        to = self.service_info.public_url + go.to if go.to.startswith("/") else go.to
        return b"", 303, {"Location": to, "Cache-Control": "no-store"}

    def _raw(self, raw: RawResponse, _request: PageRequest) -> _Dressed:
        keep = "public, max-age=31536000, immutable" if raw.lasting else "no-store"
        saved = {"Content-Disposition": f'attachment; filename="{raw.save_as}"'} if raw.save_as else {}
        return raw.body, raw.status, {"Content-Type": raw.kind, "Cache-Control": keep, **saved, **raw.headers}


_DRESS: Mapping[type, Callable[[WebApp, Any, PageRequest], _Dressed]] = {
    Page: WebApp._page,  # noqa: SLF001 - the table of its own methods
    Redirect: WebApp._go,  # noqa: SLF001
    RawResponse: WebApp._raw,  # noqa: SLF001
}


def page_globals(service_info: ServiceInfo, context: AppContext, known: Mapping[str, Language]) -> dict[str, Any]:
    """Give the facts that each page knows."""
    return {
        "service_info": service_info,
        "site_languages": [(code, language.name()) for code, language in known.items()],
        "static": context.static,
        "label": context.label,
        "orcid_url": context.orcid_url,
        "sign_out": f"/Shibboleth.sso/Logout?return={quote(service_info.public_url + '/signed-out', safe='')}",
        "support_messages": partial(_letters, service_info),
    }


def _letters(
    service_info: ServiceInfo,
    problem: Problem,
    request: PageRequest,
    told: Mapping[str, str],
    home: Organisation | None,
) -> list[RenderedMessage]:
    facts = {
        "service": service_info.name,
        "url": service_info.public_url,
        "contact": service_info.contact,
        "when": request.language.format_datetime(request.now, service_info.zone),
    }
    if home is not None:
        facts["organisation"] = home.name(request.language.code)
    addresses = {HOME_HELP: home.help if home else "", OUR_HELP: service_info.contact}
    return support_messages(problem.word, request.language, {**facts, **told}, addresses)


def make_app(front: WebApp) -> WSGIApplication:
    """Make the WSGI application."""
    app = bottle.Bottle()
    for route in ROUTES:
        # Bottle's plugins make JSON and templates of what a handler returns; ours return whole answers
        app.route(route.path, route.method, _answering(front, route), skip=True)
    app.default_error_handler = _bottles_own(front)
    return _with_headers(app, [*front.headers.items()])


def _with_headers(app: WSGIApplication, fixed: list[tuple[str, str]]) -> WSGIApplication:
    """Give every answer these headers, whoever makes it: the last thing that is done to it."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            return start_response(status, headers + fixed, exc_info)

        return app(environ, start)

    return application


def security_headers(orcid_url: str, *, secure: bool) -> dict[str, str]:
    """Give the headers that every answer carries.

    `form-action` allows any https address because browsers hold redirects after a form to it as well, and a form
    sent after the session ended is redirected to the organisation's Identity Provider, wherever that is.
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


class _NotNow(Exception):
    """The browser fetches a page that nobody has asked for yet: it is answered when somebody does."""


def _must_run(environ: Mapping[str, Any], route: Route) -> None:
    """Keep a request from a person's page that must change nothing: what the page shows may change with its being seen.

    A prefetch that fails is repeated when the person goes there.
    """
    if environ["REQUEST_METHOD"] == "HEAD":
        raise NotAllowed(", ".join(sorted({one.method for one in ROUTES if one.path == route.path})))
    if route.method == "GET" and any(_SPECULATIVE.search(environ.get(name, "")) for name in _PURPOSES):
        raise _NotNow


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _answering(front: WebApp, route: Route) -> Callable[..., bottle.HTTPResponse]:
    def answer(**path_params: str) -> bottle.HTTPResponse:
        return front.serve(route, path_params)

    return answer


def _bottles_own(front: WebApp) -> Callable[[bottle.HTTPError], bytes]:
    kinds = {400: NotFound, 404: NotFound, 413: FormTooLarge}

    def page(error: bottle.HTTPError) -> bytes:
        allowed = error.get_header("Allow")
        wrong = NotAllowed(allowed) if allowed else kinds.get(error.status_code, Bug)()
        answer = front.problem(bottle.request.environ, wrong)
        for name, value in answer.headerlist:
            bottle.response.headers[name] = value
        bottle.response.status = answer.status
        body: bytes = answer.body
        return body

    return page


def _must_be_text(environ: Mapping[str, Any]) -> None:
    # Bottle drops bytes that are not UTF-8, so that another address than the front saw would be served
    try:
        environ.get("bottle.raw_path", "").encode("latin-1").decode()
    except UnicodeError:
        raise NotFound from None


def _form(environ: Mapping[str, Any]) -> dict[str, str]:
    if environ.get("REQUEST_METHOD") != "POST":
        return {}
    length = environ.get("CONTENT_LENGTH") or "0"
    if not _LENGTH.fullmatch(length) or int(length) > _LARGEST_FORM:
        raise FormTooLarge
    fields = _fields(environ["wsgi.input"].read(int(length)).decode("utf-8", "replace"))
    # All fields of our forms are ours, and each of them has one value
    if any(len(values) > 1 for values in fields.values()):
        raise RepeatedParameter
    return {name: values[0] for name, values in fields.items()}


def _query(environ: Mapping[str, Any]) -> dict[str, list[str]]:
    return _fields(environ.get("QUERY_STRING", ""))


def _asked(environ: Mapping[str, Any]) -> str:
    found = _ASKED.findall(environ.get("QUERY_STRING", ""))
    return found[0] if len(found) == 1 else ""


def _back(environ: Mapping[str, Any], service_info: ServiceInfo, request: PageRequest) -> str:
    """Give the address that goes on where a person was, for after the sign-in."""
    if environ["REQUEST_METHOD"] != "GET":
        return f"{service_info.public_url}/me{request.language_query}"
    query = environ.get("QUERY_STRING", "")
    return service_info.public_url + quote(request.path) + (f"?{query}" if query else "")


def _fields(text: str) -> dict[str, list[str]]:
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise FormTooLarge from None


def _home(request: PageRequest, ask: str) -> Organisation | None:
    return request.optional_person.organisation if ask == HOME_HELP and request.optional_person else None
