"""Readers of what the agents' own programs write: their lines become signs and an outcome."""

from collections.abc import Mapping
from importlib import import_module

from orchestrator.agents.drive.signs import Reader
from orchestrator.agents.readers.counts import Known
from orchestrator.core.errors import InvalidRequest

#: Loaded when asked for: a worker needs one of them.
READERS: Mapping[str, str] = {
    name: f"orchestrator.agents.readers.{name}:{name.capitalize()}Reader"
    for name in ("aider", "claude", "codex", "gemini", "opencode", "plain")
}


def reader(name: str, known: Known | None = None) -> Reader:
    """A fresh reader for one run; raise InvalidRequest with the names that exist."""
    if name not in READERS:
        raise InvalidRequest(f"unknown reader {name!r}; known: {', '.join(sorted(READERS))}")
    module, _, attribute = READERS[name].partition(":")
    made: Reader = getattr(import_module(module), attribute)(known or Known())
    return made


__all__ = ["READERS", "Known", "reader"]
