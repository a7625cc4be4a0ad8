"""Admission of a job: whether the job may start, and the remaining quota of its workers. Pure.

Limits of API keys, such as the daily limit on costs, are checked in ``key_costs_and_jobs``.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from orchestrator.core.errors import InvalidRequest, MaxDepthReached, Refused
from orchestrator.core.limits.effective_settings import Ancestry, Ceilings
from orchestrator.core.model.job import Job, TaskSpec
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.submission import ConfigRequest
from orchestrator.core.text.formatting import plural


def remaining_quota(line: Ancestry, ceilings: Ceilings) -> dict[str, object]:
    """Return the remaining quota of the calling worker (see ``remaining_quota_of``).

    "wall_seconds" is the remaining wall time of the root job, not of the worker's own job.
    """
    quota = remaining_quota_of(
        line.parent_job,
        ceilings,
        child_jobs_in_root=line.child_jobs_in_root,
        workers_in_root=line.workers_in_root,
        remaining_caps=line.remaining_caps,
        now=line.now,
        started=len(line.parent.child_job_ids),
    )
    return {**quota, "wall_seconds": max(0, round(line.root.remaining_wall_seconds(line.now)))}


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
    may_spawn = config.enable_recursion and not job.status.ended
    quota: dict[str, object] = {
        "depth": max(0, config.max_depth - job.depth) if may_spawn else 0,
        "child_jobs": max(0, ceilings.max_child_jobs_per_worker - started) if may_spawn else 0,
        "child_jobs_in_root": (
            max(0, ceilings.max_child_jobs_per_root - child_jobs_in_root) if may_spawn else 0
        ),
        "wall_seconds": 0 if job.status.ended else max(0, round(job.remaining_wall_seconds(now))),
    }
    if config.max_total_workers is not None:
        free_workers = max(0, config.max_total_workers - workers_in_root)
        quota["workers"] = 0 if job.status.ended else free_workers
    for name, remaining in remaining_caps.items():
        quota[name.removeprefix("max_")] = round(remaining, 6)
    return quota


def check_caps(remaining_caps: Mapping[str, float]) -> None:
    """Raise Refused if a job cannot be retried, because one of its caps is used up.

    ``remaining_caps``: what remains of the job's caps, by the name of the cap.
    """
    for name, amount in remaining_caps.items():
        if amount <= 0:
            raise Refused(
                f"limit reached: {name} of the job is used up; retry with a higher {name}",
                kind=f"limit-{name.removeprefix('max_').split('_')[0]}",
                left={name.removeprefix("max_"): 0},
            )


def check_supported(requested: ConfigRequest, defaults: JobConfig) -> None:
    """Raise InvalidRequest for a setting that this server cannot apply."""
    if requested.values.execution_mode == "windows" != defaults.execution_mode:
        raise InvalidRequest(
            "execution_mode 'windows' applies only to a whole server; request 'native', or set "
            "orchestrator.execution_mode: windows in the server's config.yaml",
            kind="not-supported",
        )


def check_child(requested: ConfigRequest, line: Ancestry, ceilings: Ceilings) -> None:
    """Raise Refused if a setting or limit forbids the calling worker to start the child job.

    Raise InvalidRequest if the request states a wrong depth.
    """
    depth = line.parent_job.depth + 1
    quota = remaining_quota(line, ceilings)
    claimed, stated = line.parent_job.config.claimed_depth, requested.values.claimed_depth
    if "claimed_depth" in requested.fields_set and stated != claimed + depth:
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
            left=quota,
        )
    if depth > line.parent_job.config.max_depth:
        deepest = line.parent_job.config.max_depth
        raise MaxDepthReached(
            f"a child job would have depth {claimed + depth}, maximum {claimed + deepest}",
            quota,
        )
    most = ceilings.max_child_jobs_per_worker
    limit = f"at most {plural(most, 'child job')} per worker (limits.max_child_jobs_per_worker)"
    _check_quota(quota["child_jobs"], limit, "limit-children", quota)
    most = ceilings.max_child_jobs_per_root
    limit = f"at most {plural(most, 'child job')} in a job tree (limits.max_child_jobs_per_root)"
    _check_quota(quota["child_jobs_in_root"], limit, "limit-descendants", quota)
    seconds = line.root.config.max_wall_seconds
    limit = f"max_wall_seconds ({seconds:g} s) of root job {line.root.id} is used up"
    _check_quota(quota["wall_seconds"], limit, "limit-wall", quota)
    for name, amount in line.remaining_caps.items():
        kind = f"limit-{name.removeprefix('max_').split('_')[0]}"
        limit = f"{name} of job {line.parent_job.id}, or of one of its ancestors, is used up"
        _check_quota(int(amount > 0), limit, kind, quota)


def check_size(tasks: Sequence[TaskSpec], workers: int, ceilings: Ceilings) -> None:
    """Raise Refused if a job has too many tasks or too many workers."""
    if max(len(tasks), workers) > ceilings.max_tasks_per_job:
        raise Refused(
            f"task limit exceeded: {len(tasks)} tasks ({workers} workers), maximum "
            f"{ceilings.max_tasks_per_job} (limits.max_tasks_per_job); split the request",
            kind="limit-tasks",
            left={"tasks": ceilings.max_tasks_per_job},
        )


def check_total(config: JobConfig, existing: int, additional: int) -> None:
    """Raise Refused if ``additional`` workers would exceed ``max_total_workers`` of a job tree.

    ``existing``: number of workers that the tree has.
    """
    limit = config.max_total_workers
    if limit is not None and existing + additional > limit:
        raise Refused(
            f"worker limit reached: {existing} of {limit} used (max_total_workers), {additional} "
            "requested; submit fewer tasks, or do the work without a child job",
            kind="limit-workers",
            left={"workers": max(0, limit - existing)},
        )


def check_cycle(
    job_digest: str,
    prompt_digest: str | None,
    line: Ancestry,
    left: Mapping[str, object] | None = None,
) -> None:
    """Raise Refused if a child job repeats the work of an ancestor job or ancestor worker.

    Without this check, a chain of such jobs would never end.

    ``job_digest``: fingerprint of the child job's request and tasks. No ancestor job may have the
    same fingerprint. ``prompt_digest``: fingerprint of the request alone; None if the request names
    tasks. Neither the calling worker nor its ancestors may have a task with this fingerprint.
    ``left``: the remaining quota, for the error.
    """
    for job in line.ancestors:
        if job.digest == job_digest:
            raise Refused(
                f"recursion rejected: ancestor job {job.id} has the same request; "
                "request only a part of the work",
                kind="cycle",
                left=left,
            )
    if prompt_digest is not None and prompt_digest in line.worker_digests:
        raise Refused(
            "recursion rejected: this worker, or one of its ancestors, already has the same task; "
            "request only a part of the work",
            kind="cycle",
            left=left,
        )


def _check_quota(remaining: object, limit: str, kind: str, quota: Mapping[str, object]) -> None:
    """Raise Refused if nothing of a quota remains.

    ``remaining``: what remains of the quota. ``limit``: the limit as text. ``kind``: the error's
    kind. ``quota``: all remaining quotas of the caller, which become the error's field ``left``.
    """
    if remaining == 0:
        raise Refused(
            f"limit reached: {limit}; do the rest of the work in this worker",
            kind=kind,
            left=quota,
        )
