"""Factories of valid values of the model. A test passes only the fields that it needs."""

from collections.abc import Sequence
from itertools import count
from typing import Any

from orchestrator.core.limits.effective_settings import Ancestry
from orchestrator.core.model.attempt.attempt_result import EndedBy, Evidence, Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.human_input.feedback import Comment, Feedback
from orchestrator.core.model.job import Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.model.job_settings import JobConfig

#: Start time of stories: any time except zero. BASE is the base commit of jobs, so that their
#: changes are merged.
BASE = "c0ffee"
START = 1_000.0
DAY = 86_400.0

EXIT_0 = Exit(ended_by=EndedBy.EXIT, code=0)
EXIT_1 = Exit(ended_by=EndedBy.EXIT, code=1)
TIMED_OUT = Exit(
    ended_by=EndedBy.TIMEOUT,
    cause=ExitCause.TASK_TIMEOUT,
    signal=15,
    stopped_by="timeout (5 s)",
)
CANCELLED = Exit(ended_by=EndedBy.CANCEL, signal=15, stopped_by="user")
LOST = Exit(ended_by=EndedBy.LOST)
DONE = Evidence(output="done")

_numbers = count(1)


def restart_numbers() -> None:
    """Number names from 1 again, so that a repeated story has the same names."""
    global _numbers
    _numbers = count(1)


def a_config(**changes: Any) -> JobConfig:
    defaults = {
        "max_workers": 1,
        "default_timeout": 300.0,
        "max_retries": 0,
        "retry_backoff_seconds": 1.0,
        "max_depth": 10,
        "max_wall_seconds": DAY,
    }
    return JobConfig(**{**defaults, **changes})


def a_job(**changes: Any) -> Job:
    number = next(_numbers)
    defaults = {
        "id": f"job{number}",
        "depth": 0,
        "request": f"request {number}",
        "digest": f"digest {number}",
        "config": changes.pop("config", None) or a_config(),
        "created_at": START,
    }
    values = {**defaults, **changes}
    return Job(**{"root_id": values["id"], **values})


def a_child_job(parent_job: Job, parent: Worker, **changes: Any) -> Job:
    defaults = {
        "root_id": parent.root_id,
        "depth": parent.depth + 1,
        "parent_job_id": parent_job.id,
        "parent_worker_id": parent.id,
    }
    return a_job(**{**defaults, **changes})


def a_feedback(**changes: Any) -> Feedback:
    comment = Comment(path="a.py", line=2, end_line=3, text="Use the constant.", code="x = 1")
    defaults = {"at": START, "by": "person", "attempt": 2, "commit": BASE, "comments": (comment,)}
    return Feedback(**{**defaults, **changes})


def a_task(id: str = "a", *needs: str, **changes: Any) -> TaskSpec:
    return TaskSpec(**{"id": id, "depends_on": needs, **changes})


def a_worker(**changes: Any) -> Worker:
    defaults = {
        "id": "worker_1",
        "job_id": "job",
        "root_id": "job",
        "task_id": "a",
        "index": 0,
        "depth": 0,
        "agent": "shell",
    }
    return Worker(**{**defaults, **changes})


def a_key(worker_id: str = "worker_1", root_id: str = "job") -> WorkerKey:
    return WorkerKey(root_id, worker_id)


def workers_for(
    job: Job, tasks: Sequence[TaskSpec], prefix: str = "worker", first: int = 1
) -> Sequence[Worker]:
    """Return a worker for every candidate of every task, named in order."""
    pairs = [(task, agent) for task in tasks for agent in task.agents or ("shell",)]
    return [
        a_worker(
            id=f"{prefix}_{first + index}",
            job_id=job.id,
            root_id=job.root_id,
            task_id=task.id,
            index=index,
            depth=job.depth,
            agent=agent,
        )
        for index, (task, agent) in enumerate(pairs)
    ]


def an_ancestry(**changes: Any) -> Ancestry:
    """Return the ancestry of a caller: by default, a worker of a root job."""
    parent_job = changes.pop("parent_job", None) or a_job()
    defaults = {
        "parent_job": parent_job,
        "parent": a_worker(job_id=parent_job.id, root_id=parent_job.root_id),
        "ancestors": (parent_job,),
        "worker_digests": frozenset[str](),
        "child_jobs_in_root": 0,
        "workers_in_root": 1,
        "now": START,
    }
    return Ancestry(**{**defaults, **changes})
