"""Stories of cancelling, and of the end of wall time."""

from collections.abc import Callable

import pytest

from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.job import Job, WorkerKey
from orchestrator.core.model.scheduler_commands import Stop
from orchestrator.core.model.states import JobStatus, WorkerStatus
from tests.unit.core.factories import CANCELLED, TIMED_OUT, a_task
from tests.unit.core.story import Story, a_family, stops

# Cancel


def test_cancel_stops_the_deepest_first() -> None:
    story, root, parent, _, worker = a_family()
    grandchild = story.child(worker)
    story.cancel(root)
    assert stops(story) == [story.key(grandchild), worker, parent]
    for key in stops(story):
        story.ends(key, CANCELLED)
    assert {str(job.status) for job in story.store.jobs.values()} == {"cancelled"}


def test_cancel_is_idempotent() -> None:
    story, root, *_ = a_family()
    story.cancel(root, by="one")
    before = len(story.commands)
    story.cancel(root, by="two")
    assert len(story.commands) == before
    assert story.job(root.id).cancelled_by == "one"
    assert story.events(root).count(EventKind.JOB_CANCEL_REQUESTED) == 1


def test_cancel_of_a_child_job_leaves_its_parent_alone() -> None:
    story, root, parent, child, worker = a_family()
    story.cancel(child)
    assert stops(story) == [worker]
    story.ends(worker, CANCELLED)
    assert story.status(parent) is WorkerStatus.RUNNING
    assert story.job(root.id).cancelled_by is None


def test_cancel_of_a_job_that_has_ended_changes_nothing() -> None:
    story, _, _, child, worker = a_family()
    story.ends(worker)
    before = story.job(child.id)
    story.cancel(child)
    assert story.job(child.id) == before


def pending(story: Story, job: Job) -> WorkerKey:
    return story.key(job, 2)


def running(story: Story, job: Job) -> WorkerKey:
    return story.key(job, 1)


def between_attempts(story: Story, job: Job) -> WorkerKey:
    story.fails(story.key(job))
    return story.key(job)


def waiting_with_process(story: Story, job: Job) -> WorkerKey:
    story.child(story.key(job))
    return story.key(job)


def waiting_without_process(story: Story, job: Job) -> WorkerKey:
    story.child(story.key(job))
    story.ends(story.key(job))
    return story.key(job)


def between_attempts_with_open_children(story: Story, job: Job) -> WorkerKey:
    story.child(story.key(job))
    return between_attempts(story, job)


STATES = [
    pending,
    running,
    between_attempts,
    waiting_with_process,
    waiting_without_process,
    between_attempts_with_open_children,
]


@pytest.mark.parametrize("restart", [False, True], ids=["", "restart"])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize("ended_by", ["user", "wall time"])
def test_everything_ends_when_a_worker_is_stopped_that_is(
    state: Callable[[Story, Job], WorkerKey], ended_by: str, restart: bool
) -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b", "a"), max_retries=2, max_wall_seconds=500.0)
    key = state(story, root)
    if ended_by == "user":
        story.cancel(root)
    else:
        story.later(500)
    if restart:
        story.crash()
    stopped = CANCELLED if ended_by == "user" else TIMED_OUT
    for attempt in list(story.store.running):
        story.ends(attempt.key, stopped)
    assert not story.store.unfinished
    expected = ("cancelled", "cancelled") if ended_by == "user" else ("timeout", "failed")
    assert (story.status(key), story.job_status(root)) == expected


def test_a_job_that_is_cancelled_when_all_its_tasks_have_succeeded_is_completed() -> None:
    story = Story()
    story.writes_reports = False
    root = story.root()
    story.ends(story.key(root))
    story.cancel(root)
    story.reports_written(root.id)
    assert story.job_status(root) is JobStatus.COMPLETED
    assert story.job(root.id).reason == ""


def test_a_child_job_that_slips_in_after_the_cancel_is_stopped_with_its_parent() -> None:
    story = Story()
    root = story.root()
    parent = story.key(root)
    story.cancel(root)
    late = story.child(parent)
    story.ends(parent)
    assert story.key(late) in stops(story)
    story.ends(story.key(late), CANCELLED)
    assert story.status(parent) is WorkerStatus.CANCELLED
    assert story.job_status(root) is JobStatus.CANCELLED


# Wall time


def test_a_job_is_stopped_when_its_wall_time_is_over() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b", "a"), max_wall_seconds=100.0)
    assert story.scheduler.next_time() == story.now + 100
    story.later(99)
    assert not stops(story)
    story.later(1)
    stop = story.commands[-1]
    assert stop == Stop(story.key(root), 1, EndedBy.TIMEOUT, "max_wall_seconds (100 s)")
    story.ends(story.key(root), TIMED_OUT)
    assert story.job_status(root) is JobStatus.FAILED
    assert "max_wall_seconds (100 s)" in story.job(root.id).reason
    assert story.status(story.key(root, 2)) is WorkerStatus.TIMEOUT


def test_the_wall_time_of_a_root_job_is_that_of_its_child_jobs() -> None:
    story, _, parent, _, worker = a_family(max_wall_seconds=100.0)
    story.later(100)
    assert stops(story) == [worker, parent]


def test_a_child_job_may_have_less_wall_time_than_its_root() -> None:
    story = Story()
    parent = story.key(story.root())
    child = story.child(parent, max_wall_seconds=10.0)
    story.later(10)
    assert stops(story) == [story.key(child)]


def test_a_retry_restarts_the_wall_time() -> None:
    story = Story()
    root = story.root(max_wall_seconds=100.0)
    story.later(90)
    story.fails(story.key(root))
    story.retry(root)
    story.later(99)
    assert not stops(story)
    story.later(1)
    assert stops(story) == [story.key(root)]
