"""Reading and writing of a record's affiliations.

Errors are those of the record API. Identifiers of organisations are known by their form (`IDENTIFIERS`), except those
in the option `unknown_organisations`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from .errors import ApiError
from .http import Request, Response, json_response

if TYPE_CHECKING:
    from .people import User
    from .record import Reader
    from .simulator import Affiliation, OrcidSimulator, TokenPair

LISTS: Final = {
    "distinctions": "distinction",
    "educations": "education",
    "employments": "employment",
    "invited-positions": "invited-position",
    "memberships": "membership",
    "qualifications": "qualification",
    "services": "service",
}
SECTIONS: Final = frozenset(LISTS.values())
STRICT: Final = frozenset({"education", "employment"})
IDENTIFIERS: Final = {
    "ROR": re.compile(r"https://ror\.org/0[0-9a-hjkmnp-tv-z]{6}[0-9]{2}"),
    "RINGGOLD": re.compile(r"[1-9][0-9]{0,7}"),
    "GRID": re.compile(r"grid\.[1-9][0-9]*\.[0-9a-f]+"),
    "FUNDREF": re.compile(r"http://dx\.doi\.org/10\.13039/[0-9]+"),
    "LEI": re.compile(r"[0-9A-Z]{18}[0-9]{2}"),
}
"""Form of an organisation's identifier by source, exactly as ORCID stores it."""
MAX_PUT_CODE_LENGTH: Final = 18
JSON_BODIES: Final = frozenset({"application/json", "application/orcid+json", "application/vnd.orcid+json"})
WRITE: Final = "/activities/update"
READ_KEYS: Final = (
    "department-name",
    "role-title",
    "start-date",
    "end-date",
    "organization",
    "url",
    "external-ids",
)

# Reading


def read_list(reader: Reader, orcid: str, section: str, kind: str) -> dict[str, Any]:
    """Return the list of one kind, without items that the reader may not see."""
    items = [item for item in reader.simulator.items(orcid, kind) if reader.can_see(item.visibility, item.client_id)]
    groups = [
        {
            "last-modified-date": {"value": item.changed},
            "external-ids": render_external_ids(item.body),
            "summaries": [{f"{kind}-summary": render_item(reader.simulator, orcid, item)}],
        }
        for item in items
    ]
    latest = max((item.changed for item in items), default=None)
    return {
        "last-modified-date": {"value": latest} if latest else None,
        "affiliation-group": groups,
        "path": f"/{orcid}/{section}",
    }


def read_item(reader: Reader, orcid: str, kind: str, put_code: int) -> dict[str, Any]:
    """Return one item.

    Raises:
        ApiError: If it does not exist or the reader may not see it.
    """
    item = find_item(reader.simulator, orcid, kind, put_code)
    if reader.can_see(item.visibility, item.client_id):
        return render_item(reader.simulator, orcid, item)
    if reader.host == "pub":
        raise ApiError(9039)
    raise ApiError(9038 if item.visibility == "limited" else 9013)


def find_item(simulator: OrcidSimulator, orcid: str, kind: str, put_code: int) -> Affiliation:
    """Return the item with a put-code."""
    for item in simulator.items(orcid, kind):
        if item.put_code == put_code:
            return item
    raise ApiError(9016)


def render_item(simulator: OrcidSimulator, orcid: str, item: Affiliation) -> dict[str, Any]:
    """Return an item as the API returns it, with its members in ORCID's order.

    Its source is the client that wrote it, or the person.
    """
    host = simulator.registry_prefix.partition("://")[2]
    client = simulator.clients[item.client_id] if item.client_id else None
    place = f"client/{client.client_id}" if client else orcid
    source = {
        "uri": f"{simulator.registry_prefix}/{place}",
        "path": client.client_id if client else orcid,
        "host": host,
    }
    return {
        "created-date": {"value": item.created},
        "last-modified-date": {"value": item.changed},
        "source": {
            "source-orcid": None if client else source,
            "source-client-id": source if client else None,
            "source-name": {"value": client.name if client else simulator.users[orcid].full_name},
            "assertion-origin-orcid": None,
            "assertion-origin-client-id": None,
            "assertion-origin-name": None,
        },
        "put-code": item.put_code,
        **{key: item.body.get(key) for key in READ_KEYS} | {"external-ids": render_external_ids(item.body)},
        "display-index": "1",
        "visibility": item.visibility,
        "path": f"/{orcid}/{item.kind}/{item.put_code}",
    }


