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
    """How workers' branches become one."""

    #: what merges cleanly; the rest is reported and kept
    AUTO = "auto"
    #: where two cannot both be had the better worker's lines win, by evidence; else the later one's
    THEIRS = "theirs"
    #: nothing is merged; what would conflict is listed
    MANUAL = "manual"


class GitUse(StrEnum):
    """Who gets a worktree, by the word of a job or a task."""

    #: workers of agents that may change files
    AUTO = "auto"
    #: workers of every agent, so that what a shell command changes is merged, too
    ON = "on"
    #: nobody
    OFF = "off"


class Workdir(StrEnum):
    """Where the worker of a task starts."""

    #: a directory of its own, or a worktree where its agent gets one
    OWN = "own"
    #: the user's checkout as it is
    PROJECT = "project"
    #: another spelling of the task field ``git: on``
    WORKTREE = "worktree"


#: What tasks with ``workdir: project`` hold against each other.
PROJECT_LOCK = "project"


@dataclass(frozen=True, slots=True)
class Checkout:
    """The files of the user's checkout at one moment, as far as they differ from its commit.

    Without a repository: all files.
    """

    #: Paths relative to the host project, and what tells one state of a file from another.
    files: Mapping[str, str]
    #: Empty without a repository, or a commit.
    commit: str = ""
    #: The host project within its repository, with a slash; empty when it is all of it.
    prefix: str = ""
    #: Of the repository; empty without one.
    top: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeChoice:
    """How a job that has ended is merged again."""

    #: Empty: the job's own.
    strategy: str = ""
    #: Workers whose changes are wanted as well as those of workers that succeeded, such as
    #: failed workers and candidates that were not chosen. They stay taken until they are left.
    take: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()
    #: Who resolves the conflicts that are left, as of a job's config; empty: they are left out.
    resolve: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """Where workers start from."""

    #: Empty when there is nothing to make worktrees of.
    commit: str = ""
    #: The branch that was named, or checked out; empty: none.
    branch: str = ""
    #: It was made of what is uncommitted in the user's checkout.
    dirty: bool = False
    #: What the user should know: why there are no worktrees, or what they lack.
    note: str = ""
    #: Why no worktree can be created; empty if that was not tried, or there is a commit.
    hindrance: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """Who makes a commit."""

    name: str
    email: str


class FileWay(StrEnum):
    """How a file was merged that git by itself would not have merged, or not there."""

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
    #: the worker runs a command, which cannot be told of conflicts
    NO_AGENT = "no_agent"
    #: the worker's retries are used
    NO_RETRY = "no_retry"
    #: an attempt was made, and did not resolve them
    UNRESOLVED = "unresolved"
    #: the job was stopped, by a person or at a limit
    STOPPED = "stopped"
    #: the job was merged again, which asks no worker
    NOT_ASKED = "not_asked"


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedFile:
    path: str
    way: FileWay


