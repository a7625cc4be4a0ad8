"""Worktrees of workers: opens them, commits their changes, and removes them.

``WorktreeRule`` decides which workers get a worktree. Other workers have a plain directory.

Methods that run git or create a worktree take from 20 ms to several seconds. The supervisor's
thread may therefore call only the methods of ``WorktreeRule``.
"""

import logging
import os
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace

from orchestrator.core import failpoints
from orchestrator.core.errors import OrchestratorError, RepositoryError, Unavailable
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.delivered_work import normalized
from orchestrator.core.model.attempt.failure import after, before
from orchestrator.core.model.job import Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.ports import Agents, Assignment, Workspace
from orchestrator.core.ports.worktree_transfer import FileChange, NodeWorktree
from orchestrator.core.repository.git_refs import (
    checkpoint_refs,
    child_refs,
    short,
    start_ref,
    worker_branch,
    worker_commit_message,
)
from orchestrator.core.repository.repository import (
    Base,
    Merge,
    MergedSideWork,
    Repository,
    Tools,
    merger_of,
    signature_of,
)
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.formatting import cut
from orchestrator.engine.worktrees.branch_heads import BranchHeads
from orchestrator.engine.worktrees.branch_rewrites import (
    without_held_back,
    without_rejected,
    without_secrets,
)
from orchestrator.engine.worktrees.checkpoints import Checkpoints, CheckpointTarget
from orchestrator.engine.worktrees.conflict_resolution import with_conflicts
from orchestrator.engine.worktrees.promised_paths import Promises
from orchestrator.engine.worktrees.result_adoption import merge_result_so_far
from orchestrator.engine.worktrees.user_checkout_changes import UsersCheckout
from orchestrator.engine.worktrees.worker_branches import MOST_FILES, WorkerBranches
from orchestrator.engine.worktrees.worker_changes import WorkerChanges, WorkerWorktree
from orchestrator.engine.worktrees.worktree_need_and_removal import (
    NAME,
    OpenedWorktrees,
    WorktreeRule,
    worktree_of,
)
from orchestrator.security.secrets.secret_kinds import redacted

logger = logging.getLogger(__name__)

#: Suffix for the path of the directory with the project's programs, which is next to the worktree.
PROGRAMS = ".programs"
#: Files of a worker's directory that an agent may have written to its worktree by mistake.
REPORT_NAMES = ("output.md", "result.json")
#: Seconds until opening a worktree is retried.
PAUSE_SECONDS = 0.3
#: Minimum pause between two updates of a worker's branch from its node: in seconds, and as a
#: multiple of the duration of the latest update.
REFRESH_SECONDS, PAUSE_FACTOR = 3.0, 10.0
#: Maximum number of tries to add a child job's result to files that change at the same time.
MOST_TRIES = 6

#: Function that gives access to a running worker's worktree on a node with its own file system. The
#: returned context yields None if the server itself has the worker's files. The second argument is
#: True to wait for a disconnected node.
OpenOnNode = Callable[[Worker, bool], AbstractContextManager[NodeWorktree | None]]


def uncopied_paths(directory: str) -> tuple[str, ...]:
    """Return the paths to omit when a worker's directory is copied to another machine."""
    return f"{directory}/{NAME}", f"{directory}/{NAME}{PROGRAMS}"


@dataclass(frozen=True, slots=True)
class MergeIntoParent:
    """The merge of a child job's result into the files of its parent worker."""

    #: Commit of the parent worker's files before the merge.
    ours: str
    merge: Merge


