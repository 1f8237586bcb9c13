"""An account that was given to another person: nothing of the earlier holder is seen, wherever one comes first."""

import re
from datetime import timedelta

import pytest

from tests.support.factories import UNIVERSITY
from tests.support.service import AKE, MAIJA, Clock, WebClient, make_web_app, run_orcid_simulator
from webapp.app import make_app
from webapp.auth.authenticator import Access
from webapp.operator.access import AdminAccess, AdminGrant
from webapp.routes import ROUTES

ACCOUNT = "maija@yliopisto.example"
STAMP = "funetEduPersonEPPNTimeStamp"
STAFF = AdminAccess(operators=(AdminGrant.parse(UNIVERSITY, (ACCOUNT,)),))
SHOWN = f"https://sandbox.orcid.org/{MAIJA}"
FORM = {
    "agree": "yes",
    "replacing": SHOWN,
    "shown": SHOWN,
    "confirmed": "yes",
    "receipt": "yes",
    "address": "maija@home.example",
    "transfer": "idm",
    "organisation": "yliopisto",
    "whom": ACCOUNT,
    "reason": "they asked",
}


@pytest.fixture(scope="module")
def running_simulator():
    with run_orcid_simulator() as (simulator, client):
        yield simulator, client


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def simulator(running_simulator, clock):
    simulator, _ = running_simulator
    simulator.reset()
    simulator.clock = clock
    return simulator


@pytest.fixture
def app(store, simulator, running_simulator, clock):
    return make_app(make_web_app(store, running_simulator[1], clock, transfers=("idm",), admin_access=STAFF))


def earlier_holder(app, simulator):
    """Link, and begin to replace the iD by another; give the browser, and where its pages are."""
    earlier = WebClient(app, ACCOUNT, said={STAMP: "20040826"})
    earlier.result = earlier.agree(earlier.return_from_orcid(simulator, MAIJA)).location
    earlier.confirm = earlier.return_from_orcid(simulator, AKE)
    return earlier


def sees(answer):
    """Tell whether an answer, its headers too, names an iD of the earlier holder."""
    return any(bare in answer.text + repr(answer.headers) for bare in (MAIJA, AKE))


def places(route, earlier):
    if "<attempt>" in route.path:
        return [earlier.confirm.replace("/confirm/", f"/{route.path.split('/')[2]}/"), earlier.result]
    if route.path == "/me/callback":
        return ["/me/callback?state=x&code=y"]
    return [re.sub("<name>", "yliopisto", route.path)]


def finish(store, clock):
    """Deliver everything that waits."""
    while some := store.deliveries.claim("worker", clock.now, timedelta(minutes=1), 50):
        for each in some:
            assert store.deliveries.complete(each, "worker", "stored", "", clock.now)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_address_shows_the_new_holder_what_the_earlier_one_had(app, simulator, store, clock, method):
    for route in ROUTES:
        if route.access is not Access.PERSON or route.method != method:
            continue
        clock.passes(days=400)
        earlier = earlier_holder(app, simulator)
        clock.passes(minutes=5)
        before = store.changes.last_number(UNIVERSITY)
        heir = WebClient(app, ACCOUNT, said={STAMP: "20260101"}, cookies=dict(earlier.cookies))
        # The page with the form was open before: of this account, in this browser
        form = FORM | {"token": earlier.token()} if method == "POST" else None

        answers = [heir._ask(place, method, form, {}) for place in places(route, earlier)]

        assert not any(map(sees, answers)), route
        assert all(answer.status != 500 for answer in answers)
        assert store.links.get(UNIVERSITY, ACCOUNT) is None, route
        removals = [each for each in store.changes.list_after(UNIVERSITY, before, 10) if each.kind == "removed"]
        owed = [each for each in store.deliveries.list_for_person(UNIVERSITY, ACCOUNT) if each.change_number > before]
        if route.path != "/me/erase":
            assert [each.previous.bare for each in removals] == [MAIJA], route
            assert [(each.kind, each.transfer) for each in owed] == [("removed", "idm")], route
        clock.passes(minutes=5)
        finish(store, clock)
        for path in ("/me", "/me/data", "/me/data.json", earlier.confirm, earlier.result, "/me/removed", "/me/receipt"):
            assert not sees(heir.get(path)), (route, path)
        assert len(store.changes.list_after(UNIVERSITY, before, 10)) <= 1


def test_a_delivery_of_the_earlier_holders_that_ends_later_is_not_shown(app, simulator, store, clock):
    earlier_holder(app, simulator)
    heir = WebClient(app, ACCOUNT, said={STAMP: "20260101"})
    heir.get("/me")
    clock.passes(days=1)
    (linked,) = store.deliveries.claim("worker", clock.now, timedelta(minutes=1), 50)
    assert store.deliveries.dead_letter(linked, "worker", "refused", f"no {SHOWN}", clock.now)

    for path in ("/me", "/me/data", "/me/data.json", "/me/removed", "/me/erased"):
        assert not sees(heir.get(path)), path


