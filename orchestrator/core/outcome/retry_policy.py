"""Decides whether a failed attempt is retried. Each worker has a maximum number of retries."""

from orchestrator.core.model.job import TaskSpec, Worker
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.attempt_outcome import Verdict

#: Maximum seconds between two attempts.
MAX_DELAY_SECONDS = 60.0


def may_retry(
    worker: Worker, task: TaskSpec, config: JobConfig, verdict: Verdict, child_failed: bool
) -> bool:
    """True if a retry follows a failed attempt.

    - If the attempt's timeout expired, a retry follows only if the user requested retries. After a
      timeout, a planner or reviewer is never retried.
    - If only a child job failed, a retry follows only if the task sets ``retries``. A child job has
      its own retries, and retries at every depth would multiply.
    - If the same failure (``Verdict.failure``) occurs twice in a row, no further retry follows.
      Exception: retries that the user requested for a command are always used.
    """
    if has_no_retry(worker, task, config):
        return False
    if verdict.status is WorkerStatus.CANCELLED:
        return False
    if worker.is_adviser and verdict.status is WorkerStatus.TIMEOUT:
        # Do not retry: all tasks wait for the planner or reviewer, and the job can continue without
        # its answer.
        return False
    if child_failed and task.retries is None:
        return False
    asked = task.retries is not None or config.retries_asked
    again = verdict.retry or (asked and verdict.status is WorkerStatus.TIMEOUT)
    is_command = task.command is not None
    return again and ((asked and is_command) or not _same_failure(worker, verdict))


def has_no_retry(worker: Worker, task: TaskSpec, config: JobConfig) -> bool:
    return worker.attempt - worker.budget_from > _max_retries(task, config)


def retry_delay(worker: Worker, backoff_seconds: float) -> float:
    """Return the seconds until the next attempt. The delay doubles with every failure."""
    failures = max(0, worker.attempt - worker.budget_from - 1)
    return float(min(backoff_seconds * 2.0 ** min(failures, 16), MAX_DELAY_SECONDS))


def failure_reason(worker: Worker, task: TaskSpec, config: JobConfig, verdict: Verdict) -> str:
    """Return the verdict's reason, and why no retry follows."""
    attempts = worker.attempt - worker.budget_from
    if attempts < 2 or verdict.status is WorkerStatus.CANCELLED:
        return verdict.reason
    if attempts <= _max_retries(task, config) and _same_failure(worker, verdict):
        return f"{verdict.reason} (the same failure twice, no automatic retry)"
    return f"{verdict.reason} (attempt {attempts} of {attempts})"


def _max_retries(task: TaskSpec, config: JobConfig) -> int:
    return config.max_retries if task.retries is None else task.retries


def _same_failure(worker: Worker, verdict: Verdict) -> bool:
    return bool(verdict.failure) and verdict.failure == worker.failure
