"""Reader for any program: the output is the answer.

Exit code 0 means success, unless the program printed nothing.
"""

import time
from collections import deque

from orchestrator.agents.activity.agent_events import AgentEvent, AgentOutcome, Ending, TextEvent
from orchestrator.agents.ai_tools.reader_parts.run_outcome import RunReport, outcome_of_run
from orchestrator.agents.ai_tools.reader_parts.usage_meter import RunFacts
from orchestrator.core.text import json_values

#: Maximum number of lines of the answer. Earlier lines of the output are dropped.
ANSWER_LINES = 5000
LINE_CHARS = 10_000
TRACE_CHARS = 2000


class PlainReader:
    #: A plain program has no sessions to resume.
    session = ""

    def __init__(self, facts: RunFacts | None = None) -> None:
        self._lines: deque[str] = deque(maxlen=ANSWER_LINES)
        self._began = False

    def line(self, text: str) -> list[AgentEvent]:
        words = json_values.text({"": text[:LINE_CHARS]}, "").rstrip()
        self._lines.append(words)
        self._began |= bool(words)
        return [TextEvent(words)] if words else []

    def outcome(self, ending: Ending) -> AgentOutcome:
        text = "\n".join(self._lines).strip()
        report = RunReport(
            text=text,
            began=self._began,
            # A plain program has no final event: its output is the only evidence of a complete run.
            finished=self._began,
            lacks_final_event=True,
            usage_is_complete=True,
            trace=text[-TRACE_CHARS:],
        )
        return outcome_of_run(report, ending, time.time())
