"""The nation: organisations with people and receivers, and the service on two nodes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import psycopg
import requests
from psycopg.rows import dict_row

from demo.idm.app import SECRET, Idm
from demo.idm.server import serve
from demo.orcid.people import made_up_id
from shibboleth.orcid_id import OrcidId, Registry
from sql.store import open_store
from tests.load.schedule import FAULTS, ORGANISATIONS, RECEIVERS, SILENT, Day
from tests.support.database import insert_rows
from tests.support.factories import attest
from tests.support.system.nodes import Nodes, running_nodes
from tests.support.system.people import SAIMAA, IdentityProvider
from tests.support.system.stack import installed_python


@dataclass(slots=True)
class Organisation:
    """An organisation with its Identity Provider, and the reader of its feed."""

    number: int
    address: str = ""
    """Of its receiver; empty if it has none."""
    cursor: str | None = None
    """Of the reader of its feed."""

    @property
    def id(self) -> str:
        return f"organisation-{self.number:02d}"

    @property
    def scope(self) -> str:
        return f"{self.id}.example"

    @property
    def provider(self) -> IdentityProvider:
        people = {"person": {"displayName": ["Maija Mäkelä"]}}
        return IdentityProvider(f"idp-{self.number}.nation.test", self.id, self.scope, people, key=SAIMAA.host)

    @property
    def token(self) -> str:
        return f"token-of-{self.id}-" + "t" * 32

    def linked(self, number: int) -> str:
        """Return the account of a person who has a link in the morning."""
        return f"person-{number:06d}@{self.scope}"

    def linker(self, number: int) -> str:
        """Return the account of a person who has none."""
        return f"new-{number:06d}@{self.scope}"

    def settings(self) -> dict[str, object]:
        """Return the content of the organisation's file."""
        rights = ["read", "feed", "deprovision"]
        transfer = {"name": "idm", "kind": "rest", "url": f"{self.address}/v1"}
        return {
            "entity_ids": self.provider.entity_id,
            "scopes": [self.scope],
            "credential": [{"name": "all", "rights": rights, "token": f"file:secrets/{self.id}.token"}],
            "transfer": [transfer | {"signing_secrets": ["file:secrets/receivers.whsec"]}] if self.address else None,
        }


@dataclass(frozen=True, slots=True)
class Nation:
    """All organisations, and the service."""

    day: Day
    organisations: list[Organisation]
    nodes: Nodes

    def fail_receivers(self) -> None:
        """Let the receivers fail, but those that work all day."""
        self._set_faults(dict(zip(FAULTS, FAULTS, strict=True)))

    def repair_receivers(self) -> None:
        """Let the receivers work again, but the one that is silent all day."""
        self._set_faults(dict.fromkeys(FAULTS, ""))

    def _set_faults(self, faults: Mapping[str, str]) -> None:
        for each, behaviour in zip(self.organisations, RECEIVERS, strict=False):
            if behaviour in faults:
                set_fault(each.address, faults[behaviour])

    def url(self) -> str:
        """Return the URL of the database, on whichever server accepts writes."""
        return self.nodes.cluster.url(self.nodes.database)

    def query(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        with psycopg.connect(self.url(), row_factory=dict_row) as database:
            return database.execute(statement, values).fetchall()

    def insert_links(self) -> None:
        """Insert the links that people have in the morning."""
        store, first = open_store(self.url()), self.organisations[0]
        attest(store, [(first.linked(0), OrcidId(made_up_id(1), Registry.SANDBOX))], organisation=first.id)
        store.close()
        values = (
            {
                "id": f"{number:032x}",
                "organisation": each.id,
                "person_key": each.linked(person),
                "account": each.linked(person),
                "orcid": made_up_id(number),
                "next_check_at": "2026-01-01T00:00:00.000000Z",
            }
            for each in self.organisations
            for person in range(self.day.links_each)
            if (number := 1 + each.number * self.day.links_each + person) > 1
        )
        with psycopg.connect(self.url(), autocommit=True, row_factory=dict_row) as database:
            insert_rows(database, values, "links")
            database.execute("analyze")

    def processes(self) -> dict[str, int]:
        """Return the first process of each part, by name."""
        found = {
            f"node {number} {name}": process.pid
            for number, node in enumerate(self.nodes.nodes, 1)
            for name, process in [*node.stack.processes.items()]
            if name != "idp"
        }
        for name, server in (("primary", self.nodes.cluster.primary), ("standby", self.nodes.cluster.standby)):
            with suppress(OSError, ValueError):
                found[f"PostgreSQL {name}"] = int((server.data / "postmaster.pid").read_text().split()[0])
        return found

    def ended(self) -> list[str]:
        """Return the names of processes of the nodes that have ended."""
        return [
            f"node {number} {name}"
            for number, node in enumerate(self.nodes.nodes, 1)
            for name, process in node.stack.processes.items()
            if process.poll() is not None
        ]


@contextmanager
def running_nation(day: Day) -> Iterator[Nation]:
    """Yield the nation in the morning of the day."""
    organisations = [Organisation(number) for number in range(ORGANISATIONS)]
    with ExitStack() as life:
        accounts = [
            [each.linked(number) for number in range(day.links_each)]
            + [each.linker(number) for number in range(day.linkers)]
            for each in organisations[: len(RECEIVERS)]
        ]
        for each, address in zip(organisations, life.enter_context(running_receivers(accounts)), strict=False):
            each.address = address
        set_fault(organisations[RECEIVERS.index(SILENT)].address, "hang")
        nodes = life.enter_context(
            running_nodes(
                life.enter_context(installed_python()),
                stores=({"standby_lookups": True}, {"standby_lookups": True}),
                providers=tuple(each.provider for each in organisations),
                people=day.links + day.linkers,
                listen={"drain_seconds": 4.0},
                connector={"drain_seconds": 4.0},
                orcid={"status_check_days": 30},
                more={each.id: each.settings() for each in organisations},
                secrets={f"{each.id}.token": each.token for each in organisations} | {"receivers.whsec": SECRET},
            )
        )
        yield Nation(day, organisations, nodes)


@contextmanager
def running_receivers(accounts: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """Run a receiver for each list of accounts, all in another process; yield their addresses."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve_receivers, args=(accounts, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve_receivers(accounts: Sequence[Sequence[str]], pipe: Connection) -> None:
    with ExitStack() as life:
        pipe.send([life.enter_context(serve(Idm(each))).address for each in accounts])
        pipe.recv()  # until it is terminated, or its parent has ended


def set_fault(receiver: str, fault: str) -> None:
    """Let a receiver fail in this way, or work again if `fault` is empty."""
    requests.post(f"{receiver}/", {"fault": fault}, timeout=30, allow_redirects=False).raise_for_status()
