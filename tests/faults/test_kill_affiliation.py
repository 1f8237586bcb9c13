"""kill -9 of workers that write to ORCID records: no item twice, none left open, no live token after a removal.

`make test` kills ten, and `make soak` five hundred (KILLS); SEED makes another history.
"""

from __future__ import annotations

import os
import random
import threading
from datetime import UTC, datetime, timedelta

from demo.orcid.people import User, made_up_id
from sql.records import AffiliationSection, DeliveryState
from tests.support.affiliation import BOTH, MEMBER, NOTHING, STAFF, STUDENT, Bench
from tests.support.factories import UNIVERSITY
from tests.support.processes.killed_workers import Workers
from tests.support.service import run_orcid_simulator

KILLS = int(os.environ.get("KILLS", "10"))
SEED = int(os.environ.get("SEED", "20260115"))
OWN = {
    f"person{number}@yliopisto.example": (made_up_id(2 * number), made_up_id(2 * number + 1))
    for number in range(2000, 2006)
}
"""The two iDs of each person."""
SAID = (BOTH, NOTHING, STAFF, STUDENT)
MOST_WAITING = 8


def test_no_item_is_written_twice_or_left_open_when_workers_are_killed(store, store_url):
    rng = random.Random(SEED)
    with run_orcid_simulator() as (simulator, client):
        simulator.users |= {bare: User(bare, given="Maija") for both in OWN.values() for bare in both}
        people = [Bench(store, simulator, account=account) for account in OWN]
        urls = (store_url, "unused", client.base_url)
        with Workers("records", urls, rng) as workers:
            while workers.deaths < KILLS:
                _act(rng.choice(people), rng)
                _wait(lambda: _waiting(store) < MOST_WAITING or workers.deaths >= KILLS)
            workers.survive()
            store.deliveries.make_due(UNIVERSITY, None, datetime.now(UTC) + timedelta(hours=1))
            _wait(lambda: _nothing_waits(store))

        assert {each.state for each in store.deliveries.counts(UNIVERSITY)} == {DeliveryState.DONE}
        for person in people:
            _is_right(person)


def _act(person, rng):
    person.now, (one, other) = datetime.now(UTC), OWN[person.account]
    current = person.current
    if current is None:
        person.link(rng.choice((one, other)))
        return
    acts = {
        "permit": lambda: person.permit(rng.choice(SAID)),
        "say": lambda: person.say(rng.choice(SAID)),
        "stop": person.stop,
        "remove": person.remove,
        "replace": lambda: person.link(other if current.orcid_id.bare == one else one),
    }
    acts[rng.choices([*acts], (5, 5, 1, 1, 1))[0]]()


def _is_right(person):
    current = person.current
    permission = None if current is None else person.permission()
    for bare in OWN[person.account]:
        linked = current is not None and current.orcid_id.bare == bare
        wanted = permission.said.sections if linked and permission else ()
        for section in AffiliationSection:
            items = [each for each in person.simulator.items(bare, section) if each.client_id == MEMBER.client_id]
            assert len(items) <= 1
            assert [each for each in items if each.body["end-date"] is None] == (items if section in wanted else [])
            assert items or section not in wanted
        assert bool(person.simulator.live_tokens(bare)) == linked


def _waiting(store):
    counts = store.deliveries.counts(UNIVERSITY)
    return sum(each.count for each in counts if each.state is DeliveryState.WAITING)


def _nothing_waits(store):
    # What waits for a back-off, and pairs whose revocation waits for a delivery, need not wait for the clock
    store.deliveries.make_due(UNIVERSITY, None, datetime.now(UTC))
    store.orcid_tokens.make_revocations_due(datetime.now(UTC))
    return not _waiting(store) and not any(each.due for each in store.orcid_tokens.counts())


def _wait(holds):
    end = threading.Event()
    for _ in range(1200):
        if holds():
            return
        end.wait(0.05)
    raise AssertionError
