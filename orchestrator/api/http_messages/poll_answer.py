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


#: Function that returns the current answer to a repeated request, and counts the request. If the
#: application must answer, the function returns None and counts nothing. The arguments:
#:
#: 1. True if the body must be in gzip.
#: 2. The request's ``since_seq``; None: the ``since_seq`` of the request whose answer was stored.
#: 3. The ETag of the stored answer, if this answer is a 304; "" for any other answer. A 304 can be
#:    sent again only while its ETag is current. With another ETag, the function returns None.
AnswerSource = Callable[[bool, int | None, str], PollAnswer | None]
