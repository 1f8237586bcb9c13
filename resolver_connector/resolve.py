"""What an organisation's Identity Provider asks at each sign-in: the iD of one person.

Only iDs of the registry that the service works with are given: a sandbox iD looks like a real one and must never be
taken for one. All iDs are of one length, and so are all answers that hold one: they are ready but for sixteen digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from resolver_connector.stale import Replicas
from resolver_connector.wire import Header, Reply, headers_of, prepared, reply
from shibboleth.attributes import fold
from shibboleth.orcid_id import OrcidId, Registry
from shibboleth.organisation import Organisation
from sql.engine import Row
from sql.errors import StoreUnavailable
from sql.store import Store

_STALE = ("Warning", '110 orcid-connect "Response is Stale"')
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

    __slots__ = ("_before", "_headers", "_lookup", "_nothing", "_registry", "_replicas")

    def __init__(self, lookup: Lookup, registry: Registry, replicas: Replicas | None = None) -> None:
        self._lookup = lookup
        self._replicas = replicas
        self._registry = registry.value
        self._nothing = prepared({"eduPersonOrcid": []})
        self._before = f'{{"eduPersonOrcid": ["https://{registry.host}/'.encode()
        self._headers = headers_of(len(self._before) + _LENGTH + len(_AFTER))

    def answer(self, entity_id: str, account: str) -> Reply:
        """Give the iDs to release for an account of an organisation; an empty list for an unknown one.

        `account` is a value of the organisation's key attribute, in any letter case. Raises StoreUnavailable.
        """
        bare, stale = self._bare(entity_id, account)
        if stale:
            return reply({"eduPersonOrcid": [] if bare is None else [self._uri(bare)]}, extra=stale)
        if bare is None:
            return self._nothing
        if len(bare) != _LENGTH:
            self._uri(bare)  # says what is wrong with it
        return 200, self._headers, [self._before + bare.encode() + _AFTER]

    def records(self, entity_id: str, account: str) -> Reply:
        """Give the same as a list of objects, each with one value, for who can map nothing else. Raises as `answer`."""
        bare, stale = self._bare(entity_id, account)
        return reply([] if bare is None else [{"eduPersonOrcid": self._uri(bare)}], extra=stale)

    def _bare(self, entity_id: str, account: str) -> tuple[str | None, Sequence[Header]]:
        """Give an iD in its bare form, and the headers that say how old this is where it is not of this moment."""
        person_key = fold(account)
        try:
            row = self._lookup.of(entity_id, person_key)
        except StoreUnavailable:
            if self._replicas is None:
                raise
            bare, age = self._replicas.orcid_of(entity_id, person_key)
            return bare, (("Age", str(age)), _STALE)
        if row is None or row["registry"] != self._registry:
            return None, ()
        bare = row["orcid"]
        return bare, ()

    def _uri(self, bare: str) -> str:
        return OrcidId(bare, Registry(self._registry)).uri


_AFTER = b'"]}'
