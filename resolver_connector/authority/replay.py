"""The queries that were answered a moment ago: sending one again gives nobody the answer to it.

Each process remembers its own, and forgets them when it ends.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime
from hashlib import sha256

MOST = 100_000
"""So many are remembered, about 20 MB; checking the signatures of more takes one processor longer than they are new."""


class Answered:
    """Remembers queries for as long as they are new."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._until: OrderedDict[bytes, datetime] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Tell how many are remembered."""
        return len(self._until)

    def note(self, service: str, query_id: str, until: datetime, now: datetime) -> bool:
        """Remember a query to the end of a moment; false when it is remembered already."""
        # Of one length, however long an ID may be
        name = sha256(f"{len(service)} {service} {query_id}".encode()).digest()
        with self._lock:
            self._forget(now)
            if name in self._until and now <= self._until[name]:
                return False
            self._until[name] = until
            return True

    def _forget(self, now: datetime) -> None:
        """Make room for one; what came first goes first."""
        while self._until and (len(self._until) >= self._most or next(iter(self._until.values())) < now):
            self._until.popitem(last=False)
