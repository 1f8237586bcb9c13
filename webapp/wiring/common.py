"""What every process starts with: configuration, log, store, clock."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from sql.store import Store, open_store
from webapp.config.loader import Config, load
from webapp.log import configure_logging


def load_config_and_store(config_path: Path | str) -> tuple[Config, Store]:
    """Load the configuration, configure logging and open the store.

    Raises:
        Misconfigured: If anything in the configuration is wrong.
        SchemaBehind: If a migration is missing.
        StoreUnavailable: If the database cannot be reached.
    """
    config = load(config_path, os.environ)
    configure_logging(config.service.log)
    store = open_store(config.store.reveal(), timeout=config.store.busy_timeout)
    store.check_schema()
    return config, store


def utc_now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)
