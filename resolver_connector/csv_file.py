"""Reads CSV as other programs write it, and writes CSV without formulas."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, TextIO

_ENCODINGS = (
    # UTF-32 first: its byte order mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHER_FORMATS = {
    b"PK\x03\x04": "a spreadsheet or an archive",
    b"\xd0\xcf\x11\xe0": "a spreadsheet",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "compressed",
}
_SAVE_AS_CSV = "save it as CSV in UTF-8"
_DELIMITERS = (",", ";", "\t")
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?\s*', re.IGNORECASE)
"""The first line with which a file tells Excel its delimiter."""
_IGNORED = "\ufeff\u200b\u00a0 \t\r\n"
"""Spaces and invisible characters around cells."""
_MAX_LINE = 1_000_000
"""Characters of a line, or of a row of several lines. No more is read, so that a file without line ends, or with many
short cells, does not fill the memory.
"""
MAX_OTHER_LINES = 100_000
"""How many lines may be empty, or inside a cell of several lines; each takes as long as a row."""
_MAX_HEADER = 10_000
"""Characters."""
_REPLACEMENT = "\ufffd"
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""The beginning of a cell that a spreadsheet takes for a formula, or of one to which an apostrophe was added."""
_NEUTRALISED = re.compile(r"'+[=+\-@\t\r]")


class CsvDefect(StrEnum):
    """What may be wrong with a file or row, for texts in other languages."""

    NOT_TEXT = "not-text"
    NO_HEADER = "no-header"
    ROW_TOO_LONG = "row-too-long"
    OTHER_LINES = "other-lines"
    LINE_TOO_LONG = "line-too-long"
    QUOTATION = "quotation"
    NOT_UTF8 = "not-utf-8"
    UNNAMED_COLUMN = "unnamed-column"


class InvalidCsvFile(ValueError):
    """The file is not a readable CSV file with the expected columns.

    `line` is where the row that cannot be read begins; 0 where the whole file is meant.
    """

    def __init__(self, message: str, defect: CsvDefect | None = None, line: int = 0) -> None:
        super().__init__(message)
        self.defect = defect
        self.line = line


class _LineTooLong(csv.Error):
    pass


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row of a CSV file."""

    line: int
    """The number of its first line in the file."""
    cells: dict[str, str]
    """By column name; a missing cell is empty."""
    error: str = ""
    """Why the row cannot be read; then there are no cells."""
    defect: CsvDefect | None = None
    """The same as a code."""


def read_csv(
    path: Path,
    columns: Sequence[str],
    required: Sequence[str],
    report_progress: Callable[[int], object] = lambda _bytes: None,
    *,
    ignore_others: bool = False,
) -> Iterator[CsvRow]:
    """Yield the rows of a CSV file; a row that cannot be read has an error.

    The encoding is UTF-8, or that of the byte order mark; the delimiter a comma, a semicolon or a tab; lines end in
    LF, CRLF or CR. Empty rows and unnamed empty columns are skipped, and spaces around cells are removed. So is the
    apostrophe that `write_csv` adds to a cell.

    Args:
        path: The file.
        columns: All column names that the first row may have, in lower case.
        required: The names that it must have.
        report_progress: Called with the number of bytes that have been read since the last call.
        ignore_others: Whether the first row may have other names too; the cells of those columns are skipped.

    Raises:
        InvalidCsvFile: If the file cannot be read, is not CSV, or has other columns.
    """
    try:
        if path.exists() and not path.is_file():
            raise InvalidCsvFile("is not a regular file; write its content to one")
        with path.open("rb") as file:
            yield from read_csv_stream(file, columns, required, report_progress, ignore_others=ignore_others)
    except OSError as error:
        raise InvalidCsvFile(f"cannot be read: {error.strerror}") from None


def read_csv_stream(  # noqa: PLR0913 - what the file may be like
    file: BinaryIO,
    columns: Sequence[str],
    required: Sequence[str],
    report_progress: Callable[[int], object] = lambda _bytes: None,
    *,
    ignore_others: bool = False,
    has_header: bool = True,
) -> Iterator[CsvRow]:
    """Yield the rows of CSV that can be read from its start, as `read_csv`.

    Args:
        file: The CSV.
        columns: As of `read_csv`.
        required: As of `read_csv`.
        report_progress: As of `read_csv`.
        ignore_others: As of `read_csv`.
        has_header: Whether the first row names the columns. Otherwise it is a row as the others, which have `columns`.
    """
    text = io.TextIOWrapper(file, _encoding(file), errors="replace", newline="")
    lines = _Lines(text)
    try:
        header = 0, [*columns], _DELIMITERS[0]
        if has_header:
            header = _header(lines, columns, required, ignore_others=ignore_others)
        yield from _rows(lines, columns, *header, _Progress(file, report_progress))
    finally:
        # Its caller closes the file, and may have done so
        if not file.closed:
            text.detach()


def write_csv(columns: Sequence[str], cells: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of CSV, which end in LF.

    A cell that a spreadsheet would take for a formula gets an apostrophe in front, which `read_csv` removes.
    """
    text = io.StringIO()
    # The writer quotes cells with a character of its line terminator
    writer = csv.writer(text, lineterminator="\r\n")
    for row in chain((columns,), cells):
        writer.writerow(["'" + cell if _FORMULA.match(cell) else cell for cell in row])
        yield text.getvalue().removesuffix("\r\n") + "\n"
        text.seek(0)
        text.truncate()


class _Progress:
    def __init__(self, file: BinaryIO, report: Callable[[int], object]) -> None:
        self.file, self.report, self.position = file, report, 0

    def update(self) -> None:
        if (position := self.file.tell()) != self.position:
            self.report(position - self.position)
            self.position = position


