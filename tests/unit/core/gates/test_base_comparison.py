"""A gate's counts for a candidate: the base's tests, new tests, and findings."""

from dataclasses import replace

import pytest

from orchestrator.core.candidates.selection import candidates_of, counted_new_tests, ranked
from orchestrator.core.gates.base_comparison import with_counts
from orchestrator.core.gates.findings import Finding, FinishedRun, Reading
from orchestrator.core.gates.gate import Gate, GateReport, GateResult, GateStatus
from orchestrator.core.model.job import Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.model.worker_result import Criterion, WorkerResult
from tests.unit.core.factories import a_worker

PYTEST = Gate(name="pytest", run="pytest", report=GateReport.JUNIT)
RUFF = Gate(name="ruff", run="ruff", report=GateReport.RUFF, required=False)
GREEN = GateResult(name="pytest", status=GateStatus.PASSED, tests=2)


def ran(*passed: str, findings: tuple[Finding, ...] = (), broken: str = "") -> FinishedRun:
    return FinishedRun(reading=Reading(passed=passed, findings=findings), broken=broken)


def finding(key: str, *, is_error: bool = False) -> Finding:
    return Finding(key, key, is_error)


@pytest.mark.parametrize(
    ("now", "as_base", "base", "base_tests", "new_tests"),
    [
        pytest.param(ran("t::a"), None, ran("t::a"), 1, (), id="unchanged"),
        pytest.param(ran("t::a"), None, ran(findings=(finding("t::a"),)), 1, (), id="fixed"),
        pytest.param(
            ran("t::a", "t::new"), ran("t::a"), ran("t::a"), 1, ("t::new",), id="a new file"
        ),
        pytest.param(ran("t::a", "t::new"), None, ran("t::a"), 1, ("t::new",), id="in a source"),
        pytest.param(
            ran("t::a[0]", "t::a[1]", "t::n[0]", "t::n[1]"),
            ran("t::a"),
            ran("t::a"),
            1,
            ("t::n",),
            id="parameters",
        ),
        pytest.param(ran("u::a"), None, ran("t::a"), 1, (), id="moved"),
        pytest.param(ran("t::a", "t::a"), None, ran("t::a"), 1, (), id="run twice"),
        pytest.param(ran("t::a"), ran(broken="gone"), ran("t::a"), 0, (), id="second run broken"),
        pytest.param(
            ran("t::a", "t::b"),
            None,
            ran(findings=(finding("t", is_error=True),)),
            2,
            (),
            id="a file that the base cannot load",
        ),
        pytest.param(ran("t::a"), None, None, 1, (), id="no base"),
        pytest.param(ran("t::a"), None, ran(broken="gone"), 1, (), id="a broken base"),
    ],
)
def test_tests_of_the_base_and_new_ones(
    now: FinishedRun,
    as_base: FinishedRun | None,
    base: FinishedRun | None,
    base_tests: int,
    new_tests: tuple[str, ...],
) -> None:
    found = with_counts(PYTEST, GREEN, now, as_base or now, base)

    assert (found.base_tests, found.new_tests) == (base_tests, new_tests)


def test_findings_of_a_linter_count_with_the_bases_configuration() -> None:
    failed = GateResult(name="ruff", status=GateStatus.FAILED, required=False, failures=("x",))
    lax = FinishedRun(reading=Reading(findings=(finding("x"),)))
    strict = FinishedRun(reading=Reading(findings=(finding("x"), finding("y"), finding("old"))))
    base = FinishedRun(reading=Reading(findings=(finding("old"),)))

    found = with_counts(RUFF, failed, lax, strict, base)

    assert (found.is_of_files, found.base_findings) == (True, 2)
    assert with_counts(RUFF, failed, lax, lax, base).base_findings == 1


def test_a_gate_that_did_not_run_counts_nothing() -> None:
    skipped = GateResult(name="pytest", status=GateStatus.SKIPPED)
    assert with_counts(PYTEST, skipped, ran(), ran(), None) is skipped


def a_done(number: int, *new_tests: str, status: WorkerStatus = WorkerStatus.SUCCESS) -> Worker:
    gate = replace(GREEN, base_tests=2, new_tests=new_tests)
    result = WorkerResult(output="done", gates=(gate,))
    return a_worker(id=f"worker_{number}", index=number - 1, status=status, result=result)


@pytest.mark.parametrize(
    ("workers", "words", "counting"),
    [
        ([a_done(1, "t::a"), a_done(2)], "", [(), ()]),
        ([a_done(1, "t::a"), a_done(2, "t::a"), a_done(3)], "", [("t::a",), ("t::a",), ()]),
        (
            [a_done(1, "t::a"), a_done(2, "t::a", status=WorkerStatus.FAILED), a_done(3)],
            "",
            [(), (), ()],
        ),
        ([a_done(1, "t::a"), a_done(2)], "add the test a, please", [("t::a",), ()]),
        ([a_done(1, "t::a"), a_done(2)], "a_b and ba", [(), ()]),
    ],
    ids=["one", "two", "one of them failed", "named", "part of a word"],
)
def test_which_new_tests_count(
    workers: list[Worker], words: str, counting: list[tuple[str, ...]]
) -> None:
    assert list(counted_new_tests(workers, words).values()) == counting


def test_more_tests_of_its_own_decide_nothing() -> None:
    trivial = a_done(1, *(f"t::test_{number}" for number in range(50)))

    (best, first), _ = ranked(candidates_of([trivial, a_done(2)]))

    assert (best.worker_id, first.by) == ("worker_1", Criterion.ORDER)
