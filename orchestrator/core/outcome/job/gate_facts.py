"""Stored facts about the gates of an ended job: passed, failed, not run, or flaky.

The new code comments that switch off findings of gates are stored, too.
"""

from collections.abc import Iterable, Sequence

from orchestrator.core.gates.file_kinds import has_code
from orchestrator.core.gates.gate import SECRETS, GateCause, GateOutcome, GateResult
from orchestrator.core.model.job import Worker
from orchestrator.core.model.job_facts import FlakyGate, GateFact, SwitchedOff

#: Maximum number of gates that are stored as facts of one job.
MOST_GATES = 20


def gate_facts(
    touched: Iterable[str], results: Sequence[GateResult], workers: Iterable[Worker]
) -> tuple[GateFact, ...]:
    """Return one fact for each gate that did not pass; at most ``MOST_GATES`` facts.

    A result on the merged state replaces the results of workers. ``touched``: the changed paths.
    """
    changes_code = has_code(touched)
    result_by_gate = {each.name: each for each in results}
    for worker in workers:
        for each in worker.gates:
            result_by_gate.setdefault(each.name, each)
    reported = (each for each in result_by_gate.values() if each.outcome is not GateOutcome.PASSED)
    facts = [_gate_fact(each, changes_code) for each in reported]
    return tuple(facts[:MOST_GATES])


def flaky_gates(results: Iterable[GateResult]) -> tuple[FlakyGate, ...]:
    return tuple(FlakyGate(name=each.name, findings=each.flaky) for each in results if each.flaky)


def suppressing_comments(
    results: Iterable[GateResult], workers: Iterable[Worker]
) -> tuple[SwitchedOff, ...]:
    """Return the new code comments that switch off findings, grouped by gate.

    If a gate ran on the merged state, only comments in the merged state count. Otherwise, the
    comments of the first worker with this gate count.
    """
    result_by_gate = {each.name: each for each in results}
    for worker in workers:
        for each in worker.gates:
            result_by_gate.setdefault(each.name, each)
    switched_off = (each for each in result_by_gate.values() if each.switched_off)
    return tuple(SwitchedOff(gate=each.name, places=each.switched_off) for each in switched_off)


def gates_passed(results: Iterable[GateResult], workers: Iterable[Worker]) -> tuple[str, ...]:
    """Return the names of passed gates, without the scan for secrets; at most ``MOST_GATES``.

    If a gate ran on the merged state, that run decides. Otherwise, the gate must have passed for
    every worker that has it.
    """
    passed_on_result = {each.name: each.outcome is GateOutcome.PASSED for each in results}
    passed_by_workers: dict[str, bool] = {}
    for each in (gate for worker in workers if worker.result for gate in worker.result.gates):
        has_passed = each.outcome is GateOutcome.PASSED
        passed_by_workers[each.name] = has_passed and passed_by_workers.get(each.name, True)
    names = (
        name for name, has_passed in {**passed_by_workers, **passed_on_result}.items() if has_passed
    )
    return tuple(name for name in names if name != SECRETS)[:MOST_GATES]


def _gate_fact(result: GateResult, changes_code: bool) -> GateFact:
    first_failure = next(iter(result.failures), "")
    note = result.note or first_failure
    failed = result.outcome is GateOutcome.FAILED
    had_to_judge = result.required and result.cause is not GateCause.NOTHING_CHANGED
    return GateFact(
        name=result.name,
        cause=result.cause,
        why=first_failure or note if failed else note,
        unjudged=not failed and had_to_judge and changes_code,
    )
