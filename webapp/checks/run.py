"""Look at everything that can be looked at before people come, and say what to mend."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from shibboleth.organisation import Organisation
from sql.errors import MigrationChanged, SchemaAhead, SchemaBehind, StoreUnavailable
from sql.records import DeliveryCount, DeliveryState, ReleaseCounts, TransferBreaker
from sql.store import Store
from webapp.checks.audit import audit_of
from webapp.checks.authority import metadata
from webapp.checks.notices import notices
from webapp.checks.operator import named_people
from webapp.checks.result import CheckResult, Level
from webapp.config.loader import Config
from webapp.config.organisation import OrganisationSettings
from webapp.linking.orcid_client import OrcidUnavailable
from webapp.wiring.pages import orcid_client

_OTHERS = 0o007
_FEW = 3
"""How many people who came back without their iD are no accident."""
_MANY = 20
_LONG = timedelta(days=14)
"""Of so many people who have been linked for so long, somebody should have come back."""


def look(config: Config, store: Store, now: datetime) -> Iterator[CheckResult]:
    """Look at everything on this machine; nothing is written, and nobody outside is asked."""
    yield from _addresses(config)
    yield from _credentials(config)
    yield from _secret_files(config)
    yield from _files_of_transfers(config)
    yield from notices(config)
    yield from metadata(config, now)
    yield from _kept(config, store, now)


def _addresses(config: Config) -> Iterator[CheckResult]:
    count = len(config.organisations)
    said = f"{config.path}, {count} organisation{'' if count == 1 else 's'}"
    yield CheckResult(Level.OK, "configuration", said, facts={"path": str(config.path), "organisations": count})
    yield CheckResult(Level.NOTE, "public URL", config.service.public_url, facts={"url": config.service.public_url})
    yield CheckResult(
        Level.NOTE,
        "redirect URI",
        f"{config.redirect_uri}  (register exactly this at ORCID)",
        facts={"uri": config.redirect_uri},
    )
    registry = config.service.registry
    yield CheckResult(
        Level.NOTE,
        "registry",
        f"{registry}, {config.orcid.base_url}",
        facts={"registry": str(registry), "base_url": config.orcid.base_url},
    )


def _credentials(config: Config) -> Iterator[CheckResult]:
    for settings in config.organisation_settings.values():
        organisation = settings.organisation
        if settings.keeps_links and not settings.credentials:
            yield CheckResult(
                Level.WARNING,
                "credential",
                f"{organisation.id} has none, so its Identity Provider cannot ask for its people's iDs",
                f'add to organisations/{organisation.id}.toml: [connector] and tokens = ["file:secrets/…"]',
                {"organisation": organisation.id},
            )


def _secret_files(config: Config) -> Iterator[CheckResult]:
    open_to_all = [
        path
        for path in dict.fromkeys(secret.path for secret in config.secrets)
        if path is not None and path.stat().st_mode & _OTHERS
    ]
    for path in open_to_all:
        text = f"{path} is open to every user of this machine"
        yield CheckResult(Level.WARNING, "secret", text, f"run: chmod o= {shlex.quote(str(path))}", {"path": str(path)})
    if not open_to_all:
        yield CheckResult(Level.OK, "secrets", f"{len(config.secrets)} found, none of them open to other users")


def _files_of_transfers(config: Config) -> Iterator[CheckResult]:
    """Tell which files and directories of transfers are not there, or closed to this user."""
    for settings in config.organisation_settings.values():
        organisation = settings.organisation
        for name, transfer in settings.transfers.items():
            for path in [value for _, value in transfer if isinstance(value, Path)]:
                if not os.access(path, os.W_OK | os.X_OK if path.is_dir() else os.R_OK):
                    text = f"{organisation.id}, {name}: {path} is not there, or closed to this user"
                    mend = "make it, for the user that runs the service"
                    yield CheckResult(Level.WRONG, "transfer", text, mend, {"id": organisation.id, "path": str(path)})


def _kept(config: Config, store: Store, now: datetime) -> Iterator[CheckResult]:
    try:
        store.check_schema()
        yield CheckResult(
            Level.OK, "store", f"{config.store.url}, no migration missing", facts={"url": config.store.url}
        )
        for settings in config.organisation_settings.values():
            organisation = settings.organisation
            # Counted once, since a million links take a tenth of a second; not by `statistics.release_counts`, which
            # depends on the audit that is checked here, and may write
            counts = store.releases.counts(organisation.entity_id)
            yield from _of_organisation(store, organisation, counts.linked)
            if settings.keeps_links:
                yield _release(store, organisation, counts, now)
            yield from _deliveries(settings, store, now)
        yield from named_people(config, store)
    except SchemaBehind as behind:
        missing = ", ".join(behind.missing)
        yield CheckResult(
            Level.WRONG,
            "store",
            f"database is behind: {missing}",
            "run: orcid-connect migrate",
            {"missing": behind.missing},
        )
    except tuple(STORE_MENDS) as error:
        yield CheckResult(Level.WRONG, "store", f"{config.store.url}: {error}", STORE_MENDS[type(error)])


STORE_MENDS: dict[type[Exception], str] = {
    StoreUnavailable: "see that the database runs, and that this user may read and write it",
    SchemaAhead: "install the newer release, or restore the backup that was made before it",
    MigrationChanged: "install the release again as it was published",
}
"""What to do about each thing that keeps the store from being used."""


def _of_organisation(store: Store, organisation: Organisation, links: int) -> Iterator[CheckResult]:
    facts = {"id": organisation.id, "entity_id": organisation.entity_id, "links": links}
    said = f"{organisation.id}, {organisation.entity_id}, {links} link{'' if links == 1 else 's'}"
    yield CheckResult(Level.OK, "organisation", said, facts=facts)
    yield audit_of(store, organisation)


def _release(store: Store, organisation: Organisation, counts: ReleaseCounts, now: datetime) -> CheckResult:
    """Tell whether the organisation's own Identity Provider was seen to release what its people have linked."""
    facts = {"id": organisation.id, **asdict(counts)}
    text = f"{organisation.id}, linked {counts.linked}, release seen {counts.seen}"
    if counts.other or counts.missing:
        text += f"; came back with another iD {counts.other}, with none {counts.missing}"
    if _never_works(store, organisation, counts, now):
        mend = "the release does not seem to work; docs/operator.md says under Release seen what to look at"
        return CheckResult(Level.WARNING, "release", text, mend, facts)
    return CheckResult(Level.NOTE if counts.other or counts.missing else Level.OK, "release", text, facts=facts)


