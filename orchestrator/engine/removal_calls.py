"""The use cases that remove what a job left: all of it, or its branches."""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.core.command import COMMAND
from orchestrator.core.errors import Conflict
from orchestrator.core.job_reason import reason_of
from orchestrator.core.ledger import Ledger
from orchestrator.core.model import Job
from orchestrator.core.scheduler import Scheduler
from orchestrator.core.submission import Caller
from orchestrator.core.values import changed
from orchestrator.engine.checkpointing import Checkpointing
from orchestrator.engine.integration import Integration
from orchestrator.engine.removal import Removal


class RemovalCalls(Checkpointing):
    """For persons, and for root jobs that have ended. Every method raises NotFound for what is not
    the caller's, and Conflict for a job that runs, is merged, or is attached to a terminal."""

    _removal: Removal
    _integration: Integration

    def remove(self, caller: Caller, job_id: str) -> Sequence[str]:
        """Remove a job from disk and store, as ``clean`` does.

        The names of refs in git under which work is kept that is nowhere else.
        """
        self._check_removable(caller, job_id)

        self._removal.secure(job_id)

        def action(scheduler: Scheduler, now: float) -> None:
            # Nothing can run it again between this and the removal of its rows.
            if job_id in scheduler.forest or not self._removal.begin(job_id):
                raise Conflict(f"job {job_id} is in use; nothing was removed")

        self._supervisor.call(action)
        return self._removal.destroy(job_id)

    def discard(self, caller: Caller, job_id: str) -> Sequence[str]:
        """Remove branches, worktrees, and kept refs of a job that have not landed. Idempotent.

        The names of those that were there. Raise RepositoryError.
        """
        self._access.workable(caller, job_id)
        job = self._check_removable(caller, job_id)
        directory = str(self._workspace.job_directory(job_id))
        gone = self._worktrees.checkpoints.repository.discard(job_id, directory)
        if not job.facts.discarded:
            self._amend(job_id, lambda ledger: _note_discarded(ledger, job_id))
            self._report_tree(job_id, (each.id for each in self._tree_of(job)))
        return gone

    def _check_removable(self, caller: Caller, job_id: str) -> Job:
        job = self._access.changeable(caller, job_id)
        self._access.check_person(caller)
        if not job.is_root:
            raise Conflict(f"job {job_id} is a child job; name its root job, {job.root_id}")
        if not job.status.ended:
            raise Conflict(
                f"job {job_id} is {job.status}; nothing was removed; wait for its end, or stop it: "
                f"{COMMAND} cancel {job_id}"
            )
        for each in self._tree_of(job):
            if self._integration.is_under_way(each.id):
                raise Conflict(f"job {each.id} is being merged; ask again when that is done")
            self._check_not_attached(*self._store.workers(each.id))
        return job

    def _tree_of(self, job: Job) -> Sequence[Job]:
        tree = self._store.tree(job.id)
        return tree.jobs if tree else ()


def _note_discarded(ledger: Ledger, root_id: str) -> None:
    for job in [each for each in ledger.jobs.values() if each.root_id == root_id]:
        facts = replace(job.facts, discarded=True)
        ledger.update_job(job.id, facts=facts, reason=reason_of(changed(job, facts=facts)))
