"""The record API on the public and the member host.

It checks tokens, reads records, and renders them as JSON or XML.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

from . import affiliations, rate_limits
from .errors import ApiError
from .http import Request, Response, json_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from .people import User
    from .simulator import OrcidSimulator, TokenPair

JSON_TYPES: Final = ("application/json", "application/orcid+json", "application/vnd.orcid+json")
XML_TYPES: Final = ("application/xml", "application/orcid+xml", "application/vnd.orcid+xml", "text/xml")
XML: Final = "application/vnd.orcid+xml;charset=UTF-8"
NAMESPACE: Final = "http://www.orcid.org/ns/record"
CREATED: Final = {"value": 1768903200000}
FORBIDDEN: Final = {
    "error": "forbidden",
    "error_description": "Forbidden: The server understood the request but refuses to authorize it.",
}


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: on which host, with which tokens."""

    simulator: OrcidSimulator
    host: str
    tokens: TokenPair | None

    @property
    def can_see_limited(self) -> bool:
        """Whether the reader sees items with visibility limited."""
        return self.host == "api" and self.tokens is not None and "/read-limited" in self.tokens.scopes

    def can_see(self, visibility: str, client_id: str | None = None) -> bool:
        """Return whether an item of a visibility, written by a client, is shown."""
        own = self.host == "api" and self.tokens is not None and self.tokens.client_id == client_id
        return own or visibility == "public" or (visibility == "limited" and self.can_see_limited)


def status(simulator: OrcidSimulator, _request: Request, host: str) -> Response:  # noqa: ARG001 - the same on both
    """`/v3.0/apiStatus`: a health check without a token."""
    up = {"tomcatUp": True, "dbConnectionOk": simulator.options.api_ok, "readOnlyDbConnectionOk": True}
    return json_response(200, {**up, "overallOk": simulator.options.api_ok})


def handle(simulator: OrcidSimulator, request: Request, host: str, path: str) -> Response:
    """`/v3.0/<iD>/<section>` on either host."""
    rejection = rate_limits.check(simulator, request, host)
    if rejection:
        return rejection
    kind = _kind(simulator, request.accept)
    if kind is None:
        return json_response(406, ApiError(9001, "Not acceptable", status=406).body)
    try:
        tokens = _find_tokens(simulator, request, host)
        return _read_or_write(Reader(simulator, host, tokens), request, path, kind)
    except OAuthError as error:
        return json_response(error.status, error.body)
    except ApiError as error:
        headers = [("Location", error.location)] if error.location else []
        return _render(kind, error.body, "error", error.status).with_headers(*headers)


class OAuthError(Exception):
    """The token is refused, in the format of the API's security filter."""

    def __init__(self, status: int, body: dict[str, str]) -> None:
        self.status = status
        self.body = body


# ORCID's default is XML; None is answered with 406
def _kind(simulator: OrcidSimulator, accept: str) -> str | None:
    types = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    for name in types:
        if name in JSON_TYPES:
            return "json"
        if name in ("", "*/*", *XML_TYPES):
            return "xml" if simulator.options.xml else None
    return None


def _find_tokens(simulator: OrcidSimulator, request: Request, host: str) -> TokenPair | None:
    token = request.bearer
    if token is None:
        if host == "api":
            raise OAuthError(403, FORBIDDEN)
        return None
    tokens = simulator.data.by_access_token.get(token)
    deletes_own = tokens is not None and tokens.revoked == "USER_REVOKED" and request.method == "DELETE"
    refused = request.fault is not None and request.fault.name == "invalid_token"
    if refused or tokens is None or not (tokens.live(simulator.now()) or deletes_own):
        body = {"error": "invalid_token", "error_description": f"Invalid access token: {token}"}
        raise OAuthError(401, body)
    return tokens


