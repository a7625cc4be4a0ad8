"""Stories of paused jobs: nothing starts, and no wall time passes."""

import pytest

from orchestrator.core.errors import Conflict
from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.human_input.pause import PauseCause, RunningMode
from orchestrator.core.model.job import Job
from orchestrator.core.model.scheduler_commands import Stop
from orchestrator.core.model.states import JobStatus, StopCause, WorkerStatus
from tests.unit.core.factories import a_task
from tests.unit.core.story import Story, a_family, stops

PAUSED = Exit(ended_by=EndedBy.CANCEL, cause=ExitCause.PAUSED, signal=15, stopped_by="the pause")


def two_in_a_row() -> tuple[Story, Job]:
    story = Story()
    return story, story.root(a_task("a"), a_task("b", "a"))


@pytest.mark.parametrize("crash", [False, True])
def test_nothing_starts_in_a_paused_job_until_it_resumes(crash: bool) -> None:
    story, job = two_in_a_row()

    story.pause(job)
    story.ends(story.key(job))
    if crash:
        story.crash()
    assert story.status(story.key(job, 2)) is WorkerStatus.PENDING
    assert story.job_status(job) is JobStatus.RUNNING
    assert "paused by key 'user'" in story.job(job.id).reason

    story.resume(job)
    assert story.status(story.key(job, 2)) is WorkerStatus.RUNNING
    assert (story.job(job.id).pause, story.job(job.id).reason) == (None, "")
    assert story.events(job).count(EventKind.JOB_PAUSED) == 1
    assert story.events(job).count(EventKind.JOB_RESUMED) == 1


def test_pausing_twice_and_resuming_twice_is_the_same_as_once() -> None:
    story, job = two_in_a_row()

    story.pause(job)
    began = story.job(job.id).pause
    story.later(5)
    story.pause(job)
    assert story.job(job.id).pause == began

    story.resume(job)
    story.resume(job)
    assert story.events(job).count(EventKind.JOB_RESUMED) == 1
    assert story.job(job.id).paused_seconds == 5


def test_a_pause_covers_descendants_and_the_child_jobs_that_are_submitted_during_it() -> None:
    story, root, parent, child, worker = a_family(max_workers=3)

    story.pause(root)
    later = story.child(parent)

    assert [story.job(each.id).pause is not None for each in (root, child, later)] == [True] * 3
    assert story.status(story.key(later)) is WorkerStatus.PENDING
    assert story.status(worker) is WorkerStatus.RUNNING, "the running worker finishes"
    story.resume(root)
    assert story.status(story.key(later)) is WorkerStatus.RUNNING
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_child_job_resumes_alone_and_its_parent_job_stays_paused() -> None:
    story, root, parent, child, _worker = a_family(max_workers=3)
    story.pause(root)
    later = story.child(parent)

    story.resume(later)

    assert [story.job(each.id).pause is not None for each in (root, child, later)] == [
        True,
        True,
        False,
    ]
    assert story.status(story.key(later)) is WorkerStatus.RUNNING
    another = story.child(parent)
    assert story.status(story.key(another)) is WorkerStatus.PENDING


def test_a_pause_that_stops_runs_the_attempt_again_without_using_a_retry() -> None:
    story, job = two_in_a_row()
    key = story.key(job)

    story.pause(job, RunningMode.STOP)
    assert [(each.key, each.cause) for each in story.commands if isinstance(each, Stop)] == [
        (key, ExitCause.PAUSED)
    ]
    story.ends(key, PAUSED)
    assert story.status(key) is WorkerStatus.PENDING
    assert story.running == []

    story.resume(job)
    assert (story.status(key), story.worker(key).attempt) == (WorkerStatus.RUNNING, 2)
    story.fails(key)
    assert story.status(key) is WorkerStatus.FAILED, "the pause uses no retry (max_retries is 0)"


def test_an_attempt_that_ends_before_its_stop_arrives_counts() -> None:
    story, job = two_in_a_row()

    story.pause(job, RunningMode.STOP)
    story.ends(story.key(job))

    assert story.status(story.key(job)) is WorkerStatus.SUCCESS


def test_a_pause_that_stops_is_stopped_again_after_a_crash() -> None:
    story, job = two_in_a_row()
    story.pause(job, RunningMode.STOP)
    before = len(stops(story))

    story.crash()

    assert len(stops(story)) == before + 1
    story.ends(story.key(job), PAUSED)
    story.run_to_end()
    assert story.job_status(job) is JobStatus.COMPLETED


def test_a_second_pause_may_stop_what_the_first_let_finish() -> None:
    story, job = two_in_a_row()

    story.pause(job)
    assert not stops(story)
    story.pause(job, RunningMode.STOP)

    assert stops(story) == [story.key(job)]


def test_a_job_that_resumes_before_its_attempt_has_stopped_runs_that_worker_again() -> None:
    story, job = two_in_a_row()
    key = story.key(job)
    story.pause(job, RunningMode.STOP)

    story.resume(job)
    story.ends(key, PAUSED)

    assert (story.status(key), story.worker(key).attempt) == (WorkerStatus.RUNNING, 2)


@pytest.mark.parametrize("running", RunningMode)
def test_a_paused_job_can_be_cancelled(running: RunningMode) -> None:
    story, job = two_in_a_row()
    story.pause(job, running)

    story.cancel(job)
    story.ends(story.key(job), PAUSED)

    assert story.job_status(job) is JobStatus.CANCELLED
    assert story.worker(story.key(job)).reason == "cancelled by user"
    assert story.job(job.id).pause is None


