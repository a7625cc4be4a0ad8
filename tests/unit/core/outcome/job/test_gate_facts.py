"""Facts about gates in the outcome of a job."""

from dataclasses import replace

import pytest

from orchestrator.core.gates.file_kinds import has_code, is_code, language_of
from orchestrator.core.gates.gate import GateCause, GateResult, GateStatus
from orchestrator.core.model.job_facts import GateFact, JobFacts, UnjudgedCause, UnjudgedFile
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.job.job_outcome import (
    gate_facts,
    gates_passed,
    is_unjudged,
    unjudged_files,
)
from tests.unit.core.factories import a_worker

SECRETS = GateResult(name="secrets", status=GateStatus.PASSED)
PASSED = GateResult(name="pytest", status=GateStatus.PASSED)
FAILED = GateResult(name="lint", status=GateStatus.FAILED, required=False, failures=("a.py: x",))
PASSED_LINT = GateResult(name="ruff", status=GateStatus.PASSED)
UNRUN = GateResult(
    name="pytest", status=GateStatus.SKIPPED, cause=GateCause.NO_TESTS, note="no tests found"
)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("src/app.py", True),
        ("Makefile", True),
        ("pyproject.toml", True),
        ("requirements-dev.txt", True),
        ("CMakeLists.txt", True),
        ("data/table.csv", True),
        ("bin/deploy", True),
        ("README.md", False),
        ("docs/guide.rst", False),
        ("LICENSE", False),
        ("docs/logo.SVG", False),
        (".gitignore", False),
    ],
)
def test_everything_but_documents_is_code(path: str, code: bool) -> None:
    assert is_code(path) is code
    assert has_code(["NOTES.txt", path]) is code


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("src/app.py", "Python"),
        ("web/App.TSX", "TypeScript"),
        ("bin/deploy.sh", "shell"),
        ("m.h", "C"),
        *((each, "") for each in ("setup.py", "docs/conf.py", "tests/data/a.js", "a_test.go")),
        *((each, "") for each in ("web/vite.config.ts", ".eslintrc.cjs", "a.min.js", "a.d.ts")),
        *((each, "") for each in ("vendor/a.c", ".github/a.py", "schema.sql", "a.css", "bin/a")),
    ],
)
def test_only_source_files_have_a_language(path: str, language: str) -> None:
    assert language_of(path) == language


def test_the_scan_for_secrets_judges_no_code() -> None:
    work = a_worker(result=WorkerResult(files_created=("a.py",)))
    notes = a_worker(result=WorkerResult(files_created=("a.md",)))
    own = a_worker(result=WorkerResult(files_created=("a.py",), gates=(PASSED,)))

    assert is_unjudged(["a.py"], [SECRETS], [work])
    assert is_unjudged(["a.py"], [SECRETS, UNRUN], [work, own])
    assert not is_unjudged(["a.py"], [SECRETS, PASSED], [work])
    assert not is_unjudged(["a.py"], [SECRETS, FAILED], [work])
    assert not is_unjudged(["a.md"], [SECRETS], [work])
    assert not is_unjudged(["a.py"], [SECRETS], [own, notes])


def test_code_of_a_child_job_that_no_gate_judged_is_not_judged_above_either() -> None:
    parent = a_worker(child_job_ids=("child",), result=WorkerResult(files_created=("a.md",)))
    result_gates = replace(parent, result=WorkerResult(gates=(PASSED,)))

    assert is_unjudged(["a.py"], [SECRETS], [parent], ["child"])
    assert not is_unjudged(["a.py"], [SECRETS], [parent], ["another"])
    assert not is_unjudged(["a.py"], [SECRETS, PASSED], [parent], ["child"])
    assert not is_unjudged(["a.py"], [SECRETS], [result_gates], ["child"])
    assert not is_unjudged(["a.md"], [SECRETS], [parent], ["child"])


def test_a_gate_that_did_not_run_or_advises_against_is_one_fact() -> None:
    own = a_worker(result=WorkerResult(gates=(UNRUN, FAILED)))

    assert gate_facts([], [SECRETS, PASSED], [own]) == (GateFact(name="lint", why="a.py: x"),)
    assert gate_facts(["a.md"], [UNRUN], [own, own]) == (
        GateFact(name="pytest", cause=GateCause.NO_TESTS, why="no tests found"),
        GateFact(name="lint", why="a.py: x"),
    )


def test_gates_that_passed_are_known_by_name() -> None:
    failed = replace(PASSED, status=GateStatus.FAILED)
    own = a_worker(result=WorkerResult(gates=(PASSED, PASSED_LINT)))
    other = a_worker(result=WorkerResult(gates=(failed,)))

    assert gates_passed([SECRETS, PASSED_LINT, UNRUN], [own]) == ("ruff",)
    assert gates_passed([SECRETS], [own, other]) == ("ruff",)


def test_files_that_a_child_job_changed_are_judged_by_its_gates() -> None:
    python = replace(PASSED, looks_at=("*.py",), not_imported=("b.py",))
    work = a_worker(result=WorkerResult(files_created=("part/b.py", "part/a.js")))
    present = {name: f"part/{name}" for name in ("a.py", "b.py", "a.js", "child.js", "child.c")}
    listed = UnjudgedFile(path="child.c", language="C", cause=UnjudgedCause.NO_GATE)

    def names(*below: JobFacts) -> list[str]:
        return [each.path for each in unjudged_files(present, [python], [work], below)]

    assert names() == ["a.js", "b.py"]
    assert names(JobFacts(unjudged_files=(listed,))) == ["a.js", "b.py", "child.c"]
    assert names(JobFacts(unjudged=True)) == ["a.js", "b.py", "child.c", "child.js"]


@pytest.mark.parametrize(
    ("path", "result", "unjudged"),
    [
        ("a.py", UNRUN, True),
        ("a.md", UNRUN, False),
        ("a.py", replace(UNRUN, required=False), False),
        ("a.py", replace(UNRUN, cause=GateCause.NOTHING_CHANGED), False),
        ("a.py", FAILED, False),
    ],
)
def test_a_required_gate_that_did_not_run_has_not_judged_a_change_of_code(
    path: str, result: GateResult, unjudged: bool
) -> None:
    [fact] = gate_facts([path], [PASSED_LINT, result], [])

    assert fact.unjudged is unjudged
