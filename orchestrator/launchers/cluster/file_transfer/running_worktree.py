"""The server's access to a running attempt's worktree on a node with its own file system.

When the worker starts a child job, the server requests the worktree's state. When the child job has
a result, the server sends changes of files. If the link breaks, the node never answers the request.
"""

import asyncio
import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

from orchestrator.core.errors import RepositoryError
from orchestrator.core.ports.worktree_transfer import FileChange, WorktreeFiles
from orchestrator.launchers.cluster.connection.link import CHUNK, Link, Window
from orchestrator.launchers.cluster.connection.messages import (
    ChangeAnswer,
    ChangeRequest,
    ResultPiece,
    SnapshotAnswer,
    SnapshotPiece,
    SnapshotRequest,
)
from orchestrator.launchers.cluster.file_transfer import server_files
from orchestrator.launchers.cluster.file_transfer.archive import (
    MOST_BYTES,
    UnusableFiles,
    as_full_disk,
    open_private,
)
from orchestrator.launchers.cluster.file_transfer.server_files import ServerFiles

#: Maximum number of characters of a reason that a node sends.
_MOST_REASON = 500

_Answer = TypeVar("_Answer", SnapshotAnswer, ChangeAnswer)


class RunningWorktree:
    """Reads and changes the worktree of an attempt that runs on a node.

    Only one request to the node is pending at a time. Only the event loop's thread may call.
    """

    def __init__(
        self, transfer: ServerFiles, attempt_id: str, exit_path: str, worktree: WorktreeFiles
    ) -> None:
        self._transfer, self._attempt_id, self._exit_path = transfer, attempt_id, exit_path
        self._worktree = worktree
        self._path = server_files.snapshot_path(exit_path)
        self._number, self._had = 0, 0
        self._answer: asyncio.Future[SnapshotAnswer | ChangeAnswer] | None = None
        self._error: OSError | None = None

    def handle(self, message: SnapshotPiece | SnapshotAnswer | ChangeAnswer) -> None:
        """Handle a message of the node: an answer, or a piece of an archive.

        Messages that answer former requests are ignored.
        """
        answer = self._answer
        if answer is None or answer.done() or message.n != self._number:
            return
        if not isinstance(message, SnapshotPiece):
            answer.set_result(message)
        elif message.at == self._had <= MOST_BYTES and self._error is None:
            try:
                with open(self._path, "ab", opener=open_private) as file:
                    file.write(message.data)
                self._had += len(message.data)
            except OSError as error:
                self._error = error

    def disconnected(self) -> None:
        """Fail the pending request with ConnectionError. Idempotent."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the connection to the node ended"))

    async def fetch(self, link: Link) -> bool:
        """Copy the worktree's state on the node to the server's worktree and the worker's branch.

        Return False if the attempt is ending. Raise ConnectionError if the link breaks. Raise
        RepositoryError, UnusableFiles, or OSError if the copy fails.
        """
        try:
            request = SnapshotRequest(self._attempt_id, self._next_number())
            reply = await self._ask(link, request, SnapshotAnswer)
            if reply.ended:
                return False
            _raise_error_of(reply)
            if self._error is not None:
                raise self._error
            if reply.sent is None:
                raise UnusableFiles("the node did not send the files of the worktree")
            target = self._worktree, self._exit_path, self._path
            try:
                await asyncio.to_thread(self._transfer.store_snapshot, *target, reply.sent)
            except RepositoryError as error:
                raise as_full_disk(error, os.path.dirname(self._exit_path)) from error
            return True
        finally:
            with suppress(FileNotFoundError):
                os.unlink(self._path)

    async def change_files(
        self, link: Link, window: Window, known_commits: Sequence[str], change: FileChange
    ) -> str:
        """Change files of the worktree on the node. HEAD and the index stay unchanged.

        Return "" on success, otherwise the reason for the failure. ``known_commits``: the commits
        that the node has. Raise ConnectionError if the link breaks. Raise RepositoryError,
        UnusableFiles, or OSError if the change cannot be sent or applied.
        """
        path = f"{self._exit_path.removesuffix('.exit.json')}.result"
        try:
            sent = await asyncio.to_thread(self._transfer.pack_change, change, known_commits, path)
            with open(path, "rb") as file:
                while data := file.read(CHUNK):
                    await window.reserve(len(data))
                    link.post(ResultPiece(self._attempt_id, file.tell() - len(data), data))
                    await link.drained()
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)
        request = ChangeRequest(change, sent, self._attempt_id, self._next_number())
        reply = await self._ask(link, request, ChangeAnswer)
        if reply.ended:
            return "the worker has ended"
        if reply.refused:
            return reply.refused[:_MOST_REASON]
        _raise_error_of(reply)
        return ""

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    async def _ask(
        self, link: Link, request: SnapshotRequest | ChangeRequest, kind: type[_Answer]
    ) -> _Answer:
        """Send a request. Return the node's answer, which is of the type ``kind``.

        Raise ConnectionError if the link breaks. Raise UnusableFiles if the node's answer has
        another type.
        """
        self._had, self._error = 0, None
        with suppress(FileNotFoundError):
            os.unlink(self._path)
        self._answer = asyncio.get_running_loop().create_future()
        try:
            if link.is_closed:
                raise ConnectionError("the connection to the node ended")
            link.post(request)
            reply = await self._answer
        finally:
            self._answer = None
        if not isinstance(reply, kind):
            raise UnusableFiles("the node's answer does not belong to the server's request")
        return reply


def _raise_error_of(reply: SnapshotAnswer | ChangeAnswer) -> None:
    why = reply.error[:_MOST_REASON]
    if reply.is_full:
        raise OSError(errno.ENOSPC, f"no space left on the node: {why}")
    if why:
        raise RepositoryError(f"the node cannot copy the worker's files: {why}")
