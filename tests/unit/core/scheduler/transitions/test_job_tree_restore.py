"""Stories of results that arrive after their attempt was declared lost."""

import pytest

from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.model.job import WorkerKey
from orchestrator.core.model.scheduler_commands import Start
from orchestrator.core.model.states import JobStatus, WorkerStatus
from tests.unit.core.factories import DONE, EXIT_0, EXIT_1, LOST, TIMED_OUT, a_task
from tests.unit.core.story import Story


def a_loss(**config: int) -> tuple[Story, WorkerKey]:
    """Return a story with a worker whose first attempt is lost, and whose next has not started."""
    story = Story()
    key = story.key(story.root(a_task("a"), a_task("b", "a"), **{"max_retries": 2, **config}))
    story.ends(key, LOST)
    return story, key


def comes(story: Story, exit: Exit = EXIT_0) -> int:
    """Deliver the late results that are due. Return the number of attempts."""
    lost = story.scheduler.lost_attempts_to_read(story.now)
    for attempt in lost:
        story.scheduler.late_result(attempt, exit, DONE, "the record", story.now)
    story.turn()
    return len(lost)


def test_a_late_result_is_searched_when_the_next_attempt_is_due() -> None:
    story, key = a_loss()
    assert not story.scheduler.lost_attempts_to_read(story.now)
    story.now += 1
    assert [attempt.key for attempt in story.scheduler.lost_attempts_to_read(story.now)] == [key]


@pytest.mark.parametrize("crash", [False, True])
def test_a_late_result_is_accepted_and_dependent_workers_start(crash: bool) -> None:
    story, key = a_loss()
    story.now += 1
    if crash:
        story.crash(turn=False)
    assert comes(story) == 1
    assert story.status(key) is WorkerStatus.SUCCESS
    assert [each.attempt for each in story.commands if isinstance(each, Start)] == [1, 1]
    story.run_to_end()
    assert [job.status for job in story.store.jobs.values()] == [JobStatus.COMPLETED]


def test_a_late_result_without_another_attempt_is_also_accepted() -> None:
    story, key = a_loss()
    story.now += 1
    comes(story, TIMED_OUT)
    assert story.status(key) is WorkerStatus.TIMEOUT


def test_after_a_failure_the_next_attempt_starts_as_was_decided() -> None:
    story, key = a_loss()
    story.now += 1
    comes(story, EXIT_1)
    assert (story.status(key), story.worker(key).attempt) == (WorkerStatus.RUNNING, 2)


@pytest.mark.parametrize("crash", [False, True])
def test_after_the_next_start_it_is_salvage(crash: bool) -> None:
    story, key = a_loss()
    story.later(1)
    if crash:
        story.crash()
    story.scheduler.exited(key, 2, EXIT_0, DONE, story.now)
    assert comes(story) == 1
    assert story.status(key) is WorkerStatus.SUCCESS
    attempts = story.store.tree(key.root_id).attempts
    first = next(each for each in attempts if each.key == key)
    assert first.exit == EXIT_0 and "saved in the record" in first.reason
    kinds = [event.kind for event in story.store.events[key.root_id]]
    assert kinds.count(EventKind.LATE_RESULT) == 1


def test_a_late_result_counts_once() -> None:
    story, key = a_loss()
    story.now += 1
    [attempt] = story.scheduler.lost_attempts_to_read(story.now)
    for _ in range(2):
        story.scheduler.late_result(attempt, EXIT_0, DONE, "the record", story.now)
    story.turn()
    kinds = [event.kind for event in story.store.events[key.root_id]]
    assert kinds.count(EventKind.LATE_RESULT) == 1


def test_a_late_result_of_an_ended_worker_is_salvage() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b"))
    key = story.key(root)
    story.ends(key, LOST)
    assert comes(story) == 1
    assert story.status(key) is WorkerStatus.FAILED
    assert EventKind.LATE_RESULT in story.events(root)


def test_a_retry_of_the_job_accepts_a_late_result() -> None:
    story, key = a_loss(max_retries=0)
    story.scheduler.lost_attempts_to_read(story.now)
    assert story.status(key) is WorkerStatus.FAILED
    story.scheduler = type(story.scheduler)(max_workers=1)
    story.scheduler.restore(story.store.tree(key.root_id), story.now)
    story.scheduler.retry(key.root_id, "user", story.now)
    assert comes(story) == 1
    assert story.status(key) is WorkerStatus.SUCCESS


def test_nothing_is_remembered_of_trees_that_have_ended() -> None:
    story, _ = a_loss()
    story.later(1)
    story.run_to_end()
    assert not story.scheduler.lost_attempts_to_read(story.now)
    assert not story.scheduler.lost_attempts()
