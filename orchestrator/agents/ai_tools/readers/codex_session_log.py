"""Reads the usage, the model calls, and failed commands from the session file of Codex.

The output stream of Codex reports these facts late or never.
"""

import re
from collections.abc import Iterable, Mapping

from orchestrator.agents.ai_tools.reader_parts.error_classification import clipped
from orchestrator.agents.ai_tools.reader_parts.usage_meter import minus
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.attempt.usage_sums import usage_sum
from orchestrator.core.text import json_values
from orchestrator.core.text.json_values import Object

_REFUSED = r"(?:Permission denied|Operation not permitted)"
#: A relative path, possibly in quotation marks.
_HERE = r"""['"‘]?+(?!/)[^\n:]+"""
_SHELL = r"(?:/\S*/)?(?:ba|da|z|k)?sh"
_WORDS = (
    # GNU and busybox: "touch: cannot touch 'a': ...", "mkdir: cannot create directory ‘a’: ..."
    rf"^\S+: (?:can't|cannot) (?:touch|create (?:directory|regular file)) {_HERE}: {_REFUSED}$",
    # BSD, and tee: "mkdir: a: ..."
    rf"^(?:touch|mkdir|tee): (?!can(?:'t|not) ){_HERE}: {_REFUSED}$",
    # dash: "sh: 1: cannot create a: ..."
    rf"^{_SHELL}: \d+: cannot create {_HERE}: {_REFUSED}$",
    # A redirection of bash. Paths with a slash do not match, because bash prints the same message
    # for a program that cannot be executed.
    rf"^{_SHELL}: (?:line \d+: )?(?!/)[^\n:/]+: {_REFUSED}$",
    # A redirection of zsh. If a program cannot be executed, zsh prints "permission denied" instead.
    rf"^{_SHELL}:(?:\d+:)? operation not permitted: {_HERE}$",
    # Python. Only Seatbelt, the sandbox of macOS, denies the opening of a file with this error.
    rf"^PermissionError: \[Errno 1\] Operation not permitted: {_HERE}$",
)
_DENIED_WRITE = re.compile("|".join(("[Rr]ead-only file system", *_WORDS)), re.M)


def reports_denied_write(text: str) -> bool:
    return bool(_DENIED_WRITE.search(text))


#: Types of items with which the model requests a tool.
_CALLS = ("function_call", "custom_tool_call", "local_shell_call")
_FAILED = re.compile(r"""exited with code (?!0\b)|"exit_code": ?(?!0\b|null)""")


def was_refused_by_sandbox(text: str) -> bool:
    """True if a line reports a failed command, and the cause is the sandbox's write protection."""
    payload = json_values.dig(json_values.parsed(text), "payload")
    match json_values.text(payload, "type"):
        case "function_call_output":
            text = clipped(json_values.text(payload, "output"))
            return bool(_FAILED.search(text)) and reports_denied_write(text)
        case "custom_tool_call_output":
            return any(map(_refused_in_code_mode, json_values.objects(payload, "output")))
        case _:
            return False


def _refused_in_code_mode(part: Object) -> bool:
    # The model's script decides what is printed: the exit code may be missing, and the output may
    # be inside JSON.
    sentence = clipped(json_values.text(part, "text")).strip()
    if not _FAILED.search(sentence):
        return "\n" not in sentence and reports_denied_write(sentence)
    return reports_denied_write(sentence.replace("\\n", "\n"))


class CodexSession:
    """The usage of one session, read from its files. Each subagent writes its own file."""

    def __init__(self) -> None:
        self._totals: dict[str, Usage] = {}
        #: Usage by answer of the model. Codex writes an answer's usage at once, but the totals only
        #: after the answer's tools have ended. A subagent's file may repeat earlier answers of its
        #: parent.
        self._answers: dict[tuple[str, str, int | None], Usage] = {}
        #: Files whose latest, unfinished answer requests a tool.
        self._asking: set[str] = set()
        #: True if the latest answer that was read requests a tool.
        self.asks = False
        #: The model of the session; empty if unknown.
        self.model = ""

    def line(self, text: str, source: str) -> bool:
        """Read a line. Return True if it changes the totals."""
        event = json_values.parsed(text)
        payload = json_values.dig(event, "payload")
        if json_values.text(event, "type") == "token_usage_record":
            self.asks = source in self._asking and _answer_key(payload) not in self._answers
            self._asking.discard(source)
            self._answers[_answer_key(payload)] = usage_in_report(json_values.dig(payload, "usage"))
            return True
        self.asks = False
        if json_values.text(payload, "type") in _CALLS:
            self._asking.add(source)
        self.model = self.model or json_values.text(payload, "thread_settings", "model")
        if json_values.text(payload, "type") != "token_count":
            return False
        total = json_values.dig(payload, "info", "total_token_usage")
        if isinstance(total, Mapping):
            self._totals[source] = usage_in_report(total)
        return isinstance(total, Mapping)

    @property
    def steps(self) -> int:
        """Number of answered model calls; 0 if this release of Codex does not report each call."""
        return len(self._answers)

    @property
    def total(self) -> Usage:
        """Usage of the session. Each number is the larger one of two sums.

        The first sum adds the answered model calls. The second sum adds the totals in the session's
        files. Either sum may be too small: some releases of Codex do not report each model call,
        and the totals come late.
        """
        answers, totals = _sum(self._answers.values()), _sum(self._totals.values())
        return usage_sum(totals, minus(answers, totals))


def _sum(usages: Iterable[Usage]) -> Usage:
    total = Usage()
    for usage in usages:
        total = usage_sum(total, usage)
    return total


def _answer_key(payload: object) -> tuple[str, str, int | None]:
    total = json_values.dig(payload, "thread_token_usage", "total_tokens")
    so_far = total if isinstance(total, int) else None
    return json_values.text(payload, "thread_id"), json_values.text(payload, "response_id"), so_far


def usage_in_report(usage: Object | None) -> Usage:
    """Return the usage in a report of Codex.

    Codex counts cache reads and writes as input; the result does not.
    """
    total = json_values.count(usage, "input_tokens")
    cached = json_values.count(usage, "cached_input_tokens")
    written = json_values.count(usage, "cache_write_input_tokens")
    return Usage(
        input_tokens=None if total is None else max(0, total - (cached or 0) - (written or 0)),
        output_tokens=json_values.count(usage, "output_tokens"),
        cache_read_tokens=cached,
        cache_write_tokens=written,
    )
