"""People who wait for a slow ORCID or a slow receiver occupy a share of the threads; everybody else is answered."""

import http.client
import json
import re
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from demo.idm.app import SECRET
from shibboleth.orcid_id import Registry
from shibboleth.person import PROOF_HEADER
from sql.errors import StoreUnavailable
from tests.support.configuration import PROOF, store_section, write_configuration
from tests.support.factories import UNIVERSITY_IDP, make_orcid_id
from tests.support.processes.servers import configuration, running
from tests.support.service import PUBLIC_URL, WebClient
from webapp.config.loader import load
from webapp.wiring.pages import make_web

PATIENCE = 60
UNIVERSITY = "yliopisto"
ISLANDS = "saaristo"
ISLANDS_IDP = "https://idp.saaristo.example/idp/shibboleth"
VARIABLES = {"front": "variables", "front_proof": None, "public_url": PUBLIC_URL}


class Held:
    """A server that answers each POST late: after some seconds, or once it is let go on."""

    def __init__(self, seconds=None):
        self.seconds = seconds
        self.asked = 0
        self.go_on = threading.Event()
        self.address = ""

    def waits(self):
        self.asked += 1
        if self.seconds is None:
            assert self.go_on.wait(PATIENCE)
        else:
            time.sleep(self.seconds)

    def asked_by(self, number):
        """Wait until so many have asked."""
        end = time.monotonic() + PATIENCE
        while self.asked < number:
            assert time.monotonic() < end, f"{self.asked} asked"
            time.sleep(0.01)


@contextmanager
def held(seconds=None):
    """Serve ORCID's token endpoint, and a receiver at any other path; a code is the number of an iD."""
    held = Held(seconds)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode("latin-1"))
            held.waits()
            answer = {"access_token": "t", "token_type": "bearer", "scope": "/authenticate", "name": "Maija"}
            if "code" in form:
                answer["orcid"] = make_orcid_id(int(form["code"][0]), Registry.SANDBOX).bare
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_POST  # noqa: N815 - as above

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 100

    with Server(("127.0.0.1", 0), Handler) as server:
        held.address = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield held
        finally:
            held.go_on.set()
            server.shutdown()


def came_back(person, number):
    """Go to ORCID, and give the address that leads back with the iD of this number."""
    state = parse_qs(urlsplit(person.start()).query)["state"][0]
    return f"/me/callback?{urlencode({'code': number, 'state': state})}"


# The web application in this process, on each engine


@pytest.fixture
def people():
    with ThreadPoolExecutor(8) as people:
        yield people


@pytest.fixture
def app(tmp_path, store, store_url):
    """Make the web application for an ORCID, and a receiver of each of two organisations."""

    def app(orcid, receivers=(), threads=16):
        rest = {"name": "idm", "kind": "rest", "signing_secrets": ["file:secrets/sign"]}
        transfers = [[{**rest, "url": f"{one}/v1"}] for one in receivers] or [[], []]
        path = write_configuration(
            tmp_path,
            service=VARIABLES,
            orcid={"base_url": orcid},
            listen={"threads": threads},
            store=store_section(tmp_path, store_url),
            secrets={"saaristo.token": "token-of-saaristo-" + "t" * 32, "sign": SECRET},
            organisations={
                "yliopisto": {"transfer": transfers[0]},
                "saaristo": {
                    "entity_ids": ISLANDS_IDP,
                    "scopes": ["saaristo.example"],
                    "credential": [{"name": "idp", "rights": ["read"], "token": "file:secrets/saaristo.token"}],
                    "transfer": transfers[1],
                },
            },
        )
        return make_web(load(path, {}), store)

    return app


def test_beyond_the_limit_requests_are_refused_at_once_and_can_be_repeated(app, people):
    with held() as orcid:
        web = app(orcid.address, threads=4)
        crowd = [WebClient(web, f"person{number}@yliopisto.example") for number in range(3)]
        backs = [came_back(person, number) for number, person in enumerate(crowd, 1)]
        waiting = [people.submit(crowd[number].get, backs[number]) for number in range(2)]
        orcid.asked_by(2)

        begun = time.monotonic()
        told = crowd[2].get(backs[2])
        other = WebClient(web, "other@yliopisto.example").get("/me")
        took = time.monotonic() - begun
        orcid.go_on.set()

        assert (told.status, told.title, other.status) == (503, "Many people are waiting for ORCID", 200)
        assert took < 2
        assert backs[2] not in told.text
        assert all(each.result(PATIENCE).location.startswith("/me/confirm/") for each in waiting)
        assert crowd[2].get(backs[2]).location.startswith("/me/confirm/")


def test_a_denied_authorisation_needs_no_slot(app, people):
    with held() as orcid:
        web = app(orcid.address, threads=2)
        maija, ake = WebClient(web), WebClient(web, "ake@yliopisto.example")
        people.submit(maija.get, came_back(maija, 1))
        orcid.asked_by(1)

        declined = ake.get(came_back(ake, 2).replace("code=2", "error=access_denied"))

        assert declined.location.startswith("/me/result/")


def test_a_slot_is_released_after_any_response(app, monkeypatch, store):
    with held(0) as orcid:
        web = app(orcid.address, threads=2)
        maija = WebClient(web)
        callback_path = came_back(maija, 1)
        with monkeypatch.context() as broken:
            broken.setattr(type(store.attempts), "consume_state", _raises)
            assert maija.get(callback_path).title == "We cannot save anything right now"

        assert maija.get(callback_path).location.startswith("/me/confirm/")


