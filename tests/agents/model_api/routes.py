"""The API of each path, and the answers to requests that need no model."""

import re
from typing import Any

from tests.agents.model_api import anthropic, chat, gemini, ollama, responses
from tests.agents.model_api.reply import NDJSON, SSE, Dialect

DIALECTS: dict[str, Dialect] = {
    "anthropic": anthropic,
    "chat": chat,
    "responses": responses,
    "gemini": gemini,
    "ollama": ollama,
}
STREAM_TYPES = {"ollama": NDJSON}
MODEL = "stub-model"


def api_of(path: str) -> str:
    """Return the API that a POST to this path calls; empty if the path calls no model."""
    ends = {
        "/messages": "anthropic",
        "/chat/completions": "chat",
        "/responses": "responses",
        ":generateContent": "gemini",
        ":streamGenerateContent": "gemini",
        "/api/chat": "ollama",
    }
    return next((api for end, api in ends.items() if path.endswith(end)), "")


def is_streamed(api: str, path: str, body: Any) -> bool:
    if api == "gemini":
        return path.endswith(":streamGenerateContent")
    return bool(body.get("stream", api == "ollama"))


def model_of(path: str, body: Any) -> str:
    """Return the model that a request names. Gemini's requests have it in the path."""
    named = re.search(r"/models/([^/:]+):", path)
    return named[1] if named else str(body.get("model") or MODEL)


def stream_type(api: str) -> str:
    return STREAM_TYPES.get(api, SSE)


def answer_without_model(path: str) -> Any:
    """Return the answer to a request that needs no model: a count, a list, or a probe."""
    if path.endswith("/count_tokens"):
        return {"input_tokens": 100}
    if path.endswith(":countTokens"):
        return {"totalTokens": 100}
    if path.endswith("/api/tags"):
        return {"models": [{"name": MODEL, "model": MODEL, "size": 1, "details": {}}]}
    if path.endswith("/api/version"):
        return {"version": "0.12.0"}
    if path.endswith("/api/show"):
        return {"model_info": {"stub.context_length": 32768}, "capabilities": ["tools"]}
    if path.endswith("/models"):
        return {"object": "list", "data": [{"id": MODEL, "object": "model"}]}
    return {}
