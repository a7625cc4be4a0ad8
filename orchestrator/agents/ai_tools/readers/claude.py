"""Reader of Claude Code's output: ``stream-json --verbose``, or one line of ``json``."""

import time
from collections.abc import Callable, Mapping
from typing import ClassVar

from orchestrator.agents.activity.agent_events import (
    AgentEvent,
    AgentOutcome,
    Ending,
    FinalAnswerEvent,
    InputReadEvent,
    RetryEvent,
    TextEvent,
    ToolEvent,
    ToolRequestEvent,
)
from orchestrator.agents.ai_tools.reader_parts.error_classification import classify
from orchestrator.agents.ai_tools.reader_parts.rate_limit_reset import epoch_seconds
from orchestrator.agents.ai_tools.reader_parts.run_outcome import (
    FINE,
    Fault,
    RunReport,
    outcome_of_run,
)
from orchestrator.agents.ai_tools.reader_parts.tool_calls import log_line, summary, written_paths
from orchestrator.agents.ai_tools.reader_parts.usage_meter import Meter, RunFacts, minus, priced
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Usage
from orchestrator.core.model.attempt.usage_sums import tokens, usage_sum
from orchestrator.core.text import json_values
from orchestrator.core.text.json_values import Object

#: Name of the model in messages that come from Claude Code itself, such as error messages.
SYNTHETIC = "<synthetic>"
#: The ``type`` of the lines in a session file that contain the session's totals so far.
_COST = "cost-state"
#: Tools that ask a person. Claude denies these calls, because no person is present. The reader
#: ignores these denials.
ASKING = frozenset({"AskUserQuestion", "ExitPlanMode"})
REFUSALS = frozenset({"reject", "deny", "denied"})
#: Claude's message for a tool that the policy excludes. Claude has another message for a tool that
#: does not exist.
DISABLED = "is disabled for this session"

#: Maximum number of tool calls that are remembered.
_MOST_TOOLS = 100


