"""Faults that can be armed for one request or for a client.

    simulator.faults.arm("token", "html")                                     the next token request
    simulator.faults.arm("api", "5xx", status=502, times=3)                   the next three
    simulator.faults.arm_always("token", "slow", client_id="APP-...", seconds=1)   until cleared

`FAULTS` lists where each fault can occur and what it does.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import responses
from typing import Any, Final

from .errors import ERRORS
from .http import Response, html_response, json_response

JSON_PLACES: Final = ("token", "revoke", "userinfo", "discovery", "jwks", "api")
DAY: Final = 86400
PLACES: Final = (*JSON_PLACES, "authorize", "consent", "callback")


@dataclass(frozen=True, slots=True)
class Fault:
    """An armed fault.

    `seconds`, `status` and `code` are read by the faults that use them.
    """

    name: str
    client_id: str | None = None
    seconds: float = 0
    status: int = 503
    code: int = 9008
    released: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Wait for `seconds`, or until the fault is released."""
        self.released.wait(self.seconds)


@dataclass(frozen=True, slots=True)
class FaultType:
    """Where a fault can occur, and what the client sees.

    `seconds` and `status` are the usual ones.
    """

    places: tuple[str, ...]
    effect: str
    seconds: float = 0
    status: int = 503


FAULTS: Final[dict[str, FaultType]] = {
    "html": FaultType(
        JSON_PLACES,
        "a challenge page of the edge (403 or the status given) instead of JSON; nothing is done",
        status=403,
    ),
    "5xx": FaultType((*JSON_PLACES, "authorize"), "an error page with the status given (503); nothing is done"),
    "timeout": FaultType(PLACES[:-2], "the call is done, its answer held for `seconds` or until released", 30),
    "slow": FaultType(PLACES[:-2], "the call is begun only after `seconds`", 2),
    "cut": FaultType(JSON_PLACES, "the call is done, the connection closed in the middle of the answer"),
    "server_error_401": FaultType(("token", "revoke"), "401 with `server_error`; nothing is done"),
    "invalid_client": FaultType(("token", "revoke"), "401 with `invalid_client`; nothing is done"),
    "api_error": FaultType(("api",), "the record API's error with the `code` given (9008); nothing is done"),
    "invalid_token": FaultType(("api",), "401 with `invalid_token`, although the token is valid; nothing is done"),
    "wrong_json": FaultType(JSON_PLACES, "the call is done, the JSON broken"),
    "empty_body": FaultType(JSON_PLACES, "the call is done, the answer has no body"),
    "other_types": FaultType(JSON_PLACES, "every value of the JSON is of another type"),
    "numbers_as_text": FaultType(JSON_PLACES, "every number of the JSON is text"),
    "scope_reordered": FaultType(("token",), "the scopes come in reverse order"),
    "scope_reduced": FaultType(("token",), "the last scope is not granted"),
    "other_id": FaultType(
        ("token", "callback"), "another person's iD: only in the answer (token), or for good (callback)"
    ),
    "clock_skew": FaultType(("token",), "the id_token is dated `seconds` ahead (negative: behind)", 600),
    "revoke_500": FaultType(("revoke",), "an error page with status 500; nothing is revoked", status=500),
    "stale_jwks": FaultType(("jwks",), "yesterday's key, which signed none of today's id_tokens"),
    "consent_fails": FaultType(("consent",), "pressing Authorize leaves the person on the page"),
    "state_changed": FaultType(("callback",), "the state comes back with its last character changed"),
    "state_dropped": FaultType(("callback",), "the state does not come back"),
    "repeated_parameters": FaultType(("callback",), "each parameter comes twice, the second time with another value"),
    "empty_answer": FaultType(("callback",), "the browser comes back with no parameter at all"),
}


