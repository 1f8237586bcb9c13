"""A browser and an OAuth client in the simulator's process.

They are for tests and measurements, without a server:

    browser = SimulatorClient(simulator)
    address = browser.authorise(authorize_url, "0009-0000-0001-1111")     # where ORCID redirects to
    browser.token(client, code=..., redirect_uri=...).json
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit
from wsgiref.validate import validator

from .app import make_simulator_app
from .http import COOKIE, FORM_TYPE, parse_params

if TYPE_CHECKING:
    from .simulator import Client, OrcidSimulator


@dataclass(frozen=True, slots=True)
class ClientResponse:
    """A response as the client receives it."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def location(self) -> str:
        """The redirect target."""
        return self.headers["Location"]

    @property
    def redirect_params(self) -> dict[str, str]:
        """Query parameters of the redirect target."""
        return parse_params(urlsplit(self.location).query)


class SimulatorClient:
    """A browser; every request passes `wsgiref.validate`.

    `peer` is its IP address.
    """

    def __init__(self, simulator: OrcidSimulator, peer: str = "127.0.0.1") -> None:
        self.simulator = simulator
        self.peer = peer
        self.cookie = ""
        self._application = validator(make_simulator_app(simulator))

    def get(self, path: str, query: Mapping[str, str] | str = "", **headers: str) -> ClientResponse:
        """Send a GET request; `path` may be a URL below the base URL."""
        return self.request("GET", path, query, headers=headers)

    def post(self, path: str, form: Mapping[str, str], **headers: str) -> ClientResponse:
        """Send a form."""
        body = urlencode(form).encode()
        return self.request("POST", path, body=body, headers={"Content-Type": FORM_TYPE, **headers})

    def send(self, method: str, path: str, value: Any = None, **headers: str) -> ClientResponse:
        """Send JSON, or an empty body."""
        body = b"" if value is None else json.dumps(value).encode()
        return self.request(method, path, body=body, headers={"Content-Type": "application/json", **headers})

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | str = "",
        *,
        body: bytes = b"",
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> ClientResponse:
        """Send a request with header names as in HTTP."""
        path, _, asked = path.removeprefix(self.simulator.base_url).partition("?")
        if query:
            asked = query if isinstance(query, str) else urlencode(query)
        environ = self._environ(method, path, asked, body) | _as_variables(headers)
        started: list[Any] = []

        def start_response(*values: Any) -> Callable[[bytes], None]:
            started.extend(values)
            return _no_write

        parts = self._application(environ, start_response)
        content = b"".join(parts)
        parts.close()  # type: ignore[attr-defined]  # the validator demands it
        self._keep_cookie(started[1])
        return ClientResponse(int(started[0].split()[0]), dict(started[1]), content)

    def _environ(self, method: str, path: str, query: str, body: bytes) -> dict[str, Any]:
        return {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": urlsplit(self.simulator.base_url).path,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_COOKIE": self.cookie,
            "REMOTE_ADDR": self.peer,
            "SERVER_NAME": "elsewhere.example",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }

    def _keep_cookie(self, headers: list[tuple[str, str]]) -> None:
        for name, value in headers:
            if name == "Set-Cookie" and value.startswith(f"{COOKIE}="):
                self.cookie = value.partition(";")[0]

    # What people and programs do

    def sign_in(self, orcid: str) -> ClientResponse:
        """Choose a person on the sign-in page."""
        return self.post("/signin", {"orcid": orcid})

    def press_authorize(self, query: Mapping[str, str] | str) -> ClientResponse:
        """Press "Authorize access" for an authorisation request."""
        return self.post("/oauth/authorize", {"request": query if isinstance(query, str) else urlencode(query)})

    def authorise(self, url: str, orcid: str) -> str:
        """Follow an authorisation link, sign in and consent.

        Returns:
            The redirect target.
        """
        reply = self.get(url)
        if reply.status == 200:  # noqa: PLR2004 - the sign-in page
            self.sign_in(orcid)
            reply = self.press_authorize(url.partition("?")[2])
        return reply.location

    def token(self, client: Client, **form: str) -> ClientResponse:
        """Exchange a code; fields of the form may be added or replaced."""
        usual = {
            "client_id": client.client_id,
            "client_secret": client.secret,
            "grant_type": "authorization_code",
        }
        return self.post("/oauth/token", usual | form, Accept="application/json")


def _as_variables(headers: Mapping[str, str]) -> dict[str, str]:
    names = {name: name.upper().replace("-", "_") for name in headers}
    return {(n if n == "CONTENT_TYPE" else f"HTTP_{n}"): headers[name] for name, n in names.items()}


def _no_write(_data: bytes) -> None:
    pass  # no handler uses WSGI's `write`
