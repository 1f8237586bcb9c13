"""The worker and the trial of an interface, as the operator types them; on each engine."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner
from freezegun import freeze_time

from demo.idm.app import SECRET, Idm
from demo.idm.server import serve
from resolver_connector.delivery.settings import WorkerSettings
from resolver_connector.delivery.transfer_test import SECOND
from shibboleth.orcid_id import Registry
from sql.records import DeliveryState
from tests.support.configuration import store_section, write_configuration
from tests.support.delivery import eventually
from tests.support.docs import ROOT
from tests.support.factories import NOON, make_link, make_orcid_id
from webapp.cli.main import main
from webapp.config.service import OrcidSettings

MAIJA = "maija@yliopisto.example"
AKE = "ake@yliopisto.example"
UNIVERSITY = "yliopisto"
FIRST = make_orcid_id(1)
DEAD = "http://127.0.0.1:1/v1"


def run(path, *words):
    """Run a command and give its exit code and what it printed."""
    result = CliRunner().invoke(main, ["--config", str(path), *words], catch_exceptions=False)
    return result.exit_code, result.stdout if result.exit_code != 1 or result.stdout else result.stderr


@pytest.fixture
def noon():
    """What everything in this process takes the time to be; it goes on as it is told."""
    with freeze_time(NOON) as clock:
        yield clock


@pytest.fixture
def idm():
    """Where changes arrive, and its address."""
    idm = Idm([MAIJA, AKE], now=lambda: datetime.now(UTC).timestamp())
    with serve(idm) as server:
        yield idm, f"{server.address}/v1"


@pytest.fixture
def written(tmp_path, store_url):
    """Write a configuration whose university has a transfer to an address, and one to a directory."""

    def written(address, **settings):
        (tmp_path / "spool").mkdir(exist_ok=True)
        rest = {"name": "idm", "kind": "rest", "url": address, "signing_secrets": ["file:secrets/sign"]}
        file = {"name": "nightly", "kind": "file", "directory": "spool"}
        return write_configuration(
            tmp_path,
            store=store_section(tmp_path, store_url),
            organisations={"yliopisto": {"transfer": [rest, file], **settings}},
            secrets={"sign": SECRET},
        )

    return written


def link(store, person=MAIJA, orcid_id=FIRST, **other):
    """Link a person, and owe it to both transfers."""
    return make_link(store, person, orcid_id, now=datetime.now(UTC), transfers=["idm", "nightly"], **other)


def states(store):
    """Tell how the deliveries of the university stand."""
    return {(each.transfer, each.state.value): each.count for each in store.deliveries.counts(UNIVERSITY)}


# deliver


def test_what_is_due_is_delivered_once(written, store, idm, tmp_path):
    there, address = idm
    path = written(address)
    link(store)

    assert run(path, "deliver", "--once") == (0, "delivered 2\n")
    assert run(path, "deliver", "--once") == (0, "nothing is due\n")
    assert there.get_ids(MAIJA) == {FIRST.bare}
    (spooled,) = (tmp_path / "spool").iterdir()
    assert FIRST.uri in spooled.read_text()


def test_a_failed_delivery_is_reported_by_check(written, store):
    link(store)

    assert run(written(DEAD), "deliver", "--once") == (1, "delivered 1, rescheduled 1\n")


def test_a_dry_run_sends_nothing_and_lists_waiting_deliveries(written, store, idm, noon):
    there, address = idm
    path = written(address)
    link(store)

    code, output = run(path, "deliver", "--dry-run")

    assert code == 0
    assert output == (
        f"yliopisto  idm  linked  {MAIJA}  due 2026-01-15 12:00:00 UTC\n"
        f"yliopisto  nightly  linked  {MAIJA}  due 2026-01-15 12:00:00 UTC\n"
        "2 deliveries are waiting\n"
        "  yliopisto idm: 1\n"
        "  yliopisto nightly: 1\n"
    )
    assert not there.received
    assert states(store) == {("idm", "waiting"): 1, ("nightly", "waiting"): 1}


def test_a_failed_delivery_is_due_at_the_time_shown(written, store, idm, noon):
    there, address = idm
    path = written(address)
    there.set_fault("503")
    link(store)
    run(path, "deliver", "--once")

    (owed, *_) = run(path, "deliver", "--dry-run")[1].splitlines()
    assert owed == f"yliopisto  idm  linked  {MAIJA}  due 2026-01-15 12:05:00 UTC, after 1 try: temporary"
    there.clear_fault()
    noon.tick(timedelta(minutes=4, seconds=59))
    assert run(path, "deliver", "--once") == (0, "nothing is due\n")
    noon.tick(timedelta(seconds=1))
    assert run(path, "deliver", "--once") == (0, "delivered 1\n")


def test_a_delivery_becomes_a_dead_letter_after_three_days(written, store, noon):
    path = written(DEAD)
    link(store)
    run(path, "deliver", "--once")
    noon.tick(timedelta(minutes=10))
    run(path, "deliver", "--once")
    noon.tick(timedelta(days=3, minutes=-10, seconds=-1))
    assert run(path, "deliver", "--once") == (1, "rescheduled 1\n")
    noon.tick(timedelta(seconds=1))

    assert run(path, "deliver", "--once") == (1, "dead-letter 1\n")


def test_a_dead_letter_can_be_retried(written, store, idm):
    there, address = idm
    path = written(address)
    link(store, "ville@yliopisto.example")
    assert run(path, "deliver", "--once") == (1, "dead-letter 1, delivered 1\n")
    there.directory.add("ville@yliopisto.example")

    taken_up = run(path, "deliver", "--retry", "yliopisto", "--transfer", "idm")

    assert taken_up == (0, "1 given-up delivery and 0 waiting are due now\n")
    assert run(path, "deliver", "--once") == (0, "delivered 1\n")
    assert [event.kind for event in store.audit.list_events(UNIVERSITY)][-2:] == ["dead-letters-retried", "delivered"]


def test_a_waiting_delivery_can_be_tried_now(written, store, idm):
    there, address = idm
    path = written(address)
    there.set_fault("429")
    link(store)
    run(path, "deliver", "--once")
    there.clear_fault()
    assert run(path, "deliver", "--once") == (0, "nothing is due\n")

    run(path, "deliver", "--retry", "yliopisto")

    assert run(path, "deliver", "--once") == (0, "delivered 1\n")


def test_retrying_for_an_unknown_organisation_or_transfer_is_refused(written):
    path = written(DEAD)

    assert run(path, "deliver", "--retry", "ylioposto")[0] == 1
    assert "never had a delivery" in run(path, "deliver", "--retry", "yliopisto", "--transfer", "idn")[1]
    assert run(path, "deliver", "--transfer", "idm")[0] == 2


def test_the_worker_delivers_until_it_is_told_to_end(written, store, idm):
    there, address = idm
    command = [sys.executable, "-m", "webapp", "--config", str(written(address)), "deliver"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stdout.readline() == "delivering for 1 organisation\n"
        link(store)
        eventually(lambda: {state for _, state in states(store)} == {"done"})
        worker.send_signal(signal.SIGTERM)
        _, log = worker.communicate(timeout=60)

    assert worker.returncode == 0
    assert there.get_ids(MAIJA) == {FIRST.bare}
    assert sorted(log.splitlines()) == [
        "delivered organisation=yliopisto transfer=idm outcome=stored tries=1",
        "delivered organisation=yliopisto transfer=nightly outcome=stored tries=1",
    ]


class SlowOrcid(BaseHTTPRequestHandler):
    """ORCID's public API, of which each answer takes a second, and each record was merged into the next one."""

    def do_GET(self):
        self.server.asked.append(self.path)
        time.sleep(1)
        path = self.path.removeprefix("/pub/v3.0")
        if path.endswith("/apiStatus"):
            return self._answer(200, {"overallOk": True})
        mine, primary = path.split("/")[1], make_orcid_id(len(self.server.asked), Registry.SANDBOX).bare
        text = f"This account is deprecated. Please refer to account: https://orcid.org/{primary}. ORCID {mine}"
        return self._answer(409, {"error-code": 9007, "developer-message": text})

    def _answer(self, status, content):
        body = json.dumps(content).encode()
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_worker_that_is_stopped_during_look_ups_waits_for_one_request_alone(tmp_path, store, store_url):
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowOrcid)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    path = write_configuration(
        tmp_path,
        store=store_section(tmp_path, store_url),
        orcid={"base_url": f"http://127.0.0.1:{server.server_port}", "status_check_days": 30},
    )
    for number in range(1, 9):
        make_link(store, f"p{number}@yliopisto.example", make_orcid_id(100 + number, Registry.SANDBOX))
    command = [sys.executable, "-m", "webapp", "--config", str(path), "deliver"]
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as worker:
            eventually(lambda: len(server.asked) > 1)
            worker.send_signal(signal.SIGTERM)
            began, asked = time.monotonic(), len(server.asked)
            worker.communicate(timeout=60)
        assert (worker.returncode, len(server.asked)) == (0, asked)
        assert time.monotonic() - began < 4
    finally:
        server.shutdown()
        server.server_close()


