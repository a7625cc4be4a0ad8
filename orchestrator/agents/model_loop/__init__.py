"""Built-in agents: each calls a model over HTTP in a loop.

Each name in ``LOOPS`` is a module in ``providers``. The module has ``SERVICE`` (the address of the
provider's API, and its variables) and ``DIALECT`` (a conversation in the format of that API).

- ``model_http``: One request to a model's server: transport, failures, rate limits
- ``providers``: One module for each provider's API, and their shared parts: turns, instructions
- ``settings``: Settings of a loop
- ``tools``: The tools that a model may call: files, search, commands, child jobs
"""

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from orchestrator.agents.activity.agent_events import AgentOutcome
from orchestrator.agents.model_loop.agent_loop import Mail, converse
from orchestrator.agents.model_loop.json_answer import ask_for_json
from orchestrator.agents.model_loop.model_calls import Emit
from orchestrator.agents.model_loop.providers.dialect import Dialect
from orchestrator.agents.model_loop.settings.loop_settings import LoopSettings, read
from orchestrator.core.lazy_dataclass import dataclass

LOOPS = ("anthropic", "openai_compatible", "ollama")


@dataclass(frozen=True, slots=True)
class Loop:
    """A built-in agent: calls a model over HTTP in a loop.

    Raises only what ``emit`` raises. An invalid answer of the server becomes a failed outcome.
    """

    module: ModuleType

    def run(
        self, spec: Mapping[str, Any], prompt: str, emit: Emit, mail: Mail | None = None
    ) -> AgentOutcome:
        """Answer ``prompt``: call the model and run its tool calls, until its final answer."""
        return converse(lambda: self._settings_and_dialect(spec), prompt, emit, mail)

    def complete(
        self, spec: Mapping[str, Any], prompt: str, schema: Mapping[str, Any], emit: Emit
    ) -> tuple[object | None, AgentOutcome]:
        """Ask the model once for a JSON value that matches a schema.

        Return the value and the outcome; the value is None if the request failed.
        """
        return ask_for_json(lambda: self._settings_and_dialect(spec), prompt, schema, emit)

    def _settings_and_dialect(self, spec: Mapping[str, Any]) -> tuple[LoopSettings, Dialect]:
        settings = read(spec, self.module.SERVICE)
        return settings, self.module.DIALECT(settings)


def loop(name: str) -> Loop:
    if name not in LOOPS:
        raise KeyError(name)
    return Loop(import_module(f"{__name__}.providers.{name}"))
