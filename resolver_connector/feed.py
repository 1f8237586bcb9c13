"""The feed of changes.

Organisations fetch it instead of, or in addition to, having changes delivered.

* Without `cursor`: a snapshot of all current links, streamed while it is read from the database.
* With `cursor`: the changes after it, oldest first. Every complete response ends with `next_cursor`.
* A client that stores a snapshot and then applies each later change by its person has the current state.

A response without `next_cursor` is incomplete. Only iDs of the service's own registry are returned.
"""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from threading import BoundedSemaphore
from typing import Any, BinaryIO

from resolver_connector.change_json import change_record
from resolver_connector.cursor import Cursor
from resolver_connector.http import (
    COMMON_HEADERS,
    JSON,
    NDJSON,
    OWS,
    BadRequest,
    CursorExpired,
    Environ,
    Header,
    Response,
    TooManySnapshots,
    parse_query,
    read_json_object,
    single_value,
)
from shibboleth.orcid_id import OrcidId, Registry
from shibboleth.organisation import Organisation
from sql.errors import StoreUnavailable
from sql.records import Change, ChangeKind, LinkSummary
from sql.store import Store

MAX_SNAPSHOTS = 2
"""Snapshots that one process sends at the same time: each occupies a thread, and sign-ins need the others."""
DEFAULT_LIMIT, MAX_LIMIT = 500, 5000
"""Number of changes in one response."""
BATCH_SIZE = 500
"""Number of records that are encoded and sent together."""

Record = dict[str, Any]
"""A change as its JSON members."""
PageEnd = Callable[[], tuple[str, bool]]
"""Returns `next_cursor` and `has_more`; called after the last record was read."""

_ENTITY_TAG = re.compile(r'"([^"]*)"')
_ZERO_QUALITY = re.compile(r"q=0(\.0*)?", re.ASCII | re.IGNORECASE)

_log = logging.getLogger("orcid-connect")


@dataclass(frozen=True, slots=True)
class FeedRequest:
    """A parsed request to the feed."""

    cursor: str | None
    """None asks for a snapshot."""
    limit: int
    media_type: str
    """One of `_WRITERS`."""
    gzip: bool
    entity_tags: frozenset[str]
    """Of If-None-Match: the responses that the client has already."""

    @classmethod
    def parse(cls, environ: Environ) -> FeedRequest:
        """Parse the query and the headers.

        Raises:
            BadRequest: If a parameter is invalid or is given more than once.
        """
        parameters = parse_query(environ)
        cursor = single_value(parameters, "cursor")
        if cursor == "":
            raise BadRequest("cursor is empty: send the `next_cursor` of a response, or no cursor for a snapshot")
        limit = single_value(parameters, "limit") if "limit" in parameters else str(DEFAULT_LIMIT)
        if not (limit and re.fullmatch(r"[0-9]{1,4}", limit) and 1 <= int(limit) <= MAX_LIMIT):
            raise BadRequest(f"limit must be an integer from 1 to {MAX_LIMIT}")
        form = single_value(parameters, "format")
        if form not in {None, *_FORMATS}:
            raise BadRequest("format must be json or ndjson")
        default = "ndjson" if accepts(NDJSON, environ.get("HTTP_ACCEPT", "")) else "json"
        return cls(
            cursor,
            int(limit),
            _FORMATS[form or default],
            accepts("gzip", environ.get("HTTP_ACCEPT_ENCODING", "")),
            frozenset(_ENTITY_TAG.findall(environ.get("HTTP_IF_NONE_MATCH", ""))),
        )


def accepts(name: str, header: str) -> bool:
    """Return whether a header lists a name, and not with the quality 0.

    The header is Accept or Accept-Encoding.
    """
    listed = (each.partition(";") for each in header.split(","))
    return any(
        word.strip(OWS).lower() == name and not _ZERO_QUALITY.fullmatch(rest.strip(OWS)) for word, _, rest in listed
    )


