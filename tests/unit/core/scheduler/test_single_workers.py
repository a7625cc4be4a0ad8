"""Stories of retrying and cancelling one worker of a job."""

import pytest

from orchestrator.core.errors import Conflict
from orchestrator.core.events import EventKind
from orchestrator.core.model.human_input.pause import RunningMode
from orchestrator.core.model.job import WorkerKey
from orchestrator.core.model.states import JobStatus, WorkerStatus
from tests.unit.core.factories import CANCELLED, LOST, a_task
from tests.unit.core.scheduler.transitions.test_pauses import PAUSED
from tests.unit.core.story import Story, a_family, stops


def _chain() -> tuple[Story, list[WorkerKey]]:
    """Tasks a and b fail. Task c depends on a, d on c, and e on a and b."""
    story = Story()
    root = story.root(
        a_task("a"), a_task("b"), a_task("c", "a"), a_task("d", "c"), a_task("e", "a", "b")
    )
    keys = story.keys(root)
    story.fails(keys[0])
    story.fails(keys[1])
    assert story.job_status(root) is JobStatus.FAILED
    return story, keys


def test_a_retry_of_one_worker_runs_what_was_skipped_because_of_it() -> None:
    story, keys = _chain()
    assert story.retry_worker(keys[0]) == 3
    assert story.running == [keys[0]]
    story.run_to_end()
    statuses = [story.status(key) for key in keys]
    assert [str(each) for each in statuses] == [
        "success",
        "failed",
        "success",
        "success",
        "skipped",
    ]
    job = story.job(keys[0].root_id)
    assert (job.status, job.run) == (JobStatus.PARTIAL, 2)


def test_a_worker_of_a_running_job_is_retried() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b"), a_task("c", "a"), max_workers=2)
    first, second, third = story.keys(root)
    story.fails(first)
    assert story.status(third) is WorkerStatus.SKIPPED
    assert story.retry_worker(first) == 2
    assert story.running == [first, second]
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED
    assert story.job(root.id).run == 1


def test_a_running_worker_is_cancelled_and_its_job_continues() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b"), a_task("c", "a"), max_workers=2)
    first, second, third = story.keys(root)
    story.cancel_worker(first)
    assert stops(story) == [first]
    story.ends(first, CANCELLED)
    assert (story.status(first), story.worker(first).cancelled_by) == (
        WorkerStatus.CANCELLED,
        "user",
    )
    assert story.status(third) is WorkerStatus.SKIPPED
    story.ends(second)
    assert story.job_status(root) is JobStatus.PARTIAL
    assert EventKind.WORKER_CANCEL_REQUESTED in story.events(root)


def test_a_worker_that_waits_to_start_is_cancelled_at_once() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b", "a"), a_task("c", "b"))
    first, second, third = story.keys(root)
    story.cancel_worker(second)
    statuses = [story.status(key) for key in (second, third)]
    assert statuses == [WorkerStatus.CANCELLED, WorkerStatus.SKIPPED]
    story.ends(first)
    assert story.job_status(root) is JobStatus.PARTIAL


def test_child_jobs_of_a_cancelled_worker_end_with_it() -> None:
    story, root, parent, child, worker = a_family()
    story.cancel_worker(parent)
    assert {*stops(story)} == {parent, worker}
    story.ends(worker, CANCELLED)
    story.ends(parent, CANCELLED)
    assert story.job_status(child) is JobStatus.CANCELLED
    assert story.status(parent) is WorkerStatus.CANCELLED
    assert story.job_status(root) is JobStatus.FAILED


def test_a_cancelled_worker_is_not_retried_and_survives_a_restart() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b"), max_workers=2, max_retries=3)
    first, second = story.keys(root)
    story.cancel_worker(first)
    story.crash()
    assert stops(story).count(first) == 2
    story.ends(first, LOST)
    assert story.status(first) is WorkerStatus.CANCELLED
    assert "user" in story.worker(first).reason
    story.ends(second)
    assert story.retry_worker(first) == 1
    assert story.worker(first).cancelled_by is None
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED


@pytest.mark.parametrize("ended", [True, False])
def test_a_worker_that_ends_before_its_cancel_is_unchanged(ended: bool) -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b"), max_workers=2)
    first, second = story.keys(root)
    if ended:
        story.ends(first)
    story.cancel_worker(first)
    if not ended:
        story.ends(first)
    assert (story.status(first), story.worker(first).cancelled_by) == (WorkerStatus.SUCCESS, None)
    story.ends(second)
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_worker_that_a_pause_is_stopping_can_be_cancelled() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b"), max_workers=2)
    first, second = story.keys(root)
    story.pause(root, RunningMode.STOP)
    story.cancel_worker(first)
    for key in (first, second):
        story.ends(key, PAUSED)
    assert story.status(first) is WorkerStatus.CANCELLED
    assert story.status(second) is WorkerStatus.PENDING
    story.resume(root)
    story.run_to_end()
    assert story.job_status(root) is JobStatus.PARTIAL


def test_feedback_in_a_paused_job_starts_when_it_resumes() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b"), max_workers=2)
    first, _second = story.keys(root)
    story.ends(first)
    story.pause(root)
    story.feedback(first)
    assert first not in story.running
    story.resume(root)
    assert first in story.running
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_worker_of_a_plan_that_waits_for_approval_is_not_cancelled() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b"), approve=True)
    with pytest.raises(Conflict, match=f"to end the whole job, reject its plan: .* {root.id}"):
        story.cancel_worker(story.key(root))
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED
