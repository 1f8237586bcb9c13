"""Started linkings, until they are deleted some time after they expired."""

from __future__ import annotations

from datetime import datetime, timedelta

from shibboleth.orcid_id import OrcidId
from sql import rows
from sql.organisation_transaction import Repository
from sql.records import Attempt
from sql.repositories.links import ALL
from sql.repositories.statistics import SWEPT, count_attempts

KEEP_EXPIRED = timedelta(days=1)
"""How long an attempt can be looked at after it expired."""


class AttemptRepository(Repository):
    """Started linkings, until they are deleted some time after they expired."""

    def add(self, attempt: Attempt, state_hash: str) -> None:
        """Keep a started attempt."""
        self.engine.execute("add_attempt", **rows.attempt_values(attempt), state_hash=state_hash)

    def get_by_state(self, state_hash: str) -> Attempt | None:
        """Give the attempt whose state has this hash."""
        row = self.engine.fetch_one("attempt_by_state", state_hash=state_hash)
        return None if row is None else rows.attempt_of(row)

    def get(self, attempt_id: str) -> Attempt | None:
        """Give the attempt of this id."""
        row = self.engine.fetch_one("attempt_by_id", id=attempt_id)
        return None if row is None else rows.attempt_of(row)

    def list_for_person(self, entity_id: str, person_key: str, limit: int = ALL) -> list[Attempt]:
        """Give a person's attempts, as long as they are not swept out."""
        found = self.engine.fetch_all("attempts_of_person", organisation=entity_id, person_key=person_key, limit=limit)
        return [rows.attempt_of(row) for row in found]

    def consume_state(
        self, state_hash: str, entity_id: str, person_key: str, browser: str, now: datetime
    ) -> Attempt | None:
        """Take the attempt of a state, for its own person in its own browser and in time.

        It can be consumed once. A caller that gets None may ask `get_by_state` why.
        """
        whose = {"organisation": entity_id, "person_key": person_key, "browser": browser}
        row = self.engine.fetch_one("take_attempt", state_hash=state_hash, **whose, now=rows.timestamp(now))
        return None if row is None else rows.attempt_of(row)

    def save_orcid_answer(self, attempt_id: str, orcid_id: OrcidId, orcid_name: str, *, if_free: bool = False) -> bool:
        """Keep what ORCID answered until the attempt is closed; false when it has been already.

        With `if_free` also false, and nothing kept, where somebody in the person's organisation has the iD.
        """
        query = "keep_answer_if_free" if if_free else "keep_answer"
        answer = {**rows.orcid_values(orcid_id), "orcid_name": rows.printable(orcid_name)}
        return self.engine.execute(query, id=attempt_id, **answer) == 1

    def close(self, attempt_id: str, outcome: str, now: datetime) -> bool:
        """End an attempt and forget what ORCID answered; false when it had ended before, and its outcome stays."""
        return self.engine.execute("close_attempt", id=attempt_id, outcome=outcome, now=rows.timestamp(now)) == 1

    def delete_expired(self, before: datetime) -> None:
        """Delete the attempts that expired before a moment, and count them."""
        while not self.delete_some_expired(before):
            pass

    def delete_some_expired(self, before: datetime) -> bool:
        """Do so for some of them, and tell whether there are no more."""
        with self.engine.transaction(exclusive=True) as session:
            gone = session.fetch_all("sweep_attempts", before=rows.timestamp(before), limit=SWEPT)
            count_attempts(session, gone)
            return len(gone) < SWEPT