class Worktrees:
    def __init__(
        self,
        repository: Repository,
        agents: Agents,
        workspace: Workspace,
        search: str = os.defpath,
        *,
        fold_attempts: bool = True,
        on_node: OpenOnNode = lambda worker, waits: nullcontext(),
    ) -> None:
        """``search``: the search path for programs (``PATH``) of workers.

        ``fold_attempts``: True to squash the commits of a rejected attempt into the next attempt's
        commit. ``on_node``: gives access to a running worker's worktree on a node with its own file
        system.
        """
        self._search, self._on_node = search, on_node
        self._fold_attempts = fold_attempts
        #: For each worker, the earliest time of the next update of its branch from its node, in
        #: monotonic seconds.
        self._refresh_after: dict[WorkerKey, float] = {}
        self._repository = repository
        #: Reads the commits of workers' branches.
        self.branches = WorkerBranches(repository)
        self.rule = WorktreeRule(agents)
        self._workspace = workspace
        self.checkpoints = Checkpoints(repository)
        self._opened_worktrees = OpenedWorktrees()
        self._branch_heads = BranchHeads(repository)
        self._promises = Promises(repository, workspace)
        #: Finds changes in the user's checkout.
        self.checkout = UsersCheckout(repository, workspace)

    def base_of_child_job(
        self, parent: Job, worker: Worker, tasks: Sequence[TaskSpec], agent: str | None
    ) -> Base:
        """Return the base for a worker's child job; empty if no task in ``tasks`` needs a worktree.

        The base is the first commit in this list that exists:

        1. The current state of the worker's worktree, with uncommitted work.
        2. The base of the worker's job, which is ``parent``.
        3. The current commit of the project.

        ``agent``: the agent that the request names, or None. Raise Unavailable if the worktree is
        on a node that cannot be reached, or if the worker is ending on a node.
        """
        if not self.rule.any_task_needs_worktree(
            tasks, agent or parent.config.agent, parent.config.git
        ):
            return Base()
        with self._on_node(worker, False) as node_worktree:
            if node_worktree is not None and not node_worktree.fetch():
                raise Unavailable(f"{worker.id} is ending; retry later")
            commit = self._snapshot(worker) or parent.config.base
        return Base(commit=commit) if commit else self._repository.base()

    def refresh(self, worker: Worker) -> None:
        """Update the branch of a running worker from its node, if the node has its own file system.

        For some seconds after a call, further calls do nothing. Never raises: after an error, the
        branch stays unchanged.
        """
        if time.monotonic() < self._refresh_after.get(worker.key, 0.0):
            return
        started_at = time.monotonic()
        try:
            with self._on_node(worker, False) as node_worktree:
                if node_worktree is None:
                    return
                node_worktree.fetch()
        except (OrchestratorError, OSError) as error:
            payload = {"worker": worker.id, "error": str(error)}
            logger.warning("cannot get the files of a worker from its node", extra=payload)
        finally:
            now = time.monotonic()
            pause = max(REFRESH_SECONDS, PAUSE_FACTOR * (now - started_at))
            live = {key: until for key, until in self._refresh_after.items() if until > now}
            self._refresh_after = {**live, worker.key: now + pause}

    def directory(self, worker: Worker) -> str:
        return worktree_of(self._workspace, worker)

    def _snapshot(self, worker: Worker) -> str:
        """Commit the current state of the worker's worktree, without moving its branch.

        Return the commit; "" if the worker has no worktree.
        """
        directory = self.directory(worker)
        if not os.path.lexists(directory):
            return ""
        self.checkout.restore_git_files(worker.root_id)
        message = worker_commit_message(f"State of {worker.id} when it started a child job", worker)
        return self._repository.snapshot(directory, message, signature_of(worker))

    # -- around an attempt ----------------------------------------------------------------------

    def open(self, assignment: Assignment) -> WorkerWorktree:
        """Open the worker's worktree. Idempotent.

        A further attempt continues from the files of the previous attempt, or from the checkpoint
        of a rollback.
        """
        with self.checkpoints.locked(assignment.worker.key):
            try:
                return self._open_worktree(assignment)
            except RepositoryError:
                # Retry, because another thread may be closing a worktree, or another git process
                # may hold a lock briefly.
                payload = {"worker": assignment.worker.id}
                logger.warning("cannot open a worktree; retrying", extra=payload, exc_info=True)
                time.sleep(PAUSE_SECONDS)
                return self._open_worktree(assignment)

    def assignment_in_worktree(
        self, assignment: Assignment, worktree: WorkerWorktree
    ) -> Assignment:
        """Return the assignment, with the facts that depend on the worktree.

        Dependencies whose changes the worktree lacks are marked as omitted. For a further attempt,
        add earlier commits and conflicts. Raise RepositoryError if git fails.
        """
        results = assignment.dependency_results
        worker_ids = [each.worker_id for each in results.values()]
        if omitted := self.branches.omitted(assignment.worker, worker_ids):
            marked_results = {
                task_id: replace(each, is_omitted=each.worker_id in omitted)
                for task_id, each in results.items()
            }
            assignment = replace(assignment, dependency_results=marked_results)
        assignment = with_conflicts(self._repository, assignment)
        if assignment.worker.attempt < 2 or worktree.before == worktree.start:
            return assignment
        work = self._repository.branch_work(worktree.start, worktree.before)
        return replace(assignment, committed=work)

    def _open_worktree(self, assignment: Assignment) -> WorkerWorktree:
        worker, job = assignment.worker, assignment.job
        if self._workspace.is_attached(worker):
            raise RepositoryError(
                f"the worktree of {worker.id} is in use by `{COMMAND} attach {job.id} "
                f"{worker.id}`; end that session first"
            )
        self.checkout.record_state(worker.root_id)
        self.checkout.restore_git_files(worker.root_id)
        branch, directory = worker_branch(worker), self.directory(worker)
        start = self._repository.commit_of(start_ref(worker))
        if not start:
            start = self._merged_start(assignment)
            self._repository.set_ref(start_ref(worker), start)
        elif not os.path.lexists(directory):
            start = merge_result_so_far(self._repository, assignment.job, worker, start)
        failpoints.reached("worktree: worker's start stored")
        is_new = not os.path.lexists(directory)
        self._opened_worktrees.note_opened(worker)
        self._repository.open_worktree(
            directory, branch, start, self._parent_directory(worker, job)
        )
        if worker.attempt > 1:
            self._add_late_results(job, worker)
        target = CheckpointTarget(worker, branch, directory, True)
        self.checkpoints.begin(
            target, is_new, lambda tip: self._branch_heads.with_children(job, worker.id, tip)[0]
        )
        tip = self._repository.commit_of(branch)
        tools = self._tools(directory)
        return WorkerWorktree(
            directory, self._repository.project_path(directory), branch, tip, start, tools
        )

    def with_tools(self, worktree: WorkerWorktree) -> WorkerWorktree:
        """Return ``worktree`` with the project's programs that are now installed in the worktree.

        The setup commands may have installed some of these programs.
        """
        return replace(worktree, tools=self._tools(worktree.directory))

    def _tools(self, directory: str) -> Tools:
        try:
            return self._repository.tools(
                directory, f"{directory}{PROGRAMS}", self._search, trusted=False
            )
        except (RepositoryError, OSError):
            logger.warning("cannot find the project's own programs", exc_info=True)
            return Tools()

    def _parent_directory(self, worker: Worker, job: Job) -> str:
        if job.parent_worker_id is None:
            return ""
        return self.directory(replace(worker, id=job.parent_worker_id, depth=worker.depth - 1))

    def checkpoint_target(self, worker: Worker) -> CheckpointTarget:
        directory = self.directory(worker)
        return CheckpointTarget(
            worker, worker_branch(worker), directory, os.path.lexists(directory)
        )

    def existing(self, worker: Worker) -> WorkerWorktree | None:
        """Return the worktree that an earlier server opened for a worker; None if none exists.

        The fields ``cwd``, ``before``, and ``start`` are empty, because only that server knew them.
        """
        directory = self.directory(worker)
        if not os.path.lexists(directory):
            return None
        return WorkerWorktree(directory, "", worker_branch(worker), "", "")

    def _merged_start(self, assignment: Assignment) -> str:
        # Skip changes that conflict. The method ``omitted`` finds the skipped dependencies.
        job, commit = assignment.job, assignment.job.config.base
        for task_id, result in assignment.dependency_results.items():
            for tip in self.tips_of(job, result.worker_id):
                subject = f"Merge {result.worker_id} ({task_id}) for {assignment.worker.id}"
                message = worker_commit_message(subject, assignment.worker)
                merge = self._branch_heads.merge(job, commit, tip, message, union=True)
                commit = merge.commit or commit
        return commit

    def tips_of(self, job: Job, worker_id: str) -> list[str]:
        """Return an ended worker's branch heads. See ``engine.worktrees.branch_heads``."""
        return self._branch_heads.of(job, worker_id)

    def add_child_result(
        self, job: Job, parent: Worker, base: str, result: str, branch: str
    ) -> MergeIntoParent | None:
        """Add a child job's result to the files of its parent worker, which waits for the job.

        Return the merge, or None if the worker has no worktree. If the result conflicts, add
        nothing. Raise RepositoryError if git fails, or if the files are on a node and change
        continuously.

        ``base``: the child job's base commit. ``result``: the commit of the result. ``branch``: the
        full name of the result branch.
        """
        addition: MergeIntoParent | None = None
        why = ""
        for _ in range(MOST_TRIES):
            with self._on_node(parent, True) as node_worktree:
                if node_worktree is None and addition is not None:
                    # The previous round found the files on this server, and added the result.
                    return addition
                if node_worktree is not None and not node_worktree.fetch():
                    # The attempt is ending. In the next round, the server has its files.
                    continue
                snapshot = self._snapshot(parent)
                if not snapshot:
                    return None
                merge = self._merge_result(job, snapshot, base, result)
                if node_worktree is not None:
                    new_commit, branches = merge.commit or snapshot, {branch: result}
                    why = node_worktree.change_files(
                        FileChange(now=snapshot, then=new_commit, branches=branches)
                    )
                    if why:
                        continue
                if merge.commit:
                    self._repository.update_files(self.directory(parent), snapshot, merge.commit)
                addition = MergeIntoParent(snapshot, merge)
                if node_worktree is not None:
                    return addition
        raise RepositoryError(
            f"the files of {parent.id} are on another node, and the result of its child job "
            f"{job.id} cannot be added to them: {why}; the result is on branch {short(branch)}"
        )

    def _add_late_results(self, job: Job, worker: Worker) -> None:
        """Add the results of child jobs that the files of the previous attempt lack. Idempotent.

        These child jobs ended after the files were committed. A result that conflicts is not added.
        """
        for child in self.branches.children(worker):
            snapshot = "" if child.is_brought else self._snapshot(worker)
            if not snapshot or self._repository.contains(snapshot, child.result):
                continue
            merge = self._merge_result(job, snapshot, child.base, child.result)
            if merge.commit:
                self._repository.update_files(self.directory(worker), snapshot, merge.commit)
                refs = f"{child_refs(worker.root_id, worker.id)}{child.job_id}/"
                self._repository.set_ref(f"{refs}brought", child.result)

    def _merge_result(self, job: Job, snapshot: str, base: str, result: str) -> Merge:
        ours = snapshot
        if not self._repository.contains(snapshot, base):
            ours = self._repository.create_merge_commit(
                snapshot, base, "State before", merger_of(job)
            )
        return self._branch_heads.merge(job, ours, result, f"Merge job {job.id}")

    def close_attempt(
        self, worker: Worker, task: TaskSpec, worktree: WorkerWorktree
    ) -> WorkerChanges:
        """Commit the attempt's changes on the worker's branch, even if the worktree is damaged.

        Return the worker's changes. Idempotent.
        """
        try:
            return self._close_attempt(worker, task, worktree)
        except (RepositoryError, FileNotFoundError):
            # Another worker or a person may have damaged the repository. The retry first repairs
            # the repository.
            logger.warning(
                "cannot close an attempt; retrying", extra={"worker": worker.id}, exc_info=True
            )
            return self._close_attempt(worker, task, worktree)

    def _close_attempt(
        self, worker: Worker, task: TaskSpec, worktree: WorkerWorktree
    ) -> WorkerChanges:
        self.checkout.restore_git_files(worker.root_id)
        self._undo_gates(worker, worktree)
        start = self._restore_start(worker, worktree)
        ref = f"{checkpoint_refs(worker.root_id, worker.id)}{before(worker.attempt)}"
        previous_commit = self._repository.commit_of(ref) or worktree.before or start
        is_deleted = not os.path.lexists(worktree.directory)
        faults, interrupted = self._repository.repair_worktree(
            worktree.directory, worktree.branch, previous_commit
        )
        unresolved = bool(faults) and self._repository.has_conflicts(worktree.directory)
        work, changed = self._commit_work(worker, task, worktree, start, previous_commit)
        self.checkpoints.end(self.checkpoint_target(worker), work.commit, interrupted)
        self._repository.abort_operation(worktree.directory)
        markers = self._repository.conflict_markers(start, work.commit) if changed and start else ()
        changes = self._changes(worker, task, worktree, start, work, changed)
        has_conflicts = unresolved and bool(markers)
        return replace(
            changes,
            faults=(*faults, *markers),
            has_conflicts=has_conflicts,
            is_deleted=is_deleted,
        )

    def _commit_work(
        self,
        worker: Worker,
        task: TaskSpec,
        worktree: WorkerWorktree,
        start: str,
        previous_commit: str,
    ) -> tuple[MergedSideWork, bool]:
        """Commit the attempt's work on the worker's branch.

        Return the commit with its side work and held-back files, and True if the attempt changed
        anything. ``start``: the worker's start commit. ``previous_commit``: the commit before the
        attempt.
        """
        title = redacted((task.title or task.prompt or task.id).strip().split("\n")[0])
        message = worker_commit_message(cut(title, 72), worker)
        author, promised_paths = signature_of(worker), [normalized(each) for each in task.writes]
        self._move_reports(worker, worktree, promised_paths)
        target = worktree.directory, worktree.branch
        tip = self._repository.commit(*target, message, author, promised_paths)
        failpoints.reached("worktree: loose files committed")
        merged_work = self._repository.merge_side_work(
            *target, tip, message, author, promised_paths
        )
        tip, held_back = merged_work.commit, merged_work.held_back
        if self._fold_attempts and start:
            onto = previous_commit if self._repository.contains(tip, previous_commit) else start
            arguments = worktree.branch, onto, tip, message, held_back
            tip, held_back = without_held_back(self._repository, *arguments)
        changed = tip != (worktree.before or start)
        tip = without_secrets(self._repository, worker, worktree.branch, start, tip, message)
        if self._fold_attempts:
            tip = without_rejected(self._repository, worker, worktree.branch, tip, message)
        failpoints.reached("worktree: committed")
        return replace(merged_work, commit=tip, held_back=held_back), changed

    def _changes(
        self,
        worker: Worker,
        task: TaskSpec,
        worktree: WorkerWorktree,
        start: str,
        work: MergedSideWork,
        changed: bool,
    ) -> WorkerChanges:
        """Return the changes of all attempts of the worker.

        ``work``: the commit of the latest attempt, with its side work and held-back files.
        ``changed``: True if this attempt changed anything.
        """
        tip = work.commit
        files = self._repository.changed_paths(start or tip, tip)
        child_files = self.branches.files_of_children(worker, start, tip)
        own_files = tuple(each for each in files if each not in child_files)[:MOST_FILES]
        touched = self._repository.differing_paths(start or tip, tip)
        removed = {*touched} - {*files} - child_files
        size = self._repository.change_size(start or tip, tip) if len(task.agents) > 1 else None
        has_work = bool(files) or (bool(start) and tip != start and bool(touched))
        promises = self._promises.check(worker, task, worktree.directory, start, tip)
        return WorkerChanges(
            own_files,
            changed,
            size=size,
            has_work=has_work,
            missing=promises.missing,
            ignored=promises.ignored,
            saved=promises.saved,
            ignored_sources=self._promises.save_sources(
                worker, worktree.directory, self.checkpoints.new_ignored(worker)
            ),
            side_work=work.work,
            held_back=self._promises.save_held_back(worker, worktree.directory, work.held_back),
            commit=tip,
            removed=tuple(sorted(removed))[:MOST_FILES],
        )

    def _undo_gates(self, worker: Worker, worktree: WorkerWorktree) -> None:
        """Undo changes that gates made in the worktree before the server ended.

        If the server ends while the gates of an attempt run, the next server closes the attempt a
        second time. Do nothing if the attempt is closed for the first time.
        """
        ref = f"{checkpoint_refs(worker.root_id, worker.id)}{after(worker.attempt)}"
        closed_commit = self._repository.commit_of(ref)
        if closed_commit and closed_commit == self._repository.commit_of(worktree.branch):
            with suppress(RepositoryError, OSError):
                self._repository.restore_files(worktree.directory, closed_commit)

    def _restore_start(self, worker: Worker, worktree: WorkerWorktree) -> str:
        """Restore the ref of the worker's start commit, and return the commit.

        The worker may have removed or moved the ref.
        """
        stored_start = self._repository.commit_of(start_ref(worker))
        if worktree.start and stored_start != worktree.start:
            self._repository.set_ref(start_ref(worker), worktree.start)
        return worktree.start or stored_start

    def _move_reports(
        self, worker: Worker, worktree: WorkerWorktree, promised_paths: Collection[str]
    ) -> None:
        worker_directory = self._workspace.worker_directory(worker)
        cwd = self._repository.project_path(worktree.directory)
        reports = (each for each in REPORT_NAMES if each not in promised_paths)
        for name in (each for each in reports if os.path.isfile(f"{cwd}/{each}")):
            relative_path = os.path.relpath(f"{cwd}/{name}", worktree.directory)
            if not self._repository.tracks(
                self._repository.commit_of(start_ref(worker)), relative_path
            ):
                os.replace(f"{cwd}/{name}", f"{worker_directory}/{name}")

    def drop_spares(self, root_id: str) -> None:
        """Remove the job tree's spare worktrees: worktrees of ended workers, stored for reuse."""
        self._repository.remove_spare_worktrees(str(self._workspace.job_directory(root_id)))

    def remove(self, worker: Worker) -> None:
        """Remove an ended worker's worktree. The worker's branch has all content. Idempotent.

        Do nothing if a later attempt has opened the worktree, or if a person works in the worktree
        with the command ``attach``.
        """
        directory = self.directory(worker)
        with self.checkpoints.locked(worker.key):
            # At its end, the command ``attach`` removes the worktree itself.
            if not self._opened_worktrees.may_remove(worker) or self._workspace.is_attached(worker):
                return
            if os.path.lexists(directory):
                branch = worker_branch(worker)
                self._repository.close_worktree(directory, branch, signature_of(worker))
            self._opened_worktrees.note_removed(worker)
