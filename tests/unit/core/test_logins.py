"""Agents whose login is refused: one worker shows it, and no other is started."""

from orchestrator.core.aside import Prompting
from orchestrator.core.evidence import ErrorClass, Evidence, Usage
from orchestrator.core.logins import KNOWN_SECONDS, Needs
from orchestrator.core.model import Job, WorkerKey
from orchestrator.core.states import JobStatus, WorkerStatus

from .factories import EXIT_1, a_task
from .story import Story

PENDING, RUNNING, FAILED = WorkerStatus.PENDING, WorkerStatus.RUNNING, WorkerStatus.FAILED
REFUSED = Evidence(error_class=ErrorClass.AUTH, error="invalid x-api-key")


def a_story() -> Story:
    """``opencode`` wants a login, and its provider keeps no prompts; ``shell`` wants nothing."""
    needs = Needs(login={"opencode"}.__contains__, mend=lambda agent: "opencode auth login")
    return Story(needs=needs, prompting=Prompting(ahead_seconds=20))


def several(story: Story, *agents: str) -> tuple[Job, list[WorkerKey]]:
    job = story.root(*(a_task(f"t{n}", agents=(each,)) for n, each in enumerate(agents)))
    return job, story.keys(job)


def states(story: Story, keys: list[WorkerKey]) -> list[WorkerStatus]:
    return [story.status(key) for key in keys]


def test_one_worker_goes_ahead_and_the_rest_follow_when_its_login_works() -> None:
    story = a_story()
    _, keys = several(story, "opencode", "opencode", "shell")
    assert states(story, keys) == [RUNNING, PENDING, RUNNING]
    assert story.worker(keys[1]).reason.endswith("begun to answer: then their login works")

    story.scheduler.used(keys[0], 1, Usage(output_tokens=3), story.now)
    story.turn()

    assert states(story, keys) == [RUNNING, RUNNING, RUNNING]


def test_a_refused_login_is_tried_once_and_the_reason_says_what_mends_it() -> None:
    story = a_story()
    job, keys = several(story, "opencode", "opencode", "opencode")

    story.ends(keys[0], EXIT_1, REFUSED)

    assert states(story, keys) == [FAILED, FAILED, FAILED]
    said = "the agent's key or login was refused: invalid x-api-key; to mend it: opencode auth"
    assert story.worker(keys[0]).reason.startswith(said)
    assert story.worker(keys[2]).reason.startswith(f"not started: {said}")
    assert [story.worker(key).attempt for key in keys] == [1, 0, 0]
    assert story.job_status(job) is JobStatus.FAILED


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


def test_other_agents_go_on() -> None:
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
    seen = story.scheduler.forest.logins.seen(story.now)["opencode"]
    assert (seen.works, seen.why) == (
        False,
        "the agent's key or login was refused: invalid x-api-key",
    )

    _, keys = several(story, "opencode", "opencode")
    story.ends(keys[0])

    assert states(story, keys)[1] is RUNNING
    assert story.scheduler.forest.logins.seen(story.now)["opencode"].works


def test_nobody_waits_for_longer_than_the_bound() -> None:
    story = a_story()
    _, keys = several(story, "opencode", "opencode")

    story.later(20)

    assert states(story, keys) == [RUNNING, RUNNING]
