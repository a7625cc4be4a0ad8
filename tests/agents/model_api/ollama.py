"""Ollama's /api/chat: https://github.com/ollama/ollama/blob/main/docs/api.md."""

import json
from collections.abc import Iterator
from typing import Any

from tests.agents.model_api.reply import DueTurn, halves


def answer(due: DueTurn) -> Any:
    message: dict[str, Any] = {"role": "assistant", "content": due.turn.text}
    if due.calls:
        message["tool_calls"] = [
            {"function": {"name": call.name, "arguments": call.arguments}} for call in due.calls
        ]
    return {**_line(due, message), **_end(due)}


def _line(due: DueTurn, message: Any) -> dict[str, Any]:
    time = "2026-01-01T00:00:00Z"
    return {"model": due.model, "created_at": time, "message": message, "done": False}


def _end(due: DueTurn) -> dict[str, Any]:
    end = {"done": True, "done_reason": _reason(due), "total_duration": 1_000_000}
    if due.turn.tokens is None:
        return end
    return {**end, "prompt_eval_count": due.tokens.input, "eval_count": due.tokens.output}


def _reason(due: DueTurn) -> str:
    return "length" if due.turn.stop_reason == "max_tokens" else "stop"


def stream(due: DueTurn) -> Iterator[bytes]:
    for part in halves(due.turn.text):
        yield _encoded(_line(due, {"role": "assistant", "content": part}))
    message = {**answer(due)["message"], "content": ""}
    if due.calls:
        yield _encoded(_line(due, message))
    yield _encoded({**_line(due, {"role": "assistant", "content": ""}), **_end(due)})


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def error(status: int, type: str, message: str) -> Any:
    return {"error": message}
