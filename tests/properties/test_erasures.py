"""Whatever a person has done before, and whoever was away meanwhile: once erased and told of, nothing names them."""

import tempfile
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from sql.store import open_store
from tests.support.database import driver_of, make_sqlite
from tests.support.factories import NOON, UNIVERSITY, answered, make_link, make_orcid_id

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
        store.links.remove(UNIVERSITY, MAIJA, "person", "removed", now, transfers=TRANSFERS)
    elif what == "begin":
        answered(store, MAIJA, make_orcid_id(how), now=now)
    elif what == "deliver":
        deliver(store, how, now)
    elif what == "fetch":
        store.changes.acknowledge(UNIVERSITY, store.changes.last_number(UNIVERSITY), now)
    else:
        erase(store, now)


def deliver(store, how, now):
    """Let the worker try once whatever is due."""
    for delivery in store.deliveries.claim("worker", now, LEASE, 100):
        told = (delivery, "worker", how, f"{delivery.person_key} it is")
        if how == "stored":
            store.deliveries.complete(*told, now)
        elif how == "refused":
            store.deliveries.dead_letter(*told, now)
        else:
            store.deliveries.reschedule(*told, now, now)


def erase(store, now):
    store.erasures.erase(UNIVERSITY, MAIJA, "person", "erased by the person", now, transfers=TRANSFERS, uses_feed=True)


def rows_of(store):
    """Give all that the tables hold which name somebody, as one text."""
    driver = driver_of(store)
    return repr([tuple(row) for table in NAMING for row in driver.execute(f"select * from {table}")])


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_after_any_history_erased_is_erased(steps):
    with tempfile.TemporaryDirectory() as directory:
        store = open_store(make_sqlite(directory))
        make_link(store, VILLE, make_orcid_id(9), transfers=TRANSFERS)
        now = NOON
        for what, how in steps:
            now += timedelta(hours=1)
            do(store, what, how, now)
            store.erasures.finish_due(now)
        now += timedelta(hours=1)

        erase(store, now)
        for _ in range(5):
            deliver(store, "stored", now)
        do(store, "fetch", 0, now)
        # A delivery that was refused before, and that no removal came after, is waited for no longer than this
        store.erasures.finish_due(now + timedelta(days=31))

        kept = rows_of(store)
        assert MAIJA not in kept
        assert not [number for number in (1, 2, 3) if make_orcid_id(number).bare in kept]
        assert store.links.orcid_ids(UNIVERSITY, VILLE) == [make_orcid_id(9)]
        assert store.audit.verify(UNIVERSITY) == []
        store.close()
