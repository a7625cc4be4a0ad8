"""What a job's end has to say of its gates: what did not run, what failed and does not block."""

from collections.abc import Iterable, Sequence

from orchestrator.core.code_paths import has_code
from orchestrator.core.gates import SECRETS, GateOutcome, GateResult
from orchestrator.core.job_facts import GateFact
from orchestrator.core.model import Worker

#: Gates that are told of one job.
MOST_GATES = 20


def has_judged(results: Iterable[GateResult]) -> bool:
    """Whether a gate passed or failed; the scan for secrets judges no code."""
    return any(
        each.name != SECRETS and each.outcome is not GateOutcome.DID_NOT_RUN for each in results
    )


def is_unjudged(
    touched: Iterable[str], results: Sequence[GateResult], workers: Iterable[Worker]
) -> bool:
    """Whether a merged change has code at which no gate looked.

    ``touched``: its paths; ``results``: of the gates on the merged state; ``workers``: those whose
    work it is. Their own gates count for those who have some.
    """
    if has_judged(results) or not has_code(touched):
        return False
    return any(_has_unjudged_code(each) for each in workers)


def _has_unjudged_code(worker: Worker) -> bool:
    result = worker.result
    if result is None:
        return True
    return has_code(result.files_created) and not has_judged(result.gates)


def gate_facts(results: Sequence[GateResult], workers: Iterable[Worker]) -> tuple[GateFact, ...]:
    """Of gates that did not run, and of those that failed and do not block; each name once.

    What the gates say of the merged state comes before what they said of the workers.
    """
    found = {each.name: each for each in results}
    for worker in workers:
        for each in worker.result.gates if worker.result else ():
            found.setdefault(each.name, each)
    told = [_fact(each) for each in found.values() if each.outcome is not GateOutcome.PASSED]
    return tuple(told[:MOST_GATES])


def _fact(result: GateResult) -> GateFact:
    first = next(iter(result.failures), "")
    note = result.note or first
    failed = result.outcome is GateOutcome.FAILED
    return GateFact(name=result.name, cause=result.cause, why=first or note if failed else note)
