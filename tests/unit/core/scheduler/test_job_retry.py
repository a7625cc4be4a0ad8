"""Stories of retries of jobs that have ended."""

import pytest

from orchestrator.core.errors import Conflict
from orchestrator.core.model.states import JobStatus, WorkerStatus
from tests.unit.core.factories import CANCELLED, a_task
from tests.unit.core.story import Story, a_family


def test_a_retry_runs_only_unsuccessful_tasks_again() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b"), a_task("c", "b"))
    story.ends(story.key(root, 1))
    story.fails(story.key(root, 2))
    assert story.retry(root) == 2
    assert story.job_status(root) is JobStatus.RUNNING
    assert story.running == [story.key(root, 2)]
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED
    assert [story.worker(key).attempt for key in story.keys(root)] == [1, 2, 1]


def test_a_retry_leaves_the_failed_candidates_of_a_task_that_succeeded() -> None:
    story = Story()
    root = story.root(a_task("a", agents=("one", "two")), a_task("b", "a"))
    story.fails(story.key(root, 1))
    story.ends(story.key(root, 2))
    story.fails(story.key(root, 3))
    assert story.retry(root) == 1
    assert story.running == [story.key(root, 3)]
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_retry_runs_all_candidates_of_a_task_of_which_none_succeeded() -> None:
    story = Story()
    root = story.root(a_task("a", agents=("one", "two")))
    for key in story.keys(root):
        story.fails(key)
    assert story.retry(root) == 2
    assert story.running == story.keys(root)


def test_a_retry_of_a_cancelled_job_clears_the_cancel() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b", "a"))
    story.cancel(root)
    story.ends(story.key(root), CANCELLED)
    story.retry(root)
    assert story.job(root.id).cancelled_by is None
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_retry_of_a_whole_tree_asks_for_the_child_jobs_again() -> None:
    story, root, parent, child, worker = a_family()
    story.fails(worker)
    story.ends(parent)
    story.retry(root)
    again = story.child(parent, digest=child.digest)
    assert story.key(again).worker_id == "worker_1_2"
    story.run_to_end()
    assert story.status(parent) is WorkerStatus.RECURSIVE_SUCCESS
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_child_job_may_be_retried_while_its_parent_runs() -> None:
    story, root, parent, child, worker = a_family()
    story.fails(worker)
    story.retry(child)
    assert story.status(parent) is WorkerStatus.WAITING
    story.run_to_end()
    assert story.status(parent) is WorkerStatus.RECURSIVE_SUCCESS
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_completed_or_running_job_is_not_retried() -> None:
    story = Story()
    root = story.root()
    with pytest.raises(Conflict, match=r"has not ended \(running\); wait for it"):
        story.retry(root)
    story.ends(story.key(root))
    with pytest.raises(Conflict, match="nothing to retry"):
        story.retry(story.job(root.id))


def test_a_job_that_completed_in_spite_of_a_failed_candidate_is_not_retried() -> None:
    story = Story()
    root = story.root(a_task("a", agents=("one", "two")))
    story.fails(story.key(root, 1))
    story.ends(story.key(root, 2))
    assert story.job_status(root) is JobStatus.COMPLETED

    with pytest.raises(Conflict, match="nothing to retry"):
        story.retry(root)


def test_a_child_job_is_not_retried_while_its_parent_waits_to_run_again() -> None:
    story = Story(max_workers=1)
    root = story.root()
    parent = story.key(root)
    child = story.child(parent)
    story.fails(story.key(child))
    story.ends(parent)
    story.root()
    story.retry(story.job(root.id))
    assert story.status(parent) is WorkerStatus.PENDING

    with pytest.raises(Conflict, match=r"its parent worker_1 is queued"):
        story.retry(story.job(child.id))


def test_a_worker_that_was_cancelled_in_the_queue_keeps_to_its_pauses_after_a_retry() -> None:
    """The queue's entry from before the cancel must not start the worker a second time."""
    story = Story(max_workers=1)
    story.root()
    root = story.root(a_task("a", retries=1))
    story.writes_reports = False
    story.cancel(root)
    story.scheduler.reports_written(root.id, story.now)
    story.scheduler.retry(root.id, "user", story.now)
    story.reports_to_write.clear()
    story.turn()
    story.ends(story.running[0])
    story.fails(story.key(root))
    assert story.status(story.key(root)) is WorkerStatus.PENDING
    story.later(1)
    assert story.status(story.key(root)) is WorkerStatus.RUNNING
