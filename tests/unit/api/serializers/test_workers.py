"""Rows of workers as answers."""

import json
from dataclasses import replace
from typing import Any

from orchestrator.api.serializers.answer_parts import worker_seconds
from orchestrator.api.serializers.json_encoding import encoded
from orchestrator.api.serializers.workers import workers_answer
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.ports.read_models import WorkerPage, WorkerRow
from tests.contract.store_values import a_job, a_worker


def a_row(**different: Any) -> WorkerRow:
    row = WorkerRow(
        id="worker_1",
        job_id="j",
        task_id="a",
        position=0,
        agent="shell",
        status="recursive_success",
        reason="",
        attempt=1,
        started_at=1.0,
        ended_at=3.0,
        idle_seconds=0.0,
        child_job_ids=("k",),
        steps=None,
        tokens=None,
        cost_usd=None,
        gates_passed=0,
        gates_failed=0,
        gates_not_run=0,
        files=2,
        chosen=None,
    )
    return row._replace(**different)


def answer_of(row: WorkerRow) -> dict[str, Any]:
    page = WorkerPage(workers=[row], total=1, labels={}, last_seq=7)
    return dict(json.loads(encoded(workers_answer(page, 1, 50, now=9.0)))["workers"][0])


def test_a_row_is_encoded_without_a_warning() -> None:
    """The store returns a status as text; an answer's status is a member of the enum."""
    found = answer_of(a_row())
    assert (found["status"], found["seconds"], found["files"]) == ("recursive_success", 2.0, 2)


def test_the_time_of_a_worker_does_not_run_between_its_attempts() -> None:
    again = a_row(attempt=2, idle_seconds=1.5)
    assert answer_of(again)["seconds"] == 0.5
    assert answer_of(again._replace(status="running", ended_at=None))["seconds"] == 6.5
    waiting = answer_of(again._replace(status="pending", ended_at=None))
    assert waiting.get("seconds") is None


def test_the_answers_of_a_worker_state_the_time_of_its_attempts() -> None:
    result = WorkerResult(work_seconds=4.4)
    worker = a_worker(a_job(), 0, attempt=2, started_at=1.0, ended_at=360.0, result=result)
    assert worker_seconds(worker) == 4.4
    assert worker_seconds(replace(worker, attempt=1)) == 359.0
    assert worker_seconds(replace(worker, ended_at=None)) is None
