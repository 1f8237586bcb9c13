"""Whether ORCID answered lately, as this process saw it: remembered in passing, for nobody is asked in a request.

A web server of several processes has several such memories; each learns from its own visitors.
"""

from __future__ import annotations

from datetime import datetime, timedelta

_REMEMBERED = timedelta(minutes=5)


class OrcidStatus:
    """What became of the latest question to ORCID. One assignment each, so that threads need no lock."""

    def __init__(self) -> None:
        self._failed: datetime | None = None

    def failed(self, now: datetime) -> None:
        """Remember that ORCID did not answer."""
        self._failed = now

    def answered(self) -> None:
        """Remember that it did."""
        self._failed = None

    def away(self, now: datetime) -> bool:
        """Tell whether the latest question, a few minutes ago, was in vain."""
        failed = self._failed
        return failed is not None and now - failed < _REMEMBERED
