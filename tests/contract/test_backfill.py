"""A transfer that is added later is sent what is linked already: once, in order, and by a command; on each engine."""

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from demo.idm.app import SECRET, Idm
from demo.idm.server import serve
from sql.records import RecordState
from tests.support.configuration import store_section, write_configuration
from tests.support.factories import make_link, make_orcid_id
from webapp.cli.main import main

MAIJA = "maija@yliopisto.example"
AKE = "ake@yliopisto.example"
UNIVERSITY = "yliopisto"
FIRST, SECOND, THIRD = (make_orcid_id(number) for number in (1, 2, 3))
COMMAND = ("transfer", "backfill", "yliopisto", "idm")
WARNED = "→ send them: orcid-connect transfer backfill yliopisto idm"


def run(path, *words):
    """Run a command and give its exit code and what it printed."""
    result = CliRunner().invoke(main, ["--config", str(path), *words], catch_exceptions=False)
    return result.exit_code, result.stdout or result.stderr


@pytest.fixture
def idm():
    """The new transfer's receiver."""
    return Idm([MAIJA, AKE])


@pytest.fixture
def path(tmp_path, store_url, idm):
    """The configuration once the transfer has been added."""
    with serve(idm) as server:
        transfer = {"name": "idm", "kind": "rest", "url": f"{server.address}/v1", "signing_secrets": ["file:secrets/s"]}
        yield write_configuration(
            tmp_path,
            store=store_section(tmp_path, store_url),
            organisations={"yliopisto": {"transfer": [transfer]}},
            secrets={"s": SECRET},
        )


def link(store, person, orcid_id, transfers=(), days=10):
    """Link a person some days ago."""
    return make_link(store, person, orcid_id, now=datetime.now(UTC) - timedelta(days=days), transfers=transfers)


def remove(store, person, transfers=()):
    store.links.remove(UNIVERSITY, person, "person", "removed by the person", datetime.now(UTC), transfers=transfers)


def owed(store):
    """Tell which deliveries wait: person, number of the change, transfer."""
    return [(each.person_key, each.change_number, each.transfer) for each in store.deliveries.list_waiting(UNIVERSITY)]


def test_links_older_than_the_transfer_are_sent(store, path, idm):
    link(store, MAIJA, FIRST)
    link(store, AKE, SECOND)

    assert run(path, *COMMAND) == (0, "2 links or removals of yliopisto queued for idm\n")
    assert run(path, "deliver", "--once") == (0, "delivered 2\n")
    assert (idm.get_ids(MAIJA), idm.get_ids(AKE)) == ({FIRST.bare}, {SECOND.bare})


def test_a_dry_run_writes_nothing(store, path):
    link(store, MAIJA, FIRST)

    assert run(path, *COMMAND, "--dry-run") == (0, "1 link or removal of yliopisto would be sent to idm\n")
    assert owed(store) == []
    assert [event.kind for event in store.audit.list_events(UNIVERSITY)] == ["linked"]


def test_a_suspended_id_is_not_sent(store, path):
    link(store, MAIJA, FIRST)
    (suspended,) = store.record_statuses.save(FIRST, RecordState.LOCKED, None, datetime.now(UTC))
    store.record_statuses.suspend(suspended, datetime.now(UTC))

    assert run(path, *COMMAND) == (0, "0 links or removals of yliopisto queued for idm\n")


def test_a_second_backfill_sends_nothing(store, path):
    link(store, MAIJA, FIRST)
    run(path, *COMMAND)
    run(path, "deliver", "--once")

    assert run(path, *COMMAND) == (0, "0 links or removals of yliopisto queued for idm\n")
    assert run(path, "deliver", "--once") == (0, "nothing is due\n")


def test_people_with_waiting_or_refused_deliveries_are_skipped(store, path):
    waiting = link(store, MAIJA, FIRST, transfers=["idm"])
    link(store, AKE, SECOND, transfers=["idm"])
    now = datetime.now(UTC)
    (refused,) = [each for each in store.deliveries.claim("w", now, timedelta(minutes=1), 2) if each.person_key == AKE]
    assert store.deliveries.dead_letter(refused, "w", "refused", "no", now)

    assert run(path, *COMMAND)[1].startswith("0 links")
    assert owed(store) == [(MAIJA, waiting.number, "idm")]


def test_only_current_links_are_sent(store, path, idm):
    link(store, MAIJA, FIRST, days=20)
    link(store, MAIJA, SECOND)
    link(store, AKE, THIRD)
    remove(store, AKE)

    assert run(path, *COMMAND)[1].startswith("1 link ")
    run(path, "deliver", "--once")
    assert (idm.get_ids(MAIJA), idm.get_ids(AKE)) == ({SECOND.bare}, set())


def test_a_later_change_is_delivered_after_the_backfill(store, path, idm):
    link(store, MAIJA, FIRST)
    link(store, AKE, SECOND)
    run(path, *COMMAND)
    make_link(store, MAIJA, THIRD, now=datetime.now(UTC), transfers=["idm"])
    remove(store, AKE, transfers=["idm"])

    assert run(path, "deliver", "--once") == (0, "delivered 4\n")
    assert (idm.get_ids(MAIJA), idm.get_ids(AKE)) == ({THIRD.bare}, set())