def test_the_wall_time_does_not_count_during_a_pause() -> None:
    story = Story()
    job = story.root(a_task("a"), a_task("b", "a"), max_wall_seconds=100.0)
    story.later(90)
    story.pause(job)

    story.later(1_000)
    assert story.job(job.id).stop_cause is None
    assert story.job(job.id).remaining_wall_seconds(story.now) == 10
    story.resume(job)
    story.later(9)
    assert story.job(job.id).stop_cause is None
    story.later(1)
    assert story.job(job.id).stop_cause is StopCause.WALL_TIME


def test_the_wall_time_of_a_paused_job_does_not_advance_over_a_crash() -> None:
    story = Story()
    job = story.root(max_wall_seconds=100.0)
    story.pause(job)
    story.later(500)
    story.crash()
    assert story.scheduler.next_time() is None or story.job(job.id).stop_cause is None

    story.resume(job)
    story.later(99)
    assert story.job(job.id).stop_cause is None
    story.later(1)
    assert story.job(job.id).stop_cause is StopCause.WALL_TIME


def test_a_pause_before_the_start_does_not_lengthen_the_wall_time() -> None:
    story = Story(max_workers=1)
    story.root()
    job = story.root(max_wall_seconds=100.0)
    story.pause(job)
    story.later(50)
    story.resume(job)
    story.ends(story.key(next(iter(story.store.jobs.values()))))

    assert story.status(story.key(job)) is WorkerStatus.RUNNING
    assert story.job(job.id).remaining_wall_seconds(story.now) == 100


def test_a_job_whose_last_workers_finish_during_the_pause_ends() -> None:
    story = Story()
    job = story.root()

    story.pause(job)
    story.ends(story.key(job))

    assert story.job_status(job) is JobStatus.COMPLETED
    assert story.job(job.id).pause is None


def test_a_paused_job_leaves_its_slots_and_locks_to_others() -> None:
    story = Story(max_workers=1)
    busy = story.root(a_task(locks=("db",)))
    first = story.root(a_task(locks=("db",)))
    second = story.root(a_task(locks=("db",)))
    story.pause(first)

    story.ends(story.key(busy))

    assert story.status(story.key(first)) is WorkerStatus.PENDING
    assert story.status(story.key(second)) is WorkerStatus.RUNNING


def test_a_planner_does_not_start_in_a_paused_job_and_its_plan_waits() -> None:
    story = Story()
    story.pause_all()
    job = story.planned_root()
    assert story.status(story.planner(job)) is WorkerStatus.PENDING

    story.resume_all()
    story.pause(job)
    story.ends(story.planner(job))
    assert story.status(story.key(job)) is WorkerStatus.PENDING
    assert "paused by key 'user'" in story.job(job.id).reason
    story.resume(job)
    assert story.status(story.key(job)) is WorkerStatus.RUNNING


def test_a_job_in_planning_has_that_status_again_after_a_pause() -> None:
    story = Story()
    job = story.planned_root()

    story.pause(job)
    story.resume(job)

    assert story.job(job.id).pause is None
    assert story.job_status(job) is JobStatus.PLANNING


@pytest.mark.parametrize("crash", [False, True])
def test_a_pause_of_everything_covers_jobs_that_are_submitted_later(crash: bool) -> None:
    story, job = two_in_a_row()
    story.pause_all()
    if crash:
        story.crash()

    later = story.root()
    story.ends(story.key(job))

    assert story.running == []
    pause = story.job(later.id).pause
    assert pause is not None and pause.cause is PauseCause.EVERYTHING
    assert story.events(later) == [EventKind.JOB_SUBMITTED, EventKind.JOB_PAUSED]
    story.resume_all()
    assert len(story.running) == 2
    assert story.store.pause is None


def test_a_job_that_was_paused_itself_stays_paused_when_everything_resumes() -> None:
    story, job = two_in_a_row()
    other = story.root()
    story.pause(job)

    story.pause_all()
    story.resume_all()

    assert story.job(job.id).pause is not None
    assert story.job(other.id).pause is None


def test_one_job_cannot_resume_while_everything_is_paused() -> None:
    story, job = two_in_a_row()
    story.pause(job)
    story.pause_all()

    story.resume(job)
    pause = story.job(job.id).pause
    assert pause is not None and pause.cause is PauseCause.EVERYTHING
    with pytest.raises(Conflict, match="resume --all"):
        story.resume(job)

    story.resume_all()
    assert story.job(job.id).pause is None


def test_a_retry_while_everything_is_paused_waits() -> None:
    story, job = two_in_a_row()
    story.cancel(job)
    story.ends(story.key(job), Exit(ended_by=EndedBy.CANCEL))
    story.pause_all()

    story.retry(job)
    assert story.running == []
    assert story.events(job)[-3:] == [
        EventKind.JOB_RETRIED,
        EventKind.JOB_REOPENED,
        EventKind.JOB_PAUSED,
    ]
    story.resume_all()
    assert story.running == [story.key(job)]


@pytest.mark.parametrize("running", RunningMode)
def test_a_job_that_falls_back_to_the_pause_of_everything_follows_its_mode(
    running: RunningMode,
) -> None:
    other = next(each for each in RunningMode if each is not running)
    story, job = two_in_a_row()
    story.pause_all(running)
    story.pause(job, other)
    assert stops(story), "one of the two stops"

    story.resume(job)
    stopping = story.scheduler._trees.unfinished[story.key(job)].stopping
    story.crash()

    assert story.scheduler._trees.unfinished[story.key(job)].stopping is stopping
    pause = story.job(job.id).pause
    assert pause is not None and pause.stops is stopping is (running is RunningMode.STOP)
