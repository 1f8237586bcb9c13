"""What an organisation's Identity Provider asks at each sign-in: the iD of one person.

Only iDs of the registry that the service works with are given: a sandbox iD looks like a real one and must never be
taken for one.
"""

from __future__ import annotations

from typing import Protocol

from resolver_connector.http import Header, Reply, reply
from resolver_connector.stale import Replicas
from shibboleth.attributes import fold
from shibboleth.orcid_id import OrcidId, Registry
from shibboleth.organisation import Organisation
from sql.engines.base import Row
from sql.errors import StoreUnavailable
from sql.store import Store

_STALE = ("Warning", '110 orcid-connect "Response is Stale"')


class Lookup(Protocol):
    """Where it stands what is released of whom; `sql.lookup.Lookup`. Each raises StoreUnavailable, and soon."""

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
    found = store.links.orcid_ids(organisation.entity_id, fold(account))
    return [orcid_id for orcid_id in found if orcid_id.registry is registry]


class Resolver:
    """Answers which iDs an Identity Provider may release for an account."""

    def __init__(self, lookup: Lookup, registry: Registry, replicas: Replicas | None = None) -> None:
        self._lookup = lookup
        self._registry = registry.value
        self._host = registry.host
        self._replicas = replicas

    def answer(self, entity_id: str, account: str) -> Reply:
        """Give the iDs to release for an account of an organisation; an empty list for an unknown one.

        Args:
            entity_id: The organisation's entityID.
            account: A value of the organisation's key attribute, in any letter case.

        Raises:
            StoreUnavailable: If neither the database nor a replica can answer.

        """
        uris, headers = self._released(entity_id, account)
        return reply({"eduPersonOrcid": uris}, extra=headers)

    def records(self, entity_id: str, account: str) -> Reply:
        """Give the same as a list of objects with one value each, for clients that cannot map a list of values."""
        uris, headers = self._released(entity_id, account)
        return reply([{"eduPersonOrcid": uri} for uri in uris], extra=headers)

    def _released(self, entity_id: str, account: str) -> tuple[list[str], list[Header]]:
        """Give the URIs to release, and the headers that say how old they are where they come from a replica."""
        person_key = fold(account)
        try:
            row = self._lookup.of(entity_id, person_key)
        except StoreUnavailable:
            if self._replicas is None:
                raise
            bare, age = self._replicas.orcid_of(entity_id, person_key)
            return self._uris(bare), [("Age", str(age)), _STALE]
        return self._uris(row["orcid"] if row is not None and row["registry"] == self._registry else None), []

    def _uris(self, bare: str | None) -> list[str]:
        return [] if bare is None else [f"https://{self._host}/{bare}"]
