"""Metrics in Prometheus' text format, about jobs (``/api/v1/stats``), nodes, and HTTP requests."""

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, Response, g, request

from orchestrator.core.ports.read_models import NodeState

if TYPE_CHECKING:
    # Imported when metrics are requested, because many servers have no Prometheus.
    from prometheus_client.core import Metric

#: Groups of counts by status, with the label ``status``. Most other groups have the label ``name``.
BY_STATUS = frozenset({"jobs", "workers"})
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})


def _count_metrics(stats: Mapping[str, object]) -> "Iterator[Metric]":
    """Yield a metric for each number in ``stats``, the counts of ``/api/v1/stats``."""
    from prometheus_client.core import GaugeMetricFamily

    for name, value in stats.items():
        if isinstance(value, Mapping):
            yield _group_metric(name, value)
        elif isinstance(value, int | float):
            family = GaugeMetricFamily(_metric_name(name), f"{name} as in /api/v1/stats")
            family.add_metric([], float(value))
            yield family


#: Metrics of each node of a cluster: name, description, value (None: unknown, so no sample).
_OF_NODES: Sequence[tuple[str, str, Callable[[NodeState], float | None]]] = (
    ("up", "1 if the node gets new workers, otherwise 0", lambda node: node.state == "up"),
    ("slots", "Workers that may run on the node at the same time", lambda node: node.slots),
    ("running", "Workers of the node that hold a slot", lambda node: node.running),
    ("waiting", "Workers of the node that wait without a slot", lambda node: node.waiting),
    ("memory_available_bytes", "Available memory of the node", lambda node: node.memory_bytes),
    ("disk_free_bytes", "Free space of the node's state directory", lambda node: node.disk_bytes),
    ("seen_seconds", "Seconds since the node's latest message", lambda node: node.seen_seconds),
    (
        "clock_skew_seconds",
        "Seconds by which the node's clock is ahead of the server's clock",
        lambda node: node.clock_skew_seconds,
    ),
)


def _node_metrics(nodes: Sequence[NodeState]) -> "Iterator[Metric]":
    from prometheus_client.core import GaugeMetricFamily

    for name, text, value_of in _OF_NODES if nodes else ():
        family = GaugeMetricFamily(f"orchestrator_node_{name}", text, labels=["node"])
        for node in nodes:
            value = value_of(node)
            if value is not None:
                family.add_metric([node.name], float(value))
        yield family


def _group_metric(name: str, values: Mapping[str, object]) -> "Metric":
    from prometheus_client.core import GaugeMetricFamily

    label = "status" if name in BY_STATUS else "outcome" if name == "gates" else "name"
    family = GaugeMetricFamily(_metric_name(name), f"{name} as in /api/v1/stats", labels=[label])
    for key, value in values.items():
        if isinstance(value, int | float):
            family.add_metric([str(key)], float(value))
    return family


def _metric_name(name: str) -> str:
    return "orchestrator_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in name)


#: Upper bounds of the histogram's buckets for durations of requests, in seconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class _Durations:
    """Histogram of the durations of requests. Not thread-safe."""

    def __init__(self) -> None:
        #: Number of requests in each bucket. The last bucket is for durations above all bounds.
        self._counts = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._sum += seconds

    def metric(self) -> "Metric":
        from prometheus_client.core import HistogramMetricFamily
        from prometheus_client.utils import floatToGoString

        bounds = map(floatToGoString, (*BOUNDS, float("inf")))
        text = "Seconds from a request to its answer, without streams"
        family = HistogramMetricFamily("orchestrator_http_request_seconds", text)
        family.add_metric([], list(zip(bounds, accumulate(self._counts), strict=True)), self._sum)
        return family


class _Families:
    """Passes finished metrics to prometheus_client, which calls ``collect``."""

    def __init__(self, families: Sequence["Metric"]) -> None:
        self._families = families

    def collect(self) -> Sequence["Metric"]:
        return self._families


class Metrics:
    """Metrics of one application. No label contains the id of a job or worker.

    Any thread may call.
    """

    CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._waiting = waiting
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._durations = _Durations()

    def text(self, stats: Mapping[str, object], nodes: Sequence[NodeState] = ()) -> bytes:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import generate_latest

        registry = CollectorRegistry()
        families = [*self._own_metrics(), *_count_metrics(stats), *_node_metrics(nodes)]
        registry.register(cast(Any, _Families(families)))
        return generate_latest(registry)

    def _own_metrics(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        labels = ["method", "route", "status"]
        requests = CounterMetricFamily(
            "orchestrator_http_requests", "Answered requests", labels=labels
        )
        with self._lock:
            for (method, route, status), count in self._requests.items():
                requests.add_metric([method, route, str(int(status))], count)
            durations = self._durations.metric()
        yield requests
        yield durations
        waiting = float(self._waiting())
        yield GaugeMetricFamily("orchestrator_http_parked", "Open streams and waits", waiting)

    def observe(self, app: Flask) -> None:
        app.before_request(_note_start)
        app.after_request(self._count)

    def _count(self, response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        # Unknown methods count as "other", because callers can invent methods, and each method
        # would become a time series.
        method = request.method if request.method in KNOWN_METHODS else "other"
        self.count(method, route, response.status_code, g.started_at)
        return response

    def count(self, method: str, route: str, status: int, started_at: float) -> None:
        """Count a request. ``started_at``: the value of ``perf_counter`` at its start."""
        seconds = time.perf_counter() - started_at
        with self._lock:
            self._requests[method, route, status] += 1
            self._durations.add(seconds)


def _note_start() -> None:
    g.started_at = time.perf_counter()
