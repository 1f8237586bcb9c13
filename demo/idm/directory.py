"""The people an identity management knows, in memory, and which ORCID iDs it holds for them."""

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
    """iDs as they were sent, in whatever form."""
    version: int = 1


class Directory:
    """People by account, whatever its case."""

    def __init__(self, accounts: Iterable[str] = ()) -> None:
        self._lock = threading.RLock()
        self._entries: dict[str, Entry] = {}
        self.reset(accounts)

    def reset(self, accounts: Iterable[str]) -> None:
        """Know these people and no others, and no iD of any."""
        with self._lock:
            self._entries.clear()
            for account in accounts:
                self.add(account)

    def add(self, account: str, *values: str) -> Entry:
        """Get to know somebody, or somebody else of the same account anew."""
        with self._lock:
            entry = Entry(f"p{len(self._entries) + 1}", account, list(values))
            self._entries[fold(account)] = entry
            return entry

    def remove(self, account: str) -> None:
        """Know this person no more."""
        with self._lock:
            self._entries.pop(fold(account), None)

    def entry(self, account: str) -> Entry | None:
        """Give the person with this account."""
        return self._entries.get(fold(account))

    def by_id(self, id_: str) -> Entry | None:
        """Give the person with this id."""
        return next((each for each in self.entries() if each.id == id_), None)

    def entries(self) -> list[Entry]:
        """Give all people, in the order in which they came."""
        with self._lock:
            return list(self._entries.values())

    def find_holder(self, value: str, *, but: Entry) -> Entry | None:
        """Give somebody else who has this iD already, in whatever form."""
        taken = bare(value)
        others = (each for each in self.entries() if each is not but)
        return next((each for each in others if taken in {bare(other) for other in each.values}), None)

    def change(self, entry: Entry, values: list[str]) -> bool:
        """Put these iDs in place of what there is; whether that was a change."""
        with self._lock:
            if entry.values == values:
                return False
            entry.values, entry.version = values, entry.version + 1
            return True


def bare(value: str) -> str:
    """Give the bare iD of any form."""
    return value.strip().rstrip("/").rpartition("/")[2].upper()
