"""Adding one more attempt to what its worker came back with."""

from orchestrator.core.evidence import Evidence, Exit
from orchestrator.core.exit_cause import RAN_NOTHING
from orchestrator.core.failure import after
from orchestrator.core.model import Attempt
from orchestrator.core.spending import NOTHING, is_known, total
from orchestrator.core.worker_result import WorkerResult

_NONE_YET = WorkerResult()


def ended_at(attempt: Attempt, exit: Exit, evidence: Evidence, now: float) -> float:
    """When an attempt that is known since now was over: with its process, or with its gates.

    Its process may have ended long ago, while no server ran. What is told by a clock that does not
    agree with the server's (it was set since then, or is another machine's) does not count.
    """
    agrees = attempt.started_at <= exit.started_at <= exit.ended_at <= now
    told = exit.ended_at if agrees and not evidence.gates else now
    return max(told, attempt.started_at)


def result_of(
    before: WorkerResult | None, attempt: Attempt, exit: Exit, evidence: Evidence, seconds: float
) -> WorkerResult:
    """After one more attempt, which took so long."""
    before = before or _NONE_YET
    usage = before.usage
    if is_known(evidence.usage):
        usage = total(before.usage_before or NOTHING, evidence.usage)
    return WorkerResult(
        output=evidence.output,
        files_created=evidence.files_created,
        usage=usage,
        usage_before=usage if is_known(usage) else None,
        exit_code=exit.code,
        signal=exit.signal,
        work_seconds=before.work_seconds + seconds,
        cpu_seconds=before.cpu_seconds + exit.cpu_seconds,
        peak_memory_bytes=max(before.peak_memory_bytes, exit.peak_memory_bytes),
        log_truncated=before.log_truncated or exit.log_truncated,
        strays=(*before.strays, *exit.strays),
        refused_child_jobs=before.refused_child_jobs,
        prompt=evidence.prompt or before.prompt,
        gates=evidence.gates,
        failures=before.failures,
        rollbacks=before.rollbacks,
        good=after(attempt.number) if _is_good(evidence) else before.good,
        conflicts=before.conflicts,
        change=evidence.change,
        # What never began leaves what the attempt before it delivered.
        delivery=before.delivery if exit.cause in RAN_NOTHING else evidence.delivery,
        session=evidence.session or before.session,
    )


def _is_good(evidence: Evidence) -> bool:
    """Its worktree passed every check that counts, and one at least."""
    passed = any(gate.has_approved for gate in evidence.gates)
    sound = evidence.worktree is not None and not evidence.worktree.faults
    return sound and passed and not any(gate.blocks for gate in evidence.gates)
