"""Prometheus text: counts of the service and of the API itself."""

import time
from collections.abc import Callable, Iterable, Mapping

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

#: The service counts these by status; other groups are counted by name.
BY_STATUS = frozenset({"jobs", "workers"})
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})


class _Counts(Collector):
    """The service's counts at one moment."""

    def __init__(self, stats: Mapping[str, object]) -> None:
        self._stats = stats

    def collect(self) -> Iterable[GaugeMetricFamily]:
        for name, value in self._stats.items():
            if isinstance(value, Mapping):
                yield _group(name, value)
            elif isinstance(value, int | float):
                family = GaugeMetricFamily(_name(name), f"{name} as in /api/v1/stats")
                family.add_metric([], float(value))
                yield family


def _group(name: str, values: Mapping[str, object]) -> GaugeMetricFamily:
    label = "status" if name in BY_STATUS else "outcome" if name == "gates" else "name"
    family = GaugeMetricFamily(_name(name), f"{name} as in /api/v1/stats", labels=[label])
    for key, value in values.items():
        if isinstance(value, int | float):
            family.add_metric([str(key)], float(value))
    return family


def _name(name: str) -> str:
    return "orchestrator_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in name)


class Metrics:
    """One registry per application: not global, and without ids as labels."""

    CONTENT_TYPE = CONTENT_TYPE_LATEST

    def __init__(self, parked: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "orchestrator_http_requests",
            "Answered requests",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "orchestrator_http_request_seconds",
            "Seconds from a request to its answer, without what is sent later",
            registry=self._registry,
        )
        Gauge(
            "orchestrator_http_parked", "Open streams and waits", registry=self._registry
        ).set_function(parked)

    def text(self, stats: Mapping[str, object]) -> bytes:
        moment = CollectorRegistry()
        moment.register(_Counts(stats))
        return generate_latest(self._registry) + generate_latest(moment)

    def observe(self, app: Flask) -> None:
        """Count the requests of an application."""
        app.before_request(_note_start)
        app.after_request(self._count)

    def _count(self, response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        # Only known methods, because callers can invent methods, and each would become a time
        # series.
        method = request.method if request.method in KNOWN_METHODS else "other"
        self._requests.labels(method, route, response.status_code).inc()
        self._seconds.observe(time.perf_counter() - g.started_at)
        return response


def _note_start() -> None:
    g.started_at = time.perf_counter()
