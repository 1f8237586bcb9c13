"""Who may see the operator's pages, and of which organisations.

Everything is tied to a named Identity Provider: a key means something at one organisation only, and an entitlement is
whatever an Identity Provider says it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shibboleth.attributes import fold
from shibboleth.organisation import Organisation, Organisations
from shibboleth.person import Person
from webapp.config.values import account_and_issued
from webapp.pages.problems import NotFound


class NotPermitted(NotFound):
    """Somebody asked for what only an operator, or another organisation's administrator, may see.

    It looks like a page that is not there; the log tells the two apart.
    """


@dataclass(frozen=True, slots=True)
class AdminGrant:
    """Some people of one organisation: by their keys, or by what their Identity Provider says they may do."""

    entity_id: str
    people: frozenset[tuple[str, str]] = frozenset()
    """Keys, in the form in which two spellings of one are equal, and when the account was issued, where that counts."""
    entitlements: frozenset[str] = frozenset()

    @classmethod
    def of(cls, entity_id: str, people: tuple[str, ...] = (), entitlements: tuple[str, ...] = ()) -> AdminGrant:
        """Take keys as they are written, each with a date or without."""
        accounts = (account_and_issued(each) for each in people)
        return cls(entity_id, frozenset((fold(key), issued) for key, issued in accounts), frozenset(entitlements))

    def names(self, person: Person) -> bool:
        """Tell whether the person is one of them."""
        at_home = person.organisation.entity_id == self.entity_id
        by_key = not self.people.isdisjoint({(person.key, ""), (person.key, person.issued)})
        return at_home and (by_key or not self.entitlements.isdisjoint(person.entitlements))


@dataclass(frozen=True, slots=True)
class Permissions:
    """What one person may see."""

    organisations: tuple[Organisation, ...]
    """By their short names."""
    operator: bool
    """Whether that is everything, also what belongs to no organisation."""

    @property
    def actor(self) -> str:
        """As what the audit knows them."""
        return "operator" if self.operator else "organisation"

    def in_order(self, code: str) -> list[Organisation]:
        """Give the organisations by what they are called in a language."""
        return sorted(self.organisations, key=lambda one: one.name(code).casefold())

    def of(self, name: str) -> Organisation:
        """Give the organisation of this short name. Raises NotPermitted, also where there is none."""
        for one in self.organisations:
            if one.id == name:
                return one
        raise NotPermitted


@dataclass(frozen=True, slots=True)
class AdminAccess:
    """The people and machines that the operator's pages are for."""

    operators: tuple[AdminGrant, ...] = ()
    administrators: tuple[AdminGrant, ...] = ()
    """Each for the people of one organisation who may see the pages of that organisation."""
    metrics_token: str = field(default="", repr=False)
    """The bearer token of whoever reads the metrics; empty where nobody does."""

    def permissions(self, person: Person, organisations: Organisations) -> Permissions:
        """Tell what a person may see. Raises NotPermitted where that is nothing."""
        if any(each.names(person) for each in self.operators):
            return Permissions(tuple(sorted(organisations, key=lambda one: one.id)), operator=True)
        if any(each.names(person) for each in self.administrators):
            return Permissions((person.organisation,), operator=False)
        raise NotPermitted
