"""Submissions as callers send them, before limits and defaults are applied."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Attempt, Callback, Job, TaskSpec, WorkerKey
from orchestrator.core.model.job_settings import BUILT_IN, BY_WIRE_NAME, JobConfig


class Scope(StrEnum):
    """Scope of an API key; a key may have several scopes."""

    #: The key grants access to everything.
    ADMIN = "admin"
    #: The key may submit jobs, and may see, cancel, and retry only its own jobs.
    SUBMIT = "submit"
    #: The key may see every job and the statistics, and may change nothing.
    READ = "read"


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """An API key, or the attempt of a running worker.

    A worker has no scopes: it sees and controls the jobs below it.
    """

    name: str
    scopes: frozenset[Scope] = frozenset()
    attempt: Attempt | None = None

    @property
    def signature(self) -> str:
        """The caller's name in a reason such as "cancelled by ..."."""
        return f"the caller (key {self.name})" if self.attempt is None else self.name

    @property
    def full_name(self) -> str:
        """A unique name of the caller: a key's name, or ``<root job>/<worker>``."""
        key = self.worker_key
        return self.name if key is None else f"{key.root_id}/{key.worker_id}"

    @property
    def sees_all(self) -> bool:
        return not self.scopes.isdisjoint({Scope.ADMIN, Scope.READ})

    @property
    def is_admin(self) -> bool:
        return Scope.ADMIN in self.scopes

    @property
    def may_change(self) -> bool:
        """False for a caller that may only read."""
        return self.attempt is not None or not self.scopes.isdisjoint({Scope.ADMIN, Scope.SUBMIT})

    @property
    def worker_key(self) -> WorkerKey | None:
        return self.attempt.key if self.attempt else None


@dataclass(frozen=True, init=False, slots=True)
class ConfigRequest:
    """The settings that a request asks for.

    The arguments have the names of requests; ``values`` has the names of ``JobConfig``. Example:
    ``ConfigRequest(max_recursion_depth=2).values.max_depth`` is 2.
    """

    #: The requested values, and the defaults of the table for all other fields.
    values: JobConfig
    #: Names of the requested fields of ``values``.
    given: frozenset[str]

    def __init__(self, **given: object) -> None:
        asked = {
            BY_WIRE_NAME[name].name: value
            for name, value in given.items()
            if value is not None and value != {}
        }
        object.__setattr__(self, "values", JobConfig(**{**BUILT_IN, **asked}))
        object.__setattr__(self, "given", frozenset(asked))

    def get(self, name: str) -> Any:
        """Return the requested value; None if it was not requested."""
        return getattr(self.values, name) if name in self.given else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    request: str
    #: The caller's tasks; empty if the planner is to split the request.
    tasks: tuple[TaskSpec, ...] = ()
    config: ConfigRequest = field(default_factory=ConfigRequest)
    idempotency_key: str | None = None
    #: Gets messages about the job. Only callers with the scope admin may set it.
    callback: Callback | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    job: Job
    #: True if the job already existed, for an equal request or the same Idempotency-Key.
    duplicate: bool = False
    #: Remaining quota of a worker of this job: depth, child_jobs, workers, wall_seconds, ...
    left: Mapping[str, object] = field(default_factory=dict)
    #: Remaining quota of the worker that submitted the job; empty for an API key.
    caller_left: Mapping[str, object] = field(default_factory=dict)
    #: Worker limits that are not enforced exactly; empty if there are none, or for a worker.
    limits_notice: str = ""
