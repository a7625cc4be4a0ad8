"""Stories of jobs that ask a person when they reach a limit."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.errors import Conflict
from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit, Usage
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.human_input.pause import PauseCause
from orchestrator.core.model.job import Job, WorkerKey
from orchestrator.core.model.states import JobStatus, StopCause, WorkerStatus
from tests.unit.core.factories import DONE, a_task
from tests.unit.core.story import Story, stops

PAUSED = Exit(ended_by=EndedBy.CANCEL, cause=ExitCause.PAUSED, stopped_by="the pause")
ASKS: dict[str, Any] = {"on_limit": "ask", "ask_seconds": 600.0}


def asking(**config: Any) -> tuple[Story, Job, WorkerKey]:
    story = Story()
    job = story.root(a_task("a"), a_task("b", "a"), **ASKS, **config)
    return story, job, story.key(job)


def uses(story: Story, key: WorkerKey, steps: int) -> str:
    attempt = story.worker(key).attempt
    reason = story.scheduler.usage_reported(key, attempt, Usage(steps=steps), story.now)
    story.turn()
    return reason


def raised(story: Story, job: Job, **limits: Any) -> None:
    config = replace(story.job(job.id).config, **limits)
    story.scheduler.raise_budget(job.id, config, "user", story.now)
    story.turn()


@pytest.mark.parametrize("crash", [False, True])
def test_a_job_at_its_cap_asks_and_continues_when_the_cap_is_raised(crash: bool) -> None:
    story, job, key = asking(max_steps=5)

    assert uses(story, key, 5) == "", "the server stops the worker; the worker does not fail"
    assert stops(story) == [key]
    story.ends(key, PAUSED)
    if crash:
        story.crash()
    pause = story.job(job.id).pause
    assert pause is not None
    assert (pause.cause, pause.limit, pause.until) == (PauseCause.LIMIT, "max_steps", 1_600.0)
    assert "max_steps (5 steps)" in story.job(job.id).reason
    assert f"budget {job.id} --max-steps N" in story.job(job.id).reason
    assert (story.status(key), story.running) == (WorkerStatus.PENDING, [])

    raised(story, job, max_steps=10)
    assert (story.status(key), story.worker(key).attempt) == (WorkerStatus.RUNNING, 2)
    assert story.job(job.id).pause is None
    assert story.events(job).count(EventKind.LIMIT_ASKED) == 1
    assert story.events(job).count(EventKind.BUDGET_RAISED) == 1
    story.run_to_end()
    assert story.job_status(job) is JobStatus.COMPLETED


@pytest.mark.parametrize("crash", [False, True])
def test_a_job_about_which_no_person_decides_is_stopped_as_without_asking(crash: bool) -> None:
    story, job, key = asking(max_steps=5)
    uses(story, key, 5)
    story.ends(key, PAUSED)
    story.later(599)
    if crash:
        story.crash()
    assert story.job(job.id).stop_cause is None

    story.later(1)

    assert story.job(job.id).stop_cause is StopCause.LIMIT
    assert story.job_status(job) is JobStatus.FAILED
    assert story.worker(key).reason == f"stopped by max_steps (5 steps) of job {job.id}"


def test_the_end_of_the_wall_time_asks_and_the_ask_does_not_count() -> None:
    story, job, key = asking(max_wall_seconds=100.0)
    story.later(100)
    story.ends(key, PAUSED)
    pause = story.job(job.id).pause
    assert pause is not None and pause.limit == "max_wall_seconds"
    story.later(300)

    raised(story, job, max_wall_seconds=150.0)

    assert story.job(job.id).remaining_wall_seconds(story.now) == 50
    assert story.status(key) is WorkerStatus.RUNNING
    story.later(50)
    assert story.job(job.id).pause is not None, "the job asks again"
    story.ends(key, PAUSED)
    story.later(600)
    assert story.job(job.id).stop_cause is StopCause.WALL_TIME


def test_without_on_limit_a_job_is_stopped_at_once() -> None:
    story = Story()
    job = story.root(max_steps=5)
    assert uses(story, story.key(job), 5)
    assert story.job(job.id).stop_cause is StopCause.LIMIT


def test_a_job_at_its_limit_resumes_only_by_its_budget() -> None:
    story, job, key = asking(max_steps=5)
    uses(story, key, 5)
    story.ends(key, PAUSED)

    with pytest.raises(Conflict, match="budget"):
        story.resume(job)

    story.pause(job)
    story.later(1_000)
    assert story.job(job.id).stop_cause is None, "the time of a person's decision does not count"
    story.resume(job)
    pause = story.job(job.id).pause
    assert pause is not None and pause.cause is PauseCause.LIMIT, "the cap is still reached"


def test_the_budget_of_a_job_that_runs_can_be_raised_before_it_asks() -> None:
    story, job, key = asking(max_steps=5)
    raised(story, job, max_steps=10)
    assert uses(story, key, 9) == ""
    assert story.job(job.id).pause is None


def test_child_jobs_get_what_is_added_to_the_budget_above_them() -> None:
    story, job, key = asking(max_steps=5, max_wall_seconds=100.0)
    child = story.child(key, max_steps=5, max_wall_seconds=100.0, **ASKS)
    own = story.child(key, max_steps=2, budget_asked=True, max_wall_seconds=10.0, **ASKS)
    uses(story, story.key(child), 5)
    pause = story.job(child.id).pause
    assert pause is not None and pause.job_id == job.id, "the root job asks"

    raised(story, job, max_steps=8, max_wall_seconds=200.0)

    configs = [story.job(each.id).config for each in (job, child, own)]
    assert [each.max_steps for each in configs] == [8, 8, 2]
    assert [each.max_wall_seconds for each in configs] == [200.0, 200.0, 10.0]
    assert story.job(child.id).pause is None


def test_a_job_whose_wall_time_ends_while_it_waits_for_a_person_is_not_stopped() -> None:
    story = Story()
    ask = a_task("ok", approve="Go on?", agents=("person",))
    job = story.root(ask, a_task("b", "ok"), max_wall_seconds=100.0)
    story.later(99)
    story.later(1_000)
    assert story.job(job.id).stop_cause is None

    story.answer(story.key(job))

    assert story.job(job.id).remaining_wall_seconds(story.now) == 100
    story.later(100)
    assert story.job(job.id).stop_cause is StopCause.WALL_TIME


def test_a_wait_for_a_person_counts_while_something_runs() -> None:
    story = Story()
    ask = a_task("ok", approve="Go on?", agents=("person",))
    job = story.root(ask, a_task("b"), max_wall_seconds=100.0)
    story.later(60)
    story.ends(story.key(job, 2))
    story.later(500)

    story.pause(job)
    story.later(50)
    story.resume(job)
    story.later(10)
    story.answer(story.key(job))
    assert story.job_status(job) is JobStatus.COMPLETED
    assert story.job(job.id).paused_seconds == 60


@pytest.mark.parametrize("asks", [True, False])
def test_a_job_at_its_cap_whose_merge_rejects_a_worker_asks_before_the_retry(asks: bool) -> None:
    story = Story()
    story.writes_reports = False
    settings = ASKS if asks else {}
    job = story.root(a_task("a"), max_retries=1, max_steps=5, **settings)
    key = story.key(job)
    # The end of the last worker reports the usage that reaches the cap.
    story.ends(key, evidence=replace(DONE, usage=Usage(steps=5)))
    assert story.job(job.id).pause is None

    assert story.rejects_changes(job.id, key) == asks

    if not asks:
        assert story.job(job.id).stop_cause is StopCause.LIMIT
        return
    pause = story.job(job.id).pause
    assert pause is not None and pause.limit == "max_steps"
    assert (story.status(key), story.running) == (WorkerStatus.PENDING, [])
    raised(story, job, max_steps=10)
    assert (story.status(key), story.worker(key).attempt) == (WorkerStatus.RUNNING, 2)
