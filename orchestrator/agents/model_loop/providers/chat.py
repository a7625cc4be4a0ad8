"""Shared code for chat servers: messages with roles, functions as tools, a bearer token."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.agents.model_loop.providers.dialect import ModelToolCall
from orchestrator.agents.model_loop.settings.loop_settings import LoopSettings
from orchestrator.agents.model_loop.tools.tool import Result, Tool
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


def tool_call_of(call: object, fallback_id: str) -> ModelToolCall:
    """Return the tool call in ``call``, an item of the server's answer.

    The arguments may be JSON text or an object. ``fallback_id``: the id of a call without an id.
    """
    function = json_values.mapping(call, "function")
    arguments, problem = _arguments(function.get("arguments"))
    return ModelToolCall(
        id=json_values.text(call, "id") or fallback_id,
        name=json_values.text(function, "name"),
        arguments=arguments,
        problem=problem,
    )


def _arguments(value: object) -> tuple[Mapping[str, Any], str]:
    """Return the arguments in ``value``, and why they are invalid; "" if they are valid."""
    if value is None or value == "":
        return {}, ""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            return (
                {},
                f"the tool's arguments are not valid JSON ({error}); repeat the call",
            )
    if not isinstance(value, dict):
        return {}, "the tool's arguments are not a JSON object; repeat the call"
    return value, ""


def call_as_json(call: ModelToolCall) -> dict[str, Any]:
    """Return a tool call of the model as JSON, for the messages of the next request."""
    function = {"name": call.name, "arguments": json.dumps(dict(call.arguments))}
    return {"id": call.id, "type": "function", "function": function}


class Chat:
    """A conversation with a chat server, which stores nothing: each call sends all messages."""

    def __init__(self, settings: LoopSettings) -> None:
        self._settings = settings
        self._messages: list[dict[str, Any]] = []
        self._tools: list[dict[str, Any]] = []
        #: The requested form of the answer; empty: any form.
        self._format: dict[str, Any] = {}
        self._serial = 0

    @property
    def headers(self) -> Mapping[str, str]:
        key = self._settings.api_key
        return {"authorization": f"Bearer {key}"} if key else {}

    def begin(self, system: str, prompt: str, tools: Sequence[Tool]) -> None:
        self._messages = [{"role": "system", "content": system}] if system else []
        self._messages.append({"role": "user", "content": prompt})
        self._tools = declared(tools)

    def add_results(self, results: Sequence[tuple[ModelToolCall, Result]], words: str = "") -> None:
        for call, result in results:
            message = {"role": "tool", **self._reference(call), "content": result.text}
            self._messages.append(message)
        if words:
            self._messages.append({"role": "user", "content": words})

    def _reference(self, call: ModelToolCall) -> Mapping[str, str]:
        """Return the field by which the result of ``call`` names the call."""
        raise NotImplementedError

    def _with_tools(self, value: dict[str, Any]) -> Mapping[str, Any]:
        return {**value, "tools": self._tools} if self._tools else value

    def _use(self, call: object) -> ModelToolCall:
        self._serial += 1
        return tool_call_of(call, f"call_{self._serial}")
