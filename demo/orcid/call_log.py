"""Log of the requests the simulator received, with secrets masked."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from datetime import datetime

    from .http import Request, Response

SECRETS: Final = frozenset(
    {
        "access_token",
        "actor_token",
        "assertion",
        "client_assertion",
        "client_secret",
        "code",
        "code_challenge",
        "code_verifier",
        "id_token",
        "id_token_hint",
        "nonce",
        "password",
        "refresh_token",
        "request",
        "state",
        "subject_token",
        "token",
    },
)
MASK: Final = "***"
MAX_CALLS: Final = 1000


class CallLog:
    """The last thousand requests, oldest first."""

    def __init__(self) -> None:
        self._requests: deque[dict[str, Any]] = deque(maxlen=MAX_CALLS)

    def add(self, request: Request, response: Response, client_id: str, at: datetime) -> None:
        """Add a request with its client and the status of its response."""
        self._requests.append(
            {
                "at": at.isoformat(),
                "method": request.method,
                "path": request.path,
                "query": masked(request.query),
                "form": masked(request.form),
                "authorization": request.authorization and f"{request.authorization.partition(' ')[0]} {MASK}",
                "client_id": client_id,
                "fault": request.fault.name if request.fault else None,
                "status": response.status,
            },
        )

    def list_requests(self, path: str | None = None) -> list[dict[str, Any]]:
        """Return the logged requests, of one path or of all."""
        return [request for request in list(self._requests) if path is None or request["path"] == path]

    def clear(self) -> None:
        """Delete all entries."""
        self._requests.clear()


def masked(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters with secrets masked; an empty secret stays empty."""
    return {key: MASK if value and key.lower() in SECRETS else value for key, value in parameters.items()}
