"""The states of jobs and workers, and the allowed transitions between them."""

from collections.abc import Mapping
from enum import StrEnum


class JobStatus(StrEnum):
    #: Stored, nothing has been started.
    PENDING = "pending"
    #: The request is being split into tasks, or its plan waits for approval.
    PLANNING = "planning"
    #: Workers run or wait to run.
    RUNNING = "running"
    #: Every task succeeded.
    COMPLETED = "completed"
    #: Some tasks succeeded, some did not; or their changes could not all be merged.
    PARTIAL = "partial"
    #: No task succeeded.
    FAILED = "failed"
    #: Stopped on request before it was done.
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in ENDED_JOB


class StopCause(StrEnum):
    """Why a job was stopped before it was done."""

    #: A person, or a program with an API key, requested it.
    USER = "user"
    #: The worker that started the job cancelled it: the worker does without its result.
    WITHDRAWN = "withdrawn"
    #: A worker above the job ended, or cancelled a job above it.
    PARENT = "parent"
    #: The wall time of the job, or of a job above it, is used up.
    WALL_TIME = "wall_time"
    #: The job, or a job above it, used the steps, tokens or money that it may.
    LIMIT = "limit"


class MergeState(StrEnum):
    """Progress of merging the changes of a job's workers."""

    #: Nothing was merged: no worker had changes, or the merge has not begun.
    NONE = "none"
    #: The result has the changes of all workers that count.
    MERGED = "merged"
    #: The result lacks changes, which ``JobFacts.missing`` names.
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

    #: The context that all workers of its job share is being built.
    CONTEXT = "context"
    #: The first worker of the same agent has not had an answer yet; named is that worker.
    FIRST_ANSWER = "first_answer"
    #: The agent's account is rate-limited; named is the agent.
    ACCOUNT = "account"
    #: A lock is held; named are the locks.
    LOCK = "lock"
    #: Child jobs run.
    CHILD_JOBS = "child_jobs"
    #: It could resume, and no slot is free.
    SLOT = "slot"
    #: Disk space.
    DISK = "disk"
    #: Memory.
    MEMORY = "memory"
    #: File descriptors of the server.
    DESCRIPTORS = "descriptors"


class WorkerStatus(StrEnum):
    #: Not started yet, or waiting for its next attempt.
    PENDING = "pending"
    #: Its process runs and holds a slot.
    RUNNING = "running"
    #: Its child jobs run; it holds no slot.
    WAITING = "waiting"
    #: Done, on evidence.
    SUCCESS = "success"
    #: Done, and so are the child jobs it started.
    RECURSIVE_SUCCESS = "recursive_success"
    #: Ended without success; no attempt remains.
    FAILED = "failed"
    #: Stopped because its timeout expired.
    TIMEOUT = "timeout"
    #: Stopped on request.
    CANCELLED = "cancelled"
    #: Never started: something it needs did not succeed.
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
    # A worker may resolve unmerged changes later; merged again, the result may lack something.
    JobStatus.COMPLETED: frozenset({JobStatus.RUNNING, JobStatus.PARTIAL}),
    # A retry runs unsuccessful tasks again; what could not be merged may be merged later.
    JobStatus.PARTIAL: _RUN_AGAIN | {JobStatus.COMPLETED},
    JobStatus.FAILED: _RUN_AGAIN,
    JobStatus.CANCELLED: _RUN_AGAIN,
}

_W = WorkerStatus
#: Its changes failed together with those of the others.
_REFUSED = frozenset({_W.PENDING, _W.FAILED})
WORKER_TRANSITIONS: Mapping[WorkerStatus, frozenset[WorkerStatus]] = {
    # An ended attempt may have child jobs to wait for before the next one starts.
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
    """Raise ValueError if a job may not change from ``before`` to ``after``."""
    if after not in JOB_TRANSITIONS[before]:
        raise ValueError(f"a job cannot go from {before} to {after}")


def check_worker_move(before: WorkerStatus, after: WorkerStatus) -> None:
    """Raise ValueError if a worker may not change from ``before`` to ``after``."""
    if after not in WORKER_TRANSITIONS[before]:
        raise ValueError(f"a worker cannot go from {before} to {after}")
