"""Revokes ORCID's tokens (RFC 7009), at once or from the worker's queue.

Only status 200 without an error, and not a web page, says that a token is revoked. ORCID gives this answer for a token
that was revoked before, too, so that every try can be repeated.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from time import monotonic

from resolver_connector.delivery.backoff import next_try_at
from resolver_connector.delivery.dispatcher import make_worker_id
from resolver_connector.delivery.event_log import EventLog
from resolver_connector.orcid.clients import OrcidClients, OrcidCredentials
from resolver_connector.orcid.http import OrcidResponse, OrcidUnavailable, send
from resolver_connector.orcid.sealing import CannotOpen, TokenPair, TokenSealer
from resolver_connector.orcid.strict_json import parse_object
from shibboleth.deadline import BoundedThreads, Deadline, Saturated
from shibboleth.retry_after import parse_retry_after
from sql.errors import StoreUnavailable
from sql.records import OrcidToken
from sql.store import Store

TRY_TIMEOUT = 20.0
"""Seconds for a try of the worker."""
LEASE = timedelta(minutes=1)
"""Longer than any try of the worker."""
CLIENT_PAUSE = 10.0
"""Seconds without revocations of a client after ORCID did not answer one, so that not each of many is tried in vain."""
THREAD = "orcid-revocation"
_OK = 200
_MISCONFIGURED = frozenset({"invalid_client", "unauthorized_client"})


class RevocationOutcome(StrEnum):
    """What a try to revoke a pair of tokens came to."""

    REVOKED = "revoked"
    TEMPORARY = "temporary"
    """ORCID did not answer, or not in a way that says so."""
    MISCONFIGURED = "misconfigured"
    """ORCID does not accept the client or its secret, or the configuration has the client no more."""
    UNREADABLE = "unreadable"
    """No configured key opens the sealed pair."""


@dataclass(frozen=True, slots=True)
class RevocationResult:
    """The outcome of a try, and why, without any part of ORCID's answer."""

    outcome: RevocationOutcome
    reason: str = ""
    retry_after: timedelta | None = None
    """How long ORCID asks to be left alone; None where it does not say."""