class Faults:
    """The armed faults, by place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[tuple[str, Fault, float]] = []
        self._waiting: list[Fault] = []

    def arm(self, place: str, name: str, *, times: float = 1, client_id: str | None = None, **settings: Any) -> Fault:
        """Arm a fault for the next request, or the next few.

        Args:
            times: How many requests fail.
            client_id: Only requests of this client fail; None means of any.
            settings: `seconds`, `status` (of HTTP) or `code` (of the record API), for the faults that use them.

        Raises:
            ValueError: If there is no such fault at this place, or a setting has an unknown value.
        """
        kind = FAULTS.get(name)
        if kind is None or place not in kind.places:
            raise ValueError(f"there is no fault {name!r} at {place!r}")
        usual = {"seconds": kind.seconds, "status": kind.status}
        fault = Fault(name, client_id, **usual | {key: value for key, value in settings.items() if value is not None})
        if fault.status not in responses or fault.code not in ERRORS or times < 1 or not abs(fault.seconds) <= DAY:
            raise ValueError("status is one of HTTP, code one of the record API, times at least 1, seconds up to a day")
        with self._lock:
            self._armed.append((place, fault, times))
        return fault

    def arm_always(self, place: str, name: str, *, client_id: str | None = None, **settings: Any) -> Fault:
        """Arm a fault for every request until it is cleared."""
        return self.arm(place, name, times=float("inf"), client_id=client_id, **settings)

    def take(self, place: str, client_id: str) -> Fault | None:
        """Return the fault for a request, if one is armed, and count it as used once."""
        if not self._armed:
            return None
        with self._lock:
            for at, (where, fault, times) in enumerate(self._armed):
                if where == place and fault.client_id in (None, client_id):
                    self._armed[at : at + 1] = [(where, fault, times - 1)] if times > 1 else []
                    if fault.seconds and fault not in self._waiting:
                        self._waiting.append(fault)
                    return fault
        return None

    def release(self) -> None:
        """Send every delayed response now."""
        with self._lock:
            held, self._waiting = self._waiting, []
        for fault in held:
            fault.released.set()

    def clear(self) -> None:
        """Disarm all faults and release delayed responses."""
        with self._lock:
            self._armed = []
        self.release()

    def armed(self) -> list[dict[str, Any]]:
        """Return the armed faults as JSON values."""
        return [
            {
                "place": place,
                "fault": fault.name,
                "client_id": fault.client_id,
                "seconds": fault.seconds,
                "status": fault.status,
                "code": fault.code,
                "times": None if times == float("inf") else int(times),
            }
            for place, fault, times in list(self._armed)
        ]


def response_instead(fault: Fault) -> Response | None:
    """Return the response of a fault that replaces that of the handler.

    Returns:
        None if the handler is to run.
    """
    make = REPLACEMENTS.get(fault.name)
    return make(fault) if make else None


def spoil_response(fault: Fault, response: Response) -> Response:
    """Change a handler's response as the fault says, for example cut its body."""
    spoil = MODIFICATIONS.get(fault.name)
    return spoil(fault, response) if spoil else response


def _challenge(fault: Fault) -> Response:
    return html_response(
        fault.status, "<!doctype html><title>Just a moment</title><p>Checking your browser (simulated)."
    )


def _error_page(fault: Fault) -> Response:
    return html_response(
        fault.status, f"<!doctype html><title>{fault.status}</title><h1>{fault.status}</h1><p>Simulated."
    )


def _server_error(_fault: Fault) -> Response:
    body = {"error": "server_error", "error_description": "Unable to reach the authorization server (simulated)"}
    return json_response(401, body)


def _invalid_client(_fault: Fault) -> Response:
    return json_response(401, {"error_description": "Client authentication failed", "error": "invalid_client"})


def _slow(fault: Fault) -> None:
    fault.wait()


def _waiting(fault: Fault, response: Response) -> Response:
    fault.wait()
    return response


def _cut(_fault: Fault, response: Response) -> Response:
    return Response(response.status, response.body, response.headers, cut=True)


def _broken(_fault: Fault, response: Response) -> Response:
    return Response(response.status, response.body[: len(response.body) // 2] or b'{"', response.headers)


def _emptied(_fault: Fault, response: Response) -> Response:
    return Response(response.status, b"", response.headers)


def _other_types(_fault: Fault, response: Response) -> Response:
    return _changed(response, _of_another_type)


def _of_another_type(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _of_another_type(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [None]
    return 0 if isinstance(value, str) else [str(value)]


def _numbers_as_text(_fault: Fault, response: Response) -> Response:
    return _changed(response, _as_text)


def _as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_text(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_text(inner) for inner in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _scope_reordered(_fault: Fault, response: Response) -> Response:
    def reorder(value: Any) -> Any:
        return value | {"scope": " ".join(reversed(value["scope"].split()))} if "scope" in value else value

    return _changed(response, reorder)


def _changed(response: Response, change: Callable[[Any], Any]) -> Response:
    try:
        value = json.loads(response.body)
    except ValueError:
        return response
    return Response(response.status, json.dumps(change(value), ensure_ascii=False).encode(), response.headers)


REPLACEMENTS: Final[dict[str, Callable[[Fault], Response | None]]] = {
    "html": _challenge,
    "5xx": _error_page,
    "revoke_500": _error_page,
    "server_error_401": _server_error,
    "invalid_client": _invalid_client,
    "slow": _slow,
}
MODIFICATIONS: Final[dict[str, Callable[[Fault, Response], Response]]] = {
    "timeout": _waiting,
    "cut": _cut,
    "wrong_json": _broken,
    "empty_body": _emptied,
    "other_types": _other_types,
    "numbers_as_text": _numbers_as_text,
    "scope_reordered": _scope_reordered,
}
