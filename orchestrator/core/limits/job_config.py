"""The settings of a job: what is asked for, within ceilings and what its parent has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from orchestrator.core.errors import InvalidRequest, MaxDepthReached, Refused
from orchestrator.core.limits.quotas import Ancestry, Ceilings
from orchestrator.core.model.job import (
    BUDGET_LIMITS,
    RESOLVE_OFF,
    RESOLVE_WORKER,
    JobConfig,
    TaskSpec,
)
from orchestrator.core.model.submission import ConfigRequest

T = TypeVar("T")
N = TypeVar("N", int, float)


@dataclass(frozen=True, kw_only=True, slots=True)
class Defaults:
    """What a request gets that does not say otherwise."""

    max_workers: int = 10
    default_timeout: float = 300.0
    max_retries: int = 2
    execution_mode: str = "native"
    enable_recursion: bool = True
    max_depth: int = 3
    agent: str = "auto"
    planner: str = "auto"
    unjudged: str = "tell"
    #: A cost cap with a model whose price is not known is refused; else its first worker runs.
    refuses_unpriced: bool = True
    resolve: str = RESOLVE_WORKER
    #: As of ``JobConfig``.
    project: str = ""
    max_steps: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None


def root_config(asked: ConfigRequest, defaults: Defaults, ceilings: Ceilings) -> JobConfig:
    """The settings of a root job. Raise Refused where a ceiling is exceeded."""
    depth = _or(asked.max_recursion_depth, defaults.max_depth)
    _ceiling("max_recursion_depth", depth, "max_depth", ceilings.max_depth)
    claimed = asked.current_depth or 0
    if claimed > depth:
        raise MaxDepthReached(
            f"current_depth is {claimed}, and max_recursion_depth is {depth}", {"depth": 0}
        )
    workers = _or(asked.max_workers, min(defaults.max_workers, ceilings.max_workers))
    _ceiling("max_workers", workers, "max_workers", ceilings.max_workers)
    wall = _or(asked.max_wall_seconds, ceilings.max_wall_seconds)
    _ceiling("max_wall_seconds", wall, "max_wall_seconds", ceilings.max_wall_seconds)
    timeout = _or(asked.default_timeout, defaults.default_timeout)
    _ceiling("default_timeout", timeout, "max_wall_seconds", ceilings.max_wall_seconds)
    caps = _caps({name: _cap(asked, name, defaults, ceilings) for name in BUDGET_LIMITS}, ceilings)
    return JobConfig(
        max_workers=workers,
        default_timeout=timeout,
        max_retries=_or(asked.max_retries, defaults.max_retries),
        retries_asked=asked.max_retries is not None,
        execution_mode=_or(asked.execution_mode, defaults.execution_mode),
        enable_recursion=_or(asked.enable_recursion, defaults.enable_recursion),
        max_depth=depth - claimed,
        claimed_depth=claimed,
        agent=_or(asked.agent, defaults.agent),
        max_wall_seconds=wall,
        max_total_workers=asked.max_total_workers,
        max_steps=_whole(caps["max_steps"]),
        max_tokens=_whole(caps["max_tokens"]),
        max_cost_usd=caps["max_cost_usd"],
        merge_strategy=_or(asked.merge_strategy, "auto"),
        history=_or(asked.history, "merge"),
        resolve=_resolver(_or(asked.resolve, defaults.resolve)),
        git=_or(asked.git, "auto"),
        unjudged=_or(asked.unjudged, defaults.unjudged),
        context=_or(asked.context, ""),
        context_files=_or(asked.context_files, ()),
        planner=_or(asked.planner, defaults.planner),
        approve=_or(asked.approve, False),
        labels=dict(asked.labels),
        project=defaults.project,
    )


def _cap(asked: ConfigRequest, name: str, defaults: Defaults, ceilings: Ceilings) -> float | None:
    """The limit on what agents of a root job may use: asked for, or the default one."""
    given: float | None = getattr(asked, name)
    if given is not None:
        return given
    return _least_known(getattr(defaults, name), getattr(ceilings, name))


def _caps(caps: Mapping[str, float | None], ceilings: Ceilings) -> Mapping[str, float | None]:
    """Without a limit the ceiling is one. Raise Refused where one is above its ceiling."""
    found = {name: _or(value, getattr(ceilings, name)) for name, value in caps.items()}
    for name, value in found.items():
        most = getattr(ceilings, name)
        if value is not None and most is not None:
            _ceiling(name, value, name, most)
    return found


def child_config(asked: ConfigRequest, line: Ancestry) -> JobConfig:
    """The settings of a child job: its parent's, lowered by what it asks for, never raised."""
    above = line.parent_job.config
    wall_left = max(0.0, line.root.wall_end - line.now)
    limits = {
        name: _least_known(
            getattr(asked, name), _least_known(line.budget.get(name), getattr(above, name))
        )
        for name in BUDGET_LIMITS
    }
    depth = above.max_depth
    if asked.max_recursion_depth is not None:
        depth = min(depth, max(0, asked.max_recursion_depth - above.claimed_depth))
    return JobConfig(
        max_workers=_least(asked.max_workers, above.max_workers),
        default_timeout=min(
            _or(asked.default_timeout, above.default_timeout), line.root.config.max_wall_seconds
        ),
        max_retries=_or(asked.max_retries, above.max_retries),
        retries_asked=asked.max_retries is not None or above.retries_asked,
        execution_mode=_or(asked.execution_mode, above.execution_mode),
        project=above.project,
        enable_recursion=above.enable_recursion and asked.enable_recursion is not False,
        max_depth=depth,
        claimed_depth=above.claimed_depth,
        agent=_or(asked.agent, above.agent),
        max_wall_seconds=_least(asked.max_wall_seconds, wall_left),
        max_total_workers=_least_known(asked.max_total_workers, above.max_total_workers),
        max_steps=_whole(limits["max_steps"]),
        max_tokens=_whole(limits["max_tokens"]),
        max_cost_usd=limits["max_cost_usd"],
        budget_asked=any(getattr(asked, name) is not None for name in BUDGET_LIMITS),
        merge_strategy=_or(asked.merge_strategy, above.merge_strategy),
        history=_or(asked.history, above.history),
        resolve=_resolver(_or(asked.resolve, above.resolve)),
        git=above.git,
        # Not less than its parent's.
        unjudged="fail" if "fail" in (asked.unjudged, above.unjudged) else "tell",
        planner=_or(asked.planner, above.planner),
        # Not its parent's: what a child job needs to know, its parent tells it.
        context=_or(asked.context, ""),
        context_files=_or(asked.context_files, ()),
        approve=_or(asked.approve, False),
        labels={**above.labels, **asked.labels},
    )


