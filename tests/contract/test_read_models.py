"""The contract of the store's lists of many jobs and workers, on every adapter."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.candidate_rank import CandidateRank, Criterion
from orchestrator.core.model.gate import GateResult, GateStatus
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.states import WorkerKind, WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.ports import Change, Store
from orchestrator.store import SqlStore
from tests.contract.store_adapters import ADAPTERS, database
from tests.contract.store_values import HARD_TEXT, a_child, a_job, a_worker, an_event


@pytest.fixture(params=ADAPTERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with database(request.param, tmp_path) as url:
        store = SqlStore(url)
        store.open()
        yield store
        store.close()


def test_a_snapshot_has_the_figures_of_every_worker(store: Store) -> None:
    job = a_job()
    result = WorkerResult(
        usage=Usage(steps=3, input_tokens=20, output_tokens=4, cache_read_tokens=99, cost_usd=0.5),
        files_created=("a.py",),
        gates=(GateResult(name="tests", status=GateStatus.FAILED),),
        standing=CandidateRank(place=1, by=Criterion.SUCCESS, why=""),
    )
    done = a_worker(
        job,
        0,
        status=WorkerStatus.FAILED,
        reason=HARD_TEXT,
        attempt=2,
        started_at=2.0,
        ended_at=3.5,
        child_job_ids=("b", "c"),
        result=result,
    )
    planner = a_worker(job, -1, id="worker_planner", kind=WorkerKind.PLANNER)
    store.save(
        Change(
            new_jobs=[job],
            new_tasks=[
                ("a", 0, TaskSpec(id="t0", title=HARD_TEXT, depends_on=("x", "y"))),
                ("a", 1, TaskSpec(id="t1", prompt="Build\n  it " + "x" * 200)),
            ],
            new_workers=[a_worker(job, 1), done, planner],
            events=[an_event(job, 1), an_event(job, 2)],
        )
    )

    found = store.snapshot("a")

    assert found is not None
    assert found.last_seq == store.last_seq("a") == 2
    assert [each.id for each in found.jobs] == ["a"]
    first, second = sorted(found.tasks, key=lambda task: task.id)
    assert (first.title, first.depends_on) == (" ".join(HARD_TEXT.split()), ("x", "y"))
    assert second.title.startswith("Build it xxx")
    assert len(second.title) == 80
    workers = found.workers
    assert workers.id == ("worker_1", "worker_2")
    assert workers.reason == [HARD_TEXT, ""]
    assert workers.child_job_ids == [("b", "c"), ()]
    assert (workers.steps, workers.tokens, workers.cost_usd) == ((3, None), (24, None), (0.5, None))
    assert (workers.gates_failed, workers.files) == ((1, 0), (1, 0))
    assert workers.chosen == [True, None]


def test_a_snapshot_has_the_tree_with_parents_first(store: Store) -> None:
    root = a_job()
    child = a_child("c", root, created_at=0.5)
    below = a_child("b", child, created_at=0.1)
    for job in (root, child, below):
        worker = a_worker(job, 0, id=f"worker_{job.id}")
        store.save(Change(new_jobs=[job], new_tasks=[(job.id, 0, TaskSpec(id="t0"))]))
        store.save(Change(new_workers=[worker]))

    found = store.snapshot("a")

    assert found is not None
    assert [job.id for job in found.jobs] == ["a", "c", "b"]
    assert found.workers.job_id == ("a", "c", "b")


def test_there_is_no_snapshot_of_what_does_not_exist(store: Store) -> None:
    assert store.snapshot("a") is None
    assert store.last_seq("a") == 0


def test_a_job_without_workers_has_empty_columns(store: Store) -> None:
    store.save(Change(new_jobs=[a_job()]))

    found = store.snapshot("a")

    assert found is not None
    assert all(list(column) == [] for column in found.workers)
