"""Remembers answered queries, so that a replayed query is refused.

Each process has its own memory, which is lost when the process ends.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime
from hashlib import sha256

MAX_ENTRIES = 100_000
"""About 20 MB. Verifying the signatures of more queries takes a processor longer than the queries stay valid."""


class ReplayCache:
    """The ids of queries, each until the query expires. Threads may share it."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._expires_at: OrderedDict[bytes, datetime] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._expires_at)

    def add(self, service: str, query_id: str, expires_at: datetime, now: datetime) -> bool:
        """Add the id of a query; return False if it is there already.

        Beyond MAX_ENTRIES the oldest entries are dropped.
        """
        # A digest, because an ID may be long
        key = sha256(f"{len(service)} {service} {query_id}".encode()).digest()
        with self._lock:
            entries = self._expires_at
            while entries and (len(entries) >= self._max_entries or next(iter(entries.values())) < now):
                entries.popitem(last=False)
            if key in entries and now <= entries[key]:
                return False
            entries[key] = expires_at
            return True
