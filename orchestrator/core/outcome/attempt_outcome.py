"""Decides the outcome of an attempt from its exit, the agent's report, and the evidence.

The rows of a table are tried in order; the first match decides. The row for a success comes last,
so exit code 0 is not sufficient: no other row may match.
"""

from collections.abc import Callable
from dataclasses import replace
from zlib import crc32

from orchestrator.core.gates.failure_fingerprint import digest_of, without_times
from orchestrator.core.gates.gate import GateOutcome, GateResult, GateStatus, altered_judges
from orchestrator.core.gates.gate_decision import in_words
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import (
    NO_USAGE,
    EndedBy,
    ErrorClass,
    Evidence,
    Exit,
    WorktreeState,
)
from orchestrator.core.model.attempt.delivered_work import (
    DeliveredWork,
    altered_in_words,
    omitted_in_words,
)
from orchestrator.core.model.attempt.exit_cause import RAN_NOTHING, ExitCause
from orchestrator.core.model.attempt.failure import ASKED, GATES, NO_CHANGES, after
from orchestrator.core.model.attempt.final_text import FinalText, question_of
from orchestrator.core.model.attempt.usage_sums import is_known, usage_sum
from orchestrator.core.model.job import Attempt
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.model.worker_result import CandidateRank, Criterion, WorkerResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The outcome of one attempt, with the facts that decide what follows."""

    status: WorkerStatus
    reason: str = ""
    #: True if another attempt may end differently.
    retry: bool = False
    #: Name of the table row that decided; empty if the verdict does not come from the table.
    row: str = ""
    #: Fingerprint of the failure, by which equal failures are recognized; empty if the failure
    #: cannot be compared.
    failure: str = ""
    #: True if the agent's account was rate-limited, so that the worker did not cause the failure.
    rate_limited: bool = False
    #: True if the tool's program could not be started, possibly because an update is replacing it.
    not_started: bool = False
    #: True if the agent's key or login failed, or if its account has no credit. Every other worker
    #: of the agent would fail as well.
    login_refused: bool = False
    #: True if the agent's account has no credit.
    lacks_credit: bool = False
    #: True if the login failed on one machine only, and another machine can run the worker.
    moves: bool = False
    #: True if the attempt never ran, so that a retry follows at once.
    never_began: bool = False

    @property
    def succeeded(self) -> bool:
        return self.status.succeeded


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """A row of the table: if ``fits`` returns True, the attempt has this status and reason."""

    name: str
    fits: Callable[[Exit, Evidence], bool]
    status: WorkerStatus
    reason: Callable[[Exit, Evidence], str]
    retry: bool = False
    #: True if all failures of this kind count as equal, so that only one retry follows.
    once: bool = False


#: Number of the signal; the same on all systems.
_SIGKILL = 9


def _signal_in_words(exit: Exit, _: Evidence) -> str:
    # The kernel ends a process by this signal if the machine has no memory left.
    hint = " (possible cause: the machine ran out of memory)" if exit.signal == _SIGKILL else ""
    return f"killed by signal {exit.signal}{hint}"


def _exit_code_in_words(exit: Exit, evidence: Evidence) -> str:
    text = f": {evidence.error}" if evidence.error else ""
    return f"exit code {exit.code}{text}"


def _timeout_in_words(exit: Exit) -> str:
    hint = "; to allow more time, set timeout in the task, or retry with --timeout"
    return f"stopped by {exit.stopped_by}{hint if exit.cause is ExitCause.TASK_TIMEOUT else ''}"


def _has_result(evidence: Evidence) -> bool:
    if not evidence.output_required or evidence.output.strip() or evidence.files_changed:
        return True
    return evidence.has_work and any(each.has_approved for each in evidence.gates)


def _no_result_in_words(evidence: Evidence) -> str:
    if evidence.has_work:
        return "no result: exit code 0, but no output and no changes since the previous attempt"
    return "no result: exit code 0, but no output and no files"


def _lacks_changes(evidence: Evidence) -> bool:
    delivery = evidence.delivery
    return delivery is not None and delivery.deferred is None and delivery.lacks_changes


def _waits_for_answer(evidence: Evidence) -> bool:
    is_question = evidence.final_text is FinalText.QUESTION
    return is_question or (evidence.final_text is FinalText.OFFER and _lacks_changes(evidence))


def _no_changes_in_words(evidence: Evidence) -> str:
    explanation = ""
    if _reports_refusal(evidence):
        explanation = "the agent reports that it did not do the work; "
    elif evidence.final_text is FinalText.RECIPE:
        explanation = "the agent describes the work instead of doing it; "
    remarks = evidence.delivery.remarks if evidence.delivery else ()
    return "; ".join((f"{explanation}no file was changed", *remarks))


def _has_conflicts(evidence: Evidence) -> bool:
    state = evidence.worktree
    return evidence.output_required and state is not None and state.has_conflicts


def _has_deleted_work(evidence: Evidence) -> bool:
    """True if the attempt deleted its worktree, and no committed change of it exists."""
    state = evidence.worktree
    return state is not None and state.is_deleted and not evidence.files_changed


def _conflicts_in_words(evidence: Evidence) -> str:
    faults = evidence.worktree.faults if evidence.worktree else ()
    return f"unfinished work in git: {'; '.join(faults)}"


def _reports_refusal(evidence: Evidence) -> bool:
    return evidence.final_text is FinalText.REFUSAL


def _leaves_work_to_reader(evidence: Evidence) -> bool:
    delivery = evidence.delivery
    is_recipe = evidence.final_text is FinalText.RECIPE
    return is_recipe and delivery is not None and delivery.is_in_doubt


def _remarks(evidence: Evidence) -> str:
    delivery = evidence.delivery
    remarks = delivery.remarks if delivery and delivery.deferred is None else ()
    note = (f"{evidence.tool}: {evidence.note}",) if evidence.note else ()
    return "; ".join((*note, *remarks))


def _success_note(evidence: Evidence) -> str:
    if not evidence.gates:
        return _remarks(evidence)
    altered = altered_in_words(altered_judges(evidence.gates))
    failed = (each for each in evidence.gates if each.outcome is GateOutcome.FAILED)
    advisory = [f"advisory {in_words(each)}" for each in failed]
    return "; ".join(filter(None, [_remarks(evidence), *altered, *advisory]))


def _limit_in_words(exit: Exit) -> str:
    if exit.stopped_by:
        return f"stopped by {exit.stopped_by}"
    return "killed: the attempt exceeded its resource limits"


_S = WorkerStatus

#: A shell's exit code for a missing command.
NOT_FOUND = 127

#: For each class of error that an agent reports: the worker's status, the reason, and True if a
#: retry may end differently.
_BY_CLASS: tuple[tuple[ErrorClass, WorkerStatus, str, bool], ...] = (
    (ErrorClass.AUTH, _S.FAILED, "the agent's login failed", False),
    (ErrorClass.CREDIT, _S.FAILED, "the agent's account has no credit", False),
    (ErrorClass.RATE_LIMIT, _S.FAILED, "the agent's account is rate-limited", True),
    (ErrorClass.API, _S.FAILED, "the model's service failed", True),
    (ErrorClass.CONFIG, _S.FAILED, "{tool} rejected its options or settings", False),
    (ErrorClass.START, _S.FAILED, "{tool} could not be started", False),
    (ErrorClass.INTERNAL, _S.FAILED, "{tool} failed with an internal error", True),
    (ErrorClass.LIMIT, _S.FAILED, "limit reached", False),
    (ErrorClass.DENIED, _S.FAILED, "permission denied for tools that the agent needs", False),
    (ErrorClass.EMPTY, _S.FAILED, "the agent ended without an answer", True),
    (ErrorClass.DECLINED, _S.FAILED, "the model declined to answer", True),
    (ErrorClass.KILLED, _S.FAILED, "{tool} was killed", True),
    (ErrorClass.TIMEOUT, _S.TIMEOUT, "{tool} stopped responding", True),
)


#: Classes that are retried once. If the retry fails as well, the cause is not temporary.
_ONCE = (ErrorClass.INTERNAL, ErrorClass.DECLINED, ErrorClass.KILLED)


def _row_for_class(kind: ErrorClass, status: WorkerStatus, words: str, retry: bool) -> OutcomeRow:
    return OutcomeRow(
        f"agent: {kind}",
        lambda x, e: e.error_class is kind,
        status,
        lambda x, e: _tool_failure(words, e),
        retry,
        once=kind in _ONCE,
    )


def _tool_failure(words: str, evidence: Evidence) -> str:
    text = words.format(tool=evidence.tool or "the agent")
    return f"{text}: {evidence.error}" if evidence.error else text


_OF_CLASS = {each[0]: _row_for_class(*each) for each in _BY_CLASS}

TABLE: tuple[OutcomeRow, ...] = (
    OutcomeRow(
        "cancelled",
        lambda x, e: x.ended_by is EndedBy.CANCEL,
        _S.CANCELLED,
        lambda x, e: f"cancelled by {x.stopped_by or 'request'}",
    ),
    OutcomeRow(
        "timeout",
        lambda x, e: x.ended_by is EndedBy.TIMEOUT,
        _S.TIMEOUT,
        lambda x, e: x.error or _timeout_in_words(x),
    ),
    OutcomeRow(
        "limit",
        lambda x, e: x.ended_by is EndedBy.LIMIT,
        _S.FAILED,
        lambda x, e: x.error or _limit_in_words(x),
    ),
    OutcomeRow(
        "not started",
        lambda x, e: x.ended_by is EndedBy.SPAWN_FAILED,
        _S.FAILED,
        lambda x, e: x.error or "the program could not be started",
    ),
    OutcomeRow(
        "lost",
        lambda x, e: x.ended_by is EndedBy.LOST,
        _S.FAILED,
        lambda x, e: x.error or "outcome unknown: the supervising process was killed",
        retry=True,
    ),
    *_OF_CLASS.values(),
    OutcomeRow(
        "crash",
        lambda x, e: x.signal is not None and e.output_required,
        _S.FAILED,
        lambda x, e: f"{e.tool or 'the agent'} was {_signal_in_words(x, e)}",
        retry=True,
        once=True,
    ),
    OutcomeRow(
        "signal", lambda x, e: x.signal is not None, _S.FAILED, _signal_in_words, retry=True
    ),
    OutcomeRow(
        "command not found",
        lambda x, e: x.code == NOT_FOUND and not e.output_required,
        _S.FAILED,
        _exit_code_in_words,
    ),
    OutcomeRow("exit code", lambda x, e: x.code != 0, _S.FAILED, _exit_code_in_words, retry=True),
    OutcomeRow(
        "log lost",
        lambda x, e: x.log_lost,
        _S.FAILED,
        lambda x, e: "log incomplete: exit code 0, but the log was removed, or the disk was full",
        retry=True,
    ),
    OutcomeRow(
        "said it failed",
        lambda x, e: e.claimed_success is False,
        _S.FAILED,
        lambda x, e: e.error or "exit code 0, but the agent reports a failure",
        retry=True,
    ),
    OutcomeRow(
        "worktree deleted",
        lambda x, e: _has_deleted_work(e),
        _S.FAILED,
        lambda x, e: "the worker deleted its worktree, with all changes that were not committed",
        retry=True,
    ),
    OutcomeRow(
        ASKED,
        lambda x, e: _waits_for_answer(e),
        _S.FAILED,
        lambda x, e: f"no file was changed; the agent waits for an answer: {question_of(e.output)}",
        retry=True,
        once=True,
    ),
    OutcomeRow(
        NO_CHANGES,
        lambda x, e: _lacks_changes(e) or _reports_refusal(e) or _leaves_work_to_reader(e),
        _S.FAILED,
        lambda x, e: _no_changes_in_words(e),
        retry=True,
        once=True,
    ),
    OutcomeRow(
        "conflicts",
        lambda x, e: _has_conflicts(e),
        _S.FAILED,
        lambda x, e: _conflicts_in_words(e),
        retry=True,
    ),
    OutcomeRow(
        GATES,
        lambda x, e: any(each.blocks for each in e.gates),
        _S.FAILED,
        lambda x, e: "; ".join(in_words(each) for each in e.gates if each.blocks),
        retry=True,
    ),
    OutcomeRow(
        "nothing to show",
        lambda x, e: not _has_result(e),
        _S.FAILED,
        lambda x, e: _no_result_in_words(e),
        retry=True,
    ),
    OutcomeRow("success", lambda x, e: True, _S.SUCCESS, lambda x, e: _success_note(e)),
)
_PASSED = GateResult(name="any", status=GateStatus.PASSED)
_RATE_LIMITED = _OF_CLASS[ErrorClass.RATE_LIMIT]
_NOT_STARTED = _OF_CLASS[ErrorClass.START]
_LOGIN_REFUSED = _OF_CLASS[ErrorClass.AUTH]
_LACKS_CREDIT = _OF_CLASS[ErrorClass.CREDIT]


def judge(exit: Exit, evidence: Evidence) -> Verdict:
    """Return the verdict on an attempt, by the first row of ``TABLE`` that fits."""
    if was_complete(exit, evidence):
        exit = replace(exit, ended_by=EndedBy.EXIT, code=0, signal=None)
    for row in TABLE:  # faster than a generator
        if row.fits(exit, evidence):
            break
    reason = row.reason(exit, evidence)
    if evidence.delivery and evidence.delivery.omitted:
        # Name the omitted changes also after a failure, because their absence may have caused the
        # failure.
        reason = "; ".join(filter(None, (reason, omitted_in_words(evidence.delivery.omitted))))
    failure = "" if row.status is WorkerStatus.SUCCESS else _fingerprint(row, exit, evidence)
    return Verdict(
        status=row.status,
        reason=reason,
        retry=row.retry,
        row=row.name,
        failure=failure,
        rate_limited=row is _RATE_LIMITED,
        login_refused=row in (_LOGIN_REFUSED, _LACKS_CREDIT),
        lacks_credit=row is _LACKS_CREDIT,
        not_started=row is _NOT_STARTED
        or (exit.cause is ExitCause.PROGRAM and evidence.output_required),
        never_began=exit.cause is ExitCause.NEVER_BEGAN,
    )


def was_complete(exit: Exit, evidence: Evidence) -> bool:
    """True if an agent had reported its whole result when a cap on usage stopped the agent."""
    by_budget = exit.ended_by is EndedBy.LIMIT and bool(exit.stopped_by) and not exit.error
    return by_budget and evidence.output_required and evidence.claimed_success is True


def evidence_after_child_jobs(
    output: str, delivery: DeliveredWork, final_text: FinalText
) -> tuple[Exit, Evidence]:
    """Return the exit and the evidence with which a worker is judged after its child jobs' end.

    A worker with child jobs is judged twice. The first judgment, at the end of its process, covers
    all facts except its changes and its final text. The second judgment covers only these two
    facts. The returned exit is a success, because the first judgment already covered the exit.
    """
    evidence = Evidence(
        output=output,
        delivery=delivery,
        final_text=FinalText.ANSWER if delivery.changed else final_text,
        worktree=WorktreeState(),
    )
    return Exit(ended_by=EndedBy.EXIT, code=0), evidence


def only_gates_remain(exit: Exit, evidence: Evidence) -> bool:
    """True if the attempt has no failure so far, so that only its gates can reject it."""
    return judge(exit, replace(evidence, gates=(_PASSED,))).succeeded


def _fingerprint(row: OutcomeRow, exit: Exit, evidence: Evidence) -> str:
    """Return a fingerprint that equal failures share; "" if the failure cannot be compared.

    - A lost attempt cannot be compared, because the worker did not cause the loss.
    - Failures of the same row are always equal if the row's field ``once`` is True.
    - Rejections by gates are equal if the findings are equal.
    - Any other failure of an attempt that changed files cannot be compared, because the next
      attempt starts from another state.
    - If the attempts changed no files, any other failures are equal if row, exit code, signal, and
      output are equal. Times in the output are ignored.
    """
    if exit.ended_by is EndedBy.LOST:
        return ""
    if row.once:
        return row.name
    if row.name == GATES:
        blocking = [each for each in evidence.gates if each.blocks]
        return f"{row.name}|{digest_of(_gate_fingerprint(each) for each in blocking)}"
    if evidence.files_changed:
        return ""
    output = crc32(without_times(evidence.output).encode("utf-8", "replace"))
    return f"{row.name}|{exit.code}|{exit.signal}|{output:x}"


def _gate_fingerprint(result: GateResult) -> str:
    cause = result.cause or ""
    return f"{result.name}|{cause}|{result.digest or without_times(result.output)}"


_NONE_YET = WorkerResult()


def ended_at(attempt: Attempt, exit: Exit, evidence: Evidence, now: float) -> float:
    """Return the end time of an attempt: the end of its process, or ``now`` if gates ran.

    A recorded time that contradicts the server's clock is ignored.
    """
    agrees = attempt.started_at <= exit.started_at <= exit.ended_at <= now
    end = exit.ended_at if agrees and not evidence.gates else now
    return max(end, attempt.started_at)


def result_of(
    before: WorkerResult | None, attempt: Attempt, exit: Exit, evidence: Evidence, seconds: float
) -> WorkerResult:
    """Return the worker's result after one more attempt, which took ``seconds``."""
    before = before or _NONE_YET
    usage = before.usage
    if is_known(evidence.usage):
        usage = usage_sum(before.usage_before or NO_USAGE, evidence.usage)
    return WorkerResult(
        output=evidence.output,
        files_created=evidence.files_created,
        usage=usage,
        usage_before=usage if is_known(usage) else None,
        model=evidence.model or before.model,
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
        # An attempt that ran nothing keeps the delivery of the previous attempt.
        delivery=before.delivery if exit.cause in RAN_NOTHING else evidence.delivery,
        session=evidence.session or before.session,
        feedback=before.feedback,
        messages=before.messages,
        standing=_choice_of_person(before),
    )


def _choice_of_person(result: WorkerResult) -> CandidateRank | None:
    standing = result.standing
    is_choice = standing and standing.place == 1 and standing.by is Criterion.PERSON
    return standing if is_choice else None


def _is_good(evidence: Evidence) -> bool:
    passed = any(gate.has_approved for gate in evidence.gates)
    sound = evidence.worktree is not None and not evidence.worktree.faults
    return sound and passed and not any(gate.blocks for gate in evidence.gates)
