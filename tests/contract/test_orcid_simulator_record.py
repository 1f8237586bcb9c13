"""Reading from the ORCID simulator's record API: hosts and tokens, states, shapes, errors and limits."""

from datetime import UTC, datetime

import pytest

from demo.orcid.client import SimulatorClient
from demo.orcid.errors import ApiError
from demo.orcid.simulator import Client, OrcidSimulator

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
BASE = "http://127.0.0.1:8000/orcid"
REDIRECT_URI = "https://link.example.org/orcid/callback"
MAIJA, AKE = "0009-0000-0001-1111", "0009-0000-0002-2224"
LOCKED, DEACTIVATED, DEPRECATED, UNCLAIMED, NOBODY = (
    "0009-0000-0013-332X",
    "0009-0000-0014-4432",
    "0009-0000-0015-5545",
    "0009-0000-0016-6658",
    "0009-9999-9999-9992",
)
PUBLIC = Client("APP-PUBLIC0000000001", "secret-of-public", "Link service", (REDIRECT_URI,))
MEMBER = Client("APP-MEMBER0000000001", "secret-of-member", "Member service", (REDIRECT_URI,), kind="member")
READ_LIMITED = ("/read-limited",)


@pytest.fixture
def simulator():
    return OrcidSimulator(BASE, clients=[PUBLIC, MEMBER], clock=lambda: NOON)


@pytest.fixture
def browser(simulator):
    return SimulatorClient(simulator)


def token_for(simulator, client=MEMBER, orcid=MAIJA, scopes=READ_LIMITED):
    return simulator.issue_tokens(client.client_id, orcid, scopes).access


def read(browser, host="pub", orcid=MAIJA, section="person", token=None, **headers):
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {}) | headers
    return browser.get(f"/{host}/v3.0/{orcid}/{section}", **headers)


# Hosts and tokens


@pytest.mark.parametrize(
    ("host", "client", "orcid", "scopes", "status", "code"),
    [
        ("pub", None, None, None, 200, None),
        ("pub", PUBLIC, None, ("/read-public",), 200, None),
        ("pub", PUBLIC, MAIJA, ("/authenticate",), 200, None),
        ("pub", PUBLIC, MAIJA, ("openid",), 200, None),
        ("pub", PUBLIC, AKE, ("/authenticate",), 401, 9017),
        ("api", MEMBER, AKE, READ_LIMITED, 401, 9017),
        ("api", PUBLIC, MAIJA, ("/authenticate",), 401, 9017),
        ("api", PUBLIC, None, ("/read-public",), 401, 9017),
        ("api", MEMBER, None, ("/read-public",), 200, None),
        ("api", MEMBER, MAIJA, READ_LIMITED, 200, None),
    ],
)
def test_access_depends_on_host_and_token(simulator, browser, host, client, orcid, scopes, status, code):  # noqa: PLR0917 - a column each
    token = client and token_for(simulator, client, orcid, scopes)

    reply = read(browser, host, token=token)

    assert reply.status == status
    assert reply.json.get("error-code") == code


def test_the_member_api_requires_a_token(browser):
    reply = read(browser, "api")

    assert reply.status == 403
    assert list(reply.json) == ["error", "error_description"]
    assert reply.json["error"] == "forbidden"


@pytest.mark.parametrize("host", ["pub", "api"])
@pytest.mark.parametrize("end", ["unknown", "revoked", "expired"])
def test_an_invalid_token_is_refused_in_the_form_of_oauth(simulator, browser, host, end):
    token = token_for(simulator)
    if end == "unknown":
        token = "no-such-token"
    elif end == "revoked":
        simulator.revoke_grants(MAIJA)
    else:
        simulator.advance(days=21 * 365)

    reply = read(browser, host, token=token)

    assert reply.status == 401
    assert reply.json == {"error": "invalid_token", "error_description": f"Invalid access token: {token}"}
    assert "WWW-Authenticate" not in reply.headers


def test_a_token_may_be_in_the_query(browser):
    reply = browser.get(f"/pub/v3.0/{MAIJA}/person", "access_token=bad", Accept="application/json")

    assert reply.status == 401


@pytest.mark.parametrize(
    ("visibility", "host", "scopes", "seen"),
    [
        ("public", "pub", None, True),
        ("limited", "pub", None, False),
        ("limited", "api", ("/activities/update",), False),
        ("limited", "api", READ_LIMITED, True),
        ("limited", "pub", READ_LIMITED, False),
        ("private", "api", READ_LIMITED, False),
    ],
)
def test_a_name_is_shown_by_its_visibility(simulator, browser, visibility, host, scopes, seen):  # noqa: PLR0917 - a column each
    simulator.change_user(MAIJA, visibility=visibility)

    person = read(browser, host, token=scopes and token_for(simulator, scopes=scopes)).json

    assert (person["name"] is not None) is seen


