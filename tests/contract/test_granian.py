"""The connector under granian, started by the command that stands in docs/connector-run.md."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from shibboleth.orcid_id import Registry
from sql.store import open_store
from tests.support import docs
from tests.support.factories import make_link, make_orcid_id
from tests.support.ports import free_port
from tests.support.processes.raw_client import many_slow_clients, sent
from tests.support.processes.servers import ask, configuration

MAIJA = "/v1/people/maija%40yliopisto.example"


def documented(port, path):
    """The command of the page, with our own program, port and configuration."""
    (block,) = [each for each in docs.blocks((docs.DOCS / "connector-run.md").read_text("utf-8")) if "granian " in each]
    words = shlex.split(block.partition("\n")[2].replace("\\\n", " "))
    said, program, *options = words
    assert said.startswith("ORCID_CONNECT_CONFIG=")
    assert program.endswith("/bin/granian")
    options[options.index("--port") + 1] = str(port)
    return [str(Path(sys.executable).with_name("granian")), *options], {"ORCID_CONNECT_CONFIG": str(path)}


@contextmanager
def running(path):
    """Give the port of a connector that answers under granian."""
    port = free_port()
    words, environ = documented(port, path)
    with subprocess.Popen(
        words, env={**os.environ, **environ}, stderr=subprocess.PIPE, start_new_session=True
    ) as server:
        try:
            _wait_for(port)
            yield port
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                server.wait(60)
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


def _wait_for(port):
    deadline = time.monotonic() + 20
    while True:
        try:
            with closing(socket.create_connection(("127.0.0.1", port), 1)):
                return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of a connector whose store holds Maija's iD."""
    directory = tmp_path_factory.mktemp("native")
    path = configuration(directory)
    store = open_store(f"sqlite://{directory}/links.db")
    make_link(store, orcid_id=make_orcid_id(7, Registry.SANDBOX))
    store.close()
    with running(path) as port:
        yield port


def test_a_look_up_returns_the_id(port):
    answer = ask(f"http://127.0.0.1:{port}", MAIJA)

    assert (answer.status, json.loads(answer.text)) == (
        200,
        {"eduPersonOrcid": [make_orcid_id(7, Registry.SANDBOX).uri]},
    )
    assert int(answer.headers["Content-Length"]) == len(answer.text)


@pytest.mark.parametrize(
    ("target", "words", "status"),
    [
        (MAIJA, {"headers": "Host: x\r\nAuthorization: Bearer wrong\r\n"}, 401),
        (MAIJA, {"method": "OPTIONS"}, 405),
        (MAIJA, {"method": "HEAD"}, 200),
        ("/v1/people/" + "x" * 10_240, {}, 400),
        ("/v1/people/a%00b", {}, 400),
        ("/v1/people/%FF%FE", {}, 400),
        ("/v1/people/%2E%2E%2Fhealth", {}, 200),
        ("/v1/people/a%2Fb", {}, 200),
        ("/v1/health", {}, 200),
        ("/v1/nowhere", {}, 404),
    ],
)
def test_the_answers_are_those_of_the_other_servers(port, target, words, status):
    assert sent(port, target, **words)[0] == status


def test_a_thousand_slow_clients_do_not_block_others(port):
    with many_slow_clients(port) as slow:
        assert [sent(port, "/v1/people/x")[0] for _ in range(10)] == [200] * 10

        # The answers did not wait until granian closed the connections of the slow ones
        slow[0].setblocking(False)
        with pytest.raises(BlockingIOError):
            slow[0].recv(1)
