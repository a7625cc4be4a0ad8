"""The section ``cluster``: nodes, leases, and Dask."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from orchestrator.config.fields.section import Section
from orchestrator.config.fields.value_types import Count, CountOrZero, MachineLabels, PathText, Word


class AdaptSettings(Section):
    """Minimum and maximum number of workers of the Dask cluster."""

    minimum: CountOrZero = 0
    """Minimum number of Dask's workers."""
    maximum: Count
    """Maximum number of Dask's workers."""


class ClusterSection(Section):
    """Cluster: further machines that run workers (see docs/cluster.md)."""

    listen: Word | None = None
    """Address to listen on for nodes, such as 0.0.0.0:8786; null: no nodes."""
    certificates: PathText = Path("cluster")
    """Directory of the cluster's certificates and nodes; created by: bin/orchestrator nodes init"""
    slots_here: CountOrZero | None = None
    """Maximum number of workers on the server's own machine; null: workers.max_workers."""
    labels_here: MachineLabels = Field(default_factory=dict)
    """Labels of the server's own machine, for tasks with requires: {gpu: true}."""
    lease: float = Field(default=8.0, ge=3.0, le=3600.0)
    """Seconds that a node's workers continue without an answer from this server (default 8)."""
    server_lease: Annotated[float, Field(ge=3.0, le=3600.0)] | None = None
    """Server lease: seconds without PostgreSQL until a standby takes over; null: no lease."""
    refusal_is_absence: bool = True
    """Let a node's workers continue if its connections are refused; false if nodes use a proxy."""
    scheduler: Word | None = None
    """Dask scheduler: tls://HOST:PORT (each Dask worker runs a node; needs listen); null: none."""
    adapt: AdaptSettings | None = None
    """Range for the number of Dask's workers: {minimum: 0, maximum: 10}; null: no scaling."""