def _resolver(asked: str) -> str:
    return "" if asked == RESOLVE_OFF else asked


#: What the retry of a job may change.
RETRY_SETTINGS = (
    "max_workers",
    "default_timeout",
    "max_retries",
    "max_wall_seconds",
    "max_recursion_depth",
    *BUDGET_LIMITS,
)


def retry_config(config: JobConfig, asked: ConfigRequest, ceilings: Ceilings) -> JobConfig:
    """A job's settings for its retry. Raise InvalidRequest for what a retry cannot change."""
    given = [each.name for each in fields(asked) if getattr(asked, each.name) not in (None, {})]
    fixed = [name for name in given if name not in RETRY_SETTINGS]
    if fixed:
        raise InvalidRequest(
            f"a retry cannot change {', '.join(fixed)}; it can change {', '.join(RETRY_SETTINGS)}"
        )
    workers = _or(asked.max_workers, config.max_workers)
    _ceiling("max_workers", workers, "max_workers", ceilings.max_workers)
    wall = _or(asked.max_wall_seconds, config.max_wall_seconds)
    _ceiling("max_wall_seconds", wall, "max_wall_seconds", ceilings.max_wall_seconds)
    timeout = _or(asked.default_timeout, config.default_timeout)
    _ceiling("default_timeout", timeout, "max_wall_seconds", ceilings.max_wall_seconds)
    depth = _or(asked.max_recursion_depth, config.max_depth)
    _ceiling("max_recursion_depth", depth, "max_depth", ceilings.max_depth)
    wanted = {name: _or(getattr(asked, name), getattr(config, name)) for name in BUDGET_LIMITS}
    caps = _caps(wanted, ceilings)
    return replace(
        config,
        max_workers=workers,
        default_timeout=timeout,
        max_retries=_or(asked.max_retries, config.max_retries),
        retries_asked=config.retries_asked or asked.max_retries is not None,
        max_wall_seconds=wall,
        max_depth=depth,
        max_steps=_whole(caps["max_steps"]),
        max_tokens=_whole(caps["max_tokens"]),
        max_cost_usd=caps["max_cost_usd"],
    )


def check_timeouts(tasks: Iterable[TaskSpec], ceilings: Ceilings) -> None:
    """Raise Refused when a task of a root job asks for more time than a job may take."""
    for task in tasks:
        if task.timeout is not None:
            most, whose = ceilings.max_wall_seconds, f" of task {task.id!r}"
            _ceiling("timeout", task.timeout, "max_wall_seconds", most, whose)


def within_root(tasks: Sequence[TaskSpec], root: JobConfig) -> tuple[TaskSpec, ...]:
    """A child job's tasks; none has more time than its root, as ``default_timeout`` has not."""
    most = root.max_wall_seconds
    return tuple(
        replace(task, timeout=most) if task.timeout is not None and task.timeout > most else task
        for task in tasks
    )


def _ceiling(name: str, value: float, limit: str, ceiling: float, whose: str = "") -> None:
    if value > ceiling:
        raise Refused(
            f"{name}{whose} is {value:.15g}, and limits.{limit} of this server is {ceiling:.15g}; "
            "ask for less or raise it in config.yaml",
            kind="limit-" + limit.removeprefix("max_").replace("_seconds", ""),
            left={name: ceiling},
        )


def _or(asked: T | None, default: T) -> T:
    return default if asked is None else asked


def _least(asked: N | None, most: N) -> N:
    return most if asked is None else min(asked, most)


def _whole(amount: float | None) -> int | None:
    return None if amount is None else int(amount)


def _least_known(asked: N | None, most: N | None) -> N | None:
    if asked is None or most is None:
        return asked if most is None else most
    return min(asked, most)
