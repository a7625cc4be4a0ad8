"""Side work: branches, worktrees, and stash entries that an agent creates.

Side work is merged into the worker's branch if a ref log proves that the worker created it. The
proof is the worker's email address in the ref's log, or an entry in the log of HEAD in the worker's
worktree. If the logs were emptied, the email address in the commit decides. All other branches,
worktrees, and stash entries stay unchanged. After a crash, each step can be repeated: git merges
nothing that is already merged.
"""

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.delivered_work import SideWork, SideWorkKind
from orchestrator.core.repository.git_refs import (
    BRANCHES,
    abandoned_refs,
    checkpoint_refs,
    deleted_refs,
    kept_refs,
)
from orchestrator.core.repository.repository import ADDRESSES, Signature
from orchestrator.core.text.path_patterns import within
from orchestrator.git.command import ref_files
from orchestrator.git.command.private_index import edited_tree
from orchestrator.git.command.ref_files import HeadLog, LogEntry, created, entries, part_of_ref
from orchestrator.git.command.runner import ITSELF, Git
from orchestrator.git.commits import commit_creation as commits
from orchestrator.git.commits import nested_repositories
from orchestrator.git.commits.commit_creation import commit_tree, contains, tree_of
from orchestrator.git.commits.nested_repositories import Nested
from orchestrator.git.commits.staged_entries import LINK
from orchestrator.git.merge import merge_tree
from orchestrator.git.merge.undone_changes import undone
from orchestrator.git.worktrees.worktrees import GitWorktrees, RegisteredWorktree

logger = logging.getLogger(__name__)

_HEADS = "refs/heads/"
_STASH = "refs/stash"
#: Maximum number of commits that are searched for the content of a deleted branch.
_MOST_COMPARED = 20
_NOBODY = Signature(name="orchestrator", email="stash@orchestrator.invalid")


@dataclass(frozen=True, kw_only=True, slots=True)
class EndedWorktree:
    """A worker's worktree after its attempt has ended. All changes in it are committed."""

    worktree: RegisteredWorktree
    git: Git
    branch: str
    root_id: str
    worker_id: str
    #: Identity of the worker. Its email address proves which commits and refs the worker created.
    signature: Signature
    message: str
    rules: commits.CommitRules
    #: Function that returns a Git with the job's saved settings, for writing files. The call starts
    #: one more process.
    with_saved_settings: Callable[[Git], Git]
    #: The job's directory. Side worktrees below it are removed after their work is merged or saved.
    job: Path

    @property
    def common(self) -> Path:
        return self.worktree.admin.parents[1]

    @property
    def saved_prefix(self) -> str:
        return f"{kept_refs(self.root_id)}{self.worker_id}/"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    kind: SideWorkKind
    name: str
    commit: str
    #: For a stash entry: the commit that the entry changes.
    base: str = ""
    #: For a stash entry: the entry itself, which is saved for a person after a conflict.
    original: str = ""


@dataclass(frozen=True, slots=True)
class _Refs:
    """Refs and commits that may be side work of a worker."""

    #: Branches that the worker created, and refs of commits that the worker removed from its own
    #: branch. A value is the ref's commit.
    side: dict[str, str]
    #: The worker's last commit on each branch of the user. These commits are saved, but not merged.
    of_users: dict[str, str]
    #: Names of the refs in ``side`` that are no branches.
    abandoned: list[str]
    #: Commits that the worker made on a detached HEAD before it checked out another commit.
    detached: list[str]
    #: Last commits of the worker's deleted branches, by branch name.
    deleted: dict[str, str]
    #: Refs that save the last commits of the worker's own branch, which the worker has deleted.
    lost: list[str]
    #: Refs that already save side work of the worker. A value is the ref's commit.
    saved: dict[str, str]
    #: Commits of the worker's checkpoints. They contain side work that earlier attempts merged,
    #: even if a rollback has removed this work from the branch.
    checkpoints: list[str]