def test_the_longest_request_of_a_worker_is_shorter_than_the_time_that_systemd_grants():
    unit = (ROOT / "shibboleth/handout/templates/machine/orcid-connect-deliver.service").read_text()
    granted = int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1])
    settings = OrcidSettings.model_fields
    look_up = sum(settings[name].default for name in ("connect_timeout", "read_timeout"))

    assert max(WorkerSettings().try_timeout, look_up) + 10 <= granted


def test_a_removal_by_the_operator_is_delivered(written, store, idm):
    there, address = idm
    path = written(address)
    link(store)
    run(path, "deliver", "--once")

    run(path, "link", "remove", "yliopisto", MAIJA, "--reason", "asked", "--yes")

    assert run(path, "deliver", "--once") == (0, "delivered 2\n")
    assert there.get_ids(MAIJA) == set()


# check


def findings(path):
    """Give what check says of transfers."""
    _, output = run(path, "check")
    said = [line for line in output.splitlines() if re.match(r"\w+ +transfer ", line) or "→" in line]
    return [re.sub(" +", " ", line).strip() for line in said]


def test_check_reports_the_state_of_transfers(written, store, idm, noon):
    there, address = idm
    path = written(address)
    assert findings(path) == [
        "ok transfer yliopisto, nothing waits for idm",
        "ok transfer yliopisto, nothing waits for nightly",
    ]
    there.set_fault("429")
    link(store)
    link(store, AKE, make_orcid_id(2))
    store.deliveries.dead_letter(
        *store.deliveries.claim("w", datetime.now(UTC), timedelta(minutes=1), 1), "w", "refused", "", datetime.now(UTC)
    )
    run(path, "deliver", "--once")

    assert findings(path) == [
        "info transfer yliopisto, 1 waiting for idm, the oldest since 2026-01-15 12:00 UTC",
        "warning transfer yliopisto, 1 given up for idm",
        "→ see why: orcid-connect history yliopisto; then: orcid-connect deliver --retry yliopisto",
        "warning transfer yliopisto, idm is paused until 2026-01-15 12:02:00 UTC, after 1 failure",
        "→ test it: orcid-connect transfer test yliopisto --transfer idm",
        "ok transfer yliopisto, nothing waits for nightly",
    ]


