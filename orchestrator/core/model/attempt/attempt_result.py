"""How an attempt ended, and what it produced: frozen values.

Times are Unix times. Durations are seconds.
"""

from dataclasses import replace
from enum import StrEnum

from orchestrator.core.gates.gate import GateResult
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.agent_session import Session
from orchestrator.core.model.attempt.delivered_work import DeliveredWork
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.attempt.final_text import FinalText

#: Maximum number of characters of a rejected answer that the next attempt gets.
MOST_REPEATED = 4000


class EndedBy(StrEnum):
    """What ended an attempt."""

    #: The process exited.
    EXIT = "exit"
    #: The attempt's timeout expired.
    TIMEOUT = "timeout"
    #: The attempt was stopped, for example by a caller or with its server (see ``Exit.cause``).
    CANCEL = "cancel"
    #: The attempt exceeded a cap on usage, or a limit in ``workers.limits``.
    LIMIT = "limit"
    #: The program could not be started.
    SPAWN_FAILED = "spawn_failed"
    #: The end of the attempt is unknown, or the attempt never began (see ``Exit.cause``).
    LOST = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftoverProcess:
    """A leftover process, which was killed after the worker's main process had exited."""

    pid: int
    command: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Exit:
    """How an attempt ended: the content of ``exit.json``."""

    ended_by: EndedBy
    code: int | None = None
    signal: int | None = None
    #: The cause, if it is more specific than ``ended_by``.
    cause: ExitCause = ExitCause.NONE
    #: The error, for people.
    error: str = ""
    #: The caller that requested the stop, for people.
    stopped_by: str = ""
    started_at: float = 0.0
    ended_at: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    log_bytes: int = 0
    #: True if output was dropped because the log reached its maximum size.
    log_truncated: bool = False
    #: True if output was lost because the log could not be written.
    log_lost: bool = False
    strays: tuple[LeftoverProcess, ...] = ()
    #: Name of the containment of the attempt's processes; empty: unknown.
    containment: str = ""

    @property
    def stop_was_requested(self) -> bool:
        """True if the orchestrator stopped the attempt, for example on request or at its shutdown.

        False if another process sent the signal that ended the attempt.
        """
        return self.ended_by is EndedBy.CANCEL and self.cause is not ExitCause.SIGNAL


