"""Comparison of the people to whom an account was given, one after another.

An organisation may give an account to another person. The holders of one account are told apart by their stable id and
by the time at which the account was issued.

A stable id is `subject-id` or `eduPersonUniqueId`, which an organisation never gives to another person. It is kept with
the name of its attribute, as in `subject-id:abc123@yliopisto.example`, because ids of two attributes prove nothing
about each other.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol, runtime_checkable

from shibboleth.account_time import different_issue_times, issued_after, same_issue_time
from shibboleth.organisation import Organisation

_FORMS = {
    # SAML V2.0 Subject Identifier Attributes Profile 1.0, section 3.3.1
    "subject-id": re.compile(r"[A-Za-z0-9][A-Za-z0-9=-]{0,126}@[A-Za-z0-9][A-Za-z0-9.-]{0,126}", re.ASCII),
    # eduPerson 202208, section 2.2.10
    "eduPersonUniqueId": re.compile(r"[A-Za-z0-9]{1,64}@[A-Za-z0-9.-]{1,256}", re.ASCII),
}
STABLE_IDS = tuple(_FORMS)
"""The attributes that an organisation may choose for its stable ids."""


class AccountHolder(Protocol):
    """What is known about the holder of an account: stable id and time of issue.

    `Person`, `Link` and `Attempt` have these attributes too.
    """

    @property
    def stable_id(self) -> str:
        """The stable id with the name of its attribute; empty where none is known."""

    @property
    def account_issued_at(self) -> str:
        """When the account was issued, as released; empty where it is not known."""


@runtime_checkable
class AttestedHolder(AccountHolder, Protocol):
    """The holder of an account with an iD that the organisation may attest.

    `Link` has these attributes.
    """

    @property
    def held_on(self) -> str:
        """The last day on which the person of an attested iD had the account.

        It is as 2026-01-15, and the last one that is known; empty where the iD is not attested.
        """


@dataclass(frozen=True, slots=True)
class KnownHolder:
    """The holder of an account, where it is no `Person`, `Link` or `Attempt`."""

    account_issued_at: str = ""
    stable_id: str = ""
    held_on: str = ""


UNKNOWN_HOLDER = KnownHolder()
"""A holder without any value, which differs from no other holder."""


def parse_stable_id(organisation: Organisation, values: Collection[str]) -> str:
    """Return the stable id of an organisation's person.

    Both attributes compare without case, so the result is in lower case.

    Returns:
        Empty where the organisation has none, where there is no value or several different ones, or where a value is
        not of the attribute's form or has a scope that is not the organisation's.
    """
    form = _FORMS.get(organisation.stable_id)
    if form is None or not all(map(form.fullmatch, values)) or len({value.lower() for value in values}) != 1:
        return ""
    value = next(iter(values)).lower()
    return f"{organisation.stable_id}:{value}" if organisation.has_scope(value.rpartition("@")[2]) else ""


def different_stable_ids(one: str, other: str) -> bool:
    """Return whether two stable ids are of the same attribute and differ."""
    return bool(one and other) and one.partition(":")[0] == other.partition(":")[0] and one != other


def different_holders(one: AccountHolder, other: AccountHolder) -> bool:
    """Return whether two records of one account prove that it had two holders.

    They do if the stable ids or the times of issue differ, or if the account was issued to one of them after the other
    one had it. A value that is absent or unreadable proves nothing.
    """
    if different_stable_ids(one.stable_id, other.stable_id):
        return True
    # Every login passes here, mostly without times
    issued = one.account_issued_at, other.account_issued_at
    if all(issued):
        return different_issue_times(*issued)
    if one.stable_id and one.stable_id == other.stable_id:
        return False
    return _issued_later(one, other) or _issued_later(other, one)


def _issued_later(later: AccountHolder, earlier: AccountHolder) -> bool:
    if not (later.account_issued_at and isinstance(earlier, AttestedHolder) and earlier.held_on):
        return False
    # A day later, because the times may be of two time zones
    return issued_after(later.account_issued_at, date.fromisoformat(earlier.held_on) + timedelta(days=1))


def same_holder(one: AccountHolder, other: AccountHolder) -> bool:
    """Return whether two records of one account prove that it had one holder.

    They do if the stable ids or the times of issue are equal, and neither differs. A value that is absent proves
    nothing.
    """
    if different_holders(one, other):
        return False
    issued = one.account_issued_at, other.account_issued_at
    return bool(one.stable_id and one.stable_id == other.stable_id) or (all(issued) and same_issue_time(*issued))
