"""Anthropic Messages: https://docs.anthropic.com/en/api/messages."""

import json
from collections.abc import Iterator
from typing import Any

from tests.agents.model_api.reply import DueTurn, event, halves

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def answer(due: DueTurn) -> Any:
    return {
        **_head(due),
        "content": list(_blocks(due)),
        "stop_reason": due.turn.stop_reason,
        "usage": _usage(due),
    }


def _head(due: DueTurn) -> dict[str, Any]:
    return {
        "id": f"msg_{due.serial}",
        "type": "message",
        "role": "assistant",
        "model": due.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _usage(due: DueTurn) -> dict[str, int] | None:
    if due.turn.tokens is None:
        return None
    return {
        "input_tokens": due.tokens.input,
        "output_tokens": due.tokens.output,
        "cache_read_input_tokens": due.tokens.cache_read,
        "cache_creation_input_tokens": due.tokens.cache_write,
    }


def _blocks(due: DueTurn) -> Iterator[dict[str, Any]]:
    if due.turn.text:
        yield {"type": "text", "text": due.turn.text}
    for index, call in enumerate(due.calls):
        yield {
            "type": "tool_use",
            "id": due.call_id(index),
            "name": call.name,
            "input": call.arguments,
        }


def stream(due: DueTurn) -> Iterator[bytes]:
    usage = {**(_usage(due) or {}), "output_tokens": 1}
    yield _event("message_start", message={**_head(due), "usage": usage})
    for index, block in enumerate(_blocks(due)):
        empty: dict[str, Any] = {"text": ""} if block["type"] == "text" else {"input": {}}
        yield _event("content_block_start", index=index, content_block={**block, **empty})
        for delta in _deltas(block):
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    end = {"stop_reason": due.turn.stop_reason, "stop_sequence": None}
    yield _event("message_delta", delta=end, usage={"output_tokens": due.tokens.output})
    yield _event("message_stop")


def _deltas(block: dict[str, Any]) -> Iterator[dict[str, str]]:
    if block["type"] == "text":
        for part in halves(block["text"]):
            yield {"type": "text_delta", "text": part}
    else:
        for part in halves(json.dumps(block["input"])):
            yield {"type": "input_json_delta", "partial_json": part}


def _event(type: str, **fields: Any) -> bytes:
    return event({"type": type, **fields}, type)


def error(status: int, type: str, message: str) -> Any:
    word = type or TYPES.get(status, "api_error")
    return {"type": "error", "error": {"type": word, "message": message}, "request_id": "req_1"}
