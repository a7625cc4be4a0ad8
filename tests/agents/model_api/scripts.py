"""Scripts for the model API: a script has turns, and a turn may have faults.

The last ``[[script:NAME]]`` in the user's text selects the script. The conversation in the request
shows which turn is due, so that retries and parallel conversations do not disturb each other. Only
faults have a state: the server counts the calls that each fault has failed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """How a call of the model fails."""

    #: The answer is an HTTP status with an error in the API's format.
    STATUS = "status"
    #: The connection is reset before the first byte of an answer.
    RESET = "reset"
    #: The request is read and never answered.
    SILENT = "silent"
    #: The answer arrives byte by byte, and never ends.
    TRICKLE = "trickle"
    #: The answer ends in the middle.
    CUT = "cut"
    #: Status 200 and a body that is invalid JSON.
    MALFORMED = "malformed"
    #: Status 200 with the body ``Fault.body``.
    BODY = "body"
    #: A body that is larger than any real answer.
    HUGE = "huge"


@dataclass(frozen=True, kw_only=True)
class Fault:
    kind: Kind = Kind.STATUS
    #: Status of the answer; None: 500, or 200 for ``Kind.BODY``.
    status: int | None = None
    #: The API's error type; empty: derived from the status.
    type: str = ""
    message: str = "scripted fault"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    #: Number of calls that fail; 0: all calls.
    times: int = 1


def unauthorized() -> Fault:
    return Fault(status=401, message="invalid x-api-key", times=0)


def rate_limited(*, retry_after: str = "", message: str = "slow down", times: int = 1) -> Fault:
    headers = {"retry-after": retry_after} if retry_after else {}
    return Fault(status=429, message=message, headers=headers, times=times)


def overloaded(*, times: int = 1) -> Fault:
    return Fault(status=529, message="Overloaded", times=times)


@dataclass(frozen=True)
class Call:
    """A tool call of the model.

    Calls that ``shell``, ``write``, and ``mcp`` create are converted for the requesting agent.
    Other calls are sent unchanged.
    """

    tool: str
    arguments: Any = field(default_factory=dict)
    #: Kind of call that ``naming`` converts: "shell", "write", or "mcp"; empty: no conversion.
    neutral: str = ""

    @classmethod
    def shell(cls, command: str) -> "Call":
        return cls("shell", {"command": command}, "shell")

    @classmethod
    def write(cls, path: str, text: str) -> "Call":
        return cls("write", {"path": path, "text": text}, "write")

    @classmethod
    def mcp(cls, tool: str, **arguments: Any) -> "Call":
        return cls(tool, arguments, "mcp")


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The usage that a turn reports; ``input`` excludes tokens read from a cache."""

    input: int = 100
    output: int = 30
    cache_read: int = 0
    cache_write: int = 0


@dataclass(frozen=True)
class Turn:
    """One answer of the model."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    tokens: Tokens | None = field(default_factory=Tokens)
    faults: tuple[Fault, ...] = ()
    #: Stop reason in Anthropic's terms; empty: "end_turn" or "tool_use".
    stop: str = ""

    @property
    def stop_reason(self) -> str:
        return self.stop or ("tool_use" if self.calls else "end_turn")


@dataclass(frozen=True)
class Script:
    turns: tuple[Turn, ...]
    #: True if the last turn is repeated without end.
    endless: bool = False

    @classmethod
    def of(cls, *turns: Turn, endless: bool = False) -> "Script":
        return cls(turns, endless)

    @classmethod
    def failing(cls, *faults: Fault, then: str = "RESULT done") -> "Script":
        return cls((Turn(then, faults=faults),))

    @classmethod
    def shell(cls, *commands: str, then: str = "RESULT done") -> "Script":
        """Return a script that runs each command in a separate turn, and then answers."""
        turns = [Turn(calls=(Call.shell(command),)) for command in commands]
        return cls((*turns, Turn(then)))

    def turn(self, number: int) -> Turn:
        if number < len(self.turns):
            return self.turns[number]
        return self.turns[-1] if self.endless else Turn("RESULT done")


DEFAULT = Script((Turn("RESULT done"),))
