"""What the operator is told of releases: `check` and `link show`."""

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner
from freezegun import freeze_time

from sql.records import ReleaseState
from sql.store import open_store
from tests.support.configuration import write_configuration
from tests.support.database import make_sqlite
from tests.support.factories import NOON, make_link, make_orcid_id
from webapp.cli.main import main

UNIVERSITY = "yliopisto"
MISSING, OTHER, SEEN = ReleaseState
DOES_NOT_WORK = 'the release does not seem to work; see "Release seen" in docs/operator/run.md'


@pytest.fixture(autouse=True)
def noon():
    """What the commands take the time to be."""
    with freeze_time(NOON):
        yield


@pytest.fixture
def path(tmp_path):
    return write_configuration(tmp_path)


@pytest.fixture
def store(path):
    store = open_store(make_sqlite(path.parent))
    yield store
    store.close()


def linked(store, *states, days_ago=0):
    """Link one person for each state, so many days ago; None: nothing was seen."""
    for state in states:
        number = store.links.count(UNIVERSITY) + 1
        key = f"person-{number}@yliopisto.example"
        make_link(store, key, make_orcid_id(number), UNIVERSITY, NOON - timedelta(days=days_ago))
        if state:
            store.releases.record(store.links.get(UNIVERSITY, key), state, NOON)


def checked(path):
    """Run `check`, which must find nothing wrong, and give its finding about releases."""
    done = CliRunner().invoke(main, ["--config", str(path), "check", "--json"])
    assert done.exit_code == 0, done.output
    (found,) = [each for each in json.loads(done.output)["results"] if each["subject"] == "release"] or [None]
    return found


def test_links_and_seen_releases_are_counted(path, store):
    linked(store, SEEN, SEEN, SEEN, None)

    found = checked(path)

    assert (found["level"], found["text"]) == ("ok", "yliopisto, linked 4, release seen 3")
    assert found["details"] == {"id": "yliopisto", "linked": 4, "seen": 3, "other": 0, "missing": 0}


def test_people_who_signed_in_without_their_id_are_counted(path, store):
    linked(store, SEEN, OTHER, MISSING, MISSING, MISSING)

    found = checked(path)

    text = "yliopisto, linked 5, release seen 1; came back with another iD 1, with none 3"
    assert (found["level"], found["text"]) == ("info", text)


@pytest.mark.parametrize("states", [(MISSING, MISSING, MISSING), (OTHER, MISSING, OTHER, None)])
def test_several_sign_ins_without_the_id_are_a_warning(path, store, states):
    linked(store, *states)

    found = checked(path)

    assert (found["level"], found["fix"]) == ("warning", DOES_NOT_WORK)


def test_one_or_two_sign_ins_without_the_id_are_no_warning(path, store):
    linked(store, MISSING, OTHER, None, None, days_ago=30)

    assert checked(path)["level"] == "info"


@pytest.mark.parametrize(("people", "days_ago", "level"), [(20, 15, "warning"), (19, 15, "ok"), (25, 13, "ok")])
def test_many_old_links_without_any_sign_in_are_a_warning(path, store, people, days_ago, level):
    linked(store, *[None] * people, days_ago=days_ago)

    assert checked(path)["level"] == level


def test_one_release_seen_says_that_it_works(path, store):
    linked(store, *[None] * 25, SEEN, days_ago=30)

    assert checked(path)["level"] == "ok"


def test_nothing_is_counted_where_links_are_not_kept(path, store, tmp_path):
    transfer = {"name": "idm", "kind": "file", "directory": str(tmp_path / "out")}
    (tmp_path / "out").mkdir()
    forgetful = {"keep": "nothing", "credential": None, "transfer": [transfer]}
    write_configuration(tmp_path, organisations={"yliopisto": forgetful})

    assert checked(path) is None


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (None, "not seen yet"),
        (SEEN, "released at a sign-in, first 2026-01-15 12:00:00 UTC"),
        (OTHER, "a sign-in brought another iD, first 2026-01-15 12:00:00 UTC"),
        (MISSING, "a sign-in brought no iD, first 2026-01-15 12:00:00 UTC"),
    ],
)
def test_the_release_of_one_person_is_shown(path, store, state, words):
    linked(store, state)
    asked = ["--config", str(path), "link", "show", "yliopisto", "person-1@yliopisto.example"]

    shown, to_a_machine = (CliRunner().invoke(main, [*asked, *more]) for more in ([], ["--json"]))

    assert shown.output.splitlines()[-1] == f"release       {words}"
    said = json.loads(to_a_machine.output)["link"]["release"]
    assert said == (state and {"state": state.value, "at": "2026-01-15T12:00:00+00:00"})
