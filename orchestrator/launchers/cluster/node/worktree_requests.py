"""Answers the server's requests for the worktrees of running attempts on this node.

The server's side is ``launchers/cluster/file_transfer/running_worktree``.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict

from orchestrator.core.errors import OrchestratorError, RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.outcome.shortage_errors import is_full_disk
from orchestrator.core.ports.attempt_files import FileChange, WorktreeFiles
from orchestrator.launchers.cluster.connection.link import (
    CHUNK,
    Link,
    Message,
    Window,
    packed,
    unpacked,
)
from orchestrator.launchers.cluster.file_transfer.archive import (
    ArchiveFigures,
    UnusableFiles,
    as_full_disk,
)
from orchestrator.launchers.cluster.file_transfer.node_files import NodeFiles
from orchestrator.launchers.cluster.node.held_attempts import HeldAttempt, HeldAttempts

logger = logging.getLogger(__name__)


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

    async def send_snapshot(self, link: Link, window: Window, message: Message) -> None:
        """Answer a request for the present state of a worktree."""

        async def send(target: _Target) -> Message:
            held = target.held
            sent = await asyncio.to_thread(
                target.files.snapshot, held.id, target.worktree, target.path
            )
            with open(target.path, "rb") as file:
                while data := file.read(CHUNK):
                    text, at = packed(data), file.tell() - len(data)
                    await window.take(len(text))
                    link.post({**_answer_of("snapshot", message), "at": at, "data": text})
                    await link.drained()
            return {"sent": asdict(sent)}

        await self._answer(link, message, "snapshot", "snapshot", send)

    async def store_file(self, message: Message) -> None:
        """Store the file in ``message`` for a running worker. Errors are logged."""
        held, path = self._held.get(message["attempt"]), message["path"]
        if held is None or held.files is None or self._files is None:
            return
        async with held.turn:
            if held.has_ended:
                return
            try:
                place = held.id, held.files, path, unpacked(message["data"])
                await asyncio.to_thread(self._files.store, *place)
            except (OSError, UnusableFiles) as error:
                logger.warning(
                    "cannot store a file of a worker: %s", error,
                    extra={"action": "node_late_file", "attempt": held.id},
                )  # fmt: skip

    def receive_result(self, link: Link, message: Message) -> None:
        """Store a piece of a child job's result, and confirm it.

        If storing fails, the answer to the later message ``bring`` reports the error.
        """
        held, data = self._held.get(message["attempt"]), unpacked(message["data"])
        if held is not None:
            if message["at"] == 0:
                held.result_error = None
            try:
                how = "wb" if message["at"] == 0 else "ab"
                with open(f"{held.directory}/result", how) as file:
                    file.write(data)
            except OSError as error:
                held.result_error = held.result_error or error
        link.post({"is": "had", "bytes": len(data)})

    async def bring(self, link: Link, message: Message) -> None:
        """Add the received result of a child job to its parent worker's worktree, and answer."""
        change, sent = FileChange(**message["change"]), ArchiveFigures(**message["sent"])

        async def bring(target: _Target) -> Message:
            held = target.held
            try:
                if held.result_error is not None:
                    raise held.result_error
                about = held.id, target.worktree, target.path, sent, change
                await asyncio.to_thread(target.files.bring, *about)
            except RepositoryError as error:
                failure = self._failure(error)
                return failure if failure["is_full"] else {"refused": str(error)}
            return {}

        await self._answer(link, message, "brought", "result", bring)

    async def _answer(
        self,
        link: Link,
        message: Message,
        kind: str,
        name: str,
        action: Callable[[_Target], Awaitable[Message]],
    ) -> None:
        """Run an action on the worktree of a running attempt.

        Then send a message of the kind ``kind``, with the result or the error of the action.

        During the action, the attempt cannot end. After the action, remove the file ``name`` from
        the attempt's directory. If the link was closed during the action, send no answer.
        """
        held, more = self._held.get(message["attempt"]), {"ended": True}
        worktree = held.files.worktree if held is not None and held.files is not None else None
        if held is not None and worktree is not None and self._files is not None:
            target = _Target(held, self._files, worktree, f"{held.directory}/{name}")
            async with held.turn:
                if not held.has_ended:
                    try:
                        more = await action(target)
                    except ConnectionError:
                        return
                    except (OSError, OrchestratorError) as error:
                        more = self._failure(error)
                    finally:
                        with suppress(OSError):
                            os.unlink(target.path)
        link.post({**_answer_of(kind, message), **more})

    def _failure(self, error: OSError | OrchestratorError) -> Message:
        is_full = is_full_disk(as_full_disk(error, self._directory))
        return {"error": str(error), "is_full": is_full}


def _answer_of(kind: str, request: Message) -> Message:
    return {"is": kind, "attempt": request["attempt"], "n": request["n"]}
