"""Stories of retries, of parents and their children, and of ends that have no effect."""

from dataclasses import replace

import pytest

from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Evidence
from orchestrator.core.model.attempt.delivered_work import DeliveredWork, Intent
from orchestrator.core.model.attempt.final_text import FinalText
from orchestrator.core.model.job import WorkerKey
from orchestrator.core.model.states import JobStatus, WorkerStatus
from tests.unit.core.factories import CANCELLED, DONE, EXIT_0, EXIT_1, TIMED_OUT, a_task
from tests.unit.core.story import Story, a_family, stops

# Retries


def test_requested_retries_are_all_used() -> None:
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
    assert "had the same failure" in story.worker(story.key(root)).reason


def test_default_retries_continue_while_failures_differ() -> None:
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
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED
    assert story.events(root).count(EventKind.WORKER_RETRYING) == 1


@pytest.mark.parametrize(("retries", "status"), [(None, "timeout"), (1, "running")])
def test_a_timeout_is_retried_only_if_requested(retries: int | None, status: str) -> None:
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


# Parents and children


def test_a_parent_that_exits_while_children_run_waits_without_a_process() -> None:
    story, root, parent, _, worker = a_family()
    story.ends(parent)
    assert story.status(parent) is WorkerStatus.WAITING
    assert story.worker(parent).reason.startswith("process exited (exit code 0)")
    assert story.scheduler.view.slots()["live"] == 1
    assert story.job_status(root) is JobStatus.RUNNING
    story.ends(worker)
    assert story.status(parent) is WorkerStatus.RECURSIVE_SUCCESS
    assert story.job_status(root) is JobStatus.COMPLETED


def promised(final_text: FinalText = FinalText.ANSWER, **delivery: object) -> Evidence:
    """Return the evidence of a worker whose process ends while its child jobs run."""
    work = DeliveredWork(changed=False, expected=True, deferred=final_text)
    return Evidence(output="Which one?", delivery=replace(work, **delivery))  # type: ignore[arg-type]


def changed(*files: str) -> Evidence:
    return Evidence(output="done", files_created=files, delivery=DeliveredWork(changed=True))


def test_a_promise_is_kept_by_child_jobs_that_end_later() -> None:
    story, root, parent, _, worker = a_family(base="abc")
    story.ends(parent, evidence=promised(missing=("a.py", "b.py")))
    story.ends(worker, evidence=changed("a.py"))
    assert story.status(parent) is WorkerStatus.RECURSIVE_SUCCESS
    assert story.worker(parent).reason == "promised files are missing: b.py"
    assert story.job_status(root) is JobStatus.COMPLETED


@pytest.mark.parametrize("final_text", [FinalText.ANSWER, FinalText.QUESTION, FinalText.REFUSAL])
def test_a_promise_that_no_child_job_kept_has_failed_after_a_retry(final_text: FinalText) -> None:
    story, root, parent, _, worker = a_family(max_retries=2)
    story.ends(parent, evidence=promised(final_text))
    story.ends(worker)
    assert story.status(parent) in (WorkerStatus.PENDING, WorkerStatus.RUNNING)
    story.later(60)
    result = story.worker(parent).result
    cause = "asked" if final_text is FinalText.QUESTION else "no_changes"
    assert result is not None and [each.cause for each in result.failures] == [cause]
    again = promised(final_text, deferred=None)
    story.ends(parent, evidence=replace(again, final_text=final_text))
    assert story.status(parent) is WorkerStatus.FAILED
    assert story.job_status(root) is JobStatus.FAILED


def test_a_promise_is_judged_after_a_restart_too() -> None:
    story, _, parent, _, worker = a_family()
    story.ends(parent, evidence=promised())
    story.crash()
    story.ends(worker)
    assert story.status(parent) is not WorkerStatus.RECURSIVE_SUCCESS


def test_a_failed_child_job_outweighs_a_promise() -> None:
    story, _, parent, child, worker = a_family()
    story.ends(parent, evidence=promised())
    story.fails(worker)
    story.later(60)
    story.run_to_end()
    assert story.worker(parent).reason == f"child job {child.id} ended with status failed"


def test_a_worker_without_a_promise_that_changed_nothing_is_noted_at_the_end() -> None:
    story, root, parent, _, worker = a_family(base="abc")
    story.ends(parent, evidence=promised(expected=False, intent=Intent.UNCLEAR))
    story.ends(worker)
    assert story.status(parent) is WorkerStatus.RECURSIVE_SUCCESS
    assert story.job(root.id).reason == f"nothing was changed by {parent.worker_id}"


