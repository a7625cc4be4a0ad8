"""Stories of another attempt after a failure."""

import pytest

from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Evidence
from orchestrator.core.model.states import JobStatus, WorkerStatus
from tests.unit.core.factories import EXIT_0, EXIT_1, TIMED_OUT, a_task
from tests.unit.core.story import Story


def test_retries_that_were_asked_for_are_all_used() -> None:
    story = Story()
    root = story.root(a_task("a", retries=3, command="make"))
    for _ in range(4):
        story.fails(story.key(root))
        story.later(60)
    assert story.worker(story.key(root)).attempt == 4
    assert story.worker(story.key(root)).reason == "exit code 1 (attempt 4 of 4)"
    assert story.job_status(root) is JobStatus.FAILED


def test_default_retries_stop_at_the_same_failure_twice() -> None:
    story = Story()
    root = story.root(max_retries=5)
    story.fails(story.key(root), "same")
    story.later(60)
    story.fails(story.key(root), "same")
    assert story.status(story.key(root)) is WorkerStatus.FAILED
    assert "same failure twice" in story.worker(story.key(root)).reason


def test_default_retries_go_on_while_failures_differ() -> None:
    story = Story()
    root = story.root(max_retries=2)
    for output in "abc":
        story.fails(story.key(root), output)
        story.later(60)
    assert story.worker(story.key(root)).attempt == 3
    assert story.status(story.key(root)) is WorkerStatus.FAILED


def test_a_worker_that_succeeds_at_last_has_succeeded() -> None:
    story = Story()
    root = story.root(max_retries=2)
    story.fails(story.key(root))
    story.left_alone()
    assert story.job_status(root) is JobStatus.COMPLETED
    assert story.events(root).count(EventKind.WORKER_RETRYING) == 1


@pytest.mark.parametrize(("retries", "status"), [(None, "timeout"), (1, "running")])
def test_a_timeout_is_tried_again_only_when_asked(retries: int | None, status: str) -> None:
    story = Story()
    root = story.root(a_task("a", retries=retries), max_retries=5)
    story.ends(story.key(root), TIMED_OUT)
    story.later(60)
    assert story.status(story.key(root)) == status


def test_the_pause_before_another_attempt_doubles() -> None:
    story = Story()
    root = story.root(a_task("a", retries=3, command="make"), retry_backoff_seconds=3.0)
    for pause in (3.0, 6.0, 12.0):
        story.fails(story.key(root))
        assert story.scheduler.next_time() == story.now + pause
        story.later(pause - 0.001)
        assert story.status(story.key(root)) is WorkerStatus.PENDING
        story.later(0.001)
        assert story.status(story.key(root)) is WorkerStatus.RUNNING


NOT_STARTED = Evidence(error_class=ErrorClass.START, output_required=True, tool="claude")


def test_a_tool_that_worked_before_is_started_again_after_2_5_and_15_s_without_a_retry() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b"), max_retries=0)
    story.ends(story.key(root, 0))
    key = story.key(root, 1)
    for pause in (2.0, 5.0, 15.0):
        story.ends(key, EXIT_1, NOT_STARTED)
        assert story.scheduler.next_time() == story.now + pause
        assert f"claude could not be started; retrying in {pause:g} s" in story.worker(key).reason
        story.later(pause)
        assert story.status(key) is WorkerStatus.RUNNING
    story.ends(key, EXIT_1, NOT_STARTED)
    assert story.status(key) is WorkerStatus.FAILED


def test_a_tool_that_never_worked_is_not_started_again() -> None:
    story = Story()
    root = story.root(max_retries=2)
    story.ends(story.key(root), EXIT_1, NOT_STARTED)
    assert story.status(story.key(root)) is WorkerStatus.FAILED


def test_a_worker_between_two_attempts_holds_no_slot() -> None:
    story = Story(max_workers=1)
    root = story.root(a_task("a", retries=1), a_task("b"))
    story.fails(story.key(root))
    assert story.running == [story.key(root, 2)]
    assert story.scheduler.view.slots()["live"] == 1


def test_the_failure_of_a_child_job_is_not_multiplied_by_its_parents_retries() -> None:
    story = Story()
    parent = story.key(story.root(max_retries=5))
    child = story.child(parent)
    story.fails(story.key(child))
    story.fails(parent)
    assert story.worker(parent).attempt == 1
    assert story.status(parent) is WorkerStatus.FAILED


def test_the_work_of_all_attempts_is_summed() -> None:
    story = Story()
    root = story.root(a_task("a", retries=1))
    story.now += 5
    story.fails(story.key(root))
    story.later(60)
    story.now += 7
    story.ends(story.key(root), EXIT_0)
    result = story.worker(story.key(root)).result
    assert result is not None
    assert (result.work_seconds, result.exit_code) == (12.0, 0)
