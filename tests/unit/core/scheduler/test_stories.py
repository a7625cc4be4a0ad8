"""Stories of the scheduler: starting, waiting, dependencies."""

from collections import Counter
from time import process_time

import pytest

from orchestrator.core.events import EventKind
from orchestrator.core.model.job import Job, TaskSpec, WaitingFor, WorkerKey
from orchestrator.core.model.scheduler_commands import SetWaiting
from orchestrator.core.model.states import JobStatus, WaitKind, WorkerStatus
from tests.support.examples import examples
from tests.unit.core.factories import BASE, a_job, a_task
from tests.unit.core.story import NO_DISK, NO_MEMORY, Story


def chain(length: int) -> list[TaskSpec]:
    tasks = [a_task("0")]
    return tasks + [a_task(str(n), str(n - 1)) for n in range(1, length)]


def nested(story: Story, depth: int) -> list[tuple[Job, WorkerKey]]:
    """Return a root job whose worker starts a child job whose worker starts ... ``depth`` deep."""
    line = []
    job = story.root()
    line.append((job, story.key(job)))
    for _ in range(depth):
        job = story.child(line[-1][1])
        line.append((job, story.key(job)))
    return line


# Slots


def test_one_worker_at_a_time_is_enough_for_recursion_five_deep() -> None:
    story = Story(max_workers=1)
    line = nested(story, depth=5)
    for job, key in reversed(line):
        assert story.running == [key]
        story.ends(key)
        assert story.job_status(job) is JobStatus.COMPLETED


def test_one_worker_at_a_time_is_enough_for_a_wide_and_deep_tree() -> None:
    story, two = Story(max_workers=1), [a_task("a"), a_task("b")]
    root = story.root(*two)
    for _ in range(5):
        asking = story.running[0]
        story.child(asking, *two)
        assert story.status(asking) is WorkerStatus.WAITING
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_parent_releases_its_slot_while_its_child_jobs_run() -> None:
    story = Story(max_workers=1)
    parent = story.key(story.root())
    child = story.child(parent)
    assert story.status(parent) is WorkerStatus.WAITING
    assert story.running == [story.key(child)]
    assert story.commands[-2:-1] == [SetWaiting(parent, 1, True)]


def test_a_parent_resumes_before_anything_else_starts() -> None:
    story = Story(max_workers=1)
    parent = story.key(story.root(*[a_task(str(n)) for n in range(3)]))
    child = story.child(parent)
    story.writes_reports = False
    story.ends(story.key(child))
    assert story.running == [], "its slot is kept while reports are written"
    story.reports_written(child.id)
    assert story.running == [parent]
    assert story.commands[-1] == SetWaiting(parent, 1, False)
    assert not story.scheduler.view.waits_for_slot(parent)
    assert EventKind.WORKER_RESUMED in story.events(story.job(parent.root_id))


def test_a_slot_is_reserved_also_in_the_limits_of_the_tree() -> None:
    story = Story(max_workers=3)
    root = story.root(a_task("a"), a_task("b"), max_workers=1)
    parent, later = story.keys(root)
    child = story.child(parent)
    story.writes_reports = False
    story.ends(story.key(child))
    other = story.key(story.root())
    assert story.running == [other], "other jobs may start workers"
    story.reports_written(child.id)
    assert sorted(story.running) == sorted([other, parent])
    assert story.status(later) is WorkerStatus.PENDING


def test_while_changes_are_merged_others_use_the_slot() -> None:
    story = Story(max_workers=1)
    parent = story.key(story.root(*[a_task(str(n)) for n in range(3)]))
    child = story.child(parent, base=BASE)
    story.writes_reports = False
    story.ends(story.key(child))
    other = story.running[0]
    story.reports_written(child.id)
    assert story.scheduler.view.waits_for_slot(parent)
    assert story.worker(parent).reason == "waiting for a free slot to resume"
    story.ends(other)
    assert story.running == [parent]


def test_no_slot_is_reserved_for_a_parent_that_waits_for_more_child_jobs() -> None:
    story = Story(max_workers=1)
    root = story.root(*[a_task(str(n)) for n in range(3)])
    parent = story.key(root)
    children = [story.child(parent), story.child(parent)]
    story.writes_reports = False
    story.ends(story.key(children[0]))
    assert story.running == [story.key(children[1])]


def test_a_parent_that_exits_before_it_got_its_slot_back_needs_none() -> None:
    story = Story(max_workers=1)
    parent = story.key(story.root(a_task("a"), a_task("b")))
    child = story.child(parent, base=BASE)
    story.writes_reports = False
    story.ends(story.key(child))
    story.reports_written(child.id)
    assert story.scheduler.view.waits_for_slot(parent)
    story.ends(parent)
    story.ends(story.running[0])
    assert story.running == []
    assert story.status(parent) is WorkerStatus.RECURSIVE_SUCCESS


