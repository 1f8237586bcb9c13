"""Whether ORCID answered the latest code exchange of this process.

Each process of a web server has its own status; no request to ORCID is made for it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

_REMEMBERED = timedelta(minutes=5)


class OrcidStatus:
    """The result of the latest code exchange; needs no lock."""

    def __init__(self) -> None:
        self._failed: datetime | None = None

    def failed(self, now: datetime) -> None:
        """Record that ORCID did not answer."""
        self._failed = now

    def answered(self) -> None:
        """Record that ORCID answered."""
        self._failed = None

    def recently_failed(self, now: datetime) -> bool:
        """Return whether the latest exchange failed within the last minutes."""
        failed = self._failed
        return failed is not None and now - failed < _REMEMBERED
