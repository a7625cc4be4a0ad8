"""Ends of workers and of jobs.

The end of a worker records the worker's final status. The tasks that waited for the worker are then
started or skipped. When all workers of a job have ended, the job's reports are requested. The end
of a job also records facts for people, such as unjudged code and exceeded limits.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from orchestrator.core.events import EventKind
from orchestrator.core.gates.gate import altered_judges
from orchestrator.core.lazy_dataclass import changed
from orchestrator.core.limits.usage_caps import (
    describe_exceeded,
    exceeded_limits,
    has_caps,
    spent_by,
)
from orchestrator.core.model.attempt.delivered_work import SideWorkKind
from orchestrator.core.model.attempt.usage_sums import is_unpriced
from orchestrator.core.model.human_input.feedback import mark_answered, open_rounds
from orchestrator.core.model.job import NO_PLAN, SURVEY, Job, TaskSpec, WaitingFor, Worker
from orchestrator.core.model.job_facts import JobFacts, Shortfall, UnjudgedWork
from orchestrator.core.model.scheduler_commands import AdoptPlan, Render
from orchestrator.core.model.states import WaitKind, WorkerStatus
from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.outcome.failure_rules import escalated, with_failure
from orchestrator.core.outcome.job.job_outcome import final_status, tasks_succeeded
from orchestrator.core.outcome.job.reason import reason_of
from orchestrator.core.outcome.job.unjudged_code import unjudged_code
from orchestrator.core.outcome.job.unmerged_changes import has_worktree
from orchestrator.core.outcome.retry_policy import failure_reason
from orchestrator.core.scheduler.state.job_trees import JobTrees, UnfinishedWorker
from orchestrator.core.scheduler.transitions.ends.agent_fallback import AgentFallback
from orchestrator.core.scheduler.transitions.ends.candidate_selection import CandidateSelection
from orchestrator.core.scheduler.transitions.running_workers.task_locks import TaskLocks
from orchestrator.core.scheduler.transitions.running_workers.worker_messages import WorkerMessages


class JobEnd:
    def __init__(self, trees: JobTrees) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        #: Jobs whose workers have all ended. These jobs are being merged and reported.
        self.rendering: set[str] = set()
        #: Jobs whose planner has ended. Their tasks are being added.
        self.planning: set[str] = set()

    def check_job(self, job_id: str, now: float) -> None:
        """If all workers of a job have ended, request the job's reports or its plan.

        The plan is requested if only the planner has run, the job is not being stopped, and a plan
        is possible. Otherwise, the reports are requested.
        """
        job, plan = self._unit_of_work.jobs[job_id], self._trees.plans[job_id]
        if plan.open_workers or job_id in self.rendering:
            return
        if plan.planner is None or job.stop_cause is not None or job.plan_source == NO_PLAN:
            self.request_reports(job, now)
        elif job_id not in self.planning:
            self.planning.add(job_id)
            self._trees.commands.append(AdoptPlan(job_id))

    def request_reports(self, job: Job, now: float) -> None:
        job_id = job.id
        self.planning.discard(job_id)
        self._note_deliveries(job)
        self._note_limits(self._unit_of_work.jobs[job_id])
        self._trees.begin_job(job, now)
        self.rendering.add(job_id)
        ancestor_ids = [each.id for each in self._trees.ancestors(job)]
        family = (*ancestor_ids, *self._trees.subtree(job_id))
        self._trees.commands.append(Render(job.root_id, job_id, family))

    def end(self, job_id: str, now: float) -> Job | None:
        """End a job whose reports were written, or could not be written. Return the job.

        Return None if no reports of the job were requested.
        """
        if job_id not in self.rendering:
            return None
        self.rendering.discard(job_id)
        job = self._unit_of_work.jobs[job_id]
        status = final_status(job, self._trees.workers_of(job_id))
        reason = reason_of(changed(job, status=status, pause=None))
        ended = self._unit_of_work.move_job(job_id, status, ended_at=now, reason=reason, pause=None)
        self._unit_of_work.emit(EventKind.JOB_ENDED, ended, now, status=str(status), reason=reason)
        return ended

    def _note_deliveries(self, job: Job) -> None:
        workers = list(self._trees.workers_of(job.id))
        agent_workers = [each for each in workers if not each.is_question]
        only_surveyed = all(each.agent == SURVEY for each in agent_workers)
        only_surveyed = only_surveyed and any(each.status.succeeded for each in agent_workers)
        facts = replace(
            job.facts,
            unsuccessful=tuple(_unsuccessful_workers(workers)),
            shortfalls=tuple(each for each in map(shortfall_of, workers) if each),
            unjudged_work=tuple(self._unjudged_work(job)),
            nothing_built=job.config.asks_to_build and only_surveyed,
        )
        self._store_facts(job, facts)

    def _unjudged_work(self, job: Job) -> Iterator[UnjudgedWork]:
        """Yield code that no gate judged, with the workers that may have changed the code.

        If a worker has no worktree, the unjudged code of its child jobs is included.
        """
        if job.config.gates_off:
            return
        workers = [each for each in self._trees.workers_of(job.id) if not each.is_adviser]
        possible_files = {each.id: self._changed_while_running(each) for each in workers}
        listed_paths = set[str]()
        for worker in (each for each in workers if each.belongs_to_result):
            paths_by_names: dict[tuple[str, ...], list[str]] = {}
            for path in (each for each in unjudged_code(worker) if each not in listed_paths):
                possible_names = (name for name, paths in possible_files.items() if path in paths)
                names = tuple(possible_names) if path in possible_files[worker.id] else (worker.id,)
                paths_by_names.setdefault(names, []).append(path)
            for (name, *beside), paths in paths_by_names.items():
                listed_paths.update(paths if beside else ())
                yield UnjudgedWork(worker_id=name, files=tuple(paths), beside=tuple(beside))
            if not has_worktree(worker):
                for child_id in worker.child_job_ids:
                    yield from self._unit_of_work.jobs[child_id].facts.unjudged_work

    def _changed_while_running(self, worker: Worker) -> frozenset[str]:
        """Return the project's files that changed while the worker ran in the project.

        Other workers may have changed these files, too. The result is empty if the worker did not
        run in the project.
        """
        delivery = worker.delivery
        in_project = self._trees.task_of(worker).works_in_project
        return frozenset(delivery.checkout if delivery and in_project else ())

    def _note_limits(self, job: Job) -> None:
        spent = self._trees.spending.of(job.id)
        results = {
            worker.id: worker.result
            for each in self._trees.subtree(job.id)
            for worker in self._trees.workers_of(each)
            if worker.result is not None
        }
        usages = {worker_id: result.usage for worker_id, result in results.items()}
        partial = any(usage.partial for usage in usages.values())
        caps = exceeded_limits(job.config, spent, at_least=partial)
        has_cost_cap = job.config.max_cost_usd is not None
        unpriced = tuple(
            worker_id for worker_id, usage in usages.items() if has_cost_cap and is_unpriced(usage)
        )
        rejected = sum(result.refused_child_jobs for result in results.values())
        facts = replace(
            job.facts, caps_passed=caps, unpriced=unpriced, rejected_child_jobs=rejected
        )
        self._store_facts(job, facts)

    def _store_facts(self, job: Job, facts: JobFacts) -> None:
        if facts != job.facts:
            changed_job = changed(job, facts=facts)
            self._unit_of_work.update_job(job.id, facts=facts, reason=reason_of(changed_job))


def _unsuccessful_workers(workers: Sequence[Worker]) -> Iterator[str]:
    task_workers = [worker for worker in workers if not worker.is_planner]
    succeeded = tasks_succeeded(task_workers)
    for worker in task_workers:
        if not succeeded[worker.task_id] and worker.status is not WorkerStatus.SKIPPED:
            yield worker.id


def shortfall_of(worker: Worker) -> Shortfall | None:
    """Return the facts that a person should check about a worker's changes.

    Return None if there are no such facts, if the worker did not succeed, or if another candidate
    was chosen.
    """
    delivery = worker.delivery
    if delivery is None or not worker.status.succeeded or worker.chosen is False:
        return None
    altered = altered_judges(worker.gates)
    unchanged = delivery.is_in_doubt
    # For a worker with a worktree, omit files of the checkout: the job's facts already name all
    # workers that may have changed these files.
    checkout = () if delivery.has_worktree else delivery.checkout
    deleted = tuple(each for each in delivery.side_work if each.kind is SideWorkKind.DELETED)
    is_altered = altered.paths or altered.settings
    noteworthy = delivery.outside or is_altered or unchanged or checkout
    if not (noteworthy or delivery.held_back or delivery.saved or deleted):
        return None
    return Shortfall(
        worker_id=worker.id,
        outside=delivery.outside,
        judges=altered.paths,
        judges_with_code=altered.with_code,
        altered_settings=altered.settings,
        unchanged=unchanged,
        held_back=delivery.held_back,
        saved=delivery.saved,
        deleted=deleted,
        checkout=checkout,
        has_worktree=delivery.has_worktree,
    )


#: Note on a worker that succeeded without a change after a person's comments.
UNCHANGED = "the feedback led to no change"


class WorkerEnd:
    def __init__(
        self, trees: JobTrees, task_locks: TaskLocks, fallback: AgentFallback, job_end: JobEnd
    ) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._task_locks = task_locks
        self._fallback = fallback
        self._job_end = job_end
        self.selection = CandidateSelection(trees)

    def answered(self, worker: Worker, verdict: Verdict, now: float) -> None:
        self.record(worker, verdict, now)
        self._update_dependents(self._unit_of_work.workers[worker.key], now)

    def end(self, worker: Worker, verdict: Verdict, now: float) -> None:
        task, job = self._trees.task_of(worker), self._trees.job_of(worker)
        if not verdict.succeeded:
            verdict = replace(verdict, reason=failure_reason(worker, task, job.config, verdict))
        verdict = self._with_exceeded_caps(worker, task, verdict)
        self.record(worker, self._without_resolver(worker, job, verdict), now)
        self._update_dependents(self._unit_of_work.workers[worker.key], now)
        if verdict.login_refused and not verdict.moves:
            self.replace_refused_agent(worker, verdict, now)

    def wait_for_child_jobs(
        self, worker: Worker, unfinished: UnfinishedWorker, verdict: Verdict, *, stopping: bool
    ) -> None:
        """Make a worker wait for its child jobs, although the worker has no process.

        ``verdict``: the worker's outcome, unless a child job fails. ``stopping``: True if the
        worker is being stopped; False if only a pause stopped the worker's process.
        """
        unfinished.verdict = verdict
        unfinished.stopping = stopping
        reason = f"process exited ({verdict.reason or 'exit code 0'}); waiting for its child jobs"
        waiting = WaitingFor(WaitKind.CHILD_JOBS, ", ".join(sorted(unfinished.open_children)))
        payload = {"reason": reason, "waiting_for": waiting}
        if worker.status is WorkerStatus.WAITING:
            self._unit_of_work.update_worker(worker.key, **payload)
        else:
            self._unit_of_work.move_worker(worker.key, WorkerStatus.WAITING, **payload)

    def _with_exceeded_caps(self, worker: Worker, task: TaskSpec, verdict: Verdict) -> Verdict:
        if not has_caps(task):
            return verdict
        exceeded_caps = exceeded_limits(task, spent_by(worker.usage), at_least=worker.usage.partial)
        if not exceeded_caps:
            return verdict
        texts = map(describe_exceeded, exceeded_caps)
        return replace(verdict, reason="; ".join(filter(None, (verdict.reason, *texts))))

    def _without_resolver(self, worker: Worker, job: Job, verdict: Verdict) -> Verdict:
        """Return a successful verdict if the attempt failed to resolve merge conflicts.

        Such a worker succeeded before it was asked to resolve the conflicts. Its earlier work stays
        its result, and the conflicts are recorded as unresolved. In all other cases, and if the job
        is being stopped, return ``verdict``.
        """
        result = worker.result
        if verdict.succeeded or job.stop_cause is not None or not (result and result.conflicts):
            return verdict
        self._unit_of_work.update_worker(worker.key, result=replace(result, unresolved=True))
        status = WorkerStatus.RECURSIVE_SUCCESS if worker.child_job_ids else WorkerStatus.SUCCESS
        return Verdict(status=status, reason=f"conflicts not resolved: {verdict.reason}")

    def replace_refused_agent(self, first: Worker, verdict: Verdict, now: float) -> None:
        """Replace an agent whose login failed.

        ``first``: the worker whose login failed. Other workers of its job tree may still wait to
        start with the same agent. Each of these workers gets another agent, or fails if no other
        agent can be used.
        """
        reason = f"not started: {verdict.reason} (reported by {first.id})"
        for job_id in self._trees.jobs_of(first.root_id):
            for worker in self._trees.workers_of(job_id):
                unfinished = self._trees.unfinished.get(worker.key)
                is_idle = (
                    worker.status is WorkerStatus.PENDING
                    and unfinished
                    and not unfinished.open_children
                )
                is_idle = is_idle and worker.key not in self._trees.preloaded
                if not is_idle or worker.agent != first.agent:
                    continue
                if other_agent := self._fallback.agent_for(worker, verdict, now):
                    self._fallback.replace_agent(worker, other_agent, verdict, now)
                else:
                    retry = f"attempt {worker.attempt + 1} " if worker.attempt else ""
                    failed = Verdict(status=WorkerStatus.FAILED, reason=f"{retry}{reason}")
                    self.end(worker, failed, now)

    def record(self, worker: Worker, verdict: Verdict, now: float) -> None:
        verdict = self._with_feedback_answered(worker, verdict)
        status, reason = verdict.status, verdict.reason
        failure_fields = self._escalate(worker, verdict)
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
        payload |= {"files_created": files, **failure_fields}
        job = self._trees.job_of(worker)
        self._unit_of_work.emit(EventKind.WORKER_ENDED, job, now, worker.id, **payload)
        if ended.result and ended.result.messages:
            WorkerMessages(self._trees).ended(ended, ended.result.messages, now)
        if self._trees.locks.is_used:
            self._task_locks.release_claims(ended, now)
        del self._trees.unfinished[worker.key]
        if self._trees.has_candidates(ended):
            self.selection.after(ended, now)

    def _with_feedback_answered(self, worker: Worker, verdict: Verdict) -> Verdict:
        result = worker.result
        if result is None or not result.feedback or not verdict.succeeded:
            return verdict
        rounds = open_rounds(result.feedback)
        if not rounds:
            return verdict
        answered = replace(result, feedback=mark_answered(result.feedback, worker.attempt))
        self._unit_of_work.update_worker(worker.key, result=answered)
        if result.delivery is None or result.delivery.commit != rounds[-1].commit:
            return verdict
        return replace(verdict, reason="; ".join(filter(None, (verdict.reason, UNCHANGED))))

    def _ended_at(self, worker: Worker, now: float) -> float:
        process_end = self._trees.unfinished[worker.key].ended_at
        if process_end is None:
            return now
        child_ends = (self._unit_of_work.jobs[job_id].ended_at for job_id in worker.child_job_ids)
        return max([process_end, *(end for end in child_ends if end is not None)])

    def _escalate(self, worker: Worker, verdict: Verdict) -> Mapping[str, object]:
        """Mark the worker's latest failure as final. Return the failure's fields for the event.

        Return {} if the worker ends with success, or if no failure of its latest attempt is stored,
        for example because the attempt was cancelled.
        """
        failure = worker.failure_of(worker.attempt)
        if failure is None or verdict.succeeded or worker.result is None:
            return {}
        failure = escalated(failure, "no automatic retry")
        self._unit_of_work.update_worker(worker.key, result=with_failure(worker.result, failure))
        return failure.payload()

    def _update_dependents(self, worker: Worker, now: float) -> None:
        plan = self._trees.plans[worker.job_id]
        is_done = worker.status.succeeded and not worker.is_reviewer
        # A retried worker's time also contains failures and pauses, so it is not stored as a run
        # time.
        if is_done and worker.attempt == 1 and worker.started_at and worker.ended_at:
            seconds = worker.ended_at - worker.started_at
            run_times = self._trees.run_times.learn(
                worker.job_id, worker.task_id, max(0.0, seconds)
            )
            self._unit_of_work.note_run_times(run_times)
        ended_tasks = [(worker.task_id, is_done)]
        while ended_tasks:
            for dependent_id in plan.ended(*ended_tasks.pop()):
                for key in plan.workers_of(dependent_id):
                    other = self._unit_of_work.workers[key]
                    if other.status is not WorkerStatus.PENDING:
                        continue
                    if plan.is_ready(dependent_id):
                        self._trees.queue(other)
                    else:
                        self._skip(other, worker.task_id, now)
                        ended_tasks.append((dependent_id, False))
        self._job_end.check_job(worker.job_id, now)

    def _skip(self, worker: Worker, cause: str, now: float) -> None:
        task, plan = self._trees.task_of(worker), self._trees.plans[worker.job_id]
        dependency = next((each for each in task.depends_on if plan.hopeless(each)), cause)
        reason = f"dependency {dependency!r} did not succeed"
        self.record(worker, Verdict(status=WorkerStatus.SKIPPED, reason=reason), now)
