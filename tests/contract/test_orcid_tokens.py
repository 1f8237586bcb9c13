"""ORCID's tokens: kept sealed while they are needed, and revoked at ORCID after that, whatever ends them."""

import pytest

from tests.support.factories import CLIENT_ID, NOON, UNIVERSITY
from tests.support.service import (
    MAIJA,
    ORGANISATIONS,
    Clock,
    WebClient,
    make_revocation_queue,
    make_web_app,
    run_orcid_simulator,
)
from webapp.app import make_app

KEYS = ("b" * 43 + "=", "c" * 43 + "=")
PERSON = "maija@yliopisto.example"


@pytest.fixture(scope="module")
def running():
    with run_orcid_simulator() as both:
        yield both


@pytest.fixture
def orcid(running):
    running[0].reset()
    return running


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def web_app(store, orcid, clock):
    return make_web_app(store, orcid[1], clock, ORGANISATIONS, token_keys=KEYS)


@pytest.fixture
def maija(web_app):
    return WebClient(make_app(web_app))


@pytest.fixture
def queue(store, orcid, clock):
    return make_revocation_queue(store, orcid[1], KEYS, clock)


def live(simulator, bare=MAIJA):
    """Count the live pairs of a person at ORCID."""
    return len(simulator.live_tokens(bare))


def test_a_pair_is_kept_sealed_as_long_as_the_link_and_then_revoked(store, orcid, maija, queue):
    simulator, _ = orcid
    maija.link(simulator)

    queue.run()

    assert live(simulator) == 1
    (token,) = store.orcid_tokens.list_for_person(UNIVERSITY, PERSON)
    assert (token.client_id, token.scope, token.link) == (
        CLIENT_ID,
        "/authenticate",
        store.links.get(UNIVERSITY, PERSON).id,
    )
    page = maija.get("/me/remove")
    maija.post("/me/remove", {"token": page.field("token"), "shown": page.field("shown")})
    assert live(simulator) == 1
    queue.run()
    assert live(simulator) == 0
    (token,) = store.orcid_tokens.list_for_person(UNIVERSITY, PERSON)
    assert (token.sealed, token.revoked_at) == (None, NOON)
