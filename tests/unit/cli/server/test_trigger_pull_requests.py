"""Pull requests of triggers: what happens if ``land --pr`` fails."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.cli.server import trigger_pull_requests
from orchestrator.cli.server.trigger_pull_requests import DIRECTORY, MOST_ATTEMPTS, PullRequests

JOB = SimpleNamespace(id="a1", run=1, created_at=float("inf"))
READS = SimpleNamespace(
    jobs=lambda *given, **more: SimpleNamespace(jobs=[JOB]),
    cards=lambda ids: [SimpleNamespace(job=JOB)],
)


class Landing:
    """Stands in for the command ``land --pr``, which fails as often as a test says."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def __call__(self, command: Any, **how: Any) -> subprocess.CompletedProcess[str]:
        self.calls += 1
        failed = self.calls <= self.failures
        return subprocess.CompletedProcess(
            command, int(failed), stdout="https://x/pull/1\n", stderr="Error: no network\n"
        )


@pytest.mark.parametrize(
    ("failures", "calls", "note"),
    [(0, 1, "https://x/pull/1\n"), (1, 2, "https://x/pull/1\n"), (9, MOST_ATTEMPTS, "Error")],
)
def test_a_pull_request_that_fails_is_retried_and_the_last_failure_is_an_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failures: int,
    calls: int,
    note: str,
) -> None:
    landing = Landing(failures)
    monkeypatch.setattr(subprocess, "run", landing)
    monkeypatch.setattr(trigger_pull_requests, "RETRY_SECONDS", 0.0)
    service: Any = SimpleNamespace(job_lists=READS)
    opened = PullRequests(service, ["trigger:issues"], tmp_path, tmp_path, {})

    for _ in range(MOST_ATTEMPTS + 2):
        opened._check()

    assert landing.calls == calls
    assert (tmp_path / DIRECTORY / "a1-1").read_text().startswith(note)
    levels = [each.levelname for each in caplog.records]
    warnings = min(failures, MOST_ATTEMPTS - 1)
    assert levels == ["WARNING"] * warnings + ["ERROR"] * (failures >= MOST_ATTEMPTS)


def test_a_pull_request_is_retried_only_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing = Landing(9)
    monkeypatch.setattr(subprocess, "run", landing)
    service: Any = SimpleNamespace(job_lists=READS)
    opened = PullRequests(service, ["trigger:issues"], tmp_path, tmp_path, {})

    opened._check()
    opened._check()

    assert landing.calls == 1
