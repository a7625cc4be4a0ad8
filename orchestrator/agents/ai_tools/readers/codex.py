"""Reader of the output of ``codex exec --json``."""

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
    ToolRequestEvent,
)
from orchestrator.agents.ai_tools.reader_parts.error_classification import classify, clipped
from orchestrator.agents.ai_tools.reader_parts.run_outcome import (
    FINE,
    Fault,
    RunReport,
    outcome_of_run,
)
from orchestrator.agents.ai_tools.reader_parts.tool_calls import log_line, plain_error, summary
from orchestrator.agents.ai_tools.reader_parts.usage_meter import (
    Meter,
    RunFacts,
    Steps,
    minus,
    priced,
)
from orchestrator.agents.ai_tools.readers.codex_session_log import (
    CodexSession,
    reports_denied_write,
    usage_in_report,
    was_refused_by_sandbox,
)
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.attempt.usage_sums import usage_sum
from orchestrator.core.text import json_values
from orchestrator.core.text.json_values import Object

#: Matches Codex' message about an automatic retry, which is not a failure.
_AGAIN = re.compile(r"^Reconnecting\.\.\.", re.I)
_REFUSED = re.compile(r"cancell?ed MCP|rejected by|approval|not permitted|denied by", re.I)
#: Types of items with text of the model; most other items are tool calls.
_WORDS = ("agent_message", "reasoning")
#: Types of items that are ignored: Codex' to-do list, warnings, and items without a type.
_IGNORED = ("todo_list", "error", "")


