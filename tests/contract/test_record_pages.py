"""What people, operators and commands are told of an iD's record at ORCID."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner

from demo.orcid.people import PEOPLE
from sql.records import RecordState
from sql.store import open_store
from tests.support.configuration import write_configuration
from tests.support.database import make_sqlite
from tests.support.factories import NOON, UNIVERSITY, make_link
from tests.support.service import Clock, WebClient, make_orcid_client, make_web_app, orcid_id, run_orcid_simulator
from webapp.app import make_app
from webapp.auth.named_people import NamedPeople
from webapp.cli.main import main
from webapp.linking.public_api import LookupFailed, LookupPaused
from webapp.operator.access import AdminAccess

ACCOUNT = "maija@yliopisto.example"
USED, OTHER = orcid_id(PEOPLE[0].orcid), orcid_id(PEOPLE[1].orcid)
BY_STATE = {each.state: orcid_id(each.orcid) for each in PEOPLE}
LATER = NOON + timedelta(days=2)
STAFF = AdminAccess(operators=(NamedPeople.parse(UNIVERSITY, ("operator@yliopisto.example",)),))
OK, DEPRECATED, DEACTIVATED, LOCKED, NOT_FOUND = RecordState


@pytest.fixture
def store(tmp_path):
    """What the pages say depends on no engine."""
    store = open_store(make_sqlite(tmp_path))
    yield store
    store.close()


def make_front(store, client=None, **context):
    client = client or make_orcid_client("https://sandbox.orcid.org")
    web_app = make_web_app(store, client, Clock(LATER), admin_access=STAFF)
    return make_app(replace(web_app, context=replace(web_app.context, **context)))


def saved(store, state, primary=None):
    make_link(store, ACCOUNT, USED)
    (link,) = store.record_statuses.save(USED, state, primary, LATER)
    return link


# The person's page


@pytest.mark.parametrize(
    ("state", "primary", "words"),
    [
        (DEPRECATED, OTHER, ("ORCID has merged this iD", OTHER.bare, "Connect the iD that is in use now</span>")),
        (DEPRECATED, None, ("ORCID has merged this iD", "Connect the iD that is in use now</span>")),
        (DEACTIVATED, None, ("This iD is deactivated at ORCID.", "reactivate it")),
        (LOCKED, None, ("ORCID has locked this iD.", "support.orcid.org")),
        (NOT_FOUND, None, ("ORCID cannot find this iD.",)),
    ],
)
def test_a_person_is_told_what_became_of_the_id_and_what_to_do(store, state, primary, words):
    saved(store, state, primary)

    page = WebClient(make_front(store), ACCOUNT).get("/me").text

    assert [each for each in words if each not in page] == []
    assert "ORCID reported this on 17" in page
    assert page.count('action="/me/start"') == (2 if state is DEPRECATED else 1)


def test_a_normal_record_is_not_mentioned(store):
    saved(store, OK)

    assert 'id="record"' not in WebClient(make_front(store), ACCOUNT).get("/me").text


def test_a_person_whose_id_is_suspended_is_told_so_and_no_release_is_missed(store):
    store.record_statuses.suspend(saved(store, LOCKED), LATER)

    who = WebClient(make_front(store), ACCOUNT)
    page = who.get("/me").text

    assert "It stays connected" in page
    assert "can now share this iD" not in page
    assert store.links.get(UNIVERSITY, ACCOUNT).release is None
    link = json.loads(who.get("/me/data.json").body)["links"][0]
    assert (link["record"], link["record_checked_at"], link["suspended_at"]) == (
        "locked",
        *["2026-01-17T12:00:00.000000Z"] * 2,
    )
    events = [(each["kind"], each["facts"]) for each in json.loads(who.get("/me/data.json").body)["events"]]
    assert events[0][0] == "suspended"
    assert events[0][1]["record"] == "locked"


def test_a_new_authentication_schedules_a_look_up(store):
    with run_orcid_simulator() as (simulator, client):
        saved(store, LOCKED)
        store.record_statuses.schedule(USED, LATER + timedelta(days=1))
        assert store.record_statuses.list_due(USED.registry, LATER, 10) == []
        who = WebClient(make_front(store, client), ACCOUNT)

        who.return_from_orcid(simulator, USED.bare)

        assert store.record_statuses.list_due(USED.registry, LATER, 10) == [USED]


# The operator's page


def ask_for(store, **context):
    who = WebClient(make_front(store, **context), "operator@yliopisto.example")
    form = {"token": who.token(), "organisation": UNIVERSITY, "whom": ACCOUNT, "reason": "asked to"}
    return who.post("/operator/people/record", form)


def test_an_operators_look_up_is_audited(store):
    make_link(store, ACCOUNT, USED)

    reply = ask_for(
        store, check_record=lambda orcid_id, now: store.record_statuses.save(orcid_id, DEPRECATED, OTHER, now)
    )

    assert "merged into another iD" in reply.text
    assert OTHER.bare in reply.text
    assert [each.kind for each in store.audit.list_events(UNIVERSITY)] == ["linked", "person-searched"]


def test_an_operator_sees_how_many_of_an_organisation_are_in_which_state(store):
    who = WebClient(make_front(store), "operator@yliopisto.example")
    address = f"/operator/organisations/{UNIVERSITY}"
    assert "All iDs looked up so far are in use" in who.get(address).text
    saved(store, DEPRECATED, OTHER)
    make_link(store, "ake@yliopisto.example", OTHER)
    make_link(store, "ville@yliopisto.example", BY_STATE["locked"])
    (locked,) = store.record_statuses.save(BY_STATE["locked"], LOCKED, None, LATER)
    store.record_statuses.suspend(locked, LATER)

    page = who.get(address).text

    assert "merged into another iD: 1; locked by ORCID: 1" in page
    assert "Not released: 1." in page
    assert "Merged into an iD that another account has: 1." in page


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (LookupFailed("status 503"), "ORCID cannot tell the status"),
        (LookupPaused("the requests of this day are used up"), "We did not ask ORCID: it has asked us to wait"),
    ],
)
def test_an_operator_is_told_that_orcid_is_unavailable(store, failure, words):
    def fails(_orcid_id, _now):
        raise failure

    make_link(store, ACCOUNT, USED)

    reply = ask_for(store, check_record=fails)

    assert reply.status == 200
    assert words in reply.text
    assert "not looked up yet" in reply.text


def test_without_an_id_or_a_reason_nothing_is_looked_up(store):
    assert "none connected" in ask_for(store).text
    who = WebClient(make_front(store), "operator@yliopisto.example")
    assert who.post("/operator/people/record", {"token": who.token(), "organisation": UNIVERSITY}).status == 422
    assert who.get("/operator/people/record").status == 200


# Commands and metrics


def run(path, *words):
    result = CliRunner().invoke(main, ["--config", str(path), *words], catch_exceptions=False)
    return result.exit_code, result.output


def test_the_command_looks_one_up_and_shows_the_link(tmp_path):
    with run_orcid_simulator() as (simulator, _client):
        path = write_configuration(
            tmp_path,
            orcid={"base_url": simulator.base_url, "read_timeout": 2, "status_check_days": 30},
        )
        assert run(path, "migrate")[0] == 0
        store = open_store(f"sqlite://{tmp_path}/links.db")
        make_link(store, ACCOUNT, BY_STATE["deprecated"])
        store.close()
        words = ("link", "status", UNIVERSITY, ACCOUNT)
        assert "days late; the last 0 batches failed" in run(path, "check")[1]

        code, shown = run(path, *words)
        assert code == 0
        assert "deprecated since" in shown
        assert f"merged into {USED}" in shown
        code, shown = run(path, *words, "--json")
        assert json.loads(shown)["link"]["record"]["primary"] == USED.uri
        checked = run(path, "check")[1]
        assert "records        yliopisto, at ORCID: deprecated 1" in checked
        assert "records        each iD is looked up at ORCID every 30 days" in checked
        simulator.faults.arm("api", "html")
        code, shown = run(path, *words)
        assert (code, "nothing was changed" in shown) == (1, True)
        code, shown = run(path, "link", "status", UNIVERSITY, "nobody@yliopisto.example")
        assert (code, "has no link" in shown) == (1, True)
