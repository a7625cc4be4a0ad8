"""Any program: what it prints is its answer, and its exit code its word on it."""

import time
from collections import deque

from orchestrator.agents.drive.signs import Ending, Outcome, Said, Sign
from orchestrator.agents.readers import loose
from orchestrator.agents.readers.counts import Known
from orchestrator.agents.readers.ends import Told, concluded

#: The end of what it printed is kept.
ANSWER_LINES = 5000
LINE_CHARS = 10_000
TRACE_CHARS = 2000


class PlainReader:
    #: It has none that could be resumed.
    session = ""

    def __init__(self, known: Known | None = None) -> None:
        self._lines: deque[str] = deque(maxlen=ANSWER_LINES)
        self._began = False

    def line(self, text: str) -> list[Sign]:
        words = loose.text({"": text[:LINE_CHARS]}, "").rstrip()
        self._lines.append(words)
        self._began |= bool(words)
        return [Said(words)] if words else []

    def outcome(self, ending: Ending) -> Outcome:
        text = "\n".join(self._lines).strip()
        told = Told(
            text=text,
            began=self._began,
            # It has no last event: that it printed something is all that it says.
            finished=self._began,
            only_its_code=True,
            accounted=True,
            trace=text[-TRACE_CHARS:],
        )
        return concluded(told, ending, time.time())
