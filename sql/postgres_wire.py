"""One connection to PostgreSQL that knows statements by name: each is prepared when it is first used.

This is libpq as psycopg wraps it (`psycopg.pq`). What is left out is what psycopg's cursors do around it for statements
and types of any kind, which took longer than the server took to answer. Statements that need not wait for each other
go there and back together (libpq's pipeline mode).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import DictRow

from sql.engine import Row, Values, unstorable
from sql.errors import Unstorable
from sql.forks import forks
from sql.waits import IN_PLACE, READABLE, WRITABLE, Waits

Connection = psycopg.Connection[DictRow]

_PARAMETER = re.compile(rb"%\((\w+)\)s")
_LONGEST = 3600.0
"""In seconds, between two looks whether the server has answered; it is the server that ends what takes too long."""
_AT_MOST = 64
"""How many statements go together: so few that neither side ever waits for the other to read."""
_BIGINT, _UNKNOWN = 20, 0
_WELL = {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}

# What is no text, by the types' numbers (pg_type.oid)
_READ: Mapping[int, Callable[[bytes], Any]] = {
    16: lambda value: value == b"t",
    20: int,
    21: int,
    23: int,
    1700: lambda value: Decimal(value.decode()),
}


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as the server wants it, `$1` in the place of the first name."""

    name: bytes
    text: bytes
    written: bytes
    """As psycopg's own cursors want it."""
    parameters: tuple[str, ...]

    @classmethod
    def of(cls, name: str, text: str) -> Statement:
        """Read one that is written for psycopg."""
        written = text.encode()
        parameters = tuple(dict.fromkeys(each.decode() for each in _PARAMETER.findall(written)))
        numbered = _PARAMETER.sub(lambda found: b"$%d" % (parameters.index(found[1].decode()) + 1), written)
        return cls(name.encode(), numbered, written, parameters)


Call = tuple[Statement, Values] | bytes
"""A statement with its values, or one that takes none and is not worth preparing."""


