"""Stories of jobs that an agent plans, and of plans that wait for a person."""

import pytest

from orchestrator.core.errors import Conflict, OutdatedPlan
from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.attempt_result import Evidence, Usage
from orchestrator.core.model.scheduler_commands import AdoptPlan
from orchestrator.core.model.states import JobStatus, StopCause, WorkerStatus
from orchestrator.core.scheduler.scheduler_view import TreeSize
from tests.unit.core.factories import EXIT_0, EXIT_1, LOST, TIMED_OUT, a_task, workers_for
from tests.unit.core.remains import memory_of
from tests.unit.core.story import Story

REFUSED = Evidence(claimed_success=False, error="the plan was rejected: a circle")


def test_a_job_has_no_tasks_until_its_planner_is_done() -> None:
    story = Story()
    job = story.planned_root()

    assert (story.job_status(job), story.keys(job)) == (JobStatus.PLANNING, [])
    story.ends(story.planner(job))

    assert story.job_status(job) is JobStatus.RUNNING
    assert story.events(job) == [
        EventKind.JOB_SUBMITTED,
        EventKind.PLANNER_STARTED,
        EventKind.PLANNER_ENDED,
        EventKind.JOB_PLANNED,
        EventKind.JOB_STARTED,
        EventKind.WORKER_STARTED,
    ]


def test_a_planner_uses_a_slot_like_any_worker() -> None:
    story = Story(max_workers=1)
    busy = story.root()
    job = story.planned_root()

    assert story.status(story.planner(job)) is WorkerStatus.PENDING
    story.ends(story.key(busy))
    assert story.status(story.planner(job)) is WorkerStatus.RUNNING


def test_a_rejected_plan_is_retried_once_whatever_the_retries_of_the_job() -> None:
    story = Story()
    job = story.planned_root(max_retries=0)
    planner = story.planner(job)

    story.ends(planner, EXIT_0, REFUSED)
    story.later(60)
    assert (story.status(planner), story.worker(planner).attempt) == (WorkerStatus.RUNNING, 2)

    story.ends(planner, EXIT_0, REFUSED)
    assert story.status(planner) is WorkerStatus.FAILED
    assert story.job_status(job) is JobStatus.RUNNING, "the tasks come from elsewhere"


def test_a_planner_that_timed_out_is_not_retried() -> None:
    story = Story()
    job = story.planned_root(max_retries=5)

    story.ends(story.planner(job), TIMED_OUT)

    assert story.status(story.planner(job)) is WorkerStatus.TIMEOUT
    assert story.job_status(job) is JobStatus.RUNNING


def test_a_failed_planner_does_not_make_its_job_fail() -> None:
    story = Story()
    job = story.planned_root()

    story.fails(story.planner(job))
    story.run_to_end()

    assert story.job_status(job) is JobStatus.COMPLETED


def test_the_plan_is_requested_again_after_a_crash() -> None:
    story = Story()
    story.adopts_plans = False
    job = story.planned_root()
    story.ends(story.planner(job))

    story.crash()
    assert story.commands[-1] == AdoptPlan(job.id)
    story.adopts_plan(job.id, a_task("a"), a_task("b"))

    assert len(story.keys(job)) == 2
    story.run_to_end()
    assert story.job_status(job) is JobStatus.COMPLETED


def test_a_planner_that_was_lost_with_its_shim_is_retried() -> None:
    story = Story()
    job = story.planned_root()

    story.crash()
    story.ends(story.planner(job), LOST)
    story.run_to_end()

    assert story.worker(story.planner(job)).attempt == 2
    assert story.job_status(job) is JobStatus.COMPLETED


@pytest.mark.parametrize("crash", [False, True])
def test_a_job_that_is_cancelled_while_it_is_planned_ends_and_is_planned_by_a_retry(
    crash: bool,
) -> None:
    story = Story()
    job = story.planned_root()
    story.cancel(job)
    if crash:
        story.crash()
    story.ends(story.planner(job), EXIT_1)
    assert (story.job_status(job), story.keys(job)) == (JobStatus.CANCELLED, [])

    assert story.retry(job) == 1
    assert story.job_status(job) is JobStatus.PLANNING
    story.run_to_end()
    assert story.job_status(job) is JobStatus.COMPLETED


def test_a_job_that_is_cancelled_before_its_plan_is_accepted_gets_no_tasks() -> None:
    story = Story()
    story.adopts_plans = False
    job = story.planned_root()
    story.ends(story.planner(job))

    story.cancel(job)
    story.adopts_plan(job.id)

    assert (story.job_status(job), story.keys(job)) == (JobStatus.CANCELLED, [])
    story.retry(job)
    story.run_to_end()
    assert story.job_status(job) is JobStatus.COMPLETED
    assert story.worker(story.planner(job)).attempt == 1, "its plan was there"


