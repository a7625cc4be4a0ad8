"""End of a worker: records its final status, then starts the tasks that waited, or skips them."""

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.core.events import EventKind
from orchestrator.core.limits.budgets import NOTHING, has_caps, passed, passed_in_words, spent_by
from orchestrator.core.model.human_input import answered, open_rounds
from orchestrator.core.model.job import Job, TaskSpec, WaitingFor, Worker
from orchestrator.core.model.states import WaitKind, WorkerStatus
from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.outcome.failure_classifier import escalated, noted
from orchestrator.core.outcome.retry_policy import failure_reason
from orchestrator.core.scheduler.state.job_trees import JobTrees, UnfinishedWorker
from orchestrator.core.scheduler.transitions.claims_and_leases import TaskLocks
from orchestrator.core.scheduler.transitions.ends.agent_fallback import AgentFallback
from orchestrator.core.scheduler.transitions.ends.candidate_selection import CandidateSelection
from orchestrator.core.scheduler.transitions.ends.job_end import JobEnd
from orchestrator.core.scheduler.transitions.worker_messages import WorkerMessages

#: Note on a worker that succeeded without a change after a person's comments.
UNCHANGED = "the feedback led to no change"


class WorkerEnd:
    def __init__(
        self, trees: JobTrees, claims: TaskLocks, fallback: AgentFallback, job_end: JobEnd
    ) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._task_locks = claims
        self._fallback = fallback
        self._job_end = job_end
        self.selection = CandidateSelection(trees)

    def answered(self, worker: Worker, verdict: Verdict, now: float) -> None:
        self.record(worker, verdict, now)
        self._task_progress(self._unit_of_work.workers[worker.key], now)

    def end(self, worker: Worker, verdict: Verdict, now: float) -> None:
        task, job = self._trees.task_of(worker), self._trees.job_of(worker)
        if not verdict.succeeded:
            verdict = replace(verdict, reason=failure_reason(worker, task, job.config, verdict))
        verdict = self._with_caps(worker, task, verdict)
        self.record(worker, self._without_resolver(worker, job, verdict), now)
        self._task_progress(self._unit_of_work.workers[worker.key], now)
        if verdict.login_refused and not verdict.moves:
            self.replace_refused_agent(worker, verdict, now)

    def wait_for_child_jobs(
        self, worker: Worker, unfinished: UnfinishedWorker, verdict: Verdict, *, stopping: bool
    ) -> None:
        """Let a worker without a process wait for its child jobs. Then it ends with ``verdict``.

        ``stopping``: True if the worker is being stopped. False if only a pause stopped its
        process.
        """
        unfinished.verdict = verdict
        unfinished.stopping = stopping
        why = f"process exited ({verdict.reason or 'exit code 0'}); waiting for its child jobs"
        waiting = WaitingFor(WaitKind.CHILD_JOBS, ", ".join(sorted(unfinished.open_children)))
        payload = {"reason": why, "waiting_for": waiting}
        if worker.status is WorkerStatus.WAITING:
            self._unit_of_work.update_worker(worker.key, **payload)
        else:
            self._unit_of_work.move_worker(worker.key, WorkerStatus.WAITING, **payload)

    def _with_caps(self, worker: Worker, task: TaskSpec, verdict: Verdict) -> Verdict:
        usage = worker.result.usage if worker.result else NOTHING
        found = passed(task, spent_by(usage), at_least=usage.partial) if has_caps(task) else ()
        if not found:
            return verdict
        caps = map(passed_in_words, found)
        return replace(verdict, reason="; ".join(filter(None, (verdict.reason, *caps))))

    def _without_resolver(self, worker: Worker, job: Job, verdict: Verdict) -> Verdict:
        """Return success for a worker if only the resolution of its conflicts failed."""
        result = worker.result
        if verdict.succeeded or job.stop_cause is not None or not (result and result.conflicts):
            return verdict
        self._unit_of_work.update_worker(worker.key, result=replace(result, unresolved=True))
        status = WorkerStatus.RECURSIVE_SUCCESS if worker.child_job_ids else WorkerStatus.SUCCESS
        return Verdict(status=status, reason=f"conflicts not resolved: {verdict.reason}")

    def replace_refused_agent(self, first: Worker, verdict: Verdict, now: float) -> None:
        """After a failed login, replace the agent in workers of the tree that have not started.

        If no other agent can be used, end these workers.
        """
        why = f"not started: {verdict.reason} (failure of {first.id})"
        for job_id in self._trees.jobs_of(first.root_id):
            for worker in self._trees.workers_of(job_id):
                unfinished = self._trees.unfinished.get(worker.key)
                idle = (
                    worker.status is WorkerStatus.PENDING
                    and unfinished
                    and not unfinished.open_children
                )
                idle = idle and worker.key not in self._trees.preloaded
                if not idle or worker.agent != first.agent:
                    continue
                if other := self._fallback.agent_for(worker, verdict, now):
                    self._fallback.give(worker, other, verdict, now)
                else:
                    self.end(worker, Verdict(status=WorkerStatus.FAILED, reason=why), now)

    def record(self, worker: Worker, verdict: Verdict, now: float) -> None:
        verdict = self._answered(worker, verdict)
        status, reason = verdict.status, verdict.reason
        failed = self._escalate(worker, verdict)
        ended = self._unit_of_work.move_worker(
            worker.key,
            status,
            reason=reason,
            failure=verdict.failure,
            ended_at=self._ended_at(worker, now),
            cancelled_by=None if status.succeeded else worker.cancelled_by,
        )
        files = list(ended.result.files_created[:100]) if ended.result else []
        payload: dict[str, object] = {"status": str(status), "reason": reason}
        payload |= {"files_created": files, **failed}
        job = self._trees.job_of(worker)
        self._unit_of_work.emit(EventKind.WORKER_ENDED, job, now, worker.id, **payload)
        if ended.result and ended.result.messages:
            WorkerMessages(self._trees).ended(ended, ended.result.messages, now)
        if self._trees.locks.is_used:
            self._task_locks.done(ended, now)
        del self._trees.unfinished[worker.key]
        if self._trees.has_candidates(ended):
            self.selection.after(ended, now)

    def _answered(self, worker: Worker, verdict: Verdict) -> Verdict:
        result = worker.result
        if result is None or not result.feedback or not verdict.succeeded:
            return verdict
        rounds = open_rounds(result.feedback)
        if not rounds:
            return verdict
        done = replace(result, feedback=answered(result.feedback, worker.attempt))
        self._unit_of_work.update_worker(worker.key, result=done)
        if result.delivery is None or result.delivery.commit != rounds[-1].commit:
            return verdict
        return replace(verdict, reason="; ".join(filter(None, (verdict.reason, UNCHANGED))))

    def _ended_at(self, worker: Worker, now: float) -> float:
        told = self._trees.unfinished[worker.key].ended_at
        if told is None:
            return now
        children = (self._unit_of_work.jobs[job_id].ended_at for job_id in worker.child_job_ids)
        return max([told, *(ended for ended in children if ended is not None)])

    def _escalate(self, worker: Worker, verdict: Verdict) -> Mapping[str, object]:
        failed = worker.failure_of(worker.attempt)
        if failed is None or verdict.succeeded or worker.result is None:
            return {}
        failed = escalated(failed, "no automatic retry")
        self._unit_of_work.update_worker(worker.key, result=noted(worker.result, failed))
        return failed.payload()

    def _task_progress(self, worker: Worker, now: float) -> None:
        plan = self._trees.plans[worker.job_id]
        is_done = worker.status.succeeded and not worker.is_reviewer
        # A retried worker's time also contains failures and pauses, so it is not learned.
        if is_done and worker.attempt == 1 and worker.started_at and worker.ended_at:
            seconds = worker.ended_at - worker.started_at
            self._trees.run_times.learn(worker.job_id, worker.task_id, max(0.0, seconds))
        ended = [(worker.task_id, is_done)]
        while ended:
            for following in plan.ended(*ended.pop()):
                for key in plan.workers_of(following):
                    other = self._unit_of_work.workers[key]
                    if other.status is not WorkerStatus.PENDING:
                        continue
                    if plan.is_ready(following):
                        self._trees.queue(other)
                    else:
                        self._skip(other, worker.task_id, now)
                        ended.append((following, False))
        self._job_end.check_job(worker.job_id, now)

    def _skip(self, worker: Worker, cause: str, now: float) -> None:
        task, plan = self._trees.task_of(worker), self._trees.plans[worker.job_id]
        needed = next((each for each in task.depends_on if plan.hopeless(each)), cause)
        reason = f"dependency {needed!r} did not succeed"
        self.record(worker, Verdict(status=WorkerStatus.SKIPPED, reason=reason), now)