class ClaudeReader:
    def __init__(self, facts: RunFacts | None = None) -> None:
        self._facts = facts or RunFacts()
        self._model = self._facts.model
        self._meter = Meter()
        self._messages: set[str] = set()
        #: Current message of each agent, as (message id, counted output tokens). The key is the id
        #: of the tool use that started the subagent; "" for the main agent.
        self._written: dict[str, tuple[str, int]] = {}
        self._tools: dict[str, ToolEvent] = {}
        self._denied: dict[str, None] = {}
        self.session = ""
        self._last_text = ""
        self._answer = ""
        self._turns = 0
        #: True if the model was called after the last result. The result's totals then lack these
        #: calls.
        self._behind = False
        #: True if Claude has begun a turn that has no result yet.
        self._in_turn = False
        self._began = False
        self._working_on = False
        #: Usage of earlier runs of a resumed session.
        self._before, self._is_resumed = Usage(), False
        self._result: Object | None = None
        self._resets_at: float | None = None

    def line(self, text: str) -> list[AgentEvent]:
        event = json_values.parsed(text)
        if event is None:
            return []
        self._began = True
        self.session = json_values.text(event, "session_id") or self.session
        read = self._EVENTS.get(json_values.text(event, "type"))
        return read(self, event) if read else []

    def outcome(self, ending: Ending) -> AgentOutcome:
        fault = _fault(self._result) if self._result is not None else FINE
        report = RunReport(
            text=(self._answer if not fault[0] else "") or self._last_text,
            fault=fault,
            usage=self._used(),
            model=self._model,
            session=self.session,
            denied=tuple(self._denied),
            resets_at=self._resets_at,
            began=self._began,
            finished=self._result is not None and not fault[0] and not self._in_turn,
            usage_is_complete=self._result is not None
            and not self._behind
            and not _broke_off(self._result),
        )
        return outcome_of_run(report, ending, time.time())

    def _system(self, event: Object) -> list[AgentEvent]:
        self._model = json_values.text(event, "model") or self._model
        kind = json_values.text(event, "subtype")
        if kind == "background_tasks_changed":
            self._working_on = bool(json_values.objects(event, "tasks"))
        if kind == "init" and self._result is not None:
            # A message that came after the result begins another turn.
            return [ToolRequestEvent()]
        return [_retry(event)] if kind == "api_retry" else []

    def _assistant(self, event: Object) -> list[AgentEvent]:
        message = json_values.dig(event, "message")
        model = json_values.text(message, "model")
        if model == SYNTHETIC:
            return []
        parent = json_values.text(event, "parent_tool_use_id")
        # Only a message of the main agent shows that a turn has begun: a subagent may still work in
        # the background after the turn's end.
        self._in_turn = self._in_turn or not parent
        events = self._count_usage(message, model, parent)
        for block in json_values.objects(message, "content"):
            events += self._block(block, parent)
        return events

    def _partial(self, event: Object) -> list[AgentEvent]:
        # Only the last event of a message has the total of its output tokens.
        if json_values.text(event, "event", "type") != "message_delta":
            return []
        total = json_values.count(event, "event", "usage", "output_tokens") or 0
        parent = json_values.text(event, "parent_tool_use_id")
        name, counted = self._written.get(parent, ("", 0))
        if not name or total <= counted:
            return []
        self._written[parent] = name, total
        increase = Usage(output_tokens=total - counted)
        return [*self._meter.add(priced(increase, self._model, self._facts.prices))]

    def _count_usage(self, message: object, model: str, parent: str) -> list[AgentEvent]:
        # Count a message once, because Claude repeats its usage with each of its blocks.
        name = json_values.text(message, "id") or f"#{len(self._messages)}"
        if name in self._messages:
            return []
        self._messages.add(name)
        self._behind = True
        report = _tokens(json_values.dig(message, "usage"), _SNAKE)
        self._written[parent] = name, report.output_tokens or 0
        used = usage_sum(Usage(steps=1), report)
        return [*self._meter.add(priced(used, model or self._model, self._facts.prices))]

    def _block(self, block: Object, parent: str) -> list[AgentEvent]:
        words = json_values.text(block, "text")
        if json_values.text(block, "type") == "tool_use":
            tool, arguments = json_values.text(block, "name"), json_values.dig(block, "input")
            tool_event = ToolEvent(tool, summary(arguments), writes=written_paths(tool, arguments))
            self._tools[json_values.text(block, "id")] = tool_event
            return [tool_event]
        if json_values.text(block, "type") != "text" or not words:
            return []
        if not parent:
            # The output of a subagent is not the answer.
            self._last_text = words
        return [TextEvent(words)]

    def _user(self, event: Object) -> list[AgentEvent]:
        if json_values.flag(event, "isReplay"):
            return [InputReadEvent(json_values.text(event, "uuid"))]
        for block in json_values.objects(event, "message", "content"):
            self._forget_old_tools(json_values.text(block, "tool_use_id"))
        refused_calls = [
            self._tools.get(each, ToolEvent("a tool")) for each in _refused_tool_ids(event)
        ]
        self._denied |= {call.tool: None for call in refused_calls if call.tool not in ASKING}
        return [ToolEvent(call.tool, call.summary, denied=True) for call in refused_calls]

    def _forget_old_tools(self, keep: str) -> None:
        """Forget the oldest tool calls, to limit the memory, but never the call ``keep``."""
        for name in list(self._tools)[: max(0, len(self._tools) - _MOST_TOOLS)]:
            if name != keep:
                del self._tools[name]

    def _rate_limit(self, event: Object) -> list[AgentEvent]:
        info = json_values.dig(event, "rate_limit_info")
        when = json_values.amount(info, "resetsAt")
        if json_values.text(info, "status") == "rejected" and when is not None:
            self._resets_at = epoch_seconds(when)
        return []

    def _end(self, event: Object) -> list[AgentEvent]:
        # The last result counts: Claude continues after a result if background work is running.
        self._result, self._behind, self._in_turn = event, False, False
        self._turns += json_values.count(event, "num_turns") or 0
        self._answer = _answer(event) or self._answer
        denials = json_values.objects(event, "permission_denials")
        names = (json_values.text(each, "tool_name") for each in denials)
        self._denied |= {name: None for name in names if name and name not in ASKING}
        is_last = not self._working_on and not json_values.count(event, "queued_turn_count")
        spent = self._meter.raise_to(self._used())
        return [*spent, FinalAnswerEvent()] if is_last else [*spent]

    def _used(self) -> Usage:
        if self._result is None or self._behind:
            return self._meter.total
        total = _totals(self._result)
        if self._is_resumed and any(json_values.entries(self._result, "modelUsage")):
            # Subtract the usage of a resumed session's earlier runs.
            total = minus(total, self._before)
        # Without streamed messages, only Claude's own count of turns shows the number of calls.
        turns = self._turns if total.input_tokens or total.output_tokens else 0
        steps = len(self._messages) or turns
        return priced(usage_sum(Usage(steps=steps), total), self._model, self._facts.prices)

    def session_line(self, text: str, source: str) -> list[AgentEvent]:
        """Read a line of a resumed session's file, to find earlier usage. Return no events."""
        if not self._is_resumed and _COST in text:
            event = json_values.parsed(text)
            if event is not None and json_values.text(event, "type") == _COST:
                self._before = _totals(event)
        return []

    def resumed(self) -> None:
        self._is_resumed = True

    _EVENTS: ClassVar[Mapping[str, Callable[["ClaudeReader", Object], list[AgentEvent]]]] = {
        "system": _system,
        "assistant": _assistant,
        "stream_event": _partial,
        "user": _user,
        "rate_limit_event": _rate_limit,
        "result": _end,
    }


