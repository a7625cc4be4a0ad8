"""Selects workers that get another attempt to resolve their merge conflicts.

For any other worker with conflicts, this module records why the worker gets no attempt.
"""

from collections.abc import Iterator

from orchestrator.core.model.attempt.failure import SENT_BACK
from orchestrator.core.model.job import Worker
from orchestrator.core.model.job_settings import RESOLVE_WORKER
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.merge_outcome import MergeRejection
from orchestrator.core.outcome.retry_policy import has_no_retry
from orchestrator.core.repository.git_refs import resolving_ref, sent_ref, worker_branch
from orchestrator.core.repository.repository import Hindrance
from orchestrator.engine.merge.culprit_search import SearchResult
from orchestrator.engine.merge.record.merge_record import MOST_PATHS
from orchestrator.engine.merge.running_merge import RunningMerge
from orchestrator.engine.worktrees import conflict_resolution

#: Maximum number of a worker's conflicts that are passed to the agent that resolves them.
MOST_CONFLICTS = 100


class ResolverSelection:
    def __init__(self, merge: RunningMerge) -> None:
        self._merge = merge

    def rejections(self, search: SearchResult) -> Iterator[MergeRejection]:
        """Yield a merge rejection for each worker whose conflicts an agent can resolve.

        The scheduler decides which of these workers get another attempt.

        Yield nothing if the job's setting ``resolve`` is off, if a person repeats the merge, or if
        nothing was merged.
        """
        record, job = self._merge.record, self._merge.job
        if not job.config.resolve or record.again or not record.commit:
            return
        by_itself = job.config.resolve == RESOLVE_WORKER
        conflicts = {step.part.worker.id: step.conflicts for step in search.steps}
        for worker in self._conflicting_workers(search):
            if by_itself and not self._merge.worktrees.rule.can_resolve(worker):
                continue
            self._undo_failed_resolution(worker)
            self._merge.repository.set_ref(sent_ref(worker), search.commit)
            names = dict.fromkeys(each.path for each in conflicts[worker.id])
            paths = tuple(names)[:MOST_CONFLICTS]
            yield MergeRejection(
                worker_id=worker.id,
                reason=f"conflict with other workers in {', '.join(paths[:MOST_PATHS])}",
                conflicts=paths,
                agent="" if by_itself else job.config.resolve,
                required=False,
            )

    def note_hindrances(self, search: SearchResult) -> None:
        """Record why workers with conflicts get no attempt to resolve the conflicts."""
        record = self._merge.record
        for worker in self._conflicting_workers(search):
            hindrance = self._hindrance(worker)
            if hindrance is None and record.again:
                hindrance = Hindrance.NOT_ASKED
            if hindrance is not None:
                record.hindrances[worker.id] = hindrance
                self.note_resolvable(worker)

    def note_resolvable(self, worker: Worker) -> None:
        """Record an excluded worker as resolvable, if the worker can get another attempt.

        Workers of child jobs can get no other attempt, because their parent worker has ended.
        """
        counts = worker.chosen is not False and (worker.status.succeeded or is_rejected(worker))
        if counts and self._merge.job.is_root and self._merge.worktrees.rule.can_resolve(worker):
            self._merge.record.resolvable.append(worker.id)

    def _hindrance(self, worker: Worker) -> Hindrance | None:
        job, task = self._merge.job, self._merge.tasks[worker.task_id]
        by_itself = job.config.resolve in ("", RESOLVE_WORKER)
        if by_itself and not self._merge.worktrees.rule.can_resolve(worker):
            return Hindrance.NO_AGENT
        if not job.config.resolve:
            return Hindrance.OFF
        if conflict_resolution.unresolved(self._merge.repository, worker):
            return Hindrance.UNRESOLVED
        if job.stop_cause is not None:
            return Hindrance.STOPPED
        return Hindrance.NO_RETRY if has_no_retry(worker, task, job.config) else None

    def _undo_failed_resolution(self, worker: Worker) -> None:
        """Undo a failed attempt to resolve conflicts: reset the branch to its earlier head.

        Idempotent. Do nothing if the worker gets no further attempt.
        """
        repository = self._merge.repository
        failed = worker.result is not None and worker.result.unresolved
        if failed and worker.attempt <= worker.budget_from:
            earlier_head = conflict_resolution.own_tip(repository, worker)
            repository.set_ref(worker_branch(worker), earlier_head)
            repository.delete_ref(resolving_ref(worker))

    def _conflicting_workers(self, search: SearchResult) -> Iterator[Worker]:
        """Yield the workers whose own changes conflict.

        If only changes of a worker's child jobs conflict, omit the worker, because it cannot
        resolve such conflicts.
        """
        for step in search.steps:
            if not step.is_whole and step.part.worker.id not in self._merge.record.merged:
                yield step.part.worker


def is_rejected(worker: Worker) -> bool:
    """True if the worker failed because its changes failed the gates on the merged state."""
    return worker.status is WorkerStatus.FAILED and worker.failure == SENT_BACK
