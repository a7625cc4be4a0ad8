"""Chat completions, an API of OpenAI that vLLM, llama.cpp, and LM Studio also serve."""

import json
from collections.abc import Iterator
from typing import Any

from tests.agents.model_api.reply import DueTurn, event, halves

REASONS = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length"}
TYPES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


def answer(due: DueTurn) -> Any:
    message: dict[str, Any] = {"role": "assistant", "content": due.turn.text or None}
    if due.calls:
        message["tool_calls"] = _calls(due)
    choice = {"index": 0, "message": message, "finish_reason": _reason(due)}
    return {**_head(due, "chat.completion"), "choices": [choice], "usage": usage(due)}


def _head(due: DueTurn, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{due.serial}", "object": kind, "created": 1, "model": due.model}


def _reason(due: DueTurn) -> str:
    return REASONS.get(due.turn.stop_reason, due.turn.stop_reason)


def _calls(due: DueTurn) -> list[Any]:
    return [
        {
            "index": index,
            "id": due.call_id(index),
            "type": "function",
            "function": {"name": call.name, "arguments": as_text(call.arguments)},
        }
        for index, call in enumerate(due.calls)
    ]


def as_text(arguments: Any) -> str:
    """Return the arguments as JSON; return a text unchanged, because it may be invalid JSON."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def usage(due: DueTurn) -> Any:
    """Return the usage. The input includes the tokens that were read from the cache."""
    if due.turn.tokens is None:
        return None
    read = due.tokens.input + due.tokens.cache_read
    return {
        "prompt_tokens": read,
        "completion_tokens": due.tokens.output,
        "total_tokens": read + due.tokens.output,
        "prompt_tokens_details": {"cached_tokens": due.tokens.cache_read},
    }


def stream(due: DueTurn) -> Iterator[bytes]:
    yield _chunk(due, {"role": "assistant", "content": ""})
    for part in halves(due.turn.text):
        yield _chunk(due, {"content": part})
    if due.calls:
        yield _chunk(due, {"tool_calls": _calls(due)})
    yield _chunk(due, {}, finish=_reason(due))
    yield event({**_head(due, "chat.completion.chunk"), "choices": [], "usage": usage(due)})
    yield b"data: [DONE]\n\n"


def _chunk(due: DueTurn, delta: Any, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event({**_head(due, "chat.completion.chunk"), "choices": [choice]})


def error(status: int, type: str, message: str) -> Any:
    word = type or TYPES.get(status, "server_error")
    return {"error": {"message": message, "type": word, "code": word, "param": None}}
