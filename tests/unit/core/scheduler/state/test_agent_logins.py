"""States of agents' logins, and the agent that replaces an agent without a login."""

from collections.abc import Collection
from dataclasses import replace

from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Evidence, Usage
from orchestrator.core.model.job import Job, WorkerKey, new_planner
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.outcome.job.human_needs import NeedKind, kind_of_worker
from orchestrator.core.ports import Prompting
from orchestrator.core.ports.credentials import KNOWN_SECONDS, CredentialLookup
from tests.unit.core.factories import EXIT_1, a_job, a_task, workers_for
from tests.unit.core.scheduler.state.test_agent_rate_limits import a_story, several, states
from tests.unit.core.story import Story

PENDING, RUNNING, FAILED = WorkerStatus.PENDING, WorkerStatus.RUNNING, WorkerStatus.FAILED

# Failed logins: after one worker reports the failure, no other worker starts.

REFUSED = Evidence(error_class=ErrorClass.AUTH, error="invalid x-api-key")


def test_one_worker_checks_the_login_before_the_others_start() -> None:
    story = a_story()
    _, keys = several(story, "opencode", "opencode", "shell")
    assert states(story, keys) == [RUNNING, PENDING, RUNNING]
    assert story.worker(keys[1]).reason.endswith("checking the login of opencode")

    story.scheduler.usage_reported(keys[0], 1, Usage(output_tokens=3), story.now)
    story.turn()

    assert states(story, keys) == [RUNNING, RUNNING, RUNNING]


def test_a_failed_login_is_not_retried_and_the_reason_has_the_fix() -> None:
    story = a_story()
    job, keys = several(story, "opencode", "opencode", "opencode")

    story.ends(keys[0], EXIT_1, REFUSED)

    assert states(story, keys) == [FAILED, FAILED, FAILED]
    reason = "the agent's login failed: invalid x-api-key; to fix the login: opencode auth"
    assert story.worker(keys[0]).reason.startswith(reason)
    assert story.worker(keys[2]).reason.startswith(f"not started: {reason}")
    assert [story.worker(key).attempt for key in keys] == [1, 0, 0]
    assert story.job_status(job) is JobStatus.FAILED


def test_a_worker_that_waits_for_its_retry_names_the_attempt_that_was_not_started() -> None:
    story = a_story()
    task = a_task("a", agents=("opencode",), retries=1)
    keys = story.keys(story.root(task, replace(task, id="b")))
    story.scheduler.usage_reported(keys[0], 1, Usage(output_tokens=3), story.now)
    story.turn()
    story.ends(keys[1], EXIT_1, Evidence(error_class=ErrorClass.API, error="broken"))
    assert states(story, keys) == [RUNNING, PENDING]

    story.ends(keys[0], EXIT_1, REFUSED)

    reason = "attempt 2 not started: the agent's login failed: invalid x-api-key"
    assert story.worker(keys[1]).reason.startswith(reason)


def test_the_period_of_the_services_message_does_not_stay_before_the_fix() -> None:
    story = a_story()
    _, [key] = several(story, "opencode")

    story.ends(key, EXIT_1, replace(REFUSED, error="The token has expired."))

    assert ": The token has expired; to fix the login: " in story.worker(key).reason


def test_an_account_without_credit_has_its_own_reason_with_the_fix() -> None:
    story = a_story()
    _, keys = several(story, "opencode", "opencode")
    error = "Your credit balance is too low"

    story.ends(keys[0], EXIT_1, replace(REFUSED, error_class=ErrorClass.CREDIT, error=error))

    assert states(story, keys) == [FAILED, FAILED]
    reason = (
        f"the agent's account has no credit: {error}; add credit to the account, or choose another "
        "agent: --agent NAME"
    )
    assert story.worker(keys[0]).reason.startswith(reason)
    assert story.worker(keys[1]).reason.startswith(f"not started: {reason}")
    assert kind_of_worker(story.worker(keys[0])) is NeedKind.LOGIN


