"""Back-off of agents after rate limits."""

import pytest

from orchestrator.core.limits.key_costs_and_jobs import utc
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Evidence
from orchestrator.core.model.job import Job, WorkerKey
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.ports import Prompting
from orchestrator.core.ports.credentials import CredentialLookup
from orchestrator.core.scheduler.state.agent_rate_limits import (
    FIRST_PAUSE_SECONDS,
    LONGEST_RESET_SECONDS,
    AgentThrottle,
)
from tests.unit.core.factories import EXIT_0, EXIT_1, a_task
from tests.unit.core.story import Story


def a_story() -> Story:
    """Return a story: ``opencode`` needs a login, its provider caches no prompts; ``shell`` needs
    nothing.
    """
    credentials = CredentialLookup(
        needs_login={"opencode"}.__contains__, fix=lambda agent: "opencode auth login"
    )
    return Story(credentials=credentials, prompting=Prompting(ahead_seconds=20))


def several(story: Story, *agents: str) -> tuple[Job, list[WorkerKey]]:
    job = story.root(*(a_task(f"t{n}", agents=(each,)) for n, each in enumerate(agents)))
    return job, story.keys(job)


def states(story: Story, keys: list[WorkerKey]) -> list[WorkerStatus]:
    return [story.status(key) for key in keys]


# A rate limit only delays workers: it uses no retry, and causes no agent fallback.

FULL = Evidence(error_class=ErrorClass.RATE_LIMIT, error="429")


def full_until(at: float) -> Evidence:
    return Evidence(error_class=ErrorClass.RATE_LIMIT, resets_at=at)


@pytest.fixture
def throttle() -> AgentThrottle:
    throttle = AgentThrottle()
    for _ in range(8):
        throttle.started("claude")
    return throttle


def refuse(throttle: AgentThrottle, now: float, resets_at: float | None = None) -> float:
    throttle.worker_ended("claude")
    return throttle.record_rate_limit("claude", resets_at, now)


def test_an_agent_without_rate_limits_is_not_throttled(throttle: AgentThrottle) -> None:
    throttle.succeeded("claude")
    assert throttle.held_until("claude", 0.0) is None


def test_a_refusal_pauses_the_account_and_halves_what_may_run(throttle: AgentThrottle) -> None:
    assert refuse(throttle, 100.0) == 100.0 + FIRST_PAUSE_SECONDS
    assert throttle.held_until("claude", 101.0) == 100.0 + FIRST_PAUSE_SECONDS
    assert throttle.held_until("codex", 101.0) is None
    later = 200.0
    assert throttle.held_until("claude", later) is not None, "7 run, and 4 may"
    for _ in range(4):
        throttle.worker_ended("claude")
    assert throttle.held_until("claude", later) is None


def test_simultaneous_rate_limits_halve_the_limit_once(throttle: AgentThrottle) -> None:
    for _ in range(6):
        refuse(throttle, 100.0)
    for _ in range(2):
        throttle.worker_ended("claude")
    for _ in range(3):
        throttle.started("claude")
    assert throttle.held_until("claude", 200.0) is None, "3 run, and 4 may"


def test_the_throttle_waits_until_the_provider_s_reset_within_a_limit(
    throttle: AgentThrottle,
) -> None:
    assert refuse(throttle, 100.0, resets_at=160.0) == 160.0
    assert refuse(throttle, 101.0, resets_at=190.0) == 190.0
    assert refuse(throttle, 300.0, resets_at=10**9) == 300.0 + LONGEST_RESET_SECONDS


def test_refusals_in_a_row_wait_longer_and_longer(throttle: AgentThrottle) -> None:
    first = refuse(throttle, 100.0) - 100.0
    second = refuse(throttle, 200.0) - 200.0
    assert second == 2 * first
    throttle.succeeded("claude")
    assert refuse(throttle, 300.0) - 300.0 == first


def test_successes_raise_the_bound_until_there_is_none(throttle: AgentThrottle) -> None:
    refuse(throttle, 100.0)
    successes = 0
    while throttle.held_until("claude", 500.0) is not None:
        throttle.succeeded("claude")
        successes += 1
        assert successes < 100
    assert successes > 3, "step by step"


def test_a_storm_costs_no_worker_a_retry() -> None:
    story = Story()
    job = story.root(*(a_task(f"t{number}", agents=("shell",)) for number in range(6)))
    for _ in range(3):
        for key in story.running:
            story.ends(key, EXIT_1, FULL)
        story.later(600)
    assert all(
        "rate-limited" in story.worker(key).reason
        or story.worker(key).status is WorkerStatus.RUNNING
        for key in story.keys(job)
    )
    story.run_to_end()
    assert {story.status(key) for key in story.keys(job)} == {WorkerStatus.SUCCESS}


def test_workers_wait_until_the_account_resets_with_a_reason() -> None:
    story = Story()
    job = story.root()
    reset = story.now + 90
    story.ends(story.key(job), EXIT_1, full_until(reset))
    worker = story.worker(story.key(job))
    assert worker.status is WorkerStatus.PENDING
    assert worker.reason == "waiting: shell is rate-limited; retrying in 90 s"
    story.later(89)
    assert story.status(story.key(job)) is WorkerStatus.PENDING
    story.later(1)
    assert story.status(story.key(job)) is WorkerStatus.RUNNING


def test_other_agents_run_while_one_is_rate_limited() -> None:
    story = Story(max_workers=1)
    job = story.root(a_task("a"), a_task("b"), a_task("c"))
    first, second, third = story.keys(job)
    # The factories create all workers with one agent.
    for key in (second,):
        story.scheduler._unit_of_work.update_worker(key, agent="codex")
    story.ends(first, EXIT_1, full_until(story.now + 50))
    assert story.status(second) is WorkerStatus.RUNNING
    story.ends(second, EXIT_0)
    assert story.status(third) is WorkerStatus.PENDING
    story.later(51)
    assert WorkerStatus.RUNNING in {story.status(first), story.status(third)}


def test_a_cancelled_job_does_not_wait_for_its_account() -> None:
    story = Story()
    job = story.root()
    story.cancel(job)
    story.ends(story.key(job), EXIT_1, FULL)
    assert story.status(story.key(job)) is WorkerStatus.FAILED


def test_after_a_storm_a_worker_has_all_its_retries() -> None:
    story = Story()
    job = story.root(max_retries=1)
    key = story.key(job)
    story.ends(key, EXIT_1, FULL)
    story.later(600)
    story.fails(key, "the first failure of its own")
    assert story.status(key) is WorkerStatus.PENDING
    story.later(600)
    story.fails(key, "the second one")
    assert story.status(key) is WorkerStatus.FAILED


def test_the_reason_of_a_long_wait_has_the_time_of_its_end() -> None:
    story = Story()
    key = story.key(story.root())

    story.ends(key, EXIT_1, full_until(story.now + 7200))

    end = utc(story.now + 7200)
    assert story.worker(key).reason == f"waiting: shell is rate-limited; retrying at {end}"
