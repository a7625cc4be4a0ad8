"""Stories of tasks with several candidates, and of the workers that compare them."""

import json

import pytest

from orchestrator.core.candidates.selection import chosen
from orchestrator.core.events import EventKind
from orchestrator.core.gates.gate import GateResult, GateStatus
from orchestrator.core.model.attempt.attempt_result import ChangeSize, Evidence, Usage
from orchestrator.core.model.job import Job, WorkerKey
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.model.worker_result import CandidateRank, Criterion
from tests.unit.core.factories import EXIT_0, LOST, TIMED_OUT, a_task
from tests.unit.core.remains import memory_of
from tests.unit.core.story import Story

PASSES = (GateResult(name="pytest", status=GateStatus.PASSED, tests=3),)
FAILS = (GateResult(name="pytest", status=GateStatus.FAILED, failures=("test_x",)),)
REFUSED = Evidence(claimed_success=False, error="the review was rejected: no JSON")


def changed(lines: int, gates: tuple[GateResult, ...] = PASSES) -> Evidence:
    change = ChangeSize(files=1, added=lines)
    return Evidence(output="done", files_changed=True, change=change, gates=gates)


def review(*order: str) -> Evidence:
    ranking = [{"worker_id": each, "reason": f"reason {at}"} for at, each in enumerate(order, 1)]
    return Evidence(output=json.dumps({"ranking": ranking}))


def standing(story: Story, key: WorkerKey) -> CandidateRank:
    result = story.worker(key).result
    assert result is not None and result.standing is not None
    return result.standing


def taken(story: Story, job: Job, task_id: str = "a") -> str:
    workers = [story.worker(key) for key in story.keys(job)]
    best = chosen(each for each in workers if each.task_id == task_id)
    assert best is not None
    return best.id


def test_the_choice_is_made_when_the_last_candidate_has_ended_and_is_stored() -> None:
    story = Story()
    root = story.root(a_task("a", agents=("x", "x", "x")), a_task("b", "a"))
    one, two, three, after = story.keys(root)
    story.ends(two, EXIT_0, changed(50))
    story.ends(one, EXIT_0, changed(1, gates=FAILS))
    assert EventKind.CANDIDATE_CHOSEN not in story.events(root)
    story.ends(three, EXIT_0, changed(8))

    assert [standing(story, key).place for key in (one, two, three)] == [3, 2, 1]
    assert standing(story, one).why == "status failed: 1 gate fails (pytest)"
    assert standing(story, two).why == "42 more lines"
    assert standing(story, three).why == "runner-up worker_2: 42 more lines"
    assert story.events(root).count(EventKind.CANDIDATE_CHOSEN) == 1
    assert story.status(after) is WorkerStatus.RUNNING
    assert taken(story, root) == "worker_3"


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_the_order_in_which_candidates_end_does_not_matter(order: tuple[int, int]) -> None:
    story = Story()
    root = story.root(a_task("a", agents=("x", "y")))
    evidence = {1: changed(9), 2: changed(3)}
    for number in order:
        story.ends(story.key(root, number), EXIT_0, evidence[number])
    assert taken(story, root) == "worker_2"


def test_a_task_with_one_agent_has_nothing_to_choose() -> None:
    story = Story()
    root = story.root(a_task("a", agents=("x",), review="judge"))
    story.ends(story.key(root))
    result = story.worker(story.key(root)).result
    assert result is not None and result.standing is None
    assert (story.job_status(root), story.reviewers(root)) == (JobStatus.COMPLETED, [])


def test_without_a_successful_candidate_none_is_chosen() -> None:
    story = Story()
    root = story.root(a_task("a", agents=("x", "y"), review="judge"))
    for key in story.keys(root):
        story.fails(key)
    assert story.job_status(root) is JobStatus.FAILED
    assert story.reviewers(root) == []
    assert EventKind.CANDIDATE_CHOSEN not in story.events(root)


def test_the_cost_of_an_equal_change_decides() -> None:
    story = Story()
    root = story.root(a_task("a", agents=("x", "y")))
    for key, cost in zip(story.keys(root), (0.9, 0.1), strict=True):
        story.ends(key, EXIT_0, Evidence(output="same", usage=Usage(cost_usd=cost)))
    assert taken(story, root) == "worker_2"
    assert standing(story, story.key(root, 1)).by is Criterion.COST


