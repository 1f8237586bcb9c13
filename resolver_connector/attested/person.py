"""One attested iD: `PUT` and `DELETE /v1/people/{account}`."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from resolver_connector.attested.rows import InvalidMember, RowReader
from resolver_connector.http import BadRequest, Environ, PreconditionFailed, parse_query, read_json_object
from resolver_connector.resolver import PEOPLE_PATH, requested_account
from sql.records import Link
from sql.repositories.attested_links import AttestedLink, Precondition

OTHER_SOURCE = "other-source"
"""The code of a refusal: the credential attests for another system than the one that attested the link."""

_ENTITY_TAGS = re.compile(r'(?:[ \t]*(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"[ \t]*(?:,|\Z))+', re.ASCII)
_ENTITY_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
"""RFC 9110 section 8.8.3."""


@dataclass(frozen=True, slots=True)
class PutRequest:
    """A request to store a person's attested iD."""

    row: AttestedLink
    precondition: Precondition

    @classmethod
    def parse(cls, reader: RowReader, environ: Environ, path: str) -> PutRequest:
        """Parse the account, the body and the conditions.

        The body is `{"orcid", "authenticated_at", "source"}`.

        Raises:
            BadRequest: If the body is no JSON object, a query parameter is unknown, or a condition is invalid.
            InvalidMember: If a member is missing, unknown or invalid.
            RequestTooLarge: If the body is too large.
        """
        for name in parse_query(environ).keys() - (set() if path.startswith(PEOPLE_PATH) else {"account"}):
            raise BadRequest(f"unknown parameter {name[:100]}")
        account, condition = requested_account(environ, path), precondition(environ)
        body = read_json_object(environ)
        if "account" in body:
            raise InvalidMember("account", "it stands in the address")
        return cls(reader.parse({**body, "account": account}, 1), condition)


def entity_tag(link: Link) -> str:
    """Return the entity tag of a link.

    It is another one whenever something of the link has changed.
    """
    text = "\n".join((link.id, link.orcid_id.uri, link.source, _time(link)))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def precondition(environ: Environ) -> Precondition:
    """Return the condition of the headers If-Match and If-None-Match.

    It raises PreconditionFailed (RFC 9110 section 13.1).

    Raises:
        BadRequest: If a header is invalid.
    """
    wanted = _entity_tags(environ, "HTTP_IF_MATCH", strong=True)
    unwanted = _entity_tags(environ, "HTTP_IF_NONE_MATCH", strong=False)

    def check(link: Link | None) -> None:
        current = None if link is None else entity_tag(link)
        if wanted is not None and (current is None or not wanted & {current, "*"}):
            raise PreconditionFailed(current)
        if unwanted is not None and current is not None and unwanted & {current, "*"}:
            raise PreconditionFailed(current)

    return check


def _entity_tags(environ: Environ, name: str, *, strong: bool) -> set[str] | None:
    text = environ.get(name)
    if text is None or text.strip(" \t") == "*":
        return None if text is None else {"*"}
    if not _ENTITY_TAGS.fullmatch(text):
        raise BadRequest("If-Match and If-None-Match must be * or entity tags in quotation marks")
    return {f'"{tag}"' for weak, tag in _ENTITY_TAG.findall(text) if not (weak and strong)}


def link_json(link: Link) -> dict[str, Any]:
    """Return the JSON members of a link."""
    return {
        "account": link.account,
        "orcid": link.orcid_id.uri,
        "authenticated_at": _time(link),
        "source": link.source,
    }


def _time(link: Link) -> str:
    at: datetime = link.authenticated_at or link.linked_at
    return at.isoformat().replace("+00:00", "Z")
