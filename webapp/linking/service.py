"""Linking, the use case: an attempt is started, ORCID answers, the person confirms, and only then there is a link."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shibboleth.orcid_id import OrcidId
from shibboleth.person import Person
from sql.errors import AttemptClosed, HeldBySomeoneElse, NotAuthenticated
from sql.records import Attempt, Change, ChangeKind, Consent, Link, PersonStatus
from sql.store import Store
from webapp.auth.browser import Browser
from webapp.linking.attempt_cleanup import AttemptCleanup
from webapp.linking.orcid_client import OrcidClient, OrcidMisconfigured, OrcidRefused, OrcidUnavailable

LIFETIME = timedelta(minutes=60)
"""How long a started attempt may take. Registering at ORCID, with mail to confirm, is part of it."""


class NoSuchAttempt(LookupError):
    """Nobody started this: the state is unknown."""


class AttemptExpired(LookupError):
    """It was started longer ago than LIFETIME."""


class AttemptUsed(LookupError):
    """ORCID's answer to it came before; a state works once."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__()
        self.attempt = attempt


class SomeoneElsesAttempt(PermissionError):
    """It was started by another person than the one who is signed in now."""


class AnotherBrowsersAttempt(PermissionError):
    """It was started in another browser."""


class NothingCameBack(LookupError):
    """ORCID sent the person back with neither an answer nor an error."""


class NotAgreed(ValueError):
    """The consent box came unticked."""


