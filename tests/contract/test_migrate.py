"""How a database is brought up to the program, on each engine."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner

from sql.errors import MigrationChanged, SchemaAhead, SchemaBehind, StoreUnavailable
from sql.migrate import MIGRATIONS, PlannedMigration, migrate, pending, plan
from sql.store import open_store
from tests.support.configuration import store_section, write_configuration
from tests.support.factories import NOON, UNIVERSITY, make_link, make_orcid_id
from webapp.cli.main import main

ALL = sorted(path.name for path in MIGRATIONS.iterdir())


@pytest.fixture
def empty(empty_url):
    """A store on a database to which nothing has been done."""
    store = open_store(empty_url)
    yield store
    store.close()


@pytest.fixture
def directory(tmp_path):
    """A copy of the migrations, to change."""
    return shutil.copytree(MIGRATIONS, tmp_path / "migrations")


def test_an_empty_database_is_behind_and_says_what_to_run(empty):
    with pytest.raises(SchemaBehind) as raised:
        empty.check_schema()

    assert str(raised.value).startswith("database is behind: 0001_schema.sql")
    assert str(raised.value).endswith("; run: orcid-connect migrate")
    assert raised.value.missing == tuple(ALL)


def test_checking_a_missing_store_creates_no_file(tmp_path):
    store = open_store(f"sqlite://{tmp_path}/links.db")

    assert pending(store.engine) == ALL
    with pytest.raises(StoreUnavailable):
        store.links.count(UNIVERSITY)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_was_never_migrated_says_so_when_it_is_used(empty):
    empty.engine.create()

    with pytest.raises(StoreUnavailable, match="orcid-connect check"):
        empty.links.count(UNIVERSITY)


def test_a_migrated_store_is_current(empty):
    applied = migrate(empty.engine, NOON)

    empty.check_schema()
    assert applied == ALL
    assert pending(empty.engine) == []


def test_migrating_is_idempotent(empty):
    migrate(empty.engine, NOON)
    make_link(empty)

    again = migrate(empty.engine, NOON)

    assert again == []
    assert empty.links.count(UNIVERSITY) == 1


def test_of_several_that_migrate_at_once_each_file_is_applied_by_one(empty_url, directory):
    (directory / "9004_more.sql").write_text("create table more (a text);\n")
    (directory / "9005_column.sql").write_text("alter table more add column b text;\n")
    stores = [open_store(empty_url) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(lambda store: migrate(store.engine, NOON, directory), stores))

    for store in stores:
        store.close()
    assert sorted(name for names in applied for name in names) == [*ALL, "9004_more.sql", "9005_column.sql"]


def test_a_new_file_is_applied_to_what_is_there(empty, directory):
    migrate(empty.engine, NOON)
    make_link(empty)
    (directory / "9004_more.sql").write_text("-- A word; and another\ncreate table more (a text);\n")

    missing = pending(empty.engine, directory)
    applied = migrate(empty.engine, NOON, directory)

    assert missing == applied == ["9004_more.sql"]
    assert "more" in empty.engine.tables()
    assert empty.links.count(UNIVERSITY) == 1


def test_a_failed_migration_is_rolled_back_and_earlier_ones_stay(empty, directory):
    (directory / "9004_more.sql").write_text("create table more (a text);\n")
    (directory / "9005_wrong.sql").write_text("create table other (a text);\ncreate table more (a text);\n")

    with pytest.raises(StoreUnavailable):
        migrate(empty.engine, NOON, directory)

    assert pending(empty.engine, directory) == ["9005_wrong.sql"]
    assert "more" in empty.engine.tables()
    assert "other" not in empty.engine.tables()


def test_a_database_of_a_newer_version_is_refused(empty, directory):
    (directory / "9004_more.sql").write_text("create table more (a text);\n")
    migrate(empty.engine, NOON, directory)

    with pytest.raises(SchemaAhead) as raised:
        migrate(empty.engine, NOON)

    assert str(raised.value) == "database is ahead: 9004_more.sql; run a newer orcid-connect"
    with pytest.raises(SchemaAhead):
        empty.check_schema()


NEXT = (
    "-- Additive since {since}\ncreate table more (a text);\n"
    "alter table links add column remark text;\nalter table changes add column remark text;\n"
    "alter table events add column remark text;\nalter table attempts add column remark text;\n"
)


def use(store):
    """Read what has a column more in the next release."""
    key = (UNIVERSITY, "maija@yliopisto.example")
    return (
        store.links.get(*key),
        store.changes.list_after(UNIVERSITY, 0, 10),
        [*store.audit.list_events(UNIVERSITY)],
        store.attempts.get("unknown"),
    )


def test_a_program_runs_on_what_the_next_release_has_added_and_says_so(empty, empty_url, directory, tmp_path):
    migrate(empty.engine, NOON)
    make_link(empty)
    (directory / "9004_more.sql").write_text(NEXT.format(since=ALL[-1]))

    used = use(empty)
    # More often than psycopg runs a statement before it prepares it
    assert [use(empty) for _ in range(6)] == [used] * 6
    assert plan(empty.engine, directory) == [PlannedMigration("9004_more.sql", additive=True)]
    migrate(empty.engine, NOON, directory)

    assert use(empty) == used, "what was prepared before goes on"
    assert empty.check_schema() == ["9004_more.sql"]
    empty.lookup().check_schema()
    assert migrate(empty.engine, NOON) == []
    make_link(empty, "ville@yliopisto.example", make_orcid_id(2))
    assert empty.links.count(UNIVERSITY) == 2
    path = write_configuration(tmp_path / "etc", store=store_section(tmp_path / "etc", empty_url))
    told = CliRunner().invoke(main, ["--config", str(path), "check"])
    assert told.exit_code == 0
    assert "a newer version has added 9004_more.sql; this version runs on it" in told.output


@pytest.mark.parametrize("since", ["9003_unknown.sql", "9004_more.sql"])
def test_what_is_additive_to_a_later_program_only_is_ahead(empty, directory, since):
    (directory / "9004_more.sql").write_text(NEXT.format(since=since))
    migrate(empty.engine, NOON, directory)

    with pytest.raises(SchemaAhead):
        empty.check_schema()


def test_a_plan_says_what_needs_the_services_stopped_and_changes_nothing(empty, empty_url, directory, tmp_path):
    path = write_configuration(tmp_path / "etc", store=store_section(tmp_path / "etc", empty_url))

    def planned(*options):
        return CliRunner().invoke(main, ["--config", str(path), "migrate", "--plan", *options]).output

    assert planned() == f"{ALL[0]}  not additive: stop the services before it\n"
    assert json.loads(planned("--json")) == {"pending": [{"name": name, "additive": False} for name in ALL]}
    assert pending(empty.engine) == ALL
    migrate(empty.engine, NOON)
    assert planned() == "the database is up to date\n"
    (directory / "9004_more.sql").write_text("drop table links;\n")
    assert plan(empty.engine, directory) == [PlannedMigration("9004_more.sql", additive=False)]


def test_a_migration_changed_after_it_was_applied_is_an_error(empty, directory):
    migrate(empty.engine, NOON, directory)
    text = (directory / "0001_schema.sql").read_text()
    changed = shutil.copytree(directory, directory.parent / "changed")
    (changed / "0001_schema.sql").write_text(text + "-- a word more\n")

    with pytest.raises(MigrationChanged) as raised:
        pending(empty.engine, changed)

    assert raised.value.name == "0001_schema.sql"
    with pytest.raises(MigrationChanged):
        migrate(empty.engine, NOON, changed)


def test_no_migration_replaces_a_view_in_place():
    """`create or replace view` keeps who may read it and drops its options: with security_invoker gone, the role of an
    Identity Provider would read the rows of every organisation. A view that is dropped and made again is closed to all
    roles until `orcid-connect idp-role` opens it.
    """
    texts = {path.name: " ".join(path.read_text("utf-8").lower().split()) for path in MIGRATIONS.iterdir()}

    assert [name for name, text in texts.items() if "or replace" in text] == []
