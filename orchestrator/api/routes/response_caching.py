"""Converts answers to HTTP responses: adds ETags, shares reads among callers, and compresses.

JSON answers and the dashboard's files are compressed for callers that accept gzip.

The server's event loop answers repeated polls. A client that polls sends the same bytes each time.
The loop sends the stored answer again while this answer is current. The loop does not call the
application, because the switch to a thread costs more than the answer.
"""

import re
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Generic, TypeVar
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, Response, current_app, g, request
from pydantic import BaseModel

from orchestrator.api.access.authentication import caller
from orchestrator.api.access.rate_limits import RateLimits
from orchestrator.api.http.metrics import Metrics
from orchestrator.api.serializers.answer_parts import RUNNING_DOWN, TaggedBody, encoded, tagged
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.lazy_dataclass import dataclass

LEAST_BYTES = 1024
#: Name of the attribute of ``flask.g`` with the answer's tag; set only if equal tags mean equal
#: bodies.
WHOLE_TAG = "orchestrator_whole_tag"
#: Compression level of answers: low, because a higher level takes several times as long and saves
#: only a tenth of the bytes.
LEVEL = 1
#: zlib's ``wbits`` for the gzip format.
_GZIP = 31
#: Maximum size of all stored compressed answers, in bytes.
MOST_KEPT = 16 * 1024 * 1024
COMPRESSED = frozenset({"application/json", "application/problem+json", "text/x-diff"})
#: Compression level of files: high, because each file is compressed only once.
FILE_LEVEL = 9
#: Blueprints with files: the pages, and Flask's own folder of static files.
FILES_OF = ("pages", None)
COMPRESSED_FILES = frozenset({"text/html", "text/css", "text/javascript", "image/svg+xml"})


class Compressed:
    """Cache of compressed answers, by ETag. An answer with many readers is compressed once.

    Any thread may call.
    """

    def __init__(self, level: int = LEVEL) -> None:
        self._level = level
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def of(self, tag: str | None, body: bytes) -> bytes:
        if tag is None:
            return compressed(body, self._level)
        with self._lock:
            if tag in self._kept:
                self._kept.move_to_end(tag)
                return self._kept[tag]
        made = compressed(body, self._level)
        with self._lock:
            self._keep(tag, made)
        return made

    def _keep(self, tag: str, made: bytes) -> None:
        self._size += len(made) - len(self._kept.pop(tag, b""))
        self._kept[tag] = made
        while self._size > MOST_KEPT:
            _, dropped = self._kept.popitem(last=False)
            self._size -= len(dropped)


def compressed(body: bytes, level: int) -> bytes:
    packer = zlib.compressobj(level, wbits=_GZIP)
    return packer.compress(body) + packer.flush()


def compress_answers(app: Flask) -> None:
    """Compress the answers of an application, except streams."""
    kept, files = Compressed(), Compressed(FILE_LEVEL)

    @app.after_request
    def compress(response: Response) -> Response:
        if _is_worth_it(response):
            response.headers.add("Vary", "Accept-Encoding")
            if request.accept_encodings["gzip"] > 0:
                response.set_data(kept.of(g.get(WHOLE_TAG), response.get_data()))
                response.headers["Content-Encoding"] = "gzip"
        elif request.blueprint in FILES_OF and response.mimetype in COMPRESSED_FILES:
            response.headers.add("Vary", "Accept-Encoding")
            tag, _ = response.get_etag()
            if tag is not None:
                # A weak ETag, because a file and its compressed form have the same ETag.
                response.set_etag(tag, weak=True)
            if request.accept_encodings["gzip"] > 0 and response.status_code == HTTPStatus.OK:
                response.direct_passthrough = False
                response.set_data(files.of(tag, response.get_data()))
                response.headers["Content-Encoding"] = "gzip"
                response.headers.remove("Accept-Ranges")
        return response


def _is_worth_it(response: Response) -> bool:
    return (
        response.mimetype in COMPRESSED
        and not (response.is_streamed or response.direct_passthrough)
        and "Content-Encoding" not in response.headers
        and (response.content_length or 0) >= LEAST_BYTES
    )


Value = TypeVar("Value")


class _Read(Generic[Value]):
    def __init__(self) -> None:
        self.ended = threading.Event()
        #: The value; None: the read failed.
        self.value: Value | None = None
        #: The next read, for callers that came during this read, because this read may lack newer
        #: changes.
        self.next: _Read[Value] | None = None


