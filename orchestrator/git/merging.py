"""Merging two commits as objects: no file, index or branch of anybody is touched."""

import os

from orchestrator.core.repository import Merge, Signature
from orchestrator.git import markers
from orchestrator.git.commits import commit_tree, tree_of
from orchestrator.git.contested import Side, all_theirs, conflicts, sides_of
from orchestrator.git.running import Git, failure


def merge(
    git: Git, ours: str, theirs: str, message: str, signature: Signature, *, force: bool
) -> Merge:
    base = git.ask("merge-base", ours, theirs)
    if base == theirs:
        return Merge(commit=ours)
    if base == ours:
        return Merge(commit=theirs)
    tree, sides = tried(git, ours, theirs)
    found = tuple(conflicts(sides))
    if sides and not force:
        return Merge(conflicts=found)
    if sides:
        tree = all_theirs(git, tree, ours, theirs, sides)
    commit = commit_tree(git, tree, [ours, theirs], message, signature)
    return Merge(commit=commit, conflicts=found)


def tried(git: Git, ours: str, theirs: str) -> tuple[str, list[Side]]:
    """The merged tree, with marks in files that conflict, and the sides of those files."""
    # An agent can begin a history of its own; its files are merged then.
    how = ("--write-tree", "-z", "--allow-unrelated-histories")
    answer = git.run("merge-tree", *how, ours, theirs, accept=(0, 1, 128))
    # For a commit that it cannot find it says 1 as well, and prints nothing.
    if answer.code == 128 or not answer.out:
        raise failure("merge-tree", answer)
    tree, *rest = os.fsdecode(answer.out).split("\0")
    if answer.code == 0:
        return tree, []
    # Sides of files up to an empty field, then messages for people.
    return tree, sides_of(rest[: rest.index("")], ours, theirs)


def marked(git: Git, ours: str, theirs: str, message: str, signature: Signature) -> str:
    """A merge of two commits, with marks in the files where they exclude each other."""
    tree, _ = tried(git, ours, theirs)
    return commit_tree(git, tree, [ours, theirs], message, signature)


def unresolved(git: Git, ours: str, theirs: str, commit: str) -> list[str]:
    """Of the files where two commits exclude each other: those that a third one does not settle.

    All of them, where it is as ``marked`` made it: a binary file or a deletion has no marks. A mark
    is a line of that kind that neither side has; so is a name that git made up, for a file where
    there is a directory.
    """
    tree, sides = tried(git, ours, theirs)
    paths = list(dict.fromkeys(path for *_, path in sides))
    if not paths or tree == tree_of(git, commit):
        return paths
    left, also = (markers.lines(git, side, commit, *paths) for side in (ours, theirs))
    marked_files = dict.fromkeys(path for path, number in left if (path, number) in also)
    invented = [f"{path}~{each}" for path in paths for each in (ours, theirs)]
    listed = git.run("ls-tree", "-r", "-z", "--name-only", commit, "--", *invented).fields
    return [*marked_files, *listed]
