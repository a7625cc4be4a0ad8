"""Admission of a job: whether the job may start, and with which settings. Pure.

A job's settings stay within the server's ceilings, and within the parent job's settings. The
ceilings also limit the size of job trees.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, field, fields, is_dataclass, replace
from operator import attrgetter
from types import MappingProxyType
from typing import Any, TypeVar

from orchestrator.core.errors import InvalidRequest, MaxDepthReached, Refused
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.model.job_settings import (
    CAPS,
    RESOLVE_OFF,
    SETTINGS,
    Inheritance,
    JobConfig,
    Setting,
)
from orchestrator.core.model.submission import ConfigRequest, Submission
from orchestrator.core.text.formatting import one_line, plural


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
    #: A digest for each prompt and each title of the tasks of the calling worker and of the workers
    #: above it.
    worker_digests: frozenset[str]
    child_jobs_in_root: int
    workers_in_root: int
    #: What remains of the caps of the calling worker's job, by the name of the cap.
    remaining_caps: Mapping[str, float] = field(default_factory=dict)
    now: float

    @property
    def root(self) -> Job:
        return self.ancestors[-1]


def remaining_quota(line: Ancestry, ceilings: Ceilings) -> dict[str, object]:
    """Return the remaining quota of the calling worker: see ``remaining_quota_of``."""
    left = remaining_quota_of(
        line.parent_job,
        ceilings,
        child_jobs_in_root=line.child_jobs_in_root,
        workers_in_root=line.workers_in_root,
        remaining_caps=line.remaining_caps,
        now=line.now,
        started=len(line.parent.child_job_ids),
    )
    return {**left, "wall_seconds": max(0, round(line.root.remaining_wall_seconds(line.now)))}


def remaining_quota_of(
    job: Job,
    ceilings: Ceilings,
    *,
    child_jobs_in_root: int,
    workers_in_root: int,
    now: float,
    started: int = 0,
    remaining_caps: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, object]:
    """Return the remaining quota of a worker of ``job`` that has started ``started`` child jobs.

    Keys are limits, such as "child_jobs" and "wall_seconds". ``remaining_caps``: what remains of
    the job's caps, by the name of the cap.
    """
    config = job.config
    allowed = config.enable_recursion and not job.status.ended
    left: dict[str, object] = {
        "depth": max(0, config.max_depth - job.depth) if allowed else 0,
        "child_jobs": max(0, ceilings.max_child_jobs_per_worker - started) if allowed else 0,
        "child_jobs_in_root": (
            max(0, ceilings.max_child_jobs_per_root - child_jobs_in_root) if allowed else 0
        ),
        "wall_seconds": 0 if job.status.ended else max(0, round(job.remaining_wall_seconds(now))),
    }
    if config.max_total_workers is not None:
        more = max(0, config.max_total_workers - workers_in_root)
        left["workers"] = 0 if job.status.ended else more
    for name, rest in remaining_caps.items():
        left[name.removeprefix("max_")] = round(rest, 6)
    return left


N = TypeVar("N", int, float)

#: Settings that this module derives from requests, defaults, and parents. ``engine/submission``
#: computes the other settings.
_DECIDED = tuple(each for each in SETTINGS if not each.resolved)
_ON_RETRY = tuple(each for each in SETTINGS if each.on_retry)


def root_config(asked: ConfigRequest, defaults: JobConfig, ceilings: Ceilings) -> JobConfig:
    """Return the settings of a root job. Raise Refused if a ceiling is exceeded."""
    values = {each.name: _root_value(each, asked, defaults, ceilings) for each in _DECIDED}
    depth, claimed = values["max_depth"], values["claimed_depth"]
    if claimed > depth:
        raise MaxDepthReached(
            f"current_depth {claimed} is above max_recursion_depth {depth}; send {depth} or less, "
            "or omit current_depth",
            {"depth": 0},
        )
    values["max_depth"] = depth - claimed
    values["retries_asked"] = "max_retries" in asked.given
    return _config(values)


def _root_value(
    setting: Setting, asked: ConfigRequest, defaults: JobConfig, ceilings: Ceilings
) -> Any:
    if setting.name not in asked.given:
        default = getattr(defaults, setting.name)
        # A default above the ceiling is lowered to the ceiling.
        return _smaller(default, getattr(ceilings, setting.ceiling)) if setting.ceiling else default
    value = getattr(asked.values, setting.name)
    _check_ceiling(setting, value, ceilings)
    return value


def child_config(asked: ConfigRequest, line: Ancestry) -> JobConfig:
    """Return a child job's settings.

    ``Setting.child`` defines how the parent job's value and the requested value are combined.
    """
    above, remaining = line.parent_job.config, _remaining_config(line)
    values = {each.name: _child_value(each, asked, remaining) for each in _DECIDED}
    if "max_depth" in asked.given:
        deepest = asked.values.max_depth - above.claimed_depth
        values["max_depth"] = min(above.max_depth, max(0, deepest))
    longest = line.root.config.max_wall_seconds
    values["default_timeout"] = min(values["default_timeout"], longest)
    values["retries_asked"] = above.retries_asked or "max_retries" in asked.given
    values["budget_asked"] = not asked.given.isdisjoint(CAPS)
    return _config(values)


def _remaining_config(line: Ancestry) -> JobConfig:
    above = line.parent_job.config
    caps = {name: line.remaining_caps.get(name) for name in CAPS}
    return replace(
        above,
        max_wall_seconds=max(0.0, line.root.remaining_wall_seconds(line.now)),
        max_steps=_as_integer(_smaller(caps["max_steps"], above.max_steps)),
        max_tokens=_as_integer(_smaller(caps["max_tokens"], above.max_tokens)),
        max_cost_usd=_smaller(caps["max_cost_usd"], above.max_cost_usd),
    )


def _child_value(setting: Setting, asked: ConfigRequest, parent: JobConfig) -> Any:
    value, above = asked.get(setting.name), getattr(parent, setting.name)
    match setting.child:
        case Inheritance.PARENT:
            return above
        case Inheritance.NONE:
            return setting.default if value is None else value
        case Inheritance.BOTH:
            return {**above, **(value or {})}
        case Inheritance.AT_MOST:
            return _smaller(value, above)
        case Inheritance.AT_LEAST:
            return max(value or above, above, key=setting.choices.index)
        case Inheritance.ASKED:
            return above if value is None else value


def _config(values: dict[str, Any]) -> JobConfig:
    if values["resolve"] == RESOLVE_OFF:
        values["resolve"] = ""
    return JobConfig(**values)


def retry_config(config: JobConfig, asked: ConfigRequest, ceilings: Ceilings) -> JobConfig:
    """Return a job's settings for its retry.

    A requested timeout or maximum of retries also replaces the tasks' own values.

    Raise InvalidRequest for a setting that a retry may not change. Raise Refused for a value above
    a ceiling.
    """
    fixed = [each.wire for each in SETTINGS if each.name in asked.given and not each.on_retry]
    if fixed:
        can_change = ", ".join(each.wire for each in _ON_RETRY)
        raise InvalidRequest(
            f"a retry cannot change {', '.join(fixed)}; a retry can change {can_change}"
        )
    values = {each.name: _retry_value(each, asked, config, ceilings) for each in _ON_RETRY}
    retries, timeout = "max_retries" in asked.given, "default_timeout" in asked.given
    return replace(
        config,
        **values,
        retries_asked=config.retries_asked or retries,
        retries_replaced=config.retries_replaced or retries,
        timeout_replaced=config.timeout_replaced or timeout,
    )


def raised_config(config: JobConfig, asked: ConfigRequest, ceilings: Ceilings) -> JobConfig:
    """Return a job's settings with raised limits.

    Raise InvalidRequest for a limit that the job does not have, or for a value that does not raise
    the limit. Raise Refused for a value above a ceiling.
    """
    values: dict[str, Any] = {}
    for setting in (each for each in SETTINGS if each.name in asked.given):
        present, wanted = getattr(config, setting.name), getattr(asked.values, setting.name)
        if present is None or wanted <= present:
            raise InvalidRequest(
                f"cannot raise {setting.wire}: the job has no such limit; nothing was changed"
                if present is None
                else f"{setting.wire} {wanted:.15g} does not raise the limit {present:.15g}; "
                f"nothing was changed; use more than {present:.15g}"
            )
        _check_ceiling(setting, wanted, ceilings)
        values[setting.name] = wanted
    return replace(config, **values)


def _retry_value(
    setting: Setting, asked: ConfigRequest, config: JobConfig, ceilings: Ceilings
) -> Any:
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
                _check_value("timeout", timeout, "max_wall_seconds", most, whose)


def within_root(tasks: Sequence[TaskSpec], root: JobConfig) -> tuple[TaskSpec, ...]:
    """Return the tasks of a child job, with timeouts of at most the root job's wall time.

    ``root``: settings of the root job.
    """
    most = root.max_wall_seconds
    return tuple(task.with_timeouts(lambda timeout: min(timeout, most)) for task in tasks)


def _check_value(name: str, value: float, limit: str, ceiling: float, whose: str = "") -> None:
    if value > ceiling:
        raise Refused(
            f"{name}{whose} is {value:.15g}, above the server limit {ceiling:.15g}; "
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


def _smaller(asked: N | None, most: N | None) -> N | None:
    if asked is None or most is None:
        return asked if most is None else most
    return min(asked, most)


#: Task fields that are newer than some stored digests, with their defaults. A digest includes such
#: a field only if a task sets it, so that stored digests stay valid.
_NEWER: Mapping[str, object] = {
    "approve": "",
    "on_timeout": "",
    "workdir": "own",
    "writes": (),
    "candidate_settings": (),
    "requires": {},
    "node": "",
}
_TASK_FIELDS = tuple(each.name for each in fields(TaskSpec) if each.name not in _NEWER)
_fields_of, _newer_of = attrgetter(*_TASK_FIELDS), attrgetter(*_NEWER)


def fold(text: str) -> str:
    return one_line(text).casefold()


def digest(request: str, tasks: Iterable[TaskSpec]) -> str:
    """Return a fingerprint of a request with its tasks. Equal requests have equal fingerprints."""
    return _fingerprint([fold(request), [_digested_fields(task) for task in tasks]])


def settings_digest(submission: Submission) -> str:
    """Return a fingerprint of a submission's settings and callback."""
    config = submission.config
    return _fingerprint([{name: config.get(name) for name in config.given}, submission.callback])


