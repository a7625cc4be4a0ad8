"""Use cases for checkpoints: list the checkpoints of a job's workers, and roll back to one."""

import time
from collections.abc import Iterator, Sequence

from orchestrator.core.errors import Conflict
from orchestrator.core.model.attempt.failure import START, Rollback, after, before
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Attempt, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.ports import Store
from orchestrator.core.ports.read_models import Checkpoint, RolledBack
from orchestrator.core.repository.git_refs import short, start_ref
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.supervisor.stored_trees import StoredTrees
from orchestrator.engine.worktrees.checkpoints import LEFT, in_order, number_of
from orchestrator.engine.worktrees.worker_worktrees import Worktrees

_ACTIVE = (WorkerStatus.RUNNING, WorkerStatus.WAITING)


class CheckpointCalls:
    """Use cases for checkpoints of workers. Each call raises RepositoryError for errors of git."""

    def __init__(
        self,
        *,
        store: Store,
        access: Access,
        trees: StoredTrees,
        worktrees: Worktrees,
    ) -> None:
        self._store = store
        self._access = access
        self._trees = trees
        self._worktrees = worktrees

    def of_job(self, caller: Caller, job_id: str) -> Sequence[Checkpoint]:
        """Return the checkpoints of the job's own workers, oldest first for each worker.

        The result is empty if the job has no worktrees.
        """
        checkpoints: list[Checkpoint] = []
        if not self._access.job(caller, job_id).config.base:
            return checkpoints
        for worker in self._store.workers(job_id):
            checkpoints += self._checkpoints_of_worker(worker)
        return checkpoints

    def _checkpoints_of_worker(self, worker: Worker) -> Iterator[Checkpoint]:
        checkpoints = self._worktrees.checkpoints
        repository = checkpoints.repository
        start = repository.commit_of(start_ref(worker))
        if not start:
            return
        attempts = self._store.attempts(worker.key)
        commits = {START: start, **checkpoints.refs_of(worker)}
        names, ignored = [START, *in_order(commits)[1:]], checkpoints.missing_ignored(worker)
        tip = repository.commit_of(self._worktrees.checkpoint_target(worker).branch)
        rollbacks = worker.result.rollbacks if worker.result else ()
        current = current_of(names, [name for name in names if commits[name] == tip], rollbacks)
        previous_commit = start
        for name in names:
            yield Checkpoint(
                worker_id=worker.id,
                name=name,
                attempt=number_of(name),
                at=_time_of(name, attempts),
                commit=commits[name],
                files_changed=len(repository.changed_paths(previous_commit, commits[name])),
                has_ignored=name in ignored,
                not_kept=ignored.get(name, {}),
                gates=_gates_of(worker, name),
                is_current=name == current,
            )
            previous_commit = commits[name]

    def roll_back(
        self, caller: Caller, job_id: str, worker_id: str, checkpoint: str | None
    ) -> RolledBack:
        """Roll a worker's branch, and its worktree if one exists, back to a checkpoint.

        ``checkpoint``: name of the checkpoint; None: the checkpoint before the latest attempt.
        First save the current state as a checkpoint. Raise NotFound for an unknown checkpoint.
        Raise Conflict if the worker is running, is attached to a terminal, or has no branch.
        """
        self._access.workable(caller, job_id)
        worker = self._access.worker(caller, job_id, worker_id)
        checkpoints = self._worktrees.checkpoints
        with checkpoints.locked(worker.key):
            # Read the worker again, because an attempt may have begun since the first read. From
            # here on, a new attempt waits until this call has ended.
            worker = self._access.worker(caller, job_id, worker_id)
            self._check_can_change(worker, "then roll the worker back")
            name = checkpoint or before(worker.attempt)
            rolled_back = checkpoints.roll_back(self._worktrees.checkpoint_target(worker), name)
            self._record_rollback(caller, worker, rolled_back)
        return rolled_back

    def recount(self, caller: Caller, job_id: str, worker_id: str) -> Sequence[str]:
        """Update a worker's list of changed files, after a person's commit on the worker's branch.

        Also rewrite the reports. Return the new list, which omits files that only child jobs
        changed. Idempotent. Raise Conflict if the worker is running, is attached to a terminal, or
        has no branch.
        """
        self._access.workable(caller, job_id)
        worker = self._access.worker(caller, job_id, worker_id)
        with self._worktrees.checkpoints.locked(worker.key):
            # Read the worker again, because an attempt may have begun since the first read. From
            # here on, a new attempt waits until this call has ended.
            worker = self._access.worker(caller, job_id, worker_id)
            self._check_can_change(worker, "then update the list of the worker's files")
            files = self._worktrees.branches.own_files(worker)
            self._trees.amend(
                worker.root_id, lambda tree: tree.branch_files_changed(worker.key, files)
            )
            self._trees.report(worker.root_id, (worker.job_id, worker.root_id))
        return files

    def _record_rollback(self, caller: Caller, worker: Worker, rolled_back: RolledBack) -> None:
        rollback = Rollback(
            at=time.time(),
            by=caller.name,
            attempt=worker.attempt,
            checkpoint=rolled_back.checkpoint,
            commit=rolled_back.commit,
            kept=rolled_back.kept,
        )
        self._trees.amend(worker.root_id, lambda tree: tree.rolled_back(worker.key, rollback))
        self._trees.report(worker.root_id, (worker.job_id, worker.root_id))

    def _has_branch(self, worker: Worker, branch: str) -> bool:
        job = self._store.job(worker.job_id)
        in_git = job is not None and job.config.base
        return bool(in_git and self._worktrees.checkpoints.repository.commit_of(branch))

    def _check_can_change(self, worker: Worker, then: str) -> None:
        """Raise Conflict if the worker is running, is attached to a terminal, or has no branch.

        ``then``: the text with which the error message ends, such as "then roll the worker back".
        """
        if worker.status in _ACTIVE:
            raise Conflict(
                f"{worker.id} has not ended ({worker.status}); wait for its end, or cancel its "
                f"job, {then}"
            )
        self._trees.check_not_attached(worker)
        target = self._worktrees.checkpoint_target(worker)
        if not worker.attempt or not self._has_branch(worker, target.branch):
            raise Conflict(
                f"{worker.id} has no branch {short(target.branch)}: it has not started, has no "
                "worktree, or its branch was removed; list workers with checkpoints: "
                f"{COMMAND} checkpoints {worker.job_id}"
            )


