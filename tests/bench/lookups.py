"""What a lookup costs: the connector against a bare WSGI function that gives the same bytes, on the same server.

`python -m tests.bench.lookups` measures it alone. wrk asks, over kept connections, about people by chance; credential
check and read of the database are included on one side, and nothing but the answer is on the other. LOOKUP_LINKS says
how many links there are where there are many.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep

from sql.migrate import migrate
from sql.store import open_store
from tests.bench import bare, figures
from tests.bench.client import Connection, Unexpected
from tests.bench.figures import Figure, at_most, beside
from tests.bench.people import ENTITY_ID, SCOPE, account_of
from tests.bench.processes import Failed, Running, running
from tests.bench.telling import Tell, tell
from tests.configuration import TOKEN, write_configuration
from tests.make import NOON
from tests.postgres import free_port

CONNECTIONS = 8
ROUNDS = 12
SECONDS = 1
"""How long a round is; wrk takes whole seconds."""
PAUSE = 1
"""In milliseconds, at least, from an answer to the next question where both sides are asked equally often."""
FEW, USUAL, MANY = 1_000, 1_000_000, int(os.environ.get("LOOKUP_LINKS", "10000000"))
STARTS = 7
MOST_MEMORY = 60
"""In MB."""
LONGEST_START = 0.6
"""In seconds."""
THREADS = 8


# --- Stores, and what answers from them ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A configured connector whose store holds so many links."""

    configuration: Path
    links: int
    log: Path

    def read_through(self) -> float:
        """Read its whole store once, and tell how large that is, in GB: a system soon forgets what nobody reads."""
        size = 0
        with (self.configuration.parent / "links.db").open("rb", buffering=0) as file:
            while read := len(file.read(1 << 24)):
                size += read
        return size / 1e9

    def connector(self):
        """Run it as its operator would."""
        return running(self.log, "webapp", "--config", self.configuration, "connector")

    def bare(self, *at_once: str):
        """Run what it is measured against, on the same server."""
        return running(self.log, "tests.bench.bare", self.configuration, *at_once)

    def under_granian(self, factory: str):
        """Run a factory's application under granian."""
        return _granian(self.log, factory, self.configuration)


def make_place(directory: Path, links: int) -> Place:
    """Make a store with so many links, and a configuration for it."""
    directory.mkdir()
    url = f"sqlite://{directory}/links.db"
    store = open_store(url)
    migrate(store.engine, NOON)
    store.disconnect()
    _fill(directory / "links.db", links)
    configuration = write_configuration(directory, store={"url": url}, connector={"port": 0, "threads": THREADS})
    return Place(configuration, links, directory / "log")


# Made inside the database, since nothing in Python is as fast. The iDs are of the right form alone: a lookup does not
# check them; and the index that finds who holds an iD is left out, which no lookup reads
_FILL = """
insert into links (
    id, organisation, person_key, account, issued, registry, orcid, linked_at, consent_digest, consent_at
)
with recursive counting (number) as (
    select 0
    union all
    select number + 1 from counting where number < :links - 1
)
select printf('%032x', number), :organisation, printf('person-%07d@' || :scope, number),
    printf('person-%07d@' || :scope, number), '', 'sandbox',
    printf('0000-%04d-%04d-0000', number / 10000, number % 10000), :at, :digest, :at
from counting
"""


def _fill(path: Path, links: int) -> None:
    values = {
        "links": links,
        "organisation": ENTITY_ID,
        "scope": SCOPE,
        "at": "2026-01-15T12:00:00Z",
        "digest": "d" * 64,
    }
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("pragma journal_mode = off")
        database.execute("pragma synchronous = off")
        database.execute("drop index one_person_for_an_orcid_id")
        database.execute(_FILL, values)
        database.execute("pragma journal_mode = wal")


