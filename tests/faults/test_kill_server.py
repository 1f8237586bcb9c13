"""kill -9 of the web server at every moment between start and result page: no link, or a whole one."""

import http.client
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.factories import UNIVERSITY
from tests.support.service import MAIJA, Visitor, orcid_id, simulated_orcid

ROOT = Path(__file__).parents[2]
MAIJAS = "maija@yliopisto.example"
MOST_MOMENTS = 200
EVERY_FEW = 6


class Killed(Exception):
    """The server is dead."""


class Nursery:
    """Servers, one at a time."""

    def __init__(self, *urls):
        command = [sys.executable, "-m", *self.command(*urls)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = self.pid = None

    def command(self, *urls):
        """Give the module of the process that bears them, and what it is told."""
        return ["tests.support.processes.killed_server", *urls]

    def bear(self, last):
        """Start a server that dies at its n-th moment; 0 for never."""
        self.process.stdin.write(f"{last}\n")
        self.process.stdin.flush()
        self.port, self.pid = map(int, self.process.stdout.readline().split())

    def bury(self):
        """Kill the server if it lives, and wait until it is dead."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        assert self.process.stdout.readline() == "dead\n"

    def close(self):
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def __call__(self, environ, start_response):
        """Pass a visitor's request on to the server."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        path = environ["PATH_INFO"] + (f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else "")
        headers = {"X-Eppn": environ["eppn"], "X-Idp": environ["Shib-Identity-Provider"]}
        if "HTTP_COOKIE" in environ:
            headers["Cookie"] = environ["HTTP_COOKIE"]
        try:
            line.request(environ["REQUEST_METHOD"], path, body, headers)
            answer = line.getresponse()
            content = answer.read()
        except OSError as error:
            raise Killed from error
        finally:
            line.close()
        unwanted = {"connection", "date", "server", "via"}
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in unwanted]
        start_response(f"{answer.status} {answer.reason}", kept)
        return [content]


@pytest.fixture(scope="module")
def simulator():
    with simulated_orcid() as (world, client):
        yield world, client


@pytest.fixture
def world(simulator):
    simulator[0].reset()
    return simulator[0]


@pytest.fixture
def nursery(store_url, simulator):
    nursery = Nursery(store_url, simulator[1].base_url)
    yield nursery
    nursery.close()


def is_whole(store):
    """Whether there is a link; and whether there is, everything that belongs to it is there, or nothing of it."""
    link = store.links.get(UNIVERSITY, MAIJAS)
    changes = store.changes.list_after(UNIVERSITY, 0, 10)
    events = list(store.audit.list_events(UNIVERSITY))
    assert store.audit.verify(UNIVERSITY) == []
    if link is None:
        assert (changes, events) == ([], [])
        return False
    assert link.orcid_id == orcid_id(MAIJA)
    assert [change.orcid_id for change in changes] == [orcid_id(MAIJA)]
    assert events[0].kind == "linked"
    return True


def test_a_kill_at_any_moment_leaves_no_link_or_a_whole_one_and_the_person_can_go_on(nursery, store, world):
    with_link = []
    survived = False
    while not survived and len(with_link) < MOST_MOMENTS:
        nursery.bear(len(with_link) + 1)
        survived = _tries_to_link(Visitor(nursery), world)
        nursery.bury()
        with_link.append(is_whole(store))
        if len(with_link) % EVERY_FEW == 0:
            _starts_again(nursery, world)
            assert is_whole(store)
        _forget_all(store)

    # Every moment has been tried; up to some moment there is no link, and from then on there is one
    assert survived
    assert with_link == sorted(with_link)
    assert with_link.count(False) > 10
    assert with_link.count(True) > 3


def _tries_to_link(maija, world):
    try:
        maija.link(world)
    except Killed:
        return False
    return True


def _starts_again(nursery, world):
    nursery.bear(0)
    maija = Visitor(nursery)
    place = maija.returned(world)
    if place.startswith("/me/confirm/"):
        place = maija.agree(place).place
    assert maija.get(place).title in {"Your ORCID iD is connected", "This ORCID iD was connected already"}
    nursery.bury()


def _forget_all(store):
    # As if nothing had been: the store's own words would leave changes and events behind
    with store.engine.transaction() as session:
        for table in ("links", "changes", "events", "counters", "attempts"):
            session.script(f"delete from {table};")
