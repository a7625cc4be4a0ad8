"""Daily limits of keys and of the whole server: sums, rejections, and stopped jobs."""

from typing import Any

import pytest

from orchestrator.core.errors import LimitReached
from orchestrator.core.limits.key_costs_and_jobs import (
    DAY_SECONDS,
    AllKeyLimits,
    DailyCost,
    KeyLimits,
    day_of,
)
from orchestrator.core.model.attempt.attempt_result import EndedBy, Evidence, Exit, Usage
from orchestrator.core.model.states import JobStatus, StopCause, WorkerStatus
from orchestrator.core.ports import Prompting
from tests.unit.core.factories import EXIT_0, a_task
from tests.unit.core.story import Story

NOON = 20_000 * DAY_SECONDS + DAY_SECONDS / 2.0
AI = a_task("a", agents=("ai",))
STOPPED = Exit(ended_by=EndedBy.LIMIT, signal=15, stopped_by="limits.max_cost_usd_per_day")
PER_DAY = "limits.max_cost_usd_per_day"


def a_story(**limits: Any) -> Story:
    return Story(
        key_limits=AllKeyLimits(**limits), prompting=Prompting(reads=lambda agent: agent != "shell")
    )


def test_sums_are_of_a_key_and_a_day() -> None:
    key_limits = AllKeyLimits()
    assert key_limits.spend("ci", 1.0, NOON) == DailyCost(day=20_000, key_name="ci", cost_usd=1.0)
    assert key_limits.spend("ci", 0.5, NOON).cost_usd == 1.5
    key_limits.spend("me", 2.0, NOON)
    assert (key_limits.spent(NOON, "ci"), key_limits.spent(NOON)) == (1.5, 3.5)
    assert key_limits.spent(NOON + DAY_SECONDS) == 0.0
    assert key_limits.spend("ci", 1.0, NOON + DAY_SECONDS).cost_usd == 1.0


def test_stored_spending_counts_after_a_restart() -> None:
    key_limits = AllKeyLimits(max_cost_usd_per_day=2.0)
    key_limits.load([DailyCost(day=day_of(NOON), key_name="ci", cost_usd=2.0)])
    assert key_limits.reached_daily_limit("me", NOON) is not None


@pytest.mark.parametrize(
    ("limits", "key", "named"),
    [
        ({}, "ci", None),
        ({"max_cost_usd_per_day": 1.6}, "ci", None),
        ({"max_cost_usd_per_day": 1.5}, "me", PER_DAY),
        ({"keys": {"ci": KeyLimits(max_cost_usd_per_day=1.5)}}, "ci", f"api.keys[ci].{PER_DAY}"),
        ({"keys": {"ci": KeyLimits(max_cost_usd_per_day=1.5)}}, "me", None),
    ],
)
def test_a_refusal_names_the_limit_and_when_it_is_free_again(
    limits: dict[str, Any], key: str, named: str | None
) -> None:
    key_limits = AllKeyLimits(**limits)
    key_limits.spend("ci", 1.5, NOON)
    if named is None:
        key_limits.check_day(key, NOON)
        return
    with pytest.raises(LimitReached, match="resets at 2024-10-05 00:00 UTC") as refused:
        key_limits.check_day(key, NOON)
    error = refused.value
    assert (error.limit, error.most, error.used) == (named, 1.5, 1.5)
    assert error.free_at == NOON + DAY_SECONDS / 2
    assert named in error.message
    key_limits.check_day(key, NOON + DAY_SECONDS)


def test_a_key_has_so_many_unfinished_jobs() -> None:
    key_limits = AllKeyLimits(keys={"ci": KeyLimits(max_running_jobs=2)})
    key_limits.check_running("ci", 1)
    key_limits.check_running("me", 9)
    with pytest.raises(LimitReached, match="job limit reached for key 'ci': 2 of 2") as refused:
        key_limits.check_running("ci", 2)
    assert (refused.value.limit, refused.value.free_at) == (
        "api.keys[ci].limits.max_running_jobs",
        None,
    )


