"""What a person may do with a worker in its present state. Pure."""

from collections.abc import Iterator
from enum import StrEnum

from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.job.whereabouts import has_worktree


class WorkerAction(StrEnum):
    """Each is the name of a call."""

    #: Restore the worker's changes to a checkpoint.
    ROLLBACK = "rollback"
    #: Count what was committed on its branch since its end.
    RECOUNT = "recount"
    #: Choose the worker in place of another candidate.
    CHOOSE = "choose"
    #: Answer the question of its task.
    APPROVE = "approve"
    REJECT = "reject"


def actions_on(job: Job, worker: Worker) -> Iterator[WorkerAction]:
    if worker.is_adviser:
        return
    if worker.is_question and worker.status is WorkerStatus.WAITING:
        yield WorkerAction.APPROVE
        yield WorkerAction.REJECT
    if worker.status.ended and has_worktree(worker):
        yield WorkerAction.ROLLBACK
        yield WorkerAction.RECOUNT
    if job.status.ended and worker.status.succeeded and worker.chosen is False:
        yield WorkerAction.CHOOSE
