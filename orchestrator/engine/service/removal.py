"""The use cases that remove an ended job, or only its branches."""

from collections.abc import Sequence

from orchestrator.core.errors import Conflict
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Job
from orchestrator.core.ports import Store, Workspace
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.job_removal import JobRemoval
from orchestrator.engine.merge.merge_queue import MergeQueue
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.supervisor.stored_trees import StoredTrees
from orchestrator.engine.supervisor.supervisor import Supervisor
from orchestrator.engine.worktrees.worker_worktrees import Worktrees


class RemovalCalls:
    def __init__(
        self,
        *,
        supervisor: Supervisor,
        store: Store,
        workspace: Workspace,
        access: Access,
        trees: StoredTrees,
        worktrees: Worktrees,
        merge_queue: MergeQueue,
        removal: JobRemoval,
    ) -> None:
        self._supervisor = supervisor
        self._store = store
        self._workspace = workspace
        self._access = access
        self._trees = trees
        self._worktrees = worktrees
        self._merge_queue = merge_queue
        self._removal = removal

    def remove(self, caller: Caller, job_id: str) -> Sequence[str]:
        """Remove a job from the disk and the store, as the command ``clean`` does.

        Return the names of the job's git refs that remain, because no other ref has the same work.
        Raise Forbidden if the caller is a worker. Raise Conflict if the job is not a root job, is
        running, is being merged, or is attached to a terminal.
        """
        self._check_removable(caller, job_id)

        self._removal.secure(job_id)

        def action(scheduler: Scheduler, now: float) -> None:
            # This action runs in the supervisor's thread, so no retry can start between this check
            # and the removal of the job's rows.
            if scheduler.view.has_tree(job_id) or not self._removal.begin(job_id):
                raise Conflict(
                    f"job {job_id} is in use, for example by a retry, a merge, or "
                    f"`{COMMAND} attach`; nothing was removed; show the job's status: "
                    f"{COMMAND} status {job_id}"
                )

        self._supervisor.call(action)
        return self._removal.delete_files(job_id)

    def discard(self, caller: Caller, job_id: str) -> Sequence[str]:
        """Remove a job's branches, worktrees, and other refs, except refs of landed work.

        Return the names of the removed refs. Idempotent. Raise RepositoryError if git fails, and
        the same errors as ``remove``.
        """
        self._access.workable(caller, job_id)
        job = self._check_removable(caller, job_id)
        directory = str(self._workspace.job_directory(job_id))
        removed_refs = self._worktrees.checkpoints.repository.discard_job(job_id, directory)
        # A job without worktrees had nothing to discard, and can be retried.
        if (removed_refs or job.config.base) and not job.facts.discarded:
            self._trees.amend(job_id, lambda tree: tree.discarded(job_id))
            self._trees.report(job_id, (each.id for each in self._tree_of(job)))
        return removed_refs

    def _check_removable(self, caller: Caller, job_id: str) -> Job:
        job = self._access.changeable(caller, job_id)
        self._access.check_person(caller)
        if not job.is_root:
            raise Conflict(f"job {job_id} is a child job; use its root job {job.root_id}")
        if not job.status.ended:
            raise Conflict(
                f"job {job_id} is {job.status}; nothing was removed; wait for its end, or stop it: "
                f"{COMMAND} cancel {job_id}"
            )
        for each in self._tree_of(job):
            self._merge_queue.check_idle(each.id)
            self._trees.check_not_attached(*self._store.workers(each.id))
        return job

    def _tree_of(self, job: Job) -> Sequence[Job]:
        tree = self._store.tree(job.id)
        return tree.jobs if tree else ()
