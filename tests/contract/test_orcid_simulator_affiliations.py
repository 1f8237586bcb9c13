"""Writing of affiliations to the ORCID simulator; `test_simulators_page.py` has its errors."""

import copy
from datetime import UTC, datetime

import pytest

from demo.orcid.client import SimulatorClient
from demo.orcid.simulator import Client, OrcidSimulator

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
BASE = "http://127.0.0.1:8000/orcid"
MAIJA = "0009-0000-0001-1111"
MEMBER = Client("APP-MEMBER0000000001", "secret-of-member", "Example University", (), kind="member")
OTHER = Client("APP-OTHER00000000001", "secret-of-other", "Other University", (), kind="member")
BOTH = ("/read-limited", "/activities/update")
EMPLOYMENT = {
    "department-name": "Department of Examples",
    "role-title": "University Lecturer",
    "start-date": {"year": {"value": "2024"}, "month": {"value": "08"}, "day": {"value": "01"}},
    "organization": {
        "name": "Example University",
        "address": {"city": "Helsinki", "region": None, "country": "FI"},
        "disambiguated-organization": {
            "disambiguated-organization-identifier": "https://ror.org/040af2s02",
            "disambiguation-source": "ROR",
        },
    },
    "url": {"value": "https://www.example.org/people/maija"},
    "external-ids": {
        "external-id": [
            {
                "external-id-type": "source-work-id",
                "external-id-value": "link.example.org:emp:8842",
                "external-id-url": None,
                "external-id-relationship": "self",
            },
        ],
    },
}


@pytest.fixture
def simulator():
    return OrcidSimulator(BASE, clients=[MEMBER, OTHER], clock=lambda: NOON)


@pytest.fixture
def browser(simulator):
    return SimulatorClient(simulator)


@pytest.fixture
def bearer(simulator):
    return bearer_of(simulator)


def bearer_of(simulator, client=MEMBER, scopes=BOTH):
    return {"Authorization": f"Bearer {simulator.issue_tokens(client.client_id, MAIJA, scopes).access}"}


def send(browser, method, section, body, headers):
    return browser.send(method, f"/api/v3.0/{MAIJA}/{section}", body, Accept="application/json", **headers)


def read(browser, section, headers, host="api"):
    return browser.get(f"/{host}/v3.0/{MAIJA}/{section}", Accept="application/json", **headers)


def changed(path, value, body=None):
    """The employment with one thing changed; the path is written with dots, None as value removes nothing."""
    found = copy.deepcopy(body or EMPLOYMENT)
    *parents, last = path.split(".")
    at = found
    for key in parents:
        at = at[key]
    at[last] = value
    return found


def add(browser, bearer, body=EMPLOYMENT, kind="employment"):
    reply = send(browser, "POST", kind, body, bearer)
    assert reply.status == 201, reply.text
    return int(reply.location.rpartition("/")[2])


def test_an_item_is_added_read_changed_and_removed(browser, bearer):
    added = send(browser, "POST", "employment", EMPLOYMENT, bearer)
    put_code = int(added.location.rpartition("/")[2])
    change = EMPLOYMENT | {"role-title": "Professor", "put-code": put_code}

    assert (added.status, added.body) == (201, b"")
    assert added.location == f"{BASE}/api/v3.0/{MAIJA}/employment/{put_code}"
    assert read(browser, f"employment/{put_code}", bearer).json["role-title"] == "University Lecturer"
    assert send(browser, "PUT", f"employment/{put_code}", change, bearer).json["role-title"] == "Professor"
    assert send(browser, "DELETE", f"employment/{put_code}", None, bearer).status == 204
    assert read(browser, f"employment/{put_code}", bearer).status == 404


def test_an_item_in_a_list_has_its_keys_in_order(browser, bearer):
    put_code = add(browser, bearer)

    (group,) = read(browser, "employments", bearer).json["affiliation-group"]

    summary = group["summaries"][0]["employment-summary"]
    assert list(summary) == [
        "created-date",
        "last-modified-date",
        "source",
        "put-code",
        "department-name",
        "role-title",
        "start-date",
        "end-date",
        "organization",
        "url",
        "external-ids",
        "display-index",
        "visibility",
        "path",
    ]
    assert summary["put-code"] == put_code
    assert summary["display-index"] == "1"
    assert summary["source"]["source-client-id"]["path"] == MEMBER.client_id
    assert summary["path"] == f"/{MAIJA}/employment/{put_code}"


@pytest.mark.parametrize("kind", ["membership", "service", "distinction", "qualification", "invited-position"])
def test_other_kinds_accept_an_external_id_in_place_of_an_organisation(browser, bearer, kind):
    without = changed("organization", None)

    assert send(browser, "POST", kind, without, bearer).status == 201
    assert send(browser, "POST", kind, changed("external-ids", None, without), bearer).json["error-code"] == 9046
    assert send(browser, "POST", kind, changed("organization", {"address": {}}), bearer).json["error-code"] == 9046
    for strict in ("employment", "education"):
        assert send(browser, "POST", strict, without, bearer).json["error-code"] == 9046


def test_a_duplicate_external_id_is_refused_with_the_put_code(browser, bearer):
    put_code = add(browser, bearer)

    reply = send(browser, "POST", "employment", EMPLOYMENT | {"role-title": "Other"}, bearer)

    assert (reply.status, reply.json["error-code"]) == (409, 9021)
    assert str(put_code) in reply.json["developer-message"]


def test_equal_items_without_an_external_id_are_accepted(browser, bearer):
    plain = changed("external-ids", None)

    assert add(browser, bearer, plain) != add(browser, bearer, plain)


def test_external_ids_are_unique_per_client_and_kind(simulator, browser, bearer):
    add(browser, bearer)

    add(browser, bearer, kind="education")
    add(browser, bearer_of(simulator, OTHER))


def test_a_client_can_delete_its_items_after_the_person_revoked_access(simulator, browser, bearer):
    put_code = add(browser, bearer)
    simulator.revoke_grants(MAIJA)

    assert read(browser, f"employment/{put_code}", bearer).status == 401
    assert send(browser, "PUT", f"employment/{put_code}", EMPLOYMENT, bearer).status == 401
    assert send(browser, "DELETE", f"employment/{put_code}", None, bearer).status == 204


@pytest.mark.parametrize(
    ("visibility", "host", "client", "scopes", "status", "code"),
    [
        ("public", "pub", None, None, 200, None),
        ("limited", "pub", None, None, 403, 9039),
        ("private", "pub", None, None, 403, 9039),
        ("limited", "api", OTHER, BOTH, 200, None),
        ("limited", "api", OTHER, ("/activities/update",), 403, 9038),
        ("private", "api", OTHER, BOTH, 403, 9013),
        ("private", "api", MEMBER, ("/activities/update",), 200, None),
    ],
)
def test_an_item_is_shown_by_its_visibility_and_to_its_client(  # noqa: PLR0917 - a column each
    simulator, browser, bearer, visibility, host, client, scopes, status, code
):
    simulator.change_user(MAIJA, visibility=visibility)
    put_code = add(browser, bearer)
    headers = bearer_of(simulator, client, scopes) if client else {}

    reply = read(browser, f"employment/{put_code}", headers, host)
    listed = read(browser, "employments", headers, host).json["affiliation-group"]

    assert (reply.status, reply.json.get("error-code")) == (status, code)
    assert len(listed) == (1 if status == 200 else 0)
