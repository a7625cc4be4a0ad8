"""The turn that answers a request, and the common parts of the APIs' formats."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from tests.agents.model_api.naming import AgentCall
from tests.agents.model_api.scripts import Tokens, Turn

JSON = "application/json"
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"


@dataclass(frozen=True)
class DueTurn:
    """The turn that answers a request. Its calls have the form of the requesting agent."""

    turn: Turn
    number: int
    calls: tuple[AgentCall, ...]
    model: str
    #: A number that differs for every answer.
    serial: int

    def call_id(self, index: int) -> str:
        """Return a call id that contains the turn's number; the next request repeats the id."""
        return f"call_{self.serial}_t{self.number}_{index}"

    @property
    def tokens(self) -> Tokens:
        return self.turn.tokens or Tokens()


class Dialect(Protocol):
    """The formats of one API: an answer as a JSON value, as a stream, and an error."""

    def answer(self, due: DueTurn) -> Any: ...

    def stream(self, due: DueTurn) -> Iterable[bytes]: ...

    def error(self, status: int, type: str, message: str) -> Any: ...


def event(value: Any, name: str = "") -> bytes:
    """Return one server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(value)}\n\n".encode()


def halves(text: str) -> tuple[str, ...]:
    """Split a text into two pieces, so that a stream has several events."""
    middle = len(text) // 2
    return tuple(part for part in (text[:middle], text[middle:]) if part)
