"""Runs all checks of the configuration and the installation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from sql.store import Store
from webapp.checks.certificates import check_certificates
from webapp.checks.configuration import check_configuration
from webapp.checks.metadata import check_metadata
from webapp.checks.notices import check_notices
from webapp.checks.orcid import check_token_keys
from webapp.checks.result import CheckResult
from webapp.checks.store import check_store
from webapp.config.loader import Config


def run_checks(
    config: Config, store: Store, now: datetime, known_hashes: Mapping[str, Sequence[str]]
) -> Iterator[CheckResult]:
    """Run the checks that need no server but the database. Nothing is changed.

    Args:
        config: The configuration.
        store: The store, in any state.
        now: The time of the checks.
        known_hashes: Hashes of audit events that another party has kept, by the id of the organisation.
    """
    yield from check_configuration(config)
    yield from check_token_keys(config)
    yield from check_certificates(config, now)
    yield from check_notices(config)
    yield from check_metadata(config, now)
    yield from check_store(config, store, now, known_hashes)
