"""Reader of the output of ``opencode run --format json``.

The output has no final event, so the last step decides the outcome.
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
    StuckEvent,
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
from orchestrator.agents.ai_tools.reader_parts.tool_calls import log_line, summary, written_paths
from orchestrator.agents.ai_tools.reader_parts.usage_meter import Meter, RunFacts, priced
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Usage
from orchestrator.core.text import json_values
from orchestrator.core.text.json_values import Object

#: Tools of opencode that a policy may exclude. If one of these tools is unavailable, the policy has
#: excluded it. Any other unavailable tool is a name that the model invented.
_CHANGING = ("apply_patch", "bash", "edit", "multiedit", "patch", "write")
#: After this number of answers in a row with an unknown stop reason and without a tool call, the
#: driver stops opencode. Otherwise opencode would call the model forever.
_MOST_UNENDED = 3
_REFUSED = re.compile(r"rejected permission|permission to use|rule which prevents", re.I)
#: Matches a retry of the main model's call. A retry of the call for the session's title does not
#: match.
_RETRIED = re.compile(
    r'message="stream error".* small=false .*error\.error="(?:\w+: )?(?P<words>.*?)"?$'
)
_BY_NAME = {
    "ProviderAuthError": ErrorClass.AUTH,
    "MessageAbortedError": ErrorClass.KILLED,
    "MessageOutputLengthError": ErrorClass.LIMIT,
    "ContextOverflowError": ErrorClass.LIMIT,
    "ContentFilterError": ErrorClass.DECLINED,
}


class OpencodeReader:
    def __init__(self, facts: RunFacts | None = None) -> None:
        self._facts = facts or RunFacts()
        self._meter = Meter()
        self._denied: dict[str, None] = {}
        self.session = ""
        self._text = ""
        self._fresh = True
        self._reason = ""
        self._error: Object | None = None
        self._began = False
        self._within_step = False
        self._used_tool = False
        #: Number of answers in a row with an unknown stop reason and without a tool call.
        self._unended = 0

    def line(self, text: str) -> list[AgentEvent]:
        event = json_values.parsed(text)
        if event is None:
            return []
        self._began = True
        self.session = json_values.text(event, "sessionID") or self.session
        read = self._EVENTS.get(json_values.text(event, "type"))
        return read(self, event) if read else []

    def log_line(self, text: str) -> list[AgentEvent]:
        match = _RETRIED.search(text)
        if match is None:
            return []
        return [RetryEvent(log_line(match["words"]), classify(match["words"]))]

    def outcome(self, ending: Ending) -> AgentOutcome:
        fault = self._fault()
        report = RunReport(
            text=self._text,
            fault=fault,
            usage=self._used(),
            session=self.session,
            denied=tuple(self._denied),
            began=self._began,
            finished=self._reason == "stop" and not fault[0],
            usage_is_complete=not self._within_step
            and not ending.stopped_for
            and not ending.signal,
        )
        return outcome_of_run(report, ending, time.time())

    def _used(self) -> Usage:
        # opencode reports a cost of 0 if it does not know the model's price.
        used = self._meter.total if self._began else Usage()
        if not used.cost_usd:
            used = priced(replace(used, cost_usd=None), self._facts.model, self._facts.prices)
        return used

    def _fault(self) -> Fault:
        if self._error is not None:
            return _fault(self._error)
        if self._reason == "length":
            return ErrorClass.LIMIT, "the agent's answer exceeded the output limit of the model"
        return FINE

    def _step_start(self, _: Object) -> list[AgentEvent]:
        self._within_step, self._reason, self._fresh, self._error = True, "", True, None
        self._used_tool = False
        return [*self._meter.add(Usage(steps=1))]

    def _words(self, event: Object) -> list[AgentEvent]:
        words = json_values.text(event, "part", "text")
        if not words.strip():
            return []
        self._text = words if self._fresh else f"{self._text}\n{words}"
        self._fresh = False
        return [TextEvent(words)]

    def _tool(self, event: Object) -> list[AgentEvent]:
        self._used_tool = True
        state = json_values.dig(event, "part", "state")
        name = json_values.text(event, "part", "tool")
        error = json_values.text(state, "error")
        requested_tool = json_values.text(state, "input", "tool") if name == "invalid" else ""
        if requested_tool in _CHANGING and "unavailable tool" in json_values.text(
            state, "input", "error"
        ):
            self._denied[requested_tool] = None
            return [ToolEvent(requested_tool, denied=True)]
        denied = json_values.text(state, "status") == "error" and bool(
            _REFUSED.search(error[:1000])
        )
        if denied:
            self._denied[name] = None
        arguments = json_values.dig(state, "input")
        return [ToolEvent(name, summary(arguments), denied, written_paths(name, arguments))]

    def _step_finish(self, event: Object) -> list[AgentEvent]:
        self._within_step = False
        self._reason = json_values.text(event, "part", "reason")
        spent = self._meter.add(_tokens(json_values.dig(event, "part")))
        return [*spent, FinalAnswerEvent()] if self._reason == "stop" else [*spent, *self._stuck()]

    def _stuck(self) -> list[AgentEvent]:
        is_unended = self._reason == "unknown" and not self._used_tool
        self._unended = self._unended + 1 if is_unended else 0
        if self._unended != _MOST_UNENDED:
            return []
        return [StuckEvent(f"the model's last {_MOST_UNENDED} answers ended for an unknown reason")]

    def _failed(self, event: Object) -> list[AgentEvent]:
        error = json_values.dig(event, "error")
        self._error = error if isinstance(error, dict) else {}
        self._within_step = False
        return [FinalAnswerEvent()]

    _EVENTS: ClassVar[Mapping[str, Callable[["OpencodeReader", Object], list[AgentEvent]]]] = {
        "step_start": _step_start,
        "text": _words,
        "tool_use": _tool,
        "step_finish": _step_finish,
        "error": _failed,
    }


def _tokens(part: object) -> Usage:
    # Thinking tokens count as output. ``total`` shows if ``output`` already includes them.
    read = json_values.count(part, "tokens", "input")
    cached = json_values.count(part, "tokens", "cache", "read")
    caching = json_values.count(part, "tokens", "cache", "write")
    written = json_values.count(part, "tokens", "output")
    total = json_values.count(part, "tokens", "total")
    if written is not None:
        thought = json_values.count(part, "tokens", "reasoning") or 0
        output_total = (total or 0) - (read or 0) - (cached or 0) - (caching or 0)
        written += thought if total is None else min(max(output_total - written, 0), thought)
    return Usage(
        input_tokens=read,
        output_tokens=written,
        cache_read_tokens=cached,
        cache_write_tokens=caching,
        cost_usd=json_values.amount(part, "cost"),
    )


def _fault(error: Object) -> Fault:
    name, status = json_values.text(error, "name"), json_values.count(error, "data", "statusCode")
    message = json_values.text(error, "data", "message") or name or "the agent reports a failure"
    # A header has the time of the reset. The text of the body shows if the account has no credit or
    # is rate-limited.
    retry_after = json_values.text(error, "data", "responseHeaders", "retry-after")
    body = json_values.text(error, "data", "responseBody")
    kind = _BY_NAME.get(name) or classify(f"{message} {body}", status)
    words = f"{message} (status {status})" if status else message
    return kind, f"{words}; retry-after: {retry_after}" if retry_after else words
