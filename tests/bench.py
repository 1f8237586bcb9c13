"""The benchmark: what the service costs, as ratios to something bare, measured in one run on one machine.

`python -m tests.bench` prints the figures and writes `build/bench.json`; QUICK=1 in the environment takes small sizes,
to try it. A missed goal is printed and is no failure. The service is used by its commands and over HTTP alone.
"""

from __future__ import annotations

import html
import http.client
import json
import os
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from time import perf_counter, sleep
from typing import Any, Literal
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import psycopg
import requests
import waitress
from psycopg.rows import dict_row

from shibboleth.orcid_id import Registry
from tests.support.configuration import ALL_RIGHTS, ORGANISATION, PROOF, TOKEN, store_section, write_configuration
from tests.support.database import insert_rows
from tests.support.factories import make_orcid_id
from tests.support.ports import free_port
from tests.support.postgres import Server

OUTPUT = Path("build/bench.json")
SQLITE, POSTGRES = "SQLite", "PostgreSQL"
BIN = Path("build/product/bin")
"""The product's own environment, from `make build/product`."""
CLIENTS = THREADS = 8
"""How many clients ask at once, and how many threads each server under waitress has."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything is measured."""

    few: int = 1_000
    usual: int = 1_000_000
    many: int = 10_000_000
    rounds: int = 12
    warm_up: int = 500
    linkings: int = 5_000
    moved: int = 200_000
    attested: int = 50_000
    delivered: int = 2_000
    starts: int = 7


QUICK = Sizes(
    usual=20_000, many=50_000, rounds=2, warm_up=40, linkings=120, moved=5_000, attested=2_000, delivered=100, starts=3
)


class Unexpected(RuntimeError):
    """Something under measurement did something else than it should."""


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def account(number: int) -> str:
    return f"person-{number:07d}@{ORGANISATION['scopes'][0]}"


def orcid_id(number: int):
    return make_orcid_id(number, Registry.SANDBOX)


def look_up(number: int) -> str:
    """Give the path by which an Identity Provider asks about a person."""
    return f"/v1/people/{quote(account(number))}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured, divided by another that was measured beside it, or by its limit."""

    name: str
    ratio: float
    goal: float
    better: Literal["higher", "lower"]
    value: float
    base: float
    unit: str

    @property
    def met(self) -> bool:
        return self.ratio >= self.goal if self.better == "higher" else self.ratio <= self.goal

    def row(self) -> str:
        verdict = f"{'≥' if self.better == 'higher' else '≤'} {self.goal:<4g}  {'met' if self.met else 'MISSED':<6}"
        return f"{self.name:<66} {self.ratio:>6.2f}  {verdict}  {self.value:,.1f} ÷ {self.base:,.1f} {self.unit}"


def beside(name: str, better: Literal["higher", "lower"], goal: float, unit: str, pairs: list[tuple[float, float]]):
    """Make a figure of rounds that alternated: the median of their ratios, and the medians of both sides."""
    value, base = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Figure(name, statistics.median(one / other for one, other in pairs), goal, better, value, base, unit)


def limited(name: str, better: Literal["higher", "lower"], limit: float, unit: str, value: float) -> Figure:
    """Make a figure of something with a limit of its own."""
    return Figure(f"{name} ÷ {limit:g} {unit}", value / limit, 1, better, value, limit, unit)


def bare():
    """Make a WSGI function that gives the same bytes as the connector, whatever it is asked."""
    body = json.dumps({"eduPersonOrcid": [orcid_id(0).uri]}).encode()
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    headers += [("X-Content-Type-Options", "nosniff"), ("Content-Length", str(len(body)))]

    def application(_environ, start_response):
        start_response("200 OK", headers)
        return [body]

    return application


def neighbours():
    """Make ORCID's token endpoint, where a code is the number of a person, and an IdM that takes what it is sent."""

    def application(environ, start_response):
        sent = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
        answer = {}
        if environ["PATH_INFO"].endswith("/token"):
            orcid = orcid_id(int(parse_qs(sent)["code"][0])).bare
            answer = {"access_token": "a", "token_type": "bearer", "scope": "/authenticate", "name": "Maija Mäkelä"}
            answer |= {"orcid": orcid, "expires_in": 600}
        body = json.dumps(answer).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return application


@dataclass(frozen=True, slots=True)
class Running:
    """A process that listens on 127.0.0.1."""

    pid: int
    port: int

    def memory(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)[1]) * 1024 / 1e6

    def answers(self, path: str) -> bool:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            try:
                connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
                return connection.getresponse().status == http.client.OK
            except OSError:
                return False


