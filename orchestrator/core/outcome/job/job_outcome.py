"""Final status of a job, and facts about its result for ``status.json`` and API answers."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import JobStatus
from orchestrator.core.outcome.job.reason import changed_nothing, not_judged


def job_outcome(
    workers: Sequence[Worker],
    cancelled: bool,
    *,
    incomplete: bool = False,
    fails_unjudged: bool = False,
) -> JobStatus:
    """Return the final status of a job whose own workers have all ended.

    A task with several candidates succeeded if one candidate succeeded. A job that was cancelled
    after all its tasks had succeeded does not count as cancelled. A job without workers has failed,
    unless it was cancelled.

    ``incomplete``: the result lacks something (``Job.lacks_changes``). ``fails_unjudged``: no gate
    judged some of the changed code, and the job has ``unjudged: fail``.
    """
    if fails_unjudged and not cancelled:
        return JobStatus.FAILED
    succeeded = tasks_succeeded(workers)
    if succeeded and all(succeeded.values()):
        return JobStatus.PARTIAL if incomplete else JobStatus.COMPLETED
    if cancelled:
        return JobStatus.CANCELLED
    return JobStatus.PARTIAL if any(succeeded.values()) else JobStatus.FAILED


def final_status(job: Job, workers: Iterable[Worker]) -> JobStatus:
    """Return the status with which a job ends (see ``job_outcome``).

    The job's planner is ignored.
    """
    return job_outcome(
        [each for each in workers if not each.is_planner],
        job.cancelled,
        incomplete=job.lacks_changes,
        fails_unjudged=job.fails_unjudged,
    )


def outcome_fields(job: Job) -> dict[str, Any]:
    """Return facts about a job's result, as fields of ``status.json`` and of API answers.

    Before the job's end, the fields have default values, such as an empty list.
    """
    facts = job.facts
    return {
        "changed_nothing": changed_nothing(job),
        "nothing_built": facts.nothing_built,
        "not_judged": not_judged(job) or None,
        "unjudged_gates": [
            {"name": gate.name, "cause": gate.cause, "why": gate.why}
            for gate in facts.unjudged_gates
            if gate.cause
        ],
        "unjudged_files": [asdict(file) for file in facts.unjudged_files],
        "merge_state": job.merge_state,
        "discarded": facts.discarded,
    }


def tasks_succeeded(workers: Sequence[Worker]) -> dict[str, bool]:
    """Return one value for each task id: True if a candidate of the task succeeded.

    Tasks are in the order of ``workers``.
    """
    succeeded: dict[str, bool] = {}
    for worker in workers:
        succeeded[worker.task_id] = succeeded.get(worker.task_id, False) or worker.status.succeeded
    return succeeded
