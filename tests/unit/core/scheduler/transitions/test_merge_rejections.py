"""Stories of workers whose changes fail together with changes of other workers."""

import pytest

from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.failure import SENT_BACK
from orchestrator.core.model.job import Job
from orchestrator.core.model.states import JobStatus, WorkerStatus
from tests.unit.core.factories import a_task
from tests.unit.core.story import Story


def _done(**config: object) -> tuple[Story, Job]:
    """Return a story of two successful tasks. The reports are not written yet.

    The second task depends on the first task.
    """
    story = Story()
    story.writes_reports = False
    root = story.root(a_task("a"), a_task("b", "a"), **config)
    for key in story.keys(root):
        story.ends(key)
    return story, root


def test_a_worker_whose_changes_are_rejected_has_another_attempt_and_its_job_continues() -> None:
    story, root = _done(max_retries=1)
    first, second = story.keys(root)

    assert story.rejects_changes(root.id, first)

    assert story.running == [first]
    assert story.worker(first).failure == SENT_BACK
    assert EventKind.WORKER_SENT_BACK in story.events(root)
    assert story.job_status(root) is JobStatus.RUNNING
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED
    assert [story.worker(key).attempt for key in (first, second)] == [2, 1]


def test_its_retries_are_used_and_then_it_has_failed() -> None:
    story, root = _done(max_retries=1)
    first, second = story.keys(root)
    assert story.rejects_changes(root.id, second)
    story.ends(second)

    assert not story.rejects_changes(root.id, second, reason="tests still fail")

    assert story.worker(second).reason == "tests still fail"
    story.reports_written(root.id)
    assert story.job_status(root) is JobStatus.PARTIAL
    # A person may still retry the worker.
    assert story.retry(root) == 1
    story.run_to_end()
    assert story.status(second) is WorkerStatus.SUCCESS
    assert story.worker(first).attempt == 1


def test_one_worker_retries_while_another_has_no_attempt_left() -> None:
    story = Story()
    story.writes_reports = False
    root = story.root(a_task("a", retries=0), a_task("b", retries=1))
    first, second = story.keys(root)
    story.ends(first)
    story.ends(second)

    assert story.rejects_changes(root.id, first, second)

    assert [story.status(key) for key in (first, second)] == [
        WorkerStatus.FAILED,
        WorkerStatus.RUNNING,
    ]
    story.run_to_end()
    assert story.job_status(root) is JobStatus.PARTIAL


def test_a_rejected_worker_is_skipped_if_the_worker_that_it_waits_for_fails() -> None:
    story, root = _done(max_retries=1)
    first, second = story.keys(root)
    assert story.rejects_changes(root.id, first, second)
    assert story.running == [first]
    story.fails(first)
    assert story.status(second) is WorkerStatus.SKIPPED
    story.reports_written(root.id)
    assert story.job_status(root) is JobStatus.FAILED


def test_a_cancelled_job_gets_no_attempt_after_a_merge_rejection() -> None:
    story, root = _done(max_retries=1)
    story.cancel(root)
    assert not story.rejects_changes(root.id, story.key(root))
    story.reports_written(root.id)
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_late_merge_rejection_is_ignored() -> None:
    story, root = _done(max_retries=5)
    assert story.rejects_changes(root.id, story.key(root))
    assert not story.scheduler.changes_rejected(root.id, (), story.now)
    assert not story.rejects_changes("gone", story.key(root))


@pytest.mark.parametrize("stored", [True, False])
def test_a_crash_forgets_nothing_of_it(stored: bool) -> None:
    story, root = _done(max_retries=1)
    if stored:
        story.rejects_changes(root.id, story.key(root))
    story.crash()
    if not stored:
        assert story.reports_to_write == [root.id]
        story.rejects_changes(root.id, story.key(root))
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED
    assert story.worker(story.key(root)).attempt == 2


def test_a_parent_waits_for_a_child_job_that_continues() -> None:
    story = Story()
    story.writes_reports = False
    root = story.root()
    parent = story.key(root)
    child = story.child(parent, max_retries=1)
    worker = story.key(child)
    story.ends(worker)
    assert story.rejects_changes(child.id, worker)
    assert story.status(parent) is WorkerStatus.WAITING
    story.run_to_end()
    assert story.worker(worker).attempt == 2
    assert story.status(parent) is WorkerStatus.RECURSIVE_SUCCESS
    assert story.job_status(root) is JobStatus.COMPLETED


def test_another_agent_may_run_the_next_attempt() -> None:
    story, root = _done(max_retries=1)
    _, second = story.keys(root)
    assert story.rejects_changes(root.id, second, agent="resolver", required=False)
    assert story.running == [second]
    assert story.worker(second).agent == "resolver"
    story.ends(second)
    # Without another attempt, the worker's status does not change.
    assert not story.rejects_changes(root.id, second, agent="resolver", required=False)
    story.run_to_end()
    assert story.status(second) is WorkerStatus.SUCCESS
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_failed_resolution_of_conflicts_leaves_the_status_of_the_worker() -> None:
    story, root = _done(max_retries=3)
    _, second = story.keys(root)
    resolution = {"agent": "resolver", "required": False, "conflicts": ("a.txt",)}
    assert story.rejects_changes(root.id, second, **resolution)
    # The same failure occurs twice, although retries remain.
    story.fails(second)
    story.later(60)
    story.fails(second)

    worker = story.worker(second)
    assert (worker.status, worker.attempt) == (WorkerStatus.SUCCESS, 3)
    assert worker.reason.startswith("conflicts not resolved: ")
    assert worker.result is not None
    assert worker.result.unresolved
    # No other agent tries to resolve the conflict.
    assert not story.rejects_changes(root.id, second, **resolution)
    story.reports_written(root.id)
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_worker_with_child_jobs_resolves_conflicts_like_any_other() -> None:
    story = Story()
    story.writes_reports = False
    root = story.root(max_retries=1)
    parent = story.key(root)
    child = story.child(parent)
    story.ends(story.key(child))
    story.reports_written(child.id)
    story.ends(parent)
    assert story.rejects_changes(root.id, parent, required=False, conflicts=("a.txt",))
    story.ends(parent)

    worker = story.worker(parent)
    assert (worker.status, worker.attempt) == (WorkerStatus.RECURSIVE_SUCCESS, 2)
    assert worker.reason == ""
    assert worker.result is not None
    assert not worker.result.unresolved
