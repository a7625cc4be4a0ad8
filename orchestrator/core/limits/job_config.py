"""Computes the settings of a job: requested values, bounded by the ceilings and the parent job."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from orchestrator.core.errors import InvalidRequest, MaxDepthReached, Refused
from orchestrator.core.limits.quotas import Ancestry, Ceilings
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.job_settings import (
    BUDGET_LIMITS,
    RESOLVE_OFF,
    SETTINGS,
    JobConfig,
)
from orchestrator.core.model.setting import Inheritance, Setting
from orchestrator.core.model.submission import ConfigRequest

N = TypeVar("N", int, float)

#: Settings that this module decides from requests, defaults, and parents; ``engine/submission``
#: adds the other settings.
_DECIDED = tuple(each for each in SETTINGS if not each.resolved)
_ON_RETRY = tuple(each for each in SETTINGS if each.on_retry)


def root_config(asked: ConfigRequest, defaults: JobConfig, ceilings: Ceilings) -> JobConfig:
    """Return the settings of a root job. Raise Refused if a ceiling is exceeded."""
    values = {each.name: _of_root(each, asked, defaults, ceilings) for each in _DECIDED}
    depth, claimed = values["max_depth"], values["claimed_depth"]
    if claimed > depth:
        raise MaxDepthReached(
            f"current_depth {claimed} is above max_recursion_depth {depth}", {"depth": 0}
        )
    values["max_depth"] = depth - claimed
    values["retries_asked"] = "max_retries" in asked.given
    return _config(values)


def _of_root(
    setting: Setting, asked: ConfigRequest, defaults: JobConfig, ceilings: Ceilings
) -> Any:
    if setting.name not in asked.given:
        default = getattr(defaults, setting.name)
        # A default above the ceiling is lowered.
        return _least(default, getattr(ceilings, setting.ceiling)) if setting.ceiling else default
    value = getattr(asked.values, setting.name)
    _check_ceiling(setting, value, ceilings)
    return value


def child_config(asked: ConfigRequest, line: Ancestry) -> JobConfig:
    """Return the settings of a child job: its parent's settings, or lower ones that it requests."""
    above, remaining = line.parent_job.config, _remaining(line)
    values = {each.name: _of_child(each, asked, remaining) for each in _DECIDED}
    if "max_depth" in asked.given:
        deepest = asked.values.max_depth - above.claimed_depth
        values["max_depth"] = min(above.max_depth, max(0, deepest))
    longest = line.root.config.max_wall_seconds
    values["default_timeout"] = min(values["default_timeout"], longest)
    values["retries_asked"] = above.retries_asked or "max_retries" in asked.given
    values["budget_asked"] = not asked.given.isdisjoint(BUDGET_LIMITS)
    return _config(values)


def _remaining(line: Ancestry) -> JobConfig:
    """Return the settings of the parent, with the remaining time and budget."""
    above = line.parent_job.config
    budget = {name: line.budget.get(name) for name in BUDGET_LIMITS}
    return replace(
        above,
        max_wall_seconds=max(0.0, line.root.wall_left(line.now)),
        max_steps=_whole(_least(budget["max_steps"], above.max_steps)),
        max_tokens=_whole(_least(budget["max_tokens"], above.max_tokens)),
        max_cost_usd=_least(budget["max_cost_usd"], above.max_cost_usd),
    )


def _of_child(setting: Setting, asked: ConfigRequest, parent: JobConfig) -> Any:
    value, above = asked.get(setting.name), getattr(parent, setting.name)
    match setting.child:
        case Inheritance.PARENT:
            return above
        case Inheritance.NONE:
            return setting.default if value is None else value
        case Inheritance.BOTH:
            return {**above, **(value or {})}
        case Inheritance.AT_MOST:
            return _least(value, above)
        case Inheritance.AT_LEAST:
            return max(value or above, above, key=setting.choices.index)
        case Inheritance.ASKED:
            return above if value is None else value


