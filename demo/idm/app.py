"""An identity management with all its receivers, and a page that shows what arrived."""

from __future__ import annotations

import hmac
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from demo.idm.directory import Directory, bare
from demo.idm.dirxml import DirXml
from demo.idm.faults import FAULTS, Fault
from demo.idm.http import Request, Response, json_response
from demo.idm.rest import Csc, Webhook
from demo.idm.scim import Scim
from demo.orcid.http import see_other
from demo.pages import page, style

USER: Final = "orcid-connect"
PASSWORD: Final = "made-up-password-everybody-may-know"
TOKEN: Final = "made-up-token-that-everybody-may-know"
SECRET: Final = "whsec_bWFkZS11cC1zZWNyZXQtZXZlcnlib2R5LW1heS1rbm93"
ACCOUNTS: Final = ("maija@pohjoinen.example", "ake@pohjoinen.example", "piia@pohjoinen.example")
_MAX_SHOWN: Final = 50

Receiver = Callable[[Request], Response]


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request and what it was answered, for the page and for tests."""

    request: Request
    status: int
    """0 when the connection was broken without an answer."""


class Idm:
    """People, receivers, and one fault at a time."""

    def __init__(
        self,
        accounts: Iterable[str] = ACCOUNTS,
        now: Callable[[], float] = time.time,
        *,
        nav: bool = False,
    ) -> None:
        """Know these people. `nav`: its page is part of the demonstration, and leads to the other pages of it."""
        self.nav = nav
        self.accounts = tuple(accounts)
        self.directory = Directory(self.accounts)
        self.webhook = Webhook(self.directory, [SECRET], now)
        self.receivers: dict[str, Receiver] = {
            "/csc": Csc(self.directory),
            "/v1": self.webhook,
            "/dirxml": DirXml(self.directory),
            "/scim/v2/Users": Scim(self.directory, "/scim/v2/Users"),
        }
        self.received: deque[ReceivedRequest] = deque(maxlen=_MAX_SHOWN)
        self._fault = ""
        self._methods: tuple[str, ...] = ()
        self._cleared = threading.Event()

    def reset(self) -> None:
        """Be as new: everybody known, nothing stored, nothing broken."""
        self.clear_fault()
        self.directory.reset(self.accounts)
        self.webhook.seen.clear()
        self.received.clear()

    def get_ids(self, account: str) -> set[str] | None:
        """Give the bare iDs of a person; None where nobody has this account."""
        entry = self.directory.entry(account)
        return None if entry is None else {bare(each) for each in entry.values}

    def set_fault(self, how: str, *methods: str) -> None:
        """Fail in this way (`FAULTS`) until mended; where methods are said, only with those."""
        if how not in FAULTS:
            raise ValueError(f"there is no fault {how!r}")
        self._cleared.clear()
        self._fault, self._methods = how, methods

    def clear_fault(self) -> None:
        """Fail no more, and let go whoever is kept waiting."""
        self._fault = ""
        self._cleared.set()

    def wait(self, seconds: float) -> bool:
        """Wait as long as this, or until mended; whether it was."""
        return self._cleared.wait(seconds)

    def handle(self, request: Request) -> tuple[Response, str]:
        """Give the answer, and what the server is to do to the connection (`Fault.connection_fault`)."""
        receiver = self._receiver(request.path)
        if receiver is None:
            return self.page(request), ""
        fails = not self._methods or request.method in self._methods
        response, connection_fault = self._handle(receiver, request, FAULTS.get(self._fault) if fails else None)
        self.received.append(ReceivedRequest(request, 0 if connection_fault in {"hang", "reset"} else response.status))
        return response, connection_fault

    def _handle(self, receiver: Receiver, request: Request, fault: Fault | None) -> tuple[Response, str]:
        if fault and fault.response:
            return fault.response(request), fault.connection_fault
        if fault and not fault.applied:
            return Response(200), fault.connection_fault
        connection_fault = fault.connection_fault if fault else ""
        if not self._is_authenticated(request):
            challenge = ("WWW-Authenticate", 'Basic realm="idm", charset="UTF-8"')
            return json_response(
                401, {"status": "who are you?", "message": "who are you?"}, challenge
            ), connection_fault
        return receiver(request), connection_fault

    def _receiver(self, path: str) -> Receiver | None:
        return next(
            (each for prefix, each in self.receivers.items() if path == prefix or path.startswith(f"{prefix}/")), None
        )

    def _is_authenticated(self, request: Request) -> bool:
        """Whether somebody signed in whom we know; a webhook's signature is its own sign-in."""
        user, password = request.basic
        known = [hmac.compare_digest(request.bearer.encode(), TOKEN.encode())]
        known.append(user == USER and hmac.compare_digest(password.encode(), PASSWORD.encode()))
        return any(known) or "webhook-signature" in request.headers

    def page(self, request: Request) -> Response:
        """Give the page, and what belongs to it: what it has been told, and how to make it fail."""
        if request.path == "/style.css":
            return style()
        if request.path != "/":
            return json_response(404, {"message": "there is nothing here"})
        if request.method == "POST":
            how = parse_qs(request.body.decode("utf-8", "replace")).get("fault", [""])[0]
            self.set_fault(how) if how in FAULTS else self.clear_fault()
            return see_other("./")
        return page("idm.html", idm=self, faults=FAULTS, broken=self._fault, received=reversed(self.received))
