"""The tokens that ORCID gave, sealed, until they are revoked at ORCID.

* A pair is stored with its attempt. The transaction that makes the link gives it to the link, and the one that ends
  either makes it due to be revoked (`sql/endings.py`). `make_due` finds what neither needs, whatever
  happened.
* A worker leases a due pair before it revokes it. ORCID takes the revocation of a revoked token as a success, so that
  one can be sent twice.

This package opens no seal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal

from sql import rows
from sql.counts import Counts, add_counts
from sql.endings import revoke_tokens
from sql.engines.base import Row
from sql.records import Link, OrcidToken, OrcidTokenCount
from sql.repositories.base import NO_LIMIT, PAGE_SIZE, Repository
from sql.repositories.orcid.affiliations import queue_delivery, withdraw_permission

EXPIRY_MARGIN = timedelta(minutes=5)
"""How long after its end an attempt counts as expired: the clocks of two machines may differ."""
HELD_FOR = timedelta(days=7)
"""How long after it is due a pair is kept to end an item on an ORCID record: longer than a delivery is tried."""
RevocationCount = Literal["revoked", "failed", "lost"]
"""What is counted: pairs that were revoked, tries that failed, and pairs that were neither stored nor revoked."""


class OrcidTokenRepository(Repository):
    """Pairs of tokens that ORCID gave, and their revocation."""

    def add(self, token: OrcidToken, attempt_id: str, now: datetime) -> None:
        """Store a pair that ORCID gave in an attempt.

        It is due to be revoked at once if the attempt is closed or deleted by now.
        """
        with self.engine.transaction() as session:
            # Its lock keeps the attempt from being closed before the pair is there
            attempt = session.fetch_one("lock_attempt", id=attempt_id)
            closed = attempt is None or attempt["closed_at"] is not None
            stored = replace(token, attempt=attempt_id, revocation_due_at=now if closed else None)
            session.execute("insert_orcid_token", **rows.orcid_token_values(stored))

    def list_for_person(self, organisation_id: str, person_key: str, limit: int = NO_LIMIT) -> list[OrcidToken]:
        """Return the pairs of a person's links and attempts, newest first.

        Revoked ones are among them.
        """
        found = self.engine.fetch_all(
            "list_tokens_of_person", organisation=organisation_id, person_key=person_key, limit=limit
        )
        return [
            rows.orcid_token_from_row(row, rows.optional_orcid_id(row["registry"], row["orcid"]), person_key)
            for row in found
        ]

    def list_for_link(self, link_id: str) -> list[OrcidToken]:
        """Return the pairs of a link that are not due to be revoked, newest first."""
        return [rows.orcid_token_from_row(row) for row in self.engine.fetch_all("list_tokens_of_link", link=link_id)]

    def list_for_attempt(self, attempt_id: str) -> list[OrcidToken]:
        """Return the pairs that ORCID gave in an attempt that is not confirmed yet."""
        found = self.engine.fetch_all("list_tokens_of_attempt", attempt=attempt_id)
        return [rows.orcid_token_from_row(row) for row in found]

    def revoke_for_link(self, link: Link, now: datetime, affiliation_transfer: str | None = None) -> bool:
        """Make all pairs of a link due to be revoked, for its person.

        The link goes on. The event `permissions-removed` is written in the same transaction.

        Args:
            link: The link.
            now: The time.
            affiliation_transfer: The name of the transfer that writes to ORCID records: the permission for it is
                deleted too, and what was written is ended. None if there is no such transfer.

        Returns:
            False if there are none.
        """
        with self.organisation_transaction(link.organisation, now) as transaction:
            if affiliation_transfer is not None:
                withdraw_permission(transaction, link, affiliation_transfer, "person")
            if not transaction.session.fetch_all("list_tokens_of_link", link=link.id):
                return False
            revoke_tokens(transaction.session, link.id, now)
            facts = {"orcid": link.orcid_id.uri, "account": link.account, "link": link.id}
            transaction.insert_event("permissions-removed", "person", link.person_key, facts)
        return True

    def record_withdrawn(self, token_id: str, now: datetime, credential: str | None = None) -> OrcidToken | None:
        """Store that ORCID no longer accepts the permission of a pair.

        Who takes it back there ends all pairs of the client, so the link's earlier ones are marked too; a later one may
        have been permitted after that. The link goes on. The event `permission-withdrawn` is written for its person,
        once.

        Args:
            token_id: The pair.
            now: The time.
            credential: That of the organisation's system which reported it; None if the service noticed it itself.

        Returns:
            None if that was known, the pair is revoked, or its link has ended: then the person is not told.
        """
        row = self.engine.fetch_one("get_token_of_link", id=token_id)
        if row is None or row["withdrawn_at"] is not None:
            return None
        with self.organisation_transaction(row["organisation"], now) as transaction:
            found = transaction.session.fetch_all(
                "withdraw_tokens_of_client",
                link=row["link"],
                client_id=row["client_id"],
                obtained_at=row["obtained_at"],
                now=rows.format_timestamp(now),
            )
            if not found or row["ended_at"] is not None:
                return None
            orcid_id = rows.orcid_id_from_row(row)
            scope = " ".join(sorted({each for taken in found for each in taken["scope"].split()}))
            facts = {"orcid": orcid_id.uri, "account": row["account"], "link": row["link"], "scope": scope}
            facts |= {} if credential is None else {"credential": credential}
            actor = "service" if credential is None else "organisation"
            transaction.insert_event("permission-withdrawn", actor, row["person_key"], facts)
        return replace(rows.orcid_token_from_row(row, orcid_id, row["person_key"]), withdrawn_at=now)

    def make_due(
        self, now: datetime, former_clients: Collection[str] = (), transfers: Mapping[str, str] = MappingProxyType({})
    ) -> int:
        """Make the pairs due to be revoked that no attempt and no link needs.

        `sql/endings.py` has done so where the program ended them; attempts that nobody ends expire.

        Args:
            now: The time.
            former_clients: The ids of ORCID clients that are used no more: all their pairs become due, and what they
                wrote to ORCID records is ended first.
            transfers: The name of the transfer that does so, by the organisation's id.

        Returns:
            Their number.
        """
        expired_before, made = rows.format_timestamp(now - EXPIRY_MARGIN), 0
        while found := self.engine.fetch_all("list_unneeded_tokens", expired_before=expired_before, limit=PAGE_SIZE):
            at = rows.format_timestamp(now)
            keys = ({name: row[name] for name in ("id", "attempt", "link")} for row in found)
            changed = sum(self.engine.execute("revoke_unneeded_token", **key, now=at) for key in keys)
            if not changed:
                break
            made += changed
        return made + sum(self._make_due_of_client(each, now, transfers) for each in former_clients)

    def _make_due_of_client(self, client_id: str, now: datetime, transfers: Mapping[str, str]) -> int:
        after = ""
        # First, so that nothing is left if this is interrupted
        while found := self.engine.fetch_all(
            "list_links_of_client_to_end", client_id=client_id, after=after, limit=PAGE_SIZE
        ):
            for row in found:
                if transfer := transfers.get(row["organisation"]):
                    with self.organisation_transaction(row["organisation"], now) as transaction:
                        is_current = row["ended_at"] is None
                        queue_delivery(transaction, rows.link_summary_from_row(row), transfer, is_current=is_current)
            after = found[-1]["id"]
        return self.engine.execute("revoke_tokens_of_client", client_id=client_id, now=rows.format_timestamp(now))

    def list_due_clients(self, now: datetime) -> list[str]:
        """Return the ids of the ORCID clients that have a pair to revoke now."""
        found = self.engine.fetch_all("list_clients_with_due_revocations", now=rows.format_timestamp(now))
        return [row["client_id"] for row in found]

    def claim(self, client_id: str, worker: str, now: datetime, lease: timedelta) -> OrcidToken | None:
        """Lease a client's pair that has been due for longest, until `now + lease`.

        One with which an item on an ORCID record has to be ended is left out for `HELD_FOR`.

        Args:
            client_id: The ORCID client.
            worker: A name of the calling thread, unique over all machines.
            now: The time.
            lease: The try must have ended by then.
        """
        at = rows.format_timestamp(now)
        held_since = rows.format_timestamp(now - HELD_FOR)
        # Without a lock: there may be many that are held
        found = self.engine.fetch_one("find_due_revocation", client_id=client_id, held_since=held_since, now=at)
        if found is None:
            return None
        row = self.engine.fetch_one(
            "claim_revocation",
            id=found["id"],
            worker=worker,
            now=at,
            lease_expires_at=rows.format_timestamp(now + lease),
        )
        return None if row is None else rows.orcid_token_from_row(row)

    def reschedule(self, token: OrcidToken, outcome: str, next_try_at: datetime, now: datetime) -> None:
        """Set when a revocation that failed is attempted next, and count the failure.

        Nothing is written when the lease has ended.
        """
        next_at = rows.format_timestamp(next_try_at)
        with self.engine.transaction() as session:
            values = {**_lease(token), "outcome": outcome, "next_try_at": next_at}
            if session.execute("reschedule_revocation", **values):
                add_counts(session, _counts(token.organisation, "failed", now))

    def complete(self, token: OrcidToken, now: datetime) -> None:
        """Delete a pair that ORCID has revoked; that there was one stays for a while."""
        with self.engine.transaction() as session:
            if session.execute("complete_revocation", id=token.id, now=rows.format_timestamp(now)):
                add_counts(session, _counts(token.organisation, "revoked", now))

    def count(self, organisation_id: str, what: RevocationCount, now: datetime) -> None:
        """Count a pair that is not stored."""
        with self.engine.transaction() as session:
            add_counts(session, _counts(organisation_id, what, now))

    def make_revocations_due(self, now: datetime) -> int:
        """Make all waiting revocations due now; return how many waited."""
        return self.engine.execute("make_revocations_due", now=rows.format_timestamp(now))

    def counts(self) -> list[OrcidTokenCount]:
        """Count the pairs that are not revoked."""
        return [
            OrcidTokenCount(
                row["organisation"],
                row["client_id"],
                bool(row["due"]),
                row["outcome"] or None,
                row["count"],
                rows.parse_timestamp(row["oldest"]),
            )
            for row in self.engine.fetch_all("count_tokens")
        ]

    def list_sealed(self, client_id: str | None = None) -> Iterator[tuple[str, str]]:
        """Yield id and sealed text of each pair, or of each of one client.

        They are read a page at a time.
        """
        for page in self._sealed_pages():
            yield from ((row["id"], row["sealed"]) for row in page if client_id in {None, row["client_id"]})

    def replace_sealed(self, change: Callable[[str, str], str | None]) -> int:
        """Replace sealed texts, each in a transaction of its own; return how many.

        Args:
            change: Returns the new text of an id and a text; None leaves the pair as it is.
        """
        replaced = 0
        for page in self._sealed_pages():
            changed: list[dict[str, str]] = [
                {"id": token_id, "before": sealed, "sealed": new}
                for token_id, sealed in ((row["id"], row["sealed"]) for row in page)
                if (new := change(token_id, sealed)) is not None
            ]
            # Each by itself: other transactions lock several pairs in another order
            replaced += sum(self.engine.execute("update_sealed_token", **each) for each in changed)
        return replaced

    def discard(self, tokens: Sequence[tuple[str, str]], now: datetime) -> int:
        """Delete pairs that cannot be revoked, and count them as lost.

        Args:
            tokens: Id and sealed text of each.
            now: The time.

        Returns:
            How many there were.
        """
        discarded = 0
        for token_id, sealed in tokens:
            with self.engine.transaction() as session:
                deleted = session.fetch_one("discard_token", id=token_id, before=sealed)
                if deleted is not None:
                    add_counts(session, _counts(deleted["organisation"], "lost", now))
                    discarded += 1
        return discarded

    def delete_revoked(self, before: datetime) -> None:
        """Delete what is left of pairs that were revoked before a time."""
        self.engine.execute("delete_revoked_tokens", before=rows.format_timestamp(before))

    def _sealed_pages(self) -> Iterator[list[Row]]:
        after = ""
        while page := self.engine.fetch_all("list_sealed_tokens", after=after, limit=PAGE_SIZE):
            yield page
            after = page[-1]["id"]


def _lease(token: OrcidToken) -> dict[str, str | None]:
    expires_at = rows.format_optional_timestamp(token.lease_expires_at)
    return {"id": token.id, "worker": token.leased_by, "lease_expires_at": expires_at}


def _counts(organisation_id: str, what: RevocationCount, now: datetime) -> Counts:
    return Counter({(organisation_id, rows.format_timestamp(now)[:10], "revocation", what): 1})
