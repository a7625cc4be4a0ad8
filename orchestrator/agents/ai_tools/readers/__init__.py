"""Readers of each program's output: one module per program.

A reader turns lines into events and an outcome. The module ``plain`` is for any other program.
"""

from importlib import import_module
from importlib.util import find_spec

from orchestrator.agents.activity.agent_events import Reader
from orchestrator.agents.ai_tools.reader_parts.usage_meter import RunFacts
from orchestrator.core.errors import InvalidRequest


def reader(name: str, facts: RunFacts | None = None) -> Reader:
    """Return a new reader for one run. Raise InvalidRequest for an unknown name."""
    module = f"{__name__}.{name}"
    reader_module = import_module(module) if name.isidentifier() and find_spec(module) else None
    reader_class = getattr(reader_module, f"{name.capitalize()}Reader", None)
    if reader_class is None:
        # Imported here, because only this error needs the list of readers.
        from orchestrator.core.model.known_agents import READERS

        raise InvalidRequest(f"unknown reader {name!r}; known: {', '.join(sorted(READERS))}")
    new_reader: Reader = reader_class(facts or RunFacts())
    return new_reader


__all__ = ["RunFacts", "reader"]
