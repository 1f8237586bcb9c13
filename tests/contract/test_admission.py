"""The states of an organisation: who may link, and what everyone else sees."""

from dataclasses import replace

import pytest

from shibboleth.organisation import Organisations, Stage, State
from sql.store import open_store
from tests.support.configuration import write_configuration
from tests.support.database import make_sqlite
from tests.support.factories import UNIVERSITY, make_link, make_organisation, make_person
from tests.support.service import MAIJA, Clock, WebClient, ask, make_web_app, orcid_id
from webapp.app import make_app
from webapp.auth.named_people import NamedPeople
from webapp.config.errors import Misconfigured
from webapp.config.loader import load
from webapp.linking.admission import Admission
from webapp.operator.access import AdminAccess
from webapp.wiring.pages import admission_of

TESTER, MEMBER, OTHER = "test@yliopisto.example", "Maija@yliopisto.example", "pekka@yliopisto.example"
ENTITLEMENT = "urn:mace:yliopisto.example:pilot"
NAMED = Admission(
    {UNIVERSITY: NamedPeople.parse(UNIVERSITY, (TESTER,))},
    {UNIVERSITY: NamedPeople.parse(UNIVERSITY, (MEMBER,), (ENTITLEMENT,))},
)
STAFF = AdminAccess(administrators=(NamedPeople.parse(UNIVERSITY, ("admin@yliopisto.example",)),))


@pytest.fixture
def store(tmp_path):
    """One engine is enough: the states are not in the database."""
    store = open_store(make_sqlite(tmp_path))
    yield store
    store.close()


@pytest.fixture
def simulator(running_simulator):
    simulator, _ = running_simulator
    simulator.reset()
    return simulator


@pytest.fixture
def in_state(store, running_simulator, simulator):
    """Give the application of an organisation in a state."""
    _, client = running_simulator
    clock = simulator.clock = Clock()

    def application(state):
        organisations = Organisations.of([make_organisation(state=state, stage=Stage.TEST)])
        front = make_web_app(store, client, clock, organisations, admin_access=STAFF)
        linking = replace(front.context.linking, admission=NAMED)
        return make_app(replace(front, context=replace(front.context, linking=linking)))

    return application


def visitor(app, account, entitlement=""):
    return WebClient(app, account, said={"eduPersonEntitlement": entitlement})


@pytest.mark.parametrize(
    ("visit", "admitted"),
    [
        ((State.OPEN, OTHER, ""), True),
        ((State.PILOT, TESTER, ""), True),
        ((State.PILOT, MEMBER.lower(), ""), True),
        ((State.PILOT, OTHER, ENTITLEMENT), True),
        ((State.PILOT, OTHER, f"{ENTITLEMENT}:other"), False),
        ((State.PILOT, OTHER, ""), False),
        ((State.HIDDEN, TESTER, ""), True),
        ((State.HIDDEN, MEMBER, ENTITLEMENT), False),
    ],
)
def test_the_state_says_who_links(in_state, simulator, store, visit, admitted):
    state, account, entitlement = visit
    person = visitor(in_state(state), account, entitlement)

    page = person.get("/me")

    if admitted:
        person.link(simulator)
        assert store.links.get(UNIVERSITY, account) is not None
    else:
        assert (page.status, "not open to you yet" in page.text) == (403, True)
        assert not store.attempts.list_for_person(UNIVERSITY, account)


def test_a_hidden_organisation_is_not_on_the_start_page_but_has_its_address(in_state):
    for state in State:
        start = ask(in_state(state), "/").text
        assert ("Yliopisto" in start) is (state is not State.HIDDEN)
    assert ask(in_state(State.HIDDEN), f"/o/{UNIVERSITY}").status == 303


@pytest.mark.parametrize("state", [State.HIDDEN, State.PILOT, State.CLOSED])
def test_a_link_of_somebody_who_may_not_link_stays_and_can_be_removed(in_state, store, state):
    make_link(store, OTHER, orcid_id(MAIJA))
    person = visitor(in_state(state), OTHER)

    page = person.get("/me")

    assert page.status == 200
    assert MAIJA in page.text
    assert "/me/start" not in page.text
    assert person.get("/me/data").status == 200
    asked = person.get("/me/remove")
    assert person.post("/me/start", {"token": asked.field("token")}).status == 403
    removed = person.post("/me/remove", {"token": asked.field("token"), "shown": asked.field("shown")})
    assert removed.status == 303
    assert person.get(removed.location).status == 200
    assert store.links.get(UNIVERSITY, OTHER) is None


@pytest.mark.parametrize(
    ("state", "title"), [(State.CLOSED, "is not accepting new connections"), (State.PILOT, "not open to you yet")]
)
def test_nobody_links_once_the_state_has_changed_whatever_was_begun(in_state, simulator, store, state, title):
    person = visitor(in_state(State.OPEN), OTHER)
    token, callback = person.token(), person.callback_path(simulator)
    place = person.return_from_orcid(simulator)
    form = person.get(place)
    after = WebClient(in_state(state), OTHER, cookies=person.cookies)

    tried = [
        after.post("/me/start", {"token": token}),
        after.get(callback),
        after.post(place, {"token": form.field("token"), "replacing": "", "agree": "yes"}),
    ]

    assert [(one.status, title in one.title) for one in tried] == [(403, True)] * 3
    assert store.links.get(UNIVERSITY, OTHER) is None
    # Nothing was used up
    person.app = in_state(State.OPEN)
    assert person.agree(person.get(callback).location).status == 303
    assert store.links.get(UNIVERSITY, OTHER) is not None


def test_an_administrator_sees_the_pages_of_an_organisation_in_any_state(in_state):
    for state in State:
        admin = visitor(in_state(state), "admin@yliopisto.example")
        assert admin.get(f"/operator/organisations/{UNIVERSITY}").status == 200


def test_the_states_of_the_configuration(tmp_path):
    settings = {
        "state": "pilot",
        "test_accounts": [TESTER],
        "pilot": {"people": [f"{MEMBER} issued 20240826"], "entitlements": [ENTITLEMENT]},
    }
    config = load(write_configuration(tmp_path, organisations={UNIVERSITY: settings}), {})
    (organisation,) = config.organisations

    admission = admission_of(config)

    def may_link(account, **other):
        return admission.may_link(make_person(account, organisation=organisation, **other))

    assert organisation.state is State.PILOT
    assert may_link(TESTER)
    assert may_link(MEMBER, account_issued_at="20240826")
    assert not may_link(MEMBER, account_issued_at="20250101")
    assert may_link(OTHER, entitlements=frozenset({ENTITLEMENT}))
    assert not may_link(OTHER)


def test_a_pilot_without_people_is_an_error_of_the_file(tmp_path):
    with pytest.raises(Misconfigured, match="names neither people nor entitlements"):
        load(write_configuration(tmp_path, organisations={UNIVERSITY: {"state": "pilot"}}), {})
