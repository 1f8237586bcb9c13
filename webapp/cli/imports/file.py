"""Reads a CSV file of links that an organisation attests.

Its columns are `account,orcid,authenticated_at,source`.

Each row is validated by itself. Whether a person or an iD has another link already is checked by the repository
(`sql/repositories/imports.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from resolver_connector.csv_file import InvalidCsvFile, read_csv
from shibboleth.attributes import fold
from shibboleth.characters import is_visible
from shibboleth.orcid_id import InvalidOrcidId, OrcidId, Registry
from shibboleth.organisation import Organisation
from shibboleth.person import MAX_ACCOUNT_LENGTH
from sql.repositories.imports import AttestedLink

REQUIRED = ("account", "orcid")
COLUMNS = (*REQUIRED, "authenticated_at", "source")
MAX_SOURCE_LENGTH = 200

Reject = Callable[[int, str], None]
"""Called with the number of a line and the reason why it is rejected."""


class InvalidImportFile(ValueError):
    """The file cannot be imported."""


class _InvalidRow(Exception):
    pass


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A file of links, and what its rows are validated against."""

    path: Path
    organisation: Organisation
    registry: Registry
    source: str
    """The system in which people authenticated their iDs, as the organisation attests."""
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

    def read_links(
        self, reject: Reject, report_progress: Callable[[int], object] = lambda _bytes: None
    ) -> Iterator[AttestedLink]:
        """Yield the link of each valid row.

        Args:
            reject: Called for each invalid row.
            report_progress: Called with the number of bytes that have been read since the last call.

        Raises:
            InvalidImportFile: If the file cannot be read, or is not CSV with these columns.
        """
        try:
            for row in read_csv(self.path, COLUMNS, REQUIRED, report_progress):
                try:
                    yield self._link(row.line, row.cells, row.error)
                except _InvalidRow as error:
                    reject(row.line, str(error))
        except InvalidCsvFile as error:
            raise InvalidImportFile(str(error)) from None

    def _link(self, line: int, cells: Mapping[str, str], error: str) -> AttestedLink:
        if error:
            raise _InvalidRow(error)
        if cells.get("source", "") not in {"", self.source}:
            raise _InvalidRow("it names another source; import each source by itself")
        account = self._account(cells["account"])
        orcid_id = self._orcid_id(cells["orcid"])
        return AttestedLink(line, fold(account), account, orcid_id, self._time(cells.get("authenticated_at", "")))

    def _account(self, text: str) -> str:
        user, _, scope = text.rpartition("@")
        if not text:
            raise _InvalidRow("there is no account")
        if len(text) > MAX_ACCOUNT_LENGTH or not is_visible(text):
            raise _InvalidRow("the account is too long, or has invisible characters")
        if not user or "@" in user or not self.organisation.has_scope(scope):
            scopes = ", ".join(f"@{each}" for each in sorted(self.organisation.scopes))
            raise _InvalidRow(f"the account is not of this organisation, whose accounts end in {scopes}")
        return text

    def _orcid_id(self, text: str) -> OrcidId:
        if not text:
            raise _InvalidRow("there is no ORCID iD")
        try:
            orcid_id = OrcidId.parse(text, bare_means=self.registry)
        except InvalidOrcidId as error:
            raise _InvalidRow(f"not an ORCID iD: {error.reason}") from None
        if orcid_id.registry is not self.registry:
            raise _InvalidRow(
                f"the ORCID iD is of the {orcid_id.registry} registry, but the service uses {self.registry}"
            )
        return orcid_id

    def _time(self, text: str) -> datetime | None:
        if not text:
            return None
        try:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        except (ValueError, OverflowError):
            raise _InvalidRow("authenticated_at is not a date like 2026-01-15 or 2026-01-15T12:00:00Z") from None
        if at > self.now:
            raise _InvalidRow("authenticated_at is in the future")
        return at


def read_source(path: Path, attested_by: str | None) -> str:
    """Return the attested source: the option's value, or that of the first row.

    Raises:
        InvalidImportFile: If there is none, it is not one line, or the file cannot be read.
    """
    try:
        first = next((row for row in read_csv(path, COLUMNS, REQUIRED) if not row.error), None)
    except InvalidCsvFile as error:
        raise InvalidImportFile(str(error)) from None
    source = attested_by or (first.cells.get("source", "") if first else "")
    if not source:
        raise InvalidImportFile(
            "the organisation has to attest where people authenticated these ORCID iDs: name the system with "
            "--attested-by, or in a column source"
        )
    if len(source) > MAX_SOURCE_LENGTH or not source.isprintable():
        raise InvalidImportFile(f"the source must be one line of at most {MAX_SOURCE_LENGTH} characters")
    return source
