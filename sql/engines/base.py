"""The interface of a database engine, and the SQL that all engines share.

Statements are named entries in `queries/*.sql`, with the same text for all engines. What differs is in `sqlite.py` and
`postgres.py`: connections, transactions, time-outs and errors.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from sql.errors import UnstorableText

QUERIES = Path(__file__).parents[1] / "queries"
_NAME = re.compile(r"^-- name: (\w+).*\n", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)

Value = str | int | None
Values = Mapping[str, Value]


class Row(Protocol):
    """A row of a result; columns are read by name."""

    def __getitem__(self, column: str, /) -> Any:
        """Return the value of a column."""


class Session(ABC):
    """Runs named statements."""

    @abstractmethod
    def _run(self, query: str, values: dict[str, Value]) -> Any:
        """Run a statement and return the driver's cursor."""

    def fetch_one(self, query: str, **values: Value) -> Row | None:
        """Run a statement that returns at most one row."""
        found = self.fetch_all(query, **values)
        return found[0] if found else None

    def fetch_all(self, query: str, **values: Value) -> list[Row]:
        """Run a statement and return its rows.

        Returns:
            Empty if a value contains text that no database can store.
        """
        if unstorable(values):
            return []
        found: list[Row] = self._run(query, values).fetchall()
        return found

    def execute(self, query: str, **values: Value) -> int:
        """Run a statement and return how many rows it changed.

        Raises:
            UnstorableText: If no database can store one of the values.
        """
        if name := unstorable(values):
            raise UnstorableText(name)
        return int(self._run(query, values).rowcount)


class Transaction(Session):
    """Runs the statements of one transaction."""

    @abstractmethod
    def execute_many(self, query: str, rows: Sequence[Values]) -> int:
        """Run a statement once for each row and return how many rows were changed."""

    @abstractmethod
    def fetch_batch(self, query: str, rows: Sequence[Values]) -> list[list[Row]]:
        """Run a statement for each row of values; return the rows of each."""

    @abstractmethod
    def pipeline(self) -> AbstractContextManager[object]:
        """Send statements without waiting for the result of each.

        Inside the block `execute` returns no count.
        """

    @abstractmethod
    def script(self, text: str) -> None:
        """Run several statements without values."""


class Engine(ABC):
    """A database.

    Every method raises StoreUnavailable when the database cannot be used, and ConstraintViolation when a constraint
    of the schema refuses a row. Every commit is durable when it returns. Connections are opened at the first use, by
    the process that uses them: call `close` before a fork.
    """

    @abstractmethod
    def session(self) -> AbstractContextManager[Session]:
        """Run statements, each as a transaction of its own."""

    def fetch_one(self, query: str, **values: Value) -> Row | None:
        """Run one statement as `Session.fetch_one` does."""
        with self.session() as session:
            return session.fetch_one(query, **values)

    def fetch_all(self, query: str, **values: Value) -> list[Row]:
        """Run one statement as `Session.fetch_all` does."""
        with self.session() as session:
            return session.fetch_all(query, **values)

    def execute(self, query: str, **values: Value) -> int:
        """Run one statement as `Session.execute` does."""
        with self.session() as session:
            return session.execute(query, **values)

    @abstractmethod
    def transaction(self, *, exclusive: bool = False, long: bool = False) -> AbstractContextManager[Transaction]:
        """Run the statements of the block as one transaction.

        It is committed at the end of the block, and rolled back by an exception.

        Args:
            exclusive: Only one exclusive transaction runs at a time, in all processes.
            long: The transaction may take minutes, such as an import or a migration.
        """

    @abstractmethod
    def stream(self, query: str, **values: Value) -> AbstractContextManager[Iterator[Row]]:
        """Yield the rows of a query from one snapshot, with few of them in memory."""

    @abstractmethod
    def vacuum(self) -> bool:
        """Rewrite the database's files without the content of deleted rows.

        Returns:
            False if other users of the database prevented it; try again later.
        """

    @abstractmethod
    def check_writable(self) -> None:
        """Commit a write that changes nothing.

        Raises:
            StoreUnavailable: If it fails, or the disk is nearly full.
        """

    def wal_backlog(self) -> int:
        """Return the bytes of the write-ahead log that cannot be checkpointed now.

        The number grows while a reader keeps its snapshot.
        """
        return 0

    @abstractmethod
    def tables(self) -> set[str]:
        """Return the names of the tables; empty if the database does not exist yet."""

    @abstractmethod
    def create(self) -> None:
        """Create the database if the engine can; otherwise do nothing."""

    @abstractmethod
    def reader(self) -> Engine:
        """Return a read-only engine for the same database.

        It has its own connections, with short time-outs, because a login waits for them.
        """

    @abstractmethod
    def close(self) -> None:
        """Close all connections.

        One that is in use is closed when its use ends. The next use opens new ones.
        """


@cache
def queries() -> Mapping[str, str]:
    """Return the text of each named statement.

    Values are written `:name`, as SQLite reads them.
    """
    found: dict[str, str] = {}
    for path in sorted(QUERIES.glob("*.sql")):
        _, *parts = _NAME.split(path.read_text(encoding="utf-8"))
        found.update(zip(parts[::2], (_COMMENT.sub("", text).strip() for text in parts[1::2]), strict=True))
    return found


def unstorable(values: Values) -> str | None:
    """Return the name of the first value that no database can store.

    Such a value is text with a NUL character or half a surrogate pair.
    """
    for name, value in values.items():
        if not isinstance(value, str):
            continue
        if "\0" in value or (not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value)):
            return name
    return None
