from dataclasses import replace

import pytest

from orchestrator.core.events import EventKind
from orchestrator.core.ledger import Ledger
from orchestrator.core.model import Attempt, Job
from orchestrator.core.ports import Change, Tree
from orchestrator.core.states import JobStatus, WorkerStatus

from .factories import EXIT_0, START, a_job, a_task, a_worker

WORKER = a_worker()
KEY = WORKER.key


def an_attempt(number: int = 1) -> Attempt:
    return Attempt(
        root_id="job", worker_id="worker_1", number=number, job_id="job", started_at=START
    )


def a_ledger() -> tuple[Ledger, Job]:
    """One job with one worker, stored already."""
    ledger, job = Ledger(), a_job(id="job")
    ledger.add_job(job, [a_task()], [WORKER])
    ledger.take()
    return ledger, job


def test_nothing_changed_is_an_empty_change() -> None:
    ledger, _ = a_ledger()
    assert ledger.take() == Change(
        new_jobs=[],
        new_tasks=[],
        new_workers=[],
        jobs=[],
        workers=[],
        new_attempts=[],
        attempts=[],
        spent_days=[],
        events=[],
    )


def test_a_new_job_is_handed_over_once_with_its_tasks_and_workers() -> None:
    ledger, job = Ledger(), a_job(id="job")
    tasks = [a_task("a"), a_task("b")]
    ledger.add_job(job, tasks, [WORKER])
    change = ledger.take()
    assert change.new_jobs == [job]
    assert change.new_tasks == [("job", 0, tasks[0]), ("job", 1, tasks[1])]
    assert change.new_workers == [WORKER]
    assert not ledger.take().new_jobs


def test_a_row_that_is_new_and_changed_is_handed_over_as_new_with_its_last_value() -> None:
    ledger, job = Ledger(), a_job(id="job")
    ledger.add_job(job, [a_task()], [WORKER])
    ledger.move_job("job", JobStatus.RUNNING)
    ledger.move_worker(KEY, WorkerStatus.RUNNING)
    change = ledger.take()
    assert [each.status for each in change.new_jobs] == [JobStatus.RUNNING]
    assert [each.status for each in change.new_workers] == [WorkerStatus.RUNNING]
    assert not change.jobs
    assert not change.workers


def test_the_last_value_of_a_row_replaces_earlier_ones() -> None:
    ledger, _ = a_ledger()
    ledger.update_worker(KEY, reason="one")
    ledger.update_worker(KEY, reason="two")
    ledger.update_job("job", reason="three")
    change = ledger.take()
    assert [worker.reason for worker in change.workers] == ["two"]
    assert [job.reason for job in change.jobs] == ["three"]


def test_a_forbidden_move_raises_and_changes_nothing() -> None:
    ledger, job = a_ledger()
    with pytest.raises(ValueError, match="from pending to success"):
        ledger.move_worker(KEY, WorkerStatus.SUCCESS, reason="never")
    ledger.move_job("job", JobStatus.COMPLETED)
    with pytest.raises(ValueError, match="from completed to failed"):
        ledger.move_job("job", JobStatus.FAILED)
    assert ledger.workers[KEY] == WORKER
    assert ledger.jobs["job"] == replace(job, status=JobStatus.COMPLETED)
    assert not ledger.take().workers


def test_an_attempt_is_new_once_then_changed() -> None:
    ledger, _ = a_ledger()
    ledger.begin_attempt(an_attempt())
    ledger.update_attempt(KEY, token_hash="secret")
    assert [each.token_hash for each in ledger.take().new_attempts] == ["secret"]
    ledger.end_attempt(KEY, ended_at=START + 1, exit=EXIT_0)
    change = ledger.take()
    assert not change.new_attempts
    assert [each.exit for each in change.attempts] == [EXIT_0]
    assert not ledger.attempts


def test_an_attempt_that_began_and_ended_in_one_turn_is_new_with_its_end() -> None:
    ledger, _ = a_ledger()
    ledger.begin_attempt(an_attempt())
    ledger.end_attempt(KEY, ended_at=START, exit=EXIT_0)
    change = ledger.take()
    assert [each.exit for each in change.new_attempts] == [EXIT_0]
    assert not change.attempts


def test_the_end_of_one_attempt_and_the_start_of_the_next_fit_one_turn() -> None:
    ledger, _ = a_ledger()
    ledger.begin_attempt(an_attempt())
    ledger.take()
    ledger.end_attempt(KEY, ended_at=START, exit=EXIT_0)
    ledger.begin_attempt(an_attempt(2))
    change = ledger.take()
    assert [(each.number, each.ended_at) for each in change.attempts] == [(1, START)]
    assert [(each.number, each.ended_at) for each in change.new_attempts] == [(2, None)]
    assert ledger.attempts[KEY].number == 2


def test_events_are_numbered_from_one_within_their_root_job() -> None:
    ledger, job = a_ledger()
    other = a_job(id="other")
    for each in (job, other, job):
        ledger.emit(EventKind.JOB_STARTED, each, START)
    first = [(event.root_id, event.seq) for event in ledger.take().events]
    ledger.emit(EventKind.JOB_ENDED, job, START, "worker_1", status="completed")
    last = ledger.take().events[0]
    assert first == [("job", 1), ("other", 1), ("job", 2)]
    assert (last.seq, last.worker_id, last.data) == (3, "worker_1", {"status": "completed"})


def test_a_tree_from_the_store_counts_as_unchanged_and_numbering_goes_on() -> None:
    ledger, job = Ledger(), a_job(id="job")
    over = replace(an_attempt(), ended_at=START)
    tree = Tree(
        jobs=[job],
        tasks={"job": [a_task()]},
        workers=[WORKER],
        attempts=[over, an_attempt(2)],
        last_seq=7,
    )
    ledger.load(tree, "job")
    assert not ledger.take().new_jobs
    assert ledger.attempts == {KEY: an_attempt(2)}
    ledger.emit(EventKind.JOB_STARTED, job, START)
    assert ledger.take().events[0].seq == 8


def test_a_forgotten_tree_leaves_nothing_behind() -> None:
    ledger, job = a_ledger()
    ledger.emit(EventKind.JOB_STARTED, job, START)
    ledger.take()
    ledger.forget("job", ["job"], [KEY])
    assert not ledger.jobs
    assert not ledger.workers
    assert not ledger.attempts
    assert not ledger._last_seq
