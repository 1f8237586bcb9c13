"""kill -9 of web servers and workers again and again: every change arrives, in order, and is done once.

At ORCID, the pairs of current links are live, and no other one.

`make test` kills twenty, and `make soak` a thousand (KILLS); SEED makes another history.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections import defaultdict
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from demo.idm.app import Idm
from demo.idm.server import serve
from demo.orcid.people import User, made_up_id
from resolver_connector.orcid.sealing import TokenSealer
from sql.records import DeliveryState
from tests.support.factories import UNIVERSITY
from tests.support.processes.killed_worker import TOKEN_KEYS
from tests.support.processes.killed_workers import KilledProcess, Workers
from tests.support.processes.killer import ServerKilled
from tests.support.service import WebClient, run_orcid_simulator

KILLS = int(os.environ.get("KILLS", "20"))
SEED = int(os.environ.get("SEED", "20260115"))
PEOPLE = [f"person{number}@yliopisto.example" for number in range(1, 13)]
OWN = {person: (made_up_id(2 * number), made_up_id(2 * number + 1)) for number, person in enumerate(PEOPLE, 1000)}
"""The two iDs of each person."""
LONGEST_WEB = 120
"""After how many moments that matter a web server is dead at the latest."""


class Recording(Idm):
    """An identity management that keeps all that arrives, in its order."""

    def __init__(self, accounts):
        super().__init__(accounts)
        self.log = []

    def handle(self, request):
        answer, trick = super().handle(request)
        self.log.append((json.loads(request.body)["data"], json.loads(answer.body)))
        return answer, trick


@pytest.fixture
def idm():
    """Where everything arrives, and its address."""
    idm = Recording(PEOPLE)
    with serve(idm) as server:
        yield idm, f"{server.address}/v1"


@pytest.fixture
def orcid():
    """A simulated ORCID that knows all iDs of these people."""
    with run_orcid_simulator() as (simulator, client):
        for person, both in OWN.items():
            simulator.users |= {bare: User(bare, given=person.partition("@")[0]) for bare in both}
        yield simulator, client.base_url


def test_every_change_arrives_once_and_in_order_when_processes_are_killed(store, store_url, idm, orcid):
    rng = random.Random(SEED)
    there, idm_url = idm
    simulator, orcid_url = orcid
    urls = (store_url, idm_url, orcid_url)

    with ExitStack() as stack:
        web = KilledProcess("web", *urls)
        stack.callback(web.close)
        with Workers("worker", urls, rng) as workers:
            killed = _people_come(web, simulator, store, rng, workers)
            assert killed + workers.deaths >= KILLS
            workers.survive()
            # What killed web servers have left; whoever waits does so no longer
            store.orcid_tokens.make_due(datetime.now(UTC) + timedelta(hours=2))
            store.orcid_tokens.make_revocations_due(datetime.now(UTC))
            _wait_until_nothing_waits(store)

    assert {each.state for each in store.deliveries.counts(UNIVERSITY)} == {DeliveryState.DONE}
    assert store.audit.verify(UNIVERSITY) == []
    _all_arrived_in_order(store, there)
    _only_links_have_live_tokens(store, simulator)


def _people_come(web, simulator, store, rng, workers):
    """Let people link and remove until enough are dead; tell how many web servers were killed."""
    killed = -1
    alive = False
    while killed + workers.deaths < KILLS:
        if not alive:
            web.start_until(rng.randint(1, LONGEST_WEB), rng.choice(["now", "later"]))
            killed, alive = killed + 1, True
        try:
            _somebody_comes(web, simulator, store, rng)
        except ServerKilled:
            alive = False
            assert web.process.stdout.readline() == "dead\n"
            # Otherwise a person has too many open attempts in the end, since no time passes between kills
            store.attempts.delete_expired(datetime.now(UTC) + timedelta(days=1))
    if alive:
        web.kill()
    return killed


def _somebody_comes(web, simulator, store, rng):
    person = rng.choice(PEOPLE)
    web_client = WebClient(web, person)
    link = store.links.get(UNIVERSITY, person)
    if link is not None and rng.random() < 0.3:
        page = web_client.get("/me/remove")
        web_client.post("/me/remove", {"token": page.field("token"), "shown": page.field("shown")})
        assert store.links.get(UNIVERSITY, person) is None
    else:
        wanted = next(bare for bare in OWN[person] if link is None or bare != link.orcid_id.bare)
        reply = web_client.agree(web_client.return_from_orcid(simulator, wanted))
        assert reply.status == 303
        # What the person was told is so
        assert store.links.get(UNIVERSITY, person).orcid_id.bare == wanted


def _wait_until_nothing_waits(store):
    end = threading.Event()
    for _ in range(600):
        owed = any(each.state is DeliveryState.WAITING for each in store.deliveries.counts(UNIVERSITY))
        if not owed and not any(each.due for each in store.orcid_tokens.counts()):
            return
        end.wait(0.1)
    raise AssertionError(store.deliveries.counts(UNIVERSITY), store.orcid_tokens.counts())


def _only_links_have_live_tokens(store, simulator):
    sealer = TokenSealer(TOKEN_KEYS)
    needed = set()
    for person in PEOPLE:
        link = store.links.get(UNIVERSITY, person)
        own = [each for each in store.orcid_tokens.list_for_person(UNIVERSITY, person) if each.revoked_at is None]
        assert {each.link for each in own} == ({link.id} if link else set())
        needed |= {sealer.open(each.id, each.sealed).access_token for each in own}
    live = {pair.access for both in OWN.values() for bare in both for pair in simulator.live_tokens(bare)}
    assert live == needed


def _all_arrived_in_order(store, there):
    owed = defaultdict(list)
    for change in store.changes.list_after(UNIVERSITY, 0, 1_000_000):
        owed[change.person_key].append(change.id)
    arrived, done = defaultdict(list), []
    for news, answer in there.log:
        arrived[news["person"]["value"]].append(news["id"])
        done += [news["id"]] if answer.get("message") != "received before" else []

    assert len(owed) > 1
    for person, ids in owed.items():
        # Each at least once; a repetition comes before anything newer
        assert list(dict.fromkeys(arrived[person])) == ids
        assert sorted(arrived[person], key=ids.index) == arrived[person]
        link = store.links.get(UNIVERSITY, person)
        assert there.get_ids(person) == ({link.orcid_id.bare} if link else set())
    assert sorted(done) == sorted(each for ids in owed.values() for each in ids)
