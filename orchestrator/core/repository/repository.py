"""The port to the host project's repository."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from orchestrator.core.model.attempt.attempt_result import ChangeSize
from orchestrator.core.model.attempt.side_work import SideWork
from orchestrator.core.model.attempt.uncommitted_files import HeldBack
from orchestrator.core.model.gate import GateFiles
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.model.repository_changes import RefMove


class Strategy(StrEnum):
    """How workers' branches are merged."""

    #: what merges cleanly; the rest is reported and kept
    AUTO = "auto"
    #: in a conflict the better worker's lines win, by evidence; otherwise the later one's
    THEIRS = "theirs"
    #: nothing is merged; conflicts are listed
    MANUAL = "manual"


class GitUse(StrEnum):
    """Which workers get a worktree, as set by a job or task."""

    #: workers of agents that may change files
    AUTO = "auto"
    #: workers of every agent, so that changes by shell commands are merged, too
    ON = "on"
    #: no worker
    OFF = "off"


class Workdir(StrEnum):
    """Where the worker of a task starts."""

    #: a directory of its own, or a worktree if its agent gets one
    OWN = "own"
    #: the user's checkout as it is
    PROJECT = "project"
    #: another spelling of the task field ``git: on``
    WORKTREE = "worktree"


#: The lock for which tasks with ``workdir: project`` conflict.
PROJECT_LOCK = "project"


@dataclass(frozen=True, slots=True)
class Checkout:
    """Files of the user's checkout at one moment, as far as they differ from its commit.

    Without a repository: all files.
    """

    #: Paths relative to the host project, with a fingerprint of each file's state.
    files: Mapping[str, str]
    #: Empty without a repository, or a commit.
    commit: str = ""
    #: The host project within its repository, with a slash; empty when it is all of it.
    prefix: str = ""
    #: Of the repository; empty without one.
    top: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeChoice:
    """Options for merging an ended job again."""

    #: Empty: the job's own.
    strategy: str = ""
    #: Workers whose changes are merged like those of successful workers, such as failed workers and
    #: candidates that were not chosen. They remain selected until they are excluded.
    take: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()
    #: Which agent resolves remaining conflicts, as in a job's config; empty: none.
    resolve: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """Start commit of workers."""

    #: Empty if no worktrees can be created.
    commit: str = ""
    #: The branch that was named, or checked out; empty: none.
    branch: str = ""
    #: It includes uncommitted changes of the user's checkout.
    dirty: bool = False
    #: A note for the user: why there are no worktrees, or what they lack.
    note: str = ""
    #: Why no worktree can be created; empty if that was not tried, or there is a commit.
    hindrance: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """Author of a commit."""

    name: str
    email: str


class FileWay(StrEnum):
    """How a file was merged that git alone would not have merged, or not at this place."""

    #: a new file follows the directory that the other side renamed
    DIRECTORY_RENAME = "directory_rename"
    #: blanks and carriage returns at line ends did not count
    LINE_ENDS = "line_ends"
    #: both sides only added lines, and both have them
    UNION = "union"


class Hindrance(StrEnum):
    """Why no attempt resolves the conflicts of a worker."""

    #: the job's ``resolve`` is off
    OFF = "off"
    #: the worker runs a command, which cannot resolve conflicts
    NO_AGENT = "no_agent"
    #: the worker's retries are used
    NO_RETRY = "no_retry"
    #: an attempt was made, and did not resolve them
    UNRESOLVED = "unresolved"
    #: the job was stopped, by a person or at a limit
    STOPPED = "stopped"
    #: the job was merged again, which starts no worker
    NOT_ASKED = "not_asked"


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedFile:
    path: str
    way: FileWay


