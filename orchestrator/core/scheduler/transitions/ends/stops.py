"""Stops of jobs and workers: cancels, reached limits, and expired wall times."""

from collections.abc import Mapping

from orchestrator.core.errors import Conflict
from orchestrator.core.events import EventKind
from orchestrator.core.lazy_dataclass import changed
from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.job import Worker, WorkerKey
from orchestrator.core.model.scheduler_commands import Stop, StopMerging
from orchestrator.core.model.states import StopCause, WorkerStatus
from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.outcome.job.reason import reason_of
from orchestrator.core.scheduler.state.job_trees import JobTrees, UnfinishedWorker
from orchestrator.core.scheduler.transitions.ends.worker_and_job_end import JobEnd, WorkerEnd
from orchestrator.core.text.command_name import COMMAND


class Stops:
    def __init__(self, trees: JobTrees, worker_end: WorkerEnd, job_end: JobEnd) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._worker_end = worker_end
        self._job_end = job_end

    def cancel(self, job_id: str, by: str, now: float, worker_key: WorkerKey | None) -> None:
        cause = StopCause.USER if worker_key is None else StopCause.PARENT
        if worker_key is not None and worker_key == self._unit_of_work.jobs[job_id].parent_key:
            cause = StopCause.WITHDRAWN
        self.stop_tree(job_id, cause, by, now)

    def stop_tree(self, job_id: str, cause: StopCause, by: str, now: float) -> None:
        """Stop a job and its descendants, deepest first. Idempotent.

        ``cause``: the stop cause to store in these jobs. If ``cause`` is ``WITHDRAWN``, the stop
        cause of the descendants is ``PARENT``. ``by``: the caller or the limit that causes the
        stop, as text.
        """
        for member_id in self._trees.subtree(job_id):
            job = self._unit_of_work.jobs[member_id]
            if job.status.ended or job.stop_cause is not None:
                continue
            is_below = member_id != job_id and cause is StopCause.WITHDRAWN
            fields = {
                "cancelled_by": by,
                "stop_cause": StopCause.PARENT if is_below else cause,
                "awaits_approval": False,
                "pause": None,
            }
            stopped_job = changed(job, **fields)
            self._unit_of_work.update_job(job.id, **fields, reason=reason_of(stopped_job))
            self._unit_of_work.emit(EventKind.JOB_CANCEL_REQUESTED, job, now, by=by)
            # A cap does not stop a merge, because merging existing changes costs nothing.
            if member_id in self._job_end.rendering and cause is not StopCause.LIMIT:
                self._trees.commands.append(StopMerging(member_id))
            self._stop_workers(member_id, _ENDED_BY[cause], by, now)

    def stop_worker(self, worker: Worker, by: str, now: float) -> None:
        """Stop one worker and its child jobs; its job continues. Idempotent.

        Raise Conflict while the job's plan waits for approval.
        """
        unfinished = self._trees.unfinished.get(worker.key)
        job = self._trees.job_of(worker)
        if unfinished is not None and self._trees.waits_for_approval(job):
            raise Conflict(
                f"cannot stop {worker.id} alone, because the plan of job {job.id} waits for "
                "approval; nothing was changed; to end the whole job, reject its plan: "
                f"{COMMAND} reject {job.id}"
            )
        if unfinished is None or worker.cancelled_by is not None or job.stop_cause is not None:
            return
        # Do this even if a pause is already stopping the attempt. Otherwise, the worker would run
        # again after the pause.
        unfinished.stopping = True
        worker = self._unit_of_work.update_worker(worker.key, cancelled_by=by)
        self._unit_of_work.emit(EventKind.WORKER_CANCEL_REQUESTED, job, now, worker.id, by=by)
        for child in sorted(unfinished.open_children):
            self.stop_tree(child, StopCause.PARENT, f"{worker.id} (cancelled)", now)
        if self._may_run(worker, unfinished):
            self._request_stop(worker, EndedBy.CANCEL, by)
        elif unfinished.open_children:
            # The worker's process has exited, or has not started again. The worker ends when its
            # child jobs have ended.
            self._worker_end.wait_for_child_jobs(
                worker, unfinished, stop_verdict(EndedBy.CANCEL, by), stopping=True
            )
        else:
            self._worker_end.end(worker, stop_verdict(EndedBy.CANCEL, by), now)

    def stop_again(self, worker: Worker) -> None:
        """After a restart, stop the worker again if the worker or its job was being stopped."""
        job = self._trees.job_of(worker)
        if worker.cancelled_by is not None:
            self._trees.unfinished[worker.key].stopping = True
            self._request_stop(worker, EndedBy.CANCEL, worker.cancelled_by)
        elif job.stop_cause is not None:
            self._trees.unfinished[worker.key].stopping = True
            self._request_stop(worker, _ENDED_BY[job.stop_cause], job.cancelled_by or "")

    def _stop_workers(self, job_id: str, ended_by: EndedBy, by: str, now: float) -> None:
        plan = self._trees.plans[job_id]
        for worker in self._trees.workers_of(job_id):
            unfinished = self._trees.unfinished.get(worker.key)
            if unfinished is None or unfinished.stopping:
                continue
            unfinished.stopping = True
            if self._may_run(worker, unfinished):
                self._request_stop(worker, ended_by, by)
            elif unfinished.open_children:
                # The worker has no process now, and ends when its child jobs have ended.
                self._worker_end.wait_for_child_jobs(
                    worker, unfinished, stop_verdict(ended_by, by), stopping=True
                )
            else:
                self._worker_end.record(worker, stop_verdict(ended_by, by), now)
                plan.ended(worker.task_id, False)
        self._job_end.check_job(job_id, now)

    def _may_run(self, worker: Worker, unfinished: UnfinishedWorker) -> bool:
        return unfinished.alive or worker.key in self._trees.preloaded

    def _request_stop(self, worker: Worker, ended_by: EndedBy, by: str) -> None:
        number = self._trees.preloaded.get(worker.key, worker.attempt)
        self._trees.commands.append(Stop(worker.key, number, ended_by, by))

    def verdict_on(self, worker: Worker) -> Verdict | None:
        """Return the outcome of a worker that is being stopped, alone or with its job.

        Return None if neither the worker nor its job is being stopped.
        """
        job = self._trees.job_of(worker)
        if worker.cancelled_by is not None:
            return stop_verdict(EndedBy.CANCEL, worker.cancelled_by)
        if job.stop_cause is None:
            return None
        return stop_verdict(_ENDED_BY[job.stop_cause], job.cancelled_by or "")


#: How a job's attempts end, by the cause of the job's stop.
_ENDED_BY: Mapping[StopCause, EndedBy] = {
    StopCause.USER: EndedBy.CANCEL,
    StopCause.WITHDRAWN: EndedBy.CANCEL,
    StopCause.PARENT: EndedBy.CANCEL,
    StopCause.WALL_TIME: EndedBy.TIMEOUT,
    StopCause.LIMIT: EndedBy.LIMIT,
}


def stop_verdict(ended_by: EndedBy, by: str) -> Verdict:
    if ended_by is EndedBy.CANCEL:
        return Verdict(status=WorkerStatus.CANCELLED, reason=f"cancelled by {by}")
    status = WorkerStatus.TIMEOUT if ended_by is EndedBy.TIMEOUT else WorkerStatus.FAILED
    return Verdict(status=status, reason=f"stopped by {by}")
