"""Completion of attempts: retry, waiting for child jobs, final status, and skipping of dependent
tasks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from orchestrator.core.errors import Conflict
from orchestrator.core.events import EventKind
from orchestrator.core.limits.budgets import NOTHING, is_unpriced, passed, passed_in_words, spent_by
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.attempt.delivered_work import with_children
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.gate import altered_judges
from orchestrator.core.model.human_input import answered, open_rounds
from orchestrator.core.model.job import (
    NO_PLAN,
    SURVEY,
    Job,
    TaskSpec,
    WaitingFor,
    Worker,
    WorkerKey,
)
from orchestrator.core.model.job_facts import JobFacts, Shortfall, UnjudgedWork
from orchestrator.core.model.states import JobStatus, StopCause, WaitKind, Workdir, WorkerStatus
from orchestrator.core.outcome.attempt_outcome import Verdict, judge, judged_last
from orchestrator.core.outcome.failure_classifier import classify, escalated, noted
from orchestrator.core.outcome.job.job_outcome import tasks_succeeded, unjudged_code
from orchestrator.core.outcome.job.reason import reason_of
from orchestrator.core.outcome.job.unmerged_changes import has_worktree
from orchestrator.core.outcome.retry_policy import failure_reason, may_retry, retry_delay
from orchestrator.core.scheduler.scheduler_commands import (
    Render,
    Stop,
    StopMerging,
    TakePlan,
)
from orchestrator.core.scheduler.state.job_trees import JobTrees, UnfinishedWorker
from orchestrator.core.scheduler.state.unit_of_work import changed
from orchestrator.core.scheduler.transitions.candidate_selection import CandidateSelection
from orchestrator.core.scheduler.transitions.task_locks import TaskLocks
from orchestrator.core.scheduler.transitions.worker_events import WorkerMessages
from orchestrator.core.scheduler.transitions.worker_retry import AgentFallback, Retries
from orchestrator.core.scheduler.transitions.worker_start import waits_for_account
from orchestrator.core.text.command_name import COMMAND

#: Note on a worker that succeeded without a change after a person's comments.
UNCHANGED = "the feedback led to no change"


class Completion:
    def __init__(self, trees: JobTrees, fallback: AgentFallback) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._task_locks = TaskLocks(trees)
        self.selection = CandidateSelection(trees)
        self._fallback = fallback
        self._retries = Retries(trees, self._task_locks, fallback)
        #: Jobs whose workers have all ended, and which are being merged and reported.
        self.rendering: set[str] = set()
        #: Jobs whose planner has ended, and whose tasks are being added.
        self.planning: set[str] = set()

    def paused(self, key: WorkerKey, now: float) -> None:
        """Queue the worker again, after a pause of its job stopped its attempt.

        The new attempt uses no retry.
        """
        worker, unfinished = self._unit_of_work.workers[key], self._trees.unfinished[key]
        unfinished.stopping, free = False, worker.budget_from + 1
        why = "stopped because the job is paused; runs again when the job resumes"
        self._retries.begin(worker, why, why, 0.0, now, budget_from=free)

    def answered(self, worker: Worker, verdict: Verdict, now: float) -> None:
        """End a worker with a person's answer to its question."""
        self._record_end(worker, verdict, now)
        self._task_progress(self._unit_of_work.workers[worker.key], now)

    def as_stopped(self, worker: Worker, exit: Exit) -> Verdict | None:
        """Return the outcome of an attempt that a pause stopped, if a cancel followed; otherwise
        None.

        The cancel may concern the worker or its job.
        """
        return self._stopped_verdict(worker) if exit.cause is ExitCause.PAUSED else None

    def settle(
        self, key: WorkerKey, verdict: Verdict, now: float, limited_until: float | None = None
    ) -> None:
        """Decide what follows the end of a worker's process.

        ``limited_until``: the end of the rate limit that ended the process; None if the process
        ended otherwise.
        """
        unfinished, worker = self._trees.unfinished[key], self._unit_of_work.workers[key]
        if unfinished.verdict is not None and not unfinished.open_children:
            verdict = self._with_promise(worker, verdict)
            worker = self._unit_of_work.workers[key]
        if worker.cancelled_by is not None and not verdict.succeeded:
            # If the server was restarted since the cancel, the exit may say that the attempt was
            # lost.
            verdict = _stopped(EndedBy.CANCEL, worker.cancelled_by)
        if unfinished.open_children:
            # Apply the cancel even if the worker has succeeded since. Otherwise a child job could
            # outlive it.
            verdict = self._stopped_verdict(worker) or verdict
        if not verdict.succeeded and self._try_again(
            worker, unfinished, verdict, now, limited_until
        ):
            return
        if not verdict.succeeded:
            for child in sorted(unfinished.open_children):
                by = f"{worker.id} ({verdict.status})"
                self.stop_tree(child, StopCause.PARENT, by, now)
        if unfinished.open_children:
            self._wait_without_process(worker, unfinished, verdict)
        else:
            self._end_worker(worker, self._with_children(worker, verdict), now)

    def stop_tree(self, job_id: str, cause: StopCause, by: str, now: float) -> None:
        """Stop a job and all its descendants, deepest first. Idempotent.

        ``by``: the cause as text. All these jobs get ``cause``, with one exception: if a worker
        withdraws its child job, the descendants of this child job get ``PARENT``.
        """
        for each in self._trees.subtree(job_id):
            job = self._unit_of_work.jobs[each]
            if job.status.ended or job.stop_cause is not None:
                continue
            is_below = each != job_id and cause is StopCause.WITHDRAWN
            fields = {
                "cancelled_by": by,
                "stop_cause": StopCause.PARENT if is_below else cause,
                "awaits_approval": False,
                "pause": None,
            }
            stopped = changed(job, **fields)
            self._unit_of_work.update_job(job.id, **fields, reason=reason_of(stopped))
            self._unit_of_work.emit(EventKind.JOB_CANCEL_REQUESTED, job, now, by=by)
            # A cap does not stop a merge, because merging existing changes costs nothing.
            if each in self.rendering and cause is not StopCause.LIMIT:
                self._trees.commands.append(StopMerging(each))
            self._stop_workers(each, _ENDED_BY[cause], by, now)

    def check_job(self, job_id: str, now: float) -> None:
        """Request a job's reports if all its workers have ended.

        If its planner has ended, request its plan.
        """
        job, plan = self._unit_of_work.jobs[job_id], self._trees.plans[job_id]
        if plan.open_workers or job_id in self.rendering:
            return
        if plan.planner is None or job.stop_cause is not None or job.plan_source == NO_PLAN:
            self.end_job(job, now)
        elif job_id not in self.planning:
            self.planning.add(job_id)
            self._trees.commands.append(TakePlan(job_id))

    def end_job(self, job: Job, now: float) -> None:
        """Request the reports of a job that has no running workers."""
        job_id = job.id
        self.planning.discard(job_id)
        self._note_deliveries(job)
        self._note_caps(self._unit_of_work.jobs[job_id])
        self._trees.begin_job(job, now)
        self.rendering.add(job_id)
        above = [each.id for each in self._trees.ancestors(job)]
        family = (*above, *self._trees.subtree(job_id))
        self._trees.commands.append(Render(job.root_id, job_id, family))

    def _note_deliveries(self, job: Job) -> None:
        workers = list(self._trees.workers_of(job.id))
        agents = [each for each in workers if not each.is_question]
        surveyed = all(each.agent == SURVEY for each in agents)
        surveyed = surveyed and any(each.status.succeeded for each in agents)
        facts = replace(
            job.facts,
            shortfalls=tuple(each for each in map(shortfall_of, workers) if each),
            unjudged_work=tuple(self._unjudged_work(job)),
            nothing_built=job.config.asks_to_build and surveyed,
        )
        self._note(job, facts)

    def _unjudged_work(self, job: Job) -> Iterator[UnjudgedWork]:
        """Yield code that no gate judged, with the workers that may have changed it.

        The code of a child job counts as code of its parent worker if the parent worker has a
        worktree.
        """
        if job.config.gates_off:
            return
        workers = [each for each in self._trees.workers_of(job.id) if not each.is_adviser]
        maybe = {each.id: self._of_others_too(each) for each in workers}
        told = set[str]()
        for worker in (each for each in workers if each.counts):
            by_names: dict[tuple[str, ...], list[str]] = {}
            for path in (each for each in unjudged_code(worker) if each not in told):
                others = (name for name, paths in maybe.items() if path in paths)
                names = tuple(others) if path in maybe[worker.id] else (worker.id,)
                by_names.setdefault(names, []).append(path)
            for (name, *beside), paths in by_names.items():
                told.update(paths if beside else ())
                yield UnjudgedWork(worker_id=name, files=tuple(paths), beside=tuple(beside))
            if not has_worktree(worker):
                for child in worker.child_job_ids:
                    yield from self._unit_of_work.jobs[child].facts.unjudged_work

    def _of_others_too(self, worker: Worker) -> frozenset[str]:
        """Return the project's files that changed while the worker worked in the project, possibly
        by another worker.
        """
        delivery = worker.result.delivery if worker.result else None
        is_there = self._trees.task_of(worker).workdir == Workdir.PROJECT
        return frozenset(delivery.checkout if delivery and is_there else ())

    def _note_caps(self, job: Job) -> None:
        spent = self._trees.spending.of(job.id)
        usages = {
            worker.id: worker.result.usage
            for each in self._trees.subtree(job.id)
            for worker in self._trees.workers_of(each)
            if worker.result is not None
        }
        partial = any(usage.partial for usage in usages.values())
        caps = passed(job.config, spent, at_least=partial)
        limited = job.config.max_cost_usd is not None
        unpriced = tuple(name for name, usage in usages.items() if limited and is_unpriced(usage))
        self._note(job, replace(job.facts, caps_passed=caps, unpriced=unpriced))

    def _note(self, job: Job, facts: JobFacts) -> None:
        if facts != job.facts:
            noted = changed(job, facts=facts)
            self._unit_of_work.update_job(job.id, facts=facts, reason=reason_of(noted))

    def stop_worker(self, worker: Worker, by: str, now: float) -> None:
        """Stop one worker and its child jobs; its job continues. Idempotent.

        Raise Conflict while the job's plan waits for approval.
        """
        unfinished = self._trees.unfinished.get(worker.key)
        job = self._trees.job_of(worker)
        if unfinished is not None and self._trees.waits_for_approval(job):
            raise Conflict(
                f"the plan of job {job.id} waits for approval, and {worker.id} is a part of it; "
                f"nothing was changed; reject the plan: {COMMAND} reject {job.id}"
            )
        if unfinished is None or worker.cancelled_by is not None or job.stop_cause is not None:
            return
        # Set this even if a pause is already stopping the attempt.
        unfinished.stopping = True
        worker = self._unit_of_work.update_worker(worker.key, cancelled_by=by)
        self._unit_of_work.emit(EventKind.WORKER_CANCEL_REQUESTED, job, now, worker.id, by=by)
        for child in sorted(unfinished.open_children):
            self.stop_tree(child, StopCause.PARENT, f"{worker.id} (cancelled)", now)
        if self._may_run(worker, unfinished):
            self._stop(worker, EndedBy.CANCEL, by)
        elif unfinished.open_children:
            # The worker's process has exited, or has not started again. The worker ends after its
            # child jobs.
            self._wait_without_process(worker, unfinished, _stopped(EndedBy.CANCEL, by))
        else:
            self._end_worker(worker, _stopped(EndedBy.CANCEL, by), now)

    def stop_again(self, worker: Worker) -> None:
        """Cancel the worker, or its job, again after a restart."""
        job = self._trees.job_of(worker)
        if worker.cancelled_by is not None:
            self._trees.unfinished[worker.key].stopping = True
            self._stop(worker, EndedBy.CANCEL, worker.cancelled_by)
        elif job.stop_cause is not None:
            self._trees.unfinished[worker.key].stopping = True
            self._stop(worker, _ENDED_BY[job.stop_cause], _by(job))

    def returned(self, worker: Worker, now: float) -> None:
        """End the worker of a preloaded launch that was not begun, if the worker is being
        stopped.
        """
        verdict = self._stopped_verdict(worker)
        if verdict is not None:
            self.settle(worker.key, verdict, now)

    def _may_run(self, worker: Worker, unfinished: UnfinishedWorker) -> bool:
        """True if the worker has a process, or a shim may start the process at any moment."""
        return unfinished.alive or worker.key in self._trees.preloaded

    def _stop(self, worker: Worker, ended_by: EndedBy, by: str) -> None:
        number = self._trees.preloaded.get(worker.key, worker.attempt)
        self._trees.commands.append(Stop(worker.key, number, ended_by, by))

    def wait_again(self, worker: Worker, verdict: Verdict, now: float) -> None:
        """Resume the wait of a worker after a restart.

        Its process has ended, and only its child jobs run.
        """
        unfinished, stopped = self._trees.unfinished[worker.key], self._stopped_verdict(worker)
        unfinished.stopping, unfinished.verdict = stopped is not None, stopped or verdict
        if not unfinished.open_children:
            self.settle(worker.key, unfinished.verdict, now)

    def _stopped_verdict(self, worker: Worker) -> Verdict | None:
        """Return the outcome of a worker that is being stopped, alone or with its job; None for a
        worker that is not being stopped.
        """
        job = self._trees.job_of(worker)
        if worker.cancelled_by is not None:
            return _stopped(EndedBy.CANCEL, worker.cancelled_by)
        return None if job.stop_cause is None else _stopped(_ENDED_BY[job.stop_cause], _by(job))

    def _try_again(
        self,
        worker: Worker,
        unfinished: UnfinishedWorker,
        verdict: Verdict,
        now: float,
        limited_until: float | None,
    ) -> bool:
        task, job = self._trees.task_of(worker), self._trees.job_of(worker)
        if job.stop_cause is not None or worker.cancelled_by is not None or unfinished.stopping:
            return False
        if limited_until is not None:
            # Waiting for a rate-limited account uses no retry of the worker.
            delay = limited_until - now
            reason = waits_for_account(worker.agent, delay)
            self._retries.begin(
                worker,
                reason,
                reason,
                delay,
                now,
                budget_from=worker.budget_from + 1,
                waiting_for=WaitingFor(WaitKind.ACCOUNT, worker.agent),
            )
            return True
        pause = self._trees.tool_starts.pause(worker) if verdict.not_started else None
        if pause is not None:
            # Waiting for the end of the tool's update uses no retry of the worker.
            reason, free = f"{verdict.reason}; retrying in {pause:g} s", worker.budget_from + 1
            self._retries.begin(worker, reason, verdict.reason, pause, now, budget_from=free)
            return True
        if self._retries.on_another_machine(worker, verdict, now):
            return True
        if self._retries.with_another_agent(worker, verdict, now):
            self._refused(worker, verdict, now)
            return True
        child_failed = self._failed_child(worker) is not None
        if not may_retry(worker, task, job.config, verdict, child_failed):
            return False
        # The attempt never ran, so retry at once, without a back-off.
        backoff = job.config.retry_backoff_seconds
        delay = 0.0 if verdict.never_began else retry_delay(worker, backoff)
        reason = f"{verdict.reason}; retrying in {delay:g} s"
        self._retries.begin(worker, reason, verdict.reason, delay, now, failure=verdict.failure)
        return True

    def _wait_without_process(
        self, worker: Worker, unfinished: UnfinishedWorker, verdict: Verdict
    ) -> None:
        unfinished.verdict = verdict
        # The process has ended, so the stop that a pause requested is complete.
        unfinished.stopping = self._stopped_verdict(worker) is not None
        why = f"process exited ({verdict.reason or 'exit code 0'}); waiting for its child jobs"
        waiting = WaitingFor(WaitKind.CHILD_JOBS, ", ".join(sorted(unfinished.open_children)))
        payload = {"reason": why, "waiting_for": waiting}
        if worker.status is WorkerStatus.WAITING:
            self._unit_of_work.update_worker(worker.key, **payload)
        else:
            self._unit_of_work.move_worker(worker.key, WorkerStatus.WAITING, **payload)

    def _with_promise(self, worker: Worker, verdict: Verdict) -> Verdict:
        """Judge the worker's delivery again, with the changes of child jobs that ended after the
        worker's process.
        """
        result = worker.result
        delivery = result.delivery if result else None
        if result is None or delivery is None or delivery.deferred is None:
            return verdict
        if not verdict.succeeded or self._failed_child(worker) is not None:
            return verdict
        own = not delivery.has_worktree
        changed_files = self._trees.changed_below(worker, own_directories=own)
        said = delivery.deferred
        delivery = with_children(delivery, changed_files)
        exit, evidence = judged_last(result.output, delivery, said)
        judged = judge(exit, evidence)
        result = replace(result, delivery=delivery)
        result = noted(result, classify(worker, exit, evidence, judged))
        self._unit_of_work.update_worker(worker.key, result=result)
        if not judged.succeeded:
            return judged
        reason = "; ".join(filter(None, (verdict.reason, judged.reason)))
        return replace(verdict, reason=reason)

    def _with_children(self, worker: Worker, verdict: Verdict) -> Verdict:
        if not verdict.succeeded or not worker.child_job_ids:
            return verdict
        failed = self._failed_child(worker)
        if failed is not None:
            reason = f"child job {failed.id} ended with status {failed.status}"
            return Verdict(status=WorkerStatus.FAILED, reason=reason)
        return replace(verdict, status=WorkerStatus.RECURSIVE_SUCCESS)

    def _failed_child(self, worker: Worker) -> Job | None:
        """Return a child job that failed; None if there is none.

        A child job does not count if it was withdrawn, or if another child job with the same
        request succeeded.

        A child job whose tasks all succeeded has not failed, even if its result lacks changes. The
        jobs above it report the missing changes.
        """
        children = [self._unit_of_work.jobs[job_id] for job_id in worker.child_job_ids]
        done = {child.digest for child in children if self._did_its_tasks(child)}
        for child in children:
            withdrawn = child.stop_cause is StopCause.WITHDRAWN
            if child.status.ended and not withdrawn and child.digest not in done:
                return child
        return None

    def _did_its_tasks(self, job: Job) -> bool:
        if job.status is not JobStatus.PARTIAL or job.unmerged:
            return job.status is JobStatus.COMPLETED
        return all(tasks_succeeded(self._trees.workers_of(job.id)).values())

    def _end_worker(self, worker: Worker, verdict: Verdict, now: float) -> None:
        task, job = self._trees.task_of(worker), self._trees.job_of(worker)
        if not verdict.succeeded:
            verdict = replace(verdict, reason=failure_reason(worker, task, job.config, verdict))
        verdict = self._with_caps(worker, task, verdict)
        self._record_end(worker, self._without_resolver(worker, job, verdict), now)
        self._task_progress(self._unit_of_work.workers[worker.key], now)
        if verdict.login_refused and not verdict.moves:
            self._refused(worker, verdict, now)

    def _with_caps(self, worker: Worker, task: TaskSpec, verdict: Verdict) -> Verdict:
        """If the worker's usage exceeds limits of its task, add the excess to the reason of the
        verdict.
        """
        usage = worker.result.usage if worker.result else NOTHING
        caps = map(passed_in_words, passed(task, spent_by(usage), at_least=usage.partial))
        return replace(verdict, reason="; ".join(filter(None, (verdict.reason, *caps))))

    def _without_resolver(self, worker: Worker, job: Job, verdict: Verdict) -> Verdict:
        """Return success for a worker whose own work succeeded, if only the resolution of its
        conflicts failed.
        """
        result = worker.result
        if verdict.succeeded or job.stop_cause is not None or not (result and result.conflicts):
            return verdict
        self._unit_of_work.update_worker(worker.key, result=replace(result, unresolved=True))
        status = WorkerStatus.RECURSIVE_SUCCESS if worker.child_job_ids else WorkerStatus.SUCCESS
        return Verdict(status=status, reason=f"conflicts not resolved: {verdict.reason}")

    def _refused(self, first: Worker, verdict: Verdict, now: float) -> None:
        """After an agent's login failed, replace this agent in workers of the tree that have not
        started.

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
                    self._end_worker(worker, Verdict(status=WorkerStatus.FAILED, reason=why), now)

    def _record_end(self, worker: Worker, verdict: Verdict, now: float) -> None:
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
        WorkerMessages(self._trees).ended(ended, now)
        self._task_locks.done(ended, now)
        del self._trees.unfinished[worker.key]
        if self._trees.has_candidates(ended):
            self.selection.after(ended, now)

    def _answered(self, worker: Worker, verdict: Verdict) -> Verdict:
        """Record that a successful worker has answered its open feedback.

        If the attempt changed nothing, add a note to the verdict.
        """
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
        """Return when the worker ended: at the end of its latest attempt, or of its last child
        job.
        """
        told = self._trees.unfinished[worker.key].ended_at
        if told is None:
            return now
        children = (self._unit_of_work.jobs[job_id].ended_at for job_id in worker.child_job_ids)
        return max([told, *(ended for ended in children if ended is not None)])

    def _escalate(self, worker: Worker, verdict: Verdict) -> Mapping[str, object]:
        """Mark the worker's last failure as final. Return its fields for the event."""
        failed = worker.failure_of(worker.attempt)
        if failed is None or verdict.succeeded or worker.result is None:
            return {}
        failed = escalated(failed, "no automatic retry")
        self._unit_of_work.update_worker(worker.key, result=noted(worker.result, failed))
        return failed.payload()

    def _task_progress(self, worker: Worker, now: float) -> None:
        """Start the tasks that waited for this worker's task, or skip them and their dependents."""
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
        self.check_job(worker.job_id, now)

    def _skip(self, worker: Worker, cause: str, now: float) -> None:
        task, plan = self._trees.task_of(worker), self._trees.plans[worker.job_id]
        needed = next((each for each in task.depends_on if plan.hopeless(each)), cause)
        reason = f"dependency {needed!r} did not succeed"
        self._record_end(worker, Verdict(status=WorkerStatus.SKIPPED, reason=reason), now)

    def _stop_workers(self, job_id: str, ended_by: EndedBy, by: str, now: float) -> None:
        plan = self._trees.plans[job_id]
        for worker in self._trees.workers_of(job_id):
            unfinished = self._trees.unfinished.get(worker.key)
            if unfinished is None or unfinished.stopping:
                continue
            unfinished.stopping = True
            if self._may_run(worker, unfinished):
                self._stop(worker, ended_by, by)
            elif unfinished.open_children:
                # The worker has no process now, and ends after its child jobs.
                self._wait_without_process(worker, unfinished, _stopped(ended_by, by))
            else:
                self._record_end(worker, _stopped(ended_by, by), now)
                plan.ended(worker.task_id, False)
        self.check_job(job_id, now)


