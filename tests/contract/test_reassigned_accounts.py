"""An account that was given to another person: nothing of the earlier holder is seen, wherever one comes first."""

import json
import re
from datetime import timedelta
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from demo.orcid.people import PEOPLE
from shibboleth.organisation import Organisations, Stage
from tests.support.factories import UNIVERSITY, make_link, make_organisation, make_person
from tests.support.service import AKE, MAIJA, Clock, WebClient, make_web_app, orcid_id
from webapp.app import make_app
from webapp.auth.authenticator import Access
from webapp.auth.named_people import NamedPeople
from webapp.operator.access import AdminAccess
from webapp.routes import ROUTES

ACCOUNT = "maija@yliopisto.example"
STAMP = "funetEduPersonEPPNTimeStamp"
STAFF = AdminAccess(operators=(NamedPeople.parse(UNIVERSITY, (ACCOUNT,)),))
PIIA = PEOPLE[2].orcid
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


def test_a_head_request_shows_and_ends_nothing(app, simulator, store):
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


SUBJECT = "subject-id"
OLD, NEW = "ab1@yliopisto.example", "cd2@yliopisto.example"


@pytest.fixture
def stable_app(store, simulator, running_simulator, clock):
    organisations = Organisations.of([make_organisation(stage=Stage.TEST, stable_id=SUBJECT)])
    return make_app(make_web_app(store, running_simulator[1], clock, organisations, transfers=("idm",)))


def decline(client):
    state = parse_qs(urlsplit(client.start()).query)["state"][0]
    client.get(f"/me/callback?error=access_denied&state={state}")


def stable_id_of_the_link(store):
    return store.links.get(UNIVERSITY, ACCOUNT).stable_id


def test_an_id_of_the_earlier_holder_that_is_released_at_the_sign_in_is_not_shown(stable_app, simulator):
    earlier = WebClient(stable_app, ACCOUNT, said={SUBJECT: OLD})
    earlier.agree(earlier.return_from_orcid(simulator, MAIJA))
    heir = WebClient(stable_app, ACCOUNT, said={SUBJECT: NEW})
    released = {"eduPersonOrcid": ";".join(quote(orcid_id(each).uri, safe="") for each in (MAIJA, PIIA))}

    for _ in range(2):
        page = heir.get("/me", **released)
        assert (sees(page), PIIA in page.text) == (False, True)
    heir.agree(heir.return_from_orcid(simulator, PIIA))
    assert not sees(heir.get("/me", **released))


@pytest.mark.parametrize(
    "route", ["/me", "/me/claim/{}", "/me/confirm/{}", "/me/result/{}", "/me/data", "/me/data.json"]
)
def test_an_earlier_holders_claim_is_neither_shown_nor_continued(store, running_simulator, simulator, clock, route):
    organisations = Organisations.of([make_organisation(stage=Stage.TEST, stable_id=SUBJECT, asks_holder=True)])
    app = make_app(make_web_app(store, running_simulator[1], clock, organisations))
    make_link(store, "ake@yliopisto.example", orcid_id(MAIJA), stable_id="subject-id:xy9@yliopisto.example")
    earlier = WebClient(app, ACCOUNT, said={SUBJECT: OLD})
    claim = earlier.return_from_orcid(simulator, MAIJA).rpartition("/")[2]
    heir = WebClient(app, ACCOUNT, said={SUBJECT: NEW}, cookies=dict(earlier.cookies))

    first = heir.get(route.format(claim))

    assert not sees(first)
    assert store.attempts.get(claim) is None or store.attempts.get(claim).closed_at is not None
    ake = earlier.same_browser("ake@yliopisto.example")
    ake.said = {SUBJECT: "xy9@yliopisto.example"}
    ake.post(f"/me/claim/{claim}", {"token": ake.token()})
    assert [each.person_key for each in store.links.list_current(UNIVERSITY)] == ["ake@yliopisto.example"]


def test_another_stable_id_ends_the_link_before_anything_is_shown(stable_app, simulator, store, clock):
    earlier = WebClient(stable_app, ACCOUNT, said={SUBJECT: OLD})
    earlier.agree(earlier.return_from_orcid(simulator, MAIJA))
    assert stable_id_of_the_link(store) == f"subject-id:{OLD}"
    clock.passes(minutes=1)
    heir = WebClient(stable_app, ACCOUNT, said={SUBJECT: NEW})

    for path in ("/me", "/me/data", "/me/receipt", "/me/removed", "/me/data.json"):
        assert not sees(heir.get(path)), path

    events = [each.kind for each in store.audit.list_events(UNIVERSITY)]
    assert events == ["linked", "reassigned", "removed"]
    owed = store.deliveries.list_for_person(UNIVERSITY, ACCOUNT)
    assert [each.kind for each in owed if each.waiting] == ["removed", "linked"]
    clock.passes(minutes=1)
    heir.agree(heir.return_from_orcid(simulator, AKE))
    assert stable_id_of_the_link(store) == f"subject-id:{NEW}"
    assert MAIJA not in heir.get("/me/data").text


