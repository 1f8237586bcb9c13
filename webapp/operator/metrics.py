"""Metrics for Prometheus, without personal data.

They are read from the database at each request, so that all processes return the same values.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from resolver_connector.metrics import process_metrics
from shibboleth.orcid_id import Registry
from shibboleth.organisation import Organisation, Organisations, State
from shibboleth.version import VERSION
from sql.counts import STARTED
from sql.errors import SchemaAhead, SchemaBehind, StoreUnavailable
from sql.records import RecordState
from sql.repositories.orcid.tokens import RevocationCount
from sql.store import Store
from webapp.certificates import UsedCertificate
from webapp.operator.statistics import REFUSED_CODES
from webapp.pages.problems import NotFound
from webapp.pages.request import PageRequest, RawResponse

if TYPE_CHECKING:
    from webapp.pages.context import AppContext


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """Name, help text, labels and type of a metric."""

    name: str
    """Without the suffix `_total` that counters get."""
    help: str
    labels: tuple[str, ...] = ("organisation",)
    counter: bool = False
    """Whether it is a counter; otherwise it is a gauge."""

    @property
    def sample_name(self) -> str:
        """The name of its samples."""
        return f"{self.name}_total" if self.counter else self.name


_TRANSFER = ("organisation", "transfer")
METRICS = {
    metric.name: metric
    for metric in (
        MetricDefinition(
            "orcid_connect_store_up",
            "1 if the database can be read; otherwise 0, and there are no metrics of organisations.",
            (),
        ),
        MetricDefinition(
            "orcid_connect_store_writable", "1 if the database can be written; otherwise links cannot be saved.", ()
        ),
        MetricDefinition(
            "orcid_connect_store_wal_backlog_bytes",
            "Size of SQLite's write-ahead log that waits for a checkpoint; it grows while a process reads for long.",
            (),
        ),
        MetricDefinition(
            "orcid_connect_certificate_expiry_timestamp_seconds",
            "Unix time at which a certificate of the service's own expires; 0 if its file cannot be read.",
            ("organisation", "used_for"),
        ),
        MetricDefinition(
            "orcid_connect_record_lookups_overdue_seconds",
            "How long the look-up of an iD at ORCID that has waited longest is due; 0 if none is.",
            (),
        ),
        MetricDefinition("orcid_connect_record_lookups_due", "iDs whose look-up at ORCID is due.", ()),
        MetricDefinition("orcid_connect_build_info", "1, with the version of the program.", ("version",)),
        MetricDefinition(
            "orcid_connect_record_lookup_failures", "Batches of look-ups at ORCID since the last that succeeded.", ()
        ),
        MetricDefinition(
            "orcid_connect_organisation_misconfigured",
            "1 if the organisation is left out because its file is invalid; otherwise 0.",
        ),
        MetricDefinition(
            "orcid_connect_organisation_state",
            "1 for the state of the organisation: hidden, pilot, open or closed; otherwise 0.",
            ("organisation", "state"),
        ),
        MetricDefinition("orcid_connect_links", "People with a linked ORCID iD."),
        MetricDefinition(
            "orcid_connect_links_release_seen", "Of these, those whose iD their own Identity Provider has released."
        ),
        MetricDefinition(
            "orcid_connect_links_release_missed",
            "Of these, those who signed in a day or more later with another iD (other) or with none (missing).",
            ("organisation", "reason"),
        ),
        MetricDefinition(
            "orcid_connect_links_record_state",
            "Of the links, those whose iD's record at ORCID is deprecated, deactivated, locked or not-found.",
            ("organisation", "state"),
        ),
        MetricDefinition(
            "orcid_connect_links_suspended",
            "Of these, those whose iD is not released until its record is in use again.",
        ),
        MetricDefinition("orcid_connect_orcid_tokens_kept", "ORCID's token pairs of open attempts and current links."),
        MetricDefinition("orcid_connect_orcid_revocations_waiting", "ORCID's token pairs that are to be revoked."),
        MetricDefinition(
            "orcid_connect_orcid_revocations_oldest_waiting_age_seconds",
            "How long the oldest of these has waited; 0 if there is none.",
        ),
        MetricDefinition(
            "orcid_connect_orcid_revocations_failing",
            "Of these, those whose last attempt failed, by outcome: temporary, misconfigured or unreadable.",
            ("organisation", "outcome"),
        ),
        MetricDefinition("orcid_connect_orcid_tokens_revoked", "Stored token pairs that ORCID revoked.", counter=True),
        MetricDefinition(
            "orcid_connect_orcid_revocation_failures", "Attempts to revoke a stored pair that failed.", counter=True
        ),
        MetricDefinition(
            "orcid_connect_orcid_tokens_lost", "Token pairs that were neither revoked nor kept.", counter=True
        ),
        MetricDefinition("orcid_connect_attempts_open", "Attempts that are neither ended nor expired."),
        MetricDefinition("orcid_connect_attempts_started", "Started attempts to link an iD.", counter=True),
        MetricDefinition(
            "orcid_connect_attempts_ended",
            "Ended attempts by outcome: linked, replaced, unchanged, declined, cancelled or the code of a problem.",
            ("organisation", "outcome"),
            counter=True,
        ),
        MetricDefinition(
            "orcid_connect_sign_ins_refused",
            "Sign-ins that were refused, by the code of the problem; organisation `-` is none that is known.",
            ("organisation", "reason"),
            counter=True,
        ),
        MetricDefinition(
            "orcid_connect_changes",
            "Changes of links by kind: linked, replaced, removed.",
            ("organisation", "kind"),
            counter=True,
        ),
        MetricDefinition(
            "orcid_connect_deliveries_ended",
            "Ended deliveries by outcome: delivered or dead-letter.",
            ("organisation", "outcome"),
            counter=True,
        ),
        MetricDefinition("orcid_connect_deliveries_waiting", "Waiting deliveries.", _TRANSFER),
        MetricDefinition(
            "orcid_connect_deliveries_oldest_waiting_age_seconds",
            "Age of the oldest waiting delivery; 0 if there is none.",
            _TRANSFER,
        ),
        MetricDefinition(
            "orcid_connect_dead_letters", "Deliveries that were given up and have not been retried.", _TRANSFER
        ),
        MetricDefinition(
            "orcid_connect_circuit_breaker_open",
            "1 if deliveries are paused after repeated failures; otherwise 0.",
            _TRANSFER,
        ),
        MetricDefinition(
            "orcid_connect_feed_unacknowledged_changes", "Changes that the organisation has not acknowledged."
        ),
        MetricDefinition(
            "orcid_connect_feed_oldest_unacknowledged_age_seconds",
            "Age of the oldest change that the organisation has not acknowledged; 0 if there is none.",
        ),
        MetricDefinition(
            "orcid_connect_feed_last_acknowledged_timestamp_seconds",
            "Unix time at which the organisation last acknowledged changes.",
        ),
    )
}

_CHANGE_KINDS = ("linked", "replaced", "removed", "moved")
_DELIVERY_OUTCOMES = ("delivered", "dead-letter")
_REVOCATION_OUTCOMES = ("temporary", "misconfigured", "unreadable")
_REVOCATION_COUNTERS: Mapping[str, RevocationCount] = MappingProxyType(
    {
        "orcid_connect_orcid_tokens_revoked": "revoked",
        "orcid_connect_orcid_revocation_failures": "failed",
        "orcid_connect_orcid_tokens_lost": "lost",
    }
)
"""What of the stored counts is which metric."""

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The text format of Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/)."""
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="metrics"'}
_Sample = tuple[str, tuple[str, ...], float]