def test_a_parent_never_succeeds_when_a_child_job_failed() -> None:
    story, root, parent, child, worker = a_family()
    story.fails(worker)
    story.ends(parent)
    assert story.status(parent) is WorkerStatus.FAILED
    assert story.worker(parent).reason == f"child job {child.id} ended with status failed"
    assert story.job_status(root) is JobStatus.FAILED


def test_a_parent_that_exited_early_fails_with_its_child_job() -> None:
    story, _, parent, _, worker = a_family()
    story.ends(parent)
    story.fails(worker)
    assert story.status(parent) is WorkerStatus.FAILED


@pytest.mark.parametrize(
    ("digest", "status"),
    [("the same", WorkerStatus.RECURSIVE_SUCCESS), ("another", WorkerStatus.FAILED)],
)
def test_a_later_child_job_with_the_same_request_replaces_a_failed_one(
    digest: str, status: WorkerStatus
) -> None:
    story = Story()
    parent = story.key(story.root())
    story.fails(story.key(story.child(parent, digest="the same")))
    story.ends(story.key(story.child(parent, digest=digest)))
    story.ends(parent)
    assert story.status(parent) is status


def test_a_parent_may_discard_a_child_job() -> None:
    story, _, parent, child, worker = a_family()
    story.cancel(child, by=parent.worker_id, worker=parent)
    story.ends(worker, CANCELLED)
    story.ends(parent)
    assert story.job_status(child) is JobStatus.CANCELLED
    assert story.status(parent) is WorkerStatus.RECURSIVE_SUCCESS


def test_a_child_job_that_another_caller_cancelled_counts_as_failed() -> None:
    story, _, parent, child, worker = a_family()
    story.cancel(child)
    story.ends(worker, CANCELLED)
    story.ends(parent)
    assert story.status(parent) is WorkerStatus.FAILED


def test_a_failed_parent_stops_its_child_jobs_and_ends_after_them() -> None:
    story, root, parent, child, worker = a_family()
    story.fails(parent)
    assert stops(story) == [worker]
    assert story.status(parent) is WorkerStatus.WAITING
    story.ends(worker, CANCELLED)
    assert story.job_status(child) is JobStatus.CANCELLED
    assert story.status(parent) is WorkerStatus.FAILED
    assert story.worker(parent).reason == "exit code 1"
    assert story.job_status(root) is JobStatus.FAILED


def test_a_parent_that_is_tried_again_leaves_its_child_jobs_running() -> None:
    story, root, parent, _, worker = a_family(max_retries=1)
    story.fails(parent)
    assert not stops(story)
    story.ends(worker)
    story.later(1)
    story.ends(parent)
    assert story.worker(parent).attempt == 2
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_parent_does_not_resume_before_its_child_jobs_reports_are_written() -> None:
    story, _, parent, child, worker = a_family()
    story.writes_reports = False
    story.ends(worker)
    assert story.status(parent) is WorkerStatus.WAITING
    assert story.reports_to_write == [child.id]
    story.reports_written(child.id)
    assert story.status(parent) is WorkerStatus.RUNNING


# Late or foreign ends


def test_the_end_of_an_older_attempt_is_ignored() -> None:
    story = Story()
    root = story.root(a_task("a", retries=1))
    key = story.key(root)
    story.fails(key)
    story.later(1)
    before = story.worker(key)
    story.scheduler.exited(key, 1, EXIT_0, DONE, story.now)
    story.turn()
    assert story.worker(key) == before
    assert story.scheduler.view.slots()["live"] == 1


@pytest.mark.parametrize("number", [0, 2])
def test_the_end_of_an_attempt_that_was_never_started_is_ignored(number: int) -> None:
    story = Story()
    root = story.root()
    story.scheduler.exited(story.key(root), number, EXIT_0, DONE, story.now)
    story.turn()
    assert story.status(story.key(root)) is WorkerStatus.RUNNING


def test_an_end_that_is_reported_twice_counts_once() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b"))
    for _ in range(2):
        story.scheduler.exited(story.key(root), 1, EXIT_0, DONE, story.now)
    story.turn()
    assert story.scheduler.view.slots() == {"running": 1, "live": 1, "slots": 10}
    assert story.job_status(root) is JobStatus.RUNNING


def test_the_end_of_an_unknown_worker_is_ignored() -> None:
    story = Story()
    story.scheduler.exited(WorkerKey("nowhere", "worker_1"), 1, EXIT_0, DONE, story.now)
    story.turn()
    assert not story.commands


def test_reports_that_are_written_twice_end_a_job_once() -> None:
    story = Story()
    root = story.root()
    story.ends(story.key(root))
    story.scheduler.reports_written(root.id, story.now)
    story.turn()
    assert story.events(root).count(EventKind.JOB_ENDED) == 1
