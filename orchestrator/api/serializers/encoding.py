"""Answers as JSON."""

import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

#: Fields that change with time alone.
RUNNING_DOWN = frozenset({"left", "remaining"})


def encoded(answer: BaseModel, without: frozenset[str] = frozenset()) -> bytes:
    """Return JSON; fields without a value are omitted."""
    try:
        return answer.model_dump_json(exclude_none=True, exclude=set(without)).encode()
    except (PydanticSerializationError, UnicodeEncodeError):
        # The name of a worker's file may contain invalid text.
        values = answer.model_dump(exclude_none=True, exclude=set(without))
        text = json.dumps(values, ensure_ascii=False, default=_plain)
        return text.encode("utf-8", "replace")


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


@dataclass(frozen=True, slots=True)
class TaggedBody:
    """An encoded answer with its tag: for a large one, the tag takes as long as all the rest."""

    body: bytes
    tag: str


def tagged(body: bytes) -> TaggedBody:
    return TaggedBody(body, blake2b(body, digest_size=16).hexdigest())
