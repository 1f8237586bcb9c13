"""An HTTP client like a browser, and one for raw requests.

The first resolves `*.test` to loopback.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from contextlib import closing
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import requests

from tests.support.system.loopback import OnLoopback
from tests.support.system.people import SAIMAA, IdentityProvider
from tests.support.system.stack import HOST, Stack

TIMEOUT = 60


class _Forms(HTMLParser):
    """The first form of a page: where it goes and what its hidden fields hold.

    And every link.
    """

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self._link = ""

    def handle_starttag(self, tag, attrs):
        said = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = said["action"]
        elif tag == "input" and said.get("type") != "submit" and "name" in said:
            self.fields[said["name"]] = said.get("value", "")
        elif tag == "a":
            self._link = said.get("href", "")

    def handle_data(self, data):
        if self._link:
            self.links[data] = self._link

    def handle_endtag(self, tag):
        if tag == "a":
            self._link = ""


def form_of(answer: requests.Response) -> _Forms:
    """Read the form of a page; its action made absolute."""
    found = _Forms()
    if "charset" not in answer.headers.get("Content-Type", ""):
        answer.encoding = "utf-8"  # as the pages of the Service Provider say inside
    found.feed(answer.text)
    found.action = urljoin(answer.url, found.action)
    return found


class HttpBrowser(requests.Session):
    """A requests session that behaves like a browser: cookies, redirects, forms."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.trust_env = False
        self.verify = str(stack.trusted)
        self.mount("https://", OnLoopback())
        self.mount("http://", OnLoopback())
        self.stack = stack

    def visit(self, path: str, **more: Any) -> requests.Response:
        """Go to a path of the service, or to a whole address."""
        return self.get(urljoin(self.stack.base_url, path), timeout=TIMEOUT, **more)

    def submit(self, answer: requests.Response, **fields: str) -> requests.Response:
        """Send the form of a page, some fields filled in."""
        form = form_of(answer)
        return self.post(form.action, data=form.fields | fields, timeout=TIMEOUT)

    def answer_for(
        self,
        person: str,
        at: IdentityProvider = SAIMAA,
        *,
        path: str = "/me",
        asking: requests.Response | None = None,
        **override: list[str],
    ) -> requests.Response:
        """Sign in as far as the page with the IdP's SAML response.

        `asking` is a page of the discovery service that one has come to already; else `path` is visited.
        """
        choose = asking if asking is not None else self.visit(path)
        ask_who = self.visit(form_of(choose).links[at.name])
        return self.submit(ask_who, person=person, override=json.dumps(override))

    def sign_in(self, person: str, at: IdentityProvider = SAIMAA, **more: Any) -> requests.Response:
        """Sign in and come back to where one wanted to go."""
        return self.submit(self.answer_for(person, at, **more))


def cookies(http_browser: HttpBrowser) -> str:
    """Give the Cookie header that this browser sends."""
    return "; ".join(f"{each.name}={each.value}" for each in http_browser.cookies)


@dataclass(frozen=True, slots=True)
class Seen:
    """What reached the application."""

    environ: dict[str, str]
    body: str


def seen(answer: requests.Response | RawAnswer) -> Seen:
    """Read the probe's answer."""
    return Seen(**json.loads(answer.text))


@dataclass(frozen=True, slots=True)
class RawAnswer:
    status: int
    text: str

    @property
    def reached_the_application(self) -> bool:
        return self.status == 200 and self.text.startswith('{"environ"')


class RawClient:
    """Sends requests with paths and headers exactly as given."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._trust = ssl.create_default_context(cafile=str(stack.directory / "keys" / "connect.pem"))
        self._trust.check_hostname = False  # the certificate is pinned, and some tests greet another name

    def ask(
        self,
        path: str,
        headers: list[tuple[str, str]],
        *,
        method: str = "GET",
        source: str = "127.0.0.1",
        greeting: str = HOST,
    ) -> RawAnswer:
        """Send one request from a loopback address.

        Headers may repeat and be called anything.

        Host is sent unless it is among them. `greeting` is the name in the TLS handshake.
        """
        with self._connected(source, greeting) as connection:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if not any(name.lower() == "host" for name, _ in headers):
                connection.putheader("Host", f"{HOST}:{self._stack.https_port}")
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return RawAnswer(answer.status, answer.read().decode("utf-8", "replace"))

    def is_kept(self, path: str, version: str, headers: list[tuple[str, str]]) -> bool:
        """Return whether the connection is usable after a GET."""
        host = ("Host", f"{HOST}:{self._stack.https_port}")
        with self._connected("127.0.0.1", HOST) as connection:
            _send(connection.sock, path, version, [host, *headers])
            answer = http.client.HTTPResponse(connection.sock, method="GET")
            answer.begin()
            answer.read()
            try:
                _send(connection.sock, path, "1.1", [host, ("Connection", "close")])
                return connection.sock.recv(1) != b""
            except OSError:
                return False

    def _connected(self, source: str, greeting: str) -> closing[http.client.HTTPConnection]:
        port = self._stack.https_port
        plain = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT, source_address=(source, 0))
        connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT)
        connection.sock = self._trust.wrap_socket(plain, server_hostname=greeting)
        return closing(connection)


def _send(sock: socket.socket, path: str, version: str, headers: list[tuple[str, str]]) -> None:
    text = "".join(f"{name}: {value}\r\n" for name, value in headers)
    sock.sendall(f"GET {path} HTTP/{version}\r\n{text}\r\n".encode("latin-1"))