def _fingerprint(value: object) -> str:
    # Keys are sorted, because the order of insertion must not change the digest.
    text = json.dumps(value, sort_keys=True, default=_as_dict)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _digested_fields(task: TaskSpec) -> list[object]:
    newer = zip(_NEWER.items(), _newer_of(task), strict=True)
    own = {name: value for (name, default), value in newer if value != default}
    return [*_fields_of(task), *([own] if own else [])]


def _as_dict(value: Any) -> object:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else dict(value)


def check_caps(remaining_caps: Mapping[str, float]) -> None:
    """Raise Refused if one of the caps of a job to retry is used up."""
    for name, amount in remaining_caps.items():
        if amount <= 0:
            raise Refused(
                f"limit reached: {name} of the job is used up; retry with a higher {name}",
                kind=f"limit-{name.removeprefix('max_').split('_')[0]}",
                left={name.removeprefix("max_"): 0},
            )


def check_supported(asked: ConfigRequest, defaults: JobConfig) -> None:
    """Raise InvalidRequest for a setting that this server cannot apply."""
    if asked.values.execution_mode == "windows" != defaults.execution_mode:
        raise InvalidRequest(
            "execution_mode 'windows' applies only to a whole server; request 'native', or set "
            "orchestrator.execution_mode: windows in the server's config.yaml",
            kind="not-supported",
        )


