"""Reads commits; reads, moves, and deletes refs; merges and replays commits without a worktree."""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence

from orchestrator.core.model.attempt.attempt_result import ChangeSize
from orchestrator.core.repository.repository import (
    BranchWork,
    ConflictText,
    Merge,
    Signature,
    Undone,
)
from orchestrator.git import base_commit
from orchestrator.git.command import ref_files
from orchestrator.git.command.bounded_cache import BoundedCache
from orchestrator.git.command.git_sessions import shared_part
from orchestrator.git.command.runner import Git
from orchestrator.git.commits import commit_creation as commits
from orchestrator.git.commits import commit_diffs, submodules
from orchestrator.git.merge import conflicts, file_merge, merge_tree, rebase
from orchestrator.git.merge import undone_changes as undone
from orchestrator.git.repository_location import GitLocation
from orchestrator.git.worktrees import ignored_files

#: Options that print every file as text, even if .gitattributes or the user's configuration
#: requests another form.
_PLAIN = (
    *("-p", "-U0", "-r", "-a", "--root", "--always", "--full-index"),
    *("--no-ext-diff", "--no-textconv", "--no-renames", "--no-color", "--submodule=short"),
    # For a merge commit, print only the lines that neither parent has.
    *("-c", "--format=commit %H%n%w(0,1,1)%B"),
)
#: Maximum size of a cached output, in bytes.
MOST_CACHED_BYTES = 64 * 1024
_MOST_CACHED = 32

_cached_patches = BoundedCache[tuple[str, str, str, str], bytes](_MOST_CACHED)


def commit_patches(git: Git, start: str, end: str, path_prefix: str = "") -> Iterator[bytes]:
    """Yield the patches of the commits that ``end`` has and ``start`` lacks, oldest first.

    Each patch begins with ``commit <id>`` and the commit's message, indented by one space.
    ``path_prefix``: prefix of all paths in the patches. A short output is cached, because a merge
    reads the same commits as the worker's gates.
    """
    part = shared_part(git.directory, git.env)
    is_fixed = (
        part is not None and len(start) in ref_files.ID_LENGTHS and len(end) in ref_files.ID_LENGTHS
    )
    key = part.common if part else "", start, end, path_prefix
    cached = _cached_patches.get(key) if is_fixed else None
    if cached is not None:
        yield cached
        return
    lines = [f"{end} {start}"] if _is_next(git, start, end) else _with_parents(git, start, end)
    # If a commit has no parent, compare it with ``start``, because part of its content may not be
    # new.
    request = "".join(f"{line} {start}\n" if " " not in line else f"{line}\n" for line in lines)
    names = (f"--src-prefix=a/{path_prefix}", f"--dst-prefix=b/{path_prefix}")
    output = b""
    for piece in git.streamed("diff-tree", "--stdin", *_PLAIN, *names, stdin=request.encode()):
        # Collect at most one byte more than the limit, because an output above the limit is not
        # cached.
        output += piece[: MOST_CACHED_BYTES + 1 - len(output)]
        yield piece
    if is_fixed and len(output) <= MOST_CACHED_BYTES:
        _cached_patches.put(key, output)


def _is_next(git: Git, start: str, end: str) -> bool:
    """True if ``start`` is the only parent of ``end``."""
    return git.resolve_all([f"{end}^1", f"{end}^2"]) == [start, ""]


def _with_parents(git: Git, start: str, end: str) -> Sequence[str]:
    return git.run("rev-list", "--reverse", "--parents", end, f"^{start}", "--").text.splitlines()


#: Matches an added line that may be a conflict marker. One character is enough, because a file's
#: attributes set the marker's length.
_MARKER = re.compile(rb"^\+[<=>|]", re.MULTILINE)


def may_add_markers(git: Git, start: str, end: str) -> bool:
    """True if ``end`` may add conflict markers to ``start``. False if ``end`` adds no markers.

    For speed, this function searches only the patch, which ``commit_patches`` has usually cached.
    If the result is True, the caller must search for markers with git.
    """
    if not _is_next(git, start, end):
        return True
    patch = b""
    for piece in commit_patches(git, start, end):
        patch += piece
        if len(patch) > MOST_CACHED_BYTES:
            return True
    return bool(_MARKER.search(patch))


def patch_of_all_files(git: Git, commit: str, path_prefix: str) -> Iterator[bytes]:
    """Yield a patch that adds all files of a commit, as if it were the first commit.

    ``path_prefix``: prefix of all paths in the patch.
    """
    empty = git.run("hash-object", "-t", "tree", "--stdin", stdin=b"").text
    names = (f"--src-prefix=a/{path_prefix}", f"--dst-prefix=b/{path_prefix}")
    yield f"commit {commit}\n".encode()
    yield from git.streamed("diff-tree", *_PLAIN, *names, empty, commit)


def texts_in_files(git: Git, commit: str, texts: Collection[bytes]) -> set[bytes]:
    """Return the texts of ``texts`` that occur in a file of a commit. Each text is one line."""
    if not texts:
        return set()
    # Pass the texts on standard input, because other users can read a program's arguments.
    patterns = b"".join(text + b"\n" for text in texts)
    options = ("-a", "-h", "-o", "-F", "--no-color", "-f", "-")
    answer = git.run("grep", *options, commit, stdin=patterns, accept=(0, 1))
    return set(answer.out.split(b"\n")) & set(texts)


