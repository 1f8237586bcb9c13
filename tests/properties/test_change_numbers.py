"""The numbers of changes, with writers that really are at it at the same time.

A number is given before its transaction commits, and another transaction may be faster: a reader who has seen number
7 and asks for what comes after must still get number 6, or 6 must not be given before 7 is seen. The store promises
the latter. Here writers dawdle between number and commit for as long as hypothesis likes, while a reader reads on.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sql.store import Store, open_store
from tests.support.factories import NOON, make_link, make_orcid_id
from tests.support.store_faults import SlowEngine

ORGANISATIONS = count(1)
delays = st.lists(st.floats(0, 0.01), min_size=5, max_size=5)


def write(store, organisation, writer, pauses):
    """Write as many changes as there are pauses, each committed only after its pause."""
    slow = Store(SlowEngine(store.engine, pauses))
    for number, _ in enumerate(pauses):
        make_link(slow, f"person {writer}", make_orcid_id(100 * writer + number), organisation)


def read(store, organisation, over):
    """Read what is new, again and again, until the writers have finished and nothing more comes."""
    seen = []
    while True:
        finished = over.is_set()
        page = store.changes.list_after(organisation, seen[-1].number if seen else 0, 3)
        seen += page
        if finished and not page:
            return seen
        if not page:
            over.wait(0.001)


def finish(writers, over):
    """Wait for the writers, and let the readers end whatever became of them."""
    try:
        for writer in writers:
            writer.result()
    finally:
        over.set()


@settings(max_examples=8, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pauses=st.lists(delays, min_size=2, max_size=6))
def test_a_reader_who_reads_on_misses_no_change(store, pauses):
    organisation, over = f"org-{next(ORGANISATIONS)}", Event()

    with ThreadPoolExecutor(len(pauses) + 2) as pool:
        readers = [pool.submit(read, store, organisation, over) for _ in range(2)]
        writers = [pool.submit(write, store, organisation, writer, each) for writer, each in enumerate(pauses, 1)]
        finish(writers, over)
        seen = [reader.result() for reader in readers]

    written = 5 * len(pauses)
    for changes in seen:
        assert [change.number for change in changes] == list(range(1, written + 1))
        assert len({change.orcid_id for change in changes}) == written
    assert store.changes.last_number(organisation) == written
    assert store.audit.verify(organisation) == []


@pytest.mark.parametrize("nodes", [3])
def test_several_nodes_number_as_one(migrated_postgres, nodes):
    stores = [open_store(migrated_postgres, timeout=5.0) for _ in range(nodes)]
    organisation, over = "org", Event()

    with ThreadPoolExecutor(nodes + 1) as pool:
        reader = pool.submit(read, stores[0], organisation, over)
        writers = [pool.submit(write, store, organisation, writer, [0.001] * 10) for writer, store in enumerate(stores)]
        finish(writers, over)
        changes = reader.result()

    for store in stores:
        store.close()
    assert [change.number for change in changes] == list(range(1, 10 * nodes + 1))


def test_a_slow_writer_of_one_organisation_does_not_block_others(migrated_postgres):
    store = open_store(migrated_postgres)

    with store.links.organisation_transaction("https://slow.example", NOON):
        change = make_link(store, organisation="https://quick.example")

    assert change.number == 1
    store.close()
