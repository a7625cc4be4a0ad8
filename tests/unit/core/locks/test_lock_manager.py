"""Stories of claims and leases."""

import pytest

from orchestrator.core.errors import Deadlock
from orchestrator.core.events import EventKind
from orchestrator.core.locks.lock_table import lock_name, names_above, overlap
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.scheduler.state.job_trees import JobTrees
from tests.unit.core.factories import LOST, a_task
from tests.unit.core.locks.lock_story import LockStory


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("src/api/", "src/api"),
        ("./src//api/.", "src/api"),
        ("port:8080", "port:8080"),
        (" database ", "database"),
        (".", "."),
        ("./", "."),
        ("e\u0301", "\u00e9"),
        ("🔒", "🔒"),
        ("src/**", "src"),
        ("src/api/*.py", "src/api"),
        ("src/**/test_*.py", "src"),
        ("*.py", "."),
        ("app/[id]/page.tsx", "app/[id]/page.tsx"),
    ],
)
def test_a_name_has_one_spelling(spelling: str, name: str) -> None:
    assert lock_name(spelling) == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "/", "/etc", "../x", "a/../b", "a\nb", "a\0b", "\x1b[31m", "\ud800", "x" * 501],
)
def test_an_invalid_name_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match="invalid lock name"):
        lock_name(name)


def test_a_path_is_about_all_below_it() -> None:
    assert names_above("src/api") == (".", "src")
    assert overlap("src", "src/api") and overlap("src/api", ".") and overlap("a", "a")
    assert not overlap("src", "srcs") and not overlap("src/api", "src/web")


def test_conflicting_claims_run_one_after_another_and_others_in_parallel() -> None:
    story = LockStory(max_workers=3)

    root = story.root(
        a_task("a", locks=("src",)),
        a_task("b", locks=("src/api", "db")),
        a_task("c"),
        max_workers=3,
    )
    first, second, third = story.keys(root)

    assert story.running == [first, third]
    assert (
        story.worker(second).reason == f"waiting for lock src/api, held by worker_1 (job {root.id})"
    )

    story.ends(first)
    assert story.running == [second, third]
    assert story.worker(second).reason == ""


def test_claims_hold_across_jobs() -> None:
    story = LockStory()
    first, second = (story.root(a_task("a", locks=("db",))) for _ in "12")

    assert story.running == [story.key(first)]
    assert f"(job {first.id})" in story.worker(story.key(second)).reason

    story.fails(story.key(first))
    assert story.running == [story.key(second)]


def test_the_first_worker_that_asks_for_a_lock_gets_it_first() -> None:
    story = LockStory()
    holder = story.root(a_task("a", locks=("a",)))
    both = story.root(a_task("a", locks=("a", "b")))
    later = story.root(a_task("a", locks=("b",)))

    assert story.running == [story.key(holder)]
    assert "worker_1 (job " in story.worker(story.key(later)).reason

    story.ends(story.key(holder))
    assert story.running == [story.key(both)]
    story.ends(story.key(both))
    assert story.running == [story.key(later)]


def test_waiting_workers_get_a_lock_in_order() -> None:
    story = LockStory()
    root = story.root(*(a_task(f"t{at}", locks=("db",)) for at in range(50)), max_workers=10)

    for _ in range(50):
        assert len(story.running) == 1
        story.ends(story.running[0])

    assert story.starts == story.keys(root)


def test_the_cancel_of_a_waiting_worker_frees_those_behind_it() -> None:
    story = LockStory()
    holder, second, third = (story.root(a_task("a", locks=("db",))) for _ in "123")

    story.cancel(second)
    story.ends(story.key(holder))

    assert story.running == [story.key(third)]


def test_candidates_of_a_task_share_what_it_claims() -> None:
    story = LockStory()
    root = story.root(a_task("a", locks=("src",), agents=("one", "two")), max_workers=2)

    assert story.running == story.keys(root)


def test_a_claim_is_held_while_child_jobs_run_and_does_not_keep_them_out() -> None:
    story = LockStory()
    root = story.root(a_task("a", locks=("src",)))
    other = story.root(a_task("a", locks=("src/api",)))

    child = story.child(story.key(root), a_task("a", locks=("src/api",)))

    assert story.running == [story.key(child)]
    story.ends(story.key(child))
    assert story.running == [story.key(root)]
    story.ends(story.key(root))
    assert story.running == [story.key(other)]


