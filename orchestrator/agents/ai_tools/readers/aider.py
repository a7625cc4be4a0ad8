"""Reader of aider's output, which is text for people.

The reader recognizes a failure by this text, because aider usually exits with code 0 after a
failure, too.
"""

import re
import time
from collections import deque

from orchestrator.agents.activity.agent_events import (
    AgentEvent,
    AgentOutcome,
    Ending,
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
from orchestrator.agents.ai_tools.reader_parts.tool_calls import log_line
from orchestrator.agents.ai_tools.reader_parts.usage_meter import Meter, RunFacts, priced
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Usage
from orchestrator.core.text import json_values

#: Maximum number of lines of the answer. Earlier lines of the output are dropped.
ANSWER_LINES = 2000
LINE_CHARS = 10_000

_COUNT = r"([\d.,]+[kM]?)"
_TOKENS = re.compile(
    rf"^Tokens: {_COUNT} sent"
    rf"(?:, {_COUNT} cache write)?(?:, {_COUNT} cache hit)?, {_COUNT} received\."
    r"(?: ?Cost: \$([\d.]+) message)?"
)
_ERROR = re.compile(r"^(?:litellm\.)+(\w+)\b")
#: OpenAI's message for an account without money. "OpenAIException" excludes Gemini, which uses the
#: same words for its quota per minute.
_UNPAID = re.compile(r"OpenAIException - You exceeded your current quota")
_TOKEN_LIMIT = re.compile(r"has hit a token limit", re.I)
_AGAIN = re.compile(r"^Retrying in ([\d.]{1,9}) seconds")
_DID = re.compile(r"^(Applied edit to|Commit [0-9a-f]{7,40}) (.+)")
#: Output of aider about itself, which is not part of the answer.
_CHATTER = re.compile(
    r"^(?:Aider v|(?:Main |Weak |Editor )?[Mm]odel:|Git repo:|Repo-map:|Added .* to the chat"
    r"|Warning|https://aider\.chat|Use /help|You can skip|Scanning repo|Update git|Can't init"
    r"|HTTPSConnectionPool|Initial repo scan|Cost estimates|The API provider|.* to \.gitignore)"
)
_BY_NAME = {
    "AuthenticationError": ErrorClass.AUTH,
    "PermissionDeniedError": ErrorClass.AUTH,
    "RateLimitError": ErrorClass.RATE_LIMIT,
    "NotFoundError": ErrorClass.CONFIG,
    "UnprocessableEntityError": ErrorClass.API,
    "ContextWindowExceededError": ErrorClass.LIMIT,
    "BudgetExceededError": ErrorClass.LIMIT,
    "Timeout": ErrorClass.API,
}


class AiderReader:
    #: aider has no sessions to resume.
    session = ""

    def __init__(self, facts: RunFacts | None = None) -> None:
        self._facts = facts or RunFacts()
        self._meter = Meter()
        self._lines: deque[str] = deque(maxlen=ANSWER_LINES)
        #: The answer without aider's own words, from aider's history.
        self._answer: deque[str] = deque(maxlen=ANSWER_LINES)
        self._has_history = self._speaks_itself = False
        self._fault: Fault = FINE
        self._began = False

    def line(self, text: str) -> list[AgentEvent]:
        words = json_values.text({"": text[:LINE_CHARS]}, "").rstrip()
        self._began |= bool(words)
        tokens, retry, action = _TOKENS.match(words), _AGAIN.match(words), _DID.match(words)
        if tokens:
            return self._answered(tokens)
        if retry:
            return [self._retry_event(retry)]
        if action:
            tool = "edit" if action[1].startswith("Applied") else "commit"
            return [ToolEvent(tool, log_line(action[2]))]
        return self._other_line(words)

    def session_line(self, text: str, source: str) -> list[AgentEvent]:
        """Read a line of aider's history, to collect the model's answer. Return no events.

        Messages of aider itself are not part of the answer. The first line of such a message begins
        with "> ", and the last line ends with two spaces. A line that begins with "#### " is the
        prompt or the output of a command.
        """
        words = json_values.text({"": text[:LINE_CHARS]}, "")
        self._has_history = True
        if words.startswith("#### "):
            # The model's answer begins after this line.
            self._answer.clear()
        elif self._speaks_itself or words.startswith("> "):
            self._speaks_itself = not text.endswith("  ")
        elif not words.startswith("# aider chat started"):
            self._answer.append(words.rstrip())
        return []

    def resumed(self) -> None:
        """Do nothing: aider begins a new history for each run."""

    def outcome(self, ending: Ending) -> AgentOutcome:
        text = "\n".join(self._answer if self._has_history else self._lines).strip()
        stopped = bool(ending.stopped_for or ending.signal)
        report = RunReport(
            text=text,
            fault=self._fault,
            usage=self._meter.total,
            began=self._began,
            finished=not stopped and not ending.code and not self._fault[0],
            usage_is_complete=not stopped,
            trace="" if not ending.code else text[-2000:],
        )
        return outcome_of_run(report, ending, time.time())

    def _answered(self, tokens: re.Match[str]) -> list[AgentEvent]:
        # An answer shows that aider has recovered from an earlier error.
        if self._fault[0] is not ErrorClass.LIMIT:
            self._fault = FINE
        usage = priced(_usage(tokens), self._facts.model, self._facts.prices)
        return [*self._meter.add(usage)]

    def _retry_event(self, retry: re.Match[str]) -> RetryEvent:
        kind, words = self._fault
        seconds = float(retry[1]) if retry[1].count(".") < 2 and retry[1] != "." else None
        return RetryEvent(log_line(words) or retry[0], kind or ErrorClass.API, seconds)

    def _other_line(self, words: str) -> list[AgentEvent]:
        error = _ERROR.match(words)
        if error:
            self._fault = _error_class(error[1], words), words
        elif _TOKEN_LIMIT.search(words):
            self._fault = ErrorClass.LIMIT, words
        if error or _CHATTER.match(words):
            return []
        self._lines.append(words)
        return [TextEvent(words)] if words.strip() else []


def _error_class(name: str, words: str) -> ErrorClass:
    # aider reports an account without credit as a rate limit, but waiting does not help.
    kind = ErrorClass.CREDIT if _UNPAID.search(words) else classify(words)
    if kind in (ErrorClass.AUTH, ErrorClass.CREDIT):
        return kind
    return _BY_NAME.get(name) or kind


def _usage(tokens: re.Match[str]) -> Usage:
    # aider's "sent" tokens include cache reads and writes.
    sent, written, cached, received = (_number(tokens[group]) for group in (1, 2, 3, 4))
    cost = _number(tokens[5])
    return Usage(
        steps=1,
        input_tokens=None if sent is None else int(max(0, sent - (written or 0) - (cached or 0))),
        output_tokens=None if received is None else int(received),
        cache_read_tokens=None if cached is None else int(cached),
        cache_write_tokens=None if written is None else int(written),
        cost_usd=cost,
    )


def _number(words: str | None) -> float | None:
    digits = (words or "").replace(",", "").rstrip(".")
    factor = {"k": 1000, "M": 1_000_000}.get(digits[-1:], 1)
    try:
        value = float(digits.rstrip("kM")) * factor
    except ValueError:
        return None
    return value if value <= json_values.MAX_COUNT else None
