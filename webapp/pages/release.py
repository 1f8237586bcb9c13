"""Compares the iD that the Identity Provider releases with the link.

The iD that was released at the sign-in is shown to the person, and recorded with the link if it is new. It never
changes what is linked.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shibboleth.orcid_id import OrcidId
from shibboleth.person import Person
from sql.errors import StoreUnavailable
from sql.records import Link, Release, ReleaseState
from sql.store import Store
from webapp.log import log

EXPECTED_AFTER = timedelta(days=1)
"""How long after the linking a sign-in should bring the iD. No session is so old, and no Identity Provider remembers an
answer for so long, so what a sign-in brings after that is what the organisation releases."""


class ReleaseCase(StrEnum):
    """What sign-ins have shown of the release."""

    SEEN = "seen"
    UNSEEN = "unseen"
    """It was not seen yet, and is not expected so soon."""
    MISSING = "missing"
    """It was expected and was not released."""
    OTHER = "other"
    """Another iD was released."""
    RELEASED_AFTER_REMOVAL = "released-after-removal"
    """The link was removed, and an iD was still released."""
    RELEASED_WITHOUT_LINK = "released-without-link"
    """There is no link, and the organisation released an iD from another source."""


@dataclass(frozen=True, slots=True)
class ReleaseNotice:
    """What a page shows about the release."""

    case: ReleaseCase
    others: tuple[OrcidId, ...] = ()
    """The released iDs that are not the linked one."""
    since: datetime | None = None
    """When the release was first seen."""
    overdue: bool = False
    """Whether the linked iD should have been released by now."""


def record_release(store: Store, person: Person, link: Link | None, now: datetime) -> Link | None:
    """Record what this sign-in shows of the release, and return the link.

    A database error is ignored; the next sign-in records it.
    """
    if link is None:
        if person.released:
            log("release-without-link", organisation=person.organisation.id)
        return None
    state = observed_state(link, person.released, now) if link.suspended_at is None else None
    if state is None or (link.release and link.release.state >= state):
        return link
    with suppress(StoreUnavailable):
        if store.releases.record(link, state, now):
            log(f"release-{state}", organisation=person.organisation.id)
        return replace(link, release=Release(state, now))
    return link


def observed_state(link: Link, released: frozenset[OrcidId], now: datetime) -> ReleaseState | None:
    """Return what a sign-in shows of the release; None if it is too early."""
    if link.orcid_id in released:
        return ReleaseState.SEEN
    if not _overdue(link, now):
        return None
    return ReleaseState.OTHER if released else ReleaseState.MISSING


def release_notice(
    link: Link | None, released: frozenset[OrcidId], now: datetime, *, removed: bool
) -> ReleaseNotice | None:
    """Return what to show about the release.

    Args:
        removed: Whether the person's newest change is a removal.
    """
    if link is None:
        return (
            ReleaseNotice(
                ReleaseCase.RELEASED_AFTER_REMOVAL if removed else ReleaseCase.RELEASED_WITHOUT_LINK, _sorted(released)
            )
            if released
            else None
        )
    others = _sorted(released - {link.orcid_id})
    seen_at = link.release.at if link.release and link.release.state is ReleaseState.SEEN else None
    overdue = _overdue(link, now)
    if link.orcid_id in released:
        return ReleaseNotice(ReleaseCase.SEEN, others, seen_at or now)
    if others:
        return ReleaseNotice(ReleaseCase.OTHER, others, overdue=overdue)
    if seen_at:
        return ReleaseNotice(ReleaseCase.SEEN, since=seen_at)
    return ReleaseNotice(ReleaseCase.MISSING if overdue else ReleaseCase.UNSEEN)


def _overdue(link: Link, now: datetime) -> bool:
    return now - link.linked_at >= EXPECTED_AFTER


def _sorted(found: frozenset[OrcidId]) -> tuple[OrcidId, ...]:
    return tuple(sorted(found, key=lambda each: each.uri))
