"""Conversations with Anthropic's Messages API: https://docs.anthropic.com/en/api/messages."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.agents.model_loop.model_http.call_failure import unexpected_answer
from orchestrator.agents.model_loop.providers.dialect import ModelToolCall, StopReason, Turn
from orchestrator.agents.model_loop.settings.loop_settings import LoopSettings, ModelService
from orchestrator.agents.model_loop.tools.tool import Result, Tool
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.text import json_values

SERVICE = ModelService(
    base_url="https://api.anthropic.com",
    base_url_env="ANTHROPIC_BASE_URL",
    model_env="ANTHROPIC_MODEL",
    key_envs=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
)
_VERSION = "2023-06-01"
_STOPS = {
    "max_tokens": StopReason.CUT,
    "refusal": StopReason.REFUSED,
    "model_context_window_exceeded": StopReason.FULL,
}
#: Name of the tool with which the model returns JSON.
_ANSWER = "answer"
_CACHED = {"cache_control": {"type": "ephemeral"}}
#: Types of blocks with the model's thinking. The next request must contain these blocks; otherwise
#: the API rejects the request.
_KEPT = ("thinking", "redacted_thinking")


class AnthropicMessages:
    """A conversation in Anthropic's format.

    Each request marks the parts that the API caches.
    """

    def __init__(self, settings: LoopSettings) -> None:
        self._settings = settings
        self._system = ""
        self._tools: list[dict[str, Any]] = []
        self._messages: list[dict[str, Any]] = []
        self._more: dict[str, Any] = {}

    @property
    def path(self) -> str:
        versioned = self._settings.base_url.rstrip("/").endswith("/v1")
        return "/messages" if versioned else "/v1/messages"

    @property
    def headers(self) -> Mapping[str, str]:
        key = self._settings.api_key
        if self._settings.api_key_env.endswith("_AUTH_TOKEN"):
            return {"anthropic-version": _VERSION, "authorization": f"Bearer {key}"}
        return {"anthropic-version": _VERSION, "x-api-key": key}

    def begin(self, system: str, prompt: str, tools: Sequence[Tool]) -> None:
        self._system = system
        self._tools = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.schema}
            for tool in tools
        ]
        self._messages = [{"role": "user", "content": list(self._prompt(prompt))}]

    def _prompt(self, prompt: str) -> Iterator[dict[str, Any]]:
        # All workers of a job share the first part of the prompt, so the API caches this part.
        length = min(max(0, int(self._settings.shared_length)), len(prompt))
        if prompt[:length].strip():
            yield {"type": "text", "text": prompt[:length], **_CACHED}
        if prompt[length:].strip():
            yield {"type": "text", "text": prompt[length:]}

    def request(self, max_tokens: int) -> Mapping[str, Any]:
        # The API allows four cache marks. The request has three: after the system prompt and tools,
        # after the shared part of the prompt, and at the end.
        value: dict[str, Any] = {
            "model": self._settings.model,
            "max_tokens": max_tokens,
            "messages": self._messages_with_cache_mark(),
            **self._more,
        }
        if self._system:
            value["system"] = [{"type": "text", "text": self._system, **_CACHED}]
        if self._tools:
            value["tools"] = self._tools
        return value

    def _messages_with_cache_mark(self) -> list[dict[str, Any]]:
        *earlier, last = self._messages
        *blocks, last_block = last["content"] or [{"type": "text", "text": "-"}]
        return [*earlier, {**last, "content": [*blocks, {**last_block, **_CACHED}]}]

    def add_answer(self, answer: object) -> Turn:
        value = json_values.mapping(answer)
        content = value.get("content")
        if not isinstance(content, list):
            raise unexpected_answer("a message of Anthropic's API", answer)
        blocks = [json_values.mapping(block) for block in content]
        answer_blocks = list(_blocks(blocks))
        if answer_blocks:
            self._messages.append({"role": "assistant", "content": answer_blocks})
        return Turn(
            text="\n".join(block["text"] for block in answer_blocks if block["type"] == "text"),
            tool_calls=tuple(
                ModelToolCall(id=block["id"], name=block["name"], arguments=block["input"])
                for block in answer_blocks
                if block["type"] == "tool_use"
            ),
            usage=_usage(json_values.mapping(value, "usage")),
            stop=_STOPS.get(json_values.text(value, "stop_reason"), StopReason.DONE),
        )

    def add_results(self, results: Sequence[tuple[ModelToolCall, Result]], words: str = "") -> None:
        blocks: list[dict[str, Any]] = [
            {
                "type": "tool_result",
                "tool_use_id": call.id,
                "content": result.text or "[nothing]",
                "is_error": result.failed,
            }
            for call, result in results
        ]
        if words:
            blocks.append({"type": "text", "text": words})
        if self._messages[-1]["role"] == "user":
            self._messages[-1]["content"].extend(blocks)
        else:
            self._messages.append({"role": "user", "content": blocks})

    def require_json(self, schema: Mapping[str, Any]) -> None:
        # Request JSON as the arguments of a required tool call, because all models with tools
        # support this.
        words = "Return the answer."
        self._tools = [{"name": _ANSWER, "description": words, "input_schema": dict(schema)}]
        self._more = {"tool_choice": {"type": "tool", "name": _ANSWER}}

    def change_format(self, status: int | None, detail: str) -> bool:
        return False  # Anthropic's API has one format only


def _blocks(blocks: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for block in blocks:
        kind = block.get("type")
        if kind == "text" and json_values.text(block, "text").strip():
            yield {"type": "text", "text": json_values.text(block["text"])}
        elif kind == "tool_use":
            yield {
                "type": "tool_use",
                "id": json_values.text(block, "id"),
                "name": json_values.text(block, "name"),
                "input": dict(json_values.mapping(block, "input")),
            }
        elif kind in _KEPT:
            yield dict(block)


def _usage(counts: Mapping[str, Any]) -> Usage:
    return Usage(
        input_tokens=json_values.count(counts, "input_tokens"),
        output_tokens=json_values.count(counts, "output_tokens"),
        cache_read_tokens=json_values.count(counts, "cache_read_input_tokens"),
        cache_write_tokens=json_values.count(counts, "cache_creation_input_tokens"),
    )


DIALECT = AnthropicMessages
