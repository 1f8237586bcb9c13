"""No health page, check, metric or operator's page says that all is well while nothing can be written."""

import json
import os
import re
import resource
import sqlite3
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version
from threading import Barrier, Thread
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from resolver_connector.app import Connector
from resolver_connector.credentials import Credentials
from shibboleth.orcid_id import Registry
from shibboleth.process_state import ProcessState
from sql.errors import StoreUnavailable
from sql.health import MAX_DELAY, MAX_WAL_BACKLOG, WriteCheck
from sql.store import open_store
from tests.support.configuration import store_section, write_configuration
from tests.support.database import make_sqlite
from tests.support.factories import UNIVERSITY, make_link, make_orcid_id
from tests.support.service import Clock, WebClient, ask, make_orcid_client, make_web_app
from webapp.app import make_app
from webapp.auth.named_people import NamedPeople
from webapp.cli.main import main
from webapp.operator.access import AdminAccess

ACCOUNT = "maija@yliopisto.example"
TOKEN = "token-of-the-monitoring-" + "m" * 32
ACCESS = AdminAccess(operators=(NamedPeople.parse(UNIVERSITY, (ACCOUNT,)),), metrics_token=TOKEN)
NOTHING_SAVED = "Nothing can be saved right now"


def read_only(store, url):
    """Return a store that can only be read, as on a read-only disk or on a standby server."""
    if url.startswith("postgresql:"):
        separator = "&" if "?" in url else "?"
        return open_store(f"{url}{separator}options=-c%20default_transaction_read_only%3Don")
    with store.engine.connection() as connection:
        connection.execute("pragma query_only = on")
    return store


def pages(store):
    """Ask everything that tells an operator how the service is."""
    clock = Clock()
    app = make_app(make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), clock, admin_access=ACCESS))
    connector = Connector(store, Credentials({}), Registry.PRODUCTION, lambda *_, **__: None, clock)
    return SimpleNamespace(
        alive=[ask(each, "/healthz").status for each in (app, connector)],
        readyz=ask(app, "/readyz"),
        connector=ask(connector, "/readyz"),
        metrics=ask(app, "/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}").text,
        operator=WebClient(app, ACCOUNT).get("/operator").text,
    )


def check(tmp_path, url):
    """Run `check` and return its exit code and what it says of the store."""
    path = write_configuration(tmp_path / "etc", store=store_section(tmp_path / "etc", url))
    done = CliRunner().invoke(main, ["--config", str(path), "check", "--json"], catch_exceptions=False)
    return done.exit_code, [
        (each["level"], each["text"]) for each in json.loads(done.stdout)["results"] if each["subject"] == "store"
    ]


def test_a_writable_database_is_healthy(store, tmp_path, store_url):
    found = pages(store)

    assert (found.readyz.status, found.readyz.body) == (200, b"ok\n")
    assert (found.connector.status, found.connector.body) == (200, b'{"status": "ok"}')
    assert "\norcid_connect_store_up 1.0\n" in found.metrics
    assert "\norcid_connect_store_writable 1.0\n" in found.metrics
    assert NOTHING_SAVED not in found.operator
    assert check(tmp_path, store_url)[1][-1] == ("ok", "it can be written")


def test_a_read_only_database_is_unhealthy(store, store_url):
    reader = read_only(store, store_url)

    found = pages(reader)

    reader.close()
    assert found.alive == [200, 200]
    assert found.readyz.status == 503
    assert found.connector.status == 503
    assert "\norcid_connect_store_up 1.0\n" in found.metrics
    assert "\norcid_connect_store_writable 0.0\n" in found.metrics
    assert NOTHING_SAVED in found.operator


