"""Worktrees go when their workers have ended for good: nothing waits for the end of the job."""

import logging
import os
from contextlib import suppress
from typing import Protocol

from orchestrator.core.model.job import Worker, WorkerKey
from orchestrator.core.ports import Change
from orchestrator.engine.runtime.background import PrestartedThreadPool

logger = logging.getLogger(__name__)


class Grounds(Protocol):
    """What has the worktrees."""

    def directory(self, worker: Worker) -> str: ...

    def remove(self, worker: Worker) -> None: ...


class Turns:
    """Which attempt a worker's worktree was opened for, until it is removed.

    Whoever asks has the worker's worktree ``held``. Any thread may call.
    """

    def __init__(self) -> None:
        self._opened: dict[WorkerKey, int] = {}

    def opened(self, worker: Worker) -> None:
        self._opened[worker.key] = worker.attempt

    def is_due(self, worker: Worker) -> bool:
        """Whether it is still to be removed: not when a later attempt has begun meanwhile."""
        return self._opened.get(worker.key, 0) <= worker.attempt

    def removed(self, worker: Worker) -> None:
        self._opened.pop(worker.key, None)


class WorktreeCleanup:
    """Told of what is stored. Only observes: what fails here is done when the job ends.

    A worker that is tried again after all has its worktree made anew, from its branch.
    """

    def __init__(self, grounds: Grounds) -> None:
        self._grounds = grounds
        self._threads = PrestartedThreadPool(1, "retiring")

    def __call__(self, change: Change) -> None:
        for worker in change.workers:
            if _is_done(worker) and os.path.lexists(self._grounds.directory(worker)):
                with suppress(RuntimeError):
                    self._threads.submit(self._remove, worker)

    def close(self) -> None:
        """What was not begun is left to the job's end. Idempotent."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _remove(self, worker: Worker) -> None:
        try:
            self._grounds.remove(worker)
        except Exception:
            logger.warning("a worktree stays", extra={"worker": worker.id}, exc_info=True)


def _is_done(worker: Worker) -> bool:
    """Not of an attempt that was given up: it may be at work somewhere, and its end come late."""
    known = worker.result is not None and worker.result.exit_code is not None
    return worker.status.ended and (worker.status.succeeded or known)
