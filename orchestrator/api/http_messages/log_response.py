"""Responses with the text of a log or report: the whole file, its last lines, or a part.

A part is a range of bytes or a range of lines. A search returns the numbers of the lines that
contain a text. Only regular files are read.
"""

import os
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from flask import Response, request
from werkzeug.wsgi import wrap_file

from orchestrator.api.http_messages.headers import JSON, NO_STORE, PLAIN_TEXT
from orchestrator.core.errors import NotFound
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.schemas import answers
from orchestrator.schemas.requests.query_parameters import LogQuery
from orchestrator.security.files.untrusted_files import open_plain, tail_offset


def open_regular(path: Path, within: Path) -> BinaryIO:
    """Open a regular file. No part of its path below ``within`` may be a link.

    Raise FileNotFoundError if the file is missing. Raise NotFound if the file is unreadable or not
    a regular file.
    """
    try:
        return open_plain(path, within)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NotFound(f"{path.name} cannot be read: not a regular file") from error


SEARCH_BLOCK_BYTES = 4 * 1024 * 1024
#: Maximum number of line numbers in one answer.
MOST_FOUND = 1000


@dataclass(frozen=True, slots=True)
class FoundLines:
    #: Numbers of the first lines that contain the text, counted from 1.
    lines: list[int]
    #: Number of all lines that contain the text.
    total: int


def search(opened: BinaryIO, text: str) -> FoundLines:
    """Find the lines that contain ``text``; the case of ASCII letters is ignored."""
    needle = text.encode("utf-8", "replace").lower()
    numbers: list[int] = []
    total, lines_before = 0, 0
    for block in _whole_lines(opened):
        lowered = block.lower()
        counted_to, line = 0, lines_before
        position = lowered.find(needle)
        while position >= 0:
            line += lowered.count(b"\n", counted_to, position)
            counted_to = position
            total += 1
            if len(numbers) < MOST_FOUND:
                numbers.append(line + 1)
            end = lowered.find(b"\n", position)
            position = lowered.find(needle, end) if end >= 0 else -1
        lines_before += lowered.count(b"\n")
    return FoundLines(numbers, total)


def lines_between(opened: BinaryIO, first: int, last: int, most_bytes: int) -> bytes:
    """Return the lines from ``first`` to ``last``, counted from 1, at most ``most_bytes`` bytes."""
    parts: list[bytes] = []
    number = 1
    for block in _whole_lines(opened):
        lines = block.split(b"\n")
        # A block ends with a line end, except possibly the last block of the log.
        is_complete = lines.pop() == b""
        count = len(lines) + (not is_complete)
        if number + count > first:
            parts.append(_lines_in_block(block, lines, first - number, last - number))
        number += count
        if number > last or sum(map(len, parts)) >= most_bytes:
            break
    return b"".join(parts)[:most_bytes]


def _lines_in_block(block: bytes, lines: list[bytes], first: int, last: int) -> bytes:
    # The lines of a block are counted from 0.
    start = sum(len(line) + 1 for line in lines[: max(0, first)])
    end = sum(len(line) + 1 for line in lines[: last + 1]) if last < len(lines) else len(block)
    return block[start:end]


def _whole_lines(opened: BinaryIO) -> Iterator[bytes]:
    """Yield the content in blocks of whole lines."""
    unfinished, offset = b"", 0
    while piece := os.pread(opened.fileno(), SEARCH_BLOCK_BYTES, offset):
        offset += len(piece)
        block = unfinished + piece
        end = block.rfind(b"\n") + 1
        if end:
            yield block[:end]
        unfinished = block[end:]
    if unfinished:
        yield unfinished


def log_part(path: Path, within: Path, query: LogQuery) -> Response:
    """Return the answer to a query about a log; empty if the log is missing.

    ``query`` selects a range of bytes, a range of lines, or the numbers of lines that contain a
    text.
    """
    with _open_or_empty(path, within) as opened:
        if query.q:
            matches = search(opened, query.q)
            answer = answers.workers.LogLinesAnswer(lines=matches.lines, total=matches.total)
            return Response(answer.model_dump_json(), content_type=JSON, headers=NO_STORE)
        if query.lines:
            first, last = map(int, query.lines.split("-"))
            return _text_response(lines_between(opened, first, last, query.limit))
        return _byte_range(opened, query.start or 0, query.limit)


def _open_or_empty(path: Path, within: Path) -> BinaryIO:
    try:
        return open_regular(path, within)
    except FileNotFoundError:
        return open(os.devnull, "rb")


def _byte_range(opened: BinaryIO, start: int, limit: int) -> Response:
    size = os.fstat(opened.fileno()).st_size
    first = max(0, size + start) if start < 0 else start
    body = os.pread(opened.fileno(), max(0, min(limit, size - first)), first)
    if not body:
        # A reader at the end of a growing log gets nothing yet, and no error.
        return _text_response(b"", {"Content-Range": f"bytes */{size}"})
    last = first + len(body) - 1
    response = _text_response(body, {"Content-Range": f"bytes {first}-{last}/{size}"})
    response.status_code = HTTPStatus.PARTIAL_CONTENT
    return response


def _text_response(body: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(body, content_type=PLAIN_TEXT, headers={**NO_STORE, **(headers or {})})


def text_file(
    path: Path,
    content_type: str,
    *,
    within: Path,
    tail: int | None = None,
    missing_is_empty: bool = False,
) -> Response:
    """Return a file as an answer, which waitress sends without a thread.

    ``tail``: number of last lines to return; None: all lines. No link is followed below ``within``.

    Raise FileNotFoundError for a missing file; with ``missing_is_empty``, return an empty answer
    instead. Raise NotFound if the path is no regular file.
    """
    try:
        opened = open_regular(path, within)
    except FileNotFoundError:
        if missing_is_empty:
            return Response(b"", content_type=content_type, headers=NO_STORE)
        raise
    start = 0 if tail is None else tail_offset(opened, tail)
    # The present length, because the log may grow during the answer.
    length = os.fstat(opened.fileno()).st_size - start
    opened.seek(start)
    response = Response(
        wrap_file(request.environ, opened),
        content_type=content_type,
        headers=NO_STORE,
        direct_passthrough=True,
    )
    response.content_length = length
    return response