@dataclass(frozen=True, slots=True)
class Feed:
    """Answers requests to `/v1/changes` and `/v1/changes/ack`."""

    store: Store
    registry: Registry
    snapshot_slots: BoundedSemaphore
    """Limits how many snapshots are sent at the same time."""

    def changes(self, organisation: Organisation, environ: Environ, *, without: str | None = None) -> Response:
        """Return the changes after a cursor, or a snapshot.

        Args:
            organisation: The organisation.
            environ: The request.
            without: The name of a credential; the changes that are its own are left out, except of a snapshot.

        Raises:
            BadRequest: If a parameter is invalid.
            CursorExpired: If the changes after the cursor are no longer kept.
            TooManySnapshots: If `MAX_SNAPSHOTS` are being sent.
        """
        request = FeedRequest.parse(environ)
        if request.cursor is not None:
            return self._page(organisation, request, Cursor.decode(request.cursor, organisation.id), without)
        return self._snapshot(organisation, request, head=environ["REQUEST_METHOD"] == "HEAD")

    def acknowledge(self, organisation: Organisation, environ: Environ, now: datetime) -> Response:
        """Store that the organisation has processed everything up to a cursor.

        Raises:
            BadRequest: If the body has no valid cursor.
            RequestTooLarge: If the body is too large.
            CursorExpired: If the cursor is of a database that was replaced by a backup.
        """
        organisation_id = organisation.id
        cursor = Cursor.decode(read_json_object(environ).get("cursor"), organisation_id)
        self._change_at(organisation_id, cursor, self.store.changes.list_after(organisation_id, cursor.number - 1, 1))
        self.store.changes.acknowledge(organisation_id, cursor.number, now)
        return 204, COMMON_HEADERS, []

    def _page(self, organisation: Organisation, request: FeedRequest, cursor: Cursor, without: str | None) -> Response:
        organisation_id = organisation.id
        # One more before the first, to verify the cursor, and one more after the last, to know whether there are more
        found = self.store.changes.list_after(organisation_id, cursor.number - 1, request.limit + 2)
        change_at_cursor = self._change_at(organisation_id, cursor, found)
        # Checked after the changes were read, so that a change deleted in between is not skipped silently
        if change_at_cursor is None and self.store.changes.oldest_number(organisation_id) > cursor.number + 1:
            raise CursorExpired("the changes after this cursor are no longer kept; start over without a cursor")
        after = found if change_at_cursor is None else found[1:]
        changes, has_more = after[: request.limit], len(after) > request.limit
        next_cursor = (Cursor.after(changes[-1]) if changes else cursor).encode(organisation_id)
        entity_tag = next_cursor + "+" * has_more
        if entity_tag in request.entity_tags:
            return 304, _caching_headers(entity_tag), []
        told = [change for change in changes if change.attested_by is None or change.attested_by != without]
        records = filter(None, (self._change_record(organisation.key, change) for change in told))
        body = b"".join(_encode(request, records, lambda: (next_cursor, has_more)))
        headers = [*_caching_headers(entity_tag), *_content_headers(request), ("Content-Length", str(len(body)))]
        return 200, headers, [body]

    def _snapshot(self, organisation: Organisation, request: FeedRequest, *, head: bool) -> Response:
        organisation_id = organisation.id
        number, links = self.store.changes.snapshot(organisation_id)
        (last,) = self.store.changes.list_after(organisation_id, number - 1, 1) or (None,)
        next_cursor = (Cursor.after(last) if last and last.number == number else Cursor(number)).encode(organisation_id)
        if next_cursor in request.entity_tags:
            return 304, _caching_headers(next_cursor), []
        headers = [*_caching_headers(next_cursor), *_content_headers(request)]
        if head:
            return 200, headers, []
        with stream_slot(self.snapshot_slots) as stream:
            records = filter(None, (self._link_record(organisation, link) for link in links))
            chunks = _encode(
                request, records, lambda: (next_cursor, self.store.changes.last_number(organisation_id) > number)
            )
            return 200, headers, stream(chunks)

    def _change_at(self, organisation_id: str, cursor: Cursor, found: list[Change]) -> Change | None:
        # Returns the change of a cursor, None where it is no longer kept
        change = found[0] if found and found[0].number == cursor.number else None
        replaced = (
            not cursor.matches(change) if change else cursor.number > self.store.changes.last_number(organisation_id)
        )
        if replaced:
            raise CursorExpired("a backup was restored after this cursor was made; start over without a cursor")
        return change

    def _change_record(self, key: str, change: Change) -> Record | None:
        # None for a change that concerns iDs of another registry alone
        new, old = self._uri(change.orcid_id), self._uri(change.previous)
        if not new and not old:
            return None
        kind = ChangeKind.REMOVED if not new else ChangeKind.REPLACED if old else ChangeKind.LINKED
        if change.kind is ChangeKind.MOVED:
            kind = change.kind
        return change_record(
            id_=change.id,
            kind=kind,
            organisation=change.organisation,
            key=key,
            account=change.account,
            previous_account=change.previous_account,
            orcid=new,
            previous=old,
            registry=self.registry,
            at=change.at,
            reason=change.reason,
        )

    def _link_record(self, organisation: Organisation, link: LinkSummary) -> Record | None:
        # A link of a snapshot is written like the change that made it, with the link's own id
        uri = self._uri(link.orcid_id)
        if not uri:
            return None
        record = change_record(
            id_=link.id,
            kind=ChangeKind.LINKED,
            organisation=organisation.id,
            key=organisation.key,
            account=link.account,
            previous_account=None,
            orcid=uri,
            previous=None,
            registry=self.registry,
            at=link.linked_at,
            reason=None,
        )
        return {**record, "status": link.record_state.value if link.record_state else None}

    def _uri(self, orcid_id: OrcidId | None) -> str | None:
        return orcid_id.uri if orcid_id and orcid_id.registry is self.registry else None


