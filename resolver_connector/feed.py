"""The feed: for an organisation that fetches its changes, in place of being told or beside it.

* Without `since`: a snapshot, which is all links that hold, written piece by piece as they are read.
* With `since`: the changes after a token, oldest first. Every answer ends with the next token.
* Whoever puts down a snapshot, and then each change after it, by its person, has what we have.

An answer that does not say `next` broke off on the way. Only iDs of the service's own registry are told.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from threading import BoundedSemaphore
from typing import Any

from resolver_connector.change_json import change_record
from resolver_connector.cursor import Cursor, position_of
from resolver_connector.http import (
    GUARDS,
    JSON,
    OWS,
    BadRequest,
    CursorExpired,
    Environ,
    Header,
    Reply,
    Report,
    TooManyRequests,
    fields_of,
    object_of,
    only,
)
from shibboleth.orcid_id import OrcidId, Registry
from shibboleth.organisation import Organisation
from sql.errors import StoreUnavailable
from sql.records import Change, ChangeKind, CurrentLink
from sql.store import Store

SNAPSHOTS = 2
"""How many a process sends at once: each holds one of its threads, and people sign in through the others."""
USUAL, MOST = 500, 5000
"""How many changes one answer holds where nothing is said, and at most."""
_PIECE = 500

Told = dict[str, Any]
"""A change, as it is told."""
End = Callable[[], tuple[str, bool]]
"""Gives, once all changes are told, the next token, and whether there is more."""

_FORGOTTEN = "changes after this token are no longer kept; start over: ask without since"
_ANOTHER = "the database was restored since this token was given; start over: ask without since"

_NDJSON = "application/x-ndjson"
_TAG = re.compile(r'"([^"]*)"')
_REFUSED = re.compile(r"q=0(\.0*)?", re.ASCII | re.IGNORECASE)


# --- What is asked ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FeedRequest:
    """What is asked of the feed."""

    since: str | None
    limit: int
    media: str
    """How the answer is to be written: one of `_FORMS`."""
    packed: bool
    known: frozenset[str]
    """The entity tags of the answers that whoever asks has already."""

    @classmethod
    def of(cls, environ: Environ) -> FeedRequest:
        """Read a request. Raises BadRequest."""
        fields = fields_of(environ)
        return cls(
            _since(only(fields, "since")),
            _limit(only(fields, "limit")),
            _media(only(fields, "format"), environ.get("HTTP_ACCEPT", "")),
            _wanted("gzip", environ.get("HTTP_ACCEPT_ENCODING", "")),
            frozenset(_TAG.findall(environ.get("HTTP_IF_NONE_MATCH", ""))),
        )


def _since(said: str | None) -> str | None:
    if said == "":
        raise BadRequest("since is empty: give the `next` of an answer, or leave since out for a snapshot")
    return said


def _limit(said: str | None) -> int:
    if said is None:
        return USUAL
    if not (said.isascii() and said.isdecimal() and len(said) <= len(str(MOST)) and 1 <= int(said) <= MOST):
        raise BadRequest(f"limit is a whole number from 1 to {MOST}")
    return int(said)


def _media(said: str | None, accept: str) -> str:
    if said is None:
        return _NDJSON if _wanted(_NDJSON, accept) else JSON
    if said not in _FORMATS:
        raise BadRequest("format is json or ndjson")
    return _FORMATS[said]


def _wanted(name: str, header: str) -> bool:
    """Tell whether a header that lists what is taken names this, and not as something unwanted."""
    listed = (each.partition(";") for each in header.split(","))
    return any(word.strip(OWS).lower() == name and not _REFUSED.fullmatch(rest.strip(OWS)) for word, _, rest in listed)


# --- What is answered ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Feed:
    """What the feed works with."""

    store: Store
    registry: Registry
    gate: BoundedSemaphore
    """Through which snapshots go."""
    report: Report

    def changes(self, organisation: Organisation, environ: Environ) -> Reply:
        """Give the changes after a token, or a snapshot. Raises BadRequest, CursorExpired and TooManyRequests."""
        asked = FeedRequest.of(environ)
        if asked.since is not None:
            return self._page(organisation, asked, position_of(asked.since, organisation.entity_id))
        return self._snapshot(organisation, asked, looking=environ["REQUEST_METHOD"] == "HEAD")

    def acknowledge(self, organisation: Organisation, environ: Environ, now: datetime) -> Reply:
        """Keep that the organisation has everything up to a token. Raises BadRequest, TooLarge and CursorExpired."""
        entity_id = organisation.entity_id
        position = position_of(object_of(environ).get("next"), entity_id)
        self._itself(entity_id, position, self.store.changes.list_after(entity_id, position.number - 1, 1))
        self.store.changes.acknowledge(entity_id, position.number, now)
        return 204, GUARDS, []

    def _page(self, organisation: Organisation, asked: FeedRequest, since: Cursor) -> Reply:
        entity_id = organisation.entity_id
        # With the one before the first, to see that all is as it was, and one beyond the last: is there more?
        found = self.store.changes.list_after(entity_id, since.number - 1, asked.limit + 2)
        itself = self._itself(entity_id, since, found)
        if itself is None:
            # Asked after the changes were read: what is forgotten in between is not missed in silence
            self._must_reach_back(entity_id, since)
        after = found if itself is None else found[1:]
        new, more = after[: asked.limit], len(after) > asked.limit
        token = (Cursor.at(new[-1]) if new else since).token(entity_id)
        tag = token + "+" * more
        if tag in asked.known:
            return 304, _headers(tag), []
        told = filter(None, (self._change(organisation.key, change) for change in new))
        body = b"".join(_written(asked, told, lambda: (token, more)))
        return 200, [*_headers(tag), *_content(asked), ("Content-Length", str(len(body)))], [body]

    def _snapshot(self, organisation: Organisation, asked: FeedRequest, *, looking: bool) -> Reply:
        entity_id = organisation.entity_id
        number, links = self.store.changes.snapshot(entity_id)
        (last,) = self.store.changes.list_after(entity_id, number - 1, 1) or (None,)
        token = (Cursor.at(last) if last and last.number == number else Cursor(number)).token(entity_id)
        if token in asked.known:
            return 304, _headers(token), []
        headers = [*_headers(token), *_content(asked)]
        if looking:
            return 200, headers, []
        if not self.gate.acquire(blocking=False):
            raise TooManyRequests("as many snapshots as are sent at once are being sent; try again")
        told = filter(None, (self._link(organisation, link) for link in links))
        pieces = _written(asked, told, lambda: (token, self.store.changes.last_number(entity_id) > number))
        return 200, headers, Stream(pieces, self.gate, self.report)

    def _itself(self, entity_id: str, position: Cursor, found: list[Change]) -> Change | None:
        """Give the change of a token, if it is kept. Raises CursorExpired when it has become another."""
        if found and found[0].number == position.number:
            if not position.fits(found[0]):
                raise CursorExpired(_ANOTHER)
            return found[0]
        if position.number > self.store.changes.last_number(entity_id):
            raise CursorExpired(_ANOTHER)
        return None

    def _must_reach_back(self, entity_id: str, since: Cursor) -> None:
        if self.store.changes.oldest_number(entity_id) > since.number + 1:
            raise CursorExpired(_FORGOTTEN)

    def _change(self, key: str, change: Change) -> Told | None:
        """Give a change as it is told; none where it is about iDs of another registry alone."""
        new, old = self._own(change.orcid_id), self._own(change.previous)
        if not new and not old:
            return None
        return change_record(
            id_=change.id,
            kind=ChangeKind.REMOVED if not new else ChangeKind.REPLACED if old else ChangeKind.LINKED,
            organisation=change.organisation,
            key=key,
            account=change.account,
            orcid=new,
            previous=old,
            registry=self.registry,
            at=change.at,
        )

    def _link(self, organisation: Organisation, link: CurrentLink) -> Told | None:
        """Give a link of a snapshot as if it had just come; its id is the link's own."""
        new = self._own(link.orcid_id)
        if not new:
            return None
        return change_record(
            id_=link.id,
            kind=ChangeKind.LINKED,
            organisation=organisation.entity_id,
            key=organisation.key,
            account=link.account,
            orcid=new,
            previous=None,
            registry=self.registry,
            at=link.linked_at,
        )

    def _own(self, orcid_id: OrcidId | None) -> str | None:
        return orcid_id.uri if orcid_id and orcid_id.registry is self.registry else None


