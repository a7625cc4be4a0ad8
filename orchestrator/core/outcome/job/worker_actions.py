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
    #: Send comments on its change back to it.
    FEEDBACK = "feedback"
    #: Run the worker again; it did not succeed.
    RETRY = "retry"
    #: Stop the worker and its child jobs.
    CANCEL = "cancel"
    #: Choose the worker in place of another candidate.
    CHOOSE = "choose"
    #: Answer the question of its task.
    APPROVE = "approve"
    REJECT = "reject"


#: A skipped worker runs again with the worker because of which it was skipped.
_RETRYABLE = (WorkerStatus.FAILED, WorkerStatus.TIMEOUT, WorkerStatus.CANCELLED)


def actions_on(job: Job, worker: Worker) -> Iterator[WorkerAction]:
    if worker.is_adviser:
        return
    if worker.is_question and worker.status is WorkerStatus.WAITING:
        yield WorkerAction.APPROVE
        yield WorkerAction.REJECT
    if worker.status.ended and has_worktree(worker):
        if not job.facts.discarded:
            yield WorkerAction.FEEDBACK
        yield WorkerAction.ROLLBACK
        yield WorkerAction.RECOUNT
    if not worker.status.ended and worker.cancelled_by is None and job.stop_cause is None:
        yield WorkerAction.CANCEL
    if worker.status in _RETRYABLE and not job.facts.discarded:
        yield WorkerAction.RETRY
    if job.status.ended and worker.status.succeeded and worker.chosen is False:
        yield WorkerAction.CHOOSE