def _never_works(store: Store, organisation: Organisation, counts: ReleaseCounts, now: datetime) -> bool:
    """Tell whether nothing was ever seen, though somebody came back for it, or enough people have had the time to."""
    if counts.seen or counts.linked < _FEW:
        return False
    if counts.other + counts.missing >= _FEW:
        return True
    return store.releases.count_linked_before(organisation.entity_id, now - _LONG, _MANY) == _MANY


def _deliveries(settings: OrganisationSettings, store: Store, now: datetime) -> Iterator[CheckResult]:
    """Tell how each transfer stands: what it is owed, what was given up, and whether it is left alone."""
    organisation = settings.organisation
    counts = {(each.transfer, each.state): each for each in store.deliveries.counts(organisation.entity_id)}
    breakers = {each.transfer: each for each in store.deliveries.breakers(organisation.entity_id)}
    configured = settings.transfers
    for name in dict.fromkeys([*configured, *breakers]):
        waiting, given_up = (counts.get((name, state)) for state in (DeliveryState.WAITING, DeliveryState.DEAD_LETTER))
        if name not in configured and not waiting:
            continue
        yield _standing(organisation, name, waiting, given_up)
        if given_up:
            yield _given_up(organisation, name, given_up)
        if name in configured and (missed := store.deliveries.count_missing(organisation.entity_id, name)):
            yield _never_owed(organisation, name, missed)
        if name not in configured:
            text = f"{organisation.id} has no transfer {name} any more, and something is owed to it"
            mend = f'write [[transfer]] with name = "{name}" again; what waits is given up after three days'
            yield CheckResult(Level.WARNING, "transfer", text, mend, {"id": organisation.id, "transfer": name})
        elif name in breakers:
            yield from _left_alone(organisation, breakers[name], now)


def _standing(
    organisation: Organisation, name: str, waiting: DeliveryCount | None, given_up: DeliveryCount | None
) -> CheckResult:
    facts = {
        "id": organisation.id,
        "transfer": name,
        "waiting": waiting.count if waiting else 0,
        "oldest": waiting.oldest.isoformat() if waiting else None,
        "given_up": given_up.count if given_up else 0,
    }
    if waiting is None:
        return CheckResult(Level.OK, "transfer", f"{organisation.id}, nothing waits for {name}", facts=facts)
    since = waiting.oldest.strftime("%Y-%m-%d %H:%M UTC")
    text = f"{organisation.id}, {waiting.count} waiting for {name}, the oldest since {since}"
    return CheckResult(Level.NOTE, "transfer", text, facts=facts)


def _given_up(organisation: Organisation, name: str, given_up: DeliveryCount) -> CheckResult:
    text = f"{organisation.id}, {given_up.count} given up that should have gone to {name}"
    mend = f"see why: orcid-connect history {organisation.id}; then: orcid-connect deliver --retry {organisation.id}"
    facts = {"id": organisation.id, "transfer": name, "given_up": given_up.count}
    return CheckResult(Level.WARNING, "transfer", text, mend, facts)


def _never_owed(organisation: Organisation, name: str, missed: int) -> CheckResult:
    were = "link was" if missed == 1 else "links were"
    text = f"{organisation.id}, {missed} current {were} never sent to {name}"
    mend = f"send them: orcid-connect transfer backfill {organisation.id} {name}"
    facts = {"id": organisation.id, "transfer": name, "never_sent": missed}
    return CheckResult(Level.WARNING, "transfer", text, mend, facts)


def _left_alone(organisation: Organisation, breaker: TransferBreaker, now: datetime) -> Iterator[CheckResult]:
    if breaker.open_until is None:
        return
    until = breaker.open_until.strftime("%Y-%m-%d %H:%M:%S UTC")
    rests = f"left alone until {until}" if breaker.open_until > now else "now tried with one delivery at a time"
    times = "failure" if breaker.consecutive_failures == 1 else "failures in a row"
    text = f"{organisation.id}, {breaker.transfer} is {rests}, after {breaker.consecutive_failures} {times}"
    mend = f"try it: orcid-connect transfer test {organisation.id} --transfer {breaker.transfer}"
    facts = {
        "id": organisation.id,
        "transfer": breaker.transfer,
        "failures": breaker.consecutive_failures,
        "until": until,
    }
    yield CheckResult(Level.WARNING, "transfer", text, mend, facts)


def ask_orcid(config: Config) -> CheckResult:
    """Tell whether ORCID answers, and as itself."""
    url = config.orcid.base_url
    try:
        orcid_client(config).must_answer()
    except OrcidUnavailable as error:
        mend = "see that this machine may reach it (firewall, DNS), and https://status.orcid.org"
        return CheckResult(
            Level.WRONG, "ORCID", f"{url} does not answer as it should: {error.reason}", mend, {"url": url}
        )
    return CheckResult(Level.OK, "ORCID", f"{url} answers", facts={"url": url})
