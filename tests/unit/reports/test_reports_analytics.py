"""The figures of jobs: values for known trees, and consistency."""

import json
from dataclasses import replace

import pytest
import trees
from hypothesis import given
from hypothesis import strategies as st
from planted import ROOT, START, TreeBuilder

from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.job import TaskSpec, new_planner, wall_seconds
from orchestrator.core.model.states import JobStatus, WorkerKind, WorkerStatus
from orchestrator.core.ports import Tree
from orchestrator.reports.figures.analytics import SCHEMA, Analytics, Total, analytics_of, as_json
from orchestrator.reports.figures.job_tree_index import JobTreeIndex
from orchestrator.reports.timeline import timeline


def analytics(tree: Tree, job_id: str, processors: int = 8) -> Analytics:
    index = JobTreeIndex(tree)
    return analytics_of(index, index.job(job_id), processors)


def test_work_wall_and_efficiency_of_two_levels() -> None:
    figures = analytics(trees.two_levels(), ROOT)
    assert figures.wall_seconds == 20
    # 3 s of worker_1, 20 s of worker_2 minus 13 s of its child job, 7 s and 13 s in the child job.
    assert figures.work_seconds == 3 + 7 + 7 + 13
    assert figures.busy_slots == pytest.approx(1.5)
    assert figures.efficiency == pytest.approx(0.5)
    assert figures.waited_seconds == 13


def test_the_concurrency_counts_the_latest_run_only() -> None:
    builder = TreeBuilder()
    job = builder.job("x", span=(0, 6))
    builder.worker(job, "worker_1", TaskSpec(id="a"), (0, 6))
    [worker] = builder.tree.workers
    # A person sends feedback ten seconds later, and the worker runs for four seconds more.
    [attempt] = builder.tree.attempts
    later = replace(attempt, number=2, started_at=START + 16, ended_at=START + 20)
    again = replace(worker, attempt=2, ended_at=START + 20)
    job = replace(job, started_at=START + 16, ended_at=START + 20)
    tree = replace(builder.tree, jobs=[job], workers=[again], attempts=[attempt, later])

    figures = analytics(tree, ROOT)

    assert (figures.wall_seconds, figures.work_seconds) == (4, 10)
    assert figures.busy_slots == pytest.approx(1.0)


def test_the_wall_time_of_a_job_whose_planning_failed_is_that_of_its_planner() -> None:
    builder = TreeBuilder()
    job = builder.job("Build a blog")
    planner = replace(
        new_planner(job, "claude", "planner"),
        status=WorkerStatus.FAILED,
        started_at=START,
        ended_at=START + 6,
    )
    # The reports are written before the job's end is stored.
    failed = replace(job, status=JobStatus.FAILED, ended_at=None)

    tree = replace(builder.tree, jobs=[failed], planners=[planner])
    figures = analytics(tree, ROOT)

    assert (figures.wall_seconds, figures.ended_at) == (6, START + 6)


def reviewed_tree() -> Tree:
    """A task with two candidates and a review from second 5 to second 12, then another task."""
    builder = TreeBuilder()
    job = builder.job("x")
    task = TaskSpec(id="a", agents=("claude", "codex"))
    builder.worker(job, "worker_1", task, (0, 3))
    builder.worker(job, "worker_2", task, (0, 5))
    builder.worker(job, "reviewer_1", task, (5, 12))
    builder.worker(job, "worker_3", TaskSpec(id="b", depends_on=("a",)), (13, 14))
    first, second, reviewer, last = builder.tree.workers
    reviewer = replace(reviewer, kind=WorkerKind.REVIEWER)
    return replace(builder.tree, workers=[first, second, last], reviewers=[reviewer])