@dataclass(frozen=True, kw_only=True, slots=True)
class LostHunk:
    """Lines of ours that are not in the result, since theirs won there."""

    #: Line numbers in our file, from 1; in the common ancestor's, where ours removed lines. Both 0:
    #: the whole file.
    first: int = 0
    last: int = 0
    #: What is lost is that these lines were removed.
    removed: bool = False
    #: How the lines begin.
    text: tuple[str, ...] = ()
    #: Commits that the lines come from, as far as that is known.
    commits: tuple[str, ...] = ()
    #: Workers that they are from.
    workers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FileConflict:
    """One path that two sides changed in ways that exclude each other.

    Blob ids of the common ancestor and of both sides; empty where a side has no such file.
    """

    path: str
    base: str = ""
    ours: str = ""
    theirs: str = ""
    #: Where theirs won: what of ours did not.
    lost: tuple[LostHunk, ...] = ()
    #: Theirs are a child job's changes, made by these workers of it; empty: a worker's own.
    child_job_id: str = ""
    child_workers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchWork:
    """What a branch has beyond its start."""

    #: Short ids and subjects, the latest first; ``more`` commits are not listed.
    commits: tuple[tuple[str, str], ...] = ()
    more: int = 0
    #: The changed files with their numbers of lines, as ``git diff --stat`` lists them.
    stat: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConflictText:
    """One place of a file where two sides conflict. No texts: the file as a whole, or no text."""

    path: str
    #: Number of the first line, in our file.
    line: int = 0
    base: str = ""
    ours: str = ""
    theirs: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    #: What came out; empty where conflicts stood in the way.
    commit: str = ""
    conflicts: tuple[FileConflict, ...] = ()
    #: Files that git alone would have left as conflicts, or elsewhere.
    files: tuple[MergedFile, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class UndonePlace:
    """Lines of a file that a child job changed, and that its parent worker's result lacks."""

    path: str
    #: Line numbers in the child job's file, from 1; in the file before, where it only removed
    #: lines. Both 0: the whole file.
    first: int = 0
    last: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Undone:
    """What of a child job's changes a commit has no more."""

    places: tuple[UndonePlace, ...] = ()
    #: Nothing of the changes is left, and no commit took them out: they were discarded.
    whole: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """The project's own programs, for a worktree: what they import is the worktree's."""

    #: Directories that come first on the search path.
    path: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    #: The top of the user's checkout, whose sources are not to be read.
    checkout: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Folded:
    """A worker's branch with what the worker did elsewhere."""

    commit: str
    work: tuple[SideWork, ...] = ()
    #: New files that stay uncommitted.
    held_back: tuple[HeldBack, ...] = ()


class Repository(Protocol):
    """The host project's repository. Directories are absolute; the user's own is only read.

    Every method may raise RepositoryError, which says in words what went wrong, and OSError
    where there is no room. Any thread may call.
    """

    def base(self, revision: str = "", *, dirty: bool = False) -> Base:
        """The commit that ``revision`` names, or that the user's checkout is at.

        ``dirty``: with what is uncommitted there. Raise InvalidRequest where one of both is asked
        for and cannot be had; else never raise.
        """

    def open_worktree(self, directory: str, branch: str, start: str, above: str = "") -> None:
        """Have ``branch`` checked out in ``directory``; a new one begins at ``start``.

        What git ignores and is copied comes from the worktree ``above`` first, where it is there.
        Idempotent: what is there, and whole, stays as it is; what a crash left half is made anew.
        """

    def close_worktree(self, directory: str, branch: str, signature: Signature) -> None:
        """Remove a worktree; what is not committed goes onto its branch first. Idempotent."""

    def drop_spares(self, directory: str) -> None:
        """Remove what a root job has kept of closed worktrees; ``directory`` is the job's."""

    def push_refusals(self) -> Sequence[tuple[str, str]]:
        """Names and values of settings by which git pushes nothing; none without a repository."""

    def inside(self, directory: str) -> str:
        """Where in a worktree the host project is: it may be a part of its repository."""

    def commit(
        self,
        directory: str,
        branch: str,
        message: str,
        signature: Signature,
        promised: Sequence[str] = (),
    ) -> str:
        """Commit what was left uncommitted, if anything; what the branch is at then.

        Dependencies, caches and the like stay uncommitted, but for ``promised`` paths.
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

        All in the worktree is committed, and ``tip`` is that commit. What conflicts is kept on
        refs below ``kept_refs``. The user's stash list is as before. Idempotent.
        """

    def snapshot(self, directory: str, message: str, signature: Signature) -> str:
        """A commit of the worktree as it is, that changes neither its branch nor its index."""

    def mend(self, directory: str, branch: str, start: str) -> tuple[Sequence[str], str]:
        """What an attempt left broken of its worktree, in words; mended so far that ``commit`` can
        keep all of it. Idempotent.

        Also the commit that the branch was at before a rebase that was not finished, or nothing.
        A branch that is gone begins at ``start``.
        """

    def settle(self, directory: str) -> None:
        """End whatever merge, rebase and the like is under way; files stay. Idempotent."""

    def conflict_markers(self, start: str, end: str) -> Sequence[str]:
        """In words, where ``end`` has markers of conflicts that ``start`` has not."""

    def keep_ignored(self, directory: str, message: str, signature: Signature) -> str:
        """A commit of the files that git ignores in a worktree; empty when there are none.

        Very large ones are not in it; it says which.
        """

    def ignored(self, directory: str, paths: Sequence[str]) -> Sequence[str]:
        """Files of a worktree that git ignores and that fit one of the paths or patterns, all of
        them relative to the host project. What came from the user's checkout is not among them.
        """
        ...

    def put_back_ignored(self, directory: str, commit: str) -> None:
        """Write the files of such a commit. Idempotent."""

    def not_kept(self, commit: str) -> Mapping[str, str]:
        """What is not in a commit of ignored files, and why."""

    def roll_back(self, directory: str, branch: str, commit: str, kept: str) -> None:
        """Have a branch and its worktree at a commit, with the ignored files of ``kept``.

        All else in the worktree is gone then, but for ignored files too large to be kept.
        Idempotent.
        """

    def bring(self, directory: str, now: str, then: str) -> None:
        """Have the files of a worktree, which are as in ``now``, as in ``then``.

        Its branch and index stay. Raise RepositoryError, and change nothing, when a file that is
        to change is not as in ``now`` any more.
        """

    def tip(self, name: str) -> str:
        """The commit of a branch or ref; empty when there is none."""

    def tips(self, prefix: str) -> Mapping[str, str]:
        """The commits of all refs below a prefix, by full name."""

    def point(self, name: str, commit: str) -> None:
        """Have a full ref name point to a commit."""

    def point_all(self, refs: Mapping[str, str]) -> None:
        """Have full ref names point to commits: all of them or none."""

    def drop(self, name: str) -> None:
        """Remove a ref. Idempotent."""

    def contains(self, commit: str, ancestor: str) -> bool: ...

    def changed(self, start: str, end: str) -> Sequence[str]:
        """Paths of files that ``end`` has and ``start`` has not, or not so."""

    def touched(self, start: str, end: str) -> Mapping[str, bool]:
        """Every path that differs; whether ``start`` has it."""

    def added(self, start: str, end: str) -> Iterator[bytes]:
        """What each commit on the way from ``start`` to ``end`` adds, the oldest first.

        A line ``commit <name>``, its message moved in by one space, and a diff without context, in
        which all files are text. In pieces; whoever has enough stops reading.
        """

    def present(self, commit: str, texts: Collection[bytes]) -> Collection[bytes]:
        """Those of some texts, which have no line ends, that stand in a file of a commit."""

    def files(self, commit: str) -> GateFiles:
        """The files of the host project in a commit."""

    def open_at(self, directory: str, commit: str) -> None:
        """Have a commit checked out that is on no branch. Idempotent."""

    def tools(self, directory: str, programs: str, search: str, *, trusted: bool) -> Tools:
        """The project's own programs for a worktree; ``programs`` is a directory for them.

        What was in it goes. ``search`` is the path that is searched for programs otherwise.
        ``trusted``: nothing that a worker put into the worktree is run in the place of what the
        user's checkout has.
        """

    def close_at(self, directory: str) -> None:
        """Remove such a worktree with all that is in it. Idempotent."""

    def moved(self, start: str, end: str) -> Mapping[str, tuple[str, bool]]:
        """Files that ``end`` has elsewhere: by the new path the old one, and whether they equal."""

    def lay_out(
        self, directory: str, commit: str, base: str, swap: Mapping[str, str | None]
    ) -> None:
        """Have a worktree's files as in ``commit``, but some as in ``base``; its branch stays.

        ``swap``: for a path the one of which ``base`` has the content; None: there is no such file.
        """

    def rewritten(self, directory: str, commit: str) -> Mapping[str, Sequence[str]]:
        """Tracked files of a worktree that differ from a commit: a digest of each changed place.

        The digests are the same wherever in the file the place is.
        """

    def restore(self, directory: str, commit: str) -> None:
        """Have a worktree as a commit says; what is ignored stays."""

    def work(self, start: str, end: str) -> "BranchWork":
        """The commits of a branch since it began, as far as a prompt has room for them."""

    def size(self, start: str, end: str) -> ChangeSize:
        """How much differs; a file that is no text counts without lines."""

    def patch(self, start: str, end: str, most_bytes: int) -> str:
        """What differs, as text; cut where it is longer than that, and told so."""

    def tracks(self, commit: str, path: str) -> bool: ...

    def join(
        self, first: str, second: str, message: str, signature: Signature, content: str = ""
    ) -> str:
        """A commit with both as parents, and the content of ``content``, or else ``first``."""

    def line(self, start: str, tip: str) -> Sequence[str]:
        """Commits from ``start`` to ``tip``, the oldest first: first parents, and no merges."""

    def in_history(self, start: str, tip: str, paths: Sequence[str]) -> Collection[str]:
        """Those of the paths that a commit after ``start`` has changed, up to ``tip``."""

    def folded(self, onto: str, refused: str, tip: str, message: str) -> str:
        """``tip`` with the commits from ``onto`` to ``refused`` as part of the commit after them.

        ``tip`` itself if it is not on top of them, or if one of them, or what follows, is a merge.
        """

    def replay(
        self,
        onto: str,
        commits: Sequence[str],
        final: str,
        message: str,
        signature: Signature,
    ) -> str:
        """Commits told again on top of ``onto``, in a line, with their authors and messages.

        What comes out has the content of ``final``; ``message`` is for what no commit tells of.
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

        With ``union`` both sides' lines count where both only add lines. With ``force`` theirs
        win, hunk by hunk where a file is text, else as whole files.
        """

    def undone(
        self, base: str, result: str, tip: str, earlier: Sequence[str], others: Sequence[str]
    ) -> Undone:
        """What ``tip`` has no more of what was changed from ``base`` to ``result``.

        Lines that were edited, moved, or replaced in part are not undone. ``earlier``: commits
        with what files may be restored to, besides ``base``. ``others``: changes of other child
        jobs, as ``<base>..<result>``.
        """
        ...

    def reapplied(
        self, base: str, result: str, tip: str, message: str, signature: Signature, *, force: bool
    ) -> Merge:
        """The changes from ``base`` to ``result`` on top of ``tip``, which may have merged them
        before, and lost them; ``tip`` itself if it has them."""

    def marked(self, ours: str, theirs: str, message: str, signature: Signature) -> str:
        """A merge of two commits with conflict marks in the files where they exclude each other."""

    def conflict_texts(self, ours: str, theirs: str) -> Sequence[ConflictText]:
        """What two commits have where they conflict, in order."""

    def unresolved(self, ours: str, theirs: str, commit: str) -> Sequence[str]:
        """Of the files where two commits exclude each other: those that a third does not settle.

        That is where it has marks, and all of them where it is just what ``marked`` made.
        """

    def ways_to_merge(self) -> str:
        """A digest of what decides, besides git, how files are merged; empty: nothing does.

        In ``checkout_state`` by the name ``WAYS_TO_MERGE``.
        """
        ...

    def note(self, directory: str) -> None:
        """Keep what git cannot work without, as it is now; ``directory`` is a root job's.

        Idempotent: what comes later does not count.
        """

    def put_back(self, directory: str) -> Sequence[str]:
        """Have what was kept of it be there again where git cannot work with what is there now.

        All that was put back since the job began, in words. Idempotent.
        """

    def checkout_state(self) -> Mapping[str, str]:
        """What must not change in the user's checkout: branch, refs, stash, config, files."""

    def exists(self) -> bool:
        """Whether the project is in a repository. Never raises."""
        ...

    def ref_moves(self, root_id: str, since: float) -> Sequence[RefMove]:
        """What workers of a root job did to refs besides their branches since a time, and pushed,
        as far as git's logs tell it."""
        ...

    def checkout_files(self) -> "Checkout | None":
        """The user's checkout as it is now; None where there is no repository."""

    def forget(self, root_id: str, directory: str, present: str) -> Sequence[str]:
        """Remove worktrees and refs of a root job; a result that nobody took is left.

        ``directory`` was the job's, its files are in ``present`` now. Work of workers that is in
        no result and on no branch of the user's is kept: below ``kept_refs``, the full names are
        given. Idempotent.
        """

    def discard(self, root_id: str, directory: str) -> Sequence[str]:
        """Remove worktrees and refs of a root job, also those that ``forget`` keeps.

        What is on a branch of the user's stays, with what ``undo`` needs. Returns the full names of
        branches and kept refs that were removed. Idempotent.
        """


def needs_worktree(task: TaskSpec, git: str) -> bool:
    """True if ``git: on`` holds for the task; ``git``: of its job."""
    if task.workdir == Workdir.PROJECT or git == GitUse.OFF:
        return False
    return (task.git or git) == GitUse.ON


#: End the addresses of workers and of the orchestrator, which lead nowhere.
ADDRESSES = ".orchestrator.invalid"


def signature_of(worker: Worker) -> Signature:
    """One identity per worker; the address leads nowhere."""
    return Signature(
        name=f"{worker.id} ({worker.agent})",
        email=f"{worker.id}@{worker.root_id}{ADDRESSES}",
    )


def merger_of(job: Job) -> Signature:
    return Signature(name="orchestrator", email=f"merge@{job.root_id}{ADDRESSES}")


def record_name(job_id: str) -> str:
    """Under ``reports/``: what became of the changes of a job."""
    return f"merge_{job_id}.json"
