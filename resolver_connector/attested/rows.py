"""Reads rows of attested iDs.

A row has an account, an iD, and when and in which system the person authenticated it.
Each row is validated by itself; whether the account or the iD has another link is checked by the repository
(`sql/repositories/attested_links.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, BinaryIO
from unicodedata import normalize

from resolver_connector.csv_file import MAX_OTHER_LINES, read_csv_stream
from resolver_connector.deprovision import InvalidList
from resolver_connector.http import InvalidObject, parse_json_object
from shibboleth.attributes import fold
from shibboleth.orcid_id import InvalidOrcidId, OrcidId, Registry
from shibboleth.organisation import Organisation
from shibboleth.person import invalid_account
from sql.records import SELF_MADE
from sql.repositories.attested_links import AttestedLink, Outcome, Refusal, RowResult

REQUIRED = ("account", "orcid", "authenticated_at")
MEMBERS = (*REQUIRED, "source")
"""The members of an object, and the columns of a CSV file."""
MAX_SOURCE_LENGTH = 200
MAX_CLOCK_DIFFERENCE = timedelta(minutes=5)
"""How far the clock of the system that sends the rows may be ahead."""
_MISSING = {"authenticated_at": "it is missing: state when the person signed in at ORCID with this iD"}
_EASTERNMOST = timedelta(hours=14)
"""A day begins at most so long before it begins in UTC."""
_ORCID_BEGAN = datetime(2012, 10, 1, tzinfo=UTC)
_MAX_LINE = 10_000
"""Bytes of one row in NDJSON."""


class InvalidMember(ValueError):
    """A member of a row is not valid.

    The message says why, and `member` which.
    """

    def __init__(self, member: str, reason: str) -> None:
        super().__init__(reason)
        self.member = member


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads and validates rows."""

    organisation: Organisation
    registry: Registry
    now: datetime
    source: str = ""
    """The source of rows that name none; empty if each row must name one."""
    only_source: bool = False
    """Whether a row that names another source is invalid."""
    columns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Names of columns or members and what they hold, one of MEMBERS; others are ignored then."""

    def read_csv(
        self, file: BinaryIO, report_progress: Callable[[int], object] = lambda _bytes: None
    ) -> Iterator[AttestedLink | RowResult]:
        """Yield the rows of CSV as spreadsheets write it.

        A row that is invalid is a result.

        Raises:
            InvalidCsvFile: If it is not CSV with these columns.
        """
        names = {member: name.lower() for name, member in self.columns.items()}
        required = [names.get(member, member) for member in REQUIRED]
        known = [*required, names.get("source", "source")]
        for row in read_csv_stream(file, known, required, report_progress, ignore_others=bool(self.columns)):
            if row.error:
                yield _invalid(row.line, "", row.error)
                continue
            yield self._row(
                row.line, {member: row.cells.get(name, "") for member, name in zip(MEMBERS, known, strict=True)}
            )

    def read_ndjson(
        self, file: BinaryIO, report_progress: Callable[[int], object] = lambda _bytes: None
    ) -> Iterator[AttestedLink | RowResult]:
        """Yield the rows of NDJSON, one object on each line.

        A row that is invalid is a result. Empty lines are skipped.

        Raises:
            InvalidList: If it has more than MAX_OTHER_LINES empty lines.
        """
        names, number, others = {member: member for member in MEMBERS}, 0, 0
        names |= {member: name for name, member in self.columns.items()}
        while line := file.readline(_MAX_LINE + 1):
            number += 1
            report_progress(len(line))
            if len(line) > _MAX_LINE:
                while (rest := file.readline(_MAX_LINE)) and not rest.endswith(b"\n"):
                    report_progress(len(rest))
                yield _invalid(number, "", f"the line has more than {_MAX_LINE:,} bytes")
                continue
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                others += 1
                if others > MAX_OTHER_LINES:
                    raise InvalidList(f"more than {MAX_OTHER_LINES:,} of its lines are empty: remove them")
                continue
            try:
                content = parse_json_object(line)
            except InvalidObject as error:
                yield _invalid(number, "", f"the line {error}")
                continue
            if content.keys() == {"count"}:
                # The last line of the list that this service gives
                continue
            content.pop("etag", None)
            if self.columns:
                content = {member: content[name] for member, name in names.items() if name in content}
            yield self._row(number, content)

    def _row(self, line: int, members: Mapping[str, Any]) -> AttestedLink | RowResult:
        account = members.get("account")
        try:
            return self.parse(members, line, dates=True)
        except InvalidMember as error:
            return _invalid(line, error.member, str(error), account if isinstance(account, str) else "")

    def parse(self, members: Mapping[str, Any], line: int, *, dates: bool = False) -> AttestedLink:
        """Return the row of an object's members.

        Args:
            members: The members by name.
            line: The number of the row.
            dates: Whether `authenticated_at` may be a date without a time, which is the beginning of that day in UTC.

        Raises:
            InvalidMember: If a member is missing, unknown or invalid.
        """
        for name in members:
            if name not in MEMBERS:
                raise InvalidMember(name[:100], f"there is no such member; there are {', '.join(MEMBERS)}")
        for name in MEMBERS:
            value = members.get(name)
            if value is None or value == "":
                if name in REQUIRED:
                    raise InvalidMember(name, _MISSING.get(name, "it is missing"))
            elif not isinstance(value, str):
                raise InvalidMember(name, "it is not text")
        account = members["account"]
        if problem := invalid_account(self.organisation, account):
            scopes = ", ".join(f"@{each}" for each in sorted(self.organisation.scopes))
            raise InvalidMember("account", f"it cannot be an account here, where they end in {scopes}: {problem}")
        return AttestedLink(
            line,
            fold(account),
            account,
            self._orcid_id(members["orcid"]),
            self._time(members["authenticated_at"], dates=dates),
            self._source(members.get("source") or ""),
        )

    def _orcid_id(self, text: str) -> OrcidId:
        try:
            orcid_id = OrcidId.parse(text, bare_means=self.registry)
        except InvalidOrcidId as error:
            raise InvalidMember("orcid", f"it is no ORCID iD: {error.reason}") from None
        if orcid_id.registry is not self.registry:
            raise InvalidMember(
                "orcid", f"it is of the {orcid_id.registry} registry, but the service uses {self.registry}"
            )
        return orcid_id

    def _time(self, text: str, *, dates: bool) -> datetime:
        form = "it must be a time with its time zone, as 2026-01-15T12:00:00+02:00"
        form += ", or a date, as 2026-01-15" if dates else ""
        is_date = len(text) == len("2026-01-15")
        try:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=UTC) if is_date and dates else at
            latest = self.now + (_EASTERNMOST if is_date else MAX_CLOCK_DIFFERENCE)
            future = at > latest
            at = at.astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            raise InvalidMember("authenticated_at", form) from None
        if future:
            raise InvalidMember("authenticated_at", "it is in the future")
        if at < _ORCID_BEGAN:
            raise InvalidMember("authenticated_at", "ORCID has existed since October 2012")
        return min(at, self.now)

    def _source(self, text: str) -> str:
        # A list that this service wrote has the word for what people linked here
        named = "" if text == SELF_MADE else text
        source = named or self.source
        if not source:
            raise InvalidMember("source", "it is missing: name the system in which the person authenticated the iD")
        if problem := invalid_source(source):
            raise InvalidMember("source", problem)
        if self.only_source and source != self.source:
            raise InvalidMember("source", f"it must be {self.source}")
        return source


def invalid_source(text: str) -> str:
    """Return why a text cannot be the name of a system; empty if it can."""
    if not text or len(text) > MAX_SOURCE_LENGTH or not text.isprintable() or not text.strip():
        return f"it must be one line of at most {MAX_SOURCE_LENGTH} characters"
    if text != text.strip():
        return "it must not begin or end with a space"
    if normalize("NFKC", text).casefold() == SELF_MADE:
        return f"{SELF_MADE} stands for what people linked here; name the system of the organisation"
    return ""


def _invalid(line: int, member: str, reason: str, account: str = "") -> RowResult:
    text = f"{member}: {reason}" if member else reason
    return RowResult(line, account, Outcome.REFUSED, Refusal.INVALID, text, member)