def merge_side_work(
    ended: EndedWorktree, worktrees: GitWorktrees, tip: str
) -> tuple[str, tuple[SideWork, ...]]:
    """Merge the worker's side work into the worker's branch, whose head is ``tip``. Idempotent.

    Conflicting side work is saved on a ref. Return the new head, and the side work that was merged
    or saved.
    """
    log = HeadLog(ended.worktree.admin)
    refs, side_worktrees = _refs(ended, tip, log), list(_own_worktrees(ended, worktrees))
    stash_entries = _own_stash_entries(ended, worktrees, log)
    if (
        refs.side
        or refs.of_users
        or refs.detached
        or refs.deleted
        or side_worktrees
        or stash_entries
    ):
        ended = replace(ended, git=ended.with_saved_settings(ended.git))
    merging = _SideWorkMerge(ended, worktrees, refs, tip)
    merging.run(side_worktrees, stash_entries)
    return merging.tip, tuple(merging.work)


class _SideWorkMerge:
    def __init__(
        self, ended: EndedWorktree, worktrees: GitWorktrees, refs: _Refs, tip: str
    ) -> None:
        self._ended = ended
        self._git = ended.git
        self._worktrees = worktrees
        self._refs = refs
        self.tip = tip
        self.work: list[SideWork] = []

    def run(
        self, side_worktrees: Sequence[RegisteredWorktree], stash_entries: Sequence[tuple[str, str]]
    ) -> None:
        inner: list[Nested] = []
        for worktree in side_worktrees:
            with _logged("worktree", worktree.directory):
                self._merge_or_save(_worktree_piece(self._ended, self._worktrees, worktree, inner))
                nested_repositories.save_histories(
                    self._git, inner, f"{self._ended.saved_prefix}nested/"
                )
                # Remove a side worktree in the job's directory, because gates would check its
                # files, too.
                is_here = worktree.directory.startswith(f"{os.path.realpath(self._ended.job)}/")
                if is_here or not os.path.lexists(worktree.directory):
                    self._worktrees.close(worktree.directory)
        for ref, commit in self._refs.side.items():
            with _logged("ref", ref):
                # An abandoned commit has no branch name, so use the end of its ref as the name.
                is_abandoned = ref in self._refs.abandoned
                name = ref.rpartition("/")[2] if is_abandoned else ref.removeprefix(_HEADS)
                self._merge_or_save(_Piece(kind=SideWorkKind.BRANCH, name=name, commit=commit))
        for ref, commit in self._refs.of_users.items():
            with _logged("ref", ref):
                if not contains(self._git, self.tip, commit):
                    name = ref.removeprefix(_HEADS)
                    self._save_on_ref(_Piece(kind=SideWorkKind.OF_USER, name=name, commit=commit))
        for commit in self._refs.detached:
            with _logged("commit", commit):
                self._merge_or_save(
                    _Piece(kind=SideWorkKind.BRANCH, name=commit[:12], commit=commit)
                )
        for ref in self._refs.abandoned:
            self._git.run("update-ref", *ITSELF, "-d", ref)
        for commit, name in stash_entries:
            with _logged("stash", name):
                self._merge_or_save(_stash_piece(self._git, commit, name))
                _drop_stash_entry(self._ended, commit)
        for name, commit in self._refs.deleted.items():
            with _logged("deleted branch", name):
                self._save_deleted(name, commit)
        for ref in self._refs.lost:
            self._git.run("update-ref", *ITSELF, "-d", ref)
        if self._refs.saved or self.work or inner:
            self.work += self._saved_before()

    def _merge_or_save(self, piece: _Piece) -> None:
        """Merge a piece of side work into the branch. If that fails, save the piece on a ref.

        Do nothing if the branch or a checkpoint already has the piece.
        """
        if not piece.base and any(
            contains(self._git, each, piece.commit) for each in (self.tip, *self._refs.checkpoints)
        ):
            return
        merged = self._merge(piece)
        if merged and tree_of(self._git, merged) == tree_of(self._git, self.tip):
            return
        if merged and self._move_to(merged):
            self.work.append(SideWork(kind=piece.kind, name=piece.name))
            return
        self._save_on_ref(piece)

    def _save_deleted(self, name: str, commit: str) -> None:
        """Save the commits of a deleted branch on a ref, unless their content is already merged."""
        saved = (
            self.tip,
            *self._refs.checkpoints,
            *_tips(self._ended, self._ended.saved_prefix).values(),
        )
        if any(contains(self._git, each, commit) for each in saved):
            return
        base = self._git.ask("merge-base", commit, self.tip)
        # The content may be merged without the commit, by a squash merge or a cherry-pick. Later
        # commits may have changed this content, so check each of them.
        options = ("--first-parent", f"--max-count={_MOST_COMPARED}", self.tip, f"^{commit}")
        for tip in self._git.run("rev-list", *options).text.splitlines() if base else ():
            if not undone(self._git, base, commit, tip, (), ()).places:
                return
        self._save_on_ref(_Piece(kind=SideWorkKind.DELETED, name=name, commit=commit))

    def _save_on_ref(self, piece: _Piece) -> None:
        ref = self._ref_of(piece)
        commit = piece.original or piece.commit
        self._git.run("update-ref", *ITSELF, "-m", "orchestrator: kept", ref, commit)
        failpoints.reached("side work: saved")
        self.work.append(SideWork(kind=piece.kind, name=piece.name, ref=ref))

    def _merge(self, piece: _Piece) -> str:
        git, signature = self._git, self._ended.signature
        message = f"Merge {piece.kind} {piece.name!r} of {self._ended.worker_id}\n"
        if not piece.base:
            return merge_tree.merge(git, self.tip, piece.commit, message, signature).commit
        # Merge copies without history, because the worker may have discarded the commit to which
        # the entry belongs.
        base = commit_tree(git, tree_of(git, piece.base), [], message, _NOBODY)
        ours = commit_tree(git, tree_of(git, self.tip), [base], message, _NOBODY)
        theirs = commit_tree(git, tree_of(git, piece.commit), [base], message, _NOBODY)
        merged = merge_tree.merge(git, ours, theirs, message, signature).commit
        if not merged:
            return ""
        return commit_tree(git, tree_of(git, merged), [self.tip], message, signature)

    def _move_to(self, merged: str) -> bool:
        """Change the worktree's files to the commit ``merged``, and then move the branch to it.

        If a file prevents the change, move nothing, and return False; otherwise return True. A
        crash between the two steps loses no change: the next attempt commits the new files as the
        worker's changes, and merges the side work again.
        """
        try:
            self._git.run("read-tree", "-m", "-u", self.tip, merged)
        except RepositoryError:
            logger.warning(
                "cannot merge a branch, worktree, or stash entry of the agent: a file in the "
                "worktree %s prevents the merge; the commits are saved on a ref",
                self._git.directory,
                exc_info=True,
            )
            return False
        failpoints.reached("side work: files merged")
        reason = "orchestrator: merged the worker's side work"
        self._git.run("update-ref", *ITSELF, "-m", reason, self._ended.branch, merged)
        failpoints.reached("side work: branch moved")
        self.tip = merged
        return True

    def _ref_of(self, piece: _Piece) -> str:
        # If the ref has work of an earlier attempt, use another name.
        ref = f"{self._ended.saved_prefix}{piece.kind}/{part_of_ref(piece.name)}"
        commit = piece.original or piece.commit
        if piece.kind is SideWorkKind.STASH:
            return f"{self._ended.saved_prefix}{piece.kind}/{commit[:12]}"
        return ref if self._refs.saved.get(ref, commit) == commit else f"{ref}+{commit[:12]}"

    def _saved_before(self) -> Iterator[SideWork]:
        """Yield the side work that is already saved on refs.

        This side work comes from an earlier attempt, from this attempt before a crash, or from
        nested repositories.
        """
        reported = {each.ref for each in self.work}
        for ref, commit in _tips(self._ended, self._ended.saved_prefix).items():
            kind, _, path = ref.removeprefix(self._ended.saved_prefix).partition("/")
            is_work = kind in set(SideWorkKind) and ref not in reported
            if is_work and not (kind == SideWorkKind.NESTED and "+" in path.replace("+/", "/")):
                name = unquote(path.replace("+/", "/"))
                work = SideWork(kind=SideWorkKind(kind), name=name, ref=ref)
                if work.kind is SideWorkKind.NESTED:
                    yield replace(work, kind=self._kind_of_nested(name))
                elif not contains(self._git, self.tip, commit):
                    yield work

    def _kind_of_nested(self, path: str) -> SideWorkKind:
        entry = self._git.run("ls-tree", "-z", self.tip, "--", path).out
        is_link = entry.startswith(LINK.encode())
        return SideWorkKind.SUBMODULE if is_link else SideWorkKind.NESTED


