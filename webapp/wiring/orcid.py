"""Assembly of what keeps and revokes ORCID's tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from resolver_connector.orcid.clients import OrcidClients, OrcidCredentials
from resolver_connector.orcid.revocation import RevocationQueue, Revoker
from resolver_connector.orcid.sealing import TokenSealer
from resolver_connector.orcid.tokens import TokenService
from sql.store import Store
from webapp.concurrency import ConcurrencyLimits
from webapp.config.loader import Config
from webapp.log import log


def make_orcid_clients(config: Config) -> OrcidClients:
    """Return the clients that are registered at ORCID."""
    orcid, settings = config.orcid, config.organisation_settings
    service = OrcidCredentials(
        client_id=orcid.client_id,
        client_secret=orcid.client_secret.reveal(),
        base_url=orcid.base_url,
        registry=config.service.registry,
        connect_timeout=orcid.connect_timeout,
        read_timeout=orcid.read_timeout,
        proxy=orcid.proxy,
    )
    own = {organisation_id: each.orcid for organisation_id, each in settings.items() if each.orcid is not None}
    return OrcidClients(
        service,
        {
            organisation_id: replace(service, client_id=each.client_id, client_secret=each.client_secret.reveal())
            for organisation_id, each in own.items()
        },
        tuple(
            replace(service, client_id=each.client_id, client_secret=each.client_secret.reveal())
            for each in config.former_orcid_clients
        ),
    )


def make_sealer(config: Config) -> TokenSealer | None:
    """Return what seals ORCID's tokens; None without a usable key."""
    keys = [each.secret.reveal() for each in config.orcid.token_keys if each.secret is not None]
    return TokenSealer(keys) if keys else None


def _make_sealer_logged(config: Config) -> TokenSealer | None:
    # A key that cannot be used ends no process, so each process says so when it starts
    for each in config.orcid.token_keys:
        if each.secret is None:
            log.warning("orcid-token-key-unusable", key=each.source, reason=each.problem)
    return make_sealer(config)


def make_token_service(config: Config, store: Store) -> TokenService:
    """Assemble what keeps ORCID's tokens for the web application."""
    limits = ConcurrencyLimits.of(config.listen.threads)
    return TokenService(store, make_orcid_clients(config), _make_sealer_logged(config), Revoker(limits.orcid), log)


def make_revocation_queue(config: Config, store: Store, clock: Callable[[], datetime]) -> RevocationQueue:
    """Assemble what revokes ORCID's tokens for the worker."""
    return RevocationQueue(store, make_orcid_clients(config), _make_sealer_logged(config), Revoker(), log, clock)
