"""The server's ceilings: the highest settings of jobs, and the largest job trees. Pure."""

from orchestrator.core.lazy_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Ceilings:
    """The highest values that requests may set, and limits on the size of job trees."""

    max_depth: int = 10
    max_workers: int = 100
    max_child_jobs_per_worker: int = 20
    max_child_jobs_per_root: int = 1000
    max_tasks_per_job: int = 10_000
    max_wall_seconds: float = 86_400.0
    #: Limits on agents' usage; None means no limit.
    max_steps: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None
