from dataclasses import replace

import pytest

from orchestrator.core.events import EventKind
from orchestrator.core.lazy_dataclass import changed
from orchestrator.core.model.job import Attempt, Job, Worker
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.ports import StateChange, Tree
from orchestrator.core.scheduler.state.unit_of_work import UnitOfWork
from tests.unit.core.factories import EXIT_0, START, a_job, a_task, a_worker

WORKER = a_worker()
KEY = WORKER.key


def an_attempt(number: int = 1) -> Attempt:
    return Attempt(
        root_id="job", worker_id="worker_1", number=number, job_id="job", started_at=START
    )


def a_ledger() -> tuple[UnitOfWork, Job]:
    """Return a unit of work with one stored job of one worker."""
    unit_of_work, job = UnitOfWork(), a_job(id="job")
    unit_of_work.add_job(job, [a_task()], [WORKER])
    unit_of_work.take()
    return unit_of_work, job


def test_nothing_changed_is_an_empty_change() -> None:
    unit_of_work, _ = a_ledger()
    assert unit_of_work.take() == StateChange(
        new_jobs=[],
        new_tasks=[],
        new_workers=[],
        jobs=[],
        workers=[],
        dropped_attempts=[],
        new_attempts=[],
        attempts=[],
        spent_days=[],
        pauses=[],
        replaced_plans=[],
        events=[],
        run_times=[],
    )


def test_a_new_job_is_handed_over_once_with_its_tasks_and_workers() -> None:
    unit_of_work, job = UnitOfWork(), a_job(id="job")
    tasks = [a_task("a"), a_task("b")]
    unit_of_work.add_job(job, tasks, [WORKER])
    change = unit_of_work.take()
    assert change.new_jobs == [job]
    assert change.new_tasks == [("job", 0, tasks[0]), ("job", 1, tasks[1])]
    assert change.new_workers == [WORKER]
    assert not unit_of_work.take().new_jobs


def test_a_row_that_is_new_and_changed_is_handed_over_as_new_with_its_last_value() -> None:
    unit_of_work, job = UnitOfWork(), a_job(id="job")
    unit_of_work.add_job(job, [a_task()], [WORKER])
    unit_of_work.move_job("job", JobStatus.RUNNING)
    unit_of_work.move_worker(KEY, WorkerStatus.RUNNING)
    change = unit_of_work.take()
    assert [each.status for each in change.new_jobs] == [JobStatus.RUNNING]
    assert [each.status for each in change.new_workers] == [WorkerStatus.RUNNING]
    assert not change.jobs
    assert not change.workers


def test_the_last_value_of_a_row_replaces_earlier_ones() -> None:
    unit_of_work, _ = a_ledger()
    unit_of_work.update_worker(KEY, reason="one")
    unit_of_work.update_worker(KEY, reason="two")
    unit_of_work.update_job("job", reason="three")
    change = unit_of_work.take()
    assert [worker.reason for worker in change.workers] == ["two"]
    assert [job.reason for job in change.jobs] == ["three"]


def test_a_forbidden_move_raises_and_changes_nothing() -> None:
    unit_of_work, job = a_ledger()
    with pytest.raises(ValueError, match="from pending to success"):
        unit_of_work.move_worker(KEY, WorkerStatus.SUCCESS, reason="never")
    unit_of_work.move_job("job", JobStatus.COMPLETED)
    with pytest.raises(ValueError, match="from completed to failed"):
        unit_of_work.move_job("job", JobStatus.FAILED)
    assert unit_of_work.workers[KEY] == WORKER
    assert unit_of_work.jobs["job"] == replace(job, status=JobStatus.COMPLETED)
    assert not unit_of_work.take().workers


def test_an_attempt_is_new_once_then_changed() -> None:
    unit_of_work, _ = a_ledger()
    unit_of_work.begin_attempt(an_attempt())
    unit_of_work.update_attempt(KEY, token_hash="secret")
    assert [each.token_hash for each in unit_of_work.take().new_attempts] == ["secret"]
    unit_of_work.end_attempt(KEY, ended_at=START + 1, exit=EXIT_0)
    change = unit_of_work.take()
    assert not change.new_attempts
    assert [each.exit for each in change.attempts] == [EXIT_0]
    assert not unit_of_work.attempts


def test_an_attempt_that_began_and_ended_in_one_turn_is_new_with_its_end() -> None:
    unit_of_work, _ = a_ledger()
    unit_of_work.begin_attempt(an_attempt())
    unit_of_work.end_attempt(KEY, ended_at=START, exit=EXIT_0)
    change = unit_of_work.take()
    assert [each.exit for each in change.new_attempts] == [EXIT_0]
    assert not change.attempts


def test_the_end_of_one_attempt_and_the_start_of_the_next_fit_one_turn() -> None:
    unit_of_work, _ = a_ledger()
    unit_of_work.begin_attempt(an_attempt())
    unit_of_work.take()
    unit_of_work.end_attempt(KEY, ended_at=START, exit=EXIT_0)
    unit_of_work.begin_attempt(an_attempt(2))
    change = unit_of_work.take()
    assert [(each.number, each.ended_at) for each in change.attempts] == [(1, START)]
    assert [(each.number, each.ended_at) for each in change.new_attempts] == [(2, None)]
    assert unit_of_work.attempts[KEY].number == 2


def test_events_are_numbered_from_one_within_their_root_job() -> None:
    unit_of_work, job = a_ledger()
    other = a_job(id="other")
    for each in (job, other, job):
        unit_of_work.emit(EventKind.JOB_STARTED, each, START)
    first = [(event.root_id, event.seq) for event in unit_of_work.take().events]
    unit_of_work.emit(EventKind.JOB_ENDED, job, START, "worker_1", status="completed")
    last = unit_of_work.take().events[0]
    assert first == [("job", 1), ("other", 1), ("job", 2)]
    assert (last.seq, last.worker_id, last.data) == (3, "worker_1", {"status": "completed"})


def test_a_tree_from_the_store_counts_as_unchanged_and_numbering_continues() -> None:
    unit_of_work, job = UnitOfWork(), a_job(id="job")
    over = replace(an_attempt(), ended_at=START)
    tree = Tree(
        jobs=[job],
        tasks={"job": [a_task()]},
        workers=[WORKER],
        attempts=[over, an_attempt(2)],
        last_seq=7,
    )
    unit_of_work.load(tree, "job")
    assert not unit_of_work.take().new_jobs
    assert unit_of_work.attempts == {KEY: an_attempt(2)}
    unit_of_work.emit(EventKind.JOB_STARTED, job, START)
    assert unit_of_work.take().events[0].seq == 8


def test_a_forgotten_tree_leaves_nothing_behind() -> None:
    unit_of_work, job = a_ledger()
    unit_of_work.emit(EventKind.JOB_STARTED, job, START)
    unit_of_work.take()
    unit_of_work.forget("job", ["job"], [KEY])
    assert not unit_of_work.jobs
    assert not unit_of_work.workers
    assert not unit_of_work.attempts
    assert not unit_of_work._last_seq


def test_a_changed_value_is_what_replace_makes() -> None:
    worker = a_worker()
    changes = {"status": WorkerStatus.RUNNING, "attempt": 2, "started_at": 1.5}

    new = changed(worker, **changes)

    assert new == replace(worker, **changes)
    assert type(new) is Worker and hash(new) == hash(replace(worker, **changes))
    assert worker == a_worker()


def test_a_field_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(AttributeError):
        changed(a_worker(), stauts=WorkerStatus.RUNNING)