def check_child(asked: ConfigRequest, line: Ancestry, ceilings: Ceilings) -> None:
    """Raise Refused if the calling worker may not start another child job.

    Raise InvalidRequest if the request states a wrong depth.
    """
    depth = line.parent_job.depth + 1
    left = remaining_quota(line, ceilings)
    claimed, stated = line.parent_job.config.claimed_depth, asked.values.claimed_depth
    if "claimed_depth" in asked.given and stated != claimed + depth:
        raise InvalidRequest(
            f"wrong current_depth {stated}: the child job has depth {claimed + depth}; omit "
            f"current_depth, or send {claimed + depth} (ORCHESTRATOR_DEPTH + 1)",
            kind="depth-mismatch",
        )
    if not line.parent_job.config.enable_recursion:
        raise Refused(
            "child jobs are disabled for this job (enable_recursion: false); "
            "do the work in this worker",
            kind="recursion-disabled",
            left=left,
        )
    if depth > line.parent_job.config.max_depth:
        deepest = line.parent_job.config.max_depth
        raise MaxDepthReached(
            f"a child job would have depth {claimed + depth}, maximum {claimed + deepest}",
            left,
        )
    most = ceilings.max_child_jobs_per_worker
    limit = f"at most {plural(most, 'child job')} per worker (limits.max_child_jobs_per_worker)"
    _check_quota(left["child_jobs"], limit, "limit-children", left)
    most = ceilings.max_child_jobs_per_root
    limit = f"at most {plural(most, 'child job')} in a job tree (limits.max_child_jobs_per_root)"
    _check_quota(left["child_jobs_in_root"], limit, "limit-descendants", left)
    seconds = line.root.config.max_wall_seconds
    limit = f"max_wall_seconds ({seconds:g} s) of root job {line.root.id} is used up"
    _check_quota(left["wall_seconds"], limit, "limit-wall", left)
    for name, amount in line.remaining_caps.items():
        kind = f"limit-{name.removeprefix('max_').split('_')[0]}"
        limit = f"{name} of job {line.parent_job.id}, or of a job above it, is used up"
        _check_quota(int(amount > 0), limit, kind, left)


