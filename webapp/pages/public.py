"""Public pages: landing, help, signed out, static files, health check."""

from __future__ import annotations

from shibboleth.organisation import Organisation
from sql.health import MAX_WAL_BACKLOG
from webapp.pages.context import AppContext
from webapp.pages.problems import NotFound
from webapp.pages.request import Page, PageRequest, RawResponse


def landing(context: AppContext, request: PageRequest) -> Page:
    """Show the landing page."""
    code = request.language.code

    def in_order(one: Organisation) -> str:
        return one.name(code).casefold()

    variables = {
        "organisations": sorted(context.organisations, key=in_order),
        "orcid_unavailable": context.linking.orcid_status.recently_failed(request.now),
    }
    return Page("landing.html", variables)


def help_page(context: AppContext, request: PageRequest) -> Page:
    """Show the help page."""
    return Page("help.html", {"orcid_unavailable": context.linking.orcid_status.recently_failed(request.now)})


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
    """Return `ok` if the database is up to date and can be written, else 503.

    While the write-ahead log grows, the text says so: the disk will be full.
    """
    context.store.check_schema()
    backlog = context.store.check_writable()
    growing = f"the write-ahead log grows: {backlog} bytes wait for a checkpoint\n"
    return RawResponse(growing.encode() if backlog > MAX_WAL_BACKLOG else b"ok\n", "text/plain; charset=utf-8")