@contextmanager
def _granian(log: Path, factory: str, configuration: Path) -> Iterator[Running]:
    port = free_port()
    command = [
        *(Path(sys.executable).with_name("granian"), "--interface", "wsgi", "--factory", factory, "--http", "1"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--blocking-threads", "1", "--no-ws"),
    ]
    environ = {**os.environ, "ORCID_CONNECT_CONFIG": str(configuration)}
    with log.open("ab") as out, subprocess.Popen(command, env=environ, stdout=out, stderr=out) as server:
        try:
            _wait_for(port)
            (worker,) = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text(encoding="ascii").split()
            yield Running(int(worker), port)
        finally:
            server.terminate()


def _wait_for(port: int) -> None:
    deadline = perf_counter() + 20
    while perf_counter() < deadline:
        try:
            with closing(socket.create_connection(("127.0.0.1", port))):
                return
        except ConnectionRefusedError:
            sleep(0.05)
    raise Failed("granian did not start")


# --- Asking --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Round:
    """What wrk got done."""

    done: int
    seconds: float
    p50: float
    p99: float
    errors: int
    worked: float
    """How long processors worked in the server for it, in seconds: what other load on the machine changes least."""

    @property
    def work(self) -> float:
        """How long processors worked in the server for each, in seconds."""
        return self.worked / self.done

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.done / self.seconds


def ask(server: Running, people: int, pause: int = 0) -> Round:
    """Let wrk ask for a round: as fast as it can, or pausing for some milliseconds after each answer."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", Path(__file__).with_name("lookups.lua")]
    environ = {**os.environ, "PEOPLE": str(people), "SCOPE": SCOPE, "TOKEN": TOKEN, "PAUSE": str(pause)}
    address = f"http://127.0.0.1:{server.port}"
    before = server.worked()
    said = subprocess.run([*command, address], env=environ, capture_output=True, text=True, check=True).stdout
    found = Round(**json.loads(said.splitlines()[-1]), worked=server.worked() - before)
    if found.errors:
        raise Unexpected(f"{found.errors} of {found.done} lookups failed")
    return found


def look(server: Running, number: int) -> bytes:
    """Ask about one person."""
    path = f"/v1/people/{account_of(number).replace('@', '%40')}"
    with Connection(server.port) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        answer = connection.ask(request)
    if answer.status != 200 or len(answer.body) != len(bare.BODY):
        raise Unexpected(f"{answer.status}: {answer.body!r}")
    return answer.body


def in_turns(
    one: Running, other: Running, people: int, others_people: int, *, pause: int = 0
) -> list[tuple[Round, Round]]:
    """Let both be asked, one after the other, round by round."""
    for server, number in ((one, people), (other, others_people)):
        look(server, number - 1)
        ask(server, number)
    return [(ask(one, people, pause), ask(other, others_people, pause)) for _ in range(ROUNDS)]


# --- Figures -------------------------------------------------------------------------------------------------------


def measure(directory: Path, tell: Tell) -> list[Figure]:
    """Measure all of it."""
    tell(f"\nLookups at the connector: {CONNECTIONS} kept connections, wrk asks about people by chance …")
    begun = perf_counter()
    numbers = {"few": FEW, "usual": USUAL, "many": MANY}
    few, usual, many = (make_place(directory / f"lookups-{name}", links) for name, links in numbers.items())
    os.sync()  # what is still on its way to the disk would be in the way of who reads
    tell(f"stores with {FEW:,}, {USUAL:,} and {MANY:,} links filled in {perf_counter() - begun:.0f} seconds")
    found = [
        *_against_bare(usual, tell),
        *_under_granian(usual, tell),
        *_growth(few, many, tell),
        *_starts(usual, tell),
    ]
    tell("")
    return found


def _against_bare(place: Place, tell: Tell) -> list[Figure]:
    with place.connector() as connector, place.bare() as base, place.bare("at-once") as hurried:
        pairs = in_turns(connector, base, place.links, place.links)
        paced = in_turns(connector, base, place.links, place.links, pause=PAUSE)
        beyond = in_turns(connector, hurried, place.links, place.links)
    found = [*_speed("waitress", 0.8, pairs, tell), _at_one_rate("waitress", paced, tell)]
    rate, work = (statistics.median(each) for each in zip(*((o.rate / b.rate, b.work) for o, b in beyond), strict=True))
    tell(
        "waitress hands the bare function to a thread, and here whoever reads a lookup answers it; against a bare "
        f"function that is answered so too: {rate:.2f}, with {1e6 * work:.0f} µs of a processor for that"
    )
    return found


def _under_granian(place: Place, tell: Tell) -> list[Figure]:
    with (
        place.under_granian("webapp.wsgi:connector") as connector,
        place.under_granian("tests.bench.bare:bare") as base,
    ):
        pairs = in_turns(connector, base, place.links, place.links)
        paced = in_turns(connector, base, place.links, place.links, pause=PAUSE)
    return [*_speed("granian", 0.4, pairs, tell), _at_one_rate("granian", paced, tell)]


def _at_one_rate(server: str, pairs: list[tuple[Round, Round]], tell: Tell) -> Figure:
    """Compare the slowest lookups where both sides have the same to do.

    Asked as fast as they can, connections wait the longer the fewer are answered: the ratio of those times is that of
    the rates, turned over (Little's law), and says nothing of its own.
    """
    rate, base = (statistics.median(one.rate for one in side) for side in zip(*pairs, strict=True))
    tell(f"lookups, {server}, with pauses: {rate:,.0f} a second, and {base:,.0f} of its base")
    slowest = [(1000 * one.p99, 1000 * other.p99) for one, other in pairs]
    return beside(f"p99 of a lookup ÷ bare WSGI function, at the same rate, {server}", 1.5, "lower", "ms", slowest)


def _speed(server: str, goal: float, pairs: list[tuple[Round, Round]], tell: Tell) -> list[Figure]:
    rounds = ((one.rate, one.p50, one.p99, one.work, other.work) for one, other in pairs)
    rate, p50, p99, work, base = (statistics.median(each) for each in zip(*rounds, strict=True))
    times = f"p50 {1000 * p50:.2f} ms, p99 {1000 * p99:.1f} ms"
    tell(
        f"lookups, {server}: {rate:,.0f} a second in one process, {times}; "
        f"{1e6 * work:.0f} µs of a processor each, its base {1e6 * base:.0f} µs"
    )
    rates = [(one.rate, other.rate) for one, other in pairs]
    slowest = [(1000 * one.p99, 1000 * other.p99) for one, other in pairs]
    return [
        beside(f"lookups ÷ bare WSGI function, {server}", goal, "higher", "lookups/s", rates),
        beside(f"p99 of a lookup ÷ bare WSGI function, as fast as each can, {server}", 1.5, "lower", "ms", slowest),
    ]


def _growth(few: Place, many: Place, tell: Tell) -> list[Figure]:
    tell(f"the file of {many.links:,} links, {many.read_through():.1f} GB, was read through once, to be in memory")
    with few.connector() as young, many.connector() as old:
        pairs = in_turns(old, young, many.links, few.links)
        memory = [(young.rss(), few.links), (old.rss(), many.links)]
    tell("memory of a connector: " + ", ".join(f"{rss:.1f} MB with {links:,} links" for rss, links in memory))
    times = [(1000 * one.p50, 1000 * other.p50) for one, other in pairs]
    name = f"p50 of a lookup, {many.links:,} links ÷ {few.links:,}"
    most = max(rss for rss, _ in memory)
    return [
        beside(name, 1.3, "lower", "ms", times),
        at_most(
            f"memory of a connector ÷ {MOST_MEMORY} MB, {few.links:,} to {many.links:,} links", most, MOST_MEMORY, "MB"
        ),
    ]


def _starts(place: Place, tell: Tell) -> list[Figure]:
    taken = [_start(place) for _ in range(STARTS)]
    tell(f"from the start of a connector to its first answer: {min(taken):.2f} to {max(taken):.2f} seconds")
    name = f"start of a connector to its first answer ÷ {LONGEST_START} s"
    return [at_most(name, statistics.median(taken), LONGEST_START, "s")]


def _start(place: Place) -> float:
    begun = perf_counter()
    with place.connector() as connector:
        look(connector, 0)
        return perf_counter() - begun


def main() -> None:
    """Measure lookups alone."""
    with TemporaryDirectory(prefix="orcid-connect-bench-") as directory:
        tell(figures.table(measure(Path(directory), tell)))


if __name__ == "__main__":
    main()
