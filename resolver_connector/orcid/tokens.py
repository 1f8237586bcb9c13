"""Keeps the tokens that ORCID gives, while they are needed.

Where a sealing key is configured, a pair is stored before anything else is done with ORCID's answer, and revoked from
the queue in the database (`revocation.py`). Without one it is revoked as soon as the answer is saved.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from resolver_connector.delivery.event_log import EventLog
from resolver_connector.orcid.clients import OrcidClients, OrcidCredentials
from resolver_connector.orcid.pairs import TokenError, open_access_token, usable_pairs
from resolver_connector.orcid.revocation import RevocationOutcome, Revoker
from resolver_connector.orcid.sealing import TokenPair, TokenSealer
from shibboleth.orcid_id import OrcidId
from sql.errors import StoreUnavailable
from sql.records import Attempt, OrcidToken
from sql.store import Store

ID_BYTES = 16
REVOKE_TIMEOUT = 5.0
"""Seconds that a person waits for a revocation right after the exchange."""


@dataclass(frozen=True, slots=True)
class GrantedTokens:
    """The tokens of a token response (RFC 6749, section 5.1)."""

    pair: TokenPair
    scopes: frozenset[str]
    """As granted."""
    expires_at: datetime | None = None
    """None where ORCID did not say."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token of an organisation's own client, for one person's record."""

    token_id: str
    """The id of the stored pair, for `TokenService.record_withdrawn`."""
    value: str = field(repr=False)
    client_id: str
    scopes: frozenset[str]
    orcid_id: OrcidId
    obtained_at: datetime
    expires_at: datetime | None


class ReceivedTokens:
    """Takes the tokens of one code exchange.

    ORCID may answer after the caller of the exchange has given up; what comes then is taken care of too.
    """

    def __init__(self, tokens: TokenService, attempt: Attempt, client: OrcidCredentials, now: datetime) -> None:
        self._tokens = tokens
        self._attempt = attempt
        self._client = client
        self._now = now
        self._lock = threading.Lock()
        self._left: list[TokenPair] | None = []

    def take(self, granted: GrantedTokens) -> None:
        """Store the pair, or remember it to be revoked; never raises."""
        if self._tokens.store_sealed(granted, self._attempt, self._client, self._now):
            return
        with self._lock:
            if self._left is not None:
                self._left.append(granted.pair)
                return
        self._tokens.revoke_now(granted.pair, self._attempt.organisation, self._client, self._now)

    def revoke_left(self) -> None:
        """Revoke what could not be stored, and from now on at once."""
        with self._lock:
            left, self._left = self._left or [], None
        for pair in left:
            self._tokens.revoke_now(pair, self._attempt.organisation, self._client, self._now)


@dataclass(frozen=True, slots=True)
class TokenService:
    """The tokens that ORCID gives."""

    store: Store
    clients: OrcidClients
    sealer: TokenSealer | None
    """None where no usable key is configured: then nothing is stored."""
    revoker: Revoker
    report: EventLog

    @property
    def keeps_tokens(self) -> bool:
        """Whether pairs are stored."""
        return self.sealer is not None

    @contextmanager
    def receive(self, attempt: Attempt, client: OrcidCredentials, now: datetime) -> Iterator[ReceivedTokens]:
        """Take the tokens of an attempt's code exchange in the block.

        At its end, what could not be stored is revoked; that takes `REVOKE_TIMEOUT` at most, and a failure is logged
        and counted.

        Args:
            attempt: The attempt.
            client: The client that exchanges the code.
            now: The time.
        """
        received = ReceivedTokens(self, attempt, client, now)
        try:
            yield received
        finally:
            received.revoke_left()

    def store_sealed(self, granted: GrantedTokens, attempt: Attempt, client: OrcidCredentials, now: datetime) -> bool:
        """Store a pair with its attempt.

        Returns:
            False if no key is configured, or the store failed; the latter is logged.
        """
        if self.sealer is None:
            return False
        token_id = secrets.token_hex(ID_BYTES)
        try:
            sealed = self.sealer.seal(token_id, granted.pair)
            scope = " ".join(sorted(granted.scopes))
            token = OrcidToken(
                token_id, attempt.organisation, client.client_id, scope, now, granted.expires_at, sealed=sealed
            )
            self.store.orcid_tokens.add(token, attempt.id, now)
        except StoreUnavailable as error:
            self.report("store-unavailable", reason=str(error))
            return False
        except Exception as error:  # noqa: BLE001 - never a reason to lose the person's link
            self.report.exception(error)
            return False
        return True

    def revoke_now(self, pair: TokenPair, organisation_id: str, client: OrcidCredentials, now: datetime) -> None:
        """Revoke a pair that is not stored.

        A failure is logged and counted, and is final.
        """
        result = self.revoker.revoke(client, pair, REVOKE_TIMEOUT, now)
        if result.outcome is RevocationOutcome.REVOKED:
            return
        self.report(
            "orcid-token-not-revoked",
            organisation=organisation_id,
            client=client.client_id,
            outcome=result.outcome.value,
            reason=result.reason,
        )
        try:
            self.store.orcid_tokens.count(organisation_id, "lost", now)
        except StoreUnavailable as error:
            self.report("store-unavailable", reason=str(error))

    def get_access_token(  # noqa: PLR0913 - what the token is for
        self,
        organisation_id: str,
        person_key: str,
        scope: str,
        now: datetime,
        *,
        orcid_id: OrcidId | None = None,
        ended_client_id: str | None = None,
    ) -> AccessToken | None:
        """Return an access token of an organisation's own client.

        It is the newest that has the scope.

        The service's own client is never used. A pair that no key opens is logged and left out.

        Args:
            organisation_id: The organisation.
            person_key: The person.
            scope: A scope that the person must have granted.
            now: The time.
            orcid_id: The iD that the token must be for; None accepts any.
            ended_client_id: The client that wrote what has to be ended, also a former one of the organisation. Then a
                token is accepted whose link has ended, or whose permission ORCID no longer accepts: with it a client
                may still delete what it wrote. None if a permission is used.

        Raises:
            StoreUnavailable: If the store does not answer.
        """
        own = self.clients.organisations.get(organisation_id)
        client_id = ended_client_id or (own and own.client_id)
        if client_id is None or client_id == self.clients.service.client_id:
            return None
        pairs = [
            each
            for each in self.store.orcid_tokens.list_for_person(organisation_id, person_key)
            if each.link is not None and each.client_id == client_id and orcid_id in {None, each.orcid_id}
        ]
        found = usable_pairs(pairs, {scope}, now, to_end=ended_client_id is not None)
        for pair in () if isinstance(found, TokenError) else found:
            value = open_access_token(pair, self.sealer)
            if value is not None and pair.orcid_id is not None:
                scopes = pair.scopes
                return AccessToken(
                    pair.id, value, pair.client_id, scopes, pair.orcid_id, pair.obtained_at, pair.expires_at
                )
        return None

    def record_withdrawn(self, token_id: str, now: datetime) -> None:
        """Record that ORCID refused an access token as invalid (`invalid_token`).

        Usually the person took the permission back there. They are told on their page, the audit log says so, and the
        link goes on. A repeated call changes nothing.

        Raises:
            StoreUnavailable: If the store does not answer.
        """
        token = self.store.orcid_tokens.record_withdrawn(token_id, now)
        if token is not None:
            self.report("orcid-permission-withdrawn", organisation=token.organisation, client=token.client_id)