def test_a_job_fails_with_the_reason_when_no_plan_is_possible() -> None:
    story = Story()
    story.adopts_plans = False
    job = story.planned_root()
    story.ends(story.planner(job))

    story.scheduler.plan_impossible(job.id, "too many tasks", story.now)
    story.turn()

    assert story.job_status(job) is JobStatus.FAILED
    assert story.job(job.id).reason == "too many tasks"


def test_the_usage_of_a_planner_counts_for_its_job() -> None:
    story = Story()
    job = story.planned_root(max_tokens=100)

    used = Usage(input_tokens=90, output_tokens=20)
    story.ends(story.planner(job), EXIT_0, Evidence(output="a plan", usage=used))

    assert story.job_status(job) is JobStatus.FAILED
    assert story.job(job.id).stop_cause is StopCause.LIMIT


def test_the_usage_of_a_planner_still_counts_after_a_crash() -> None:
    story = Story()
    job = story.planned_root(max_tokens=100)
    used = Usage(input_tokens=60)
    story.ends(story.planner(job), EXIT_0, Evidence(output="a plan", usage=used))

    story.crash()

    assert story.scheduler.view.size_of(story.job(job.id)).remaining_caps["max_tokens"] == 40


def test_a_parent_releases_its_slot_while_its_child_job_is_planned() -> None:
    story = Story(max_workers=1)
    root = story.root()
    child = story.planned_child(story.key(root))

    assert story.status(story.key(root)) is WorkerStatus.WAITING
    assert story.status(story.planner(child)) is WorkerStatus.RUNNING
    story.run_to_end()
    assert story.status(story.key(root)) is WorkerStatus.RECURSIVE_SUCCESS


def test_a_planner_is_no_worker_of_its_tree() -> None:
    story = Story()
    story.adopts_plans = False
    job = story.planned_root()
    assert story.scheduler.view.size_of(job).workers == 0

    story.ends(story.planner(job))
    story.adopts_plan(job.id, a_task("a"), a_task("b"))

    assert story.scheduler.view.size_of(job).workers == 2


@pytest.mark.parametrize("planned", [False, True])
def test_nothing_starts_before_a_plan_is_approved(planned: bool) -> None:
    story = Story()
    job = story.planned_root(approve=True) if planned else story.root(approve=True)
    if planned:
        story.ends(story.planner(job))
        assert story.job(job.id).awaits_approval

    story.crash()
    assert (story.job_status(job), story.running) == (JobStatus.PLANNING, [])

    story.approve(job)
    assert story.running == story.keys(job)
    with pytest.raises(Conflict):
        story.approve(job)


def test_a_plan_that_was_rejected_waits_again_after_a_retry() -> None:
    story = Story()
    job = story.root(approve=True)
    story.cancel(job)
    assert story.job_status(job) is JobStatus.CANCELLED

    story.retry(job)
    assert story.job(job.id).awaits_approval
    story.approve(job)
    story.run_to_end()
    assert story.job_status(job) is JobStatus.COMPLETED


def test_an_approved_job_that_failed_runs_again_without_asking() -> None:
    story = Story()
    job = story.root(approve=True)
    story.approve(job)
    story.fails(story.key(job))

    story.retry(job)

    assert story.running == story.keys(job)


def test_a_plan_waits_for_approval_without_end() -> None:
    story = Story()
    job = story.root(approve=True, max_wall_seconds=10)

    story.later(1e6)
    assert story.job_status(job) is JobStatus.PLANNING

    story.approve(job)
    assert story.job(job.id).remaining_wall_seconds(story.now) == 10


def test_workers_of_planned_child_jobs_are_numbered_when_their_plans_are_accepted() -> None:
    story = Story()
    story.adopts_plans = False
    root = story.root()
    first, second = story.planned_child(story.key(root)), story.planned_child(story.key(root))
    story.ends(story.planner(first))
    story.ends(story.planner(second))

    story.adopts_plan(second.id, a_task("a"), a_task("b"))
    story.adopts_plan(first.id, a_task("a"))

    assert [key.worker_id for key in story.keys(second)] == ["worker_1_1", "worker_1_2"]
    assert [key.worker_id for key in story.keys(first)] == ["worker_1_3"]


def test_an_ended_planned_tree_is_removed_from_memory() -> None:
    story = Story()
    root = story.planned_root()
    story.ends(story.planner(root))
    story.planned_child(story.key(root))

    story.run_to_end()

    assert not memory_of(story.scheduler)


def test_a_planner_of_which_is_heard_late_is_known_although_its_job_has_tasks() -> None:
    story = Story()
    job = story.planned_root()
    planner = story.planner(job)
    story.ends(planner, LOST)
    story.later(60)
    story.ends(planner)
    assert story.keys(job)

    (lost,) = story.scheduler.lost_attempts_to_read(story.now)
    task = story.scheduler.view.task_of(story.worker(planner))
    story.scheduler.late_result(lost, EXIT_0, Evidence(output="a plan"), "exit.json", story.now)
    story.turn()

    assert task.role == "planner"
    assert len(story.keys(job)) == 1
    story.run_to_end()
    assert story.job_status(job) is JobStatus.COMPLETED


