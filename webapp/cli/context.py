"""What commands work on: configuration, store, organisation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sql.store
from shibboleth.organisation import Organisation
from sql.errors import InvalidUrl
from sql.store import Store
from webapp.cli.errors import CommandError
from webapp.cli.output import printable
from webapp.config.errors import Misconfigured, SettingProblem, closest_match
from webapp.config.loader import Config, load, load_service
from webapp.config.service import ServiceFile
from webapp.log import log
from webapp.wiring.common import check_schema as check_schema_of


def load_config(path: Path) -> Config:
    """Read the configuration.

    Raises:
        Misconfigured: If the service's file is invalid, or no organisation is valid.
    """
    return load(path, os.environ)


def load_service_file(path: Path) -> ServiceFile:
    """Read the service's file alone; there may be no organisation yet.

    Raises:
        Misconfigured: If the file is invalid.
    """
    return load_service(path, os.environ)


def may_reload(running: Config) -> Callable[[], bool]:
    """Return a function that tells, on SIGHUP, whether the files are valid.

    Its result is logged. An organisation whose file is invalid is an error here: a process that runs is not started
    again without it.
    """

    def valid() -> bool:
        try:
            config = load_config(running.path)
            problems = [problem for one in config.misconfigured.values() for problem in one.problems]
        except Misconfigured as error:
            problems = list(error.problems)
        if problems:
            first = problems[0]
            log.warning("reload-refused", errors=len(problems), file=first.file, key=first.key, problem=first.text)
            return False
        log("reloading", configuration=config.digest)
        return True

    return valid


@contextmanager
def open_store(config: Config, *, check_schema: bool = True) -> Iterator[Store]:
    """Open the store, and close it at the end of the block.

    Args:
        config: Names the database.
        check_schema: Whether the database must have the schema of this version.

    Raises:
        Misconfigured: If the URL of the database is invalid.
        SchemaBehind: If migrations are missing.
        SchemaAhead: If a newer version has migrated the database.
        StoreUnavailable: If the database cannot be reached.
    """
    try:
        settings = config.store
        store = sql.store.open_store(
            settings.reveal(), timeout=settings.busy_timeout, standby_lookups=settings.standby_lookups
        )
    except InvalidUrl as error:
        fix = "docs/settings.md shows how it is written"
        raise Misconfigured([SettingProblem(str(config.path), "store.url", str(error), fix)]) from None
    try:
        if check_schema:
            check_schema_of(store)
        yield store
    finally:
        store.close()


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def find_organisation(config: Config, name: str) -> Organisation:
    """Return the organisation with this id or one of its entityIDs.

    Raises:
        CommandError: If there is none; the message names a similar one, or all.
        Misconfigured: If its file is invalid.
    """
    known = {name: one for one in config.organisations for name in (one.id, *one.entity_ids)}
    if name in known:
        return known[name]
    for organisation_id, one in config.misconfigured.items():
        if name == organisation_id or name in one.entity_ids:
            raise Misconfigured(one.problems)
    if name in config.disabled:
        raise CommandError(f"{name} is disabled; to connect it again: orcid-connect organisation enable {name}")
    similar = closest_match(name, known)
    hint = f"did you mean {similar}?" if similar else "known: " + ", ".join(one.id for one in config.organisations)
    raise CommandError(f"unknown organisation {printable(name)}; {hint}")


def require_kept_links(
    config: Config, organisation: Organisation, consequence: str = "no ORCID iDs are stored that it could release"
) -> None:
    """Reject an organisation whose links are not stored.

    Args:
        consequence: What follows from it, for the message.

    Raises:
        CommandError: If the organisation has `keep = "nothing"`.
    """
    if not config.organisation_settings[organisation.id].keeps_links:
        raise CommandError(f'{organisation.id} has keep = "nothing": {consequence}')
