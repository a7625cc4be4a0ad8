"""The paths of a job's files."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.model.attempt.failure import Failure, FailureKind, RetryStrategy
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.workspace import JobDirectories, job_directories

CONFIG = JobConfig(
    max_workers=2, default_timeout=10, max_retries=0, max_depth=3, max_wall_seconds=99
)
JOB = Job(id="abc", root_id="abc", depth=0, request="x", config=CONFIG, created_at=1.0)
WORKER = Worker(
    id="worker_1", job_id="abc", root_id="abc", task_id="a", index=0, depth=0, agent="shell"
)


def test_nothing_is_found_behind_a_link_in_place_of_a_workers_directory(tmp_path: Path) -> None:
    workspace, elsewhere = JobDirectories(tmp_path), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    directory = Path(workspace.worker_directory(WORKER))
    directory.parent.mkdir(parents=True)
    directory.symlink_to(elsewhere)

    assert workspace.is_bare(WORKER) and workspace.snapshot(WORKER) == {}


def test_files_that_package_managers_install_take_no_place_of_others_in_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_directories, "MAX_FILES", 3)
    workspace = JobDirectories(tmp_path)
    directory = Path(workspace.worker_directory(WORKER))
    for name in ("a/node_modules/1.js", "a/node_modules/2.js", ".venv/3.py", "a/x.js", "src/y.js"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()

    assert list(workspace.snapshot(WORKER)) == ["a/x.js", "src/y.js", ".venv/3.py"]


@pytest.mark.parametrize(("before", "after"), [("end", "end\n"), ("end\n", "end\n"), ("", "")])
def test_the_line_that_marks_an_attempt_begins_in_the_log_s_first_column(
    tmp_path: Path, before: str, after: str
) -> None:
    directories = JobDirectories(tmp_path)
    log = Path(directories.log(WORKER))
    log.parent.mkdir(parents=True)
    log.write_text(before)

    directories.mark_attempt(WORKER, 2)

    assert log.read_text() == f"{after}--- attempt 2 ---\n"


def test_the_log_names_the_output_of_the_gates_that_rejected_the_attempt_before(
    tmp_path: Path,
) -> None:
    directories = JobDirectories(tmp_path)
    log = Path(directories.log(WORKER))
    log.parent.mkdir(parents=True)
    log.write_text("first")
    failure = Failure(
        attempt=1,
        kind=FailureKind.LOGIC_ERROR,
        strategy=RetryStrategy.RETRY_CURRENT,
        reason="gates reject the result: tests, secrets",
        confidence=0.9,
        gates=("tests", "secrets"),
        gate_logs=("logs/gate_worker_1.tests.1.log", ""),
    )
    worker = replace(WORKER, result=WorkerResult(failures=(failure,)))

    directories.mark_attempt(worker, 2)
    log.write_text(f"{log.read_text()}second")

    gate_log = log.parent / "gate_worker_1.tests.1.log"
    line = f"gate tests rejected attempt 1; output: {gate_log}"
    assert log.read_text() == f"first\n{line}\n--- attempt 2 ---\nsecond"
    assert directories.attempt_output(worker, 2) == "second"


def test_a_worker_whose_worktree_exists_already_gets_the_directories_of_its_job(
    tmp_path: Path,
) -> None:
    """The directory of a worker's log must exist even if the worktree was created first."""
    workspace = JobDirectories(tmp_path)
    os.makedirs(f"{workspace.worker_directory(WORKER)}/worktree")

    workspace.prepare_worker(WORKER, {})

    assert Path(workspace.log(WORKER)).parent.is_dir()


def test_a_report_is_looked_for_where_reports_are(tmp_path: Path) -> None:
    workspace = JobDirectories(tmp_path)
    reports = tmp_path / "job_abc" / "reports"

    assert workspace.report(JOB, "tree.txt") == reports / "tree.txt"
    assert workspace.report(JOB, "LEVEL_2_REPORT.md") == (
        tmp_path / "job_abc" / "depth_2" / "LEVEL_2_REPORT.md"
    )
    for name in ("", "..", ".hidden", "a/b", "../config.yaml", "LEVEL_x_REPORT.md"):
        assert workspace.report(JOB, name) is None
