"""Recovery: continues attempts after a restart of the server.

Recovery adopts running attempts, reads the exit records of ended attempts, and declares all other
attempts lost.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from orchestrator.core import failpoints
from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.job import Attempt, WorkerKey
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.retry_policy import FREE_RETRY, never_begins
from orchestrator.core.ports import Store, Tree, Workspace
from orchestrator.core.ports.launcher import Launcher
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.attempts.attempt_runner import AttemptRunner
from orchestrator.engine.runtime import clock
from orchestrator.engine.runtime.running_processes import RunningProcesses

logger = logging.getLogger(__name__)

#: Reasons why attempts on the server's machine ended without an exit record.
RESTARTED = "the machine was restarted during the attempt"
REPLACED = "the server's machine was lost during the attempt"


def restore(
    scheduler: Scheduler, store: Store, on_tree: Callable[[Tree], None], now: float
) -> Sequence[Attempt]:
    """Load all unfinished job trees from the store. Return the attempts without a stored end.

    ``on_tree``: called with each loaded tree.
    """
    attempts: list[Attempt] = []
    for root_id in store.unfinished():
        tree = store.tree(root_id)
        if tree is None:
            continue
        on_tree(tree)
        attempts += scheduler.restore(tree, now)
    return attempts


def adopt_attempts(
    scheduler: Scheduler,
    attempts: AttemptRunner,
    launcher: Launcher,
    processes: RunningProcesses,
    workspace: Workspace,
    unended_attempts: Sequence[Attempt],
    *,
    interruption: str = "",
    break_lock: Callable[[str], None] = lambda exit_path: None,
) -> None:
    """Adopt the attempts that ``restore`` returned, before the supervisor starts.

    Running attempts continue under their shims. The ends of all other attempts are reported at
    once, so gates on their changes may start before this call returns.

    ``interruption``: why attempts on the server's machine ended without an exit record
    (``RESTARTED`` or ``REPLACED``); "" if the machine kept running. After such an end, the worker's
    next attempt does not count as a retry. ``break_lock``: called for each attempt that did not run
    on a node, with the path of the attempt's exit record.
    """
    for attempt in unended_attempts:
        if not attempt.node:
            worker = scheduler.view.workers[attempt.key]
            break_lock(workspace.exit_record(worker, attempt.number))
        _adopt(scheduler, attempts, launcher, processes, workspace, attempt, interruption)
    for attempt in scheduler.lost_attempts():
        if attempt.node:
            _expect_late(scheduler, launcher, workspace, attempt)


def _expect_late(
    scheduler: Scheduler, launcher: Launcher, workspace: Workspace, attempt: Attempt
) -> None:
    worker = scheduler.view.workers[attempt.key]
    is_next = worker.attempt == attempt.number and worker.status is WorkerStatus.PENDING
    launcher.expect_late(
        attempt.id,
        workspace.exit_record(worker, attempt.number),
        attempt.record_hash,
        node=attempt.node,
        log=workspace.log(worker),
        is_replaced=not is_next,
    )


def _adopt(
    scheduler: Scheduler,
    attempts: AttemptRunner,
    launcher: Launcher,
    processes: RunningProcesses,
    workspace: Workspace,
    attempt: Attempt,
    interruption: str,
) -> None:
    worker = scheduler.view.workers[WorkerKey(attempt.root_id, attempt.worker_id)]
    # The stored worker does not yet have the number of a preloaded attempt.
    worker = replace(worker, attempt=attempt.number)
    attempt_id, record_path = attempt.id, workspace.exit_record(worker, attempt.number)
    attempts.adopt(worker)
    is_running = launcher.adopt(
        attempt_id, record_path, attempt.record_hash, node=attempt.node, log=workspace.log(worker)
    )
    if is_running:
        scheduler.launch_begun(worker.key, attempt.number, clock.now())
    else:
        exit = launcher.determine_end(attempt_id, record_path, attempt.record_hash)
        if scheduler.view.job_of(worker).stop_cause is None:
            is_interrupted = bool(interruption) and exit.ended_by is EndedBy.LOST
            never_began = exit.cause is ExitCause.NEVER_BEGAN
            if never_began and scheduler.view.is_preloaded(worker.key):
                is_free = False  # For a preloaded attempt, the scheduler never counts a retry.
            else:
                # Exclude causes in FREE_RETRY: the supervisor itself makes their retries free.
                is_free = (never_began and not never_begins(worker)) or (
                    is_interrupted and exit.cause not in FREE_RETRY
                )
            if is_free:
                scheduler.free_retry(worker.key)
            exit = replace(exit, error=interruption) if is_interrupted else exit
        processes.ended(attempt_id, exit)
    failpoints.reached("recovery: attempt adopted")
    logger.info(
        "found an attempt of an earlier server", extra={"attempt": attempt_id, "lives": is_running}
    )
