"""Checks of changes that would separate people from their links.

Links are found by the organisation's id and by the value of its key attribute. So ids, entityIDs, scopes and key
attributes that change can lose them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from shibboleth.organisation import Organisation
from sql.records import IdentityProvider, StoredOrganisation
from sql.store import Store
from webapp.checks.audit import check_audit_chain
from webapp.checks.result import CheckResult, Level
from webapp.config.loader import Config

_SUBJECT = "organisation"
_RECENT = timedelta(days=30)
"""Refused sign-ins that are older are not reported."""


def check_organisations(config: Config, store: Store, now: datetime) -> Iterator[CheckResult]:
    """Compare the organisations of the configuration with those of the database."""
    configured = {one.id: one for one in config.organisations}
    for stored in store.organisations.list_stored():
        organisation = configured.get(stored.id)
        if organisation is None and stored.merged_into is not None:
            yield check_audit_chain(store, stored.id)
        if organisation is not None:
            yield from _check_stored(stored, organisation, store)
        elif stored.links and stored.merged_into is None and stored.id not in {*config.misconfigured, *config.disabled}:
            text = f"{stored.id} has {_links(stored.links)} and no file {stored.id}.toml, so its people cannot sign in"
            fix = f"name its file {stored.id}.toml again, or: orcid-connect organisation merge {stored.id} INTO"
            yield CheckResult(Level.ERROR, _SUBJECT, text, fix, {"id": stored.id, "links": stored.links})
    current = {entity_id for one in config.organisations for entity_id in one.entity_ids}
    current |= {entity_id for one in config.misconfigured.values() for entity_id in one.entity_ids}
    missing = [one for one in store.organisations.identity_providers() if one.entity_id not in current]
    for provider in missing:
        if provider.organisation in configured:
            yield from _check_missing(provider, configured[provider.organisation], now)
    unknown = {one.entity_id: one.refused_at for one in missing if not one.organisation and _recent(one, now)}
    if unknown:
        last = max(unknown, key=lambda entity_id: str(unknown[entity_id]))
        text = f"people of {len(unknown)} organisations that are not connected tried to sign in, last through {last}"
        yield CheckResult(Level.INFO, _SUBJECT, text, details={"entity_ids": sorted(unknown)})


def _check_stored(stored: StoredOrganisation, organisation: Organisation, store: Store) -> Iterator[CheckResult]:
    details: dict[str, Any] = {"id": stored.id}
    if stored.merged_into is not None:
        text = f"{stored.id} was merged into {stored.merged_into}, and its credentials are refused"
        fix = f"delete {stored.id}.toml, and move its entityIDs and scopes to {stored.merged_into}.toml"
        yield CheckResult(Level.ERROR, _SUBJECT, text, fix, {**details, "merged_into": stored.merged_into})
    elif stored.links and stored.key_attribute not in {None, organisation.key}:
        text = f"{stored.id}, its links were made by {stored.key_attribute}, and its key is now {organisation.key}"
        fix = f'write key = "{stored.key_attribute}" again, or: orcid-connect organisation rekey {stored.id} --map FILE'
        key_details = {**details, "key_attribute": stored.key_attribute, "key": organisation.key}
        yield CheckResult(Level.ERROR, _SUBJECT, text, fix, key_details)
    else:
        for scope, count in store.organisations.links_by_scope(stored.id).items():
            if not organisation.has_scope(scope):
                text = f"{stored.id}, {_links(count)} of accounts with the scope {scope}, which is not one of its own"
                fix = f'add "{scope}" to scopes, or: orcid-connect organisation rekey {stored.id} --scope {scope}=NEW'
                yield CheckResult(Level.ERROR, _SUBJECT, text, fix, {**details, "scope": scope, "links": count})


def _check_missing(provider: IdentityProvider, organisation: Organisation, now: datetime) -> Iterator[CheckResult]:
    # An Identity Provider of the organisation that is not among its current ones
    entity_id, details = provider.entity_id, {"id": organisation.id, "entity_id": provider.entity_id}
    if provider.entity_id in organisation.former_entity_ids:
        if _recent(provider, now):
            text = (
                f"{organisation.id}, people still come from its former Identity Provider {entity_id}, and are refused"
            )
            fix = f"if it is in use again, move it to entity_ids in {organisation.id}.toml"
            yield CheckResult(Level.WARNING, _SUBJECT, text, fix, details)
    elif provider.signed_in_at is not None:
        day = f"{provider.signed_in_at:%Y-%m-%d}"
        text = f"{organisation.id}, people signed in through {entity_id} until {day}, and no file has it"
        fix = f"add it in {organisation.id}.toml to entity_ids, or to former_entity_ids if it is out of use"
        yield CheckResult(Level.ERROR, _SUBJECT, text, fix, details)
    elif _recent(provider, now):
        text = f"{organisation.id}, people with its scope are refused, because no file has {entity_id}"
        fix = f"if that is its Identity Provider, add it to entity_ids in {organisation.id}.toml"
        yield CheckResult(Level.ERROR, _SUBJECT, text, fix, details)


def _recent(provider: IdentityProvider, now: datetime) -> bool:
    return provider.refused_at is not None and now - provider.refused_at < _RECENT


def _links(count: int) -> str:
    return f"{count} link{'' if count == 1 else 's'}"
