"""OpenAI Responses: https://platform.openai.com/docs/api-reference/responses."""

from collections.abc import Iterator
from typing import Any

from tests.agents.model_api import chat
from tests.agents.model_api.reply import DueTurn, event, halves

error = chat.error


def answer(due: DueTurn) -> Any:
    return {**_head(due), "status": "completed", "output": list(_items(due)), "usage": _usage(due)}


def _head(due: DueTurn) -> dict[str, Any]:
    return {
        "id": f"resp_{due.serial}",
        "object": "response",
        "created_at": 1,
        "status": "in_progress",
        "model": due.model,
        "output": [],
    }


def _usage(due: DueTurn) -> Any:
    read = due.tokens.input + due.tokens.cache_read
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": due.tokens.cache_read},
        "output_tokens": due.tokens.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + due.tokens.output,
    }


def _items(due: DueTurn) -> Iterator[dict[str, Any]]:
    if due.turn.text or not due.calls:
        text = {"type": "output_text", "text": due.turn.text, "annotations": []}
        yield {
            "type": "message",
            "id": f"msg_{due.serial}",
            "status": "completed",
            "role": "assistant",
            "content": [text],
        }
    for index, call in enumerate(due.calls):
        item = {
            "type": "custom_tool_call" if call.custom else "function_call",
            "id": f"fc_{due.serial}_{index}",
            "call_id": due.call_id(index),
            "name": call.name,
            "input" if call.custom else "arguments": chat.as_text(call.arguments),
            "status": "completed",
        }
        yield {**item, "namespace": call.namespace} if call.namespace else item


def stream(due: DueTurn) -> Iterator[bytes]:
    yield _event("response.created", response=_head(due))
    for index, item in enumerate(_items(due)):
        yield _event("response.output_item.added", output_index=index, item=item)
        yield from _pieces(item, index)
        yield _event("response.output_item.done", output_index=index, item=item)
    yield _event("response.completed", response=answer(due))


def _pieces(item: dict[str, Any], index: int) -> Iterator[bytes]:
    if item["type"] == "message":
        place = {"item_id": item["id"], "output_index": index, "content_index": 0}
        for part in halves(item["content"][0]["text"]):
            yield _event("response.output_text.delta", **place, delta=part)


def _event(type: str, **fields: Any) -> bytes:
    return event({"type": type, **fields}, type)