@pytest.mark.parametrize(
    "later",
    [OLD.upper(), f"{OLD};{OLD}", "", " ", f"{OLD};{NEW}", "cd2@amk.example", "c.d@yliopisto.example", "cd2", "%FF"],
)
def test_the_same_stable_id_or_one_that_proves_nothing_ends_no_link(stable_app, simulator, store, later):
    earlier = WebClient(stable_app, ACCOUNT, said={SUBJECT: OLD})
    earlier.agree(earlier.return_from_orcid(simulator, MAIJA))

    again = WebClient(stable_app, ACCOUNT, said={SUBJECT: later}, cookies=dict(earlier.cookies))

    assert SHOWN in again.get("/me").text
    assert stable_id_of_the_link(store) == f"subject-id:{OLD}"


def test_the_first_stable_id_is_recorded_with_a_link_that_was_made_before(app, stable_app, simulator, store, clock):
    earlier = WebClient(app, ACCOUNT, said={SUBJECT: OLD})
    earlier.agree(earlier.return_from_orcid(simulator, MAIJA))
    assert stable_id_of_the_link(store) == ""
    clock.passes(days=3)

    WebClient(stable_app, ACCOUNT, said={SUBJECT: OLD, STAMP: "20240115"}).get("/me")

    link = store.links.get(UNIVERSITY, ACCOUNT)
    assert (link.stable_id, link.account_issued_at) == (f"subject-id:{OLD}", "20240115")
    assert link.last_seen_on == clock.now.date()
    WebClient(stable_app, ACCOUNT, said={STAMP: "20240116"}).get("/me")
    assert store.links.get(UNIVERSITY, ACCOUNT) is None


def test_an_id_of_another_attribute_replaces_the_one_recorded_and_ends_nothing(
    store, stable_app, simulator, running_simulator, clock
):
    earlier = WebClient(stable_app, ACCOUNT, said={SUBJECT: OLD})
    earlier.agree(earlier.return_from_orcid(simulator, MAIJA))
    organisations = Organisations.of([make_organisation(stage=Stage.TEST, stable_id="eduPersonUniqueId")])
    other_app = make_app(make_web_app(store, running_simulator[1], clock, organisations))

    WebClient(other_app, ACCOUNT, said={SUBJECT: NEW, "eduPersonUniqueId": NEW}).get("/me")

    assert stable_id_of_the_link(store) == f"eduPersonUniqueId:{NEW}"


@pytest.mark.parametrize("said", [({STAMP: "20040826"}, {STAMP: "20260101"}), ({SUBJECT: OLD}, {SUBJECT: NEW})])
def test_attempts_of_an_earlier_holder_who_never_linked_are_not_shown(stable_app, simulator, store, clock, said):
    earlier = WebClient(stable_app, ACCOUNT, said=said[0])
    confirm = earlier.return_from_orcid(simulator, MAIJA)
    decline(earlier)
    clock.passes(minutes=5)
    heir = WebClient(stable_app, ACCOUNT, said=said[1], cookies=dict(earlier.cookies))

    assert not sees(heir.get(confirm))
    sections = json.loads(heir.get("/me/data.json").text)
    assert (sections["attempts"], sections["events"]) == ([], [])
    assert [each.kind for each in store.audit.list_events(UNIVERSITY)] == ["declined", "reassigned"]


def test_events_of_an_earlier_holder_are_hidden_long_after_the_attempts_are_deleted(stable_app, store, clock):
    earlier = WebClient(stable_app, ACCOUNT, said={SUBJECT: OLD})
    decline(earlier)
    clock.passes(days=400)
    store.attempts.delete_expired(clock.now)

    heir = WebClient(stable_app, ACCOUNT, said={SUBJECT: NEW})

    assert json.loads(heir.get("/me/data.json").text)["events"] == []
    assert "declined" in earlier.get("/me/data.json").text


def test_a_concurrent_process_ends_the_link_once(stable_app, simulator, store, clock):
    earlier = WebClient(stable_app, ACCOUNT, said={SUBJECT: OLD})
    earlier.agree(earlier.return_from_orcid(simulator, MAIJA))
    heir = make_person(ACCOUNT, stable_id=f"subject-id:{NEW}")

    assert store.links.end_earlier_holder(UNIVERSITY, ACCOUNT, heir, clock.now).kind == "removed"
    assert store.links.end_earlier_holder(UNIVERSITY, ACCOUNT, heir, clock.now) is None
    assert [each.kind for each in store.audit.list_events(UNIVERSITY)] == ["linked", "reassigned", "removed"]
