"""What every process starts with: configuration, log, store, clock."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from sql.errors import StoreUnavailable
from sql.store import Store, open_store
from webapp.config.loader import Config, load
from webapp.log import configure_logging, log


def load_config_and_store(config_path: Path | str, *, required: bool = True) -> tuple[Config, Store]:
    """Load the configuration, configure logging and open the store.

    Args:
        config_path: The service's file.
        required: As for `check_schema`.

    Raises:
        Misconfigured: If the service's file is invalid, or no organisation is valid.
        SchemaBehind: If a migration is missing.
        StoreUnavailable: If the database cannot be reached, and is required.
    """
    config = load(config_path, os.environ)
    configure_logging(config.service.log)
    log_misconfigured(config)
    settings = config.store
    store = open_store(settings.reveal(), timeout=settings.busy_timeout, standby_lookups=settings.standby_lookups)
    check_schema(store, required=required)
    return config, store


def check_schema(store: Store, *, required: bool = True) -> None:
    """Check that this program runs on the schema of the database.

    What a newer program has added is logged.

    Args:
        store: The store.
        required: Whether the database must be available. The connector starts without it, because a standby or a
            replica may answer look-ups; it works as soon as the database does.

    Raises:
        SchemaBehind: If a migration is missing.
        SchemaAhead: If the database has an unknown one that is not additive.
        StoreUnavailable: If the database cannot be reached, and is required.
    """
    try:
        newer = store.check_schema()
    except StoreUnavailable as error:
        if required:
            raise
        log.warning("started-without-database", reason=error.reason)
    else:
        if newer:
            log.warning("schema-newer", migrations=" ".join(newer))


def log_misconfigured(config: Config) -> None:
    """Log each error in the file of an organisation that is left out."""
    for organisation_id, one in config.misconfigured.items():
        for problem in one.problems:
            facts = {"key": problem.key, "problem": problem.text, "fix": problem.fix}
            log.warning("organisation-misconfigured", organisation=organisation_id, file=problem.file, **facts)


def utc_now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)
