"""The next release is installed while Identity Providers ask and people link: docs/operator/upgrade.md.

`pytest -s` prints what was measured.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from demo.orcid.people import PEOPLE
from tests.support.docs import ROOT
from tests.support.processes import next_release
from tests.support.processes.servers import ask, configuration
from tests.support.system.client import HttpBrowser
from tests.support.system.nodes import running_nodes
from tests.support.system.people import SAIMAA, token_of
from tests.support.system.visitor import FailedPage, Visitor

DRAIN = 4.0
"""Seconds: the balancer needs two checks, two seconds apart or less, to see that a node ends."""
ACCOUNTS = ("maija", "wang", "onni")
CLIENTS = 8
RELOADS = 4
PAUSE = 0.1
"""Seconds between two requests of a client: requests all the time, which leave the machine time for the rest."""
REPEATED = ("look-up", "linking and removal")
"""What a client does again and again."""
LOOKUP = f"/v1/people/{quote('maija@saimaa.example')}"


class Load:
    """Threads that ask until the end of the block, and what came of it."""

    def __init__(self):
        self.results = Counter()
        self.slowest = Counter()
        self._over = threading.Event()
        self._lock = threading.Lock()

    def count(self, kind, result, seconds=0.0):
        with self._lock:
            self.results[kind, result] += 1
            self.slowest[kind] = max(self.slowest[kind], seconds)

    def number(self, kind):
        """Return how many of a kind succeeded so far."""
        return self.results[kind, 200]

    def wait_for_more(self, number=3):
        """Wait until each client has succeeded some times more."""
        goals = {kind: self.number(kind) + number for kind, _ in [*self.results] if kind in REPEATED}
        end = time.monotonic() + 60
        while any(self.number(kind) < goal for kind, goal in goals.items()):
            assert time.monotonic() < end, self.results
            time.sleep(0.02)

    @contextmanager
    def running(self, *clients):
        """Call each client again and again meanwhile; each returns its kind and its result."""

        def repeat(client):
            while not self._over.is_set():
                begun = time.monotonic()
                try:
                    kind, result = client()
                except (OSError, http.client.HTTPException) as error:
                    kind, result = client.__name__, type(error).__name__
                self.count(kind, result, time.monotonic() - begun)
                self._over.wait(PAUSE)

        threads = [threading.Thread(target=repeat, args=(client,)) for client in clients]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            self._over.set()
            for each in threads:
                each.join()

    def table(self, title):
        lines = [title, f"{'requests':<24} {'result':<28} {'number':>8}  slowest"]
        for (kind, result), number in sorted(self.results.items(), key=str):
            lines.append(f"{kind:<24} {result!s:<28} {number:>8,}  {self.slowest[kind]:.2f} s")
        return "\n".join(lines)


def look_up_through(stack):
    """Return a client that asks the connector as an Identity Provider does, each time on a new connection."""

    def look_up():
        with HttpBrowser(stack) as idp:
            answer = idp.visit(LOOKUP, headers={"Authorization": f"Bearer {token_of(SAIMAA)}"}, allow_redirects=False)
        return "look-up", answer.status_code

    return look_up


def person(nodes, load, account, orcid):
    """Return a client that links and removes an iD, through the Service Provider; each of its pages is counted."""

    def report(kind, seconds):
        load.count(kind, 200, seconds)

    visitor = Visitor(nodes.stack, account, orcid, report=report)

    def link_and_remove():
        try:
            visitor.link()
            visitor.remove()
        except FailedPage as failed:
            return "linking and removal", failed.result
        return "linking and removal", 200

    return link_and_remove


def test_node_after_node_is_upgraded_without_a_failed_lookup_or_page(venv):
    draining = {"drain_seconds": DRAIN}
    with (
        tempfile.TemporaryDirectory() as empty,
        running_nodes(venv, listen=draining, connector=draining) as nodes,
    ):
        directory = next_release.install(Path(empty))
        load = Load()
        people = [person(nodes, load, account, each.orcid) for account, each in zip(ACCOUNTS, PEOPLE, strict=False)]
        with load.running(*[look_up_through(nodes.stack)] * 3, *people):
            load.wait_for_more()
            next_release.migrate(nodes.nodes[0], directory)
            for number in range(len(nodes.nodes)):
                load.wait_for_more()
                next_release.restart(nodes, number, directory)
            load.wait_for_more()

    print("\n" + load.table("two nodes, upgraded one after the other"))  # noqa: T201 - the table of `pytest -s`
    assert {result for _, result in load.results} == {200}
    assert load.number("linking and removal") > 10


BEHIND_SOCKET = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "webapp", *sys.argv[2:]])
"""
"""Starts a server as systemd does (sd_listen_fds(3)): the listening socket is file descriptor 3."""


def test_a_node_alone_is_upgraded_behind_its_socket_without_a_refused_connection(tmp_path):
    """The reload loses what the old process has accepted and not begun; it is counted, and the page has the number."""
    path = configuration(tmp_path)
    releases = [tmp_path / "this", next_release.install(tmp_path / "next")]
    releases[0].symlink_to(ROOT)
    installed = tmp_path / "installed"
    installed.symlink_to(releases[0])
    environ = {**os.environ, "PYTHONPATH": str(installed)}
    load, log = Load(), tmp_path / "log"

    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, log.open("w") as out:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        words = [sys.executable, "-c", BEHIND_SOCKET, str(listener.fileno()), "--config", str(path), "connector"]

        def look_up():
            return "look-up", ask(address).status

        process = subprocess.Popen(words, pass_fds=[listener.fileno()], cwd="/", env=environ, stdout=out, stderr=out)
        try:
            with load.running(*[look_up] * CLIENTS):
                wait_for_starts(log, 1)
                load.wait_for_more()
                subprocess.run(
                    [sys.executable, "-m", "webapp", "--config", str(path), "migrate"],
                    cwd="/", env={**os.environ, "PYTHONPATH": str(releases[1])}, check=True, capture_output=True,
                )  # fmt: skip
                for number in range(2, 2 + RELOADS):
                    installed.unlink()
                    installed.symlink_to(releases[1])
                    process.send_signal(signal.SIGHUP)
                    wait_for_starts(log, number)
                    load.wait_for_more(100)
        finally:
            process.terminate()
            assert process.wait(60) == 0

    print("\n" + load.table(f"one connector behind a socket, {RELOADS} reloads, the first to the next release"))  # noqa: T201 - the table of `pytest -s`
    lost = {result: number for (_, result), number in load.results.items() if result != 200}
    assert set(lost) <= {"ConnectionResetError", "RemoteDisconnected"}
    assert sum(lost.values()) <= 2 * CLIENTS * RELOADS
    assert "schema-newer" not in log.read_text(), "the next release runs"


def wait_for_starts(log, number):
    """Wait until the server has started a number of times."""
    end = time.monotonic() + 60
    while log.read_text().count("listening on") < number:
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.02)
