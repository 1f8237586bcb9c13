"""Checks of one organisation's steps, from its metadata to the release."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta

from shibboleth.metadata import InvalidMetadata
from shibboleth.organisation import Organisation
from sql.store import Store
from webapp.checks.configuration import check_state
from webapp.checks.deliveries import check_deliveries
from webapp.checks.links.release import check_release
from webapp.checks.result import CheckResult, Level
from webapp.checks.store import STORE_FIXES
from webapp.config.loader import Config
from webapp.config.organisation import OrganisationSettings
from webapp.linking.admission import LinkingClosed, NotAdmitted
from webapp.pages.problems import PROBLEMS

_RECENT = timedelta(days=30)
"""Look-ups and refused sign-ins that are older count as none."""
BY_STATE = {PROBLEMS[each].code for each in (NotAdmitted, LinkingClosed)}
"""Codes of sign-ins that are refused because of the organisation's state, as they should be."""


def check_chain(
    config: Config,
    settings: OrganisationSettings,
    store: Store,
    metadata: tuple[bytes, str] | None,
    now: datetime,
) -> Iterator[CheckResult]:
    """Check each step from an organisation's metadata to the release.

    Args:
        config: The configuration.
        settings: The organisation.
        store: The store, in any state.
        metadata: The federation's metadata and its certificate (PEM); None if it is not to be checked.
        now: The time of the checks.
    """
    yield from check_state(settings)
    if metadata is None:
        text, fix = "the federation's metadata was not read", "name it: --metadata FILE, or its https address"
        yield CheckResult(Level.INFO, "metadata", text, fix, {"id": settings.organisation.id})
    else:
        for entity_id in settings.organisation.entity_ids:
            yield _metadata(settings, entity_id, *metadata, now)
    try:
        store.check_schema()
        yield from _sign_ins(settings, store)
        yield from _refused_sign_ins(settings.organisation, store, now)
        yield from check_deliveries(settings, store, now)
        yield from _look_ups(settings, store, now)
        yield _release(config, settings, store, now)
    except tuple(STORE_FIXES) as error:
        yield CheckResult(Level.ERROR, "store", str(error), STORE_FIXES[type(error)])


def _metadata(
    settings: OrganisationSettings, entity_id: str, metadata: bytes, certificate: str, now: datetime
) -> CheckResult:
    from shibboleth.federation_metadata import read_identity_provider  # noqa: PLC0415 - signxml and lxml are large

    organisation = settings.organisation
    details = {"id": organisation.id, "entity_id": entity_id}
    try:
        found = read_identity_provider(metadata, certificate, entity_id, now)
    except InvalidMetadata as error:
        fix = "compare entity_ids with the metadata; ask the organisation or the federation if it is gone from there"
        return CheckResult(Level.ERROR, "metadata", f"{entity_id}: {error}", fix, details)
    known, stated = organisation.scopes, {scope.lower() for scope in found.scopes}
    if missing := sorted(known - stated):
        # The Service Provider drops values with a scope that the metadata does not have
        text = f"{entity_id}: the metadata does not have the scopes {', '.join(missing)} of the file"
        if found.pattern_scopes:
            text += f", unless a pattern has: {', '.join(found.pattern_scopes)}"
        fix = "ask the organisation to have them added in the federation's registry, or remove them from scopes"
        return CheckResult(Level.WARNING, "metadata", text, fix, {**details, "missing": missing})
    if more := sorted(stated - known):
        text = f"{entity_id}: the file does not have the scopes {', '.join(more)} of the metadata"
        fix = "add them to scopes if its people have them: with another scope they are refused"
        return CheckResult(Level.INFO, "metadata", text, fix, {**details, "more": more})
    until = f", valid until {found.valid_until}" if found.valid_until else ""
    text = f"{entity_id} is in the signed metadata with the same scopes{until}"
    return CheckResult(Level.OK, "metadata", text, details=details)


