"""Answers look-ups from local replicas while the database is unavailable.

Replicas are optional. Each organisation has one replica file, rewritten periodically and replaced atomically. A replica
is read only while the database does not answer and only up to a maximum age; the response states its age. An iD that
was removed after the replica was written is released until the replica is too old or the database answers again.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic

from shibboleth.account_holder import AccountHolder
from shibboleth.orcid_id import Registry
from shibboleth.organisation import Organisation
from sql.errors import StoreUnavailable
from sql.replica import NotAReplica, Replica, ReplicaNotWritten, write_replica
from sql.store import Store

REFRESHES = 10
"""How often a replica is rewritten within its maximum age."""
LOG_INTERVAL = 10.0
"""Seconds between two log lines about stale answers."""

_log = logging.getLogger("orcid-connect")


class ReplicaCache:
    """The replicas of all organisations, in one directory.

    Several processes may share the directory. `max_age` is in seconds.
    """

    def __init__(  # noqa: PLR0913 - one argument for each dependency
        self,
        store: Store,
        organisations: Iterable[Organisation],
        registry: Registry,
        *,
        directory: Path,
        max_age: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._organisations = {one.id: one for one in organisations}
        self._registry = registry
        self._directory = directory
        self._max_age = max_age
        self._clock = clock
        self._open: dict[str, tuple[object, Replica]] = {}
        self._lock = Lock()
        self._logged_at = -LOG_INTERVAL

    def orcid_of(self, organisation_id: str, person_key: str, holder: AccountHolder) -> tuple[str | None, int]:
        """Return a person's bare iD and the age of the replica in seconds.

        The iD is None if there is none, or another holder of the account linked it.

        Raises:
            StoreUnavailable: If there is no replica of this organisation, or it is older than `max_age`.
        """
        organisation = self._organisations.get(organisation_id)
        try:
            replica = self._replica(organisation) if organisation else None
        except (OSError, NotAReplica):
            replica = None
        if organisation is None or replica is None:
            raise StoreUnavailable("the database does not answer, and there is no replica")
        age = self._age(replica)
        if age > self._max_age:
            raise StoreUnavailable("the database does not answer, and the replica is too old")
        orcid_ids = replica.orcid_of(person_key, holder)
        now = monotonic()
        if now - self._logged_at >= LOG_INTERVAL:
            self._logged_at = now
            _log.warning("connector", extra={"facts": {"stale": organisation.id, "seconds": int(age)}})
        return (orcid_ids[0].bare if orcid_ids else None), int(age)

    def start(self) -> None:
        """Refresh the replicas in a daemon thread."""
        Thread(target=self.run, args=[Event()], daemon=True).start()

    def run(self, stop: Event) -> None:
        """Refresh the replicas that are due until `stop` is set.

        The intervals are random, so that processes that share the directory rarely write the same replica.
        """
        interval = self._max_age / REFRESHES
        while True:
            try:
                self.refresh()
            except Exception:  # noqa: BLE001 - a bug must not end the thread
                _log.exception("bug")
            if stop.wait(interval * (0.5 + random.random() / 2)):  # noqa: S311 - not for cryptography
                return

    def refresh(self) -> None:
        """Write the replicas that are due.

        A replica of an organisation that is no longer configured is deleted.
        """
        self._directory.mkdir(mode=0o700, exist_ok=True)
        known = {self._path(each) for each in self._organisations.values()}
        for path in {*self._directory.glob("*.db")} - known:
            try:
                Replica(path).close()
            except NotAReplica:
                continue  # another SQLite file that happens to be in this directory
            path.unlink(missing_ok=True)
        for organisation in self._organisations.values():
            try:
                due = self._age(self._replica(organisation)) >= self._max_age / REFRESHES / 2
            except (OSError, NotAReplica):
                due = True
            if due:
                self._write(organisation)

    def _write(self, organisation: Organisation) -> None:
        try:
            write_replica(self._store, organisation.id, self._registry, self._path(organisation), self._clock())
        except (ReplicaNotWritten, StoreUnavailable) as error:
            _log.error("replica", extra={"facts": {"organisation": organisation.id, "reason": str(error)}})

    def _replica(self, organisation: Organisation) -> Replica:
        # The newest replica, opened once
        path = self._path(organisation)
        status = path.stat()
        version = status.st_ino, status.st_mtime_ns
        with self._lock:
            known = self._open.get(organisation.id)
            if known is None or known[0] != version:
                replica = Replica(path)
                if (replica.organisation, replica.registry) != (organisation.id, self._registry):
                    raise NotAReplica("it is of another organisation or registry")
                # The replica it replaces is closed when the last reader has released it
                known = self._open[organisation.id] = version, replica
            return known[1]

    def _age(self, replica: Replica) -> float:
        # A time in the future is as unreliable as one in the past: a clock was wrong
        return abs((self._clock() - replica.made_at).total_seconds())

    def _path(self, organisation: Organisation) -> Path:
        return self._directory / f"{organisation.id}.db"
