"""SCIM 2.0 receiver: people are found by userName.

An extension attribute holds the iD (RFC 7644).
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from demo.idm.directory import Directory, Entry
from demo.idm.http import Request, Response, json_response

SCHEMA: Final = "urn:x-orcid-connect:scim:schemas:extension:orcid:1.0:User"
ATTRIBUTE: Final = "orcid"
MEDIA: Final = "application/scim+json"

_USER: Final = "urn:ietf:params:scim:schemas:core:2.0:User"
_LIST: Final = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
_ERROR: Final = "urn:ietf:params:scim:api:messages:2.0:Error"
_PATCH: Final = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_FILTER: Final = re.compile(r'userName eq ("(?:[^"\\]|\\.)*")')


class Scim:
    """Searches, reads and patches users."""

    def __init__(self, directory: Directory, base: str) -> None:
        self.directory = directory
        self.base = base
        self.duplicates: list[Entry] = []
        """Entries that every search returns in addition, as a faulty server does."""

    def __call__(self, request: Request) -> Response:
        """Search at the base path, read and patch below it."""
        id_ = request.path.removeprefix(self.base).strip("/")
        if not id_:
            return self._search(request) if request.method == "GET" else _error(405, "method not allowed")
        entry = self.directory.by_id(id_)
        if entry is None:
            return _error(404, f"there is no user {id_}")
        if request.method == "PATCH":
            return self._patch(entry, request)
        if request.method != "GET":
            return _error(405, "method not allowed")
        return json_response(200, _resource(entry), kind=MEDIA)

    def _search(self, request: Request) -> Response:
        asked = _FILTER.fullmatch(request.query.get("filter", ""))
        if asked is None:
            return _error(400, "only userName eq is supported", "invalidFilter")
        entry = self.directory.entry(json.loads(asked[1]))
        found = [_resource(each) for each in ([entry] if entry else []) + self.duplicates]
        return json_response(200, {"schemas": [_LIST], "totalResults": len(found), "Resources": found}, kind=MEDIA)

    def _patch(self, entry: Entry, request: Request) -> Response:
        if request.headers.get("if-match", _version(entry)) != _version(entry):
            return _error(412, "the entry has changed")
        try:
            body = request.object()
            value = entry.values[0] if entry.values else None
            for operation in body["Operations"] if body["schemas"] == [_PATCH] else [{}]:
                value = _value(operation, value)
        except (ValueError, KeyError, TypeError):
            return _error(400, "the patch cannot be parsed", "invalidSyntax")
        if value and self.directory.find_holder(value, but=entry):
            return _error(409, "another user has this iD", "uniqueness")
        self.directory.change(entry, [value] if value else [])
        return json_response(200, _resource(entry), ("ETag", _version(entry)), kind=MEDIA)


def _value(operation: dict[str, Any], value: str | None) -> str | None:
    name, path = operation["op"].lower(), operation.get("path")
    if path is None and name in {"add", "replace"}:
        found: str | None = operation["value"][SCHEMA][ATTRIBUTE]
        return found
    if path != f"{SCHEMA}:{ATTRIBUTE}":
        raise ValueError(path)
    if name == "remove":
        return None
    return str(operation["value"]) if name in {"add", "replace"} else value


def _version(entry: Entry) -> str:
    return f'W/"{entry.version}"'


def _resource(entry: Entry) -> dict[str, Any]:
    extension = {ATTRIBUTE: entry.values[0]} if entry.values else {}
    return {
        "schemas": [_USER, SCHEMA],
        "id": entry.id,
        "userName": entry.account,
        SCHEMA: extension,
        "meta": {"resourceType": "User", "version": _version(entry)},
    }


def _error(status: int, detail: str, type_: str = "") -> Response:
    error = {"schemas": [_ERROR], "status": str(status), "detail": detail} | ({"scimType": type_} if type_ else {})
    return json_response(status, error, kind=MEDIA)
