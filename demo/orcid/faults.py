"""What can be made to go wrong, at the next call or at every call of one client.

    world.faults.next("token", "html")                                   the next token call, whoever makes it
    world.faults.next("api", "5xx", status=502, times=3)                 the next three
    world.faults.always("token", "slow", client_id="APP-…", seconds=1)   until cleared

FAULTS is the list: each row says where a fault can happen and what happens.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from .wire import Answer, html_answer, json_answer

JSON_PLACES: Final = ("token", "revoke", "userinfo", "discovery", "jwks", "api")
PLACES: Final = (*JSON_PLACES, "authorize", "consent", "callback")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that is armed. `seconds` and `status` are read by those that need them."""

    name: str
    client_id: str | None = None
    seconds: float = 0
    status: int = 503
    released: threading.Event = field(default_factory=threading.Event)

    def hold(self) -> None:
        """Wait until the time is over or the fault is released."""
        self.released.wait(self.seconds)


@dataclass(frozen=True, slots=True)
class Kind:
    """Where a fault can happen, what it does in words, and how long it lasts unless told."""

    places: tuple[str, ...]
    words: str
    seconds: float = 0


FAULTS: Final[dict[str, Kind]] = {
    "html": Kind(
        JSON_PLACES, "a challenge page of the edge (403 or the status given) instead of JSON; nothing is done"
    ),
    "5xx": Kind((*JSON_PLACES, "authorize"), "an error page with the status given (503); nothing is done"),
    "timeout": Kind(PLACES[:-2], "the call is done, its answer held for `seconds` or until released", 30),
    "slow": Kind(PLACES[:-2], "the call is begun only after `seconds`", 2),
    "cut": Kind(JSON_PLACES, "the call is done, the connection closed in the middle of the answer"),
    "server_error_401": Kind(("token", "revoke"), "401 with `server_error`; nothing is done"),
    "wrong_json": Kind(JSON_PLACES, "the call is done, the JSON broken"),
    "empty_body": Kind(JSON_PLACES, "the call is done, the answer has no body"),
    "numbers_as_text": Kind(JSON_PLACES, "every number of the JSON is text"),
    "scope_reordered": Kind(("token",), "the scopes come in reverse order"),
    "scope_reduced": Kind(("token",), "the last scope is missing from the answer"),
    "other_id": Kind(("token", "callback"), "another person's iD: only in the answer (token), or for good (callback)"),
    "clock_skew": Kind(("token",), "the id_token is dated `seconds` ahead (negative: behind)", 600),
    "revoke_500": Kind(("revoke",), "an error page with status 500; nothing is revoked"),
    "stale_jwks": Kind(("jwks",), "yesterday's key, which signed none of today's id_tokens"),
    "consent_fails": Kind(("consent",), "pressing Authorize leaves the person on the page"),
    "state_changed": Kind(("callback",), "the state comes back with its last character changed"),
    "state_dropped": Kind(("callback",), "the state does not come back"),
    "repeated_parameters": Kind(("callback",), "each parameter comes twice, the second time with another value"),
    "empty_answer": Kind(("callback",), "the browser comes back with no parameter at all"),
}


class Faults:
    """The faults that are armed, by place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[tuple[str, Fault, float]] = []
        self._held: list[Fault] = []

    def next(  # noqa: PLR0913 - all but two have a usual value
        self,
        place: str,
        name: str,
        *,
        times: int = 1,
        client_id: str | None = None,
        seconds: float | None = None,
        status: int | None = None,
    ) -> Fault:
        """Arm a fault for the next call, or the next few; the callback's faults may be asked of `authorize` too."""
        return self._arm(place, name, times, client_id, seconds, status)

    def always(
        self,
        place: str,
        name: str,
        *,
        client_id: str | None = None,
        seconds: float | None = None,
        status: int | None = None,
    ) -> Fault:
        """Arm a fault for every call, or every call of one client, until it is cleared."""
        return self._arm(place, name, float("inf"), client_id, seconds, status)

    def _arm(  # noqa: PLR0913, PLR0917 - the private half of the two above
        self,
        place: str,
        name: str,
        times: float,
        client_id: str | None,
        seconds: float | None,
        status: int | None,
    ) -> Fault:
        kind = FAULTS.get(name)
        if kind and place == "authorize" and place not in kind.places:
            place = kind.places[-1]
        if kind is None or place not in kind.places:
            raise ValueError(f"there is no fault {name!r} at {place!r}")
        fault = Fault(name, client_id, kind.seconds if seconds is None else seconds, status or usual_status(name))
        with self._lock:
            self._armed.append((place, fault, times))
        return fault

    def take(self, place: str, client_id: str) -> Fault | None:
        """Give the fault for this call, if one is armed; it is used up once more."""
        if not self._armed:
            return None
        with self._lock:
            for at, (where, fault, times) in enumerate(self._armed):
                if where == place and fault.client_id in (None, client_id):
                    self._armed[at : at + 1] = [(where, fault, times - 1)] if times > 1 else []
                    if fault.seconds and fault not in self._held:
                        self._held.append(fault)
                    return fault
        return None

    def release(self) -> None:
        """Let go every answer that is held."""
        with self._lock:
            held, self._held = self._held, []
        for fault in held:
            fault.released.set()

    def clear(self) -> None:
        """Disarm all, and let go what is held."""
        with self._lock:
            self._armed = []
        self.release()

    def armed(self) -> list[dict[str, Any]]:
        """Give what is armed, for the admin's eyes."""
        return [
            {
                "place": place,
                "fault": fault.name,
                "client_id": fault.client_id,
                "seconds": fault.seconds,
                "status": fault.status,
                "times": None if times == float("inf") else int(times),
            }
            for place, fault, times in list(self._armed)
        ]