def test_a_reconfigured_transfer_is_sent_missed_changes(store, path):
    link(store, MAIJA, FIRST, transfers=["idm"])
    run(path, "deliver", "--once")
    replaced = link(store, MAIJA, SECOND, days=5)

    assert run(path, *COMMAND)[1].startswith("1 link ")
    assert owed(store) == [(MAIJA, replaced.number, "idm")]


@pytest.mark.parametrize("kept", [True, False], ids=["change kept", "change deleted"])
def test_a_reconfigured_transfer_is_sent_missed_removals(store, path, idm, kept):
    link(store, MAIJA, FIRST, transfers=["idm"])
    link(store, AKE, SECOND, transfers=["idm"])
    run(path, "deliver", "--once")
    remove(store, MAIJA)
    remove(store, AKE)
    make_link(store, AKE, FIRST, now=datetime.now(UTC))  # the iD that Maija has at the receiver
    if not kept:
        store.changes.delete_before(datetime.now(UTC))

    assert run(path, *COMMAND) == (0, "2 links or removals of yliopisto queued for idm\n")
    assert run(path, *COMMAND)[1].startswith("0 links")
    assert run(path, "deliver", "--once") == (0, "delivered 2\n")
    assert idm.get_ids(MAIJA) == set()
    assert FIRST.bare in idm.get_ids(AKE)


def test_the_removal_of_a_link_that_was_never_sent_is_not_sent(store, path):
    link(store, MAIJA, FIRST)
    remove(store, MAIJA)
    link(store, AKE, SECOND, transfers=["idm"])
    remove(store, AKE, transfers=["idm"])

    assert run(path, *COMMAND)[1].startswith("0 links")


def test_a_link_whose_change_is_no_longer_kept_is_sent(store, path, idm):
    link(store, MAIJA, FIRST, days=1000)
    assert store.changes.delete_before(datetime.now(UTC) - timedelta(days=700)) == 1

    assert run(path, *COMMAND)[1].startswith("1 link ")
    assert run(path, *COMMAND)[1].startswith("0 links ")
    run(path, "deliver", "--once")
    assert idm.get_ids(MAIJA) == {FIRST.bare}


def test_a_link_of_an_old_delivery_and_no_change_is_not_sent_again(store, path):
    link(store, MAIJA, FIRST, days=1000, transfers=["idm"])
    run(path, "deliver", "--once")  # which lets go of old changes too
    assert store.changes.newest_for_person(UNIVERSITY, MAIJA) is None

    assert run(path, *COMMAND)[1].startswith("0 links ")


def test_a_backfill_of_one_transfer_does_not_affect_the_check_of_others(store, path):
    link(store, MAIJA, FIRST, days=1000, transfers=["ldap"])
    store.changes.delete_before(datetime.now(UTC))
    (delivery,) = store.deliveries.claim("worker", datetime.now(UTC), timedelta(minutes=1), 1)
    store.deliveries.complete(delivery, "worker", "stored", "", datetime.now(UTC))
    store.changes.delete_before(datetime.now(UTC))

    run(path, *COMMAND)

    assert store.changes.newest_for_person(UNIVERSITY, MAIJA) is not None
    assert store.deliveries.count_missing(UNIVERSITY, "ldap") == store.deliveries.count_missing(UNIVERSITY, "idm") == 0


def test_a_link_that_was_made_again_after_a_removal_is_sent_again(store, path):
    link(store, MAIJA, FIRST, days=30, transfers=["idm"])
    store.links.remove(UNIVERSITY, MAIJA, "person", "", datetime.now(UTC) - timedelta(days=20), transfers=["idm"])
    link(store, MAIJA, SECOND, days=10)

    assert store.deliveries.count_missing(UNIVERSITY, "idm") == 1


def test_an_interrupted_backfill_is_resumed(store, path, monkeypatch):
    monkeypatch.setattr("sql.repositories.delivery.deliveries.PAGE_SIZE", 2)
    people = [f"person{number}@yliopisto.example" for number in range(1, 6)]
    for number, person in enumerate(people, 1):
        link(store, person, make_orcid_id(number))

    assert next(store.deliveries.backfill(UNIVERSITY, "idm", datetime.now(UTC))) == people[:2]
    assert run(path, *COMMAND)[1].startswith("3 links ")
    assert sorted(person for person, _, _ in owed(store)) == people


def test_the_backfill_is_in_the_audit_log(store, path):
    link(store, MAIJA, FIRST)

    run(path, *COMMAND)

    event = list(store.audit.list_events(UNIVERSITY))[-1]
    assert (event.kind, event.actor, event.person_key) == ("backfilled", "operator", None)
    assert event.facts == {"transfer": "idm", "deliveries": "1"}
    assert store.audit.verify(UNIVERSITY) == []


def test_check_reports_unsent_links_with_the_command(store, path):
    link(store, MAIJA, FIRST)
    link(store, AKE, SECOND)

    code, output = run(path, "check")

    assert code == 0
    assert "yliopisto, 2 links or removals were never sent to idm" in output
    assert WARNED in output
    run(path, *COMMAND)
    assert WARNED not in run(path, "check")[1]


def test_another_organisations_links_are_not_sent(store, path):
    make_link(store, MAIJA, FIRST, "amk")

    assert run(path, *COMMAND)[1].startswith("0 links")


def test_an_unknown_transfer_is_reported(path):
    assert run(path, "transfer", "backfill", "yliopisto", "idn") == (
        1,
        "orcid-connect: yliopisto has no transfer idn; it has: idm\n",
    )