def metrics(context: AppContext, request: PageRequest) -> RawResponse:
    """Return all metrics; the request needs the bearer token of `[metrics]`.

    Raises:
        NotFound: If no token is configured.
    """
    token = context.admin_access.metrics_token
    if not token:
        raise NotFound
    if not _equal(request.authorization, f"Bearer {token}"):
        return RawResponse(b"A bearer token is needed.\n", "text/plain; charset=utf-8", 401, headers=_CHALLENGE)
    families = list(
        _families(
            [
                *_certificate_samples(context.certificates),
                *_read_samples(context.store, context.organisations, context.linking.orcid.registry, request.now),
            ]
        )
    )

    class StaticCollector(Collector):
        def collect(self) -> Iterable[Metric]:
            return families

    registry = CollectorRegistry()
    registry.register(StaticCollector())
    return RawResponse(generate_latest(registry) + process_metrics(), _CONTENT_TYPE)


def _equal(given: str, expected: str) -> bool:
    # Digests have the same length, so that the duration of the comparison does not reveal the length of the token
    digests = [hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (given, expected)]
    return hmac.compare_digest(*digests)


def _families(samples: Iterable[_Sample]) -> Iterator[Metric]:
    by_name: dict[str, list[tuple[tuple[str, ...], float]]] = {}
    for name, labels, value in samples:
        by_name.setdefault(name, []).append((labels, value))
    for name, values in by_name.items():
        metric = METRICS[name]
        family_type = CounterMetricFamily if metric.counter else GaugeMetricFamily
        family = family_type(name, metric.help, labels=metric.labels)
        for labels, value in values:
            family.add_metric(labels, value)
        yield family


