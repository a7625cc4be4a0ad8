"""Findings of gates on base commits, stored for later jobs."""

import os
from pathlib import Path

import pytest

from orchestrator.core.gates.findings import Finding, FinishedRun, Reading, with_exit
from orchestrator.core.gates.gate import Gate, GateCause
from orchestrator.engine.gates.baseline_store import (
    MOST_AGE,
    BaselineStore,
    remove_results,
)

GATE = Gate(name="tests", run="check --all")
FOUND = FinishedRun(
    reading=Reading(findings=(Finding("a", "a: x", is_error=True),), passed=("b",), note="n"),
    output="o",
)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "check"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def results(tmp_path: Path, program: Path) -> BaselineStore:
    path = {"PATH": str(program.parent)}
    return BaselineStore(tmp_path / "kept", tmp_path / "project", lambda: path)


def test_a_result_is_found_by_commit_and_definition(results: BaselineStore) -> None:
    results.save("c1", GATE, FOUND)

    assert results.stored("c1", GATE) == FOUND
    assert results.stored("c2", GATE) is None
    assert results.stored("c1", Gate(name="tests", run="check --some")) is None


def test_a_run_that_did_not_judge_is_never_stored(results: BaselineStore, tmp_path: Path) -> None:
    results.save("c1", GATE, FinishedRun(broken="killed", cause=GateCause.KILLED))
    results.save("c1", GATE, FinishedRun(reading=Reading(passed=())))
    results.save("c1", GATE, FinishedRun(reading=with_exit(Reading(), 1)))
    cannot_be_loaded = (Finding("a", "a: ModuleNotFoundError", is_error=True),)
    results.save("c1", GATE, FinishedRun(reading=Reading(findings=cannot_be_loaded, passed=())))

    assert not (tmp_path / "kept").exists()


def test_a_baseline_is_invalid_with_another_program_or_other_packages(
    results: BaselineStore, program: Path, tmp_path: Path
) -> None:
    results.save("c1", GATE, FOUND)
    packages = tmp_path / "project" / ".venv" / "lib" / "python3" / "site-packages"
    packages.mkdir(parents=True)
    assert results.stored("c1", GATE) == FOUND

    (packages / "requests-2.dist-info").mkdir()
    assert results.stored("c1", GATE) is None
    results.save("c1", GATE, FOUND)
    program.write_text("#!/bin/sh\n# another version\n")
    assert results.stored("c1", GATE) is None


def test_a_result_made_under_another_set_up_is_not_reused(tmp_path: Path) -> None:
    def under(*setup: str) -> BaselineStore:
        return BaselineStore(tmp_path / "kept", tmp_path / "project", dict, setup)

    under("npm ci").save("c1", GATE, FOUND)

    assert under("npm ci").stored("c1", GATE) == FOUND
    assert under("npm ci", "make").stored("c1", GATE) is None
    assert under().stored("c1", GATE) is None


def test_results_are_bounded_in_age_and_number(results: BaselineStore, tmp_path: Path) -> None:
    for number in range(5):
        results.save(f"c{number}", GATE, FOUND)
    files = sorted((tmp_path / "kept").iterdir(), key=lambda each: each.stat().st_mtime_ns)
    for number, path in enumerate(files):
        os.utime(path, (number, number))

    assert results.stored("c4", GATE) is None, f"older than {MOST_AGE} s"
    remove_results(tmp_path / "kept", before=1.5, most=2)
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_a_damaged_record_is_run_again(results: BaselineStore, tmp_path: Path) -> None:
    results.save("c1", GATE, FOUND)
    [path] = (tmp_path / "kept").iterdir()
    path.write_text("{")

    assert results.stored("c1", GATE) is None


@pytest.mark.parametrize("name", ["package-lock.json", "uv.lock", "Cargo.lock", "go.sum"])
def test_a_baseline_is_invalid_with_another_lock_file(
    results: BaselineStore, tmp_path: Path, name: str
) -> None:
    lock = tmp_path / "project" / name
    lock.parent.mkdir()
    lock.write_text("one\n")
    results.save("c1", GATE, FOUND)
    assert results.stored("c1", GATE) == FOUND

    lock.write_text("two, and more\n")

    assert results.stored("c1", GATE) is None
