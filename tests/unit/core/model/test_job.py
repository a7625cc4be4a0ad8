"""Times of a job."""

from dataclasses import replace
from typing import Any

from orchestrator.core.model.job import Job, wall_seconds
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.states import JobStatus
from tests.unit.core.outcome.job.test_job_outcome import W, workers


def job(**more: Any) -> Job:
    config = JobConfig(
        max_workers=1, default_timeout=1, max_retries=0, max_depth=0, max_wall_seconds=9
    )
    return Job(id="j", root_id="j", depth=0, request="x", config=config, created_at=10.0, **more)


def test_a_jobs_wall_time_ends_with_its_last_worker_and_not_with_its_reports() -> None:
    first, last = workers(("a", W.SUCCESS), ("b", W.SUCCESS))
    ended = [replace(first, ended_at=13.0), replace(last, ended_at=12.0)]
    done = job(started_at=11.0, ended_at=19.0, status=JobStatus.COMPLETED)

    assert wall_seconds(done, ended) == 2.0


def test_the_wall_time_of_a_job_whose_planning_failed_ends_with_the_job() -> None:
    assert wall_seconds(job(started_at=11.0, ended_at=19.0, status=JobStatus.FAILED), []) == 8.0


def test_a_job_that_has_not_ended_has_no_wall_time_and_one_without_start_has_none_to_show() -> None:
    assert wall_seconds(job(started_at=11.0, status=JobStatus.RUNNING), []) is None
    assert wall_seconds(job(ended_at=19.0, status=JobStatus.CANCELLED), []) == 0.0
