"""The nation: organisations with people, receivers, and the service on two nodes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from demo.idm.app import SECRET, Idm
from demo.idm.server import serve
from demo.orcid.people import made_up_id
from shibboleth.orcid_id import OrcidId, Registry
from sql.store import open_store
from tests.load.schedule import ORGANISATIONS, RECEIVERS, Day
from tests.support.database import insert_rows
from tests.support.factories import attest
from tests.support.system.nodes import Nodes, running_nodes
from tests.support.system.stack import installed_python

RIGHTS = ["read", "feed", "deprovision"]
LINKERS = 400
"""People of an organisation without a link on the morning."""


@dataclass(slots=True)
class Organisation:
    """An organisation that is not in the federation of the tests, with its receiver."""

    number: int
    id: str
    fault: str | None
    """How its receiver fails; None if it has no receiver."""
    idm: Idm | None = None
    address: str = ""
    cursor: str | None = None
    """Of the reader of its feed."""
    next_linker: Iterator[int] = field(default_factory=count)

    @property
    def scope(self) -> str:
        return f"{self.id}.example"

    @property
    def entity_id(self) -> str:
        return f"https://idp.{self.scope}/idp/shibboleth"

    @property
    def token(self) -> str:
        return f"token-of-{self.id}-" + "t" * 32

    def linked(self, number: int) -> str:
        """Return the account of a person who has a link on the morning."""
        return f"person-{number:06d}@{self.scope}"

    def linker(self, number: int) -> str:
        """Return the account of a person who has none."""
        return f"new-{number:06d}@{self.scope}"

    def settings(self) -> dict[str, object]:
        """Return the content of the organisation's file."""
        return {
            "entity_ids": self.entity_id,
            "scopes": [self.scope],
            "credential": [{"name": "all", "rights": RIGHTS, "token": f"file:secrets/{self.id}.token"}],
            "transfer": [
                {
                    "name": "idm",
                    "kind": "rest",
                    "url": f"{self.address}/v1",
                    "signing_secrets": ["file:secrets/receivers.whsec"],
                }
            ]
            if self.idm
            else None,
        }


@dataclass(slots=True)
class Nation:
    """All organisations, and the service."""

    day: Day
    organisations: list[Organisation]
    nodes: Nodes
    venv: Path

    def url(self) -> str:
        """Return the URL of the database."""
        return self.nodes.cluster.url(self.nodes.database)

    @property
    def linked_each(self) -> int:
        """How many people of each organisation have a link on the morning."""
        return self.day.links // len(self.organisations)

    def fail_receivers(self) -> None:
        """Let the receivers fail."""
        for each in self.organisations:
            if each.idm and each.fault:
                each.idm.set_fault(each.fault)

    def repair_receivers(self) -> None:
        """Let all receivers work again but the silent one."""
        for each in self.organisations[: len(RECEIVERS)]:
            if each.idm:
                each.idm.clear_fault()

    def insert_links(self) -> float:
        """Insert the links that people have on the morning; return the seconds that it took."""
        begun = time.monotonic()
        store = open_store(self.url())
        first = self.organisations[0]
        attest(store, [(first.linked(0), _orcid_id(1))], organisation=first.id)
        store.close()
        checks = "2026-01-01T00:00:00.000000Z"
        values = (
            {
                "id": f"{number:032x}",
                "organisation": each.id,
                "person_key": each.linked(person),
                "account": each.linked(person),
                "orcid": made_up_id(number),
                "next_check_at": checks,
            }
            for each in self.organisations
            for person in range(self.linked_each)
            if (number := 1 + each.number * self.linked_each + person) > 1
        )
        with psycopg.connect(self.url(), autocommit=True, row_factory=dict_row) as database:
            insert_rows(database, values, "links")
            database.execute("analyze")
        return time.monotonic() - begun

    def started(self) -> list[tuple[str, subprocess.Popen]]:
        """Return the processes of the nodes, by name."""
        return [
            (f"node {number} {name}", process)
            for number, node in enumerate(self.nodes.nodes, 1)
            for name, process in [*node.stack.processes.items()]
            if name != "idp"
        ]

    def processes(self) -> dict[str, int]:
        """Return the first process of each part, by name."""
        found = {name: process.pid for name, process in self.started()}
        for name, server in (("primary", self.nodes.cluster.primary), ("standby", self.nodes.cluster.standby)):
            pid = server.data / "postmaster.pid"
            if pid.exists():
                found[f"PostgreSQL {name}"] = int(pid.read_text().split()[0])
        return found

    def connect(self, **options: Any) -> psycopg.Connection:
        """Connect to the database, to whichever server accepts writes."""
        return psycopg.connect(self.url(), **options)

    def deliveries(self) -> list[dict]:
        """Return figures of the deliveries of each organisation."""
        with self.connect(row_factory=dict_row) as database:
            return database.execute(DELIVERIES).fetchall()

    def one(self, statement: str) -> object:
        """Return the one value of a query."""
        with self.connect() as database:
            return database.execute(statement).fetchone()[0]


DELIVERIES = """
select
    organisation,
    count(*) as all,
    count(*) filter (where state = 'done') as done,
    count(*) filter (where state = 'dead-letter') as dead,
    count(*) filter (where state = 'waiting') as waiting,
    count(*) filter (where finished_at::timestamptz > created_at::timestamptz + interval '10 seconds') as late,
    coalesce(max(extract(epoch from finished_at::timestamptz - created_at::timestamptz)), 0)::float as longest,
    coalesce(string_agg(distinct nullif(outcome, 'stored'), ', '), '') as outcomes
from deliveries
group by organisation
order by organisation
"""


def _orcid_id(number: int) -> OrcidId:
    return OrcidId(made_up_id(number), Registry.SANDBOX)


@contextmanager
def living(day: Day) -> Iterator[Nation]:
    """Yield the nation on the morning of the day."""
    with ExitStack() as life:
        organisations = []
        for number in range(ORGANISATIONS):
            silent = number == len(RECEIVERS)
            fault = "hang" if silent else RECEIVERS[number] if number < len(RECEIVERS) else None
            each = Organisation(number, f"organisation-{number:02d}", fault)
            if fault is not None:
                accounts = [each.linker(person) for person in range(LINKERS)]
                each.idm = Idm([*accounts, *(each.linked(person) for person in range(day.links // ORGANISATIONS))])
                each.address = life.enter_context(serve(each.idm)).address
                if silent:
                    each.idm.set_fault("hang")
            organisations.append(each)
        secrets = {f"{each.id}.token": each.token for each in organisations} | {"receivers.whsec": SECRET}
        venv = life.enter_context(installed_python())
        nodes = life.enter_context(
            running_nodes(
                venv,
                stores=({"standby_lookups": True}, {"standby_lookups": True}),
                listen={"drain_seconds": 4.0},
                connector={"drain_seconds": 4.0},
                orcid={"status_check_days": 30},
                more={each.id: each.settings() for each in organisations},
                secrets=secrets,
            )
        )
        yield Nation(day, organisations, nodes, venv)
