"""Stories of a person's comments on the change of a worker that has ended."""

import pytest

from orchestrator.core.errors import Conflict
from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.attempt_result import Evidence
from orchestrator.core.model.attempt.delivered_work import DeliveredWork
from orchestrator.core.model.attempt.failure import FEEDBACK
from orchestrator.core.model.job import Job, WorkerKey
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.model.worker_result import Criterion
from tests.unit.core.factories import BASE, EXIT_0, a_task
from tests.unit.core.story import NO_MEMORY, Story, a_family


def _ended(**config: object) -> tuple[Story, Job, WorkerKey, WorkerKey]:
    """Return a story of two successful tasks. The second task depends on the first task."""
    story = Story()
    root = story.root(a_task("a"), a_task("b", "a"), **config)
    first, second = story.keys(root)
    story.ends(first)
    story.ends(second)
    return story, root, first, second


def test_feedback_runs_only_its_worker_again() -> None:
    story, root, first, second = _ended()

    story.feedback(first)

    assert story.running == [first]
    assert (story.job_status(root), story.job(root.id).run) == (JobStatus.RUNNING, 2)
    assert story.worker(first).failure == FEEDBACK
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED
    assert [story.worker(key).attempt for key in (first, second)] == [2, 1]
    assert {EventKind.FEEDBACK_GIVEN, EventKind.JOB_REOPENED} <= {*story.events(root)}
    assert EventKind.JOB_RETRIED not in story.events(root)


def test_feedback_uses_no_retry() -> None:
    story, root, first, _ = _ended(max_retries=1)
    story.feedback(first)
    story.fails(first)
    story.later(60)
    assert story.running == [first]
    story.run_to_end()
    assert story.worker(first).attempt == 3
    assert story.job_status(root) is JobStatus.COMPLETED


def test_an_attempt_that_succeeds_has_answered_the_comments() -> None:
    story, _, first, _ = _ended(max_retries=0)
    story.feedback(first)
    story.fails(first)
    result = story.worker(first).result
    assert result and [each.answered_by for each in result.feedback] == [0]
    assert story.status(first) is WorkerStatus.FAILED
    story.feedback(first)
    story.ends(first)
    result = story.worker(first).result
    assert result and [each.answered_by for each in result.feedback] == [3, 3]


def test_the_reason_names_feedback_that_led_to_no_change() -> None:
    story, _, first, _ = _ended()
    story.feedback(first)
    story.ends(
        first, EXIT_0, Evidence(output="no", delivery=DeliveredWork(changed=True, commit=BASE))
    )
    assert story.status(first) is WorkerStatus.SUCCESS
    assert story.worker(first).reason == "the feedback led to no change"


def test_a_worker_with_child_jobs_answers_comments_like_any_other() -> None:
    story = Story()
    root = story.root()
    parent = story.key(root)
    story.ends(story.key(story.child(parent)))
    story.ends(parent)
    story.feedback(parent)
    story.ends(parent)

    worker = story.worker(parent)
    assert worker.result
    assert [each.answered_by for each in worker.result.feedback] == [2]
    assert (worker.status, worker.reason) == (WorkerStatus.RECURSIVE_SUCCESS, "")


def test_a_retry_continues_with_unanswered_comments() -> None:
    story, root, first, _ = _ended()
    story.feedback(first)
    story.fails(first)
    assert story.job_status(root) is JobStatus.PARTIAL
    assert story.retry(root) == 1
    story.run_to_end()
    result = story.worker(first).result
    assert result and [each.answered_by for each in result.feedback] == [3]
    assert story.job(root.id).run == 3


def test_another_agent_may_work_on_the_feedback() -> None:
    story, _, first, _ = _ended()
    story.feedback(first, agent="two")
    assert story.worker(first).agent == "two"


