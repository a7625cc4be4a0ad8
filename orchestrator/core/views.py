"""What the engine's reads answer with, beyond the plain values of the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.core.model import Job, TaskSpec, Worker


@dataclass(frozen=True, kw_only=True, slots=True)
class Detail:
    """One job with everything that belongs to it alone. Workers are in order of index."""

    job: Job
    tasks: Sequence[TaskSpec]
    workers: Sequence[Worker]
    #: What a worker of the job may still start: depth, child_jobs, workers, wall_seconds, ...
    left: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Whether the server can do its work, and which of its parts can not."""

    ready: bool
    #: By part: "ok", or what is wrong with it in words.
    checks: Mapping[str, str] = field(default_factory=dict)
    #: Why no worker starts now; empty when workers start.
    paused: str = ""
    containment: str
    version: str