def test_the_cost_of_a_candidate_includes_its_child_jobs() -> None:
    story = Story()
    root = story.root(a_task("a", agents=("x", "y")))
    one, two = story.keys(root)
    child = story.child(one)
    deeper = story.child(story.key(child))
    story.ends(story.key(deeper), EXIT_0, Evidence(output="x", usage=Usage(cost_usd=5.0)))
    story.ends(story.key(child))
    story.ends(one, EXIT_0, Evidence(output="same", usage=Usage(cost_usd=0.25)))
    story.ends(two, EXIT_0, Evidence(output="same", usage=Usage(cost_usd=1.0)))

    assert taken(story, root) == "worker_2"
    assert standing(story, one).why == "$4.2500 more"
    assert standing(story, one).cost_usd == 5.25


def test_candidates_below_another_worker_are_compared_too() -> None:
    story = Story()
    root = story.root()
    child = story.child(story.key(root), a_task("a", agents=("x", "y"), review="judge"))
    for key, lines in zip(story.keys(child), (9, 3), strict=True):
        story.ends(key, EXIT_0, changed(lines))
    [reviewer] = story.reviewers(child)
    assert reviewer.worker_id == "worker_1_reviewer_1"
    story.ends(reviewer, EXIT_0, review("worker_1_1", "worker_1_2"))
    assert taken(story, child) == "worker_1_1"
    story.run_to_end()
    assert story.status(story.key(root)) is WorkerStatus.RECURSIVE_SUCCESS


# -- a review ---------------------------------------------------------------------------------


def a_reviewed_job(story: Story, **config: object) -> tuple[Job, WorkerKey]:
    """Return a job whose task has three candidates, and has a dependent task.

    Two candidates succeeded, and one failed.
    """
    task = a_task("a", agents=("x", "y", "z"), review="judge", retries=0)
    root = story.root(task, a_task("b", "a"), **config)
    story.ends(story.key(root, 1), EXIT_0, changed(9))
    story.ends(story.key(root, 2), EXIT_0, changed(3))
    story.fails(story.key(root, 3))
    [reviewer] = story.reviewers(root)
    return root, reviewer


def test_a_review_comes_before_size_and_what_depends_on_the_task_waits_for_it() -> None:
    story = Story()
    root, reviewer = a_reviewed_job(story)
    assert story.worker(reviewer).agent == "judge"
    assert (story.status(reviewer), story.running) == (WorkerStatus.RUNNING, [reviewer])

    story.ends(reviewer, EXIT_0, review("worker_1", "worker_2"))

    assert taken(story, root) == "worker_1"
    assert standing(story, story.key(root, 2)).why == "place 2 in the review: reason 2"
    assert standing(story, story.key(root, 1)).remark == "reason 1"
    assert story.status(story.key(root, 4)) is WorkerStatus.RUNNING
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED
    assert EventKind.REVIEWER_STARTED in story.events(root)
    assert EventKind.REVIEWER_ENDED in story.events(root)


def test_the_only_successful_candidate_is_not_reviewed() -> None:
    story = Story()
    root = story.root(a_task("a", agents=("x", "y"), review="judge"))
    story.fails(story.key(root, 1))
    story.ends(story.key(root, 2))
    assert (story.job_status(root), story.reviewers(root)) == (JobStatus.COMPLETED, [])


def test_a_rejected_review_is_retried_once_and_then_ignored() -> None:
    story = Story()
    root, reviewer = a_reviewed_job(story, max_retries=0)
    story.ends(reviewer, EXIT_0, REFUSED)
    story.later(60)
    assert (story.status(reviewer), story.worker(reviewer).attempt) == (WorkerStatus.RUNNING, 2)
    story.ends(reviewer, EXIT_0, REFUSED)

    assert story.status(reviewer) is WorkerStatus.FAILED
    assert taken(story, root) == "worker_2", "by size"
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_reviewer_that_timed_out_is_not_retried() -> None:
    story = Story()
    root, reviewer = a_reviewed_job(story, max_retries=5)
    story.ends(reviewer, TIMED_OUT)
    assert story.status(reviewer) is WorkerStatus.TIMEOUT
    assert taken(story, root) == "worker_2"