def test_workers_that_wait_for_others_are_not_started_either() -> None:
    story = a_story()
    first = a_task("a", agents=("shell",))
    job = story.root(
        first,
        a_task("b", agents=("opencode",)),
        a_task("c", agents=("opencode",), depends_on=("a",)),
        a_task("d", agents=("shell",), depends_on=("c",)),
    )
    a, b, c, d = story.keys(job)

    story.ends(b, EXIT_1, REFUSED)
    assert states(story, [a, b, c, d]) == [RUNNING, FAILED, FAILED, WorkerStatus.SKIPPED]
    story.ends(a)

    assert story.job_status(job) is JobStatus.PARTIAL


def test_other_agents_continue_after_a_failed_login() -> None:
    story = a_story()
    job, keys = several(story, "opencode", "shell")

    story.ends(keys[0], EXIT_1, REFUSED)
    story.ends(keys[1])

    assert story.job_status(job) is JobStatus.PARTIAL


def test_a_login_that_worked_is_not_doubted_for_a_while() -> None:
    story = a_story()
    _, keys = several(story, "opencode")
    story.ends(keys[0])

    _, keys = several(story, "opencode", "opencode")
    assert states(story, keys) == [RUNNING, RUNNING]

    story.later(KNOWN_SECONDS)
    _, keys = several(story, "opencode", "opencode")
    assert states(story, keys) == [RUNNING, PENDING]


def test_after_a_refusal_a_job_tries_again() -> None:
    """The user may have logged in."""
    story = a_story()
    _, keys = several(story, "opencode")
    story.ends(keys[0], EXIT_1, REFUSED)
    seen = story.scheduler.view.logins_seen(story.now)["opencode"]
    assert (seen.works, seen.why) == (
        False,
        "the agent's login failed: invalid x-api-key",
    )

    _, keys = several(story, "opencode", "opencode")
    story.ends(keys[0])

    assert states(story, keys)[1] is RUNNING
    assert story.scheduler.view.logins_seen(story.now)["opencode"].works


def test_a_refusal_is_forgotten_when_the_credential_has_changed() -> None:
    credential = {"opencode": "old"}
    credentials = CredentialLookup(
        needs_login=credential.__contains__, fingerprint=credential.__getitem__
    )
    story = Story(credentials=credentials, prompting=Prompting(ahead_seconds=20))
    _, keys = several(story, "opencode")
    story.ends(keys[0], EXIT_1, REFUSED)
    logins = story.scheduler._trees.logins
    assert list(logins.failures(story.now)) == ["opencode"]

    credential["opencode"] = "new"

    assert not logins.failures(story.now)
    assert not logins.seen(story.now)
    assert logins.doubtful("opencode", story.now), "its login may also fail"


def test_a_refusal_is_forgotten_when_an_agent_without_a_login_works_again() -> None:
    """A local model's server may need a login for some of its models."""
    story = a_story()
    _, [refused, successful] = several(story, "shell", "shell")
    story.ends(refused, EXIT_1, REFUSED)
    assert "shell" in story.scheduler.view.logins_seen(story.now)

    story.ends(successful)

    assert "shell" not in story.scheduler.view.logins_seen(story.now)


def test_workers_wait_a_limited_time_for_a_login_check() -> None:
    story = a_story()
    _, keys = several(story, "opencode", "opencode")

    story.later(20)

    assert states(story, keys) == [RUNNING, RUNNING]


BEST_FIRST = ("claude", "codex", "gemini")


def best_without(refused: Collection[str]) -> str:
    return next((each for each in BEST_FIRST if each not in refused), "")


def submitted(story: Story, *agents_of_tasks: str) -> tuple[Job, list[WorkerKey]]:
    """Submit a job with one task for each agent; ``auto`` resolves to claude, as in the engine."""
    tasks = [a_task(f"t{n}", agents=(each,)) for n, each in enumerate(agents_of_tasks)]
    job = a_job(created_at=story.now)
    workers = [
        replace(each, agent=best_without(()) if each.agent == "auto" else each.agent)
        for each in workers_for(job, tasks)
    ]
    story.scheduler.submit(job, tasks, workers, story.now)
    story.turn()
    return job, story.keys(job)


