"""Assembly of the dispatcher, which the worker and the web application use."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from resolver_connector.delivery.dispatcher import Dispatcher
from sql.store import Store
from webapp.config.loader import Config
from webapp.log import log
from webapp.wiring.common import utc_now


def make_dispatcher(config: Config, store: Store, clock: Callable[[], datetime] = utc_now) -> Dispatcher:
    """Assemble the dispatcher, which attempts deliveries."""
    return Dispatcher(store, config.organisations, config.transfers, log, clock)
