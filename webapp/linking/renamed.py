"""Finds the link of a person whose account was renamed."""

from __future__ import annotations

from datetime import datetime

from shibboleth.account_holder import different_stable_ids
from shibboleth.account_time import issued_after
from shibboleth.person import Person
from sql.records import Link
from sql.store import Store
from webapp.log import log


def link_of_earlier_account(store: Store, person: Person, now: datetime) -> Link | None:
    """Return the link of an account that the person had before.

    The caller has checked that the person has no link. The evidence is one of:

    * the stable id, if exactly one current link of the organisation has it;
    * an earlier eppn (eduPersonPrincipalNamePrior), if its link has no stable id and its account was not used after the
      person's account was issued: otherwise it may have another holder by now.

    There must have been no sign-in with the earlier account today, and no stable id may prove that it is another
    person's. What only looks like a renamed account is logged as `account-rename-conflict`.

    Returns:
        None if there is no such link, or the evidence is contradictory.
    """
    organisation_id = person.organisation.id
    found = {each.id: each for each in store.links.list_by_stable_id(organisation_id, person.stable_id)}
    for key in sorted(person.prior_keys - {person.key}):
        link = store.links.get(organisation_id, key)
        if link is not None:
            found[link.id] = link
    if not found:
        return None
    (link, *others) = found.values()
    if others:
        reason = "several links"
    elif different_stable_ids(link.stable_id, person.stable_id):
        reason = "another stable id"
    elif (link.stable_id != person.stable_id or not person.stable_id) and not _is_later_account(person, link):
        reason = "the earlier account may have another holder"
    elif link.last_seen_on is not None and link.last_seen_on >= now.date():
        reason = "the earlier account was used today"
    else:
        return link
    log.warning("account-rename-conflict", organisation=organisation_id, reason=reason)
    return None


def _is_later_account(person: Person, link: Link) -> bool:
    last_used = link.last_seen_on or link.linked_at.date()
    return not link.stable_id and issued_after(person.account_issued_at, last_used)