@dataclass(frozen=True, slots=True)
class Revoker:
    """Sends revocations to ORCID."""

    max_threads: int = 4
    """How many may wait for ORCID at once, with those beyond their deadline."""
    _threads: BoundedThreads = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Create the limit of threads."""
        object.__setattr__(self, "_threads", BoundedThreads(self.max_threads))

    def revoke(self, client: OrcidCredentials, pair: TokenPair, timeout: float, now: datetime) -> RevocationResult:
        """Revoke a pair of tokens; never raises for what ORCID does.

        Args:
            client: The client that got the pair.
            pair: Revoking one of its tokens revokes the other one.
            timeout: Seconds until the call returns, whatever ORCID does.
            now: The time, to which a `Retry-After` refers.
        """
        form = {
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "token": pair.refresh_token or pair.access_token,
        }
        deadline, url = Deadline(timeout), f"{client.base_url}/oauth/revoke"
        call: Callable[[], OrcidResponse] = partial(
            send, "POST", url, deadline, timeouts=client.timeouts, proxy=client.proxy, form=form
        )
        try:
            response = self._threads.run(call, deadline)
        except OrcidUnavailable as error:
            return RevocationResult(RevocationOutcome.TEMPORARY, error.reason)
        except TimeoutError:
            return RevocationResult(RevocationOutcome.TEMPORARY, "no answer in time")
        except Saturated as error:
            reason = f"{error.running} earlier calls still wait for its answer"
            return RevocationResult(RevocationOutcome.TEMPORARY, reason)
        return _result(response, now)


def _result(response: OrcidResponse, now: datetime) -> RevocationResult:
    # Only `error` counts: descriptions may repeat the token
    try:
        answer = parse_object(response.body) if response.body.strip() else {}
    except ValueError:
        return RevocationResult(
            RevocationOutcome.TEMPORARY,
            f"status {response.status} with a body that is not JSON",
            parse_retry_after(response.retry_after, now),
        )
    error = answer.get("error")
    if response.status == _OK and error is None:
        return RevocationResult(RevocationOutcome.REVOKED)
    if isinstance(error, str) and error in _MISCONFIGURED:
        return RevocationResult(RevocationOutcome.MISCONFIGURED, f"ORCID says {error}")
    retry_after = parse_retry_after(response.retry_after, now)
    return RevocationResult(RevocationOutcome.TEMPORARY, f"status {response.status}", retry_after)


@dataclass(slots=True)
class RevocationQueue:
    """Revokes the pairs that are due, one after the other.

    Several workers may use one store.
    """

    store: Store
    clients: OrcidClients
    sealer: TokenSealer | None
    """None where no usable key is configured; what was sealed before then stays in the queue."""
    revoker: Revoker
    report: EventLog
    clock: Callable[[], datetime]
    random: Callable[[], float] = random.random
    """Returns a number between 0 and 1, for the jitter of the back-off."""
    _paused_until: dict[str, float] = field(default_factory=dict, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)

    def start(self, _now: datetime) -> None:
        """Run in a thread of its own, unless it runs.

        Deliveries must not wait for ORCID.
        """
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run_logged, name=THREAD)
            self._thread.start()

    def stop(self) -> None:
        """Make a running thread end after the revocation that it waits for.

        It takes no lock, so a signal handler may call it.
        """
        self._stopped = True

    def _run_logged(self) -> None:
        try:
            self.run()
        except StoreUnavailable as error:
            self.report("store-unavailable", reason=str(error))
        except Exception as error:  # noqa: BLE001 - an exception in a thread is not logged otherwise
            self.report.exception(error)

    def run(self) -> None:
        """Attempt each revocation that is due.

        Those of a client end at the first that ORCID does not take.

        Raises:
            StoreUnavailable: If the store does not answer; a lease that was taken expires.
        """
        worker = make_worker_id()
        for client_id in self.store.orcid_tokens.list_due_clients(self.clock()):
            while not self._stopped and monotonic() >= self._paused_until.get(client_id, 0.0):
                token = self.store.orcid_tokens.claim(client_id, worker, self.clock(), LEASE)
                if token is None:
                    break
                self._try(token)

    def _try(self, token: OrcidToken) -> None:
        tokens = self.store.orcid_tokens
        result = self._revoke(token)
        now = self.clock()
        if result.outcome is RevocationOutcome.REVOKED:
            tokens.complete(token, now)
            self.report("orcid-token-revoked", organisation=token.organisation, tries=token.tries)
            return
        is_temporary = result.outcome is RevocationOutcome.TEMPORARY
        # It is never given up: the back-off of deliveries, without its end
        next_at = next_try_at(
            token.tries,
            now,
            now,
            misconfigured=not is_temporary,
            retry_after=result.retry_after,
            random=self.random(),
        )
        tokens.reschedule(token, result.outcome.value, next_at or now, now)
        self.report(
            "orcid-token-revocation-failed",
            organisation=token.organisation,
            client=token.client_id,
            outcome=result.outcome.value,
            reason=result.reason,
            tries=token.tries,
        )
        if result.outcome is not RevocationOutcome.UNREADABLE:
            self._paused_until[token.client_id] = monotonic() + CLIENT_PAUSE

    def _revoke(self, token: OrcidToken) -> RevocationResult:
        client = self.clients.find(token.client_id)
        if client is None:
            reason = "the configuration has no ORCID client with this id"
            return RevocationResult(RevocationOutcome.MISCONFIGURED, reason)
        if self.sealer is None:
            return RevocationResult(RevocationOutcome.UNREADABLE, "no key is configured")
        try:
            pair = self.sealer.open(token.id, token.sealed or "")
        except CannotOpen as error:
            return RevocationResult(RevocationOutcome.UNREADABLE, error.reason)
        return self.revoker.revoke(client, pair, TRY_TIMEOUT, self.clock())