@contextmanager
def _logged(kind: str, name: str) -> Iterator[None]:
    """Log errors of the ``with`` block instead of raising them.

    Otherwise, unreadable side work would make the worker's own work fail.
    """
    try:
        yield
    except RepositoryError as error:
        about = {"kind": kind, "named": name, "error": error.message}
        logger.warning("cannot merge the branches or stashes of an agent", extra=about)


def _refs(ended: EndedWorktree, tip: str, log: HeadLog) -> _Refs:
    # If the worker has no side work, which is the usual case, this function starts no process.
    checkpoint_tips = _tips(ended, checkpoint_refs(ended.root_id, ended.worker_id))
    prefix = abandoned_refs(ended.root_id, ended.worker_id)
    saved = _tips(ended, prefix)
    lost = {ref for ref in saved if ref.startswith(deleted_refs(prefix))}
    abandoned = {ref: commit for ref, commit in saved.items() if ref not in lost}
    # Skip branches of jobs: the worker did not create them, and their number grows.
    branches = ref_files.tips(ended.git, ended.common, _HEADS, without=f"{_HEADS}{BRANCHES}/")
    checkpoints = [commit for ref, commit in checkpoint_tips.items() if ref.endswith("-after")]
    deleted = _deleted_branches(ended, log, branches)
    # These commits come from the log of the worker's own worktree, so they are the worker's.
    deleted |= {ended.branch.removeprefix(_HEADS): saved[ref] for ref in lost}
    own_branches, of_users = _own_branches(ended, log, branches)
    return _Refs(
        {**own_branches, **abandoned},
        of_users,
        list(abandoned),
        _abandoned_commits(ended, log, [tip, *checkpoints]),
        deleted,
        list(lost),
        _tips(ended, ended.saved_prefix),
        checkpoints,
    )


