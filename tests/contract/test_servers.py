"""`serve` and `connector` keep the promises of a server, as processes of their own."""

import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib.metadata import version

import pytest
from click.testing import CliRunner

from tests.support.configuration import ALL_RIGHTS, TOKEN, write_configuration, write_secret
from tests.support.ports import free_port
from tests.support.processes.raw_client import sent
from tests.support.processes.servers import ask, configuration, connection, running, start
from webapp.cli.main import main
from webapp.config.loader import load

AMK = {"entity_ids": "https://idp.amk.example/idp", "credential": None}
COMMANDS = ("serve", "connector")
SECTIONS = {"serve": "listen", "connector": "connector"}


@pytest.mark.parametrize("command", COMMANDS)
def test_port_0_is_a_free_one_and_the_ready_line_names_it(tmp_path, command):
    path = configuration(tmp_path, **{SECTIONS[command]: {"port": 0}})

    with running(path, command) as (_, address):
        assert address.startswith("http://127.0.0.1:")
        assert ask(address).status in {200, 401, 403, 404}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_server_that_is_asked_to_end_ends_well(tmp_path, command, number):
    path = configuration(tmp_path, **{SECTIONS[command]: {"port": 0}})

    with running(path, command) as (process, _):
        process.send_signal(number)

        assert process.wait(60) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_socket_is_for_owner_and_group_and_goes_with_the_server(tmp_path, command):
    place = tmp_path / "app.sock"
    path = configuration(tmp_path, **{SECTIONS[command]: {"unix": str(place)}})

    with running(path, command) as (process, address):
        assert address == f"unix:{place}"
        assert stat.S_IMODE(place.stat().st_mode) == 0o660
        assert ask(address).status in {200, 401, 403, 404}
        process.terminate()
        process.wait(60)

    assert not place.exists()


def test_a_socket_that_a_killed_server_left_is_no_hindrance(tmp_path):
    path = configuration(tmp_path, connector={"unix": str(tmp_path / "app.sock")})

    with running(path, "connector") as (process, _):
        process.kill()
        process.wait(60)

    with running(path, "connector") as (_, address):
        assert ask(address).status == 200


def test_a_socket_that_another_server_answers_is_left_alone(tmp_path):
    path = configuration(tmp_path, connector={"unix": str(tmp_path / "app.sock")})

    with running(path, "connector") as (_, address):
        second = start(path, "connector")
        _, said = second.communicate(timeout=60)

        assert second.returncode == 1
        assert said == f"orcid-connect: cannot listen on {tmp_path}/app.sock: Address already in use\n"
        assert ask(address).status == 200


def test_a_file_in_the_sockets_place_is_left_alone(tmp_path):
    (tmp_path / "app.sock").write_text("a file of somebody's")
    path = configuration(tmp_path, connector={"unix": str(tmp_path / "app.sock")})

    process = start(path, "connector")
    _, said = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "cannot listen on" in said
    assert (tmp_path / "app.sock").read_text() == "a file of somebody's"


def test_an_occupied_port_is_reported(tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        process = start(configuration(tmp_path, connector={"port": port}), "connector")
        _, said = process.communicate(timeout=60)

    assert process.returncode == 1
    assert said == f"orcid-connect: cannot listen on 127.0.0.1 port {port}: Address already in use\n"


def test_the_other_loopback_is_listened_on_as_well(tmp_path):
    path = configuration(tmp_path, connector={"host": "::1", "port": 0})

    with running(path, "connector") as (_, address):
        assert address.startswith("http://[::1]:")
        assert ask(address).status == 200


def test_a_server_does_not_say_what_it_is(tmp_path):
    path = configuration(tmp_path, connector={"port": 0})

    with running(path, "connector") as (_, address):
        assert ask(address).headers["Server"] is None


def test_a_body_larger_than_any_form_of_ours_is_refused(tmp_path):
    path = configuration(tmp_path, listen={"port": 0})

    with running(path, "serve") as (_, address):
        port, length = int(address.rpartition(":")[2]), 16 * 1024 * 1024 + 1
        assert sent(port, "/", "POST", f"Host: connect.example\r\nContent-Length: {length}\r\n")[0] == 413


SLOW = """
import pathlib, sys, time
from webapp.config.loader import load
from webapp.cli.serve.server import serve

def application(environ, start_response):
    print("began", flush=True)
    time.sleep(float(sys.argv[2]))
    start_response("200 OK", [("Content-Length", "4")])
    return [b"done"]

serve(application, load(pathlib.Path(sys.argv[1]), {}).connector, lambda address: print(address, flush=True))
print("ended", flush=True)
"""


def test_a_request_that_is_being_answered_is_answered_to_its_end(tmp_path):
    path = configuration(tmp_path, connector={"port": 0})
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(path), "0.3"], stdout=subprocess.PIPE, text=True)
    with closing(connection(process.stdout.readline().strip())) as wire:
        wire.request("GET", "/")
        assert process.stdout.readline() == "began\n"
        process.terminate()
        answer = wire.getresponse().read()
    said, _ = process.communicate(timeout=60)

    assert answer == b"done"
    assert (said, process.returncode) == ("ended\n", 0)