def test_dependent_tasks_wait_again_for_a_worker_with_feedback() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b"), a_task("c", "a", "b"), max_workers=2)
    first, second, third = story.keys(root)
    story.ends(first)

    story.feedback(first)

    assert story.running == [first, second]
    assert story.job(root.id).run == 1
    story.ends(second)
    assert story.status(third) is WorkerStatus.PENDING
    story.ends(first)
    assert story.running == [third]
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_dependent_that_is_queued_already_does_not_start_before_it() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b", "a"), a_task("z"), max_workers=1)
    first, second, _ = story.keys(root)
    story.ends(first)
    busy = story.running
    story.feedback(first)
    for key in busy:
        story.ends(key)
    if second not in busy:
        assert story.running == [first]
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_dependent_that_has_not_started_is_skipped_if_it_fails_now() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b"), a_task("c", "a", "b"), max_workers=2)
    first, second, third = story.keys(root)
    story.ends(first)
    story.feedback(first)
    story.fails(first)
    story.ends(second)
    assert story.status(third) is WorkerStatus.SKIPPED
    assert story.job_status(root) is JobStatus.PARTIAL


def test_a_worker_that_has_not_ended_accepts_no_feedback() -> None:
    story = Story()
    root = story.root()
    with pytest.raises(Conflict) as found:
        story.feedback(story.key(root))
    assert found.value.kind == "running"


def test_a_job_that_is_being_merged_accepts_no_feedback() -> None:
    story = Story()
    story.writes_reports = False
    root = story.root()
    story.ends(story.key(root))
    with pytest.raises(Conflict, match="being merged"):
        story.feedback(story.key(root))


def test_a_worker_of_a_child_job_accepts_feedback_while_its_parent_runs() -> None:
    story, root, parent, child, worker = a_family()
    story.ends(worker)
    assert story.job_status(child) is JobStatus.COMPLETED
    story.feedback(worker)
    assert story.status(parent) is WorkerStatus.WAITING
    assert story.job(child.id).run == 2
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED


def test_feedback_after_the_end_names_the_worker_that_has_the_change() -> None:
    story, root, parent, _, worker = a_family()
    story.run_to_end()
    with pytest.raises(Conflict, match=f"feedback {root.id} {parent.worker_id}"):
        story.feedback(worker)
    assert not story.scheduler.view.jobs or story.job_status(root).ended


def _candidates(review: str = "") -> tuple[Story, Job, list[WorkerKey]]:
    story = Story()
    root = story.root(a_task("a", agents=("one", "two"), review=review))
    keys = story.keys(root)
    for key in keys:
        story.ends(key)
    return story, root, keys


def test_feedback_to_a_candidate_repeats_the_choice() -> None:
    story, root, [first, second] = _candidates()
    assert story.worker(first).chosen
    before = [*story.events(root)].count(EventKind.CANDIDATE_CHOSEN)
    story.feedback(second)
    story.ends(second)
    assert [*story.events(root)].count(EventKind.CANDIDATE_CHOSEN) == before + 1
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_choice_of_a_person_stays_if_that_candidate_gets_feedback() -> None:
    story, root, [_, second] = _candidates()
    story.scheduler.restore(story.store.tree(root.id), story.now)
    story.scheduler.choose(story.scheduler.view.workers[second], "person", story.now)
    story.turn()
    story.feedback(second)
    story.run_to_end()
    result = story.worker(second).result
    assert result and result.standing
    assert (result.standing.place, result.standing.by) == (1, Criterion.PERSON)


def test_the_candidates_are_reviewed_again() -> None:
    story, root, [_, second] = _candidates(review="one")
    [reviewer] = story.running
    story.ends(reviewer)
    assert story.job_status(root) is JobStatus.COMPLETED
    story.feedback(second)
    assert story.running == [second]
    story.ends(second)
    assert story.running == [reviewer]
    assert story.worker(reviewer).attempt == 2
    story.ends(reviewer)
    assert story.job_status(root) is JobStatus.COMPLETED


def test_while_they_are_reviewed_they_take_no_feedback() -> None:
    story, _, [first, _second] = _candidates(review="one")
    with pytest.raises(Conflict, match="being reviewed"):
        story.feedback(first)


def test_a_landed_result_is_named_until_the_end() -> None:
    story, root, first, _ = _ended()
    story.feedback(first, landed=["main"])
    story.run_to_end()
    assert "main has an earlier result" in story.job(root.id).reason


@pytest.mark.parametrize("running", [False, True])
def test_a_crash_forgets_nothing_of_it(running: bool) -> None:
    story, root, first, _ = _ended()
    story.paused = None if running else NO_MEMORY
    story.feedback(first)
    unknown = story.crash()
    assert [each.number for each in unknown] == ([2] if running else [])
    story.paused = None
    story.later(1)
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED
    assert (story.worker(first).attempt, story.job(root.id).run) == (2, 2)
