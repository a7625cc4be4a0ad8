"""HTTP with ``requests``, for servers on another machine or with TLS.

This module is separate, because importing ``requests`` takes longer than most commands.
"""

from collections.abc import Iterator
from typing import Any

import requests
import urllib3

from orchestrator.api.client.errors import ConnectionLost

PIECE_BYTES = 65536
_LOST = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


class RemoteSession(requests.Session):
    """A session of ``requests`` that raises ConnectionLost for errors that a retry may fix."""

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        try:
            return super().request(*arguments, **options)
        except _LOST as error:
            raise ConnectionLost(str(error)) from error


def pieces(response: requests.Response) -> Iterator[bytes]:
    """Yield the body as it arrives. Raise ConnectionLost if the connection breaks."""
    try:
        while piece := response.raw.read1(PIECE_BYTES):
            yield piece
    except (OSError, urllib3.exceptions.HTTPError) as error:
        raise ConnectionLost(str(error)) from error
