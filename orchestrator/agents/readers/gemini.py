"""Gemini CLI: ``gemini -o stream-json``, or ``json``: one object, that of an error on stderr."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar

from orchestrator.agents.drive.signs import Did, Ending, Finished, Outcome, Said, Sign, Troubled
from orchestrator.agents.readers import loose
from orchestrator.agents.readers.counts import Known, Meter, Steps, plus, priced
from orchestrator.agents.readers.edits import edited
from orchestrator.agents.readers.ends import FINE, Fault, Told, concluded
from orchestrator.agents.readers.failures import classify
from orchestrator.agents.readers.gemini_stats import of_answer, used
from orchestrator.agents.readers.loose import Object
from orchestrator.core.evidence import ErrorClass, Usage
from orchestrator.core.spending import tokens

_LIMIT = re.compile(r"maximum session turns|loop detected", re.I)
#: An object over many lines is kept up to here.
DOCUMENT_CHARS = 4_000_000
#: Its exit code is the HTTP status modulo 256: 145 is 401, and no signal.
_STATUS_BY_CODE = {
    status % 256: status
    for status in (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 501, 502, 503, 504)
}
#: Codes that it documents.
_BY_CODE = {
    41: ErrorClass.AUTH,
    42: ErrorClass.CONFIG,
    44: ErrorClass.CONFIG,
    52: ErrorClass.CONFIG,
    53: ErrorClass.LIMIT,
    55: ErrorClass.CONFIG,
    130: ErrorClass.KILLED,
    # Of its inner process; no HTTP status gives them.
    137: ErrorClass.KILLED,
    143: ErrorClass.KILLED,
}


class GeminiReader:
    def __init__(self, known: Known | None = None) -> None:
        self._known = known or Known()
        self._meter = Meter()
        self._steps = Steps()
        self._tools: dict[str, Did] = {}
        self._denied: dict[str, None] = {}
        self._missing: dict[str, None] = {}
        self.session = ""
        self._words: list[str] = []
        self._text = ""
        self._limit = ""
        #: The last error of its stream: some have no words in its last word.
        self._trouble = ""
        self._lines: list[str] = []
        self._kept = 0
        self._began = False
        self._result: Object | None = None
        self._answers: set[str] = set()

    def line(self, text: str) -> list[Sign]:
        event = loose.parsed(text)
        read = self._EVENTS.get(loose.text(event, "type"))
        if event is None or read is None:
            self._keep(text)
            return []
        self._began = True
        self.session = loose.text(event, "session_id") or self.session
        before = [] if loose.text(event, "type") == "message" else self._flush()
        return [*before, *read(self, event)]

    def outcome(self, ending: Ending) -> Outcome:
        self._flush()
        if self._result is None:
            self._document(ending)
        fault = self._fault(ending)
        told = Told(
            text=self._text,
            fault=fault,
            usage=plus(Usage(steps=self._steps_taken()), self._used()),
            session=self.session,
            denied=tuple(self._denied | self._not_offered()),
            began=self._began,
            finished=self._result is not None and not fault[0],
            accounted=loose.dig(self._result, "stats") is not None,
            codes_of_its_own=True,
        )
        return concluded(told, ending, time.time())

    def _keep(self, text: str) -> None:
        self._kept += len(text)
        if self._kept <= DOCUMENT_CHARS:
            self._lines.append(text)

    def _flush(self) -> list[Sign]:
        """Words come in pieces; people read them whole."""
        words = "".join(self._words)
        self._words.clear()
        if not words.strip():
            return []
        self._text = words
        return [Said(words)]

    def _document(self, ending: Ending) -> None:
        """The one object of ``-o json``; that of a failure comes at the end of stderr."""
        errors = ending.stderr[ending.stderr.rfind("\n{") + 1 :]
        document = loose.parsed("\n".join(self._lines)) or loose.parsed(errors)
        if document is None:
            return
        self._began = True
        self._result = document
        self.session = loose.text(document, "session_id") or self.session
        self._text = loose.text(document, "response") or self._text
        warnings = (each for each in loose.texts(document, "warnings") if _LIMIT.search(each))
        self._limit = next(warnings, self._limit)
        for name, each in loose.entries(document, "stats", "tools", "byName"):
            if loose.count(each, "decisions", "reject"):
                self._denied[name] = None

    def _fault(self, ending: Ending) -> Fault:
        code = ending.code or 0
        error = loose.dig(self._result, "error")
        status = _STATUS_BY_CODE.get(code) if code >= 128 else None
        words = (
            loose.plain_error(loose.text(error, "message"))
            or self._trouble
            or _last_line(ending.stderr)
        )
        words = words or f"exit code {code}"
        if self._limit:
            return ErrorClass.LIMIT, self._limit
        if code in _BY_CODE:
            return _BY_CODE[code], words
        if status or error or loose.text(self._result, "status") == "error":
            told = loose.text(error, "message") or words
            return classify(told, status or _http(loose.count(error, "code"))), words
        return FINE

    def _steps_taken(self) -> int | None:
        """The one object of ``-o json`` counts them itself, and that of a failure does not.

        Of calls that used tokens and came to nothing its stream does not say how many there were.
        """
        silent = loose.text(self._result, "type") == "result" and not tokens(self._used())
        return self._steps.count if self._steps.count or silent else None

    def _used(self) -> Usage:
        stats = loose.dig(self._result, "stats")
        # Without its last word there is what its session told so far.
        if stats is None:
            return replace(self._meter.total, steps=None)
        return used(stats, self._known.prices)

    def _message(self, event: Object) -> list[Sign]:
        words = loose.text(event, "content")
        if loose.text(event, "role") != "assistant" or not words:
            return []
        before = [] if loose.flag(event, "delta") else self._flush()
        self._words.append(words)
        return [*before, *self._step()]

    def _tool_use(self, event: Object) -> list[Sign]:
        name = loose.text(event, "tool_name")
        given = loose.dig(event, "parameters")
        did = Did(name, loose.summary(given), writes=edited(name, given))
        self._tools[loose.text(event, "tool_id")] = did
        return [*self._step(), did]

    def _tool_result(self, event: Object) -> list[Sign]:
        """A tool that is not there was not offered, or made up by the model.

        Made up it was if the model found another one that works: a success forgets it.
        """
        self._steps.answered()
        did = self._tools.pop(loose.text(event, "tool_id"), Did("a tool"))
        kind = loose.text(event, "error", "type")
        if loose.text(event, "status") == "success":
            self._missing.clear()
        if kind not in ("tool_not_registered", "policy_violation"):
            return []
        refused = self._denied if kind == "policy_violation" else self._missing
        refused[did.tool] = None
        return [Did(did.tool, did.summary, denied=True)]

    def _not_offered(self) -> dict[str, None]:
        """Who may do everything is offered everything: what is missing then was made up."""
        return {} if self._known.policy == "full" else self._missing

    def _error(self, event: Object) -> list[Sign]:
        words = loose.text(event, "message")
        if _LIMIT.search(words[:1000]):
            self._limit = words
            return []
        self._trouble = words
        return [Troubled(loose.one_line(words), classify(words))]

    def _end(self, event: Object) -> list[Sign]:
        self._result = event
        steps = Usage(steps=self._meter.total.steps)
        return [*self._meter.raise_to(plus(steps, self._used())), Finished()]

    def session_line(self, text: str, source: str) -> list[Sign]:
        """A line of a file of its session: each answer of the model, perhaps several times."""
        event = loose.parsed(text)
        name, told = loose.text(event, "id"), loose.dig(event, "tokens")
        if loose.text(event, "type") != "gemini" or told is None or name in self._answers:
            return []
        self._answers.add(name)
        usage = of_answer(told)
        return [*self._meter.add(priced(usage, loose.text(event, "model"), self._known.prices))]

    def resumed(self) -> None:
        """Answers that it copies into a new file of its session stay known."""
        self._meter = Meter()

    def _step(self) -> list[Sign]:
        return [sign for usage in self._steps.put_out() for sign in self._meter.add(usage)]

    def _init(self, _: Object) -> list[Sign]:
        return []

    _EVENTS: ClassVar[Mapping[str, Callable[["GeminiReader", Object], list[Sign]]]] = {
        "init": _init,
        "message": _message,
        "tool_use": _tool_use,
        "tool_result": _tool_result,
        "error": _error,
        "result": _end,
    }


def _http(status: int | None) -> int | None:
    return status if status and 400 <= status < 600 else None


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
