"""Who may link an iD, by the state of the person's organisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shibboleth.organisation import Organisation, State
from shibboleth.person import Person
from webapp.auth.named_people import NamedPeople


class NotAdmitted(PermissionError):
    """The organisation is not open to this person yet."""

    def __init__(self, organisation: Organisation) -> None:
        super().__init__(f"{organisation.id} is not open to this person")
        self.organisation = organisation


class LinkingClosed(PermissionError):
    """The organisation takes no new links."""

    def __init__(self, organisation: Organisation) -> None:
        super().__init__(f"{organisation.id} takes no new links")
        self.organisation = organisation


@dataclass(frozen=True, slots=True)
class Admission:
    """Decides who may link an iD while an organisation is not open to all."""

    test_accounts: Mapping[str, NamedPeople] = field(default_factory=dict)
    """By the organisation's id."""
    pilots: Mapping[str, NamedPeople] = field(default_factory=dict)
    """By the organisation's id."""

    def may_link(self, person: Person) -> bool:
        """Return whether the person may link an iD."""
        organisation = person.organisation
        if organisation.state in {State.OPEN, State.CLOSED}:
            return organisation.state is State.OPEN
        groups = [self.test_accounts] if organisation.state is State.HIDDEN else [self.test_accounts, self.pilots]
        return any(organisation.id in named and named[organisation.id].matches(person) for named in groups)

    def require(self, person: Person) -> None:
        """Check that the person may link an iD.

        Raises:
            LinkingClosed: If the organisation takes no new links.
            NotAdmitted: If it is not open to this person yet.
        """
        if person.organisation.state is State.CLOSED:
            raise LinkingClosed(person.organisation)
        if not self.may_link(person):
            raise NotAdmitted(person.organisation)
