"""The metrics: figures for a monitoring system, read from the store at the moment of asking.

So they are right however many processes serve, and whichever of them is asked. No figure tells of a person.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shibboleth.organisation import Organisation, Organisations
from sql.errors import SchemaAhead, SchemaBehind, StoreUnavailable
from sql.records import FeedProgress, TransferBacklog
from sql.repositories.statistics import STARTED
from sql.store import Store
from webapp.pages.problems import NotFound
from webapp.pages.request import PageRequest, RawResponse

if TYPE_CHECKING:
    from webapp.pages.context import AppContext


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: what it is called there, what it counts, and what its labels are."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ("organisation",)
    counter: bool = False
    """Whether it only ever grows."""

    @property
    def written(self) -> str:
        """Its name, as it is written in a rule."""
        return f"{self.name}_total" if self.counter else self.name


_WAY = ("organisation", "transfer")
FIGURES = {
    figure.name: figure
    for figure in (
        Figure("orcid_connect_store_up", "Whether the database answers: without it there are no other figures.", ()),
        Figure("orcid_connect_linked", "Persons who have an ORCID iD linked now."),
        Figure("orcid_connect_release_seen", "Those of them whose iD their own Identity Provider was seen to release."),
        Figure(
            "orcid_connect_release_missed",
            "Those who came back a day or more after the linking with another iD (other), or with none (missing).",
            ("organisation", "kind"),
        ),
        Figure("orcid_connect_attempts_started", "Linkings that were started.", counter=True),
        Figure(
            "orcid_connect_attempts_ended",
            "Linkings that ended, by outcome: linked, replaced, unchanged, declined, cancelled, or a word of the log.",
            ("organisation", "outcome"),
            counter=True,
        ),
        Figure(
            "orcid_connect_changes",
            "Links that came, were replaced or went: linked, replaced, removed.",
            ("organisation", "kind"),
            counter=True,
        ),
        Figure(
            "orcid_connect_deliveries_ended",
            "Deliveries that arrived (delivered) or will not be tried again (dead-letter).",
            ("organisation", "outcome"),
            counter=True,
        ),
        Figure("orcid_connect_deliveries_waiting", "Deliveries that wait now.", _WAY),
        Figure("orcid_connect_deliveries_oldest_waiting_seconds", "How old the oldest of these is.", _WAY),
        Figure("orcid_connect_deliveries_dead_letters", "Deliveries that were given up and are still missing.", _WAY),
        Figure(
            "orcid_connect_breaker_open", "Whether a transfer is left alone because it failed again and again.", _WAY
        ),
        Figure("orcid_connect_feed_behind", "Changes that an organisation which fetches has not acknowledged."),
        Figure("orcid_connect_feed_oldest_unfetched_seconds", "How old the oldest of these is."),
        Figure("orcid_connect_feed_acknowledged_timestamp_seconds", "When the organisation last acknowledged changes."),
    )
}

CHANGES = ("linked", "replaced", "removed")
ENDS = ("delivered", "dead-letter")

_FORM = "text/plain; version=0.0.4; charset=utf-8"
"""The form that every Prometheus reads (https://prometheus.io/docs/instrumenting/exposition_formats/)."""
_Sample = tuple[str, tuple[str, ...], float]
_REALM = {"WWW-Authenticate": 'Bearer realm="metrics"'}


def metrics(context: AppContext, request: PageRequest) -> RawResponse:
    """Give all figures to whoever brings the operator's token."""
    token = context.admin_access.metrics_token
    if not token:
        raise NotFound
    if not _same(request.authorization, f"Bearer {token}"):
        return RawResponse(b"A bearer token is needed.\n", "text/plain; charset=utf-8", 401, headers=_REALM)
    return _exposition(_samples(context.store, context.organisations, request.now))


def _same(said: str, expected: str) -> bool:
    # Digests, so that neither spelling nor length is told by the time it takes
    digests = [hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (said, expected)]
    return hmac.compare_digest(*digests)


def _exposition(samples: Iterable[_Sample]) -> RawResponse:
    found = list(_families(samples))

    class Once(Collector):
        def collect(self) -> Iterable[Metric]:
            return found

    registry = CollectorRegistry()
    registry.register(Once())
    return RawResponse(generate_latest(registry), _FORM)


def _families(samples: Iterable[_Sample]) -> Iterator[Metric]:
    by_name: dict[str, list[tuple[tuple[str, ...], float]]] = {}
    for name, labels, value in samples:
        by_name.setdefault(name, []).append((labels, value))
    for name, figure in FIGURES.items():
        kind = CounterMetricFamily if figure.counter else GaugeMetricFamily
        family = kind(name, figure.meaning, labels=figure.labels)
        for labels, value in by_name.get(name, []):
            family.add_metric(labels, value)
        if name in by_name:
            yield family


def _samples(store: Store, organisations: Organisations, now: datetime) -> list[_Sample]:
    try:
        store.check_schema()
        return [("orcid_connect_store_up", (), 1), *_of_all(store, organisations, now)]
    except (StoreUnavailable, SchemaBehind, SchemaAhead):
        return [("orcid_connect_store_up", (), 0)]


def _of_all(store: Store, organisations: Organisations, now: datetime) -> Iterator[_Sample]:
    called = {one.entity_id: one.id for one in organisations}
    for one in organisations:
        yield from _of_organisation(store, one)
    for way in store.statistics.backlogs():
        if way.breaker.organisation in called:
            yield from _of_way(way, called[way.breaker.organisation], now)
    for fetching in store.statistics.feed_progress():
        if fetching.organisation in called:
            yield from _of_feed(fetching, called[fetching.organisation], now)


def _of_organisation(store: Store, organisation: Organisation) -> Iterator[_Sample]:
    totals, name = store.statistics.totals(organisation.entity_id), organisation.id
    links = store.statistics.release_counts(organisation.entity_id, totals)
    yield "orcid_connect_linked", (name,), links.linked
    yield "orcid_connect_release_seen", (name,), links.seen
    yield "orcid_connect_release_missed", (name, "other"), links.other
    yield "orcid_connect_release_missed", (name, "missing"), links.missing
    yield "orcid_connect_attempts_started", (name,), totals[STARTED]
    for (source, word), count in sorted(totals.items()):
        if source == "attempt" and (source, word) != STARTED:
            yield "orcid_connect_attempts_ended", (name, word), count
    for kind in CHANGES:
        yield "orcid_connect_changes", (name, kind), totals["event", kind]
    for end in ENDS:
        yield "orcid_connect_deliveries_ended", (name, end), totals["event", end]


def _of_way(way: TransferBacklog, name: str, now: datetime) -> Iterator[_Sample]:
    labels = (name, way.breaker.transfer)
    opened = way.breaker.open_until is not None
    yield "orcid_connect_deliveries_waiting", labels, way.waiting
    yield "orcid_connect_deliveries_oldest_waiting_seconds", labels, _age(way.oldest_waiting_at, now)
    yield "orcid_connect_deliveries_dead_letters", labels, way.dead_letters
    yield "orcid_connect_breaker_open", labels, opened


def _of_feed(fetching: FeedProgress, name: str, now: datetime) -> Iterator[_Sample]:
    yield "orcid_connect_feed_behind", (name,), fetching.unfetched
    yield "orcid_connect_feed_oldest_unfetched_seconds", (name,), _age(fetching.oldest_unfetched_at, now)
    yield "orcid_connect_feed_acknowledged_timestamp_seconds", (name,), fetching.at.timestamp()


def _age(since: datetime | None, now: datetime) -> float:
    return max((now - since) / timedelta(seconds=1), 0) if since else 0
