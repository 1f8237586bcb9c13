"""Checks of ORCID: whether it can be reached, and what is kept of its tokens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import uuid4

from resolver_connector.orcid.http import OrcidUnavailable
from resolver_connector.orcid.revocation import RevocationOutcome, Revoker
from resolver_connector.orcid.sealing import TokenPair
from sql.store import Store
from webapp.checks.result import CheckResult, Level
from webapp.config.loader import Config
from webapp.linking.public_api import LookupFailed
from webapp.wiring.orcid import make_orcid_clients, make_sealer
from webapp.wiring.pages import orcid_client
from webapp.wiring.status_round import make_public_api

_LATE = timedelta(hours=1)
"""How long a revocation may wait without a warning."""
_CLIENT_TIMEOUT = 20.0
"""Seconds for the check of one client."""
_NAMED = 10
"""How many pairs that cannot be opened are named."""


def check_orcid(config: Config) -> CheckResult:
    """Send a request to ORCID, and check that ORCID answers it."""
    url = config.orcid.base_url
    try:
        orcid_client(config).check_discovery()
    except OrcidUnavailable as error:
        fix = "check that this machine can reach it (firewall, DNS), and https://status.orcid.org"
        text = f"{url} does not answer as expected: {error.reason}"
        return CheckResult(Level.ERROR, "ORCID", text, fix, {"url": url})
    return CheckResult(Level.OK, "ORCID", f"{url} answers", details={"url": url})


def check_public_api(config: Config, now: datetime) -> CheckResult:
    """Check that ORCID's public API, at which iDs are looked up, works."""
    url = config.orcid.public_api_url
    try:
        make_public_api(config).check_status(now)
    except LookupFailed as error:
        fix = "check that this machine can reach it (firewall, DNS), and https://status.orcid.org"
        text = f"{url} does not answer as expected: {error.reason}; the iDs' records cannot be looked up"
        return CheckResult(Level.WARNING, "ORCID", text, fix, {"url": url})
    return CheckResult(Level.OK, "ORCID", f"{url} answers", details={"url": url})


def check_clients(config: Config, now: datetime) -> Iterator[CheckResult]:
    """Check that ORCID accepts each client and its secret.

    Each revokes a token that does not exist, which changes nothing.
    """
    clients = make_orcid_clients(config)
    for name, each in (("", clients.service), *clients.organisations.items()):
        result = Revoker().revoke(each, TokenPair(str(uuid4())), _CLIENT_TIMEOUT, now)
        whose = f"{name}, {each.client_id}" if name else each.client_id
        details = {"organisation": name or None, "client_id": each.client_id}
        if result.outcome is RevocationOutcome.REVOKED:
            yield CheckResult(Level.OK, "ORCID client", f"{whose} and its secret are accepted", details=details)
        elif result.outcome is RevocationOutcome.MISCONFIGURED:
            where = f"[orcid] of organisations/{name}.toml" if name else "[orcid]"
            fix = f"compare client_id and client_secret in {where} with ORCID's developer tools"
            yield CheckResult(Level.ERROR, "ORCID client", f"{whose} or its secret is not accepted", fix, details)
        else:
            text = f"{whose} could not be checked: {result.reason}"
            yield CheckResult(Level.WARNING, "ORCID client", text, "run the check again later", details)


def check_token_keys(config: Config) -> Iterator[CheckResult]:
    """Check that the configured keys can be used."""
    for each in config.orcid.token_keys:
        if each.problem:
            text = f"[orcid] token_keys: {each.source} {each.problem}"
            fix = (
                "put the key back, from where you keep a copy; a new one is made by: "
                "openssl rand -base64 32 | tr '+/' '-_'; without any, tokens are revoked right after the exchange"
            )
            yield CheckResult(Level.ERROR, "tokens", text, fix, {"key": each.source})
    if not config.orcid.token_keys:
        text = "ORCID's tokens are not stored, and revoked right after the exchange: [orcid] token_keys is empty"
        yield CheckResult(Level.INFO, "tokens", text)


