"""What the store asks of a database, whichever it is: one statement at a time, or several as one.

Statements are known by their names in `queries/*.sql`, which are the same for all engines. What differs between
engines is in `sqlite.py` and `postgres.py`, and is this much: how a transaction begins, what makes a commit
durable, and how to ask which tables there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import aiosql

if TYPE_CHECKING:
    from sql.reading import Reader

QUERIES = Path(__file__).parent / "queries"


class Row(Protocol):
    """A row of an answer."""

    def __getitem__(self, column: str, /) -> Any:
        """Give the value of a column."""


Values = Mapping[str, str | int | None]
Question = tuple[str, Values]
"""A query's name and its values."""


class Session(Protocol):
    """Where the statements of a transaction are run, in the order given. Values are text, whole numbers or none."""

    def ask(self, *questions: Question) -> list[list[Row]]:
        """Ask several queries at once and give the rows that each finds."""

    def post(self, query: str, **values: str | int | None) -> None:
        """Run a statement of which nothing is to be learnt; at the latest before the next question or the commit."""

    def run(self, query: str, **values: str | int | None) -> int:
        """Run a statement and tell how many rows it touched."""

    def many(self, query: str, all_values: Sequence[Values]) -> int:
        """Insert several rows by the query that inserts one, and tell how many went in."""

    def script(self, text: str) -> None:
        """Run several statements that take no values."""


class Engine(Protocol):
    """A database. Every method raises StoreUnavailable when it cannot be used, and Contradiction as the schema does."""

    def one(self, query: str, **values: str | int | None) -> Row | None:
        """Give the row a query of at most one row finds."""

    def all(self, query: str, **values: str | int | None) -> list[Row]:
        """Give all rows that a query finds."""

    def together(self, *questions: Question) -> list[list[Row]]:
        """Ask several queries at once and give the rows that each finds: one way to the database and back."""

    def reading(self, query: str, **values: str | int | None) -> AbstractContextManager[Iterator[Row]]:
        """Give the rows that a query finds one after the other, however many: all as of one moment, few in memory."""

    def brief(self, query: str, **values: str | int | None) -> int:
        """Run one statement by itself and tell how many rows it touched.

        It survives the end of this process at any moment, but not a sudden end of the whole machine: good enough
        for what a person can begin again, and free of the wait for the disk.
        """

    def brief_one(self, query: str, **values: str | int | None) -> Row | None:
        """Run one statement by itself as `brief` does, and give the row that it returns."""

    def transaction(self) -> AbstractContextManager[Session]:
        """All or nothing; when it ends well, it is on the disk. An exception inside undoes it."""

    def alone(self) -> AbstractContextManager[Session]:
        """Give a transaction that only one caller of `alone` is in at a time, and that may take its time."""

    def in_turn(self) -> AbstractContextManager[Session]:
        """Give a transaction that only one caller of `in_turn` is in at a time; it does not wait for the disk."""

    def scrub(self) -> bool:
        """Write the whole database anew, without what deleted rows left in its files.

        False when that could not be done to the end because somebody was reading; what it did does no harm.
        """

    def learn(self) -> None:
        """Let the database look at what is in its tables, where it plans by that: after many rows came at once."""

    def tables(self) -> set[str]:
        """Give the names of the tables there are; none where the database has not been made yet."""

    def create(self) -> None:
        """Make the database if it is one that we make; otherwise it has to be there."""

    def reader(self) -> Reader:
        """Give what reads with connections of its own, which cannot write and do not wait."""

    def close(self) -> None:
        """Let go of all connections. The next use opens new ones."""


@cache
def queries(style: str) -> Mapping[str, str]:
    """Give the text of each named query, written for a driver (aiosql's word for it: `sqlite3`, `psycopg`)."""
    loaded = aiosql.from_path(QUERIES, style)
    return {name: getattr(loaded, name).sql for name in loaded.available_queries if not name.endswith("_cursor")}


def unstorable(values: Values) -> str | None:
    """Give the name of the first value that no database can hold, if there is one."""
    together = "".join([value for value in values.values() if isinstance(value, str)])
    if together.isascii() and "\0" not in together:
        return None
    for name, value in values.items():
        if isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
            return name
    return None


def _is_unicode(value: str) -> bool:
    # Half a surrogate pair is a str in Python, and a character nowhere
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)