def _abandoned_commits(ended: EndedWorktree, log: HeadLog, merged: Sequence[str]) -> list[str]:
    """Return the commits that the worker made on a detached HEAD before a checkout.

    Like ``git switch -``, this function recognizes a checkout by the text of its log entry. Two
    kinds of commits are omitted: commits in the histories of ``merged``, and commits to which the
    worker's branch has pointed.
    """
    detached = {commit for name, commit in log.checkouts if name == commit}
    if detached:
        detached -= {each.after for each in entries(_log_of(ended, ended.branch))}
    return _own_commits(ended, log, detached, merged)


def _deleted_branches(
    ended: EndedWorktree, log: HeadLog, branches: Collection[str]
) -> dict[str, str]:
    """Return the last commit of each deleted branch that the worker had checked out, by name.

    Branches of jobs, and commits that the worker did not make, are omitted. ``branches``: the
    existing branches.
    """
    last_commits = {
        name: commit
        for name, commit in log.checkouts
        if name != commit
        and f"{_HEADS}{name}" not in branches
        and not name.startswith(f"{BRANCHES}/")
    }
    own_commits = _own_commits(ended, log, set(last_commits.values()), ())
    return {name: commit for name, commit in last_commits.items() if commit in own_commits}


def _own_commits(
    ended: EndedWorktree, log: HeadLog, commits: Collection[str], merged: Sequence[str]
) -> list[str]:
    """Return the commits in ``commits`` that the worker made.

    Commits in the history of a commit in ``merged`` are omitted.
    """
    if not commits:
        return []
    revisions = "\n".join((*commits, *(f"^{each}" for each in merged), "")).encode()
    no_walk = () if merged else ("--no-walk",)
    options = ("--ignore-missing", "--no-commit-header", "--format=%H %ce", *no_walk, "--stdin")
    output = ended.git.run("rev-list", *options, stdin=revisions).text
    pairs = (line.split(" ", 1) for line in output.splitlines())
    address = ended.signature.email
    own = (commit for commit, email in pairs if email == address or commit in log.created)
    return [commit for commit in own if commit in commits]


def _tips(ended: EndedWorktree, prefix: str) -> dict[str, str]:
    return ref_files.tips(ended.git, ended.common, prefix)


