"""What a job's end has to say of its gates: what did not run, what failed and does not block."""

from collections.abc import Collection, Iterable, Sequence

from orchestrator.core.code_paths import has_code
from orchestrator.core.gates import SECRETS, GateCause, GateOutcome, GateResult
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
    touched: Iterable[str],
    results: Sequence[GateResult],
    workers: Iterable[Worker],
    unjudged_jobs: Collection[str] = (),
) -> bool:
    """Whether a merged change has code at which no gate looked.

    ``touched``: its paths; ``results``: of the gates on the merged state; ``workers``: those whose
    work it is. Their own gates count for those who have some. ``unjudged_jobs``: ids of jobs of the
    tree whose results have such code.
    """
    if has_judged(results) or not has_code(touched):
        return False
    return any(_has_unjudged_code(each, unjudged_jobs) for each in workers)


def _has_unjudged_code(worker: Worker, unjudged_jobs: Collection[str]) -> bool:
    result = worker.result
    if result is None:
        return True
    if has_judged(result.gates):
        return False
    # What child jobs changed is not among the worker's own files.
    return has_code(result.files_created) or any(
        each in unjudged_jobs for each in worker.child_job_ids
    )


def unjudged_code(worker: Worker) -> tuple[str, ...]:
    """Code that a worker changed without a worktree, if none of its own gates judged it."""
    result = worker.result
    if result is None or result.delivery is None or has_judged(result.gates):
        return ()
    return result.delivery.code


def gate_facts(
    touched: Iterable[str], results: Sequence[GateResult], workers: Iterable[Worker]
) -> tuple[GateFact, ...]:
    """Of gates that did not run, and of those that failed and do not block; each name once.

    What the gates say of the merged state comes before what they said of the workers.
    ``touched``: the paths that the merged state changes.
    """
    changes_code = has_code(touched)
    found = {each.name: each for each in results}
    for worker in workers:
        for each in worker.result.gates if worker.result else ():
            found.setdefault(each.name, each)
    unpassed = (each for each in found.values() if each.outcome is not GateOutcome.PASSED)
    told = [_fact(each, changes_code) for each in unpassed]
    return tuple(told[:MOST_GATES])


def gates_passed(results: Iterable[GateResult], workers: Iterable[Worker]) -> tuple[str, ...]:
    """Names of the gates that passed: on the merged state, else on every worker that has them."""
    found = {each.name: each.outcome is GateOutcome.PASSED for each in results}
    of_workers: dict[str, bool] = {}
    for each in (gate for worker in workers if worker.result for gate in worker.result.gates):
        has_passed = each.outcome is GateOutcome.PASSED
        of_workers[each.name] = has_passed and of_workers.get(each.name, True)
    names = (name for name, has_passed in {**of_workers, **found}.items() if has_passed)
    return tuple(name for name in names if name != SECRETS)[:MOST_GATES]


def _fact(result: GateResult, changes_code: bool) -> GateFact:
    first = next(iter(result.failures), "")
    note = result.note or first
    failed = result.outcome is GateOutcome.FAILED
    had_to_judge = result.required and result.cause is not GateCause.NOTHING_CHANGED
    return GateFact(
        name=result.name,
        cause=result.cause,
        why=first or note if failed else note,
        unjudged=not failed and had_to_judge and changes_code,
    )