# States


def test_a_deprecated_record_redirects_to_the_primary(browser):
    reply = read(browser, orcid=DEPRECATED, section="employments")

    assert reply.location == f"{BASE}/pub/v3.0/{MAIJA}/employments"
    assert reply.json["developer-message"] == (
        "301 Moved Permanently: This account is deprecated. Please refer to account: "
        f"https://sandbox.orcid.org/{MAIJA}. ORCID https://sandbox.orcid.org/{DEPRECATED}"
    )


@pytest.mark.parametrize(
    ("orcid", "text"),
    [
        (NOBODY, "404 Not Found: The resource was not found."),
        (UNCLAIMED, "409 Conflict: This record has not been claimed."),
        (
            LOCKED,
            (
                "409 Conflict: The ORCID record is locked and cannot be edited. "
                f"ORCID {LOCKED} Full validation error: {LOCKED} is locked"
            ),
        ),
        (
            DEACTIVATED,
            (
                "409 Conflict: The ORCID record is deactivated and cannot be edited. "
                f"Full validation error: {DEACTIVATED} is deactivated"
            ),
        ),
    ],
)
def test_the_developer_message_of_each_state(browser, orcid, text):
    assert read(browser, orcid=orcid).json["developer-message"] == text


def test_a_changed_state_takes_effect_at_once(simulator, browser):
    before = read(browser).status
    simulator.change_user(MAIJA, state="locked")
    locked = read(browser).status
    simulator.change_user(MAIJA, state="ok")

    assert (before, locked, read(browser).status) == (200, 409, 200)


def test_a_deactivated_persons_token_is_refused_before_the_state_is_checked(simulator, browser):
    token = token_for(simulator)

    simulator.change_user(MAIJA, state="deactivated")

    assert read(browser, "api", token=token).json["error"] == "invalid_token"
    assert read(browser).json["error-code"] == 9044


# Errors


def test_an_error_has_five_keys_in_order(browser):
    reply = read(browser, orcid=NOBODY)

    assert reply.json == {
        "response-code": 404,
        "developer-message": "404 Not Found: The resource was not found.",
        "user-message": "The resource was not found.",
        "error-code": 9016,
        "more-info": "https://members.orcid.org/api/resources/troubleshooting",
    }
    assert next(iter(reply.json)) == "response-code"


def test_details_are_in_the_developer_message(browser, simulator):
    reply = read(browser, orcid=AKE, token=token_for(simulator))

    assert reply.json["developer-message"].endswith("Full validation error: Access token is for a different record")


def test_9038_says_409_in_its_text_and_is_403():
    body = ApiError(9038).body

    assert body["response-code"] == 403
    assert body["developer-message"].startswith("409 Conflict")


# Content types


@pytest.mark.parametrize(
    "accept", ["application/json", "application/orcid+json", "text/html, application/vnd.orcid+json"]
)
def test_json_is_served_for_its_media_types(browser, accept):
    assert read(browser, Accept=accept).json["path"] == f"/{MAIJA}/person"


@pytest.mark.parametrize("accept", ["", "*/*", "application/xml"])
def test_xml_is_served_without_a_media_type(browser, accept):
    reply = read(browser, Accept=accept)

    assert reply.status == 200
    assert "xml" in reply.headers["Content-Type"]
    assert "<given-names><value>Maija</value></given-names>" in reply.text


def test_errors_are_rendered_as_xml(browser):
    reply = read(browser, orcid=NOBODY, Accept="*/*")

    assert "<error-code>9016</error-code>" in reply.text


@pytest.mark.parametrize(("accept", "xml"), [("text/turtle", True), ("*/*", False)])
def test_other_media_types_are_refused(simulator, browser, accept, xml):
    simulator.set_options(xml=xml)

    reply = read(browser, Accept=accept)

    assert reply.status == 406
    assert reply.json["error-code"] == 9001


# Shapes