@dataclass(frozen=True, kw_only=True, slots=True)
class LostHunk:
    """Lines of ours that are not in the result, because theirs won there."""

    #: Line numbers in our file, from 1; in the common ancestor's, if ours removed lines. Both 0:
    #: the whole file.
    first: int = 0
    last: int = 0
    #: The lost change is the removal of these lines.
    removed: bool = False
    #: How the lines begin.
    text: tuple[str, ...] = ()
    #: Commits that the lines come from, as far as that is known.
    commits: tuple[str, ...] = ()
    #: Workers that they are from.
    workers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FileConflict:
    """One path with a merge conflict.

    Blob ids of the common ancestor and of both sides; empty if a side has no such file.
    """

    path: str
    base: str = ""
    ours: str = ""
    theirs: str = ""
    #: If theirs won: the lost hunks of ours.
    lost: tuple[LostHunk, ...] = ()
    #: Theirs are a child job's changes, made by these workers of it; empty: a worker's own.
    child_job_id: str = ""
    child_workers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchWork:
    """Commits and changes of a branch since its start."""

    #: Short ids and subjects, the latest first; ``more`` commits are not listed.
    commits: tuple[tuple[str, str], ...] = ()
    more: int = 0
    #: The changed files with their numbers of lines, as ``git diff --stat`` lists them.
    stat: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConflictText:
    """One conflicting place of a file. Without texts: the file as a whole, or no text file."""

    path: str
    #: Number of the first line, in our file.
    line: int = 0
    base: str = ""
    ours: str = ""
    theirs: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    #: The merged commit; empty if there were conflicts.
    commit: str = ""
    conflicts: tuple[FileConflict, ...] = ()
    #: Files that git alone would have reported as conflicts, or put elsewhere.
    files: tuple[MergedFile, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class UndonePlace:
    """Lines of a file that a child job changed, and that its parent worker's result lacks."""

    path: str
    #: Line numbers in the child job's file, from 1; in the file before, if it only removed lines.
    #: Both 0: the whole file.
    first: int = 0
    last: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Undone:
    """Changes of a child job that a commit no longer has."""

    places: tuple[UndonePlace, ...] = ()
    #: None of the changes remains, and no commit removed them: they were discarded.
    whole: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """The project's own programs for a worktree: they import the worktree's modules."""

    #: Directories that come first on the search path.
    path: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    #: The top of the user's checkout, whose sources are not to be read.
    checkout: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Folded:
    """A worker's branch, merged with the worker's side work."""

    commit: str
    work: tuple[SideWork, ...] = ()
    #: New files that stay uncommitted.
    held_back: tuple[HeldBack, ...] = ()


class Repository(Protocol):
    """The host project's repository. Directories are absolute; the user's own is only read.

    Every method may raise RepositoryError, which describes the error as text, and OSError if the
    disk is full. Any thread may call.
    """

    def base(self, revision: str = "", *, dirty: bool = False) -> Base:
        """Return the commit that ``revision`` names, or the commit of the user's checkout.

        ``dirty``: include uncommitted changes. Raise InvalidRequest if one of both is requested and
        not possible; otherwise never raise.
        """

    def open_worktree(self, directory: str, branch: str, start: str, above: str = "") -> None:
        """Check out ``branch`` in ``directory``; create it at ``start`` if it does not exist.

        Ignored files to copy come from the worktree ``above`` first, if it exists. Idempotent: a
        complete worktree is kept; one that a crash left incomplete is recreated.
        """

    def close_worktree(self, directory: str, branch: str, signature: Signature) -> None:
        """Remove a worktree; uncommitted changes are committed to its branch first. Idempotent."""

    def drop_spares(self, directory: str) -> None:
        """Remove a root job's stored files of closed worktrees; ``directory`` is the job's."""

    def push_refusals(self) -> Sequence[tuple[str, str]]:
        """Return settings that stop git from pushing; none without a repository."""

    def inside(self, directory: str) -> str:
        """Return the host project's path in a worktree: it may be a part of its repository."""

    def commit(
        self,
        directory: str,
        branch: str,
        message: str,
        signature: Signature,
        promised: Sequence[str] = (),
    ) -> str:
        """Commit uncommitted changes, if there are any. Return the branch head.

        Dependencies, caches and similar files stay uncommitted, except ``promised`` paths.
        """

    def fold(
        self,
        directory: str,
        branch: str,
        tip: str,
        message: str,
        signature: Signature,
        promised: Sequence[str] = (),
    ) -> Folded:
        """Merge branches, worktrees and stash entries that a worker created into its branch.

        All in the worktree is committed, and ``tip`` is that commit. Conflicting work is kept on
        refs below ``kept_refs``. The user's stash list is unchanged. Idempotent.
        """

    def snapshot(self, directory: str, message: str, signature: Signature) -> str:
        """Commit the present worktree without changing its branch or its index."""

    def mend(self, directory: str, branch: str, start: str) -> tuple[Sequence[str], str]:
        """Repair what an attempt broke of its worktree, so that ``commit`` can store all of it.
        Idempotent.

        Return the repairs as text, and the branch head before an unfinished rebase, or nothing. A
        missing branch is created at ``start``.
        """

    def settle(self, directory: str) -> None:
        """Abort an unfinished merge, rebase or similar; files stay. Idempotent."""

    def conflict_markers(self, start: str, end: str) -> Sequence[str]:
        """Return as text where ``end`` has conflict markers that ``start`` does not have."""

    def keep_ignored(self, directory: str, message: str, signature: Signature) -> str:
        """Commit the ignored files of a worktree, separately; empty if there are none.

        Very large files are excluded; the commit lists them.
        """

    def ignored(self, directory: str, paths: Sequence[str]) -> Sequence[str]:
        """Return ignored files of a worktree that match one of the paths or patterns, all of them
        relative to the host project. Files from the user's checkout are excluded.
        """
        ...

    def put_back_ignored(self, directory: str, commit: str) -> None:
        """Write the files of such a commit. Idempotent."""

    def not_kept(self, commit: str) -> Mapping[str, str]:
        """Return files that a commit of ignored files lacks, with reasons."""

    def roll_back(self, directory: str, branch: str, commit: str, kept: str) -> None:
        """Reset a branch and its worktree to a commit, with the ignored files of ``kept``.

        All other files of the worktree are removed, except ignored files too large to be kept.
        Idempotent.
        """

    def bring(self, directory: str, now: str, then: str) -> None:
        """Change the files of a worktree from the state ``now`` to the state ``then``.

        Its branch and index stay. Raise RepositoryError, and change nothing, if a file to be
        changed no longer has the state ``now``.
        """

    def tip(self, name: str) -> str:
        """Return the commit of a branch or ref; empty if it does not exist."""

    def tips(self, prefix: str) -> Mapping[str, str]:
        """Return the commits of all refs below a prefix, by full name."""

    def point(self, name: str, commit: str) -> None:
        """Set a full ref name to a commit."""

    def point_all(self, refs: Mapping[str, str]) -> None:
        """Set full ref names to commits: all of them or none."""

    def drop(self, name: str) -> None:
        """Remove a ref. Idempotent."""

    def contains(self, commit: str, ancestor: str) -> bool: ...

    def changed(self, start: str, end: str) -> Sequence[str]:
        """Return paths of files that ``end`` has, and ``start`` lacks or has differently."""

    def touched(self, start: str, end: str) -> Mapping[str, bool]:
        """Return every path that differs; True if ``start`` has it."""

    def added(self, start: str, end: str) -> Iterator[bytes]:
        """Yield what each commit from ``start`` to ``end`` adds, the oldest first.

        A line ``commit <name>``, its message indented by one space, and a diff without context, in
        which all files are text. In pieces, so that the caller can stop early.
        """

    def present(self, commit: str, texts: Collection[bytes]) -> Collection[bytes]:
        """Return those texts, which have no line ends, that occur in a file of a commit."""

    def files(self, commit: str) -> GateFiles:
        """Return the files of the host project in a commit."""

    def open_at(self, directory: str, commit: str) -> None:
        """Check out a commit without a branch. Idempotent."""

    def tools(self, directory: str, programs: str, search: str, *, trusted: bool) -> Tools:
        """Create the project's own programs for a worktree; ``programs`` is a directory for them.

        Its former content is removed. ``search`` is the path that is otherwise searched for
        programs. ``trusted``: nothing that a worker put into the worktree runs in place of the
        programs of the user's checkout.
        """

    def close_at(self, directory: str) -> None:
        """Remove such a worktree with all its content. Idempotent."""

    def moved(self, start: str, end: str) -> Mapping[str, tuple[str, bool]]:
        """Return files that ``end`` has elsewhere: old path by new path, and if they equal."""

    def lay_out(
        self, directory: str, commit: str, base: str, swap: Mapping[str, str | None]
    ) -> None:
        """Set a worktree's files to ``commit``, but some to ``base``; its branch stays.

        ``swap``: by path, the path in ``base`` that has the content; None: the file is removed.
        """

    def rewritten(self, directory: str, commit: str) -> Mapping[str, Sequence[str]]:
        """Return tracked files that differ from a commit, with a digest of each changed place.

        The digests do not depend on the position in the file.
        """

    def restore(self, directory: str, commit: str) -> None:
        """Restore a worktree to a commit; ignored files stay."""

    def work(self, start: str, end: str) -> "BranchWork":
        """Return the commits of a branch since its start, as far as a prompt has room for them."""

    def size(self, start: str, end: str) -> ChangeSize:
        """Return the size of a difference; a binary file counts without lines."""

    def patch(self, start: str, end: str, most_bytes: int) -> str:
        """Return the difference as text; a longer one is cut, with a note."""

    def tracks(self, commit: str, path: str) -> bool: ...

    def join(
        self, first: str, second: str, message: str, signature: Signature, content: str = ""
    ) -> str:
        """Return a commit with both as parents, and the content of ``content`` or ``first``."""

    def line(self, start: str, tip: str) -> Sequence[str]:
        """Return commits from ``start`` to ``tip``, oldest first: first parents, no merges."""

    def in_history(self, start: str, tip: str, paths: Sequence[str]) -> Collection[str]:
        """Return those paths that a commit after ``start``, up to ``tip``, has changed."""

    def folded(self, onto: str, refused: str, tip: str, message: str) -> str:
        """Return ``tip`` with the commits from ``onto`` to ``refused`` folded into the next one.

        ``tip`` itself if it is not on top of them, or if one of them, or a later one, is a merge.
        """

    def replay(
        self,
        onto: str,
        commits: Sequence[str],
        final: str,
        message: str,
        signature: Signature,
    ) -> str:
        """Replay commits on top of ``onto``, in a line, with their authors and messages.

        The result has the content of ``final``; ``message`` is for changes that no commit has.
        """

    def merge(
        self,
        ours: str,
        theirs: str,
        message: str,
        signature: Signature,
        *,
        force: bool,
        union: bool = False,
    ) -> Merge:
        """Merge two commits without touching any file.

        With ``union`` both sides' lines count if both only add lines. With ``force`` theirs win, by
        hunk in text files, otherwise by file.
        """

    def undone(
        self, base: str, result: str, tip: str, earlier: Sequence[str], others: Sequence[str]
    ) -> Undone:
        """Return the changes from ``base`` to ``result`` that ``tip`` no longer has.

        Lines that were edited, moved, or replaced in part are not undone. ``earlier``: commits with
        what files may be restored to, besides ``base``. ``others``: changes of other child jobs, as
        ``<base>..<result>``.
        """
        ...

    def reapplied(
        self, base: str, result: str, tip: str, message: str, signature: Signature, *, force: bool
    ) -> Merge:
        """Apply the changes from ``base`` to ``result`` to ``tip``, which may have merged them
        before and lost them; return ``tip`` itself if it has them.
        """

    def marked(self, ours: str, theirs: str, message: str, signature: Signature) -> str:
        """Merge two commits, with conflict markers in the files that conflict."""

    def conflict_texts(self, ours: str, theirs: str) -> Sequence[ConflictText]:
        """Return the texts of two commits where they conflict, in order."""

    def unresolved(self, ours: str, theirs: str, commit: str) -> Sequence[str]:
        """Return conflicting files of two commits that a third one does not resolve.

        Those with markers; all, if the third commit is just what ``marked`` made.
        """

    def ways_to_merge(self) -> str:
        """Return a digest of what decides, besides git, how files are merged; "" for nothing.

        In ``checkout_state`` by the name ``WAYS_TO_MERGE``.
        """
        ...

    def note(self, directory: str) -> None:
        """Back up the present files that git needs to work; ``directory`` is a root job's.

        Idempotent: a later state does not replace the backup.
        """

    def put_back(self, directory: str) -> Sequence[str]:
        """Restore the backup of files that git cannot use in their present state.

        Return all that was restored since the job began, as text. Idempotent.
        """

    def checkout_state(self) -> Mapping[str, str]:
        """The user's state that must not change: branch, refs, stash, config, files."""

    def exists(self) -> bool:
        """True if the project is in a repository. Never raises."""
        ...

    def ref_moves(self, root_id: str, since: float) -> Sequence[RefMove]:
        """Return what workers of a root job did to refs besides their branches since a time, and
        pushed, as far as git's logs show it.
        """
        ...

    def checkout_files(self) -> "Checkout | None":
        """Return the present files of the user's checkout; None without a repository."""

    def forget(self, root_id: str, directory: str, present: str) -> Sequence[str]:
        """Remove worktrees and refs of a root job; a result that was not landed remains.

        ``directory`` was the job's, its files are in ``present`` now. Work of workers that is in no
        result and on no branch of the user's is kept below ``kept_refs``; the full names are
        returned. Idempotent.
        """

    def discard(self, root_id: str, directory: str) -> Sequence[str]:
        """Remove worktrees and refs of a root job, also those that ``forget`` keeps.

        What is on a branch of the user's stays, with what ``undo`` needs. Return the full names of
        removed branches and kept refs. Idempotent.
        """


def needs_worktree(task: TaskSpec, git: str) -> bool:
    """True if ``git: on`` holds for the task; ``git``: of its job."""
    if task.workdir == Workdir.PROJECT or git == GitUse.OFF:
        return False
    return (task.git or git) == GitUse.ON


#: End the addresses of workers and of the orchestrator, which lead nowhere.
ADDRESSES = ".orchestrator.invalid"


def signature_of(worker: Worker) -> Signature:
    """Return a worker's identity for commits; the address is not deliverable."""
    return Signature(
        name=f"{worker.id} ({worker.agent})",
        email=f"{worker.id}@{worker.root_id}{ADDRESSES}",
    )


def merger_of(job: Job) -> Signature:
    return Signature(name="orchestrator", email=f"merge@{job.root_id}{ADDRESSES}")


def record_name(job_id: str) -> str:
    """Return the name of the merge record under ``reports/``."""
    return f"merge_{job_id}.json"
