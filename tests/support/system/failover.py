"""Load on several nodes while their database fails over."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import requests

from demo.orcid.people import made_up_id
from tests.support.processes.orcid import authorize
from tests.support.system.client import HttpBrowser
from tests.support.system.loopback import OnLoopback
from tests.support.system.nodes import Node, Nodes
from tests.support.system.people import SAIMAA, idm_token_of, token_of

TIMEOUT = 30
HEADING = re.compile(r"<h1[^>]*>(.*?)</h1>")
FIELD = re.compile(r'name="(token|replacing)" value="([^"]*)"')
RESULT = "/me/result/"
"""The page that says that the iD is stored."""


class Failed(Exception):
    """Something else was answered than what is right."""


@dataclass
class Log:
    """When each try of one kind began and ended, and whether it succeeded."""

    tries: list[tuple[float, float, bool]] = field(default_factory=list)

    def failed(self) -> int:
        return sum(not right for _, _, right in self.tries)

    def longest(self) -> float:
        """Return the seconds of the longest try."""
        return max(ended - begun for begun, ended, _ in self.tries)

    def working_since(self, moment: float) -> float:
        """Return the seconds from a moment to the end of the last failure."""
        return max([0.0, *(ended - moment for _, ended, right in self.tries if not right)])

    def succeeded_since(self, moment: float) -> int:
        """Return how many tries that began after a moment succeeded."""
        return sum(right and begun > moment for begun, _, right in self.tries)


class Load:
    """Threads that each do one thing again and again, and what came of it."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes, self.logs = nodes, {}
        self.confirmed: dict[str, str] = {}
        """iDs that a person, or a system, was told to be stored, by account."""
        self.delivered: list[tuple[float, str]] = []
        """When which account reached the receiver."""
        self._over, self._numbers = threading.Event(), count(1)
        self.errors: list[BaseException] = []

    @contextmanager
    def running(self, known: str, orcid: str) -> Iterator[Load]:
        """Begin, for the block; `known` is an account with this iD."""
        first, second = self.nodes.nodes
        kinds: dict[str, Callable[[Log], None]] = {
            "look-up, through the balancer": self._looking_up(known, orcid, "127.0.0.1"),
            "look-up, node with standby_lookups": self._looking_up(known, orcid, first.stack.address),
            "look-up, node without": self._looking_up(known, orcid, second.stack.address),
            "public page": self._reading,
            "page of a linking": self._linking,
            "attested iD": self._attesting,
            "worker ready": self._asking_workers,
        }
        self.logs = {name: Log() for name in kinds}
        threads = [threading.Thread(target=self._repeat, args=(each, self.logs[name])) for name, each in kinds.items()]
        for each in threads:
            each.start()
        try:
            yield self
        finally:
            self._over.set()
            for each in threads:
                each.join()

    def _repeat(self, act: Callable[[Log], None], log: Log) -> None:
        while not self._over.is_set():
            try:
                act(log)
            except (Failed, requests.RequestException):
                continue
            except BaseException as error:  # noqa: BLE001 - a bug of the test is told by it
                self.errors.append(error)
                return

    def _tried(self, log: Log, act: Callable[[], requests.Response], status: int = 200) -> requests.Response:
        begun, right = time.monotonic(), False
        try:
            answer = act()
            right = answer.status_code == status
        finally:
            log.tries.append((begun, time.monotonic(), right))
        if not right:
            raise Failed(answer.status_code)
        return answer

    def _looking_up(self, known: str, orcid: str, address: str) -> Callable[[Log], None]:
        session = requests.Session()
        session.trust_env, session.verify = False, str(self.nodes.stack.trusted)
        session.mount("https://", OnLoopback(address))
        session.headers["Authorization"] = f"Bearer {token_of(SAIMAA)}"
        url = f"{self.nodes.stack.base_url}/v1/people/{known}"

        def look_up(log: Log) -> None:
            answer = self._tried(log, lambda: session.get(url, timeout=TIMEOUT))
            assert answer.json() == {"eduPersonOrcid": [orcid]}
            self._over.wait(0.02)

        return look_up

    def _reading(self, log: Log) -> None:
        with HttpBrowser(self.nodes.stack) as somebody:
            self._tried(log, lambda: somebody.visit("/"))
        self._over.wait(0.1)

    def _linking(self, log: Log) -> None:
        number = next(self._numbers)
        account, orcid = f"p{number}@{SAIMAA.scope}", made_up_id(number)
        # A person who sees an error page starts again
        while not self._over.is_set():
            try:
                self._link(log, account, orcid)
            except (Failed, requests.RequestException):
                self._over.wait(0.1)
            else:
                break

    def _link(self, log: Log, account: str, orcid: str) -> None:
        with HttpBrowser(self.nodes.stack) as browser:
            page = self._tried(
                log, lambda: browser.sign_in("maija", eppn=[account], **{"subject-id": [account.replace("@", "-1@")]})
            )
            if orcid not in page.text.replace('<wbr><span class="digits">', "").replace("</span>", ""):
                link_in(browser, page, orcid, tried=lambda act, status=200: self._tried(log, act, status))
        self.confirmed[account] = orcid

    def _attesting(self, log: Log) -> None:
        number = next(self._numbers)
        account, orcid = f"a{number}@{SAIMAA.scope}", made_up_id(number)
        row = {"orcid": orcid, "authenticated_at": "2026-01-15T12:00:00Z", "source": "Pure"}
        with HttpBrowser(self.nodes.stack) as system:
            self._tried(
                log,
                lambda: system.put(
                    f"{self.nodes.stack.base_url}/v1/people/{account}",
                    json=row,
                    headers={"Authorization": f"Bearer {idm_token_of(SAIMAA)}"},
                    timeout=TIMEOUT,
                ),
                201,
            )
        self.confirmed[account] = orcid
        self._over.wait(0.1)

    def _asking_workers(self, log: Log) -> None:
        for each in self.nodes.nodes:
            self._tried(log, lambda each=each: requests.get(f"{each.worker_url}/readyz", timeout=TIMEOUT))
        self._over.wait(0.2)


def link_in(
    browser: HttpBrowser,
    page: requests.Response,
    orcid: str,
    *,
    tried: Callable[..., requests.Response] = lambda act, _status=200: act(),
    on_the_way: Callable[[], None] = lambda: None,
) -> requests.Response:
    """Link an iD, from a person's own page to the result.

    Args:
        browser: That of the person.
        page: The person's own page.
        orcid: What the person has at ORCID.
        tried: Makes each request, with the status that is expected.
        on_the_way: Called when the person leaves ORCID.
    """
    base = browser.stack.base_url
    fields = dict(FIELD.findall(page.text))
    away = tried(
        lambda: browser.post(f"{base}/me/start", data=fields, timeout=TIMEOUT, allow_redirects=False), 303
    ).headers["Location"]
    back = authorize(away, orcid)
    on_the_way()
    confirm = tried(lambda: browser.visit(back))
    fields = dict(FIELD.findall(confirm.text)) | {"agree": "yes"}
    result = tried(lambda: browser.post(confirm.url, data=fields, timeout=TIMEOUT))
    if not result.url.startswith(base + RESULT):
        raise Failed(HEADING.findall(result.text))
    return result


def restarted(node: Node, name: str) -> bool:
    """Return whether a process of the service has ended since it was started."""
    return node.stack.processes[name].poll() is not None