class SharedReads(Generic[Value]):
    """Reads whose results concurrent callers share. Any thread may call.

    A call during a read waits for the next read, because the running read may lack newer changes.
    Without sharing, each reader of a large job would hold the whole job in memory.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Hashable, _Read[Value]] = {}

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the result of ``make``. Concurrent callers with the same ``key`` share one result.

        Raises the errors of ``make``.
        """
        with self._lock:
            running = self._running.get(key)
            if running is None:
                mine, is_maker = self._running.setdefault(key, _Read()), True
            else:
                is_maker = running.next is None
                mine = running.next = running.next or _Read()
        if not is_maker:
            mine.ended.wait()
            return make() if mine.value is None else mine.value
        if running is not None:
            running.ended.wait()
        return self._make(key, mine, make)

    def _make(self, key: Hashable, mine: _Read[Value], make: Callable[[], Value]) -> Value:
        try:
            mine.value = make()
            return mine.value
        finally:
            with self._lock:
                if mine.next is None:
                    del self._running[key]
                else:
                    self._running[key] = mine.next
            mine.ended.set()


JSON = "application/json"
REVALIDATE = "private, no-cache"


def json_answer(
    answer: BaseModel,
    status: HTTPStatus = HTTPStatus.OK,
    location: str | None = None,
    *,
    has_nulls: bool = False,
) -> Response:
    body = encoded(answer, has_nulls=has_nulls)
    response = Response(body, status=int(status), mimetype=JSON)
    response.headers["Cache-Control"] = "no-store"
    if location is not None:
        response.headers["Location"] = location
    return response


def tagged_answer(make: Callable[[], BaseModel]) -> Response:
    """Return an answer with an ETag, or a 304 if the caller already has this version.

    Equal reads of one caller at the same time are computed once.
    """
    return _shared(lambda: _tagged(make()))


def tagged_with_left(make: Callable[[], tuple[TaggedBody, Mapping[str, object]]]) -> Response:
    """Return an answer as ``tagged_answer`` does.

    ``make`` returns an encoded answer, and the remaining quota.
    """

    def made() -> _Tagged:
        lasting, left = make()
        return _Tagged(lasting.tag, b"".join(lasting.with_left(left)), is_whole=False)

    return _shared(made)


def tagged_bytes(make: Callable[[], bytes], mimetype: str = JSON) -> Response:
    """Return an answer as ``tagged_answer`` does. ``make`` returns an encoded answer."""

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
    #: False if the body contains the remaining time, which the tag ignores.
    is_whole: bool = True


def _tagged(answer: BaseModel) -> _Tagged:
    """Return the encoded answer and its weak ETag.

    The tag ignores the remaining time, so that its decrease alone does not cause a new answer.
    """
    lasting = tagged(encoded(answer, without=RUNNING_DOWN))
    left = getattr(answer, "left", None)
    if left is None:
        return _Tagged(lasting.tag, lasting.body)
    return _Tagged(lasting.tag, b"".join(lasting.with_left(left)), is_whole=False)


