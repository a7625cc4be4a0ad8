"""The settings of a new job, a child job, and a retried job. Pure.

A job's settings stay within the server's ceilings, and within the parent job's settings.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, TypeVar

from orchestrator.core.errors import InvalidRequest, MaxDepthReached, Refused
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.model.job_settings import (
    CAPS,
    RESOLVE_OFF,
    SETTINGS,
    GitUse,
    Inheritance,
    JobConfig,
    Setting,
)
from orchestrator.core.model.submission import ConfigRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Ancestry:
    """The stored ancestors of a new child job.

    Limits are checked with the stored values, because a caller could report wrong values.
    """

    #: The job of the calling worker.
    parent_job: Job
    parent: Worker
    #: The ancestors, from the parent job to the root job.
    ancestors: Sequence[Job]
    #: Digests of the tasks of the calling worker and its ancestors: one for each task's prompt, and
    #: one for its title.
    worker_digests: frozenset[str]
    child_jobs_in_root: int
    workers_in_root: int
    #: What remains of the caps of the calling worker's job, by the name of the cap.
    remaining_caps: Mapping[str, float] = field(default_factory=dict)
    now: float

    @property
    def root(self) -> Job:
        return self.ancestors[-1]


N = TypeVar("N", int, float)

#: Settings that this module derives from requests, defaults, and parent jobs. ``engine/submission``
#: computes the other settings.
_DECIDED = tuple(each for each in SETTINGS if not each.resolved)
_ON_RETRY = tuple(each for each in SETTINGS if each.on_retry)


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


def root_config(requested: ConfigRequest, defaults: JobConfig, ceilings: Ceilings) -> JobConfig:
    """Return the settings of a root job. Raise Refused if a ceiling is exceeded."""
    values = {each.name: _root_value(each, requested, defaults, ceilings) for each in _DECIDED}
    depth, claimed = values["max_depth"], values["claimed_depth"]
    if claimed > depth:
        raise MaxDepthReached(
            f"current_depth {claimed} is above max_recursion_depth {depth}; send {depth} or less, "
            "or omit current_depth",
            {"depth": 0},
        )
    values["max_depth"] = depth - claimed
    values["retries_asked"] = "max_retries" in requested.fields_set
    return _config(values)


def _root_value(
    setting: Setting, requested: ConfigRequest, defaults: JobConfig, ceilings: Ceilings
) -> Any:
    if setting.name not in requested.fields_set:
        default = getattr(defaults, setting.name)
        # A default above the ceiling is lowered to the ceiling.
        return _smaller(default, getattr(ceilings, setting.ceiling)) if setting.ceiling else default
    value = getattr(requested.values, setting.name)
    _check_ceiling(setting, value, ceilings)
    return value


def child_config(requested: ConfigRequest, line: Ancestry) -> JobConfig:
    """Return a child job's settings.

    ``Setting.child`` defines how the parent job's value and the requested value are combined.
    """
    parent_config, remaining = line.parent_job.config, _remaining_config(line)
    values = {each.name: _child_value(each, requested, remaining) for each in _DECIDED}
    if "max_depth" in requested.fields_set:
        deepest = requested.values.max_depth - parent_config.claimed_depth
        values["max_depth"] = min(parent_config.max_depth, max(0, deepest))
    longest = line.root.config.max_wall_seconds
    values["default_timeout"] = min(values["default_timeout"], longest)
    values["retries_asked"] = parent_config.retries_asked or "max_retries" in requested.fields_set
    values["budget_asked"] = not requested.fields_set.isdisjoint(CAPS)
    return _config(values)


def _remaining_config(line: Ancestry) -> JobConfig:
    config = line.parent_job.config
    caps = {name: line.remaining_caps.get(name) for name in CAPS}
    return replace(
        config,
        max_wall_seconds=max(0.0, line.root.remaining_wall_seconds(line.now)),
        max_steps=_as_integer(_smaller(caps["max_steps"], config.max_steps)),
        max_tokens=_as_integer(_smaller(caps["max_tokens"], config.max_tokens)),
        max_cost_usd=_smaller(caps["max_cost_usd"], config.max_cost_usd),
    )


def _child_value(setting: Setting, requested: ConfigRequest, parent: JobConfig) -> Any:
    value, parent_value = requested.get(setting.name), getattr(parent, setting.name)
    match setting.child:
        case Inheritance.PARENT:
            return parent_value
        case Inheritance.AUTO_TO_ON:
            return value if (parent_value, value) == (GitUse.AUTO, GitUse.ON) else parent_value
        case Inheritance.NONE:
            return setting.default if value is None else value
        case Inheritance.BOTH:
            return {**parent_value, **(value or {})}
        case Inheritance.AT_MOST:
            return _smaller(value, parent_value)
        case Inheritance.AT_LEAST:
            return max(value or parent_value, parent_value, key=setting.choices.index)
        case Inheritance.ASKED:
            return parent_value if value is None else value


def _config(values: dict[str, Any]) -> JobConfig:
    if values["resolve"] == RESOLVE_OFF:
        values["resolve"] = ""
    return JobConfig(**values)


def retry_config(config: JobConfig, requested: ConfigRequest, ceilings: Ceilings) -> JobConfig:
    """Return a job's settings for its retry.

    A requested timeout also replaces the timeouts of tasks. A requested maximum number of retries
    also replaces the tasks' own maximum.

    Raise InvalidRequest for a setting that a retry may not change. Raise Refused for a value above
    a ceiling.
    """
    fixed = [
        each.wire for each in SETTINGS if each.name in requested.fields_set and not each.on_retry
    ]
    if fixed:
        can_change = ", ".join(each.wire for each in _ON_RETRY)
        raise InvalidRequest(
            f"a retry cannot change {', '.join(fixed)}; a retry can change {can_change}"
        )
    values = {each.name: _retry_value(each, requested, config, ceilings) for each in _ON_RETRY}
    retries, timeout = (
        "max_retries" in requested.fields_set,
        "default_timeout" in requested.fields_set,
    )
    return replace(
        config,
        **values,
        retries_asked=config.retries_asked or retries,
        retries_replaced=config.retries_replaced or retries,
        timeout_replaced=config.timeout_replaced or timeout,
    )


def raised_config(config: JobConfig, requested: ConfigRequest, ceilings: Ceilings) -> JobConfig:
    """Return a job's settings with raised limits.

    Raise InvalidRequest for a limit that the job does not have, or for a value that does not raise
    the limit. Raise Refused for a value above a ceiling.
    """
    values: dict[str, Any] = {}
    for setting in (each for each in SETTINGS if each.name in requested.fields_set):
        limit, value = getattr(config, setting.name), getattr(requested.values, setting.name)
        if limit is None or value <= limit:
            raise InvalidRequest(
                f"cannot raise {setting.wire}: the job has no such limit; nothing was changed"
                if limit is None
                else f"{setting.wire} {value:.15g} does not raise the limit {limit:.15g}; "
                f"nothing was changed; use more than {limit:.15g}"
            )
        _check_ceiling(setting, value, ceilings)
        values[setting.name] = value
    return replace(config, **values)


def _retry_value(
    setting: Setting, requested: ConfigRequest, config: JobConfig, ceilings: Ceilings
) -> Any:
    value = getattr(
        requested.values if setting.name in requested.fields_set else config, setting.name
    )
    if value is None:
        return _ceiling_of(setting, ceilings)
    _check_ceiling(setting, value, ceilings)
    return value


def check_timeouts(tasks: Iterable[TaskSpec], ceilings: Ceilings) -> None:
    """Raise Refused if a task of a root job has a timeout above the ceiling on wall time."""
    for task in tasks:
        candidate_timeouts = (each.timeout for each in task.candidate_settings)
        for timeout in (task.timeout, *candidate_timeouts):
            if timeout is not None:
                most, owner = ceilings.max_wall_seconds, f" of task {task.id!r}"
                _check_value("timeout", timeout, "max_wall_seconds", most, owner)


def within_root(tasks: Sequence[TaskSpec], root: JobConfig) -> tuple[TaskSpec, ...]:
    """Return the tasks of a child job, with timeouts of at most the root job's wall time.

    ``root``: settings of the root job.
    """
    most = root.max_wall_seconds
    return tuple(task.with_timeouts(lambda timeout: min(timeout, most)) for task in tasks)


def _check_value(name: str, value: float, limit: str, ceiling: float, owner: str = "") -> None:
    if value > ceiling:
        raise Refused(
            f"{name}{owner} is {value:.15g}, above the server limit {ceiling:.15g}; "
            f"use {ceiling:.15g} or less, or raise limits.{limit} in config.yaml",
            kind="limit-" + limit.removeprefix("max_").replace("_seconds", ""),
            left={name: ceiling},
        )


def _ceiling_of(setting: Setting, ceilings: Ceilings) -> Any:
    return getattr(ceilings, setting.ceiling) if setting.ceiling else None


def _check_ceiling(setting: Setting, value: Any, ceilings: Ceilings) -> None:
    ceiling = _ceiling_of(setting, ceilings)
    if ceiling is not None:
        _check_value(setting.wire, value, setting.ceiling, ceiling)


def _as_integer(amount: float | None) -> int | None:
    return None if amount is None else int(amount)


def _smaller(value: N | None, most: N | None) -> N | None:
    if value is None or most is None:
        return value if most is None else most
    return min(value, most)
