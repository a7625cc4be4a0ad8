"""The contract of the store's lists of many jobs and workers, on every adapter."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.api.serializers.worker_columns import columns_answer
from orchestrator.core.gates.gate import GateResult, GateStatus
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.attempt.failure import ASKED, Failure, FailureKind, RetryStrategy
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.states import JobStatus, WorkerKind, WorkerStatus
from orchestrator.core.model.worker_result import CandidateRank, Criterion, WorkerResult
from orchestrator.core.ports import StateChange, Store
from orchestrator.core.ports.read_models import (
    JobFilter,
    TaskLabel,
    UsageBy,
    UsageFilter,
    WorkerFilter,
    WorkerOrder,
)
from orchestrator.store import SqlStore
from orchestrator.store.read_models import worker_lists
from tests.contract.store_adapters import ADAPTERS, database
from tests.contract.store_values import (
    CONFIG,
    HARD_TEXT,
    a_child,
    a_job,
    a_worker,
    an_attempt,
    an_event,
)


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
        StateChange(
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
        store.save(StateChange(new_jobs=[job], new_tasks=[(job.id, 0, TaskSpec(id="t0"))]))
        store.save(StateChange(new_workers=[worker]))

    found = store.snapshot("a")

    assert found is not None
    assert [job.id for job in found.jobs] == ["a", "c", "b"]
    assert found.workers.job_id == ("a", "c", "b")


def test_there_is_no_snapshot_of_what_does_not_exist(store: Store) -> None:
    assert store.snapshot("a") is None
    assert store.last_seq("a") == 0


def test_a_job_without_workers_has_empty_columns(store: Store) -> None:
    store.save(StateChange(new_jobs=[a_job()]))

    found = store.snapshot("a")

    assert found is not None
    assert all(list(column) == [] for column in found.workers)


def page_of(store: Store, **filters: Any) -> list[str]:
    page, listed = (read(JobFilter(**filters), 0, 50) for read in (store.jobs_of, store.listed))
    assert [(job.id, job.root_id) for job in page.jobs] == listed.jobs
    assert page.total == listed.total
    return [job.id for job in page.jobs]


def test_jobs_are_found_by_text_label_status_and_time(store: Store) -> None:
    labels = {"team": "Red%_", "odd": HARD_TEXT}
    store.save(
        StateChange(
            new_jobs=[
                a_job("a", request="Fix the Parser\n100%", created_at=1.0),
                a_job("b", config=replace(CONFIG, labels=labels), created_at=2.0),
                a_job("c", status=JobStatus.FAILED, created_at=3.0),
            ]
        )
    )

    assert page_of(store) == ["c", "b", "a"]
    assert page_of(store, text="the pARSER") == ["a"]
    assert page_of(store, text="0%") == ["a"]
    assert page_of(store, text="_") == []
    assert page_of(store, text="B") == ["b"]
    assert page_of(store, labels=[("team", "Red%_"), ("odd", HARD_TEXT)]) == ["b"]
    assert page_of(store, labels=[("team", "red%_")]) == []
    assert page_of(store, labels=[("team", "Red")]) == []
    assert page_of(store, statuses=["failed", "completed"]) == ["c"]
    assert page_of(store, since=2.0) == ["c", "b"]
    assert page_of(store, ids=["a", "c", "x"]) == ["c", "a"]


def test_workers_are_counted_by_job_and_status_with_what_they_used(store: Store) -> None:
    root = a_job()
    child = a_child("c", root)
    known = WorkerResult(usage=Usage(input_tokens=5, cost_usd=0.25))
    unknown = WorkerResult(usage=Usage(input_tokens=1))
    workers = [
        a_worker(root, 0, status=WorkerStatus.SUCCESS, result=known),
        a_worker(root, 1, status=WorkerStatus.SUCCESS, result=unknown),
        a_worker(root, -1, id="worker_0", kind=WorkerKind.PLANNER, status=WorkerStatus.SUCCESS),
        a_worker(child, 0, id="worker_1_1"),
    ]
    store.save(StateChange(new_jobs=[root, child, a_job("z")], new_workers=workers))

    found = store.status_counts(["a", "z"])

    assert sorted(found["a"]) == [
        ("a", "a", "success", 2, 0.25, 6, True),
        ("a", "c", "pending", 1, None, None, False),
    ]
    assert found["z"] == []
    store.save(StateChange(workers=[replace(workers[3], status=WorkerStatus.RUNNING)]))
    assert {each.status for each in store.status_counts(["a"])["a"]} == {"success", "running"}


def test_the_first_failed_worker_of_a_job_has_its_reason_in_one_line(store: Store) -> None:
    root = a_job()
    child = a_child("c", root)
    long = f"exit code 3: \0 \ud800\n{'more ' * 1000}"
    workers = [
        a_worker(root, 0, status=WorkerStatus.SUCCESS),
        a_worker(root, 2, status=WorkerStatus.FAILED, reason="second"),
        a_worker(root, 1, status=WorkerStatus.TIMEOUT, reason=long),
        a_worker(child, 0, id="worker_1_1", status=WorkerStatus.FAILED, reason="x" * 1000),
    ]
    store.save(StateChange(new_jobs=[root, child, a_job("z")], new_workers=workers))

    found = store.first_failures(["a", "c", "z"])

    first, below = found["a"], found["c"]
    assert (first.worker_id, first.reason) == (workers[2].id, "exit code 3: \0 \ud800")
    assert (below.worker_id, below.reason) == ("worker_1_1", "x" * 200)
    assert "z" not in found


def test_jobs_with_needs_are_found_with_the_rivals_of_their_workers(store: Store) -> None:
    asking = a_job("a", status=JobStatus.FAILED)
    waiting = a_job("b", awaits_approval=True, status=JobStatus.PLANNING, submitted_by="me")
    failure = Failure(
        attempt=1,
        kind=FailureKind.UNKNOWN,
        strategy=RetryStrategy.ESCALATE,
        reason="",
        confidence=1,
        cause=ASKED,
    )
    question = a_worker(
        asking,
        0,
        status=WorkerStatus.FAILED,
        attempt=1,
        result=WorkerResult(failures=(failure,)),
    )
    rival = a_worker(asking, 1, task_id="t0")
    other = a_worker(asking, 2)
    jobs = [asking, waiting, a_job("c")]
    store.save(StateChange(new_jobs=jobs, new_workers=[question, rival, other]))

    assert store.jobs_with_needs(["a"], None) == [(asking, [question, rival])]
    assert store.jobs_with_needs(None, "me") == [(waiting, [])]
    assert sorted(job.id for job, _ in store.jobs_with_needs(None, None)) == ["a", "b"]
    store.save(StateChange(jobs=[replace(waiting, awaits_approval=False)]))
    assert [job.id for job, _ in store.jobs_with_needs(None, None)] == ["a"]


def workers_of(store: Store, **filters: Any) -> list[str]:
    page = store.worker_page("a", WorkerFilter(job_id="a", **filters), 0, 50, 100.0)
    assert page.total == len(page.workers)
    return [worker.id for worker in page.workers]


def test_workers_come_by_page_filter_and_order(store: Store) -> None:
    job = a_job()
    cheap, dear = (WorkerResult(usage=Usage(cost_usd=usd)) for usd in (0.1, 2.0))
    rows: list[dict[str, Any]] = [
        {"status": WorkerStatus.SUCCESS, "started_at": 1.0, "ended_at": 9.0, "result": cheap},
        {"status": WorkerStatus.RUNNING, "started_at": 2.0, "result": dear, "agent": "claude"},
        {"status": WorkerStatus.FAILED, "started_at": 1.0, "ended_at": 2.0, "reason": "No GPU"},
        {"status": WorkerStatus.PENDING},
    ]
    store.save(
        StateChange(
            new_jobs=[job],
            new_tasks=[("a", 3, TaskSpec(id="t3", title="Write Docs", model="m", role="docs"))],
            new_workers=[a_worker(job, at, **row) for at, row in enumerate(rows)],
            events=[an_event(job, 1)],
        )
    )
    one, two, three, four = (f"worker_{number}" for number in (1, 2, 3, 4))

    assert workers_of(store) == [one, two, three, four]
    assert workers_of(store, order=WorkerOrder.SECONDS) == [two, one, three, four]
    assert workers_of(store, order=WorkerOrder.COST) == [two, one, three, four]
    assert workers_of(store, order=WorkerOrder.ATTENTION) == [three, two, four, one]
    assert workers_of(store, statuses=["failed", "pending"]) == [three, four]
    assert workers_of(store, agents=["claude"]) == [two]
    assert workers_of(store, text="gpu") == [three]
    assert workers_of(store, text="write d") == [four]
    assert workers_of(store, text="WORKER_2") == [two]
    page = store.worker_page("a", WorkerFilter(job_id="a"), 2, 1, 100.0)
    assert ([each.id for each in page.workers], page.total, page.last_seq) == ([three], 4, 1)
    last = store.worker_page("a", WorkerFilter(job_id="a", text="docs"), 0, 9, 100.0)
    assert last.labels == {"t3": TaskLabel("Write Docs", "m", "docs")}
    assert store.worker_page("a", WorkerFilter(job_id="a"), 90, 10, 100.0).workers == []
    assert store.task("a", "t3") == TaskSpec(id="t3", title="Write Docs", model="m", role="docs")
    assert store.task("a", "t9") is None


def test_the_order_of_ended_workers_follows_each_change(store: Store) -> None:
    job = a_job()
    ended = {"started_at": 1.0, "ended_at": 2.0}
    workers = [
        a_worker(job, 0, status=WorkerStatus.SUCCESS, **ended),
        a_worker(job, 1, status=WorkerStatus.FAILED, agent="claude", **ended),
    ]
    store.save(StateChange(new_jobs=[job], new_workers=workers))
    attention = {"order": WorkerOrder.ATTENTION}

    for _ in range(2):
        assert workers_of(store, **attention) == ["worker_2", "worker_1"]
        assert workers_of(store) == ["worker_1", "worker_2"]
        assert workers_of(store, statuses=["failed"], **attention) == ["worker_2"]
        assert workers_of(store, agents=["claude"], **attention) == ["worker_2"]
    page = store.worker_page("a", WorkerFilter(job_id="a", **attention), 1, 1, 100.0)
    assert ([each.id for each in page.workers], page.total) == (["worker_1"], 2)

    again = replace(workers[1], status=WorkerStatus.RUNNING, ended_at=None)
    store.save(StateChange(workers=[again]))
    assert workers_of(store, statuses=["failed"], **attention) == []
    first, second = (
        replace(each, status=status, ended_at=3.0)
        for each, status in zip(workers, (WorkerStatus.FAILED, WorkerStatus.SUCCESS), strict=True)
    )
    store.save(StateChange(workers=[first, second]))
    assert workers_of(store, **attention) == ["worker_1", "worker_2"]


def check_orders(store: Store) -> None:
    """Compare all orders with the orders of a text filter, which reads all rows each time."""
    for order in WorkerOrder:
        for filters in ({}, {"statuses": ["failed", "running"]}, {"agents": ["shell"]}):
            found = workers_of(store, order=order, **filters)
            assert found == workers_of(store, order=order, text="worker_", **filters)


@pytest.mark.parametrize("most_changed", [1000, 1])
def test_each_order_follows_the_changes_of_running_workers(
    store: Store, monkeypatch: pytest.MonkeyPatch, most_changed: int
) -> None:
    monkeypatch.setattr(worker_lists, "MOST_CHANGED", most_changed)
    job = a_job()
    workers = [
        a_worker(job, 0, status=WorkerStatus.RUNNING, attempt=1, started_at=5.0),
        a_worker(job, 1, status=WorkerStatus.RUNNING, attempt=1, started_at=2.0),
        a_worker(job, 2, status=WorkerStatus.SUCCESS, attempt=1, started_at=1.0, ended_at=99.0),
        a_worker(job, 3),
    ]
    attempt = replace(an_attempt(workers[0], 1), started_at=5.0, ended_at=None)
    store.save(StateChange(new_jobs=[job], new_workers=workers, new_attempts=[attempt]))
    check_orders(store)
    dear = WorkerResult(usage=Usage(cost_usd=2.0))
    changes = [
        StateChange(workers=[replace(workers[3], status=WorkerStatus.RUNNING, started_at=1.5)]),
        StateChange(workers=[replace(workers[1], status=WorkerStatus.FAILED, ended_at=98.0)]),
        StateChange(workers=[replace(workers[2], result=dear, agent="claude")]),
        StateChange(
            workers=[replace(workers[0], attempt=2)],
            attempts=[replace(attempt, ended_at=7.0)],
            new_attempts=[replace(an_attempt(workers[0], 2), started_at=97.0)],
        ),
        StateChange(new_workers=[a_worker(job, 4, status=WorkerStatus.TIMEOUT)]),
        StateChange(jobs=[replace(job, reason="no worker changes")]),
    ]
    for change in changes:
        store.save(change)
        check_orders(store)
    assert len(workers_of(store)) == 5


def test_the_time_of_a_worker_is_that_of_its_attempts(store: Store) -> None:
    job = a_job()
    again = a_worker(job, 0, attempt=2, started_at=1.0, ended_at=361.0)
    running = a_worker(job, 1, attempt=2, started_at=1.0, status=WorkerStatus.RUNNING)
    once = a_worker(job, 2, attempt=1, started_at=1.0, ended_at=9.0)
    times = [(again, 1, 1.0, 3.0), (again, 2, 360.0, 361.0), (once, 1, 1.0, 7.0)]
    times += [(running, 1, 1.0, 2.0), (running, 2, 90.0, None)]
    attempts = [
        replace(an_attempt(worker, number), started_at=start, ended_at=end)
        for worker, number, start, end in times
    ]
    workers = [again, running, once]
    store.save(StateChange(new_jobs=[job], new_workers=workers, new_attempts=attempts))

    found = store.snapshot("a")

    assert found is not None
    assert found.workers.idle_seconds == (357.0, 88.0, 0.0)
    by_time = ["worker_2", "worker_3", "worker_1"]
    assert workers_of(store, order=WorkerOrder.SECONDS) == by_time


def test_usage_is_summed_by_key_and_bucket(store: Store) -> None:
    red = a_job("a", config=replace(CONFIG, labels={"team": "red"}))
    child, other = a_child("c", red), a_job("b", submitted_by="me")
    one = WorkerResult(usage=Usage(input_tokens=5, output_tokens=1, cost_usd=0.25))
    two = WorkerResult(
        usage=Usage(input_tokens=1, cache_read_tokens=7, cost_usd=1.0, cost_estimated=True)
    )
    done, day = WorkerStatus.SUCCESS, 86_400.0
    workers = [
        a_worker(red, 0, agent="claude", status=done, started_at=1.0, ended_at=day + 1, result=one),
        a_worker(
            red,
            1,
            agent="codex",
            started_at=1.0,
            ended_at=2 * day - 0.5,
            result=replace(two, model="small"),
        ),
        a_worker(
            child,
            0,
            id="worker_1_1",
            agent="claude",
            status=done,
            started_at=1.0,
            ended_at=2 * day,
        ),
        a_worker(red, 2),
        a_worker(red, 3, agent="codex", status=WorkerStatus.SKIPPED, ended_at=2 * day),
        a_worker(red, -1, id="p", kind=WorkerKind.PLANNER, agent="codex", started_at=day + 2),
        a_worker(other, 0, agent="codex", started_at=1.0, ended_at=3 * day, result=one),
    ]
    tasks = [("a", 0, TaskSpec(id="t0", model="large"))]
    store.save(StateChange(new_jobs=[red, child, other], new_tasks=tasks, new_workers=workers))

    claude, codex = store.usage(UsageFilter(by=UsageBy.AGENT))
    assert (claude.key, claude.jobs, claude.workers, claude.succeeded) == ("claude", 2, 2, 2)
    assert (claude.tokens_in, claude.tokens_out, claude.cost_usd) == (5, 1, 0.25)
    assert (codex.workers, codex.cost_usd, codex.cache_read) == (2, 1.25, 7)
    assert (codex.estimated, codex.partial, codex.at) == (True, False, None)
    days = store.usage(UsageFilter(by=UsageBy.DAY, bucket_seconds=86_400))
    assert [(row.at, row.workers) for row in days] == [(day, 2), (2 * day, 1), (3 * day, 1)]
    models = store.usage(UsageFilter(by=UsageBy.MODEL))
    # A model that a worker used has priority over the model that its task names.
    assert [(row.key, row.workers) for row in models] == [("", 2), ("large", 1), ("small", 1)]
    labels = store.usage(UsageFilter(by=UsageBy.LABEL, label="team"))
    assert [(row.key, row.workers, row.cost_usd) for row in labels] == [
        ("", 1, 0.25),
        ("red", 3, 1.25),
    ]
    roots = store.usage(UsageFilter(by=UsageBy.JOB, since=2 * day, until=3 * day))
    assert [(row.key, row.workers) for row in roots] == [("a", 1)]
    assert [row.key for row in store.usage(UsageFilter(by=UsageBy.JOB, submitted_by="me"))] == ["b"]


def test_usage_counts_ended_workers_separately(store: Store) -> None:
    job = a_job("a", config=replace(CONFIG, labels={"team": "red"}))
    done = a_worker(job, 0, status=WorkerStatus.SUCCESS, started_at=1.0, ended_at=2.0)
    failed = a_worker(job, 1, status=WorkerStatus.FAILED, started_at=1.0, ended_at=2.0)
    running = a_worker(job, 2, status=WorkerStatus.RUNNING, started_at=1.0)
    store.save(StateChange(new_jobs=[job], new_workers=[done, failed, running]))

    for by in (UsageBy.AGENT, UsageBy.LABEL):
        (row,) = store.usage(UsageFilter(by=by, label="team"))
        assert (row.workers, row.ended, row.succeeded) == (3, 2, 1)


def test_usage_counts_workers_whose_cost_is_incomplete(store: Store) -> None:
    job = a_job("a", config=replace(CONFIG, labels={"team": "red"}))
    usages = [
        Usage(input_tokens=5, cost_usd=0.25),
        Usage(input_tokens=5),
        Usage(input_tokens=5, cost_usd=0.5, partial=True),
        Usage(),
    ]
    workers = [
        a_worker(
            job,
            at,
            agent="claude",
            started_at=1.0,
            ended_at=9.0,
            result=WorkerResult(usage=usage),
        )
        for at, usage in enumerate(usages)
    ]
    store.save(StateChange(new_jobs=[job], new_workers=workers))

    for by in (UsageBy.AGENT, UsageBy.LABEL):
        (row,) = store.usage(UsageFilter(by=by, label="team"))
        assert (row.workers, row.incomplete, row.partial, row.cost_usd) == (4, 2, True, 0.75)


def test_a_change_replaces_what_is_in_memory(store: Store) -> None:
    job = a_job()
    workers = [a_worker(job, at) for at in range(3)]
    store.save(StateChange(new_jobs=[job], new_workers=workers, events=[an_event(job, 1)]))
    before, version = store.workers("a"), store.version("a")
    assert (store.job("a"), store.last_seq("a")) == (job, 1)

    running = replace(workers[1], status=WorkerStatus.RUNNING)
    started = replace(job, status=JobStatus.RUNNING)
    store.save(StateChange(jobs=[started], workers=[running], events=[an_event(job, 2)]))

    assert store.workers("a") == [workers[0], running, workers[2]]
    assert store.workers("a")[1] is running
    assert (store.job("a"), store.last_seq("a")) == (started, 2)
    assert before == workers
    assert store.version("a") > version


MANY = 10_000


@pytest.mark.slow
def test_ten_thousand_workers_are_read_in_columns_and_pages(store: Store) -> None:
    job = a_job(created_at=1_764_000_000.0)
    tasks = [("a", at, TaskSpec(id=f"t{at}", command="true")) for at in range(MANY)]
    workers = [
        a_worker(
            job,
            at,
            status=WorkerStatus.SUCCESS if at % 10 else WorkerStatus.FAILED,
            reason="" if at % 10 else "exit code 1",
            started_at=1_764_000_001.0 + at / 100,
            ended_at=1_764_000_001.5 + at / 90,
        )
        for at in range(MANY)
    ]
    store.save(StateChange(new_jobs=[job], new_tasks=tasks, new_workers=workers))

    found = store.snapshot("a")

    assert found is not None
    assert list(found.workers.id) == [worker.id for worker in workers]
    assert len(columns_answer(found)) <= 450_000
    filters = WorkerFilter(job_id="a", order=WorkerOrder.ATTENTION)
    page = store.worker_page("a", filters, 900, 500, 0.0)
    assert (page.total, len(page.workers)) == (MANY, 500)
    assert [each.status for each in page.workers[98:102]] == ["failed"] * 2 + ["success"] * 2
    [count] = [each for each in store.status_counts(["a"])["a"] if each.status == "failed"]
    assert count.workers == MANY // 10