def check_size(tasks: Sequence[TaskSpec], workers: int, ceilings: Ceilings) -> None:
    """Raise Refused if a job has too many tasks or too many workers."""
    if max(len(tasks), workers) > ceilings.max_tasks_per_job:
        raise Refused(
            f"task limit exceeded: {len(tasks)} tasks ({workers} workers), maximum "
            f"{ceilings.max_tasks_per_job} (limits.max_tasks_per_job); split the request",
            kind="limit-tasks",
            left={"tasks": ceilings.max_tasks_per_job},
        )


def check_total(config: JobConfig, already: int, more: int) -> None:
    """Raise Refused if ``more`` workers would exceed ``max_total_workers`` of a job tree.

    ``already``: number of workers that the tree has.
    """
    allowed = config.max_total_workers
    if allowed is not None and already + more > allowed:
        raise Refused(
            f"worker limit reached: {already} of {allowed} used (max_total_workers), {more} "
            "requested; submit fewer tasks, or do the work without a child job",
            kind="limit-workers",
            left={"workers": max(0, allowed - already)},
        )


def check_cycle(
    asked_digest: str,
    prompt_digest: str | None,
    line: Ancestry,
    left: Mapping[str, object] | None = None,
) -> None:
    """Raise Refused if a child job repeats the work of a job or worker above the child job.

    Without this check, a chain of such jobs would never end.

    ``asked_digest``: fingerprint of the child job's request and tasks. No ancestor job may have the
    same fingerprint. ``prompt_digest``: fingerprint of the request alone; None if the request names
    tasks. Neither the calling worker nor a worker above it may have a task with this fingerprint.
    ``left``: the remaining quota, for the error.
    """
    for job in line.ancestors:
        if job.digest == asked_digest:
            raise Refused(
                f"recursion rejected: ancestor job {job.id} has the same request; "
                "request only a part of the work",
                kind="cycle",
                left=left,
            )
    if prompt_digest is not None and prompt_digest in line.worker_digests:
        raise Refused(
            "recursion rejected: this worker, or a worker above it, already has the same task; "
            "request only a part of the work",
            kind="cycle",
            left=left,
        )


def _check_quota(left: object, limit: str, kind: str, all_left: Mapping[str, object]) -> None:
    """Raise Refused if nothing of a quota remains.

    ``left``: what remains of the quota. ``limit``: the limit as text. ``kind`` and ``all_left``
    become fields of the error.
    """
    if left == 0:
        raise Refused(
            f"limit reached: {limit}; do the rest of the work in this worker",
            kind=kind,
            left=all_left,
        )