@dataclass(frozen=True, slots=True)
class CallbackParams:
    """What stands in the address by which ORCID sends a person back; each parameter comes once, or is empty."""

    state: str = ""
    code: str = ""
    error: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing came: ORCID writes some errors where no server can read them, behind a `#`."""
        return not (self.state or self.code or self.error)


@dataclass(frozen=True, slots=True)
class _Asked:
    """An attempt as a request of its person names it."""

    id: str
    organisation: str
    person_key: str


TransfersOf = Callable[[str], Sequence[str]]
"""The names of the transfers to which an organisation, given by its entityID, has each change sent."""


def no_transfers(_entity_id: str) -> Sequence[str]:
    """Send nothing anywhere."""
    return ()


@dataclass(frozen=True, slots=True)
class LinkingService:
    """Links persons to ORCID iDs."""

    store: Store
    orcid: OrcidClient
    transfers_of: TransfersOf = no_transfers
    cleanup: AttemptCleanup = field(default_factory=AttemptCleanup)

    def start(self, person: Person, browser: Browser, language: str, now: datetime) -> str:
        """Start an attempt and give the address at ORCID to send the person to."""
        state = secrets.token_urlsafe(32)
        attempt = Attempt(
            id=secrets.token_urlsafe(16),
            organisation=person.organisation.entity_id,
            person_key=person.key,
            account=person.account,
            browser=browser.hash,
            started_at=now,
            expires_at=now + LIFETIME,
        )
        self.cleanup.run(self.store.attempts, now)
        self.store.attempts.add(attempt, _hash(state))
        return self.orcid.authorize_url(state, language, _secret(browser, state))

    def handle_callback(self, person: Person, browser: Browser, answer: CallbackParams, now: datetime) -> Attempt:
        """Take ORCID's answer to an attempt, and keep the iD for the person to confirm. Nothing is linked yet.

        The state is checked before error or code are looked at.  How the attempt ended, if it did, stands in
        its `outcome`.  Raises NothingCameBack, NoSuchAttempt, AttemptExpired, AttemptUsed, SomeoneElsesAttempt and
        AnotherBrowsersAttempt; what is wrong with the answer itself is an outcome.  Raises OrcidBusy before the state
        is taken, so that the same address works again.
        """
        if answer.empty:
            raise NothingCameBack
        with self.orcid.place() if answer.code else nullcontext():
            return self._answered(person, browser, answer, now)

    def _answered(self, person: Person, browser: Browser, answer: CallbackParams, now: datetime) -> Attempt:
        state = answer.state
        attempt = self._taken(_hash(state), person, browser, now)
        if answer.error == "access_denied":
            return self._closed(attempt, "declined", now)
        try:
            found = self.orcid.exchange(_code(answer), _secret(browser, state))
        except (OrcidRefused, OrcidUnavailable, OrcidMisconfigured, NothingCameBack) as error:
            return self._closed(attempt, OUTCOMES[type(error)], now, reason=str(error))
        return self._found(attempt, person, found.orcid_id, found.name, now)

    def confirm(  # noqa: PLR0913, PLR0917 - who, where, what, and to what they agreed
        self,
        person: Person,
        browser: Browser,
        attempt_id: str,
        consent: Consent,
        replacing: OrcidId | None,
        now: datetime,
    ) -> Change | None:
        """Link, as the person was shown and agreed to; None where the same iD was linked already.

        `replacing` is the iD which the page showed as the one to be replaced.
        Raises as `open_attempt`, and LinkChanged and HeldBySomeoneElse.
        """
        attempt = _Asked(attempt_id, person.organisation.entity_id, person.key)
        transfers = self.transfers_of(attempt.organisation)
        link_id = secrets.token_urlsafe(16)

        def must_be_theirs(stored: Attempt | None) -> None:
            self._own(stored, person, browser, now)

        try:
            return self.store.links.add(
                attempt, person.issued, consent, replacing, now, link_id, transfers, must_be=must_be_theirs
            )
        except HeldBySomeoneElse:
            self._close(attempt, "held-by-someone-else", now)
            raise
        except NotAuthenticated:
            raise NothingCameBack from None

    def open_attempt(self, person: Person, browser: Browser, attempt_id: str, now: datetime) -> Attempt:
        """Give an attempt that the person may still confirm.

        Raises as `handle_callback`, AttemptClosed where it is over, and NothingCameBack where ORCID has not answered.
        """
        attempt = self._own(self.store.attempts.get(attempt_id), person, browser, now)
        if attempt.closed_at is not None:
            raise AttemptClosed(attempt)
        if attempt.orcid_id is None:
            raise NothingCameBack
        return attempt

    def cancel(self, person: Person, browser: Browser, attempt_id: str, now: datetime) -> None:
        """End an attempt without a link, because the person said so. Raises as `open_attempt`."""
        self._close(self.open_attempt(person, browser, attempt_id, now), "cancelled", now)

    def attempt(self, person: Person, browser: Browser, attempt_id: str) -> Attempt:
        """Give an attempt of the person, however long ago it began.

        Raises NoSuchAttempt, SomeoneElsesAttempt and AnotherBrowsersAttempt.
        """
        return _must_be_of(self.store.attempts.get(attempt_id), person, browser)

    def link_of(self, person: Person) -> Link | None:
        """Give the link the person has now."""
        return self.store.links.get(person.organisation.entity_id, person.key)

    def current_status(self, person: Person, now: datetime) -> PersonStatus:
        """Tell how things stand with a person, once what the account's earlier holder linked and began has ended."""
        person_status = self._standing(person)
        link = person_status.link
        if link is None or not (link.issued and person.issued) or link.issued == person.issued:
            return person_status
        # The account was given to somebody else: what was linked to it is not theirs, nor to be released as theirs
        whose, transfers = (link.organisation, link.person_key), self.transfers_of(link.organisation)
        for attempt in self.store.attempts.list_for_person(*whose):
            self.store.attempts.close(attempt.id, "cancelled", now)
        self.store.links.remove(*whose, "service", "account reassigned", now, link.orcid_id, transfers)
        return self._standing(person)

    def remove(self, person: Person, shown: OrcidId, now: datetime) -> Change | None:
        """End the person's link to the iD which the page showed; None where it was gone already.

        Raises LinkChanged where the link is to another iD by now.
        """
        entity_id, reason = person.organisation.entity_id, "removed by the person"
        transfers = self.transfers_of(entity_id)
        return self.store.links.remove(entity_id, person.key, "person", reason, now, shown, transfers)

    def _standing(self, person: Person) -> PersonStatus:
        whose = person.organisation.entity_id, person.key
        status = self.store.links.person_status(*whose, deliveries=bool(self.transfers_of(whose[0])))
        if status.link is None and status.newest is ChangeKind.REMOVED and self._is_of_earlier_holder(*whose):
            return PersonStatus(None)
        return status

    def _is_of_earlier_holder(self, entity_id: str, person_key: str) -> bool:
        """Tell whether the account's newest change is one of a person who had the account before."""
        passed_on = self.store.links.passed_on_at(entity_id, person_key)
        newest = self.store.changes.newest_for_person(entity_id, person_key)
        return passed_on is not None and newest is not None and newest.at <= passed_on

    def _taken(self, state_hash: str, person: Person, browser: Browser, now: datetime) -> Attempt:
        """Check the state and take it, in one; only then is it asked why it was not to be had."""
        taken = self.store.attempts.consume_state(
            state_hash, person.organisation.entity_id, person.key, browser.hash, now
        )
        if taken is None:
            raise AttemptUsed(self._own(self.store.attempts.get_by_state(state_hash), person, browser, now))
        return taken

    def _found(self, attempt: Attempt, person: Person, orcid_id: OrcidId, name: str, now: datetime) -> Attempt:
        if self.store.attempts.save_orcid_answer(attempt.id, orcid_id, name, if_free=True):
            return attempt
        holder = self.store.links.get_by_orcid_id(attempt.organisation, orcid_id)
        if holder is None:
            # Nobody has it any more, or the attempt has ended meanwhile: then nothing is kept, and its page says so
            self.store.attempts.save_orcid_answer(attempt.id, orcid_id, name)
            return self.store.attempts.get(attempt.id) or attempt
        return self._closed(attempt, "unchanged" if holder.person_key == person.key else "held-by-someone-else", now)

    def _closed(self, attempt: Attempt, outcome: str, now: datetime, reason: str = "") -> Attempt:
        self._close(attempt, outcome, now, reason)
        return self.store.attempts.get(attempt.id) or attempt

    def _close(self, attempt: Attempt | _Asked, outcome: str, now: datetime, reason: str = "") -> None:
        if self.store.attempts.close(attempt.id, outcome, now) and outcome in AUDITED:
            facts = {"attempt": attempt.id} | ({"reason": reason} if reason else {})
            self.store.audit.add(attempt.organisation, outcome, "person", attempt.person_key, facts, now)

    def _own(self, attempt: Attempt | None, person: Person, browser: Browser, now: datetime) -> Attempt:
        attempt = _must_be_of(attempt, person, browser)
        if now >= attempt.expires_at:
            raise AttemptExpired
        return attempt


