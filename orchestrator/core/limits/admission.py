"""Admission checks: decide if a job may be started. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from orchestrator.core.errors import InvalidRequest, MaxDepthReached, Refused
from orchestrator.core.limits.quotas import Ancestry, Ceilings, what_is_left
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.submission import ConfigRequest
from orchestrator.core.text.formatting import one_line

#: Fields added after digests were stored: they count only if a task sets them.
_NEWER: Mapping[str, object] = {
    "approve": "",
    "on_timeout": "",
    "workdir": "own",
    "writes": (),
    "candidate_settings": (),
}
_TASK_FIELDS = tuple(field.name for field in fields(TaskSpec) if field.name not in _NEWER)


def fold(text: str) -> str:
    return one_line(text).casefold()


def digest(request: str, tasks: Iterable[TaskSpec]) -> str:
    """Return a fingerprint of a request with its tasks; equal requests have equal fingerprints."""
    asked = [fold(request), [_asked(task) for task in tasks]]
    # Mappings are converted to plain ones; their order of insertion makes no difference.
    text = json.dumps(asked, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _asked(task: TaskSpec) -> list[object]:
    newer = {name: getattr(task, name) for name in _NEWER}
    own = {name: value for name, value in newer.items() if value != _NEWER[name]}
    return [*(getattr(task, name) for name in _TASK_FIELDS), *([own] if own else [])]


def _plain(value: Any) -> object:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else dict(value)


def check_budget(budget: Mapping[str, float]) -> None:
    """Raise Refused if a job that is to run again has no remaining budget."""
    for name, amount in budget.items():
        if amount <= 0:
            raise Refused(
                f"limit reached: {name} of this job is used up; retry with a higher {name}",
                kind=f"limit-{name.removeprefix('max_').split('_')[0]}",
                left={name.removeprefix("max_"): 0},
            )


def check_supported(asked: ConfigRequest, defaults: JobConfig) -> None:
    """Raise InvalidRequest for a setting that this server cannot apply.

    Using the agents on the Windows side is a setting of the whole server, not of a job.
    """
    if asked.values.execution_mode == "windows" != defaults.execution_mode:
        raise InvalidRequest(
            "execution_mode 'windows' applies to a whole server: set orchestrator.execution_mode: "
            "windows in its config.yaml, or use 'native'",
            kind="not-supported",
        )


def check_child(asked: ConfigRequest, line: Ancestry, ceilings: Ceilings) -> None:
    """Raise Refused if the worker may not start one more child job."""
    depth = line.parent_job.depth + 1
    left = what_is_left(line, ceilings)
    claimed, says = line.parent_job.config.claimed_depth, asked.values.claimed_depth
    if "claimed_depth" in asked.given and says != claimed + depth:
        raise InvalidRequest(
            f"wrong current_depth {says}: this job has depth {claimed + depth}; "
            "omit current_depth, or send ORCHESTRATOR_DEPTH + 1",
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
    _check_count(left["child_jobs"], "child jobs of this worker", "limit-children", left)
    _check_count(
        left["child_jobs_in_root"], "child jobs of the root job", "limit-descendants", left
    )
    _check_count(left["wall_seconds"], "seconds of the root job", "limit-wall", left)
    for name, amount in line.budget.items():
        what = name.removeprefix("max_")
        _check_count(int(amount > 0), f"{what} of this job", f"limit-{what.split('_')[0]}", left)


def check_size(tasks: Sequence[TaskSpec], workers: int, ceilings: Ceilings) -> None:
    """Raise Refused if a job has more tasks than the ceiling allows."""
    if max(len(tasks), workers) > ceilings.max_tasks_per_job:
        raise Refused(
            f"task limit exceeded: {len(tasks)} tasks ({workers} workers), maximum "
            f"{ceilings.max_tasks_per_job} (limits.max_tasks_per_job); split the request",
            kind="limit-tasks",
            left={"tasks": ceilings.max_tasks_per_job},
        )


def check_total(config: JobConfig, already: int, more: int) -> None:
    """Raise Refused if the tree would have more workers than ``max_total_workers``."""
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
    """Raise Refused if an ancestor has the same request."""
    for job in line.ancestors:
        if job.digest == asked_digest:
            raise Refused(
                f"recursion rejected: ancestor job {job.id} has the same request; "
                "request a part of it",
                kind="cycle",
                left=left,
            )
    if prompt_digest is not None and prompt_digest in line.worker_digests:
        raise Refused(
            "recursion rejected: the calling worker, or one above it, has the same task; "
            "request a part of it",
            kind="cycle",
            left=left,
        )


def _check_count(left: object, what: str, kind: str, all_left: Mapping[str, object]) -> None:
    if left == 0:
        raise Refused(
            f"limit reached: no {what} remaining; do the rest of the work in this worker",
            kind=kind,
            left=all_left,
        )
