"""Completes a merge: records in the job which changes are in its result, and which are missing."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.core.events import EventKind
from orchestrator.core.lazy_dataclass import changed
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_facts import Missing, Overruled
from orchestrator.core.model.states import MergeState
from orchestrator.core.outcome.job.job_outcome import final_status
from orchestrator.core.outcome.job.reason import reason_of
from orchestrator.core.outcome.job.unmerged_changes import (
    ignored_promises,
    lost_below,
    lost_without_worktree,
    not_made,
    overruled_below,
    still_missing,
    unmerged_side_work,
)
from orchestrator.core.outcome.merge_outcome import MergeOutcome
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.transitions.ends.worker_and_job_end import shortfall_of


class MergeCompletion:
    def __init__(self, trees: JobTrees) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work

    def merged(self, job_id: str, merged: MergeOutcome) -> None:
        job = self._unit_of_work.jobs.get(job_id)
        if job is None:
            return
        job = self._unit_of_work.update_job(job_id, **self._job_fields(job, merged))
        self._unit_of_work.update_job(job_id, reason=reason_of(job))

    def merged_later(self, job_id: str, merged: MergeOutcome, now: float) -> None:
        job = self._unit_of_work.jobs[job_id]
        if not job.status.ended:
            return
        self._forget_conflicts(job, merged)
        fields = self._job_fields(job, merged)
        if not merged.error:
            # The merge has replaced the result, so no branch has the present result.
            facts = fields["facts"]
            fields["facts"] = replace(facts, landed=(), landed_on=facts.landed_earlier)
        changed_job = changed(job, **fields)
        status = final_status(changed_job, self._trees.workers_of(job_id))
        reason = reason_of(changed(changed_job, status=status))
        if (status, reason) == (job.status, job.reason):
            self._unit_of_work.update_job(job_id, **fields)
            return
        if status is not job.status:
            self._unit_of_work.move_job(job_id, status)
        ended = self._unit_of_work.update_job(job_id, reason=reason, **fields)
        self._unit_of_work.emit(EventKind.JOB_ENDED, ended, now, status=str(status), reason=reason)

    def _forget_conflicts(self, job: Job, merged: MergeOutcome) -> None:
        missing_ids = {each.worker_id for each in merged.missing}
        for worker in self._trees.workers_of(job.id):
            is_unresolved = worker.result is not None and worker.result.unresolved
            if is_unresolved and worker.status.succeeded and worker.id not in missing_ids:
                self._unit_of_work.update_worker(worker.key, reason="")

    def _job_fields(self, job: Job, merged: MergeOutcome) -> dict[str, Any]:
        lost, overruled = self._losses_below(job)
        plan, workers = self._trees.plans[job.id], self._trees.workers_of(job.id)
        without_worktree = tuple(lost_without_worktree(job, plan.tasks, workers))
        present = (*merged.files, *_files_without_worktree(workers))
        workers_below = [
            worker
            for each in self._trees.subtree(job.id)
            for worker in self._trees.workers_of(each)
        ]
        lost = tuple(still_missing(lost, workers_below, present))
        chosen = (each for each in merged.missing if each.chosen)
        excluded_ids = {each.worker_id for each in chosen if not each.child_job_id}
        included = [each for each in workers if each.id not in excluded_ids]
        not_created = tuple(not_made(job, included, present, merged.removed))
        taken = job.facts.taken if merged.taken is None else merged.taken
        in_result = [each for each in included if each.belongs_to_result or each.id in taken]
        unmerged = (*unmerged_side_work(job, in_result), *ignored_promises(job, in_result, present))
        result_ids = {each.id for each in in_result}
        facts = replace(
            job.facts,
            earlier_parts=tuple(
                each for each in job.facts.earlier_parts if each.worker_id not in result_ids
            ),
            merge_error=merged.error,
            missing=(*merged.missing, *without_worktree, *not_created, *unmerged),
            taken=taken,
            taken_jobs=job.facts.taken_jobs if merged.taken_jobs is None else merged.taken_jobs,
            lost_below=lost,
            not_in_parent=merged.not_in_parent,
            overruled=merged.overruled,
            overruled_below=overruled,
            both_kept=merged.both_kept,
            by_driver=merged.by_driver,
            # A person may have chosen other candidates since the job's end.
            shortfalls=tuple(each for each in map(shortfall_of, workers) if each),
            undone=merged.undone,
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
        has_failed = merged.state is MergeState.FAILED
        lacks_changes = without_worktree or unmerged or any(each.is_made for each in lost)
        state = MergeState.IN_PART if lacks_changes and not has_failed else merged.state
        return {"merge_state": state, "facts": facts}

    def _losses_below(self, job: Job) -> tuple[tuple[Missing, ...], tuple[Overruled, ...]]:
        lost: list[Missing] = []
        overruled: list[Overruled] = []
        for worker in self._trees.workers_of(job.id):
            children = [self._unit_of_work.jobs[each] for each in worker.child_job_ids]
            lost += lost_below(worker, children)
            overruled += overruled_below(worker, children)
        return tuple(lost), tuple(overruled)


def _files_without_worktree(workers: Sequence[Worker]) -> Iterator[str]:
    for worker in workers:
        delivery = worker.delivery
        if worker.result and delivery and worker.belongs_to_result and not delivery.has_worktree:
            yield from (*worker.result.files_created, *delivery.checkout)
