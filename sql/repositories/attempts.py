"""Linking attempts."""

from __future__ import annotations

from datetime import datetime, timedelta

from shibboleth.orcid_id import OrcidId
from sql import rows
from sql.endings import close_attempt, close_attempt_for_link, delete_attempts
from sql.records import Attempt, Link
from sql.repositories.base import NO_LIMIT, Repository

DELETE_BATCH = 1000
"""Number of attempts that one transaction deletes."""

KEEP_EXPIRED = timedelta(days=1)
"""How long an attempt is kept after it expired."""


class AttemptRepository(Repository):
    """Linking attempts, open or closed.

    They are deleted a day after they expire (`KEEP_EXPIRED`), or when the person is erased.
    """

    def add(self, attempt: Attempt, state_hash: str, max_open: int = NO_LIMIT) -> bool:
        """Insert a started attempt.

        On PostgreSQL, concurrent calls may exceed the limit by their number.

        Args:
            attempt: The attempt.
            state_hash: The hash of its `state` parameter.
            max_open: The limit of the person's open attempts.

        Returns:
            False if the person has `max_open` open attempts.
        """
        added = self.engine.execute(
            "insert_attempt",
            id=attempt.id,
            state_hash=state_hash,
            organisation=attempt.organisation,
            person_key=attempt.person_key,
            account=attempt.account,
            account_issued_at=rows.storable(attempt.account_issued_at),
            stable_id=attempt.stable_id,
            browser_hash=attempt.browser_hash,
            started_at=rows.format_timestamp(attempt.started_at),
            expires_at=rows.format_timestamp(attempt.expires_at),
            consumed_at=rows.format_optional_timestamp(attempt.consumed_at),
            **rows.orcid_id_values(attempt.orcid_id),
            orcid_name=attempt.orcid_name,
            client_id=attempt.client_id,
            scope=attempt.scope,
            return_to=attempt.return_to,
            closed_at=rows.format_optional_timestamp(attempt.closed_at),
            outcome=attempt.outcome,
            max_open=max_open,
        )
        return added == 1

    def get(self, attempt_id: str) -> Attempt | None:
        """Return the attempt with this id."""
        row = self.engine.fetch_one("get_attempt", id=attempt_id)
        return None if row is None else rows.attempt_from_row(row)

    def get_by_state(self, state_hash: str) -> Attempt | None:
        """Return the attempt whose state has this hash."""
        row = self.engine.fetch_one("get_attempt_by_state", state_hash=state_hash)
        return None if row is None else rows.attempt_from_row(row)

    def count_open(self, now: datetime) -> dict[str, int]:
        """Count the attempts that are neither closed nor expired, by organisation."""
        found = self.engine.fetch_all("count_open_attempts", now=rows.format_timestamp(now))
        return {row["organisation"]: row["count"] for row in found}

    def list_for_person(self, organisation_id: str, person_key: str, limit: int = NO_LIMIT) -> list[Attempt]:
        """Return a person's attempts that are not deleted yet, newest first."""
        found = self.engine.fetch_all(
            "list_attempts_of_person", organisation=organisation_id, person_key=person_key, limit=limit
        )
        return [rows.attempt_from_row(row) for row in found]

    def consume_state(
        self, state_hash: str, organisation_id: str, person_key: str, browser_hash: str, now: datetime
    ) -> Attempt | None:
        """Use up a state and return its attempt.

        The state must belong to this person and browser, and must not have expired.

        Of several concurrent calls one succeeds. A caller that gets None can ask `get_by_state` for the reason.
        """
        row = self.engine.fetch_one(
            "consume_attempt",
            state_hash=state_hash,
            organisation=organisation_id,
            person_key=person_key,
            browser_hash=browser_hash,
            now=rows.format_timestamp(now),
        )
        return None if row is None else rows.attempt_from_row(row)

    def save_orcid_answer(self, attempt_id: str, orcid_id: OrcidId, orcid_name: str, *, if_free: bool = False) -> bool:
        """Save the iD and name that ORCID returned until the attempt is closed.

        Args:
            if_free: Save nothing if the iD has a current link in the person's organisation.

        Returns:
            Whether anything was saved; False when the attempt is closed.
        """
        query = "save_orcid_answer_if_free" if if_free else "save_orcid_answer"
        answer = {**rows.orcid_id_values(orcid_id), "orcid_name": rows.storable(orcid_name)}
        return self.engine.execute(query, id=attempt_id, **answer) == 1

    def save_claim(self, attempt_id: str, orcid_id: OrcidId, orcid_name: str, expires_at: datetime) -> bool:
        """Save ORCID's answer with an iD that is linked to another account.

        The holder of the iD may confirm the claim until `expires_at`.

        Returns:
            False when the attempt is closed.
        """
        answer = {**rows.orcid_id_values(orcid_id), "orcid_name": rows.storable(orcid_name)}
        expiry = rows.format_timestamp(expires_at)
        return self.engine.execute("save_claim", id=attempt_id, **answer, claim_expires_at=expiry) == 1

    def list_claims(self, organisation_id: str, orcid_id: OrcidId, now: datetime) -> list[Attempt]:
        """Return the open attempts that claim another account's iD, oldest first."""
        values = {**rows.orcid_id_values(orcid_id), "now": rows.format_timestamp(now)}
        found = self.engine.fetch_all("list_claims", organisation=organisation_id, **values)
        return [rows.attempt_from_row(row) for row in found]

    def close(self, attempt_id: str, outcome: str, now: datetime) -> bool:
        """Close an attempt and delete ORCID's answer.

        Returns:
            False, changing nothing, when it was closed before.
        """
        with self.engine.transaction() as session:
            return close_attempt(session, attempt_id, outcome, now)

    def close_for_link(self, attempt_id: str, outcome: str, link: Link, now: datetime) -> bool:
        """Close an attempt of a person who has the iD already.

        What ORCID gave in it belongs to the link from now on, unless that has ended meanwhile. The event `permitted` is
        written in the same transaction.

        Returns:
            False, changing nothing, when it was closed before.
        """
        with self.organisation_transaction(link.organisation, now) as transaction:
            # Its lock keeps a pair from being stored meanwhile
            transaction.session.fetch_one("lock_attempt", id=attempt_id)
            tokens = transaction.session.fetch_all("list_tokens_of_attempt", attempt=attempt_id)
            if not close_attempt_for_link(transaction.session, attempt_id, outcome, link.id, now):
                return False
            current = transaction.current_link(link.person_key)
            if current is not None and current.id == link.id:
                transaction.insert_permitted(current, tokens)
            return True

    def delete_expired(self, before: datetime) -> None:
        """Delete the attempts that expired before a time, and count them.

        They are added to the statistics in the same transaction.
        """
        while not self.delete_some_expired(before):
            pass

    def delete_some_expired(self, before: datetime) -> bool:
        """Delete one batch of such attempts; return whether none is left."""
        with self.engine.transaction(exclusive=True) as session:
            expired = session.fetch_all(
                "list_expired_attempts", before=rows.format_timestamp(before), limit=DELETE_BATCH
            )
            # Due since then; the sweep has made them due before
            delete_attempts(session, expired, before)
            return len(expired) < DELETE_BATCH
