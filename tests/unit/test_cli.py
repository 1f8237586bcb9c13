"""The command line says what it did, and its exit code says whether that is well."""

import json
import re
import sys

import pytest
from click.testing import CliRunner

from sql.store import open_store
from tests.support.configuration import ORGANISATION, write_configuration
from tests.support.database import make_sqlite
from tests.support.factories import make_link, make_orcid_id
from webapp.cli.main import main

MAIJA = "maija@yliopisto.example"
MAIJAS_ID = make_orcid_id(1)


def run(path, *words, answer=None):
    """Run a command and give its exit code and what it printed."""
    result = CliRunner().invoke(main, ["--config", str(path), *words], input=answer, catch_exceptions=False)
    return result.exit_code, result.output


@pytest.fixture
def store(tmp_path):
    """The migrated store of the configuration."""
    store = open_store(make_sqlite(tmp_path))
    yield store
    store.close()


@pytest.fixture
def path(tmp_path, store):
    """A configuration whose store is ready, and in which Maija has a link."""
    make_link(store, MAIJA, MAIJAS_ID)
    return write_configuration(tmp_path)


def unsound(store):
    """Change the audit behind the service's back."""
    with store.engine.transaction() as session:
        session.script("update events set kind = 'removed' where number = 1;")


# Where the configuration is


def test_the_configuration_may_be_named_by_the_environment(path):
    result = CliRunner().invoke(main, ["check"], env={"ORCID_CONNECT_CONFIG": str(path)})

    assert result.exit_code == 0


def test_without_a_configuration_nothing_goes(tmp_path):
    for words in (["migrate"], ["serve"], ["connector"], ["history", "x"], ["link", "show", "x", "y"]):
        code, output = run(tmp_path / "none.toml", *words)

        assert code == 2
        assert "there is no such file" in output


def test_a_word_too_many_is_a_matter_of_usage(path):
    assert run(path, "migrate", "everything")[0] == 2


def test_the_version_is_told():
    assert re.fullmatch(r"orcid-connect \d+\.\d+\.\d+\n", CliRunner().invoke(main, ["--version"], "").output)


# migrate


def test_migrate_brings_the_database_up_once(tmp_path):
    path = write_configuration(tmp_path)

    first, second = run(path, "migrate"), run(path, "migrate")

    assert first[0] == 0
    assert first[1].startswith("applied 0001_")
    assert second == (0, "the database is up to date\n")


def test_migrate_tells_a_machine_what_it_applied(tmp_path):
    path = write_configuration(tmp_path)

    first, second = (json.loads(run(path, "migrate", "--json")[1])["applied"] for _ in range(2))

    assert first[0].startswith("0001_")
    assert second == []


def test_a_database_that_cannot_be_made_is_said(tmp_path):
    path = write_configuration(tmp_path, store={"url": f"sqlite://{tmp_path}/none/links.db"})

    assert run(path, "migrate") == (1, "orcid-connect: the directory of the database file does not exist\n")


def test_a_driver_that_is_not_installed_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "sql.engines.postgres", raising=False)
    path = write_configuration(tmp_path, store={"url": "postgresql://orcid@localhost/orcid"})

    for words in (["migrate"], ["check"]):
        code, output = run(path, *words)

        assert code == 2
        assert "pip install 'orcid-connect[postgres]'" in output


def test_nothing_works_on_a_database_that_is_behind(tmp_path):
    path = write_configuration(tmp_path)

    for words in (["serve"], ["connector"], ["history", "yliopisto"], ["link", "show", "yliopisto", MAIJA]):
        code, output = run(path, *words)

        assert code == 1
        assert output.startswith("orcid-connect: database is behind: 0001_")
        assert output.endswith("run: orcid-connect migrate\n")


def test_serve_is_not_for_variables(tmp_path, store):
    path = write_configuration(tmp_path, service={"front": "variables", "front_proof": None})

    code, output = run(path, "serve")

    assert code == 2
    assert "behind orcid-connect serve no sign-in would be seen" in output


