"""The contract of the store, on every adapter."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from typing import Any

import pytest

from orchestrator.core.errors import StoreError
from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit, Usage
from orchestrator.core.model.attempt.failure import Failure, FailureKind, RetryStrategy
from orchestrator.core.model.human_input.pause import Pause, PauseCause, RunningMode
from orchestrator.core.model.job import PLANNER_INDEX, Job, TaskSpec, WorkerKey
from orchestrator.core.model.states import JobStatus, WorkerKind, WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.ports import Cost, Page, StateChange, Store
from orchestrator.core.ports.read_models import JobFilter
from orchestrator.store import SqlStore
from tests.contract.store_adapters import ADAPTERS, database
from tests.contract.store_values import a_child, a_job, a_worker, an_attempt, an_event


@pytest.fixture(params=ADAPTERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = SqlStore(url)
    store.open()
    yield store
    store.close()


def ids(page: Page) -> list[str]:
    return [job.id for job in page.jobs]


def listed(store: Store, *, offset: int = 0, limit: int = 50, **filters: Any) -> Page:
    return store.jobs_of(JobFilter(**filters), offset, limit)


def test_what_was_saved_is_there_after_a_restart(url: str) -> None:
    first = SqlStore(url)
    first.open()
    first.save(StateChange(new_jobs=[a_job()], events=[an_event(a_job(), 1)]))
    first.close()

    second = SqlStore(url)
    second.open()

    assert second.job("a") == a_job()
    assert second.events("a", 0, 10) == [an_event(a_job(), 1)]
    second.close()


def test_opening_and_closing_twice_does_no_harm(store: SqlStore) -> None:
    store.save(StateChange(new_jobs=[a_job()]))

    store.open()
    assert store.job("a") == a_job()
    store.close()
    store.close()
    store.open()

    assert store.job("a") == a_job()


def test_a_closed_store_rejects_calls(store: Store) -> None:
    store.close()

    with pytest.raises(StoreError, match="not open"):
        store.job("a")
    with pytest.raises(StoreError, match="not open"):
        store.save(StateChange())


def test_what_does_not_exist_is_none_or_empty(store: Store) -> None:
    key = WorkerKey("a", "worker_1")

    assert (store.job("a"), store.worker(key), store.tree("a")) == (None, None, None)
    assert (store.tasks("a"), store.workers("a"), store.attempts(key)) == ([], [], [])
    assert (store.events("a", 0, 10), store.unfinished()) == ([], [])


def test_an_empty_change_changes_nothing(store: Store) -> None:
    store.save(StateChange())

    assert store.stats().attempts == 0


def test_a_change_is_stored_as_a_whole_with_its_own_new_rows(store: Store) -> None:
    job, worker = a_job(), a_worker(a_job())
    running = replace(worker, status=WorkerStatus.RUNNING, attempt=1)

    store.save(
        StateChange(
            new_jobs=[job],
            new_tasks=[("a", 0, TaskSpec(id="t0"))],
            new_workers=[worker],
            jobs=[replace(job, status=JobStatus.RUNNING)],
            workers=[running],
            new_attempts=[an_attempt(worker)],
            attempts=[an_attempt(worker, ended_at=3.0)],
            events=[an_event(job, 1)],
        )
    )

    found = store.tree("a")
    assert found is not None
    assert found.root.status is JobStatus.RUNNING
    assert found.workers == [running]
    assert found.attempts == [an_attempt(worker, ended_at=3.0)]


def test_an_ended_root_job_can_be_forgotten_with_everything_below_it(store: Store) -> None:
    root = a_job("a", status=JobStatus.COMPLETED)
    child = a_child("b", root)
    grandchild = replace(a_child("c", child), root_id="a", depth=2)
    worker = a_worker(root)
    other = a_job("z")
    store.save(
        StateChange(
            new_jobs=[root, child, grandchild, other],
            new_tasks=[("a", 0, TaskSpec(id="t0"))],
            new_workers=[worker],
            new_attempts=[an_attempt(worker)],
            events=[an_event(root, 1)],
        )
    )

    store.forget(["a", "z", "never-there"])

    assert store.tree("a") is None
    assert store.job("c") is None
    assert store.events("a", 0, 10) == []
    assert store.job("z") == other, "the attempt has not ended"


def test_ended_root_jobs_are_found_by_their_end_the_latest_first(store: Store) -> None:
    ended = {"status": JobStatus.FAILED}
    old, older, late = (
        a_job(id, ended_at=at, **ended) for id, at in (("x", 5.0), ("y", 4.0), ("z", 9.0))
    )
    child = a_child("c", old, ended_at=5.0, **ended)
    store.save(StateChange(new_jobs=[old, older, late, child, a_job("runs")]))

    assert store.ended(9.0, 10) == [old, older]
    assert store.ended(10.0, 1) == [late]


def test_a_child_job_may_stand_before_its_root_in_the_tree_it_is_saved_with(store: Store) -> None:
    root = a_job()

    store.save(StateChange(new_jobs=[root, a_child("b", root)]))

    assert store.job("b") == a_child("b", root)


def test_an_event_that_is_there_already_undoes_the_whole_change(store: Store) -> None:
    job = a_job()
    store.save(StateChange(new_jobs=[job], events=[an_event(job, 1)]))

    with pytest.raises(StoreError):
        store.save(
            StateChange(
                new_jobs=[a_job("b")],
                new_workers=[a_worker(job)],
                jobs=[replace(job, status=JobStatus.FAILED)],
                events=[an_event(job, 2), an_event(job, 1)],
            )
        )

    assert store.job("a") == job
    assert store.job("b") is None
    assert store.workers("a") == []
    assert store.events("a", 0, 10) == [an_event(job, 1)]


def test_changing_what_does_not_exist_undoes_the_whole_change(store: Store) -> None:
    store.save(StateChange(new_jobs=[a_job()]))

    with pytest.raises(StoreError, match="1 of 1 rows of workers cannot be changed"):
        store.save(StateChange(new_jobs=[a_job("b")], workers=[a_worker(a_job())]))

    assert store.job("b") is None


def test_a_worker_without_its_job_is_refused(store: Store) -> None:
    with pytest.raises(StoreError):
        store.save(StateChange(new_workers=[a_worker(a_job())]))


def test_the_store_works_after_a_rejected_change(store: Store) -> None:
    with pytest.raises(StoreError):
        store.save(StateChange(events=[an_event(a_job(), 1)]))

    store.save(StateChange(new_jobs=[a_job()]))

    assert store.job("a") == a_job()


def test_an_update_may_be_stored_again(store: Store) -> None:
    job, worker = a_job(), a_worker(a_job())
    attempt = an_attempt(worker)
    store.save(StateChange(new_jobs=[job], new_workers=[worker], new_attempts=[attempt]))
    ended = StateChange(
        jobs=[replace(job, status=JobStatus.COMPLETED, reason="done", ended_at=5.0)],
        workers=[replace(worker, status=WorkerStatus.SUCCESS, result=WorkerResult(output="x"))],
        attempts=[replace(attempt, ended_at=5.0, exit=Exit(ended_by=EndedBy.EXIT, code=0))],
    )

    store.save(ended)
    store.save(ended)

    assert store.job("a") == ended.jobs[0]
    assert store.workers("a") == ended.workers
    assert store.attempts(worker.key) == ended.attempts


def test_failures_come_back_as_they_were_saved(store: Store) -> None:
    job, failure = (
        a_job(),
        Failure(
            attempt=2,
            kind=FailureKind.CORRUPTED_STATE,
            strategy=RetryStrategy.ROLLBACK_LAST,
            reason=".git was deleted",
            confidence=0.9,
            gates=("pytest",),
            cause="broken worktree",
            checkpoint="2-before",
            kept="2-after",
        ),
    )
    result = WorkerResult(failures=(replace(failure, attempt=1), failure), good="1-after")
    worker = replace(a_worker(job), result=result)
    store.save(StateChange(new_jobs=[job], new_workers=[worker]))
    assert store.workers("a") == [worker]


def test_jobs_are_listed_newest_first_and_then_by_id(store: Store) -> None:
    times = {"a": 1.0, "b": 3.0, "c": 2.0, "d": 3.0}
    store.save(StateChange(new_jobs=[a_job(id, created_at=at) for id, at in times.items()]))

    assert ids(listed(store)) == ["d", "b", "c", "a"]


def test_a_page_has_the_total_number_of_jobs(store: Store) -> None:
    store.save(StateChange(new_jobs=[a_job(f"j{n}", created_at=float(n)) for n in range(7)]))

    page = listed(store, offset=2, limit=3)

    assert (ids(page), page.total) == (["j4", "j3", "j2"], 7)
    assert (ids(listed(store, offset=7)), listed(store, offset=7).total) == ([], 7)


def test_numbers_beyond_all_bounds_are_accepted(store: Store) -> None:
    job = a_job()
    store.save(StateChange(new_jobs=[job], events=[an_event(job, 1)]))

    assert ids(listed(store, offset=10**30, limit=10**30)) == []
    assert ids(listed(store, offset=-5, limit=10**30)) == ["a"]
    assert store.events("a", 10**30, 10) == []
    assert store.events("a", -(10**30), 10**30) == [an_event(job, 1)]
    assert store.latest_event("a", "a", an_event(job, 1).kind) == an_event(job, 1)
    assert store.latest_event("a", "b", an_event(job, 1).kind) is None
    assert store.latest_event("a", "a", EventKind.JOB_APPROVED) is None


def test_jobs_are_listed_by_status_parent_and_root(store: Store) -> None:
    root = a_job("a", status=JobStatus.RUNNING)
    child = a_child("b", root, status=JobStatus.COMPLETED, created_at=2.0)
    grandchild = a_child("c", child, created_at=3.0)
    store.save(StateChange(new_jobs=[root, child, grandchild, a_job("d", created_at=4.0)]))

    assert ids(listed(store, statuses=["pending"])) == ["d", "c"]
    assert ids(listed(store, parent="a")) == ["b"]
    assert "b" not in ids(listed(store, depth=0))
    assert ids(listed(store, depth=1)) == ["b"]
    assert ids(listed(store, root="a")) == ["c", "b", "a"]
    assert ids(listed(store, root="a", statuses=["completed"])) == ["b"]
    assert listed(store, statuses=["unheard of"]).total == 0


def test_a_job_is_found_by_its_submitter_and_key(store: Store) -> None:
    mine = a_job("a", submitted_by="alice", idempotency_key="k")
    store.save(StateChange(new_jobs=[mine, a_job("b", submitted_by="bob", idempotency_key="k2")]))

    assert store.find_idempotent("alice", "k") == mine
    assert store.find_idempotent("bob", "k") is None
    assert store.find_idempotent("alice", "k2") is None


def test_unfinished_are_the_root_jobs_that_have_not_ended(store: Store) -> None:
    jobs = [a_job(status.value, status=status) for status in JobStatus]
    store.save(StateChange(new_jobs=jobs))
    store.save(StateChange(new_jobs=[a_child("child", jobs[0])]))

    assert sorted(store.unfinished()) == ["pending", "planning", "running"]


def test_workers_come_in_order_of_index(store: Store) -> None:
    job = a_job()
    workers = [a_worker(job, index) for index in range(12)]

    store.save(StateChange(new_jobs=[job], new_workers=list(reversed(workers))))

    assert store.workers("a") == workers


def test_a_planner_is_in_no_list_of_workers(store: Store) -> None:
    job = a_job()
    worker = a_worker(job)
    planner = a_worker(job, PLANNER_INDEX, kind=WorkerKind.PLANNER, id="planner", task_id="planner")
    attempts = [an_attempt(planner), an_attempt(worker)]
    store.save(StateChange(new_jobs=[job], new_workers=[planner, worker], new_attempts=attempts))

    tree = store.tree("a")
    assert tree is not None
    assert (tree.workers, tree.planners) == ([worker], [planner])
    assert set(tree.attempts) == set(attempts)
    assert store.workers("a") == store.workers_in_tree("a") == [worker]
    assert (store.planner("a"), store.planner("b")) == (planner, None)
    assert store.worker(planner.key) == planner
    assert store.stats().workers == {"pending": 1}


def test_reviewers_are_in_no_list_of_workers(store: Store) -> None:
    job = a_job()
    workers = [a_worker(job, index, task_id="a") for index in range(2)]
    second, first = (
        a_worker(job, PLANNER_INDEX - number, kind=WorkerKind.REVIEWER, id=f"reviewer_{number}")
        for number in (2, 1)
    )
    store.save(StateChange(new_jobs=[job], new_workers=[*workers, second, first]))

    tree = store.tree("a")
    assert tree is not None
    assert (tree.workers, tree.planners, set(tree.reviewers)) == (workers, [], {first, second})
    assert store.workers("a") == store.workers_in_tree("a") == workers
    assert (store.reviewers("a"), store.planner("a")) == ([first, second], None)
    assert store.stats().workers == {"pending": 2}


def test_latest_usage_is_that_of_workers_that_succeeded(store: Store) -> None:
    job = a_job()
    ends = [("a", "success"), ("a", "failed"), ("b", "success"), ("a", "recursive_success")]
    workers = [
        a_worker(
            job,
            index,
            agent=agent,
            status=WorkerStatus(status),
            ended_at=float(index),
            result=WorkerResult(usage=Usage(steps=index)),
        )
        for index, (agent, status) in enumerate(ends)
    ]
    planner = replace(workers[0], id="planner", index=PLANNER_INDEX, kind=WorkerKind.PLANNER)
    store.save(StateChange(new_jobs=[job], new_workers=[*workers, planner]))

    assert store.recent_usage("a", 9) == [Usage(steps=3), Usage(steps=0)]
    assert store.recent_usage("a", 1) == [Usage(steps=3)]
    assert store.recent_usage("nobody", 9) == []


def test_attempts_come_in_order_of_number(store: Store) -> None:
    worker = a_worker(a_job())
    attempts = [an_attempt(worker, number) for number in range(1, 12)]

    store.save(
        StateChange(new_jobs=[a_job()], new_workers=[worker], new_attempts=list(reversed(attempts)))
    )

    assert store.attempts(worker.key) == attempts
    assert store.attempts_of("a", [worker.id, "worker_9"]) == attempts
    assert store.attempts_of("a", []) == store.attempts_of("b", [worker.id]) == []


def test_a_key_is_valid_only_while_its_attempt_runs(store: Store) -> None:
    worker = a_worker(a_job())
    over = an_attempt(worker, 1, token_hash="old", ended_at=2.0)
    live = an_attempt(worker, 2, token_hash="new")
    store.save(StateChange(new_jobs=[a_job()], new_workers=[worker], new_attempts=[over, live]))

    assert store.attempt_by_token("old") is None
    assert store.attempt_by_token("new") == live
    store.save(StateChange(attempts=[replace(live, ended_at=3.0)]))
    assert store.attempt_by_token("new") is None


def test_an_empty_key_is_invalid(store: Store) -> None:
    worker = a_worker(a_job())
    store.save(
        StateChange(
            new_jobs=[a_job()],
            new_workers=[worker],
            new_attempts=[an_attempt(worker, token_hash="")],
        )
    )

    assert store.attempt_by_token("") is None


def test_events_come_in_order_after_the_one_that_is_named(store: Store) -> None:
    job, other = a_job(), a_job("b")
    events = [an_event(job, seq) for seq in range(1, 12)]
    store.save(StateChange(new_jobs=[job, other], events=[*reversed(events), an_event(other, 5)]))

    assert store.events("a", 0, 100) == events
    assert store.events("a", 3, 2) == events[3:5]
    assert store.events("a", 11, 100) == []


def grown_tree(store: Store) -> tuple[Job, Job, Job]:
    """Save a root job with two child jobs. The older child job has the later name."""
    root = a_job("a", created_at=1.0)
    older, younger = a_child("z", root, created_at=2.0), a_child("b", root, created_at=3.0)
    jobs = (root, older, younger)
    workers = [
        a_worker(job, index, id=f"worker_{job.id}_{index}") for job in jobs for index in (1, 0)
    ]
    store.save(
        StateChange(
            new_jobs=[*jobs, a_job("other")],
            new_tasks=[
                (job.id, place, TaskSpec(id=f"t{place}")) for job in jobs for place in (1, 0)
            ],
            new_workers=[*workers, a_worker(a_job("other"))],
            new_attempts=[an_attempt(worker, number) for worker in workers for number in (2, 1)],
            events=[an_event(root, 1), an_event(older, 2), an_event(a_job("other"), 9)],
        )
    )
    return jobs


def test_a_tree_is_ordered_by_the_age_of_its_jobs_and_by_index(store: Store) -> None:
    jobs = grown_tree(store)

    found = store.tree("a")

    assert found is not None
    assert list(found.jobs) == list(jobs)
    assert {id: [task.id for task in tasks] for id, tasks in found.tasks.items()} == {
        job.id: ["t0", "t1"] for job in jobs
    }
    names = [f"worker_{job.id}_{index}" for job in jobs for index in (0, 1)]
    assert [worker.id for worker in found.workers] == names
    assert [(run.worker_id, run.number) for run in found.attempts] == [
        (name, number) for name in names for number in (1, 2)
    ]
    assert found.last_seq == 2


def test_a_tree_may_be_narrowed_to_some_of_its_jobs(store: Store) -> None:
    grown_tree(store)

    for job_ids in (["b", "other"], ["b", *map(str, range(1000))]):
        found = store.tree("a", job_ids)

        assert found is not None
        assert [job.id for job in found.jobs] == ["b"]
        assert list(found.tasks) == ["b"]
        assert [worker.id for worker in found.workers] == ["worker_b_0", "worker_b_1"]
        assert {attempt.job_id for attempt in found.attempts} == {"b"}
        assert found.last_seq == 2


def test_a_child_job_is_no_tree_of_its_own(store: Store) -> None:
    grown_tree(store)

    assert store.tree("b") is None
    assert store.tree("a", ["other"]) is None
    assert store.tree("a", []) is None


def test_stats_add_up_the_known_costs(store: Store) -> None:
    # An output that contains the mark that the query searches for.
    output = 'a "usage":{"cost_usd":7} \0 \ud800'
    usages = [
        Usage(steps=1, cost_usd=0.25),
        Usage(steps=1, cost_usd=0.5, cost_estimated=True),
        Usage(),
    ]
    job = a_job()
    workers = [
        replace(a_worker(job, index), result=WorkerResult(output=output, usage=usage))
        for index, usage in enumerate(usages)
    ]
    assert store.stats().cost == Cost()

    store.save(StateChange(new_jobs=[job], new_workers=workers))
    assert store.stats().cost == Cost(usd=0.75, estimated=True)

    unknown = replace(workers[0], result=WorkerResult(usage=Usage(steps=1)))
    store.save(StateChange(workers=[unknown]))
    assert store.stats().cost == Cost(usd=0.5, estimated=True, partial=True)


def test_stats_count_everything(store: Store) -> None:
    grown_tree(store)
    store.save(StateChange(jobs=[a_job("other", status=JobStatus.FAILED)]))

    found = store.stats()

    assert (found.jobs, found.workers) == ({"pending": 3, "failed": 1}, {"pending": 7})
    assert found.attempts == 12


@pytest.mark.slow
def test_ten_thousand_tasks_fit_into_one_change(store: Store) -> None:
    job = a_job()
    workers = [a_worker(job, index) for index in range(10_000)]

    store.save(
        StateChange(
            new_jobs=[job],
            new_tasks=[("a", place, TaskSpec(id=f"t{place}")) for place in range(10_000)],
            new_workers=workers,
        )
    )

    assert store.workers("a") == workers
    assert len(store.tasks("a")) == 10_000
    assert [task.id for task in store.tasks("a", ["t7", "t3", "gone"])] == ["t3", "t7"]


def test_readers_see_whole_changes_while_they_are_written(store: Store) -> None:
    job = a_job()
    store.save(StateChange(new_jobs=[job]))
    torn: list[object] = []
    over = Signal()

    def read() -> None:
        try:
            while not over.is_set():
                found = store.tree("a")
                if found is None or len(found.workers) != found.last_seq:
                    torn.append(found)
        except Exception as error:
            torn.append(error)

    readers = [Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(100):
        store.save(
            StateChange(new_workers=[a_worker(job, number)], events=[an_event(job, number + 1)])
        )
    over.set()
    for reader in readers:
        reader.join(30)

    assert torn == []
    assert len(store.workers("a")) == 100


def test_a_root_jobs_descendants_are_listed_as_submitted_with_it(store: Store) -> None:
    mine = a_job("a", submitted_by="alice")
    child = a_job(
        "c",
        root_id="a",
        depth=1,
        parent_job_id="a",
        parent_worker_id="worker_1",
        submitted_by="a/worker_1",
    )
    store.save(StateChange(new_jobs=[mine, a_job("b", submitted_by="bob")]))
    store.save(StateChange(new_jobs=[child]))

    assert sorted(ids(listed(store, submitted_by="alice"))) == ["a", "c"]
    assert listed(store, submitted_by="alice").total == 2
    assert ids(listed(store, submitted_by="bob", root="a")) == []
    assert ids(listed(store, submitted_by="nobody")) == []


def test_a_replaced_plan_leaves_the_planner_and_other_jobs(store: Store) -> None:
    job, other = a_job(), a_job("b")
    planner = a_worker(job, PLANNER_INDEX, id="planner", kind=WorkerKind.PLANNER)
    old = [a_worker(job, 0, task_id="x"), a_worker(job, 1, task_id="y")]
    remaining = a_worker(other, 0)
    tasks = [("a", 0, TaskSpec(id="x")), ("a", 1, TaskSpec(id="y")), ("b", 0, TaskSpec(id="z"))]
    store.save(
        StateChange(new_jobs=[job, other], new_tasks=tasks, new_workers=[planner, *old, remaining])
    )
    assert len(store.workers("a")) == 2

    new = a_worker(job, 0, task_id="only")
    edited = replace(job, plan_version=2)
    change = StateChange(
        replaced_plans=["a"],
        new_tasks=[("a", 0, TaskSpec(id="only"))],
        new_workers=[new],
        jobs=[edited],
    )
    store.save(change)

    assert [task.id for task in store.tasks("a")] == ["only"]
    assert store.workers("a") == [new]
    assert store.planner("a") == planner
    assert store.workers("b") == [remaining]
    assert store.job("a") == edited


def test_the_pause_of_everything_is_stored(store: Store) -> None:
    assert store.pause() is None
    pause = Pause(at=1.5, by="admin", running=RunningMode.STOP, cause=PauseCause.EVERYTHING)

    store.save(StateChange(pauses=[None, pause]))
    assert store.pause() == pause
    store.save(StateChange(pauses=[None]))
    assert store.pause() is None
