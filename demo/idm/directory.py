"""The people that an identity management knows, and their iDs, in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from shibboleth.attributes import fold


@dataclass(slots=True)
class Entry:
    """One person."""

    id: str
    account: str
    values: list[str] = field(default_factory=list)
    """iDs in the form in which they were received."""
    version: int = 1


class Directory:
    """People by account; accounts are compared without case."""

    def __init__(self, accounts: Iterable[str] = ()) -> None:
        self._lock = threading.RLock()
        self._entries: dict[str, Entry] = {}
        self.reset(accounts)

    def reset(self, accounts: Iterable[str]) -> None:
        """Replace all people by these accounts, without iDs."""
        with self._lock:
            self._entries.clear()
            for account in accounts:
                self.add(account)

    def add(self, account: str, *values: str) -> Entry:
        """Add a person, or replace the person with this account."""
        with self._lock:
            entry = Entry(f"p{len(self._entries) + 1}", account, list(values))
            self._entries[fold(account)] = entry
            return entry

    def remove(self, account: str) -> None:
        """Remove a person."""
        with self._lock:
            self._entries.pop(fold(account), None)

    def entry(self, account: str) -> Entry | None:
        """Return the person with an account, or None."""
        return self._entries.get(fold(account))

    def by_id(self, id_: str) -> Entry | None:
        """Return the person with an id, or None."""
        return next((each for each in self.entries() if each.id == id_), None)

    def entries(self) -> list[Entry]:
        """Return all people, in the order of their addition."""
        with self._lock:
            return list(self._entries.values())

    def find_holder(self, value: str, *, but: Entry) -> Entry | None:
        """Return another person who has this iD, in any form; None if there is none."""
        taken = bare(value)
        others = (each for each in self.entries() if each is not but)
        return next((each for each in others if taken in {bare(other) for other in each.values}), None)

    def change(self, entry: Entry, values: list[str]) -> bool:
        """Replace a person's iDs; return whether they changed."""
        with self._lock:
            if entry.values == values:
                return False
            entry.values, entry.version = values, entry.version + 1
            return True


def bare(value: str) -> str:
    """Return the bare iD of any form."""
    return value.strip().rstrip("/").rpartition("/")[2].upper()
