"""The display cookie, from which public pages show who is signed in."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote, unquote

from shibboleth.organisation import Organisation, Organisations
from webapp.auth.browser import Browser

LIFETIME = timedelta(hours=1)
"""Since the last page that needed a session; as long as the SP keeps an idle session by default."""
_MAX_NAME = 200
"""In characters: browsers drop a cookie of more than 4,096 bytes (RFC 6265bis, section 5.6)."""
_VALUE = re.compile(r"([A-Za-z0-9_-]{43})\.(([0-9]{1,12})\.([a-z0-9-]{1,63})\.([A-Za-z0-9_.~%-]+))", re.ASCII)


@dataclass(frozen=True, slots=True)
class DisplayedPerson:
    """What the header of a page shows of the signed-in person."""

    name: str
    """The display name; the account where none was released."""
    organisation: Organisation


def sign(shown: DisplayedPerson, browser: Browser, now: datetime) -> str:
    """Return the value of a display cookie that is valid for `LIFETIME`."""
    expires = int((now + LIFETIME).timestamp())
    signed = f"{expires}.{shown.organisation.id}.{quote(shown.name[:_MAX_NAME], safe='')}"
    return f"{browser.derive('display', signed)}.{signed}"


def verify(value: str, browser: Browser, organisations: Organisations, now: datetime) -> DisplayedPerson | None:
    """Return whom a display cookie names; None if it is not valid."""
    found = _VALUE.fullmatch(value)
    if found is None:
        return None
    mac, signed, expires, organisation_id, name = found.groups()
    if not hmac.compare_digest(mac, browser.derive("display", signed)) or int(expires) <= now.timestamp():
        return None
    try:
        return DisplayedPerson(unquote(name), organisations.by_id(organisation_id))
    except LookupError:
        return None
