"""Factories of values to store. A test passes only the fields that it needs."""

from typing import Any

from orchestrator.core.events import Event, EventKind
from orchestrator.core.model.job import Attempt, Job, Worker
from orchestrator.core.model.job_settings import JobConfig

CONFIG = JobConfig(
    max_workers=4, default_timeout=300, max_retries=2, max_depth=3, max_wall_seconds=86_400
)


def a_job(id: str = "a", **fields: Any) -> Job:
    usual = {"root_id": id, "depth": 0, "request": "Do it", "config": CONFIG, "created_at": 1.0}
    return Job(id=id, **{**usual, **fields})


def a_child(id: str, parent: Job, **fields: Any) -> Job:
    usual = {
        "root_id": parent.root_id,
        "depth": parent.depth + 1,
        "parent_job_id": parent.id,
        "parent_worker_id": "worker_1",
    }
    return a_job(id, **{**usual, **fields})


def a_worker(job: Job, index: int = 0, **fields: Any) -> Worker:
    usual = {
        "id": f"worker_{index + 1}",
        "job_id": job.id,
        "root_id": job.root_id,
        "task_id": f"t{index}",
        "index": index,
        "depth": job.depth,
        "agent": "shell",
    }
    return Worker(**{**usual, **fields})


def an_attempt(worker: Worker, number: int = 1, **fields: Any) -> Attempt:
    usual = {"job_id": worker.job_id, "started_at": 1.0, "token_hash": f"{worker.id}/{number}"}
    key = {"root_id": worker.root_id, "worker_id": worker.id, "number": number}
    return Attempt(**{**key, **usual, **fields})


def an_event(job: Job, seq: int, **fields: Any) -> Event:
    usual = {"job_id": job.id, "kind": EventKind.JOB_STARTED, "at": float(seq)}
    return Event(root_id=job.root_id, seq=seq, **{**usual, **fields})


#: Text that is hard to store: emoji, NUL, single and paired surrogates, the store's own escape.
HARD_TEXT = "\0 \ud800 \ud83d\ude00 \U0001f600 \x1a \x1a0000 \x1ad83d e\u0301 \u2028 \\u0000 %s :a"
