"""Caps apply to the usage of a whole job tree, however its work is split."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.errors import Refused
from orchestrator.core.events import EventKind
from orchestrator.core.gates.gate import GateResult, GateStatus
from orchestrator.core.limits.job_admission import check_caps
from orchestrator.core.limits.usage_caps import (
    describe_exceeded,
    describe_reached_limit,
    exceeded_limits,
    has_caps,
    spent_by,
    usage_by_job,
)
from orchestrator.core.model.attempt.attempt_result import (
    EndedBy,
    ErrorClass,
    Evidence,
    Exit,
    Usage,
)
from orchestrator.core.model.attempt.usage_sums import usage_fields
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.attempt_outcome import judge, only_gates_remain
from tests.unit.core.factories import DONE, EXIT_0, EXIT_1, a_job, a_task, a_worker
from tests.unit.core.story import Story, stops

STOPPED = Exit(ended_by=EndedBy.LIMIT, signal=15, stopped_by="max_cost_usd (1 USD) of job x")


def usage(cost: float | None = None, **more: int) -> Usage:
    return Usage(cost_usd=cost, **more)


@pytest.mark.parametrize(
    ("limits", "used", "words"),
    [
        ({}, Usage(steps=10**9), ""),
        ({"max_steps": 3}, Usage(steps=2), ""),
        ({"max_steps": 3}, Usage(steps=3), "max_steps (3 steps)"),
        ({"max_tokens": 10}, Usage(input_tokens=6, output_tokens=4), "max_tokens (10 tokens)"),
        ({"max_cost_usd": 0.5}, Usage(cost_usd=0.6), "max_cost_usd (0.5 USD)"),
        ({"max_cost_usd": 0.5}, Usage(), ""),
    ],
)
def test_a_limit_is_reached_when_all_of_it_is_used(
    limits: dict[str, float], used: Usage, words: str
) -> None:
    assert describe_reached_limit(a_task(**limits), spent_by(used)) == words


def test_each_report_of_a_running_worker_has_its_whole_usage() -> None:
    story = Story()
    job = story.root()
    key = story.key(job)

    for cost in (0.1, 0.1 + 0.2, 0.3):
        assert story.scheduler.usage_reported(key, 1, usage(cost, steps=1), story.now) == ""
        story.turn()

    result = story.worker(key).result
    assert result is not None and result.usage.cost_usd == 0.3
    reports = [e for e in story.store.events[job.root_id] if e.kind is EventKind.WORKER_USED]
    assert [event.data["cost_usd"] for event in reports] == [0.1, 0.3, 0.3]


def test_attempts_are_added_up_also_after_a_crash() -> None:
    story = Story()
    job = story.root(max_retries=2)
    key = story.key(job)
    story.scheduler.usage_reported(key, 1, usage(0.4), story.now)
    story.turn()
    story.crash()
    story.ends(key, EXIT_1, Evidence(output="x", usage=usage(0.5)))
    story.later(100)
    story.scheduler.usage_reported(key, 2, usage(0.25), story.now)
    story.turn()

    result = story.worker(key).result
    assert result is not None and result.usage.cost_usd == 0.75
    assert story.scheduler._trees.spending.of(job.id)["max_cost_usd"] == 0.75


def test_the_usage_of_a_killed_agent_is_what_it_last_reported() -> None:
    story = Story()
    job = story.root()
    key = story.key(job)
    story.scheduler.usage_reported(key, 1, usage(0.4), story.now)
    story.ends(key, EXIT_1, Evidence(error_class=ErrorClass.KILLED))
    result = story.worker(key).result
    assert result is not None and result.usage.cost_usd == 0.4


def test_late_usage_of_an_ended_attempt_does_not_count() -> None:
    story = Story()
    job = story.root(a_task("a"), a_task("b"))
    first, second = story.keys(job)
    story.ends(first)
    assert story.scheduler.usage_reported(first, 1, usage(5.0), story.now) != ""
    assert story.scheduler.usage_reported(second, 2, usage(5.0), story.now) != ""
    assert story.scheduler._trees.spending.of(job.id)["max_cost_usd"] == 0


@pytest.mark.parametrize(
    ("unreported", "expected"),
    [
        ({"agent": "claude", "attempt": 1}, {"partial": True, "cost_partial": True}),
        ({"agent": "claude", "attempt": 0}, {}),
        ({"agent": "shell", "attempt": 1}, {}),
    ],
)
def test_a_started_agent_that_reports_no_usage_makes_a_known_cost_a_lower_bound(
    unreported: dict[str, Any], expected: dict[str, bool]
) -> None:
    job = a_job()
    in_job = {"job_id": job.id, "root_id": job.id}
    result = WorkerResult(usage=usage(0.5))
    workers = [a_worker(agent="claude", attempt=1, result=result, **in_job)]
    workers += [a_worker(id="worker_2", **unreported, **in_job)]
    usages = usage_by_job([job], workers)[job.id]
    assert usage_fields(usages) == {"cost_usd": 0.5, **expected}
    assert usage_fields([each for each in usages if each.partial]) == {}


def test_a_task_may_use_no_more_than_it_may() -> None:
    story = Story()
    job = story.root(a_task(max_steps=2))
    key = story.key(job)
    assert story.scheduler.usage_reported(key, 1, usage(steps=1), story.now) == ""
    assert "max_steps" in story.scheduler.usage_reported(key, 1, usage(steps=2), story.now)


def test_a_job_that_has_used_its_money_is_stopped_with_all_below_it() -> None:
    story = Story()
    job = story.root(a_task("a"), a_task("b"), a_task("c", "b"), max_cost_usd=1.0)
    parent, other, waiting = story.keys(job)
    child = story.child(parent)
    below = story.key(child)

    story.scheduler.usage_reported(other, 1, usage(0.6), story.now)
    reason = story.scheduler.usage_reported(below, 1, usage(0.4), story.now)
    story.turn()
    for key in (below, other, parent):
        story.ends(key, STOPPED)
    for job_id in list(story.reports_to_write):
        story.reports_written(job_id)

    assert reason == f"max_cost_usd (1 USD) of job {job.id}"
    assert story.worker(waiting).status is WorkerStatus.FAILED
    assert "max_cost_usd" in story.worker(waiting).reason
    assert story.job(child.id).status is JobStatus.FAILED
    assert story.job(job.id).status is JobStatus.FAILED
    assert "max_cost_usd" in story.job(job.id).reason


def test_a_job_whose_last_worker_went_over_the_limit_is_complete() -> None:
    story = Story()
    job = story.root(max_cost_usd=1.0)
    story.ends(story.key(job), EXIT_0, Evidence(output="x", usage=usage(2.0)))
    story.run_to_end()
    assert story.job(job.id).status is JobStatus.COMPLETED


def test_the_budget_that_a_child_job_requests_is_reserved_for_it() -> None:
    story = Story()
    job = story.root(max_cost_usd=2.0, max_tokens=1000)
    parent = story.key(job)
    child = story.child(parent, max_cost_usd=1.5, budget_asked=True)
    view = story.scheduler.view

    assert view.size_of(job).remaining_caps == {"max_cost_usd": 0.5, "max_tokens": 1000}
    assert view.size_of(child).remaining_caps == {"max_cost_usd": 1.5, "max_tokens": 1000}
    story.scheduler.usage_reported(story.key(child), 1, usage(1.0), story.now)
    assert view.size_of(job).remaining_caps["max_cost_usd"] == 0.5
    story.ends(story.key(child), EXIT_0, DONE)
    assert view.size_of(job).remaining_caps["max_cost_usd"] == 1.0


def test_a_job_that_has_used_up_its_money_runs_again_only_with_more() -> None:
    check_caps({"max_cost_usd": 0.1})
    with pytest.raises(Refused, match="retry with a higher"):
        check_caps({"max_cost_usd": 0.0})


def test_usage_reported_only_at_an_end_counts_for_running_workers() -> None:
    story = Story()
    job = story.root(a_task("a"), a_task("b"), max_cost_usd=1.0)
    first, second = story.keys(job)
    story.ends(first, EXIT_0, Evidence(output="x", usage=usage(2.0)))
    story.ends(second, STOPPED)
    story.run_to_end()

    assert stops(story) == [second]
    assert story.status(first) is WorkerStatus.SUCCESS
    assert story.job(job.id).status is JobStatus.PARTIAL
    assert "max_cost_usd" in story.job(job.id).reason


@pytest.mark.parametrize(
    ("limits", "used", "words"),
    [
        ({"max_cost_usd": 1.0}, {"cost_usd": 1.0}, []),
        (
            {"max_cost_usd": 1.0},
            {"cost_usd": 1.23},
            ["cost cap exceeded: $1.23 of $1.00 (23 % over)"],
        ),
        (
            {"max_cost_usd": 0.002},
            {"cost_usd": 0.00352},
            ["cost cap exceeded: $0.0035 of $0.0020 (76 % over)"],
        ),
        ({"max_steps": 10}, {"steps": 12}, ["step cap exceeded: 12 of 10 (20 % over)"]),
        (
            {"max_tokens": 1000, "max_steps": 1},
            {"output_tokens": 1001, "steps": 3},
            [
                "step cap exceeded: 3 of 1 (200 % over)",
                "token cap exceeded: 1,001 of 1,000 (1 % over)",
            ],
        ),
    ],
)
def test_an_exceeded_cap_is_reported_with_its_excess(
    limits: dict[str, Any], used: dict[str, Any], words: list[str]
) -> None:
    caps = exceeded_limits(a_task(**limits), spent_by(Usage(**used)))
    assert [describe_exceeded(cap) for cap in caps] == words


def test_a_sum_that_lacks_something_is_a_lower_bound() -> None:
    [cap] = exceeded_limits(a_task(max_steps=1), spent_by(Usage(steps=2)), at_least=True)
    assert describe_exceeded(cap) == "step cap exceeded: at least 2 of 1 (100 % over)"


COMPLETE = Evidence(
    output="the answer", output_required=True, claimed_success=True, usage=usage(1.23)
)


@pytest.mark.parametrize(
    ("end", "evidence", "succeeds"),
    [
        (EXIT_0, COMPLETE, True),
        (STOPPED, COMPLETE, True),
        (replace(STOPPED, signal=None, code=143), COMPLETE, True),
        (STOPPED, replace(COMPLETE, claimed_success=None), False),
        (STOPPED, replace(COMPLETE, claimed_success=False), False),
        (STOPPED, replace(COMPLETE, output_required=False), False),
        (replace(STOPPED, stopped_by="", error="out of memory"), COMPLETE, False),
        (replace(STOPPED, ended_by=EndedBy.CANCEL), COMPLETE, False),
    ],
)
def test_a_worker_that_had_finished_when_the_cap_was_reached_succeeds(
    end: Exit, evidence: Evidence, succeeds: bool
) -> None:
    story = Story()
    job = story.root(a_task("a"), a_task("b"), max_cost_usd=1.0)
    first, second = story.keys(job)
    story.scheduler.usage_reported(first, 1, usage(1.2), story.now)
    story.ends(first, end, evidence)
    story.ends(second, STOPPED)
    story.run_to_end()

    ended = story.job(job.id)
    assert story.status(first).succeeded is succeeds
    assert ended.status is (JobStatus.PARTIAL if succeeds else JobStatus.FAILED)
    assert "stopped by max_cost_usd (1 USD)" in ended.reason
    assert "cost cap exceeded: $1.23 of $1.00 (23 % over)" in ended.reason


def test_gates_of_who_was_complete_decide() -> None:
    failed = GateResult(name="tests", status=GateStatus.FAILED)
    assert only_gates_remain(STOPPED, COMPLETE)
    assert not judge(STOPPED, replace(COMPLETE, gates=(failed,))).succeeded


def test_the_reason_of_a_job_names_a_cap_that_its_last_worker_exceeded() -> None:
    story = Story()
    job = story.root(max_cost_usd=1.0)
    story.ends(story.key(job), EXIT_0, COMPLETE)
    story.run_to_end()
    ended = story.job(job.id)
    assert ended.status is JobStatus.COMPLETED
    assert ended.reason == "cost cap exceeded: $1.23 of $1.00 (23 % over)"


def test_the_reason_of_a_worker_names_an_exceeded_cap_of_its_task() -> None:
    story = Story()
    job = story.root(a_task(max_cost_usd=1.0))
    story.ends(story.key(job), EXIT_0, COMPLETE)
    story.run_to_end()
    assert story.worker(story.key(job)).reason == "cost cap exceeded: $1.23 of $1.00 (23 % over)"


def test_a_worker_under_a_cap_reports_every_step_at_once() -> None:
    story = Story()
    free, task, capped = story.root(), story.root(a_task(max_steps=9)), story.root(max_tokens=9)
    child = story.child(story.key(capped), max_tokens=9)
    is_capped = story.scheduler.view.is_capped
    found = [is_capped(story.key(each)) for each in (free, task, capped, child)]
    assert found == [False, True, True, True]


@pytest.mark.parametrize(
    "task",
    [
        TaskSpec(id="t", max_steps=0),
        TaskSpec(id="t", max_tokens=0),
        TaskSpec(id="t", max_cost_usd=0.0),
    ],
)
def test_a_task_has_caps_if_one_limit_has_a_value(task: TaskSpec) -> None:
    assert has_caps(task)
    assert not has_caps(TaskSpec(id="t"))
