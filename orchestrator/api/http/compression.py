"""Compresses JSON answers for callers that accept gzip."""

import threading
import zlib
from collections import OrderedDict

from flask import Flask, Response, g, request

LEAST_BYTES = 1024
#: Name in ``flask.g`` of a tag that only equal bodies have.
WHOLE_TAG = "orchestrator_whole_tag"
#: Fast: more would save a tenth of the bytes, and take several times as long.
LEVEL = 1
#: For zlib: with the head and the end of gzip.
_GZIP = 31
#: Compressed answers that are kept, in bytes.
MOST_KEPT = 16 * 1024 * 1024
COMPRESSED = frozenset({"application/json", "application/problem+json", "text/x-diff"})


class Compressed:
    """Recent compressed answers by ETag, so that many readers of one answer share the work. Any
    thread may call.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def of(self, tag: str | None, body: bytes) -> bytes:
        if tag is None:
            return compressed(body)
        with self._lock:
            if tag in self._kept:
                self._kept.move_to_end(tag)
                return self._kept[tag]
        made = compressed(body)
        with self._lock:
            self._keep(tag, made)
        return made

    def _keep(self, tag: str, made: bytes) -> None:
        self._size += len(made) - len(self._kept.pop(tag, b""))
        self._kept[tag] = made
        while self._size > MOST_KEPT:
            _, dropped = self._kept.popitem(last=False)
            self._size -= len(dropped)


def compressed(body: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, wbits=_GZIP)
    return packer.compress(body) + packer.flush()


def register(app: Flask) -> None:
    """Have the application compress its answers. Streams and files are sent as they are."""
    kept = Compressed()

    @app.after_request
    def compress(response: Response) -> Response:
        if _is_worth_it(response):
            response.headers.add("Vary", "Accept-Encoding")
            if request.accept_encodings["gzip"] > 0:
                response.set_data(kept.of(g.get(WHOLE_TAG), response.get_data()))
                response.headers["Content-Encoding"] = "gzip"
        return response


def _is_worth_it(response: Response) -> bool:
    return (
        response.mimetype in COMPRESSED
        and not (response.is_streamed or response.direct_passthrough)
        and "Content-Encoding" not in response.headers
        and (response.content_length or 0) >= LEAST_BYTES
    )
