"""Readers of what the agents' own programs write: their lines become signs and an outcome."""

from collections.abc import Mapping
from importlib import import_module

from orchestrator.agents.adapters import CALLS
from orchestrator.agents.adapters.parsing.usage import KnownUsage
from orchestrator.agents.events.agent_events import Reader
from orchestrator.core.errors import InvalidRequest

#: Loaded when asked for: a worker needs one of them.
READERS: Mapping[str, str] = {
    name: f"orchestrator.agents.adapters.{folder}.output:{name.capitalize()}Reader"
    for folder in CALLS
    for name in ("plain" if folder == "custom" else folder,)
}


def reader(name: str, known: KnownUsage | None = None) -> Reader:
    """A fresh reader for one run; raise InvalidRequest with the names that exist."""
    if name not in READERS:
        raise InvalidRequest(f"unknown reader {name!r}; known: {', '.join(sorted(READERS))}")
    module, _, attribute = READERS[name].partition(":")
    made: Reader = getattr(import_module(module), attribute)(known or KnownUsage())
    return made


__all__ = ["READERS", "KnownUsage", "reader"]
