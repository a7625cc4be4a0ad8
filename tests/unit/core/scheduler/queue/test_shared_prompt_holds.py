"""Workers that wait for the shared context, or for the model's answer to the first worker."""

from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.job import Job, WaitingFor, WorkerKey
from orchestrator.core.model.scheduler_commands import CreateContext
from orchestrator.core.model.states import WaitKind, WorkerStatus
from orchestrator.core.ports import Prompting
from tests.unit.core.factories import EXIT_0, EXIT_1, a_task
from tests.unit.core.story import Story

PENDING, RUNNING = WorkerStatus.PENDING, WorkerStatus.RUNNING


def a_story(**more: object) -> Story:
    """Return a story with three agents: claude and codex read prompts; shell does not.

    Only the provider of claude caches prompts.
    """
    prompting = Prompting(
        reads={"claude", "codex"}.__contains__, caches={"claude"}.__contains__, ahead_seconds=20
    )
    return Story(prompting=prompting, **more)


def three(story: Story, agent: str = "claude") -> tuple[Job, list[WorkerKey]]:
    job = story.root(*(a_task(name, agents=(agent,)) for name in "abc"))
    return job, story.keys(job)


def states(story: Story, keys: list[WorkerKey]) -> list[WorkerStatus]:
    return [story.status(key) for key in keys]


def reports(story: Story, key: WorkerKey, usage: Usage) -> None:
    story.scheduler.usage_reported(key, story.worker(key).attempt, usage, story.now)
    story.turn()


def test_the_first_worker_starts_and_the_others_follow_after_its_first_report() -> None:
    story = a_story()
    _, keys = three(story)
    assert states(story, keys) == [RUNNING, PENDING, PENDING]
    assert story.worker(keys[2]).waiting_for == WaitingFor(WaitKind.FIRST_ANSWER, "worker_1")

    reports(story, keys[0], Usage(steps=0))
    assert states(story, keys) == [RUNNING, PENDING, PENDING], "the model has not answered yet"
    reports(story, keys[0], Usage(output_tokens=3))

    assert states(story, keys) == [RUNNING, RUNNING, RUNNING]
    assert story.worker(keys[2]).reason == ""


def test_held_workers_start_after_the_maximum_time() -> None:
    story = a_story()
    _, keys = three(story)

    story.later(19)
    assert states(story, keys) == [RUNNING, PENDING, PENDING]
    assert story.scheduler.next_time() == story.now + 1
    story.later(1)

    assert states(story, keys) == [RUNNING, RUNNING, RUNNING]


def test_if_the_first_worker_fails_without_a_report_the_next_one_is_first() -> None:
    story = a_story()
    _, keys = three(story)

    story.ends(keys[0], EXIT_1)

    assert states(story, keys)[1:] == [RUNNING, PENDING]
    assert "waiting: worker_2" in story.worker(keys[2]).reason


def test_agents_without_a_cache_start_together() -> None:
    story = a_story()
    _, keys = three(story, "codex")
    assert states(story, keys) == [RUNNING, RUNNING, RUNNING]


def test_held_workers_do_not_delay_other_agents() -> None:
    story = a_story(max_workers=2)
    job = story.root(
        a_task("a", agents=("claude",)),
        a_task("b", agents=("claude",)),
        a_task("c", agents=("shell",)),
    )
    assert states(story, story.keys(job)) == [RUNNING, PENDING, RUNNING]


def test_each_job_has_its_own_first_worker() -> None:
    story = a_story()
    _, one = three(story)
    _, two = three(story)
    assert states(story, [*one, *two]) == [RUNNING, PENDING, PENDING] * 2


def test_the_shared_context_is_requested_once_and_only_for_agents_that_read_prompts() -> None:
    story = a_story()
    story.creates_contexts = False
    job, keys = three(story, "codex")
    _, shells = three(story, "shell")

    assert states(story, shells) == [RUNNING] * 3
    assert states(story, keys) == [PENDING] * 3
    assert "the shared context is being created" in story.worker(keys[0]).reason
    assert [each for each in story.commands if isinstance(each, CreateContext)] == [
        CreateContext(job.id)
    ]
    story.context_created(job.id)
    assert states(story, keys) == [RUNNING] * 3


def test_a_restarted_server_requests_the_context_again() -> None:
    story = a_story()
    story.creates_contexts = False
    job, keys = three(story, "codex")

    story.crash()
    assert story.contexts_to_create == [job.id]
    story.context_created(job.id)

    assert states(story, keys) == [RUNNING] * 3


def test_a_job_cancelled_while_it_waits_for_its_context_ends() -> None:
    story = a_story()
    story.creates_contexts = False
    job, keys = three(story)

    story.cancel(job)
    assert states(story, keys) == [WorkerStatus.CANCELLED] * 3
    story.context_created(job.id)

    assert states(story, keys) == [WorkerStatus.CANCELLED] * 3


def test_after_a_restart_no_worker_waits_for_a_running_worker() -> None:
    story = a_story()
    _, keys = three(story)

    story.crash()

    assert states(story, keys) == [RUNNING, RUNNING, RUNNING]


def test_a_report_of_the_first_worker_counts_for_later_workers() -> None:
    story = a_story(max_workers=1)
    _, keys = three(story)
    reports(story, keys[0], Usage(input_tokens=9))

    story.ends(keys[0], EXIT_0)

    assert states(story, keys)[1:] == [RUNNING, PENDING]
    assert "waits until" not in story.worker(keys[2]).reason
