"""Interfaces for every API: a conversation (Dialect), and a model's answer (Turn)."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Any, Protocol

from orchestrator.agents.model_loop.tools.tool import Result, Tool
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import Usage


class StopReason(StrEnum):
    #: The answer is complete, or requests tools.
    DONE = "done"
    #: The answer reached its maximum number of tokens.
    CUT = "cut"
    #: The model refused to answer.
    REFUSED = "refused"
    #: The conversation reached the end of the model's context window.
    FULL = "full"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelToolCall:
    id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    #: Why the arguments cannot be used; empty if they can.
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    text: str = ""
    tool_calls: tuple[ModelToolCall, ...] = ()
    usage: Usage = field(default_factory=Usage)
    stop: StopReason = StopReason.DONE


class Dialect(Protocol):
    """One conversation in the format of one API.

    Raises only ModelFailure, even for a malformed answer of the server.
    """

    @property
    def path(self) -> str:
        """The path of the API's calls, relative to the base URL."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    def begin(self, system: str, prompt: str, tools: Sequence[Tool]) -> None: ...

    def request(self, max_tokens: int) -> Mapping[str, Any]:
        """Return the next request, which contains the whole conversation."""

    def add_answer(self, answer: object) -> Turn:
        """Add the API's ``answer`` to the conversation. Return the answer as a Turn.

        Raise ModelFailure for an invalid answer.
        """

    def add_results(self, results: Sequence[tuple[ModelToolCall, Result]], words: str = "") -> None:
        """Add the results of the last answer's tool calls, and then the text ``words``."""

    def require_json(self, schema: Mapping[str, Any]) -> None:
        """Let the next request ask for JSON that matches ``schema``, instead of text."""

    def change_format(self, status: int | None, detail: str) -> bool:
        """Select another format after the API rejected a request with ``status`` and ``detail``.

        Return False if there is no other format to try.
        """
