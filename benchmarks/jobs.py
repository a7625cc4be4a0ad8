"""Runs jobs of shell workers, and reads the times of their ends."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.server import Client

ENDED = frozenset({"completed", "partial", "failed", "cancelled"})


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRun:
    """A completed job. Seconds count from just before its submission."""

    job_id: str
    workers: int
    #: Seconds until the job was accepted and stored.
    submit_seconds: float
    #: Seconds until the end of the last worker was stored.
    work_seconds: float
    #: Seconds until all reports were written.
    end_seconds: float

    @property
    def render_seconds(self) -> float:
        return self.end_seconds - self.work_seconds


def body_of(command: Sequence[str], count: int, slots: int) -> bytes:
    """Return a request with ``count`` equal tasks on ``slots`` slots."""
    task = {"agent": "shell", "command": list(command)}
    config = {"max_workers": slots}
    request = {
        "request": f"{count} x {' '.join(command)}",
        "config": config,
        "tasks": [task] * count,
    }
    return json.dumps(request).encode()


def run_job(
    client: Client,
    command: Sequence[str],
    count: int,
    slots: int,
    on_end: Callable[[], None] = lambda: None,
) -> JobRun:
    """Submit a job of equal tasks and wait for its end; see ``run_request``."""
    return run_request(client, body_of(command, count, slots), count, on_end)


def run_request(
    client: Client, body: bytes, count: int, on_end: Callable[[], None] = lambda: None
) -> JobRun:
    """Submit a job and wait for its end. Raise RuntimeError if a worker did not succeed.

    ``on_end`` is called before this client reads the workers' results, because that read costs the
    server time.
    """
    began = time.time()
    job_id = client.submit(body)
    submitted = time.time()
    wait_for_end(client, job_id)
    on_end()
    job = read_job(client, job_id)
    check(job, count)
    return JobRun(
        job_id=job_id,
        workers=count,
        submit_seconds=submitted - began,
        work_seconds=max(_moment(worker["ended_at"]) for worker in job["workers"]) - began,
        end_seconds=_moment(job["ended_at"]) - began,
    )


def read_job(client: Client, job_id: str) -> Any:
    """Read the job with all its workers. The server sends them in pages."""
    job = client.get(f"/jobs/{job_id}")
    page = 1
    while len(job["workers"]) < job.get("total_workers", 0):
        page += 1
        workers = client.get(f"/jobs/{job_id}?page={page}")["workers"]
        if not workers:
            raise RuntimeError(f"job {job_id}: page {page} of its workers is empty")
        job["workers"] += workers
    return job


def wait_for_end(client: Client, job_id: str) -> None:
    while client.get(f"/jobs/{job_id}/wait?timeout=60")["status"] not in ENDED:
        pass


def check(job: Any, count: int) -> None:
    """Raise RuntimeError unless every worker succeeded, and all logs and the report exist."""
    succeeded = [worker for worker in job["workers"] if worker["status"] == "success"]
    if job["status"] != "completed" or len(succeeded) != count:
        raise RuntimeError(f"job {job['job_id']} is {job['status']}: {job['reason']}")
    missing = [worker["log"] for worker in succeeded if not Path(worker["log"]).is_file()]
    if missing or not Path(job["final_report"]).is_file():
        raise RuntimeError(f"job {job['job_id']} lacks {[*missing, job['final_report']][0]}")


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
