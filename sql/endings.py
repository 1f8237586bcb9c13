"""Ends links and attempts, and lets their ORCID tokens be revoked.

The tokens become due in the same transaction.
No other module ends, closes or deletes a link or an attempt, so that none of ORCID's tokens outlives what it is for.
Every function writes in the transaction of its caller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sql import rows
from sql.counts import STARTED, Counts, add_counts
from sql.engines.base import Row, Transaction


def end_link(session: Transaction, link_id: str, actor: str, now: datetime) -> None:
    """Mark a link as ended.

    Args:
        session: The transaction.
        link_id: The link, which is current.
        actor: Who ended it.
        now: The time.
    """
    at = rows.format_timestamp(now)
    session.execute("end_link", id=link_id, now=at, actor=actor)
    session.execute("revoke_tokens", **_tokens(at, link=link_id))


def revoke_tokens(session: Transaction, link_id: str, now: datetime) -> None:
    """Make the tokens of a link due to be revoked, while the link goes on."""
    session.execute("revoke_tokens", **_tokens(rows.format_timestamp(now), link=link_id))


def end_links(session: Transaction, link_ids: Iterable[str], actor: str, now: datetime) -> None:
    """Mark links as ended, as `end_link` does."""
    at, ids = rows.format_timestamp(now), tuple(link_ids)
    session.execute_many("end_link", [{"id": each, "now": at, "actor": actor} for each in ids])
    session.execute_many("revoke_tokens", [_tokens(at, link=each) for each in ids])


def close_attempt(session: Transaction, attempt_id: str, outcome: str, now: datetime) -> bool:
    """Close an attempt that has led to no link.

    Returns:
        False, changing nothing, when it was closed before.
    """
    at = rows.format_timestamp(now)
    if session.execute("close_attempt", id=attempt_id, outcome=outcome, now=at) != 1:
        return False
    session.execute("revoke_tokens", **_tokens(at, attempt=attempt_id))
    return True


def close_attempt_for_link(  # noqa: PLR0913 - an attempt and its link
    session: Transaction, attempt_id: str, outcome: str, link_id: str, now: datetime, *, is_new: bool = False
) -> bool:
    """Close an attempt whose tokens belong to a link from now on.

    Older pairs of the same client become due to be revoked if the new one permits all that they do.

    Args:
        session: The transaction.
        attempt_id: The attempt.
        outcome: Its outcome.
        link_id: The link. If it has ended meanwhile, the tokens are due to be revoked.
        now: The time.
        is_new: Whether the link has no tokens yet.

    Returns:
        False, changing nothing, when it was closed before.
    """
    at = rows.format_timestamp(now)
    # Inside a pipeline there is no count; then the caller has locked the attempt, which is open
    if session.execute("close_attempt", id=attempt_id, outcome=outcome, now=at) == 0:
        return False
    session.execute("assign_tokens_to_link", attempt=attempt_id, link=link_id)
    # What is left is for a link that has just ended
    session.execute("revoke_tokens", **_tokens(at, attempt=attempt_id))
    if not is_new:
        found = session.fetch_all("list_tokens_of_link", link=link_id)
        for number, older in enumerate(found):
            if any(_covers(newer, older) for newer in found[:number]):
                session.execute("revoke_tokens", **_tokens(at, token=older["id"]))
    return True


def _covers(newer: Row, older: Row) -> bool:
    # Every permission authenticates, whether it says so or not
    same_client = newer["client_id"] == older["client_id"] and newer["withdrawn_at"] is None
    return same_client and set(older["scope"].split()) - {"/authenticate"} <= set(newer["scope"].split())


def cancel_attempts(session: Transaction, organisation_id: str, now: datetime) -> None:
    """Close all open attempts of an organisation as `cancelled`."""
    at = rows.format_timestamp(now)
    session.execute("cancel_attempts_of_organisation", organisation=organisation_id, now=at)
    session.execute("revoke_tokens_of_open_attempts", organisation=organisation_id, now=at)


def delete_attempts(session: Transaction, attempts: Iterable[Row], now: datetime) -> int:
    """Delete attempts and add them to the counts; return their number.

    Rows are locked in the order of the ids, so that concurrent transactions cannot deadlock.
    """
    ids = [{"id": each} for each in sorted(row["id"] for row in attempts)]
    deleted = [row for found in session.fetch_batch("delete_attempt", ids) for row in found]
    at = rows.format_timestamp(now)
    session.execute_many("revoke_tokens", [_tokens(at, attempt=each["id"]) for each in ids])
    counts: Counts = Counter()
    for row in deleted:
        counts[row["organisation"], row["started_at"][:10], *STARTED] += 1
        if row["closed_at"] is not None:
            counts[row["organisation"], row["closed_at"][:10], "attempt", row["outcome"]] += 1
    add_counts(session, counts)
    return len(deleted)


def delete_links_of_person(session: Transaction, person: Mapping[str, str], now: datetime) -> None:
    """Delete a person's current and former links."""
    session.execute("revoke_tokens_of_person", **person, now=rows.format_timestamp(now))
    session.execute("delete_links_of_person", **person)


def move_tokens(
    session: Transaction, from_link_id: str, to_link_id: str, organisation_id: str, client_ids: Sequence[str]
) -> None:
    """Let tokens of a link that ends belong to another link of the same person.

    Args:
        session: The transaction.
        from_link_id: The link that ends next.
        to_link_id: The other link.
        organisation_id: The organisation of the other link.
        client_ids: The ORCID clients that this organisation uses; tokens of others are revoked with the first link.
    """
    for client_id in client_ids:
        session.execute(
            "move_tokens_to_link",
            from_link=from_link_id,
            link=to_link_id,
            organisation=organisation_id,
            client_id=client_id,
        )


def _tokens(
    now: str, *, token: str | None = None, link: str | None = None, attempt: str | None = None
) -> dict[str, str | None]:
    return {"now": now, "id": token, "link": link, "attempt": attempt}
