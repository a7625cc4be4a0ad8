"""Encodes answers as JSON bytes, and computes their ETags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from orchestrator.core.lazy_dataclass import dataclass

if TYPE_CHECKING:  # commands without a server import this module, and must start fast
    pass


#: Fields with the remaining quota. They change each second, because the quota includes time.
QUOTA_FIELDS = frozenset({"left", "remaining"})


def encoded(
    answer: BaseModel, without: frozenset[str] = frozenset(), *, has_nulls: bool = False
) -> bytes:
    """Return an answer as JSON, without the fields in ``without``.

    Fields without a value are omitted; with ``has_nulls``, their value is null.
    """
    try:
        return answer.model_dump_json(exclude_none=not has_nulls, exclude=set(without)).encode()
    except (PydanticSerializationError, UnicodeEncodeError):
        # The name of a worker's file may contain invalid UTF-8.
        values = answer.model_dump(exclude_none=not has_nulls, exclude=set(without))
        # Use no blanks, as pydantic does in its JSON, because rows are inserted into the encoded
        # answer.
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=_as_text)
        return text.encode("utf-8", "replace")


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


#: Returns the remaining quota as JSON text. The encoder is created once, because ``json.dumps``
#: with options creates an encoder for each call.
_quota_text = json.JSONEncoder(default=str).encode


@dataclass(frozen=True, slots=True)
class TaggedBody:
    """An encoded answer with its ETag.

    The ETag is stored, because the computation of the ETag can be slow.
    """

    body: bytes
    tag: str

    def with_remaining_quota(self, left: Mapping[str, object]) -> tuple[memoryview, bytes]:
        """Return the complete answer in two pieces; the second has the remaining quota ``left``."""
        return self.with_end(end_of(left))

    def with_end(self, end: bytes) -> tuple[memoryview, bytes]:
        """Return the two pieces of the complete answer. ``end`` is a result of ``end_of``."""
        return memoryview(self.body)[:-1], end


def end_of(left: Mapping[str, object]) -> bytes:
    """Return the last part of an encoded answer, with the remaining quota ``left``."""
    text = _quota_text(left).encode()
    return b',"remaining":%b,"left":%b}' % (text, text)


def tagged(body: bytes) -> TaggedBody:
    return TaggedBody(body, blake2b(body, digest_size=16).hexdigest())