def _read_or_write(reader: Reader, request: Request, path: str, kind: str) -> Response:
    orcid, _, section = path.strip("/").partition("/")
    section = section or "record"
    tokens, simulator = reader.tokens, reader.simulator
    if request.fault and request.fault.name == "api_error":
        raise ApiError(request.fault.code, "simulated")
    if tokens and simulator.clients[tokens.client_id].state != "ok":
        raise ApiError(9057)
    if tokens and tokens.orcid not in (None, orcid):
        raise ApiError(9017, "Access token is for a different record")
    if tokens and reader.host == "api" and simulator.clients[tokens.client_id].public:
        raise ApiError(9017, "Public clients cannot use the member API")
    user = find_usable_user(simulator, request, reader.host, orcid, section)
    if request.method != "GET":
        return affiliations.write_item(
            reader.simulator, tokens if reader.host == "api" else None, request, user, section
        )
    return _render(kind, read(reader, user, section), section.partition("/")[0])


def find_usable_user(simulator: OrcidSimulator, request: Request, host: str, orcid: str, section: str) -> User:
    """Return the person of a record, checked in ORCID's order.

    Raises:
        ApiError: If the record does not exist or is deprecated, unclaimed, locked or deactivated.
    """
    user = simulator.users.get(orcid)
    if user is None:
        raise ApiError(9016)
    if user.state == "deprecated":
        there = f"{simulator.base_url}/{host}/v3.0/{user.primary}/{section}"
        detail = f"Please refer to account: {simulator.uri(str(user.primary))}. ORCID {simulator.uri(orcid)}"
        raise ApiError(9007, detail, status=301 if request.method == "GET" else 409, location=there)
    if user.state == "unclaimed":
        raise ApiError(9036)
    if user.state == "locked":
        raise ApiError(9018, f"ORCID {orcid} Full validation error: {orcid} is locked")
    if user.state == "deactivated":
        raise ApiError(9044, f"Full validation error: {orcid} is deactivated")
    return user


def _render(kind: str, value: dict[str, Any], name: str, status: int = 200) -> Response:
    if kind == "json":
        return json_response(status, value)
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="{NAMESPACE}">{_xml(value)}</{name}>\n'
    return Response(status, text.encode(), (("Content-Type", XML),))


# The same tree as elements, not ORCID's schema
def _xml(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"<{key}>{_xml(inner)}</{key}>" for key, inner in value.items() if inner is not None)
    if isinstance(value, list):
        return "".join(f"<item>{_xml(inner)}</item>" for inner in value)
    return escape(str(value))


# Shapes


def read(reader: Reader, user: User, section: str) -> dict[str, Any]:
    """Return one section of a record, or one item."""
    name, _, put_code = section.partition("/")
    if name in affiliations.SECTIONS and put_code:
        return affiliations.read_item(reader, user.orcid, name, affiliations.parse_put_code(put_code))
    if section == "summary" and reader.host == "api":
        return _summary(reader, user)
    make = READ.get(section)
    if make is None:
        raise ApiError(9016)
    return make(reader, user)


def _record(reader: Reader, user: User) -> dict[str, Any]:
    simulator = reader.simulator
    host = re.sub(r"^\w+://", "", simulator.registry_prefix)
    return {
        "orcid-identifier": {"uri": simulator.uri(user.orcid), "path": user.orcid, "host": host},
        "preferences": {"locale": "en"},
        "history": {
            "creation-method": "DIRECT",
            "completion-date": None,
            "submission-date": CREATED,
            "last-modified-date": CREATED,
            "claimed": True,
            "source": None,
            "deactivation-date": None,
            "verified-email": True,
            "verified-primary-email": True,
        },
        "person": _person(reader, user),
        "activities-summary": _activities(reader, user),
        "path": f"/{user.orcid}",
    }