def test_the_time_of_a_review_counts_between_its_task_and_the_tasks_that_depend_on_it() -> None:
    tree = reviewed_tree()
    figures = analytics(tree, ROOT)

    steps = [(step.worker_id, step.seconds) for step in figures.critical_path.steps]
    assert steps == [("worker_2", 5), ("reviewer_1", 7), ("worker_3", 1)]
    assert (figures.bottleneck, figures.work_seconds) == ("reviewer_1", 3 + 5 + 7 + 1)
    assert [each.queued_seconds for each in figures.workers] == [0, 0, 1]
    index = JobTreeIndex(tree)
    drawn = timeline(index, index.job(ROOT), figures)
    [section] = drawn.sections
    assert [bar.name.split()[0] for bar in section.bars] == [
        *("worker_1", "worker_2", "worker_3"),
        "reviewer_1",
    ]


@pytest.mark.parametrize("ended_at", [None, START + 13])
def test_the_wall_time_of_a_job_includes_its_last_review(ended_at: float | None) -> None:
    tree = reviewed_tree()
    workers = tree.workers[:2]
    status = JobStatus.RUNNING if ended_at is None else JobStatus.COMPLETED
    job = replace(tree.root, status=status, ended_at=ended_at)

    figures = analytics(replace(tree, jobs=[job], workers=workers), ROOT)

    assert figures.wall_seconds == 12


def test_the_wall_time_stays_the_same_when_reports_are_written_again() -> None:
    tree = trees.two_levels()
    # A job's end is stored after the merge and the reports.
    ended_jobs = [
        replace(job, status=JobStatus.COMPLETED, ended_at=START + 26) for job in tree.jobs
    ]

    figures = analytics(replace(tree, jobs=ended_jobs), ROOT)

    assert figures.wall_seconds == analytics(tree, ROOT).wall_seconds == 20
    root, *_ = ended_jobs
    own_workers = [worker for worker in tree.workers if worker.job_id == ROOT]
    assert figures.wall_seconds == wall_seconds(root, own_workers)


@pytest.mark.parametrize(
    ("slots", "workers", "processors", "usable", "efficiency"),
    [(10, 2, 8, 2, 0.75), (2, 3, 8, 2, 1.0), (10, 4, 2, 2, 1.0), (10, 4, 8, 4, 0.625)],
)
def test_efficiency_is_of_the_slots_that_could_be_busy(
    slots: int, workers: int, processors: int, usable: int, efficiency: float
) -> None:
    builder = TreeBuilder(slots=slots)
    job = builder.job("x")
    for number in range(1, workers + 1):
        span = (0, 4 if number == 1 else 2)
        builder.worker(job, f"worker_{number}", TaskSpec(id=f"t{number}"), span)
    figures = analytics(builder.tree, job.id, processors)
    assert (figures.usable_slots, figures.processors) == (usable, processors)
    assert figures.parallel_efficiency == pytest.approx(efficiency)


def test_a_parent_contains_the_critical_path_of_its_child_job() -> None:
    path = analytics(trees.two_levels(), ROOT).critical_path
    assert path.seconds == 20
    assert [(step.worker_id, step.seconds) for step in path.steps] == [
        ("worker_2", 7),
        ("worker_2_2", 13),
    ]


def test_the_critical_path_follows_dependencies() -> None:
    builder = TreeBuilder()
    job = builder.job("x")
    builder.worker(job, "worker_1", TaskSpec(id="a"), (0, 5))
    builder.worker(job, "worker_2", TaskSpec(id="b"), (0, 8))
    builder.worker(job, "worker_3", TaskSpec(id="c", depends_on=("a",)), (6, 10))
    figures = analytics(builder.tree, job.id)
    assert [step.worker_id for step in figures.critical_path.steps] == ["worker_1", "worker_3"]
    assert figures.critical_path.seconds == 9
    assert figures.bottleneck == "worker_1"
    # worker_3 could have started when a had ended.
    assert figures.workers[2].queued_seconds == 1