OUTCOMES: dict[type[Exception], str] = {
    OrcidRefused: "orcid-refused",
    OrcidUnavailable: "orcid-unavailable",
    OrcidMisconfigured: "orcid-misconfigured",
    NothingCameBack: "nothing-came-back",
}
"""How an attempt ends when ORCID's answer is wrong: the log words of `problems.PROBLEMS`."""

AUDITED = frozenset({"declined", "held-by-someone-else", "orcid-refused", "orcid-unavailable", "orcid-misconfigured"})
"""Which ends without a link are worth a line of the audit."""


def consent_to(text: str, language: str, now: datetime) -> Consent:
    """Make the record of a consent; the version is a digest of the text, so that it cannot be out of step with it."""
    return Consent(hashlib.sha256(text.encode()).hexdigest()[:16], language, text, now)


def _must_be_of(attempt: Attempt | None, person: Person, browser: Browser) -> Attempt:
    if attempt is None:
        raise NoSuchAttempt
    if (attempt.organisation, attempt.person_key) != (person.organisation.entity_id, person.key):
        raise SomeoneElsesAttempt
    if attempt.browser != browser.hash:
        raise AnotherBrowsersAttempt
    return attempt


def _code(answer: CallbackParams) -> str:
    if answer.error:
        raise OrcidRefused("error")
    if not answer.code:
        raise NothingCameBack
    return answer.code


def _hash(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def _secret(browser: Browser, state: str) -> str:
    return browser.derive("orcid", state)
