"""Reader of Gemini CLI's output, in the format ``stream-json`` or ``json``.

The format ``json`` is one object. If the run failed, the object is on standard error.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar

from orchestrator.agents.activity.agent_events import (
    AgentEvent,
    AgentOutcome,
    Ending,
    FinalAnswerEvent,
    RetryEvent,
    TextEvent,
    ToolEvent,
)
from orchestrator.agents.ai_tools.reader_parts.error_classification import classify
from orchestrator.agents.ai_tools.reader_parts.run_outcome import (
    FINE,
    Fault,
    RunReport,
    outcome_of_run,
)
from orchestrator.agents.ai_tools.reader_parts.tool_calls import (
    log_line,
    plain_error,
    summary,
    written_paths,
)
from orchestrator.agents.ai_tools.reader_parts.usage_meter import Meter, RunFacts, Steps, priced
from orchestrator.agents.prices.price_table import Prices
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Usage
from orchestrator.core.model.attempt.usage_sums import tokens, usage_sum
from orchestrator.core.text import json_values
from orchestrator.core.text.json_values import Object


def usage_of_models(stats: object, prices: Prices) -> Usage:
    """Return the usage of all models. The cost is unknown if a model has no price."""
    models = json_values.entries(stats, "models")
    parts = [priced(_usage_of_model(each), name, prices) for name, each in models]
    if not parts:
        return _usage_in_stream(stats)
    total = Usage()
    for part in parts:
        total = usage_sum(total, part)
    if any(part.cost_usd is None for part in parts):
        total = replace(total, cost_usd=None, cost_estimated=False)
    return total


def _usage_of_model(model: object) -> Usage:
    tokens = json_values.dig(model, "tokens")
    return _usage_in_stream(model) if tokens is None else _usage_in_document(model, tokens)


def _usage_in_stream(stats: object) -> Usage:
    # ``input`` has the input tokens without cache reads. Only ``total_tokens`` has the thinking
    # tokens.
    read = json_values.count(stats, "input_tokens")
    cached = json_values.count(stats, "cached")
    fresh = json_values.count(stats, "input")
    total = json_values.count(stats, "total_tokens") or 0
    written = json_values.count(stats, "output_tokens")
    return Usage(
        input_tokens=_uncached(read, cached) if fresh is None else fresh,
        output_tokens=None if written is None else max(written, total - (read or total)),
        cache_read_tokens=cached,
    )


def _usage_in_document(model: object, tokens: object) -> Usage:
    cached = json_values.count(tokens, "cached")
    written = json_values.count(tokens, "candidates")
    thought = json_values.count(tokens, "thoughts") or 0
    return Usage(
        steps=json_values.count(model, "api", "totalRequests"),
        input_tokens=_uncached(json_values.count(tokens, "prompt"), cached),
        # Thinking is billed as output.
        output_tokens=None if written is None else written + thought,
        cache_read_tokens=cached,
    )


def of_answer(tokens: object) -> Usage:
    cached = json_values.count(tokens, "cached")
    written = json_values.count(tokens, "output")
    thought = json_values.count(tokens, "thoughts") or 0
    return Usage(
        input_tokens=_uncached(json_values.count(tokens, "input"), cached),
        output_tokens=None if written is None else written + thought,
        cache_read_tokens=cached,
    )


def _uncached(read: int | None, cached: int | None) -> int | None:
    return None if read is None else max(0, read - (cached or 0))


_LIMIT = re.compile(r"maximum session turns|loop detected", re.I)
#: Maximum characters of a JSON object that spans several lines.
DOCUMENT_CHARS = 4_000_000
#: HTTP status by exit code. After a failed request, Gemini exits with the HTTP status modulo 256.
#: So exit code 145 means status 401, not a signal.
_STATUS_BY_CODE = {
    status % 256: status
    for status in (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 501, 502, 503, 504)
}
#: Class of the error, by exit code, for the exit codes that Gemini documents.
_BY_CODE = {
    41: ErrorClass.AUTH,
    42: ErrorClass.CONFIG,
    44: ErrorClass.CONFIG,
    52: ErrorClass.CONFIG,
    53: ErrorClass.LIMIT,
    55: ErrorClass.CONFIG,
    130: ErrorClass.KILLED,
    # Gemini's inner process was killed by a signal. No HTTP status above maps to 137 or 143.
    137: ErrorClass.KILLED,
    143: ErrorClass.KILLED,
}


class GeminiReader:
    def __init__(self, facts: RunFacts | None = None) -> None:
        self._facts = facts or RunFacts()
        self._meter = Meter()
        self._steps = Steps()
        self._tools: dict[str, ToolEvent] = {}
        self._denied: dict[str, None] = {}
        self._missing: dict[str, None] = {}
        self.session = ""
        self._model = ""
        self._words: list[str] = []
        self._text = ""
        self._limit = ""
        #: The text of the last error event, because the final event may lack the error's text.
        self._trouble = ""
        self._lines: list[str] = []
        self._kept = 0
        self._began = False
        self._result: Object | None = None
        self._answers: set[str] = set()

    def line(self, text: str) -> list[AgentEvent]:
        event = json_values.parsed(text)
        read = self._EVENTS.get(json_values.text(event, "type"))
        if event is None or read is None:
            self._kept += len(text)
            if self._kept <= DOCUMENT_CHARS:
                self._lines.append(text)
            return []
        self._began = True
        self.session = json_values.text(event, "session_id") or self.session
        self._model = json_values.text(event, "model") or self._model
        flushed = [] if json_values.text(event, "type") == "message" else self._flush()
        return [*flushed, *read(self, event)]

    def outcome(self, ending: Ending) -> AgentOutcome:
        self._flush()
        if self._result is None:
            self._read_document(ending)
        fault = self._fault(ending)
        # With the policy ``full``, gemini offers all tools.
        not_offered = {} if self._facts.policy == "full" else self._missing
        report = RunReport(
            text=self._text,
            fault=fault,
            usage=usage_sum(Usage(steps=self._steps_taken()), self._used()),
            model=self._model,
            session=self.session,
            denied=tuple(self._denied | not_offered),
            began=self._began,
            finished=self._result is not None and not fault[0],
            usage_is_complete=json_values.dig(self._result, "stats") is not None,
            has_own_exit_codes=True,
        )
        return outcome_of_run(report, ending, time.time())

    def _flush(self) -> list[AgentEvent]:
        # Gemini prints a text in pieces: join them.
        words = "".join(self._words)
        self._words.clear()
        if not words.strip():
            return []
        self._text = words
        return [TextEvent(words)]

    def _read_document(self, ending: Ending) -> None:
        # If the run failed, the object of ``-o json`` is at the end of standard error.
        errors = ending.stderr[ending.stderr.rfind("\n{") + 1 :]
        document = json_values.parsed("\n".join(self._lines)) or json_values.parsed(errors)
        if document is None:
            return
        self._began = True
        self._result = document
        self.session = json_values.text(document, "session_id") or self.session
        self._text = json_values.text(document, "response") or self._text
        warnings = (each for each in json_values.texts(document, "warnings") if _LIMIT.search(each))
        self._limit = next(warnings, self._limit)
        for name, each in json_values.entries(document, "stats", "tools", "byName"):
            if json_values.count(each, "decisions", "reject"):
                self._denied[name] = None

    def _fault(self, ending: Ending) -> Fault:
        code = ending.code or 0
        error = json_values.dig(self._result, "error")
        status = _STATUS_BY_CODE.get(code) if code >= 128 else None
        words = (
            plain_error(json_values.text(error, "message"))
            or self._trouble
            or ending.stderr.strip().rpartition("\n")[2]
        )
        words = words or f"exit code {code}"
        if self._limit:
            return ErrorClass.LIMIT, self._limit
        if code in _BY_CODE:
            return _BY_CODE[code], words
        if status or error or json_values.text(self._result, "status") == "error":
            report = json_values.text(error, "message") or words
            status = status or _error_status(json_values.count(error, "code"))
            return classify(report, status), words
        return FINE

    def _steps_taken(self) -> int | None:
        # Zero steps usually means an unknown number. After a result without tokens, the number is
        # really zero.
        silent = json_values.text(self._result, "type") == "result" and not tokens(self._used())
        return self._steps.count if self._steps.count or silent else None

    def _used(self) -> Usage:
        stats = json_values.dig(self._result, "stats")
        # Without the final event, use the usage in the session's files.
        if stats is None:
            return replace(self._meter.total, steps=None)
        return usage_of_models(stats, self._facts.prices)

    def _message(self, event: Object) -> list[AgentEvent]:
        words = json_values.text(event, "content")
        if json_values.text(event, "role") != "assistant" or not words:
            return []
        flushed = [] if json_values.flag(event, "delta") else self._flush()
        self._words.append(words)
        return [*flushed, *self._step()]

    def _tool_use(self, event: Object) -> list[AgentEvent]:
        name = json_values.text(event, "tool_name")
        arguments = json_values.dig(event, "parameters")
        tool_event = ToolEvent(name, summary(arguments), writes=written_paths(name, arguments))
        self._tools[json_values.text(event, "tool_id")] = tool_event
        return [*self._step(), tool_event]

    def _tool_result(self, event: Object) -> list[AgentEvent]:
        # Gemini reports the same error for a tool that the policy excludes and for a name that the
        # model invented. If a later tool call succeeds, the name counts as invented.
        self._steps.end_call()
        tool_event = self._tools.pop(json_values.text(event, "tool_id"), ToolEvent("a tool"))
        kind = json_values.text(event, "error", "type")
        if json_values.text(event, "status") == "success":
            self._missing.clear()
        if kind not in ("tool_not_registered", "policy_violation"):
            return []
        refused = self._denied if kind == "policy_violation" else self._missing
        refused[tool_event.tool] = None
        return [ToolEvent(tool_event.tool, tool_event.summary, denied=True)]

    def _error(self, event: Object) -> list[AgentEvent]:
        words = json_values.text(event, "message")
        if _LIMIT.search(words[:1000]):
            self._limit = words
            return []
        self._trouble = words
        return [RetryEvent(log_line(words), classify(words))]

    def _end(self, event: Object) -> list[AgentEvent]:
        self._result = event
        steps = Usage(steps=self._meter.total.steps)
        return [*self._meter.raise_to(usage_sum(steps, self._used())), FinalAnswerEvent()]

    def session_line(self, text: str, source: str) -> list[AgentEvent]:
        # Several lines may repeat an answer, which counts once.
        event = json_values.parsed(text)
        name, report = json_values.text(event, "id"), json_values.dig(event, "tokens")
        if json_values.text(event, "type") != "gemini" or report is None or name in self._answers:
            return []
        self._answers.add(name)
        usage = of_answer(report)
        return [
            *self._meter.add(priced(usage, json_values.text(event, "model"), self._facts.prices))
        ]

    def resumed(self) -> None:
        """Forget the usage of earlier runs, but remember the ids of their answers.

        Gemini copies earlier answers into the new session file, where they must not count again.
        """
        self._meter = Meter()

    def _step(self) -> list[AgentEvent]:
        return [event for usage in self._steps.count_output() for event in self._meter.add(usage)]

    def _init(self, _: Object) -> list[AgentEvent]:
        return []

    _EVENTS: ClassVar[Mapping[str, Callable[["GeminiReader", Object], list[AgentEvent]]]] = {
        "init": _init,
        "message": _message,
        "tool_use": _tool_use,
        "tool_result": _tool_result,
        "error": _error,
        "result": _end,
    }


def _error_status(status: int | None) -> int | None:
    return status if status and 400 <= status < 600 else None
