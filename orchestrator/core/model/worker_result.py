"""What a worker came back with, over all its attempts. Durations are seconds."""

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
    """What a worker came back with."""

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
    #: How many child jobs it asked for in vain because a limit was hit, over all attempts.
    refused_child_jobs: int = 0
    #: Of the latest attempt for which it is known.
    prompt: PromptSize | None = None
    #: What the checks of its latest attempt came to.
    gates: tuple[GateResult, ...] = ()
    #: What was made of the attempts that failed, in order; of the latest ones only.
    failures: tuple[Failure, ...] = ()
    #: What people had go back, in order; of the latest times only.
    rollbacks: tuple[Rollback, ...] = ()
    #: The latest checkpoint that is worth going back to: its gates passed, or somebody began to
    #: resolve conflicts with it; empty: none but the start.
    good: str = ""
    #: Where its changes exclude those of the others, since somebody was asked to resolve that.
    conflicts: tuple[str, ...] = ()
    #: Whoever was asked has failed at that for good: what the worker did before counts.
    unresolved: bool = False
    #: How much it changed; known of candidates that have a worktree.
    change: ChangeSize | None = None
    #: What its latest attempt delivered; None without a worktree.
    delivery: Delivery | None = None
    #: Among the candidates of its task, once all of them have ended.
    standing: CandidateRank | None = None
    #: The latest session of its agent, for the next attempt.
    session: Session | None = None
