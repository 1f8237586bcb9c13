"""Assembly of the round of look-ups at ORCID."""

from __future__ import annotations

from datetime import timedelta

from sql.store import Store
from webapp.config.loader import Config
from webapp.config.organisation import Deprecated, Inactive
from webapp.linking.public_api import PublicApi
from webapp.linking.status_round import RecordPolicy, StatusRound


def make_public_api(config: Config) -> PublicApi:
    """Return the client of ORCID's public API."""
    orcid = config.orcid
    return PublicApi(
        orcid.public_api_url, config.service.registry, orcid.connect_timeout, orcid.read_timeout, orcid.proxy
    )


def make_status_round(config: Config, store: Store) -> StatusRound:
    """Assemble the round of look-ups.

    The worker runs it; commands and pages look up one iD with it.
    """
    return StatusRound(
        store=store,
        api=make_public_api(config),
        registry=config.service.registry,
        policies={
            organisation: RecordPolicy(
                replace_deprecated=each.deprecated is Deprecated.REPLACE,
                suspend_inactive=each.inactive is Inactive.SUSPEND,
                transfers=tuple(each.transfers),
            )
            for organisation, each in config.organisation_settings.items()
        },
        interval=timedelta(days=config.orcid.status_check_days),
        misconfigured=config.misconfigured,
    )
