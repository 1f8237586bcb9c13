"""Metrics that the processes count themselves, without personal data.

With the environment variable PROMETHEUS_MULTIPROC_DIR, prometheus-client keeps them in files of that directory, and the
page `/metrics` has the sums of all processes of the machine; without it, those of the process that answers.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from time import monotonic, time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Read by prometheus-client when it is imported."""
OTHER_ROUTE = "other"
"""The label of requests that no route has."""
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

REGISTRY = CollectorRegistry()
HTTP_REQUESTS = Histogram(
    "orcid_connect_http_request_duration_seconds",
    "Time from a request to the beginning of its response, by server (web or connector), route and status.",
    ("server", "route", "method", "status"),
    buckets=_BUCKETS,
    registry=REGISTRY,
)
ORCID_REQUESTS = Histogram(
    "orcid_connect_orcid_request_duration_seconds",
    "Duration of requests to ORCID by status of the response; none: there was none, or not a valid one.",
    ("status",),
    buckets=_BUCKETS,
    registry=REGISTRY,
)
CREDENTIALS_REFUSED = Counter(
    "orcid_connect_credentials_refused",
    "Requests to the connector with a credential that is not valid, by scheme: bearer, basic or other.",
    ("scheme",),
    registry=REGISTRY,
)
LOOKUPS = Counter(
    "orcid_connect_lookups", "Look-ups of a person by the organisation.", ("organisation",), registry=REGISTRY
)
LAST_LOOKUP = Gauge(
    "orcid_connect_last_lookup_timestamp_seconds",
    "Unix time of the last look-up of a person by the organisation.",
    ("organisation",),
    registry=REGISTRY,
    multiprocess_mode="max",
)
MEMORY = Gauge(
    "orcid_connect_process_resident_memory_bytes",
    "Memory of a process, by server (web, connector or worker); with several processes also by pid.",
    ("server",),
    registry=REGISTRY,
    multiprocess_mode="liveall",
)
CPU = Gauge(
    "orcid_connect_process_cpu_seconds",
    "Processor time of a process since its start, labelled as its memory.",
    ("server",),
    registry=REGISTRY,
    multiprocess_mode="liveall",
)
RECORD_INTERVAL = 5.0
"""Seconds for which the recorded memory and processor time of a process are up to date."""
PROCESS_METRICS: tuple[Histogram | Counter | Gauge, ...] = (
    HTTP_REQUESTS,
    ORCID_REQUESTS,
    CREDENTIALS_REFUSED,
    LOOKUPS,
    LAST_LOOKUP,
    MEMORY,
    CPU,
)

Application = Callable[..., Iterable[bytes]]


def measured(application: Application, server: str, route_of: Callable[[Mapping[str, Any]], str]) -> Application:
    """Return a WSGI application whose requests are measured.

    Args:
        application: The WSGI application.
        server: The label of the server.
        route_of: Returns the route of a request that was answered; `OTHER_ROUTE` if none has it.
    """
    recorded_at = -RECORD_INTERVAL

    def measure(environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        nonlocal recorded_at
        begun, statuses = monotonic(), [""]
        if begun >= recorded_at + RECORD_INTERVAL:
            recorded_at = begun
            record_process(server)

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            statuses[0] = status[:3]
            return start_response(status, headers, *exc_info)

        body = application(environ, start)
        # A method that is none of HTTP's would be a label of its own
        method = environ["REQUEST_METHOD"] if environ["REQUEST_METHOD"] in _METHODS else OTHER_ROUTE
        HTTP_REQUESTS.labels(server, route_of(environ), method, statuses[0]).observe(monotonic() - begun)
        return body

    return measure


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})


def count_lookup(organisation_id: str) -> None:
    """Count a look-up of a person."""
    LOOKUPS.labels(organisation_id).inc()
    LAST_LOOKUP.labels(organisation_id).set(time())


def record_process(server: str) -> None:
    """Record the memory and the processor time of this process.

    Each process does it for itself: prometheus-client's own collector knows one process only, and not in its mode for
    several.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    MEMORY.labels(server).set(pages * resource.getpagesize())
    CPU.labels(server).set(usage.ru_utime + usage.ru_stime)


def process_metrics() -> bytes:
    """Return the metrics in Prometheus' text format.

    Memory and processor time are those of processes that have not ended.
    """
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if not directory:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    samples = [sample for family in registry.collect() for sample in family.samples]
    for pid in {sample.labels["pid"] for sample in samples if "pid" in sample.labels}:
        if not Path("/proc", pid).exists():
            mark_process_dead(int(pid), directory)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
