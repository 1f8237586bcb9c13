"""The health pages of a worker."""

import json

import pytest

from resolver_connector.delivery.health import MAX_IDLE, worker_health
from shibboleth.process_state import ProcessState
from sql.errors import StoreUnavailable
from tests.support.delivery import Idm, make_worker
from tests.support.ports import free_port
from tests.support.processes.servers import ask as ask_server
from tests.support.processes.servers import configuration, start
from tests.support.service import Clock, ask


def statuses(app):
    return [ask(app, path).status for path in ("/healthz", "/readyz")]


def test_a_worker_at_work_is_alive_and_ready_until_it_ends(store):
    process = ProcessState("0123456789abcdef")
    app = worker_health(store, lambda: 1.0, process)

    assert statuses(app) == [200, 200]
    assert ask(app, "/readyz").header("Configuration-Digest") == "0123456789abcdef"
    process.ending = True
    assert statuses(app) == [200, 503]


def test_a_worker_that_hangs_is_neither_alive_nor_ready(store):
    assert statuses(worker_health(store, lambda: MAX_IDLE + 1, ProcessState())) == [503, 503]


def test_a_worker_without_its_database_is_alive_and_not_ready(store, monkeypatch):
    def refuse():
        raise StoreUnavailable("locked")

    monkeypatch.setattr(store, "check_writable", refuse)
    app = worker_health(store, lambda: 1.0, ProcessState())

    assert statuses(app) == [200, 503]
    assert json.loads(ask(app, "/readyz").body) == {"error": "locked"}


@pytest.mark.parametrize(
    ("path", "method", "status"), [("/", "GET", 404), ("/healthz", "HEAD", 200), ("/healthz", "POST", 405)]
)
def test_other_paths_are_not_found(store, path, method, status):
    reply = ask(worker_health(store, lambda: 1.0, ProcessState()), path, method)

    assert reply.status == status
    assert (reply.body == b"") == (method == "HEAD")


def test_a_worker_that_has_begun_a_round_just_now_says_so(store):
    worker = make_worker(store, {"idm": Idm()}, Clock())

    assert 0 <= worker.idle_seconds < 60


def test_the_process_of_a_worker_serves_them(tmp_path):
    port = free_port()
    path = configuration(tmp_path, worker={"port": port})
    worker = start(path, "deliver")
    try:
        assert worker.stdout.readline() == "delivering for 1 organisation\n"
        for _ in range(100):
            try:
                found = ask_server(f"http://127.0.0.1:{port}", "/readyz")
                break
            except ConnectionRefusedError:
                pass
        assert found.status == 200
        worker.terminate()
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.communicate()


def test_an_occupied_address_is_reported(tmp_path):
    path = configuration(tmp_path, worker={"unix": str(tmp_path / "nowhere" / "worker.sock")})
    worker = start(path, "deliver")

    _, said = worker.communicate(timeout=60)

    assert worker.returncode == 1
    assert "cannot listen on" in said
