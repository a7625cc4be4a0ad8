"""Conversations with an API for chat completions: OpenAI, vLLM, llama.cpp, LM Studio, others."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.agents.model_loop.model_http.call_failure import unexpected_answer
from orchestrator.agents.model_loop.providers import instructions
from orchestrator.agents.model_loop.providers.chat import Chat, call_as_json
from orchestrator.agents.model_loop.providers.dialect import ModelToolCall, StopReason, Turn
from orchestrator.agents.model_loop.settings.loop_settings import LoopSettings, ModelService
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.text import json_values

SERVICE = ModelService(
    base_url="https://api.openai.com/v1",
    base_url_env="OPENAI_BASE_URL",
    model_env="OPENAI_MODEL",
    key_envs=("OPENAI_API_KEY",),
)
_STOPS = {"length": StopReason.CUT, "content_filter": StopReason.REFUSED}
#: Stop reasons of a service that failed in the middle of an answer (OpenRouter, vLLM, DeepSeek).
_BROKEN = frozenset(("error", "abort", "insufficient_system_resource"))
#: HTTP statuses with which servers reject a request that has an unknown field.
_REJECTED_FIELD_STATUSES = frozenset((400, 422, 500, 501))


class ChatCompletions(Chat):
    """A conversation in the format of chat completions.

    The requests have no cache marks, because servers with this format cache the unchanged beginning
    of a prompt automatically.
    """

    def __init__(self, settings: LoopSettings) -> None:
        super().__init__(settings)
        # OpenAI's newer models reject ``max_tokens``; other servers may not know
        # ``max_completion_tokens``.
        self._most = "max_completion_tokens" if self._is_openai else "max_tokens"
        self._renamed = False

    @property
    def _is_openai(self) -> bool:
        return "://api.openai.com" in self._settings.base_url

    @property
    def path(self) -> str:
        return "/chat/completions"

    def request(self, max_tokens: int) -> Mapping[str, Any]:
        value: dict[str, Any] = {
            "model": self._settings.model,
            "messages": self._messages,
            self._most: max_tokens,
            "stream": False,
            **self._format,
        }
        return self._with_tools(value)

    def add_answer(self, answer: object) -> Turn:
        choices = json_values.sequence(answer, "choices")
        if not choices:
            raise unexpected_answer("a chat completion", answer)
        choice = json_values.mapping(choices[0])
        finish_reason = json_values.text(choice, "finish_reason")
        if finish_reason in _BROKEN or json_values.mapping(choice, "error"):
            raise unexpected_answer(
                "complete", {"error": choice.get("error") or f"finish_reason {finish_reason}"}
            )
        message = json_values.mapping(choice, "message")
        text = _text_of_content(message.get("content"))
        tool_calls = tuple(self._use(each) for each in json_values.sequence(message, "tool_calls"))
        self._remember(text, tool_calls)
        stop = _STOPS.get(finish_reason, StopReason.DONE)
        refusal = json_values.text(message, "refusal")
        return Turn(
            text=text or refusal,
            tool_calls=tool_calls,
            usage=_usage(json_values.mapping(answer, "usage")),
            stop=StopReason.REFUSED if refusal and not text else stop,
        )

    def _remember(self, text: str, tool_calls: Sequence[ModelToolCall]) -> None:
        # Repeat only fields that every server accepts, not all fields of the server's answer.
        message: dict[str, Any] = {"role": "assistant", "content": text or None}
        if tool_calls:
            message["tool_calls"] = [call_as_json(call) for call in tool_calls]
        if tool_calls or text:
            self._messages.append(message)

    def _reference(self, call: ModelToolCall) -> Mapping[str, str]:
        return {"tool_call_id": call.id}

    def require_json(self, schema: Mapping[str, Any]) -> None:
        words = instructions.only_json(schema)
        self._messages[-1]["content"] += f"\n\n{words}"
        json_schema = {"name": "answer", "schema": dict(schema)}
        self._format = {"response_format": {"type": "json_schema", "json_schema": json_schema}}

    def change_format(self, status: int | None, detail: str) -> bool:
        """Change a rejected request: use another field for the token limit, or omit the schema.

        Servers differ in the name of this field, and some reject schemas. Return True if the
        changed request may succeed.
        """
        if status not in _REJECTED_FIELD_STATUSES:
            return False
        if not self._renamed and ("max_completion_tokens" in detail or "max_tokens" in detail):
            self._renamed = True
            has_old_name = self._most == "max_tokens"
            self._most = "max_completion_tokens" if has_old_name else "max_tokens"
            return True
        old_format, self._format = self._format, {}
        return bool(old_format)


def _text_of_content(content: object) -> str:
    if isinstance(content, str):
        return json_values.text(content)
    parts = (json_values.mapping(part).get("text") for part in json_values.sequence(content))
    return "".join(json_values.text(part) for part in parts)


def _usage(counts: Mapping[str, Any]) -> Usage:
    # The API counts cache reads as input tokens.
    read_in = json_values.count(counts, "prompt_tokens")
    cached = json_values.count(counts, "prompt_tokens_details", "cached_tokens")
    return Usage(
        input_tokens=None if read_in is None else max(0, read_in - (cached or 0)),
        output_tokens=json_values.count(counts, "completion_tokens"),
        cache_read_tokens=cached,
    )


DIALECT = ChatCompletions