def _sign_ins(settings: OrganisationSettings, store: Store) -> Iterator[CheckResult]:
    organisation = settings.organisation
    providers = {
        each.entity_id: each
        for each in store.organisations.identity_providers()
        if each.organisation == organisation.id
    }
    for entity_id in organisation.entity_ids:
        details = {"id": organisation.id, "entity_id": entity_id}
        known = providers.get(entity_id)
        if known is None or known.signed_in_at is None:
            text = f"{organisation.id}, nobody has signed in through {entity_id}"
            fix = "sign in with a test account; if a page says what is missing, send it to the organisation"
            yield CheckResult(Level.WARNING, "sign-in", text, fix, details)
        else:
            text = f"{organisation.id}, last sign-in through {entity_id} on {known.signed_in_at:%Y-%m-%d}"
            yield CheckResult(Level.OK, "sign-in", text, details=details)
    seen = store.organisations.holder_attributes(organisation.id)
    if not seen.links:
        return
    name = organisation.stable_id
    details = {"id": organisation.id, **asdict(seen)}
    text = f"{organisation.id}, of {seen.links} links {seen.issue_times} have funetEduPersonEPPNTimeStamp"
    if name:
        text += f", and {seen.stable_ids} have {name}"
    if name and not seen.stable_ids:
        fix = f"ask the organisation to release {name}: without it a reassigned or renamed account is not recognised"
        yield CheckResult(Level.WARNING, "attributes", text, fix, details)
    else:
        yield CheckResult(Level.INFO, "attributes", text, details=details)


def _refused_sign_ins(organisation: Organisation, store: Store, now: datetime) -> Iterator[CheckResult]:
    refused = store.statistics.refused_sign_ins(organisation.id, (now - _RECENT).date())
    if refused:
        counts = ", ".join(f"{code} {count}" for code, count in sorted(refused.items()))
        text = f"{organisation.id}, refused sign-ins in {_RECENT.days} days: {counts}"
        details = {"id": organisation.id, **refused}
        if refused.keys() <= BY_STATE:
            fix = "nothing, if its people are to wait; docs/piloting.md explains the states"
            yield CheckResult(Level.INFO, "refused", text, fix, details)
        else:
            fix = "tell the organisation what its Identity Provider has to release; docs/problems.md explains each code"
            yield CheckResult(Level.WARNING, "refused", text, fix, details)


def _look_ups(settings: OrganisationSettings, store: Store, now: datetime) -> Iterator[CheckResult]:
    organisation = settings.organisation
    if not settings.keeps_links:
        return
    if not settings.credentials and not settings.idm_transfers:
        text = f"{organisation.id} has no credential and no transfer, so it cannot get its people's iDs"
        fix = f"add a [[credential]] to organisations/{organisation.id}.toml; docs/settings.md shows one"
        yield CheckResult(Level.ERROR, "look-up", text, fix, {"id": organisation.id})
    rights = store.statistics.credential_rights(organisation.id)
    used = {(each.credential, each.right): each.last_used_on for each in rights}
    for credential in settings.credentials:
        last = max(filter(None, (used.get((credential.name, right)) for right in credential.rights)), default=None)
        details = {"id": organisation.id, "credential": credential.name, "last_used_on": last and last.isoformat()}
        use = "has never been used" if last is None else f"was last used on {last}"
        text = f"{organisation.id}, the credential {credential.name} {use}"
        if last is not None and last >= (now - _RECENT).date():
            yield CheckResult(Level.OK, "look-up", text, details=details)
            continue
        fix = "ask whether the system is set up: docs/identity-provider.md has a test with curl, and docs/problems.md"
        yield CheckResult(Level.WARNING, "look-up", text, fix, details)


def _release(config: Config, settings: OrganisationSettings, store: Store, now: datetime) -> CheckResult:
    organisation = settings.organisation
    if not settings.keeps_links:
        text = f'{organisation.id} has keep = "nothing", so no release is compared'
        return CheckResult(Level.INFO, "release", text, details={"id": organisation.id})
    counts = store.releases.counts(organisation.id)
    details = {"id": organisation.id, "linked": counts.linked, "seen": counts.seen}
    if not counts.linked:
        text = f"{organisation.id}, nobody has linked an iD"
        fix = f"link one with a test account: {config.service.public_url}/o/{organisation.id}"
        return CheckResult(Level.WARNING, "release", text, fix, details)
    if not counts.seen and not counts.other and not counts.missing:
        text = f"{organisation.id}, linked {counts.linked}, and nobody has signed in again since"
        fix = "sign out, and sign in with a linked account: the page then says whether the iD was released"
        return CheckResult(Level.WARNING, "release", text, fix, details)
    return check_release(store, organisation, counts, now)
