"""The port to the project's repository."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Protocol

from orchestrator.core.gates.gate import GateFiles
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import ChangeSize
from orchestrator.core.model.attempt.delivered_work import HeldBack, SideWork
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.user_repository_changes import RefMove


class Strategy(StrEnum):
    """Merge strategy of a job."""

    #: branches without conflicts are merged; conflicts are reported, and the branches with
    #: conflicts stay
    AUTO = "auto"
    #: all branches are merged; in a conflict, the lines of the worker with better evidence win;
    #: with equal evidence, the lines of the later worker win
    THEIRS = "theirs"
    #: no branch is merged; conflicts are listed
    MANUAL = "manual"


#: Name of the lock that tasks with ``workdir: project`` claim, so that these tasks do not run in
#: parallel.
PROJECT_LOCK = "project"


@dataclass(frozen=True, slots=True)
class Checkout:
    """Files of the user's checkout that differ from its commit, at one moment.

    Without a repository, ``files`` has all files of the project.
    """

    #: Fingerprint of each file's state, by path relative to the project.
    files: Mapping[str, str]
    #: The checked-out commit; empty without a repository or a commit.
    commit: str = ""
    #: Path of the project in its repository, with a trailing slash; empty if it is the top.
    prefix: str = ""
    #: Top directory of the repository; empty without a repository.
    top: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeChoice:
    """A person's choices for a repeated merge."""

    #: Merge strategy; empty: the strategy of the last repeated merge, or the job's strategy.
    strategy: str = ""
    #: Ids of workers and child jobs whose changes are merged: workers that failed or were not
    #: chosen, and child jobs whose changes a worker discarded. Their changes are merged until a
    #: later merge excludes them.
    include: tuple[str, ...] = ()
    #: Ids of workers and child jobs whose changes are excluded from the result.
    exclude: tuple[str, ...] = ()
    #: The agent that resolves remaining conflicts, as in the job's settings; empty for none.
    resolve: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """The commit from which a job's workers start."""

    #: The start commit; empty if no worktrees can be created.
    commit: str = ""
    #: The requested branch; otherwise the checked-out branch; empty if neither exists.
    branch: str = ""
    #: True if the commit includes uncommitted changes of the user's checkout.
    dirty: bool = False
    #: True if the commit has submodules.
    has_submodules: bool = False
    #: A note for the user: why there are no worktrees, or which files the worktrees lack.
    note: str = ""
    #: Why no worktree can be created; empty if there is a commit, or no worktree was requested.
    hindrance: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """Author or committer of a commit."""

    name: str
    email: str


class MergeRule(StrEnum):
    """How a file was merged, if not by git's own rules alone."""

    #: a new file was moved into the directory that the other side renamed
    DIRECTORY_RENAME = "directory_rename"
    #: differences in blanks and carriage returns at line ends were ignored
    LINE_ENDS = "line_ends"
    #: both sides only added lines, and the merged file has the added lines of both
    UNION = "union"
    #: a merge driver of the user merged the file; the file may lack the changes of one side
    DRIVER = "driver"


class Hindrance(StrEnum):
    """Why a worker gets no attempt to resolve its conflicts."""

    #: the job's ``resolve`` is off
    OFF = "off"
    #: the worker runs a command, which cannot resolve conflicts
    NO_AGENT = "no_agent"
    #: the worker has used all its retries
    NO_RETRY = "no_retry"
    #: an attempt ran, but did not resolve the conflicts
    UNRESOLVED = "unresolved"
    #: the job was stopped, by a person or at a limit
    STOPPED = "stopped"
    #: a person repeated the merge, and a repeated merge starts no worker
    NOT_ASKED = "not_asked"


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedFile:
    """A file that was merged by a rule beyond git's own rules."""

    path: str
    way: MergeRule


