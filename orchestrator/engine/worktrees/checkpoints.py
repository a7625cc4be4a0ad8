"""Checkpoints of workers' worktrees: created around every attempt, and restored after a failure.

A checkpoint has two commits: the worktree's files, and the worktree's ignored files.

After a failure, the server first only stores that a rollback is planned. The rollback runs when the
next attempt opens the worktree. The first checkpoint of this attempt shows that the rollback has
run.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from orchestrator.core import failpoints
from orchestrator.core.errors import NotFound, RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.failure import (
    START,
    Failure,
    FailureKind,
    RetryStrategy,
    after,
    before,
)
from orchestrator.core.model.job import SHELL, Worker, WorkerKey
from orchestrator.core.ports.read_models import RolledBack
from orchestrator.core.repository.git_refs import (
    checkpoint_refs,
    ignored_refs,
    start_ref,
    undone_refs,
)
from orchestrator.core.repository.repository import Repository, signature_of
from orchestrator.engine.worktrees.setup_commands import forget_setup

logger = logging.getLogger(__name__)

#: Part of the name of a checkpoint that was saved just before a person's rollback, such as
#: ``2-left-1``.
LEFT = "-left-"
#: Part of the name of a checkpoint with the branch head before a rebase that an attempt began, but
#: did not finish.
REBASED = "-rebased"


@dataclass(frozen=True, slots=True)
class CheckpointTarget:
    """The worker, branch, and worktree that checkpoints save and restore."""

    worker: Worker
    branch: str
    directory: str
    #: True if the worker's worktree exists.
    has_worktree: bool


class Checkpoints:
    """The checkpoints of all workers.

    Lock a worker with ``locked`` before you open, roll back, or remove its worktree.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._guard = threading.Lock()
        self._holds: dict[WorkerKey, tuple[threading.Lock, int]] = {}

    @contextmanager
    def locked(self, key: WorkerKey) -> Iterator[None]:
        """Hold the lock of a worker's checkpoints and worktree until the block ends.

        Only one thread at a time can hold the lock.
        """
        with self._guard:
            lock, users = self._holds.get(key, (threading.Lock(), 0))
            self._holds[key] = lock, users + 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._holds.pop(key)
                if users > 1:
                    self._holds[key] = lock, users - 1

    # -- around an attempt ----------------------------------------------------------------------

    def begin(self, target: CheckpointTarget, is_new: bool, fold: Callable[[str], str]) -> None:
        """Run the pending rollback, if any. Then create the checkpoint before the attempt.

        ``is_new``: True if the worktree was just created. Without a rollback, restore the ignored
        files of a new worktree. ``fold``: merges the results of child jobs into a commit. A
        rollback keeps these results, because completed child jobs do not run again.
        """
        worker, refs = target.worker, self.refs_of(target.worker)
        failure = pending(worker, refs) or repeated_command(worker, refs)
        if failure is not None:
            self._run_rollback(target, failure, refs, fold)
        elif is_new and refs:
            self._restore_ignored(target, refs)
        if refs:
            self._save(target, before(worker.attempt), "")
        else:
            # The worktree is new, so its branch has all files of the worktree.
            commit = self.repository.commit_of(target.branch)
            self._set_refs(worker, {before(worker.attempt): commit}, {})
        failpoints.reached("checkpoint: before the attempt")

    def end(self, target: CheckpointTarget, tip: str, interrupted: str) -> None:
        """Create the checkpoint after an attempt, unless a later attempt has begun. Idempotent.

        ``tip``: the branch head, which must already contain the attempt's changes; "" if the
        changes could not be committed. If ``tip`` is "", the checkpoint has only the files that git
        can add.

        ``interrupted``: the branch head before a rebase that the attempt began, but did not finish;
        "" if there is no such rebase.
        """
        worker, refs = target.worker, self.refs_of(target.worker)
        if not any(_is_of_later_attempt(name, worker.attempt) for name in refs):
            extra_commits = {f"{worker.attempt}{REBASED}": interrupted} if interrupted else {}
            self._save(target, after(worker.attempt), tip, extra_commits)
        failpoints.reached("checkpoint: after the attempt")

    def _run_rollback(
        self,
        target: CheckpointTarget,
        failure: Failure,
        refs: Mapping[str, str],
        fold: Callable[[str], str],
    ) -> None:
        if failure.kept not in refs:
            self._save(target, failure.kept or after(failure.attempt), "")
        name = failure.checkpoint if failure.checkpoint in refs else START
        ignored = self._ignored_of(target.worker).get(name, "")
        commit = fold(self._commit_of(target.worker, name, refs))
        self._note_undone(target.worker, failure, commit)
        forget_setup(target.directory)
        self.repository.roll_back(target.directory, target.branch, commit, ignored)
        payload = {"worker": target.worker.id, "strategy": failure.strategy, "checkpoint": name}
        logger.info("a worker was rolled back to a checkpoint", extra=payload)

    def _note_undone(self, worker: Worker, failure: Failure, commit: str) -> None:
        """Set a ref to the state before a rollback, so that a person can see the undone changes.

        ``commit``: the state after the rollback.
        """
        commit_before = self.refs_of(worker)[failure.kept or after(failure.attempt)]
        if self.repository.differing_paths(commit, commit_before):
            ref = f"{undone_refs(worker.root_id)}{worker.id}/{failure.attempt}"
            self.repository.set_ref(ref, commit_before)

    def _restore_ignored(self, target: CheckpointTarget, refs: Mapping[str, str]) -> None:
        tip = self.repository.commit_of(target.branch)
        names = [name for name in in_order(refs) if refs[name] == tip]
        ignored = self._ignored_of(target.worker)
        name = next((each for each in reversed(names) if each in ignored), "")
        if name:
            self.repository.restore_ignored(target.directory, ignored[name])

    def _save(
        self,
        target: CheckpointTarget,
        name: str,
        commit: str,
        extra_commits: Mapping[str, str] | None = None,
    ) -> None:
        """Save the checkpoint ``name`` of ``commit``, or of the worktree if ``commit`` is empty.

        ``extra_commits``: the commits of further checkpoints to save, by checkpoint name.
        """
        message, author = f"{target.worker.id}: checkpoint {name}", signature_of(target.worker)
        commit = commit or self.repository.snapshot(target.directory, message, author)
        ignored_commit = self._save_ignored(target, message)
        ignored_commits = {name: ignored_commit} if ignored_commit else {}
        self._set_refs(target.worker, {name: commit, **(extra_commits or {})}, ignored_commits)

    def _save_ignored(self, target: CheckpointTarget, message: str) -> str:
        """Save the worktree's ignored files. Return their commit; "" if no file was saved.

        An error is only logged: an attempt must not fail because ignored files, such as caches,
        cannot be saved.
        """
        author = signature_of(target.worker)
        try:
            return self.repository.commit_ignored(target.directory, message, author)
        except (RepositoryError, OSError) as error:
            payload = {"worker": target.worker.id, "error": str(error)}
            logger.warning("cannot save ignored files in a checkpoint", extra=payload)
            return ""

    def _set_refs(
        self, worker: Worker, commits: Mapping[str, str], ignored: Mapping[str, str]
    ) -> None:
        prefix, ignored_prefix = _prefixes(worker)
        refs = {f"{prefix}{name}": commit for name, commit in commits.items()}
        refs |= {f"{ignored_prefix}{name}": commit for name, commit in ignored.items()}
        self.repository.set_refs(refs)

    # -- lists ----------------------------------------------------------------------------------

    def refs_of(self, worker: Worker) -> dict[str, str]:
        """Return the commits of a worker's checkpoints, by name.

        The checkpoint ``start`` is omitted.
        """
        prefix, _ = _prefixes(worker)
        return _by_short_name(self.repository.commits_below(prefix), prefix)

    def _ignored_of(self, worker: Worker) -> dict[str, str]:
        _, ignored_prefix = _prefixes(worker)
        return _by_short_name(self.repository.commits_below(ignored_prefix), ignored_prefix)

    def new_ignored(self, worker: Worker) -> Sequence[str]:
        """Return the saved ignored files that the worker's attempts created."""
        ignored = self._ignored_of(worker)
        latest = ignored.get(after(worker.attempt))
        return (
            self.repository.new_ignored_files(latest, ignored.get(before(1), "")) if latest else ()
        )

    def missing_ignored(self, worker: Worker) -> dict[str, Mapping[str, str]]:
        """Return the ignored files that each checkpoint lacks.

        Keys are the names of checkpoints. Each value maps the path of a missing file to the reason.
        """
        ignored = self._ignored_of(worker)
        return {name: self.repository.omitted_ignored(commit) for name, commit in ignored.items()}

    def _commit_of(self, worker: Worker, name: str, refs: Mapping[str, str]) -> str:
        commit = self.repository.commit_of(start_ref(worker)) if name == START else refs.get(name)
        if not commit:
            names = ", ".join((START, *in_order(refs)))
            raise NotFound(f"{worker.id} has no checkpoint {name!r}; known: {names}")
        return commit

    # -- rollbacks ------------------------------------------------------------------------------

    def roll_back(self, target: CheckpointTarget, name: str) -> RolledBack:
        """Roll a worker back to the checkpoint ``name``. First save the worker's current state.

        No attempt of the worker may be running. Raise NotFound for an unknown checkpoint.
        """
        worker, refs = target.worker, self.refs_of(target.worker)
        commit = self._commit_of(worker, name, refs)
        saved_name = _free_name(f"{worker.attempt}{LEFT}", refs)
        if target.has_worktree:
            self.repository.repair_worktree(target.directory, target.branch, commit)
            self._save(target, saved_name, "")
            ignored = self._ignored_of(worker).get(name, "")
            forget_setup(target.directory)
            self.repository.roll_back(target.directory, target.branch, commit, ignored)
        else:
            self._set_refs(worker, {saved_name: self._branch_head(target)}, {})
            self.repository.set_ref(target.branch, commit)
        return RolledBack(checkpoint=name, commit=commit, kept=saved_name)

    def _branch_head(self, target: CheckpointTarget) -> str:
        tip = self.repository.commit_of(target.branch)
        if not tip:
            raise RepositoryError(
                f"{target.worker.id} has no branch; the job may have been cleaned up"
            )
        return tip


