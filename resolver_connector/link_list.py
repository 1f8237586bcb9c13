"""Writes the current links of an organisation as CSV and NDJSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from resolver_connector.csv_file import write_csv
from sql.records import Link

COLUMNS = ("account", "orcid", "authenticated_at", "source")
"""The columns of the CSV, and the members of an object in NDJSON."""


def csv_lines(links: Iterable[Link]) -> Iterator[str]:
    """Yield the lines of CSV."""
    return write_csv(COLUMNS, map(_row, links))


def ndjson_lines(links: Iterable[Link]) -> Iterator[str]:
    """Yield an object for each link, on a line of its own."""
    for link in links:
        yield json.dumps(dict(zip(COLUMNS, _row(link), strict=True)), ensure_ascii=False) + "\n"


def _row(link: Link) -> tuple[str, ...]:
    authenticated_at = link.authenticated_at or link.linked_at
    return link.account, link.orcid_id.uri, authenticated_at.isoformat().replace("+00:00", "Z"), link.source
