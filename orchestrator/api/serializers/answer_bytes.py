"""Answers as JSON bytes with their ETags, and the bodies of events."""

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from orchestrator.core.dataclass import dataclass
from orchestrator.core.events import Event

if TYPE_CHECKING:  # commands without a server import this module, and must start fast
    pass
from orchestrator.api.serializers.answer_parts import moment


def event_values(event: Event) -> Mapping[str, object]:
    """Return the JSON object of an event, in the shape of EventAnswer."""
    values: dict[str, object] = {
        "seq": event.seq,
        "kind": event.kind,
        "at": moment(event.at).isoformat().replace("+00:00", "Z"),
        "job_id": event.job_id,
    }
    if event.worker_id is not None:
        values["worker_id"] = event.worker_id
    return {**values, "data": dict(event.data)}


#: Fields with the remaining quota, which change with time alone.
RUNNING_DOWN = frozenset({"left", "remaining"})


def encoded(answer: BaseModel, without: frozenset[str] = frozenset()) -> bytes:
    """Return ``answer`` as JSON, without the fields ``without`` and without fields that have no
    value.
    """
    try:
        return answer.model_dump_json(exclude_none=True, exclude=set(without)).encode()
    except (PydanticSerializationError, UnicodeEncodeError):
        # The name of a worker's file may contain invalid UTF-8.
        values = answer.model_dump(exclude_none=True, exclude=set(without))
        text = json.dumps(values, ensure_ascii=False, default=_plain)
        return text.encode("utf-8", "replace")


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


#: Made once, because ``json.dumps`` with options makes an encoder for each call.
_left_text = json.JSONEncoder(default=str).encode


@dataclass(frozen=True, slots=True)
class TaggedBody:
    """An encoded answer with its ETag. The ETag is stored, because its computation can be slow."""

    body: bytes
    tag: str

    def with_left(self, left: Mapping[str, object]) -> tuple[memoryview, bytes]:
        """Return the two pieces of the complete answer, which ends with the remaining quota
        ``left``.
        """
        return self.with_end(end_of(left))

    def with_end(self, end: bytes) -> tuple[memoryview, bytes]:
        """Return the two pieces of the complete answer. ``end`` is a result of ``end_of``."""
        return memoryview(self.body)[:-1], end


def end_of(left: Mapping[str, object]) -> bytes:
    """Return the last part of an encoded answer: the fields with the remaining quota ``left``."""
    text = _left_text(left).encode()
    return b',"remaining":%b,"left":%b}' % (text, text)


def tagged(body: bytes) -> TaggedBody:
    return TaggedBody(body, blake2b(body, digest_size=16).hexdigest())
