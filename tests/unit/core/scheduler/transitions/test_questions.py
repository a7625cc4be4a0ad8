"""Stories of questions: each starts after its dependencies, and ends by an answer or a timeout."""

from typing import Any

import pytest

from orchestrator.core.errors import Conflict
from orchestrator.core.events import EventKind
from orchestrator.core.model.human_input.question import PERSON, Decision
from orchestrator.core.model.job import Job, TaskSpec, WorkerKey
from orchestrator.core.model.states import JobStatus, WaitKind, WorkerStatus
from orchestrator.core.outcome.job.human_needs import needs_of
from tests.unit.core.factories import a_task
from tests.unit.core.story import Story, a_family


def asking(id: str = "ok", *needs: str, **changes: Any) -> TaskSpec:
    return a_task(id, *needs, approve="Deploy?", agents=(PERSON,), **changes)


def a_deployment(**limits: Any) -> tuple[Story, Job]:
    """Return a job with three tasks: build, ask, deploy."""
    story = Story(**limits)
    return story, story.root(a_task("build"), asking("ok", "build"), a_task("deploy", "ok"))


def question(story: Story, job: Job) -> WorkerKey:
    return next(key for key in story.keys(job) if story.worker(key).is_question)


def test_a_question_is_asked_when_what_it_depends_on_is_done() -> None:
    story, job = a_deployment()
    key = question(story, job)
    assert (story.status(key), story.worker(key).question) == (WorkerStatus.PENDING, None)

    story.ends(story.key(job))

    worker = story.worker(key)
    assert worker.status is WorkerStatus.WAITING
    assert worker.waiting_for is not None and worker.waiting_for.kind is WaitKind.ANSWER
    assert worker.reason == "waiting for a person: Deploy?"
    assert [need.text for need in needs_of(story.job(job.id), [worker])] == ["Deploy?"]
    assert worker.question is not None and worker.question.is_open
    assert EventKind.QUESTION_ASKED in story.events(job)


def test_an_approval_without_a_task_names_the_open_question() -> None:
    story, job = a_deployment()
    no_question = r"is not waiting for approval; show the job: bin/orchestrator status \w+$"
    with pytest.raises(Conflict, match=no_question):
        story.approve(job)

    story.ends(story.key(job))
    with pytest.raises(Conflict, match=f"of a task: bin/orchestrator approve {job.id} ok"):
        story.approve(job)

    story.scheduler.answer(question(story, job), Decision.REJECT, "me", "", story.now)
    story.turn()
    with pytest.raises(Conflict, match=no_question):
        story.approve(job)


def test_a_question_holds_no_slot_no_process_and_no_attempt() -> None:
    story, job = a_deployment(max_workers=1)
    story.ends(story.key(job))
    busy = story.root()

    assert story.status(story.key(busy)) is WorkerStatus.RUNNING
    assert story.worker(question(story, job)).attempt == 0
    assert question(story, job) not in story.starts


def test_a_question_is_asked_although_no_slot_is_free() -> None:
    story = Story(max_workers=1)
    story.root()
    job = story.root(asking())

    assert story.status(question(story, job)) is WorkerStatus.WAITING
    assert story.job_status(job) is JobStatus.RUNNING


@pytest.mark.parametrize("crash", [False, True])
def test_an_approval_starts_what_depends_on_it(crash: bool) -> None:
    story, job = a_deployment()
    story.ends(story.key(job))
    if crash:
        story.crash()

    story.answer(question(story, job), Decision.APPROVE, "only to staging")

    worker = story.worker(question(story, job))
    assert (worker.status, worker.reason) == (
        WorkerStatus.SUCCESS,
        "approved by key 'user': only to staging",
    )
    assert worker.result is not None
    assert (
        worker.result.output == "Question: Deploy?\nAnswer: approved by key 'user': only to staging"
    )
    assert story.status(story.key(job, 3)) is WorkerStatus.RUNNING
    story.run_to_end()
    assert story.job_status(job) is JobStatus.COMPLETED


def test_a_rejection_fails_the_task_and_skips_what_depends_on_it() -> None:
    story, job = a_deployment()
    story.ends(story.key(job))

    story.answer(question(story, job), Decision.REJECT, "the totals are wrong")

    worker = story.worker(question(story, job))
    assert (worker.status, worker.reason) == (
        WorkerStatus.FAILED,
        "rejected by key 'user': the totals are wrong",
    )
    assert story.status(story.key(job, 3)) is WorkerStatus.SKIPPED
    assert story.job_status(job) is JobStatus.PARTIAL


