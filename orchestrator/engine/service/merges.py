"""The use cases that merge an ended job again, and select another candidate."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from orchestrator.core.errors import Conflict, InvalidRequest
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Job
from orchestrator.core.model.job_facts import LossCause
from orchestrator.core.model.job_settings import RESOLVE_WORKER
from orchestrator.core.model.scheduler_commands import Render
from orchestrator.core.model.submission import ConfigRequest
from orchestrator.core.outcome.job.unmerged_changes import has_worktree
from orchestrator.core.outcome.merge_outcome import MergeOutcome
from orchestrator.core.ports import Store
from orchestrator.core.repository.repository import MergeChoice, Strategy
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.merge.merge_queue import MergeQueue
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.service.queries.job_details import JobDetails, no_such_task
from orchestrator.engine.service.reruns.rerun_checks import (
    check_conflicts,
    check_job_ended,
    check_not_discarded,
)
from orchestrator.engine.submission.job_creation import SubmissionBuilder
from orchestrator.engine.supervisor.stored_trees import StoredTrees
from orchestrator.engine.supervisor.supervisor import Supervisor
from orchestrator.engine.worktrees.worker_worktrees import Worktrees

#: Maximum seconds for which a call waits for a merge. A longer merge continues in the background.
PATIENCE_SECONDS = 10.0


class MergeCalls:
    def __init__(
        self,
        *,
        supervisor: Supervisor,
        store: Store,
        access: Access,
        trees: StoredTrees,
        job_details: JobDetails,
        submission_builder: SubmissionBuilder,
        worktrees: Worktrees,
        merge_queue: MergeQueue,
        rewrite_report: Callable[[Render], None],
    ) -> None:
        self._supervisor = supervisor
        self._store = store
        self._access = access
        self._trees = trees
        self._job_details = job_details
        self._submission_builder = submission_builder
        self._worktrees = worktrees
        self._merge_queue = merge_queue
        self._rewrite_report = rewrite_report

    def merge(self, caller: Caller, job_id: str, choice: MergeChoice) -> bool:
        """Merge an ended job again. Return True if the merge has ended, or False if it still runs.

        If ``choice.resolve`` is set, only start attempts that resolve the conflicts, and return
        False. The merge follows these attempts.

        Raise Conflict if no merge is possible. Raise InvalidRequest if the choice names a worker or
        child job that the job does not have, or if parts of the choice contradict each other.
        """
        job = self._access.workable(caller, job_id)
        check_job_ended(job)
        workers = self._store.workers(job_id)
        worker_ids = {worker.id for worker in workers}
        child_ids = {child for worker in workers for child in worker.child_job_ids}
        unknown = sorted({*choice.include, *choice.exclude} - worker_ids - child_ids)
        if unknown:
            raise InvalidRequest(
                f"job {job_id} has no worker or child job {unknown[0]!r}; known: "
                f"{', '.join([*sorted(worker_ids), *sorted(child_ids)][:20])}"
            )
        both = sorted({*choice.include} & {*choice.exclude})
        if both:
            raise InvalidRequest(
                f"{both[0]} cannot be both included and excluded; remove {both[0]} from one of the "
                "two lists"
            )
        check_not_discarded(job, f"merge job {job.id}")
        if choice.resolve:
            self._begin_resolving(caller, job, choice)
            return False
        if self._is_already_merged(caller, job, choice):
            return True
        return self._merge_again(job, choice)

    def _merge_again(self, job: Job, choice: MergeChoice) -> bool:
        future = self._merge_queue.merge_again(
            job.root_id, job.id, choice, partial(self._record_later_merge, job.root_id, job.id)
        )
        try:
            future.result(PATIENCE_SECONDS)
        except TimeoutError:
            return False
        return True

    def choose(
        self, caller: Caller, job_id: str, task_id: str, worker_id: str, reason: str = ""
    ) -> bool:
        """Select another candidate of a task, with the person's reason, and merge the job again.

        Return True if the merge has ended, or False if the merge still runs. Raise NotFound for an
        unknown task. Raise InvalidRequest for a worker that is not a candidate of the task. Raise
        Conflict if a selection is not possible.
        """
        job = self._access.workable(caller, job_id)
        workers = self._store.workers(job_id)
        candidates = [each for each in workers if each.task_id == task_id]
        if not candidates:
            raise no_such_task(job_id, task_id, (each.task_id for each in workers))
        worker = next((each for each in candidates if each.id == worker_id), None)
        if worker is None:
            names = ", ".join(each.id for each in candidates[:20])
            raise InvalidRequest(
                f"{worker_id} is not a candidate of task {task_id!r}; known: {names}"
            )
        check_job_ended(job)
        check_not_discarded(job, f"merge job {job.id}")
        self._merge_queue.check_idle(job_id)

        def action(scheduler: Scheduler, now: float) -> None:
            self._trees.restore(scheduler, job.root_id, now)
            present_job = scheduler.view.jobs.get(job_id)
            if present_job is None or not present_job.status.ended:
                raise Conflict(
                    f"job {job_id} is being retried; wait for it: {COMMAND} wait {job_id}"
                )
            scheduler.choose(scheduler.view.workers[worker.key], caller.name, now, reason)

        self._supervisor.call(action)
        if not has_worktree(worker):
            # A worker without a worktree has nothing to merge. Only rewrite the reports, because
            # they name the chosen candidate.
            self._rewrite_report(Render(job.root_id, job_id, (job_id,)))
            return True
        return self._merge_again(job, MergeChoice())

    def _is_already_merged(self, caller: Caller, job: Job, choice: MergeChoice) -> bool:
        if not choice.include or choice.exclude or choice.strategy:
            return False
        record = self._job_details.merge_record(caller, job.id)
        merged_ids = {*record.get("merged", ())} - {*record.get("left_out", ())}
        workers = {each.id: each for each in self._store.workers(job.id)}
        counting_ids = {each.id for each in workers.values() if each.belongs_to_result}
        if any(each not in workers for each in choice.include):
            return False
        if any(self._worktrees.branches.has_moved(workers[each]) for each in choice.include):
            return False
        return {*choice.include} <= merged_ids & {*counting_ids, *job.facts.taken}

    def _begin_resolving(self, caller: Caller, job: Job, choice: MergeChoice) -> None:
        if choice.include or choice.exclude or choice.strategy not in ("", Strategy.AUTO):
            raise InvalidRequest(
                "'resolve' cannot be combined with 'include', 'exclude', or a 'strategy' "
                "other than 'auto'; remove 'resolve', or the other options"
            )
        self._submission_builder.choice.check_names(ConfigRequest(resolve=choice.resolve))
        self._merge_queue.check_idle(job.id)
        self._trees.check_not_attached(*self._store.workers(job.id))
        if choice.resolve == RESOLVE_WORKER and job.is_root:
            _check_resolvable(job)

        def action(scheduler: Scheduler, now: float) -> None:
            self._trees.reopen(scheduler, job, now, check_conflicts)
            config = replace(job.config, resolve=choice.resolve, merge_strategy=str(Strategy.AUTO))
            scheduler.update_config(job.id, config)
            scheduler.resolve_again(job.id, caller.name, now)

        self._supervisor.call(action)

    def _record_later_merge(self, root_id: str, job_id: str, outcome: MergeOutcome) -> None:
        def action(scheduler: Scheduler, now: float) -> None:
            self._trees.restore(scheduler, root_id, now)
            if job_id in scheduler.view.jobs:
                scheduler.merged_later(job_id, outcome, now)

        self._supervisor.call(action)

    def is_merging(self, job_id: str) -> bool:
        """True if a merge of the job waits or runs."""
        return self._merge_queue.is_merging(job_id)


def _check_resolvable(job: Job) -> None:
    conflicts = [each for each in job.facts.missing if each.cause is LossCause.CONFLICT]
    if conflicts and not any(each.resolvable for each in conflicts):
        raise Conflict(
            "no worker of the job can resolve conflicts; nothing was changed; list commands "
            f"that merge the changes: {COMMAND} status {job.id}"
        )
