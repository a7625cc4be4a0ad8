"""Answers the server's requests for the worktrees of running attempts on this node.

The server's side is ``launchers/cluster/file_transfer/running_worktree``.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from orchestrator.core.errors import OrchestratorError, RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.outcome.shortage_errors import is_full_disk
from orchestrator.core.ports.worktree_transfer import WorktreeFiles
from orchestrator.launchers.cluster.connection.link import CHUNK, Link, Window
from orchestrator.launchers.cluster.connection.messages import (
    ChangeAnswer,
    ChangeRequest,
    FilesReceived,
    LateFile,
    ResultPiece,
    SnapshotAnswer,
    SnapshotPiece,
    SnapshotRequest,
)
from orchestrator.launchers.cluster.file_transfer.archive import UnusableFiles, as_full_disk
from orchestrator.launchers.cluster.file_transfer.node_files import NodeFiles
from orchestrator.launchers.cluster.node.held_attempts import HeldAttempt, HeldAttempts

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer", SnapshotAnswer, ChangeAnswer)


@dataclass(frozen=True, slots=True)
class _Target:
    """A running attempt, its worktree, and the path of the archive to send or to read."""

    held: HeldAttempt
    files: NodeFiles
    worktree: WorktreeFiles
    path: str


class WorktreeRequests:
    """Answers requests for worktrees.

    On a node that shares the server's files, ``files`` is None.
    """

    def __init__(self, directory: str, held: HeldAttempts, files: NodeFiles | None) -> None:
        self._directory, self._held, self._files = directory, held, files

    async def send_snapshot(self, link: Link, window: Window, request: SnapshotRequest) -> None:
        """Answer a request for the current state of a worktree."""
        request_id = request.attempt, request.n

        async def send(target: _Target) -> SnapshotAnswer:
            held = target.held
            sent = await asyncio.to_thread(
                target.files.snapshot, held.id, target.worktree, target.path
            )
            with open(target.path, "rb") as file:
                while data := file.read(CHUNK):
                    await window.reserve(len(data))
                    link.post(SnapshotPiece(*request_id, file.tell() - len(data), data))
                    await link.drained()
            return SnapshotAnswer(*request_id, sent=sent)

        await self._answer(link, request, SnapshotAnswer, "snapshot", send)

    async def store_file(self, message: LateFile) -> None:
        """Store the file in ``message`` for a running worker. Errors are logged."""
        held = self._held.get(message.attempt)
        if held is None or held.files is None or self._files is None:
            return
        async with held.files_lock:
            if held.has_ended:
                return
            try:
                target = held.id, held.files, message.path
                await asyncio.to_thread(self._files.store, *target, message.data)
            except (OSError, UnusableFiles) as error:
                logger.warning(
                    "cannot store a file of a worker: %s", error,
                    extra={"action": "node_late_file", "attempt": held.id},
                )  # fmt: skip

    def receive_result(self, link: Link, message: ResultPiece) -> None:
        """Store a piece of a child job's result, and confirm it.

        If storing fails, the answer to the later ``ChangeRequest`` reports the error.
        """
        held = self._held.get(message.attempt)
        if held is not None:
            if message.at == 0:
                held.result_error = None
            try:
                how = "wb" if message.at == 0 else "ab"
                with open(f"{held.directory}/result", how) as file:
                    file.write(message.data)
            except OSError as error:
                held.result_error = held.result_error or error
        link.post(FilesReceived(len(message.data)))

    async def change_files(self, link: Link, request: ChangeRequest) -> None:
        """Apply the received result of a child job to the parent worker's worktree, and answer."""
        request_id = request.attempt, request.n

        async def change(target: _Target) -> ChangeAnswer:
            held = target.held
            try:
                if held.result_error is not None:
                    raise held.result_error
                about = held.id, target.worktree, target.path, request.sent, request.change
                await asyncio.to_thread(target.files.change_files, *about)
            except RepositoryError as error:
                if self._is_full_disk(error):
                    raise
                return ChangeAnswer(*request_id, refused=str(error))
            return ChangeAnswer(*request_id)

        await self._answer(link, request, ChangeAnswer, "result", change)

    async def _answer(
        self,
        link: Link,
        request: SnapshotRequest | ChangeRequest,
        kind: type[_Answer],
        name: str,
        action: Callable[[_Target], Awaitable[_Answer]],
    ) -> None:
        """Run an action on the worktree of a running attempt.

        Then send the answer that the action returns. If the attempt has ended, or if the action
        fails, send an answer of the type ``kind`` that reports the end or the error.

        During the action, the attempt cannot end. After the action, remove the file ``name`` from
        the attempt's directory. If the link was closed during the action, send no answer.
        """
        held, request_id = self._held.get(request.attempt), (request.attempt, request.n)
        answer = kind(*request_id, ended=True)
        worktree = held.files.worktree if held is not None and held.files is not None else None
        if held is not None and worktree is not None and self._files is not None:
            target = _Target(held, self._files, worktree, f"{held.directory}/{name}")
            async with held.files_lock:
                if not held.has_ended:
                    try:
                        answer = await action(target)
                    except ConnectionError:
                        return
                    except (OSError, OrchestratorError) as error:
                        is_full = self._is_full_disk(error)
                        answer = kind(*request_id, error=str(error), is_full=is_full)
                    finally:
                        with suppress(OSError):
                            os.unlink(target.path)
        link.post(answer)

    def _is_full_disk(self, error: OSError | OrchestratorError) -> bool:
        return is_full_disk(as_full_disk(error, self._directory))
