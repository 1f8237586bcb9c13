"""The clients of the day: Identity Providers, identity management systems, and people."""

from __future__ import annotations

import http.client
import json
import random
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from itertools import count
from time import perf_counter
from urllib.parse import quote

from demo.orcid.people import made_up_id
from tests.load.driver import Results
from tests.load.nation import Nation, Organisation
from tests.load.schedule import ORGANISATIONS
from tests.support.system.nodes import Nodes
from tests.support.system.visitor import FailedPage, Visitor

TIMEOUT = 30


class ConnectorClient:
    """Sends requests to the connector through the balancer; each thread keeps a connection."""

    def __init__(self, nodes: Nodes, results: Results) -> None:
        self._host, self._port = nodes.stack.host, nodes.stack.https_port
        self._trust = ssl.create_default_context(cafile=str(nodes.stack.trusted))
        self._results = results
        self._local = threading.local()

    def ask(self, kind: str, token: str, path: str, method: str = "GET") -> dict | None:
        """Send a request, count it, and return the JSON of the response; None if it failed."""
        begun = perf_counter()
        try:
            answer, body = self._send(token, path, method)
        except (OSError, http.client.HTTPException) as error:
            self._local.connection = None
            self._results.failed(kind, type(error).__name__)
            return None
        if answer.status >= http.client.BAD_REQUEST:
            self._results.failed(kind, str(answer.status))
            return None
        self._results.succeeded(kind, perf_counter() - begun)
        return json.loads(body or b"{}")

    def _send(self, token: str, path: str, method: str) -> tuple[http.client.HTTPResponse, bytes]:
        kept = getattr(self._local, "connection", None)
        for connection in ([kept] if kept else []) + [None]:
            used = connection or self._connect()
            try:
                used.request(method, path, headers={"Authorization": f"Bearer {token}"})
                answer = used.getresponse()
                self._local.connection = used
                return answer, answer.read()
            except (ConnectionError, http.client.RemoteDisconnected):
                # The balancer closes idle connections; clients repeat the request on a new one
                if connection is None:
                    raise
        raise AssertionError

    def _connect(self) -> http.client.HTTPConnection:
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=TIMEOUT)
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        connection.sock = self._trust.wrap_socket(plain, server_hostname=self._host)
        return connection


class Clients:
    """All clients; each public method is what one of them does at a time."""

    def __init__(self, nation: Nation, results: Results) -> None:
        self._nation, self._day, self._results = nation, nation.day, results
        self._connector = ConnectorClient(nation.nodes, results)
        self._readers, self._leaving, self._linkers = count(), count(), count(1)
        self.linked: deque[tuple[str, Visitor]] = deque()
        """People who were told that their iD is connected, by account."""

    def _organisation(self) -> Organisation:
        return random.choice(self._nation.organisations)

    def look_up(self) -> None:
        """An Identity Provider asks for a person who signs in."""
        one, number = self._organisation(), random.randrange(self._day.links_each)
        known = random.random() < self._day.lookups_of_linked
        account = one.linked(number) if known else f"nobody-{number}@{one.scope}"
        self._connector.ask("look-up", one.token, f"/v1/people/{quote(account)}")

    def poll(self) -> None:
        """An organisation fetches what is new in its feed, and acknowledges it."""
        one = self._nation.organisations[next(self._readers) % ORGANISATIONS]
        kind, query = ("feed", f"?cursor={quote(one.cursor)}") if one.cursor else ("feed, snapshot", "")
        if found := self._connector.ask(kind, one.token, f"/v1/changes{query}"):
            one.cursor = found["next_cursor"]

    def depart(self) -> None:
        """An organisation reports a person who has left."""
        number, organisation = divmod(next(self._leaving), ORGANISATIONS)
        one = self._nation.organisations[organisation]
        self._connector.ask("person has left", one.token, f"/v1/people/{quote(one.linked(number))}", "DELETE")

    def link(self) -> None:
        """A person signs in and links an iD."""
        one, number = self._organisation(), next(self._linkers)
        account = one.linker(number)
        visitor = Visitor(
            self._nation.nodes.stack,
            "person",
            made_up_id(self._day.links + number),
            report=self._results.succeeded,
            at=one.provider,
            attributes={"eppn": [account], "subject-id": [account]},
        )
        if self._visit("linking, as a whole", visitor.link):
            self.linked.append((account, visitor))

    def remove(self) -> None:
        """The person whose link is the oldest of today's removes it."""
        if self.linked:
            _, visitor = self.linked.popleft()
            self._visit("removal, as a whole", visitor.remove)

    def _visit(self, kind: str, act: Callable[[], None]) -> bool:
        begun = perf_counter()
        try:
            act()
        except FailedPage as failed:
            self._results.failed(failed.step, failed.result)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs into the table
            self._results.failed(kind, type(error).__name__)
        else:
            self._results.succeeded(kind, perf_counter() - begun)
            return True
        return False
