from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.scheduler.state.plan_progress import PlanProgress
from tests.unit.core.factories import a_job, a_task, workers_for

DIAMOND = [a_task("a"), a_task("b", "a"), a_task("c", "a"), a_task("d", "b", "c")]


def plan_of(
    tasks: Sequence[TaskSpec], statuses: Mapping[int, WorkerStatus] | None = None
) -> PlanProgress:
    """Return the progress of a plan. ``statuses``: statuses by index of the worker."""
    workers = workers_for(a_job(id="job"), tasks)
    known = statuses or {}
    return PlanProgress(
        tasks, [replace(each, status=known.get(each.index, each.status)) for each in workers]
    )


def ready(plan: PlanProgress) -> list[str]:
    return [task_id for task_id in plan.tasks if plan.is_ready(task_id)]


def test_tasks_that_need_nothing_are_ready() -> None:
    assert ready(plan_of(DIAMOND)) == ["a"]
    assert ready(plan_of([a_task("x"), a_task("y")])) == ["x", "y"]


def test_success_makes_ready_what_waited_for_it_alone() -> None:
    plan = plan_of(DIAMOND)
    assert plan.ended("a", True) == ["b", "c"]
    assert plan.ended("b", True) == []
    assert plan.ended("c", True) == ["d"]
    assert plan.ended("d", True) == []
    assert plan.open_workers == 0


def test_failure_names_what_can_never_start() -> None:
    plan = plan_of(DIAMOND)
    assert list(plan.ended("a", False)) == ["b", "c"]
    assert plan.hopeless("a")
    assert ready(plan) == ["a"]


def test_a_task_that_names_a_need_twice_waits_for_it_once() -> None:
    plan = plan_of([a_task("a"), a_task("b", "a", "a")])
    assert plan.ended("a", True) == ["b"]


def test_dependent_tasks_wait_for_all_candidates() -> None:
    plan = plan_of([a_task("a", agents=("one", "two")), a_task("b", "a")])
    assert plan.open_workers == 3
    assert plan.ended("a", True) == ()
    assert not plan.done("a")
    assert plan.ended("a", False) == ["b"]
    assert plan.done("a")


def test_a_task_is_hopeless_only_when_its_last_candidate_failed() -> None:
    plan = plan_of([a_task("a", agents=("one", "two")), a_task("b", "a")])
    plan.ended("a", False)
    assert not plan.hopeless("a")
    assert list(plan.ended("a", False)) == ["b"]
    assert plan.hopeless("a")


def test_a_plan_is_built_from_any_state_on_the_way() -> None:
    half_way = {0: WorkerStatus.SUCCESS, 1: WorkerStatus.RECURSIVE_SUCCESS}
    plan = plan_of(DIAMOND, half_way)
    assert plan.open_workers == 2
    assert ready(plan) == ["a", "b", "c"]
    assert plan.ended("c", True) == ["d"]


def test_a_failure_before_the_plan_was_built_still_blocks() -> None:
    plan = plan_of(DIAMOND, {0: WorkerStatus.FAILED})
    assert plan.hopeless("a")
    assert not plan.is_ready("b")


def test_workers_are_listed_in_task_order_and_by_task() -> None:
    plan = plan_of([a_task("a", agents=("one", "two")), a_task("b")])
    assert [key.worker_id for key in plan.workers] == ["worker_1", "worker_2", "worker_3"]
    assert [key.worker_id for key in plan.workers_of("a")] == ["worker_1", "worker_2"]
