"""The worktree of an attempt, and the changes that a worker made in all its attempts."""

from dataclasses import field

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import ChangeSize
from orchestrator.core.model.attempt.delivered_work import HeldBack, SideWork
from orchestrator.core.repository.repository import Tools


@dataclass(frozen=True, slots=True)
class WorkerWorktree:
    directory: str
    #: The agent's working directory: the project's directory in the worktree; empty for an attempt
    #: that an earlier server started.
    cwd: str
    branch: str
    #: The branch head when the attempt began; empty if unknown.
    before: str
    #: The worker's start commit.
    start: str
    tools: Tools = field(default_factory=Tools)


@dataclass(frozen=True, slots=True)
class WorkerChanges:
    """What a worker changed. For ``MOST_FILES``, see ``worker_branches``."""

    #: Files that the worker created or changed in all attempts; at most ``MOST_FILES``.
    files: tuple[str, ...]
    #: True if the latest attempt created or changed files.
    changed: bool
    #: Damage to the worktree, as text; None if the worker has a plain directory.
    faults: tuple[str, ...] | None = None
    #: Size of the changes, by which candidates are compared; None if the worker is no candidate.
    size: ChangeSize | None = None
    #: True if an attempt changed files. A removal of files counts as a change.
    has_work: bool = False
    #: Promised paths that do not exist.
    missing: tuple[str, ...] = ()
    #: Promised paths without a committed file, because git ignores all their files.
    ignored: tuple[str, ...] = ()
    #: Promised files that git ignores and that were saved.
    saved: tuple[str, ...] = ()
    #: Saved new sources that git ignores. These files do not count as changes of the result.
    ignored_sources: tuple[str, ...] = ()
    #: Files of the user's checkout that changed while the attempt ran. If the attempt works in the
    #: checkout: only files that other workers may have changed, too.
    checkout: tuple[str, ...] = ()
    #: Git objects, such as other branches, that the worker created outside its own branch.
    side_work: tuple[SideWork, ...] = ()
    #: New files that must not be committed.
    held_back: tuple[HeldBack, ...] = ()
    #: Ids of the dependencies' workers whose changes conflict with another dependency's changes.
    #: The worker's start commit lacks these changes.
    omitted: tuple[str, ...] = ()
    #: The worker's branch head.
    commit: str = ""
    #: Files that the worker removed in all attempts; at most ``MOST_FILES``.
    removed: tuple[str, ...] = ()
    #: All files that a worker without a worktree changed or removed. New files that match the
    #: setting ``git.never_commit`` are omitted.
    touched: tuple[str, ...] = ()
    #: True if git had an unresolved conflict at the attempt's end. The changes then contain
    #: conflict markers.
    has_conflicts: bool = False
    #: True if the worktree's directory did not exist at the attempt's end.
    is_deleted: bool = False
