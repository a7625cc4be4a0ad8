"""The result of a worker, over all its attempts. Durations are seconds."""

from dataclasses import dataclass

from orchestrator.core.model.attempt.attempt_result import (
    NO_USAGE,
    ChangeSize,
    PromptSize,
    Stray,
    Usage,
)
from orchestrator.core.model.attempt.delivery import Delivery
from orchestrator.core.model.attempt.failure import Failure, Rollback
from orchestrator.core.model.attempt.message import WorkerMessage
from orchestrator.core.model.attempt.session import Session
from orchestrator.core.model.candidate_rank import CandidateRank
from orchestrator.core.model.decisions.feedback import Feedback
from orchestrator.core.model.gate import GateResult


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerResult:
    """The result of a worker, over all its attempts."""

    output: str = ""
    files_created: tuple[str, ...] = ()
    #: Usage of all attempts, including the running attempt.
    usage: Usage = NO_USAGE
    #: Usage of the attempts before the present attempt; None: there are none.
    usage_before: Usage | None = None
    exit_code: int | None = None
    signal: int | None = None
    #: Sum over all attempts.
    work_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    log_truncated: bool = False
    strays: tuple[Stray, ...] = ()
    #: Number of child jobs that limits rejected, over all attempts.
    refused_child_jobs: int = 0
    #: Size of the prompt of the latest attempt for which the size is known.
    prompt: PromptSize | None = None
    #: Results of the latest attempt's gates.
    gates: tuple[GateResult, ...] = ()
    #: Classified failures of the latest attempts, in order.
    failures: tuple[Failure, ...] = ()
    #: The latest rollbacks by people, in order.
    rollbacks: tuple[Rollback, ...] = ()
    #: The latest checkpoint that is worth restoring: its gates passed, or an agent was asked to
    #: resolve its conflicts. Empty: only the worker's start.
    good: str = ""
    #: Files in which the worker's changes conflict, since an agent was asked to resolve them.
    conflicts: tuple[str, ...] = ()
    #: True if that agent finally failed: then the worker's work before the conflicts counts.
    unresolved: bool = False
    #: Size of the worker's changes; known for candidates that have a worktree.
    change: ChangeSize | None = None
    #: Delivery of the latest attempt; None without a worktree.
    delivery: Delivery | None = None
    #: Rank among the candidates of the task, once all of them have ended; None for other workers.
    standing: CandidateRank | None = None
    #: The latest session of the worker's agent, which the next attempt may resume.
    session: Session | None = None
    #: The latest rounds of comments by people, in order.
    feedback: tuple[Feedback, ...] = ()
    #: Messages of people to the worker, in order.
    messages: tuple[WorkerMessage, ...] = ()
