"""The result of a worker over all its attempts, and its rank among candidates.

Durations are seconds.
"""

from enum import StrEnum

from orchestrator.core.gates.gate import GateResult
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.agent_session import Session
from orchestrator.core.model.attempt.attempt_result import (
    NO_USAGE,
    ChangeSize,
    LeftoverProcess,
    PromptSize,
    Usage,
)
from orchestrator.core.model.attempt.delivered_work import DeliveredWork
from orchestrator.core.model.attempt.failure import Failure, Rollback
from orchestrator.core.model.human_input.feedback import Feedback
from orchestrator.core.model.human_input.messages import WorkerMessage


class Criterion(StrEnum):
    """Criteria for comparing candidates.

    A criterion decides only if all earlier criteria are equal.
    """

    SUCCESS = "success"
    #: Compared in this order: whether the gates ran and passed, the number of gates that reject the
    #: result, altered tests or gate settings, and the number of findings without places in files.
    GATES = "gates"
    #: Number of passed tests of the base commit. The base commit's versions of tests and
    #: configuration are used.
    BASE_TESTS = "base_tests"
    #: Number of the candidate's new tests that pass and count. A new test counts if it also passes
    #: on another candidate, or if the task names it.
    NEW_TESTS = "new_tests"
    #: Only in ranks that earlier versions stored: the number of all passed tests, including new
    #: tests.
    TESTS = "tests"
    #: Number of findings with places in files, with the base's configuration.
    LINT = "lint"
    #: The opinion of a reviewer.
    REVIEW = "review"
    #: The smaller change is better; a candidate without changes comes last.
    SIZE = "size"
    COST = "cost"
    TIME = "time"
    #: The place in the task's list of agents.
    ORDER = "order"
    #: A person's choice, which overrules the comparison.
    PERSON = "person"


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateRank:
    """Rank of one candidate. Known if all candidates have ended, and at least one succeeded."""

    #: 1 for the chosen candidate.
    place: int
    #: The criterion by which the candidate is worse than the chosen candidate. For the chosen
    #: candidate: the criterion by which the second candidate is worse.
    by: Criterion
    #: Why the candidate has this place, as text.
    why: str
    #: The place that a reviewer gave the candidate; None: no review counted.
    review: int | None = None
    #: The reviewer's reason for the place in ``review``.
    remark: str = ""
    #: Known cost of the candidate and its child jobs; None: unknown.
    cost_usd: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerResult:
    output: str = ""
    files_created: tuple[str, ...] = ()
    #: Usage of all attempts, including the running attempt.
    usage: Usage = NO_USAGE
    #: Usage of the attempts before the present attempt; None: unknown, or no such attempts.
    usage_before: Usage | None = None
    #: The model of the latest attempt whose model is known; empty: unknown, or no model.
    model: str = ""
    exit_code: int | None = None
    signal: int | None = None
    #: Sum over all attempts of the worker.
    work_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    log_truncated: bool = False
    strays: tuple[LeftoverProcess, ...] = ()
    #: Number of child jobs that limits rejected, over all attempts.
    refused_child_jobs: int = 0
    #: Size of the prompt of the latest attempt whose prompt size is known.
    prompt: PromptSize | None = None
    #: Results of the latest attempt's gates.
    gates: tuple[GateResult, ...] = ()
    #: Classified failures of the latest attempts, in order.
    failures: tuple[Failure, ...] = ()
    #: The latest rollbacks by people, in order.
    rollbacks: tuple[Rollback, ...] = ()
    #: The latest good checkpoint; empty if no checkpoint is good. A checkpoint is good if gates
    #: passed on it, or if it was saved before an agent was asked to resolve conflicts.
    good: str = ""
    #: Files in which the worker's changes conflict. Set when an agent is asked to resolve the
    #: conflicts.
    conflicts: tuple[str, ...] = ()
    #: True if all attempts to resolve the conflicts failed. The worker's result is then its work
    #: from before these attempts.
    unresolved: bool = False
    #: Size of the worker's changes; known for candidates that have a worktree.
    change: ChangeSize | None = None
    #: Delivered work of the latest attempt that ran; None for some workers without a worktree (see
    #: ``DeliveredWork``).
    delivery: DeliveredWork | None = None
    #: Rank among the candidates of the task, set when all candidates have ended; None before, or if
    #: the worker is not a candidate.
    standing: CandidateRank | None = None
    #: The latest session of the worker's agent, which the next attempt may resume.
    session: Session | None = None
    #: The latest rounds of comments by people, in order.
    feedback: tuple[Feedback, ...] = ()
    #: Messages from people to the worker, in order.
    messages: tuple[WorkerMessage, ...] = ()