@contextmanager
def running(log: Path, port: int, path: str, *command: str | Path, **environ: str) -> Iterator[Running]:
    """Run a command until the block ends; the block begins when the command answers at this path."""
    with (
        log.open("ab") as out,
        subprocess.Popen([*map(str, command)], stdout=out, stderr=out, env={**os.environ, **environ}) as process,
    ):
        server, deadline = Running(process.pid, port), perf_counter() + 60
        try:
            while not server.answers(path):
                if process.poll() is not None or perf_counter() > deadline:
                    raise Unexpected(f"{command} does not answer:\n{log.read_text(encoding='utf-8')[-2000:]}")
                sleep(0.005)
            yield server
        finally:
            process.terminate()


def under_waitress(log: Path, name: str):
    """Run an application of this module under waitress."""
    port = free_port()
    return running(log, port, "/", sys.executable, "-m", "tests.bench", name, str(port))


def under_granian(log: Path, factory: str, configuration: Path, path: str, directory: Path = BIN):
    """Run an application under granian, in one process and one thread."""
    port = free_port()
    words = f"--interface wsgi --http 1 --no-ws --workers 1 --blocking-threads 1 --port {port} --factory {factory}"
    return running(log, port, path, directory / "granian", *words.split(), ORCID_CONNECT_CONFIG=str(configuration))