# ORCID's trust markers: what a client and not the person has asserted, and verified e-mail domains
def _summary(reader: Reader, user: User) -> dict[str, Any]:
    items = {kind: reader.simulator.items(user.orcid, kind) for kind in affiliations.SECTIONS}
    seen = [item for item in items["employment"] if reader.can_see(item.visibility, item.client_id)]
    validated = sum(item.client_id is not None for item in seen)
    return {
        "created-date": CREATED,
        "last-modified-date": CREATED,
        "credit-name": {"value": user.credit} if user.credit else None,
        "orcid-identifier": {"uri": reader.simulator.uri(user.orcid), "path": user.orcid},
        "employments": {
            "count": len(seen),
            "self-asserted-count": len(seen) - validated,
            "validated-count": validated,
            "employment": [
                {
                    "put-code": item.put_code,
                    "organization-name": (item.body.get("organization") or {}).get("name"),
                    "role": item.body.get("role-title"),
                    "start-date": item.body.get("start-date"),
                    "end-date": item.body.get("end-date"),
                    "validated": item.client_id is not None,
                }
                for item in seen
            ],
        },
        "email-domains": {"email-domain": [{"value": domain} for domain in user.email_domains]},
    }


def _person(reader: Reader, user: User) -> dict[str, Any]:
    parts = {key: READ[section](reader, user) for key, section in PERSON}
    return {
        "last-modified-date": CREATED,
        "name": name(reader, user),
        "other-names": parts["other-names"],
        "biography": None,
        **{key: value for key, value in parts.items() if key != "other-names"},
        "path": f"/{user.orcid}/person",
    }


def name(reader: Reader, user: User) -> dict[str, Any] | None:
    """Return the name, or None if the reader may not see it."""
    if not reader.can_see(user.visibility):
        return None
    return {
        "created-date": CREATED,
        "last-modified-date": CREATED,
        "given-names": {"value": user.given},
        "family-name": {"value": user.family} if user.family else None,
        "credit-name": {"value": user.credit} if user.credit else None,
        "source": None,
        "visibility": user.visibility,
        "path": user.orcid,
    }


def _personal_details(reader: Reader, user: User) -> dict[str, Any]:
    return {
        "last-modified-date": CREATED,
        "name": name(reader, user),
        "other-names": READ["other-names"](reader, user),
        "biography": None,
        "path": f"/{user.orcid}/personal-details",
    }


def _biography(_reader: Reader, _user: User) -> dict[str, Any]:
    raise ApiError(9041)


def _activities(reader: Reader, user: User) -> dict[str, Any]:
    parts = {section: READ[section](reader, user) for section in ACTIVITIES}
    return {"last-modified-date": CREATED, **parts, "path": f"/{user.orcid}/activities"}


def _empty(section: str, key: str) -> Callable[[Reader, User], dict[str, Any]]:
    return lambda _reader, user: {"last-modified-date": None, key: [], "path": f"/{user.orcid}/{section}"}


def _affiliations(section: str) -> Callable[[Reader, User], dict[str, Any]]:
    kind = affiliations.LISTS[section]
    return lambda reader, user: affiliations.read_list(reader, user.orcid, section, kind)


PERSON: Final = (
    ("other-names", "other-names"),
    ("researcher-urls", "researcher-urls"),
    ("emails", "email"),
    ("addresses", "address"),
    ("keywords", "keywords"),
    ("external-identifiers", "external-identifiers"),
)
ACTIVITIES: Final = (
    "distinctions",
    "educations",
    "employments",
    "fundings",
    "invited-positions",
    "memberships",
    "peer-reviews",
    "qualifications",
    "research-resources",
    "services",
    "works",
)
READ: Final[dict[str, Callable[[Reader, User], dict[str, Any]]]] = {
    "record": _record,
    "person": _person,
    "personal-details": _personal_details,
    "biography": _biography,
    "activities": _activities,
    "other-names": _empty("other-names", "other-name"),
    "researcher-urls": _empty("researcher-urls", "researcher-url"),
    "email": _empty("email", "email"),
    "address": _empty("address", "address"),
    "keywords": _empty("keywords", "keyword"),
    "external-identifiers": _empty("external-identifiers", "external-identifier"),
    **{section: _affiliations(section) for section in affiliations.LISTS},
    **{section: _empty(section, "group") for section in ("fundings", "peer-reviews", "research-resources", "works")},
}
