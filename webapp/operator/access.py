"""Authorization for the operator's pages.

Every grant names an organisation: keys are unique within an organisation only, and any Identity Provider can assert any
entitlement.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shibboleth.organisation import Organisation, Organisations
from shibboleth.person import Person
from webapp.auth.named_people import NamedPeople
from webapp.pages.problems import NotFound


class NotPermitted(NotFound):
    """The person may not see this page or organisation.

    The response is the same 404 as for a page that does not exist; the log has another code.
    """


@dataclass(frozen=True, slots=True)
class Permissions:
    """The organisations whose data a person may see on the operator's pages."""

    organisations: tuple[Organisation, ...]
    """Sorted by id."""
    operator: bool
    """Whether these are all organisations, and also data of none."""

    @property
    def actor(self) -> str:
        """The actor in audit events."""
        return "operator" if self.operator else "organisation"

    def sorted_by_name(self, language: str) -> list[Organisation]:
        """Return the organisations, sorted by their name in a language."""
        return sorted(self.organisations, key=lambda one: one.name(language).casefold())

    def organisation(self, organisation_id: str) -> Organisation:
        """Return the organisation with this id.

        Raises:
            NotPermitted: If the person may not see it, or it does not exist.
        """
        for one in self.organisations:
            if one.id == organisation_id:
                return one
        raise NotPermitted


@dataclass(frozen=True, slots=True)
class AdminAccess:
    """Who has access to the operator's pages and the metrics."""

    operators: tuple[NamedPeople, ...] = ()
    administrators: tuple[NamedPeople, ...] = ()
    """Each grants access to the pages of its own organisation."""
    metrics_token: str = field(default="", repr=False)
    """The bearer token for the metrics; empty if they are not served."""
    statistics_token: str = field(default="", repr=False)
    """The bearer token for the published statistics; empty if they are not served."""

    def is_administrator(self, person: Person) -> bool:
        """Return whether the person is an administrator of their own organisation."""
        return any(each.matches(person) for each in self.administrators)

    def has_grant(self, person: Person) -> bool:
        """Return whether a person may see any of the operator's pages."""
        return any(each.matches(person) for each in (*self.operators, *self.administrators))

    def permissions(self, person: Person, organisations: Organisations) -> Permissions:
        """Return what a person may see.

        Raises:
            NotPermitted: If the person may see nothing.
        """
        if any(each.matches(person) for each in self.operators):
            return Permissions(tuple(sorted(organisations, key=lambda one: one.id)), operator=True)
        if any(each.matches(person) for each in self.administrators):
            return Permissions((person.organisation,), operator=False)
        raise NotPermitted
