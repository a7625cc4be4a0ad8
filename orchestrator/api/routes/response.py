"""Answers as HTTP responses."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from flask import Response, current_app, g, request
from pydantic import BaseModel

from orchestrator.api.access.auth import caller
from orchestrator.api.http.compression import WHOLE_TAG
from orchestrator.api.http.shared_reads import SharedReads
from orchestrator.api.serializers.common import RUNNING_DOWN, TaggedBody, encoded, tagged

JSON = "application/json"
REVALIDATE = "private, no-cache"


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


def tagged_with_left(make: Callable[[], tuple[TaggedBody, Mapping[str, object]]]) -> Response:
    """Return the answer like ``tagged_answer``, for an encoded answer and its remaining quota."""

    def made() -> _Tagged:
        lasting, left = make()
        return _Tagged(lasting.tag, _joined(lasting.body, left), is_whole=False)

    return _shared(made)


def tagged_bytes(make: Callable[[], bytes], mimetype: str = JSON) -> Response:
    """Return the answer like ``tagged_answer``, for an answer that is encoded already."""

    def made() -> _Tagged:
        body = make()
        return _Tagged(tagged(body).tag, body)

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
    return _Tagged(tagged(lasting).tag, body, is_whole=body is lasting)


def _with_left(lasting: bytes, answer: BaseModel) -> bytes:
    left = getattr(answer, "left", None)
    return lasting if left is None else _joined(lasting, left)


def _joined(lasting: bytes, left: Mapping[str, object]) -> bytes:
    text = json.dumps(left, default=str).encode()
    return b'%b,"remaining":%b,"left":%b}' % (lasting[:-1], text, text)