def test_a_claim_is_held_while_child_jobs_outlive_their_parents_process() -> None:
    story = LockStory()
    root = story.root(a_task("a", locks=("src",)))
    other = story.root(a_task("a", locks=("src",)))
    child = story.child(story.key(root))

    story.ends(story.key(root))

    assert story.running == [story.key(child)]
    story.ends(story.key(child))
    assert story.running == [story.key(other)]


def test_other_workers_get_a_claim_between_two_attempts() -> None:
    story = LockStory()
    first = story.root(a_task("a", locks=("db",), retries=1))
    second = story.root(a_task("a", locks=("db",)))

    story.fails(story.key(first))
    assert story.running == [story.key(second)]

    story.later(10)
    assert story.running == [story.key(second)]
    story.ends(story.key(second))
    assert story.running == [story.key(first)]


@pytest.mark.parametrize("restart", [False, True])
def test_a_claim_is_held_once_while_child_jobs_of_an_earlier_attempt_run(
    restart: bool,
) -> None:
    story = LockStory()
    root = story.root(a_task("a", locks=("db",), retries=1))
    other = story.root(a_task("a", locks=("db",)))
    child = story.child(story.key(root))
    story.ends(story.key(root), LOST)
    if restart:
        story.crash()
    story.later(10)
    assert set(story.running) == {story.key(root), story.key(child)}, "both workers run"

    story.ends(story.key(child))
    story.ends(story.key(root))

    assert story.running == [story.key(other)]
    assert story.events(root).count(EventKind.LOCK_TAKEN) == 1


def test_claims_are_known_after_a_restart() -> None:
    story = LockStory()
    first, second = (story.root(a_task("a", locks=("db",))) for _ in "12")

    story.crash()

    assert story.running == [story.key(first)]
    story.ends(story.key(first))
    assert story.running == [story.key(second)]


def test_a_child_job_that_could_never_get_its_locks_is_rejected() -> None:
    story = LockStory()
    one = story.root(a_task("a", locks=("a",)))
    two = story.root(a_task("a", locks=("b",)))
    story.child(story.key(one), a_task("x", locks=("b",)))

    with pytest.raises(Deadlock) as refused:
        story.child(story.key(two), a_task("y", locks=("a",)))

    assert "needs a, held by worker_1" in refused.value.message
    assert "worker_1_1" in refused.value.message
    assert len(story.store.jobs) == 3


def test_claims_have_events() -> None:
    story = LockStory()
    root = story.root(a_task("a", locks=("db",)))
    story.ends(story.key(root))

    events = [event for event in story.store.events[root.id] if str(event.kind).startswith("lock_")]
    assert [(each.kind, each.data) for each in events] == [
        (EventKind.LOCK_TAKEN, {"names": ["db"], "lock": "claim"}),
        (EventKind.LOCK_RELEASED, {"names": ["db"], "lock": "claim"}),
    ]


def test_jobs_without_locks_never_come_near_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def party_of(self: JobTrees, worker: object) -> None:
        raise AssertionError("locks were looked at")

    monkeypatch.setattr(JobTrees, "party_of", party_of)
    story = LockStory()
    root = story.root(*(a_task(f"t{at}") for at in range(20)))
    story.child(story.key(root))
    story.run_to_end()

    assert story.scheduler._trees.locks.is_empty


# -- leases ---------------------------------------------------------------------------------------


def test_a_lease_keeps_out_claims_and_other_leases() -> None:
    story = LockStory()
    one, two = story.root(), story.root()

    assert story.requests_lock(story.key(one), "db")
    assert not story.requests_lock(story.key(two), "db/main")
    claims = story.root(a_task("a", locks=("db",)))
    assert claims.id not in [key.root_id for key in story.running]

    story.releases(story.key(one), "db")
    assert (story.key(two), "db/main") in story.leases
    story.ends(story.key(two))
    assert story.key(claims) in story.running


def test_a_hundred_that_contend_get_it_in_order() -> None:
    story = LockStory(max_workers=100)
    root = story.root(*(a_task(f"t{at}") for at in range(100)), max_workers=100)
    for key in story.keys(root):
        story.requests_lock(key, "db")

    served = []
    while story.leases:
        [(key, _)] = story.leases
        served.append(key)
        story.releases(key, "db")

    assert served == story.keys(root)


