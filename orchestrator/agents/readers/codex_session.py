"""The file of a session of Codex: what its stream tells at its end, or does not tell.

That is what it has used so far, and the commands that ended at once.
"""

import re
from collections.abc import Mapping

from orchestrator.agents.readers import loose
from orchestrator.agents.readers.counts import plus
from orchestrator.agents.readers.failures import clipped
from orchestrator.agents.readers.loose import Object
from orchestrator.core.evidence import Usage

#: What its sandbox lets a command say that tries to write. Nothing else tells of it.
SANDBOX = re.compile(r"read-only file system", re.I)
_FAILED = re.compile(r"exited with code (?!0\b)")


def refused(text: str) -> bool:
    """Whether a line tells of a command that failed because it may not write."""
    payload = loose.dig(loose.parsed(text), "payload")
    if loose.text(payload, "type") != "function_call_output":
        return False
    said = clipped(loose.text(payload, "output"))
    return bool(_FAILED.search(said) and SANDBOX.search(said))


class CodexSession:
    """One session may have several files: those of its helpers are by themselves."""

    def __init__(self) -> None:
        self._totals: dict[str, Usage] = {}
        #: As the session says, where nobody asked for one.
        self.model = ""

    def line(self, text: str, source: str) -> bool:
        """Take in a line; whether there are new totals."""
        event = loose.parsed(text)
        payload = loose.dig(event, "payload")
        self.model = self.model or loose.text(payload, "thread_settings", "model")
        if loose.text(payload, "type") != "token_count":
            return False
        total = loose.dig(payload, "info", "total_token_usage")
        if isinstance(total, Mapping):
            self._totals[source] = tokens(total)
        return isinstance(total, Mapping)

    @property
    def total(self) -> Usage:
        whole = Usage()
        for each in self._totals.values():
            whole = plus(whole, each)
        return whole


def tokens(usage: Object | None) -> Usage:
    """Its input counts include what was read from the cache or written to it."""
    total = loose.count(usage, "input_tokens")
    cached = loose.count(usage, "cached_input_tokens")
    written = loose.count(usage, "cache_write_input_tokens")
    return Usage(
        input_tokens=None if total is None else max(0, total - (cached or 0) - (written or 0)),
        output_tokens=loose.count(usage, "output_tokens"),
        cache_read_tokens=cached,
        cache_write_tokens=written,
    )
