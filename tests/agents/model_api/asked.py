"""Finds the script that a request names, and the turn of the script that is due."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

MARKER = re.compile(r"\[\[script:([A-Za-z0-9_.-]+)\]\]")
CALL_ID = re.compile(r"_t(\d+)_\d+$")


@dataclass(frozen=True)
class Message:
    """One entry of a conversation, in any API."""

    role: str
    text: str = ""
    call_id: str = ""


@dataclass(frozen=True)
class ScriptTurn:
    script: str
    turn: int


def script_turn(api: str, body: Any) -> ScriptTurn:
    turns = list(_conversation(api, body)) if isinstance(body, dict) else []
    for index in range(len(turns) - 1, -1, -1):
        markers = MARKER.findall(turns[index].text) if turns[index].role == "user" else []
        if markers:
            return ScriptTurn(markers[-1], _turns(turns[index + 1 :]))
    return ScriptTurn("default", _turns(turns))


def _turns(turns: Sequence[Message]) -> int:
    """Return the number of turns that the model has already answered.

    The id of a call contains the number of its turn.
    """
    count = 0
    for each in turns:
        found = CALL_ID.search(each.call_id)
        if found:
            count = max(count, int(found[1]) + 1)
        elif each.role == "assistant":
            count += 1
    return count


def _conversation(api: str, body: dict[str, Any]) -> Iterator[Message]:
    entries = body.get({"responses": "input", "gemini": "contents"}.get(api, "messages"))
    if isinstance(entries, str):
        yield Message("user", entries)
        return
    for entry in entries or []:
        if api == "responses":
            yield from _responses(entry)
        else:
            role = {"model": "assistant"}.get(entry.get("role"), entry.get("role"))
            yield Message(str(role), text_of(entry.get("content", entry.get("parts"))))


def _responses(entry: dict[str, Any]) -> Iterator[Message]:
    """Yield the entries of a conversation.

    A turn is one item for its text, then one item for each call.
    """
    if entry.get("type") in ("function_call", "custom_tool_call"):
        yield Message("call", call_id=str(entry.get("call_id")))
    elif entry.get("type", "message") == "message":
        yield Message(str(entry.get("role")), text_of(entry.get("content")))


def text_of(content: Any) -> str:
    """Return the text of a message without the results of tools."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(
        str(part["text"]) for part in parts if isinstance(part, dict) and "text" in part
    )
