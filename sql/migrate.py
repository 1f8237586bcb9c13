"""Schema migrations: numbered SQL files, each applied once in a transaction.

A released file is never changed. A migration that only adds may begin with the line `-- Additive since NAME`, where
NAME is a migration: programs that know that one, and not the additive one, run on the database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from sql.audit import digest
from sql.engines.base import Engine, Row
from sql.errors import MigrationChanged, SchemaAhead, SchemaBehind
from sql.rows import format_timestamp

MIGRATIONS = Path(__file__).parent / "migrations"
_TABLE = "schema_migrations"
_ADDITIVE = re.compile(r"-- Additive since (\S+)\n")


@cache
def migrations(directory: Path) -> dict[str, str]:
    """Return the text of each migration by its name, in order."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(directory.glob("*.sql"))}


def pending(engine: Engine, directory: Path = MIGRATIONS) -> list[str]:
    """Return the names of the migrations that the database lacks.

    Raises:
        SchemaAhead: If the database has migrations that the directory lacks and that are not additive to it.
        MigrationChanged: If a migration differs from what was applied.
    """
    known = migrations(directory)
    return _missing(known, engine.fetch_all("list_applied_migrations")) if _TABLE in engine.tables() else list(known)


@dataclass(frozen=True, slots=True)
class PlannedMigration:
    """A migration that is to be applied."""

    name: str
    additive: bool
    """Whether the program that runs on the database now runs on it afterwards."""


def plan(engine: Engine, directory: Path = MIGRATIONS) -> list[PlannedMigration]:
    """Return the migrations that the database lacks, in order.

    Raises as `pending`.
    """
    known, missing = migrations(directory), pending(engine, directory)
    applied = known.keys() - {*missing}
    return [PlannedMigration(name, _additive_since(known[name]) in applied) for name in missing]


def check_current(engine: Engine) -> list[str]:
    """Check that this program runs on the schema of the database.

    Returns:
        The names of additive migrations that the program does not know.

    Raises:
        SchemaBehind: If a migration is missing.
        SchemaAhead: If the database has an unknown one that is not additive.
        MigrationChanged: If an applied one is not what it was.
    """
    if missing := pending(engine):
        raise SchemaBehind(tuple(missing))
    known = migrations(MIGRATIONS)
    return [row["name"] for row in engine.fetch_all("list_applied_migrations") if row["name"] not in known]


def check_applied(applied: list[Row]) -> None:
    """Check the rows of `list_applied_migrations` as `check_current` does."""
    if missing := _missing(migrations(MIGRATIONS), applied):
        raise SchemaBehind(tuple(missing))


def _additive_since(text: str) -> str | None:
    found = _ADDITIVE.match(text)
    return found[1] if found else None


def migrate(engine: Engine, now: datetime, directory: Path = MIGRATIONS) -> list[str]:
    """Apply the migrations that the database lacks, and return their names.

    If several processes call it at the same time, each migration is applied by one of them. Each is one transaction: if
    it fails it is rolled back, and those before it stay.
    """
    engine.create()
    with engine.transaction(exclusive=True, long=True) as session:
        session.execute("create_migrations_table")
    known = migrations(directory)
    return [name for name in pending(engine, directory) if _apply(engine, known, name, now)]


def _apply(engine: Engine, known: Mapping[str, str], name: str, now: datetime) -> bool:
    with engine.transaction(exclusive=True, long=True) as session:
        if name not in _missing(known, session.fetch_all("list_applied_migrations")):
            return False
        session.script(known[name])
        session.execute(
            "insert_applied_migration",
            name=name,
            applied_at=format_timestamp(now),
            sha256=digest(known[name]),
            additive_since=_additive_since(known[name]),
        )
    return True


def _missing(known: Mapping[str, str], rows: list[Row]) -> list[str]:
    if any(row["name"] not in known and row["additive_since"] not in known for row in rows):
        raise SchemaAhead(tuple(row["name"] for row in rows if row["name"] not in known))
    applied = {row["name"]: row["sha256"] for row in rows if row["name"] in known}
    for name, checksum in applied.items():
        if digest(known[name]) != checksum:
            raise MigrationChanged(name)
    return [name for name in known if name not in applied]
