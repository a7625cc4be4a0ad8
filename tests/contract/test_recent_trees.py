"""Job trees in a store's memory equal the trees in the database."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.model.job import PLANNER_INDEX, TaskSpec
from orchestrator.core.model.states import JobStatus, WorkerKind, WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.ports import StateChange
from orchestrator.store import SqlStore, caches
from orchestrator.store.caches import MOST_ENDED, JobTreeCache
from tests.contract.store_adapters import ADAPTERS, database
from tests.contract.store_values import a_child, a_job, a_worker, an_attempt, an_event

ROOT = a_job("a", created_at=1.0)
CHILD = a_child("b", ROOT, created_at=2.0)
PLANNER = a_worker(ROOT, PLANNER_INDEX, kind=WorkerKind.PLANNER, id="worker_p")
OWN = [a_worker(ROOT, index, id=f"worker_{index}") for index in (1, 0)]
BELOW = a_worker(CHILD, 0, id="worker_0_1")
RUNNING = replace(OWN[0], status=WorkerStatus.RUNNING, attempt=1)
ENDED = replace(RUNNING, status=WorkerStatus.SUCCESS, result=WorkerResult(output="text"))
#: All changes of a job tree, in order.
CHANGES = (
    StateChange(
        new_jobs=[ROOT, CHILD],
        new_tasks=[("a", 0, TaskSpec(id="t0")), ("a", 1, TaskSpec(id="t1"))],
        new_workers=[*OWN, PLANNER, BELOW],
        events=[an_event(ROOT, 1), an_event(CHILD, 2)],
    ),
    StateChange(
        workers=[RUNNING],
        new_attempts=[an_attempt(OWN[0], 2), an_attempt(OWN[0]), an_attempt(BELOW)],
    ),
    StateChange(
        workers=[ENDED],
        attempts=[an_attempt(OWN[0], ended_at=3.0)],
        dropped_attempts=[(OWN[0].key, 2)],
        events=[an_event(ROOT, 3)],
    ),
    StateChange(jobs=[replace(ROOT, status=JobStatus.COMPLETED, ended_at=4.0)]),
    StateChange(
        jobs=[replace(ROOT, status=JobStatus.RUNNING)],
        workers=[replace(ENDED, status=WorkerStatus.PENDING)],
    ),
)


@pytest.fixture(params=ADAPTERS)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[SqlStore, SqlStore]]:
    """A store with trees in memory, and a second store that reads the same database."""
    with database(request.param, tmp_path) as url:
        store, reader = SqlStore(url, alone=True), SqlStore(url)
        store.open()
        reader.open()
        yield store, reader
        reader.close()
        store.close()


def memory_of(store: SqlStore) -> JobTreeCache:
    assert store._trees is not None
    return store._trees


def test_after_each_change_a_tree_in_memory_equals_the_stored_tree(
    stores: tuple[SqlStore, SqlStore],
) -> None:
    store, reader = stores
    for change in CHANGES:
        store.save(change)
        reader._forget_reads()

        for only in (None, ["a"], ["b"]):
            assert memory_of(store).tree("a", only) == reader.tree("a", only)
            assert store.tree("a", only) == reader.tree("a", only)
        for job_id in "ab":
            assert memory_of(store).workers(job_id) == reader.workers(job_id)
            assert store.workers(job_id) == reader.workers(job_id)


def test_a_replaced_plan_is_read_from_the_database(stores: tuple[SqlStore, SqlStore]) -> None:
    store, reader = stores
    store.save(CHANGES[0])

    new = a_worker(ROOT, 0, id="worker_9")
    store.save(
        StateChange(replaced_plans=["a"], new_tasks=[("a", 0, TaskSpec(id="n"))], new_workers=[new])
    )

    assert memory_of(store).tree("a") is None
    assert store.tree("a") == reader.tree("a")
    assert store.workers("a") == reader.workers("a")


def test_a_deleted_job_is_not_in_memory(stores: tuple[SqlStore, SqlStore]) -> None:
    store, _ = stores
    store.save(CHANGES[0])
    store.save(CHANGES[3])

    store.forget(["a"])

    assert store.tree("a") is None
    assert store.workers("a") == []


def test_only_the_latest_ended_trees_and_no_large_tree_stay_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caches, "MOST_WORKERS", 1)
    trees = JobTreeCache()
    jobs = [a_job(f"job{number}") for number in range(MOST_ENDED + 1)]
    trees.apply(StateChange(new_jobs=[*jobs, ROOT], new_workers=OWN))

    trees.apply(StateChange(jobs=[replace(each, status=JobStatus.COMPLETED) for each in jobs]))

    assert trees.tree("a") is None
    assert [each.id for each in jobs if trees.tree(each.id) is None] == ["job0"]
