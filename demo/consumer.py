"""Stands in for a service provider that has nothing to do with us: it shows what it is told at sign-in."""

from __future__ import annotations

from typing import Final

from demo.identity_provider import sign_in_address
from demo.orcid.wire import Answer, see_other
from demo.pages import page, set_cookie
from demo.sessions import Session

ADDRESS: Final = "/service-provider"
SIGN_OUT: Final = f"{ADDRESS}/sign-out"
COOKIE: Final = "demo-service-provider"
SERVICE: Final = "service-provider"
SHOWN: Final = ("eppn", "displayName", "schacHomeOrganization", "eduPersonOrcid")


def shown(session: Session | None) -> Answer:
    """Show what this service provider knows of whoever looks."""
    if session is None:
        return page("service_provider.html", sign_in=sign_in_address(SERVICE))
    received = [(name, session.attributes.get(name, ())) for name in SHOWN]
    return page("received.html", session=session, received=received, service=SERVICE, sign_out=SIGN_OUT)


def signed_out() -> Answer:
    """Let the browser forget the session."""
    return see_other(ADDRESS).with_headers(set_cookie(COOKIE, ""))
