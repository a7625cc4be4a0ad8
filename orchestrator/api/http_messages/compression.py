"""Compresses JSON answers and the dashboard's files for callers that accept gzip."""

import threading
import zlib
from collections import OrderedDict
from http import HTTPStatus

from flask import Flask, Response, g, request

#: Minimum size in bytes of an answer that is compressed.
LEAST_BYTES = 1024
#: Attribute of ``flask.g`` with the answer's ETag. Set only if equal ETags mean equal bodies.
WHOLE_TAG = "orchestrator_whole_tag"
#: Compression level of answers. The level is low, because a higher level takes several times as
#: long, and saves only a tenth of the bytes.
LEVEL = 1
#: zlib's ``wbits`` for the gzip format.
_GZIP = 31
#: Maximum size of all stored compressed answers, in bytes.
CACHE_BYTES = 16 * 1024 * 1024
COMPRESSED = frozenset({"application/json", "application/problem+json", "text/x-diff"})
#: Compression level of files. The level is high, because each file is compressed only once.
FILE_LEVEL = 9
#: Blueprints with files: the pages, and Flask's own folder of static files.
FILES_OF = ("pages", None)
COMPRESSED_FILES = frozenset({"text/html", "text/css", "text/javascript", "image/svg+xml"})


class CompressionCache:
    """Cache of compressed answers, by ETag. An answer with many readers is compressed once.

    Any thread may call.
    """

    def __init__(self, level: int = LEVEL) -> None:
        self._level = level
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def of(self, tag: str | None, body: bytes) -> bytes:
        if tag is None:
            return compressed(body, self._level)
        with self._lock:
            if tag in self._cache:
                self._cache.move_to_end(tag)
                return self._cache[tag]
        packed = compressed(body, self._level)
        with self._lock:
            self._store(tag, packed)
        return packed

    def _store(self, tag: str, packed: bytes) -> None:
        self._size += len(packed) - len(self._cache.pop(tag, b""))
        self._cache[tag] = packed
        while self._size > CACHE_BYTES:
            _, dropped = self._cache.popitem(last=False)
            self._size -= len(dropped)


def compressed(body: bytes, level: int) -> bytes:
    packer = zlib.compressobj(level, wbits=_GZIP)
    return packer.compress(body) + packer.flush()


def compress_answers(app: Flask) -> None:
    """Compress the answers of an application, except streams."""
    answers, files = CompressionCache(), CompressionCache(FILE_LEVEL)

    @app.after_request
    def compress(response: Response) -> Response:
        if _is_worth_it(response):
            response.headers.add("Vary", "Accept-Encoding")
            if request.accept_encodings["gzip"] > 0:
                response.set_data(answers.of(g.get(WHOLE_TAG), response.get_data()))
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
