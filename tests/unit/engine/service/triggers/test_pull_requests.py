"""Pull requests of triggers: what happens if ``land --pr`` fails."""

import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.core.model.job import Job
from orchestrator.core.model.job_facts import JobFacts
from orchestrator.core.model.states import JobStatus
from orchestrator.engine.service.triggers import pull_requests
from orchestrator.engine.service.triggers.pull_requests import (
    DIRECTORY,
    MOST_ATTEMPTS,
    PullRequests,
    record_opened,
)
from tests.contract.store_values import a_job

JOB = a_job(id="a1", root_id="a1", created_at=float("inf"), status=JobStatus.COMPLETED)


class StoredJob:
    """A stand-in for the server's use cases, with one stored job."""

    def __init__(self) -> None:
        self.job = JOB
        self.job_lists = self.landings = self

    def jobs(self, *given: Any, **more: Any) -> SimpleNamespace:
        return SimpleNamespace(jobs=[self.job])

    def cards(self, ids: Any) -> list[SimpleNamespace]:
        return [SimpleNamespace(job=self.job)]

    def record_pull_request(self, job: Job, error: str) -> None:
        self.job = replace(job, facts=JobFacts(pull_request_error=error))


class Landing:
    """A stand-in for the command ``land --pr`` that fails as often as the test requests."""

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
    monkeypatch.setattr(pull_requests, "RETRY_SECONDS", 0.0)
    service: Any = StoredJob()
    opened = PullRequests(service, ["trigger:issues"], tmp_path, tmp_path, {})

    for _ in range(MOST_ATTEMPTS + 2):
        opened._check()

    assert landing.calls == calls
    assert (tmp_path / DIRECTORY / "a1-1").read_text().startswith(note)
    levels = [each.levelname for each in caplog.records]
    warnings = min(failures, MOST_ATTEMPTS - 1)
    assert levels == ["WARNING"] * warnings + ["ERROR"] * (failures >= MOST_ATTEMPTS)
    error = "Error: no network" if failures >= MOST_ATTEMPTS else ""
    assert service.job.facts.pull_request_error == error


def test_the_error_is_removed_when_a_person_has_opened_the_pull_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing = Landing(9)
    monkeypatch.setattr(subprocess, "run", landing)
    monkeypatch.setattr(pull_requests, "RETRY_SECONDS", 0.0)
    service: Any = StoredJob()
    opened = PullRequests(service, ["trigger:issues"], tmp_path, tmp_path, {})
    for _ in range(MOST_ATTEMPTS):
        opened._check()

    record_opened(tmp_path, "a1", 1)
    opened._check()

    assert service.job.facts.pull_request_error == ""
    assert landing.calls == MOST_ATTEMPTS


def test_a_pull_request_is_retried_only_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing = Landing(9)
    monkeypatch.setattr(subprocess, "run", landing)
    service: Any = StoredJob()
    opened = PullRequests(service, ["trigger:issues"], tmp_path, tmp_path, {})

    opened._check()
    opened._check()

    assert landing.calls == 1
