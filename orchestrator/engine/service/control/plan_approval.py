"""The use cases about the plan of a job that waits for approval: edit, approve, reject."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestrator.core.errors import Conflict, InvalidRequest, OutdatedPlan
from orchestrator.core.events import EventKind
from orchestrator.core.limits.effective_settings import within_root
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Job, TaskSpec
from orchestrator.core.model.states import StopCause
from orchestrator.core.ports import Store
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.submission.agents_and_gates import GatePlans
from orchestrator.engine.submission.job_creation import (
    SubmissionBuilder,
    check_tasks,
    check_workdir,
)
from orchestrator.engine.supervisor.supervisor import Supervisor


class PlanCalls:
    def __init__(
        self,
        *,
        supervisor: Supervisor,
        store: Store,
        access: Access,
        submission_builder: SubmissionBuilder,
        gate_plans: GatePlans,
    ) -> None:
        self._supervisor = supervisor
        self._store = store
        self._access = access
        self._submission_builder = submission_builder
        self._gate_plans = gate_plans

    def edit(
        self,
        caller: Caller,
        job_id: str,
        tasks: Sequence[TaskSpec],
        version: int,
        keeps_env: frozenset[str] = frozenset(),
    ) -> Job:
        """Replace the plan of a job that waits for approval.

        ``version``: the version of the plan that the caller edited. ``keeps_env``: ids of tasks
        that keep their stored environment.

        Raise Conflict if the job does not wait for approval, or if its plan now has another
        version. Raise InvalidRequest or Refused for tasks that the job cannot have.
        """
        self._access.check_person(caller)
        job = self._access.workable(caller, job_id)
        check_tasks(tasks)
        _check_worktrees(job, tasks)
        root = self._store.job(job.root_id) or job
        root_base = root.config.base or job.config.base
        tasks = self._gate_plans.of_tasks(within_root(tasks, root.config), root_base)

        def action(scheduler: Scheduler, now: float) -> None:
            try:
                scheduler.check_plan(job_id, version)
            except OutdatedPlan as error:
                # A caller that did not receive the answer may repeat the call.
                present_tasks = scheduler.view.tasks_of(job_id)
                edited_tasks = _with_env(tasks, present_tasks, keeps_env)
                planned_tasks, _ = self._submission_builder.edited_plan(
                    scheduler, job, edited_tasks, now
                )
                if error.version != version + 1 or list(planned_tasks) != list(
                    present_tasks.values()
                ):
                    raise
                return
            edited_tasks = _with_env(tasks, scheduler.view.tasks_of(job_id), keeps_env)
            if job.parent_key is not None:
                parent = scheduler.view.workers[job.parent_key]
                check_workdir(edited_tasks, scheduler.view.task_of(parent))
            scheduler.check_locks(job, edited_tasks)
            reviewed_tasks, workers = self._submission_builder.edited_plan(
                scheduler, job, edited_tasks, now
            )
            scheduler.edit_plan(job_id, reviewed_tasks, workers, caller.name, now)

        self._supervisor.call(action)
        return self._access.job(caller, job_id)

    def approve(
        self, caller: Caller, job_id: str, comment: str = "", version: int | None = None
    ) -> Job:
        """Approve the plan of a job that waits for approval, and start its tasks.

        ``comment``: the person's comment, which is stored. ``version``: the version of the plan
        that the person has read; None approves any version.

        Raise Conflict if the job does not wait for approval, or if its plan has another version.
        """
        job = self._access.changeable(caller, job_id)
        self._access.check_person(caller)

        def action(scheduler: Scheduler, now: float) -> None:
            if version is not None:
                scheduler.check_plan(job_id, version)
            scheduler.approve_plan(job_id, caller.name, now, comment)

        try:
            self._supervisor.call(action)
        except Conflict:
            # A caller that did not receive the answer may repeat the call.
            approval = self._store.latest_event(job.root_id, job_id, EventKind.JOB_APPROVED)
            payload = approval.data if approval else {}
            if (payload.get("by"), payload.get("comment", "")) != (caller.name, comment):
                raise
        return self._access.job(caller, job_id)

    def reject(self, caller: Caller, job_id: str, comment: str = "") -> Job:
        """Reject the plan of a job that waits for approval, and cancel the job.

        Raise Conflict if the job does not wait for approval.
        """
        self._access.changeable(caller, job_id)
        self._access.check_person(caller)

        def action(scheduler: Scheduler, now: float) -> None:
            scheduler.reject_plan(job_id, caller.signature, now, comment)

        try:
            self._supervisor.call(action)
        except Conflict:
            # Raise no error if an earlier call has already rejected the plan, because to reject is
            # to cancel, and to cancel is idempotent.
            job = self._access.job(caller, job_id)
            is_cancelled = job.stop_cause is StopCause.USER and job.config.approve
            approval = self._store.latest_event(job.root_id, job_id, EventKind.JOB_APPROVED)
            if not is_cancelled or approval:
                raise
        return self._access.job(caller, job_id)


def _with_env(
    tasks: Sequence[TaskSpec], present_tasks: Mapping[str, TaskSpec], kept_ids: frozenset[str]
) -> tuple[TaskSpec, ...]:
    """Return the edited tasks. A task keeps its stored environment if its id is in ``kept_ids``.

    ``present_tasks``: the tasks before the edit, by id. The API's answers omit environments, so a
    caller that edits a plan cannot send them back.
    """
    return tuple(
        replace(task, env=present_tasks[task.id].env)
        if task.id in kept_ids & present_tasks.keys()
        else task
        for task in tasks
    )


def _check_worktrees(job: Job, tasks: Sequence[TaskSpec]) -> None:
    task_ids = [task.id for task in tasks if task.needs_worktree(job.config.git)]
    if task_ids and not job.config.base:
        raise InvalidRequest(
            f"task {task_ids[0]!r} needs a worktree, and job {job.id} has no commit to "
            "start from; remove 'git: on', or submit the plan as a new job",
            kind="base",
        )
