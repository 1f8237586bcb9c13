"""Public pages: landing, ways to the sign-in, help, static files, health."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

from shibboleth.organisation import Organisation, State, UnknownOrganisation
from sql.health import MAX_WAL_BACKLOG
from webapp.auth.cookies import OWS
from webapp.linking.return_address import ReturnNotAllowed
from webapp.pages.context import AppContext
from webapp.pages.problems import NoSuchOrganisation, NotFound
from webapp.pages.request import Page, PageRequest, RawResponse, Redirect

MANY_ORGANISATIONS = 10
"""With more than these, the list of organisations can be searched."""


def landing(context: AppContext, request: PageRequest) -> Page:
    """Show the landing page."""
    return _sign_in_page("landing.html", context, request, _listed(context))


def connect(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Receive a person whom another service sends here.

    The query names the address to which they may go back and, optionally, the organisation at which they sign in.

    Raises:
        ReturnNotAllowed: If it names no address.
        OrganisationMisconfigured: If the settings of the named organisation are invalid.
        NoSuchOrganisation: If the named organisation is not connected.
    """
    if request.return_address is None:
        raise ReturnNotAllowed
    organisation_id = request.parameter("organisation")
    if organisation_id:
        return _to_sign_in(context, request, organisation_id)
    return _sign_in_page("connect.html", context, request, _listed(context))


def _listed(context: AppContext) -> list[Organisation]:
    # Test persons of a hidden organisation use its own address
    return [one for one in context.organisations if one.state is not State.HIDDEN]


def organisation_address(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Redirect to an organisation's sign-in: its address for mails and posters.

    Raises:
        OrganisationMisconfigured: If its settings are invalid.
        NoSuchOrganisation: If it is not connected.
    """
    return _to_sign_in(context, request, request.path_params["organisation"])


def _to_sign_in(context: AppContext, request: PageRequest, organisation_id: str) -> Page | Redirect:
    try:
        organisation = context.organisations.by_id(organisation_id)
    except UnknownOrganisation:
        raise NoSuchOrganisation from None
    if len(organisation.entity_ids) > 1:
        return _sign_in_page("sign_in.html", context, request, [organisation])
    target = {"entityID": organisation.entity_ids[0], "target": context.public_url + _sign_in_path(request)}
    return Redirect(f"/Shibboleth.sso/Login?{urlencode(target)}")


def _matches(organisation: Organisation, text: str) -> bool:
    names = [*organisation.names.values(), *organisation.scopes]
    return any(text in each.casefold() for each in names)


def _sign_in_page(
    template: str, context: AppContext, request: PageRequest, organisations: Iterable[Organisation]
) -> Page:
    code = request.language.code

    def in_order(one: Organisation) -> str:
        return one.name(code).casefold()

    found, find = sorted(organisations, key=in_order), request.parameter("find").strip(OWS)
    many = len(found) > MANY_ORGANISATIONS
    if many and find:
        found = [one for one in found if _matches(one, find.casefold())]
    variables = {
        "organisations": found,
        "many_organisations": many,
        "find": find[:100],
        "orcid_unavailable": context.linking.orcid_status.recently_failed(request.now),
        "sign_in_path": _sign_in_path(request),
    }
    return Page(template, variables)


def _sign_in_path(request: PageRequest) -> str:
    # Of the page after the sign-in
    path = request.carry_return("/me")
    language = request.language_query.removeprefix("?")
    return path + (("&" if "?" in path else "?") + language if language else "")


def help_page(context: AppContext, request: PageRequest) -> Page:
    """Show the help page."""
    return Page("help.html", {"orcid_unavailable": context.linking.orcid_status.recently_failed(request.now)})


def sign_out(context: AppContext, _request: PageRequest) -> Redirect:
    """Delete the display cookie and redirect to the SP's logout.

    In this order, because a logout that continues at the Identity Provider may not return.
    """
    query = urlencode({"return": f"{context.public_url}/signed-out"})
    return Redirect(f"/Shibboleth.sso/Logout?{query}", signs_out=True)


def signed_out(_context: AppContext, _request: PageRequest) -> Page:
    """Show the page after a sign-out."""
    return Page("signed_out.html")


def static(context: AppContext, request: PageRequest) -> RawResponse:
    """Return a static file.

    Raises:
        NotFound: If there is none with this name.
    """
    try:
        return context.static.response(request.path_params["name"])
    except KeyError:
        raise NotFound from None


def healthz(context: AppContext, _request: PageRequest) -> RawResponse:
    """Return `ok`: the process answers requests, whatever the database does."""
    return _health_text(context, "ok")


def readyz(context: AppContext, _request: PageRequest) -> RawResponse:
    """Return `ok` if the process can take requests.

    The response is 503 if the process ends, or the database has another schema or cannot be written in time. While the
    write-ahead log grows, the text says so: the disk will be full.
    """
    if context.process.ending:
        return _health_text(context, "the process ends", 503)
    context.store.check_schema()
    backlog = context.store.check_writable()
    growing = f"the write-ahead log grows: {backlog} bytes wait for a checkpoint"
    return _health_text(context, growing if backlog > MAX_WAL_BACKLOG else "ok")


def _health_text(context: AppContext, text: str, status: int = 200) -> RawResponse:
    return RawResponse(f"{text}\n".encode(), "text/plain; charset=utf-8", status, headers=dict(context.process.headers))
