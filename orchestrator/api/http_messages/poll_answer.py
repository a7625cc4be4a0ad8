"""The answer to a poll.

If the same request comes again, the server's event loop may answer it without the application.
"""

from collections.abc import Callable, Sequence

from orchestrator.core.lazy_dataclass import dataclass

#: Keys in a request's environment: the bytes of the request, and the function that returns the
#: current answer (``AnswerSource``).
HEAD, ANSWER_SOURCE = "orchestrator.head", "orchestrator.again"

Pieces = Sequence[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class PollAnswer:
    """The current body of an answer, in pieces, and the body's ETag."""

    etag: str
    pieces: Pieces


#: Function that counts a request, and returns the current answer. If the application must answer,
#: the function returns None and counts nothing. The arguments:
#:
#: 1. True for a body in gzip.
#: 2. The request's ``since_seq``; None: the ``since_seq`` of the first request.
#: 3. The ETag of an answer 304. If this ETag is no longer current, the application must answer. "":
#:    the answer is not a 304.
AnswerSource = Callable[[bool, int | None, str], PollAnswer | None]
