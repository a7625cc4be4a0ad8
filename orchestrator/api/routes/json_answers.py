"""Converts answers to JSON responses with ETags, for the modules of this package."""

from collections.abc import Callable, Mapping
from http import HTTPStatus

from flask import Response, current_app, g, request
from pydantic import BaseModel

from orchestrator.api.access.authentication import caller
from orchestrator.api.http_messages.compression import WHOLE_TAG
from orchestrator.api.http_messages.headers import JSON, NO_STORE
from orchestrator.api.http_messages.shared_reads import SharedReads
from orchestrator.api.serializers.json_encoding import QUOTA_FIELDS, TaggedBody, encoded, tagged
from orchestrator.core.lazy_dataclass import dataclass

REVALIDATE = "private, no-cache"


def json_answer(
    answer: BaseModel,
    status: HTTPStatus = HTTPStatus.OK,
    location: str | None = None,
    *,
    has_nulls: bool = False,
) -> Response:
    body = encoded(answer, has_nulls=has_nulls)
    response = Response(body, status=int(status), mimetype=JSON, headers=NO_STORE)
    if location is not None:
        response.headers["Location"] = location
    return response


def tagged_answer(make: Callable[[], BaseModel]) -> Response:
    """Return an answer with an ETag, or a 304 if the caller already has this version.

    If one caller sends equal calls at the same time, the calls share one computed answer.
    """
    return _shared(lambda: _tagged(make()))


def tagged_with_remaining_quota(
    make: Callable[[], tuple[TaggedBody, Mapping[str, object]]],
) -> Response:
    """Return an answer as ``tagged_answer`` does.

    ``make`` returns an encoded answer, and the remaining quota.
    """

    def make_tagged() -> _Tagged:
        body, left = make()
        return _Tagged(body.tag, b"".join(body.with_remaining_quota(left)), is_whole=False)

    return _shared(make_tagged)


def tagged_bytes(make: Callable[[], bytes], mimetype: str = JSON) -> Response:
    """Return an answer as ``tagged_answer`` does. ``make`` returns an encoded answer."""

    def make_tagged() -> _Tagged:
        body = make()
        return _Tagged(tagged(body).tag, body)

    return _shared(make_tagged, mimetype)


def _shared(make: "Callable[[], _Tagged]", mimetype: str = JSON) -> Response:
    reads: SharedReads[_Tagged] = current_app.extensions["orchestrator.reads"]
    request_key = (*sorted((request.view_args or {}).items()), request.query_string, mimetype)
    answer = reads.get((request.endpoint, *request_key, caller().full_name), make)
    if answer.is_whole:
        setattr(g, WHOLE_TAG, answer.tag)
    headers = {"ETag": f'W/"{answer.tag}"', "Cache-Control": REVALIDATE}
    if request.if_none_match.contains_weak(answer.tag):
        return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(answer.body, mimetype=mimetype, headers=headers)


@dataclass(frozen=True, slots=True)
class _Tagged:
    tag: str
    body: bytes
    #: True if ``tag`` depends on the whole body. False if the body contains the remaining quota,
    #: which is not part of the tag.
    is_whole: bool = True


def _tagged(answer: BaseModel) -> _Tagged:
    """Return the encoded answer and its weak ETag.

    The remaining quota is not part of the tag. Otherwise, a client would get a new answer whenever
    only the remaining time has decreased.
    """
    body = tagged(encoded(answer, without=QUOTA_FIELDS))
    left = getattr(answer, "left", None)
    if left is None:
        return _Tagged(body.tag, body.body)
    return _Tagged(body.tag, b"".join(body.with_remaining_quota(left)), is_whole=False)
