"""Events of a running agent, in one format for all programs.

A reader turns one program's lines into events. The driver acts on them: it writes the log that
people follow, adds up the usage, and stops an agent that exceeds its limits.
"""

from collections.abc import Iterable
from dataclasses import field
from typing import Protocol, runtime_checkable

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Usage


@dataclass(frozen=True, slots=True)
class TextEvent:
    text: str


@dataclass(frozen=True, slots=True)
class ToolEvent:
    """The model used a tool. ``denied`` is True if the program did not allow this use."""

    tool: str
    #: Arguments of the tool, in one line.
    summary: str = ""
    denied: bool = False
    #: Files that the tool writes, as the program names them.
    writes: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ToolRequestEvent:
    """A sign that another step follows: the model requested a tool, or the program got a message.

    The name of a requested tool may come in a separate ToolEvent.
    """


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """Usage since the previous UsageEvent; ``usage.steps`` is the number of model calls."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class RetryEvent:
    """A failure, after which the program retries automatically."""

    text: str
    error_class: ErrorClass = ErrorClass.API
    #: Seconds until the program retries; None: unknown.
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class StuckEvent:
    """The agent repeats calls to a failing service endlessly, so the driver must stop the agent."""

    text: str


@dataclass(frozen=True, slots=True)
class FinalAnswerEvent:
    """The model gave an answer that is probably final. The program may continue, hang, or exit."""


@dataclass(frozen=True, slots=True)
class InputReadEvent:
    id: str


AgentEvent = (
    TextEvent
    | ToolEvent
    | ToolRequestEvent
    | UsageEvent
    | RetryEvent
    | StuckEvent
    | FinalAnswerEvent
    | InputReadEvent
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """The end of the program: its exit code or signal, and why the driver stopped the program."""

    code: int | None = None
    signal: int | None = None
    #: The last part of the program's standard error.
    stderr: str = ""
    #: Why the driver stopped the program before its final answer; NONE for any other end. If the
    #: value is not NONE, readers ignore the exit code and the final text of the program.
    stopped_for: ErrorClass = ErrorClass.NONE
    stopped_because: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentOutcome:
    """The outcome of one run of the agent's program.

    The run succeeded if ``error_class`` is NONE. ``usage`` excludes earlier runs of the session.
    """

    text: str = ""
    error_class: ErrorClass = ErrorClass.NONE
    error: str = ""
    usage: Usage = field(default_factory=Usage)
    #: The model that the program reported; otherwise the requested model. Empty: unknown.
    model: str = ""
    #: Id with which the program can resume this conversation.
    session: str = ""
    #: Names of the tools that the agent was not allowed to use, without duplicates.
    denied: tuple[str, ...] = ()
    #: When the account may be used again: Unix time.
    resets_at: float | None = None
    #: Absolute paths of the files that the agent wrote outside of its working directory, according
    #: to the program's events.
    outside: tuple[str, ...] = ()
    #: A remark about a successful run, for people; empty if there is no remark.
    note: str = ""

    @property
    def succeeded(self) -> bool:
        return self.error_class is ErrorClass.NONE


@runtime_checkable
class SessionReader(Protocol):
    """A reader that also reads session files, because the program's output lacks some facts."""

    def session_line(self, text: str, source: str) -> Iterable[AgentEvent]:
        """Read one line of a session file, and return its events.

        ``source``: the file's name.
        """

    def resumed(self) -> None:
        """Treat the lines read so far as lines of earlier runs.

        Called at most once, before the run.
        """


@runtime_checkable
class LogReader(Protocol):
    """A reader that also reads standard error, because standard output lacks some facts."""

    def log_line(self, text: str) -> Iterable[AgentEvent]:
        """Read one line of standard error, without its line end, and return its events."""


class Reader(Protocol):
    """Reads the output of one run of a program. Never raises, even for invalid output."""

    @property
    def session(self) -> str:
        """Id with which the program can resume this conversation; empty if unknown."""

    def line(self, text: str) -> Iterable[AgentEvent]:
        """Read one line of standard output, without its line end, and return its events."""

    def outcome(self, ending: Ending) -> AgentOutcome:
        """Return the outcome of the run. Called once, after the last line of the output."""