@dataclass(frozen=True, slots=True)
class Site:
    """A configured service whose store is ready, with one link: that of person 0."""

    engine: str
    url: str
    configuration: Path
    ports: dict[str, int]
    log: Path

    def command(self, *words: str | Path) -> str:
        """Run a command of the product, and give what it said."""
        command = [BIN / "orcid-connect", "--config", self.configuration, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unexpected(f"{words}: {done.stdout}{done.stderr}")
        return done.stdout

    def serving(self, word: Literal["serve", "connector"]):
        """Run the pages or the connector, as an operator would."""
        path = {"serve": "/healthz", "connector": look_up(0)}[word]
        return running(self.log, self.ports[word], path, BIN / "orcid-connect", "--config", self.configuration, word)

    def take_in(self, numbers: range) -> float:
        """Import people from a file, and give how long that took, in seconds."""
        people = self.configuration.with_name("people.csv")
        lines = (f"{account(number)},{orcid_id(number).uri},2026-01-15\n" for number in numbers)
        with people.open("w", encoding="ascii") as file:
            file.writelines(("account,orcid,authenticated_at\n", *lines))
        begun = perf_counter()
        said = self.command("import", "yliopisto", people, "--attested-by", "the old system", "--yes")
        if f"{len(numbers)} linked" not in said:
            raise Unexpected(said)
        return perf_counter() - begun


@dataclass(frozen=True, slots=True)
class Ground:
    """Where sites are made."""

    directory: Path
    postgres: Server
    neighbours: str
    """Their address."""

    def site(self, engine: str, *, owed: bool = False) -> Site:
        """Make a site; changes may be owed to an IdM."""
        directory = Path(mkdtemp(dir=self.directory))
        on_postgres = engine == POSTGRES
        url = self.postgres.socket_url(self.postgres.make_database()) if on_postgres else f"sqlite://{directory}/db"
        idm = {"name": "idm", "kind": "rest", "url": f"{self.neighbours}/idm", "token": "file:secrets/idm"}
        ports = {"serve": free_port(), "connector": free_port()}
        configuration = write_configuration(
            directory,
            organisations={"yliopisto": {"transfer": [idm] if owed else [], **ALL_RIGHTS}},
            secrets={"idm": TOKEN},
            orcid={"base_url": self.neighbours},
            store=store_section(directory, url),
            listen={"port": ports["serve"]},
            connector={"port": ports["connector"], "threads": THREADS},
        )
        site = Site(engine, url, configuration, ports, self.directory / "log")
        site.command("migrate")
        site.take_in(range(1))
        return site


@contextmanager
def ground() -> Iterator[Ground]:
    """Start what all sites share: a PostgreSQL server that waits for the disk, and the neighbours."""
    server = Server()
    try:
        with server.connect() as connection:
            connection.execute("alter system set fsync = on")
            connection.execute("select pg_reload_conf()")
        with (
            TemporaryDirectory(prefix="orcid-connect-bench-") as directory,
            under_waitress(Path(directory) / "log", "neighbours") as near,
        ):
            yield Ground(Path(directory), server, f"http://127.0.0.1:{near.port}")
    finally:
        server.remove()


TABLES = ("links", "changes", "events", "deliveries")
"""Where an imported link leaves a row, in the order in which these refer to each other."""


def connect(url: str) -> Any:
    """Connect as barely as the promises allow: each statement by itself is on the disk when it returns."""
    if url.startswith("postgresql:"):
        return psycopg.connect(url, autocommit=True, row_factory=dict_row)
    database = sqlite3.connect(url.removeprefix("sqlite://"), isolation_level=None)
    database.row_factory = sqlite3.Row
    database.execute("pragma synchronous = full")
    return database


def insert(url: str, numbers: Iterable[int], *tables: str) -> float:
    """Insert rows like those of person 0 in one transaction, and give how long that took, in seconds."""
    values = map(_person, numbers)
    with closing(connect(url)) as database:
        begun = perf_counter()
        insert_rows(database, values, *tables)
        return perf_counter() - begun


def _person(number: int) -> dict[str, Any]:
    who, change = account(number), number + 1
    return {
        "id": f"{number:032x}",
        "number": change,
        "change_number": change,
        "person_key": who,
        "account": who,
        "orcid": orcid_id(number).bare,
    }


def wrk(server: Running, people: int) -> dict[str, float]:
    """Let wrk look up random people for a second, over kept connections; give its figures."""
    command = ["wrk", "-t1", f"-c{CLIENTS}", "-d1s", "-s", str(Path(__file__).with_suffix(".lua"))]
    environ = {**os.environ, "PEOPLE": str(people), "SCOPE": ORGANISATION["scopes"][0], "TOKEN": TOKEN}
    address = f"http://127.0.0.1:{server.port}"
    said = subprocess.run([*command, address], env=environ, capture_output=True, text=True, check=True).stdout
    found = json.loads(said.splitlines()[-1])
    if found["errors"]:
        raise Unexpected(f"{found['errors']} look-ups failed")
    return found


def in_turn(rounds: int, figure: str, *sides: tuple[Running, int]) -> list[tuple[float, ...]]:
    """Let both sides be asked, one after the other, round by round, and give a figure of each; the first warms up."""
    return [tuple(wrk(server, people)[figure] for server, people in sides) for _ in range(rounds + 1)][1:]


def look_ups(here: Ground, sizes: Sizes) -> Iterator[Figure]:
    """Measure the connector: speed on both servers, memory, growth and start."""
    few, usual, many = (here.site(SQLITE) for _ in range(3))
    for site, links in (few, sizes.few), (usual, sizes.usual), (many, sizes.many):
        tell(f"a store is filled with {links:,} links, in {insert(site.url, range(1, links), 'links'):.0f} s")

    def speed(server: str, one: Running, other: Running) -> Figure:
        rates = in_turn(sizes.rounds, "rate", (one, sizes.usual), (other, sizes.usual))
        return beside(f"look-ups ÷ bare WSGI function, {server}", "higher", 0.5, "look-ups/s", rates)

    with usual.serving("connector") as connector, under_waitress(usual.log, "bare") as base:
        wrk(connector, sizes.usual)
        early = connector.memory()
        yield speed("waitress", connector, base)
        late = connector.memory()
    yield limited("memory of a connector", "lower", 80, "MB", late)
    yield Figure("memory of a connector, last ÷ first look-ups", late / early, 1.1, "lower", late, early, "MB")
    with (
        under_granian(usual.log, "webapp.wiring.connector:connector", usual.configuration, look_up(0)) as connector,
        under_granian(usual.log, "tests.bench:bare", usual.configuration, "/", Path(sys.executable).parent) as base,
    ):
        yield speed("granian", connector, base)
    # Read through once, so that it is in the system's memory as that of a server in use
    subprocess.run(["cat", many.url.removeprefix("sqlite://")], stdout=subprocess.DEVNULL, check=True)
    with many.serving("connector") as old, few.serving("connector") as young:
        times = in_turn(sizes.rounds, "p50", (old, sizes.many), (young, sizes.few))
    yield beside(f"p50 of a look-up, {sizes.many:,} links ÷ {sizes.few:,}", "lower", 1.3, "ms", times)
    starts = statistics.median(_start(usual) for _ in range(sizes.starts))
    yield limited("start of a connector to its first answer", "lower", 1.0, "s", starts)


def _start(site: Site) -> float:
    begun = perf_counter()
    with site.serving("connector"):
        return perf_counter() - begun


_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


def link(connection: http.client.HTTPConnection, number: int) -> None:
    """Link a person, from their own page to the result; ORCID's pages between are left out."""
    cookies: dict[str, str] = {}
    front = {
        "Host": "orcid-connect.example",
        "X-Front-Proof": PROOF,
        "Shib-Identity-Provider": quote(ORGANISATION["entity_ids"], safe=""),
        "eppn": quote(account(number), safe=""),
        "displayName": quote("Maija Mäkelä", safe=""),
    }

    def ask(status: int, method: str, path: str, **form: str) -> str:
        """Give the body of an answer; of a redirect, where it leads."""
        headers = front | {"Cookie": "; ".join(map("=".join, cookies.items()))}
        headers |= {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        connection.request(method, path, urlencode(form) or None, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != status:
            raise Unexpected(f"{method} {path}: {answer.status} in place of {status}: {text[:2000]}")
        for said in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = said.partition(";")[0].partition("=")
            cookies[name] = value
        return answer.headers.get("Location", text)

    to_orcid = ask(303, "POST", "/me/start", **_hidden(ask(200, "GET", "/me")))
    state = parse_qs(urlsplit(to_orcid).query)["state"][0]
    confirm = urlsplit(ask(303, "GET", f"/me/callback?{urlencode({'state': state, 'code': number})}")).path
    result = ask(303, "POST", confirm, agree="yes", **_hidden(ask(200, "GET", confirm)))
    if orcid_id(number).bare not in ask(200, "GET", urlsplit(result).path):
        raise Unexpected("the result does not name the iD")


def _hidden(page: str) -> dict[str, str]:
    return {name: html.unescape(value) for name, value in _HIDDEN.findall(page)}


def link_all(server: Running, numbers: Iterator[int]) -> float:
    """Have people link, several at once, and give how many linked in a second."""

    def client(_: int) -> int:
        done = 0
        with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
            # `next_cursor` of islice and count is one step of the interpreter, so clients may share the iterator
            for number in iter(lambda: next(numbers, None), None):
                link(connection, number)
                done += 1
        return done

    begun = perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        return sum(clients.map(client, range(CLIENTS))) / (perf_counter() - begun)


def linkings(here: Ground, engine: str, sizes: Sizes) -> Iterator[Figure]:
    """Measure whole linkings in one process of the pages, and its memory."""
    numbers = count(1)
    with here.site(engine).serving("serve") as web:
        link_all(web, islice(numbers, sizes.warm_up))
        early = web.memory()
        rate = link_all(web, islice(numbers, sizes.linkings))
        late = web.memory()
    yield limited(f"whole linkings in one process, {engine}", "higher", 50, "linkings/s", rate)
    yield limited(f"memory of the pages, {engine}", "lower", 120, "MB", late)
    name = f"memory of the pages, after {sizes.warm_up + sizes.linkings:,} linkings ÷ {sizes.warm_up:,}, {engine}"
    yield Figure(name, late / early, 1.1, "lower", late, early, "MB")


def many_at_once(here: Ground, engine: str, sizes: Sizes) -> Iterator[Figure]:
    """Measure import, snapshot and drain, each against a bare loop over the same engine."""
    # PostgreSQL takes longer over each row
    links = sizes.moved if engine == SQLITE else sizes.moved // 10
    numbers = range(1, links + 1)

    def figure(what: str, number: int, unit: str, ours: float, base: float) -> Figure:
        name = f"{what} of {number:,} {unit} ÷ bare loop, {engine}"
        return beside(name, "higher", 0.1, f"{unit}/s", [(number / ours, number / base)])

    site, other = here.site(engine, owed=True), here.site(engine, owed=True)
    yield figure("import", links, "links", site.take_in(numbers), insert(other.url, numbers, *TABLES))
    yield figure("snapshot", links + 1, "links", *_snapshots(site, links + 1))
    yield figure("drain", sizes.delivered, "deliveries", *_drains(here, engine, sizes.delivered))


def lists(here: Ground, engine: str, sizes: Sizes) -> Iterator[Figure]:
    """Measure a list of attested iDs by the API beside a bare loop, and how long others wait meanwhile."""
    site, other, rows = here.site(engine, owed=True), here.site(engine, owed=True), range(1, sizes.attested + 1)
    waits: list[float] = []
    with site.serving("serve") as web, site.serving("connector") as connector, ThreadPoolExecutor(1) as sender:
        # The list is the database's first one; nothing was analyzed before
        link_all(web, iter((sizes.attested + 1,)))
        sent = sender.submit(_send_list, connector, rows)
        with closing(http.client.HTTPConnection("127.0.0.1", web.port)) as connection:
            for number in count(sizes.attested + 2):
                begun = perf_counter()
                link(connection, number)
                waits.append(perf_counter() - begun)
                if sent.done():
                    break
        ours = sent.result()
    bare_loop = insert(other.url, rows, *TABLES)
    name = f"list of {len(rows):,} attested iDs ÷ bare loop, {engine}"
    yield beside(name, "higher", 0.05, "rows/s", [(len(rows) / ours, len(rows) / bare_loop)])
    yield limited(f"longest of {len(waits):,} linkings beside that list, {engine}", "lower", 2, "s", max(waits))


def _send_list(connector: Running, numbers: range) -> float:
    rows = "".join(
        json.dumps({"account": account(number), "orcid": orcid_id(number).uri, "authenticated_at": "2026-01-15"}) + "\n"
        for number in numbers
    )
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/x-ndjson"}
    with closing(http.client.HTTPConnection("127.0.0.1", connector.port)) as connection:
        begun = perf_counter()
        connection.request("POST", "/v1/people?source=the+old+system", rows, headers)
        end = json.loads([*connection.getresponse()][-1])
        if end.get("linked") != len(numbers):
            raise Unexpected(end)
        return perf_counter() - begun


def _snapshots(site: Site, links: int) -> tuple[float, float]:
    with (
        site.serving("connector") as connector,
        closing(http.client.HTTPConnection("127.0.0.1", connector.port)) as connection,
    ):
        begun = perf_counter()
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/x-ndjson"}
        connection.request("GET", "/v1/changes", headers=headers)
        lines = [*connection.getresponse()]
        ours = perf_counter() - begun
    if len(lines) != links + 1:
        raise Unexpected(f"{len(lines) - 1} links in place of {links}")
    first, begun = json.loads(lines[0]), perf_counter()
    with closing(connect(site.url)) as database, site.log.with_name("sink").open("w", encoding="ascii") as sink:
        for row in database.execute("select * from links where ended_at is null order by person_key"):
            person = {**first["person"], "value": row["account"]}
            sink.write(json.dumps({**first, "id": row["id"], "person": person, "orcid": row["orcid"]}) + "\n")
    return ours, perf_counter() - begun


def _drains(here: Ground, engine: str, deliveries: int) -> tuple[float, float]:
    site = here.site(engine, owed=True)
    site.command("deliver", "--once")
    site.take_in(range(1, deliveries + 1))
    begun = perf_counter()
    said = site.command("deliver", "--once")
    ours = perf_counter() - begun
    if said.strip() != f"delivered {deliveries}":
        raise Unexpected(said)
    statement = f"insert into bare values ({'?, ?' if engine == SQLITE else '%s, %s'})"
    with closing(connect(site.url)) as database, requests.Session() as session:
        database.execute("create table bare (number integer not null primary key, status integer not null)")
        begun = perf_counter()
        for number in range(deliveries):
            told = {"person": account(number), "orcid": orcid_id(number).uri}
            database.execute(statement, (number, session.post(here.neighbours, json=told, timeout=10).status_code))
        return ours, perf_counter() - begun


def main() -> None:
    """Measure, print and write down."""
    # What ends it ends the servers it has started, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sizes, begun = QUICK if os.environ.get("QUICK") else Sizes(), perf_counter()
    found: list[Figure] = []
    with ground() as here:
        parts = [part(here, engine, sizes) for part in (linkings, many_at_once, lists) for engine in (SQLITE, POSTGRES)]
        for part in (look_ups(here, sizes), *parts):
            for figure in part:
                found.append(figure)
                tell(figure.row())
    OUTPUT.parent.mkdir(exist_ok=True)
    rows = [{**asdict(figure), "met": figure.met} for figure in found]
    OUTPUT.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    missed = [figure.name for figure in found if not figure.met]
    tell("\n" + (f"MISSED: {'; '.join(missed)}" if missed else "All goals are met."))
    tell(f"{OUTPUT} written, after {perf_counter() - begun:.0f} seconds.")


if __name__ == "__main__":
    if sys.argv[1:]:
        waitress.serve({"bare": bare, "neighbours": neighbours}[sys.argv[1]](), port=sys.argv[2], threads=THREADS)
    else:
        main()