def _own_branches(
    ended: EndedWorktree, log: HeadLog, branches: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return two mappings. Each maps a branch to the worker's last commit on the branch.

    The first mapping has the worker's own branches. The second mapping has branches of the user. A
    branch of the user is omitted if its log shows that a worker moved the branch to this last
    commit. The job's report already names such branches.
    """
    own, of_users, unsure = dict[str, str](), dict[str, str](), list[str]()
    for ref, tip in branches.items():
        path = _log_of(ended, ref)
        if not _is_changed(ended, path):
            continue
        moves = list(entries(path))
        if _is_own(ended, moves):
            if tip in log.created or tip in created(_not_of_others(ended, moves)):
                own[ref] = tip
            else:
                unsure.append(ref)
        elif commit := _commit_made_here(ended, log, ref, tip):
            if moves[0].seconds >= int(_start_time(ended)):
                own[ref] = commit
            elif not any(each.after == commit and _is_workers(each) for each in moves):
                of_users[ref] = commit
    by_address = _branches_by_address(ended, unsure)
    for ref in unsure:
        if commit := by_address.get(ref) or _commit_made_here(ended, log, ref, branches[ref]):
            own[ref] = commit
    return own, of_users


def _not_of_others(ended: EndedWorktree, moves: Sequence[LogEntry]) -> Iterator[LogEntry]:
    """Yield the entries of a branch's log, except entries of other workers and of the user.

    The log has entries of others if another worker or the user commits on the branch after this
    worker.
    """
    users = {each.email for each in entries(_log_of(ended, "HEAD"))}
    yield from (
        each for each in moves if not _is_other_workers(ended, each) and each.email not in users
    )


def _commit_made_here(ended: EndedWorktree, log: HeadLog, ref: str, tip: str) -> str:
    """Return the worker's last commit on the branch ``ref``.

    Return "" if the commit was not made in the worker's worktree.

    ``tip``: the branch's current commit, which is newer than the returned commit if another worker
    has added commits.
    """
    last_commit = log.last_commit_of(ref)
    if not last_commit or tip in log.created:
        return tip if last_commit else ""
    return (
        last_commit if last_commit in log.created and contains(ended.git, tip, last_commit) else ""
    )


def _branches_by_address(ended: EndedWorktree, refs: Collection[str]) -> dict[str, str]:
    """Return the refs in ``refs`` with the worker's email address in their commit.

    A value is the commit.
    """
    if not refs:
        return {}
    format_ = "--format=%(refname) %(objectname) %(committeremail)"
    output = ended.git.run("for-each-ref", format_, *refs).text
    lines = [line.split(" ", 2) for line in output.splitlines()]
    address = f"<{ended.signature.email}>"
    return {ref: tip for ref, tip, email in lines if email == address and ref in refs}


def _is_own(ended: EndedWorktree, moves: Sequence[LogEntry]) -> bool:
    """True if the log of a branch shows that the worker created the branch, or if the log is empty.

    An empty log proves nothing, because any worker may have emptied all logs, for example by ``git
    reflog expire --expire=now --all``. If the log is empty, the caller must check who made the
    commits.
    """
    beginnings = tuple(f"Branch: {action} {ended.branch} to " for action in ("renamed", "copied"))
    return (
        not moves
        or moves[0].email == ended.signature.email
        or any(each.message.startswith(beginnings) for each in moves)
    )


def _is_other_workers(ended: EndedWorktree, entry: LogEntry) -> bool:
    return _is_workers(entry) and not _is_by(ended, entry)


def _is_workers(entry: LogEntry) -> bool:
    return entry.email.endswith(ADDRESSES)


def _start_time(ended: EndedWorktree) -> float:
    """Return the time at which the worker's worktree was created (Unix time)."""
    return os.lstat(ended.worktree.admin / "commondir").st_mtime


def _is_changed(ended: EndedWorktree, log: Path) -> bool:
    """True if a ref's log was written after the worker's worktree was created."""
    try:
        return os.lstat(log).st_mtime >= _start_time(ended)
    except OSError:
        return False


def _own_worktrees(ended: EndedWorktree, worktrees: GitWorktrees) -> Iterator[RegisteredWorktree]:
    directory = os.path.dirname(ended.worktree.directory)
    for worktree in worktrees.all():
        if worktree.admin == ended.worktree.admin:
            continue
        moves = entries(worktree.admin / "logs" / "HEAD")
        if within(worktree.directory, directory) or _is_by(ended, next(moves, None)):
            yield worktree


def _is_by(ended: EndedWorktree, entry: LogEntry | None) -> bool:
    return entry is not None and entry.email == ended.signature.email


def _log_of(ended: EndedWorktree, ref: str) -> Path:
    return ended.common / "logs" / ref


def _worktree_piece(
    ended: EndedWorktree, worktrees: GitWorktrees, worktree: RegisteredWorktree, inner: list[Nested]
) -> _Piece:
    git = worktrees.git_of(worktree)
    kind, name = SideWorkKind.WORKTREE, worktree.admin.name
    if not os.path.isdir(worktree.directory):
        # The agent has removed the worktree's directory.
        git = Git(str(ended.common), {"GIT_DIR": str(worktree.admin)})
        commit = git.run("rev-parse", "HEAD^{commit}").text
        # The index still has the staged files, unless the worktree has conflicts.
        tree = git.ask("write-tree") or tree_of(git, commit)
        if tree != tree_of(git, commit):
            commit = commit_tree(git, tree, [commit], ended.message, ended.signature)
        return _Piece(kind=kind, name=name, commit=commit)
    worktrees.unlock(worktree)
    commit, added = commits.snapshot(
        git, worktree.admin, ended.message, ended.signature, {}, ended.rules
    )
    inner += added.nested
    return _Piece(kind=kind, name=name, commit=commit)


def _own_stash_entries(
    ended: EndedWorktree, worktrees: GitWorktrees, log: HeadLog
) -> list[tuple[str, str]]:
    path = _log_of(ended, _STASH)
    if not _is_changed(ended, path):
        return []
    stash = list(entries(path))
    if not stash:
        # The log was emptied, so git lists no entries. The ref still names the latest entry.
        latest = _own_commits(ended, log, list(_tips(ended, _STASH).values()), ())
        return [(commit, commit[:12]) for commit in latest]
    bases = log.stashed(stash)
    admins = [ended.common, *(each.admin for each in worktrees.all())] if bases else ()
    for admin in (each for each in admins if each != ended.worktree.admin):
        # Omit entries that were created in another worktree: another worker or the user may have
        # used the same email address at the same time.
        elsewhere = HeadLog(admin).stashed(stash)
        bases = {entry: base for entry, base in bases.items() if entry not in elsewhere}
    return [
        (each.after, each.message) for each in stash if _is_stashed_here(ended, log, each, bases)
    ]


def _is_stashed_here(
    ended: EndedWorktree, log: HeadLog, entry: LogEntry, bases: Mapping[str, str]
) -> bool:
    """True if the worker created the stash entry. ``bases``: a result of ``HeadLog.stashed``."""
    if _is_by(ended, entry):
        return True
    if _is_other_workers(ended, entry) or entry.seconds < int(_start_time(ended)):
        return False
    if not (log.created or entry.after in bases):
        return False
    base = ended.git.resolve(f"{entry.after}^1")
    return base in log.created or base == bases.get(entry.after)


def _stash_piece(git: Git, entry: str, name: str) -> _Piece:
    base, _, *untracked = git.run("rev-list", "--parents", "-n1", entry).text.split(" ")[1:]
    tree = tree_of(git, entry)
    if untracked:
        tree = edited_tree(git, entry, git.run("ls-tree", "-r", "-z", untracked[0]).out)
    commit = commit_tree(git, tree, [base], name, _NOBODY)
    kind = SideWorkKind.STASH
    return _Piece(kind=kind, name=name, commit=commit, base=base, original=entry)


def _drop_stash_entry(ended: EndedWorktree, entry: str) -> None:
    """Remove one entry from the stash list, which the user may change at the same time.

    Git names an entry by its position in the list. If the user adds an entry during the call, the
    positions change, and git removes the wrong entry. This function then restores that entry.
    """
    before = [each.after for each in entries(_log_of(ended, _STASH))]
    if not before:
        ended.git.run("update-ref", *ITSELF, "-d", _STASH, entry)
    if entry not in before:
        return
    place = len(before) - 1 - before.index(entry)
    ended.git.run("stash", "drop", "--quiet", f"stash@{{{place}}}")
    after = {each.after for each in entries(_log_of(ended, _STASH))}
    for lost in (each for each in before if each not in after and each != entry):
        ended.git.run("stash", "store", "--quiet", "-m", "restored", lost)
