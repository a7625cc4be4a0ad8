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
from orchestrator.core.model.attempt.session import Session
from orchestrator.core.model.candidate_rank import CandidateRank
from orchestrator.core.model.gate import GateResult


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerResult:
    """The result of a worker, over all its attempts."""

    output: str = ""
    files_created: tuple[str, ...] = ()
    #: In all, the attempt that runs now included.
    usage: Usage = NO_USAGE
    #: By the attempts before the present one; None: by none.
    usage_before: Usage | None = None
    exit_code: int | None = None
    signal: int | None = None
    #: Summed over all attempts.
    work_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    log_truncated: bool = False
    strays: tuple[Stray, ...] = ()
    #: How many child jobs limits rejected, over all attempts.
    refused_child_jobs: int = 0
    #: Of the latest attempt for which it is known.
    prompt: PromptSize | None = None
    #: Results of the latest attempt's gates.
    gates: tuple[GateResult, ...] = ()
    #: Classified failures of attempts, in order; only the latest.
    failures: tuple[Failure, ...] = ()
    #: Rollbacks by people, in order; only the latest.
    rollbacks: tuple[Rollback, ...] = ()
    #: The latest checkpoint that is worth restoring: its gates passed, or conflicts were given to
    #: an agent to resolve; empty: none but the start.
    good: str = ""
    #: Files in which its changes conflict, since an agent was asked to resolve them.
    conflicts: tuple[str, ...] = ()
    #: That agent has finally failed: the worker's work before that counts.
    unresolved: bool = False
    #: Size of its changes; known for candidates that have a worktree.
    change: ChangeSize | None = None
    #: Its latest attempt's delivery; None without a worktree.
    delivery: Delivery | None = None
    #: Its rank among the candidates of its task, once all of them have ended.
    standing: CandidateRank | None = None
    #: The latest session of its agent, for the next attempt.
    session: Session | None = None
