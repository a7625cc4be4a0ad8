"""Submissions as callers send them, before limits and defaults are applied."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Callback, Job, TaskSpec
from orchestrator.core.model.job_settings import BUILT_IN, BY_WIRE_NAME, JobConfig


@dataclass(frozen=True, init=False, slots=True)
class ConfigRequest:
    """The settings that a request asks for.

    The arguments have the names that requests use. ``values`` has the names of ``JobConfig``.
    Example: ``ConfigRequest(max_recursion_depth=2).values.max_depth`` is 2.
    """

    #: The requested values. All other fields have their built-in defaults.
    values: JobConfig
    #: Names of the requested fields of ``values``.
    fields_set: frozenset[str]

    def __init__(self, **requested: object) -> None:
        values = {
            BY_WIRE_NAME[name].name: value
            for name, value in requested.items()
            if value is not None and value != {}
        }
        object.__setattr__(self, "values", JobConfig(**{**BUILT_IN, **values}))
        object.__setattr__(self, "fields_set", frozenset(values))

    def get(self, name: str) -> Any:
        """Return the requested value of a setting; None if the request does not set it."""
        return getattr(self.values, name) if name in self.fields_set else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    request: str
    #: The caller's tasks; empty if the planner is to split the request.
    tasks: tuple[TaskSpec, ...] = ()
    config: ConfigRequest = field(default_factory=ConfigRequest)
    idempotency_key: str | None = None
    #: The address that gets messages about the job; None: no messages. Only callers with the scope
    #: ``admin`` may set an address.
    callback: Callback | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    job: Job
    #: True if the job already existed, for an equal request or the same Idempotency-Key.
    duplicate: bool = False
    #: What each worker of this job may still use: depth, child_jobs, workers, wall_seconds, ...
    left: Mapping[str, object] = field(default_factory=dict)
    #: Remaining quota of the worker that submitted the job; empty for an API key.
    caller_left: Mapping[str, object] = field(default_factory=dict)
    #: Limits of workers that the launcher enforces only approximately, as one line of text. Empty
    #: if there are no such limits, or if a worker submitted the job.
    limits_notice: str = ""