#: How a job's attempts end, by the cause of the job's stop.
_ENDED_BY: Mapping[StopCause, EndedBy] = {
    StopCause.USER: EndedBy.CANCEL,
    StopCause.WITHDRAWN: EndedBy.CANCEL,
    StopCause.PARENT: EndedBy.CANCEL,
    StopCause.WALL_TIME: EndedBy.TIMEOUT,
    StopCause.LIMIT: EndedBy.LIMIT,
}


def shortfall_of(worker: Worker) -> Shortfall | None:
    """Return what people should check in the changes of a worker.

    None if there is nothing to check, or if the worker's changes do not count.
    """
    delivery = worker.result.delivery if worker.result else None
    if delivery is None or not worker.status.succeeded or worker.chosen is False:
        return None
    altered = altered_judges(worker.result.gates if worker.result else ())
    unchanged = delivery.is_in_doubt
    # With a worktree, leave out the checkout: the job's facts already name all workers that may
    # have changed it.
    checkout = () if delivery.has_worktree else delivery.checkout
    found = delivery.outside or altered.paths or unchanged or checkout
    if not (found or delivery.held_back):
        return None
    return Shortfall(
        worker_id=worker.id,
        outside=delivery.outside,
        judges=altered.paths,
        judges_with_code=altered.with_code,
        unchanged=unchanged,
        held_back=delivery.held_back,
        checkout=checkout,
        has_worktree=delivery.has_worktree,
    )


def _by(job: Job) -> str:
    """Return who or what stopped the job, for people."""
    return job.cancelled_by or ""


def _stopped(ended_by: EndedBy, by: str) -> Verdict:
    if ended_by is EndedBy.CANCEL:
        return Verdict(status=WorkerStatus.CANCELLED, reason=f"cancelled by {by}")
    status = WorkerStatus.TIMEOUT if ended_by is EndedBy.TIMEOUT else WorkerStatus.FAILED
    return Verdict(status=status, reason=f"stopped by {by}")