def _answer(result: Object) -> str:
    """Return Claude's final text, or the JSON value that the prompt requested, as text."""
    words, value = json_values.text(result, "result"), json_values.dig(result, "structured_output")
    return words if not value or json_values.parsed(words) == value else json_values.dumped(value)


def _refused_tool_ids(event: Object) -> list[str]:
    decided = [
        json_values.text(meta, "id")
        for meta in json_values.objects(event, "tool_result_meta")
        if json_values.text(meta, "permission_decision", "decision") in REFUSALS
    ]
    disabled = [
        json_values.text(block, "tool_use_id")
        for block in json_values.objects(event, "message", "content")
        if json_values.flag(block, "is_error")
        and DISABLED in json_values.text(block, "content")[:1000]
    ]
    return list(dict.fromkeys([*decided, *disabled]))


_SNAKE = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)
_CAMEL = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")


def _tokens(value: object, names: tuple[str, str, str, str]) -> Usage:
    read, written, cached, caching = (json_values.count(value, name) for name in names)
    return Usage(
        input_tokens=read,
        output_tokens=written,
        cache_read_tokens=cached,
        cache_write_tokens=caching,
        cost_usd=json_values.amount(value, "costUSD"),
    )


def _totals(result: Object) -> Usage:
    # ``usage`` lacks some calls, so it is used only if ``modelUsage`` is missing.
    total = Usage()
    for _, each in json_values.entries(result, "modelUsage"):
        total = usage_sum(total, _tokens(each, _CAMEL))
    if total == Usage():
        total = _tokens(json_values.dig(result, "usage"), _SNAKE)
    if _broke_off(result):
        return total
    cost = json_values.amount(result, "total_cost_usd")
    return total if total.cost_usd is not None else usage_sum(total, Usage(cost_usd=cost))


def _broke_off(result: Object) -> bool:
    """True if a model call was interrupted: ``result`` has tokens, but its total cost is 0."""
    if (
        any(json_values.entries(result, "modelUsage"))
        or json_values.amount(result, "total_cost_usd") != 0
    ):
        return False
    return tokens(_tokens(json_values.dig(result, "usage"), _SNAKE)) > 0


def _fault(result: Object) -> Fault:
    # The field ``subtype`` may be "success" although an API error occurred. Earlier versions of
    # Claude report some errors only in this field.
    reason, subtype = (json_values.text(result, each) for each in ("terminal_reason", "subtype"))
    words = (
        json_values.text(result, "result")
        or "; ".join(json_values.texts(result, "errors"))
        or reason
        or subtype
    )
    if reason in ("max_turns", "budget_exhausted") or subtype.startswith("error_max_"):
        return ErrorClass.LIMIT, words
    if reason.startswith("aborted"):
        return ErrorClass.KILLED, f"the agent was interrupted ({reason})"
    is_error = json_values.flag(result, "is_error") is not False
    if is_error and json_values.text(result, "stop_reason") == "refusal":
        return ErrorClass.DECLINED, words
    if is_error or reason == "api_error" or subtype.startswith("error"):
        kind = json_values.text(result, "api_error_type")
        status = json_values.count(result, "api_error_status")
        return classify(f"{kind} {words}", status), words or "the agent reports a failure"
    return FINE


def _retry(event: Object) -> RetryEvent:
    status, words = json_values.count(event, "error_status"), json_values.text(event, "error")
    attempt, most = json_values.count(event, "attempt"), json_values.count(event, "max_retries")
    shown = " ".join(filter(None, (words, str(status or ""))))
    delay = json_values.amount(event, "retry_delay_ms")
    return RetryEvent(
        log_line(f"{shown}; retry {attempt} of {most}"),
        classify(words, status),
        None if delay is None else delay / 1000,
    )
