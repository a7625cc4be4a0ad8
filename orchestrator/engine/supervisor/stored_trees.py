"""Loads and changes stored job trees, and updates the reports of their jobs."""

from collections.abc import Callable, Iterable

from orchestrator.core.errors import Conflict, NotFound, Refused
from orchestrator.core.limits import job_admission
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.scheduler_commands import Render
from orchestrator.core.ports import Store, Workspace
from orchestrator.core.scheduler.manual_changes import Amend, amended
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.supervisor.supervisor import Supervisor

#: Function that raises Conflict or Refused if an ended job cannot run again.
Check = Callable[[Scheduler, Job], None]


class StoredTrees:
    """Access to the stored job trees.

    Call ``restore`` and ``reopen`` only within a turn of the supervisor. Any thread may call any
    other method.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        store: Store,
        workspace: Workspace,
        rewrite_report: Callable[[Render], None],
        write_status: Callable[[str], None],
    ) -> None:
        """``write_status``: writes the file status.json of a job tree, by the root job's id.

        ``write_status`` is called only without a server. With a server, an observer of stored
        changes writes the file.
        """
        self._supervisor = supervisor
        self._store = store
        self._workspace = workspace
        self._rewrite_report = rewrite_report
        self._write_status = write_status

    def restore(self, scheduler: Scheduler, root_id: str, now: float) -> None:
        """Load a job tree into memory for this turn, even if the job tree has ended."""
        # Read the tree inside the turn: a retry may have changed the tree since the call began.
        tree = None if scheduler.view.has_tree(root_id) else self._store.tree(root_id)
        if tree is not None:
            scheduler.restore(tree, now)
            scheduler.forget_after_turn(root_id)

    def reopen(self, scheduler: Scheduler, job: Job, now: float, check: Check) -> None:
        """Load a job's tree into memory, so that the job can run again.

        ``check``: raises an error if the job cannot run again. This method also raises this error.
        Raise NotFound if the job was removed, or Refused if the job has reached a cap. After an
        error, nothing is changed.
        """
        # Read the tree inside the turn: a retry may have changed the tree since the call began.
        tree = None if scheduler.view.has_tree(job.root_id) else self._store.tree(job.root_id)
        if tree is not None:
            scheduler.restore(tree, now)
        try:
            if job.id not in scheduler.view.jobs:
                raise NotFound(f"job {job.id} has been removed; list jobs: {COMMAND} jobs")
            check(scheduler, scheduler.view.jobs[job.id])
            job_admission.check_caps(scheduler.view.size_of(job).remaining_caps)
        except (Conflict, Refused):
            if tree is not None:
                scheduler.forget(job.root_id)
            raise

    def amend(self, root_id: str, change: Amend) -> None:
        """Change the stored state of a job tree, even after the tree's end.

        Without a running server, change the store directly. In this case, the caller must hold the
        lock of the workspace. If the tree does not exist, do nothing.
        """

        def action(scheduler: Scheduler, now: float) -> None:
            self.restore(scheduler, root_id, now)
            if scheduler.view.has_tree(root_id):
                scheduler.amend(change)

        if self._supervisor.alive:
            self._supervisor.call(action)
            return
        tree = self._store.tree(root_id)
        if tree is not None:
            self._store.save(amended(tree, change))
            self._write_status(root_id)

    def report(self, root_id: str, job_ids: Iterable[str]) -> None:
        """Rewrite the reports of those jobs in ``job_ids`` that have ended."""
        tree = self._store.tree(root_id)
        family = tuple(each.id for each in tree.jobs) if tree else ()
        for job_id in dict.fromkeys(job_ids):
            job = self._store.job(job_id)
            if job is not None and job.status.ended:
                self._rewrite_report(Render(job.root_id, job_id, family))

    def check_not_attached(self, *workers: Worker) -> None:
        """Raise Conflict if a person works in the worktree of one of the workers (``attach``)."""
        for worker in workers:
            if self._workspace.is_attached(worker):
                raise Conflict(
                    f"{worker.id} is in use by `{COMMAND} attach {worker.job_id} {worker.id}`; "
                    "nothing was changed; end that session first"
                )
