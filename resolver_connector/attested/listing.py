"""The organisation's own links: `GET /v1/people`.

With `?orcid=` it is the link that has an iD.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from resolver_connector.attested.bulk import CSV
from resolver_connector.attested.person import entity_tag, link_json
from resolver_connector.attested.rows import MEMBERS
from resolver_connector.csv_file import write_csv
from resolver_connector.feed import accepts
from resolver_connector.http import NDJSON, BadRequest, Environ, parse_query, single_value
from shibboleth.orcid_id import InvalidOrcidId, OrcidId, Registry
from sql.records import Link

_FORMATS = {"csv": CSV, "ndjson": NDJSON}
_BATCH = 500
"""Number of links that are sent at once."""


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A request for the organisation's links."""

    media_type: str
    orcid_id: OrcidId | None
    """The only iD whose link is wanted; None of a request for all."""

    @classmethod
    def parse(cls, registry: Registry, environ: Environ) -> ListRequest:
        """Parse the parameters; without `format`, the header Accept decides.

        Raises:
            BadRequest: If a parameter is unknown or invalid.
        """
        parameters = parse_query(environ)
        for name in parameters.keys() - {"orcid", "format"}:
            raise BadRequest(f"unknown parameter {name[:100]}")
        wanted, text = single_value(parameters, "format"), single_value(parameters, "orcid")
        if wanted is not None and (wanted not in _FORMATS or text is not None):
            raise BadRequest("format must be csv or ndjson, and stands without orcid")
        default = "csv" if accepts(CSV, environ.get("HTTP_ACCEPT", "")) else "ndjson"
        media_type = _FORMATS[wanted or default]
        if text is None:
            return cls(media_type, None)
        try:
            return cls(media_type, OrcidId.parse(text, bare_means=registry))
        except InvalidOrcidId as error:
            raise BadRequest(f"orcid is no ORCID iD: {error.reason}") from None


def is_listed(link: Link, registry: Registry) -> bool:
    """Return whether a link is released, and of the service's registry."""
    return link.suspended_at is None and link.orcid_id.registry is registry


def person_json(link: Link) -> dict[str, str]:
    """Return the JSON object of a link in a list."""
    return {**link_json(link), "etag": entity_tag(link)}


def write_links(media_type: str, links: Iterable[Link]) -> Iterator[bytes]:
    """Yield links as CSV, or as NDJSON with their number on the last line."""
    lines = csv_lines(links) if media_type == CSV else _ndjson_lines(links)
    while batch := list(islice(lines, _BATCH)):
        yield "".join(batch).encode()


def csv_lines(links: Iterable[Link]) -> Iterator[str]:
    """Yield links as lines of CSV."""
    members = map(link_json, links)
    return write_csv(MEMBERS, ([each[name] for name in MEMBERS] for each in members))


def _ndjson_lines(links: Iterable[Link]) -> Iterator[str]:
    count = 0
    for link in links:
        count += 1
        yield json.dumps(person_json(link)) + "\n"
    yield json.dumps({"count": count}) + "\n"
