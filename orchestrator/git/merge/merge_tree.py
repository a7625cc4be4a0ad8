"""Merges two commits as objects, without changing any file, index, or branch."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.repository.repository import (
    ConflictText,
    FileConflict,
    LostHunk,
    Merge,
    MergedFile,
    MergeRule,
    Signature,
)
from orchestrator.git.command.private_index import edited_tree
from orchestrator.git.command.runner import Git, failure, with_nul
from orchestrator.git.commits.commit_creation import commit_tree, tree_of
from orchestrator.git.merge import union
from orchestrator.git.merge.conflicts import (
    Side,
    conflicts,
    marked_lines,
    sides_of,
    with_theirs,
)
from orchestrator.git.merge.file_merge import (
    Content,
    contents,
    merged_by_drivers,
    texts_of,
    write_blobs,
)

#: Line in the output of ``blame --porcelain``: a commit, and the number of the line in the file.
_LINE = re.compile(r"^([0-9a-f]{40,64}) \d+ (\d+)(?: \d+)?$", re.MULTILINE)
#: Maximum number of lost hunks of one file for which ``with_origin_commits`` searches the commits.
MOST_PLACES = 100


def with_origin_commits(git: Git, commit: str, conflict: FileConflict) -> FileConflict:
    """Return a copy of ``conflict`` with the commits that added the lines of each lost hunk.

    A lost hunk is a change of ``ours`` that is not in the merge result. The commits are searched in
    the history of ``commit``, for at most ``MOST_PLACES`` hunks.
    """
    places = [each for each in conflict.lost if each.first and not each.removed][:MOST_PLACES]
    if not places:
        return conflict
    spans = [f"-L{each.first},{each.last}" for each in places]
    command = ("-c", "blame.ignoreRevsFile=", "blame", "--porcelain", *spans, commit)
    blame = git.run(*command, "--", conflict.path, accept=(0, 128)).out.decode("utf-8", "replace")
    origins = {int(number): name for name, number in _LINE.findall(blame)}

    def with_commits(each: LostHunk) -> LostHunk:
        names = (origins.get(line, "") for line in range(each.first, each.last + 1))
        return replace(each, commits=tuple(dict.fromkeys(filter(None, names))))

    return replace(
        conflict,
        lost=tuple(with_commits(each) if each in places else each for each in conflict.lost),
    )


#: Git's message for a file that git moved, because one side had renamed the file's directory.
_MOVED = "Path updated due to directory rename"


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeOptions:
    #: True if conflicts are resolved with the ``theirs`` version.
    force: bool = False
    #: True if the lines of both sides are kept at places where both sides only added lines.
    union: bool = False


#: Merges without any rule that resolves conflicts.
PLAIN = MergeOptions()


@dataclass(frozen=True, slots=True)
class TrialMerge:
    #: The merged tree. Conflicting files have conflict markers.
    tree: str
    #: The sides of the conflicting files.
    sides: list[Side]
    #: Files that git moved, because one side had renamed their directory.
    moved: list[str]


def merge(
    git: Git, ours: str, theirs: str, message: str, signature: Signature, how: MergeOptions = PLAIN
) -> Merge:
    if ours == theirs or git.resolve(f"{theirs}^") == ours:
        return Merge(commit=theirs)
    trial = trial_merge(git, ours, theirs)
    # Search the merge base only in two cases: after a conflict, and if the merged files equal the
    # files of one side. In the second case, one commit may be in the history of the other commit.
    sides = git.resolve_all([f"{each}^{{tree}}" for each in (ours, theirs)])
    base = git.ask("merge-base", ours, theirs) if trial.sides or trial.tree in sides else None
    if base == theirs:
        return Merge(commit=ours)
    if base == ours:
        return Merge(commit=theirs)
    texts = _merged_contents(git, trial, how, base or "", (ours, theirs))
    resolved = {path for path, each in texts.items() if not each.lost}
    unresolved_conflicts = conflicts([each for each in trial.sides if each[-1] not in resolved])
    lost = [_with_lost(each, texts.get(each.path)) for each in unresolved_conflicts]
    if lost and not how.force:
        return Merge(conflicts=tuple(replace(each, lost=()) for each in lost))
    tree = _complete_tree(git, trial, ours, theirs, texts)
    commit = commit_tree(git, tree, [ours, theirs], message, signature)
    by_us = tuple(with_origin_commits(git, ours, each) for each in lost)
    files = [MergedFile(path=path, way=MergeRule.DIRECTORY_RENAME) for path in trial.moved]
    files += [MergedFile(path=each.path, way=each.way) for each in texts.values() if each.way]
    contested = {each[-1] for each in trial.sides}
    by_driver = [each for each in merged_by_drivers(git, ours, theirs) if each not in contested]
    files += [MergedFile(path=each, way=MergeRule.DRIVER) for each in by_driver]
    return Merge(commit=commit, conflicts=by_us, files=tuple(files))


def _merged_contents(
    git: Git, trial: TrialMerge, how: MergeOptions, base: str, commits: Sequence[str]
) -> dict[str, Content]:
    if not trial.sides:
        return {}
    renamed = cache(lambda: {path for each in commits for path in _renamed_paths(git, base, each)})

    def unites(path: str, is_new: bool) -> bool:
        may = how.union and union.may_unite(path, is_new=is_new)
        return may and not (is_new and path in renamed())

    merged = contents(git, trial.tree, trial.sides, unites=unites, forces=how.force)
    return {each.path: each for each in merged if each.text is not None}


def _renamed_paths(git: Git, base: str, commit: str) -> list[str]:
    options = ("-r", "-z", "-M", "--name-status", "--diff-filter=R")
    return git.run("diff-tree", *options, base, commit).fields[2::3] if base else []


def _complete_tree(
    git: Git, trial: TrialMerge, ours: str, theirs: str, texts: Mapping[str, Content]
) -> str:
    """Return git's merged tree with a resolution of each conflicting file.

    ``texts``: merged content by path. A conflicting file without merged content gets the ``theirs``
    version.
    """
    tree, others = trial.tree, [each for each in trial.sides if each[-1] not in texts]
    if others:
        tree = with_theirs(git, tree, ours, theirs, others)
    if texts:
        entries = write_blobs(git, texts.values())
        lines = (f"{mode} {blob}\t{path}" for mode, blob, path in entries)
        tree = edited_tree(git, tree, with_nul(lines))
    return tree


def _with_lost(conflict: FileConflict, content: Content | None) -> FileConflict:
    if content is not None:
        return replace(conflict, lost=content.lost)
    undone = bool(conflict.base and conflict.theirs and not conflict.ours)
    hunks = (LostHunk(removed=undone),) if conflict.ours or undone else ()
    return replace(conflict, lost=hunks)


def trial_merge(git: Git, ours: str, theirs: str) -> TrialMerge:
    # Also merge histories without a common ancestor, because an agent may begin a new history.
    options = ("--write-tree", "-z", "--messages", "--allow-unrelated-histories")
    answer = git.run("merge-tree", *options, ours, theirs, accept=(0, 1, 128))
    # Git also exits with 1 if a commit is missing, but then prints nothing.
    if answer.code == 128 or not answer.out:
        raise failure("merge-tree", answer)
    # The sides of the files end with an empty field. The messages follow.
    tree, *fields = os.fsdecode(answer.out).split("\0")
    end = fields.index("")
    sides = sides_of(fields[:end], ours, theirs) if answer.code else []
    return TrialMerge(tree, sides, [*_moved_paths(fields[end + 1 :])])


def _moved_paths(messages: Sequence[str]) -> Iterator[str]:
    """Yield the first path of each message about a moved file.

    A message has four fields: the number of paths, the paths, the kind, and a sentence.
    """
    fields = iter(messages)
    for count in fields:
        if not count.isdigit():
            return
        paths = [*islice(fields, int(count))]
        kind, _ = next(fields), next(fields)
        if kind == _MOVED:
            yield paths[0]


def merge_with_markers(git: Git, ours: str, theirs: str, message: str, signature: Signature) -> str:
    """Return a merge commit of two commits. Files that conflict contain conflict markers."""
    trial = trial_merge(git, ours, theirs)
    return commit_tree(git, trial.tree, [ours, theirs], message, signature)


def conflict_texts(git: Git, ours: str, theirs: str) -> list[ConflictText]:
    trial = trial_merge(git, ours, theirs)
    paths = dict.fromkeys(path for *_, path in trial.sides)
    texts: dict[str, list[ConflictText]] = {}
    for each in texts_of(git, trial.tree, trial.sides) if paths else ():
        texts.setdefault(each.path, []).append(each)
    return [each for path in paths for each in texts.get(path) or [ConflictText(path=path)]]


def unresolved(git: Git, ours: str, theirs: str, commit: str) -> list[str]:
    """Return the files that conflict between two commits, and that ``commit`` does not resolve.

    A file is unresolved if it has conflict markers that neither side has, or if git invented the
    file's name. If ``commit`` has the same files as the result of ``merge_with_markers``, no
    conflict was resolved. In this case, all files are unresolved, even binary and deleted files,
    which have no markers.
    """
    trial = trial_merge(git, ours, theirs)
    paths = list(dict.fromkeys(path for *_, path in trial.sides))
    if not paths or trial.tree == tree_of(git, commit):
        return paths
    new_to_ours, new_to_theirs = (
        marked_lines(git, side, commit, *paths) for side in (ours, theirs)
    )
    marked_files = dict.fromkeys(
        path for path, number in new_to_ours if (path, number) in new_to_theirs
    )
    invented = [f"{path}~{each}" for path in paths for each in (ours, theirs)]
    listed = git.run("ls-tree", "-r", "-z", "--name-only", commit, "--", *invented).fields
    return [*marked_files, *listed]
