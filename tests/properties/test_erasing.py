"""Whatever a person has done before, and whoever was away meanwhile: once erased and told of, nothing names them."""

import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sql.migrate import migrate
from sql.store import open_store
from tests.database import driver_of
from tests.make import NOON, UNIVERSITY, answered, make_link, make_orcid_id

MAIJA, VILLE = "maija@yliopisto.example", "ville@yliopisto.example"
TRANSFERS = ("idm", "ldap")
LEASE = timedelta(minutes=1)
NAMING = ("attempts", "links", "changes", "deliveries", "events", "erasures", "mails")

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("link"), st.integers(1, 3)),
        st.tuples(st.just("unlink"), st.just(0)),
        st.tuples(st.just("begin"), st.integers(1, 3)),
        st.tuples(st.just("deliver"), st.sampled_from(["stored", "refused", "temporary"])),
        st.tuples(st.just("fetch"), st.just(0)),
        st.tuples(st.just("erase"), st.just(0)),
    ),
    max_size=12,
)


def do(store, what, how, now):
    """Take one step of a history."""
    if what == "link":
        make_link(store, MAIJA, make_orcid_id(how), now=now, transfers=TRANSFERS)
    elif what == "unlink":
        store.unlink(UNIVERSITY, MAIJA, "person", "removed", now, transfers=TRANSFERS)
    elif what == "begin":
        answered(store, MAIJA, make_orcid_id(how), now=now)
    elif what == "deliver":
        deliver(store, how, now)
    elif what == "fetch":
        store.acknowledge(UNIVERSITY, store.last_change(UNIVERSITY), now)
    else:
        erase(store, now)


def deliver(store, how, now):
    """Let the worker try once whatever is due."""
    for delivery in store.claim("worker", now, LEASE, 100):
        told = (delivery, "worker", how, f"{delivery.person_key} it is")
        if how == "stored":
            store.finish(*told, now)
        elif how == "refused":
            store.give_up(*told, now)
        else:
            store.postpone(*told, now, now)


def erase(store, now):
    store.erase(UNIVERSITY, MAIJA, "person", "erased by the person", now, transfers=TRANSFERS, by_feed=True)


def rows_of(store):
    """Give all that the tables hold which name somebody, as one text."""
    driver = driver_of(store)
    return repr([tuple(row) for table in NAMING for row in driver.execute(f"select * from {table}")])


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_after_any_history_erased_is_erased(steps):
    with tempfile.TemporaryDirectory() as directory:
        store = open_store(f"sqlite://{Path(directory)}/links.db")
        migrate(store.engine, NOON)
        make_link(store, VILLE, make_orcid_id(9), transfers=TRANSFERS)
        now = NOON
        for what, how in steps:
            now += timedelta(hours=1)
            do(store, what, how, now)
            store.finish_erasures(now)
        now += timedelta(hours=1)

        erase(store, now)
        for _ in range(5):
            deliver(store, "stored", now)
        do(store, "fetch", 0, now)
        # A delivery that was refused before, and that no removal came after, is waited for no longer than this
        store.finish_erasures(now + timedelta(days=31))

        kept = rows_of(store)
        assert MAIJA not in kept
        assert not [number for number in (1, 2, 3) if make_orcid_id(number).bare in kept]
        assert store.orcid_of(UNIVERSITY, VILLE) == [make_orcid_id(9)]
        assert store.verify_events(UNIVERSITY) == []
        store.disconnect()