def test_a_late_plan_is_accepted_before_the_next_attempt() -> None:
    story = Story()
    job = story.planned_root()
    planner = story.planner(job)
    story.ends(planner, LOST)

    story.now += 60
    (lost,) = story.scheduler.lost_attempts_to_read(story.now)
    story.scheduler.late_result(lost, EXIT_0, Evidence(output="a plan"), "exit.json", story.now)
    story.turn()

    assert (story.worker(planner).attempt, len(story.keys(job))) == (1, 1)


@pytest.mark.parametrize("gone", ["plan", "job"])
def test_the_size_of_a_tree_can_be_read_while_it_changes(gone: str) -> None:
    story = Story()
    root = story.root(a_task("a"))
    child = story.child(story.key(root), a_task("b"))
    view = story.scheduler.view
    # Another thread may see this state between two turns.
    if gone == "plan":
        del story.scheduler._trees.plans[child.id]
        assert view.size_of(root).child_jobs == 0
    else:
        del story.scheduler._unit_of_work.jobs[root.id]
        assert view.size_of(child) == TreeSize(child_jobs=0, workers=0)


@pytest.mark.parametrize("crash", [False, True])
def test_a_plan_that_waits_is_replaced_and_keeps_its_job_and_its_planner(crash: bool) -> None:
    story = Story()
    job = story.planned_root(approve=True)
    story.ends(story.planner(job))
    assert [task.id for task in story.store.tasks[job.id]] == ["a"]

    story.edit_plan(job, a_task("x"), a_task("y", "x"), a_task("z"))
    if crash:
        story.crash()

    assert [task.id for task in story.store.tasks[job.id]] == ["x", "y", "z"]
    assert [key.worker_id for key in story.keys(job)] == ["worker_1", "worker_2", "worker_3"]
    assert story.job(job.id).plan_version == 2
    assert story.running == []
    story.approve(job)
    assert len(story.running) == 2
    story.run_to_end()
    assert story.job_status(job) is JobStatus.COMPLETED
    assert EventKind.PLAN_EDITED in story.events(job)


def test_a_plan_of_another_version_is_not_replaced() -> None:
    story = Story()
    job = story.root(a_task(), approve=True)
    story.edit_plan(job, a_task("x"))

    with pytest.raises(OutdatedPlan) as raised:
        story.scheduler.check_plan(job.id, 1)
    assert raised.value.version == 2
    story.approve(job)
    with pytest.raises(Conflict):
        story.scheduler.check_plan(job.id, 2)


def test_the_names_of_later_workers_follow_an_edited_plan_of_a_child_job() -> None:
    story = Story()
    root = story.root()
    child = story.planned_child(story.key(root), approve=True)
    story.ends(story.planner(child))
    story.edit_plan(child, a_task("x"), a_task("y"))

    other = story.child(story.key(root))

    assert [key.worker_id for key in story.keys(child)] == ["worker_1_1", "worker_1_2"]
    assert [key.worker_id for key in story.keys(other)] == ["worker_1_3"]


def test_the_last_of_two_edits_in_one_turn_counts() -> None:
    story = Story()
    job = story.root(a_task(), approve=True)
    workers = workers_for(job, [a_task("x")])
    story.scheduler.edit_plan(job.id, [a_task("x")], workers, "user", story.now)
    last = [a_task("y"), a_task("z")]
    story.scheduler.edit_plan(job.id, last, workers_for(job, last), "user", story.now)
    story.turn()

    assert [task.id for task in story.store.tasks[job.id]] == ["y", "z"]
    assert len(story.keys(job)) == 2


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("paused", [False, True])
def test_the_wall_time_does_not_count_while_a_plan_waits_for_approval(
    paused: bool, crash: bool
) -> None:
    story = Story()
    job = story.planned_root(approve=True, max_wall_seconds=100.0)
    story.later(30)
    story.ends(story.planner(job))
    story.later(1_000)
    if paused:
        story.pause(job)
        story.later(1_000)
        story.resume(job)
    if crash:
        story.crash()
    story.later(1_000)
    assert story.job_status(job) is JobStatus.PLANNING

    story.approve(job)

    assert story.job(job.id).remaining_wall_seconds(story.now) == 70
    story.later(69)
    assert story.job_status(job) is JobStatus.RUNNING
    story.later(1)
    assert story.job(job.id).stop_cause is StopCause.WALL_TIME


def test_the_wall_time_of_a_job_above_does_not_count_while_a_plan_waits_for_approval() -> None:
    story = Story()
    root = story.root(max_wall_seconds=100.0)
    child = story.planned_child(story.key(root), approve=True)
    story.ends(story.key(root))
    story.later(30)
    story.ends(story.planner(child))
    story.later(1_000)

    story.approve(child)

    assert story.job(root.id).stop_cause is None
    assert story.job(root.id).remaining_wall_seconds(story.now) == 70
