"""The simulated identity management: receivers, faults, and a page."""

from __future__ import annotations

import hmac
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
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
    """A request and the status of its response."""

    request: Request
    status: int
    """0 if the connection was closed without a response."""


@dataclass(slots=True)
class ArmedFault:
    """A fault of the receivers, with the requests that it concerns."""

    name: str
    methods: tuple[str, ...] = ()
    """HTTP methods; empty means all."""
    receiver: str = ""
    """A key of `Idm.receivers`; empty means all."""
    times: float = float("inf")
    """How many more requests fail."""

    def concerns(self, request: Request) -> bool:
        """Return whether a request fails."""
        method_fails = not self.methods or request.method in self.methods
        return self.times > 0 and method_fails and request.path.startswith(self.receiver)


class Idm:
    """Identity management: a directory, receivers and at most one fault."""

    def __init__(
        self,
        accounts: Iterable[str] = ACCOUNTS,
        now: Callable[[], float] = time.time,
        *,
        nav: bool = False,
    ) -> None:
        """Create an identity management that knows these accounts.

        Args:
            now: Returns the time in seconds since the epoch.
            nav: Whether its page links to the other pages of the demonstration.
        """
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
        self.fault: ArmedFault | None = None
        self._lock = threading.Lock()
        self._cleared = threading.Event()

    def reset(self) -> None:
        """Return to the initial accounts, without iDs, faults and received requests."""
        self.clear_fault()
        self.directory.reset(self.accounts)
        self.webhook.seen.clear()
        self.received.clear()

    def get_ids(self, account: str) -> set[str] | None:
        """Return the bare iDs of a person; None if the account is unknown."""
        entry = self.directory.entry(account)
        return None if entry is None else {bare(each) for each in entry.values}

    def set_fault(self, how: str, *methods: str, receiver: str = "", times: float = float("inf")) -> None:
        """Fail in this way until cleared.

        Args:
            how: A key of `FAULTS`.
            methods: The HTTP methods that fail; without any, all do.
            receiver: The receiver that fails; empty means all.
            times: How many requests fail.

        Raises:
            ValueError: If there is no such fault or receiver.
        """
        if how not in FAULTS or receiver not in {"", *self.receivers}:
            raise ValueError(f"there is no fault {how!r} of receiver {receiver!r}")
        self._cleared.clear()
        self.fault = ArmedFault(how, methods, receiver, times)

    def clear_fault(self) -> None:
        """Stop failing, and end the waits of delayed responses."""
        self.fault = None
        self._cleared.set()

    def wait(self, seconds: float) -> bool:
        """Wait for this many seconds, or until the fault is cleared.

        Returns:
            Whether the fault was cleared.
        """
        return self._cleared.wait(seconds)

    def handle(self, request: Request) -> tuple[Response, str]:
        """Return the response and the connection fault to apply.

        The fault is a key of `server.CONNECTION_FAULTS`, or None.
        """
        receiver = self._receiver(request.path)
        if receiver is None:
            return self.page(request), ""
        response, connection_fault = self._handle(receiver, request, self._take_fault(request))
        self.received.append(ReceivedRequest(request, 0 if connection_fault in {"hang", "reset"} else response.status))
        return response, connection_fault

    def _take_fault(self, request: Request) -> Fault | None:
        with self._lock:
            armed = self.fault
            if armed is None or not armed.concerns(request):
                return None
            armed.times -= 1
            return FAULTS[armed.name]

    def _handle(self, receiver: Receiver, request: Request, fault: Fault | None) -> tuple[Response, str]:
        if fault and fault.response:
            return fault.response(request), fault.connection_fault
        if fault and not fault.applied:
            return Response(200), fault.connection_fault
        connection_fault = fault.connection_fault if fault else ""
        if not self._is_authenticated(request):
            challenge = ("WWW-Authenticate", 'Basic realm="idm", charset="UTF-8"')
            return json_response(
                401, {"status": "not authenticated", "message": "not authenticated"}, challenge
            ), connection_fault
        try:
            return receiver(request), connection_fault
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            # A member is missing, or of another type than the format says
            problem = "the request is malformed"
            return json_response(400, {"status": problem, "message": problem, "detail": problem}), connection_fault

    def _receiver(self, path: str) -> Receiver | None:
        return next(
            (each for prefix, each in self.receivers.items() if path == prefix or path.startswith(f"{prefix}/")), None
        )

    def _is_authenticated(self, request: Request) -> bool:
        user, password = request.basic
        known = [hmac.compare_digest(request.bearer.encode(), TOKEN.encode())]
        known.append(user == USER and hmac.compare_digest(password.encode(), PASSWORD.encode()))
        return any(known) or "webhook-signature" in request.headers

    def page(self, request: Request) -> Response:
        """Return the page that shows received requests and sets faults."""
        if request.path == "/style.css":
            return style()
        if request.path != "/":
            return json_response(404, {"message": "not found"})
        if request.method == "POST":
            return self._set_fault(parse_qs(request.body.decode("utf-8", "replace")))
        broken = self.fault.name if self.fault and self.fault.times > 0 else ""
        return page("idm.html", idm=self, faults=FAULTS, broken=broken, received=reversed(self.received))

    def _set_fault(self, form: Mapping[str, list[str]]) -> Response:
        how, receiver, times = (form.get(name, [""])[0] for name in ("fault", "receiver", "times"))
        if not how:
            self.clear_fault()
            return see_other("./")
        try:
            self.set_fault(how, receiver=receiver, times=int(times) if times else float("inf"))
        except ValueError as error:
            return json_response(400, {"message": str(error)})
        return see_other("./")
