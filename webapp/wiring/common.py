"""What every process starts with: configuration, log, store, clock."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from sql.store import Store, open_store
from webapp.config.loader import Config, load
from webapp.log import configure_logging, log


def load_config_and_store(config_path: Path | str) -> tuple[Config, Store]:
    """Load the configuration, configure logging and open the store.

    Raises:
        Misconfigured: If the service's file is invalid, or no organisation is valid.
        SchemaBehind: If a migration is missing.
        StoreUnavailable: If the database cannot be reached.
    """
    config = load(config_path, os.environ)
    configure_logging(config.service.log)
    log_misconfigured(config)
    settings = config.store
    store = open_store(settings.reveal(), timeout=settings.busy_timeout, standby_lookups=settings.standby_lookups)
    if newer := store.check_schema():
        log.warning("schema-newer", migrations=" ".join(newer))
    return config, store


def log_misconfigured(config: Config) -> None:
    """Log each error in the file of an organisation that is left out."""
    for organisation_id, one in config.misconfigured.items():
        for problem in one.problems:
            facts = {"key": problem.key, "problem": problem.text, "fix": problem.fix}
            log.warning("organisation-misconfigured", organisation=organisation_id, file=problem.file, **facts)


def utc_now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)
