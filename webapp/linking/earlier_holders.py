"""Decides whether stored data belongs to an earlier holder of an account."""

from __future__ import annotations

from datetime import datetime

from shibboleth.account_holder import KnownHolder, different_holders, same_holder
from shibboleth.orcid_id import OrcidId
from shibboleth.person import Person
from sql.records import Event, Link
from sql.store import Store


def current_holder_since(store: Store, person: Person) -> datetime | None:
    """Return since when stored data belongs to the account's current holder.

    Returns:
        None if no other holder is known.
    """
    whose = person.organisation.id, person.key
    ends = [store.links.reassigned_at(*whose)]
    ends += [each.ended_at for each in store.links.list_for_person(*whose) if different_holders(each, person)]
    return max((each for each in ends if each is not None), default=None)


def own_released_ids(store: Store, person: Person, link: Link | None) -> frozenset[OrcidId]:
    """Return the iDs that the sign-in released, except an earlier holder's.

    An Identity Provider that passes no stable id releases the iD of an earlier holder until their link has ended.
    """
    released = person.released
    if not released - ({link.orcid_id} if link else set()):
        return released
    stored = store.links.list_for_person(person.organisation.id, person.key)
    kept = {each.orcid_id for each in stored if not different_holders(each, person)}
    return released - ({each.orcid_id for each in stored} - kept)


def is_of_other_holder(event: Event, person: Person) -> bool:
    """Return whether an event says that another person held the account."""
    return different_holders(_holder_of(event), person)


def is_own_move(event: Event, person: Person) -> bool:
    """Return whether an event says that this person's own link moved away.

    The account may have had another holder since. If the event does not show that the person is the same, it is not
    theirs.
    """
    return event.kind == "moved-away" and same_holder(_holder_of(event), person)


def _holder_of(event: Event) -> KnownHolder:
    return KnownHolder(event.facts.get("account_issued_at", ""), event.facts.get("stable_id", ""))
