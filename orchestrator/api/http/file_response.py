"""Files as answers, from the beginning or from the start of a tail."""

import os
from pathlib import Path

from flask import Response, request
from werkzeug.wsgi import wrap_file

from orchestrator.api.http.log_response import open_regular, tail_offset


def text_file(
    path: Path,
    content_type: str,
    *,
    within: Path,
    tail: int | None = None,
    missing_is_empty: bool = False,
) -> Response:
    """Return a file's content; no link is followed below ``within``.

    Raise FileNotFoundError, or NotFound if it is not a regular file. On waitress, sending it holds
    no thread.
    """
    headers = {"Cache-Control": "no-store"}
    try:
        opened = open_regular(path, within)
    except FileNotFoundError:
        if missing_is_empty:
            return Response(b"", content_type=content_type, headers=headers)
        raise
    start = 0 if tail is None else tail_offset(opened, tail)
    # The log may grow during the answer, which must have the promised length.
    length = os.fstat(opened.fileno()).st_size - start
    opened.seek(start)
    response = Response(
        wrap_file(request.environ, opened),
        content_type=content_type,
        headers=headers,
        direct_passthrough=True,
    )
    response.content_length = length
    return response