def _read_samples(store: Store, organisations: Organisations, registry: Registry, now: datetime) -> list[_Sample]:
    # A database that fails while it is read is not up, and then there are no other samples
    try:
        store.check_schema()
        return [
            ("orcid_connect_store_up", (), 1),
            *_configuration_samples(organisations),
            *_samples(store, organisations, registry, now),
            *_write_samples(store),
        ]
    except (StoreUnavailable, SchemaBehind, SchemaAhead):
        return [
            ("orcid_connect_store_up", (), 0),
            ("orcid_connect_store_writable", (), 0),
            *_configuration_samples(organisations),
        ]


def _certificate_samples(certificates: Iterable[UsedCertificate]) -> Iterator[_Sample]:
    for each in certificates:
        expires = each.expires_at
        labels = (each.organisation, each.used_for)
        yield "orcid_connect_certificate_expiry_timestamp_seconds", labels, expires.timestamp() if expires else 0


def _write_samples(store: Store) -> list[_Sample]:
    try:
        backlog = store.check_writable()
    except StoreUnavailable:
        return [("orcid_connect_store_writable", (), 0)]
    return [("orcid_connect_store_writable", (), 1), ("orcid_connect_store_wal_backlog_bytes", (), backlog)]


def _configuration_samples(organisations: Organisations) -> Iterator[_Sample]:
    yield "orcid_connect_build_info", (VERSION,), 1
    for one in organisations:
        yield "orcid_connect_organisation_misconfigured", (one.id,), 0
        for state in State:
            yield "orcid_connect_organisation_state", (one.id, state.value), one.state is state
    for organisation_id in sorted(organisations.misconfigured):
        yield "orcid_connect_organisation_misconfigured", (organisation_id,), 1


