"""The use cases of linking: start, callback, confirm, cancel, remove."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import BoundedSemaphore
from time import monotonic, sleep

from resolver_connector.orcid.http import OrcidUnavailable
from resolver_connector.orcid.scopes import Scope
from resolver_connector.orcid.tokens import ReceivedTokens, TokenService
from shibboleth.account_holder import AccountHolder, different_holders
from shibboleth.account_time import is_readable
from shibboleth.orcid_id import OrcidId
from shibboleth.person import Person
from sql.errors import AttemptClosed, AttemptNotAuthenticated, OrcidIdInUse
from sql.records import Attempt, Change, Consent, Link, PersonStatus, RecordState
from sql.store import Store
from webapp.auth.browser import Browser
from webapp.linking.admission import Admission
from webapp.linking.attempt_cleanup import AttemptCleanup
from webapp.linking.orcid_client import OrcidClient, OrcidMisconfigured, OrcidRefused
from webapp.linking.orcid_status import OrcidStatus
from webapp.log import log

LIFETIME = timedelta(minutes=60)
"""Time for an attempt, in which a user may have to register at ORCID and confirm an e-mail address."""
CLAIM_LIFETIME = timedelta(minutes=15)
"""Time in which the holder of an iD, or an administrator, may confirm that another account claims it."""
MAX_OPEN_ATTEMPTS = 20
"""Attempts of one person that are neither closed nor expired."""
_MAX_REPEATS = 4
"""Threads of a process that may wait for the result of an earlier request with the same state."""
_POLL_INTERVAL = 0.1
"""Seconds between two reads of the attempt."""
_SAVE_TIME = 2.0
"""Seconds by which a repeated call waits longer than for ORCID's answer, which is then saved."""


class NoSuchAttempt(LookupError):
    """The state, or the id of the attempt, is unknown."""


class AttemptExpired(LookupError):
    """The attempt was started longer than LIFETIME ago."""


class TooManyAttempts(RuntimeError):
    """The person has MAX_OPEN_ATTEMPTS open attempts."""


class SomeoneElsesAttempt(PermissionError):
    """The attempt was started by another person than the one who is signed in."""


class AnotherBrowsersAttempt(PermissionError):
    """The attempt was started in another browser."""


class OrcidClientChanged(LookupError):
    """The attempt was started with another OAuth client than the present one."""


class EmptyCallback(LookupError):
    """The callback has neither code nor error, or ORCID has not answered yet."""


class NotAgreed(ValueError):
    """The consent box is not ticked."""


OUTCOMES: dict[type[Exception], str] = {
    OrcidRefused: "orcid-refused",
    OrcidUnavailable: "orcid-unavailable",
    OrcidMisconfigured: "orcid-misconfigured",
    OrcidClientChanged: "orcid-client-changed",
}
"""Outcome of an attempt by the error of the code exchange; the codes are those of `problems.PROBLEMS`."""

AUDITED = frozenset({"declined", "held-by-someone-else", *OUTCOMES.values()})
"""Outcomes without a link that become an audit event."""