def test_child_jobs_one_after_another_both_count_and_side_by_side_the_longest() -> None:
    builder = TreeBuilder()
    job = builder.job("x")
    parent = builder.worker(job, "worker_1", TaskSpec(id="a"), (0, 30))
    spans = {"one": (1.0, 5.0), "two": (6.0, 16.0), "three": (7.0, 10.0)}
    for number, (job_id, span) in enumerate(spans.items(), start=1):
        child = builder.job(
            job_id, job_id=job_id, parent=parent, span=span, status=JobStatus.COMPLETED
        )
        builder.worker(child, f"worker_1_{number}", TaskSpec(id="t"), span)
    path = analytics(builder.tree, job.id).critical_path
    assert [step.worker_id for step in path.steps] == ["worker_1", "worker_1_1", "worker_1_2"]
    assert path.seconds == (30 - 4 - 10) + 4 + 10


def test_a_sum_counts_its_unknown_parts() -> None:
    figures = analytics(trees.candidates(), ROOT)
    assert figures.input_tokens == Total(value=58_200, known=2, unknown=1)
    assert figures.cost_usd == Total(value=0.0712, known=1, unknown=2)
    assert figures.steps == Total(value=None, known=0, unknown=3)


def test_commands_and_questions_do_not_count_as_unknown_usage() -> None:
    builder = TreeBuilder()
    job = builder.job("x")
    for agent in ("claude", "shell", "person", "survey"):
        usage = Usage(cost_usd=0.5, input_tokens=7) if agent == "claude" else Usage()
        builder.worker(job, agent, TaskSpec(id=agent), (0, 1), agent=agent, usage=usage)
    figures = analytics(builder.tree, job.id)
    assert figures.cost_usd == Total(value=0.5, known=1, unknown=0)
    assert figures.input_tokens == Total(value=7, known=1, unknown=0)


def test_a_partly_reported_cost_counts_as_unknown() -> None:
    builder = TreeBuilder()
    job = builder.job("x")
    usage = Usage(cost_usd=0.5, partial=True)
    builder.worker(job, "worker_1", TaskSpec(id="a"), (0, 1), agent="claude", usage=usage)
    assert analytics(builder.tree, job.id).cost_usd == Total(value=0.5, known=0, unknown=1)


def test_only_the_usage_of_a_planner_counts() -> None:
    builder = TreeBuilder()
    job = builder.job("x")
    builder.worker(job, "worker_1", TaskSpec(id="a"), (2, 4), usage=Usage(input_tokens=10))
    builder.worker(job, "planner", TaskSpec(id="p"), (0, 2), usage=Usage(input_tokens=5))
    worker, planner = builder.tree.workers
    planner = replace(planner, kind=WorkerKind.PLANNER)
    tree = replace(builder.tree, workers=[worker], planners=[planner])
    figures = analytics(tree, job.id)
    assert figures.input_tokens == Total(value=15, known=2, unknown=0)
    assert (figures.attempts, figures.work_seconds, len(figures.workers)) == (1, 2, 1)


def test_a_known_zero_is_not_unknown() -> None:
    builder = TreeBuilder()
    job = builder.job("x")
    builder.worker(job, "worker_1", TaskSpec(id="a"), (0, 1), usage=Usage(cost_usd=0.0))
    assert analytics(builder.tree, job.id).cost_usd == Total(value=0.0, known=1, unknown=0)


def test_memory_and_cpu_that_were_not_measured_are_not_known() -> None:
    builder = TreeBuilder()
    job = builder.job("x")
    builder.worker(job, "worker_1", TaskSpec(id="a"), (0, 1), peak_memory_bytes=0, cpu_seconds=0.0)
    figures = analytics(builder.tree, job.id)
    assert figures.workers[0].cpu_seconds is None
    assert figures.peak_memory_bytes is None


def test_retries_strays_and_statuses_are_counted() -> None:
    assert analytics(trees.retries(), ROOT).retries == 2
    figures = analytics(trees.failure_skip_timeout(), ROOT)
    assert figures.strays == 1
    assert figures.workers_by_status == {
        WorkerStatus.SUCCESS: 1,
        WorkerStatus.FAILED: 1,
        WorkerStatus.TIMEOUT: 1,
        WorkerStatus.SKIPPED: 1,
    }


