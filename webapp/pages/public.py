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
