"""Removes worktrees of ended workers, before the job ends."""

import logging
import os
from contextlib import suppress
from typing import Protocol

from orchestrator.core.model.job import Worker, WorkerKey
from orchestrator.core.ports import Change
from orchestrator.engine.runtime.background import PrestartedThreadPool

logger = logging.getLogger(__name__)


class WorktreeReader(Protocol):
    """The methods of ``Worktrees`` that this module needs."""

    def directory(self, worker: Worker) -> str: ...

    def remove(self, worker: Worker) -> None: ...


class Turns:
    """Records the attempt for which each worker's worktree was opened last.

    The caller must lock the worker (``Checkpoints.held``). Any thread may call.
    """

    def __init__(self) -> None:
        self._opened: dict[WorkerKey, int] = {}

    def opened(self, worker: Worker) -> None:
        self._opened[worker.key] = worker.attempt

    def is_due(self, worker: Worker) -> bool:
        """True if the worktree must still be removed, because no later attempt has opened it."""
        return self._opened.get(worker.key, 0) <= worker.attempt

    def removed(self, worker: Worker) -> None:
        self._opened.pop(worker.key, None)


class WorktreeCleanup:
    """Removes a worker's worktree soon after the worker's end, before the job ends.

    An observer of stored changes. Failed removals are repeated when the job ends. If the worker is
    retried later, its worktree is created again from its branch.
    """

    def __init__(self, grounds: WorktreeReader) -> None:
        self._grounds = grounds
        self._threads = PrestartedThreadPool(1, "retiring")

    def __call__(self, change: Change) -> None:
        for worker in change.workers:
            if _is_done(worker) and os.path.lexists(self._grounds.directory(worker)):
                with suppress(RuntimeError):
                    self._threads.submit(self._remove, worker)

    def close(self) -> None:
        """Begin no further removals. The removals that remain are done at the job's end.
        Idempotent.
        """
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _remove(self, worker: Worker) -> None:
        try:
            self._grounds.remove(worker)
        except Exception:
            logger.warning("cannot remove a worktree", extra={"worker": worker.id}, exc_info=True)


def _is_done(worker: Worker) -> bool:
    """True if the worker has finally ended.

    False after a lost attempt, which may still run and have a late result.
    """
    known = worker.result is not None and worker.result.exit_code is not None
    return worker.status.ended and (worker.status.succeeded or known)
