"""Merge rejections: retries of workers that succeeded, but whose changes fail after the merge."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.core.errors import Deadlock
from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.failure import SENT_BACK, before
from orchestrator.core.model.job import Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.model.job_facts import Missing, Overruled
from orchestrator.core.model.states import MergeState, StopCause, WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.outcome.job.job_outcome import job_outcome
from orchestrator.core.outcome.job.reason import reason_of
from orchestrator.core.outcome.job.unmerged_changes import (
    lost_below,
    lost_without_worktree,
    not_made,
    overruled_below,
    side_work_left,
    still_missing,
)
from orchestrator.core.outcome.retry_policy import may_retry
from orchestrator.core.scheduler.dag import PlanProgress
from orchestrator.core.scheduler.merge_outcome import Merged, MergeRejection
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.state.unit_of_work import changed
from orchestrator.core.scheduler.transitions.completion import Completion
from orchestrator.core.scheduler.transitions.task_locks import TaskLocks


class MergeRejections:
    def __init__(self, trees: JobTrees, completion: Completion, claims: TaskLocks) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._completion = completion
        self._task_locks = claims

    def refused(self, job_id: str, refusals: Sequence[MergeRejection], now: float) -> bool:
        """Retry the rejected workers. Return True if the job continues because of a retry.

        A rejected worker fails if it has no attempt left, or if a worker that waits for this job
        holds its locks. Return False without a change if the job is being stopped, or not all of
        its workers have ended.
        """
        job = self._unit_of_work.jobs.get(job_id)
        if job is None or job.stop_cause is not None or job_id not in self._completion.rendering:
            return False
        if found := self._trees.breach_of(job):
            over, _, by = found
            self._completion.stop_tree(over, StopCause.LIMIT, by, now)
            return False
        again = self._sent_back(job_id, refusals, now)
        if again:
            self._completion.rendering.discard(job_id)
            tasks = list(self._trees.plans[job_id].tasks.values())
            self._trees.install(job, PlanProgress(tasks, self._trees.workers_of(job_id)))
        return again

    def _sent_back(self, job_id: str, refusals: Sequence[MergeRejection], now: float) -> bool:
        """Retry rejected workers. Return True if a worker is retried.

        If several workers conflict in one file, only the first is retried now. The others follow on
        top of the new file, so that each of them needs only one attempt.
        """
        again, contested = False, set[str]()
        for refusal in refusals:
            if contested.isdisjoint(refusal.conflicts) and self._is_sent_back(job_id, refusal, now):
                contested.update(refusal.conflicts)
                again = True
        return again

    def merged(self, job_id: str, merged: Merged) -> None:
        """Store the outcome of merging the job's changes."""
        job = self._unit_of_work.jobs.get(job_id)
        if job is None:
            return
        job = self._unit_of_work.update_job(job_id, **self._fields(job, merged))
        self._unit_of_work.update_job(job_id, reason=reason_of(job))

    def merged_later(self, job_id: str, merged: Merged, now: float) -> None:
        """Store the outcome of another merge of an ended job, which replaces the former outcome."""
        job = self._unit_of_work.jobs[job_id]
        if not job.status.ended:
            return
        self._forget_conflicts(job, merged)
        fields = self._fields(job, merged)
        workers = [each for each in self._trees.workers_of(job_id) if not each.is_planner]
        after = changed(job, **fields)
        status = job_outcome(
            workers,
            job.cancelled,
            incomplete=after.lacks_changes,
            fails_unjudged=after.fails_unjudged,
        )
        reason = reason_of(changed(after, status=status))
        if (status, reason) == (job.status, job.reason):
            self._unit_of_work.update_job(job_id, **fields)
            return
        if status is not job.status:
            self._unit_of_work.move_job(job_id, status)
        ended = self._unit_of_work.update_job(job_id, reason=reason, **fields)
        self._unit_of_work.emit(EventKind.JOB_ENDED, ended, now, status=str(status), reason=reason)

    def _forget_conflicts(self, job: Job, merged: Merged) -> None:
        """Clear the reasons of workers that had conflicts, but are now in the result."""
        missing = {each.worker_id for each in merged.missing}
        for worker in self._trees.workers_of(job.id):
            was_left = worker.result is not None and worker.result.unresolved
            if was_left and worker.status.succeeded and worker.id not in missing:
                self._unit_of_work.update_worker(worker.key, reason="")

    def _fields(self, job: Job, merged: Merged) -> dict[str, Any]:
        """Return the fields of a job that a merge changes."""
        lost, overruled = self._below(job)
        plan, workers = self._trees.plans[job.id], self._trees.workers_of(job.id)
        plain = tuple(lost_without_worktree(job, plan.tasks, workers))
        present = (*merged.files, *_without_worktree(workers))
        lost = tuple(still_missing(lost, present))
        chosen = (each for each in merged.missing if each.chosen)
        left = {each.worker_id for each in chosen if not each.child_job_id}
        wanted = [each for each in workers if each.id not in left]
        half = tuple(not_made(job, wanted, present))
        taken = job.facts.taken if merged.taken is None else merged.taken
        inside = [each for each in wanted if each.counts or each.id in taken]
        side = tuple(side_work_left(job, inside))
        names = {each.id for each in inside}
        facts = replace(
            job.facts,
            earlier_parts=tuple(
                each for each in job.facts.earlier_parts if each.worker_id not in names
            ),
            merge_error=merged.error,
            missing=(*merged.missing, *plain, *half, *side),
            taken=taken,
            taken_jobs=job.facts.taken_jobs if merged.taken_jobs is None else merged.taken_jobs,
            lost_below=lost,
            not_in_parent=merged.not_in_parent,
            overruled=merged.overruled,
            overruled_below=overruled,
            both_kept=merged.both_kept,
            gates=merged.gates,
            gates_passed=merged.gates_passed,
            flaky=merged.flaky,
            unjudged=merged.unjudged,
            unjudged_files=merged.unjudged_files,
            switched_off=merged.switched_off,
            checkout=job.facts.checkout if merged.checkout is None else merged.checkout,
            repository_changes=(
                job.facts.repository_changes
                if merged.repository_changes is None
                else merged.repository_changes
            ),
        )
        failed = merged.state is MergeState.FAILED
        lacks = plain or side or any(each.is_made for each in lost)
        state = MergeState.IN_PART if lacks and not failed else merged.state
        return {"merge_state": state, "facts": facts}

    def _below(self, job: Job) -> tuple[tuple[Missing, ...], tuple[Overruled, ...]]:
        """Return the changes that child jobs' results lack, and the hunks that were replaced."""
        lost: list[Missing] = []
        overruled: list[Overruled] = []
        for worker in self._trees.workers_of(job.id):
            children = [self._unit_of_work.jobs[each] for each in worker.child_job_ids]
            lost += lost_below(worker, children)
            overruled += overruled_below(worker, children)
        return tuple(lost), tuple(overruled)

    def _is_sent_back(self, job_id: str, refusal: MergeRejection, now: float) -> bool:
        job = self._unit_of_work.jobs[job_id]
        worker = self._unit_of_work.workers[WorkerKey(job.root_id, refusal.worker_id)]
        tried = worker.attempt > worker.budget_from
        given_up = tried and refusal.conflicts and worker.result and worker.result.unresolved
        if given_up or not worker.status.succeeded:
            return False
        verdict = Verdict(status=WorkerStatus.FAILED, reason=refusal.reason, retry=True)
        task = self._trees.task_of(worker)
        again = may_retry(worker, task, job.config, verdict, child_failed=False)
        if again and (why := self._deadlock(job, task)):
            again = False
            refusal = replace(refusal, reason=f"{refusal.reason}; no retry: {why}")
        if again or refusal.required:
            self._move(worker, refusal, now, again=again)
        return again

    def _deadlock(self, job: Job, task: TaskSpec) -> str:
        try:
            self._task_locks.check(job, [task])
        except Deadlock as error:
            return error.message
        return ""

    def _move(self, worker: Worker, refusal: MergeRejection, now: float, *, again: bool) -> None:
        status = WorkerStatus.PENDING if again else WorkerStatus.FAILED
        ended_at = None if again else now
        result = worker.result or WorkerResult()
        if refusal.conflicts:
            # ``good`` names the checkpoint of the worker's own work, before the conflicts were
            # added. If the agent does not resolve the conflicts, the next attempt starts from this
            # checkpoint.
            result = replace(result, good=before(worker.attempt + 1))
        result = replace(result, gates=refusal.gates, conflicts=refusal.conflicts)
        result = replace(result, unresolved=False)
        self._unit_of_work.move_worker(
            worker.key,
            status,
            reason=refusal.reason,
            failure=SENT_BACK,
            not_before=0.0,
            ended_at=ended_at,
            result=result,
            agent=refusal.agent if again and refusal.agent else worker.agent,
        )
        payload = {"attempt": worker.attempt, "reason": refusal.reason, "status": str(status)}
        job = self._trees.job_of(worker)
        self._unit_of_work.emit(EventKind.WORKER_SENT_BACK, job, now, worker.id, **payload)


def _without_worktree(workers: Sequence[Worker]) -> Iterator[str]:
    """Yield files of workers without a worktree, because no merge reports these files."""
    for worker in workers:
        delivery = worker.result.delivery if worker.result else None
        if worker.result and delivery and worker.counts and not delivery.has_worktree:
            yield from (*worker.result.files_created, *delivery.checkout)
