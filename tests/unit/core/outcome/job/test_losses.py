"""Work that a job's result lacks, although the merge reports no loss."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.model.job import Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.job.unmerged_changes import lacks_worktrees, lost_without_worktree
from tests.unit.core.factories import BASE, a_config, a_job, a_task


@pytest.mark.parametrize(
    ("config", "task", "status", "lost"),
    [
        ({"git": "on"}, {}, WorkerStatus.SUCCESS, True),
        ({}, {"git": "on"}, WorkerStatus.RECURSIVE_SUCCESS, True),
        # The worker failed, so none of its changes count.
        ({"git": "on"}, {}, WorkerStatus.FAILED, False),
        ({}, {}, WorkerStatus.SUCCESS, False),
        ({"git": "on"}, {"git": "auto"}, WorkerStatus.SUCCESS, False),
        ({"git": "off"}, {"git": "on"}, WorkerStatus.SUCCESS, False),
        ({"git": "on"}, {"workdir": "project"}, WorkerStatus.SUCCESS, False),
        # The merge reports this work.
        ({"git": "on", "base": BASE}, {}, WorkerStatus.SUCCESS, False),
    ],
)
def test_a_success_without_its_requested_worktree_is_lost(
    config: dict[str, str], task: dict[str, Any], status: WorkerStatus, lost: bool
) -> None:
    job, own = a_job(config=a_config(**config)), replace(a_task("a"), **task)
    worker = Worker(
        id="worker_1",
        job_id=job.id,
        root_id=job.id,
        task_id="a",
        index=0,
        depth=0,
        agent="shell",
        status=status,
    )

    found = [each.worker_id for each in lost_without_worktree(job, {"a": own}, [worker])]

    assert found == (["worker_1"] if lost else [])
    assert lacks_worktrees(job, [own]) or not lost
