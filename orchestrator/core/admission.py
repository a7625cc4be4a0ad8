"""Whether a job may be started, and what it looks like then. Pure: facts in, values out."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

from orchestrator.core.allowance import Ancestry, Ceilings, what_is_left
from orchestrator.core.errors import InvalidRequest, Refused
from orchestrator.core.model import BUDGET_LIMITS, JobConfig, TaskSpec
from orchestrator.core.submission import ConfigRequest

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


_TASK_FIELDS = tuple(field.name for field in fields(TaskSpec))


def fold(text: str) -> str:
    return " ".join(text.split()).casefold()


def digest(request: str, tasks: Iterable[TaskSpec]) -> str:
    """Fingerprint of what is asked for: the same for the same request and tasks."""
    asked = [fold(request), [[getattr(task, name) for name in _TASK_FIELDS] for task in tasks]]
    # Mappings are made plain; their order of insertion is no difference.
    text = json.dumps(asked, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(value: Any) -> object:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else dict(value)


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
    return replace(
        config,
        max_workers=workers,
        default_timeout=timeout,
        max_retries=_or(asked.max_retries, config.max_retries),
        retries_asked=config.retries_asked or asked.max_retries is not None,
        max_wall_seconds=wall,
        max_depth=depth,
        max_steps=_or(asked.max_steps, config.max_steps),
        max_tokens=_or(asked.max_tokens, config.max_tokens),
        max_cost_usd=_or(asked.max_cost_usd, config.max_cost_usd),
    )


def check_budget(budget: Mapping[str, float]) -> None:
    """Raise Refused when a job that is to run again has used up what it may."""
    for name, amount in budget.items():
        if amount <= 0:
            raise Refused(
                f"{name} of this job is used up; retry it with a larger one",
                kind=f"limit-{name.removeprefix('max_').split('_')[0]}",
                left={name.removeprefix("max_"): 0},
            )


def check_supported(asked: ConfigRequest, defaults: Defaults) -> None:
    """Raise InvalidRequest for what this server cannot do.

    Which agents can work is another question on the Windows side: all its jobs ask it, or none.
    """
    if asked.execution_mode == "windows" != defaults.execution_mode:
        raise InvalidRequest(
            "execution_mode windows is for a whole server: set orchestrator.execution_mode: "
            "windows in its config.yaml, or use native (or wsl, which is the same)",
            kind="not-supported",
        )


def root_config(asked: ConfigRequest, defaults: Defaults, ceilings: Ceilings) -> JobConfig:
    """The settings of a root job. Raise Refused where a ceiling is exceeded."""
    depth = _or(asked.max_recursion_depth, defaults.max_depth)
    _ceiling("max_recursion_depth", depth, "max_depth", ceilings.max_depth)
    workers = _or(asked.max_workers, min(defaults.max_workers, ceilings.max_workers))
    _ceiling("max_workers", workers, "max_workers", ceilings.max_workers)
    wall = _or(asked.max_wall_seconds, ceilings.max_wall_seconds)
    _ceiling("max_wall_seconds", wall, "max_wall_seconds", ceilings.max_wall_seconds)
    timeout = _or(asked.default_timeout, defaults.default_timeout)
    _ceiling("default_timeout", timeout, "max_wall_seconds", ceilings.max_wall_seconds)
    return JobConfig(
        max_workers=workers,
        default_timeout=timeout,
        max_retries=_or(asked.max_retries, defaults.max_retries),
        retries_asked=asked.max_retries is not None,
        execution_mode=_or(asked.execution_mode, defaults.execution_mode),
        enable_recursion=_or(asked.enable_recursion, defaults.enable_recursion),
        max_depth=max(0, depth - (asked.current_depth or 0)),
        agent=_or(asked.agent, defaults.agent),
        max_wall_seconds=wall,
        max_total_workers=asked.max_total_workers,
        max_steps=asked.max_steps,
        max_tokens=asked.max_tokens,
        max_cost_usd=asked.max_cost_usd,
        merge_strategy=_or(asked.merge_strategy, "auto"),
        history=_or(asked.history, "merge"),
        resolve=_or(asked.resolve, ""),
        git=_or(asked.git, "auto"),
        context=_or(asked.context, ""),
        context_files=_or(asked.context_files, ()),
        planner=_or(asked.planner, defaults.planner),
        approve=_or(asked.approve, False),
        labels=dict(asked.labels),
    )


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
        depth = min(depth, asked.max_recursion_depth)
    return JobConfig(
        max_workers=_least(asked.max_workers, above.max_workers),
        default_timeout=min(
            _or(asked.default_timeout, above.default_timeout), line.root.config.max_wall_seconds
        ),
        max_retries=_or(asked.max_retries, above.max_retries),
        retries_asked=asked.max_retries is not None or above.retries_asked,
        execution_mode=_or(asked.execution_mode, above.execution_mode),
        enable_recursion=above.enable_recursion and asked.enable_recursion is not False,
        max_depth=depth,
        agent=_or(asked.agent, above.agent),
        max_wall_seconds=_least(asked.max_wall_seconds, wall_left),
        max_total_workers=_least_known(asked.max_total_workers, above.max_total_workers),
        max_steps=_whole(limits["max_steps"]),
        max_tokens=_whole(limits["max_tokens"]),
        max_cost_usd=limits["max_cost_usd"],
        budget_asked=any(getattr(asked, name) is not None for name in BUDGET_LIMITS),
        merge_strategy=_or(asked.merge_strategy, above.merge_strategy),
        history=_or(asked.history, above.history),
        resolve=_or(asked.resolve, above.resolve),
        git=above.git,
        planner=_or(asked.planner, above.planner),
        # Not its parent's: what a child job needs to know, its parent tells it.
        context=_or(asked.context, ""),
        context_files=_or(asked.context_files, ()),
        approve=_or(asked.approve, False),
        labels={**above.labels, **asked.labels},
    )


def check_child(asked: ConfigRequest, line: Ancestry, ceilings: Ceilings) -> None:
    """Raise Refused when the worker may not start one more child job."""
    depth = line.parent_job.depth + 1
    left = what_is_left(line, ceilings)
    if asked.current_depth is not None and asked.current_depth != depth:
        raise InvalidRequest(
            f"current_depth is {asked.current_depth}, but this job would be at depth {depth}; "
            "leave current_depth out or send ORCHESTRATOR_DEPTH + 1",
            kind="depth-mismatch",
        )
    if not line.parent_job.config.enable_recursion:
        raise Refused(
            "this job may not start child jobs (enable_recursion is false); do the work yourself",
            kind="recursion-disabled",
            left=left,
        )
    if depth > line.parent_job.config.max_depth:
        deepest = line.parent_job.config.max_depth
        raise Refused(
            f"a child job would be at depth {depth}, and {deepest} is the deepest allowed; "
            "do the work yourself",
            kind="limit-depth",
            left=left,
        )
    _check_count(left["child_jobs"], "child jobs of this worker", "limit-children", left)
    _check_count(left["child_jobs_in_root"], "child jobs of the root", "limit-descendants", left)
    _check_count(left["wall_seconds"], "seconds of the root job", "limit-wall", left)
    for name, amount in line.budget.items():
        what = name.removeprefix("max_")
        _check_count(int(amount > 0), f"{what} of this job", f"limit-{what.split('_')[0]}", left)


def check_size(tasks: Sequence[TaskSpec], workers: int, ceilings: Ceilings) -> None:
    """Raise Refused when a job has more tasks than one job may have."""
    if max(len(tasks), workers) > ceilings.max_tasks_per_job:
        raise Refused(
            f"{len(tasks)} tasks ({workers} workers), and {ceilings.max_tasks_per_job} is the most "
            "that one job may have; split the request",
            kind="limit-tasks",
            left={"tasks": ceilings.max_tasks_per_job},
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


def check_total(config: JobConfig, already: int, more: int) -> None:
    """Raise Refused when the tree would have more workers than ``max_total_workers``."""
    allowed = config.max_total_workers
    if allowed is not None and already + more > allowed:
        raise Refused(
            f"{more} more workers would make {already + more} in all, and max_total_workers is "
            f"{allowed}; ask for fewer tasks or do the work yourself",
            kind="limit-workers",
            left={"workers": max(0, allowed - already)},
        )


def check_cycle(
    asked_digest: str,
    prompt_digest: str | None,
    line: Ancestry,
    left: Mapping[str, object] | None = None,
) -> None:
    """Raise Refused when an ancestor was asked the very same."""
    for job in line.ancestors:
        if job.digest == asked_digest:
            raise Refused(
                f"job {job.id}, an ancestor, was asked the same; ask for a part of it instead",
                kind="cycle",
                left=left,
            )
    if prompt_digest is not None and prompt_digest in line.worker_digests:
        raise Refused(
            "this is the task of the asking worker, or of one above it; ask for a part of it",
            kind="cycle",
            left=left,
        )


def _check_count(left: object, what: str, kind: str, all_left: Mapping[str, object]) -> None:
    if left == 0:
        raise Refused(
            f"no {what} are left; do the rest of the work yourself", kind=kind, left=all_left
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
