"""What was called, newest last, with nothing in it that opens a door."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from datetime import datetime

    from .wire import Answer, Call

SECRETS: Final = frozenset(
    {
        "access_token",
        "client_secret",
        "code",
        "code_challenge",
        "code_verifier",
        "nonce",
        "refresh_token",
        "request",
        "state",
        "subject_token",
        "token",
    },
)
MASK: Final = "***"
KEPT: Final = 1000


class Journal:
    """The last thousand calls; appending to a bounded deque needs no lock."""

    def __init__(self) -> None:
        self._calls: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def note(self, call: Call, answer: Answer, at: datetime) -> None:
        """Keep one call and the status it got."""
        self._calls.append(
            {
                "at": at.isoformat(),
                "method": call.method,
                "path": call.path,
                "query": masked(call.query),
                "form": masked(call.form),
                "authorization": call.authorization and f"{call.authorization.partition(' ')[0]} {MASK}",
                "client_id": call.client_id,
                "fault": call.fault.name if call.fault else None,
                "status": answer.status,
            },
        )

    def calls(self, path: str | None = None) -> list[dict[str, Any]]:
        """Give the calls kept, of one path or of all."""
        return [call for call in list(self._calls) if path is None or call["path"] == path]

    def clear(self) -> None:
        """Forget them."""
        self._calls.clear()


def masked(parameters: Mapping[str, str]) -> dict[str, str]:
    """Give the parameters with secrets replaced; a blank secret stays visibly blank."""
    return {key: MASK if value and key in SECRETS else value for key, value in parameters.items()}