@pytest.mark.parametrize(
    ("case", "status"),
    [
        ("single_success", JobStatus.COMPLETED),
        ("failure_skip_timeout", JobStatus.PARTIAL),
        ("candidates", JobStatus.COMPLETED),
        ("cancelled", JobStatus.CANCELLED),
    ],
)
def test_the_status_follows_from_the_workers_before_it_is_stored(
    case: str, status: JobStatus
) -> None:
    assert analytics(trees.ALL[case](), ROOT).status is status


def test_a_child_job_has_figures_of_its_own() -> None:
    figures = analytics(trees.two_levels(), "d4e5f6")
    assert figures.wall_seconds == 13
    assert [worker.worker_id for worker in figures.workers] == ["worker_2_1", "worker_2_2"]


def test_a_job_without_workers_has_figures() -> None:
    builder = TreeBuilder()
    job = builder.job("x")
    figures = analytics(builder.tree, job.id)
    assert figures.status is JobStatus.FAILED
    assert figures.efficiency is None
    assert figures.bottleneck is None


def test_an_attempt_whose_end_was_lost_counts_nothing() -> None:
    builder = TreeBuilder()
    job = builder.job("x")
    builder.worker(job, "worker_1", TaskSpec(id="a"), (0, 1))
    attempt = builder.attempts[0]
    builder.attempts[0] = type(attempt)(
        root_id=attempt.root_id,
        worker_id=attempt.worker_id,
        number=1,
        job_id=attempt.job_id,
        started_at=attempt.started_at,
    )
    assert analytics(builder.tree, job.id).work_seconds == 0


def test_a_clock_that_was_set_back_makes_no_time_negative() -> None:
    builder = TreeBuilder()
    done = JobStatus.COMPLETED
    job = builder.job("x", span=(100, 40), status=done)
    parent = builder.worker(job, "worker_1", TaskSpec(id="a"), (100, 30))
    child = builder.job("y", job_id="c", parent=parent, span=(110, 20), status=done)
    builder.worker(child, "worker_1_1", TaskSpec(id="b"), (110, 20))
    figures = analytics(builder.tree, job.id)
    times = [figures.wall_seconds, figures.work_seconds, figures.queued_seconds]
    assert times == [0, 0, 0]
    assert [each.wall_seconds for each in figures.jobs] == [0, 0]
    assert figures.critical_path.seconds == 0


@given(st.lists(st.tuples(st.sets(st.integers(0, 9)), st.integers(0, 9)), max_size=10))
def test_no_job_is_faster_than_its_critical_path(plan: list[tuple[set[int], int]]) -> None:
    builder = TreeBuilder(slots=10)
    job = builder.job("x")
    ends: list[float] = []
    for number, (needed, seconds) in enumerate(plan):
        before = sorted(other for other in needed if other < number)
        start = max((ends[other] for other in before), default=0.0)
        ends.append(start + seconds)
        task = TaskSpec(id=str(number), depends_on=tuple(map(str, before)))
        builder.worker(job, f"worker_{number + 1}", task, (start, start + seconds))
    figures = analytics(builder.tree, job.id)
    # With a slot for every worker, no worker waits, so the job takes exactly this time.
    assert figures.critical_path.seconds == pytest.approx(figures.wall_seconds)
    assert figures.critical_path.seconds == pytest.approx(
        sum(step.seconds for step in figures.critical_path.steps)
    )


@pytest.mark.parametrize("case", sorted(trees.ALL))
def test_the_json_is_json_with_its_schema(case: str) -> None:
    figures = analytics(trees.ALL[case](), ROOT)
    loaded = json.loads(as_json(figures))
    assert loaded["schema"] == SCHEMA == 1
    assert [worker["worker_id"] for worker in loaded["workers"]] == [
        worker.worker_id for worker in figures.workers
    ]
    assert sum(depth["workers"] for depth in loaded["depths"]) == len(loaded["workers"])
