"""Status of an ended job, derived from its workers."""

from collections.abc import Sequence

from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import JobStatus


def job_outcome(
    workers: Sequence[Worker],
    cancelled: bool,
    *,
    incomplete: bool = False,
    fails_unjudged: bool = False,
) -> JobStatus:
    """Return the final status of a job whose own workers have all ended.

    A task with several candidates succeeded if one of them did. A job that was cancelled after all
    its tasks had succeeded is completed; a job without workers has failed. ``incomplete``: the
    result lacks something (``Job.lacks_changes``). ``fails_unjudged``: no gate judged the changed
    code, and the job requires one.
    """
    if fails_unjudged and not cancelled:
        return JobStatus.FAILED
    succeeded = tasks_succeeded(workers)
    if succeeded and all(succeeded.values()):
        return JobStatus.PARTIAL if incomplete else JobStatus.COMPLETED
    if cancelled:
        return JobStatus.CANCELLED
    return JobStatus.PARTIAL if any(succeeded.values()) else JobStatus.FAILED


def wall_seconds(job: Job, workers: Sequence[Worker]) -> float | None:
    """Return the seconds from an ended job's start to its last worker's end; None before its end.

    The job's own end is later than that of its last worker, because reports with this figure are
    written first.
    """
    if not job.status.ended:
        return None
    began = job.created_at if job.started_at is None else job.started_at
    ends = (worker.ended_at for worker in workers if worker.ended_at is not None)
    return round(max(0.0, max(ends, default=began) - began), 6)


def tasks_succeeded(workers: Sequence[Worker]) -> dict[str, bool]:
    """Return, by task id, True if one of the task's candidates succeeded; in worker order."""
    succeeded: dict[str, bool] = {}
    for worker in workers:
        succeeded[worker.task_id] = succeeded.get(worker.task_id, False) or worker.status.succeeded
    return succeeded
