"""Follows a worker's log: sends new output until the worker has ended."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import BinaryIO

from orchestrator.api.http_messages.log_response import open_regular
from orchestrator.api.socket_loop.socket_loop import SocketLoop
from orchestrator.api.streaming.waiting_connection import WaitingConnection
from orchestrator.core.errors import NotFound
from orchestrator.core.events import Event, EventKind
from orchestrator.core.model.job import Job
from orchestrator.security.files.untrusted_files import tail_offset

#: Maximum bytes of one read, and of unsent data for a slow reader. The rest stays in the file.
PIECE_BYTES = 256 * 1024


class FollowedLog(WaitingConnection):
    """Follows a worker's log: checks the file's size at intervals, and sends the new part.

    These checks are cheaper than a notification after each write to the log.
    """

    def __init__(
        self,
        socket_loop: SocketLoop,
        job: Job,
        worker_id: str,
        *,
        path: Path,
        within: Path,
        tail: int | None,
        has_ended: Callable[[], bool],
    ) -> None:
        super().__init__(socket_loop, job.root_id)
        self._worker_id = worker_id
        self._path = path
        #: Directory below which no part of the path may be a link.
        self._within = within
        self._tail = tail
        self._has_ended = has_ended
        self._ended = False
        self._done = False
        self._file: BinaryIO | None = None
        self._offset = 0

    def begin(self) -> None:
        self._socket_loop.read(self._has_ended, self._note_end, self)

    def published(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.kind is EventKind.WORKER_ENDED and event.worker_id == self._worker_id:
                self._ended = True

    def drained(self) -> None:
        if self._file is not None and self._open:
            self._send_more()

    def closed(self) -> None:
        super().closed()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _note_end(self, future: Future[bool]) -> None:
        if not self._open or future.cancelled():
            return
        if future.exception() is not None:
            self.drop()
            return
        self._ended = self._ended or future.result()
        self._poll()

    def _poll(self) -> None:
        if not self._open or self._done:
            return
        try:
            self._send_more()
        except NotFound:
            self.drop()
            return
        period = self._socket_loop.options.log_poll_seconds
        self._socket_loop.call_after(period, self._poll, self, align=period)

    def _send_more(self) -> None:
        # Check for the worker's end before reading the log, so that the log's last part is not
        # missed.
        ended = self._ended
        if self._writer.pending >= PIECE_BYTES or self._done:
            return
        piece = self._next_piece()
        self._writer.write(piece)
        if ended and not piece and not self._writer.pending:
            self._done = True
            self._writer.finish()

    def _next_piece(self) -> bytes:
        if self._file is None and not self._open_file():
            return b""
        assert self._file is not None
        piece = os.pread(self._file.fileno(), PIECE_BYTES, self._offset)
        self._offset += len(piece)
        return piece

    def _open_file(self) -> bool:
        try:
            self._file = open_regular(self._path, self._within)
        except FileNotFoundError:
            return False  # the worker has not started yet
        self._offset = 0 if self._tail is None else tail_offset(self._file, self._tail)
        return True