def agents(story: Story, keys: list[WorkerKey]) -> list[str]:
    return [story.worker(key).agent for key in keys]


def a_choice() -> Story:
    credentials = CredentialLookup(needs_login=BEST_FIRST.__contains__, best_without=best_without)
    return Story(credentials=credentials, prompting=Prompting(ahead_seconds=20))


def test_a_task_that_may_have_any_agent_continues_with_the_next_best() -> None:
    story = a_choice()
    job, keys = submitted(story, "auto", "auto", "claude")

    story.ends(keys[0], EXIT_1, REFUSED)

    assert agents(story, keys) == ["codex", "codex", "claude"]
    assert sorted(states(story, keys)) == [FAILED, PENDING, RUNNING], "one worker starts first"
    assert story.status(keys[2]) is FAILED, "its agent was named"
    assert EventKind.AGENT_PASSED_OVER in story.events(job)
    for key in sorted(keys[:2], key=lambda key: story.status(key) is PENDING):
        story.ends(key)
    assert [story.worker(key).attempt for key in keys] == [2, 1, 0]
    assert story.job_status(job) is JobStatus.PARTIAL


def test_an_agent_fallback_uses_no_retry() -> None:
    story = a_choice()
    job = a_job(created_at=story.now, config=story._config({"max_retries": 0}))
    tasks = [a_task("a", agents=("auto",))]
    workers = [replace(each, agent="claude") for each in workers_for(job, tasks)]
    story.scheduler.submit(job, tasks, workers, story.now)
    story.turn()
    [key] = story.keys(job)

    story.ends(key, EXIT_1, REFUSED)
    story.ends(key, EXIT_1, REFUSED)

    assert (story.status(key), story.worker(key).agent) == (RUNNING, "gemini")
    assert story.events(job).count(EventKind.AGENT_PASSED_OVER) == 2
    story.ends(key, EXIT_1, REFUSED)
    assert story.status(key) is FAILED, "no agent remains"


def test_candidates_keep_their_agents() -> None:
    story = a_choice()
    job = a_job(created_at=story.now)
    tasks = [a_task("a", agents=("auto", "codex"))]
    pairs = zip(workers_for(job, tasks), ("claude", "codex"), strict=True)
    workers = [replace(each, agent=agent) for each, agent in pairs]
    story.scheduler.submit(job, tasks, workers, story.now)
    story.turn()
    keys = story.keys(job)

    story.ends(keys[0], EXIT_1, REFUSED)

    assert agents(story, keys) == ["claude", "codex"]
    assert states(story, keys) == [FAILED, RUNNING]


def test_the_next_best_agent_plans_after_a_failed_login() -> None:
    story = a_choice()
    config = story._config({"planner": "auto", "agent": "auto"})
    job = a_job(created_at=story.now, status=JobStatus.PLANNING, config=config)
    job = replace(job, plan_source="claude")
    story.scheduler.submit(job, (), (), story.now, new_planner(job, "claude", "planner"))
    story.turn()

    story.ends(story.planner(job), EXIT_1, REFUSED)

    assert story.worker(story.planner(job)).agent == "codex"
    assert story.job(job.id).plan_source == "codex"


def test_the_next_best_agent_reviews_unless_the_agent_was_named() -> None:
    for by_any, status, agent in ((True, RUNNING, "codex"), (False, FAILED, "claude")):
        story = a_choice()
        task = a_task("a", agents=("shell", "shell"), review="claude", review_by_any=by_any)
        job = story.root(task)
        for key in story.keys(job):
            story.ends(key)
        [reviewer] = story.reviewers(job)

        story.ends(reviewer, EXIT_1, REFUSED)

        assert (story.status(reviewer), story.worker(reviewer).agent) == (status, agent)
        assert (EventKind.REVIEWER_RETRYING in story.events(job)) is by_any
