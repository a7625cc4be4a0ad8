"""Copies the worktrees of running attempts between the server and nodes."""

import asyncio
from collections.abc import Mapping

from orchestrator.core.errors import RepositoryError, Unavailable
from orchestrator.core.ports.worktree_transfer import FileChange
from orchestrator.launchers.cluster.connected_node import ConnectedNode
from orchestrator.launchers.cluster.file_transfer.archive import UnusableFiles
from orchestrator.launchers.cluster.node_attempt import NodeAttempt

#: Seconds between two checks whether an attempt has ended, or whether a node is connected again.
_CHECK_SECONDS = 0.25


class WorktreeExchange:
    """Copies worktrees between the server and the nodes of running attempts.

    Only the event loop's thread may call. ``node_of``: the node of each attempt, by attempt id.
    """

    def __init__(self, node_of: Mapping[str, ConnectedNode]) -> None:
        self._node_of = node_of

    async def hold(self, worker: str, *, waits: bool) -> NodeAttempt | None:
        """Return a worker's running attempt, which cannot end before ``release``.

        Return None if no attempt of the worker runs on a node with its own file system.
        ``waits``: True to wait for the end of an attempt that is ending, False to raise Unavailable
        instead.
        """
        while (attempt := self.of_worker(worker)) is not None and attempt.worktree is not None:
            if not attempt.is_ending:
                await attempt.files_lock.acquire()
                if self._is_running(attempt):
                    return attempt
                attempt.files_lock.release()
            elif not waits:
                raise Unavailable(f"{worker} is ending on its node; retry later")
            else:
                await asyncio.sleep(_CHECK_SECONDS)
        return None

    def release(self, attempt: NodeAttempt) -> None:
        attempt.files_lock.release()

    async def fetch(self, attempt: NodeAttempt, *, waits: bool) -> bool:
        """Copy the worktree's state on the node to the server's worktree and the worker's branch.

        Return False if the attempt is ending. ``waits``: True to wait for a disconnected node,
        False to raise Unavailable instead. Raise RepositoryError or OSError if the copy fails. Call
        ``hold`` first.
        """
        while (node := await self._connected(attempt, waits=waits)) is not None:
            assert node.link is not None and attempt.worktree is not None
            try:
                return await attempt.worktree.fetch(node.link)
            except ConnectionError:
                continue
            except UnusableFiles as error:
                worker = attempt.attempt_id.rpartition("/")[0]
                raise RepositoryError(
                    f"cannot read the files of {worker} on node {node.name}: {error.message}"
                ) from error
        return False

    async def change_files(self, attempt: NodeAttempt, change: FileChange) -> str:
        """Change files of the worktree on the node. HEAD and the index stay unchanged.

        Return "" on success, otherwise the reason for the failure. Raise RepositoryError or OSError
        if the change cannot be sent or applied. Call ``hold`` first.
        """
        node = await self._connected(attempt, waits=True)
        if node is None:
            return "the worker has ended"
        assert node.link is not None and attempt.worktree is not None
        try:
            return await attempt.worktree.change_files(
                node.link, node.window, node.known_commits, change
            )
        except ConnectionError:
            return f"the connection to node {node.name} ended"
        except UnusableFiles as error:
            raise RepositoryError(error.message) from error

    async def _connected(self, attempt: NodeAttempt, *, waits: bool) -> ConnectedNode | None:
        """Return the node of a running attempt; None if the attempt is ending.

        ``waits``: True to wait for a disconnected node, False to raise Unavailable instead.
        """
        while self._is_running(attempt):
            node = self._node_of[attempt.attempt_id]
            if node.link is not None and not node.link.is_closed and not attempt.is_sending:
                return node
            if not waits:
                raise Unavailable(f"node {node.name} is not connected; retry later")
            await asyncio.sleep(_CHECK_SECONDS)
        return None

    def _is_running(self, attempt: NodeAttempt) -> bool:
        node = self._node_of.get(attempt.attempt_id)
        is_known = node is not None and node.attempts.get(attempt.attempt_id) is attempt
        return is_known and not attempt.is_ending

    def of_worker(self, worker: str) -> NodeAttempt | None:
        found = (each for each in self._node_of if each.rpartition("/")[0] == worker)
        name = next(found, "")
        return self._node_of[name].attempts[name] if name else None