class Stream:
    """An answer that is made as it is sent. It leaves the gate when it ends, breaks, or is not wanted any more."""

    def __init__(self, pieces: Iterator[bytes], gate: BoundedSemaphore, report: Report) -> None:
        self._pieces = pieces
        self._gate = gate
        self._report = report
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        """Give itself."""
        return self

    def __next__(self) -> bytes:
        """Give the next piece. Raises whatever is wrong: the server cuts the connection, for it cannot be mended."""
        try:
            return next(self._pieces)
        except StopIteration:
            self.close()
            raise
        except StoreUnavailable as error:
            self._report("connector", error=type(error).__name__, reason=str(error))
            raise

    def close(self) -> None:
        """End it (PEP 3333); however often."""
        if self._open:
            self._open = False
            self._gate.release()


def _headers(tag: str) -> list[Header]:
    """Give the headers that an answer has even without content; the tag says how far it reaches."""
    return [*GUARDS, ("Vary", "Accept, Accept-Encoding"), ("ETag", f'W/"{tag}"')]


def _content(asked: FeedRequest) -> list[Header]:
    packed = [("Content-Encoding", "gzip")] if asked.packed else []
    return [("Content-Type", asked.media), *packed]


# --- How it is written --------------------------------------------------------------------------------------------


def _written(asked: FeedRequest, told: Iterable[Told], end: End) -> Iterator[bytes]:
    """Give the octets of an answer, a piece at a time, as they are sent."""
    pieces = (text.encode() for text in _FORMS[asked.media](told, end))
    return _gzip(pieces) if asked.packed else pieces


def _write_json(told: Iterable[Told], end: End) -> Iterator[str]:
    yield '{"changes":['
    before = ""
    for piece in _pieces(told):
        yield before + ",\n".join(piece)
        before = ",\n"
    token, more = end()
    yield f'],"next":{_json(token)},"more":{_json(more)}}}\n'


def _write_ndjson(told: Iterable[Told], end: End) -> Iterator[str]:
    for piece in _pieces(told):
        yield "\n".join(piece) + "\n"
    token, more = end()
    yield _json({"next": token, "more": more}) + "\n"


_FORMS: Mapping[str, Callable[[Iterable[Told], End], Iterator[str]]] = {JSON: _write_json, _NDJSON: _write_ndjson}
_FORMATS = {"json": JSON, "ndjson": _NDJSON}


def _pieces(told: Iterable[Told]) -> Iterator[list[str]]:
    """Give the changes as JSON, some at a time."""
    written = map(_json, told)
    while piece := list(islice(written, _PIECE)):
        yield piece


def _gzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


_json = json.JSONEncoder(separators=(",", ":")).encode