@contextmanager
def stream_slot(
    slots: BoundedSemaphore, file: BinaryIO | None = None
) -> Iterator[Callable[[Iterator[bytes]], SnapshotStream]]:
    """Occupy a slot for a response, which its body frees; so does an exception.

    Args:
        slots: The slots.
        file: Closed with the response.

    Raises:
        TooManySnapshots: If all slots are occupied.
    """
    with ExitStack() as resources:
        if file is not None:
            resources.callback(file.close)
        if not slots.acquire(blocking=False):
            raise TooManySnapshots("too many lists are being sent; try again")
        resources.callback(slots.release)
        yield lambda chunks: SnapshotStream(chunks, resources.pop_all())


class SnapshotStream:
    """The body of a snapshot response, encoded while it is sent.

    It releases its slot when it ends or is closed.
    """

    def __init__(self, chunks: Iterator[bytes], resources: ExitStack) -> None:
        self._chunks = chunks
        self._resources = resources

    def __iter__(self) -> Iterator[bytes]:
        """Return itself."""
        return self

    def __next__(self) -> bytes:
        """Return the next chunk.

        Raises:
            StoreUnavailable: If the database fails. The status was sent already, so the server closes the connection.
        """
        try:
            return next(self._chunks)
        except StopIteration:
            self.close()
            raise
        except StoreUnavailable as error:
            _log.error("connector", extra={"facts": {"error": type(error).__name__, "reason": str(error)}})
            raise

    def close(self) -> None:
        """Release the slot (PEP 3333); further calls do nothing."""
        chunks, self._chunks = self._chunks, iter(())
        with self._resources:
            if isinstance(chunks, Generator):
                chunks.close()
            # What reads the file ends before the file is closed
            del chunks


def _caching_headers(entity_tag: str) -> list[Header]:
    return [*COMMON_HEADERS, ("Vary", "Accept, Accept-Encoding"), ("ETag", f'W/"{entity_tag}"')]


def _content_headers(request: FeedRequest) -> list[Header]:
    encoding = [("Content-Encoding", "gzip")] if request.gzip else []
    return [("Content-Type", request.media_type), *encoding]


def _encode(request: FeedRequest, records: Iterable[Record], end: PageEnd) -> Iterator[bytes]:
    chunks = (text.encode() for text in _WRITERS[request.media_type](records, end))
    return _gzip(chunks) if request.gzip else chunks


def _write_json(records: Iterable[Record], end: PageEnd) -> Iterator[str]:
    yield '{"changes":['
    separator = ""
    for batch in _batches(records):
        yield separator + ",\n".join(batch)
        separator = ",\n"
    next_cursor, has_more = end()
    yield f'],"next_cursor":{_json(next_cursor)},"has_more":{_json(has_more)}}}\n'


def _write_ndjson(records: Iterable[Record], end: PageEnd) -> Iterator[str]:
    for batch in _batches(records):
        yield "\n".join(batch) + "\n"
    next_cursor, has_more = end()
    yield _json({"next_cursor": next_cursor, "has_more": has_more}) + "\n"


_Writer = Callable[[Iterable[Record], PageEnd], Iterator[str]]
_WRITERS: Mapping[str, _Writer] = {JSON: _write_json, NDJSON: _write_ndjson}
_FORMATS = {"json": JSON, "ndjson": NDJSON}


def _batches(records: Iterable[Record]) -> Iterator[list[str]]:
    encoded = map(_json, records)
    while batch := list(islice(encoded, BATCH_SIZE)):
        yield batch


def _gzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(wbits=31)
    for chunk in chunks:
        if compressed := compressor.compress(chunk):
            yield compressed
    yield compressor.flush()


_json = json.JSONEncoder(separators=(",", ":")).encode