def test_a_slow_client_does_not_prevent_the_end_of_a_server(tmp_path):
    path = configuration(tmp_path, connector={"port": 0})
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(path), "600"], stdout=subprocess.PIPE, text=True)
    with closing(connection(process.stdout.readline().strip())) as wire:
        wire.request("GET", "/")
        assert process.stdout.readline() == "began\n"
        begun = time.monotonic()
        process.terminate()
        said, _ = process.communicate(timeout=60)

    assert (said, process.returncode) == ("ended\n", 0)
    assert 4 < time.monotonic() - begun < 40


BY_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "webapp", *sys.argv[2:]])
"""
"""Starts a server as systemd does (sd_listen_fds(3)): the listening socket is file descriptor 3."""


@contextmanager
def started_by_systemd(listener, path, command):
    """Give a server that listens on a socket which is not its own, and the address it named."""
    words = [sys.executable, "-c", BY_SYSTEMD, str(listener.fileno()), "--config", str(path), command]
    with subprocess.Popen(words, pass_fds=[listener.fileno()], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, process.stdout.readline().removeprefix("listening on ").strip()
        finally:
            process.terminate()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_socket_of_systemd_is_listened_on_and_left_where_it_is(tmp_path, command):
    place = tmp_path / "systemd.sock"
    path = configuration(tmp_path, **{SECTIONS[command]: {"unix": str(tmp_path / "unused.sock")}})

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()
        with started_by_systemd(listener, path, command) as (process, address):
            assert address == f"unix:{place}"
            assert ask(address).status in {200, 404}
            process.terminate()
            assert process.wait(60) == 0

    assert place.exists()
    assert not (tmp_path / "unused.sock").exists()


def test_a_socket_that_systemd_gave_to_another_process_is_not_taken(tmp_path, monkeypatch):
    path = configuration(tmp_path, connector={"port": 0})
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", "1")

    with running(path, "connector") as (_, address):
        assert ask(address).status == 200


def test_no_connection_is_refused_while_a_server_on_a_socket_of_systemd_restarts(tmp_path):
    path = configuration(tmp_path)
    ended, came = threading.Event(), []

    def client(address):
        while not ended.is_set():
            try:
                came.append(ask(address).status)
            except (http.client.HTTPException, OSError) as error:
                came.append(type(error))
            time.sleep(0.02)

    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        ThreadPoolExecutor(2) as clients,
        ExitStack() as stack,
    ):
        stack.callback(ended.set)
        with started_by_systemd(listener, path, "connector") as (_, address):
            loads = [clients.submit(client, address) for _ in range(2)]
            wait_until(lambda: len(came) > 5)
        before = len(came)
        with started_by_systemd(listener, path, "connector"):
            wait_until(lambda: len(came) > before + 5)
            ended.set()
            for each in loads:
                each.result(60)

    assert ConnectionRefusedError not in came
    # What was being answered just then may be lost: docs/operator/run.md
    assert len([each for each in came if each != 200]) <= 2


@pytest.mark.parametrize("command", COMMANDS)
def test_a_server_that_drains_is_not_ready_and_still_answers_until_it_is_idle(tmp_path, command):
    path = configuration(tmp_path, **{SECTIONS[command]: {"port": 0, "drain_seconds": 4.0}})

    with running(path, command) as (process, address):
        assert ask(address, "/readyz").status == 200
        process.terminate()
        answers = {ask(address, "/readyz").status for _ in range(3)}
        assert answers == {503}
        assert ask(address, "/healthz").status == 200
        begun = time.monotonic()
        assert process.wait(60) == 0

    assert time.monotonic() - begun < 20


def test_a_second_signal_ends_a_server_that_drains(tmp_path):
    path = configuration(tmp_path, connector={"port": 0, "drain_seconds": 60.0})

    with running(path, "connector") as (process, address):
        process.terminate()
        assert ask(address, "/readyz").status == 503
        process.terminate()

        assert process.wait(60) == 0


def wait_until(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def line_with(stream, start):
    """Read up to the line that starts with these words, and return it."""
    return next(line for line in stream if line.startswith(start))


def reloaded(address, before):
    """Wait until the health page names another configuration, and return its digest."""
    end = time.monotonic() + 60
    while (digest := ask(address, "/healthz").headers["Configuration-Digest"]) == before:
        assert time.monotonic() < end
    return digest


@pytest.mark.parametrize("command", COMMANDS)
def test_a_server_starts_again_with_other_files_behind_the_same_socket(tmp_path, command):
    path = configuration(tmp_path)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        started_by_systemd(listener, path, command) as (
            process,
            address,
        ),
    ):
        before = ask(address, "/healthz").headers["Configuration-Digest"]
        path.write_text(path.read_text().replace("[service]", '[service]\nname = "Another name"'))
        process.send_signal(signal.SIGHUP)

        after = reloaded(address, before)

        assert after == load(path, {}).digest != before
        process.terminate()
        assert process.wait(60) == 0


def test_a_server_on_its_own_port_keeps_it_when_it_starts_again(tmp_path):
    path = configuration(tmp_path, connector={"port": 0})

    with running(path, "connector") as (process, address):
        before = ask(address, "/healthz").headers["Configuration-Digest"]
        write_secret(path.parent / "secrets" / "yliopisto.token", "another-" + "t" * 32)
        process.send_signal(signal.SIGHUP)

        reloaded(address, before)

        assert ask(address).status == 401


@pytest.mark.parametrize("file", ["orcid-connect.toml", "organisations/yliopisto.toml"])
def test_a_bad_file_changes_nothing_in_a_running_server(tmp_path, file):
    path = configuration(tmp_path, connector={"port": 0}, organisations={"yliopisto": ALL_RIGHTS, "amk": AMK})

    with running(path, "connector") as (process, address):
        before = ask(address, "/healthz").headers["Configuration-Digest"]
        (path.parent / file).write_text("stage = ")
        process.send_signal(signal.SIGHUP)

        assert line_with(process.stderr, "reload-refused errors=")
        assert ask(address).status == 200
        assert ask(address, "/healthz").headers["Configuration-Digest"] == before


def test_a_worker_starts_again_with_other_files_unless_one_is_bad(tmp_path):
    path = configuration(tmp_path)
    worker = start(path, "deliver")
    try:
        assert worker.stdout.readline() == "delivering for 1 organisation\n"
        file = path.parent / "organisations" / "amk.toml"
        file.write_text("stage = ")
        worker.send_signal(signal.SIGHUP)
        assert line_with(worker.stderr, "reload-refused errors=1 ")
        write_configuration(tmp_path, organisations={"yliopisto": ALL_RIGHTS, "amk": AMK})
        worker.send_signal(signal.SIGHUP)
        assert worker.stdout.readline() == "delivering for 2 organisations\n"
        worker.terminate()
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.communicate()


@pytest.mark.parametrize("command", ["serve", "connector", "deliver"])
def test_a_reload_while_the_program_starts_again_does_not_end_it_and_is_not_lost(tmp_path, command):
    port = free_port()
    path = configuration(tmp_path, **{SECTIONS.get(command, "worker"): {"port": port}})
    process = start(path, command)
    try:
        assert process.stdout.readline()
        for _ in range(40):
            process.send_signal(signal.SIGHUP)
            time.sleep(0.02)
        path.write_text(path.read_text().replace("[service]", '[service]\nname = "Another name"'))
        process.send_signal(signal.SIGHUP)

        wait_for_digest(port, load(path, {}).digest)
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def wait_for_digest(port, digest):
    end = time.monotonic() + 60
    while True:
        with suppress(ConnectionError, http.client.HTTPException):
            if ask(f"http://127.0.0.1:{port}", "/healthz").headers["Configuration-Digest"] == digest:
                return
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("command", ["serve", "connector", "deliver"])
def test_a_server_that_is_to_end_while_it_reloads_ends(tmp_path, command):
    sections = {SECTIONS[command]: {"port": 0}} if command in SECTIONS else {}
    process = start(configuration(tmp_path, **sections), command)
    try:
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        assert line_with(process.stderr, "reloading ")
        process.terminate()

        process.wait(60)

        assert process.returncode in {0, -signal.SIGTERM}
    finally:
        process.kill()
        process.communicate()


def test_check_compares_what_runs_with_the_files_and_the_version(tmp_path, monkeypatch):
    path = configuration(tmp_path, listen={"unix": str(tmp_path / "web.sock")}, connector={"port": free_port()})

    def told():
        done = CliRunner().invoke(main, ["--config", str(path), "check", "--configuration", "--running"])
        return done.exit_code, [line for line in done.output.splitlines() if " running " in line]

    with running(path, "serve"):
        code, (pages, connector) = told()
        assert pages.startswith("ok       running        the pages: these files are loaded, ")
        assert (code, connector[:8]) == (1, "error   ")
        with running(path, "connector"):
            assert told()[0] == 0
            with monkeypatch.context() as upgraded:
                upgraded.setattr("webapp.checks.configuration.VERSION", "99.1")
                code, (pages, _) = told()
                assert (code, pages[:8]) == (1, "error   ")
                assert pages.endswith(f"the pages: version {version('orcid-connect')} runs, and 99.1 is installed")
            path.write_text(path.read_text() + "# a comment\n")
            assert told()[0] == 0
            path.write_text(path.read_text().replace("[service]", '[service]\nname = "Another name"'))
            code, lines = told()

    assert (code, [line[:8] for line in lines]) == (1, ["error   ", "error   "])


def test_the_log_goes_to_standard_error_and_holds_no_token(tmp_path):
    path = configuration(tmp_path, listen={"port": 0})

    with running(path, "serve") as (process, address):
        ask(address, "/me")
        process.terminate()
        out, written = process.communicate(timeout=60)

    assert out == ""
    assert "proxy-not-authenticated" in written
    assert TOKEN not in written


def test_servers_need_no_terminal(tmp_path):
    path = configuration(tmp_path, connector={"port": 0})
    environ = {"PATH": os.environ["PATH"], "ORCID_CONNECT_CONFIG": str(path)}

    words = [sys.executable, "-m", "webapp", "check"]
    done = subprocess.run(words, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