# link show


def test_a_link_is_shown(path):
    code, output = run(path, "link", "show", "yliopisto", MAIJA)

    assert code == 0
    assert output.splitlines() == [
        "organisation  yliopisto, University of Example",
        f"account       {MAIJA}",
        f"ORCID iD      {MAIJAS_ID.uri}",
        "linked        2026-01-15 12:00:00 UTC",
        "consent       version 1, en, 2026-01-15 12:00:00 UTC",
        "record        not looked up yet",
        "release       not seen yet",
    ]


def test_a_link_is_shown_to_a_machine(path):
    code, output = run(path, "link", "show", "yliopisto", MAIJA, "--json")

    assert code == 0
    assert json.loads(output)["link"] == {
        "organisation": "yliopisto",
        "account": MAIJA,
        "orcid": MAIJAS_ID.uri,
        "linked_at": "2026-01-15T12:00:00+00:00",
        "source": "orcid",
        "authenticated_at": "2026-01-15T12:00:00+00:00",
        "consent": {"version": "1", "language": "en", "at": "2026-01-15T12:00:00+00:00"},
        "record": None,
        "suspended_at": None,
        "release": None,
    }


def test_an_organisation_may_be_called_by_its_entity_id(path):
    assert run(path, "link", "show", ORGANISATION["entity_ids"], MAIJA)[0] == 0


def test_an_account_may_be_typed_in_capitals(path):
    assert run(path, "link", "show", "yliopisto", MAIJA.upper())[0] == 0


def test_no_link_is_said(path):
    assert run(path, "link", "show", "yliopisto", "aino@yliopisto.example") == (
        1,
        "orcid-connect: aino@yliopisto.example has no link at yliopisto\n",
    )
    assert run(path, "link", "show", "yliopisto", "aino@yliopisto.example", "--json") == (1, '{\n  "link": null\n}\n')


def test_an_account_of_no_scope_of_theirs_gets_a_hint(path):
    _, output = run(path, "link", "show", "yliopisto", "maija")

    assert output == "orcid-connect: maija has no link at yliopisto; its accounts end in @yliopisto.example\n"


def test_an_organisation_that_is_unknown_gets_the_nearest_name(path):
    assert run(path, "link", "show", "yliopsito", MAIJA) == (
        1,
        "orcid-connect: unknown organisation yliopsito; did you mean yliopisto?\n",
    )
    assert run(path, "history", "mit\x1b[31m")[1] == (
        "orcid-connect: unknown organisation mit?[31m; known: yliopisto\n"
    )


# link remove


def test_a_link_is_removed_after_a_yes(path, store):
    code, output = run(path, "link", "remove", "yliopisto", MAIJA, "--reason", "left", answer="y\n")

    assert code == 0
    assert "Remove this link? [y/N]: y" in output
    assert output.endswith(f"removed {MAIJAS_ID.uri} from {MAIJA}; the organisation's next look-up finds no iD\n")
    assert store.links.get("yliopisto", MAIJA) is None


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_a_link_stays_without_a_yes(path, store, answer):
    code, _ = run(path, "link", "remove", "yliopisto", MAIJA, "--reason", "left", answer=answer)

    assert code == 1
    assert store.links.get("yliopisto", MAIJA) is not None


def test_a_removal_says_in_the_audit_who_and_why(path, store):
    run(path, "link", "remove", "yliopisto", MAIJA, "--reason", "left the house", "--yes")

    event = list(store.audit.list_events("yliopisto"))[-1]
    assert (event.kind, event.actor, event.facts["reason"]) == ("removed", "operator", "left the house")


def test_a_removal_tells_a_machine_what_went(path):
    words = ["link", "remove", "yliopisto", MAIJA, "--reason", "left", "--yes", "--json"]

    first, second = run(path, *words), run(path, *words)

    assert first[0] == 0
    assert json.loads(first[1])["removed"]["orcid"] == MAIJAS_ID.uri
    assert second == (1, '{\n  "removed": null\n}\n')