def render_external_ids(body: dict[str, Any]) -> dict[str, Any]:
    """Return an item's external identifiers as the API returns them."""
    return {
        "external-id": [
            {
                "external-id-type": one["external-id-type"],
                "external-id-value": one["external-id-value"],
                "external-id-normalized": {"value": _normalise(one["external-id-value"]), "transient": True},
                "external-id-normalized-error": None,
                "external-id-url": one.get("external-id-url"),
                "external-id-relationship": one.get("external-id-relationship"),
            }
            for one in _external_ids(body)
        ]
    }


# Writing


def write_item(
    simulator: OrcidSimulator, tokens: TokenPair | None, request: Request, user: User, section: str
) -> Response:
    """Add, change or delete an item.

    `tokens` is None on the public host, which refuses all three.
    """
    kind, _, last = section.partition("/")
    act = {("POST", False): _add, ("PUT", True): _change, ("DELETE", True): _remove}.get((request.method, bool(last)))
    if tokens is None or act is None or kind not in SECTIONS:
        raise ApiError(9001, "Method not allowed", status=405)
    put_code = parse_put_code(last or "0")
    if request.method != "DELETE" and request.content_type.partition(";")[0].strip().lower() not in JSON_BODIES:
        raise ApiError(9001, "Unsupported media type", status=415)
    if WRITE not in tokens.scopes:
        raise ApiError(9038)
    return act(simulator, tokens, request, user.orcid, kind, put_code)