class CodexReader:
    def __init__(self, facts: RunFacts | None = None) -> None:
        self._facts = facts or RunFacts()
        self._meter = Meter()
        self._steps = Steps()
        self._open: set[str] = set()
        self._denied: dict[str, None] = {}
        self.session = ""
        self._text = ""
        self._error = ""
        self._failed = False
        self._began = False
        self._total: Usage | None = None
        self._session_log = CodexSession()
        #: The earlier usage of a resumed session.
        self._before, self._steps_before = Usage(), 0

    def line(self, text: str) -> list[AgentEvent]:
        event = json_values.parsed(text)
        if event is None:
            return []
        self._began = True
        read = self._EVENTS.get(json_values.text(event, "type"))
        return read(self, event) if read else []

    def outcome(self, ending: Ending) -> AgentOutcome:
        report = RunReport(
            text=self._text,
            fault=self._fault(ending),
            usage=self._used(),
            model=self._session_log.model,
            session=self.session,
            denied=tuple(self._denied),
            began=self._began,
            finished=self._total is not None and not self._failed,
            usage_is_complete=self._total is not None and not self._failed,
        )
        return outcome_of_run(report, ending, time.time())

    def _fault(self, ending: Ending) -> Fault:
        # An error counts only if the turn failed, or if Codex exited with an error code before the
        # turn's end. After any other error, Codex continued.
        died = self._total is None and bool(ending.code) and bool(self._error)
        if not self._failed and not died:
            return FINE
        words = self._error or "the agent's turn failed"
        return classify(words), plain_error(words)

    def _thread(self, event: Object) -> list[AgentEvent]:
        self.session = json_values.text(event, "thread_id") or self.session
        return []

    def _turn(self, _: Object) -> list[AgentEvent]:
        self._total, self._failed = None, False
        return []

    def _item_started(self, event: Object) -> list[AgentEvent]:
        kind = json_values.text(event, "item", "type")
        if kind in _IGNORED or kind in _WORDS:
            return []
        self._open.add(json_values.text(event, "item", "id"))
        return [*self._step(), _tool_event(event)]

    def _item_completed(self, event: Object) -> list[AgentEvent]:
        kind = json_values.text(event, "item", "type")
        if kind in _IGNORED:
            return []
        if kind in _WORDS:
            return [*self._step(), *self._words(event, kind)]
        return self._tool_completed(event)

    def _words(self, event: Object, kind: str) -> list[AgentEvent]:
        words = json_values.text(event, "item", "text")
        if kind != "agent_message" or not words:
            return []
        self._text = words
        return [TextEvent(words)]

    def _tool_completed(self, event: Object) -> list[AgentEvent]:
        name = json_values.text(event, "item", "id")
        tool_event = _tool_event(event)
        if self._facts.policy == "read-only" and _has_denied_write(event):
            tool_event = replace(tool_event, denied=True)
        was_started = name in self._open
        self._open.discard(name)
        events: list[AgentEvent] = [] if was_started else self._step()
        self._steps.end_call()
        if tool_event.denied:
            self._denied[tool_event.tool] = None
        return [*events, tool_event] if tool_event.denied or not was_started else events

    def _step(self) -> list[AgentEvent]:
        # The output stream omits some commands, so the session file may have more steps.
        self._steps.count_output()
        return [*self._meter.raise_to(Usage(steps=self._count))]

    @property
    def _count(self) -> int:
        return max(self._steps.count, self._session_log.steps - self._steps_before)

    def _completed(self, event: Object) -> list[AgentEvent]:
        self._total = minus(usage_in_report(json_values.dig(event, "usage")), self._before)
        return [*self._meter.raise_to(self._used()), FinalAnswerEvent()]

    def _turn_failed(self, event: Object) -> list[AgentEvent]:
        self._failed = True
        self._error = json_values.text(event, "error", "message") or self._error
        return [FinalAnswerEvent()]

    def _error_event(self, event: Object) -> list[AgentEvent]:
        words = json_values.text(event, "message")
        if _AGAIN.match(words):
            return [RetryEvent(log_line(words), classify(words))]
        self._error = words
        return []

    def _used(self) -> Usage:
        steps = Usage(steps=self._count if self._began else None)
        if self._total is None:
            # The current turn has no totals yet, so use the sum of the usage events so far.
            return replace(self._meter.total, steps=steps.steps)
        return usage_sum(steps, self._priced(self._total))

    def _priced(self, usage: Usage) -> Usage:
        model = self._facts.model or self._session_log.model
        return priced(usage, model, self._facts.prices)

    def session_line(self, text: str, source: str) -> list[AgentEvent]:
        if self._facts.policy == "read-only" and was_refused_by_sandbox(text):
            # The output stream omits a command that ends at once. Therefore only this line of the
            # session log shows that the sandbox refused the command.
            self._denied["command_execution"] = None
        if not self._session_log.line(text, source):
            return []
        used = usage_sum(Usage(steps=self._count), minus(self._session_log.total, self._before))
        requests = [ToolRequestEvent()] if self._session_log.asks else []
        return [*self._meter.raise_to(self._priced(used)), *requests]

    def resumed(self) -> None:
        """Exclude the usage of earlier runs from later totals, because Codex adds up all runs.

        The lines that were read before this call are lines of earlier runs.
        """
        self._before = self._session_log.total
        self._steps_before = self._session_log.steps
        self._meter = Meter()

    _EVENTS: ClassVar[Mapping[str, Callable[["CodexReader", Object], list[AgentEvent]]]] = {
        "thread.started": _thread,
        "turn.started": _turn,
        "turn.completed": _completed,
        "turn.failed": _turn_failed,
        "item.started": _item_started,
        "item.completed": _item_completed,
        "error": _error_event,
    }


def _has_denied_write(event: Object) -> bool:
    item = json_values.dig(event, "item")
    text = json_values.text(item, "aggregated_output")
    return json_values.text(item, "status") == "failed" and reports_denied_write(clipped(text))


def _tool_event(event: Object) -> ToolEvent:
    item = json_values.dig(event, "item")
    server, tool = json_values.text(item, "server"), json_values.text(item, "tool")
    name = f"{server}.{tool}" if tool else json_values.text(item, "type")
    error = json_values.text(item, "error", "message")
    denied = json_values.text(item, "status") == "declined" or bool(_REFUSED.search(error[:1000]))
    changes = (json_values.text(each, "path") for each in json_values.objects(item, "changes"))
    return ToolEvent(name, _summary_of_arguments(item), denied, tuple(filter(None, changes)))


def _summary_of_arguments(item: object) -> str:
    changes = [json_values.text(each, "path") for each in json_values.objects(item, "changes")]
    if changes:
        return log_line(", ".join(changes))
    arguments = json_values.dig(item, "arguments")
    return summary(arguments if arguments is not None else item)