@dataclass(frozen=True, slots=True)
class CallbackParams:
    """The parameters of the redirect URI (RFC 6749, 4.1.2), or empty strings."""

    state: str = ""
    code: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class LinkingService:
    """Links persons to ORCID iDs.

    Every method may raise StoreUnavailable.
    """

    store: Store
    orcid: OrcidClient
    """The service's own client."""
    tokens: TokenService
    """Keeps the tokens that ORCID gives, or revokes them."""
    transfers: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The names of the transfers to which changes are sent, by the organisation's id."""
    organisation_clients: Mapping[str, OrcidClient] = field(default_factory=dict)
    """The clients of organisations that have one of their own, by the organisation's id."""
    admission: Admission = field(default_factory=Admission)
    """Who may link where an organisation is not open to all."""
    cleanup: AttemptCleanup = field(default_factory=AttemptCleanup)
    orcid_status: OrcidStatus = field(default_factory=OrcidStatus)
    _repeats: BoundedSemaphore = field(init=False, default_factory=lambda: BoundedSemaphore(_MAX_REPEATS))

    def client_of(self, organisation_id: str) -> OrcidClient:
        """Return the client of ORCID with which people of an organisation link."""
        return self.organisation_clients.get(organisation_id, self.orcid)

    def start(  # noqa: PLR0913 - who, where, and all that the attempt has to carry
        self,
        person: Person,
        browser: Browser,
        language: str,
        now: datetime,
        permissions: Sequence[Scope] = (),
        *,
        return_to: str = "",
    ) -> str:
        """Start an attempt and return ORCID's authorisation URL for it.

        Args:
            permissions: What ORCID asks the person to permit, beside the iD.
            return_to: The address of the service that sent the person here; empty where none did.

        Raises:
            NotAdmitted, LinkingClosed: If the person may not link in the organisation's state.
            TooManyAttempts: If the person has MAX_OPEN_ATTEMPTS open attempts.
        """
        self.admission.require(person)
        state, client = secrets.token_urlsafe(32), self.client_of(person.organisation.id)
        attempt = Attempt(
            id=secrets.token_urlsafe(16),
            organisation=person.organisation.id,
            person_key=person.key,
            account=person.account,
            browser_hash=browser.hash,
            started_at=now,
            expires_at=now + LIFETIME,
            account_issued_at=person.account_issued_at,
            stable_id=person.stable_id,
            client_id=client.client_id,
            scope=client.scope_with(permissions),
            return_to=return_to,
        )
        self.cleanup.run(self.store.attempts, now)
        if not self.store.attempts.add(attempt, _hash(state), max_open=MAX_OPEN_ATTEMPTS):
            raise TooManyAttempts
        return client.authorize_url(state, language, browser.derive("orcid", state), attempt.scope)

    def handle_callback(self, person: Person, browser: Browser, params: CallbackParams, now: datetime) -> Attempt:
        """Save ORCID's answer until the person confirms it.

        The state is checked and used up before `error` or `code` are looked at. An answer that cannot be used closes
        the attempt; its `outcome` says why. A repeated call does not exchange the code again: it returns the attempt as
        the first call has left it, and waits for the first call if both come at the same moment.

        Raises:
            EmptyCallback: If all parameters are empty.
            NotAdmitted, LinkingClosed: If the person may not link any more; nothing is used up.
            NoSuchAttempt: If the state is unknown.
            SomeoneElsesAttempt: If another person started the attempt.
            AnotherBrowsersAttempt: If another browser started the attempt.
            AttemptExpired: If it was started too long ago.
            OrcidBusy: If too many threads wait for ORCID; the state is not used up.
        """
        if params == CallbackParams():
            # ORCID writes some errors behind a `#`, which no server receives
            raise EmptyCallback
        self.admission.require(person)
        state_hash, organisation = _hash(params.state), person.organisation.id
        client = self.client_of(organisation)
        with client.acquire_slot() if params.code else nullcontext():
            attempt = self.store.attempts.consume_state(state_hash, organisation, person.key, browser.hash, now)
            if attempt is not None:
                with self.tokens.receive(attempt, client.credentials, now) as received:
                    return self._exchange(person, attempt, params, browser, received, now)
        attempt = _require_own_attempt(self.store.attempts.get_by_state(state_hash), person, browser, now)
        if self._repeats.acquire(blocking=False):
            try:
                deadline = monotonic() + client.timeout + _SAVE_TIME
                while attempt.closed_at is None and attempt.orcid_id is None and monotonic() < deadline:
                    sleep(_POLL_INTERVAL)
                    attempt = self.store.attempts.get(attempt.id) or attempt
            finally:
                self._repeats.release()
        return attempt

    def _exchange(  # noqa: PLR0913, PLR0917 - who, where, what came, and what takes the tokens
        self,
        person: Person,
        attempt: Attempt,
        params: CallbackParams,
        browser: Browser,
        received: ReceivedTokens,
        now: datetime,
    ) -> Attempt:
        if params.error == "access_denied":
            return self._close(attempt, "declined", now)
        if params.error:
            return self._close(attempt, "orcid-refused", now, reason="error")
        if not params.code:
            return self._close(attempt, "empty-callback", now)
        client = self.client_of(attempt.organisation)
        if attempt.client_id != client.client_id:
            return self._close(attempt, OUTCOMES[OrcidClientChanged], now)
        try:
            secret = browser.derive("orcid", params.state)
            answer = client.exchange(params.code, secret, now, received.take, attempt.scope)
        except tuple(OUTCOMES) as error:
            if isinstance(error, OrcidUnavailable):
                self.orcid_status.failed(now)
            return self._close(attempt, OUTCOMES[type(error)], now, reason=str(error))
        except Exception:
            # A bug: the state is used up, so the attempt cannot go on
            self._close(attempt, "orcid-unavailable", now)
            raise
        self.orcid_status.answered()
        return self._save_answer(person, attempt, answer.orcid_id, answer.name, now)

    def _save_answer(self, person: Person, attempt: Attempt, orcid_id: OrcidId, name: str, now: datetime) -> Attempt:
        if self.store.attempts.save_orcid_answer(attempt.id, orcid_id, name, if_free=True):
            return attempt
        holder = self.store.links.get_by_orcid_id(attempt.organisation, orcid_id)
        if holder is None:
            # The iD became free, or the attempt was closed; then nothing is saved, and its page shows the outcome
            self.store.attempts.save_orcid_answer(attempt.id, orcid_id, name)
            return self.store.attempts.get(attempt.id) or attempt
        if holder.record is not None and holder.record.state is not RecordState.OK:
            # The user has just signed in with it at ORCID
            self.store.record_statuses.schedule(orcid_id, now)
        if holder.person_key == attempt.person_key and holder.attested:
            # The person confirms the link that the organisation has attested
            self.store.attempts.save_orcid_answer(attempt.id, orcid_id, name)
            return self.store.attempts.get(attempt.id) or attempt
        if holder.person_key == attempt.person_key:
            self.store.attempts.close_for_link(attempt.id, "unchanged", holder, now)
            return self.store.attempts.get(attempt.id) or attempt
        if person.organisation.asks_holder and self.current_link(person) is None:
            self.store.attempts.save_claim(attempt.id, orcid_id, name, now + CLAIM_LIFETIME)
            facts = {"attempt": attempt.id}
            self.store.audit.add(attempt.organisation, "held-by-someone-else", "person", person.key, facts, now)
            return self.store.attempts.get(attempt.id) or attempt
        return self._close(attempt, "held-by-someone-else", now)

    def confirm(  # noqa: PLR0913, PLR0917 - who, where, what, and to what they agreed
        self,
        person: Person,
        browser: Browser,
        attempt_id: str,
        consent: Consent,
        replacing: OrcidId | None,
        now: datetime,
    ) -> Change | None:
        """Link the iD of an attempt; return None if the person has this iD already.

        A link that the organisation attested becomes the person's own.

        Args:
            replacing: The iD that the page showed as the one to be replaced; None if it showed none.

        Raises:
            NotAdmitted, LinkingClosed: If the person may not link any more.
            LinkChanged: If the current link is not to `replacing`.
            OrcidIdInUse: If the iD is linked to another account of the organisation; the attempt is closed.
            AttemptClosed: If the attempt is over.
            EmptyCallback: If ORCID has not answered.
            LookupError, PermissionError: As `handle_callback`.
        """
        self.admission.require(person)
        attempt = _require_own_attempt(self.store.attempts.get(attempt_id), person, browser, now)
        self._require_client(attempt, now)
        link_id, transfers = secrets.token_urlsafe(16), tuple(self.transfers.get(attempt.organisation, ()))
        try:
            return self.store.links.add(
                attempt,
                person.account_issued_at,
                consent,
                replacing,
                now,
                link_id,
                transfers,
                stable_id=person.stable_id,
                key_attribute=person.organisation.key,
            )
        except OrcidIdInUse:
            self._close(attempt, "held-by-someone-else", now)
            raise
        except AttemptNotAuthenticated:
            raise EmptyCallback from None

    def open_attempt(self, person: Person, browser: Browser, attempt_id: str, now: datetime) -> Attempt:
        """Return an attempt that the person may still confirm.

        Raises:
            AttemptClosed: If the attempt is over.
            EmptyCallback: If ORCID has not answered.
            LookupError, PermissionError: As `handle_callback`.
        """
        attempt = _require_own_attempt(self.store.attempts.get(attempt_id), person, browser, now)
        if attempt.closed_at is not None:
            raise AttemptClosed(attempt)
        if attempt.orcid_id is None:
            raise EmptyCallback
        self._require_client(attempt, now)
        return attempt

    def _require_client(self, attempt: Attempt, now: datetime) -> None:
        # With the client, what it asks people to permit has changed, and so may the organisation's name at ORCID
        if attempt.closed_at is None and attempt.client_id != self.client_of(attempt.organisation).client_id:
            raise AttemptClosed(self._close(attempt, OUTCOMES[OrcidClientChanged], now))

    def cancel(self, person: Person, browser: Browser, attempt_id: str, now: datetime) -> None:
        """Close an attempt without a link. Raises as `open_attempt`."""
        self._close(self.open_attempt(person, browser, attempt_id, now), "cancelled", now)

    def attempt(self, person: Person, browser: Browser, attempt_id: str) -> Attempt:
        """Return an attempt of the person, expired or not.

        Raises:
            NoSuchAttempt: If there is none with this id.
            SomeoneElsesAttempt: If another person started it.
            AnotherBrowsersAttempt: If another browser started it.
        """
        return _require_own_attempt(self.store.attempts.get(attempt_id), person, browser, None)

    def current_link(self, person: Person) -> Link | None:
        """Return the person's current link."""
        return self.store.links.get(person.organisation.id, person.key)

    def record_sign_in(self, person: Person, now: datetime, *, deliveries: bool = True) -> PersonStatus:
        """Record a sign-in and return the person's status.

        The link of an earlier holder of the account ends first. Before this call, data stored under the account may be
        another person's.

        Args:
            deliveries: Whether to read the deliveries as well.
        """
        status, whose = self._read_status(person, deliveries=deliveries), (person.organisation.id, person.key)
        link = status.link
        earlier, now_issued = "" if link is None else link.account_issued_at, person.account_issued_at
        if now_issued not in {"", earlier} and not all(map(is_readable, filter(None, (earlier, now_issued)))):
            log.warning("account-issue-time-unreadable", organisation=person.organisation.id, linked=link is not None)
        stored: list[AccountHolder] = [] if link is None else [link]
        if status.has_other_attempts:
            stored += self.store.attempts.list_for_person(*whose)
        if any(different_holders(each, person) for each in stored):
            transfers = tuple(self.transfers.get(person.organisation.id, ()))
            self.store.links.end_earlier_holder(*whose, person, now, transfers)
            return self._read_status(person, deliveries=deliveries)
        if link is not None:
            self.store.links.record_sign_in(link, person, now)
        if status.removal_pending:
            # Who signs in has an account, whatever a list says
            self.store.removals.cancel_for_person(*whose, now)
        return status

    def _read_status(self, person: Person, *, deliveries: bool) -> PersonStatus:
        whose = person.organisation.id, person.key
        with_deliveries = deliveries and bool(self.transfers.get(whose[0]))
        status = self.store.links.person_status(*whose, person, deliveries=with_deliveries)
        if status.link is None and status.newest_change is not None:
            reassigned_at, newest = self.store.links.reassigned_at(*whose), self.store.changes.newest_for_person(*whose)
            if reassigned_at is not None and newest is not None and newest.at <= reassigned_at:
                # The removal of the account's earlier holder
                return PersonStatus(None, has_other_attempts=status.has_other_attempts)
        return status

    def remove(self, person: Person, shown: OrcidId, now: datetime) -> Change | None:
        """End the person's link; return None if there is none.

        Args:
            shown: The iD that the page showed.

        Raises:
            LinkChanged: If the link is to another iD than `shown`.
        """
        organisation_id, reason = person.organisation.id, "removed by the person"
        transfers = tuple(self.transfers.get(organisation_id, ()))
        return self.store.links.remove(organisation_id, person.key, "person", reason, now, shown, transfers)

    def move(self, person: Person, link: Link, shown: OrcidId, now: datetime) -> Change | None:
        """Move the link of the person's earlier account; return None if it has ended.

        Args:
            link: What `link_of_earlier_account` found.
            shown: The iD that the page showed.

        Raises:
            LinkChanged: If the link is to another iD than `shown`, or what showed that it is the person's has changed.
            AccountLinked: If the person has linked an iD meanwhile.
        """
        return self.store.links.move(
            link.organisation,
            link.person_key,
            person.account,
            "person",
            "moved by the person",
            now,
            holder=person,
            expected=shown,
            unchanged=link,
            transfers=tuple(self.transfers.get(link.organisation, ())),
        )

    def claim(self, person: Person, browser: Browser, attempt_id: str, now: datetime) -> Attempt:
        """Return an attempt that claims an iD of another account.

        The person of the attempt may see it, and the holder of the iD.

        Raises:
            NoSuchAttempt: If there is none with this id.
            SomeoneElsesAttempt: If the person is neither.
            AnotherBrowsersAttempt: If another browser started it.
            AttemptClosed: If it is over, or was not confirmed in time.
        """
        attempt = self.store.attempts.get(attempt_id)
        if attempt is None or attempt.claim_expires_at is None:
            raise NoSuchAttempt
        link = self.current_link(person)
        is_holder = link is not None and link.orcid_id == attempt.orcid_id
        if attempt.organisation != person.organisation.id or not (is_holder or attempt.person_key == person.key):
            raise SomeoneElsesAttempt
        if attempt.browser_hash != browser.hash:
            raise AnotherBrowsersAttempt
        return self._require_open_claim(attempt, attempt.claim_expires_at, now)

    def _require_open_claim(self, attempt: Attempt, expires_at: datetime, now: datetime) -> Attempt:
        if attempt.closed_at is None and now >= expires_at:
            attempt = self._close(attempt, "held-by-someone-else", now)
        if attempt.closed_at is not None:
            raise AttemptClosed(attempt)
        return attempt

    def accept_claim(self, person: Person, browser: Browser, attempt_id: str, now: datetime) -> Change | None:
        """Move the signed-in person's link to the account that claims its iD.

        Raises:
            AccountLinked: If that account has linked another iD meanwhile.
            AttemptClosed, LookupError, PermissionError: As `claim`; also if the person is the one who claims.
        """
        attempt = self.claim(person, browser, attempt_id, now)
        if attempt.person_key == person.key:
            raise SomeoneElsesAttempt
        return self.store.links.move(
            attempt.organisation,
            person.key,
            attempt.account,
            "person",
            "given by the holder",
            now,
            holder=attempt,
            expected=attempt.orcid_id,
            claim=attempt.id,
            transfers=tuple(self.transfers.get(attempt.organisation, ())),
        )

    def confirm_claim(  # noqa: PLR0913, PLR0917 - all that an audit event says
        self, link: Link, attempt_id: str, actor: str, reason: str, by: Mapping[str, str], now: datetime
    ) -> Change | None:
        """Move a link to the account that claims its iD, for an administrator.

        Args:
            link: The link that the administrator was shown.
            attempt_id: The claim, an attempt of the same organisation.
            actor: The administrator's role in audit events.
            reason: What the administrator wrote.
            by: Facts of the audit events that name the administrator.

        Returns:
            None if the link has ended.

        Raises:
            AccountLinked: If that account has linked another iD meanwhile.
            AttemptClosed: If the claim is over, or was not confirmed in time.
            LinkChanged: If the link is to another iD by now.
            NoSuchAttempt: If there is no such claim of this iD.
        """
        attempt = self.store.attempts.get(attempt_id)
        if attempt is None or attempt.claim_expires_at is None or attempt.organisation != link.organisation:
            raise NoSuchAttempt
        attempt = self._require_open_claim(attempt, attempt.claim_expires_at, now)
        if attempt.orcid_id != link.orcid_id:
            raise NoSuchAttempt
        return self.store.links.move(
            link.organisation,
            link.person_key,
            attempt.account,
            actor,
            reason,
            now,
            holder=attempt,
            expected=attempt.orcid_id,
            claim=attempt.id,
            by=by,
            transfers=tuple(self.transfers.get(link.organisation, ())),
        )

    def _close(self, attempt: Attempt, outcome: str, now: datetime, reason: str = "") -> Attempt:
        if self.store.attempts.close(attempt.id, outcome, now) and outcome in AUDITED:
            holder = {"account_issued_at": attempt.account_issued_at, "stable_id": attempt.stable_id}
            facts = {"attempt": attempt.id, "reason": reason, **holder}
            facts = {name: value for name, value in facts.items() if value}
            self.store.audit.add(attempt.organisation, outcome, "person", attempt.person_key, facts, now)
        return self.store.attempts.get(attempt.id) or attempt


def make_consent(text: str, language: str, now: datetime) -> Consent:
    """Return the record of a consent, whose version is a digest of the text."""
    return Consent(hashlib.sha256(text.encode()).hexdigest()[:16], language, text, now)


def _require_own_attempt(attempt: Attempt | None, person: Person, browser: Browser, now: datetime | None) -> Attempt:
    # Checks the person before the expiry; without `now` the expiry is not checked
    if attempt is None:
        raise NoSuchAttempt
    if (attempt.organisation, attempt.person_key) != (person.organisation.id, person.key):
        raise SomeoneElsesAttempt
    if attempt.browser_hash != browser.hash:
        raise AnotherBrowsersAttempt
    if now is not None and now >= attempt.expires_at:
        raise AttemptExpired
    return attempt


def _hash(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()