def test_a_question_has_one_answer() -> None:
    story, job = a_deployment()
    with pytest.raises(Conflict, match="not asked yet"):
        story.answer(question(story, job))
    with pytest.raises(Conflict, match="has no question"):
        story.answer(story.key(job))
    story.ends(story.key(job))
    story.answer(question(story, job))

    with pytest.raises(Conflict, match="already approved by key 'user'"):
        story.answer(question(story, job), Decision.REJECT)
    assert story.events(job).count(EventKind.QUESTION_ANSWERED) == 1


@pytest.mark.parametrize(
    ("on_timeout", "status"),
    [("", WorkerStatus.FAILED), ("reject", WorkerStatus.FAILED), ("approve", WorkerStatus.SUCCESS)],
)
@pytest.mark.parametrize("crash", [False, True])
def test_a_timeout_decides_in_place_of_a_person(
    on_timeout: str, status: WorkerStatus, crash: bool
) -> None:
    story = Story()
    job = story.root(asking(timeout=60.0, on_timeout=on_timeout))
    key = story.key(job)

    story.later(59)
    if crash:
        story.crash()
    assert story.status(key) is WorkerStatus.WAITING
    assert story.scheduler.next_time() == story.now + 1
    story.later(1)

    assert story.status(key) is status
    assert story.worker(key).reason.endswith("because no answer came in time")


def test_a_question_without_a_timeout_waits_without_end() -> None:
    story = Story()
    job = story.root(asking(), max_wall_seconds=1e9)

    story.later(1e8)

    assert story.status(story.key(job)) is WorkerStatus.WAITING


@pytest.mark.parametrize("crash", [False, True])
def test_a_pause_delays_questions_and_their_timeouts(crash: bool) -> None:
    story = Story()
    job = story.root(a_task("a"), asking("first", timeout=60.0), asking("second", "a"))
    first, second = (key for key in story.keys(job) if story.worker(key).is_question)
    story.later(50)
    story.pause(job)
    story.ends(story.key(job))
    story.later(500)
    if crash:
        story.crash()
    assert story.status(first) is WorkerStatus.WAITING
    assert story.status(second) is WorkerStatus.PENDING, "no new question starts"

    story.resume(job)
    assert story.status(second) is WorkerStatus.WAITING
    story.later(9)
    assert story.status(first) is WorkerStatus.WAITING
    story.later(1)
    assert story.status(first) is WorkerStatus.FAILED


def test_a_question_can_be_answered_during_a_pause() -> None:
    story, job = a_deployment()
    story.ends(story.key(job))
    story.pause(job)

    story.answer(question(story, job))

    assert story.status(question(story, job)) is WorkerStatus.SUCCESS
    assert story.status(story.key(job, 3)) is WorkerStatus.PENDING


def test_a_job_with_an_open_question_can_be_cancelled_and_asks_again_after_a_retry() -> None:
    story, job = a_deployment()
    story.ends(story.key(job))
    story.cancel(job)
    assert story.job_status(job) is JobStatus.CANCELLED
    assert story.status(question(story, job)) is WorkerStatus.CANCELLED

    story.retry(job)
    worker = story.worker(question(story, job))
    assert worker.status is WorkerStatus.WAITING
    assert worker.question is not None and worker.question.is_open


def test_a_rejected_question_is_asked_again_by_a_retry() -> None:
    story = Story()
    job = story.root(asking())
    story.answer(story.key(job), Decision.REJECT)
    assert story.job_status(job) is JobStatus.FAILED

    story.retry(job)
    story.answer(story.key(job))
    assert story.job_status(job) is JobStatus.COMPLETED


def test_a_worker_waits_for_the_question_of_its_child_job() -> None:
    story, root, parent, _child, worker = a_family(max_workers=2)
    child = story.child(parent, asking())
    story.ends(worker)
    story.ends(parent)
    assert story.job_status(root) is JobStatus.RUNNING

    story.answer(story.key(child))

    assert story.job_status(child) is JobStatus.COMPLETED
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_plan_that_waits_for_approval_asks_no_question() -> None:
    story = Story()
    job = story.root(asking(), approve=True)
    assert story.status(story.key(job)) is WorkerStatus.PENDING

    story.approve(job)
    assert story.status(story.key(job)) is WorkerStatus.WAITING
