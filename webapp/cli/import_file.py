"""Reads a file of links that were made elsewhere, line by line: `account,orcid,authenticated_at,source`.

A line that cannot be believed is rejected with its number and the reason. Who has which iD already is the store's to
judge, for whom the good lines are (`sql.importing`).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from shibboleth.attributes import fold
from shibboleth.characters import is_visible
from shibboleth.orcid_id import InvalidOrcidId, OrcidId, Registry
from shibboleth.organisation import Organisation
from shibboleth.person import MAX_ACCOUNT_LENGTH
from sql.repositories.imports import AttestedLink

REQUIRED = ("account", "orcid")
COLUMNS = (*REQUIRED, "authenticated_at", "source")
LONGEST_SOURCE = 200
_MORE = ""
"""The name of what a line has more of than it should."""

Reject = Callable[[int, str], None]
"""Is told the number of a line, and why it is not imported."""
Read = Callable[[int], None]
"""Is told how many bytes more have been read."""


class InvalidImportFile(ValueError):
    """The file is not one that can be imported; the text says why."""


class Doubtful(Exception):
    """A line is not to be believed; the text says why."""


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A file of links, and what its lines are read against."""

    path: Path
    organisation: Organisation
    registry: Registry
    source: str
    """Where people authenticated their iDs, as the organisation attests."""
    now: datetime

    def size(self) -> int:
        """Return the size in bytes.

        Raises:
            InvalidImportFile: If the file cannot be read.
        """
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise InvalidImportFile(f"cannot be read: {error.strerror}") from None

    def read_links(self, reject: Reject, read: Read = lambda _bytes: None) -> Iterator[AttestedLink]:
        """Give what each good line says. Raises Unreadable."""
        with _opened(self.path) as file:
            for number, row in _rows(file, read):
                try:
                    yield self._attested(number, row)
                except Doubtful as doubt:
                    reject(number, str(doubt))

    def _attested(self, number: int, row: dict[str, str]) -> AttestedLink:
        if _MORE in row:
            raise Doubtful("it has more columns than the first line")
        if row.get("source", "") not in {"", self.source}:
            raise Doubtful("it names another source; import each source by itself")
        account = self._account(row["account"])
        orcid_id = self._orcid_id(row["orcid"])
        return AttestedLink(number, fold(account), account, orcid_id, self._moment(row.get("authenticated_at", "")))

    def _account(self, text: str) -> str:
        user, _, scope = text.rpartition("@")
        if not text:
            raise Doubtful("there is no account")
        if len(text) > MAX_ACCOUNT_LENGTH or not is_visible(text):
            raise Doubtful("the account is too long, or holds characters that cannot be seen")
        if not user or "@" in user or not self.organisation.has_scope(scope):
            ends = ", ".join(f"@{each}" for each in sorted(self.organisation.scopes))
            raise Doubtful(f"the account is none of the organisation's, which end in {ends}")
        return text

    def _orcid_id(self, text: str) -> OrcidId:
        if not text:
            raise Doubtful("there is no ORCID iD")
        try:
            orcid_id = OrcidId.parse(text, bare_means=self.registry)
        except InvalidOrcidId as error:
            raise Doubtful(f"this is not an ORCID iD: {error.reason}") from None
        if orcid_id.registry is not self.registry:
            raise Doubtful(f"the ORCID iD is of the {orcid_id.registry} registry, and the service of the other")
        return orcid_id

    def _moment(self, text: str) -> datetime | None:
        if not text:
            return None
        try:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        except (ValueError, OverflowError):
            raise Doubtful("authenticated_at is no date like 2026-01-15 or 2026-01-15T12:00:00Z") from None
        if at > self.now:
            raise Doubtful("authenticated_at is in the future")
        return at


def read_source(path: Path, attested_by: str | None) -> str:
    """Give the source that is attested: as told, or as the first line names it. Raises Unreadable."""
    with _opened(path) as file:
        first = next(_rows(file, lambda _bytes: None), None)
    source = attested_by or (first[1].get("source", "") if first else "")
    if not source:
        raise InvalidImportFile(
            "nobody attests that people authenticated these ORCID iDs: name the system where they did with "
            "--attested-by, or in a column source"
        )
    if len(source) > LONGEST_SOURCE or not source.isprintable():
        raise InvalidImportFile(f"a source is one line of at most {LONGEST_SOURCE} characters")
    return source


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidImportFile(f"cannot be read: {error.strerror}") from None


def _rows(file: IO[bytes], read: Read) -> Iterator[tuple[int, dict[str, str]]]:
    lines = _lines(file, read)
    header = next(lines, "")
    # Where a comma is part of numbers, spreadsheets write semicolons
    delimiter = ";" if ";" in header else ","
    names = _names(next(csv.reader([header], delimiter=delimiter), []))
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for row in rows:
            if row:
                cells = [cell.strip() for cell in row] + [""] * (len(names) - len(row))
                yield rows.line_num + 1, dict(zip([*names, _MORE], cells, strict=False))
    except csv.Error as error:
        raise InvalidImportFile(f"line {rows.line_num + 1} is not CSV: {error}") from None


def _names(header: list[str]) -> list[str]:
    names = [name.strip().lower() for name in header]
    missing = [name for name in REQUIRED if name not in names]
    unknown = [name for name in names if name not in COLUMNS]
    if missing or unknown or len(set(names)) < len(names):
        raise InvalidImportFile(
            f"its first line must name the columns: {','.join(COLUMNS)} (the last two may be missing)"
        )
    return names


def _lines(file: IO[bytes], read: Read) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        read(len(line))
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise InvalidImportFile(f"line {number} is not text in UTF-8") from None