def pending(worker: Worker, checkpoints: Mapping[str, str]) -> Failure | None:
    """Return the failure whose planned rollback has not run; None if no rollback is pending.

    ``checkpoints``: the worker's checkpoints, by name. No rollback is pending if one of these
    checkpoints is from an attempt after the failure, or from a person's rollback after the failure.
    """
    for failure in reversed(worker.failures):
        later = (_is_of_later_attempt(name, failure.attempt) for name in checkpoints)
        by_person = (LEFT in name and number_of(name) >= failure.attempt for name in checkpoints)
        if any(later) or any(by_person):
            return None
        if failure.checkpoint:
            return failure
    return None


def repeated_command(worker: Worker, checkpoints: Mapping[str, str]) -> Failure | None:
    """Return a planned rollback to the worker's start, if the next attempt repeats a command.

    A command that starts with the files of its previous attempt would make its changes twice. The
    rollback is therefore planned even if the previous attempt has no failure, for example if a
    promised file is missing. Return None for an agent, for a first attempt, and if a person rolled
    the worker back.

    ``checkpoints``: the worker's checkpoints, by name.
    """
    numbers = (number_of(name) for name in checkpoints if name == before(number_of(name)))
    latest = max(numbers, default=0)
    by_person = (LEFT in name and number_of(name) >= latest for name in checkpoints)
    if worker.agent != SHELL or not 0 < latest < worker.attempt or any(by_person):
        return None
    return Failure(
        attempt=latest,
        kind=FailureKind.UNKNOWN,
        strategy=RetryStrategy.ROLLBACK_SAFE,
        reason="",
        confidence=1.0,
        checkpoint=START,
        kept=after(latest),
    )


def _is_of_later_attempt(name: str, attempt: int) -> bool:
    number = number_of(name)
    return number > attempt and name == before(number)


def number_of(name: str) -> int:
    """Return the number of the attempt to which a checkpoint belongs; 0 for ``start``."""
    number = name.partition("-")[0]
    return int(number) if number.isdigit() else 0


def in_order(names: Mapping[str, str]) -> list[str]:
    """Sort the names of checkpoints by the time of creation."""
    kinds = ("-before", REBASED, "-after", LEFT)

    def key(name: str) -> tuple[int, int, int, str]:
        kind = next((index for index, each in enumerate(kinds) if each in name), len(kinds))
        return number_of(name), kind, len(name), name

    return sorted(names, key=key)


def _free_name(prefix: str, names: Mapping[str, str]) -> str:
    number = 1
    while f"{prefix}{number}" in names:
        number += 1
    return f"{prefix}{number}"


def _prefixes(worker: Worker) -> tuple[str, str]:
    names = worker.root_id, worker.id
    return checkpoint_refs(*names), ignored_refs(*names)


def _by_short_name(refs: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): commit for name, commit in refs.items()}
