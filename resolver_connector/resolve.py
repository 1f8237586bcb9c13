"""What an organisation's Identity Provider asks at each sign-in: the iD of one person."""

from __future__ import annotations

from shibboleth.attributes import fold
from shibboleth.orcid_id import OrcidId, Registry
from shibboleth.organisation import Organisation
from sql.store import Store


def resolve(store: Store, organisation: Organisation, account: str, registry: Registry) -> list[OrcidId]:
    """Give the iDs to release for an account of this organisation; none for an unknown one.

    `account` is a value of the organisation's key attribute, in any letter case.  Only iDs of the registry that the
    service works with are given: a sandbox iD looks like a real one and must never be taken for one.
    Raises StoreUnavailable.
    """
    found = store.orcid_of(organisation.entity_id, fold(account))
    return [orcid_id for orcid_id in found if orcid_id.registry is registry]
