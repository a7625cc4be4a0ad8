"""The sections ``limits`` and ``recursion``."""

from typing import Annotated

from pydantic import Field

from orchestrator.config.fields.section import Section
from orchestrator.config.fields.value_types import MIB, Bytes, Count, CountOrZero, Dollars
from orchestrator.core.model.job_settings import MOST_SECONDS


class Recursion(Section):
    """Child jobs of workers."""

    enable: bool = True
    """Allow workers to start child jobs."""
    max_depth: CountOrZero = 3
    """Maximum depth of child jobs; the root job has depth 0."""


class Limits(Section):
    """Ceilings that no request may exceed."""

    max_depth: int = Field(default=10, ge=0, le=1000)
    """Maximum depth of child jobs."""
    max_workers: int = Field(default=100, ge=1, le=10_000)
    """Maximum number of parallel workers."""
    max_child_jobs_per_worker: CountOrZero = 20
    """Maximum number of child jobs of one worker."""
    max_child_jobs_per_root: CountOrZero = 1000
    """Maximum number of child jobs in one job tree."""
    max_tasks_per_job: Count = 10_000
    """Maximum number of tasks in one job."""
    max_wall_seconds: int = Field(default=86_400, ge=1, le=int(MOST_SECONDS))
    """Maximum wall time of a job and of each attempt, in seconds (default 24 h)."""
    max_cost_usd: Dollars | None = None
    """Largest cost cap that a job may set, and the default cap, in US dollars; null: no limit."""
    max_tokens: Count | None = None
    """Largest token cap that a job may set, and the default cap; null: no limit."""
    max_steps: Count | None = None
    """Largest step cap that a job may set, and the default cap; null: no limit."""
    max_cost_usd_per_day: Dollars | None = None
    """Maximum cost of all jobs per day (UTC), in US dollars; null: no limit."""
    max_request_bytes: Bytes = Field(default=8 * MIB, ge=1024)
    """Maximum size of an HTTP request's body, in bytes (default 8 MiB)."""
    submissions_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = 6000
    """Maximum number of submissions and retries per key and minute; null: no limit."""
    reads_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Maximum number of read-only calls per key and minute; null: no limit."""
