"""`orcid-connect replica` on each engine: what it says, and what it refuses."""

import json
import sqlite3
from contextlib import closing

import pytest
from click.testing import CliRunner
from freezegun import freeze_time

from shibboleth.orcid_id import Registry
from tests.support.configuration import store_section, write_configuration
from tests.support.factories import NOON, POLYTECHNIC, make_link, make_orcid_id
from webapp.cli.main import main

MAIJA = "maija@yliopisto.example"
MAIJAS_ID = make_orcid_id(1, Registry.SANDBOX)


def run(path, *words):
    """Run a command and give its exit code and what it printed."""
    result = CliRunner().invoke(main, ["--config", str(path), *words], catch_exceptions=False)
    return result.exit_code, result.output


@pytest.fixture
def path(tmp_path, store, store_url):
    """A configuration of a sandbox service in whose store an iD of the other registry is, too."""
    make_link(store, MAIJA, MAIJAS_ID)
    make_link(store, "matti@yliopisto.example", make_orcid_id(2, Registry.PRODUCTION))
    return write_configuration(tmp_path, store=store_section(tmp_path, store_url))


@freeze_time(NOON)
def test_it_says_how_many_rows_it_wrote_and_how_long_it_took(path, tmp_path):
    code, output = run(path, "replica", "yliopisto", str(tmp_path / "replica.db"))

    assert code == 0
    assert output == f"{tmp_path}/replica.db: 1 ORCID iD of yliopisto, in 0.0 s\n"
    with closing(sqlite3.connect(tmp_path / "replica.db")) as file:
        assert file.execute("select * from idp_release").fetchall() == [(MAIJA, MAIJAS_ID.uri, "", "", "")]


@freeze_time(NOON)
def test_json_output_has_the_same_numbers(path, tmp_path):
    code, output = run(path, "replica", "yliopisto", str(tmp_path / "replica.db"), "--json")

    told = json.loads(output)
    assert code == 0
    assert (told["organisation"], told["file"], told["rows"]) == ("yliopisto", str(tmp_path / "replica.db"), 1)
    with closing(sqlite3.connect(tmp_path / "replica.db")) as file:
        ((made_at,),) = file.execute("select made_at from about")
    assert (told["made_at"], made_at) == ("2026-01-15T12:00:00+00:00", "2026-01-15T12:00:00.000000Z")
    assert told["seconds"] == 0


def test_a_replica_that_cannot_be_written_is_reported(path, tmp_path):
    code, output = run(path, "replica", "yliopisto", str(tmp_path / "nowhere/replica.db"))

    assert code == 1
    assert (
        output == f"orcid-connect: {tmp_path}/nowhere/replica.db: its directory does not exist; nothing was written\n"
    )


def test_an_organisation_of_which_nothing_is_kept_has_no_replica(store, store_url, tmp_path):
    keeping = {
        "keep": "nothing",
        "credential": None,
        "transfer": [{"name": "idm", "kind": "file", "directory": str(tmp_path)}],
    }
    path = write_configuration(tmp_path, store=store_section(tmp_path, store_url), organisations={"yliopisto": keeping})

    code, output = run(path, "replica", "yliopisto", str(tmp_path / "replica.db"))

    assert code == 1
    assert 'yliopisto has keep = "nothing"' in output
    assert not (tmp_path / "replica.db").exists()


def test_an_organisation_that_is_not_connected_has_no_replica(path, tmp_path):
    code, output = run(path, "replica", POLYTECHNIC, str(tmp_path / "replica.db"))

    assert code == 1
    assert "unknown organisation" in output