def test_a_machine_is_asked_nothing(path):
    code, output = run(path, "link", "remove", "yliopisto", MAIJA, "--reason", "left", "--json")

    assert code == 2
    assert "it requires --yes" in output


def test_where_there_is_no_link_nothing_is_removed(path):
    code, output = run(path, "link", "remove", "yliopisto", "aino@yliopisto.example", "--reason", "left")

    assert code == 1
    assert output == "orcid-connect: aino@yliopisto.example has no link at yliopisto\n"


def test_an_id_that_came_meanwhile_is_not_removed(path, store, monkeypatch):
    def meanwhile(*words, **more):
        make_link(store, MAIJA, make_orcid_id(2))

    monkeypatch.setattr("click.confirm", meanwhile)

    code, output = run(path, "link", "remove", "yliopisto", MAIJA, "--reason", "left")

    assert code == 1
    assert "the person has linked another iD in the meantime; nothing was removed" in output
    assert store.links.get("yliopisto", MAIJA).orcid_id == make_orcid_id(2)


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 201])
def test_a_reason_is_one_line(path, reason):
    code, output = run(path, "link", "remove", "yliopisto", MAIJA, "--reason", reason, "--yes")

    assert code == 2
    assert "must be one line of at most 200 characters" in output


# history


def test_history_tells_what_happened_and_that_the_chain_is_sound(path):
    run(path, "link", "remove", "yliopisto", MAIJA, "--reason", "left the house", "--yes")

    code, output = run(path, "history", "yliopisto")

    first, second, _, sound = output.splitlines()
    assert code == 0
    assert first.startswith("1  2026-01-15 12:00:00 UTC  linked   person")
    assert second.startswith("2  ")
    assert 'reason="left the house"' in second
    assert sound.startswith("yliopisto, the chain is intact, its last hash is ")


def test_history_of_a_person_is_only_theirs(path, store):
    make_link(store, "aino@yliopisto.example", make_orcid_id(2))

    _, output = run(path, "history", "yliopisto", "Aino@yliopisto.example")

    assert "aino@" in output
    assert "maija@" not in output


def test_history_shows_the_newest_lines_in_their_order(path, store):
    for number in (2, 3, 4):
        make_link(store, f"person{number}@yliopisto.example", make_orcid_id(number))

    _, output = run(path, "history", "yliopisto", "--limit", "2", "--json")

    assert [event["number"] for event in json.loads(output)["events"]] == [3, 4]


def test_history_tells_a_machine_everything(path):
    code, output = run(path, "history", "yliopisto", "--json")

    said = json.loads(output)
    assert code == 0
    assert (said["intact"], said["breaks"]) == (True, [])
    assert (said["events"][0]["kind"], said["events"][0]["person"]) == ("linked", MAIJA)
    assert re.fullmatch(r"[0-9a-f]{64}", said["events"][0]["hash"])


def test_a_chain_that_is_broken_is_said(path, store):
    unsound(store)

    code, output = run(path, "history", "yliopisto")

    assert code == 1
    assert "event 1 was changed" in output
    assert json.loads(run(path, "history", "yliopisto", "--json")[1])["intact"] is False


def test_many_breaks_are_told_in_short(path, store):
    for number in range(2, 7):
        make_link(store, f"person{number}@yliopisto.example", make_orcid_id(number))
    with store.engine.transaction() as session:
        session.script("update events set kind = 'removed' where number < 6;")

    _, output = run(path, "history", "yliopisto")

    assert re.search(r"event 1 was changed.*; event 2 was changed.*; event 3 was changed.*; and [0-9]+ more", output)


def test_a_history_without_events_says_so(tmp_path, store):
    code, output = run(write_configuration(tmp_path), "history", "yliopisto")

    assert code == 0
    assert output.startswith("no events\n")
