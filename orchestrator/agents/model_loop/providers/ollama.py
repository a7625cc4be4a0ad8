"""Conversations with Ollama: https://github.com/ollama/ollama/blob/main/docs/api.md."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.agents.model_loop.model_http.call_failure import overflow, unexpected_answer
from orchestrator.agents.model_loop.providers import instructions
from orchestrator.agents.model_loop.providers.chat import Chat
from orchestrator.agents.model_loop.providers.dialect import ModelToolCall, StopReason, Turn
from orchestrator.agents.model_loop.settings.loop_settings import ModelService
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.text import json_values

SERVICE = ModelService(base_url="http://127.0.0.1:11434", model_env="OLLAMA_MODEL", local=True)
#: Maximum characters of a token, averaged over a conversation: no tokenizer has more.
_MOST_CHARACTERS_PER_TOKEN = 5


class OllamaChat(Chat):
    """A conversation with Ollama.

    Each request sets the context window, because Ollama's default is small.
    """

    @property
    def path(self) -> str:
        return "/api/chat"

    def request(self, max_tokens: int) -> Mapping[str, Any]:
        """Return the next request.

        Raise ModelFailure if the prompt is so long that it certainly exceeds the context window.
        Ollama itself would drop the start of the prompt without an error.
        """
        window = self._settings.context_tokens
        if len(json.dumps(self._messages)) > window * _MOST_CHARACTERS_PER_TOKEN:
            raise overflow(f"context_tokens={window}")
        value: dict[str, Any] = {
            "model": self._settings.model,
            "messages": self._messages,
            "stream": False,
            "options": {"num_ctx": window, "num_predict": min(max_tokens, window)},
            **self._format,
        }
        return self._with_tools(value)

    def add_answer(self, answer: object) -> Turn:
        value = json_values.mapping(answer)
        message = value.get("message")
        if not isinstance(message, dict):
            raise unexpected_answer("an answer of Ollama's API", answer)
        text = json_values.text(message, "content")
        tool_calls = tuple(self._use(each) for each in json_values.sequence(message, "tool_calls"))
        self._remember(text, tool_calls)
        usage = Usage(
            input_tokens=json_values.count(value, "prompt_eval_count"),
            output_tokens=json_values.count(value, "eval_count"),
        )
        return Turn(
            text=text, tool_calls=tool_calls, usage=usage, stop=self._stop_reason(value, usage)
        )

    def _remember(self, text: str, tool_calls: Sequence[ModelToolCall]) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if tool_calls:
            message["tool_calls"] = [
                {"function": {"name": call.name, "arguments": dict(call.arguments)}}
                for call in tool_calls
            ]
        if tool_calls or text:
            self._messages.append(message)

    def _stop_reason(self, value: Mapping[str, Any], usage: Usage) -> StopReason:
        if value.get("done_reason") != "length":
            return StopReason.DONE
        used = (usage.input_tokens or 0) + (usage.output_tokens or 0)
        return StopReason.FULL if used >= self._settings.context_tokens else StopReason.CUT

    def _reference(self, call: ModelToolCall) -> Mapping[str, str]:
        return {"tool_name": call.name}

    def require_json(self, schema: Mapping[str, Any]) -> None:
        self._messages[-1]["content"] += f"\n\n{instructions.only_json(schema)}"
        self._format = {"format": dict(schema)}

    def change_format(self, status: int | None, detail: str) -> bool:
        """Omit the schema from a rejected request, because older servers reject schemas.

        Return True if the changed request may succeed.
        """
        old_format, self._format = self._format, {}
        return bool(old_format) and status == 400


DIALECT = OllamaChat
