"""States of jobs and workers, and the allowed transitions between states."""

from collections.abc import Mapping
from enum import StrEnum


class JobStatus(StrEnum):
    #: The job is stored. None of its workers has started.
    PENDING = "pending"
    #: The request is being split into tasks, or its plan waits for approval.
    PLANNING = "planning"
    #: Workers run or wait to run.
    RUNNING = "running"
    #: Every task succeeded.
    COMPLETED = "completed"
    #: Only some tasks succeeded, or some changes could not be merged.
    PARTIAL = "partial"
    #: No task succeeded, or no gate judged changed code in a job with ``unjudged: fail``.
    FAILED = "failed"
    #: The job was stopped on request before its end.
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in ENDED_JOB


class StopCause(StrEnum):
    """Why a job was stopped before its end."""

    #: A person, or a program with an API key, requested the stop.
    USER = "user"
    #: The worker that started the job cancelled it, and continues without the job's result.
    WITHDRAWN = "withdrawn"
    #: An ancestor worker of the job failed or was stopped, or cancelled the job or one of its
    #: ancestor jobs. If the job's own parent worker cancelled the job: ``WITHDRAWN``.
    PARENT = "parent"
    #: The wall time of the job, or of an ancestor job, expired.
    WALL_TIME = "wall_time"
    #: The job, or an ancestor job, reached a cap, or the daily limit on costs was reached.
    LIMIT = "limit"


class MergeState(StrEnum):
    """Progress of merging the changes of a job's workers."""

    #: Nothing was merged: no worker had changes, or the merge has not begun.
    NONE = "none"
    #: The result has the changes of all workers with ``Worker.belongs_to_result``.
    MERGED = "merged"
    #: The result lacks changes, which ``JobFacts.missing`` lists.
    IN_PART = "in_part"
    #: There is no result: merging failed.
    FAILED = "failed"


class WorkerKind(StrEnum):
    #: Runs a task of its job.
    TASK = "task"
    #: Creates the job's tasks.
    PLANNER = "planner"
    #: Compares the candidates of a task.
    REVIEWER = "reviewer"


class WaitKind(StrEnum):
    """What keeps a worker from running."""

    # "Name" in the comments below is ``WaitingFor.name``.

    #: The shared context of the worker's job is being created.
    CONTEXT = "context"
    #: The model has not yet answered the first worker of the same job and agent. Name: the first
    #: worker's id.
    FIRST_ANSWER = "first_answer"
    #: The agent's account is rate-limited. Name: the agent's name.
    ACCOUNT = "account"
    #: Another worker holds a lock. Name: the names of the locks.
    LOCK = "lock"
    #: A person has not answered the worker's question yet.
    ANSWER = "answer"
    #: The worker's child jobs run.
    CHILD_JOBS = "child_jobs"
    #: The worker could resume, but no slot is free.
    SLOT = "slot"
    #: Too little disk space is free.
    DISK = "disk"
    #: Too little memory is free.
    MEMORY = "memory"
    #: The server has too few free file descriptors.
    DESCRIPTORS = "descriptors"
    #: No machine of the cluster can start the worker now.
    NODE = "node"


class WorkerStatus(StrEnum):
    #: The worker has not started, or waits for its next attempt.
    PENDING = "pending"
    #: The worker's process runs and holds a slot.
    RUNNING = "running"
    #: The worker waits for its child jobs, a lock, or a person's answer, and holds no slot.
    WAITING = "waiting"
    #: The evidence shows that the worker succeeded.
    SUCCESS = "success"
    #: The worker and the child jobs that it started succeeded.
    RECURSIVE_SUCCESS = "recursive_success"
    #: The worker ended without success, and no attempt remains.
    FAILED = "failed"
    #: The worker was stopped because its timeout, or the job's wall time, expired, or because its
    #: tool stopped responding.
    TIMEOUT = "timeout"
    #: The worker was stopped on request.
    CANCELLED = "cancelled"
    #: The worker never started, because a dependency did not succeed.
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        return self in ENDED_WORKER

    @property
    def succeeded(self) -> bool:
        return self in SUCCEEDED_WORKER


ENDED_JOB = frozenset(
    {JobStatus.COMPLETED, JobStatus.PARTIAL, JobStatus.FAILED, JobStatus.CANCELLED}
)
SUCCEEDED_WORKER = frozenset({WorkerStatus.SUCCESS, WorkerStatus.RECURSIVE_SUCCESS})
ENDED_WORKER = SUCCEEDED_WORKER | {
    WorkerStatus.FAILED,
    WorkerStatus.TIMEOUT,
    WorkerStatus.CANCELLED,
    WorkerStatus.SKIPPED,
}

_RUN_AGAIN = frozenset({JobStatus.PLANNING, JobStatus.RUNNING})

JOB_TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset({JobStatus.PLANNING, JobStatus.RUNNING}) | ENDED_JOB,
    JobStatus.PLANNING: frozenset({JobStatus.PENDING, JobStatus.RUNNING}) | ENDED_JOB,
    JobStatus.RUNNING: ENDED_JOB,
    # RUNNING: a worker gets feedback, or resolves conflicts in a repeated merge.
    # PARTIAL: a repeated merge omitted changes.
    JobStatus.COMPLETED: frozenset({JobStatus.RUNNING, JobStatus.PARTIAL}),
    # RUNNING: a retry runs unsuccessful tasks. COMPLETED: unmerged changes may be merged later.
    JobStatus.PARTIAL: _RUN_AGAIN | {JobStatus.COMPLETED},
    JobStatus.FAILED: _RUN_AGAIN,
    JobStatus.CANCELLED: _RUN_AGAIN,
}

_W = WorkerStatus
#: Statuses that may follow a success. Both may follow after a merge rejection: the worker's changes
#: conflict with other changes, or the gates fail on the merged result. PENDING may also follow
#: because of feedback or a retry.
_REFUSED = frozenset({_W.PENDING, _W.FAILED})
WORKER_TRANSITIONS: Mapping[WorkerStatus, frozenset[WorkerStatus]] = {
    # WAITING: the worker's question was asked. Or the worker is being stopped, while child jobs of
    # its previous attempt still run.
    _W.PENDING: frozenset({_W.RUNNING, _W.WAITING}) | (ENDED_WORKER - SUCCEEDED_WORKER),
    _W.RUNNING: frozenset({_W.PENDING, _W.WAITING}) | (ENDED_WORKER - {_W.SKIPPED}),
    _W.WAITING: frozenset({_W.PENDING, _W.RUNNING}) | (ENDED_WORKER - {_W.SKIPPED}),
    _W.SUCCESS: _REFUSED,
    _W.RECURSIVE_SUCCESS: _REFUSED,
    _W.FAILED: frozenset({_W.PENDING}),
    _W.TIMEOUT: frozenset({_W.PENDING}),
    _W.CANCELLED: frozenset({_W.PENDING}),
    _W.SKIPPED: frozenset({_W.PENDING}),
}


def check_job_move(before: JobStatus, after: JobStatus) -> None:
    """Raise ValueError if a job may not change from the status ``before`` to ``after``."""
    if after not in JOB_TRANSITIONS[before]:
        raise ValueError(f"a job cannot change from {before} to {after}")


def check_worker_move(before: WorkerStatus, after: WorkerStatus) -> None:
    """Raise ValueError if a worker may not change from the status ``before`` to ``after``."""
    if after not in WORKER_TRANSITIONS[before]:
        raise ValueError(f"a worker cannot change from {before} to {after}")