@dataclass(frozen=True, kw_only=True, slots=True)
class LostHunk:
    """Lines of ``ours`` that are not in the result, because ``theirs`` won in this hunk."""

    #: Numbers of the hunk's first and last line, from 1, in the file of ``ours``. If ``ours``
    #: removed the lines: in the common ancestor. If both numbers are 0, the hunk is the whole file.
    first: int = 0
    last: int = 0
    #: True if the lost change is the removal of these lines.
    removed: bool = False
    #: The first lines of the hunk, shortened.
    text: tuple[str, ...] = ()
    #: Known commits that added the lines.
    commits: tuple[str, ...] = ()
    #: Workers that wrote the lines.
    workers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FileConflict:
    """One path with a merge conflict.

    ``base``, ``ours``, ``theirs``: the file's blob ids in the common ancestor and on the two sides.
    A blob id is "" if the file does not exist in this version.
    """

    path: str
    base: str = ""
    ours: str = ""
    theirs: str = ""
    #: The lost hunks of ``ours``. Set if ``theirs`` won.
    lost: tuple[LostHunk, ...] = ()
    #: The child job that made the changes of ``theirs``; empty if the worker made them itself.
    child_job_id: str = ""
    #: Workers of the child job that made the changes.
    child_workers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchWork:
    """A branch's commits and changes so far, shortened for a prompt."""

    #: Short ids and subjects of commits, latest first.
    commits: tuple[tuple[str, str], ...]
    #: Number of commits that are not listed.
    more: int
    #: The changed files with their numbers of lines, as ``git diff --stat`` lists them.
    stat: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ConflictText:
    """One conflicting place of a file.

    If all texts are empty, the whole file conflicts. An example is a binary file.
    """

    path: str
    #: Number of the first line in the file of ``ours``.
    line: int = 0
    base: str = ""
    ours: str = ""
    theirs: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    """Outcome of the merge of two commits."""

    #: The merged commit; empty if there were conflicts.
    commit: str = ""
    conflicts: tuple[FileConflict, ...] = ()
    #: Files that were merged by further rules. Git alone would have reported a conflict, or used
    #: another path.
    files: tuple[MergedFile, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class UndonePlace:
    """Lines that a child job changed, but that its parent worker's result lacks."""

    path: str
    #: Numbers of the first and last line, from 1, in the child job's file. If the child job only
    #: removed lines: in the file from before the child job. If both numbers are 0, the place is the
    #: whole file.
    first: int = 0
    last: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Undone:
    """A child job's changes that the worker's branch had and lost.

    See ``Repository.undone_changes``.
    """

    places: tuple[UndonePlace, ...] = ()
    #: True if none of the changes remains, and no commit removed them. In this case, the changes
    #: were discarded as a whole.
    whole: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """Search path and variables with which the project's installed programs run on a worktree.

    The programs import the worktree's modules, not the modules of the user's checkout.
    """

    #: Directories that come first in the search path.
    path: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    #: The top of the user's checkout. Programs must not read sources from the checkout.
    checkout: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedSideWork:
    """A worker's branch with its side work merged in: see ``Repository.merge_side_work``."""

    commit: str
    work: tuple[SideWork, ...]
    #: New files that stay uncommitted.
    held_back: tuple[HeldBack, ...]


class Repository(Protocol):
    """The project's repository. Directories are absolute. The user's checkout is only read.

    Every method may raise RepositoryError, or OSError if the disk is full. Any thread may call.
    """

    def base(self, revision: str = "", *, dirty: bool = False) -> Base:
        """Return the commit that ``revision`` names, or the commit of the user's checkout.

        ``dirty``: True to include uncommitted changes. With ``revision`` or ``dirty``, raise
        InvalidRequest if the commit cannot be found or created. Without ``revision`` and ``dirty``,
        never raise: if there is no commit, the result has a ``hindrance``.
        """

    def open_worktree(
        self, directory: str, branch: str, start: str, parent_directory: str = ""
    ) -> None:
        """Check out ``branch`` in ``directory``. Create the branch at ``start`` if it is missing.

        ``parent_directory``: the worktree of the parent worker; "" for none. Ignored files are
        copied from this worktree. Ignored files that this worktree lacks are copied from the user's
        checkout.

        Idempotent: a complete worktree stays, and an incomplete worktree is recreated.
        """

    def close_worktree(self, directory: str, branch: str, signature: Signature) -> None:
        """Commit a worktree's uncommitted changes to its branch, and remove the worktree.

        The files may be stored for reuse by the root job's next worktree. Idempotent.
        """

    def remove_spare_worktrees(self, directory: str) -> None:
        """Remove the worktrees that a root job stores for reuse.

        ``directory``: the root job's directory.
        """

    def push_refusals(self) -> Sequence[tuple[str, str]]:
        """Return git settings, with values, that make git reject the pushes of an AI agent.

        Empty without a repository.
        """

    def project_path(self, directory: str) -> str:
        """Return the path of the project in a worktree.

        The project may be a subdirectory of its repository.
        """

    def commit(
        self,
        directory: str,
        branch: str,
        message: str,
        signature: Signature,
        promised: Sequence[str] = (),
    ) -> str:
        """Commit uncommitted changes, if there are any. Return the branch head.

        Files to which a ``HeldBackRule`` applies, such as caches, stay uncommitted, except
        ``promised`` paths.
        """

    def merge_side_work(
        self,
        directory: str,
        branch: str,
        tip: str,
        message: str,
        signature: Signature,
        promised: Sequence[str] = (),
    ) -> MergedSideWork:
        """Merge a worker's side work (branches, worktrees, stash entries) into the worker's branch.

        ``tip``: the branch head, which must include all changes in the worktree. Conflicting side
        work is saved on refs below ``kept_refs``. The user's stash list is unchanged. Idempotent.
        """

    def snapshot(self, directory: str, message: str, signature: Signature) -> str:
        """Commit the current files, without changing the worktree's branch or index.

        Return the commit.
        """

    def repair_worktree(self, directory: str, branch: str, start: str) -> tuple[Sequence[str], str]:
        """Repair a worktree that an attempt broke, so that ``commit`` can store all files.

        Return two values: a text for each damaged part, and the head that the branch had before
        an unfinished rebase. The head is "" if there was no such rebase. An unfinished merge or
        rebase counts as damage, but is not aborted. A missing branch is created at ``start``.
        Idempotent.
        """

    def has_conflicts(self, directory: str) -> bool:
        """True if a worktree's index has conflicts, or an operation such as a merge is unfinished.

        After files with conflicts were committed, the index has no conflicts any more. The result
        is then True only if an operation is unfinished.
        """

    def abort_operation(self, directory: str) -> None:
        """Abort an unfinished merge, rebase, or similar operation. Files stay unchanged.

        Idempotent.
        """

    def conflict_markers(self, start: str, end: str) -> Sequence[str]:
        """Return as text the places of conflict markers that ``end`` has and ``start`` lacks."""

    def commit_ignored(self, directory: str, message: str, signature: Signature) -> str:
        """Commit the ignored files of a worktree, separately from its branch.

        Return the commit; empty if there are no ignored files. Some files are omitted,
        such as very large ones; ``omitted_ignored`` returns them.
        """

    def ignored_files(self, directory: str, paths: Sequence[str]) -> Sequence[str]:
        """Return the ignored files of a worktree that match one of the paths or patterns.

        Paths are relative to the project. Files that were copied from the user's checkout are
        excluded.
        """
        ...

    def new_ignored_files(self, kept: str, earlier: str) -> Sequence[str]:
        """Return the files that are in ``kept``, but not in ``earlier`` or the user's checkout.

        ``kept`` and ``earlier`` are commits that ``commit_ignored`` created; ``earlier`` may be "".
        Paths are relative to the project.
        """
        ...

    def restore_ignored(self, directory: str, commit: str) -> None:
        """Restore ignored files from a commit that ``commit_ignored`` created. Idempotent."""

    def omitted_ignored(self, commit: str) -> Mapping[str, str]:
        """Return the files that ``commit_ignored`` omitted, with reasons."""

    def roll_back(self, directory: str, branch: str, commit: str, kept: str) -> None:
        """Reset a branch and its worktree to a commit.

        Untracked files are removed. Ignored files that ``commit_ignored`` saves are removed, too.
        Other ignored files, such as large directories, stay. ``kept``: commit from which ignored
        files are restored afterwards; "" for none. Idempotent.
        """

    def update_files(self, directory: str, now: str, then: str) -> None:
        """Change the files of a worktree from the commit ``now`` to the commit ``then``.

        Branch and index stay unchanged. If a file to change differs from ``now``, raise
        RepositoryError and change nothing.
        """

    def commit_of(self, name: str) -> str:
        """Return the commit of a branch or ref; empty if it does not exist."""

    def commits_below(self, prefix: str) -> Mapping[str, str]:
        """Return the commits of all refs below a prefix, by full name."""

    def set_ref(self, name: str, commit: str) -> None:
        """Set a ref to a commit. ``name``: full name."""

    def set_refs(self, refs: Mapping[str, str]) -> None:
        """Set several refs to commits: all refs or none.

        ``refs``: commits by the refs' full names.
        """

    def delete_ref(self, name: str) -> None:
        """Remove a ref. Idempotent."""

    def contains(self, commit: str, ancestor: str) -> bool:
        """True if ``ancestor`` is ``commit`` itself, or is in the history of ``commit``."""
        ...

    def changed_paths(self, start: str, end: str) -> Sequence[str]:
        """Return the paths of files that ``end`` adds or changes compared with ``start``."""

    def differing_paths(self, start: str, end: str) -> Mapping[str, bool]:
        """Return every path that differs between two commits.

        The value is True if ``start`` has the path.
        """

    def log_with_diffs(self, start: str, end: str) -> Iterator[bytes]:
        """Yield the log of the commits from ``start`` to ``end`` with their diffs, oldest first.

        For each commit: a line ``commit <name>``, the message indented by one space, and a diff
        without context. The commits of changed submodules follow. All files are treated as text.
        The log comes in pieces, so that the caller can stop early.
        """

    def texts_in(self, commit: str, texts: Collection[bytes]) -> Collection[bytes]:
        """Return the texts that occur in any file of a commit. No text may have line breaks."""

    def gate_files(self, commit: str) -> GateFiles:
        """Return the files of a commit, for the detection of gates."""
        ...

    def open_detached_worktree(self, directory: str, commit: str) -> None:
        """Check out a commit without a branch. Idempotent."""

    def tools(self, directory: str, programs: str, search: str, *, trusted: bool) -> Tools:
        """Prepare the project's installed programs for use in a worktree.

        ``programs``: a directory for copies of programs. Its earlier content is removed.
        ``search``: the ordinary search path. ``trusted``: True to use only trusted programs; the
        programs that a worker installed are then ignored.
        """

    def remove_detached_worktree(self, directory: str) -> None:
        """Remove a worktree that ``open_detached_worktree`` created. Idempotent."""

    def renamed_files(self, start: str, end: str) -> Mapping[str, tuple[str, bool]]:
        """Return moved files, by their path in ``end``.

        Each value is the path in ``start``, and True if the content is the same.
        """

    def set_files(
        self, directory: str, commit: str, base: str, swap: Mapping[str, str | None]
    ) -> None:
        """Set a worktree's files to ``commit``, except the files in ``swap``.

        The branch stays unchanged. ``swap``: files that get content from the commit ``base``. The
        key is the file's path in the worktree. The value is the path in ``base``, or None to remove
        the file.
        """

    def changed_places(self, directory: str, commit: str) -> Mapping[str, Sequence[str]]:
        """Return tracked files that differ from a commit, with a digest of each changed place.

        The digest of a place stays the same if the place moves within the file.
        """

    def restore_files(self, directory: str, commit: str) -> None:
        """Restore the files of a worktree to a commit. Ignored files stay unchanged."""

    def branch_work(self, start: str, end: str) -> "BranchWork":
        """Return the commits and changes of a branch since its start, shortened for a prompt."""

    def change_size(self, start: str, end: str) -> ChangeSize:
        """Return the size of the difference between two commits, without lines of binary files."""

    def changed_line_counts(self, start: str, end: str) -> Mapping[str, tuple[int, int]]:
        """Return the numbers of added and removed lines by file; zero for a binary file.

        Paths are relative to the top of the repository.
        """

    def patch(self, start: str, end: str, most_bytes: int) -> str:
        """Return the difference between two commits as text.

        A text of more than ``most_bytes`` is cut, with a note.
        """

    def tracks(self, commit: str, path: str) -> bool:
        """True if a commit has a file or directory at ``path``."""
        ...

    def create_merge_commit(
        self, first: str, second: str, message: str, signature: Signature, content: str = ""
    ) -> str:
        """Create a merge commit of two parents. Return the commit.

        The merge commit has the files of ``content``, or of ``first`` if ``content`` is empty.
        """

    def first_parent_commits(self, start: str, tip: str) -> Sequence[str]:
        """Return the commits after ``start`` up to ``tip``, along first parents, oldest first.

        Merges are omitted.
        """

    def paths_in_history(self, start: str, tip: str, paths: Sequence[str]) -> Collection[str]:
        """Return the items of ``paths`` that a commit after ``start`` up to ``tip`` changed."""

    def squash(self, onto: str, refused: str, tip: str, message: str) -> str:
        """Combine the commits after ``onto``, up to the commit after ``refused``, into one commit.

        Later commits up to ``tip`` stay separate. Return the new tip.

        The message of the new commit is ``message``, followed by the subjects of the squashed
        commits. A subject that equals the subject of ``message`` is omitted. If no subject remains,
        the new commit keeps the message of the commit after ``refused``.

        Return ``tip`` unchanged if ``tip`` does not build on ``onto`` and ``refused``, or if a
        commit to squash is a merge.
        """

    def replay(
        self,
        onto: str,
        commits: Sequence[str],
        final: str,
        message: str,
        signature: Signature,
    ) -> str:
        """Replay commits on top of ``onto``, with their authors and messages.

        Return the last new commit, which has the whole content of ``final``. If ``commits`` is
        empty, there is one new commit, with the message ``message``. If no new commit is needed,
        return ``onto``.
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
        """Merge two commits without changing any file on disk.

        ``union``: True to keep the lines of both sides in places where both sides only add lines.
        ``force``: True to resolve conflicts with the content of ``theirs``: by hunk in text files,
        otherwise by file.
        """

    def merged_by_drivers(self, start: str, tip: str) -> Sequence[str]:
        """Return files that one of the user's merge drivers merged.

        The merge commits after ``start``, up to ``tip``, are searched. A person should check the
        returned files, because a merge driver may omit the changes of one side.
        """

    def undone_changes(
        self, base: str, result: str, tip: str, earlier: Sequence[str], others: Sequence[str]
    ) -> Undone:
        """Return a child job's changes that the worker's branch had, but that ``tip`` lacks.

        The child job's changes are the difference between ``base`` and ``result``. Lines that were
        edited, moved, or partly replaced do not count as lost.

        ``earlier``: older commits. The worker may have reset files to one of them, or to ``base``.
        ``others``: changes of other child jobs, as ``<base>..<result>``.
        """
        ...

    def reapply(
        self, base: str, result: str, tip: str, message: str, signature: Signature, *, force: bool
    ) -> Merge:
        """Apply the changes between ``base`` and ``result`` to ``tip`` again.

        Call this for changes that ``tip`` merged and later lost. A normal merge would not restore
        such changes, because git considers them merged. If ``tip`` still has all the changes,
        return ``tip``.
        """

    def merge_with_markers(self, ours: str, theirs: str, message: str, signature: Signature) -> str:
        """Return a merge of two commits, with conflict markers in the files that conflict."""

    def conflict_texts(self, ours: str, theirs: str) -> Sequence[ConflictText]:
        """Return the conflicting places of two commits, in order."""

    def unresolved_files(self, ours: str, theirs: str, commit: str) -> Sequence[str]:
        """Return files that conflict between two commits, and that ``commit`` leaves unresolved.

        A file with conflict markers is unresolved. In the commit that ``merge_with_markers``
        creates, all conflicting files are unresolved.
        """

    def ways_to_merge(self) -> str:
        """Return a digest of the git settings and attributes that decide how files are merged.

        Return "" without such settings. In ``checkout_state``, the key of this digest is
        ``WAYS_TO_MERGE``.
        """
        ...

    def back_up_git_files(self, directory: str) -> None:
        """Back up the files without which git does not work. ``directory``: a root job's directory.

        Idempotent: an existing backup is kept.
        """

    def restore_git_files(self, directory: str) -> Sequence[str]:
        """Restore files that ``back_up_git_files`` saved, if git can no longer use them.

        Idempotent. Return, as text, all files that were restored since the job began.
        """

    def checkout_state(self) -> Mapping[str, str]:
        """Return the state that jobs must not change: branch, refs, stash, settings, and files."""

    def exists(self) -> bool:
        """Return True if the project is in a repository. Never raises."""
        ...

    def ref_moves(self, root_id: str, since: float) -> Sequence[RefMove]:
        """Return the ref changes and pushes that a root job's workers made since a time.

        Changes of the workers' own branches are excluded. Changes that git did not log are missing.
        """
        ...

    def checkout_files(self, state: Mapping[str, str] | None = None) -> "Checkout | None":
        """Return the present uncommitted files of the user's checkout; None without a repository.

        ``state``: the present result of ``checkout_state``, if known. With ``state``, no second
        search for changed files is needed.
        """

    def remove_job_refs(
        self, root_id: str, directory: str, current_directory: str
    ) -> Sequence[str]:
        """Remove worktrees and refs of a root job. A result that was not landed stays.

        ``directory``: path of the job's directory when its worktrees were created.
        ``current_directory``: the directory's current path. If a worker's changes are in no result
        and on no branch of the user, they are saved on refs below ``kept_refs``. Return the full
        names of these refs and of the remaining branches. Idempotent.
        """

    def discard_job(self, root_id: str, directory: str) -> Sequence[str]:
        """Remove worktrees and refs of a root job, including a result that was not landed.

        Refs below ``kept_refs`` are removed, too. Landed results and the refs that ``undo`` needs
        stay. Return the full names of the removed branches and of the removed refs below
        ``kept_refs``. Idempotent.
        """


#: Domain of the mail addresses of workers and of the orchestrator. No mail can reach this domain.
ADDRESSES = ".orchestrator.invalid"


def signature_of(worker: Worker) -> Signature:
    return Signature(
        name=f"{worker.id} ({worker.agent})",
        email=f"{worker.id}@{worker.root_id}{ADDRESSES}",
    )


def merger_of(job: Job) -> Signature:
    return Signature(name="orchestrator", email=f"merge@{job.root_id}{ADDRESSES}")


def record_name(job_id: str) -> str:
    """Return the file name of a job's merge record."""
    return f"merge_{job_id}.json"