class Wire:
    """A connection; closed, at the latest, when nobody knows of it any more. The server is waited for by `waits`."""

    __slots__ = ("_forks", "_pg", "_prepared", "_shapes", "_waits", "connection")

    def __init__(self, connection: Connection, waits: Waits = IN_PLACE) -> None:
        self.connection = connection
        self._waits = waits
        self._forks = forks()
        self._pg = connection.pgconn
        self._prepared: set[bytes] = set()
        self._shapes: dict[bytes, list[tuple[str, Callable[[bytes], Any]]]] = {}

    def __del__(self) -> None:
        # What a process inherited by a fork is not its to end: the server would hear a goodbye from both
        if self._forks == forks():
            self.connection.close()

    def has_spoken(self) -> bool:
        """Tell whether the server said something nobody asked for, such as goodbye: a look that costs no answer."""
        return IN_PLACE.until(self._pg.socket, READABLE, 0)

    @property
    def at_rest(self) -> bool:
        """Whether it can be used for anything."""
        return self._pg.status == ConnStatus.OK and self._pg.transaction_status == TransactionStatus.IDLE

    def send(self, statement: Statement, values: Values) -> PGresult:
        """Run one statement."""
        encoded = _encoded(statement, values)
        if statement.name not in self._prepared:
            self._pg.send_prepare(statement.name, statement.text, _types(statement, values))
            self._answered()
            self._prepared.add(statement.name)
        self._pg.send_query_prepared(statement.name, encoded)
        return self._answered()

    def _answered(self) -> PGresult:
        """Send what is on its way, and give its one result."""
        self._pushed()
        # A result is followed by nothing, and only then is the connection at rest
        result, _nothing = self._result(), self._result()
        return _checked(result)

    def together(self, calls: Sequence[Call]) -> list[PGresult]:
        """Run statements one after the other, the next only if the one before it went well."""
        found: list[PGresult] = []
        for start in range(0, len(calls), _AT_MOST):
            found += self._piped(calls[start : start + _AT_MOST])
        return found

    def _piped(self, calls: Sequence[Call]) -> list[PGresult]:
        self._pg.enter_pipeline_mode()
        try:
            steps = self._queued(calls)
            self._pg.pipeline_sync()
            self._pushed()
            # Each result is followed by nothing, and the last by the word that all were taken in
            results = [self._result() for _ in range(2 * len(steps) + 1)][:-1:2]
        finally:
            # Fails where the connection broke: then it is thrown away whole
            with suppress(psycopg.Error):
                self._pg.exit_pipeline_mode()
        answered = list(zip(steps, results, strict=True))
        self._prepared.update(name for name, result in answered if name and result and result.status in _WELL)
        checked = [(name, _checked(result)) for name, result in answered]
        return [result for name, result in checked if not name]

    def _pushed(self) -> None:
        while self._pg.flush():
            self._waits.until(self._pg.socket, READABLE | WRITABLE, _LONGEST)
            self._pg.consume_input()

    def _result(self) -> PGresult | None:
        # `get_result` would wait itself, and no other thread could work meanwhile
        while self._pg.is_busy():
            self._waits.until(self._pg.socket, READABLE, _LONGEST)
            self._pg.consume_input()
        return self._pg.get_result()

    def _queued(self, calls: Sequence[Call]) -> list[bytes]:
        """Send statements on their way, and give for each step the name of what it prepares: empty where it runs."""
        steps: list[bytes] = []
        for call in calls:
            if isinstance(call, bytes):
                self._pg.send_query_params(call, None)
            else:
                statement, values = call
                encoded = _encoded(statement, values)
                if statement.name not in self._prepared and statement.name not in steps:
                    self._pg.send_prepare(statement.name, statement.text, _types(statement, values))
                    steps.append(statement.name)
                self._pg.send_query_prepared(statement.name, encoded)
            steps.append(b"")
        return steps

    def rollback(self) -> None:
        """Undo the transaction, if there is one."""
        if self._pg.transaction_status != TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                self._waits.afar(lambda: self._pg.exec_(b"rollback"))

    def script(self, text: bytes) -> None:
        """Run several statements that take no values; what was prepared is forgotten, for they may change tables."""
        _checked(self._pg.exec_(text))
        _checked(self._pg.exec_(b"deallocate all"))
        self._prepared.clear()
        self._shapes.clear()

    def rows(self, statement: Statement, result: PGresult) -> list[Row]:
        """Read the rows of a result."""
        shape = self._shapes.get(statement.name)
        if shape is None:
            shape = self._shapes[statement.name] = _shape(result)
        return [_row(shape, result, number) for number in range(result.ntuples)]


def touched(result: PGresult) -> int:
    """Tell how many rows a statement touched."""
    return result.command_tuples or 0


def storable(values: Values) -> Values:
    """Give values that a database can hold. Raises Unstorable."""
    if name := unstorable(values):
        raise Unstorable(name)
    return values


def _encoded(statement: Statement, values: Values) -> Any:
    # psycopg takes none for null here, and does not say so in its types
    storable(values)
    given = [values[name] for name in statement.parameters]
    return [None if value is None else str(value).encode() for value in given]


def _types(statement: Statement, values: Values) -> list[int]:
    # Whole numbers are told, since the same one may stand where the server would take it for another type
    return [_BIGINT if isinstance(values[name], int) else _UNKNOWN for name in statement.parameters]


def _checked(result: PGresult | None) -> PGresult:
    if result is None:
        raise psycopg.OperationalError("the connection broke")
    if result.status not in _WELL:
        raise error_from_result(result)
    return result


def _shape(result: PGresult) -> list[tuple[str, Callable[[bytes], Any]]]:
    columns = range(result.nfields)
    return [((result.fname(at) or b"").decode(), _READ.get(result.ftype(at), bytes.decode)) for at in columns]


def _row(shape: list[tuple[str, Callable[[bytes], Any]]], result: PGresult, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for at, (name, read) in enumerate(shape):
        value = result.get_value(number, at)
        row[name] = None if value is None else read(value)
    return row
