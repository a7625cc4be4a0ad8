"""Rows of workers as answers."""

import json

from orchestrator.api.routes.response import encoded
from orchestrator.api.serializers.workers import workers_answer
from orchestrator.core.ports.listings import WorkerPage, WorkerRow


def test_a_row_is_encoded_without_a_warning() -> None:
    """The store returns a status as text, and the answer's status is a member."""
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
    page = WorkerPage(workers=[row], total=1, labels={}, last_seq=7)
    found = json.loads(encoded(workers_answer(page, 1, 50, now=9.0)))["workers"][0]
    assert (found["status"], found["seconds"], found["files"]) == ("recursive_success", 2.0, 2)
