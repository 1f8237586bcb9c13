"""Simulate another service provider, which shows the attributes it receives."""

from __future__ import annotations

from typing import Final

from demo.identity_provider import sign_in_url
from demo.orcid.http import Response, see_other
from demo.pages import page, set_cookie
from demo.sessions import Session

PATH: Final = "/service-provider"
SIGN_OUT: Final = f"{PATH}/sign-out"
COOKIE: Final = "demo-service-provider"
SERVICE: Final = "service-provider"
SHOWN: Final = ("eppn", "displayName", "schacHomeOrganization", "eduPersonOrcid")


def render(session: Session | None) -> Response:
    """Return the page with the attributes of a session.

    Without a session the page has a sign-in link.
    """
    if session is None:
        return page("service_provider.html", sign_in=sign_in_url(SERVICE))
    received = [(name, session.attributes.get(name, ())) for name in SHOWN]
    return page("received.html", session=session, received=received, service=SERVICE, sign_out=SIGN_OUT)


def sign_out() -> Response:
    """Delete the session cookie and redirect to the start page."""
    return see_other(PATH).with_headers(set_cookie(COOKIE, ""))