def test_all_parents_that_have_room_resume_at_once_even_when_memory_is_scarce() -> None:
    story = Story(max_workers=4)
    root = story.root(a_task("a"), a_task("b"))
    story.writes_reports = False
    for child in [story.child(key) for key in story.keys(root)]:
        story.ends(story.key(child))
        story.scheduler.reports_written(child.id, story.now)
    story.admit = False
    story.turn()
    assert story.running == story.keys(root)


def test_a_parent_waits_for_all_its_child_jobs() -> None:
    story = Story(max_workers=3)
    parent = story.key(story.root())
    children = [story.child(parent), story.child(parent)]
    story.ends(story.key(children[0]))
    assert story.status(parent) is WorkerStatus.WAITING
    story.ends(story.key(children[1]))
    assert story.status(parent) is WorkerStatus.RUNNING


def test_a_parent_that_starts_another_child_job_before_it_resumed_still_waits() -> None:
    story = Story(max_workers=1)
    parent = story.key(story.root(a_task("a"), a_task("b")))
    first = story.child(parent, base=BASE)
    story.writes_reports = False
    story.ends(story.key(first))
    story.reports_written(first.id)
    assert story.scheduler.view.waits_for_slot(parent)
    second = story.child(parent)
    assert not story.scheduler.view.waits_for_slot(parent)
    assert story.worker(parent).child_job_ids == (first.id, second.id)
    story.run_to_end()
    assert story.status(parent) is WorkerStatus.RECURSIVE_SUCCESS


def test_asking_again_for_a_child_job_waits_for_it_again() -> None:
    story = Story()
    parent = story.key(story.root(max_retries=1))
    child = story.child(parent)
    story.fails(parent)
    story.later(1)
    assert story.status(parent) is WorkerStatus.RUNNING
    for _ in range(2):
        story.scheduler.attach(parent, child.id, story.now)
    story.turn()
    assert story.status(parent) is WorkerStatus.WAITING
    assert story.worker(parent).child_job_ids == (child.id,)


def test_asking_again_for_a_child_job_that_has_ended_does_not_wait() -> None:
    story = Story()
    parent = story.key(story.root())
    child = story.child(parent)
    story.ends(story.key(child))
    story.scheduler.attach(parent, child.id, story.now)
    story.turn()
    assert story.status(parent) is WorkerStatus.RUNNING


def test_the_deepest_worker_starts_first() -> None:
    story = Story(max_workers=1)
    parent = story.key(story.root(a_task("a"), a_task("b")))
    child = story.child(parent, a_task("a"), a_task("b"))
    grandchild = story.child(story.key(child))
    story.run_to_end()
    deepest_first = [story.key(grandchild), story.key(child, 2)]
    assert story.starts[2:] == [*deepest_first, story.key(story.job(child.root_id), 2)]


def test_two_root_jobs_share_the_slots_fairly() -> None:
    story, tasks = Story(max_workers=4), [a_task(str(n)) for n in range(8)]
    story.root(*tasks)
    story.root(*tasks)
    for _ in range(4):
        story.ends(story.starts[len(story.starts) - 4])
    shares = Counter(key.root_id for key in story.running)
    assert sorted(shares.values()) == [2, 2]


def test_a_jobs_max_workers_holds_over_its_whole_subtree() -> None:
    story = Story(max_workers=10)
    root = story.root(*[a_task(str(n)) for n in range(4)], max_workers=2)
    assert len(story.running) == 2
    story.child(story.key(root, 1), *[a_task(str(n)) for n in range(4)], max_workers=10)
    story.child(story.key(root, 2), *[a_task(str(n)) for n in range(4)], max_workers=10)
    assert len(story.running) == 2
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_full_job_does_not_hold_back_another() -> None:
    story = Story(max_workers=2)
    story.root(a_task("a"), a_task("b"), max_workers=1)
    other = story.root()
    assert story.key(other) in story.running


def test_max_live_workers_bounds_processes() -> None:
    story = Story(max_workers=3, max_live_workers=3)
    root = story.root(*[a_task(str(n)) for n in range(3)])
    child = story.child(story.key(root))
    assert story.status(story.key(child)) is WorkerStatus.PENDING
    story.ends(story.key(root, 2))
    assert story.status(story.key(child)) is WorkerStatus.RUNNING


def test_max_live_workers_never_blocks_when_every_live_worker_waits() -> None:
    story = Story(max_workers=2, max_live_workers=1)
    line = nested(story, depth=5)
    assert story.scheduler.view.slots()["live"] == 6
    assert story.running == [line[-1][1]]
    story.run_to_end()
    assert story.job_status(line[0][0]) is JobStatus.COMPLETED


