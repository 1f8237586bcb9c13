"""Assembly of the connector."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from resolver_connector.app import Connector, requested_route
from resolver_connector.client_address import TrustedProxies
from resolver_connector.credential_uses import CredentialUses
from resolver_connector.credentials import Basic, Bearer, Client, Credentials
from resolver_connector.metrics import measured
from resolver_connector.replica_cache import ReplicaCache
from shibboleth.process_state import ProcessState
from sql.store import Store
from webapp.config.access import CredentialSettings
from webapp.config.loader import DEFAULT_PATH, PATH_VARIABLE, Config
from webapp.log import with_request_id
from webapp.wiring.common import load_config_and_store, utc_now
from webapp.wiring.orcid import make_sealer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def connector_application(config_path: Path | str) -> WSGIApplication:
    """Create the connector from its configuration file, for a WSGI server.

    Raises:
        Misconfigured: If the service's file is invalid, or no organisation is valid.
        SchemaBehind: If a migration is missing.
    """
    config, store = load_config_and_store(config_path, required=False)
    # The server may fork: no connection may be shared
    store.close()
    return make_connector(config, store)


def connector() -> WSGIApplication:
    """Create the connector, for a WSGI server that calls a factory.

    The environment variable ORCID_CONNECT_CONFIG names the configuration file.
    """
    return connector_application(os.environ.get(PATH_VARIABLE, DEFAULT_PATH))


def make_connector(
    config: Config,
    store: Store,
    clock: Callable[[], datetime] = utc_now,
    *,
    replicas: ReplicaCache | None = None,
    process: ProcessState | None = None,
) -> WSGIApplication:
    """Assemble the connector."""
    misconfigured, registry = config.misconfigured.values(), config.service.registry
    credentials = Credentials(
        _credentials(config),
        [(_secret(each), one.id) for one in misconfigured for each in one.credentials],
        complete=all(one.credentials_known for one in misconfigured),
    )
    proxies = TrustedProxies.parse(config.connector.trusted_proxies)
    connector = Connector(
        store,
        credentials,
        registry,
        clock,
        config.transfers,
        replicas=replicas,
        trusted_proxies=proxies,
        transfer_credentials=config.receivers.credentials,
        credential_uses=CredentialUses(store, credentials.clients, clock),
        process=process or ProcessState(config.digest),
        sealer=make_sealer(config)
        if any(one.fetches_tokens for one in config.organisation_settings.values())
        else None,
    )
    return with_request_id(measured(connector, "connector", requested_route))


def make_replicas(config: Config, store: Store, directory: Path, max_age: float) -> ReplicaCache:
    """Assemble the replicas, which answer while the database is unavailable.

    Args:
        config: The configuration.
        store: The store that is copied.
        directory: Where the replicas are written.
        max_age: Seconds after which a replica is too old to be used.
    """
    organisations = [one.organisation for one in config.organisation_settings.values() if one.keeps_links]
    registry = config.service.registry
    return ReplicaCache(store, organisations, registry, directory=directory, max_age=max_age, clock=utc_now)


def _credentials(config: Config) -> Iterator[tuple[Bearer | Basic, Client]]:
    for settings in config.organisation_settings.values():
        own = settings.orcid
        for each in settings.credentials:
            client = Client(
                settings.organisation,
                each.name,
                frozenset(each.rights),
                own_changes=each.own_changes,
                source=each.source,
                orcid_client_id=own.client_id if own is not None and own.permissions else "",
            )
            yield _secret(each), client


def _secret(credential: CredentialSettings) -> Bearer | Basic:
    if credential.token is not None:
        return Bearer(credential.token.reveal())
    # The configuration guarantees one of the two
    return Basic(credential.user or "", credential.password.reveal() if credential.password else "")