def test_a_cancel_during_the_review_stops_it_and_the_choice_is_made_without() -> None:
    story = Story()
    root, reviewer = a_reviewed_job(story)
    story.cancel(root)
    story.ends(reviewer, TIMED_OUT)
    assert taken(story, root) == "worker_2"
    assert story.job_status(root) is JobStatus.CANCELLED
    assert story.retry(root) == 1, "only workers that had not started, and no second review"
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED
    assert story.worker(reviewer).attempt == 1


def test_no_review_begins_in_a_job_that_is_being_cancelled() -> None:
    story = Story()
    root = story.root(a_task("a", agents=("x", "y"), review="judge"))
    story.ends(story.key(root, 1), EXIT_0, changed(9))
    story.cancel(root)
    story.ends(story.key(root, 2), EXIT_0, changed(3))
    assert story.reviewers(root) == []
    assert taken(story, root) == "worker_2"


# -- crashes ----------------------------------------------------------------------------------


def test_a_crash_before_the_last_end_was_stored_makes_the_same_choice_later() -> None:
    story = Story()
    root = story.root(a_task("a", agents=("x", "y")), a_task("b", "a"))
    one, two, _ = story.keys(root)
    story.ends(one, EXIT_0, changed(9))
    # The end arrives, but the server crashes before the turn that would store it.
    story.scheduler.exited(two, 1, EXIT_0, changed(3), story.now)
    [lost] = story.crash()
    assert lost.key == two
    story.ends(two, EXIT_0, changed(3))
    assert taken(story, root) == "worker_2"
    assert story.events(root).count(EventKind.CANDIDATE_CHOSEN) == 1


def test_a_choice_that_was_stored_is_not_made_again_after_a_crash() -> None:
    story = Story()
    root = story.root(a_task("a", agents=("x", "y")), a_task("b", "a"))
    story.ends(story.key(root, 1), EXIT_0, changed(9))
    story.ends(story.key(root, 2), EXIT_0, changed(3))
    before = [story.worker(key).result for key in story.keys(root)[:2]]
    story.crash()
    story.run_to_end()
    assert [story.worker(key).result for key in story.keys(root)[:2]] == before
    assert story.events(root).count(EventKind.CANDIDATE_CHOSEN) == 1


def test_a_review_continues_after_a_crash() -> None:
    story = Story()
    root, reviewer = a_reviewed_job(story)
    [attempt] = story.crash()
    assert attempt.key == reviewer
    story.ends(reviewer, LOST)
    story.later(60)
    story.ends(reviewer, EXIT_0, review("worker_1", "worker_2"))
    assert taken(story, root) == "worker_1"
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_review_that_waited_for_a_slot_is_still_wanted_after_a_crash() -> None:
    story = Story(max_workers=1)
    busy = story.root(a_task("a"), a_task("b", agents=("x", "y"), review="judge"))
    one, two, three = story.keys(busy)
    story.ends(one)
    story.ends(two)
    story.admit = False
    story.ends(three)
    [reviewer] = story.reviewers(busy)
    assert story.status(reviewer) in {WorkerStatus.PENDING, WorkerStatus.RUNNING}
    story.crash()
    story.admit = True
    if story.status(reviewer) is WorkerStatus.RUNNING:
        story.ends(reviewer, LOST)
    story.run_to_end()
    assert story.job_status(busy) is JobStatus.COMPLETED
    assert story.status(reviewer) is WorkerStatus.SUCCESS


def test_a_retry_of_a_job_whose_candidates_all_failed_chooses_among_the_new_attempts() -> None:
    story = Story()
    root = story.root(a_task("a", agents=("x", "y"), review="judge"))
    for key in story.keys(root):
        story.fails(key)
    assert story.retry(root) == 2
    for key, lines in zip(story.keys(root), (9, 3), strict=True):
        story.ends(key, EXIT_0, changed(lines))
    [reviewer] = story.reviewers(root)
    story.ends(reviewer, EXIT_0, review("worker_2", "worker_1"))
    assert taken(story, root) == "worker_2"
    assert story.job_status(root) is JobStatus.COMPLETED


def test_nothing_of_a_review_stays_in_memory() -> None:
    story = Story()
    fresh = memory_of(story.scheduler)
    root, reviewer = a_reviewed_job(story)
    story.ends(reviewer, EXIT_0, review("worker_1", "worker_2"))
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED
    assert memory_of(story.scheduler) == fresh
