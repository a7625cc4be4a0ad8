"""Answers with a part of a worker's log."""

import os
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from flask import Response

from orchestrator.api.http.log_lines import lines_between, search
from orchestrator.api.http.log_response import open_regular
from orchestrator.schemas.answers.workers import LogLinesAnswer
from orchestrator.schemas.requests.queries import LogQuery

PLAIN_TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
NO_STORE = {"Cache-Control": "no-store"}


def log_part(path: Path, within: Path, query: LogQuery) -> Response:
    """Return lines with a text, lines by number, or a range of bytes. A missing log is empty."""
    with _opened(path, within) as opened:
        if query.q:
            found = search(opened, query.q)
            answer = LogLinesAnswer(lines=found.lines, total=found.total)
            return Response(answer.model_dump_json(), content_type=JSON, headers=NO_STORE)
        if query.lines:
            first, last = map(int, query.lines.split("-"))
            return _text(lines_between(opened, first, last, query.limit))
        return _range(opened, query.start or 0, query.limit)


def _opened(path: Path, within: Path) -> BinaryIO:
    try:
        return open_regular(path, within)
    except FileNotFoundError:
        return open(os.devnull, "rb")


def _range(opened: BinaryIO, start: int, limit: int) -> Response:
    size = os.fstat(opened.fileno()).st_size
    first = max(0, size + start) if start < 0 else start
    body = os.pread(opened.fileno(), max(0, min(limit, size - first)), first)
    if not body:
        # A reader at the end of a growing log gets nothing yet, and no error.
        return _text(b"", {"Content-Range": f"bytes */{size}"})
    last = first + len(body) - 1
    response = _text(body, {"Content-Range": f"bytes {first}-{last}/{size}"})
    response.status_code = HTTPStatus.PARTIAL_CONTENT
    return response


def _text(body: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(body, content_type=PLAIN_TEXT, headers={**NO_STORE, **(headers or {})})