def usual_status(name: str) -> int:
    """Give the status of a fault that nobody gave one."""
    return {"html": 403, "revoke_500": 500}.get(name, 503)


def instead(fault: Fault) -> Answer | None:
    """Give the answer of a fault that keeps the call from being done at all."""
    make = INSTEAD.get(fault.name)
    return make(fault) if make else None


def afterwards(fault: Fault, answer: Answer) -> Answer:
    """Give the answer of a call that was done, as the fault leaves it."""
    spoil = AFTERWARDS.get(fault.name)
    return spoil(fault, answer) if spoil else answer


def _challenge(fault: Fault) -> Answer:
    return html_answer(fault.status, "<!doctype html><title>Just a moment</title><p>Checking your browser (simulated).")


def _error_page(fault: Fault) -> Answer:
    return html_answer(
        fault.status, f"<!doctype html><title>{fault.status}</title><h1>{fault.status}</h1><p>Simulated."
    )


def _server_error(_fault: Fault) -> Answer:
    body = {"error": "server_error", "error_description": "Unable to reach the authorization server (simulated)"}
    return json_answer(401, body)


def _slow(fault: Fault) -> None:
    fault.hold()


def _held(fault: Fault, answer: Answer) -> Answer:
    fault.hold()
    return answer


def _cut(_fault: Fault, answer: Answer) -> Answer:
    return Answer(answer.status, answer.body, answer.headers, cut=True)


def _broken(_fault: Fault, answer: Answer) -> Answer:
    return Answer(answer.status, answer.body[: len(answer.body) // 2] or b'{"', answer.headers)


def _emptied(_fault: Fault, answer: Answer) -> Answer:
    return Answer(answer.status, b"", answer.headers)


def _numbers_as_text(_fault: Fault, answer: Answer) -> Answer:
    return _changed(answer, _as_text)


def _as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_text(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_text(inner) for inner in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _scope(words: Callable[[list[str]], list[str]]) -> Callable[[Fault, Answer], Answer]:
    def change(value: Any) -> Any:
        return value | {"scope": " ".join(words(value["scope"].split()))} if "scope" in value else value

    return lambda _fault, answer: _changed(answer, change)


def _changed(answer: Answer, change: Callable[[Any], Any]) -> Answer:
    """Give the same JSON answer with its value changed; anything but JSON stays as it is."""
    try:
        value = json.loads(answer.body)
    except ValueError:
        return answer
    return Answer(answer.status, json.dumps(change(value), ensure_ascii=False).encode(), answer.headers)


INSTEAD: Final[dict[str, Callable[[Fault], Answer | None]]] = {
    "html": _challenge,
    "5xx": _error_page,
    "revoke_500": _error_page,
    "server_error_401": _server_error,
    "slow": _slow,
}
AFTERWARDS: Final[dict[str, Callable[[Fault, Answer], Answer]]] = {
    "timeout": _held,
    "cut": _cut,
    "wrong_json": _broken,
    "empty_body": _emptied,
    "numbers_as_text": _numbers_as_text,
    "scope_reordered": _scope(lambda words: words[::-1]),
    "scope_reduced": _scope(lambda words: words[:-1]),
}
