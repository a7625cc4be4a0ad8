"""Facts about gates in the outcome of a job."""

from dataclasses import replace

from orchestrator.core.gates.gate import GateCause, GateResult, GateStatus
from orchestrator.core.model.job_facts import GateFact
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.job.gate_facts import gate_facts, gates_passed
from tests.unit.core.factories import a_worker

SECRETS = GateResult(name="secrets", status=GateStatus.PASSED)
PASSED = GateResult(name="pytest", status=GateStatus.PASSED)
FAILED = GateResult(name="lint", status=GateStatus.FAILED, required=False, failures=("a.py: x",))
PASSED_LINT = GateResult(name="ruff", status=GateStatus.PASSED)
UNRUN = GateResult(
    name="pytest", status=GateStatus.SKIPPED, cause=GateCause.NO_TESTS, note="no tests found"
)


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
