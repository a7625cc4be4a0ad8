import pytest

from orchestrator.core.model.states import (
    ENDED_JOB,
    ENDED_WORKER,
    JOB_TRANSITIONS,
    SUCCEEDED_WORKER,
    WORKER_TRANSITIONS,
    JobStatus,
    WorkerStatus,
    check_job_move,
    check_worker_move,
)

JOB_MOVES = [(before, after) for before in JobStatus for after in JobStatus]
WORKER_MOVES = [(before, after) for before in WorkerStatus for after in WorkerStatus]


def test_the_names_of_states_are_those_of_the_contract() -> None:
    jobs = "pending planning running completed partial failed cancelled"
    workers = "pending running waiting success recursive_success failed timeout cancelled skipped"
    assert [str(status) for status in JobStatus] == jobs.split()
    assert [str(status) for status in WorkerStatus] == workers.split()


def test_every_state_has_a_row_in_its_table() -> None:
    assert set(JOB_TRANSITIONS) == set(JobStatus)
    assert set(WORKER_TRANSITIONS) == set(WorkerStatus)


@pytest.mark.parametrize(("before", "after"), JOB_MOVES)
def test_a_job_moves_only_as_the_table_permits(before: JobStatus, after: JobStatus) -> None:
    if after in JOB_TRANSITIONS[before]:
        check_job_move(before, after)
    else:
        with pytest.raises(ValueError, match=f"from {before} to {after}"):
            check_job_move(before, after)


@pytest.mark.parametrize(("before", "after"), WORKER_MOVES)
def test_a_worker_moves_only_as_the_table_permits(
    before: WorkerStatus, after: WorkerStatus
) -> None:
    if after in WORKER_TRANSITIONS[before]:
        check_worker_move(before, after)
    else:
        with pytest.raises(ValueError, match=f"from {before} to {after}"):
            check_worker_move(before, after)


def test_only_a_refusal_of_its_changes_follows_success() -> None:
    # Unmerged changes may be merged later; the result may still lack changes after this merge.
    assert JOB_TRANSITIONS[JobStatus.COMPLETED] == {JobStatus.RUNNING, JobStatus.PARTIAL}
    for status in SUCCEEDED_WORKER:
        assert WORKER_TRANSITIONS[status] == {WorkerStatus.PENDING, WorkerStatus.FAILED}


def test_an_unsuccessful_end_only_leads_to_a_retry_or_a_later_merge() -> None:
    again = {JobStatus.PLANNING, JobStatus.RUNNING}
    for job in (JobStatus.FAILED, JobStatus.CANCELLED):
        assert JOB_TRANSITIONS[job] == again
    assert JOB_TRANSITIONS[JobStatus.PARTIAL] == again | {JobStatus.COMPLETED}
    for worker in ENDED_WORKER - SUCCEEDED_WORKER:
        assert WORKER_TRANSITIONS[worker] == {WorkerStatus.PENDING}


def test_every_unfinished_job_can_end_in_every_way() -> None:
    for job in set(JobStatus) - ENDED_JOB:
        assert JOB_TRANSITIONS[job] >= ENDED_JOB


def test_a_worker_that_never_ran_cannot_have_succeeded() -> None:
    assert not WORKER_TRANSITIONS[WorkerStatus.PENDING] & SUCCEEDED_WORKER


def test_a_worker_that_ran_is_never_skipped() -> None:
    assert WorkerStatus.SKIPPED not in WORKER_TRANSITIONS[WorkerStatus.RUNNING]
    assert WorkerStatus.SKIPPED not in WORKER_TRANSITIONS[WorkerStatus.WAITING]


def test_states_know_whether_they_are_the_end() -> None:
    assert {status for status in JobStatus if status.ended} == ENDED_JOB
    assert {status for status in WorkerStatus if status.ended} == ENDED_WORKER
    assert {status for status in WorkerStatus if status.succeeded} == SUCCEEDED_WORKER
