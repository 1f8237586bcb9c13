"""Identity Providers, identity management systems and people, as HTTP clients."""

from __future__ import annotations

import html
import http.client
import json
import random
import re
import socket
import ssl
import threading
from contextlib import closing
from itertools import count
from time import monotonic, perf_counter
from typing import Any, ClassVar
from urllib.parse import quote, urlencode, urlsplit

from demo.orcid.client import SimulatorClient
from demo.orcid.people import User, made_up_id
from tests.load.driver import Results
from tests.support.processes import balancer
from tests.support.processes.servers import UnixConnection
from tests.support.system.nodes import Nodes

TIMEOUT = 30
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
STATES_AGE = 0.2
"""Seconds for which the balancer's opinion of the nodes is used."""


class Api:
    """Requests to the connector through the balancer, over connections that are kept."""

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
            self._results.report(kind, type(error).__name__, 0)
            return None
        ok = answer.status < http.client.BAD_REQUEST
        self._results.report(kind, "ok" if ok else str(answer.status), perf_counter() - begun)
        return json.loads(body or b"{}") if ok else None

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


class DirectPerson:
    """A person whose sign-in the pages are told of by headers and proof, as Apache passes them on.

    Their requests go to the socket of a node that the balancer uses.
    """

    _turn = count()
    _opinion: ClassVar[dict[str, Any]] = {"until": 0.0, "up": []}

    def __init__(self, nodes: Nodes, entity_id: str, account: str, orcid: str) -> None:
        self._nodes, self._cookies, self._orcid = nodes, {}, orcid
        self._headers = {
            "Host": nodes.stack.host,
            "X-Front-Proof": nodes.stack.proof,
            "Shib-Identity-Provider": quote(entity_id, safe=""),
            "eppn": quote(account, safe=""),
            "displayName": quote("Maija Mäkelä", safe=""),
        }

    def _socket(self) -> str:
        # The nodes that the balancer would use; both if it has none, as it then asks those that are alive
        if monotonic() > self._opinion["until"]:
            states = balancer.states(self._nodes.balancer)
            servers = [state for name, state in sorted(states.items()) if name.startswith("pages/node")]
            up = [number for number, state in enumerate(servers) if state.startswith("UP")]
            self._opinion.update(until=monotonic() + STATES_AGE, up=up or [0, 1])
        up = self._opinion["up"]
        return str(self._nodes.nodes[up[next(self._turn) % len(up)]].stack.run / "web.sock")

    def _ask(self, results: Results, kind: str, method: str, path: str, **form: str) -> tuple[str, str]:
        begun = perf_counter()
        headers = self._headers | {"Cookie": "; ".join(map("=".join, self._cookies.items()))}
        headers |= {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        with closing(UnixConnection(self._socket())) as connection:
            connection.timeout = TIMEOUT
            connection.request(method, path, urlencode(form) or None, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        for said in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = said.partition(";")[0].partition("=")
            self._cookies[name] = value
        if answer.status >= http.client.BAD_REQUEST:
            heading = re.search(r"<h1>(.*?)</h1>", text, re.DOTALL)
            raise FailedRequest(kind, f"{answer.status} {html.unescape(heading[1]) if heading else ''}".strip())
        results.report(kind, "ok", perf_counter() - begun)
        return answer.headers.get("Location", ""), text

    def link(self, results: Results, simulator) -> None:
        """Link the iD; raises FailedRequest."""
        _, page = self._ask(results, "page", "GET", "/me")
        to_orcid, _ = self._ask(results, "form", "POST", "/me/start", **_hidden(page, "/me/start"))
        back = urlsplit(SimulatorClient(simulator).authorise(to_orcid, self._orcid))
        confirm, _ = self._ask(results, "return from ORCID", "GET", f"{back.path}?{back.query}")
        path = urlsplit(confirm).path
        _, page = self._ask(results, "page", "GET", path)
        result, _ = self._ask(results, "confirmation", "POST", path, agree="yes", **_hidden(page, path))
        self._ask(results, "page", "GET", urlsplit(result).path)

    def remove(self, results: Results) -> None:
        """Remove the link; raises FailedRequest."""
        _, page = self._ask(results, "page", "GET", "/me/remove")
        removed, _ = self._ask(results, "removal", "POST", "/me/remove", **_hidden(page, "/me/remove"))
        self._ask(results, "page", "GET", urlsplit(removed).path)


class FailedRequest(Exception):
    """A person saw an error."""

    def __init__(self, kind: str, result: str) -> None:
        super().__init__(f"{kind}: {result}")
        self.kind, self.result = kind, result


def _hidden(page: str, action: str) -> dict[str, str]:
    form = re.search(rf'<form [^>]*action="{re.escape(action)}"[^>]*>(.*?)</form>', page, re.DOTALL)
    if not form:
        raise FailedRequest("page", f"no form {action}")
    return {name: html.unescape(value) for name, value in HIDDEN.findall(form[1])}


def make_user(simulator, number: int) -> str:
    """Register a person at the simulator of ORCID and return the iD."""
    orcid = made_up_id(number)
    if orcid not in simulator.users:
        simulator.add_user(User(orcid, "Maija", "Mäkelä"))
    return orcid


def chosen(people: int) -> int:
    """Return the number of a person at random."""
    return random.randrange(people)