class _Lines:
    # A generator could not continue after the exception for a line that is too long

    def __init__(self, text: TextIO) -> None:
        self.text = text
        self.start_row(1)

    def start_row(self, first_line: int) -> None:
        self.first_line = first_line
        self.row: list[str] = []
        self.size = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = rest = self.text.readline(_MAX_LINE)
        while len(rest) == _MAX_LINE and not rest.endswith(("\n", "\r")):
            rest = self.text.readline(_MAX_LINE)
        if len(line) == _MAX_LINE:
            raise _LineTooLong
        if not line:
            raise StopIteration
        self.size += len(line)
        if self.size > _MAX_LINE:
            # Where the next row begins is unknown
            raise InvalidCsvFile(
                f"its row that begins in line {self.first_line} has more than {_MAX_LINE:,} characters: "
                "close its quotation marks",
                CsvDefect.ROW_TOO_LONG,
                self.first_line,
            )
        self.row.append(line)
        return line


def _encoding(file: BinaryIO) -> str:
    start = file.read(64)
    file.seek(0)
    for mark, encoding in _ENCODINGS:
        if start.startswith(mark):
            return encoding
    for signature, name in _OTHER_FORMATS.items():
        if start.startswith(signature):
            raise InvalidCsvFile(f"is {name}, not CSV: {_SAVE_AS_CSV}", CsvDefect.NOT_TEXT)
    if b"\0" in start[:2]:
        raise InvalidCsvFile(f"is not text in UTF-8: {_SAVE_AS_CSV}", CsvDefect.NOT_TEXT)
    return "utf-8-sig"


def _rows(  # noqa: PLR0913, PLR0917 - what `_header` returns
    lines: _Lines, columns: Sequence[str], number: int, names: Sequence[str], delimiter: str, progress: _Progress
) -> Iterator[CsvRow]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    found = 0
    while True:
        line = number + reader.line_num + 1
        if line - found > MAX_OTHER_LINES:
            raise InvalidCsvFile(
                f"more than {MAX_OTHER_LINES:,} of its lines are empty or within a cell: remove them",
                CsvDefect.OTHER_LINES,
            )
        lines.start_row(line)
        try:
            cells = [cell.strip(_IGNORED) for cell in next(reader)]
        except StopIteration:
            return
        except _LineTooLong:
            number += 1  # the reader has not counted it
            found += 1
            yield CsvRow(line, {}, f"it has a line of more than {_MAX_LINE:,} characters", CsvDefect.LINE_TOO_LONG)
            continue
        except csv.Error:
            found += 1
            error = _quotation_error("".join(lines.row), delimiter, line, number + reader.line_num)
            yield CsvRow(line, {}, error, CsvDefect.QUOTATION)
            continue
        finally:
            progress.update()
        if not any(cells):
            continue
        found += 1
        named = {
            name: cell[1:] if _NEUTRALISED.match(cell) else cell
            for name, cell in zip(names, cells, strict=False)
            if name in columns
        }
        if any(_REPLACEMENT in cell for cell in cells):
            yield CsvRow(line, {}, f"the text is not in UTF-8; for the whole file, {_SAVE_AS_CSV}", CsvDefect.NOT_UTF8)
        elif any(cell for position, cell in enumerate(cells) if position >= len(names) or not names[position]):
            yield CsvRow(line, {}, "it has a value in a column without a name", CsvDefect.UNNAMED_COLUMN)
        else:
            yield CsvRow(line, {**{name: "" for name in names if name in columns}, **named})


def _quotation_error(row: str, delimiter: str, first: int, last: int) -> str:
    # The reader does not say which of the row's cells is wrong
    comma = re.escape(delimiter)
    cell = re.compile(rf'{comma}(?:(")[^"]*(?:""[^"]*)*("(?={comma}|[\r\n]*\Z))?|(?!")[^{comma}]*)')
    row = delimiter + row
    opened_at = next((found.start() for found in cell.finditer(row) if found[1] and not found[2]), None)
    if opened_at is None:
        return "a cell is too long"
    opened = first + len(re.findall(r"\r\n|\r|\n", row[:opened_at]))
    unread = f"; lines {opened} to {last} are not read" if last > opened else ""
    return f"the quotation mark opened in line {opened} is not closed, or text follows the one that closes it{unread}"


def _header(
    lines: _Lines, columns: Sequence[str], required: Sequence[str], *, ignore_others: bool
) -> tuple[int, list[str], str]:
    # Returns how many lines were read, the name of each column, and the delimiter
    delimiters: Sequence[str] = _DELIMITERS
    with suppress(_LineTooLong):
        for number, line in enumerate(islice(lines, MAX_OTHER_LINES), 1):
            lines.start_row(number + 1)
            if not line.strip(_IGNORED + ",;"):
                continue
            if separator := _SEPARATOR_LINE.fullmatch(line):
                delimiters = (separator[1],)
                continue
            for delimiter in delimiters if len(line) < _MAX_HEADER else ():
                names = [name.strip(_IGNORED).lower() for name in next(csv.reader([line], delimiter=delimiter), [])]
                named = [name for name in names if name and (name in columns or not ignore_others)]
                if set(required) <= set(named) <= set(columns) and len(set(named)) == len(named):
                    return number, names, delimiter
            break
    optional = ", ".join(name for name in columns if name not in required)
    missing = f"; {optional} may be missing" if optional else ""
    raise InvalidCsvFile(
        f"its first line must name the columns: {', '.join(required)}{missing}; there are no others",
        CsvDefect.NO_HEADER,
    )
