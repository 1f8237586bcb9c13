"""Records the day of the last use of each right of a credential.

`orcid-connect check` reports rights that were not used for long.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection
from datetime import datetime
from threading import Lock, Thread
from time import monotonic

from resolver_connector.credentials import Client, Right
from sql.errors import StoreUnavailable
from sql.records import CredentialRight
from sql.store import Store

INTERVAL = 24 * 3600.0
"""Seconds after a recorded use before the same use is recorded again."""
RETRY_INTERVAL = 3600.0
"""Seconds after a failure to record a use before it is recorded again."""

_Use = tuple[str, str, Right]
"""An organisation's id, the name of a credential, and the right."""

_log = logging.getLogger("orcid-connect")


class CredentialUses:
    """Records uses in a thread of its own, so that no request waits for it.

    An error does not affect requests. A use that was recorded already costs a request one look-up in a dictionary.
    """

    def __init__(
        self,
        store: Store,
        clients: Collection[Client],
        clock: Callable[[], datetime],
        timer: Callable[[], float] = monotonic,
    ) -> None:
        self._store = store
        self._configured = [
            CredentialRight(client.organisation.id, client.credential, right)
            for client in clients
            for right in sorted(client.rights)
        ]
        self._clock = clock
        self._timer = timer
        self._due: dict[_Use, float] = {}
        self._pending: deque[_Use] = deque()
        self._lock = Lock()
        self._thread: Thread | None = None
        self._registered = False

    def add(self, client: Client, right: Right) -> None:
        """Record the use of a right unless it was recorded in the last day."""
        use = client.organisation.id, client.credential, right
        now = self._timer()
        if now < self._due.get(use, 0.0):
            return
        with self._lock:
            if now < self._due.get(use, 0.0):
                return
            self._due[use] = now + INTERVAL
            self._pending.append(use)
            if self._thread is None:
                self._thread = Thread(target=self._write, name="credential-uses", daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Wait until everything is recorded, or has failed."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _write(self) -> None:
        while True:
            with self._lock:
                if not self._pending:
                    self._thread = None
                    return
                use = self._pending.popleft()
            try:
                today = self._clock().date()
                if not self._registered:
                    self._store.statistics.register_credential_rights(self._configured, today)
                    self._registered = True
                self._store.statistics.record_credential_use(CredentialRight(*use), today)
            except StoreUnavailable as error:
                self._due[use] = self._timer() + RETRY_INTERVAL
                _log.warning("credential-use-not-recorded", extra={"facts": {"reason": str(error)}})
            except Exception:  # noqa: BLE001 - a bug must not end the thread before the other uses are recorded
                _log.exception("bug")