class ObjectsAndRefs(ABC):
    """Methods of ``core.repository.repository.Repository`` that need no worktree."""

    @abstractmethod
    def location(self) -> GitLocation:
        """The repository's location. Raise RepositoryError if there is no repository."""

    def conflict_markers(self, start: str, end: str) -> Sequence[str]:
        git = self.location().git
        if not may_add_markers(git, start, end):
            return []
        return conflicts.marker_faults(conflicts.conflict_markers(git, start, end))

    def omitted_ignored(self, commit: str) -> Mapping[str, str]:
        omitted = ignored_files.note_of(self.location().git, commit).get("not_kept")
        return omitted if isinstance(omitted, dict) else {}

    def commit_of(self, name: str) -> str:
        return self.location().git.resolve(f"{name}^{{commit}}")

    def commits_below(self, prefix: str) -> Mapping[str, str]:
        location = self.location()
        return ref_files.tips(location.git, location.common, prefix)

    def set_ref(self, name: str, commit: str) -> None:
        self.location().git.update_refs({name: commit})

    def set_refs(self, refs: Mapping[str, str]) -> None:
        self.location().git.update_refs(refs)

    def delete_ref(self, name: str) -> None:
        self.location().git.update_refs({name: ""})

    def contains(self, commit: str, ancestor: str) -> bool:
        return commits.contains(self.location().git, commit, ancestor)

    def changed_paths(self, start: str, end: str) -> Sequence[str]:
        return commit_diffs.changed(self.location().git, start, end)

    def differing_paths(self, start: str, end: str) -> Mapping[str, bool]:
        return commit_diffs.touched(self.location().git, start, end)

    def renamed_files(self, start: str, end: str) -> Mapping[str, tuple[str, bool]]:
        return commit_diffs.moved(self.location().git, start, end)

    def log_with_diffs(self, start: str, end: str) -> Iterator[bytes]:
        location = self.location()
        yield from commit_patches(location.git, start, end)
        for git, path, before, after in submodules.changed_submodules(
            location.git, location.top, start, end
        ):
            if before:
                yield from commit_patches(git, before, after, f"{path}/")
            else:
                yield from patch_of_all_files(git, after, f"{path}/")

    def texts_in(self, commit: str, texts: Collection[bytes]) -> Collection[bytes]:
        return texts_in_files(self.location().git, commit, texts)

    def branch_work(self, start: str, end: str) -> BranchWork:
        return commit_diffs.branch_work(self.location().git, start, end)

    def change_size(self, start: str, end: str) -> ChangeSize:
        return commit_diffs.size(self.location().git, start, end)

    def changed_line_counts(self, start: str, end: str) -> Mapping[str, tuple[int, int]]:
        return commit_diffs.lines(self.location().git, start, end)

    def patch(self, start: str, end: str, most_bytes: int) -> str:
        return commit_diffs.patch(self.location().git, start, end, most_bytes)

    def tracks(self, commit: str, path: str) -> bool:
        return base_commit.tracks(self.location().git, commit, path)

    def create_merge_commit(
        self, first: str, second: str, message: str, signature: Signature, content: str = ""
    ) -> str:
        git = self.location().git
        tree = commits.tree_of(git, content or first)
        return commits.commit_tree(git, tree, [first, second], message, signature)

    def first_parent_commits(self, start: str, tip: str) -> Sequence[str]:
        return rebase.first_parent_commits(self.location().git, start, tip)

    def paths_in_history(self, start: str, tip: str, paths: Sequence[str]) -> Collection[str]:
        return rebase.paths_in_history(self.location().git, start, tip, paths)

    def squash(self, onto: str, refused: str, tip: str, message: str) -> str:
        return rebase.squash_into_next(self.location().git, onto, refused, tip, message)

    def replay(
        self,
        onto: str,
        commits: Sequence[str],
        final: str,
        message: str,
        signature: Signature,
    ) -> str:
        return rebase.replay(self.location().git, onto, commits, final, message, signature)

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
        how = merge_tree.MergeOptions(force=force, union=union)
        return merge_tree.merge(self.location().git, ours, theirs, message, signature, how)

    def merged_by_drivers(self, start: str, tip: str) -> Sequence[str]:
        return file_merge.merged_by_drivers_since(self.location().git, start, tip)

    def undone_changes(
        self, base: str, result: str, tip: str, earlier: Sequence[str], others: Sequence[str]
    ) -> Undone:
        return undone.undone(self.location().git, base, result, tip, earlier, others)

    def reapply(
        self, base: str, result: str, tip: str, message: str, signature: Signature, *, force: bool
    ) -> Merge:
        git = self.location().git
        return undone.reapplied(git, base, result, tip, message, signature, force=force)

    def merge_with_markers(self, ours: str, theirs: str, message: str, signature: Signature) -> str:
        return merge_tree.merge_with_markers(self.location().git, ours, theirs, message, signature)

    def conflict_texts(self, ours: str, theirs: str) -> Sequence[ConflictText]:
        return merge_tree.conflict_texts(self.location().git, ours, theirs)

    def unresolved_files(self, ours: str, theirs: str, commit: str) -> Sequence[str]:
        return merge_tree.unresolved(self.location().git, ours, theirs, commit)