def _config(values: dict[str, Any]) -> JobConfig:
    if values["resolve"] == RESOLVE_OFF:
        values["resolve"] = ""
    return JobConfig(**values)


def retry_config(config: JobConfig, asked: ConfigRequest, ceilings: Ceilings) -> JobConfig:
    """Return a job's settings for its retry. Raise InvalidRequest for a setting that a retry may
    not change.
    """
    fixed = [each.wire for each in SETTINGS if each.name in asked.given and not each.on_retry]
    if fixed:
        can_change = ", ".join(each.wire for each in _ON_RETRY)
        raise InvalidRequest(
            f"a retry cannot change {', '.join(fixed)}; it can change {can_change}"
        )
    values = {each.name: _of_retry(each, asked, config, ceilings) for each in _ON_RETRY}
    retries_asked = config.retries_asked or "max_retries" in asked.given
    return replace(config, **values, retries_asked=retries_asked)


def raised_config(config: JobConfig, asked: ConfigRequest, ceilings: Ceilings) -> JobConfig:
    """Return a job's settings with larger limits. Raise InvalidRequest for a limit that the job
    has not, or that is not larger, and Refused above a ceiling.
    """
    values: dict[str, Any] = {}
    for setting in (each for each in SETTINGS if each.name in asked.given):
        present, wanted = getattr(config, setting.name), getattr(asked.values, setting.name)
        if present is None or wanted <= present:
            told = "has no such limit" if present is None else f"has {present:.15g} already"
            raise InvalidRequest(
                f"{setting.wire} {wanted:.15g} raises nothing: the job {told}; nothing was changed"
            )
        _check_ceiling(setting, wanted, ceilings)
        values[setting.name] = wanted
    return replace(config, **values)


def _of_retry(setting: Setting, asked: ConfigRequest, config: JobConfig, ceilings: Ceilings) -> Any:
    value = getattr(asked.values if setting.name in asked.given else config, setting.name)
    if value is None:
        return _ceiling_of(setting, ceilings)
    _check_ceiling(setting, value, ceilings)
    return value


def check_timeouts(tasks: Iterable[TaskSpec], ceilings: Ceilings) -> None:
    """Raise Refused if a task of a root job has a timeout above the ceiling on wall time."""
    for task in tasks:
        own = (each.timeout for each in task.candidate_settings)
        for timeout in (task.timeout, *own):
            if timeout is not None:
                most, whose = ceilings.max_wall_seconds, f" of task {task.id!r}"
                _ceiling("timeout", timeout, "max_wall_seconds", most, whose)


def within_root(tasks: Sequence[TaskSpec], root: JobConfig) -> tuple[TaskSpec, ...]:
    """Limit the timeouts of a child job's tasks to the wall time of the root job."""
    most = root.max_wall_seconds
    return tuple(task.with_timeouts(lambda timeout: min(timeout, most)) for task in tasks)


def _ceiling(name: str, value: float, limit: str, ceiling: float, whose: str = "") -> None:
    if value > ceiling:
        raise Refused(
            f"{name}{whose} is {value:.15g}, above the server limit {ceiling:.15g}; "
            f"use {ceiling:.15g} or less, or raise limits.{limit} in config.yaml",
            kind="limit-" + limit.removeprefix("max_").replace("_seconds", ""),
            left={name: ceiling},
        )


def _ceiling_of(setting: Setting, ceilings: Ceilings) -> Any:
    """Return the setting's ceiling; None if it has none."""
    return getattr(ceilings, setting.ceiling) if setting.ceiling else None


def _check_ceiling(setting: Setting, value: Any, ceilings: Ceilings) -> None:
    ceiling = _ceiling_of(setting, ceilings)
    if ceiling is not None:
        _ceiling(setting.wire, value, setting.ceiling, ceiling)


def _whole(amount: float | None) -> int | None:
    return None if amount is None else int(amount)


def _least(asked: N | None, most: N | None) -> N | None:
    """Return the lower limit; None if there is no limit."""
    if asked is None or most is None:
        return asked if most is None else most
    return min(asked, most)
