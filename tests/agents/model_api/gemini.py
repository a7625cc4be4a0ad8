"""Gemini generateContent and streamGenerateContent: https://ai.google.dev/api."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.agents.model_api.reply import DueTurn, event, halves

TYPES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


def example(body: Any) -> dict[str, object]:
    """Return an example of the requested JSON schema; empty if the request has no schema."""
    schema = body.get("generationConfig", {}).get("responseJsonSchema") or {}
    kinds = {name: each.get("type", "") for name, each in schema.get("properties", {}).items()}
    return {name: 90 if kind.lower() == "integer" else "-" for name, kind in kinds.items()}


def answer(due: DueTurn) -> Any:
    parts: list[Any] = [{"text": due.turn.text}] if due.turn.text or not due.calls else []
    parts += [
        {"functionCall": {"id": due.call_id(index), "name": call.name, "args": call.arguments}}
        for index, call in enumerate(due.calls)
    ]
    return _chunk(due, parts, finish="STOP")


def _chunk(due: DueTurn, parts: list[Any], finish: str = "") -> Any:
    candidate = {"index": 0, "content": {"role": "model", "parts": parts}}
    if finish:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(due),
        "modelVersion": due.model,
        "responseId": f"resp_{due.serial}",
    }


def _usage(due: DueTurn) -> Any:
    read = due.tokens.input + due.tokens.cache_read
    return {
        "promptTokenCount": read,
        "cachedContentTokenCount": due.tokens.cache_read,
        "candidatesTokenCount": due.tokens.output,
        "totalTokenCount": read + due.tokens.output,
    }


def stream(due: DueTurn) -> Iterator[bytes]:
    first, *rest = halves(due.turn.text) or ("",)
    if rest:
        yield event(_chunk(due, [{"text": first}]))
    last = replace(due.turn, text="".join(rest) if rest else first)
    yield event(answer(replace(due, turn=last)))


def error(status: int, type: str, message: str) -> Any:
    word = type or TYPES.get(status, "INTERNAL")
    return {"error": {"code": status, "message": message, "status": word}}
