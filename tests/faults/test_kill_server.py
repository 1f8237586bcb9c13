"""kill -9 of the web server at every moment between start and result page: no link, or a whole one."""

import pytest

from tests.support.factories import UNIVERSITY
from tests.support.processes.killer import KilledServer, ServerKilled
from tests.support.service import MAIJA, WebClient, orcid_id, run_orcid_simulator

MAIJAS = "maija@yliopisto.example"
MOST_MOMENTS = 200
EVERY_FEW = 6


@pytest.fixture(scope="module")
def running_simulator():
    with run_orcid_simulator() as (simulator, client):
        yield simulator, client


@pytest.fixture
def simulator(running_simulator):
    running_simulator[0].reset()
    return running_simulator[0]


@pytest.fixture
def server(store_url, running_simulator):
    server = KilledServer(store_url, running_simulator[1].base_url)
    yield server
    server.close()


def is_whole(store):
    """Whether there is a link; and whether there is, everything that belongs to it is there, or nothing of it."""
    link = store.links.get(UNIVERSITY, MAIJAS)
    changes = store.changes.list_after(UNIVERSITY, 0, 10)
    events = list(store.audit.list_events(UNIVERSITY))
    assert store.audit.verify(UNIVERSITY) == []
    if link is None:
        assert (changes, events) == ([], [])
        return False
    assert link.orcid_id == orcid_id(MAIJA)
    assert [change.orcid_id for change in changes] == [orcid_id(MAIJA)]
    assert events[0].kind == "linked"
    return True


def test_a_kill_at_any_moment_leaves_no_link_or_a_whole_one_and_the_person_can_go_on(server, store, simulator):
    with_link = []
    survived = False
    while not survived and len(with_link) < MOST_MOMENTS:
        server.start(len(with_link) + 1)
        survived = _tries_to_link(WebClient(server), simulator)
        server.kill()
        with_link.append(is_whole(store))
        if len(with_link) % EVERY_FEW == 0:
            _starts_again(server, simulator)
            assert is_whole(store)
        _forget_all(store)

    # Every moment has been tried; up to some moment there is no link, and from then on there is one
    assert survived
    assert with_link == sorted(with_link)
    assert with_link.count(False) > 10
    assert with_link.count(True) > 3


def _tries_to_link(maija, simulator):
    try:
        maija.link(simulator)
    except ServerKilled:
        return False
    return True


def _starts_again(server, simulator):
    server.start(0)
    maija = WebClient(server)
    place = maija.return_from_orcid(simulator)
    if place.startswith("/me/confirm/"):
        place = maija.agree(place).location
    assert maija.get(place).title in {"Your ORCID iD is connected", "This ORCID iD was connected already"}
    server.kill()


def _forget_all(store):
    # As if nothing had been: the store's own words would leave changes and events behind
    with store.engine.transaction() as session:
        for table in ("links", "changes", "events", "organisations", "attempts"):
            session.script(f"delete from {table};")