#: Keys in a request's environment: the bytes of the request, and the function that returns its
#: current answer.
HEAD, AGAIN = "orchestrator.head", "orchestrator.again"
#: Maximum number of requests whose answers are stored, and maximum bytes of a request's head.
MOST_REPEATED = 512
LONGEST_HEAD = 2048
#: Headers that are not stored, because each repeated answer gets new values.
_OWN_HEADERS = frozenset({"content-length", "date", "connection", "etag"})
#: The parameter ``since_seq`` in the request line, which differs between the polls of one client.
#: It is ignored when requests are compared, except in a request with a tag.
_SINCE = re.compile(rb"(GET [^ ]*[?&]since_seq=)([0-9]{1,15})(?=[& ])")
_TAG = b"if-none-match:"
_NOT_MODIFIED = "304"
#: Environment keys of requests whose answers are never repeated, because they have a body, or a
#: session that may end.
_MORE_THAN_THE_HEAD = frozenset(
    {"CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "HTTP_EXPECT", "HTTP_COOKIE"}
)

Pieces = Sequence[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class Repeated:
    """The current body of an answer, in pieces, and its weak ETag."""

    tag: str
    pieces: Pieces


#: Function that returns the current answer, or None if the application must answer. The first
#: argument is True for a body in gzip. The second is the request's ``since_seq``; None means the
#: ``since_seq`` of the first request.
Again = Callable[[bool, int | None], Repeated | None]


def let_repeat(current: Again) -> None:
    """Let the server's event loop answer later requests that equal the current request.

    The loop calls ``current`` for the body of each such answer. Any thread may call ``current``.
    Each answer counts toward the caller's rate limit.
    """
    limits: RateLimits = current_app.extensions["orchestrator.limits"]
    metrics: Metrics = current_app.extensions["orchestrator.metrics"]
    name, route = caller().full_name, request.url_rule.rule if request.url_rule else "none"

    def again(packed: bool, since: int | None) -> Repeated | None:
        began = time.perf_counter()
        found = current(packed, since)
        if found is None or limits.reads.take(name):
            return None  # above the limit, the application answers with 429
        metrics.count("GET", route, HTTPStatus.OK, began)
        return found

    request.environ[AGAIN] = again


@dataclass(frozen=True, slots=True)
class _Answered:
    """An earlier answer: its head, and the function that returns the current body."""

    #: The status line and the headers that do not change.
    head: bytes
    again: Again
    is_packed: bool
    #: The ETag of a 304, which is repeated only while this ETag is current; empty for an answer
    #: with a body.
    unchanged: str


class Repeats:
    """WSGI middleware that stores answers, and sends them again while they are current.

    Wraps all other middleware. Any thread may call.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._lock = threading.Lock()
        self._answered: OrderedDict[tuple[bytes, str], _Answered] = OrderedDict()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if HEAD not in environ or not _may_be_repeated(environ):
            return self._application(environ, start_response)

        def start(status, headers, exc_info=None):  # type: ignore[no-untyped-def]
            if AGAIN in environ:
                self._keep(environ, status, headers)
            # Return waitress' own method, because the socket loop finds the connection through this
            # method.
            return start_response(status, headers, exc_info)

        return self._application(environ, start)

    def _keep(
        self, environ: WSGIEnvironment, status: str, headers: Sequence[tuple[str, str]]
    ) -> None:
        lines = [f"HTTP/1.1 {status}"]
        lines += [f"{name}: {value}" for name, value in headers if name.lower() not in _OWN_HEADERS]
        found = _Answered(
            "\r\n".join([*lines, ""]).encode("latin-1"),
            environ[AGAIN],
            is_packed=("Content-Encoding", "gzip") in headers,
            unchanged=dict(headers)["ETag"] if status.startswith(_NOT_MODIFIED) else "",
        )
        key = (_parts(environ[HEAD])[0], environ["REMOTE_ADDR"])
        with self._lock:
            self._answered[key] = found
            self._answered.move_to_end(key)
            if len(self._answered) > MOST_REPEATED:
                self._answered.popitem(last=False)

    def answer(self, head: bytes, address: str) -> Pieces | None:
        """Return the complete answer to a request; None if the application must answer.

        ``head``: the bytes of the request. ``address``: the client's address.
        """
        request, since = _parts(head)
        key = (request, address)
        found = self._answered.get(key)
        if found is None:
            return None
        try:
            current = found.again(found.is_packed, since)
        except OrchestratorError:
            current = None  # the application answers with the error
        tag = f'W/"{current.tag}"' if current else ""
        if current is None or found.unchanged not in ("", tag):
            with self._lock:
                self._answered.pop(key, None)
            return None
        lines = f"ETag: {tag}\r\nDate: {_date(int(time.time()))}\r\n"
        if found.unchanged:
            return [found.head, f"{lines}\r\n".encode()]
        length = sum(map(len, current.pieces))
        return [found.head, f"{lines}Content-Length: {length}\r\n\r\n".encode(), *current.pieces]


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _parts(head: bytes) -> tuple[bytes, int | None]:
    """Return a request's head without the parameter ``since_seq``, and this parameter's value.

    The value is None if the request lacks the parameter.
    """
    found = _SINCE.match(head) if b"since_seq=" in head and _TAG not in head.lower() else None
    if found is None:
        return head, None
    return found[1] + head[found.end() :], int(found[2])


def _may_be_repeated(environ: WSGIEnvironment) -> bool:
    """True for a GET without body and cookie, on a connection that stays open.

    A request with a cookie needs the application, which knows if the cookie is still valid.
    """
    return (
        environ["REQUEST_METHOD"] == "GET"
        and environ["SERVER_PROTOCOL"] == "HTTP/1.1"
        and len(environ[HEAD]) <= LONGEST_HEAD
        and environ.get("HTTP_CONNECTION", "keep-alive").lower() == "keep-alive"
        and not _MORE_THAN_THE_HEAD & environ.keys()
    )
