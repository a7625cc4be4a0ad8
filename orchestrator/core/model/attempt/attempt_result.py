"""How an attempt ended, and what it left behind: frozen values.

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
    #: The process ended by itself.
    EXIT = "exit"
    #: Its time was over.
    TIMEOUT = "timeout"
    #: Somebody asked for it.
    CANCEL = "cancel"
    #: It used more than its limits allow.
    LIMIT = "limit"
    #: The program could not be started.
    SPAWN_FAILED = "spawn_failed"
    #: Its shim died; how it ended is not known.
    LOST = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stray:
    """A process that had to be swept after the worker's own process ended."""

    pid: int
    command: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Exit:
    """How an attempt ended: the content of ``exit.json``."""

    ended_by: EndedBy
    code: int | None = None
    signal: int | None = None
    #: Why, where that is more than ``ended_by`` says.
    cause: ExitCause = ExitCause.NONE
    #: What went wrong, for people.
    error: str = ""
    #: Who asked for the stop, for people.
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
        """The server asked for the stop, or stopped itself; no stray signal."""
        return self.ended_by is EndedBy.CANCEL and self.cause is not ExitCause.SIGNAL


class ErrorClass(StrEnum):
    """What kind of thing went wrong with an agent; it decides whether trying again helps."""

    NONE = ""
    #: Its key or login was refused, or is missing.
    AUTH = "auth"
    #: Its account may not call the model just now.
    RATE_LIMIT = "rate_limit"
    #: The model's service failed, or cannot be reached.
    API = "api"
    #: The tool refuses to work as it was called.
    CONFIG = "config"
    #: It used as many steps, tokens or as much money as it may.
    LIMIT = "limit"
    #: It was not allowed to use a tool that it needed.
    DENIED = "denied"
    #: It ended well and said nothing.
    EMPTY = "empty"
    #: The tool failed by a fault of its own: an internal error, an exit code without a reason.
    INTERNAL = "internal"
    #: The tool's program does not exist, may not be executed, or is being replaced.
    START = "start"
    #: It was stopped by a signal that nobody here sent.
    KILLED = "killed"
    #: It was silent for too long, or did not end after its last word.
    TIMEOUT = "timeout"


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What an agent says it used; None is "not known", never zero.

    ``input_tokens`` are those read anew: the ones read from a provider's cache or written to it
    are counted by themselves.
    """

    steps: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cost_usd: float | None = None
    #: The cost was computed from a price table, not told by the agent.
    cost_estimated: bool = False
    #: The agent was stopped before it told all that it used: these are lower bounds.
    partial: bool = False

    @property
    def cost_marks(self) -> int:
        """What is to be said of its cost: ESTIMATED, INCOMPLETE, both (added) or nothing (0)."""
        known = self.cost_usd is not None
        lacks = self.partial or (not known and self != NO_USAGE)
        return ESTIMATED * (known and self.cost_estimated) + INCOMPLETE * lacks


#: Bits of ``Usage.cost_marks``, which are stored: their values never change.
ESTIMATED, INCOMPLETE = 1, 2
#: Nothing is known. One for all: to make one takes as long as the rest of a short result.
NO_USAGE = Usage()


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSize:
    """What an attempt was given to read, in bytes of UTF-8."""

    whole: int
    #: Of its beginning, which is the same for every worker of the job.
    shared: int = 0
    #: Of the results of other tasks, where it names a path in place of the text.
    left_out: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class WorktreeState:
    """What was found in a worktree when its attempt was over."""

    #: What was broken, in words; it has been mended so far that all could be kept.
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeSize:
    """How much a worker changed in its worktree, in all of its attempts."""

    files: int
    added: int = 0
    removed: int = 0

    @property
    def lines(self) -> int:
        return self.added + self.removed


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What an attempt left behind, read after it ended."""

    output: str = ""
    files_created: tuple[str, ...] = ()
    #: By the latest attempt.
    files_changed: bool = False
    #: There is something that it or an earlier attempt changed.
    has_work: bool = False
    #: The agent's own word on how it went; None where it says nothing.
    claimed_success: bool | None = None
    #: Name of the AI tool that ran, for reasons; empty for commands.
    tool: str = ""
    #: Files outside of where it works that it wrote by its own word: absolute paths.
    outside: tuple[str, ...] = ()
    #: What else to know of an attempt that succeeded, as text.
    note: str = ""
    usage: Usage = NO_USAGE
    #: The agent's kind of evidence: an empty output is no failure for a shell command.
    output_required: bool = False
    error: str = ""
    error_class: ErrorClass = ErrorClass.NONE
    #: When the agent's account may be used again, as far as its provider says.
    resets_at: float | None = None
    #: None: it was given no prompt, or an earlier server started it.
    prompt: PromptSize | None = None
    #: What the checks of its result came to.
    gates: tuple[GateResult, ...] = ()
    #: None: it had a plain directory.
    worktree: WorktreeState | None = None
    #: Known of candidates that have a worktree.
    change: ChangeSize | None = None
    #: None: it had a plain directory.
    delivery: Delivery | None = None
    #: What its output amounts to, read of an agent that changed no file.
    final_text: FinalText = FinalText.ANSWER
    #: None: its tool has no sessions, or ended before it named one.
    session: Session | None = None
