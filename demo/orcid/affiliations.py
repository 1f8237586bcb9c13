"""Affiliations: the items that clients write to a record, and how they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .errors import ApiError
from .wire import Answer, Call

if TYPE_CHECKING:
    from .people import User
    from .record import Reader
    from .world import Item, OrcidWorld, Pair

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


def several(reader: Reader, orcid: str, section: str, kind: str) -> dict[str, Any]:
    """Give the list of one kind: what the reader may not see is left out."""
    items = [item for item in reader.world.items(orcid, kind) if reader.sees(item.visibility, item.client_id)]
    groups = [
        {
            "last-modified-date": {"value": item.changed},
            "external-ids": item.body.get("external-ids") or {"external-id": []},
            "summaries": [{f"{kind}-summary": shown(reader.world, orcid, item)}],
        }
        for item in items
    ]
    latest = max((item.changed for item in items), default=None)
    return {
        "last-modified-date": {"value": latest} if latest else None,
        "affiliation-group": groups,
        "path": f"/{orcid}/{section}",
    }


def one(reader: Reader, orcid: str, kind: str, put_code: int) -> dict[str, Any]:
    """One item, or the error that says why not."""
    item = found(reader.world, orcid, kind, put_code)
    if reader.sees(item.visibility, item.client_id):
        return shown(reader.world, orcid, item)
    if reader.host == "pub":
        raise ApiError(9039)
    raise ApiError(9038 if item.visibility == "limited" else 9013)


def found(world: OrcidWorld, orcid: str, kind: str, put_code: int) -> Item:
    """Give the item with this put-code."""
    for item in world.items(orcid, kind):
        if item.put_code == put_code:
            return item
    raise ApiError(9016)


def shown(world: OrcidWorld, orcid: str, item: Item) -> dict[str, Any]:
    """One item as it is read, keys in order; its source is the client that wrote it."""
    client = world.clients[item.client_id]
    host = world.registry_prefix.partition("://")[2]
    source = {"uri": f"{world.registry_prefix}/client/{item.client_id}", "path": item.client_id, "host": host}
    return {
        "created-date": {"value": item.created},
        "last-modified-date": {"value": item.changed},
        "source": {
            "source-orcid": None,
            "source-client-id": source,
            "source-name": {"value": client.name},
            "assertion-origin-orcid": None,
            "assertion-origin-client-id": None,
            "assertion-origin-name": None,
        },
        "put-code": item.put_code,
        **{key: item.body.get(key) for key in READ_KEYS},
        "display-index": "1",
        "visibility": item.visibility,
        "path": f"/{orcid}/{item.kind}/{item.put_code}",
    }


READ_KEYS: Final = (
    "department-name",
    "role-title",
    "start-date",
    "end-date",
    "organization",
    "url",
    "external-ids",
)


def changed(world: OrcidWorld, pair: Pair | None, call: Call, user: User, section: str) -> Answer:
    """Not yet."""
    del world, pair, call, user, section
    raise ApiError(9001, "Method not allowed", status=405)
