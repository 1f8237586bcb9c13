"""People whom the configuration names: staff, and participants of pilots."""

from __future__ import annotations

from dataclasses import dataclass

from shibboleth.account_time import same_issue_time
from shibboleth.attributes import fold
from shibboleth.person import Person
from webapp.config.validators import account_and_issued


@dataclass(frozen=True, slots=True)
class NamedPeople:
    """People of one organisation, named by key or by entitlement."""

    organisation_id: str
    people: frozenset[tuple[str, str]] = frozenset()
    """Folded keys, each with the date of issue of the account, or an empty text if any date is accepted."""
    entitlements: frozenset[str] = frozenset()

    @classmethod
    def parse(
        cls, organisation_id: str, people: tuple[str, ...] = (), entitlements: tuple[str, ...] = ()
    ) -> NamedPeople:
        """Parse accounts as the configuration has them, each with or without a date."""
        accounts = (account_and_issued(each) for each in people)
        return cls(organisation_id, frozenset((fold(key), issued) for key, issued in accounts), frozenset(entitlements))

    def matches(self, person: Person) -> bool:
        """Return whether the person is one of them."""
        at_home = person.organisation.id == self.organisation_id
        by_key = any(
            key == person.key and (not issued or same_issue_time(issued, person.account_issued_at))
            for key, issued in self.people
        )
        return at_home and (by_key or not self.entitlements.isdisjoint(person.entitlements))
