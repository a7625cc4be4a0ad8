"""The columns in which answers have the workers of a job tree."""

import json
from typing import Any

from orchestrator.api.serializers.worker_columns import columns_answer
from orchestrator.core.ports.read_models import JobNode, TaskRow, TreeSnapshot, WorkerColumns
from orchestrator.schemas.answers.worker_columns import ColumnsAnswer

ROOT = JobNode("a", None, None, 0, "running", "Do it", 100.0, 101.0)


def columns(rows: list[dict[str, Any]]) -> WorkerColumns:
    usual = {
        "job_id": "a",
        "agent": "shell",
        "status": "success",
        "reason": "",
        "attempt": 1,
        "started_at": 101.0,
        "ended_at": 102.0,
        "idle_seconds": 0.0,
        "child_job_ids": (),
        "steps": None,
        "tokens": None,
        "cost_usd": None,
        "gates_passed": 0,
        "gates_failed": 0,
        "gates_not_run": 0,
        "files": 0,
        "chosen": None,
    }
    full = [{**usual, "position": at, **row} for at, row in enumerate(rows)]
    return WorkerColumns(**{name: [row[name] for row in full] for name in WorkerColumns._fields})


def answer(rows: list[dict[str, Any]], tasks: list[TaskRow], *jobs: JobNode) -> dict[str, Any]:
    found = TreeSnapshot(jobs=[ROOT, *jobs], tasks=tasks, workers=columns(rows), last_seq=7)
    body = json.loads(columns_answer(found))
    ColumnsAnswer.model_validate(body)
    return dict(body)


def test_equal_values_are_sent_once() -> None:
    rows = [{"id": f"worker_{at}", "task_id": f"t{at}"} for at in (1, 2)]
    tasks = [TaskRow("a", f"t{at}", f"t{at}", ()) for at in (1, 2)]

    found = answer(rows, tasks)

    assert (found["seq"], found["n"], found["at"]) == (7, 2, 100.0)
    assert found["worker"] is None
    assert found["task"] == ["t1", "t2"]
    once = {
        "title": "",
        "j": 0,
        "s": 0,
        "a": 0,
        "t0": 1.0,
        "t1": 2.0,
        "idle": 0.0,
        "cost": 0,
        "tokens": 0,
    }
    once |= {"attempt": 1, "files": 0, "chosen": 0, "parent": -1, "gates": 0, "deps": 0}
    assert {name: found[name] for name in once} == once


def test_ids_are_sent_unless_they_are_consecutive_numbers() -> None:
    rows = [{"id": f"worker_{at}", "task_id": "t"} for at in (2, 1)]

    assert answer(rows, [])["worker"] == [2, 1]
    assert answer(rows[:1], [])["worker"] == [2]


def test_values_that_differ_are_lists() -> None:
    rows = [
        {"id": "worker_1", "task_id": "t1", "chosen": True, "gates_passed": 2, "cost_usd": 0.25},
        {"id": "worker_2", "task_id": "t1", "chosen": False, "agent": "claude", "tokens": 9},
        {
            "id": "worker_1_1",
            "task_id": "x",
            "job_id": "b",
            "status": "failed",
            "reason": "no" * 99,
            "started_at": None,
            "ended_at": None,
        },
    ]
    child = JobNode("b", "a", "worker_1", 1, "failed", "Part", 101.0, 101.5)

    found = answer(rows, [TaskRow("a", "t1", "One", ()), TaskRow("b", "x", "x", ())], child)

    assert found["worker"] == [1, 2, "1_1"]
    assert found["agents"] == ["shell", "claude"]
    assert (found["a"], found["j"], found["parent"]) == ([0, 1, 0], [0, 0, 1], [-1, -1, 0])
    assert (found["title"], found["gates"]) == (["One", "One", ""], [[2, 0, 0], 0, 0])
    assert (found["cost"], found["tokens"]) == ([0.25, 0, 0], [0, 9, 0])
    assert (found["chosen"], found["t1"]) == ([True, False, 0], [2.0, 2.0, None])
    assert found["reason"] == {"2": ("no" * 99)[:117] + "..."}
    assert found["jobs"][1]["parent_worker"] == "worker_1"


def test_dependencies_are_places_and_the_longest_chain_is_named() -> None:
    rows = [
        {"id": "worker_1", "task_id": "quick", "ended_at": 102.0},
        {"id": "worker_2", "task_id": "slow", "ended_at": 109.0},
        {"id": "worker_3", "task_id": "last", "started_at": 109.0, "ended_at": 110.0},
    ]
    needs = TaskRow("a", "last", "", ("quick", "slow"))

    found = answer(rows, [TaskRow("a", "quick", "", ()), TaskRow("a", "slow", "", ()), needs])

    assert found["deps"] == [0, 0, [0, 1]]
    assert found["chain"] == [1, 2]


def test_a_job_without_workers_has_empty_columns() -> None:
    found = answer([], [])

    assert (found["n"], found["worker"], found["t0"], found["chain"]) == (0, None, [], [])
