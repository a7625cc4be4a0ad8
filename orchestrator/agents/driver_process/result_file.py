"""``agent.json``: the result of an agent's work, saved for the server."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from orchestrator.agents.activity.agent_events import AgentOutcome
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Usage
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.secrets.masking import Masker

NAME = "agent.json"
VERSION = 1


def to_json(outcome: AgentOutcome) -> str:
    document = {"version": VERSION, **asdict(outcome)}
    return json.dumps(document, ensure_ascii=False, indent=1)


def from_json(text: bytes | str) -> AgentOutcome:
    """Return the outcome. Raise ValueError for invalid content, which a worker may have written."""
    try:
        return _outcome(json.loads(text))
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{NAME} contains no valid outcome: {error}") from error


def masked(outcome: AgentOutcome, masker: Masker) -> AgentOutcome:
    return replace(
        outcome,
        text=masker.text(outcome.text),
        error=masker.text(outcome.error),
        note=masker.text(outcome.note),
        model=masker.text(outcome.model),
        denied=tuple(map(masker.text, outcome.denied)),
        outside=tuple(map(masker.text, outcome.outside)),
    )


def _outcome(document: dict[str, Any]) -> AgentOutcome:
    if document.pop("version") != VERSION:
        raise ValueError(f"{NAME} has the format of another version")
    document["error_class"] = ErrorClass(document["error_class"])
    document["usage"] = _usage(document["usage"])
    for name in ("denied", "outside"):
        document[name] = tuple(map(str, document.get(name, ())))
    for name in ("text", "error", "session", "note", "model"):
        document[name] = str(document.get(name, ""))
    if document["resets_at"] is not None:
        document["resets_at"] = float(document["resets_at"])
    return AgentOutcome(**document)


def _usage(document: dict[str, Any]) -> Usage:
    for name in ("cost_estimated", "partial"):
        document[name] = bool(document[name])
    for name, kind in Usage.__annotations__.items():
        value = document.get(name)
        if kind is bool or value is None:
            continue
        if not (isinstance(value, int | float) and 0 <= value < 1e15):
            raise ValueError(f"usage: {name} is not a number from 0 to 1e15")
    return Usage(**document)


def write(control: Path, outcome: AgentOutcome) -> None:
    """Write the file atomically. Raise OSError if the file cannot be written."""
    replace_file(control / NAME, to_json(outcome).encode("utf-8", "replace"))