def test_check_names_a_removed_transfer_with_waiting_deliveries(written, store):
    make_link(store, MAIJA, FIRST, now=NOON, transfers=["old"])

    assert findings(written(DEAD))[-3:] == [
        "info transfer yliopisto, 1 waiting for old, the oldest since 2026-01-15 12:00 UTC",
        "warning transfer yliopisto has deliveries for old, which is no longer configured",
        '→ add [[transfer]] with name = "old" again; otherwise they are given up after three days',
    ]


def test_check_names_missing_files_of_a_transfer(written, tmp_path):
    path = written(DEAD)
    (tmp_path / "spool").rmdir()

    assert (
        f"error transfer yliopisto, nightly: {tmp_path}/spool is missing, or not accessible to this user"
        in findings(path)
    )
    assert run(path, "check")[0] == 1


# transfer test


def test_transfer_test_uses_a_made_up_person(written, idm, store):
    there, address = idm
    path = written(address)

    code, output = run(path, "transfer", "test", "yliopisto", "--account", MAIJA)

    assert code == 0
    assert output == (
        f"yliopisto, idm (rest), as {MAIJA}\n"
        "  ok      link        stored\n"
        '  ok      link again  already-there: "received before"\n'
        "  ok      replace     stored\n"
        "  ok      remove      stored\n"
        "\n"
        f"yliopisto, nightly (file), as {MAIJA}\n"
        "  ok      link        stored\n"
        "  ok      link again  already-there\n"
        "  ok      replace     stored\n"
        "  ok      remove      stored\n"
        "\n"
        "All steps succeeded.\n"
    )
    assert there.get_ids(MAIJA) == set()
    assert [arrived.request.object()["type"] for arrived in there.received] == [
        "orcid.linked",
        "orcid.linked",
        "orcid.replaced",
        "orcid.removed",
    ]
    assert store.changes.last_number(UNIVERSITY) == 0


