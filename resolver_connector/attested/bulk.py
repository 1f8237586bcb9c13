"""Lists of attested iDs: `POST /v1/people`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any, BinaryIO

from resolver_connector.attested.rows import InvalidMember, RowReader, invalid_source
from resolver_connector.csv_file import InvalidCsvFile
from resolver_connector.deprovision import (
    MAX_ERRORS,
    MAX_PERCENT,
    InvalidList,
    parse_dry_run,
    parse_made_at,
    parse_number,
    pending_json,
)
from resolver_connector.http import (
    NDJSON,
    OWS,
    BadRequest,
    Environ,
    UnsupportedMediaType,
    parse_query,
    single_value,
)
from sql.repositories.attested_links import MAX_ROWS, AttestedLink, Outcome, RowResult
from sql.repositories.base import Attester
from sql.repositories.deletion.removals import PendingRemovals, RemovalsPending, TooManyRemovals
from sql.store import Store

CSV = "text/csv"
MAX_BULK_BYTES = 16 * 1024 * 1024
_REPLACE_PARAMETERS = ("rows", "made_at", "max_percent")
_BATCH = 100
"""Number of results that are sent at once."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """What the sender of a list that replaces states."""

    rows: int
    made_at: datetime
    max_percent: int


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """A list of attested iDs."""

    reader: RowReader
    media_type: str
    replacement: Replacement | None
    """None with `mode=merge`."""
    dry_run: bool

    @classmethod
    def parse(cls, reader: RowReader, environ: Environ) -> BulkRequest:
        """Parse the parameters and the media type.

        Raises:
            BadRequest: If a parameter is missing, unknown or invalid.
            InvalidMember: If `source` is invalid, not the only one of the reader, or missing with `mode=replace`.
            UnsupportedMediaType: If the body is neither NDJSON nor CSV.
        """
        parameters = parse_query(environ)
        # A misspelt `dryrun=true` must not change anything
        for name in parameters.keys() - {"mode", "source", "dry_run", *_REPLACE_PARAMETERS}:
            raise BadRequest(f"unknown parameter {name[:100]}")
        stated = {name: single_value(parameters, name) for name in ("mode", "source", *_REPLACE_PARAMETERS)}
        mode, source = stated["mode"] or "merge", stated["source"] or reader.source
        if mode not in {"merge", "replace"}:
            raise BadRequest("mode must be merge or replace")
        media_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip(OWS).lower()
        if media_type not in {NDJSON, CSV}:
            raise UnsupportedMediaType(f"Content-Type must be {NDJSON} or {CSV}")
        if stated["source"] is not None and (problem := invalid_source(stated["source"])):
            raise InvalidMember("source", problem)
        if reader.only_source and source != reader.source:
            raise InvalidMember("source", f"it must be {reader.source}")
        replacement = None
        if mode == "replace":
            if not source:
                raise InvalidMember("source", "it is missing: name the system whose links the list replaces")
            replacement = _replacement(stated, reader.now)
        elif any(stated[name] is not None for name in _REPLACE_PARAMETERS):
            raise BadRequest("rows, made_at and max_percent are for mode=replace")
        reader = replace(reader, source=source, only_source=reader.only_source or mode == "replace")
        return cls(reader, media_type, replacement, parse_dry_run(parameters))

    def read(self, file: BinaryIO) -> Iterator[AttestedLink | RowResult]:
        """Yield the rows of the body.

        Raises:
            InvalidCsvFile: If it is not CSV with these columns.
        """
        file.seek(0)
        return self.reader.read_csv(file) if self.media_type == CSV else self.reader.read_ndjson(file)


def _replacement(stated: Mapping[str, str | None], now: datetime) -> Replacement:
    try:
        made_at = parse_made_at(stated["made_at"] or "", now)
    except InvalidList as error:
        raise BadRequest(f"the list: {error}") from None
    return Replacement(
        parse_number("rows", stated["rows"], MAX_ROWS),
        made_at,
        parse_number("max_percent", stated["max_percent"] or str(MAX_PERCENT), 100),
    )


@dataclass(frozen=True, slots=True)
class AttestedList:
    """A list of attested iDs that was read to its end once."""

    reader: RowReader
    rows: Callable[[], Iterator[AttestedLink | RowResult]]
    """Reads the rows from the beginning."""
    replacement: Replacement | None
    person_keys: frozenset[str]

    @classmethod
    def read(
        cls,
        reader: RowReader,
        rows: Callable[[], Iterator[AttestedLink | RowResult]],
        replacement: Replacement | None = None,
    ) -> AttestedList:
        """Read a list to its end, and check it as a whole.

        Raises:
            InvalidList: If it has too many rows, or with `mode=replace` not the stated number, or any invalid one.
            InvalidCsvFile: If it is not CSV with these columns.
        """
        keys: set[str] = set()
        errors: list[str] = []
        count = 0
        for item in rows():
            count += 1
            if count > MAX_ROWS:
                # In parts, each part would remove the links of the others
                advice = "send it in parts" if replacement is None else "send it in parts with mode=merge, not replace"
                raise InvalidList(f"it has more than {MAX_ROWS:,} rows; {advice}")
            if replacement is None:
                continue
            if isinstance(item, RowResult):
                errors.append(f"line {item.line}: {item.reason}")
            else:
                keys.add(item.person_key)
        if errors:
            raise InvalidList("; ".join(errors[:MAX_ERRORS]))
        if replacement is not None and count != replacement.rows:
            raise InvalidList(f"it has {count} rows, and {replacement.rows} were stated")
        return cls(reader, rows, replacement, frozenset(keys))

    def schedule_removals(
        self, store: Store, actor: str, now: datetime, system: Attester, *, dry_run: bool
    ) -> PendingRemovals | None:
        """Schedule the removal of the links of this source that the list lacks.

        They are due an hour after `now`, which is the time at which the rows were stored.

        Returns:
            None with `mode=merge`.

        Raises:
            RemovalsPending: If removals of an earlier list are pending.
            TooManyRemovals: If more than the stated share of the links would be removed.
        """
        reader, replacement = self.reader, self.replacement
        if replacement is None:
            return None
        return store.removals.schedule(
            reader.organisation.id,
            self.person_keys,
            replacement.made_at,
            actor,
            now,
            max_percent=replacement.max_percent,
            source=reader.source,
            credential=system.credential,
            dry_run=dry_run,
        )

    def store(self, store: Store, actor: str, system: Attester, *, dry_run: bool) -> Iterator[RowResult]:
        """Store the rows as `AttestedLinkRepository.add` does."""
        reader = self.reader
        return store.attested_links.add(
            reader.organisation.id,
            self.rows(),
            actor,
            reader.now,
            system=system,
            key_attribute=reader.organisation.key,
            dry_run=dry_run,
        )


def bulk(
    store: Store, request: BulkRequest, file: BinaryIO, system: Attester, clock: Callable[[], datetime]
) -> Iterator[bytes]:
    """Store a list, and yield what became of it as NDJSON.

    Each row has a line; the last line has the numbers. The rows of the first transaction are stored when it returns,
    the others while it is read. Missing links are scheduled for removal at the end.
    The caller closes the file when all of it is read.

    Raises:
        BadRequest: If the list cannot be used as a whole.
        RemovalsPending, TooManyRemovals: As `AttestedList.schedule_removals`; then nothing is stored.
        StoreUnavailable: If the database fails.
    """
    try:
        attested = AttestedList.read(request.reader, lambda: request.read(file), request.replacement)
        attested.schedule_removals(store, "organisation", clock(), system, dry_run=True)
        results = attested.store(store, "organisation", system, dry_run=request.dry_run)
        first = next(results, None)
    except (InvalidList, InvalidCsvFile) as error:
        raise BadRequest(f"the list: {error}") from None
    stored = chain(() if first is None else (first,), results)
    return _lines(store, attested, stored, system, clock, dry_run=request.dry_run)


def _lines(  # noqa: PLR0913 - what is sent, and what is done at its end
    store: Store,
    attested: AttestedList,
    results: Iterable[RowResult],
    system: Attester,
    clock: Callable[[], datetime],
    *,
    dry_run: bool,
) -> Iterator[bytes]:
    counts: Counter[Outcome] = Counter()
    lines: list[str] = []
    for result in results:
        counts[result.outcome] += 1
        lines.append(json.dumps(_result_json(result)))
        if len(lines) == _BATCH:
            yield ("\n".join(lines) + "\n").encode()
            lines.clear()
    end: dict[str, Any] = {"dry_run": dry_run, "rows": counts.total(), **{each: counts[each] for each in Outcome}}
    try:
        removals = attested.schedule_removals(store, "organisation", clock(), system, dry_run=dry_run)
        if removals is not None:
            end |= {**pending_json(removals), "accounts": removals.accounts}
    except (RemovalsPending, TooManyRemovals) as error:
        # Of another list, or of links that were made, since the first check
        end["error"] = str(error)
    yield ("\n".join([*lines, json.dumps(end)]) + "\n").encode()


def _result_json(result: RowResult) -> dict[str, Any]:
    content: dict[str, Any] = {"line": result.line, "account": result.account, "outcome": result.outcome}
    if result.refusal is not None:
        content |= {"code": result.refusal, "error": result.reason}
        content |= {"member": result.member} if result.member else {}
    return content