def test_what_a_receiver_says_of_the_earlier_holders_removal_is_not_shown(app, simulator, store, clock):
    earlier_holder(app, simulator)
    finish(store, clock)
    heir = WebClient(app, ACCOUNT, said={STAMP: "20260101"})
    clock.passes(minutes=1)
    heir.get("/me")
    (removal,) = store.deliveries.claim("worker", clock.now, timedelta(minutes=1), 50)
    assert store.deliveries.dead_letter(removal, "worker", "refused", f"no {SHOWN} of Maija", clock.now)

    for path in ("/me", "/me/removed", "/me/erased", "/me/data"):
        assert not sees(heir.get(path)), path

    clock.passes(minutes=1)
    heir.agree(heir.return_from_orcid(simulator, AKE))
    page = heir.get("/me/remove")
    heir.post("/me/remove", {"token": page.field("token"), "shown": page.field("shown")})
    assert "It is on its way." in heir.get("/me/removed").text


@pytest.mark.parametrize(
    "case",
    [
        ("15/01/2024", "16/01/2026", [False, True]),
        ("20240115", "16/01/2026", [True]),
        ("15/01/2024", "20260116", [False, True]),
        ("15/01/2024", "15/01/2024", [False]),
        ("20240115", "15.1.2024", []),
        ("20240115", None, []),
    ],
)
def test_a_date_that_cannot_be_read_ends_no_link_and_is_warned_of(app, simulator, store, caplog, case):
    first, second, warned = case
    caplog.set_level("WARNING", "orcid-connect")
    earlier = WebClient(app, ACCOUNT, said={STAMP: first})
    earlier.agree(earlier.return_from_orcid(simulator, MAIJA))
    WebClient(app, ACCOUNT, said={STAMP: second} if second else {}).get("/me")

    assert store.links.get(UNIVERSITY, ACCOUNT).orcid_id.bare == MAIJA
    assert {each.getMessage() for each in caplog.records} <= {"account-issue-time-unreadable"}
    assert {each.facts["organisation"] for each in caplog.records} <= {"yliopisto"}
    assert list(dict.fromkeys(each.facts["linked"] for each in caplog.records)) == warned
    assert "maija" not in repr([each.__dict__ for each in caplog.records])


def test_a_date_with_dots_ends_the_link_of_an_earlier_holder(app, simulator, store):
    earlier = WebClient(app, ACCOUNT, said={STAMP: "15.1.2024"})
    earlier.agree(earlier.return_from_orcid(simulator, MAIJA))
    WebClient(app, ACCOUNT, said={STAMP: "16.1.2026 klo 10.00"}).get("/me")

    assert store.links.get(UNIVERSITY, ACCOUNT) is None


def test_a_look_by_head_shows_nothing_and_ends_nothing(app, simulator, store):
    earlier = earlier_holder(app, simulator)
    heir = WebClient(app, ACCOUNT, said={STAMP: "20260101"}, cookies=dict(earlier.cookies))

    answer = heir._ask("/me", "HEAD", None, {})

    assert not sees(answer)
    assert store.links.get(UNIVERSITY, ACCOUNT) is not None


def test_a_forged_form_ends_no_link(app, simulator, store):
    earlier = earlier_holder(app, simulator)
    heir = WebClient(app, ACCOUNT, said={STAMP: "20260101"}, cookies=dict(earlier.cookies))

    assert heir.post("/me/start", {"token": "x"}).status == 403
    assert store.links.get(UNIVERSITY, ACCOUNT) is not None


def test_the_same_holder_keeps_the_link_at_every_address(app, simulator, store):
    earlier = earlier_holder(app, simulator)

    for route in ROUTES:
        if route.access is Access.PERSON and route.method == "GET":
            earlier.get(places(route, earlier)[0])

    assert store.links.get(UNIVERSITY, ACCOUNT).orcid_id.bare == MAIJA


@pytest.mark.parametrize(
    "later", ["2004-08-26", "20040826120000.0Z", "2004-08-26T15:00:00+03:00", "soon", "", "%FF", "x;y"]
)
def test_the_same_time_in_another_form_or_one_that_cannot_be_read_ends_no_link(app, simulator, store, later):
    earlier = earlier_holder(app, simulator)

    again = WebClient(app, ACCOUNT, said={STAMP: later}, cookies=dict(earlier.cookies))

    assert SHOWN in again.get("/me").text
    assert SHOWN in again.get("/me/data").text
    assert store.links.get(UNIVERSITY, ACCOUNT).orcid_id.bare == MAIJA