def test_transfer_test_reports_failures_with_their_fix(written, idm):
    _, address = idm

    code, output = run(written(address), "transfer", "test", "yliopisto", "--transfer", "idm")

    first, failed, mend, *_, last = output.splitlines()
    assert code == 1
    assert first == "yliopisto, idm (rest), as orcid-connect-test@yliopisto.example"
    assert failed == '  failed  link        unknown-person: "unknown account orcid-connect-test@yliopisto.example"'
    assert "→ use --account" in mend
    assert output.count("not tried") == 3
    assert last == "1 step failed."


def test_transfer_test_removes_its_link_although_the_replacement_failed(written, idm):
    there, address = idm
    there.directory.add(AKE, SECOND.uri)

    _, output = run(written(address), "transfer", "test", "yliopisto", "--transfer", "idm", "--account", MAIJA)

    assert "failed  replace     conflict" in output
    assert "ok      remove      stored" in output
    assert there.get_ids(MAIJA) == set()


def test_transfer_test_needs_a_transfer(written, tmp_path):
    path = written(DEAD)

    assert (
        "has no transfer idn; it has: idm, nightly"
        in run(path, "transfer", "test", "yliopisto", "--transfer", "idn")[1]
    )
    path = write_configuration(tmp_path / "other")
    assert "has no transfer; see [[transfer]] in docs/settings.md" in run(path, "transfer", "test", "yliopisto")[1]


def test_transfer_test_of_a_production_directory_must_be_confirmed(written, idm, tmp_path):
    there, address = idm
    path = written(address, stage="production")
    path.write_text(path.read_text().replace('"sandbox"', '"production"'))

    code, output = run(path, "transfer", "test", "yliopisto", "--account", MAIJA)

    assert code == 1
    assert "is in production" in output
    assert not there.received
    assert run(path, "transfer", "test", "yliopisto", "--account", MAIJA, "--yes")[0] == 0


# What is not kept


def test_links_that_are_not_kept_are_deleted_after_their_delivery(written, store, idm, noon):
    there, address = idm
    path = written(address, keep="nothing", credential=None)
    link(store)
    run(path, "deliver", "--once")
    assert store.links.count(UNIVERSITY) == 1

    noon.tick(timedelta(minutes=16))
    run(path, "deliver", "--once")

    assert there.get_ids(MAIJA) == {FIRST.bare}
    assert store.links.count(UNIVERSITY) == 0
    assert store.deliveries.list_for_person(UNIVERSITY, MAIJA) == []
    assert {each.state for each in store.deliveries.counts(UNIVERSITY)} == {DeliveryState.DONE}


def test_delivered_changes_are_deleted_after_two_years(written, store, idm, noon):
    _, address = idm
    path = written(address)
    link(store)
    run(path, "deliver", "--once")
    noon.tick(timedelta(days=730))
    run(path, "deliver", "--once")
    assert len(store.changes.list_after(UNIVERSITY, 0, 10)) == 1

    noon.tick(timedelta(seconds=1))
    run(path, "deliver", "--once")

    assert store.changes.list_after(UNIVERSITY, 0, 10) == []
