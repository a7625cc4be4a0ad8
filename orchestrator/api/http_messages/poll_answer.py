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
    """The current body of an answer, in pieces, and the body's weak ETag."""

    tag: str
    pieces: Pieces


#: Function that returns the current answer, or None if the application must answer. The first
#: argument is True for a body in gzip. The second is the request's ``since_seq``; None means the
#: ``since_seq`` of the first request.
AnswerSource = Callable[[bool, int | None], PollAnswer | None]
