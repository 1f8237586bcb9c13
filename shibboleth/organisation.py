"""Organisations, and the register of those that are connected.

An organisation is known by its own id, which never changes. It has one or more Identity Providers, whose entityIDs may
change; a sign-in through any of them is a sign-in of the organisation's people.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Stage(StrEnum):
    """Whether an organisation's links are for trying out or for real."""

    TEST = "test"
    PRODUCTION = "production"


class State(StrEnum):
    """Who of an organisation may link an iD."""

    HIDDEN = "hidden"
    """Named test accounts alone; the organisation is not on the start page."""
    PILOT = "pilot"
    """Named people, or those with an entitlement."""
    OPEN = "open"
    """All its people."""
    CLOSED = "closed"
    """Nobody: links stay, are released, and can be removed."""


class UnknownOrganisation(LookupError):
    """No organisation is connected under this entityID or id."""

    def __init__(self, name: str, likely_id: str = "") -> None:
        super().__init__(f"no connected organisation is called {name[:200]!r}")
        self.name = name
        self.likely_id = likely_id
        """The id of the organisation whose former entityID or whose scope it is; empty if that is none."""


class OrganisationMisconfigured(LookupError):
    """The settings of an organisation are invalid, so that it is left out."""

    code = "organisation-misconfigured"
    """As on the pages, in the log, and in responses of the connector."""

    def __init__(self, organisation_id: str) -> None:
        super().__init__(f"the settings of the organisation {organisation_id} are invalid")
        self.organisation_id = organisation_id


@dataclass(frozen=True, slots=True)
class Organisation:
    """A home organisation as the operator connected it."""

    id: str
    """The name of its configuration file. Everything that is stored about it is found by this id."""
    entity_ids: tuple[str, ...]
    """The entityIDs of its Identity Providers, one or more, compared exactly."""
    names: Mapping[str, str]
    """Its name by language code; one of them is `en`."""
    scopes: frozenset[str]
    """The scopes its people's identifiers may carry, in lower case."""
    key: str = "eppn"
    """The attribute that identifies its people (one of `attributes.KEYS`)."""
    stage: Stage = Stage.PRODUCTION
    help: str = ""
    """The contact for its people: an e-mail or https address; empty if the service's own contact is the only one."""
    language: str = ""
    """The language of pages and e-mail for people who have not chosen one; empty for the service's default."""
    former_entity_ids: tuple[str, ...] = ()
    """EntityIDs that its Identity Providers had; a sign-in through them is refused."""
    stable_id: str = ""
    """The attribute with its people's stable ids (one of `account_holder.STABLE_IDS`); empty where there is none."""
    asks_holder: bool = False
    """Whether the holder of an iD may confirm that another account of theirs claims it."""
    needs_stable_id: bool = False
    """Whether an iD is released only to a request that names a stable id."""
    state: State = State.OPEN

    def name(self, language: str) -> str:
        """Return its name in this language; in English if there is none."""
        return self.names.get(language) or self.names["en"]

    def has_scope(self, scope: str) -> bool:
        """Return whether the scope of an identifier is one of the organisation's.

        Letter case is ignored for ASCII letters only.
        """
        return (scope.lower() if scope.isascii() else scope) in self.scopes


@dataclass(frozen=True, slots=True, eq=False)
class Organisations:
    """The register of connected organisations.

    Iteration and length leave out the misconfigured ones. Two registers are equal only if they are the same object.
    """

    _by_id: Mapping[str, Organisation] = field(default_factory=dict)
    _by_entity_id: Mapping[str, Organisation] = field(default_factory=dict)
    misconfigured: Mapping[str, Collection[str]] = field(default_factory=lambda: MappingProxyType({}))
    """The entityIDs, as far as they are known, of organisations with invalid settings, by the organisation's id."""

    @classmethod
    def of(
        cls, organisations: Iterable[Organisation], misconfigured: Mapping[str, Collection[str]] = MappingProxyType({})
    ) -> Organisations:
        """Make a register.

        The configuration guarantees that no two of `organisations` share an entityID or id.
        """
        by_id = {one.id: one for one in organisations}
        by_entity_id = {entity_id: one for one in by_id.values() for entity_id in one.entity_ids}
        return cls(by_id, by_entity_id, misconfigured)

    def by_entity_id(self, entity_id: str) -> Organisation:
        """Return the organisation that has exactly this entityID now.

        Raises:
            OrganisationMisconfigured: If only one with invalid settings has it.
            UnknownOrganisation: If none has.
        """
        if entity_id in self._by_entity_id:
            return self._by_entity_id[entity_id]
        for organisation_id, entity_ids in self.misconfigured.items():
            if entity_id in entity_ids:
                raise OrganisationMisconfigured(organisation_id)
        raise UnknownOrganisation(entity_id)

    def by_id(self, name: str) -> Organisation:
        """Return the organisation of this id.

        Raises:
            OrganisationMisconfigured: If its settings are invalid.
            UnknownOrganisation: If none is connected under it.
        """
        if name in self._by_id:
            return self._by_id[name]
        if name in self.misconfigured:
            raise OrganisationMisconfigured(name)
        raise UnknownOrganisation(name)

    def __iter__(self) -> Iterator[Organisation]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)
