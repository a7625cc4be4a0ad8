"""Recovery after a restart: adopts running attempts, reads the ends of others, and declares the
rest lost.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from orchestrator.core import failpoints
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.job import Attempt, Worker, WorkerKey
from orchestrator.core.outcome.failure_classifier import NEVER_RAN
from orchestrator.core.ports import Store, Tree, Workspace
from orchestrator.core.ports.launcher import Launcher
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.attempts.runner import LEASE_OVER, AttemptRunner, running_attempt_id
from orchestrator.engine.runtime.processes import RunningProcesses

logger = logging.getLogger(__name__)

#: Causes of stops that no caller requested.
_WITH_THE_SERVER = {
    ExitCause.SHUTDOWN: "the server was stopped during the attempt",
    # A signal, which is how the shims of an earlier server are stopped, has no known sender.
    ExitCause.SIGNAL: "another process stopped the shim during the attempt",
    ExitCause.ORPHAN_LEASE: LEASE_OVER,
}
_CUT_OFF = "the machine was restarted during the attempt"
#: Causes of an end that use no retry of the worker; the supervisor decides other causes.
_GIVEN_BACK = (ExitCause.SHUTDOWN, ExitCause.SIGNAL, ExitCause.NEVER_BEGAN)
#: Maximum number of attempts in a row that never began and use no retry of their worker.
MOST_NEVER_BEGAN = 3


def restore(
    scheduler: Scheduler, store: Store, on_tree: Callable[[Tree], None], now: float
) -> Sequence[Attempt]:
    """Load all unfinished trees. Return the attempts without a recorded end."""
    found: list[Attempt] = []
    for root_id in store.unfinished():
        tree = store.tree(root_id)
        if tree is None:
            continue
        on_tree(tree)
        found += scheduler.restore(tree, now)
    return found


def take_up(
    scheduler: Scheduler,
    attempts: AttemptRunner,
    launcher: Launcher,
    processes: RunningProcesses,
    workspace: Workspace,
    found: Sequence[Attempt],
    *,
    machine_restarted: bool = False,
) -> None:
    """Adopt the attempts that ``restore`` returned, before the supervisor starts.

    Running attempts continue under their shims, and their ends are reported later. The ends of the
    others are reported at once: their gates may start before this call returns.
    """
    for attempt in found:
        _take_up(scheduler, attempts, launcher, processes, workspace, attempt, machine_restarted)


def _take_up(
    scheduler: Scheduler,
    attempts: AttemptRunner,
    launcher: Launcher,
    processes: RunningProcesses,
    workspace: Workspace,
    attempt: Attempt,
    machine_restarted: bool,
) -> None:
    worker = scheduler.view.workers[WorkerKey(attempt.root_id, attempt.worker_id)]
    name, record = running_attempt_id(attempt), workspace.exit_record(worker, attempt.number)
    attempts.adopt(worker)
    lives = launcher.adopt(name, record, attempt.record_hash)
    if not lives:
        exit = launcher.settle(name, record, attempt.record_hash)
        if scheduler.view.job_of(worker).stop_cause is None:
            cut_off = machine_restarted and exit.ended_by is EndedBy.LOST
            if cut_off or (exit.cause in _GIVEN_BACK and not _never_begins(worker, exit)):
                # The attempt ended with its server or its machine.
                scheduler.free_retry(worker.key)
            exit = replace(exit, error=_CUT_OFF) if cut_off else _as_lost(exit)
        processes.ended(name, exit)
    failpoints.reached("recovery: attempt taken up")
    logger.info("attempt found", extra={"attempt": name, "lives": lives})


def _never_begins(worker: Worker, exit: Exit) -> bool:
    """True if several attempts of the worker in a row never began.

    Only files show that an attempt never began, and a worker may have removed them.
    """
    if exit.cause is not ExitCause.NEVER_BEGAN or worker.result is None:
        return False
    latest = worker.result.failures[-MOST_NEVER_BEGAN:]
    return len(latest) == MOST_NEVER_BEGAN and all(each.cause == NEVER_RAN for each in latest)


def _as_lost(exit: Exit) -> Exit:
    """Return the exit.

    If the worker was stopped together with its server, return it as lost, so that the worker runs
    again.
    """
    if not _was_shut_down(exit):
        return exit
    return replace(exit, ended_by=EndedBy.LOST, error=_WITH_THE_SERVER[exit.cause])


def _was_shut_down(exit: Exit) -> bool:
    return exit.ended_by is EndedBy.CANCEL and exit.cause in _WITH_THE_SERVER
