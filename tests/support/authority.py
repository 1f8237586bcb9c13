"""What tests of the attribute authority begin with: a store, keys, metadata, and an authority at work."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

from resolver_connector.authority.app import AttributeAuthority
from resolver_connector.authority.saml import AuthorityIdentity, SamlMessages
from shibboleth.orcid_id import Registry
from sql.store import open_store
from tests.support.database import make_sqlite
from tests.support.factories import UNIVERSITY
from tests.support.service import ORGANISATIONS
from tests.support.system.federation import make_key

SERVICE = "https://sp.example/shibboleth"
"""The one service that an organisation, the university, has named."""
URI = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"


def make_keys(directories, *names):
    """Give a key and a certificate to each of these, the service and the authority."""
    directory = directories.mktemp("keys")
    return {name: make_key(directory, name) for name in ("authority", "service", *names)}


@contextmanager
def stored(directory):
    """Give a store on SQLite: what it answers on each engine, the connector's tests hold."""
    store = open_store(make_sqlite(directory))
    try:
        yield store
    finally:
        store.close()


def make_identity(entity_id, key, metadata, url=None):
    """Give as whom an authority speaks; where it is asked is its entityID, unless told otherwise."""
    return AuthorityIdentity(entity_id, url or entity_id, Path(key["key"]), Path(key["certificate"]), metadata)


def make_authority(store, identity, clock):
    """Give an authority that the service may ask about the university's people."""
    clients = [(each, frozenset({SERVICE} if each.entity_id == UNIVERSITY else ())) for each in ORGANISATIONS]
    return AttributeAuthority(store, SamlMessages(identity, clock()), clients, Registry.PRODUCTION, clock)


def write_federation(path, *entities, ends=""):
    """Write metadata of these entities, that is believed until a moment, or without end."""
    text, until = "".join(entities), f' validUntil="{ends}"' if ends else ""
    path.write_text(
        f'<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata"{until}>{text}</EntitiesDescriptor>', "utf-8"
    )
    return path
