"""The exit of an attempt and its evidence: frozen values.

Times are seconds since the epoch, UTC; durations are seconds.
"""

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.model.attempt.delivery import Delivery
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.attempt.final_text import FinalText
from orchestrator.core.model.attempt.session import Session
from orchestrator.core.model.gate import GateResult


class EndedBy(StrEnum):
    #: The process exited.
    EXIT = "exit"
    #: Its timeout expired.
    TIMEOUT = "timeout"
    #: A caller requested it.
    CANCEL = "cancel"
    #: It used more than its limits allow.
    LIMIT = "limit"
    #: The program could not be started.
    SPAWN_FAILED = "spawn_failed"
    #: Its shim died; how it ended is not known.
    LOST = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stray:
    """A leftover process: it was killed after the worker's own process had ended."""

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
    #: Output was dropped because it was more than the log may hold.
    log_truncated: bool = False
    #: Output was lost because the log could not be written.
    log_lost: bool = False
    strays: tuple[Stray, ...] = ()
    #: How its processes were held together; empty when that is not known.
    containment: str = ""

    @property
    def stop_was_asked(self) -> bool:
        """True if the server requested the stop, or stopped itself; False for a stray signal."""
        return self.ended_by is EndedBy.CANCEL and self.cause is not ExitCause.SIGNAL


class ErrorClass(StrEnum):
    """Kind of an agent's error; it decides if a retry can help."""

    NONE = ""
    #: Its key or login failed, or is missing.
    AUTH = "auth"
    #: Its account may not call the model just now.
    RATE_LIMIT = "rate_limit"
    #: The model's service failed, or cannot be reached.
    API = "api"
    #: The tool does not accept its arguments or configuration.
    CONFIG = "config"
    #: It used as many steps, tokens or as much money as it may.
    LIMIT = "limit"
    #: It was not allowed to use a tool that it needed.
    DENIED = "denied"
    #: It ended without an error and without output.
    EMPTY = "empty"
    #: The tool failed by a fault of its own: an internal error, an exit code without a reason.
    INTERNAL = "internal"
    #: The tool's program does not exist, may not be executed, or is being replaced.
    START = "start"
    #: It was stopped by a signal that the orchestrator did not send.
    KILLED = "killed"
    #: It was silent for too long, or did not end after its last word.
    TIMEOUT = "timeout"


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Usage as an agent reports it; None is "not known", never zero.

    ``input_tokens`` do not include tokens read from a provider's cache or written to it, which are
    counted separately.
    """

    steps: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cost_usd: float | None = None
    #: The cost was computed from a price table, not reported by the agent.
    cost_estimated: bool = False
    #: The agent was stopped before it reported its whole usage: these are lower bounds.
    partial: bool = False

    @property
    def cost_marks(self) -> int:
        """Marks of its cost: ESTIMATED, INCOMPLETE, both (added) or none (0)."""
        known = self.cost_usd is not None
        lacks = self.partial or (not known and self != NO_USAGE)
        return ESTIMATED * (known and self.cost_estimated) + INCOMPLETE * lacks


#: Bits of ``Usage.cost_marks``, which are stored: their values never change.
ESTIMATED, INCOMPLETE = 1, 2
#: Nothing is known. One shared value: creating one takes as long as the rest of a short result.
NO_USAGE = Usage()


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSize:
    """Size of an attempt's prompt, in bytes of UTF-8."""

    whole: int
    #: Of its beginning, which is the same for every worker of the job.
    shared: int = 0
    #: Results of other tasks for which it names a path instead of the text.
    left_out: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class WorktreeState:
    """State of a worktree after its attempt."""

    #: What was broken, as text; repaired so far that all changes could be saved.
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeSize:
    """Size of a worker's changes in its worktree, over all attempts."""

    files: int
    added: int = 0
    removed: int = 0

    @property
    def lines(self) -> int:
        return self.added + self.removed


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Evidence of an attempt, read after it ended."""

    output: str = ""
    files_created: tuple[str, ...] = ()
    #: By the latest attempt.
    files_changed: bool = False
    #: True if there are changes of this or an earlier attempt.
    has_work: bool = False
    #: The agent's own report of success; None if it reports nothing.
    claimed_success: bool | None = None
    #: Name of the AI tool that ran, for reasons; empty for commands.
    tool: str = ""
    #: Files that it reports to have written outside of its directory: absolute paths.
    outside: tuple[str, ...] = ()
    #: A note on a successful attempt, as text.
    note: str = ""
    usage: Usage = NO_USAGE
    #: The agent's kind of evidence: an empty output is no failure for a shell command.
    output_required: bool = False
    error: str = ""
    error_class: ErrorClass = ErrorClass.NONE
    #: When the agent's account may be used again, according to its provider.
    resets_at: float | None = None
    #: None: it had no prompt, or an earlier server started it.
    prompt: PromptSize | None = None
    #: Results of its gates.
    gates: tuple[GateResult, ...] = ()
    #: None: it had a plain directory.
    worktree: WorktreeState | None = None
    #: Known for candidates that have a worktree.
    change: ChangeSize | None = None
    #: None: it had a plain directory.
    delivery: Delivery | None = None
    #: Kind of its output, read for an agent that changed no file.
    final_text: FinalText = FinalText.ANSWER
    #: None: its tool has no sessions, or ended before it named one.
    session: Session | None = None