def _samples(store: Store, organisations: Organisations, registry: Registry, now: datetime) -> Iterator[_Sample]:
    oldest, batch = store.record_statuses.oldest_due(registry), store.record_statuses.batch(registry, now)
    yield "orcid_connect_record_lookups_overdue_seconds", (), _age(oldest, now)
    yield "orcid_connect_record_lookups_due", (), store.record_statuses.count_due(registry, now)
    yield "orcid_connect_record_lookup_failures", (), batch.failures
    opened = store.attempts.count_open(now)
    for organisation_id in sorted({one.id for one in organisations} | {*organisations.misconfigured}):
        yield "orcid_connect_attempts_open", (organisation_id,), opened.get(organisation_id, 0)
    known = {one.id for one in organisations} | {*organisations.misconfigured}
    yield from _token_samples(store, sorted(known), now)
    for organisation_id in ("", *sorted(known)):
        refused = store.statistics.refused_sign_ins(organisation_id)
        for code in REFUSED_CODES:
            # Zero too: an increase from nothing is none for Prometheus
            yield "orcid_connect_sign_ins_refused", (organisation_id or "-", code), refused[code]
    for one in organisations:
        yield from _organisation_samples(store, one)
    for backlog in store.statistics.backlogs():
        if backlog.breaker.organisation in known:
            labels = (backlog.breaker.organisation, backlog.breaker.transfer)
            yield "orcid_connect_deliveries_waiting", labels, backlog.waiting
            age = _age(backlog.oldest_waiting_at, now)
            yield "orcid_connect_deliveries_oldest_waiting_age_seconds", labels, age
            yield "orcid_connect_dead_letters", labels, backlog.dead_letters
            yield "orcid_connect_circuit_breaker_open", labels, backlog.breaker.open_until is not None
    for feed in store.statistics.feed_progress():
        if feed.organisation in known:
            label = (feed.organisation,)
            yield "orcid_connect_feed_unacknowledged_changes", label, feed.unfetched
            yield "orcid_connect_feed_oldest_unacknowledged_age_seconds", label, _age(feed.oldest_unfetched_at, now)
            yield "orcid_connect_feed_last_acknowledged_timestamp_seconds", label, feed.at.timestamp()


def _organisation_samples(store: Store, organisation: Organisation) -> Iterator[_Sample]:
    totals, label = store.statistics.totals(organisation.id), organisation.id
    links = store.statistics.release_counts(organisation.id, totals)
    yield "orcid_connect_links", (label,), links.linked
    yield "orcid_connect_links_release_seen", (label,), links.seen
    yield "orcid_connect_links_release_missed", (label, "other"), links.other
    yield "orcid_connect_links_release_missed", (label, "missing"), links.missing
    records = store.record_statuses.counts(organisation.id)
    for state in RecordState:
        if state is not RecordState.OK:
            yield "orcid_connect_links_record_state", (label, state.value), records.by_state.get(state, 0)
    yield "orcid_connect_links_suspended", (label,), records.suspended
    yield "orcid_connect_attempts_started", (label,), totals[STARTED]
    for (source, outcome), count in sorted(totals.items()):
        if source == "attempt" and (source, outcome) != STARTED:
            yield "orcid_connect_attempts_ended", (label, outcome), count
    for kind in _CHANGE_KINDS:
        yield "orcid_connect_changes", (label, kind), totals["event", kind]
    for name, counted in _REVOCATION_COUNTERS.items():
        yield name, (label,), totals["revocation", counted]
    for outcome in _DELIVERY_OUTCOMES:
        yield "orcid_connect_deliveries_ended", (label, outcome), totals["event", outcome]


def _token_samples(store: Store, organisations: Sequence[str], now: datetime) -> Iterator[_Sample]:
    found = store.orcid_tokens.counts()
    for one in organisations:
        own = [each for each in found if each.organisation == one]
        waiting = [each for each in own if each.due]
        yield "orcid_connect_orcid_tokens_kept", (one,), sum(each.count for each in own if not each.due)
        yield "orcid_connect_orcid_revocations_waiting", (one,), sum(each.count for each in waiting)
        age = _age(min((each.oldest for each in waiting), default=None), now)
        yield "orcid_connect_orcid_revocations_oldest_waiting_age_seconds", (one,), age
        for outcome in _REVOCATION_OUTCOMES:
            failing = sum(each.count for each in waiting if each.outcome == outcome)
            yield "orcid_connect_orcid_revocations_failing", (one, outcome), failing


def _age(since: datetime | None, now: datetime) -> float:
    return max((now - since) / timedelta(seconds=1), 0) if since else 0
