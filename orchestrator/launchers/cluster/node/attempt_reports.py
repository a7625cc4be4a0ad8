"""Reports the attempts of a node to the server: starts, output, and ends."""

import asyncio

from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.launchers.cluster.connection.link import WINDOW, Link
from orchestrator.launchers.cluster.connection.messages import (
    ArchiveFigures,
    AttemptStarted,
    EndReport,
    FilePositions,
    FilesNotReturned,
    Message,
    NoResult,
    OutputPiece,
)
from orchestrator.launchers.cluster.node.held_attempts import HeldAttempt, HeldAttempts


class AttemptReports:
    """Sends reports on the current connection. Without a connection, reports are discarded.

    On each new connection, the server states which output and ends are missing. Only the thread of
    the event loop may call.
    """

    def __init__(self, held: HeldAttempts) -> None:
        self._held = held
        self._link: Link | None = None
        #: Ids of attempts that may have output or an end to send.
        self._pending: dict[str, None] = {}
        self._unconfirmed_bytes = 0
        self._wake = asyncio.Event()

    def connected(self, link: Link) -> None:
        self._link = link
        self._pending.clear()
        self._unconfirmed_bytes = 0

    def disconnected(self) -> None:
        self._link = None

    # Reports

    def started(self, attempt_id: str, pid: int) -> None:
        self._post(AttemptStarted(attempt_id, pid))

    def ended(
        self,
        attempt_id: str,
        exit: Exit,
        record: str = "",
        files: ArchiveFigures | FilesNotReturned | None = None,
    ) -> None:
        """Report the end of an attempt that has no output to send.

        ``record``: the exit record; empty if it is missing. ``files``: the archive of the attempt's
        files; None: the node returns no files.
        """
        self._post(EndReport(attempt_id, exit, record, files))

    def no_result(self, attempt_id: str) -> None:
        self._post(NoResult(attempt_id))

    def _post(self, message: Message) -> None:
        if self._link is not None:
            self._link.post(message)

    # Output

    def send(self, held: HeldAttempt) -> None:
        """Send an attempt's new output soon, and then the attempt's end if it has ended."""
        self._pending[held.id] = None
        self._wake.set()

    def send_from(self, held: HeldAttempt, positions: FilePositions) -> None:
        """Send an attempt's output from ``positions`` on, and then its end.

        The end is sent again if it was sent before.
        """
        held.sent.update(positions)
        held.is_reported = False
        self.send(held)

    def send_files_again(self, attempt_id: str) -> None:
        """Send an ended attempt's files again, and then the end.

        Does nothing if the attempt is unknown, or if its end was not reported yet.
        """
        held = self._held.get(attempt_id)
        if held is not None and held.is_reported:
            self.send_from(held, {"files": 0})

    def send_grown(self) -> None:
        """Send the output of the attempts whose logs have grown."""
        for held in self._held.grown():
            self.send(held)

    def confirm(self, size: int) -> None:
        """Record that the server has received ``size`` bytes of output or of returned files."""
        self._unconfirmed_bytes -= size
        self._wake.set()

    async def send_until_closed(self, link: Link) -> None:
        """Send the output and the end of each attempt, until the connection breaks."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                for attempt_id in list(self._pending):
                    if self._unconfirmed_bytes < WINDOW:
                        self._send_next(link, attempt_id)
                await link.drained()
        except OSError:
            link.abort()

    def _send_next(self, link: Link, attempt_id: str) -> None:
        """Send the next piece of an attempt's files, or the attempt's end if no piece remains."""
        held = self._held.get(attempt_id)
        if held is None or held.is_reported or held.is_unwanted:
            self._pending.pop(attempt_id, None)
            return
        # Read this before the files. If the attempt has ended by now, its files are complete.
        ended = held.exit
        for file in held.sent:
            data = held.next_piece(file)
            if data:
                link.post(OutputPiece(held.id, file, held.sent[file], data))
                held.sent[file] += len(data)
                self._unconfirmed_bytes += len(data)
                self._wake.set()
                return
        self._pending.pop(attempt_id, None)
        if ended is not None:
            held.is_reported = True
            self.ended(held.id, ended, held.record(), held.returned)
