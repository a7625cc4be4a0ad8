"""Answers repeated polls in the server's event loop.

A client that polls sends the same bytes each time. While the stored answer is current, the loop
sends this answer again, without a call of the application. A call of the application needs a switch
to a thread, which costs more than the answer.
"""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from email.utils import formatdate
from functools import lru_cache
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from orchestrator.api.http_messages.poll_answer import ANSWER_SOURCE, HEAD, AnswerSource, Pieces
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.lazy_dataclass import dataclass

#: Maximum number of stored answers. The least recently used answer is removed first.
MOST_REPEATED = 512
#: Maximum bytes of the head of a request whose answer is stored.
LONGEST_HEAD = 2048
#: Headers that are not stored, because each repeated answer gets new values.
_OWN_HEADERS = frozenset({"content-length", "date", "connection", "etag"})
#: The parameter ``since_seq`` in the request line. The parameter differs between the polls of one
#: client, and is therefore ignored when requests are compared. The parameter is not ignored in a
#: request with an ETag (``_TAG``).
_SINCE = re.compile(rb"(GET [^ ]*[?&]since_seq=)([0-9]{1,15})(?=[& ])")
_TAG = b"if-none-match:"
_NOT_MODIFIED = "304"
#: Environment keys of requests with a body or a session. Answers to these requests are not stored.
_NEVER_REPEATED = frozenset(
    {"CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "HTTP_EXPECT", "HTTP_COOKIE"}
)


@dataclass(frozen=True, slots=True)
class _StoredAnswer:
    """A stored answer: its head, and the function that returns the current body."""

    #: The status line and the headers that do not change.
    head: bytes
    source: AnswerSource
    is_packed: bool
    #: ETag of an answer 304, which is sent again only while this ETag is current; "" for any other
    #: answer.
    unchanged: str


class PollCache:
    """WSGI middleware that stores answers, and sends them again while they are current.

    ``PollCache`` is the outermost middleware. Any thread may call.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._lock = threading.Lock()
        self._stored: OrderedDict[tuple[bytes, str], _StoredAnswer] = OrderedDict()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if HEAD not in environ or not _is_repeatable(environ):
            return self._application(environ, start_response)

        def start(status, headers, exc_info=None):  # type: ignore[no-untyped-def]
            if ANSWER_SOURCE in environ:
                self._store(environ, status, headers)
            # Return waitress' own ``write`` method: through this method, the socket loop finds the
            # task of waitress, and takes over the connection.
            return start_response(status, headers, exc_info)

        return self._application(environ, start)

    def _store(
        self, environ: WSGIEnvironment, status: str, headers: Sequence[tuple[str, str]]
    ) -> None:
        lines = [f"HTTP/1.1 {status}"]
        lines += [f"{name}: {value}" for name, value in headers if name.lower() not in _OWN_HEADERS]
        stored = _StoredAnswer(
            "\r\n".join([*lines, ""]).encode("latin-1"),
            environ[ANSWER_SOURCE],
            is_packed=("Content-Encoding", "gzip") in headers,
            unchanged=dict(headers)["ETag"] if status.startswith(_NOT_MODIFIED) else "",
        )
        key = (_parts(environ[HEAD])[0], environ["REMOTE_ADDR"])
        with self._lock:
            self._stored[key] = stored
            self._stored.move_to_end(key)
            if len(self._stored) > MOST_REPEATED:
                self._stored.popitem(last=False)

    def answer(self, head: bytes, address: str) -> Pieces | None:
        """Return the complete answer to a request; None if the application must answer.

        ``head``: the bytes of the request. ``address``: the client's address.
        """
        request, since = _parts(head)
        key = (request, address)
        with self._lock:
            stored = self._stored.get(key)
            if stored is None:
                return None
            self._stored.move_to_end(key)
        try:
            current = stored.source(stored.is_packed, since, stored.unchanged)
        except OrchestratorError:
            current = None  # the application answers with the error
        if current is None:
            with self._lock:
                self._stored.pop(key, None)
            return None
        lines = f"ETag: {current.etag}\r\nDate: {_date(int(time.time()))}\r\n"
        if stored.unchanged:
            return [stored.head, f"{lines}\r\n".encode()]
        length = sum(map(len, current.pieces))
        return [stored.head, f"{lines}Content-Length: {length}\r\n\r\n".encode(), *current.pieces]


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _parts(head: bytes) -> tuple[bytes, int | None]:
    """Return a request's head without the parameter ``since_seq``, and this parameter's value.

    If the request lacks the parameter or has an ETag, return the unchanged head and None.
    """
    match = _SINCE.match(head) if b"since_seq=" in head and _TAG not in head.lower() else None
    if match is None:
        return head, None
    return match[1] + head[match.end() :], int(match[2])


def _is_repeatable(environ: WSGIEnvironment) -> bool:
    """True for a GET request without body and cookie, on a connection that stays open.

    A request with a cookie needs the application, which checks the cookie's session.
    """
    return (
        environ["REQUEST_METHOD"] == "GET"
        and environ["SERVER_PROTOCOL"] == "HTTP/1.1"
        and len(environ[HEAD]) <= LONGEST_HEAD
        and environ.get("HTTP_CONNECTION", "keep-alive").lower() == "keep-alive"
        and not _NEVER_REPEATED & environ.keys()
    )
