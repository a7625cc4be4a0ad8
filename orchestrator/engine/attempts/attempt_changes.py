"""Finds the changes of an ended attempt, and commits the changes of its worktree."""

from contextlib import suppress
from dataclasses import replace

from orchestrator.core.candidates.selection import chosen
from orchestrator.core.errors import RepositoryError
from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.model.attempt.delivered_work import is_delivered
from orchestrator.core.model.dag import sources
from orchestrator.core.model.job import Worker
from orchestrator.core.ports import Workspace
from orchestrator.core.scheduler.scheduler_view import SchedulerView
from orchestrator.engine.attempts.launch_preparation import RunningAttempt
from orchestrator.engine.worktrees.changes_without_worktree import ChangesWithoutWorktree
from orchestrator.engine.worktrees.user_checkout_changes import TICK_SECONDS
from orchestrator.engine.worktrees.worker_changes import WorkerChanges
from orchestrator.engine.worktrees.worker_worktrees import Worktrees

#: The changes of an attempt whose directory was empty before and after the attempt.
NOTHING = WorkerChanges((), changed=False, has_work=False)


class AttemptChanges:
    """Finds the changes of an ended attempt, and commits the changes of its worktree."""

    def __init__(
        self,
        view: SchedulerView,
        workspace: Workspace,
        worktrees: Worktrees,
        without_worktree: ChangesWithoutWorktree,
    ) -> None:
        self._view = view
        self._workspace = workspace
        self._worktrees = worktrees
        self._without_worktree = without_worktree

    def of_empty_directory(self, running: RunningAttempt) -> WorkerChanges | None:
        """Return the changes of an attempt that has left its directory empty.

        Return None if only a scan can find the changes: the directory has files, or the attempt
        works in another place, such as a worktree.
        """
        worker = running.worker
        needs_scan = (
            running.worktree is not None
            or running.task.works_in_project
            or bool(running.task.writes)
            or worker.is_planner
            or worker.is_reviewer
        )
        if needs_scan or not self._workspace.is_bare(worker):
            return None
        return replace(NOTHING, changed=True) if running.before else NOTHING

    def find(self, running: RunningAttempt, exit: Exit) -> WorkerChanges:
        """Return the changes of an attempt. If the attempt has a worktree, commit its changes.

        Idempotent. Raise RepositoryError if git fails, or OSError if a file operation fails.
        """
        if running.worktree is not None:
            return replace(
                self._worktrees.close_attempt(running.worker, running.task, running.worktree),
                checkout=self._changed_in_checkout(running.worker, exit),
                omitted=self._omitted_dependencies(running),
            )
        if running.task.works_in_project:
            return self._changes_in_project(running)
        if running.worker.is_adviser:
            return self._changes_of_adviser(running)
        return self._own_changes(running)

    def save_checkpoint(self, worker: Worker) -> None:
        """Save a checkpoint of a worker's worktree, without files that git cannot add.

        Errors of git and of the disk are ignored.
        """
        with suppress(RepositoryError, OSError):
            self._worktrees.checkpoints.end(self._worktrees.checkpoint_target(worker), "", "")

    def _changed_in_checkout(self, worker: Worker, exit: Exit) -> tuple[str, ...]:
        """Return the files of the user's checkout that changed during an attempt.

        Return no files if a task of the job tree works in the checkout, or after an error.
        """
        if any(each.works_in_project for each in self._view.tasks_of_tree(worker.root_id)):
            return ()
        checkout = self._worktrees.checkout
        with suppress(RepositoryError, OSError):
            return tuple(checkout.changed_files(worker.root_id, exit.started_at - TICK_SECONDS))
        return ()

    def _omitted_dependencies(self, running: RunningAttempt) -> tuple[str, ...]:
        job_id = running.worker.job_id
        task_ids = sources(self._view.tasks_of(job_id), running.task)
        workers = [chosen(self._view.candidates_of(job_id, each)) for each in task_ids]
        worker_ids = [each.id for each in workers if each]
        return self._worktrees.branches.omitted(running.worker, worker_ids)

    def _changes_in_project(self, running: RunningAttempt) -> WorkerChanges:
        """Return the changes of an attempt that works in the user's checkout.

        The field ``touched`` has the files that the attempt's gates must judge. Files that a child
        job's gates have judged are omitted, unless they were changed afterwards.
        """
        changes = self._without_worktree.changes(running.worker, running.task)
        concurrent_workers = self._view.concurrent_with(running.worker)
        changes = self._without_worktree.with_shared(changes, concurrent_workers)
        judged = self._view.judged_below(running.worker)
        unjudged_paths = (
            each
            for each in changes.touched
            if each not in judged or not self._without_worktree.is_older(each, judged[each])
        )
        return replace(changes, touched=tuple(unjudged_paths))

    def _own_changes(self, running: RunningAttempt) -> WorkerChanges:
        worker, task = running.worker, running.task
        builds = self._worktrees.rule.changes_files(worker.agent, task)
        changes = self._without_worktree.own_changes(worker, task, running.before, builds=builds)
        paths_below = self._view.changed_below(worker)
        if paths_below is None:
            return changes
        missing = tuple(each for each in changes.missing if not is_delivered(each, paths_below))
        return replace(changes, has_work=True, missing=missing)

    def _changes_of_adviser(self, running: RunningAttempt) -> WorkerChanges:
        snapshot = self._workspace.snapshot(running.worker, running.task.writes)
        return WorkerChanges(tuple(snapshot), snapshot != running.before, has_work=bool(snapshot))
