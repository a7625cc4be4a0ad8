"""The demo's report about its job agrees with the job's files."""

from collections.abc import Mapping
from typing import Any

from orchestrator.cli.demo.story import Story

LOG = """\
2026-11-23T23:00:25.390Z job_submitted job=aa11 depth=0 tasks=2 request="x"
2026-11-23T23:00:25.390Z worker_started job=aa11 worker_1 attempt=1 agent=scripted
2026-11-23T23:00:25.391Z worker_started job=aa11 worker_2 attempt=1 agent=scripted
2026-11-23T23:00:26.390Z worker_started job=bb22 worker_1_1 attempt=1 agent=scripted
2026-11-23T23:00:26.391Z worker_retrying job=aa11 worker_1 attempt=1
2026-11-23T23:00:26.490Z worker_started job=aa11 worker_1 attempt=2 agent=scripted
2026-11-23T23:00:27.390Z worker_ended job=aa11 worker_2 status=success
2026-11-23T23:00:27.391Z worker_sent_back job=aa11 worker_2 attempt=1 status=pending
"""


def task(worker_id: str, status: str = "success", **more: Any) -> Mapping[str, Any]:
    return {"worker_id": worker_id, "status": status, "attempts": 2, **more}


def story(*tasks: Mapping[str, Any], log: str = LOG) -> list[str]:
    status = {"job_id": "aa11", "results": {"tasks": [*tasks]}}
    figures = [{"worker_id": "worker_1", "failures": [{"gates": ["tests"]}]}]
    return [*Story(status=status, log=log, figures=figures).lines()]


def test_each_part_that_happened_has_a_line() -> None:
    children = [{"job_id": "bb22"}, {"job_id": "bb22"}]

    assert story(task("worker_1", child_results=children), task("worker_2")) == [
        "2 workers ran in parallel",
        "worker_1 started child job bb22 with 2 workers",
        'attempt 2 of worker_1 repaired the change that gate "tests" had rejected',
        "attempt 2 of worker_2 resolved a merge conflict",
    ]


def test_failed_workers_are_only_counted() -> None:
    assert story(task("worker_1", "failed"), task("worker_2", "failed")) == [
        "2 workers ran in parallel"
    ]


def test_without_a_log_the_story_is_empty() -> None:
    assert story(log="") == []
