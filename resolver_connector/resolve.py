"""What an organisation's Identity Provider asks at each sign-in: the iD of one person.

Only iDs of the registry that the service works with are given: a sandbox iD looks like a real one and must never be
taken for one. All iDs are of one length, and so are all answers that hold one: they are ready but for sixteen digits.
"""

from __future__ import annotations

from typing import Protocol

from resolver_connector.wire import Reply, headers_of, prepared
from shibboleth.attributes import fold
from shibboleth.orcid_id import OrcidId, Registry
from shibboleth.organisation import Organisation
from sql.engine import Row
from sql.store import Store

_LENGTH = len("0000-0002-1825-0097")


class Lookup(Protocol):
    """Where it stands what is released of whom; `sql.reading.Lookup`. Each raises StoreUnavailable, and soon."""

    def of(self, entity_id: str, person_key: str) -> Row | None:
        """Give `registry` and `orcid` of the iD a person has now."""

    def must_answer(self) -> None:
        """Raise StoreUnavailable when nothing can be told."""

    def must_be_ready(self) -> None:
        """Raise what is wrong unless all is as it should be."""


def resolve(store: Store, organisation: Organisation, account: str, registry: Registry) -> list[OrcidId]:
    """Give the iDs to release for an account of this organisation, for whoever is in no hurry; none for an unknown one.

    `account` is a value of the organisation's key attribute, in any letter case. Raises StoreUnavailable.
    """
    found = store.orcid_of(organisation.entity_id, fold(account))
    return [orcid_id for orcid_id in found if orcid_id.registry is registry]


class Resolver:
    """Answers what is to be released for an account."""

    __slots__ = ("_before", "_headers", "_lookup", "_nothing", "_registry")

    def __init__(self, lookup: Lookup, registry: Registry) -> None:
        self._lookup = lookup
        self._registry = registry.value
        self._nothing = prepared({"eduPersonOrcid": []})
        self._before = f'{{"eduPersonOrcid": ["https://{registry.host}/'.encode()
        self._headers = headers_of(len(self._before) + _LENGTH + len(_AFTER))

    def answer(self, entity_id: str, account: str) -> Reply:
        """Give the iDs to release for an account of an organisation; an empty list for an unknown one.

        `account` is a value of the organisation's key attribute, in any letter case. Raises StoreUnavailable.
        """
        bare = self._bare(entity_id, account)
        if bare is None:
            return self._nothing
        if len(bare) != _LENGTH:
            OrcidId(bare, Registry(self._registry))  # says what is wrong with it
        return 200, self._headers, [self._before + bare.encode() + _AFTER]

    def records(self, entity_id: str, account: str) -> list[dict[str, str]]:
        """Give the same as a list of objects, each with one value, for who can map nothing else. Raises as `answer`."""
        bare = self._bare(entity_id, account)
        return [] if bare is None else [{"eduPersonOrcid": OrcidId(bare, Registry(self._registry)).uri}]

    def _bare(self, entity_id: str, account: str) -> str | None:
        row = self._lookup.of(entity_id, fold(account))
        if row is None or row["registry"] != self._registry:
            return None
        bare: str = row["orcid"]
        return bare


_AFTER = b'"]}'