def current_of(names: Sequence[str], same: Sequence[str], rollbacks: Sequence[Rollback]) -> str:
    """Return the name of the checkpoint with the branch's current content; "" without a match.

    ``names``: all checkpoints, in order. ``same``: the checkpoints with the current content.

    Return the first of these checkpoints that ``same`` contains:

    1. The checkpoint that the latest rollback restored, if no attempt has followed.
    2. The latest checkpoint that was not saved just before a rollback.
    3. The latest checkpoint.
    """
    for rollback in rollbacks[-1:]:
        if rollback.checkpoint in same and all(
            number_of(each) <= rollback.attempt for each in names
        ):
            return rollback.checkpoint
    # Prefer checkpoints of attempts, because other checkpoints have a state that was rolled back.
    return next(reversed([each for each in same if LEFT not in each] or same), "")


def _time_of(name: str, attempts: Sequence[Attempt]) -> float | None:
    attempt = next((each for each in attempts if each.number == number_of(name)), None)
    if attempt is None:
        return None
    times = {before(attempt.number): attempt.started_at, after(attempt.number): attempt.ended_at}
    return times.get(name)


def _gates_of(worker: Worker, name: str) -> str:
    if worker.result is None or name != after(number_of(name)):
        return ""
    if name == worker.result.good:
        return "passed"
    failure = worker.failure_of(number_of(name))
    if failure is not None and failure.gates:
        return f"failed: {', '.join(failure.gates)}"
    return ""
