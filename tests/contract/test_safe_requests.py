"""A request that only looks changes nothing: HEAD and prefetches, at every address of both applications."""

import re

import pytest

from resolver_connector import app as connector
from resolver_connector.app import Connector
from resolver_connector.credentials import Bearer, Credentials
from shibboleth.orcid_id import Registry
from tests.support.database import TABLES, opened
from tests.support.factories import UNIVERSITY, make_client, make_link
from tests.support.service import AKE, MAIJA, Clock, WebClient, ask, make_web_app, orcid_id, run_orcid_simulator
from webapp.app import make_app
from webapp.auth.authenticator import Access
from webapp.auth.named_people import NamedPeople
from webapp.operator.access import AdminAccess
from webapp.routes import ROUTES

ACCOUNT = "maija@yliopisto.example"
TOKEN = "t" * 40
STAFF = AdminAccess(operators=(NamedPeople.parse(UNIVERSITY, (ACCOUNT,)),), metrics_token=TOKEN)
GETS = [route for route in ROUTES if route.method == "GET"]
PREFETCHES = (
    {"HTTP_SEC_PURPOSE": "prefetch"},
    {"HTTP_SEC_PURPOSE": "prefetch;prerender"},
    {"HTTP_PURPOSE": "prefetch"},
    {"HTTP_X_PURPOSE": "preview"},
    {"HTTP_X_MOZ": "Prefetch"},
)


@pytest.fixture
def contents(store, store_url):
    """Give all that the store holds."""

    def contents():
        with opened(store_url) as connection:
            return {table: sorted(map(repr, connection.execute(f"select * from {table}"))) for table in TABLES}

    return contents


@pytest.fixture
def simulator():
    with run_orcid_simulator() as (simulator, client):
        simulator.client = client
        yield simulator


@pytest.fixture
def maija(store, simulator):
    """Somebody whose account was another person's before, who has come back from ORCID and whose iD is released."""
    clock = Clock()
    simulator.clock = clock
    maija = WebClient(
        make_app(make_web_app(store, simulator.client, clock, transfers=("idm",), admin_access=STAFF)), ACCOUNT
    )
    maija.back_from_orcid = maija.callback_path(simulator, AKE)
    maija.confirms = maija.return_from_orcid(simulator, AKE)
    make_link(store, ACCOUNT, orcid_id(MAIJA), issued="20040826", transfers=["idm"])
    maija.said = {"funetEduPersonEPPNTimeStamp": "20260101", "eduPersonOrcid": orcid_id(MAIJA).uri}
    return maija


def address_of(route, maija):
    """Give a real address of a route."""
    if route.path == "/me/callback":
        return maija.back_from_orcid
    names = {
        "attempt": maija.confirms.rpartition("/")[2],
        "organisation": "yliopisto",
        "name": "yliopisto" if "/organisations/" in route.path else "orcid-id.svg",
    }
    return re.sub(r"<(\w+)>", lambda found: names[found[1]], route.path)


def test_a_head_request_changes_nothing_and_shows_nothing(maija, contents):
    before = contents()

    for route in GETS:
        answer = maija._ask(address_of(route, maija), "HEAD", None, {"HTTP_AUTHORIZATION": f"Bearer {TOKEN}"})

        assert answer.body == b""
        assert MAIJA not in repr(answer.headers)
        if route.access is Access.PERSON:
            assert answer.status == 405, route.path
            assert "GET" in answer.header("Allow").split(", ")
            assert "HEAD" not in answer.header("Allow")
        else:
            assert answer.status in {200, 303, 400, 404}, route.path
    assert contents() == before


@pytest.mark.parametrize("purpose", PREFETCHES, ids=lambda purpose: " ".join(map(": ".join, purpose.items())))
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_prefetch_changes_nothing_and_is_repeated_when_the_person_goes_there(maija, contents, purpose):
    before = contents()

    for route in GETS:
        answer = maija.get(address_of(route, maija), **purpose)

        if route.access is Access.PERSON:
            assert (answer.status, answer.body, answer.header("Cache-Control")) == (503, b"", "no-store"), route.path
        else:
            assert answer.status in {200, 303, 400, 401, 404}, route.path
    assert contents() == before


def test_a_state_that_was_only_looked_at_still_works(maija, store):
    maija.said = {}
    store.links.remove(UNIVERSITY, ACCOUNT, "person", "removed", Clock().now)
    maija._ask(maija.back_from_orcid, "HEAD", None, {})
    maija.get(maija.back_from_orcid, HTTP_SEC_PURPOSE="prefetch")

    assert maija.get(maija.get(maija.back_from_orcid).location).title == "Is this your ORCID iD?"


def test_a_prefetch_header_keeps_no_form_from_being_sent(maija):
    assert maija.post("/me/start", {"token": maija.token()}, HTTP_SEC_PURPOSE="prefetch").status == 303


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_method_that_no_page_has_is_told_which_ones_there_are(maija, contents, method):
    before = contents()

    answer = maija._ask("/me/remove", method, None, {})

    assert (answer.status, {*answer.header("Allow").split(",")} - {"HEAD"}) == (405, {"GET", "POST"})
    assert contents() == before


def test_nothing_that_is_looked_at_in_the_connector_changes_anything(store, contents):
    make_link(store, ACCOUNT, orcid_id(MAIJA), transfers=["idm"])
    credentials = Credentials([(Bearer(TOKEN), make_client())])
    app = Connector(store, credentials, Registry.SANDBOX, Clock(), {UNIVERSITY: ("idm",)})
    before = contents()

    for path, methods in connector.ROUTES.items():
        for method in methods.keys() & {"GET", "HEAD"}:
            query = f"?account={ACCOUNT}" if path in {"/v1/people", "/v1/records"} else ""
            assert ask(app, path + query, method, HTTP_AUTHORIZATION=f"Bearer {TOKEN}").status == 200
    # A GET of the list is in the audit, as test_attested_api shows
    assert ask(app, "/v1/people", "HEAD", HTTP_AUTHORIZATION=f"Bearer {TOKEN}").status == 200
    for orcid in (MAIJA, AKE):
        answer = ask(app, f"/v1/people?orcid={orcid}", "HEAD", HTTP_AUTHORIZATION=f"Bearer {TOKEN}")
        assert (answer.status, answer.header("Content-Length")) == (200, None)
    assert contents() == before