def check_tokens(config: Config, store: Store, now: datetime) -> Iterator[CheckResult]:
    """Report what waits to be revoked at ORCID, and what cannot be."""
    counts = store.orcid_tokens.counts()
    if not counts and not config.orcid.token_keys:
        return
    kept = sum(each.count for each in counts if not each.due)
    waiting = [each for each in counts if each.due]
    oldest = min((each.oldest for each in waiting), default=None)
    details = {
        "kept": kept,
        "waiting": sum(each.count for each in waiting),
        "oldest": oldest.isoformat() if oldest else None,
    }
    text = f"{kept} of ORCID's token pairs kept, {details['waiting']} to be revoked"
    late = oldest is not None and now - oldest > _LATE
    if late and oldest is not None:
        text += f", the oldest since {oldest:%Y-%m-%d %H:%M UTC}"
    fix = (
        "check that the worker runs (orcid-connect deliver); its log says orcid-token-revocation-failed. A pair that "
        "has to end an entry on an ORCID record first waits for that, a week at most"
        if late
        else ""
    )
    yield CheckResult(Level.WARNING if late else Level.OK, "tokens", text, fix, details)
    yield from _misconfigured(config, store)
    yield from _unreadable(config, store)


def check_affiliations(config: Config, store: Store) -> Iterator[CheckResult]:
    """Report items on ORCID records that nothing ends."""
    for organisation_id, count in store.affiliations.count_open_items().items():
        if organisation_id in config.misconfigured:
            continue
        settings = config.organisation_settings.get(organisation_id)
        transfer = settings.affiliation_transfer if settings else None
        details = {"id": organisation_id, "items": count}
        items = f"{organisation_id}, {count} {'item' if count == 1 else 'items'} on ORCID records"
        if settings is None or settings.orcid is None or transfer is None:
            text = f"{items} that no transfer keeps up to date or ends"
            fix = (
                f"add {'' if settings else 'the organisation and '}the transfer of kind orcid again, and its client in "
                f"[orcid]; to give it up, run first: orcid-connect transfer withdraw {organisation_id} NAME"
            )
            yield CheckResult(Level.ERROR, "affiliations", text, fix, details)
            continue
        waiting = store.affiliations.count_items_to_end(organisation_id, transfer[0], settings.orcid.client_id)
        if waiting:
            text = f"{items}, of which {waiting} {'has' if waiting == 1 else 'have'} to be ended, but nothing does so"
            fix = (
                f"run: orcid-connect transfer backfill {organisation_id} {transfer[0]}; what it cannot end, "
                f"orcid-connect history {organisation_id} says why, and only the person can delete it at ORCID"
            )
            yield CheckResult(Level.ERROR, "affiliations", text, fix, {**details, "to_end": waiting})


def _misconfigured(config: Config, store: Store) -> Iterator[CheckResult]:
    clients, found = make_orcid_clients(config), store.orcid_tokens.counts()
    for client_id in sorted({each.client_id for each in found}):
        own = [each for each in found if each.client_id == client_id]
        rejected = sum(each.count for each in own if each.outcome == RevocationOutcome.MISCONFIGURED)
        details = {"client_id": client_id, "tokens": sum(each.count for each in own), "rejected": rejected}
        if clients.find(client_id) is None:
            text = f"the configuration lacks the ORCID client {client_id}, which got {details['tokens']} token pairs"
            fix = (
                "add it as [[former_orcid_client]] until they are revoked; if ORCID has deleted it, give them up: "
                f"orcid-connect orcid-tokens discard --client {client_id}"
            )
            yield CheckResult(Level.ERROR, "tokens", text, fix, details)
        elif rejected:
            text = f"ORCID does not accept the client {client_id} or its secret: {rejected} token pairs are not revoked"
            fix = "correct the client secret, restart, and run: orcid-connect orcid-tokens retry"
            yield CheckResult(Level.ERROR, "tokens", text, fix, details)


def _unreadable(config: Config, store: Store) -> Iterator[CheckResult]:
    sealer = make_sealer(config)
    unreadable = [
        token_id
        for token_id, sealed in store.orcid_tokens.list_sealed()
        if sealer is None or not sealer.opens(token_id, sealed)
    ]
    if unreadable:
        named = ", ".join(unreadable[:_NAMED]) + (", …" if len(unreadable) > _NAMED else "")
        text = f"no configured key opens {len(unreadable)} of ORCID's token pairs, which cannot be revoked: {named}"
        fix = (
            "add the key that sealed them to [orcid] token_keys; if it is lost, give them up: orcid-connect "
            "orcid-tokens discard. The people's links are not affected"
        )
        yield CheckResult(Level.ERROR, "tokens", text, fix, {"tokens": unreadable})
