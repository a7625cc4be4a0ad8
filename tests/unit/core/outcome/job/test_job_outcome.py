"""The outcome of a job follows from the outcomes of its workers."""

import pytest

from orchestrator.core.model.job import Worker
from orchestrator.core.model.states import ENDED_WORKER, SUCCEEDED_WORKER, JobStatus, WorkerStatus
from orchestrator.core.outcome.job.job_outcome import job_outcome

W = WorkerStatus


def workers(*tasks: tuple[str, WorkerStatus]) -> list[Worker]:
    return [
        Worker(
            id=f"worker_{number}",
            job_id="j",
            root_id="j",
            task_id=task_id,
            index=number - 1,
            depth=0,
            agent="shell",
            status=status,
        )
        for number, (task_id, status) in enumerate(tasks, start=1)
    ]


def test_a_job_is_completed_when_every_task_succeeded() -> None:
    ended = workers(("a", W.SUCCESS), ("b", W.RECURSIVE_SUCCESS))
    assert job_outcome(ended, cancelled=False) is JobStatus.COMPLETED


@pytest.mark.parametrize("status", sorted(ENDED_WORKER - SUCCEEDED_WORKER))
def test_one_task_without_success_makes_a_job_partial(status: WorkerStatus) -> None:
    ended = workers(("a", W.SUCCESS), ("b", status))
    assert job_outcome(ended, cancelled=False) is JobStatus.PARTIAL


@pytest.mark.parametrize("status", sorted(ENDED_WORKER - SUCCEEDED_WORKER))
def test_a_job_without_any_success_has_failed(status: WorkerStatus) -> None:
    assert job_outcome(workers(("a", status), ("b", status)), cancelled=False) is JobStatus.FAILED


def test_a_job_without_workers_has_failed() -> None:
    assert job_outcome([], cancelled=False) is JobStatus.FAILED


def test_one_candidate_is_enough_for_its_task() -> None:
    ended = workers(("a", W.FAILED), ("a", W.SUCCESS), ("a", W.TIMEOUT), ("b", W.SUCCESS))
    assert job_outcome(ended, cancelled=False) is JobStatus.COMPLETED


def test_a_task_whose_candidates_all_failed_did_not_succeed() -> None:
    ended = workers(("a", W.FAILED), ("a", W.TIMEOUT), ("b", W.SUCCESS))
    assert job_outcome(ended, cancelled=False) is JobStatus.PARTIAL


@pytest.mark.parametrize("other", [W.SUCCESS, W.FAILED, W.SKIPPED])
def test_a_cancelled_job_is_cancelled_whatever_had_ended_before(other: WorkerStatus) -> None:
    assert job_outcome(workers(("a", other), ("b", W.CANCELLED)), cancelled=True) is (
        JobStatus.CANCELLED
    )


def test_a_cancelled_job_without_workers_is_cancelled() -> None:
    assert job_outcome([], cancelled=True) is JobStatus.CANCELLED


def test_a_job_cancelled_too_late_is_completed() -> None:
    assert job_outcome(workers(("a", W.SUCCESS)), cancelled=True) is JobStatus.COMPLETED