class ErrorClass(StrEnum):
    """Kind of an agent's error. The kind decides whether a retry can help."""

    NONE = ""
    #: The agent's key or login failed, or is missing.
    AUTH = "auth"
    #: The agent's account has no credit. Waiting does not help.
    CREDIT = "credit"
    #: The agent's account must wait before it may call the model again.
    RATE_LIMIT = "rate_limit"
    #: The model's service failed, or cannot be reached.
    API = "api"
    #: The tool does not accept its arguments or configuration.
    CONFIG = "config"
    #: A cap on steps, tokens, or money stopped the agent, or the model's context or answer was too
    #: long.
    LIMIT = "limit"
    #: The agent was not allowed to use a tool that it needed.
    DENIED = "denied"
    #: The agent ended without an error and without output.
    EMPTY = "empty"
    #: The model declined to answer, or a content filter blocked its answer.
    DECLINED = "declined"
    #: The tool itself failed: an internal error, or an exit code without a reason.
    INTERNAL = "internal"
    #: The tool's program does not exist, may not be executed, or is being replaced.
    START = "start"
    #: The agent was stopped by a signal that the orchestrator did not send.
    KILLED = "killed"
    #: The agent or its model was silent for too long, or the agent did not end after its final
    #: text.
    TIMEOUT = "timeout"


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Usage as an agent reports it; None means unknown, never zero.

    ``input_tokens`` excludes tokens that a provider's cache read or wrote.
    """

    steps: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cost_usd: float | None = None
    #: True if the cost was computed from a price table, not reported by the agent.
    cost_estimated: bool = False
    #: True if the agent was stopped before it reported all usage: the figures are lower bounds.
    partial: bool = False


#: Unknown usage. All results share this value, because a new ``Usage`` would double the time to
#: create a short result.
NO_USAGE = Usage()


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSize:
    """Size of an attempt's prompt, in bytes of UTF-8."""

    whole: int
    #: Size of the shared beginning, which is the same for every worker of the job.
    shared: int = 0
    #: Size of the text that was cut from the results of dependencies in the prompt.
    left_out: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class WorktreeState:
    """Damage and conflicts that an attempt left in its worktree."""

    #: Faults of the worktree, as text. All faults were repaired, so that the changes could be
    #: saved.
    faults: tuple[str, ...] = ()
    #: True if the attempt left an unresolved conflict in git, so that its changes contain conflict
    #: markers.
    has_conflicts: bool = False
    #: True if the attempt deleted the worktree's directory, with all files that were not committed.
    is_deleted: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeSize:
    """Numbers of changed files, and of added and removed lines."""

    files: int
    added: int = 0
    removed: int = 0

    @property
    def lines(self) -> int:
        return self.added + self.removed


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """The facts about an attempt that decide its outcome, in addition to its ``Exit``."""

    output: str = ""
    files_created: tuple[str, ...] = ()
    #: True if this attempt changed files.
    files_changed: bool = False
    #: True if there are changes of this or an earlier attempt.
    has_work: bool = False
    #: The agent's own report of success; None if it reports nothing.
    claimed_success: bool | None = None
    #: Name of the AI tool that ran, for the text of the reason; empty for commands.
    tool: str = ""
    #: Absolute paths of files that the agent reports to have written outside its directory.
    outside: tuple[str, ...] = ()
    #: A note on a successful attempt, as text.
    note: str = ""
    usage: Usage = NO_USAGE
    #: The model that the agent used; empty: unknown, or no model.
    model: str = ""
    #: True if an empty output is a failure; False for a shell command.
    output_required: bool = False
    error: str = ""
    error_class: ErrorClass = ErrorClass.NONE
    #: When the agent's account may be used again, according to its provider; None: unknown.
    resets_at: float | None = None
    #: Size of the prompt; None: the attempt had no prompt, or the server was restarted while the
    #: attempt ran.
    prompt: PromptSize | None = None
    #: Results of the attempt's gates.
    gates: tuple[GateResult, ...] = ()
    #: State of the worktree after the attempt; None: the attempt had a plain directory.
    worktree: WorktreeState | None = None
    #: Size of the changes; known for candidates that have a worktree.
    change: ChangeSize | None = None
    #: The attempt's changes; None for some attempts without a worktree (see ``DeliveredWork``).
    delivery: DeliveredWork | None = None
    #: Kind of the output, determined only for an agent that changed no file.
    final_text: FinalText = FinalText.ANSWER
    #: The tool's session; None: the tool has no sessions, or ended before it named its session.
    session: Session | None = None
    #: Ids of messages that the attempt's agent has read.
    messages: tuple[str, ...] = ()

    def with_rejected(self, kind: str, why: str) -> "Evidence":
        """Return the evidence of an attempt whose answer was rejected.

        ``kind``: the kind of the agent's answer, such as "plan". ``why``: why the answer was
        rejected. The output of the returned evidence contains the rejected answer, which the next
        attempt gets.
        """
        answer = self.output[:MOST_REPEATED].strip() or "(nothing)"
        return replace(
            self,
            claimed_success=False,
            error=f"the {kind} was rejected: {why}",
            output=f"Your {kind} was rejected: {why}\n\nYour answer was:\n\n{answer}",
        )


#: For records of version 0.1.0, which have no field for the cause. Key: beginning of the record's
#: message. Value: the cause. Later versions record the cause, so never add a text here.
_OF_LOST = {
    "it never began: its server ended before it was started": ExitCause.NEVER_BEGAN,
    "there was no room to start it": ExitCause.NO_ROOM,
    "its server was gone for longer than workers.orphan_lease": ExitCause.ORPHAN_TIMEOUT,
    "the server was stopped while it ran": ExitCause.SHUTDOWN,
    "its shim was told to end ": ExitCause.SIGNAL,
    "its shim died": ExitCause.SHIM_DIED,
}
_OF_CANCEL = {
    "": ExitCause.SIGNAL,
    "shutdown": ExitCause.SHUTDOWN,
    "orphan_lease": ExitCause.ORPHAN_TIMEOUT,
}


def cause_of(ended_by: EndedBy, error: str, stopped_by: str) -> ExitCause:
    """Return the cause of an exit that version 0.1.0 recorded without a cause."""
    if ended_by is EndedBy.LOST:
        causes = (cause for start, cause in _OF_LOST.items() if error.startswith(start))
        return next(causes, ExitCause.NONE)
    if ended_by is EndedBy.CANCEL:
        return _OF_CANCEL.get(stopped_by, ExitCause.NONE)
    if ended_by is EndedBy.TIMEOUT and not stopped_by.startswith("max_wall_seconds"):
        return ExitCause.TASK_TIMEOUT
    return ExitCause.NONE
