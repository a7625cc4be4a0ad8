"""The answer to a poll.

If the same request comes again, the server's event loop may answer it without the application.
"""

from collections.abc import Callable, Sequence

from orchestrator.core.lazy_dataclass import dataclass

#: Keys in a request's environment: the bytes of the request, and the function that returns its
#: current answer.
HEAD, AGAIN = "orchestrator.head", "orchestrator.again"

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
