"""Where the service runs during a benchmark: a store on either engine, a configuration, and its processes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sql.migrate import migrate
from sql.store import open_store
from tests.bench.client import Connection
from tests.bench.people import ENTITY_ID, Visitor, link, look
from tests.bench.processes import Running, running
from tests.configuration import write_configuration
from tests.postgres import Server

SQLITE, POSTGRES = "SQLite", "PostgreSQL"


@dataclass(frozen=True, slots=True)
class Site:
    """A configured service with a migrated store."""

    engine: str
    url: str
    configuration: Path
    log: Path

    def web(self) -> AbstractContextManager[Running]:
        """Run the web application, as its operator would."""
        return running(self.log, "webapp", "--config", self.configuration, "serve")

    def sample(self, web: Running, visitor: Visitor) -> Path:
        """Write down what the service answers when this visitor links an iD."""
        sample = self.configuration.parent / "sample.json"
        sample.write_text(json.dumps(_sample(web, visitor)), encoding="utf-8")
        return sample

    def base(self, sample: Path, *words: str) -> AbstractContextManager[Running]:
        """Run what it is measured against."""
        return running(self.log, "tests.bench.base", self.configuration, sample, *words)

    def links(self) -> int:
        """Count the links in the store."""
        store = open_store(self.url)
        try:
            return store.count(ENTITY_ID)
        finally:
            store.disconnect()


@dataclass(slots=True)
class Ground:
    """Where sites are made."""

    directory: Path
    postgres: Server
    orcid: Running
    _made: int = field(default=0)

    def site(self, engine: str) -> Site:
        """Make a site with an empty store."""
        self._made += 1
        directory = self.directory / f"site-{self._made}"
        directory.mkdir()
        url, settings, secrets = self._store(engine, directory)
        configuration = write_configuration(
            directory,
            secrets=secrets,
            orcid={"base_url": f"http://127.0.0.1:{self.orcid.port}"},
            store=settings,
            listen={"port": 0},
        )
        _migrate(url)
        return Site(engine, url, configuration, self.directory / "log")

    def _store(self, engine: str, directory: Path) -> tuple[str, Mapping[str, str], Mapping[str, str]]:
        if engine == SQLITE:
            url = f"sqlite://{directory}/links.db"
            return url, {"url": url}, {}
        url = self.postgres.socket_url(self.postgres.make_database())
        settings = {"url": url.replace(f":{self.postgres.password}@", "@"), "password": "file:secrets/store-password"}
        return url, settings, {"store-password": self.postgres.password}


@contextmanager
def ground(directory: Path) -> Iterator[Ground]:
    """Start what all sites share: ORCID's stand-in, and a PostgreSQL server that waits for the disk."""
    server = Server()
    try:
        with server.connect() as connection:
            connection.execute("alter system set fsync = on")
            connection.execute("alter system set synchronous_commit = on")
            connection.execute("select pg_reload_conf()")
        with running(directory / "log", "tests.bench.orcid") as orcid:
            yield Ground(directory, server, orcid)
    finally:
        server.remove()


def _migrate(url: str) -> None:
    store = open_store(url)
    migrate(store.engine, datetime.now(UTC))
    store.disconnect()


def _sample(web: Running, visitor: Visitor) -> dict[str, dict]:
    with Connection(web.port) as connection:
        answers = dict(zip(("start", "callback", "confirm", "result"), link(connection.ask, visitor), strict=True))
        answers["me"] = look(connection.ask, visitor)
    return {name: {**asdict(one), "body": "", "size": len(one.body)} for name, one in answers.items()}