def _raises(*_):
    raise StoreUnavailable("locked")


def test_a_slow_receiver_occupies_few_threads_of_its_organisation_alone(app, people, store):
    with held(0) as orcid, held() as slow, held(0) as quick:
        web = app(orcid.address, [slow.address, quick.address])
        crowd = [WebClient(web, f"person{number}@yliopisto.example") for number in range(4)]
        places = [person.get(came_back(person, number)).location for number, person in enumerate(crowd, 1)]
        waiting = [people.submit(crowd[number].agree, places[number]) for number in range(2)]
        slow.asked_by(2)

        begun = time.monotonic()
        more = [crowd[number].agree(places[number]) for number in (2, 3)]
        islander = WebClient(web, "aino@saaristo.example", ISLANDS_IDP)
        page = islander.get(islander.agree(islander.get(came_back(islander, 9)).location).location)
        took = time.monotonic() - begun
        slow.go_on.set()

        assert took < 5
        assert [each.location.partition("/me/result/")[1] for each in more] == ["/me/result/"] * 2
        assert (page.status, quick.asked, slow.asked) == (200, 1, 2)
        assert all(each.result(PATIENCE).status == 303 for each in waiting)
        assert store.links.orcid_ids(UNIVERSITY, "person3@yliopisto.example") == [make_orcid_id(4, Registry.SANDBOX)]


def test_slow_receivers_occupy_at_most_a_quarter_of_the_threads(app, people):
    with held(0) as orcid, held() as slow:
        web = app(orcid.address, [slow.address, slow.address], threads=4)
        crowd = [
            WebClient(web, "maija@yliopisto.example"),
            WebClient(web, "aino@saaristo.example", ISLANDS_IDP),
        ]
        places = [person.get(came_back(person, number)).location for number, person in enumerate(crowd, 1)]
        waiting = people.submit(crowd[0].agree, places[0])
        slow.asked_by(1)

        begun = time.monotonic()
        assert crowd[1].agree(places[1]).status == 303
        assert time.monotonic() - begun < 5
        slow.go_on.set()
        assert waiting.result(PATIENCE).status == 303


# `orcid-connect serve` as it comes


class ProxyVisitor:
    """A person whose requests come from Apache (front = "proxy")."""

    def __init__(self, address, account):
        self.address = address.removeprefix("http://")
        self.headers = {PROOF_HEADER: PROOF, "Shib-Identity-Provider": quote(UNIVERSITY_IDP, safe=""), "eppn": account}
        self.cookies = {}

    def ask(self, method, path, form=None):
        """Send a request on a connection of its own, and give status, address and page."""
        with closing(http.client.HTTPConnection(self.address, timeout=60)) as wire:
            kind = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
            wire.request(method, path, urlencode(form) if form else None, {**self.headers, **kind})
            answer = wire.getresponse()
            set_now = [value.partition(";")[0] for value in answer.headers.get_all("Set-Cookie", [])]
            self.cookies.update(dict(each.split("=", 1) for each in set_now))
            if self.cookies:
                self.headers["Cookie"] = "; ".join("=".join(each) for each in self.cookies.items())
            return answer.status, answer.headers["Location"], answer.read().decode()

    def start(self):
        """Go to ORCID."""
        return self.ask("POST", "/me/start", {"token": self.token()})[1]

    def token(self):
        """Give the token of the forms of this browser and this person."""
        return re.search(r'name="token" value="([^"]*)"', self.ask("GET", "/me")[2])[1]


def test_twenty_people_at_once_are_served_while_orcid_takes_five_seconds(tmp_path):
    with held(5) as orcid:
        path = configuration(tmp_path, orcid={"base_url": orcid.address}, listen={"port": 0})
        with running(path, "serve") as (_, address), ThreadPoolExecutor(20) as crowd:
            people = [ProxyVisitor(address, f"person{number}%40yliopisto.example") for number in range(20)]
            backs = [came_back(person, number) for number, person in enumerate(people, 1)]
            waiting = [
                crowd.submit(person.ask, "GET", callback_path)
                for person, callback_path in zip(people, backs, strict=True)
            ]
            orcid.asked_by(20)
            begun = time.monotonic()
            pages = [ProxyVisitor(address, "other%40yliopisto.example").ask("GET", "/me")[0] for _ in range(5)]
            took = time.monotonic() - begun
            answers = [each.result(60) for each in waiting]

    assert (pages, took < 4) == ([200] * 5, True)
    assert [status for status, _, _ in answers] == [303] * 20
    assert all("/me/confirm/" in place for _, place, _ in answers)


def test_pages_are_served_while_another_process_writes(tmp_path):
    path = configuration(tmp_path, listen={"port": 0})
    with running(path, "serve") as (_, address), ThreadPoolExecutor(1) as crowd:
        maija = ProxyVisitor(address, "maija%40yliopisto.example")
        token = maija.token()
        with closing(sqlite3.connect(tmp_path / "links.db", isolation_level=None)) as other:
            other.execute("begin immediate")
            waiting = crowd.submit(maija.ask, "POST", "/me/start", {"token": token})
            begun = time.monotonic()
            pages = [ProxyVisitor(address, "other%40yliopisto.example").ask("GET", "/me")[0] for _ in range(5)]
            took = time.monotonic() - begun
            other.execute("rollback")

        assert (pages, took < 4) == ([200] * 5, True)
        assert waiting.result(PATIENCE)[0] == 303
