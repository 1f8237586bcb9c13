"""The interface of the log to which deliveries and jobs report."""

from __future__ import annotations

from typing import Protocol


class EventLog(Protocol):
    """Log of events, as `webapp.log.Log` implements it."""

    def __call__(self, event: str, /, **facts: object) -> None:
        """Log an event."""

    def exception(self, error: BaseException) -> None:
        """Log an unexpected exception."""