def test_the_holder_of_a_lease_and_its_descendants_may_acquire_it_again() -> None:
    story = LockStory()
    root = story.root()
    assert story.requests_lock(story.key(root), "db")
    assert story.requests_lock(story.key(root), "db")

    child = story.child(story.key(root), a_task("a"), a_task("b"), max_workers=2)

    assert story.requests_lock(story.key(child), "db")
    assert not story.requests_lock(story.key(child, 2), "db"), "workers of the same job conflict"


def test_a_lease_ends_with_its_attempt() -> None:
    story = LockStory()
    one, two = story.root(a_task(retries=1)), story.root()
    story.requests_lock(story.key(one), "db")
    story.requests_lock(story.key(two), "db")

    story.fails(story.key(one))

    assert list(story.leases) == [(story.key(two), "db")]


def test_a_cycle_of_two_waiting_workers_is_a_deadlock() -> None:
    story = LockStory()
    one, two = story.root(), story.root()
    story.requests_lock(story.key(one), "a")
    story.requests_lock(story.key(two), "b")
    story.requests_lock(story.key(one), "b")

    with pytest.raises(Deadlock, match=r"needs a, held by worker_1.* needs b, held by"):
        story.requests_lock(story.key(two), "a")

    story.releases(story.key(two), "b")
    assert (story.key(one), "b") in story.leases


def test_parents_that_wait_for_their_children_are_part_of_a_circle() -> None:
    story = LockStory()
    one, two = story.root(), story.root()
    story.requests_lock(story.key(one), "a")
    story.requests_lock(story.key(two), "b")
    child = story.child(story.key(one))
    assert not story.requests_lock(story.key(child), "b")

    with pytest.raises(Deadlock, match="worker_1_1"):
        story.requests_lock(story.key(two), "a")


def test_a_worker_does_not_wait_for_a_worker_that_waits_for_its_parent() -> None:
    story = LockStory()
    story.writes_reports = False
    parent = story.key(story.root(a_task(locks=("a",))))
    child = story.child(parent, a_task(locks=("b",)), max_retries=3)
    story.ends(story.key(child))
    other = story.key(story.root())
    story.requests_lock(other, "b")
    assert not story.requests_lock(other, "a")

    assert not story.rejects_changes(child.id, story.key(child))

    refused = story.worker(story.key(child))
    assert refused.status is WorkerStatus.FAILED
    assert refused.reason.startswith("tests fail; no retry: deadlock: ")
    story.run_to_end()
    assert story.status(other) is WorkerStatus.SUCCESS


def test_a_worker_that_waits_long_for_a_lock_releases_its_slot() -> None:
    story = LockStory(max_workers=2)
    holder, waiter = story.root(), story.root()
    story.requests_lock(story.key(holder), "db")
    story.requests_lock(story.key(waiter), "db")
    third = story.root()
    assert story.running == [story.key(holder), story.key(waiter)]

    story.now = story.scheduler.next_time() or 0
    story.turn()

    assert story.status(story.key(waiter)) is WorkerStatus.WAITING
    assert story.worker(story.key(waiter)).reason.startswith(
        "waiting for lock db, held by worker_1"
    )
    assert story.running == [story.key(holder), story.key(third)]

    story.releases(story.key(holder), "db")
    assert story.status(story.key(waiter)) is WorkerStatus.WAITING, "it has no slot yet"
    story.ends(story.key(third))
    assert story.status(story.key(waiter)) is WorkerStatus.RUNNING


def test_a_holder_gets_its_child_job_done_with_a_single_slot() -> None:
    story = LockStory(max_workers=1)
    holder = story.root()
    story.requests_lock(story.key(holder), "db")
    child = story.child(story.key(holder), a_task("a"), a_task("b", "a"))
    story.ends(story.key(child))
    waiter = story.root()

    story.run_to_end()

    assert story.status(story.key(waiter)) is WorkerStatus.SUCCESS


def test_leases_and_places_survive_what_they_should() -> None:
    story = LockStory()
    one, two = story.root(), story.root()
    story.requests_lock(story.key(one), "db")
    story.requests_lock(story.key(two), "db")

    story.crash()

    assert story.status(story.key(two)) is WorkerStatus.RUNNING
    assert not story.requests_lock(story.key(two), "db"), (
        "the worker repeats its call after a restart"
    )
    story.releases(story.key(one), "db")
    assert list(story.leases) == [(story.key(two), "db")]
