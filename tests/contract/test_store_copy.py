"""A database in SQLite moves to PostgreSQL whole, or not at all."""

import sqlite3
from contextlib import closing

import pytest
from click.testing import CliRunner

from sql.store import open_store
from tests.support.configuration import store_section, write_configuration
from tests.support.database import contents, make_sqlite
from tests.support.factories import NOON, UNIVERSITY, answered, attest, make_link, make_orcid_id
from webapp.cli.main import main

MAIJA = "maija@yliopisto.example"


@pytest.fixture
def file(tmp_path):
    """An SQLite database with something in most tables."""
    url = make_sqlite(tmp_path)
    store = open_store(url)
    make_link(store, MAIJA, make_orcid_id(1), transfers=["idm"], stable_id="subject-id:m@yliopisto.example")
    make_link(store, MAIJA, make_orcid_id(2), transfers=["idm"])
    make_link(store, "ÅKE@yliopisto.example".lower(), make_orcid_id(3), issued="20240115")
    make_link(store, "zoë\t\\n@yliopisto.example", make_orcid_id(4))
    attest(store, [("aino@yliopisto.example", make_orcid_id(5))])
    answered(store, "ville@yliopisto.example", make_orcid_id(6))
    store.changes.acknowledge(UNIVERSITY, 2, NOON)
    store.statistics.update_counts()
    store.organisations.record_sign_in(UNIVERSITY, "https://idp.yliopisto.example/idp", NOON)
    store.close()
    return tmp_path / "links.db"


def copy(tmp_path, url, file):
    path = write_configuration(tmp_path / "etc", store=store_section(tmp_path / "etc", url))
    return CliRunner().invoke(main, ["--config", str(path), "store", "copy", str(file)])


def test_every_row_is_copied_and_the_copy_works(tmp_path, migrated_postgres, file):
    done = copy(tmp_path, migrated_postgres, file)

    assert done.exit_code == 0, done.output
    assert "links  5 rows" in done.output
    assert done.output.endswith("all rows are the same in both databases\n")
    assert contents(migrated_postgres) == contents(f"sqlite://{file}")
    store = open_store(migrated_postgres)
    assert store.audit.verify(UNIVERSITY) == []
    assert store.audit.compare_with_links(UNIVERSITY) == []
    make_link(store, "new@yliopisto.example", make_orcid_id(9))
    store.close()


def test_a_database_with_rows_is_left_alone(tmp_path, migrated_postgres, file):
    store = open_store(migrated_postgres)
    make_link(store, "other@yliopisto.example", make_orcid_id(7))
    store.close()
    before = contents(migrated_postgres)

    done = copy(tmp_path, migrated_postgres, file)

    assert done.exit_code == 1
    assert "has rows; the copy needs an empty database; nothing was copied" in done.output
    assert contents(migrated_postgres) == before


def test_a_row_that_becomes_another_one_undoes_the_copy(tmp_path, migrated_postgres, file):
    # PostgreSQL stores no NUL
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("update events set kind = kind || char(0)")

    done = copy(tmp_path, migrated_postgres, file)

    assert done.exit_code == 1
    assert all(not rows for rows in contents(migrated_postgres).values())


def test_databases_of_two_versions_are_not_mixed(tmp_path, migrated_postgres, file):
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("insert into schema_migrations values ('9004_more.sql', '', '', '0001_schema.sql')")

    done = copy(tmp_path, migrated_postgres, file)

    assert done.exit_code == 1
    assert "schema_migrations is not the same in both databases" in done.output


def test_the_target_is_postgresql(tmp_path, file):
    done = copy(tmp_path, "sqlite:///nowhere/other.db", file)

    assert (done.exit_code, "must be that of the PostgreSQL database" in done.output) == (1, True)


def test_a_file_that_is_not_there_is_said(tmp_path, migrated_postgres):
    assert copy(tmp_path, migrated_postgres, tmp_path / "none.db").exit_code == 1