def test_a_person_has_its_keys_in_order(browser):
    person = read(browser, orcid="0009-0000-0004-444X").json

    assert list(person) == [
        "last-modified-date",
        "name",
        "other-names",
        "biography",
        "researcher-urls",
        "emails",
        "addresses",
        "keywords",
        "external-identifiers",
        "path",
    ]
    assert list(person["name"]) == [
        "created-date",
        "last-modified-date",
        "given-names",
        "family-name",
        "credit-name",
        "source",
        "visibility",
        "path",
    ]
    assert person["name"]["credit-name"] == {"value": "K. M. Esimerkki"}
    assert person["name"]["path"] == "0009-0000-0004-444X"
    assert person["emails"] == {"last-modified-date": None, "email": [], "path": "/0009-0000-0004-444X/email"}
    assert person["addresses"]["path"] == "/0009-0000-0004-444X/address"


def test_a_single_name_has_a_null_family_name(browser):
    assert read(browser, orcid="0009-0000-0005-5552").json["name"]["family-name"] is None


def test_a_record_has_its_keys_in_order(browser):
    record = read(browser, section="record").json

    assert list(record) == ["orcid-identifier", "preferences", "history", "person", "activities-summary", "path"]
    assert record["orcid-identifier"] == {
        "uri": f"https://sandbox.orcid.org/{MAIJA}",
        "path": MAIJA,
        "host": "sandbox.orcid.org",
    }
    assert list(record["activities-summary"]) == [
        "last-modified-date",
        "distinctions",
        "educations",
        "employments",
        "fundings",
        "invited-positions",
        "memberships",
        "peer-reviews",
        "qualifications",
        "research-resources",
        "services",
        "works",
        "path",
    ]


SECTIONS = [
    "record",
    "person",
    "personal-details",
    "email",
    "address",
    "keywords",
    "other-names",
    "researcher-urls",
    "external-identifiers",
    "activities",
    "educations",
    "employments",
    "distinctions",
    "invited-positions",
    "memberships",
    "qualifications",
    "services",
    "works",
    "fundings",
    "peer-reviews",
    "research-resources",
]


def test_every_section_can_be_read(browser):
    paths = {section: read(browser, section=section).json["path"] for section in SECTIONS}

    assert paths == {section: f"/{MAIJA}/{section}" for section in SECTIONS} | {"record": f"/{MAIJA}"}


# Limits


def test_limits_are_off_by_default(browser):
    assert {read(browser).status for _ in range(50)} == {200}


def test_requests_beyond_the_burst_are_answered_with_503(simulator, browser):
    simulator.set_options(limits=True)

    statuses = [read(browser).status for _ in range(42)]
    simulator.advance(seconds=1)

    assert statuses == [200] * 40 + [503] * 2
    assert read(browser).status == 200


def test_a_member_client_has_twice_the_rate(simulator, browser):
    simulator.set_options(limits=True, burst=1, per_second=1)
    token = token_for(simulator)

    def read_both():
        simulator.advance(seconds=0.5)
        return read(browser).status, read(browser, "api", token=token).status

    assert [read_both() for _ in range(3)] == [(200, 200), (503, 200), (503, 200)]


def test_anonymous_requests_beyond_the_daily_quota_are_answered_with_429(simulator, browser):
    simulator.set_options(limits=True, per_day=2)

    statuses = [read(browser).status for _ in range(3)]
    refused = read(browser)
    simulator.advance(days=1)

    assert statuses == [200, 200, 429]
    assert refused.headers["Content-Type"].startswith("text/plain")
    assert refused.text.startswith("Too Many Requests. You have exceeded the daily quota")
    assert read(browser).status == 200


# Status and summary


@pytest.mark.parametrize("host", ["pub", "api"])
@pytest.mark.parametrize("up", [True, False])
def test_api_status_needs_no_token(simulator, browser, host, up):
    simulator.set_options(api_ok=up)

    reply = browser.get(f"/{host}/v3.0/apiStatus")

    assert (reply.status, reply.json["overallOk"]) == (200, up)


def test_the_summary_counts_validated_employments(simulator, browser):
    simulator.add_item(MAIJA, "employment", MEMBER.client_id, {"organization": {"name": "University of Example"}})
    token = token_for(simulator)

    summary = read(browser, "api", section="summary", token=token).json

    assert summary["email-domains"] == {"email-domain": [{"value": "pohjoinen.example"}]}
    (employment,) = summary["employments"]["employment"]
    assert (employment["organization-name"], employment["validated"]) == ("University of Example", True)
    assert (summary["employments"]["count"], summary["employments"]["validated-count"]) == (1, 1)
    assert read(browser, "api", orcid=AKE, section="summary", token=token_for(simulator, orcid=AKE)).json[
        "email-domains"
    ] == {"email-domain": []}


def test_the_public_api_has_no_summary(browser):
    assert read(browser, section="summary").status == 404
