"""Planning: a job's planner, its plan, and the approval of the plan by a person."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestrator.core.errors import Conflict, OutdatedPlan
from orchestrator.core.events import EventKind
from orchestrator.core.lazy_dataclass import changed
from orchestrator.core.model.job import NO_PLAN, Job, TaskSpec, Worker
from orchestrator.core.model.job_facts import NO_FACTS, PlanFallback
from orchestrator.core.model.states import JobStatus, MergeState
from orchestrator.core.outcome.job.human_needs import needs_of
from orchestrator.core.outcome.job.reason import approval_wait_fields, pause_sentence
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.state.plan_progress import PlanProgress
from orchestrator.core.scheduler.transitions.ends.worker_and_job_end import JobEnd
from orchestrator.core.scheduler.transitions.pauses import Pauses
from orchestrator.core.text.command_name import COMMAND


class Planning:
    """Planning: a job's planner, its plan, and the approval of the plan.

    A job without tasks begins with a plan of one task, which is to plan the job. The planner is the
    worker of this task. All rules for workers apply to the planner, but the job's list of workers
    does not contain the planner.
    """

    def __init__(self, trees: JobTrees, job_end: JobEnd, pauses: Pauses) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._job_end = job_end
        self._pauses = pauses

    def adopted(
        self,
        job_id: str,
        tasks: Sequence[TaskSpec],
        workers: Sequence[Worker],
        source: str,
        reason: str,
        now: float,
    ) -> None:
        """Add the job's tasks from its plan: see ``Scheduler.plan_adopted``."""
        self._job_end.planning.discard(job_id)
        planner = self._unit_of_work.workers[self._trees.planners[job_id]]
        facts = self._unit_of_work.jobs[job_id].facts
        fallback = PlanFallback(agent=planner.agent, reason=reason) if reason else None
        facts = replace(facts, plan_error="", plan_fallback=fallback)
        pause_reason = pause_sentence(self._unit_of_work.jobs[job_id])
        job = self._unit_of_work.update_job(
            job_id, plan_source=source, reason=pause_reason, facts=facts
        )
        self._unit_of_work.add_tasks(job, tasks, workers)
        self._count_in_parent(job, len(workers))
        count = len(tasks)
        payload: dict[str, object] = {"source": source, "tasks": count, "reason": reason}
        if reason:
            payload["fallback_from"] = planner.agent
        self._unit_of_work.emit(EventKind.JOB_PLANNED, job, now, None, **payload)
        if job.config.approve:
            job = self._unit_of_work.update_job(job_id, **approval_wait_fields(job))
        else:
            job = self._unit_of_work.move_job(job_id, JobStatus.PENDING)
        self._trees.install(job, PlanProgress(tasks, workers))
        self._job_end.check_job(job_id, now)

    def _count_in_parent(self, job: Job, workers: int) -> None:
        if job.parent_key is not None:
            parent = self._unit_of_work.workers[job.parent_key]
            self._unit_of_work.update_worker(
                parent.key, child_workers=parent.child_workers + workers
            )

    def impossible(self, job_id: str, reason: str, now: float) -> None:
        facts = replace(self._unit_of_work.jobs[job_id].facts, plan_error=reason)
        job = self._unit_of_work.update_job(job_id, plan_source=NO_PLAN, reason=reason, facts=facts)
        self._job_end.request_reports(job, now)

    def approve(self, job_id: str, by: str, now: float, comment: str) -> None:
        """Approve the job's plan. Raise Conflict if the job does not wait for approval."""
        self.check_waits(job_id)
        job = self._unit_of_work.jobs[job_id]
        for each in (job, *self._trees.ancestors(job)):
            self._pauses.discount_approval(each, now)
        job = self._unit_of_work.move_job(
            job_id,
            JobStatus.PENDING,
            awaits_approval=False,
            reason=pause_sentence(self._unit_of_work.jobs[job_id]),
        )
        payload = {"by": by, **({"comment": comment} if comment else {})}
        self._unit_of_work.emit(EventKind.JOB_APPROVED, job, now, None, **payload)
        self._trees.queue_ready(job_id)

    def edit(
        self,
        job_id: str,
        tasks: Sequence[TaskSpec],
        workers: Sequence[Worker],
        by: str,
        now: float,
    ) -> None:
        """Replace the plan that waits for approval. Call ``check_version`` first."""
        old_keys = list(self._trees.plans[job_id].workers)
        for key in old_keys:
            self._trees.locks.cancel_claim(key)
            del self._trees.unfinished[key]
        version = self._unit_of_work.jobs[job_id].plan_version + 1
        job = self._unit_of_work.update_job(job_id, plan_version=version)
        self._unit_of_work.replace_plan(job, old_keys, tasks, workers)
        self._count_in_parent(job, len(workers) - len(old_keys))
        payload: dict[str, object] = {"by": by, "version": version, "tasks": len(tasks)}
        self._unit_of_work.emit(EventKind.PLAN_EDITED, job, now, None, **payload)
        self._trees.install(job, PlanProgress(tasks, workers))

    def check_version(self, job_id: str, version: int) -> None:
        """Raise Conflict if the job does not wait for approval.

        Raise OutdatedPlan, which is a Conflict, if the plan's version is not ``version``.
        """
        self.check_waits(job_id)
        current_version = self._unit_of_work.jobs[job_id].plan_version
        if version != current_version:
            raise OutdatedPlan(
                f"version {version} of the plan of job {job_id} is outdated: the plan now has "
                f"version {current_version}; nothing was changed; read the plan again, then repeat "
                "the call",
                version=current_version,
            )

    def check_waits(self, job_id: str) -> None:
        """Raise Conflict if the job does not wait for approval."""
        job = self._unit_of_work.jobs.get(job_id)
        if job is None or job.stop_cause or not self._trees.waits_for_approval(job):
            hint = self._answer_hint(job) if job else ""
            hint = hint or f"show the job: {COMMAND} status {job_id}"
            raise Conflict(f"job {job_id} is not waiting for approval; {hint}")

    def _answer_hint(self, job: Job) -> str:
        questions = [each for each in self._trees.workers_of(job.id) if each.is_question]
        needs = needs_of(job, questions)
        return f"to answer the question of a task: {needs[0].command}" if needs else ""

    def reopen_job(self, job_id: str, now: float, **changes: object) -> Job:
        """Set an ended job to running, or to planning if its plan must be created or approved.

        ``changes``: new values of other fields of the job. Return the changed job.
        """
        job, plan = self._unit_of_work.jobs[job_id], self._trees.plans[job_id]
        status, changes = JobStatus.RUNNING, {**changes, **_NOTHING_ENDED}
        if plan.planner is not None:
            agent = self._unit_of_work.workers[plan.planner].agent
            status, changes["plan_source"] = JobStatus.PLANNING, agent
        elif job.facts.plan_fallback:
            # The built-in rules created the tasks as a fallback. These tasks stay.
            changes["facts"] = replace(NO_FACTS, plan_fallback=job.facts.plan_fallback)
        if plan.planner is None and self._awaits_approval_again(job):
            status = JobStatus.PLANNING
            changes |= approval_wait_fields(changed(job, **changes))
        job = self._unit_of_work.move_job(job_id, status, **changes)
        begun = self._pauses.with_inherited_pause(job, now)
        if begun is job:
            return job
        return self._unit_of_work.update_job(job_id, pause=begun.pause, reason=begun.reason)

    def _awaits_approval_again(self, job: Job) -> bool:
        return job.config.approve and not any(
            worker.attempt > 0 for worker in self._trees.workers_of(job.id)
        )


#: The fields that describe a job's end, with their values while the job runs.
_NOTHING_ENDED: Mapping[str, object] = {
    "reason": "",
    "cancelled_by": None,
    "stop_cause": None,
    "paused_seconds": 0.0,
    "merge_state": MergeState.NONE,
    "facts": NO_FACTS,
}
