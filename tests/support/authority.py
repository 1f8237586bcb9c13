"""Set up an attribute authority for tests.

Store, keys, metadata and the authority itself.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from resolver_connector.authority.app import AttributeAuthority
from resolver_connector.authority.saml import AuthorityIdentity, SamlMessages
from shibboleth.orcid_id import Registry
from sql.store import open_store
from tests.support.database import make_sqlite
from tests.support.factories import UNIVERSITY
from tests.support.service import ORGANISATIONS
from tests.support.system.federation import make_key

SECOND_IDP = "https://login.yliopisto.example/idp"
"""Another entityID of the university."""
SERVICE = "https://sp.example/shibboleth"
"""The one service that an organisation, the university, has named."""
URI = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"


def make_keys(directories, *names):
    """Create a key and a certificate for each name.

    The names are the service, the authority and `names`.
    """
    directory = directories.mktemp("keys")
    return {name: make_key(directory, name) for name in ("authority", "service", *names)}


@contextmanager
def stored(directory):
    """Yield an SQLite store; the connector's tests cover both engines."""
    store = open_store(make_sqlite(directory))
    try:
        yield store
    finally:
        store.close()


def make_identity(entity_id, key, metadata, url=None):
    """Build an authority's identity; its URL is its entityID unless given."""
    return AuthorityIdentity(entity_id, url or entity_id, Path(key["key"]), Path(key["certificate"]), metadata)


def make_authority(store, identity, clock):
    """Build an authority that knows the university's people.

    The service may query it. The university has two Identity Providers.
    """
    university, *others = sorted(ORGANISATIONS, key=lambda each: each.id != UNIVERSITY)
    university = replace(university, entity_ids=(*university.entity_ids, SECOND_IDP))
    clients = [(university, frozenset({SERVICE})), *((each, frozenset()) for each in others)]
    return AttributeAuthority(store, SamlMessages(identity, clock()), clients, Registry.PRODUCTION, clock)


def write_federation(path, *entities, ends=""):
    """Write metadata of these entities.

    `ends` is its `validUntil`, empty for none.
    """
    text, until = "".join(entities), f' validUntil="{ends}"' if ends else ""
    path.write_text(
        f'<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata"{until}>{text}</EntitiesDescriptor>', "utf-8"
    )
    return path