def test_a_process_that_ends_is_alive_and_not_ready_and_says_what_it_has_loaded(store):
    process = ProcessState("0123456789abcdef")
    clock, front = Clock(), make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), Clock())
    app = make_app(replace(front, context=replace(front.context, process=process)))
    connector = Connector(store, Credentials({}), Registry.PRODUCTION, clock, process=process)
    both = ((app, "/healthz", "/readyz"), (connector, "/healthz", "/readyz"), (connector, "/healthz", "/v1/health"))

    before = [ask(each, ready).status for each, _, ready in both]
    process.ending = True

    assert before == [200, 200, 200]
    assert [ask(each, ready).status for each, _, ready in both] == [503, 503, 503]
    assert [ask(each, alive).status for each, alive, _ in both] == [200, 200, 200]
    assert {ask(each, ready).header("Configuration-Digest") for each, _, ready in both} == {"0123456789abcdef"}
    assert {ask(each, alive).header("Service-Version") for each, alive, _ in both} == {version("orcid-connect")}


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_full_disk_is_detected_before_the_log_is_full(store, store_url, tmp_path, monkeypatch):
    disk = SimpleNamespace(f_blocks=1000, f_bavail=1, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _path: disk)

    found = pages(store)

    assert (found.readyz.status, found.connector.status) == (503, 503)
    assert NOTHING_SAVED in found.operator
    assert check(tmp_path, store_url) == (
        1,
        [("ok", check(tmp_path, store_url)[1][0][1]), ("error", "nothing can be written: the disk is full")],
    )


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_disk_of_unknown_size_is_not_reported_as_full(store, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_blocks=0, f_bavail=0, f_frsize=4096))

    assert store.check_writable() == 0


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_lock_held_by_another_process_is_reported_within_the_time_out(store, store_url, tmp_path):
    url = store_url
    impatient = open_store(url, timeout=0.05)
    with closing(sqlite3.connect(url.removeprefix("sqlite://"), isolation_level=None)) as other:
        other.execute("begin immediate")

        found = pages(impatient)

    assert found.readyz.status == 503
    assert "\norcid_connect_store_writable 0.0\n" in found.metrics
    assert NOTHING_SAVED in found.operator
    impatient.close()


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_growing_write_ahead_log_is_reported(store, store_url, tmp_path, monkeypatch):
    make_link(store, "first@yliopisto.example", make_orcid_id(9))
    with closing(sqlite3.connect(store_url.removeprefix("sqlite://"), isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from links").fetchall()
        make_link(store)
        backlog = store.engine.wal_backlog()
        for module in ("webapp.pages.public", "resolver_connector.app", "webapp.operator.pages", "webapp.checks.store"):
            monkeypatch.setattr(f"{module}.MAX_WAL_BACKLOG", 4096)

        found = pages(store)
        code, told = check(tmp_path, store_url)

    assert backlog > 4096
    assert found.readyz.text.startswith("the write-ahead log grows: ")
    assert json.loads(found.connector.body) == {"status": "wal-growing"}
    (metric,) = re.findall(r"\norcid_connect_store_wal_backlog_bytes (\S+)\n", found.metrics)
    assert float(metric) >= backlog
    assert "The write-ahead log of the database is growing" in found.operator
    assert (code, told[-1][0]) == (0, "warning")
    assert store.engine.wal_backlog() == 0
    assert MAX_WAL_BACKLOG == 64 * 1024 * 1024


class SlowEngine:
    """An engine whose writes wait for the test, and are counted."""

    def __init__(self):
        self.writes, self.error, self.gate = 0, None, None

    def check_writable(self):
        self.writes += 1
        if self.gate:
            self.gate.wait(5)
        if self.error:
            raise self.error

    def wal_backlog(self):
        return 7


def test_health_pages_cost_one_write_a_second():
    engine, now = SlowEngine(), [0.0]
    write_check = WriteCheck(engine, 1.0, lambda: now[0])

    assert [write_check.run() for _ in range(20)] == [7] * 20
    assert engine.writes == 1
    now[0] = 1.0
    engine.error = StoreUnavailable("the disk is full")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            write_check.run()
    assert engine.writes == 2
    now[0], engine.error = 2.0, None
    assert write_check.run() == 7


def test_a_silent_database_occupies_one_thread():
    engine, now = SlowEngine(), [0.0]
    write_check = WriteCheck(engine, 1.0, lambda: now[0])
    write_check.run()
    now[0], engine.gate = 1.0, Barrier(2)
    waiting = Thread(target=write_check.run)
    waiting.start()
    while engine.writes < 2:
        pass

    assert write_check.run() == 7

    engine.gate.wait(5)
    waiting.join(60)
    assert not waiting.is_alive()


@pytest.mark.parametrize("answered_before", [True, False])
def test_a_database_that_hangs_is_unavailable_for_all_threads(answered_before):
    engine, now = SlowEngine(), [0.0]
    write_check = WriteCheck(engine, 1.0, lambda: now[0])
    if answered_before:
        write_check.run()
    now[0], engine.gate, before = 1.0, Barrier(2), engine.writes
    waiting = Thread(target=write_check.run, daemon=True)
    waiting.start()
    while engine.writes == before:
        pass

    now[0] = 1.0 + MAX_DELAY - 0.1
    if answered_before:
        assert write_check.run() == 7
    now[0] += 0.2
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="the database does not answer"):
            write_check.run()

    engine.gate.wait(5)
    waiting.join(60)
    assert write_check.run() == 7


def test_after_an_idle_hour_a_thread_waits_for_the_write_of_another():
    engine, now = SlowEngine(), [0.0]
    write_check = WriteCheck(engine, 1.0, lambda: now[0])
    write_check.run()
    now[0], engine.gate = 3600.0, Barrier(2)
    results = []
    threads = [Thread(target=lambda: results.append(write_check.run()), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    engine.gate.wait(5)
    for thread in threads:
        thread.join(60)

    assert (results, engine.writes) == ([7, 7], 2)


def test_a_failed_write_leaves_no_transaction_open(tmp_path):
    store = open_store(make_sqlite(tmp_path))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    store.engine.check_writable()

    # As on a full disk: no file may grow
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, limit[1]))
    try:
        with pytest.raises(StoreUnavailable):
            store.engine.check_writable()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    store.engine.check_writable()
    assert make_link(store).number == 1
    store.close()
