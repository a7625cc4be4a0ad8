"""Prometheus text: counts of the service and of the API itself."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from orchestrator.core.ports.read_models import NodeState

#: Groups of the service's counts that have one count per status. Most other groups have one count
#: per name.
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


class _Nodes(Collector):
    """The metrics of the cluster's nodes at one moment; none if there are no nodes."""

    def __init__(self, nodes: Sequence[NodeState]) -> None:
        self._nodes = nodes

    def collect(self) -> Iterable[GaugeMetricFamily]:
        for name, text, of in _OF_NODES if self._nodes else ():
            family = GaugeMetricFamily(f"orchestrator_node_{name}", text, labels=["node"])
            for node in self._nodes:
                value = of(node)
                if value is not None:
                    family.add_metric([node.name], float(value))
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
    """Metrics of one application, in a separate registry. No label contains the id of a job or
    worker.
    """

    CONTENT_TYPE = CONTENT_TYPE_LATEST

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "orchestrator_http_requests",
            "Answered requests",
            ["method", "route", "status"],
            registry=self._registry,
        )
        #: The counters of known labels, because their lookup takes longer than the count.
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._seconds = Histogram(
            "orchestrator_http_request_seconds",
            "Seconds from a request to its answer, without streams",
            registry=self._registry,
        )
        Gauge(
            "orchestrator_http_parked", "Open streams and waits", registry=self._registry
        ).set_function(waiting)

    def text(self, stats: Mapping[str, object], nodes: Sequence[NodeState] = ()) -> bytes:
        moment = CollectorRegistry()
        moment.register(_Counts(stats))
        moment.register(_Nodes(nodes))
        return generate_latest(self._registry) + generate_latest(moment)

    def observe(self, app: Flask) -> None:
        """Count the requests of an application."""
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
        """Count a request. ``started_at`` is its start as a time of ``perf_counter``."""
        labels = (method, route, status)
        counter = self._counters.get(labels)
        if counter is None:
            counter = self._counters[labels] = self._requests.labels(*labels)
        counter.inc()
        self._seconds.observe(time.perf_counter() - started_at)


def _note_start() -> None:
    g.started_at = time.perf_counter()
