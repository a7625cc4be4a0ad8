"""Answers as HTTP responses."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from http import HTTPStatus
from typing import Any

from flask import Response, current_app, g, request
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from orchestrator.api.access.auth import caller
from orchestrator.api.http.compression import WHOLE_TAG
from orchestrator.api.http.shared_reads import SharedReads

JSON = "application/json"
REVALIDATE = "private, no-cache"
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


def json_answer(
    answer: BaseModel, status: HTTPStatus = HTTPStatus.OK, location: str | None = None
) -> Response:
    response = Response(encoded(answer), status=int(status), mimetype=JSON)
    response.headers["Cache-Control"] = "no-store"
    if location is not None:
        response.headers["Location"] = location
    return response


def tagged_answer(make: Callable[[], BaseModel]) -> Response:
    """Return the answer to a read, with an ETag; 304 if the caller already has this version.

    Equal reads of one caller at the same time are computed once.
    """
    return _shared(lambda: _tagged(make()))


def tagged_bytes(make: Callable[[], bytes], mimetype: str = JSON) -> Response:
    """Return the same for an answer that is encoded already."""

    def made() -> _Tagged:
        body = make()
        return _Tagged(_tag(body), body)

    return _shared(made, mimetype)


def _shared(make: "Callable[[], _Tagged]", mimetype: str = JSON) -> Response:
    reads: SharedReads[_Tagged] = current_app.extensions["orchestrator.reads"]
    asked = (*sorted((request.view_args or {}).items()), request.query_string, mimetype)
    found = reads.get((request.endpoint, *asked, caller().full_name), make)
    if found.is_whole:
        setattr(g, WHOLE_TAG, found.tag)
    headers = {"ETag": f'W/"{found.tag}"', "Cache-Control": REVALIDATE}
    if request.if_none_match.contains_weak(found.tag):
        return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(found.body, mimetype=mimetype, headers=headers)


@dataclass(frozen=True, slots=True)
class _Tagged:
    tag: str
    body: bytes
    #: False if the body has remaining time, which the tag leaves out.
    is_whole: bool = True


def _tagged(answer: BaseModel) -> _Tagged:
    """Return a weak tag without the remaining time, which decreases continuously and is no reason
    to send the answer again.
    """
    lasting = encoded(answer, without=RUNNING_DOWN)
    body = _with_left(lasting, answer)
    return _Tagged(_tag(lasting), body, is_whole=body is lasting)


def _tag(body: bytes) -> str:
    return blake2b(body, digest_size=16).hexdigest()


def _with_left(lasting: bytes, answer: BaseModel) -> bytes:
    left = getattr(answer, "left", None)
    if left is None:
        return lasting
    text = json.dumps(left, default=str).encode()
    return b'%b,"remaining":%b,"left":%b}' % (lasting[:-1], text, text)
