"""A person leaves: the organisation's identity management says so, and the link goes, on both engines."""

import json
import logging
from datetime import timedelta

import pytest

from resolver_connector.app import Connector
from resolver_connector.credentials import Bearer, Credentials
from shibboleth.attributes import fold
from shibboleth.orcid_id import Registry
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, make_attempt, make_client, make_link, make_orcid_id
from tests.support.service import ORGANISATIONS, ask

TOKEN, OTHER = "t" * 40, "o" * 40
MAIJA = "maija@yliopisto.example"
LATER = NOON + timedelta(hours=1)
NOTHING = {"dry_run": False, "links": 0, "attempts": 0, "deliveries": 0}
ALL = {"dry_run": False, "links": 1, "attempts": 1, "deliveries": 2}
TRANSFERS = {UNIVERSITY: ("idm", "ldap")}


@pytest.fixture
def connector(store):
    pairs = [
        (Bearer(TOKEN), make_client(ORGANISATIONS.by_id(UNIVERSITY))),
        (Bearer(OTHER), make_client(ORGANISATIONS.by_id(POLYTECHNIC))),
    ]
    return Connector(store, Credentials(pairs), Registry.PRODUCTION, lambda: LATER, TRANSFERS)


def delete(connector, path, token=TOKEN, **environ):
    return ask(connector, path, "DELETE", HTTP_AUTHORIZATION=f"Bearer {token}", **environ)


def told(answer):
    assert answer.status == 200, answer.text
    return json.loads(answer.body)


def test_deprovisioning_removes_link_and_attempts_and_is_delivered(connector, store):
    make_link(store, MAIJA)

    gone = told(delete(connector, f"/v1/people/{MAIJA}"))

    assert gone == ALL
    assert store.links.get(UNIVERSITY, MAIJA) is None
    assert [each.transfer for each in store.deliveries.list_for_change(UNIVERSITY, 2)] == ["idm", "ldap"]
    assert store.changes.list_after(UNIVERSITY, 1, 9)[0].kind == "removed"


def test_attempts_of_a_person_without_a_link_are_deleted(connector, store):
    store.attempts.add(make_attempt(MAIJA), state_hash="state")

    gone = told(delete(connector, f"/v1/people/{MAIJA}"))

    assert gone == NOTHING | {"attempts": 1}
    assert store.attempts.get_by_state("state") is None


def test_deprovisioning_is_idempotent(connector, store):
    make_link(store, MAIJA)
    delete(connector, f"/v1/people/{MAIJA}")

    again = told(delete(connector, f"/v1/people/{MAIJA}"))

    assert again == NOTHING
    assert store.changes.last_number(UNIVERSITY) == 2


def test_a_dry_run_returns_the_counts_and_changes_nothing(connector, store):
    make_link(store, MAIJA)
    before = store.links.get(UNIVERSITY, MAIJA)

    looked = [told(delete(connector, f"/v1/people/{MAIJA}?dry_run=true")) for _ in range(2)]

    assert looked == [ALL | {"dry_run": True}] * 2
    assert store.links.get(UNIVERSITY, MAIJA) == before
    assert store.changes.last_number(UNIVERSITY) == 1
    assert told(delete(connector, f"/v1/people/{MAIJA}?dry_run=false")) == ALL


@pytest.mark.parametrize(
    "query",
    ["dry_run", "dry_run=yes", "dry_run=1", "dry_run=True", "dryrun=true", "dry-run=true", "account=x", "x=%FF"],
)
def test_ambiguous_requests_remove_no_link(connector, store, query):
    make_link(store, MAIJA)

    answer = delete(connector, f"/v1/people/{MAIJA}?{query}")

    assert answer.status == 400
    assert "dry_run" in answer.text or "invalid" in answer.text
    assert store.links.get(UNIVERSITY, MAIJA) is not None


@pytest.mark.parametrize(
    ("account", "path", "environ"),
    [
        ("maija@yliopisto.example", "/v1/people/MAIJA@Yliopisto.example", {}),
        ("a/b@yliopisto.example", "/v1/people/x", {"REQUEST_URI": "/v1/people/a%2Fb%40yliopisto.example"}),
        ("a%2Fb@yliopisto.example", "/v1/people/x", {"REQUEST_URI": "/v1/people/a%252Fb@yliopisto.example"}),
        ("äyräs@yliopisto.example", "/v1/people/äyräs@yliopisto.example", {}),
        ("ma+ija@yliopisto.example", "/v1/people?account=ma%2Bija@yliopisto.example", {}),
        ("ma+ija@yliopisto.example", "/v1/people?account=ma%2Bija@yliopisto.example&dry_run=false", {}),
    ],
)
def test_an_account_is_found_however_it_is_written(connector, store, account, path, environ):
    make_link(store, fold(account))

    assert told(delete(connector, path, **environ))["links"] == 1


def test_an_organisation_removes_only_its_own_people(connector, store):
    make_link(store, MAIJA)

    gone = told(delete(connector, f"/v1/people/{MAIJA}", OTHER))

    assert gone == NOTHING
    assert store.links.get(UNIVERSITY, MAIJA) is not None


@pytest.mark.parametrize("token", ["", "x" * 40])
def test_without_a_credential_no_link_is_removed(connector, store, token):
    make_link(store, MAIJA)

    assert delete(connector, f"/v1/people/{MAIJA}", token).status == 401
    assert store.links.get(UNIVERSITY, MAIJA) is not None


def test_the_audit_names_the_organisation_and_the_log_no_person(connector, store, caplog):
    caplog.set_level(logging.INFO, "orcid-connect")
    make_link(store, MAIJA)

    delete(connector, f"/v1/people/{MAIJA}?dry_run=true")
    delete(connector, f"/v1/people/{MAIJA}")

    *_, last = store.audit.list_events(UNIVERSITY, MAIJA)
    assert (last.kind, last.actor, last.at) == ("removed", "organisation", LATER)
    assert [(record.msg, record.facts) for record in caplog.records] == [
        ("deprovisioned", {"organisation": "yliopisto", "links": 1})
    ]


def test_a_person_who_returns_can_link_again(connector, store):
    make_link(store, MAIJA, make_orcid_id(7))
    delete(connector, f"/v1/people/{MAIJA}")

    make_link(store, MAIJA, make_orcid_id(7))

    assert store.links.get(UNIVERSITY, MAIJA).orcid_id == make_orcid_id(7)


def test_the_removal_is_in_the_feed(connector, store):
    make_link(store, "liisa@amk.example", organisation=POLYTECHNIC)

    gone = told(delete(connector, "/v1/people/liisa@amk.example", OTHER))

    assert gone == ALL | {"deliveries": 0}
    assert store.changes.list_after(POLYTECHNIC, 1, 9)[0].kind == "removed"