def test_scarce_memory_holds_back_a_start_but_never_the_only_one() -> None:
    story = Story(max_workers=2)
    story.admit = False
    root = story.root(a_task("a"), a_task("b"))
    assert story.running == [story.key(root, 1)]
    child = story.child(story.key(root, 1))
    assert story.running == [story.key(child)]
    held_back = story.worker(story.key(root, 2))
    assert (held_back.status, held_back.reason) == (WorkerStatus.PENDING, NO_MEMORY.reason)
    assert held_back.waiting_for == WaitingFor(WaitKind.MEMORY)
    story.admit = True
    story.turn()
    assert len(story.running) == 2
    assert story.worker(held_back.key).reason == ""


def test_a_full_disk_holds_back_everything_that_has_not_started() -> None:
    story = Story(max_workers=2)
    story.paused = NO_DISK
    root = story.root(a_task("a"), a_task("b"))
    assert story.running == []
    assert story.worker(story.key(root, 1)).reason == "waiting for disk space"
    story.paused = None
    story.turn()
    assert len(story.running) == 2


def test_a_worker_that_is_held_back_does_not_lose_its_turn() -> None:
    story = Story(max_workers=2)
    first, second = story.root(a_task("a")), story.root(a_task("b"), a_task("c"))
    assert story.running == [story.key(first), story.key(second, 1)]
    story.admit = False
    story.ends(story.key(first))
    assert story.status(story.key(second, 2)) is WorkerStatus.PENDING
    story.admit = True
    story.turn()
    assert story.status(story.key(second, 2)) is WorkerStatus.RUNNING


# Dependencies


def test_a_task_starts_when_all_it_needs_succeeded() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b"), a_task("c", "a", "b"))
    story.ends(story.key(root, 1))
    assert story.status(story.key(root, 3)) is WorkerStatus.PENDING
    story.ends(story.key(root, 2))
    assert story.status(story.key(root, 3)) is WorkerStatus.RUNNING


def test_a_failure_skips_only_its_dependent_tasks() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b", "a"), a_task("c", "b"), a_task("d"))
    story.fails(story.key(root))
    story.run_to_end()
    status = [str(story.status(key)) for key in story.keys(root)]
    assert status == ["failed", "skipped", "skipped", "success"]
    assert story.job_status(root) is JobStatus.PARTIAL
    assert story.worker(story.key(root, 2)).reason == "dependency 'a' did not succeed"
    assert story.worker(story.key(root, 3)).reason == "dependency 'b' did not succeed"
    assert story.job(root.id).reason == "worker_1 did not succeed"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["badly", "cancelled"])
def test_a_chain_of_thousands_of_skips_is_fast_and_needs_no_recursion(how: str) -> None:
    length = examples(3_000, 10_000)
    story = Story()
    root = story.root(*chain(length))
    begun = process_time()
    if how == "badly":
        story.fails(story.key(root))
    else:
        story.cancel(root)
        story.ends(story.key(root))
    assert process_time() - begun < length / 1_000
    assert story.job(root.id).status.ended
    expected = {
        "badly": {"failed": 1, "skipped": length - 1},
        "cancelled": {"success": 1, "cancelled": length - 1},
    }
    statuses = Counter(str(story.status(key)) for key in story.keys(root))
    assert statuses == expected[how]


def test_a_task_with_candidates_succeeds_when_one_of_them_does() -> None:
    story = Story()
    root = story.root(a_task("a", agents=("one", "two", "three")), a_task("b", "a"))
    assert len(story.running) == 3
    story.fails(story.key(root, 1))
    story.ends(story.key(root, 2))
    assert story.status(story.key(root, 4)) is WorkerStatus.PENDING
    story.fails(story.key(root, 3))
    assert story.status(story.key(root, 4)) is WorkerStatus.RUNNING
    story.ends(story.key(root, 4))
    assert story.job_status(root) is JobStatus.COMPLETED


def test_candidates_of_a_task_are_all_skipped_when_what_they_need_failed() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b", "a", agents=("one", "two")), a_task("c", "b"))
    story.fails(story.key(root))
    assert story.job_status(root) is JobStatus.FAILED
    statuses = [str(story.status(key)) for key in story.keys(root)]
    assert statuses == ["failed", "skipped", "skipped", "skipped"]


def test_a_job_without_workers_has_failed() -> None:
    story, job = Story(), a_job()
    story.scheduler.submit(job, (), (), story.now)
    story.turn()
    assert story.job_status(job) is JobStatus.FAILED