def parse_put_code(text: str) -> int:
    """Parse the put-code of a path.

    Raises:
        ApiError: If it is not a number.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_PUT_CODE_LENGTH):
        raise ApiError(9034)
    return int(text)


def _add(
    simulator: OrcidSimulator,
    tokens: TokenPair,
    request: Request,
    orcid: str,
    kind: str,
    _put_code: int,
) -> Response:
    body = _body(request)
    if body.get("put-code") is not None:
        raise ApiError(9024)
    check(simulator, body, kind)
    with simulator.lock:
        _reject_duplicate(simulator, tokens, orcid, kind, body, None)
        item = simulator.add_item(orcid, kind, tokens.client_id, body)
    location = f"{simulator.base_url}/api/v3.0/{orcid}/{kind}/{item.put_code}"
    return Response(201, b"", (("Location", location),))


def _change(  # noqa: PLR0913, PLR0917 - the three acts are called alike
    simulator: OrcidSimulator,
    tokens: TokenPair,
    request: Request,
    orcid: str,
    kind: str,
    put_code: int,
) -> Response:
    body = _body(request)
    if body.get("put-code") != put_code:
        raise ApiError(9019)
    item = _find_own(simulator, tokens, orcid, kind, put_code)
    if body.get("visibility") not in (None, item.visibility):
        raise ApiError(9035)
    check(simulator, body, kind)
    with simulator.lock:
        _reject_duplicate(simulator, tokens, orcid, kind, body, put_code)
        item.body, item.changed = body, simulator.milliseconds()
    return json_response(200, render_item(simulator, orcid, item))


def _remove(
    simulator: OrcidSimulator,
    tokens: TokenPair,
    _call: Request,
    orcid: str,
    kind: str,
    put_code: int,
) -> Response:
    item = _find_own(simulator, tokens, orcid, kind, put_code)
    simulator.remove_item(orcid, item.put_code)
    return Response(204)


def _find_own(simulator: OrcidSimulator, tokens: TokenPair, orcid: str, kind: str, put_code: int) -> Affiliation:
    item = find_item(simulator, orcid, kind, put_code)
    if item.client_id != tokens.client_id:
        raise ApiError(9010)
    return item


def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(request.body)
    except (RecursionError, ValueError):
        raise ApiError(9047) from None
    if not isinstance(body, dict):
        raise ApiError(9047)
    return body


# An external id that this client has on another item of the kind is refused; equal content without one is accepted
def _reject_duplicate(  # noqa: PLR0913, PLR0917 - what makes an item the same as another
    simulator: OrcidSimulator,
    tokens: TokenPair,
    orcid: str,
    kind: str,
    body: dict[str, Any],
    but: int | None,
) -> None:
    wanted = _self_ids(body)
    for item in simulator.items(orcid, kind):
        if item.client_id == tokens.client_id and item.put_code != but and wanted & _self_ids(item.body):
            raise ApiError(9021, f"The item has the same external identifier as the one with put-code {item.put_code}")


def _self_ids(body: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (one["external-id-type"], _normalise(one["external-id-value"]))
        for one in _external_ids(body)
        if one.get("external-id-relationship") == "self"
    }


def _normalise(value: object) -> str:
    return str(value).strip().lower()


def _external_ids(body: dict[str, Any]) -> list[dict[str, Any]]:
    ids: list[dict[str, Any]] = (body.get("external-ids") or {}).get("external-id") or []
    return ids


# What an item must hold


def check(simulator: OrcidSimulator, body: dict[str, Any], kind: str) -> None:
    """Check an item as ORCID does.

    Raises:
        ApiError: If ORCID would refuse it.
    """
    with _readable():
        organisation = body.get("organization") or {}
        # Since 2025-11 an external id replaces organisation and address, but not for employments and educations
        needs_organisation = kind in STRICT or not _external_ids(body)
        if not organisation.get("name") and (organisation or needs_organisation):
            raise ApiError(9046)
        _check_address(organisation.get("address") or {}, strict=kind in STRICT)
        disambiguated = organisation.get("disambiguated-organization")
        if disambiguated:
            _check_disambiguated(simulator, disambiguated)
        elif kind in STRICT:
            raise ApiError(9045)
        elif not _external_ids(body):
            raise ApiError(9062)
        _check_dates(body.get("start-date"), body.get("end-date"))
        render_external_ids(body)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, TypeError):
        raise ApiError(9047) from None


def _check_address(address: dict[str, Any], *, strict: bool) -> None:
    country = address.get("country")
    if strict and not (address.get("city") and country):
        raise ApiError(9060)
    if (address.get("city") or address.get("region")) and not country:
        raise ApiError(9061)
    if country and not (len(country) == 2 and country.isascii() and country.isupper()):  # noqa: PLR2004 - ISO 3166-1
        raise ApiError(9051)


def _check_disambiguated(simulator: OrcidSimulator, organisation: dict[str, Any]) -> None:
    identifier = organisation.get("disambiguated-organization-identifier") or ""
    source = organisation.get("disambiguation-source")
    if source not in IDENTIFIERS:
        raise ApiError(9051)
    if not IDENTIFIERS[source].fullmatch(identifier) or identifier in simulator.options.unknown_organisations:
        raise ApiError(9045)


def _check_dates(start: dict[str, Any] | None, end: dict[str, Any] | None) -> None:
    first, last = (_day(value) if value else None for value in (start, end))
    if first and last and last < first:
        raise ApiError(9055)


def _day(value: dict[str, Any]) -> date:
    parts = [(value.get(key) or {"value": "1"})["value"] for key in ("year", "month", "day")]
    try:
        return date(*map(int, parts))
    except ValueError:
        raise ApiError(9049) from None
