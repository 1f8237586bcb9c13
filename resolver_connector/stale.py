"""Answering while the database is away, from replicas that the connector keeps for itself; only where that is wanted.

There is one file for each organisation, written anew every so often and swapped in one step. What it says is given
only while the database does not answer, and only as long as the file is not too old: an answer from it says its age.
An iD that was removed after the file was written is released until the file is too old, or the database is back.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic

from resolver_connector.http import Report
from shibboleth.orcid_id import Registry
from shibboleth.organisation import Organisation
from sql.errors import StoreUnavailable
from sql.replica import NotAReplica, Replica, ReplicaNotWritten, write_replica
from sql.store import Store

REFRESHES = 10
"""How often a replica is written anew in the time for which it may be used."""
QUIET = 10.0
"""In seconds: how often the log says that answers are stale."""


class Replicas:
    """The replicas of all organisations, in a directory of their own. `longest` is in seconds."""

    def __init__(  # noqa: PLR0913 - one for each thing it works with
        self,
        store: Store,
        organisations: Iterable[Organisation],
        registry: Registry,
        *,
        directory: Path,
        longest: float,
        report: Report,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._organisations = {one.entity_id: one for one in organisations}
        self._registry = registry
        self._directory = directory
        self._longest = longest
        self._report = report
        self._clock = clock
        self._open: dict[str, tuple[object, Replica]] = {}
        self._opening = Lock()
        self._told_at = -QUIET

    # Reading

    def orcid_of(self, entity_id: str, person_key: str) -> tuple[str | None, int]:
        """Give the iD of a person, and how many seconds ago that was so. Raises StoreUnavailable."""
        organisation = self._organisations.get(entity_id)
        try:
            replica = self._replica(organisation) if organisation else None
        except (OSError, NotAReplica):
            replica = None
        if organisation is None or replica is None:
            raise StoreUnavailable("the database does not answer, and there is no replica to answer from")
        age = self._age(replica)
        if age > self._longest:
            raise StoreUnavailable("the database does not answer, and the replica is too old to answer from")
        found = replica.orcid_of(person_key)
        self._tell(organisation, age)
        return (found[0].bare if found else None), int(age)

    def _replica(self, organisation: Organisation) -> Replica:
        """Give the newest replica of an organisation, opened once."""
        path = self._path(organisation)
        found = path.stat()
        state = found.st_ino, found.st_mtime_ns
        with self._opening:
            known = self._open.get(organisation.entity_id)
            if known is None or known[0] != state:
                # One that is no longer the newest is let go of when the last who reads it does
                known = self._open[organisation.entity_id] = state, self._sound(Replica(path), organisation)
            return known[1]

    def _sound(self, replica: Replica, organisation: Organisation) -> Replica:
        if (replica.organisation, replica.registry) != (organisation.entity_id, self._registry):
            raise NotAReplica("it is of another organisation or registry")
        return replica

    def _age(self, replica: Replica) -> float:
        # One that seems to be of the future is no fresher than one of the past: some clock was wrong
        return abs((self._clock() - replica.made_at).total_seconds())

    def _tell(self, organisation: Organisation, age: float) -> None:
        now = monotonic()
        if now - self._told_at >= QUIET:
            self._told_at = now
            self._report("connector", stale=organisation.id, seconds=int(age))

    def _path(self, organisation: Organisation) -> Path:
        return self._directory / f"{organisation.id}.db"

    # Writing

    def start(self) -> None:
        """Begin to keep them fresh, beside whatever else this process does."""
        Thread(target=self.keep_fresh, args=[Event()], daemon=True).start()

    def keep_fresh(self, stop: Event) -> None:
        """Write those anew that are due, until told to stop; whoever shares the directory takes turns by chance."""
        pause = self._longest / REFRESHES
        while True:
            try:
                self.refresh()
            except Exception as error:  # noqa: BLE001 - a bug in here must not end it for good
                self._report.exception(error)
            if stop.wait(pause * (0.5 + random.random() / 2)):  # noqa: S311 - no secret
                return

    def refresh(self) -> None:
        """Write those anew that are due, and remove those of organisations that are not connected any more."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        known = {self._path(each) for each in self._organisations.values()}
        for path in {*self._directory.glob("*.db")} - known:
            if _is_replica(path):
                path.unlink(missing_ok=True)
        for organisation in self._organisations.values():
            if self._is_due(organisation):
                self._write(organisation)

    def _is_due(self, organisation: Organisation) -> bool:
        try:
            return self._age(self._replica(organisation)) >= self._longest / REFRESHES / 2
        except (OSError, NotAReplica):
            return True

    def _write(self, organisation: Organisation) -> None:
        try:
            write_replica(self._store, organisation.entity_id, self._registry, self._path(organisation), self._clock())
        except (ReplicaNotWritten, StoreUnavailable) as error:
            self._report("replica", organisation=organisation.id, reason=str(error))


def _is_replica(path: Path) -> bool:
    """Tell whether a file is a replica, and not a database of somebody's that only lies there."""
    try:
        Replica(path).close()
    except NotAReplica:
        return False
    return True
