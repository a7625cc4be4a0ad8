"""Tools as OpenAI and Ollama declare and call them: functions."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.agents.loop.providers.turn import Use
from orchestrator.agents.loop.tools.tool import Tool
from orchestrator.core.text import json_values


def declared(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.schema,
            },
        }
        for tool in tools
    ]


def use_of(call: object, fallback_id: str) -> Use:
    """Return the tool call of the model; its arguments are JSON text or already an object."""
    function = json_values.mapping(call, "function")
    arguments, problem = _arguments(function.get("arguments"))
    return Use(
        id=json_values.text(call, "id") or fallback_id,
        name=json_values.text(function, "name"),
        arguments=arguments,
        problem=problem,
    )


def _arguments(value: object) -> tuple[Mapping[str, Any], str]:
    if value is None or value == "":
        return {}, ""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            return {}, f"its arguments are no JSON ({error}); call it again"
    if not isinstance(value, dict):
        return {}, "its arguments are no JSON object; call it again"
    return value, ""


def shown(use: Use) -> dict[str, Any]:
    """Return the tool call in the form in which the next request repeats it."""
    function = {"name": use.name, "arguments": json.dumps(dict(use.arguments))}
    return {"id": use.id, "type": "function", "function": function}
