"""Agents that are a loop of our own over a model's HTTP interface.

Each name here is a module with ``run(spec, prompt, emit)``, which works on a prompt with tools
until the model has its last word, and ``complete(spec, prompt, schema)``, which asks once for JSON.
Neither raises on what a server answers; what ``spec`` may hold is in ``settings``.
"""

from importlib import import_module
from types import ModuleType

LOOPS = ("anthropic", "openai_compatible", "ollama")


def loop(name: str) -> ModuleType:
    """The module of a loop; raise KeyError for a name that is none."""
    if name not in LOOPS:
        raise KeyError(name)
    return import_module(f"{__name__}.{name}")
