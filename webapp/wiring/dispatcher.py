"""Assembly of the dispatcher, which the worker and the web application use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from resolver_connector.delivery.dispatcher import Dispatcher
from resolver_connector.orcid.affiliation import AffiliationTransfer
from resolver_connector.orcid.member_api import INTERVAL, LONGEST_WAIT, MemberApi
from resolver_connector.transfers.base import Transfer
from resolver_connector.transfers.orcid import OrcidTransfer
from sql.store import Store
from webapp.config.loader import Config
from webapp.log import log
from webapp.wiring.common import utc_now
from webapp.wiring.orcid import make_token_service


def make_dispatcher(config: Config, store: Store, clock: Callable[[], datetime] = utc_now) -> Dispatcher:
    """Assemble the dispatcher, which tries deliveries."""
    return Dispatcher(store, config.organisations, make_transfers(config, store, clock), log, clock)


def make_transfers(config: Config, store: Store, clock: Callable[[], datetime]) -> Mapping[str, Mapping[str, Transfer]]:
    """Return the transfers, by the organisation's id and their name."""
    tokens = make_token_service(config, store)

    def reserve(client_id: str) -> float | None:
        return store.affiliations.reserve_request(client_id, clock(), INTERVAL, LONGEST_WAIT)

    api = make_member_api(config, reserve)

    def make(settings: Any) -> Transfer:
        transfer: Transfer = settings
        if isinstance(settings, OrcidTransfer):
            transfer = AffiliationTransfer(settings, store, tokens, api)
        return transfer

    return {
        organisation: {name: make(each) for name, each in transfers.items()}
        for organisation, transfers in config.transfers.items()
    }


def make_member_api(config: Config, reserve: Callable[[str], float | None]) -> MemberApi:
    """Return the client of ORCID's member API.

    Args:
        config: The configuration.
        reserve: As in `MemberApi`.
    """
    orcid = config.orcid
    return MemberApi(orcid.member_api_url, reserve, orcid.connect_timeout, orcid.read_timeout, orcid.proxy)
