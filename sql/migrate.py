"""Bring a database up to the program: numbered files, each applied once, whole, and never changed afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path

from sql.audit import digest
from sql.engines.base import Engine, Row
from sql.errors import MigrationChanged, SchemaAhead, SchemaBehind
from sql.rows import format_timestamp

MIGRATIONS = Path(__file__).parent / "migrations"
_TABLE = "schema_migrations"


@cache
def files(directory: Path) -> dict[str, str]:
    """Give the text of each migration by its name, in the order of their numbers."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(directory.glob("*.sql"))}


def pending(engine: Engine, directory: Path = MIGRATIONS) -> list[str]:
    """Tell which migrations the database lacks.

    Raises SchemaAhead when a newer program has been here, and MigrationChanged when a file is not what was applied.
    """
    known = files(directory)
    return _missing(known, engine.fetch_all("list_applied_migrations")) if _TABLE in engine.tables() else list(known)


def must_be_current(engine: Engine) -> None:
    """Raise SchemaBehind, SchemaAhead or MigrationChanged unless the database is this program's."""
    _must_be_none(pending(engine))


def must_be_known(applied: list[Row]) -> None:
    """Do the same for what `applied_migrations` found; a database without that table is no database of ours."""
    _must_be_none(_missing(files(MIGRATIONS), applied))


def _must_be_none(missing: list[str]) -> None:
    if missing:
        raise SchemaBehind(tuple(missing))


def migrate(engine: Engine, now: datetime, directory: Path = MIGRATIONS) -> list[str]:
    """Apply what the database lacks and give the names of what was applied here.

    Of two that start at once, each file is applied by one. A file that fails leaves no trace, and those before it stay.
    """
    engine.create()
    with engine.transaction(exclusive=True, long=True) as session:
        session.execute("create_migrations_table")
    known = files(directory)
    return [name for name in pending(engine, directory) if _apply(engine, known, name, now)]


def _apply(engine: Engine, known: Mapping[str, str], name: str, now: datetime) -> bool:
    with engine.transaction(exclusive=True, long=True) as session:
        if name not in _missing(known, session.fetch_all("list_applied_migrations")):
            return False
        session.script(known[name])
        session.execute(
            "insert_applied_migration", name=name, applied_at=format_timestamp(now), sha256=digest(known[name])
        )
    return True


def _missing(known: Mapping[str, str], found: list[Row]) -> list[str]:
    applied = {row["name"]: row["sha256"] for row in found}
    unknown = sorted(applied.keys() - known.keys())
    if unknown:
        raise SchemaAhead(tuple(unknown))
    for name, checksum in applied.items():
        if digest(known[name]) != checksum:
            raise MigrationChanged(name)
    return [name for name in known if name not in applied]