def test_a_spent_day_stops_every_job_in_which_a_model_is_at_work() -> None:
    story = a_story(max_cost_usd_per_day=1.0)
    story.now = NOON
    one, other = story.root(AI), story.root(AI, a_task("b", "a"))
    commands = story.root()
    first, (second, waiting) = story.key(one), story.keys(other)

    story.scheduler.usage_reported(first, 1, Usage(cost_usd=1.25), story.now)
    story.turn()
    for key in (first, second):
        story.ends(key, STOPPED)
    story.run_to_end()

    for job in (one, other):
        ended = story.job(job.id)
        assert (ended.status, ended.stop_cause) == (JobStatus.FAILED, StopCause.LIMIT)
        assert f"{PER_DAY} ($1.25 of $1.00 used, resets at 2024-10-05" in ended.reason
    assert story.worker(waiting).status is WorkerStatus.FAILED
    assert story.job(commands.id).status is JobStatus.COMPLETED


def test_a_key_that_spent_its_day_stops_its_own_jobs_alone() -> None:
    story = a_story(keys={"ci": KeyLimits(max_cost_usd_per_day=1.0)})
    story.now = NOON
    mine, theirs = story.root(AI, submitted_by="ci"), story.root(AI, submitted_by="me")
    story.scheduler.usage_reported(story.key(theirs), 1, Usage(cost_usd=5.0), story.now)
    story.scheduler.usage_reported(story.key(mine), 1, Usage(cost_usd=1.0), story.now)
    story.turn()
    assert story.job(mine.id).stop_cause is StopCause.LIMIT
    assert story.job(theirs.id).stop_cause is None


def test_the_sum_of_a_day_is_stored_with_the_usage_and_not_counted_twice() -> None:
    story = a_story(max_cost_usd_per_day=10.0)
    story.now = NOON
    job = story.root(AI, submitted_by="ci")
    key = story.key(job)
    story.scheduler.usage_reported(key, 1, Usage(cost_usd=0.5), story.now)
    story.turn()
    story.crash()
    assert story.store.days == {(20_000, "ci"): 0.5}
    assert story.scheduler._trees.key_limits.spent(NOON) == 0.5
    story.ends(key, EXIT_0, Evidence(output="x", usage=Usage(cost_usd=0.75)))
    assert story.store.days == {(20_000, "ci"): 0.75}


def test_workers_of_a_key_share_its_slots() -> None:
    story = a_story(keys={"ci": KeyLimits(max_workers=3)})
    tasks = [a_task("a"), a_task("b")]
    jobs = [story.root(*tasks, submitted_by="ci") for _ in range(2)]
    free = story.root(*tasks, submitted_by="me")
    running = [story.status(key) is WorkerStatus.RUNNING for job in jobs for key in story.keys(job)]
    assert sum(running) == 3
    assert all(story.status(key) is WorkerStatus.RUNNING for key in story.keys(free))
    story.ends(story.keys(jobs[0])[0])
    assert sum(story.status(k) is WorkerStatus.RUNNING for j in jobs for k in story.keys(j)) == 3


def test_a_job_with_a_cost_cap_stops_when_a_price_is_not_known() -> None:
    story = Story()
    job = story.root(a_task("a"), a_task("b", "a"), max_cost_usd=1.0)
    first, second = story.keys(job)
    story.ends(first, EXIT_0, Evidence(output="x", usage=Usage(output_tokens=5)))
    story.run_to_end()

    ended = story.job(job.id)
    assert ended.status is JobStatus.PARTIAL and ended.stop_cause is StopCause.LIMIT
    assert story.status(first) is WorkerStatus.SUCCESS
    assert f"the cost of {first.worker_id} is unknown" in ended.reason
    assert f"cost cap not enforced for {first.worker_id}" in ended.reason
    assert story.worker(second).attempt == 0


def test_an_unknown_price_stops_nothing_without_a_cost_cap() -> None:
    story = Story()
    job = story.root(a_task("a"), a_task("b", "a"), max_tokens=1000)
    story.ends(story.keys(job)[0], EXIT_0, Evidence(output="x", usage=Usage(output_tokens=5)))
    story.run_to_end()
    assert story.job(job.id).status is JobStatus.COMPLETED
