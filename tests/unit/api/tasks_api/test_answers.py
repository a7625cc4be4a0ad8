"""Jobs as answers of ``/api/v1/tasks``."""

from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.api.tasks_api.answers import executor_stats, task_answer
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.ports.read_models import UsageRow
from tests.unit.core.factories import a_config, a_job, a_worker

LABELS = {"api": "tasks", "cli.0": "claude_code", "cli.1": "gemini", "cli_obstacle.1": "run: npm i"}


def test_a_partial_job_is_completed_with_an_error_and_a_failure() -> None:
    job = a_job(
        config=a_config(labels={"api": "tasks", "cli.0": "claude_code"}),
        status=JobStatus.PARTIAL,
        reason="not merged: worker_1",
        ended_at=9.0,
    )
    task = task_answer(job, [a_worker(status=WorkerStatus.SUCCESS)])
    assert (task.status, task.error) == ("completed", "not merged: worker_1")
    assert (task.success_count, task.failure_count, task.best_cli) == (1, 1, "claude_code")


def test_a_tool_without_a_worker_has_its_place_among_the_results() -> None:
    job = a_job(config=a_config(labels=LABELS), status=JobStatus.COMPLETED, ended_at=9.0)
    task = task_answer(job, [a_worker(status=WorkerStatus.RECURSIVE_SUCCESS, attempt=3)])
    assert [(x.cli_name, x.status, x.retries, x.error) for x in task.cli_results or ()] == [
        ("claude_code", "success", 2, None),
        ("gemini", "failure", 0, "run: npm i"),
    ]


def test_a_task_has_no_results_before_its_end() -> None:
    job = a_job(config=a_config(labels=LABELS), status=JobStatus.PLANNING)
    task = task_answer(job, [a_worker()])
    assert task.status == "running"
    assert task.cli_results is task.success_count is task.total_cost is task.best_cli is None


def test_an_unknown_cost_is_null_and_a_sum_of_costs_has_no_rounding_errors() -> None:
    labels = {"api": "tasks", "cli.0": "claude_code", "cli.1": "gemini", "cli.2": "codex"}
    job = a_job(config=a_config(labels=labels), status=JobStatus.COMPLETED, ended_at=9.0)

    def costs(*known: float | None) -> list[float | None]:
        workers = [
            a_worker(
                index=index,
                status=WorkerStatus.SUCCESS,
                result=WorkerResult(usage=Usage(cost_usd=cost)),
            )
            for index, cost in enumerate(known)
        ]
        task = task_answer(job, workers)
        return [task.total_cost, *(each.cost for each in task.cli_results or ())]

    assert costs(0.1, 0.2, None) == [0.3, 0.1, 0.2, None]
    assert costs(None, None, None) == [None] * 4


@pytest.mark.parametrize(
    ("workers", "executions", "average"),
    [
        ({"claude": 2, "person": 1}, {"claude": 2}, 0.25),
        # The planner of a job whose tasks have not started.
        ({"claude": 0}, {}, None),
    ],
)
def test_the_statistics_count_executions_of_tools_only(
    workers: dict[str, int], executions: dict[str, int], average: float | None
) -> None:
    rows = [
        UsageRow(
            key=name,
            at=None,
            jobs=1,
            workers=count,
            ended=count,
            succeeded=count,
            tokens_in=0,
            tokens_out=0,
            cache_read=0,
            cost_usd=None if name == "person" else 0.5,
            estimated=False,
            incomplete=0,
        )
        for name, count in workers.items()
    ]
    service: Any = SimpleNamespace(job_lists=SimpleNamespace(usage=lambda caller, which: rows))

    stats = executor_stats(service, Caller(name="k", scopes=frozenset()))

    counts = {name: each.execution_count for name, each in stats.adapter_stats.items()}
    assert {name: count for name, count in counts.items() if count} == executions
    assert (stats.total_executions, stats.total_cost) == (sum(executions.values()), 0.5)
    assert stats.average_cost == average
