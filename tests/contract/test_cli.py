"""The command line does the same on each engine."""

import json

from click.testing import CliRunner

from sql.store import open_store
from tests.support.configuration import ORGANISATION, store_section, write_configuration
from tests.support.factories import make_link, make_orcid_id
from webapp.cli.main import main

MAIJA = "maija@yliopisto.example"


def run(path, *words):
    """Run a command and give its exit code and what it printed."""
    result = CliRunner().invoke(main, ["--config", str(path), *words], catch_exceptions=False)
    return result.exit_code, result.output


def test_a_database_is_migrated_checked_and_maintained(tmp_path, empty_url):
    path = write_configuration(tmp_path, store=store_section(tmp_path, empty_url))

    assert run(path, "check")[0] == 1
    assert run(path, "migrate")[0] == 0
    assert run(path, "migrate") == (0, "the database is up to date\n")
    store = open_store(empty_url)
    make_link(store, MAIJA, make_orcid_id(1))
    store.close()
    assert run(path, "check")[0] == 0
    assert run(path, "link", "show", "yliopisto", MAIJA)[0] == 0
    assert run(path, "link", "remove", "yliopisto", MAIJA, "--reason", "left", "--yes")[0] == 0
    assert run(path, "link", "show", "yliopisto", MAIJA)[0] == 1
    code, output = run(path, "history", ORGANISATION["entity_ids"], "--json")
    assert code == 0
    assert [event["kind"] for event in json.loads(output)["events"]] == ["linked", "removed"]


def test_an_unavailable_database_server_is_reported(tmp_path):
    gone = "postgresql://orcid@127.0.0.1:1/orcid"
    path = write_configuration(tmp_path, store={"url": gone, "busy_timeout": 0.2})

    code, output = run(path, "check")

    assert code == 1
    assert f"error    store          {gone}: " in output
