"""Checks of the database: availability, schema, and each organisation's data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from sql.errors import MigrationChanged, SchemaAhead, SchemaBehind, StoreUnavailable
from sql.health import MAX_WAL_BACKLOG
from sql.store import Store
from webapp.checks.administrators import check_admin_accounts
from webapp.checks.audit import check_audit_chain, check_audit_log
from webapp.checks.credentials import check_credentials
from webapp.checks.deliveries import check_deliveries
from webapp.checks.links.records import check_records, check_status_round
from webapp.checks.links.release import check_release
from webapp.checks.links.renamed import check_renamed
from webapp.checks.orcid import check_affiliations, check_tokens
from webapp.checks.organisations import check_organisations
from webapp.checks.result import CheckResult, Level
from webapp.config.loader import Config

STORE_FIXES: dict[type[Exception], str] = {
    StoreUnavailable: "check that the database runs, and that this user may read and write it",
    SchemaBehind: "run: orcid-connect migrate",
    SchemaAhead: "install the newer version, or restore the backup that was made before it",
    MigrationChanged: "install the version again as it was published",
}
"""For each error that prevents the use of the database: what to do."""


def _check_writable(store: Store, url: str) -> CheckResult:
    # A database that can be read only still answers the other checks
    try:
        backlog = store.check_writable()
    except StoreUnavailable as error:
        text = f"nothing can be written: {error}"
        fix = "check the free space and the permissions of its disk, and that no other process locks it"
        return CheckResult(Level.ERROR, "store", text, fix, {"url": url, "writable": False})
    details = {"url": url, "writable": True, "wal_backlog_bytes": backlog}
    if backlog > MAX_WAL_BACKLOG:
        text = f"the write-ahead log grows: {backlog} bytes wait for a checkpoint, because a process reads for long"
        fix = "restart the services, and end other programs that have the database open (fuser shows them)"
        return CheckResult(Level.WARNING, "store", text, fix, details)
    return CheckResult(Level.OK, "store", "it can be written", details=details)


def check_store(
    config: Config, store: Store, now: datetime, known_hashes: Mapping[str, Sequence[str]]
) -> Iterator[CheckResult]:
    """Check the database, then the links, audit log and deliveries in it."""
    url = config.store.url
    try:
        if newer := store.check_schema():
            text = f"{url}, a newer version has added {', '.join(newer)}; this version runs on it"
            yield CheckResult(Level.INFO, "store", text, details={"newer": newer})
        yield CheckResult(Level.OK, "store", f"{url}, no migration missing", details={"url": url})
        yield _check_writable(store, url)
        for settings in config.organisation_settings.values():
            organisation = settings.organisation
            # Counted here and not taken from `statistics.release_counts`, which reads the audit log and may write
            counts = store.releases.counts(organisation.id)
            links = counts.linked
            text = f"{organisation.id}, {', '.join(organisation.entity_ids)}, {links} link{'' if links == 1 else 's'}"
            details = {"id": organisation.id, "entity_ids": [*organisation.entity_ids], "links": links}
            yield CheckResult(Level.OK, "organisation", text, details=details)
            yield from check_audit_log(store, organisation, known_hashes.get(organisation.id, ()))
            if settings.keeps_links:
                yield check_release(store, organisation, counts, now)
                yield from check_records(store, organisation)
                yield from check_renamed(store, organisation)
            yield from check_credentials(settings, store, now)
            yield from check_deliveries(settings, store, now)
        for organisation_id in config.misconfigured:
            yield check_audit_chain(store, organisation_id)
        yield check_status_round(config, store, now)
        yield from check_tokens(config, store, now)
        yield from check_affiliations(config, store)
        yield from check_organisations(config, store, now)
        yield from check_admin_accounts(config, store)
    except SchemaBehind as error:
        text = f"database is behind: {', '.join(error.missing)}"
        yield CheckResult(Level.ERROR, "store", text, STORE_FIXES[SchemaBehind], {"missing": error.missing})
    except tuple(STORE_FIXES) as error:
        yield CheckResult(Level.ERROR, "store", f"{url}: {error}", STORE_FIXES[type(error)])
