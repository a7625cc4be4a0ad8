"""What a worker came back with, summed over its attempts."""

from orchestrator.core.model import Attempt, Evidence, Exit, WorkerResult
from orchestrator.core.spending import NOTHING, is_known, total


def result_of(
    before: WorkerResult | None, attempt: Attempt, exit: Exit, evidence: Evidence, now: float
) -> WorkerResult:
    """After one more attempt."""
    before = before or WorkerResult()
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
        work_seconds=before.work_seconds + max(0.0, now - attempt.started_at),
        cpu_seconds=before.cpu_seconds + exit.cpu_seconds,
        peak_memory_bytes=max(before.peak_memory_bytes, exit.peak_memory_bytes),
        log_truncated=before.log_truncated or exit.log_truncated,
        strays=(*before.strays, *exit.strays),
        refused_child_jobs=before.refused_child_jobs,
        prompt=evidence.prompt or before.prompt,
    )
