"""Classifies the failure of an attempt, and decides in which state the next attempt starts.

Rows of a table are tried in order; the first match decides. Each row has a sequence of strategies,
its ``ladder``. The first failure gets the first strategy. Each repetition gets the next strategy.
After the last strategy, all further repetitions get the last strategy.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from orchestrator.core.gates.gate import GateResult
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import EndedBy, ErrorClass, Evidence, Exit
from orchestrator.core.model.attempt.exit_cause import RAN_NOTHING
from orchestrator.core.model.attempt.failure import (
    ASKED,
    CREDIT,
    GATES,
    LOGIN,
    NO_CHANGES,
    NOT_STARTED,
    START,
    Failure,
    FailureKind,
    RetryStrategy,
    after,
    before,
)
from orchestrator.core.model.job import SHELL, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.attempt_outcome import Verdict

#: Maximum number of failures of a worker that are stored.
MOST_FAILURES = 50
#: Cause of attempts that did not run. Such attempts are ignored when failures are compared.
NEVER_RAN = "never ran"
#: Number of characters at the end of an output that are searched for the message of a full disk.
_END_OF_OUTPUT = 4000
_DISK_FULL = re.compile(r"No space left on device|ENOSPC|Disk quota exceeded", re.IGNORECASE)
_REFUSED = (ErrorClass.AUTH, ErrorClass.CONFIG, ErrorClass.LIMIT, ErrorClass.DENIED)

_K, _S = FailureKind, RetryStrategy
#: One step of a ladder: a strategy, and the confidence that row and strategy are right.
Rung = tuple[RetryStrategy, float]


@dataclass(frozen=True, slots=True)
class Case:
    """A failed attempt, as the rows of the table see it."""

    exit: Exit
    evidence: Evidence
    verdict: Verdict
    #: True if the attempt failed in the same way as the previous attempt, and changed no file.
    same: bool = False

    @property
    def faults(self) -> Sequence[str]:
        return self.evidence.worktree.faults if self.evidence.worktree else ()

    @property
    def blocking(self) -> Sequence[GateResult]:
        return [gate for gate in self.evidence.gates if gate.blocks]

    @property
    def has_result(self) -> bool:
        evidence = self.evidence
        return bool(evidence.output.strip() or evidence.error or evidence.files_changed)


@dataclass(frozen=True, slots=True)
class FailureRow:
    """A row of the table: a cause of failures, and the strategies for it."""

    cause: str
    fits: Callable[[Case], bool]
    kind: FailureKind
    ladder: tuple[Rung, ...]
    reason: Callable[[Case], str]
    #: True if the process ended abnormally. The worker's changes are then not rolled back, because
    #: nothing has judged them.
    is_crash: bool = False


def _disk_full(case: Case) -> bool:
    evidence = case.evidence
    return case.exit.log_lost or bool(
        _DISK_FULL.search(evidence.error) or _DISK_FULL.search(evidence.output[-_END_OF_OUTPUT:])
    )


def _has_error_class(kind: ErrorClass) -> Callable[[Case], bool]:
    return lambda case: case.evidence.error_class is kind


def _is_row(name: str) -> Callable[[Case], bool]:
    return lambda case: case.verdict.row == name


def _reason(text: str) -> Callable[[Case], str]:
    return lambda case: text


TABLE: tuple[FailureRow, ...] = (
    FailureRow(
        NEVER_RAN,
        lambda case: case.exit.cause in RAN_NOTHING,
        _K.TRANSIENT,
        ((_S.RETRY_CURRENT, 1.0),),
        _reason("the attempt did not run and changed nothing"),
    ),
    FailureRow(
        "broken worktree",
        lambda case: bool(case.faults),
        _K.CORRUPTED_STATE,
        ((_S.ROLLBACK_LAST, 0.9), (_S.ROLLBACK_SAFE, 0.7)),
        lambda case: f"the worktree is broken: {'; '.join(case.faults)}",
    ),
    FailureRow(
        "disk full",
        _disk_full,
        _K.CORRUPTED_STATE,
        ((_S.ROLLBACK_LAST, 0.8), (_S.ROLLBACK_SAFE, 0.6)),
        _reason("the disk was full, or the log was removed; files may be incomplete"),
    ),
    FailureRow(
        "rate limit",
        _has_error_class(ErrorClass.RATE_LIMIT),
        _K.TRANSIENT,
        ((_S.RETRY_CURRENT, 0.95),),
        _reason("the agent's account was rate-limited; the work so far is saved"),
    ),
    FailureRow(
        "api",
        _has_error_class(ErrorClass.API),
        _K.TRANSIENT,
        ((_S.RETRY_CURRENT, 0.9),),
        _reason("the model's service failed; the work so far is saved"),
    ),
    FailureRow(
        NOT_STARTED,
        lambda case: case.verdict.not_started,
        _K.TRANSIENT,
        ((_S.RETRY_CURRENT, 0.8),),
        _reason("the tool's program did not start and changed nothing"),
    ),
    FailureRow(
        "internal",
        _has_error_class(ErrorClass.INTERNAL),
        _K.TRANSIENT,
        ((_S.RETRY_CURRENT, 0.6),),
        _reason("an internal error of the tool; the work so far is saved"),
    ),
    FailureRow(
        LOGIN,
        _has_error_class(ErrorClass.AUTH),
        _K.LOGIC_ERROR,
        ((_S.ESCALATE, 0.9),),
        _reason("a retry would fail in the same way; log in first"),
    ),
    FailureRow(
        CREDIT,
        _has_error_class(ErrorClass.CREDIT),
        _K.LOGIC_ERROR,
        ((_S.ESCALATE, 0.9),),
        _reason("a retry would fail in the same way; add credit to the account first"),
    ),
    FailureRow(
        "refused",
        lambda case: case.evidence.error_class in _REFUSED or case.exit.ended_by is EndedBy.LIMIT,
        _K.LOGIC_ERROR,
        ((_S.ESCALATE, 0.9),),
        _reason("a retry would fail in the same way; change the key, setting, or limit first"),
    ),
    FailureRow(
        "declined",
        _has_error_class(ErrorClass.DECLINED),
        _K.LOGIC_ERROR,
        ((_S.RETRY_CURRENT, 0.5),),
        _reason("the model declined to answer; the work so far is saved"),
    ),
    FailureRow(
        "not started",
        lambda case: case.exit.ended_by is EndedBy.SPAWN_FAILED,
        _K.UNKNOWN,
        ((_S.ESCALATE, 0.8),),
        _reason("the program cannot be started"),
    ),
    FailureRow(
        ASKED,
        _is_row(ASKED),
        _K.LOGIC_ERROR,
        ((_S.RETRY_CURRENT, 0.7),),
        _reason("the agent waits for an answer, and no file changed"),
    ),
    FailureRow(
        NO_CHANGES,
        _is_row(NO_CHANGES),
        _K.LOGIC_ERROR,
        ((_S.RETRY_CURRENT, 0.6),),
        _reason("the task requires changed files, but no file changed"),
    ),
    FailureRow(
        GATES,
        lambda case: bool(case.blocking),
        _K.LOGIC_ERROR,
        ((_S.RETRY_CURRENT, 0.9), (_S.RETRY_CURRENT, 0.7), (_S.ROLLBACK_SAFE, 0.6)),
        lambda case: f"gates reject the result: {', '.join(gate.name for gate in case.blocking)}",
    ),
    FailureRow(
        "timeout",
        lambda case: case.verdict.status is WorkerStatus.TIMEOUT,
        _K.TRANSIENT,
        ((_S.RETRY_CURRENT, 0.6), (_S.RETRY_CURRENT, 0.4)),
        _reason("the attempt timed out; the work so far is saved"),
    ),
    FailureRow(
        "lost",
        lambda case: case.exit.ended_by is EndedBy.LOST,
        _K.TRANSIENT,
        ((_S.RETRY_CURRENT, 0.8), (_S.ROLLBACK_LAST, 0.5), (_S.ROLLBACK_SAFE, 0.4)),
        _reason("the supervising process was killed"),
        is_crash=True,
    ),
    FailureRow(
        "killed",
        lambda case: case.exit.signal is not None or case.evidence.error_class is ErrorClass.KILLED,
        _K.TRANSIENT,
        ((_S.RETRY_CURRENT, 0.7), (_S.ROLLBACK_LAST, 0.5), (_S.ROLLBACK_SAFE, 0.4)),
        _reason("a signal killed the process"),
        is_crash=True,
    ),
    FailureRow(
        "same failure",
        lambda case: case.same,
        _K.LOGIC_ERROR,
        ((_S.ROLLBACK_SAFE, 0.7),),
        _reason("the same failure as in the previous attempt, and no file changed"),
    ),
    FailureRow(
        "said it failed",
        lambda case: case.evidence.claimed_success is False,
        _K.LOGIC_ERROR,
        ((_S.RETRY_CURRENT, 0.7), (_S.RETRY_CURRENT, 0.5), (_S.ROLLBACK_SAFE, 0.5)),
        _reason("the agent reports a failure"),
    ),
    FailureRow(
        "exit code",
        lambda case: bool(case.exit.code) and case.has_result,
        _K.LOGIC_ERROR,
        ((_S.RETRY_CURRENT, 0.6), (_S.RETRY_CURRENT, 0.4), (_S.ROLLBACK_SAFE, 0.5)),
        lambda case: f"exit code {case.exit.code}; the attempt has output or changed files",
    ),
    FailureRow(
        "unknown",
        lambda case: True,
        _K.UNKNOWN,
        ((_S.RETRY_CURRENT, 0.3), (_S.ROLLBACK_LAST, 0.3), (_S.ROLLBACK_SAFE, 0.3)),
        _reason("the cause is unknown"),
        is_crash=True,
    ),
)


def classify(worker: Worker, exit: Exit, evidence: Evidence, verdict: Verdict) -> Failure | None:
    """Return the classified failure of a worker's attempt.

    Return None if the attempt succeeded or was cancelled. If the attempt has no worktree, the
    failure's strategy is not a rollback.
    """
    if verdict.succeeded or verdict.status is WorkerStatus.CANCELLED:
        return None
    same = bool(verdict.failure) and verdict.failure == worker.failure
    case = Case(exit, evidence, verdict, same)
    row = next(row for row in TABLE if row.fits(case))
    strategy, confidence = row.ladder[min(_repetitions(row, worker), len(row.ladder) - 1)]
    has_worktree = evidence.worktree is not None
    if strategy is not _S.ESCALATE and (not has_worktree or (row.is_crash and evidence.has_work)):
        strategy = _S.RETRY_CURRENT
    if worker.agent == SHELL and has_worktree and strategy is not _S.ESCALATE:
        # A command cannot continue its own work: it would make the same changes a second time.
        strategy = _S.ROLLBACK_LAST
    return Failure(
        attempt=worker.attempt,
        kind=row.kind,
        strategy=strategy,
        reason=row.reason(case),
        confidence=confidence,
        gates=tuple(gate.name for gate in case.blocking),
        gate_logs=tuple(gate.log for gate in case.blocking),
        cause=row.cause,
        checkpoint=_checkpoint_for(strategy, worker),
        kept=after(worker.attempt) if has_worktree else "",
        undone=_removes_changes(strategy, evidence),
    )


def _removes_changes(strategy: RetryStrategy, evidence: Evidence) -> bool:
    if strategy is _S.ROLLBACK_LAST:
        return evidence.files_changed
    return strategy is _S.ROLLBACK_SAFE and evidence.has_work


def _repetitions(row: FailureRow, worker: Worker) -> int:
    count = 0
    for earlier in reversed(worker.failures):
        if earlier.cause != NEVER_RAN:
            if earlier.cause != row.cause or earlier.attempt <= worker.budget_from:
                break
            count += 1
    return count


def _checkpoint_for(strategy: RetryStrategy, worker: Worker) -> str:
    if strategy is _S.ROLLBACK_LAST:
        return before(worker.attempt)
    if strategy is _S.ROLLBACK_SAFE:
        return (worker.result.good if worker.result else "") or START
    return ""


def with_failure(result: WorkerResult, failure: Failure | None) -> WorkerResult:
    """Return the result with ``failure`` added; unchanged if ``failure`` is None.

    ``failure`` replaces an earlier failure of the same attempt.
    """
    if failure is None:
        return result
    others = [each for each in result.failures if each.attempt != failure.attempt]
    return replace(result, failures=(*others, failure)[-MOST_FAILURES:])


def with_files_kept(failure: Failure, other: str) -> Failure:
    """Return the failure, changed so that the next attempt keeps the worker's current files.

    ``other``: the agent or machine of the next attempt.
    """
    reason = f"{failure.reason}; {other} continues with the worker's current files"
    return replace(failure, strategy=_S.RETRY_CURRENT, reason=reason, checkpoint="", undone=False)


def escalated(failure: Failure, why: str) -> Failure:
    """Return the failure, changed to a final failure, after which no attempt follows.

    ``why``: why no attempt follows, as text.
    """
    if failure.strategy is _S.ESCALATE:
        return failure
    reason = f"{failure.reason}; {why}"
    return replace(failure, strategy=_S.ESCALATE, reason=reason, checkpoint="", undone=False)
